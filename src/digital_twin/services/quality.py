"""How far a community's readings can be trusted: what is missing, what is hard to believe, who is silent."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput, NotAllowed, NotFound
from digital_twin.domain.member_sum import MemberSpan
from digital_twin.domain.meter_quality import MeterQuality, quality_of_meters, worst_first
from digital_twin.domain.readings import SUMMED_SERIES, Series, SeriesKey, SeriesValues
from digital_twin.domain.series_quality import SeriesQuality, quality_of
from digital_twin.domain.time import TimeGrid
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, Store, Transaction
from digital_twin.services.readings import sight

Mask = NDArray[np.bool_]

MOST_VALUES = 8_000_000
"""Readings that one question may look at: 10,000 meters for eight days of quarters."""


@dataclass(frozen=True, slots=True)
class QualityQuery:
    """Whose readings to judge: the community's own and all its meters, or those of one member or asset."""

    names: tuple[str, ...]  # none means all that add up
    start: datetime
    end: datetime
    member_id: str | None = None
    asset_id: str | None = None
    as_of: datetime | None = None

    @property
    def is_about_one(self) -> bool:
        return self.member_id is not None or self.asset_id is not None


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSeries:
    """A series with its quality."""

    series: Series
    grid: TimeGrid
    quality: SeriesQuality


@dataclass(frozen=True, slots=True, eq=False)
class QualityReport:
    """What was found, seen from `now`; `meters` is None where one owner was asked about."""

    now: datetime
    series: tuple[JudgedSeries, ...]
    meters: tuple[MeterQuality, ...] | None  # the worst first


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Readings with who was a member when."""

    zone: str
    now: datetime
    spans: Mapping[str, MemberSpan]
    readings: Sequence[SeriesValues]

    def expected(self, series: Sequence[SeriesValues]) -> Mask:
        """Intervals that are over, while the member is one, of series on one grid."""  # (M, T)
        grid = series[0].grid
        over = grid.starts + np.timedelta64(grid.step) <= np.datetime64(self.now.replace(tzinfo=None))
        expected = np.tile(over, (len(series), 1))
        for row, one in enumerate(series):
            span = self.spans.get(one.key.member_id or "")
            if span is not None and not span.is_whole:
                expected[row] &= span.covers(grid.starts.astype(np.int64))
        return expected


class QualityService:
    """Use cases around the quality of readings."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def report(self, grant: Grant, query: QualityQuery) -> QualityReport:
        """The quality of each series in full, and of a community all its meters, the worst first.

        Only intervals that are over are expected. A member sees their own meters.

        Raises:
            InvalidInput: the span is empty, lies ahead, or holds more readings than one question may look at.
            NotAllowed: a member asks about another.
            NotFound: nothing is stored of a name that was asked for.
        """
        now = min(query.as_of or self._clock.now(), self._clock.now())
        end = min(query.end, now)
        if query.end <= query.start:
            raise InvalidInput("end must be after start", field="end")
        if end <= query.start:
            raise InvalidInput("start must lie in the past; what is not over yet cannot be missing", field="start")
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            series = await _series_of(tx, grant, query)
            _check_size(series, query.start, end)
            found = await tx.readings.read([one.key for one in series], query.start, end, as_of=query.as_of)
            spans = {one.member_id: MemberSpan(one.joined_at, one.left_at) for one in await tx.members.members()}
        judged = _Judged(community.timezone or "UTC", now, spans, found)
        return await asyncio.to_thread(_judge, judged, is_about_one=query.is_about_one)


async def _series_of(tx: Transaction, grant: Grant, query: QualityQuery) -> list[Series]:
    """The series to judge; raises as `report`."""
    is_open = await sight(tx, grant)
    if query.is_about_one and not is_open(SeriesKey(SUMMED_SERIES[0], query.member_id, query.asset_id)):
        raise NotAllowed("a member may see the quality of their own series and the community's, not of others")
    names = query.names or SUMMED_SERIES
    found = [one for one in await tx.readings.named(names) if is_open(one.key)]
    if query.is_about_one:
        found = [one for one in found if (one.key.member_id, one.key.asset_id) == (query.member_id, query.asset_id)]
    if query.is_about_one and not found:
        raise NotFound("no such readings are stored of this member or asset; GET .../series lists those that are")
    for name in query.names:
        if all(one.key.name != name for one in found):
            raise NotFound(f"no readings of {name} are stored; GET .../series lists those that are")
    return found


def _check_size(series: Iterable[Series], start: datetime, end: datetime) -> None:
    minutes = (end - start).total_seconds() / 60
    if sum(minutes / one.resolution_minutes for one in series) > MOST_VALUES:
        raise InvalidInput(
            f"the span holds more than {MOST_VALUES} readings of all meters; ask for a shorter one", field="start"
        )


def _judge(judged: _Judged, *, is_about_one: bool) -> QualityReport:
    full = [one for one in judged.readings if is_about_one or _is_communitys(one.key)]
    series = tuple(
        JudgedSeries(
            Series(one.key, one.grid.step_minutes),
            one.grid,
            quality_of(one, judged.zone, expected=judged.expected([one])[0]),
        )
        for one in full
    )
    if is_about_one:
        return QualityReport(judged.now, series, None)
    alike: dict[tuple[str, int], list[SeriesValues]] = defaultdict(list)
    for one in judged.readings:
        if not _is_communitys(one.key):
            alike[one.key.name, one.grid.step_minutes].append(one)
    meters = [meter for group in alike.values() for meter in quality_of_meters(group, judged.expected(group))]
    return QualityReport(judged.now, series, tuple(worst_first(meters)))


def _is_communitys(key: SeriesKey) -> bool:
    return key.member_id is None and key.asset_id is None
