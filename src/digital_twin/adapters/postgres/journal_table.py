"""The journal in SQL: entries as batches wrote them, and such as many were merged into."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.journal import Undo
from digital_twin.adapters.postgres.merged_journal import MergedUndo, instant
from digital_twin.domain.series_days import Indices, Mask

_ENTRY = "batch, part, received_from, received_at, assumed_delay, undo"
_OF_GROUP = "community = %s and month = %s and resolution_minutes = %s"


@dataclass(frozen=True, slots=True)
class Group:
    """Readings' month and resolution: entries of different groups have no slot in common."""

    month: date
    resolution: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of one group; `received_from` is None where it tells of a single batch."""

    batch: int
    part: int
    received_from: datetime | None
    received_at: datetime
    assumed_delay: timedelta | None
    undo: bytes

    @property
    def is_merged(self) -> bool:
        return self.received_from is not None

    def told(self) -> Undo | MergedUndo:
        """What it tells."""
        return MergedUndo.unpack(self.undo) if self.is_merged else Undo.unpack(self.undo)

    def changes(self) -> MergedUndo:
        """What it tells, with the instant of each change."""
        told = self.told()
        if isinstance(told, MergedUndo):
            return told
        return MergedUndo.of_batch(told, self.received_at, self.assumed_delay)


class JournalTable:
    """The journal of one community. Who changes entries holds the lock of upkeep."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def later_than(self, as_of: datetime, resolution: int, first: int, last: int) -> list[Entry]:
        """Entries that tell of something received later, in rows of these days, newest first."""
        cursor = await self._connection.execute(
            f"select {_ENTRY} from journal where community = %s and resolution_minutes = %s "
            "and month between date_trunc('month', date '1970-01-01' + %s) and date '1970-01-01' + %s "
            "and last_day >= date '1970-01-01' + %s and first_day <= date '1970-01-01' + %s "
            "and received_at > %s order by batch desc, part desc",
            (self._community, resolution, first, last, first, last, as_of),
            binary=True,
        )
        return [Entry(*row) for row in await cursor.fetchall()]

    async def spans_later_than(self, as_of: datetime, first: int, last: int) -> list[tuple[int, int]]:
        """The first and last day of such entries, of any resolution, that touch these days."""
        cursor = await self._connection.execute(
            "select distinct first_day - date '1970-01-01', last_day - date '1970-01-01' from journal "
            "where community = %s "
            "and month between date_trunc('month', date '1970-01-01' + %s) and date '1970-01-01' + %s "
            "and last_day >= date '1970-01-01' + %s and first_day <= date '1970-01-01' + %s and received_at > %s",
            (self._community, first, last, first, last, as_of),
        )
        return [(begin, end) for begin, end in await cursor.fetchall()]

    async def groups(self, received_before: datetime) -> list[Group]:
        """Those with several entries older than this that may be merged."""
        cursor = await self._connection.execute(
            "select month, resolution_minutes from journal where community = %s and received_at < %s and not is_full "
            "group by month, resolution_minutes having count(*) > 1 order by month, resolution_minutes",
            (self._community, received_before),
        )
        return [Group(*row) for row in await cursor.fetchall()]

    async def listed(self, group: Group, received_before: datetime) -> list[tuple[int, bool]]:
        """The batches with entries older than this in their order, and whether these are full."""
        cursor = await self._connection.execute(
            f"select batch, bool_or(is_full) from journal where {_OF_GROUP} and received_at < %s "
            "group by batch order by batch",
            (self._community, group.month, group.resolution, received_before),
        )
        return [(batch, is_full) for batch, is_full in await cursor.fetchall()]

    async def entries(self, group: Group, batches: Sequence[int]) -> list[Entry]:
        """All entries of these batches in their order."""
        cursor = await self._connection.execute(
            f"select {_ENTRY} from journal where {_OF_GROUP} and batch = any(%s) order by batch, part",
            (self._community, group.month, group.resolution, list(batches)),
            binary=True,
        )
        return [Entry(*row) for row in await cursor.fetchall()]

    async def replace(
        self, group: Group, batches: Sequence[int], pieces: Sequence[MergedUndo], full_cells: int
    ) -> None:
        """These pieces in place of all entries of the batches; together they tell the same, or less on purpose."""
        await self._connection.execute(
            f"delete from journal where {_OF_GROUP} and batch = any(%s)",
            (self._community, group.month, group.resolution, list(batches)),
        )
        packed = await asyncio.to_thread(lambda: [piece.pack() for piece in pieces])
        rows: list[tuple[Any, ...]] = [
            (
                self._community, group.month, group.resolution, max(batches), part, instant(piece.received_us[0]),
                instant(piece.received_us[-1]), int(piece.day.min()), int(piece.day.max()),
                piece.cells >= full_cells, undo,
            )
            for part, (piece, undo) in enumerate(zip(pieces, packed, strict=True))
        ]  # fmt: skip
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into journal (community, month, resolution_minutes, batch, part, received_from, received_at, "
                "first_day, last_day, is_full, undo) "
                "values (%s, %s, %s, %s, %s, %s, %s, date '1970-01-01' + %s, date '1970-01-01' + %s, %s, %b)",
                rows,
            )

    async def mark_full(self, group: Group, batches: Sequence[int]) -> None:
        """Leave these alone from now on."""
        await self._connection.execute(
            f"update journal set is_full = true where {_OF_GROUP} and batch = any(%s)",
            (self._community, group.month, group.resolution, list(batches)),
        )

    async def keep_rows(self, group: Group, is_kept: Callable[[Indices, Indices], Mask]) -> None:
        """Of all entries of a group only the rows that `is_kept` of their days and series."""
        await self._rewrite(group, lambda undo: undo.where(is_kept(undo.day, undo.series)))

    async def keep_since(self, group: Group, known_from: datetime) -> None:
        """Of all entries of a group only what was received from this instant on."""

        def since(undo: Undo | MergedUndo) -> Undo | MergedUndo:
            return undo.since(known_from) if isinstance(undo, MergedUndo) else undo

        await self._rewrite(group, since)

    async def _rewrite(self, group: Group, change: Callable[[Undo | MergedUndo], Undo | MergedUndo]) -> None:
        values = (self._community, group.month, group.resolution)
        cursor = await self._connection.execute(f"select distinct batch from journal where {_OF_GROUP}", values)
        for (batch,) in await cursor.fetchall():
            for entry in await self.entries(group, [batch]):
                before = await asyncio.to_thread(entry.told)
                after = await asyncio.to_thread(change, before)
                key = (*values, entry.batch, entry.part)
                if not after.day.size:
                    await self._connection.execute(
                        f"delete from journal where {_OF_GROUP} and batch = %s and part = %s", key
                    )
                elif after is not before:
                    await self._connection.execute(
                        f"update journal set undo = %b where {_OF_GROUP} and batch = %s and part = %s",
                        (await asyncio.to_thread(after.pack), *key),
                    )
