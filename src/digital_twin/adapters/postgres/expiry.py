"""What a community keeps no longer is removed, a portion at a time: old days, and what was known before an instant."""

from datetime import UTC, datetime, timedelta

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.day_rows import DayRowReader
from digital_twin.adapters.postgres.journal_table import Group, JournalTable
from digital_twin.adapters.postgres.kept_sums import KeptSums
from digital_twin.adapters.postgres.rollup import Rollup
from digital_twin.adapters.postgres.series_spans import SeriesSpans
from digital_twin.domain.readings import SUMMED_SERIES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Expiry:
    """Of one community. Under the lock of upkeep."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community
        self._journal = JournalTable(connection, community)

    async def remove_day(self, before: int) -> bool:
        """Remove the oldest day if it is older than this one, but for its sums of enough homes. Under the lock.

        Whether there was one; when there is none left the journal tells of none either.
        """
        cursor = await self._connection.execute(
            "select least((select min(day) from reading_open where community = %(community)s), "
            "  (select min(day) from reading_closed where community = %(community)s)) - date '1970-01-01'",
            {"community": self._community},
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None or row[0] >= before:
            return False
        day = int(row[0])
        await self._keep_sums(day)
        for table in ("reading_open", "reading_closed", "reading_flag", "rollup"):
            await self._connection.execute(
                f"delete from {table} where community = %s and day = date '1970-01-01' + %s", (self._community, day)
            )
        await self._connection.execute(
            "insert into dirty_day values (%s, date '1970-01-01' + %s) on conflict do nothing", (self._community, day)
        )
        return True

    async def _keep_sums(self, day: int) -> None:
        rollup, kept = Rollup(self._connection, self._community), KeptSums(self._connection, self._community)
        start = _EPOCH + timedelta(days=day)
        rows = DayRowReader(self._connection, self._community)
        await rollup.refresh(start, start + timedelta(days=1), rows.rows_of_days)
        for name in SUMMED_SERIES:
            sums = await rollup.stored(name, day, day)
            if sums is not None:
                await kept.keep(name, sums)

    async def forget_days(self, before: int) -> bool:
        """Take the days before this one out of a part of the journal; whether there was one."""
        await self._connection.execute(
            "delete from journal where community = %s and last_day < date '1970-01-01' + %s", (self._community, before)
        )
        cursor = await self._connection.execute(
            "select month, resolution_minutes from journal where community = %s "
            "and first_day < date '1970-01-01' + %s limit 1",
            (self._community, before),
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        group = Group(*row)
        await self._journal.keep_rows(group, lambda day, _: day >= before)
        await self._connection.execute(
            "update journal set first_day = greatest(first_day, date '1970-01-01' + %s) "
            "where community = %s and month = %s and resolution_minutes = %s",
            (before, self._community, group.month, group.resolution),
        )
        return True

    async def forget_past(self, known_from: datetime) -> bool:
        """Let go of what was known before this instant in a part of the journal; whether there was one.

        Under the community's lock: who reads as of an instant must find it answerable until the end.
        """
        await SeriesSpans(self._connection, self._community).keep()  # while the journal still names the days
        await self._connection.execute(
            "insert into keeping (community, known_from) values (%s, %s) on conflict (community) do update "
            "set known_from = greatest(keeping.known_from, excluded.known_from)",
            (self._community, known_from),
        )
        await self._connection.execute(
            "delete from journal where community = %s and received_at < %s", (self._community, known_from)
        )
        cursor = await self._connection.execute(
            "select month, resolution_minutes from journal where community = %s and received_from < %s limit 1",
            (self._community, known_from),
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        group = Group(*row)
        await self._journal.keep_since(group, known_from)
        await self._connection.execute(
            "update journal set received_from = greatest(received_from, %s) "
            "where community = %s and month = %s and resolution_minutes = %s",
            (known_from, self._community, group.month, group.resolution),
        )
        return True

    async def purge(self) -> bool:
        """Take erased series out of a part of the journal; whether there was one."""
        cursor = await self._connection.execute(
            "delete from journal_purge where ctid = (select ctid from journal_purge where community = %s limit 1) "
            "returning month, resolution_minutes, series",
            (self._community,),
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        *group, erased = row
        await self._journal.keep_rows(Group(*group), lambda _, series: ~np.isin(series, erased))
        return True

    async def cut_spans(self, before: int) -> None:
        """Take up that there are no readings before this day any more."""
        await SeriesSpans(self._connection, self._community).cut(before)
