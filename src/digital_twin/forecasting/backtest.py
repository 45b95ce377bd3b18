"""How models would have done: asked at past midnights through the code that serves forecasts, fitted anew as it goes.

For each day a model knows what was known at its beginning, no more: it was fitted on readings from before, at most so
many days ago, and one that learns daily without fitting has done so each morning.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.units import Array
from digital_twin.forecasting.ensemble import LEVELS
from digital_twin.forecasting.forecaster import FittedForecaster, Forecaster, TrainingTask, UpdatedDaily, first_steps
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.past_days import WholeDays, actual_days, ask_days, whole_days
from digital_twin.forecasting.scores import Estimate, coverage_of_days, pinball_losses, ratio_of_days

REFIT_DAYS = 7
SCORED = slice(1, -1)
"""The levels that losses are the mean over: 2.5 to 97.5 %, as is usual in the literature, not the outermost."""


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """What one or more models said of the same days, and what happened."""

    day: Indices  # (D,) days since 1970-01-01, local
    actual: Array  # (D, S) NaN where unknown
    quantiles: Mapping[str, Array]  # each (D, S, Q) at LEVELS, NaN where a model could not say

    def daily_loss(self, model: str) -> Array:
        """Mean pinball loss of each day, NaN for days without readings or forecast."""  # (D,)
        return self._mean_losses(model, 1)[:, 0]

    def hourly_loss(self, model: str) -> Array:
        """The same of each hour since midnight, which is how far ahead it was forecast."""  # (D, 24)
        return self._mean_losses(model, 24)

    def _mean_losses(self, model: str, parts: int) -> Array:
        """Of each part of each day."""  # (D, parts)
        losses = pinball_losses(self.actual, self.quantiles[model], LEVELS)[:, :, SCORED]
        losses = losses.reshape(len(losses), parts, -1)
        known = np.isfinite(losses)
        total, count = np.where(known, losses, 0.0).sum(axis=2), known.sum(axis=2)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def relative_loss(self, model: str) -> float:
        """Pinball loss as a fraction of the mean of what happened on the days that the model forecast."""
        said = np.isfinite(self.quantiles[model][:, :, 0])
        losses = pinball_losses(self.actual, self.quantiles[model], LEVELS)[:, :, SCORED]
        return float(np.nanmean(losses) / np.nanmean(np.abs(np.where(said, self.actual, np.nan))))

    def loss_ratio(self, model: str, other: str, generator: np.random.Generator) -> Estimate:
        """How many times the other's loss, on the days that both forecast."""
        ours, theirs = self.daily_loss(model), self.daily_loss(other)
        both = np.isfinite(ours) & np.isfinite(theirs)
        return ratio_of_days(ours[both], theirs[both], generator)

    def coverage(self, model: str, confidence_level: float, generator: np.random.Generator) -> Estimate:
        """How often its interval held; the bounds must be among LEVELS."""
        low, high = (int(np.argmin(np.abs(np.array(LEVELS) - 0.5 - side))) for side in _sides(confidence_level))
        said = self.quantiles[model]
        actual = np.where(np.isfinite(said[:, :, 0]), self.actual, np.nan)
        known = np.isfinite(actual).any(axis=1)
        return coverage_of_days(actual[known], said[known, :, low], said[known, :, high], generator)


def _sides(confidence_level: float) -> tuple[float, float]:
    return -confidence_level / 2, confidence_level / 2


def backtest(
    task: TrainingTask, forecasters: Mapping[str, Forecaster], *, days: int, refit_days: int = REFIT_DAYS
) -> Backtest:
    """What each model would have said of the last whole days of the task's history.

    Raises:
        InsufficientData: there are no such days, or a model had too little to learn from before them.
    """
    judged = whole_days(task.history.grid, task.site.timezone).latest(days)
    if not judged.day.size or not judged.first[0]:
        raise InsufficientData("there are no readings from before the days to be judged", needed=1, found=0)
    said = {name: _follow(one, task, judged, refit_days) for name, one in forecasters.items()}
    return Backtest(judged.day, actual_days(task, judged), said)


def _follow(forecaster: Forecaster, task: TrainingTask, judged: WholeDays, refit_days: int) -> Array:
    """One model through the days."""  # (D, S, Q)
    serving = in_service(forecaster, task, judged.first.tolist(), refit_days)
    return np.concatenate([ask_days(fitted, task, judged.only(place), LEVELS) for place, fitted in enumerate(serving)])


def in_service(
    forecaster: Forecaster, task: TrainingTask, begins: Iterable[int], refit_days: int = REFIT_DAYS
) -> Iterator[FittedForecaster]:
    """A model as it would have served on days that begin with these intervals, from what was known by then."""
    fitted: FittedForecaster | None = None
    for place, step in enumerate(begins):
        known = known_at(task, step)
        if fitted is None or place % refit_days == 0:
            fitted = forecaster.fit(known)
        elif isinstance(fitted, UpdatedDaily):
            fitted = fitted.update(known)
        yield fitted


def known_at(task: TrainingTask, step: int) -> TrainingTask:
    """The task as it was when this interval began."""
    known = first_steps(task.history, step)
    return TrainingTask(task.variable, task.site, known, known.grid.end, task.back)
