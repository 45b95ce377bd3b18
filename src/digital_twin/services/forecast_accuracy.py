"""How good the forecasts were that were issued, day by day beside what happened and beside the seasonal naive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid, local_date
from digital_twin.domain.units import Array
from digital_twin.forecasting.live_accuracy import CONFIDENCE_LEVELS, Accuracy, DaySums, accuracy_of, judge_day
from digital_twin.services.access import Grant
from digital_twin.services.forecast_drift import Drift
from digital_twin.services.forecasts import VARIABLES
from digital_twin.services.history import community_series, sound
from digital_twin.services.ports import KEPT_FORECASTS, Clock, IssuedForecast, Store, Transaction

DEFAULT_SPAN = timedelta(days=28)
LONGEST_SHOWN = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class AccuracyRequest:
    """Which issued forecasts: of the days that begin in [start, end), by default of the last four weeks."""

    start: datetime | None = None
    end: datetime | None = None
    variable: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class JudgedDay:
    """What was said of a day, what happened, and what that came to; None until enough of it is known."""

    issued: IssuedForecast
    grid: TimeGrid
    actual: Array  # (T,) NaN where unknown
    sums: DaySums | None


class AccuracyService:
    """Use cases around the accuracy of forecasts in service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def accuracy(self, grant: Grant, request: AccuracyRequest) -> dict[str, Any]:
        """Of each variable by day and in all. Raises InvalidInput for a span that is empty or too long."""
        start, end = self._span(request, KEPT_FORECASTS)
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            judged = await judged_days(tx, community, start, end, now=self._clock.now())
        zone = community.timezone or "UTC"
        return {
            "start": start,
            "end": end,
            "timezone": zone,
            "variables": {
                variable: _summary(days, zone)
                for variable, days in judged.items()
                if request.variable in (None, variable)
            },
        }

    async def issued(self, grant: Grant, request: AccuracyRequest) -> dict[str, Any]:
        """Each forecast beside what happened. Raises InvalidInput for a span that is empty or too long."""
        start, end = self._span(request, LONGEST_SHOWN)
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            judged = await judged_days(tx, community, start, end, now=self._clock.now())
        zone = community.timezone or "UTC"
        chosen = [days for variable, days in judged.items() if request.variable in (None, variable)]
        return {
            "start": start,
            "end": end,
            "timezone": zone,
            "forecasts": [_beside(day, zone) for days in chosen for day in days],
        }

    async def drift(self, grant: Grant) -> dict[str, Any]:
        """Whether the forecasts of each variable have become worse."""
        async with self._store.community(str(grant.community_id)) as tx:
            care = await tx.issued_forecasts.care()
        kept: Mapping[str, Any] = {} if care is None else care.drift
        return {variable: Drift.from_document(document).told() for variable, document in kept.items()}

    def _span(self, request: AccuracyRequest, longest: timedelta) -> tuple[datetime, datetime]:
        end = request.end or self._clock.now()
        start = request.start or end - min(DEFAULT_SPAN, longest)
        if not start < end:
            raise InvalidInput("start must lie before end", field="start")
        if end - start > longest:
            raise InvalidInput(f"the span must be at most {longest.days} days", field="start")
        return start, end


async def judged_days(
    tx: Transaction, community: Community, start: datetime, end: datetime, *, now: datetime
) -> dict[str, list[JudgedDay]]:
    """Of each variable the days that begin in this stretch and have a forecast, oldest first."""
    issued = await tx.issued_forecasts.between(start, end)
    if not issued:
        return {}
    first, last = min(one.start for one in issued), max(_grid_of(one).end for one in issued)
    known: dict[str, SeriesValues] = {}
    for name in VARIABLES:
        series = await community_series(tx, community, name, first, last, now)
        if series is not None:
            known[name] = sound(series).values
    days: dict[str, list[JudgedDay]] = {name: [] for name in VARIABLES}
    for one in issued:
        days[one.variable].append(_judged(one, known, now))
    return {name: found for name, found in days.items() if found}


def _judged(issued: IssuedForecast, known: Mapping[str, SeriesValues], now: datetime) -> JudgedDay:
    grid = _grid_of(issued)
    actual = _actual(issued.variable, grid, known)
    if grid.end > now:
        return JudgedDay(issued, grid, actual, None)
    naive = issued.naive_quantiles
    sums = judge_day(
        actual,
        issued.mean.astype(np.float64),
        issued.quantiles.astype(np.float64),
        issued.levels,
        naive=None if naive is None else naive.astype(np.float64),
        has_nights=issued.variable == "pv_kw",
    )
    return JudgedDay(issued, grid, actual, sums)


def _grid_of(issued: IssuedForecast) -> TimeGrid:
    return TimeGrid(issued.start, issued.mean.size, issued.resolution_minutes)


def _actual(variable: str, grid: TimeGrid, known: Mapping[str, SeriesValues]) -> Array:
    """What happened; net load is load less generation where the load is metered."""
    if variable == "net_load_kw" and "load_kw" in known:
        return _actual("load_kw", grid, known) - _actual("pv_kw", grid, known)
    if variable not in known:
        return np.full(grid.steps, np.nan)
    return resample(known[variable], grid).values


def _summary(days: Sequence[JudgedDay], zone: str) -> dict[str, Any]:
    """All days that count together, and each day of its own."""
    single = [accuracy_of([] if one.sums is None else [one.sums]) for one in days]
    columns: dict[str, list[Any]] = {"day": [local_date(one.issued.start, zone) for one in days]}
    for row in map(_scores, single):
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    total = accuracy_of([one.sums for one in days if one.sums is not None])
    return {"days": total.days, **_scores(total), "by_day": columns}


def _scores(accuracy: Accuracy) -> dict[str, float | None]:
    return {
        "pinball_loss_kw": accuracy.pinball_loss_kw,
        "naive_pinball_loss_kw": accuracy.naive_pinball_loss_kw,
        "skill": accuracy.skill,
        "nmae": accuracy.nmae,
        **{f"coverage_{100 * level:.0f}": accuracy.coverage[level] for level in CONFIDENCE_LEVELS},
    }


def _beside(day: JudgedDay, zone: str) -> dict[str, Any]:
    issued = day.issued
    known = np.isfinite(day.actual)
    return {
        "variable": issued.variable,
        "day": local_date(issued.start, zone),
        "issued_at": issued.issued_at,
        "model": issued.model,
        "start": issued.start,
        "resolution_minutes": issued.resolution_minutes,
        "mean": issued.mean.tolist(),
        "quantiles": {f"{level:g}": issued.quantiles[:, at].tolist() for at, level in enumerate(issued.levels)},
        "actual": [value if is_known else None for value, is_known in zip(day.actual.tolist(), known, strict=True)],
    }
