"""Models that were fitted once on what was known at an instant, and what they may be asked.

A forecast by a fitted model and one that fits the same model anew are the same numbers when both learn from the same
history. Later forecasts take their lags and their clouds from the latest readings, their coefficients from the fit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from digital_twin.domain.errors import InsufficientData
from digital_twin.forecasting.forecast import ForecastTask, Site
from digital_twin.forecasting.forecaster import FittedForecaster, TrainingTask, UpdatedDaily
from digital_twin.forecasting.registry import find_forecaster

STALE_AFTER = timedelta(days=7)
"""So long after its `as_of` a fitted model forecasts. Fits of up to a week lost 0.6 % against daily ones on the load of
17 homes and nothing on their generation; fits of up to two weeks lost 1.7 % and 0.3 %."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A model fitted for one variable of one site."""

    model: str
    variable: str
    site: Site
    step_minutes: int
    as_of: datetime
    fitted: FittedForecaster


def fit(model: str, task: TrainingTask) -> FittedModel:
    """Learn from the whole history.

    Raises:
        InvalidInput: there is no such model.
        InsufficientData: there is less history than the model needs.
    """
    forecaster = find_forecaster(model)
    found = task.history.days
    if found < forecaster.needed_days:
        raise InsufficientData(
            f"{model} needs {forecaster.needed_days:g} days of readings to learn from, found {found:.1f}",
            needed=forecaster.needed_days,
            found=round(found, 1),
        )
    fitted = forecaster.fit(task)
    return FittedModel(model, task.variable, task.site, task.history.grid.step_minutes, task.as_of, fitted)


def teach(model: FittedModel, task: TrainingTask) -> UpdatedDaily | None:
    """What was fitted, with what the days since have taught, as known at the task's `as_of`.

    None where there are no such days, the model learns nothing from them, or it was fitted for something else.
    """
    fitted = model.fitted
    is_same = (model.variable, model.site) == (task.variable, task.site)
    if not is_same or model.step_minutes != task.history.grid.step_minutes or not isinstance(fitted, UpdatedDaily):
        return None
    updated = fitted.update(task)
    return None if updated is fitted else updated


def suits(model: FittedModel, task: ForecastTask) -> bool:
    """Whether a forecast by the fitted model is what a new fit would be made for.

    It must be for this variable of this site as it is, at this resolution, neither newer than the forecast nor stale;
    must reach as far ahead; and must know what weather does where the task foresees it.
    """
    history = task.history
    is_same = (model.variable, model.site) == (task.variable, task.site)
    if not is_same or history is None or history.grid.step_minutes != model.step_minutes:
        return False
    if not timedelta() <= task.issued_at - model.as_of <= STALE_AFTER:
        return False
    return history.days >= find_forecaster(model.model).needed_days and model.fitted.suits(task)
