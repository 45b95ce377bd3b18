"""Readings in SQL: exactly once, slot by slot, and as they were known at any instant.

Every write of a community's readings happens under one advisory lock, so that batches are ordered, counts are exact
and no two writers deadlock. A batch is stamped after it got the lock: stamps of a community only grow.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray, Int4Array
from digital_twin.adapters.postgres.journal import Undo, changed_minutes, row_keys, undo_rows
from digital_twin.adapters.postgres.locks import hold_community, share_community
from digital_twin.adapters.postgres.rollup import Rollup
from digital_twin.adapters.postgres.series import KnownSeries, SeriesTable
from digital_twin.domain.readings import Receipt, Series, SeriesKey, SeriesSummary, SeriesValues
from digital_twin.domain.series_days import (
    DAY_MINUTES,
    DayRows,
    Indices,
    Mask,
    Slots,
    merge,
    shortest_decimals,
    to_day_rows,
)
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import CommunitySum

OPEN_DAYS = 35
CLOSE_EVERY_DAYS = 7
_BATCH = "received, stored, duplicate, corrected, superseded, received_at"


class PostgresReadings:
    """The port `Readings`, on the caller's transaction."""

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
        open_from = await self._open_from()
        known = await self._series.resolve([(one.key, one.grid.step_minutes) for one in readings])
        received = superseded = 0
        changes: dict[int, Undo] = {}
        for resolution, group in _by_resolution(readings).items():
            ids = [known[one.key].id for one in group]
            rows, counts = to_day_rows(ids, group, resolution)
            received += counts.received
            superseded += counts.superseded
            is_open = rows.day >= open_from
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

    async def series(self) -> list[SeriesSummary]:
        return await self._series.summaries()

    async def named(self, names: Sequence[str]) -> list[Series]:
        return await self._series.named(names)

    async def read(
        self, keys: Sequence[SeriesKey], start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> list[SeriesValues]:
        known = await self._series.find(keys)
        rows = await self.rows(list(known.values()), start, end, as_of)
        return [_on_grid(key, known[key], rows[known[key].resolution], start, end) for key in keys if key in known]

    async def community_sum(
        self, name: str, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> CommunitySum | None:
        rollup = Rollup(self._connection, self._community)
        if as_of is not None and await self._changed_since(as_of):
            return await rollup.sum_of(name, start, end, partial(self._rows_of_days, as_of=as_of))
        await share_community(self._connection, self._community)
        await rollup.refresh(start, end, self._rows_of_days)
        return await rollup.read(name, start, end)

    async def rows(
        self, series: Sequence[KnownSeries], start: datetime, end: datetime, as_of: datetime | None
    ) -> dict[int, DayRows]:
        """Rows by resolution, sorted by (day, series), of the days that [start, end) touches."""
        first, last = _day(start), _day(end - timedelta(microseconds=1))
        found: dict[int, DayRows] = {}
        in_past = as_of is not None and await self._changed_since(as_of)
        for resolution in {one.resolution for one in series}:
            ids = np.array([one.id for one in series if one.resolution == resolution], dtype=np.int64)
            rows = await self._fetch_days(ids, first, last, resolution)
            if in_past and as_of is not None:
                await self._forget(rows, resolution, first, last, as_of)
            found[resolution] = rows
        return found

    async def _changed_since(self, as_of: datetime) -> bool:
        """Whether any batch came after the instant. Waits for one that is being written: it may be stamped before."""
        await share_community(self._connection, self._community)
        cursor = await self._connection.execute(
            "select exists (select from batch where community = %s and received_at > %s)", (self._community, as_of)
        )
        row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def _open_from(self) -> int:
        """The first open day; closes what has become old, a week at a time."""
        cursor = await self._connection.execute(
            "select open_from - date '1970-01-01', current_date - %s - date '1970-01-01' "
            "from (select 1) one left join reading_horizon on community = %s",
            (OPEN_DAYS, self._community),
        )
        row = await cursor.fetchone()
        assert row is not None
        open_from, due = row
        if open_from is None or due - open_from >= CLOSE_EVERY_DAYS:
            await self.close_days(due)
            return int(due)
        return int(open_from)

    async def close_days(self, before: int) -> None:
        """Move rows of days before this one (days since 1970-01-01) to the compact table. Under the lock."""
        await self._connection.execute(
            "with moved as (delete from reading_open where community = %s "
            "               and day < date '1970-01-01' + %s returning *) "
            "insert into reading_closed select * from moved order by day, series",
            (self._community, before),
        )
        await self._connection.execute(
            "insert into reading_horizon values (%s, date '1970-01-01' + %s) "
            "on conflict (community) do update set open_from = excluded.open_from",
            (self._community, before),
        )

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

    async def _rows_of_days(
        self, series: Sequence[KnownSeries], days: Indices, as_of: datetime | None = None
    ) -> dict[int, DayRows]:
        """Rows by resolution of whole days, for the roll-up."""
        start = datetime.fromtimestamp(int(days.min()) * 86_400, UTC)
        end = datetime.fromtimestamp((int(days.max()) + 1) * 86_400, UTC)
        return await self.rows(series, start, end, as_of)

    async def _fetch_days(self, ids: Indices, first: int, last: int, resolution: int) -> DayRows:
        binary.register(self._connection.adapters)
        part = (
            "select day - date '1970-01-01' as day, series, slots from {table} where community = %s "
            "and series = any(%b) and day between date '1970-01-01' + %s and date '1970-01-01' + %s"
        )
        both = " union all ".join(part.format(table=table) for table in ("reading_open", "reading_closed"))
        values = (self._community, Int4Array(ids), first, last)
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(day), ''::bytea), ''), "
            "coalesce(string_agg(int4send(series), ''::bytea), ''), "
            f"coalesce(string_agg(array_send(slots), ''::bytea), '') from ({both}) found",
            (*values, *values),
            binary=True,
        )
        row = await cursor.fetchone()
        assert row is not None
        rows = DayRows(
            binary.read_int4(row[0]),
            binary.read_int4(row[1]),
            binary.read_slots(row[2], DAY_MINUTES // resolution),
        )
        return rows.where(np.argsort(row_keys(rows.day, rows.series), kind="stable"))  # type: ignore[arg-type]

    async def _forget(self, rows: DayRows, resolution: int, first: int, last: int, as_of: datetime) -> None:
        """Take back, newest first, what was not known yet. Rows were read before the journal, which is safe:
        taking back a change that is not in the rows changes nothing."""
        keys = row_keys(rows.day, rows.series)
        cursor = await self._connection.execute(
            "select undo, assumed_delay from journal where community = %s and resolution_minutes = %s "
            "and month between date_trunc('month', date '1970-01-01' + %s) and date '1970-01-01' + %s "
            "and last_day >= date '1970-01-01' + %s and first_day <= date '1970-01-01' + %s "
            "and received_at > %s order by batch desc",
            (self._community, resolution, first, last, first, last, as_of),
        )
        for packed, assumed_delay in await cursor.fetchall():
            undo = Undo.unpack(packed)
            if keys.size:
                undo_rows(rows, keys, undo, _not_known_yet(undo, resolution, assumed_delay, as_of))


def _not_known_yet(undo: Undo, resolution: int, assumed_delay: timedelta | None, as_of: datetime) -> Mask:
    """First writes of a batch that came later; of imported history those that ended less than the delay before."""
    if assumed_delay is None:
        return undo.first
    ends_s = 86_400 * undo.day[:, None] + 60 * resolution * (1 + np.arange(undo.first.shape[1]))
    return undo.first & (ends_s + assumed_delay.total_seconds() > as_of.timestamp())


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


def _on_grid(key: SeriesKey, series: KnownSeries, rows: DayRows, start: datetime, end: datetime) -> SeriesValues:
    """One series' rows laid out on the grid of its resolution that covers [start, end)."""
    resolution = series.resolution
    first = floor_to_step(start, resolution)
    last = floor_to_step(end - timedelta(microseconds=1), resolution) + timedelta(minutes=resolution)
    grid = TimeGrid.spanning(first, last, resolution)
    own = rows.where(rows.series == series.id)
    slots_per_day = DAY_MINUTES // resolution
    first_day = _day(first)
    days = _day(last - timedelta(microseconds=1)) - first_day + 1
    flat = np.full((days, slots_per_day), np.nan)
    flat[own.day - first_day] = shortest_decimals(own.slots)
    offset = int(first.timestamp()) // 60 // resolution - first_day * slots_per_day
    return SeriesValues(key, grid, flat.ravel()[offset : offset + grid.steps])


def _day(instant: datetime) -> int:
    return int(instant.timestamp() // 86_400)


def _date(day: int) -> date:
    return date.fromordinal(day + 719_163)  # 1970-01-01
