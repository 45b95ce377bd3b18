"""A member is erased: what they are, what they measured, and what names them; sums of five homes or more stay."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.binary import DateArray, Int4Array
from digital_twin.adapters.postgres.day_rows import DayRowReader
from digital_twin.adapters.postgres.kept_sums import KEPT_FROM_HOMES, KeptSums
from digital_twin.adapters.postgres.personal_data import DOCUMENTS
from digital_twin.adapters.postgres.rollup import Rollup
from digital_twin.adapters.postgres.series import KnownSeries, SeriesTable
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.domain.member_sum import MemberSeries, Membership, sum_over_members
from digital_twin.domain.readings import SUMMED_SERIES
from digital_twin.domain.series_days import DayRows
from digital_twin.services.ports import Erased


class Erasure:
    """Of one member. Under the locks of upkeep and of the community."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int, member_id: str) -> None:
        self._connection = connection
        self._community = community
        self._member_id = member_id
        self._rows = DayRowReader(connection, community)

    async def run(self) -> Erased:
        """Erase everything but the journal, whose parts are noted to be purged.

        Raises:
            NotFound: there is no such member.
            Conflict: a Run of the community is not done, and may hold what is to be erased.
        """
        await self._check()
        series = await SeriesTable(self._connection, self._community).behind(self._member_id)
        rows = await self._rows_of(series)
        for name in SUMMED_SERIES:
            await self._take_out_of_sum(name, [one for one in series if one.key.name == name], rows)
        await self._forget_states()
        await self._connection.execute(
            "insert into journal_purge (community, month, resolution_minutes, series) "
            "select community, month, resolution_minutes, %s from journal where community = %s "
            "and resolution_minutes = any(%s) group by community, month, resolution_minutes",
            ([one.id for one in series], self._community, sorted({one.resolution for one in series})),
        )
        await self._connection.execute("delete from plan_question where community = %s", (self._community,))
        documents = await self._delete_documents()
        memberships = await self._delete_links()
        assets = await self._count_assets()
        await self._delete_rows(rows)
        await self._connection.execute(
            "delete from member where community = %s and member_id = %s", (self._community, self._member_id)
        )
        days = sum(part.size for part in rows.values())
        return Erased(len(series), days, assets, memberships, documents)

    async def _check(self) -> None:
        cursor = await self._connection.execute(
            "select exists (select from member where community = %s and member_id = %s), "
            "exists (select from run where community = %s and state in ('queued', 'running'))",
            (self._community, self._member_id, self._community),
        )
        row = await cursor.fetchone()
        assert row is not None
        is_there, is_running = row
        if not is_there:
            raise NotFound(f"there is no member {self._member_id!r}; GET .../members lists those there are")
        if is_running:
            raise Conflict(
                "a Run of this community may hold the member's data; wait for it or cancel it, then try again"
            )

    async def _rows_of(self, series: Sequence[KnownSeries]) -> dict[int, DayRows]:
        """All rows of the member's series, by resolution."""
        cursor = await self._connection.execute(
            "select least((select min(day) from reading_open where community = %(community)s), "
            "  (select min(day) from reading_closed where community = %(community)s)) - date '1970-01-01', "
            "greatest((select max(day) from reading_open where community = %(community)s), "
            "  (select max(day) from reading_closed where community = %(community)s)) - date '1970-01-01'",
            {"community": self._community},
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None or not series:
            return {}
        start, end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=row[0]), timedelta(days=row[1] - row[0] + 1)
        return await self._rows.rows(series, start, start + end, None)

    async def _take_out_of_sum(self, name: str, series: Sequence[KnownSeries], rows: dict[int, DayRows]) -> None:
        """Keep the sums of enough homes that the member is part of, and have the others added up again."""
        own = {one.id for one in series if one.key.asset_id is None and one.key.member_id is not None}
        parts = {step: part.where(np.isin(part.series, sorted(own))) for step, part in rows.items()}
        days = np.unique(np.concatenate([part.day for part in parts.values()])) if parts else np.empty(0, np.int64)
        if not days.size:
            return
        rollup = Rollup(self._connection, self._community)
        first, last = int(days[0]), int(days[-1])
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        await rollup.refresh(epoch + timedelta(days=first), epoch + timedelta(days=last + 1), self._rows.rows_of_days)
        before = await rollup.stored(name, first, last)
        assert before is not None
        span = (await rollup.spans())[self._member_id]
        member = MemberSeries(dict.fromkeys(own, span), before.resolution_minutes, Membership(Counter()))
        took_part = sum_over_members(name, member, parts, before.days).reporting > 0
        await KeptSums(self._connection, self._community).keep(name, before.only(took_part))
        too_few = took_part & (before.reporting < KEPT_FROM_HOMES)
        again = DateArray(before.days[too_few.any(axis=1)])
        await self._connection.execute(
            "delete from rollup where community = %s and name = %s and day = any(%b)", (self._community, name, again)
        )
        await self._connection.execute(
            "insert into dirty_day select %s, day from unnest(%b) day on conflict do nothing", (self._community, again)
        )

    async def _forget_states(self) -> None:
        """The state and its model are learned anew; of what they answered, what stands on few homes is removed."""
        await self._connection.execute("delete from state_checkpoint where community = %s", (self._community,))
        await self._connection.execute(
            "with gone as (delete from state_snapshot where community = %s returning community, observed_at) "
            "insert into state_due (community, changed_from, changed_until) "
            "select community, observed_at - interval '1 day', observed_at from gone",
            (self._community,),
        )
        await self._connection.execute(
            "delete from state_day where community = %s and exists "
            "(select from unnest(reporting) homes where homes between 1 and %s)",
            (self._community, KEPT_FROM_HOMES - 1),
        )
        await self._connection.execute(
            "delete from state_known where community = %s and (document ->> 'reporting')::int between 1 and %s",
            (self._community, KEPT_FROM_HOMES - 1),
        )

    async def _delete_documents(self) -> int:
        # an identifier has letters, digits, _ and - only, so that it stands for itself in the pattern
        named = f"(^|[^A-Za-z0-9_-]){self._member_id}($|[^A-Za-z0-9_-])"
        deleted = 0
        for table, text in DOCUMENTS:
            cursor = await self._connection.execute(
                f"delete from {table} where community = %s and {text} ~ %s", (self._community, named)
            )
            deleted += cursor.rowcount
        return deleted

    async def _delete_links(self) -> int:
        cursor = await self._connection.execute(
            "delete from membership where community = %s and member_id = %s", (self._community, self._member_id)
        )
        await self._connection.execute(
            "delete from invite where member_id = %s "
            "and community_id = (select community_id from community where id = %s)",
            (self._member_id, self._community),
        )
        return cursor.rowcount

    async def _count_assets(self) -> int:
        cursor = await self._connection.execute(
            "select count(*) from asset where community = %s and member_id = %s", (self._community, self._member_id)
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def _delete_rows(self, rows: dict[int, DayRows]) -> None:
        """Row by row: the trigger on series finds nothing left, but would search all days of the community for it."""
        for part in rows.values():
            for table in ("reading_open", "reading_closed", "reading_flag"):
                await self._connection.execute(
                    f"delete from {table} t using unnest(%b, %b) k(day, series) "
                    "where t.community = %s and t.day = k.day and t.series = k.series",
                    (DateArray(part.day), Int4Array(part.series), self._community),
                )
