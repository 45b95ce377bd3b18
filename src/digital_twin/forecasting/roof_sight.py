"""What roofs generated, beside what planes of any orientation would have yielded meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import History, Site
from digital_twin.forecasting.forecaster import last_days
from digital_twin.forecasting.local_days import Indices, cells_of
from digital_twin.forecasting.solar import Sky

FITTING_DAYS = 14.0
MOST_DAYS = 90
BLOCK_DAYS, MOST_BLOCKS = 30, 4
DAYS_A_BLOCK_IS_WORTH = 10
"""The highest of each time of day in a month of chance."""

Yields = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What roofs generated, and what planes would have yielded meanwhile."""

    yields: Yields  # tilts (K,), azimuths (K,) -> (K, n)
    seen_kw: Array  # (n,)
    group: Indices  # (n,) intervals of one group err together
    days: float
    """So many days that err independently the readings are worth."""
    are_days: bool
    """Whether each group is a day; else these are hours of one, of which each is as it is."""


def under_weather(site: Site, history: History) -> Sight:
    """Days spread over the history, of which both the weather and the output are known."""
    steps = 1440 // history.grid.step_minutes
    days = history.grid.steps // steps
    first = history.grid.steps - days * steps
    known = (np.isfinite(history.values) & np.isfinite(history.weather["ghi_wm2"]))[first:].reshape(days, steps)
    usable = np.flatnonzero(known.any(axis=1))
    taken = usable[np.unique(np.linspace(0, usable.size - 1, min(MOST_DAYS, usable.size)).astype(np.int64))]
    grids = [
        TimeGrid(history.grid.instant(first + day * steps), steps, history.grid.step_minutes) for day in taken.tolist()
    ]
    if not grids:
        return Sight(
            lambda _tilt, _azimuth: np.empty((0, 0)), np.empty(0), np.empty(0, dtype=np.int64), 0.0, are_days=True
        )
    sky = Sky(
        site, grids, {name: one[first:].reshape(days, steps)[taken].ravel() for name, one in history.weather.items()}
    )
    used = known[taken].ravel() & (sky.ghi_wm2 > 0)
    group = np.repeat(np.arange(taken.size), steps)
    return Sight(
        lambda tilt, azimuth: sky.yields(tilt, azimuth)[:, used],
        history.values[first:].reshape(days, steps)[taken].ravel()[used],
        group[used],
        float(usable.size),
        are_days=True,
    )


def under_clear_sky(site: Site, history: History) -> Sight:
    blocks = _blocks(history)
    sky = Sky(site, [day for block in blocks for day in _three_days(block.grid)], {})
    seen = np.concatenate([_highest_by_slot(block) for block in blocks])
    slots = 1440 // history.grid.step_minutes
    lit = sky.clear_ghi_wm2.reshape(len(blocks), 3, -1).max(axis=1).ravel() > 0
    used = np.isfinite(seen) & lit

    def yields(tilt_degrees: Array, azimuth_degrees: Array) -> Array:
        output = sky.yields(tilt_degrees, azimuth_degrees)
        return (
            output.reshape(len(tilt_degrees), len(blocks), 3, slots).max(axis=2).reshape(len(tilt_degrees), -1)[:, used]
        )

    hour = np.arange(slots * len(blocks)) * history.grid.step_minutes // 60
    return Sight(yields, seen[used], hour[used], float(DAYS_A_BLOCK_IS_WORTH * len(blocks)), are_days=False)


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


def _highest_by_slot(block: History) -> Array:
    """The highest value of each slot of the UTC day; NaN where none is known."""  # (S,)
    cells = cells_of(block.grid, "UTC")
    highest = np.full(cells.slots, -np.inf)
    known = np.isfinite(block.values)
    np.maximum.at(highest, cells.slot[known], block.values[known])
    return np.where(np.isfinite(highest), highest, np.nan)
