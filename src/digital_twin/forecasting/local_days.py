"""A series as a table of local days and slots of the day: habits follow the clock on the wall.

A slot that a 23-hour day lacks is NaN; the one that a 25-hour day has twice holds the mean of both.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, History

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the intervals of a grid stand in the table of local days."""

    day: Indices  # (T,) days since 1970-01-01, local
    slot: Indices  # (T,)
    slots: int


def cells_of(grid: TimeGrid, zone: str) -> Cells:
    """The cell of every interval."""
    clock = local_clock(grid, zone)
    return Cells(clock.day, (clock.hour * 60 // grid.step_minutes).astype(np.int64), 1440 // grid.step_minutes)


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
    known = np.isfinite(values)
    flat = (cells.day - first) * cells.slots + cells.slot
    total = np.bincount(flat[known], weights=values[known], minlength=days * cells.slots)
    count = np.bincount(flat[known], minlength=days * cells.slots)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return LocalDays(first, mean.reshape(days, cells.slots), (int(cells.day[-1]), int(cells.slot[-1])))


def local_days_of(task: ForecastTask, history: History) -> tuple[LocalDays, Cells]:
    """The history's table, long enough for the targets, and the targets' cells."""
    targets = cells_of(task.grid, task.site.timezone)
    table = to_local_days(history.values, history.grid, task.site.timezone, until_day=int(targets.day.max()))
    return table, targets


def days_back(cells: Cells, last_known: tuple[int, int]) -> Indices:
    """For each target the fewest whole days to go back to a cell that is in the past; at least 1."""
    day, slot = last_known
    return np.maximum(cells.day - day + (cells.slot > slot), 1)


def days_ahead(grid: TimeGrid, known: TimeGrid, zone: str) -> Indices:
    """For each interval how many days its lags must go back when so much is known."""  # (T,)
    last = cells_of(known, zone)
    return days_back(cells_of(grid, zone), (int(last.day[-1]), int(last.slot[-1])))
