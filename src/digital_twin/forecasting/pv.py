"""Generation by physics: what a roof yields on a clear sky, times what clouds leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import adaptive_shifts
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.forecaster import Arrays, TrainingTask
from digital_twin.forecasting.local_days import cells_of
from digital_twin.forecasting.orientation import FITTING_DAYS, default_orientation, fit_orientation, last_days
from digital_twin.forecasting.solar import Orientation, position_in_day, rated_output

CLOUD_DAYS = 60
CALIBRATION_DAYS, REFIT_DAYS = 28, 7
DAYLIGHT_SHARE = 0.02
SMALLEST_AGREEMENT = 0.85
POSITIONS = np.linspace(-1.0, 1.0, 25)
REACH, FEWEST_SHARES = 0.12, 30
LARGEST_SHARE = 5.0

PRIOR_CLOUDINESS = ((0.0, 0.05), (0.05, 0.12), (0.25, 0.36), (0.5, 0.67), (0.75, 0.88), (0.95, 1.0), (1.0, 1.03))
"""Quantiles (level, clear-sky share) of generation without data: mean 0.62, so that a south roof in Vienna yields about
1,100 kWh per kW a year, the long-term figure of PVGIS 5 for that place."""

Weather = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class FittedPhotovoltaics:
    """The orientation that a history tells, and how well its clear sky fits (correlation); nothing before that."""

    orientation: Orientation | None
    agreement: float = 0.0

    def suits(self, task: ForecastTask) -> bool:
        return True

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        return predict_photovoltaics(self, task, levels)

    def to_arrays(self) -> Arrays:
        facing = self.orientation
        if facing is None:
            return {"orientation": np.empty(0)}
        return {
            "orientation": np.array((facing.tilt_degrees, facing.azimuth_degrees, facing.scale)),
            "agreement": np.array(self.agreement),
        }


@dataclass(frozen=True, slots=True)
class PVWatts:
    """Clear-sky or weather-driven generation; the orientation and the cloudiness are learned from two weeks on."""

    needed_days: float = FITTING_DAYS

    def fit(self, task: TrainingTask) -> FittedPhotovoltaics:
        """From fewer days it learns nothing and answers from priors."""
        if not can_learn(task.history):
            return FittedPhotovoltaics(None)
        return fit_photovoltaics(task.history, task.site)

    def from_arrays(self, arrays: Arrays) -> FittedPhotovoltaics:
        if not arrays["orientation"].size:
            return FittedPhotovoltaics(None)
        return FittedPhotovoltaics(Orientation(*arrays["orientation"].tolist()), float(arrays["agreement"]))


pvwatts = PVWatts()


def can_learn(history: History | None) -> TypeGuard[History]:
    """Whether there is enough history to learn from."""
    return history is not None and history.days >= FITTING_DAYS


def fit_photovoltaics(history: History, site: Site) -> FittedPhotovoltaics:
    """Learn the orientation from at least two weeks of history."""
    return FittedPhotovoltaics(*fit_orientation(site, history))


def predict_photovoltaics(fitted: FittedPhotovoltaics, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """Forecast with an orientation that was fitted on the task's or an earlier history.

    The share that clouds leave is always that of the task's own last weeks.
    """
    site = task.site
    assumptions: list[str] = []
    orientation = default_orientation(site)
    capacity_kw = site.pv_capacity_kw
    learned = task.history if fitted.orientation is not None and can_learn(task.history) else None
    if fitted.orientation is not None and learned is not None:
        orientation = fitted.orientation
        if fitted.agreement < SMALLEST_AGREEMENT:
            return _as_seen(task, learned, levels)
        capacity_kw = max(capacity_kw, float(np.nanmax(learned.values)))
    else:
        assumptions.append(
            f"generation is {capacity_kw:g} kW of PV at {orientation.tilt_degrees:g} degrees facing "
            f"{'south' if orientation.azimuth_degrees == 180 else 'north'}"
        )
    weather = task.future_weather or {}
    if "ghi_wm2" in weather:
        expected = rated_output(site, task.grid, orientation, weather) * site.pv_capacity_kw
        share = _weather_error(site, learned, orientation, levels)
    else:
        expected = rated_output(site, task.grid, orientation, {}) * site.pv_capacity_kw
        share = _learned_cloudiness(task, learned, orientation, levels)
        if learned is None:
            assumptions.append("clouds leave a typical share of the clear-sky generation")
    mean_share, quantile_share = share
    quantiles = np.clip(expected[:, None] * quantile_share, 0.0, capacity_kw)
    mean = np.clip(expected * mean_share, 0.0, capacity_kw)
    return Prediction(mean, np.sort(quantiles, axis=1), tuple(assumptions))


Shares = tuple[Array, Array]
"""Mean (T,) or scalar, and quantiles (T, Q) or (Q,), of generation as a share of what the model expects."""


def _learned_cloudiness(
    task: ForecastTask, history: History | None, orientation: Orientation, levels: tuple[float, ...]
) -> Shares:
    """Shares of the clear sky by the time between sunrise and sunset over the last two months, or the prior.

    What the clear sky misses at the same time every day, such as a tree, is in them, too.
    """
    if history is None:
        known_levels, shares = np.array(PRIOR_CLOUDINESS).T
        quantiles = np.interp(levels, known_levels, shares)
        return np.array(np.trapezoid(shares, known_levels)), quantiles[None, :]
    recent = last_days(history, CLOUD_DAYS + CALIBRATION_DAYS)
    clear = rated_output(task.site, recent.grid, orientation, {}) * task.site.pv_capacity_kw
    seen = _seen_shares(task.site, recent, clear)
    wanted = position_in_day(task.site, task.grid)
    last = int(seen.day[-1]) + 1
    made = _share_quantiles(seen.between(last - CLOUD_DAYS, last), wanted, levels)
    shifts = _calibration(seen, levels)
    columns = [np.interp(wanted, POSITIONS, shifts[:, level]) for level in range(len(levels))]
    return made[0], np.maximum(made[1] + np.stack(columns, axis=1), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Shares of the clear sky that were generated by daylight."""

    day: Array  # (K,) UTC days since 1970-01-01, ascending
    position: Array  # (K,) between sunrise and sunset
    share: Array  # (K,)

    def between(self, first: int, end: int) -> "_Seen":
        chosen = (self.day >= first) & (self.day < end)
        return _Seen(self.day[chosen], self.position[chosen], self.share[chosen])


def _seen_shares(site: Site, history: History, clear: Array) -> _Seen:
    share, usable = _shares(history.values, clear)
    if not usable.any():
        return _Seen(np.zeros(1), np.zeros(1), np.ones(1))
    # solar days: at every longitude a day is counted from midnight to midnight by the sun
    seconds = history.grid.starts.astype(np.float64) + site.longitude * 240
    return _Seen(np.floor(seconds / 86_400)[usable], position_in_day(site, history.grid)[usable], share)


def _share_quantiles(seen: _Seen, wanted: Array, levels: tuple[float, ...]) -> Shares:
    """Mean and quantiles of the shares around each position, between the positions interpolated."""
    distance = np.abs(seen.position - POSITIONS[:, None])
    mean, quantiles = np.empty(POSITIONS.size), np.empty((POSITIONS.size, len(levels)))
    for one, away in enumerate(distance):
        enough = np.partition(away, min(FEWEST_SHARES, away.size) - 1)[min(FEWEST_SHARES, away.size) - 1]
        near = seen.share[away <= max(REACH, float(enough))]
        mean[one], quantiles[one] = near.mean(), np.quantile(near, levels)
    columns = [np.interp(wanted, POSITIONS, quantiles[:, level]) for level in range(len(levels))]
    return np.interp(wanted, POSITIONS, mean), np.stack(columns, axis=1)


def _calibration(seen: _Seen, levels: tuple[float, ...]) -> Array:
    """What a backtest over the last weeks found missing in the quantiles of the shares.

    A cloudless day lies within a per cent of the one before, so that a clear sky which drifts with the season by as
    little takes most of them out of the interval.
    """  # (positions, Q)
    end = int(seen.day[-1]) + 1
    first = end - CALIBRATION_DAYS
    actual = np.full((CALIBRATION_DAYS, POSITIONS.size), np.nan)
    predicted = np.zeros((CALIBRATION_DAYS, POSITIONS.size, len(levels)))
    for start in range(first, end, REFIT_DAYS):
        before = seen.between(start - CLOUD_DAYS, start)
        if np.unique(before.day).size < FITTING_DAYS:
            return np.zeros((POSITIONS.size, len(levels)))
        predicted[start - first : start - first + REFIT_DAYS] = _share_quantiles(before, POSITIONS, levels)[1]
    for row, day in enumerate(range(first, end)):
        of_day = seen.between(day, day + 1)
        if of_day.share.size:
            # the nearest one: a mean of two would be less uncertain than either
            away = np.abs(of_day.position - POSITIONS[:, None])
            nearest = away.argmin(axis=1)
            actual[row] = np.where(away.min(axis=1) < REACH, of_day.share[nearest], np.nan)
    return adaptive_shifts(actual, predicted, levels)


def _shares(actual: Array, expected: Array) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """What was generated as a share of what was expected by daylight, and which intervals these are."""
    usable = np.isfinite(actual) & (expected > DAYLIGHT_SHARE * max(float(expected.max()), 1e-9))
    return np.clip(actual[usable] / expected[usable], 0.0, LARGEST_SHARE), usable


def _weather_error(site: Site, history: History | None, orientation: Orientation, levels: tuple[float, ...]) -> Shares:
    """How far generation was from what the weather made expected; a guess before there is history."""
    guess = np.array(1.0), np.interp(levels, (0.0, 0.5, 1.0), (0.4, 1.0, 1.4))[None, :]
    if history is None or "ghi_wm2" not in history.weather:
        return guess
    recent = last_days(history, CLOUD_DAYS)
    expected = rated_output(site, recent.grid, orientation, recent.weather) * site.pv_capacity_kw
    shares, _ = _shares(recent.values, np.nan_to_num(expected))
    if not shares.size:  # such as while the weather of the past is still on its way
        return guess
    return np.array(shares.mean()), np.quantile(shares, levels)[None, :]


def _as_seen(task: ForecastTask, history: History, levels: tuple[float, ...]) -> Prediction:
    """The distribution of each time of day over the last two months: for data that no clear sky at the place fits."""
    recent = last_days(history, CLOUD_DAYS)
    cells, targets = cells_of(recent.grid, "UTC"), cells_of(task.grid, "UTC")
    mean, quantiles = np.zeros(cells.slots), np.zeros((cells.slots, len(levels)))
    for slot in range(cells.slots):
        values = recent.values[(cells.slot == slot) & np.isfinite(recent.values)]
        if values.size:
            mean[slot], quantiles[slot] = max(values.mean(), 0.0), np.maximum(np.quantile(values, levels), 0.0)
    note = "generation follows the last weeks: the readings do not fit the sun at the place given"
    return Prediction(mean[targets.slot], quantiles[targets.slot], (note,))
