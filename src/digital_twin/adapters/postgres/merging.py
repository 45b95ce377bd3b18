"""Day rows merged into the store under the community's lock, and what that changed."""

from collections import deque
from dataclasses import dataclass, replace
from typing import LiteralString

import numpy as np
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.flags import FlagTable
from digital_twin.adapters.postgres.journal import Undo
from digital_twin.adapters.postgres.pieces import Layout, Pieces, layout_of, pieces_of
from digital_twin.domain.series_days import DayRows, Indices, Mask, Slots, merge

_ROWS_A_BLOCK = 512
"""So many go over the wire at once: few enough for the processor's cache where a day has 96 slots."""
_ASKED_AHEAD = 1
"""The server answers for this many blocks while one is merged here."""

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
        layout = layout_of(rows.slots.shape[1])
        old = await self._merge_into(layout.closed, layout, rows.part(0, first_open))
        return Undo.of(old + await self._merge_into(layout.open, layout, rows.part(first_open, rows.size)))

    async def _merge_into(self, table: LiteralString, layout: Layout, rows: DayRows) -> list[Undo]:
        undos: list[Undo] = []
        asked: deque[_Asked] = deque()
        are_new = rows.size > _ROWS_A_BLOCK and await self._are_new(table, rows)
        for first in range(0, rows.size, _ROWS_A_BLOCK):
            one = _Asked(table, layout, Pieces.told_in(rows.part(first, first + _ROWS_A_BLOCK)))
            asked.append(one if are_new else replace(one, cursor=await self._ask(one)))
            if len(asked) > _ASKED_AHEAD:
                undos.append(await self._merge(asked.popleft()))
        return undos + [await self._merge(one) for one in asked]

    async def _are_new(self, table: LiteralString, rows: DayRows) -> bool:
        """Whether nothing is there of these days: then no row has to be looked for."""
        cursor = await self._connection.execute(
            f"select not exists (select from only {table} where {_THESE_DAYS})",
            {"community": self._community, **_days(rows)},
        )
        row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def _ask(self, wanted: "_Asked") -> AsyncCursor[TupleRow]:
        """Ask which of the pieces are there, for their slots, and whether any row of these days has flags."""
        return await self._connection.execute(
            "select coalesce(string_agg(int4send(k.i::int), ''::bytea), ''), "
            "coalesce(string_agg(array_send(t.slots), ''::bytea), ''), "
            f"exists (select from reading_flag where {_THESE_DAYS}) "
            f"from {wanted.layout.keys} cross join lateral ({wanted.stored('slots')}) t",
            {**wanted.pieces.keys(self._community), **_days(wanted.pieces.rows)},
            binary=True,
        )

    async def _merge(self, asked: "_Asked") -> Undo:
        pieces, rows = asked.pieces, asked.pieces.rows
        found, old, may_have_flags = await asked.answer()
        current = np.full_like(rows.slots, np.nan)
        pieces.put(current, found, old)
        flags = await self._flags.fetch(rows) if may_have_flags else None
        merged = merge(current, rows.slots, old_flags=flags, new_flags=rows.flags)
        is_new = np.ones(pieces.row.size, dtype=np.bool_)
        is_new[found] = False
        changed_pieces: Mask = pieces.of(merged.first | merged.corrected).max(axis=1)
        await self._insert(asked, pieces.where(changed_pieces & is_new), merged.slots)
        await self._update(asked, pieces.where(changed_pieces & ~is_new), merged.slots)
        changed = merged.changed_rows
        if merged.flags is not None:
            had: Mask = np.zeros(rows.size, dtype=np.bool_) if flags is None else flags.max(axis=1) > 0
            after = replace(rows, slots=merged.slots, flags=merged.flags)
            await self._flags.write(after.where(changed), had[changed])
        before = np.where(merged.corrected, current, np.float32(np.nan))
        flags_before = None if flags is None else np.where(merged.corrected, flags, np.uint8(0))
        return Undo(rows.day, rows.series, merged.first, merged.corrected, before, flags_before).where(changed)

    async def _insert(self, asked: "_Asked", pieces: Pieces, slots: Slots) -> None:
        """As they are under the lock and were not found, no conflict has to be looked for."""
        if pieces.row.size:
            layout = asked.layout
            await self._connection.execute(
                f"insert into {asked.table} (community, {layout.columns}, slots) "
                f"select %(community)s, {layout.columns}, {_SLOTS} from {layout.keys}",
                {**pieces.keys(self._community), **pieces.slots(slots)},
            )

    async def _update(self, asked: "_Asked", pieces: Pieces, slots: Slots) -> None:
        if pieces.row.size:
            layout = asked.layout
            await self._connection.execute(
                f"update only {asked.table} t set slots = {_SLOTS} "
                f"from {layout.keys} cross join lateral ({asked.stored('ctid as place')}) stored "
                "where t.ctid = stored.place",
                {**pieces.keys(self._community), **pieces.slots(slots)},
            )


def _days(rows: DayRows) -> dict[str, int]:
    return {"first": int(rows.day[0]), "last": int(rows.day[-1])}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Pieces whose state in the table was asked for, unless they are known to be new."""

    table: LiteralString
    layout: Layout
    pieces: Pieces
    cursor: AsyncCursor[TupleRow] | None = None

    def stored(self, columns: LiteralString) -> LiteralString:
        """What the table has for the key k. With a limit, or it could be joined the other way round: a plan that was
        made while the table was small would then go through all of it for each key."""
        return f"select {columns} from only {self.table} t where {self.layout.match} limit 1"

    async def answer(self) -> tuple[Indices, Slots, bool]:
        """Which of the pieces are there, their slots, and whether any row of these days has flags."""
        slots = self.pieces.rows.slots.shape[1]
        width = slots // pieces_of(slots)
        if self.cursor is None:
            return np.empty(0, np.int64), np.empty((0, width), np.float32), False
        row = await self.cursor.fetchone()
        assert row is not None
        return binary.read_int4(row[0]) - 1, binary.read_slots(row[1], width), bool(row[2])
