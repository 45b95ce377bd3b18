"""The question of a forecast and its answer: a matrix of quantiles on a grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

VARIABLES = ("load_kw", "pv_kw", "net_load_kw")
"""What is forecast of a community."""


def least_of(variable: str) -> float:
    """What a value of this variable is at least: a net load may be negative, load and generation may not."""
    return -np.inf if variable.startswith("net_") else 0.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where the community is and how large."""

    latitude: float
    longitude: float
    timezone: str
    num_prosumers: int
    pv_capacity_kw: float
    country: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What was received until the forecast is issued; NaN where nothing was."""

    grid: TimeGrid
    values: Array  # (H,)
    weather: Mapping[str, Array]  # each (H,)

    @property
    def days(self) -> float:
        """How many days' worth of readings there are."""
        return float(np.isfinite(self.values).sum() * self.grid.step_hours / 24)


@dataclass(frozen=True, slots=True, eq=False)
class ForecastTask:
    """Forecast one variable on a grid from what was known at `issued_at`.

    Raises:
        InvalidInput: the history reaches beyond the instant of issue, or has another step than the grid.
    """

    variable: str
    grid: TimeGrid
    issued_at: datetime
    site: Site
    history: History | None
    future_weather: Mapping[str, Array] | None  # each (T,), a forecast known at issue

    def __post_init__(self) -> None:
        if self.history is None:
            return
        if self.history.grid.step_minutes != self.grid.step_minutes:
            raise InvalidInput("history and forecast must have the same resolution", field="resolution_minutes")
        if self.history.grid.end > max(self.issued_at, self.history.grid.start):
            ends = self.history.grid.starts + np.timedelta64(60 * self.history.grid.step_minutes, "s")
            beyond = ends > np.datetime64(int(self.issued_at.timestamp()), "s")
            if np.isfinite(self.history.values[beyond]).any():
                raise InvalidInput("the history holds values of intervals that end after the forecast is issued")

    @property
    def foreseen(self) -> History | None:
        """The history with that weather alone which is foreseen, too."""
        history, future = self.history, self.future_weather or {}
        if history is None:
            return None
        return History(
            history.grid, history.values, {name: one for name, one in history.weather.items() if name in future}
        )


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says: mean and quantiles at the levels it was asked for."""

    mean: Array  # (T,)
    quantiles: Array  # (T, Q)
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """A forecast with where it comes from; its quantiles never cross.

    Raises:
        InvalidInput: the model gave arrays of another shape, numbers that are not finite, or quantiles that cross.
    """

    variable: str
    grid: TimeGrid
    issued_at: datetime
    mean: Array  # (T,)
    levels: tuple[float, ...]
    quantiles: Array  # (T, Q)
    model: str
    assumptions: tuple[str, ...] = ()
    data_start: datetime | None = None
    data_end: datetime | None = None
    was_fitted_before: bool = False

    def __post_init__(self) -> None:
        steps, levels = self.grid.steps, len(self.levels)
        if self.mean.shape != (steps,) or self.quantiles.shape != (steps, levels):
            raise InvalidInput(
                f"the model {self.model} must give a mean of shape ({steps},) and quantiles of shape "
                f"({steps}, {levels}), it gave {self.mean.shape} and {self.quantiles.shape}",
                field="model",
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.quantiles).all()):
            raise InvalidInput(f"the model {self.model} gave numbers that are not finite", field="model")
        if (np.diff(self.quantiles, axis=1) < 0).any():
            raise InvalidInput(f"the model {self.model} gave quantiles that cross", field="model")

    def interval(self, confidence_level: float) -> tuple[Array, Array]:
        """Lower and upper bound that hold with this probability, interpolated between the levels where needed.

        Raises:
            InvalidInput: the levels do not reach that far.
        """
        tail = round((1 - confidence_level) / 2, 6)
        if tail < self.levels[0] - 1e-9 or 1 - tail > self.levels[-1] + 1e-9:
            raise InvalidInput(
                f"confidence_level must be at most {self.levels[-1] - self.levels[0]:g} for these quantiles",
                field="confidence_level",
            )
        return self._at(tail), self._at(1 - tail)

    def _at(self, level: float) -> Array:
        upper = min(max(int(np.searchsorted(self.levels, level - 1e-9)), 0), len(self.levels) - 1)
        lower = max(upper - 1, 0) if self.levels[upper] - level > 1e-9 else upper
        if upper == lower:
            return self.quantiles[:, upper]
        share = (level - self.levels[lower]) / (self.levels[upper] - self.levels[lower])
        return (1 - share) * self.quantiles[:, lower] + share * self.quantiles[:, upper]
