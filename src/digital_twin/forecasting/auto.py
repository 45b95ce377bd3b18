"""A forecast by the model that was asked for, or by the best one that the history is long enough for."""

from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.readings import TEMPERATURE
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.forecasting.feature_inputs import reaches_asked
from digital_twin.forecasting.forecast import Forecast, ForecastTask, History, Prediction
from digital_twin.forecasting.forecaster import TrainingTask, ask
from digital_twin.forecasting.registry import BEST, DEFAULT_LEVELS, describe_model, find_forecaster
from digital_twin.forecasting.training import FittedModel, suits

AUTO = "auto"
FEWEST_DAYS, RIDGE_DAYS, LONGEST_GAP_DAYS = 4, 21, 28
LONG, LONG_DAYS, YEAR_DAYS = "scenarios", 8, 365
"""The model for what ends so many days after the last reading, where no weather forecast reaches, from a year on."""


def make_forecast(
    task: ForecastTask,
    *,
    model: str = AUTO,
    levels: tuple[float, ...] = DEFAULT_LEVELS,
    fitted: FittedModel | None = None,
) -> Forecast:
    """The forecast of a task by the named model, fitted anew unless it is given `fitted` and this suits the task.

    `auto` takes physics for generation, and for load the ensemble where it was trained, else the best model that the
    history is long enough for.

    Raises:
        InvalidInput: there is no such model, or it cannot forecast this variable.
        InsufficientData: a model asked for by name needs more history.
    """
    name = model
    if model == AUTO:
        *trained, name = preferred_models(task)
        if fitted is not None and fitted.model in trained and suits(fitted, task):
            name = fitted.model
    description = describe_model(name)
    if task.variable not in description.variables:
        raise InvalidInput(f"the model {name} forecasts {', '.join(description.variables)} only", field="model")
    is_fitted = fitted is not None and fitted.model == name and suits(fitted, task)
    ordered = tuple(sorted(levels))
    if fitted is not None and is_fitted:
        prediction = ask(fitted.fitted, task, ordered)
    else:
        prediction = _fit_and_predict(name, task, ordered)
    history = task.history
    return Forecast(
        variable=task.variable,
        grid=task.grid,
        issued_at=task.issued_at,
        mean=prediction.mean,
        levels=ordered,
        quantiles=prediction.quantiles,
        model=name,
        assumptions=prediction.assumptions,
        was_fitted_before=is_fitted,
        data_start=history.grid.start if history else None,
        data_end=history.grid.end if history else None,
    )


def preferred_models(task: ForecastTask) -> tuple[str, ...]:
    """The models that `auto` stands for, the best first: the last one can be fitted in the asking, others are trained.

    Raises:
        InsufficientData: there is none.
    """
    name = choose_model(task)
    return (BEST[task.variable], name) if name in ("ridge_conformal", "seasonal_naive") else (name,)


def choose_model(task: ForecastTask) -> str:
    """The model that `auto` stands for where none was trained."""
    if task.variable == "pv_kw":
        return "pvwatts"
    days = task.history.days if task.history else 0.0
    if is_enough(task.history, task.grid.start):
        if days >= YEAR_DAYS and is_long(task):
            return LONG
        return "ridge_conformal" if days >= RIDGE_DAYS else "seasonal_naive"
    if task.variable == "load_kw":
        return "standard_load"
    raise InsufficientData(
        f"forecasting {task.variable} needs {FEWEST_DAYS} days of readings not older than {LONGEST_GAP_DAYS} days, "
        f"found {days:.1f} days",
        needed=FEWEST_DAYS,
        found=round(days, 1),
    )


def is_enough(history: History | None, start: datetime) -> bool:
    """Whether `auto` forecasts load or net load from these readings rather than from priors."""
    if history is None or history.days < FEWEST_DAYS:
        return False
    return start - history.grid.end <= timedelta(days=LONGEST_GAP_DAYS)


def is_long(task: ForecastTask) -> bool:
    """Whether it reaches further ahead than lags and weather forecasts tell of."""
    history = task.history
    if history is None or TEMPERATURE in (task.future_weather or {}):
        return False
    return task.grid.end - history.grid.end > timedelta(days=LONG_DAYS)


def _fit_and_predict(name: str, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """By a model that learns from just what the task knows, for no more than the task asks."""
    # weather that nobody foresees teaches those alone that bring their own
    history = (task.history if name == LONG else task.foreseen) or _nothing_known(task)
    asked = reaches_asked(task, history)
    wanted = TrainingTask(
        task.variable,
        task.site,
        history,
        history.grid.end,
        back=tuple(sorted({reach.back for reach in asked})),
        at_midnights=all(reach.whole == reach.back for reach in asked),
    )
    return ask(find_forecaster(name).fit(wanted), task, levels)


def _nothing_known(task: ForecastTask) -> History:
    step_minutes = task.grid.step_minutes
    last = floor_to_step(task.issued_at, step_minutes) - timedelta(minutes=step_minutes)
    return History(TimeGrid(last, 1, step_minutes), np.full(1, np.nan), {})
