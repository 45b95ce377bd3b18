"""Models that learn: fitted once on what was known at an instant, then asked for many forecasts.

A forecast by a fitted model and one that fits the same model anew are the same numbers when both learn from the same
history. Later forecasts take their lags and their clouds from the latest readings, their coefficients from the fit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid, as_utc
from digital_twin.forecasting import pv, regression
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.orientation import FITTING_DAYS

BACK_DAYS = (1, 2, 3)
"""Enough for two days ahead from any hour of the day; who asks for more has the model fitted for it."""

STALE_AFTER = timedelta(days=7)
"""So long after its `as_of` a fitted model forecasts. Fits of up to a week lost 0.6 % against daily ones on the load of
17 homes and nothing on their generation; fits of up to two weeks lost 1.7 % and 0.3 %."""

HELD_OUT_DAYS = 14
FEWEST_JUDGED_DAYS = 7

_CALIBRATED = "ridge_conformal"
NEEDED_DAYS = {"ridge": regression.NEEDED_DAYS, _CALIBRATED: regression.NEEDED_DAYS, "pvwatts": FITTING_DAYS}
"""The models that learn, and the days of readings that each learns from at least."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTask:
    """Fit a model to a variable from what was known at `as_of`; whatever the history holds beyond is cut off.

    Raises:
        InvalidInput: the model has nothing to learn.
    """

    variable: str
    model: str
    site: Site
    history: History
    as_of: datetime

    def __post_init__(self) -> None:
        if self.model not in NEEDED_DAYS:
            raise InvalidInput(f"model must be one of {', '.join(NEEDED_DAYS)} to be trained", field="models")
        object.__setattr__(self, "as_of", as_utc(self.as_of, "as_of"))
        object.__setattr__(self, "history", history_until(self.history, self.as_of))

    @property
    def steps_a_day(self) -> int:
        return 1440 // self.history.grid.step_minutes

    @property
    def held_out_from(self) -> int:
        """The interval at which the days begin that the scores are made on; may lie before the history."""
        return self.history.grid.steps - HELD_OUT_DAYS * self.steps_a_day

    def require_history(self) -> None:
        """Raises InsufficientData when there is too little to learn from and be judged on."""
        learned, first = 0.0, self.held_out_from
        judged = 0
        if first > 0:
            learned = first_steps(self.history, first).days
            days = self.history.values[first:].reshape(HELD_OUT_DAYS, -1)
            judged = int(np.isfinite(days).any(axis=1).sum())
        if learned < NEEDED_DAYS[self.model] or judged < FEWEST_JUDGED_DAYS:
            needed = NEEDED_DAYS[self.model] + HELD_OUT_DAYS
            raise InsufficientData(
                f"training {self.model} on {self.variable} needs {needed:g} days of readings: "
                f"{NEEDED_DAYS[self.model]:g} to learn from, then {HELD_OUT_DAYS} to be judged on of which at least "
                f"{FEWEST_JUDGED_DAYS} have readings; found {self.history.days:.1f} days",
                needed=needed,
                found=round(self.history.days, 1),
            )


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A model fitted for one variable of one site."""

    model: str
    variable: str
    site: Site
    step_minutes: int
    as_of: datetime
    fitted: regression.FittedRidge | pv.FittedPhotovoltaics
    with_temperature: regression.FittedRidge | None = None


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


def fit(task: TrainingTask) -> FittedModel:
    """Learn from the whole history.

    Raises:
        InsufficientData: there is less history than the model needs.
    """
    history, site = task.history, task.site
    if history.days < NEEDED_DAYS[task.model]:
        task.require_history()
    fitted = pv.fit_photovoltaics(history, site) if task.model == "pvwatts" else _fit_ridge(task, False)
    warm = None
    if task.model != "pvwatts" and regression.knows_temperature(history):
        warm = _fit_ridge(task, True)
    return FittedModel(task.model, task.variable, site, history.grid.step_minutes, task.as_of, fitted, warm)


def _fit_ridge(task: TrainingTask, with_temperature: bool) -> regression.FittedRidge:
    return regression.fit_ridge(
        task.history,
        task.site,
        back=BACK_DAYS,
        calibrated=BACK_DAYS if task.model == _CALIBRATED else (),
        with_temperature=with_temperature,
    )


def suits(model: FittedModel, task: ForecastTask) -> bool:
    """Whether a forecast by the fitted model is what a new fit would be made for.

    It must be for this variable of this site as it is, at this resolution, neither newer than the forecast nor stale;
    must reach as far ahead; and must know what temperature does where the task foresees it.
    """
    history = task.history
    is_same = (model.variable, model.site) == (task.variable, task.site)
    if not is_same or history is None or history.grid.step_minutes != model.step_minutes:
        return False
    if history.days < NEEDED_DAYS[model.model] or not timedelta() <= task.issued_at - model.as_of <= STALE_AFTER:
        return False
    if isinstance(model.fitted, pv.FittedPhotovoltaics):
        return True
    chosen = _ridge_for(model, model.fitted, task, history)
    back = regression.days_ahead(task, history)
    if chosen is None or not set(back.tolist()) <= set(chosen.slots):
        return False
    return model.model != _CALIBRATED or regression.typical_back(back) in chosen.shifts


def predict(model: FittedModel, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """The forecast of a task that the model suits."""
    if isinstance(model.fitted, pv.FittedPhotovoltaics):
        return pv.predict_photovoltaics(model.fitted, task, levels)
    history = regression.enough_history(task.history)
    chosen = _ridge_for(model, model.fitted, task, history)
    if chosen is None:
        raise InvalidInput("the model was fitted without the temperature that this forecast foresees", field="model")
    return regression.predict_ridge(chosen, task, levels)


def _ridge_for(
    model: FittedModel, plain: regression.FittedRidge, task: ForecastTask, history: History
) -> regression.FittedRidge | None:
    if regression.foresees_temperature(task) and regression.knows_temperature(history):
        return model.with_temperature
    return plain
