"""Community sums, one row per day and name, kept up to date by what changed."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray
from digital_twin.adapters.postgres.locks import hold_sums
from digital_twin.adapters.postgres.series import KnownSeries, SeriesTable
from digital_twin.domain.member_sum import DaySums, MemberSeries, MemberSpan, sum_over_members
from digital_twin.domain.readings import SUMMED_SERIES
from digital_twin.domain.series_days import DAY_MINUTES, DayRows, Indices
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import CommunitySum

VALUES_AT_ONCE = 20_000_000

FetchDays = Callable[[Sequence[KnownSeries], Indices], Awaitable[dict[int, DayRows]]]


class Rollup:
    """The sums of one community."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community
        self._series = SeriesTable(connection, community)

    async def refresh(self, start: datetime, end: datetime, fetch: FetchDays) -> None:
        """Bring the days of [start, end) up to date. Under the community's lock, which may be shared."""
        if not (await self._due(start, end)).size:
            return
        await hold_sums(self._connection, self._community)
        due = await self._due(start, end)  # others may have done it meanwhile
        # before the rows are read: what is written after that makes its day due again
        await self._connection.execute(
            "delete from dirty_day where community = %s and day = any(%b)", (self._community, DateArray(due))
        )
        spans = await self.spans()
        for name in SUMMED_SERIES:
            members = await self._series.of_members(name)
            if members:
                for days in _portions(due, members):
                    sums = sum_over_members(name, _members_of(members, spans), await fetch(members, days), days)
                    await self._store(name, sums)

    async def _due(self, start: datetime, end: datetime) -> Indices:
        """Days that changed, and those whose sums have another resolution than their series together have now."""
        binary.register(self._connection.adapters)
        first, last = _days_touched(start, end)
        cursor = await self._connection.execute(
            "with span as (select date '1970-01-01' + %s as first, date '1970-01-01' + %s as last) "
            "select day - date '1970-01-01' from dirty_day, span where community = %s and day between first and last "
            "union "
            "select day - date '1970-01-01' from rollup r, span where community = %s and day between first and last "
            "and resolution_minutes <> (select max(s.resolution_minutes) from series s where s.community = r.community "
            "    and s.name = r.name and s.member_id is not null and s.asset_id is null) "
            "order by 1",
            (first, last, self._community, self._community),
        )
        return np.array([day for (day,) in await cursor.fetchall()], dtype=np.int64)

    async def spans(self) -> dict[str, MemberSpan]:
        """When each member belongs to the community."""
        cursor = await self._connection.execute(
            "select member_id, joined_at, left_at from member where community = %s", (self._community,)
        )
        return {member_id: MemberSpan(joined, left) for member_id, joined, left in await cursor.fetchall()}

    async def _store(self, name: str, sums: DaySums) -> None:
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into rollup values (%s, date '1970-01-01' + %s, %s, %s, %s, %s, %s) "
                "on conflict (community, day, name) do update set resolution_minutes = excluded.resolution_minutes, "
                "total = excluded.total, reporting = excluded.reporting, members = excluded.members",
                [
                    (
                        self._community, int(day), name, sums.resolution_minutes,
                        total.tolist(), reporting.tolist(), members.tolist(),
                    )
                    for day, total, reporting, members in zip(
                        sums.days, sums.total, sums.reporting, sums.members, strict=True
                    )
                ],
            )  # fmt: skip

    async def read(self, name: str, start: datetime, end: datetime) -> CommunitySum | None:
        """The stored sums on the grid that covers [start, end); None where no member has such a series."""
        members = await self._series.of_members(name)
        if not members:
            return None
        cursor = await self._connection.execute(
            "select day - date '1970-01-01', total, reporting, members from rollup "
            "where community = %s and name = %s and day between date '1970-01-01' + %s and date '1970-01-01' + %s "
            "order by day",
            (self._community, name, *_days_touched(start, end)),
        )
        resolution = max(one.resolution for one in members)
        rows = await cursor.fetchall()
        slots = DAY_MINUTES // resolution
        sums = DaySums(
            np.array([row[0] for row in rows], dtype=np.int64),
            resolution,
            np.array([row[1] for row in rows]).reshape(-1, slots),
            np.array([row[2] for row in rows], dtype=np.int64).reshape(-1, slots),
            np.array([row[3] for row in rows], dtype=np.int64).reshape(-1, slots),
        )
        return _on_grid(sums, await self.spans(), start, end)

    async def sum_of(self, name: str, start: datetime, end: datetime, fetch: FetchDays) -> CommunitySum | None:
        """The same sum, of the rows that `fetch` gives rather than of those stored."""
        members = await self._series.of_members(name)
        if not members:
            return None
        spans = await self.spans()
        first, last = _days_touched(start, end)
        series = _members_of(members, spans)
        parts = [
            sum_over_members(name, series, await fetch(members, days), days)
            for days in _portions(np.arange(first, last + 1), members)
        ]
        return _on_grid(DaySums.of(parts), spans, start, end)


def _days_touched(start: datetime, end: datetime) -> tuple[int, int]:
    """The first and the last UTC day of [start, end), since 1970-01-01."""
    return int(start.timestamp() // 86_400), int((end - timedelta(microseconds=1)).timestamp() // 86_400)


def _portions(days: Indices, members: Sequence[KnownSeries]) -> list[Indices]:
    """The days in portions whose rows fit into memory and into one value on the wire."""
    values_a_day = sum(DAY_MINUTES // one.resolution for one in members)
    at_once = max(1, VALUES_AT_ONCE // values_a_day)
    return [days[first : first + at_once] for first in range(0, days.size, at_once)]


def _members_of(series: Sequence[KnownSeries], spans: dict[str, MemberSpan]) -> MemberSeries:
    return MemberSeries(
        {one.id: spans[one.key.member_id or ""] for one in series},
        max(one.resolution for one in series),
        tuple(spans.values()),
    )


def _on_grid(sums: DaySums, spans: dict[str, MemberSpan], start: datetime, end: datetime) -> CommunitySum:
    resolution = sums.resolution_minutes
    first = floor_to_step(start, resolution)
    last = floor_to_step(end - timedelta(microseconds=1), resolution) + timedelta(minutes=resolution)
    grid = TimeGrid.spanning(first, last, resolution)
    slots = DAY_MINUTES // resolution
    position = (sums.days[:, None] * slots + np.arange(slots)).ravel() - int(first.timestamp()) // 60 // resolution
    inside = (position >= 0) & (position < grid.steps)
    total, reporting = np.full(grid.steps, np.nan), np.zeros(grid.steps, dtype=np.int64)
    total[position[inside]] = sums.total.ravel()[inside]
    reporting[position[inside]] = sums.reporting.ravel()[inside]
    starts_s = grid.starts.astype(np.int64)
    members = np.sum([span.covers(starts_s) for span in spans.values()], axis=0, dtype=np.int64)
    return CommunitySum(grid, total, reporting, np.broadcast_to(members, grid.steps).copy())
