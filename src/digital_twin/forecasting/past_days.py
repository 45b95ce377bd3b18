"""What a fitted model would have said at past local midnights of the day that began, with what was known then."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask
from digital_twin.forecasting.forecaster import FittedForecaster, TrainingTask, ask, first_steps
from digital_twin.forecasting.local_days import Indices, cells_of


@dataclass(frozen=True, slots=True, eq=False)
class WholeDays:
    """The local days that a grid holds from midnight to midnight."""

    day: Indices  # (D,) days since 1970-01-01, local
    first: Indices  # (D,) the interval that each begins with
    last: Indices  # (D,) the one after its end
    slot: Indices  # (T,) of every interval of the grid
    slots: int

    def since(self, day: int) -> "WholeDays":
        """Those from this day on."""
        return self._only(self.day >= day)

    def latest(self, days: int) -> "WholeDays":
        """The last so many."""
        return self._only(np.arange(self.day.size) >= self.day.size - days)

    def only(self, place: int) -> "WholeDays":
        """The one at this place."""
        return self._only(np.arange(self.day.size) == place)

    def _only(self, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "WholeDays":
        return WholeDays(self.day[chosen], self.first[chosen], self.last[chosen], self.slot, self.slots)


def whole_days(grid: TimeGrid, zone: str) -> WholeDays:
    """The local days of a grid but for those that it begins or ends within."""
    cells = cells_of(grid, zone)
    begins = np.flatnonzero(np.diff(cells.day, prepend=-1))
    ends = np.append(begins[1:], cells.day.size)
    following = np.append(cells.day[begins[1:]], cells_of(TimeGrid(grid.end, 1, grid.step_minutes), zone).day)
    whole = (cells.slot[begins] == 0) & (cells.day[begins] < following)
    return WholeDays(cells.day[begins[whole]], begins[whole], ends[whole], cells.slot, cells.slots)


def actual_days(task: TrainingTask, days: WholeDays) -> Array:
    """What happened on them, NaN where unknown and where the clock skipped an hour."""  # (D, S)
    table = np.full((days.day.size, days.slots), np.nan)
    for row, (first, last) in enumerate(zip(days.first, days.last, strict=True)):
        table[row, days.slot[first:last]] = task.history.values[first:last]
    return table


def ask_days(fitted: FittedForecaster, task: TrainingTask, days: WholeDays, levels: Sequence[float]) -> Array:
    """The quantiles of each day as they would have been forecast at its beginning; NaN where that could not be.

    Of an hour that the clock repeats the second counts.
    """  # -> (D, S, Q)
    wanted = tuple(levels)
    table = np.full((days.day.size, days.slots, len(wanted)), np.nan)
    for row, asked in enumerate(tasks_of(task, days)):
        if not fitted.suits(asked):
            continue
        try:
            predicted = ask(fitted, asked, wanted).quantiles
        except InsufficientData:
            continue
        table[row, days.slot[days.first[row] : days.last[row]]] = predicted
    return table


def tasks_of(task: TrainingTask, days: WholeDays) -> Iterator[ForecastTask]:
    """The question at each midnight."""
    for first, last in zip(days.first.tolist(), days.last.tolist(), strict=True):
        yield task_between(task, first, last)


def task_between(task: TrainingTask, first: int, last: int) -> ForecastTask:
    """The question about these intervals as the first begins: the readings before it, and the weather as foreseen.

    As in service, weather that was not foreseen for all of them counts for nothing.
    """
    history = task.history
    grid = TimeGrid(history.grid.instant(first), last - first, history.grid.step_minutes)
    foreseen = {name: values[first:last] for name, values in history.weather.items()}
    whole = {name: one for name, one in foreseen.items() if one.size == grid.steps and np.isfinite(one).all()}
    known = first_steps(history, first) if first else None
    return ForecastTask(task.variable, grid, grid.start, task.site, known, whole or None)
