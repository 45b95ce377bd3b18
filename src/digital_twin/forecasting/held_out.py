"""How good a model is, told by days that its fit did not see.

The model is fitted on everything before the last two weeks, then asked at the beginning of each of these days for the
24 hours that follow, with the readings up to there; the seasonal naive is asked the same. Weather forecasts that were
made in time are not kept, so that the scores are those of forecasts without.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Forecast, ForecastTask, History
from digital_twin.forecasting.registry import DEFAULT_LEVELS, make_forecast
from digital_twin.forecasting.scores import coverage, pinball_loss, root_mean_square_error
from digital_twin.forecasting.training import TrainingTask, first_steps, fit

YARDSTICK = "seasonal_naive"
COVERED = 0.9
DARK_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Score:
    """Of one model over the days held out; coverage is None where no interval could be wrong."""

    pinball_loss_kw: float
    rmse_kw: float
    coverage_90: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """A model beside the seasonal naive on the same days; of these only those with readings count."""

    start: datetime
    end: datetime
    days: int
    model: Score
    seasonal_naive: Score


def judge(task: TrainingTask) -> Scores:
    """The scores of the task's model on the last days of its history.

    Raises:
        InsufficientData: there is too little to learn from and be judged on.
    """
    task.require_history()
    first = task.held_out_from
    known = first_steps(task.history, first)
    fitted = fit(TrainingTask(task.variable, task.model, task.site, known, known.grid.end))
    lit = _lit_slots(task.variable, known)
    ours: list[Forecast] = []
    naive: list[Forecast] = []
    actual: list[Array] = []
    seen: list[Array] = []
    for origin in range(first, task.history.grid.steps, task.steps_a_day):
        day = task.history.values[origin : origin + task.steps_a_day]
        if np.isfinite(day).any():
            asked = task_at(task, origin)
            ours.append(make_forecast(asked, model=task.model, fitted=fitted))
            naive.append(make_forecast(asked, model=YARDSTICK))
            actual.append(day)
            seen.append(np.where(lit[_slots(asked.grid)], day, np.nan))
    return Scores(
        task.history.grid.instant(first),
        task.history.grid.end,
        len(actual),
        _score(ours, np.concatenate(actual), np.concatenate(seen)),
        _score(naive, np.concatenate(actual), np.concatenate(seen)),
    )


def task_at(task: TrainingTask, origin: int) -> ForecastTask:
    """The day from this interval on, with the readings before it."""
    grid = TimeGrid(task.history.grid.instant(origin), task.steps_a_day, task.history.grid.step_minutes)
    return ForecastTask(task.variable, grid, grid.start, task.site, first_steps(task.history, origin), None)


def _score(forecasts: list[Forecast], actual: Array, seen: Array) -> Score:
    quantiles = np.concatenate([one.quantiles for one in forecasts])
    mean = np.concatenate([one.mean for one in forecasts])
    intervals = [one.interval(COVERED) for one in forecasts]
    lower, upper = np.concatenate([low for low, _ in intervals]), np.concatenate([high for _, high in intervals])
    return Score(
        pinball_loss(actual, quantiles, DEFAULT_LEVELS),
        root_mean_square_error(actual, mean),
        coverage(seen, lower, upper) if np.isfinite(seen).any() else None,
    )


def _lit_slots(variable: str, history: History) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Slots of the UTC day that count for coverage: nights, at which generation cannot be wrong, do not."""  # (S,)
    slots = 1440 // history.grid.step_minutes
    if variable != "pv_kw":
        return np.ones(slots, dtype=np.bool_)
    highest = np.zeros(slots)
    np.maximum.at(highest, _slots(history.grid), np.nan_to_num(history.values))
    return highest > DARK_SHARE * highest.max()


def _slots(grid: TimeGrid) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return grid.starts.astype(np.int64) // 60 % 1440 // grid.step_minutes
