"""Issued forecasts of past days beside what happened, as known at one instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import VARIABLES
from digital_twin.forecasting.live_accuracy import DaySums, judge_day
from digital_twin.services.history import community_series, sound
from digital_twin.services.ports import IssuedForecast, Transaction


@dataclass(frozen=True, slots=True, eq=False)
class JudgedDay:
    """What was said of a day, what happened, and what that came to; None until enough of it is known."""

    issued: IssuedForecast
    grid: TimeGrid
    actual: Array  # (T,) NaN where unknown
    sums: DaySums | None


async def judged_days(
    tx: Transaction, community: Community, start: datetime, end: datetime, *, now: datetime
) -> dict[str, list[JudgedDay]]:
    """Of each variable the days that begin in this stretch and have a forecast, oldest first."""
    issued = await tx.issued_forecasts.between(start, end)
    if not issued:
        return {}
    first, last = min(one.start for one in issued), max(grid_of(one).end for one in issued)
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
    grid = grid_of(issued)
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


def grid_of(issued: IssuedForecast) -> TimeGrid:
    """The intervals that it is about."""
    return TimeGrid(issued.start, issued.mean.size, issued.resolution_minutes)


def _actual(variable: str, grid: TimeGrid, known: Mapping[str, SeriesValues]) -> Array:
    """What happened; net load is load less generation where the load is metered."""
    if variable == "net_load_kw" and "load_kw" in known:
        return _actual("load_kw", grid, known) - _actual("pv_kw", grid, known)
    if variable not in known:
        return np.full(grid.steps, np.nan)
    return resample(known[variable], grid).values
