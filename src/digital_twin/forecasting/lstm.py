"""An LSTM that knows how communities behave and is taught what is particular to one.

It sees and answers by the hour. Finer steps follow the line from hour to hour, with what each step of the day was off
that line of late, and are as much less certain as they scattered around it.
"""

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.feature_inputs import NEEDED_DAYS, enough_history
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction
from digital_twin.forecasting.forecaster import Arrays, TrainingTask
from digital_twin.forecasting.local_days import cells_of, days_back
from digital_twin.forecasting.lstm_inputs import (
    DAYS,
    HOURS,
    WEATHER,
    foreseen_weather,
    hour_of,
    hourly_series,
    windows_of,
)
from digital_twin.forecasting.lstm_network import LEVELS, Weights, quantiles_of, shipped_base
from digital_twin.forecasting.within_hours import days_of_late, quantiles_within_hours

FEWEST_RECENT_DAYS = 7.0
"""Of the last four weeks, from which level and spread are taken."""

MARGIN_DAYS = 2


@dataclass(frozen=True, slots=True, eq=False)
class FittedLstm:
    """The weights after what one community taught."""

    weights: Weights
    weather: tuple[str, ...]
    step_minutes: int
    farthest_back: int

    def suits(self, task: ForecastTask) -> bool:
        history, foreseen = task.history, task.future_weather or {}
        if (
            history is None
            or history.grid.step_minutes != self.step_minutes
            or _days_of_late(history) < FEWEST_RECENT_DAYS
        ):
            return False
        if not all(name in history.weather and name in foreseen for name in self.weather):
            return False
        if not all(np.isfinite(foreseen[name]).all() for name in self.weather):
            return False
        last = cells_of(
            TimeGrid(history.grid.instant(history.grid.steps - 1), 1, self.step_minutes), task.site.timezone
        )
        back = days_back(cells_of(task.grid, task.site.timezone), (int(last.day[0]), int(last.slot[0])))
        return int(back.max()) <= self.farthest_back

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """The hours between the last known one and the targets' end, by days, and of these the targets.

        Raises:
            InsufficientData: of the last four weeks too little is known.
        """
        history = _late(task.history)
        series = hourly_series(history, task.site, self.weather, task)
        targets = cells_of(task.grid, task.site.timezone)
        hour = hour_of(targets, series.first_day)
        end = min(series.end, int(hour.min()))
        back = np.arange((int(hour.min()) - end) // HOURS, (int(hour.max()) - end) // HOURS + 1) + 1
        windows = windows_of(series, np.full(back.size, end), back)
        quantiles = quantiles_of(self.weights, windows).reshape(-1, len(LEVELS))
        first = end + HOURS * (int(back[0]) - 1)
        parts = targets.slots // HOURS
        if parts > 1:
            quantiles = quantiles_within_hours(quantiles, days_of_late(history, task.site.timezone), first % HOURS)
        step = (targets.day - series.first_day) * targets.slots + targets.slot - first * parts
        at_levels = quantiles[step]
        return Prediction(at_levels @ _mean_shares(), at_levels @ _between(levels))

    def to_arrays(self) -> Arrays:
        return {
            **self.weights.to_arrays(),
            "sees": np.array([name in self.weather for name in WEATHER]),
            "step_minutes": np.array(self.step_minutes),
            "farthest_back": np.array(self.farthest_back),
        }


@dataclass(frozen=True, slots=True)
class Lstm:
    """Fine-tunes the base that comes along."""

    @property
    def needed_days(self) -> float:
        return NEEDED_DAYS

    def fit(self, task: TrainingTask) -> FittedLstm:
        """Teach the base this community.

        Raises:
            InsufficientData: less than three weeks of readings, or hardly any of late.
        """
        from digital_twin.forecasting.lstm_training import FIRST, series_of, train

        enough_history(task.history, "lstm")
        weights = train(shipped_base(), [series_of(task)], task.back, FIRST)
        weather, step_minutes = foreseen_weather(task.history), task.history.grid.step_minutes
        return FittedLstm(weights, weather, step_minutes, max(task.back))

    def from_arrays(self, arrays: Arrays) -> FittedLstm:
        weather = tuple(name for name, sees in zip(WEATHER, arrays["sees"], strict=True) if sees)
        return FittedLstm(Weights.of(arrays), weather, int(arrays["step_minutes"]), int(arrays["farthest_back"]))


lstm = Lstm()


def _days_of_late(history: History) -> float:
    """How many of the last four weeks' days are known."""
    steps = DAYS * 1440 // history.grid.step_minutes
    return float(np.isfinite(history.values[-steps:]).sum()) * history.grid.step_hours / 24


def _late(history: History | None) -> History:
    """The part of a history that a window sees. Raises InsufficientData where hardly any of it is known."""
    if history is None or (found := _days_of_late(history)) < FEWEST_RECENT_DAYS:
        found = 0.0 if history is None else _days_of_late(history)
        raise InsufficientData(
            f"lstm needs {FEWEST_RECENT_DAYS:g} days of readings in the last {DAYS} days, found {found:.1f}",
            needed=FEWEST_RECENT_DAYS,
            found=round(found, 1),
        )
    grid = history.grid
    first = max(0, grid.steps - (DAYS + MARGIN_DAYS) * 1440 // grid.step_minutes)
    late = TimeGrid(grid.instant(first), grid.steps - first, grid.step_minutes)
    return History(late, history.values[first:], {name: one[first:] for name, one in history.weather.items()})


@cache
def _between(levels: tuple[float, ...]) -> Array:
    """How much of each level of the network makes up those asked for, on the scale of normal scores."""  # (Q, L)
    own, wanted = ([NormalDist().inv_cdf(level) for level in some] for some in (LEVELS, levels))
    return np.stack([np.interp(wanted, own, one) for one in np.eye(len(LEVELS))])


@cache
def _mean_shares() -> Array:
    """How much each level counts in the mean: the probability nearest to it."""  # (Q,)
    bounds = np.concatenate([[0.0], (np.array(LEVELS[1:]) + np.array(LEVELS[:-1])) / 2, [1.0]])
    return np.diff(bounds)
