"""Day rows merged into the store under the community's lock, and what that changed."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import numpy as np
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray, Float4Array, Int4Array
from digital_twin.adapters.postgres.flags import FlagTable
from digital_twin.adapters.postgres.journal import Undo
from digital_twin.domain.series_days import DayRows, Indices, Mask, Slots, merge

_SLOTS_A_BLOCK = 50_000
"""So many slots go over the wire at once: few enough to stay in the processor's cache."""
_ASKED_AHEAD = 1
"""The server answers for this many blocks while one is merged here."""

_KEYS = "unnest(%(day)b, %(series)b) with ordinality k(day, series, i)"
_SLOTS = "(%(slots)b::real[])[(k.i - 1) * %(width)s + 1 : k.i * %(width)s]"
_THESE_DAYS = "community = %(community)s and day between date '1970-01-01' + %(first)s and date '1970-01-01' + %(last)s"


class DayRowMerger:
    """Merges rows of one community, within a pipeline: the server works on some of them while others are made ready.

    Days from `first_open` on lie in the open table.
    """

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
        return Undo.of([undo for table, part in parts for undo in await self._merge_all(table, part)])

    async def _merge_all(self, table: LiteralString, rows: DayRows) -> list[Undo]:
        if not rows.size:
            return []
        undos: list[Undo] = []
        asked: deque[_Asked] = deque()
        step = max(1, _SLOTS_A_BLOCK // rows.slots.shape[1])
        are_new = rows.size > step and await self._are_new(table, rows)
        for first in range(0, rows.size, step):
            block = rows.part(first, first + step)
            asked.append(_Asked(table, block, None if are_new else await self._ask(table, block)))
            if len(asked) > _ASKED_AHEAD:
                undos.append(await self._merge(asked.popleft()))
        return undos + [await self._merge(one) for one in asked]

    async def _are_new(self, table: LiteralString, rows: DayRows) -> bool:
        """Whether nothing is there of these days: then no row has to be looked for."""
        cursor = await self._connection.execute(
            f"select not exists (select from {table} where community = %s "
            "and day between date '1970-01-01' + %s and date '1970-01-01' + %s)",
            (self._community, int(rows.day[0]), int(rows.day[-1])),
        )
        row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def _ask(self, table: LiteralString, rows: DayRows) -> AsyncCursor[TupleRow]:
        """Ask which of the rows are there, for their slots, and whether any row of these days has flags."""
        return await self._connection.execute(
            "select coalesce(string_agg(int4send(k.i::int), ''::bytea), ''), "
            "coalesce(string_agg(array_send(t.slots), ''::bytea), ''), "
            f"exists (select from reading_flag where {_THESE_DAYS}) "
            f"from {_KEYS} "
            f"join {table} t on t.community = %(community)s and t.day = k.day and t.series = k.series",
            {**self._keys(rows), "first": int(rows.day[0]), "last": int(rows.day[-1])},
            binary=True,
        )

    async def _merge(self, asked: "_Asked") -> Undo:
        rows = asked.rows
        found, old, may_have_flags = await asked.answer()
        current = np.full_like(rows.slots, np.nan)
        current[found] = old
        flags = await self._flags.fetch(rows) if may_have_flags else None
        merged = merge(current, rows.slots, old_flags=flags, new_flags=rows.flags)
        changed = merged.changed_rows
        after = replace(rows, slots=merged.slots, flags=merged.flags).where(changed)
        is_new = np.ones(rows.size, dtype=np.bool_)
        is_new[found] = False
        await self._write(asked.table, after, is_new[changed])
        if after.flags is not None:
            had: Mask = np.zeros(after.size, dtype=np.bool_) if flags is None else flags[changed].max(axis=1) > 0
            await self._flags.write(after, had)
        before = np.where(merged.corrected, current, np.float32(np.nan))
        flags_before = None if flags is None else np.where(merged.corrected, flags, np.uint8(0))
        return Undo(rows.day, rows.series, merged.first, merged.corrected, before, flags_before).where(changed)

    async def _write(self, table: LiteralString, rows: DayRows, is_new: Mask) -> None:
        """Insert new rows and update others. As they are under the lock, no conflict has to be looked for."""
        new, known = rows.where(is_new), rows.where(~is_new)
        if new.size:
            await self._connection.execute(
                f"insert into {table} select %(community)s, k.day, k.series, {_SLOTS} from {_KEYS}",
                {**self._keys(new), **_slots(new)},
            )
        if known.size:
            await self._connection.execute(
                f"update {table} t set slots = {_SLOTS} from {_KEYS} "
                "where t.community = %(community)s and t.day = k.day and t.series = k.series",
                {**self._keys(known), **_slots(known)},
            )

    def _keys(self, rows: DayRows) -> dict[str, Any]:
        return {"community": self._community, "day": DateArray(rows.day), "series": Int4Array(rows.series)}


def _slots(rows: DayRows) -> dict[str, Any]:
    """All slots as one array, of which each row takes its part."""
    return {"slots": Float4Array(rows.slots), "width": rows.slots.shape[1]}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Rows whose state in the table was asked for."""

    table: LiteralString
    rows: DayRows
    cursor: AsyncCursor[TupleRow] | None

    async def answer(self) -> tuple[Indices, Slots, bool]:
        """Which of the rows are there, their slots, and whether any row of these days has flags."""
        if self.cursor is None:
            return np.empty(0, np.int64), np.empty((0, self.rows.slots.shape[1]), np.float32), False
        row = await self.cursor.fetchone()
        assert row is not None
        return binary.read_int4(row[0]) - 1, binary.read_slots(row[1], self.rows.slots.shape[1]), bool(row[2])
