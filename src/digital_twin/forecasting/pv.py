"""Generation by physics: what a roof yields on a clear sky, times what clouds leave."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import adaptive_shifts
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.local_days import cells_of
from digital_twin.forecasting.solar import Orientation, Sky, position_in_day, rated_output

DEFAULT_TILT_DEGREES = 30.0
FITTING_DAYS, CLOUD_DAYS = 14.0, 60
CALIBRATION_DAYS, REFIT_DAYS = 28, 7
BLOCK_DAYS, MOST_BLOCKS = 30, 4
DAYLIGHT_SHARE = 0.02
SMALLEST_AGREEMENT = 0.85
FIRST_TILTS, FIRST_TURNS = (10.0, 25.0, 40.0, 55.0), (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)
FINER_STEPS = ((7.5, 15.0), (4.0, 7.5))
POSITIONS = np.linspace(-1.0, 1.0, 25)
REACH, FEWEST_SHARES = 0.12, 30
LARGEST_SHARE = 5.0

PRIOR_CLOUDINESS = ((0.0, 0.05), (0.05, 0.12), (0.25, 0.36), (0.5, 0.67), (0.75, 0.88), (0.95, 1.0), (1.0, 1.03))
"""Quantiles (level, clear-sky share) of generation without data: mean 0.62, so that a south roof in Vienna yields about
1,100 kWh per kW a year, the long-term figure of PVGIS 5 for that place."""

Weather = Mapping[str, Array]


def default_orientation(site: Site) -> Orientation:
    """Towards the equator."""
    return Orientation(DEFAULT_TILT_DEGREES, 180.0 if site.latitude >= 0 else 0.0)


def photovoltaics(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """Clear-sky or weather-driven generation; the orientation and the cloudiness are learned from two weeks on."""
    site, history = task.site, task.history
    assumptions: list[str] = []
    orientation = default_orientation(site)
    capacity_kw = site.pv_capacity_kw
    learned = history if history is not None and history.days >= FITTING_DAYS else None
    if learned is not None:
        orientation, agreement = fit_orientation(site, learned)
        if agreement < SMALLEST_AGREEMENT:
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


def fit_orientation(site: Site, history: History) -> tuple[Orientation, float]:
    """The orientation whose clear sky best fits the highest output of each time of day, and how well (correlation).

    Without measured weather only cloudless moments tell the orientation: the highest of each slot of the day in each
    of the last months stands for them. A coarse search is followed by finer steps around the best.
    """
    blocks = _blocks(history)
    sky = Sky(site, [day for block in blocks for day in _three_days(block.grid)], {})
    seen = np.concatenate([_highest_by_slot(block) for block in blocks])

    def judge(tilt: float, azimuth: float) -> tuple[float, Orientation]:
        candidate = Orientation(tilt, azimuth % 360, 1.0)
        clear = sky.output(candidate).reshape(len(blocks), 3, -1).max(axis=1).ravel()
        known = np.isfinite(seen)
        share = float(seen[known] @ clear[known] / max(clear[known] @ clear[known], 1e-9))
        scale = share / max(site.pv_capacity_kw, 1e-9)
        return _correlation(seen[known], clear[known]), replace(candidate, scale=scale)

    towards = default_orientation(site).azimuth_degrees
    coarse = [judge(tilt, towards + turn) for tilt in FIRST_TILTS for turn in FIRST_TURNS]
    fit, best = max(coarse, key=lambda one: one[0])
    for step, turn in FINER_STEPS:
        tilt, azimuth = best.tilt_degrees, best.azimuth_degrees
        around = [(tilt + up * step, azimuth + side * turn) for up in (-1, 0, 1) for side in (-1, 0, 1) if up or side]
        finer = [judge(one, other) for one, other in around if 0 <= one <= 90]
        fit, best = max([(fit, best), *finer], key=lambda one: one[0])
    return best, fit


def _blocks(history: History) -> list[History]:
    """The last months one by one, the latest first; what remains at the end is too short to show a clear sky."""
    steps = BLOCK_DAYS * 1440 // history.grid.step_minutes
    blocks = [_last_days(history, BLOCK_DAYS)]
    for number in range(1, MOST_BLOCKS):
        first = history.grid.steps - (number + 1) * steps
        if first < 0:
            break
        grid = TimeGrid(history.grid.instant(first), steps, history.grid.step_minutes)
        block = History(grid, history.values[first : first + steps], {})
        if block.days >= FITTING_DAYS:
            blocks.append(block)
    return blocks


def _three_days(grid: TimeGrid) -> list[TimeGrid]:
    """The UTC days in which a block begins, is half over, and ends: in between, the sun moves little."""
    middles = (grid.instant(index) for index in (0, grid.steps // 2, grid.steps - 1))
    midnights = (at.replace(hour=0, minute=0) for at in middles)
    return [TimeGrid(midnight, 1440 // grid.step_minutes, grid.step_minutes) for midnight in midnights]


def _correlation(one: Array, other: Array) -> float:
    if one.size < 3 or one.std() == 0 or other.std() == 0:
        return -1.0
    return float(np.corrcoef(one, other)[0, 1])


def _highest_by_slot(block: History) -> Array:
    """The highest value of each slot of the UTC day; NaN where none is known."""  # (S,)
    cells = cells_of(block.grid, "UTC")
    highest = np.full(cells.slots, -np.inf)
    known = np.isfinite(block.values)
    np.maximum.at(highest, cells.slot[known], block.values[known])
    return np.where(np.isfinite(highest), highest, np.nan)


def _last_days(history: History, days: int) -> History:
    steps = min(history.grid.steps, days * 24 * 60 // history.grid.step_minutes)
    first = history.grid.steps - steps
    grid = TimeGrid(history.grid.instant(first), steps, history.grid.step_minutes)
    return History(grid, history.values[first:], {name: values[first:] for name, values in history.weather.items()})


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
    recent = _last_days(history, CLOUD_DAYS + CALIBRATION_DAYS)
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
    if history is None or "ghi_wm2" not in history.weather:
        return np.array(1.0), np.interp(levels, (0.0, 0.5, 1.0), (0.4, 1.0, 1.4))[None, :]
    recent = _last_days(history, CLOUD_DAYS)
    expected = rated_output(site, recent.grid, orientation, recent.weather) * site.pv_capacity_kw
    shares, _ = _shares(recent.values, np.nan_to_num(expected))
    return np.array(shares.mean()), np.quantile(shares, levels)[None, :]


def _as_seen(task: ForecastTask, history: History, levels: tuple[float, ...]) -> Prediction:
    """The distribution of each time of day over the last two months: for data that no clear sky at the place fits."""
    recent = _last_days(history, CLOUD_DAYS)
    cells, targets = cells_of(recent.grid, "UTC"), cells_of(task.grid, "UTC")
    mean, quantiles = np.zeros(cells.slots), np.zeros((cells.slots, len(levels)))
    for slot in range(cells.slots):
        values = recent.values[(cells.slot == slot) & np.isfinite(recent.values)]
        if values.size:
            mean[slot], quantiles[slot] = max(values.mean(), 0.0), np.maximum(np.quantile(values, levels), 0.0)
    note = "generation follows the last weeks: the readings do not fit the sun at the place given"
    return Prediction(mean[targets.slot], quantiles[targets.slot], (note,))
