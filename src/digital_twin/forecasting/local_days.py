"""A series as a table of local days and slots of the day: habits follow the clock on the wall.

A slot that a 23-hour day lacks is NaN; the one that a 25-hour day has twice holds the mean of both.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, History

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the intervals of a grid stand in the table of local days."""

    day: Indices  # (T,) days since 1970-01-01, local
    slot: Indices  # (T,)
    slots: int


@lru_cache(maxsize=16)
def cells_of(grid: TimeGrid, zone: str) -> Cells:
    """The cell of every interval; kept for the next models and communities that are asked about the same grids."""
    clock = local_clock(grid, zone)
    cells = Cells(clock.day, (clock.hour * 60 // grid.step_minutes).astype(np.int64), 1440 // grid.step_minutes)
    cells.day.flags.writeable = cells.slot.flags.writeable = False
    return cells


@dataclass(frozen=True, slots=True, eq=False)
class LocalDays:
    """The table from `first_day` on."""

    first_day: int
    table: Array  # (D, S)
    last_known: tuple[int, int]  # the (day, slot) of the last interval of the history


def to_local_days(values: Array, grid: TimeGrid, zone: str, *, until_day: int) -> LocalDays:
    """The table of a series, with empty days up to and including `until_day`."""
    cells = cells_of(grid, zone)
    first = int(cells.day[0])
    days = max(until_day, int(cells.day[-1])) - first + 1
    return LocalDays(first, tabulate(values, cells, first, days), (int(cells.day[-1]), int(cells.slot[-1])))


def tabulate(values: Array, cells: Cells, first_day: int, days: int) -> Array:
    """The table of so many days of a series whose cells are told and lie in these days."""  # (D, S)
    known = np.isfinite(values)
    flat = (cells.day - first_day)[known] * cells.slots + cells.slot[known]
    total = np.bincount(flat, weights=values[known], minlength=days * cells.slots)
    count = np.bincount(flat, minlength=days * cells.slots)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean.reshape(days, cells.slots)


def local_days_of(task: ForecastTask, history: History) -> tuple[LocalDays, Cells]:
    """The history's table, long enough for the targets, and the targets' cells."""
    targets = cells_of(task.grid, task.site.timezone)
    table = to_local_days(history.values, history.grid, task.site.timezone, until_day=int(targets.day.max()))
    return table, targets


def days_back(cells: Cells, last_known: tuple[int, int]) -> Indices:
    """For each target the fewest whole days to go back to a cell that is in the past; at least 1."""
    day, slot = last_known
    return np.maximum(cells.day - day + (cells.slot > slot), 1)


class Reach(NamedTuple):
    """How far before a target that lies which is known when its forecast is made, in whole days."""

    back: int
    """To the latest known value of the same slot."""

    whole: int
    """To the latest day that is known to its end: as far, or a day more."""


def reaches(targets: Cells, last_known: tuple[int, int]) -> list[tuple[Reach, Flags]]:
    """The reaches that a forecast needs when so much is known, each with its targets."""
    day, slot = last_known
    back = days_back(targets, last_known)
    whole = np.maximum(targets.day - day + (slot < targets.slots - 1), back)
    pairs = sorted(set(zip(back.tolist(), whole.tolist(), strict=True)))
    return [(Reach(*pair), (back == pair[0]) & (whole == pair[1])) for pair in pairs]


def reaches_of(back: Collection[int]) -> list[Reach]:
    """All that forecasts may need whose lags go back so many days."""
    return [Reach(days, days + more) for days in sorted(set(back)) for more in (0, 1)]
