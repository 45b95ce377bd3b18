"""Old entries of the journal merged into few, while others read and write.

It takes no lock that a batch waits for: batches only add entries, and who reads as of an instant reads all of them in
one statement, before or after they were merged. Only what else rewrites the journal keeps out of its way. What takes
the processor is done in a thread: whoever merges has other things to attend to.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.journal_table import Entry, Group, JournalTable
from digital_twin.adapters.postgres.merged_journal import MAX_BATCHES, MergedUndo
from digital_twin.services.ports import Compacted

FULL_CELLS = 2**19
"""An entry whose rows have so many slots is merged no further: who reads one of its rows unpacks all of it."""

CHANGES_AT_ONCE = 2_000_000
CELLS_AT_ONCE = 8_000_000
BATCHES_AT_ONCE = 64


class Compaction:
    """Merges the journal of one community, a run of entries at a time."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._journal = JournalTable(connection, community)

    async def step(self, received_before: datetime) -> Compacted | None:
        """Merge a run of entries that are older than this; None when there is none. Under the lock of upkeep."""
        for group in await self._journal.groups(received_before):
            for run in _runs(await self._journal.listed(group, received_before)):
                batches, merged = await self._merge(group, run)
                pieces = list(in_pieces(merged))
                if len(pieces) < len(batches):
                    await self._journal.replace(group, batches, pieces, FULL_CELLS)
                else:
                    await self._journal.mark_full(group, batches)
                return Compacted(len(batches), min(len(pieces), len(batches)))
        return None

    async def _merge(self, group: Group, run: Sequence[int]) -> tuple[Sequence[int], MergedUndo]:
        """As many batches of the run as make up one step, and what they changed."""
        merged = _Merged()
        taken = 0
        while taken < len(run) and not merged.is_enough:
            entries = await self._journal.entries(group, run[taken : taken + BATCHES_AT_ONCE])
            added = await asyncio.to_thread(merged.add, entries)
            if not added:
                break
            taken += added
        return run[:taken], await asyncio.to_thread(merged.whole)


class _Merged:
    """Entries in the order of their batches, folded into one from time to time so that memory stays small."""

    def __init__(self) -> None:
        self._parts: list[MergedUndo] = []

    @property
    def is_enough(self) -> bool:
        return sum(one.changes for one in self._parts) > CHANGES_AT_ONCE

    def add(self, entries: Sequence[Entry]) -> int:
        """Take up the entries of one batch after the other; how many batches, before there are too many for one."""
        added = 0
        for _, of_batch in groupby(entries, key=lambda one: one.batch):
            parts = [one.changes() for one in of_batch]
            if self._parts and sum(one.received_us.size for one in self._parts + parts) > MAX_BATCHES:
                break
            self._parts += parts
            added += 1
            if sum(one.cells for one in self._parts) > CELLS_AT_ONCE:
                self._parts = [MergedUndo.of(self._parts)]
        return added

    def whole(self) -> MergedUndo:
        """All of it as one."""
        return MergedUndo.of(self._parts)


def in_pieces(merged: MergedUndo) -> Iterator[MergedUndo]:
    """Its rows in portions none of which has more than twice the slots of a full entry."""
    at_once = max(1, 2 * FULL_CELLS // merged.first.shape[1])
    for first in range(0, merged.day.size, at_once):
        yield merged.rows_at(np.arange(first, min(first + at_once, merged.day.size)))


def _runs(listed: Sequence[tuple[int, bool]]) -> Iterator[list[int]]:
    """Batches that follow one another and may be merged: what lies between must not be passed over."""
    for is_full, stretch in groupby(listed, key=lambda one: one[1]):
        batches = [batch for batch, _ in stretch]
        if not is_full and len(batches) > 1:
            yield batches
