"""Readings in SQL: exactly once, slot by slot, and as they were known at any instant."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.batches import BatchWriter
from digital_twin.adapters.postgres.day_rows import DayRowReader, day_of
from digital_twin.adapters.postgres.locks import share_community
from digital_twin.adapters.postgres.rollup import DaysThen, Rollup
from digital_twin.adapters.postgres.series import KnownSeries, SeriesTable
from digital_twin.domain.readings import Receipt, Series, SeriesKey, SeriesSummary, SeriesValues
from digital_twin.domain.series_days import DAY_MINUTES, DayRows, shortest_decimals
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import CommunitySum


class PostgresReadings:
    """The port `Readings`, on the caller's transaction."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int, spool_folder: Path | None = None) -> None:
        self._connection = connection
        self._community = community
        self._series = SeriesTable(connection, community)
        self._batches = BatchWriter(connection, community, spool_folder)
        self._rows = DayRowReader(connection, community)

    async def record(
        self, readings: Sequence[SeriesValues], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        return await self.record_parts(_one_part(readings), key=key, assumed_delay=assumed_delay)

    async def record_parts(
        self, parts: AsyncIterable[Sequence[SeriesValues]], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        return await self._batches.record_parts(parts, key=key, assumed_delay=assumed_delay)

    async def refusals(self, wanted: Sequence[tuple[SeriesKey, int]]) -> dict[tuple[SeriesKey, int], str]:
        return await self._series.refusals(wanted)

    async def newest(self) -> datetime | None:
        cursor = await self._connection.execute(
            "select max(received_at) from batch where community = %s", (self._community,)
        )
        row = await cursor.fetchone()
        return None if row is None else row[0]

    async def series(self) -> list[SeriesSummary]:
        return await self._series.summaries()

    async def named(self, names: Sequence[str]) -> list[Series]:
        return await self._series.named(names)

    async def read(
        self, keys: Sequence[SeriesKey], start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> list[SeriesValues]:
        known = await self._series.find(keys)
        rows = await self._rows.rows(list(known.values()), start, end, as_of)
        found: dict[SeriesKey, SeriesValues] = {}
        for resolution, part in rows.items():
            of_resolution = [key for key, one in known.items() if one.resolution == resolution]
            found |= _on_grids(of_resolution, known, part, start, end)
        return [found[key] for key in keys if key in found]

    async def community_sum(
        self, name: str, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> CommunitySum | None:
        rollup = Rollup(self._connection, self._community)
        in_past = as_of is not None and await self._rows.changed_since(as_of)
        await share_community(self._connection, self._community)
        await rollup.refresh(start, end, self._rows.rows_of_days)
        if as_of is None or not in_past:
            return await rollup.read(name, start, end)
        changed = await self._rows.days_changed_since(as_of, start, end)
        then = DaysThen(as_of, changed, partial(self._rows.rows_of_days, as_of=as_of))
        return await rollup.read_as_of(name, start, end, then)


def _on_grids(
    keys: Sequence[SeriesKey], known: Mapping[SeriesKey, KnownSeries], rows: DayRows, start: datetime, end: datetime
) -> dict[SeriesKey, SeriesValues]:
    """Rows of one resolution laid out as the series of these keys, each on the grid that covers [start, end)."""
    resolution = known[keys[0]].resolution
    first = floor_to_step(start, resolution)
    last = floor_to_step(end - timedelta(microseconds=1), resolution) + timedelta(minutes=resolution)
    grid = TimeGrid.spanning(first, last, resolution)
    slots_per_day = DAY_MINUTES // resolution
    first_day = day_of(first)
    days = day_of(last - timedelta(microseconds=1)) - first_day + 1
    ids = np.array([known[key].id for key in keys])
    order = np.argsort(ids)
    place = order[np.searchsorted(ids, rows.series, sorter=order)]
    values = np.full((ids.size, days, slots_per_day), np.nan)
    values[place, rows.day - first_day] = shortest_decimals(rows.slots)
    flags = np.zeros(values.shape, dtype=np.uint8)
    if rows.flags is not None:
        flags[place, rows.day - first_day] = rows.flags
    offset = int(first.timestamp()) // 60 // resolution - first_day * slots_per_day
    spans, flagged = (part.reshape(ids.size, -1)[:, offset : offset + grid.steps] for part in (values, flags))
    return {
        key: SeriesValues(key, grid, span, own if own.any() else None)
        for key, span, own in zip(keys, spans, flagged, strict=True)
    }


async def _one_part(readings: Sequence[SeriesValues]) -> AsyncIterator[Sequence[SeriesValues]]:
    yield readings
