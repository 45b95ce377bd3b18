"""Which way roofs face, told by what they generated under a clear sky."""

from dataclasses import replace

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import History, Site
from digital_twin.forecasting.local_days import cells_of
from digital_twin.forecasting.solar import Orientation, Sky

DEFAULT_TILT_DEGREES = 30.0
FITTING_DAYS = 14.0
BLOCK_DAYS, MOST_BLOCKS = 30, 4
FIRST_TILTS, FIRST_TURNS = (10.0, 25.0, 40.0, 55.0), (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)
FINER_STEPS = ((7.5, 15.0), (4.0, 7.5))


def default_orientation(site: Site) -> Orientation:
    """Towards the equator."""
    return Orientation(DEFAULT_TILT_DEGREES, 180.0 if site.latitude >= 0 else 0.0)


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
    blocks = [last_days(history, BLOCK_DAYS)]
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


def last_days(history: History, days: int) -> History:
    steps = min(history.grid.steps, days * 24 * 60 // history.grid.step_minutes)
    first = history.grid.steps - steps
    grid = TimeGrid(history.grid.instant(first), steps, history.grid.step_minutes)
    return History(grid, history.values[first:], {name: values[first:] for name, values in history.weather.items()})
