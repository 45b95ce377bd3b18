"""Community sums, one row per day and name, kept up to date by what changed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray
from digital_twin.adapters.postgres.kept_sums import KeptSums
from digital_twin.adapters.postgres.locks import hold_sums
from digital_twin.adapters.postgres.series import KnownSeries, SeriesTable
from digital_twin.domain.member_sum import (
    DaySums,
    MemberSeries,
    Membership,
    MemberSpan,
    slot_starts_s,
    sum_over_members,
    with_kept,
)
from digital_twin.domain.readings import SUMMED_SERIES
from digital_twin.domain.series_days import DAY_MINUTES, DayRows, Indices
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import CommunitySum

VALUES_AT_ONCE = 20_000_000

_RESOLUTION = (  # one probe of the index of series that add up, and the few kept
    "select max(minutes) from (select max(s.resolution_minutes) as minutes from series s "
    "where s.community = %(community)s and s.name = {name} and s.member_id is not null and s.asset_id is null "
    "union all select max(k.resolution_minutes) from kept_sum k "
    "where k.community = %(community)s and k.name = {name}) known"
)

FetchDays = Callable[[Sequence[KnownSeries], Indices], Awaitable[dict[int, DayRows]]]


@dataclass(frozen=True, slots=True, eq=False)
class DaysThen:
    """The days that have changed since an instant, and how their rows were known then."""

    as_of: datetime
    changed: Indices
    fetch: FetchDays


class Rollup:
    """The sums of one community."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community
        self._series = SeriesTable(connection, community)
        self._kept = KeptSums(connection, community)

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
        for name in SUMMED_SERIES:
            resolution = await self._resolution(name)
            if resolution is not None:
                for sums in await self._summed(name, resolution, due, fetch):
                    await self._store(name, sums)

    async def refresh_oldest(self, before: int, fetch: FetchDays) -> bool:
        """Bring the oldest changed day before this one up to date; whether there was one."""
        cursor = await self._connection.execute(
            "select min(day)::timestamp at time zone 'UTC' from dirty_day "
            "where community = %s and day < date '1970-01-01' + %s",
            (self._community, before),
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None:
            return False
        await self.refresh(row[0], row[0] + timedelta(days=1), fetch)
        return True

    async def _due(self, start: datetime, end: datetime) -> Indices:
        """Days that changed, and those whose sums have another resolution than their series together have now."""
        binary.register(self._connection.adapters)
        first, last = _days_touched(start, end)
        cursor = await self._connection.execute(
            "with span as (select date '1970-01-01' + %(first)s as first, date '1970-01-01' + %(last)s as last), "
            f"now as materialized (select name, ({_RESOLUTION.format(name='name')}) as minutes "
            "  from unnest(%(names)s::text[]) name) "
            "select day - date '1970-01-01' from dirty_day, span "
            "where community = %(community)s and day between first and last "
            "union "
            "select day - date '1970-01-01' from rollup join now using (name), span "
            "where community = %(community)s and day between first and last and resolution_minutes <> minutes "
            "order by 1",
            {"first": first, "last": last, "community": self._community, "names": list(SUMMED_SERIES)},
        )
        return np.array([day for (day,) in await cursor.fetchall()], dtype=np.int64)

    async def _resolution(self, name: str) -> int | None:
        """The coarsest resolution of the series that add up, and of what is kept of their sums; None without any."""
        cursor = await self._connection.execute(
            f"({_RESOLUTION.format(name='%(name)s')})", {"name": name, "community": self._community}
        )
        row = await cursor.fetchone()
        return None if row is None else row[0]

    async def _summed(
        self, name: str, resolution: int, days: Indices, fetch: FetchDays, as_of: datetime | None = None
    ) -> list[DaySums]:
        """The sums of the days, in portions, of what `fetch` gives and of what is kept."""
        series = await self._series.of_members(name)
        spans = await self.spans()
        members = MemberSeries(
            {one.id: spans[one.key.member_id or ""] for one in series}, resolution, Membership(Counter(spans.values()))
        )
        found: list[DaySums] = []
        for portion in _portions(days, series):
            rows = await fetch(series, portion) if series else {}
            sums = sum_over_members(name, members, rows, portion)
            found.append(await self._with_kept(name, sums, as_of))
        return found

    async def _with_kept(self, name: str, sums: DaySums, as_of: datetime | None = None) -> DaySums:
        for kept in await self._kept.fetch(name, sums.days, as_of):
            sums = with_kept(name, sums, kept)
        return sums

    async def spans(self) -> dict[str, MemberSpan]:
        """When each member belongs to the community."""
        cursor = await self._connection.execute(
            "select member_id, joined_at, left_at from member where community = %s", (self._community,)
        )
        return {member_id: MemberSpan(joined, left) for member_id, joined, left in await cursor.fetchall()}

    async def _membership(self) -> Membership:
        cursor = await self._connection.execute(
            "select joined_at, left_at, count(*) from member where community = %s group by joined_at, left_at",
            (self._community,),
        )
        return Membership({MemberSpan(joined, left): count for joined, left, count in await cursor.fetchall()})

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
        """The stored sums on the grid that covers [start, end); None where there are none of that name."""
        membership = await self._membership()
        sums = await self._stored(name, *_days_touched(start, end), membership)
        return None if sums is None else _on_grid(sums, membership, start, end)

    async def stored(self, name: str, first: int, last: int) -> DaySums | None:
        """The stored sums of days since 1970-01-01, both inclusive; None where there are none of that name."""
        return await self._stored(name, first, last, await self._membership())

    async def _stored(self, name: str, first: int, last: int, membership: Membership) -> DaySums | None:
        binary.register(self._connection.adapters)
        resolution = await self._resolution(name)
        if resolution is None:
            return None
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(day - date '1970-01-01'), ''::bytea order by day), ''), "
            "coalesce(string_agg(array_send(total), ''::bytea order by day), ''), "
            "coalesce(string_agg(array_send(reporting), ''::bytea order by day), '') from rollup "
            "where community = %s and name = %s and day between date '1970-01-01' + %s and date '1970-01-01' + %s",
            (self._community, name, first, last),
            binary=True,
        )
        row = await cursor.fetchone()
        assert row is not None
        slots, days = DAY_MINUTES // resolution, binary.read_int4(row[0])
        sums = DaySums(
            days,
            resolution,
            binary.read_arrays(row[1], slots, ">f8").astype(np.float64),
            binary.read_arrays(row[2], slots, ">i4").astype(np.int64),
            membership.at(slot_starts_s(days, slots)),
        )
        return await self._with_kept(name, sums)

    async def read_as_of(self, name: str, start: datetime, end: datetime, then: DaysThen) -> CommunitySum | None:
        """The same as it was known at an instant: what has changed since is added up anew."""
        resolution, membership = await self._resolution(name), await self._membership()
        if resolution is None:
            return None
        first, last = _days_touched(start, end)
        changed = np.union1d(then.changed, await self._kept.days_later_than(name, then.as_of, first, last))
        stored = await self._stored(name, first, last, membership)
        anew = await self._summed(name, resolution, changed, then.fetch, then.as_of)
        parts = anew if stored is None else [stored.without(changed), *anew]
        return _on_grid(DaySums.of(parts), membership, start, end)


def _days_touched(start: datetime, end: datetime) -> tuple[int, int]:
    """The first and the last UTC day of [start, end), since 1970-01-01."""
    return int(start.timestamp() // 86_400), int((end - timedelta(microseconds=1)).timestamp() // 86_400)


def _portions(days: Indices, members: Sequence[KnownSeries]) -> list[Indices]:
    """The days in portions whose rows fit into memory and into one value on the wire."""
    values_a_day = sum(DAY_MINUTES // one.resolution for one in members)
    at_once = max(1, VALUES_AT_ONCE // max(1, values_a_day))
    return [days[first : first + at_once] for first in range(0, days.size, at_once)]


def _on_grid(sums: DaySums, membership: Membership, start: datetime, end: datetime) -> CommunitySum:
    """The sums on the grid that covers [start, end); members are counted also where there are no sums."""
    resolution = sums.resolution_minutes
    first = floor_to_step(start, resolution)
    last = floor_to_step(end - timedelta(microseconds=1), resolution) + timedelta(minutes=resolution)
    grid = TimeGrid.spanning(first, last, resolution)
    slots = DAY_MINUTES // resolution
    position = (sums.days[:, None] * slots + np.arange(slots)).ravel() - int(first.timestamp()) // 60 // resolution
    inside = (position >= 0) & (position < grid.steps)
    total, reporting = np.full(grid.steps, np.nan), np.zeros(grid.steps, dtype=np.int64)
    members = membership.at(grid.starts.astype(np.int64))
    for on_grid, by_day in ((total, sums.total), (reporting, sums.reporting), (members, sums.members)):
        on_grid[position[inside]] = by_day.ravel()[inside]
    return CommunitySum(grid, total, reporting, members)
