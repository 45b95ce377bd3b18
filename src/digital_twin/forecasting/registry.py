"""The models by name, and the choice among them.

A model is a function of a task and the levels wanted. Others are added by packages that declare the entry point group
`digital_twin.forecasters`; each is imported when it is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from importlib.metadata import entry_points

import numpy as np

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.forecasting.forecast import Forecast, ForecastTask, History, Prediction
from digital_twin.forecasting.training import FittedModel, predict, suits

Forecaster = Callable[[ForecastTask, tuple[float, ...]], Prediction]

DEFAULT_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
AUTO = "auto"
ENTRY_POINTS = "digital_twin.forecasters"
FEWEST_DAYS, RIDGE_DAYS, LONGEST_GAP_DAYS = 4, 21, 28


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model for people who choose one."""

    name: str
    variables: tuple[str, ...]
    needs: str
    reference: str
    where: str


_LOAD = ("load_kw", "net_load_kw")
MODELS = {
    model.name: model
    for model in (
        ModelDescription(
            "standard_load", ("load_kw",), "nothing", "BDEW H0 (1999)", "digital_twin.forecasting.priors:standard_load"
        ),
        ModelDescription(
            "seasonal_naive",
            (*_LOAD, "pv_kw"),
            "2 days of readings",
            "Hyndman and Athanasopoulos (2021), section 5.2",
            "digital_twin.forecasting.naive:seasonal_naive",
        ),
        ModelDescription(
            "ridge",
            (*_LOAD, "pv_kw"),
            "21 days of readings",
            "Hastie, Tibshirani and Friedman (2009), section 3.4",
            "digital_twin.forecasting.regression:ridge",
        ),
        ModelDescription(
            "ridge_conformal",
            (*_LOAD, "pv_kw"),
            "21 days of readings; calibrated from 28 days on",
            "Gibbs and Candes (2021)",
            "digital_twin.forecasting.regression:calibrated_ridge",
        ),
        ModelDescription(
            "pvwatts",
            ("pv_kw",),
            "nothing; learns orientation and clouds from 14 days of readings",
            "Dobos (2014), NREL/TP-6A20-62641",
            "digital_twin.forecasting.pv:photovoltaics",
        ),
    )
}


def list_models() -> list[ModelDescription]:
    """Every model there is, those of plug-ins last."""
    added = [
        ModelDescription(
            point.name, (*_LOAD, "pv_kw"), "see the plug-in", point.dist.name if point.dist else "", point.value
        )
        for point in entry_points(group=ENTRY_POINTS)
        if point.name not in MODELS
    ]
    return [*MODELS.values(), *added]


def describe_model(name: str) -> ModelDescription:
    """The model of that name. Raises InvalidInput where there is none."""
    if name in MODELS:
        return MODELS[name]  # without asking every installed package what it declares, which takes 30 ms
    known = {one.name: one for one in list_models()}
    if name not in known:
        raise InvalidInput(f"model must be auto or one of {', '.join(known)}", field="model")
    return known[name]


def make_forecast(
    task: ForecastTask,
    *,
    model: str = AUTO,
    levels: tuple[float, ...] = DEFAULT_LEVELS,
    fitted: FittedModel | None = None,
) -> Forecast:
    """The forecast of a task by the named model, fitted anew unless it is given `fitted` and this suits the task.

    `auto` takes physics for generation, and for load the best model that the history is long enough for.

    Raises:
        InvalidInput: there is no such model, or it cannot forecast this variable.
        InsufficientData: a model asked for by name needs more history.
    """
    name = choose_model(task) if model == AUTO else model
    description = describe_model(name)
    if task.variable not in description.variables:
        raise InvalidInput(f"the model {name} forecasts {', '.join(description.variables)} only", field="model")
    is_fitted = fitted is not None and fitted.model == name and suits(fitted, task)
    if fitted is not None and is_fitted:
        prediction = predict(fitted, task, tuple(sorted(levels)))
    else:
        prediction = _resolve(description)(task, tuple(sorted(levels)))
    history = task.history
    low = -np.inf if task.variable.startswith("net_") else 0.0
    return Forecast(
        variable=task.variable,
        grid=task.grid,
        issued_at=task.issued_at,
        mean=np.maximum(prediction.mean, low),
        levels=tuple(sorted(levels)),
        quantiles=np.maximum(prediction.quantiles, low),
        model=name,
        assumptions=prediction.assumptions,
        was_fitted_before=is_fitted,
        data_start=history.grid.start if history else None,
        data_end=history.grid.end if history else None,
    )


def choose_model(task: ForecastTask) -> str:
    """The model that `auto` stands for."""
    if task.variable == "pv_kw":
        return "pvwatts"
    days = task.history.days if task.history else 0.0
    if is_enough(task.history, task.grid.start):
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


def _resolve(description: ModelDescription) -> Forecaster:
    module, _, name = description.where.partition(":")
    return getattr(import_module(module), name)
