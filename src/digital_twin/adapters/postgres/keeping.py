"""What a community keeps for how long, and the steps of its upkeep, in SQL."""

from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.compaction import Compaction
from digital_twin.adapters.postgres.day_rows import DayRowReader, day_of
from digital_twin.adapters.postgres.erasure import Erasure
from digital_twin.adapters.postgres.expiry import Expiry
from digital_twin.adapters.postgres.locks import hold_community, hold_upkeep, share_community, try_upkeep
from digital_twin.adapters.postgres.open_days import close_day
from digital_twin.adapters.postgres.rollup import Rollup
from digital_twin.adapters.postgres.series_spans import SeriesSpans
from digital_twin.domain.retention import Retention
from digital_twin.services.ports import Compacted, Erased


class PostgresKeeping:
    """The port `Keeping`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community
        self._expiry = Expiry(connection, community)

    async def retention(self) -> Retention:
        cursor = await self._connection.execute(
            "select readings_days, journal_days from keeping where community = %s", (self._community,)
        )
        row = await cursor.fetchone()
        return Retention() if row is None else Retention(*row)

    async def retain(self, retention: Retention) -> None:
        await self._connection.execute(
            "insert into keeping (community, readings_days, journal_days) values (%s, %s, %s) "
            "on conflict (community) do update "
            "set readings_days = excluded.readings_days, journal_days = excluded.journal_days",
            (self._community, retention.readings_days, retention.journal_days),
        )

    async def begin_upkeep(self) -> bool:
        return await try_upkeep(self._connection, self._community)

    async def close_day(self) -> int | None:
        await hold_community(self._connection, self._community)
        return await close_day(self._connection, self._community)

    async def add_up_day(self, before: datetime) -> bool:
        await share_community(self._connection, self._community)
        rollup = Rollup(self._connection, self._community)
        return await rollup.refresh_oldest(day_of(before), DayRowReader(self._connection, self._community).rows_of_days)

    async def compact(self, received_before: datetime) -> Compacted | None:
        return await Compaction(self._connection, self._community).step(received_before)

    async def keep_spans(self) -> None:
        await SeriesSpans(self._connection, self._community).keep()

    async def remove_day(self, before: datetime) -> bool:
        await hold_community(self._connection, self._community)
        return await self._expiry.remove_day(day_of(before))

    async def forget_days(self, before: datetime) -> bool:
        await self._expiry.cut_spans(day_of(before))
        return await self._expiry.forget_days(day_of(before))

    async def forget_past(self, known_from: datetime) -> bool:
        await hold_community(self._connection, self._community)
        return await self._expiry.forget_past(known_from)

    async def erase_member(self, member_id: str) -> Erased:
        await hold_upkeep(self._connection, self._community)
        await hold_community(self._connection, self._community)
        return await Erasure(self._connection, self._community, member_id).run()

    async def purge_journal(self) -> bool:
        await hold_upkeep(self._connection, self._community)
        return await self._expiry.purge()

    async def forget_superseded(self, kind: str, before: datetime) -> int:
        cursor = await self._connection.execute(
            "delete from result where community = %(community)s and kind = %(kind)s and created_at < %(before)s "
            "and result_id <> (select result_id from result where community = %(community)s and kind = %(kind)s "
            "order by result_id desc limit 1)",
            {"community": self._community, "kind": kind, "before": before},
        )
        return cursor.rowcount

    async def forget_keys(self, received_before: datetime) -> int:
        # the newest batch stays: later stamps must come after it
        cursor = await self._connection.execute(
            "delete from batch where community = %s and received_at < "
            "least(%s, (select max(received_at) from batch where community = %s))",
            (self._community, received_before, self._community),
        )
        return cursor.rowcount
