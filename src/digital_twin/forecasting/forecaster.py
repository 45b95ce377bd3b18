"""What a forecasting model is: it learns once from a history, then answers many questions with what it learned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid, as_utc
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site, least_of
from digital_twin.forecasting.local_days import Reach, reaches_of

BACK_DAYS = (1, 2, 3)
"""Enough for two days ahead from any hour of the day; who asks for more has the model fitted for it."""

Arrays = Mapping[str, np.ndarray[Any, Any]]
"""Everything that a fitted model holds, by name: numbers and booleans, no objects."""


class FittedForecaster(Protocol):
    """What a model learned from a history; it never changes."""

    def suits(self, task: ForecastTask) -> bool:
        """Whether it can answer this task: its weather is foreseen, its lags reach as far back."""
        ...

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """The forecast from the task's own history and weather; finite, its quantiles in order.

        Asked twice it gives the same numbers. It imports no framework that was needed to learn.
        """
        ...

    def to_arrays(self) -> Arrays:
        """All of it, to be kept."""
        ...


@runtime_checkable
class UpdatedDaily(FittedForecaster, Protocol):
    """A fitted model that learns from the days since without being fitted anew."""

    def update(self, task: "TrainingTask") -> "UpdatedDaily":
        """With what the days since have taught; itself where there are none."""
        ...

    def lesson(self) -> Arrays:
        """All that an update changes of its forecasts, to be kept beside the fit."""
        ...

    def after(self, lesson: Arrays) -> FittedForecaster:
        """The fit forecasts from now on like the one whose lesson it is given."""
        ...


class Forecaster(Protocol):
    """A model: how to learn, and how to read what was kept."""

    @property
    def needed_days(self) -> float:
        """Days' worth of readings that it learns from at least."""
        ...

    def fit(self, task: "TrainingTask") -> FittedForecaster:
        """Learn from the whole history; the same task gives the same fit.

        Raises:
            InsufficientData: there is less than it needs.
        """
        ...

    def from_arrays(self, arrays: Arrays) -> FittedForecaster:
        """What `to_arrays` gave, again."""
        ...


def ask(fitted: FittedForecaster, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """What a fitted model says of what can be; every answer that counts is asked for here.

    Raises:
        InsufficientData: it cannot answer.
    """
    said, least = fitted.predict(task, levels), least_of(task.variable)
    return replace(said, mean=np.maximum(said.mean, least), quantiles=np.maximum(said.quantiles, least))


@dataclass(frozen=True, slots=True)
class Rule:
    """A model that has nothing to learn: it is its own fit."""

    rule: Callable[[ForecastTask, tuple[float, ...]], Prediction]
    needed_days: float = 0.0

    def fit(self, task: "TrainingTask") -> "Rule":
        return self

    def suits(self, task: ForecastTask) -> bool:
        return True

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        return self.rule(task, levels)

    def to_arrays(self) -> Arrays:
        return {}

    def from_arrays(self, arrays: Arrays) -> "Rule":
        return self


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTask:
    """Learn a variable of a site from what was known at `as_of`; whatever the history holds beyond is cut off.

    Weather in the history means that forecasts will be asked with the same weather foreseen.
    """

    variable: str
    site: Site
    history: History
    as_of: datetime
    back: tuple[int, ...] = BACK_DAYS
    """So many whole days before a target its lags must lie, for each target that will be asked."""

    at_midnights: bool = False
    """Whether nothing will be asked but when a day has ended: what is known then is known of whole days."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", as_utc(self.as_of, "as_of"))
        object.__setattr__(self, "history", history_until(self.history, self.as_of))

    @property
    def reaches(self) -> list[Reach]:
        """All that will be needed."""
        return [one for one in reaches_of(self.back) if one.whole == one.back or not self.at_midnights]

    @property
    def steps_a_day(self) -> int:
        return 1440 // self.history.grid.step_minutes


def history_until(history: History, instant: datetime) -> History:
    """The intervals that had ended by then. Raises InsufficientData where none had."""
    steps = int((instant - history.grid.start) / history.grid.step)
    if steps < 1:
        raise InsufficientData("there are no readings from before as_of", needed=1, found=0)
    return history if steps >= history.grid.steps else first_steps(history, steps)


def first_steps(history: History, steps: int) -> History:
    """The first so many intervals."""
    grid = TimeGrid(history.grid.start, steps, history.grid.step_minutes)
    return History(grid, history.values[:steps], {name: one[:steps] for name, one in history.weather.items()})


def last_days(history: History, days: int) -> History:
    """At most so many days' worth of intervals from its end."""
    first = max(0, history.grid.steps - days * 1440 // history.grid.step_minutes)
    grid = TimeGrid(history.grid.instant(first), history.grid.steps - first, history.grid.step_minutes)
    return History(grid, history.values[first:], {name: one[first:] for name, one in history.weather.items()})
