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


class DayRowMerger:
    """Merges rows of one community; days from `first_open` on lie in the open table."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int, first_open: int) -> None:
        self._connection = connection
        self._community = community
        self._first_open = first_open
        self._flags = FlagTable(connection, community)

    async def merge(self, rows: DayRows) -> Undo:
        """Merge rows in order of (day, series)."""
        is_open = rows.day >= self._first_open
        parts: tuple[tuple[LiteralString, DayRows], ...] = (
            ("reading_closed", rows.where(~is_open)),
            ("reading_open", rows.where(is_open)),
        )
        return Undo.of([await self._merge(table, part) for table, part in parts])

    async def _merge(self, table: LiteralString, rows: DayRows) -> Undo:
        current, flags = np.full_like(rows.slots, np.nan), None
        if rows.size:
            found, old, may_have_flags = await self._fetch(table, rows)
            current[found] = old
            flags = await self._flags.fetch(rows) if may_have_flags else None
        merged = merge(current, rows.slots, old_flags=flags, new_flags=rows.flags)
        changed = merged.changed_rows
        after = replace(rows, slots=merged.slots, flags=merged.flags).where(changed)
        await self._write(table, after)
        if after.flags is not None:
            had: Mask = np.zeros(after.size, dtype=np.bool_) if flags is None else flags[changed].max(axis=1) > 0
            await self._flags.write(after, had)
        before = np.where(merged.corrected, current, np.float32(np.nan))
        flags_before = None if flags is None else np.where(merged.corrected, flags, np.uint8(0))
        return Undo(rows.day, rows.series, merged.first, merged.corrected, before, flags_before).where(changed)

    async def _fetch(self, table: LiteralString, rows: DayRows) -> tuple[Indices, Slots, bool]:
        """Which of the rows are there, their slots, and whether any row of these days has flags."""
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(k.i::int), ''::bytea), ''), "
            "coalesce(string_agg(array_send(t.slots), ''::bytea), ''), "
            "exists (select from reading_flag where community = %s "
            "  and day between date '1970-01-01' + %s and date '1970-01-01' + %s) "
            "from unnest(%b, %b) with ordinality k(day, series, i) "
            f"join {table} t on t.community = %s and t.day = k.day and t.series = k.series",
            (
                self._community, int(rows.day[0]), int(rows.day[-1]),
                DateArray(rows.day), Int4Array(rows.series), self._community,
            ),
            binary=True,
        )  # fmt: skip
        row = await cursor.fetchone()
        assert row is not None
        return binary.read_int4(row[0]) - 1, binary.read_slots(row[1], rows.slots.shape[1]), bool(row[2])

    async def _write(self, table: LiteralString, rows: DayRows) -> None:
        """Through a staging table: COPY itself is not allowed where row-level security holds."""
        if not rows.size:
            return
        await self._connection.execute(
            "create temp table if not exists staged (community bigint, day date, series int, slots real[]) "
            "on commit delete rows"
        )
        await self._connection.execute("truncate staged")  # it may hold the rows of this transaction's last write
        async with self._connection.cursor() as cursor, cursor.copy("copy staged from stdin binary") as copy:
            await copy.write(binary.copy_rows(self._community, rows))
        await self._connection.execute(
            f"insert into {table} select * from staged "
            "on conflict (community, day, series) do update set slots = excluded.slots"
        )
