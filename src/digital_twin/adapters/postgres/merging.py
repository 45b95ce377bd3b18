"""Day rows merged into the store under the community's lock, and what that changed."""

from dataclasses import replace
from typing import LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray, Int4Array
from digital_twin.adapters.postgres.flags import FlagTable
from digital_twin.adapters.postgres.journal import Undo
from digital_twin.domain.series_days import DayRows, Indices, Mask, Slots, merge

_THESE_DAYS = "community = %(community)s and day between date '1970-01-01' + %(first)s and date '1970-01-01' + %(last)s"


class DayRowMerger:
    """Merges rows of one community; days from `first_open` on lie in the open table."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int, first_open: int) -> None:
        self._connection = connection
        self._community = community
        self._first_open = first_open
        self._flags = FlagTable(connection, community)

    async def merge(self, rows: DayRows) -> Undo:
        """Merge rows in order of (day, series)."""
        first_open = int(np.searchsorted(rows.day, self._first_open))
        parts: tuple[tuple[LiteralString, DayRows], ...] = (
            ("reading_closed", rows.part(0, first_open)),
            ("reading_open", rows.part(first_open, rows.size)),
        )
        undos = [await self._merge(table, part) for table, part in parts if part.size]
        return undos[0] if len(undos) == 1 else Undo.of(undos)

    async def _merge(self, table: LiteralString, rows: DayRows) -> Undo:
        found, old, may_have_flags = await self._fetch(table, rows)
        current = old
        if found.size < rows.size:
            current = np.full_like(rows.slots, np.nan)
            current[found] = old
        flags = await self._flags.fetch(rows) if may_have_flags else None
        merged = merge(current, rows.slots, old_flags=flags, new_flags=rows.flags)
        changed = merged.changed_rows
        after = replace(rows, slots=merged.slots, flags=merged.flags).where(changed)
        is_new = np.ones(rows.size, dtype=np.bool_)
        is_new[found] = False
        await self._write(table, after, is_new[changed])
        if after.flags is not None:
            had: Mask = np.zeros(after.size, dtype=np.bool_) if flags is None else flags[changed].max(axis=1) > 0
            await self._flags.write(after, had)
        before = np.where(merged.corrected, current, np.float32(np.nan))
        flags_before = None if flags is None else np.where(merged.corrected, flags, np.uint8(0))
        return Undo(rows.day, rows.series, merged.first, merged.corrected, before, flags_before).where(changed)

    async def _fetch(self, table: LiteralString, rows: DayRows) -> tuple[Indices, Slots, bool]:
        """Which of the rows are there, in order, their slots, and whether any row of these days has flags."""
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(k.i::int), ''::bytea), ''), "
            "coalesce(string_agg(array_send(t.slots), ''::bytea), ''), "
            f"exists (select from reading_flag where {_THESE_DAYS}) "
            "from unnest(%(day)b, %(series)b) with ordinality k(day, series, i) "
            f"join {table} t on t.community = %(community)s and t.day = k.day and t.series = k.series "
            f"where exists (select from {table} where {_THESE_DAYS})",  # else no row is looked for
            {
                "community": self._community, "day": DateArray(rows.day), "series": Int4Array(rows.series),
                "first": int(rows.day[0]), "last": int(rows.day[-1]),
            },
            binary=True,
        )  # fmt: skip
        row = await cursor.fetchone()
        assert row is not None
        found, slots = binary.read_int4(row[0]) - 1, binary.read_slots(row[1], rows.slots.shape[1])
        if (np.diff(found) < 0).any():  # the order of a join is not ours to choose
            order = np.argsort(found)
            found, slots = found[order], slots[order]
        return found, slots, bool(row[2])

    async def _write(self, table: LiteralString, rows: DayRows, is_new: Mask) -> None:
        """Insert new rows and update others. As they are under the lock, no conflict has to be looked for."""
        if is_new.any():
            await self._stage(rows.where(is_new))
            await self._connection.execute(f"insert into {table} select * from staged")
        if not is_new.all():
            await self._stage(rows.where(~is_new))
            await self._connection.execute(
                f"update {table} t set slots = s.slots from staged s "
                "where t.community = s.community and t.day = s.day and t.series = s.series"
            )

    async def _stage(self, rows: DayRows) -> None:
        """To a table of the session: COPY itself is not allowed where row-level security holds."""
        await self._connection.execute(
            "create temp table if not exists staged (community bigint, day date, series int, slots real[]) "
            "on commit delete rows"
        )
        await self._connection.execute("truncate staged")  # it may hold the rows of this transaction's last write
        async with self._connection.cursor() as cursor, cursor.copy("copy staged from stdin binary") as copy:
            for chunk in binary.copy_chunks(self._community, rows):
                await copy.write(chunk)
