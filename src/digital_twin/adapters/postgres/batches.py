"""A batch of readings merged into the store, slot by slot, with exact counts, its undo and its consequences.

Every write of a community's readings happens under one advisory lock, so that batches are ordered, counts are exact
and no two writers deadlock. A batch is stamped after it got the lock: stamps of a community only grow.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray, Int4Array
from digital_twin.adapters.postgres.journal import Undo, changed_minutes
from digital_twin.adapters.postgres.locks import hold_community
from digital_twin.adapters.postgres.open_days import open_from
from digital_twin.adapters.postgres.series import SeriesTable
from digital_twin.domain.readings import Receipt, SeriesValues
from digital_twin.domain.series_days import DayRows, Indices, Slots, merge, to_day_rows

_BATCH = "received, stored, duplicate, corrected, superseded, received_at"


class BatchWriter:
    """Writes batches of one community, each in the caller's transaction."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community
        self._series = SeriesTable(connection, community)

    async def record(
        self, readings: Sequence[SeriesValues], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        await hold_community(self._connection, self._community)
        cursor = await self._connection.execute(
            f"select {_BATCH} from batch where community = %s and key = %s", (self._community, key)
        )
        earlier = await cursor.fetchone()
        if earlier is not None:
            return Receipt(*earlier, replayed=True)
        binary.register(self._connection.adapters)
        first_open = await open_from(self._connection, self._community)
        known = await self._series.resolve([(one.key, one.grid.step_minutes) for one in readings])
        received = superseded = 0
        changes: dict[int, Undo] = {}
        for resolution, group in _by_resolution(readings).items():
            ids = [known[one.key].id for one in group]
            rows, counts = to_day_rows(ids, group, resolution)
            received += counts.received
            superseded += counts.superseded
            is_open = rows.day >= first_open
            parts: tuple[tuple[LiteralString, DayRows], ...] = (
                ("reading_open", rows.where(is_open)),
                ("reading_closed", rows.where(~is_open)),
            )
            changes[resolution] = Undo.of([await self._merge(table, part) for table, part in parts])
        undos = list(changes.values())
        stored = sum(int(undo.first.sum()) for undo in undos)
        corrected = sum(int(undo.corrected.sum()) for undo in undos)
        duplicate = received - stored - corrected - superseded
        receipt_row = (received, stored, duplicate, corrected, superseded)
        batch, received_at = await self._stamp(key, receipt_row)
        await self._write_journal(batch, received_at, assumed_delay, changes)
        await self._mark_dirty(undos, {one.id for one in known.values() if one.is_summed})
        await self._note_due(changes, {one.id for one in known.values() if one.feeds_state})
        return Receipt(*receipt_row, received_at=received_at)

    async def _merge(self, table: LiteralString, rows: DayRows) -> Undo:
        """Merge rows into a table; what that changed."""
        current = np.full_like(rows.slots, np.nan)
        if rows.size:
            found, old = await self._fetch_rows(table, rows)
            current[found] = old
        merged = merge(current, rows.slots)
        changed = merged.changed_rows
        await self._write(table, replace(rows, slots=merged.merged).where(changed))
        before = np.where(merged.corrected, current, np.nan).astype(np.float32)
        return Undo(rows.day, rows.series, merged.first, merged.corrected, before).where(changed)

    async def _fetch_rows(self, table: LiteralString, rows: DayRows) -> tuple[Indices, Slots]:
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(k.i::int), ''::bytea), ''), "
            "coalesce(string_agg(array_send(t.slots), ''::bytea), '') "
            "from unnest(%b, %b) with ordinality k(day, series, i) "
            f"join {table} t on t.community = %s and t.day = k.day and t.series = k.series",
            (DateArray(rows.day), Int4Array(rows.series), self._community),
            binary=True,
        )
        row = await cursor.fetchone()
        assert row is not None
        return binary.read_int4(row[0]) - 1, binary.read_slots(row[1], rows.slots.shape[1])

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

    async def _stamp(self, key: str, counts: tuple[int, ...]) -> tuple[int, datetime]:
        cursor = await self._connection.execute(
            f"insert into batch (community, key, {_BATCH}) select %s, %s, %s, %s, %s, %s, %s, "
            "greatest(clock_timestamp(), "
            "  (select max(received_at) from batch where community = %s) + interval '1 microsecond') "
            "returning id, received_at",
            (self._community, key, *counts, self._community),
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0]), row[1]

    async def _write_journal(
        self, batch: int, received_at: datetime, assumed_delay: timedelta | None, changes: dict[int, Undo]
    ) -> None:
        entries = [
            (
                self._community, batch, _date(month), resolution, received_at, assumed_delay,
                _date(int(part.day.min())), _date(int(part.day.max())), part.pack(),
            )
            for resolution, undo in changes.items()
            for month, part in _by_month(undo)
        ]  # fmt: skip
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into journal (community, batch, month, resolution_minutes, received_at, assumed_delay, "
                "first_day, last_day, undo) values (%s, %s, %s, %s, %s, %s, %s, %s, %b)",
                entries,
            )

    async def _mark_dirty(self, undos: Iterable[Undo], summed: set[int]) -> None:
        ids = np.array(sorted(summed), dtype=np.int64)
        days = [undo.day[np.isin(undo.series, ids)] for undo in undos]
        unique = np.unique(np.concatenate(days)) if days else np.empty(0, dtype=np.int64)
        if unique.size:
            await self._connection.execute(
                "insert into dirty_day select %s, day from unnest(%b) day on conflict do nothing",
                (self._community, DateArray(unique)),
            )

    async def _note_due(self, changes: dict[int, Undo], feeding: set[int]) -> None:
        """The stretch that changed, for the state to be advanced; told to whoever listens when this commits."""
        ids = np.array(sorted(feeding), dtype=np.int64)
        spans = [changed_minutes(undo.where(np.isin(undo.series, ids)), step) for step, undo in changes.items()]
        found = [span for span in spans if span is not None]
        if found:
            first, last = min(span[0] for span in found), max(span[1] for span in found)
            await self._connection.execute(
                "insert into state_due (community, changed_from, changed_until) "
                "values (%s, to_timestamp(%s), to_timestamp(%s))",
                (self._community, 60 * first, 60 * last),
            )
            await self._connection.execute(
                "select pg_notify('state_due', community_id) from community where id = %s", (self._community,)
            )


def _by_resolution(readings: Sequence[SeriesValues]) -> dict[int, list[SeriesValues]]:
    groups: dict[int, list[SeriesValues]] = defaultdict(list)
    for one in readings:
        groups[one.grid.step_minutes].append(one)
    return groups


def _by_month(undo: Undo) -> Iterable[tuple[int, Undo]]:
    """The changes of each month with its first day."""
    months = undo.day.astype("datetime64[D]").astype("datetime64[M]")
    for month in np.unique(months):
        yield int(month.astype("datetime64[D]").astype(np.int64)), undo.where(months == month)


def _date(day: int) -> date:
    return date.fromordinal(day + 719_163)  # 1970-01-01
