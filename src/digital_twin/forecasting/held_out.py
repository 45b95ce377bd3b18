"""How good a model is, told by days that its fit did not see.

The last two weeks are gone through as if they came: fitted on everything before them, and on everything before the
second one, the model is asked at the beginning of each day for the 24 hours that follow, with the readings up to there
and the weather as it was foreseen; the seasonal naive is asked the same.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.backtest import in_service
from digital_twin.forecasting.forecast import Forecast, ForecastTask, History
from digital_twin.forecasting.forecaster import TrainingTask, first_steps
from digital_twin.forecasting.past_days import task_between
from digital_twin.forecasting.registry import DEFAULT_LEVELS, find_forecaster
from digital_twin.forecasting.scores import coverage, pinball_loss, root_mean_square_error
from digital_twin.forecasting.training import FittedModel, suits

HELD_OUT_DAYS = 14
FEWEST_JUDGED_DAYS = 7
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


def require_history(model: str, task: TrainingTask) -> None:
    """Raises InsufficientData when there is too little to learn from and be judged on."""
    needed_days = find_forecaster(model).needed_days
    learned, judged = 0.0, 0
    first = held_out_from(task)
    if first > 0:
        learned = first_steps(task.history, first).days
        days = task.history.values[first:].reshape(HELD_OUT_DAYS, -1)
        judged = int(np.isfinite(days).any(axis=1).sum())
    if learned < needed_days or judged < FEWEST_JUDGED_DAYS:
        raise InsufficientData(
            f"training {model} on {task.variable} needs {needed_days + HELD_OUT_DAYS:g} days of readings: "
            f"{needed_days:g} to learn from, then {HELD_OUT_DAYS} to be judged on of which at least "
            f"{FEWEST_JUDGED_DAYS} have readings; found {task.history.days:.1f} days",
            needed=needed_days + HELD_OUT_DAYS,
            found=round(task.history.days, 1),
        )


def held_out_from(task: TrainingTask) -> int:
    """The interval at which the days begin that the scores are made on; may lie before the history."""
    return task.history.grid.steps - HELD_OUT_DAYS * task.steps_a_day


def judge(model: str, task: TrainingTask) -> Scores:
    """The scores of a model on the last days of the history.

    A day for which the weather that the fit needs was not foreseen does not count, unless hardly any other is left:
    then all are forecast without weather.

    Raises:
        InsufficientData: there is too little to learn from and be judged on.
    """
    require_history(model, task)
    first = held_out_from(task)
    begins = range(first, task.history.grid.steps, task.steps_a_day)
    lit = _lit_slots(task.variable, first_steps(task.history, first))
    ours: list[Forecast] = []
    naive: list[Forecast] = []
    actual: list[Array] = []
    seen: list[Array] = []
    for origin, fitted in zip(begins, in_service(find_forecaster(model), task, begins), strict=True):
        day, asked = task.history.values[origin : origin + task.steps_a_day], task_at(task, origin)
        serving = FittedModel(model, task.variable, task.site, asked.grid.step_minutes, asked.issued_at, fitted)
        if np.isfinite(day).any() and (suits(serving, asked) or not task.history.weather):
            ours.append(make_forecast(asked, model=model, fitted=serving))
            naive.append(make_forecast(asked, model=YARDSTICK))
            actual.append(day)
            seen.append(np.where(lit[_slots(asked.grid)], day, np.nan))
    if len(actual) < FEWEST_JUDGED_DAYS and task.history.weather:
        return judge(model, replace(task, history=replace(task.history, weather={})))
    return Scores(
        task.history.grid.instant(first),
        task.history.grid.end,
        len(actual),
        _score(ours, np.concatenate(actual), np.concatenate(seen)),
        _score(naive, np.concatenate(actual), np.concatenate(seen)),
    )


def task_at(task: TrainingTask, origin: int) -> ForecastTask:
    """The day from this interval on, with the readings before it."""
    return task_between(task, origin, origin + task.steps_a_day)


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
