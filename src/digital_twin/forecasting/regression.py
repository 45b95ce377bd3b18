"""Ridge regression with one set of coefficients for each slot of the day, all slots solved at once.

Fitted on one history it forecasts from any later one: the lags are new, the coefficients stay. A target that lies so
many days after the last known day has coefficients of its own, fitted on lags that go as many days back.

Source: closed-form leave-one-out residuals e_i / (1 - h_ii) of ridge regression, Hastie, Tibshirani and Friedman
(2009), The Elements of Statistical Learning, section 7.10.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import adaptive_shifts
from digital_twin.forecasting.features import (
    MONTH,
    WEEK,
    FeatureDesign,
    FeatureInputs,
    design_features,
    load_features,
    usual_of_slots,
)
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.forecaster import BACK_DAYS, Arrays, TrainingTask
from digital_twin.forecasting.local_days import Cells, cells_of, days_ahead, to_local_days
from digital_twin.forecasting.naive import residual_quantiles

NEEDED_DAYS = 21.0
HALF_LIFE_DAYS = 120.0
PENALTY = 3.0
RESIDUAL_DAYS = 60
LARGEST_LEVERAGE = 0.8
BACKTEST_DAYS = 28
REFIT_DAYS = 7
CALIBRATED_LEVELS = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995)
"""Shifts are learned for these and interpolated between them."""

TEMPERATURE = "temperature_c"
MOST_MISSING_TEMPERATURE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class FittedSlots:
    """Coefficients of every slot on standardised features, and the latest leave-one-out residuals."""

    center: Array  # (S, P)
    scale: Array  # (S, P)
    coefficients: Array  # (S, P + 1), the last one is the intercept
    residuals: Array  # (S, R) NaN where unknown


@dataclass(frozen=True, slots=True, eq=False)
class FittedRidge:
    """What was learned from a history, by the number of days that lags go back."""

    design: FeatureDesign
    slots: Mapping[int, FittedSlots]
    shifts: Mapping[int, Array]  # (S, Q) of CALIBRATED_LEVELS; none for a plain ridge or after too few days

    @property
    def uses_temperature(self) -> bool:
        return self.design.temperature_knots_c is not None

    def suits(self, task: ForecastTask) -> bool:
        """Whether its lags go back as far, and it knows what the temperature does just where that is foreseen."""
        history = task.history
        if history is None or (knows_temperature(history) and foresees_temperature(task)) != self.uses_temperature:
            return False
        back = days_ahead(task.grid, history.grid, task.site.timezone)
        return set(back.tolist()) <= set(self.slots)

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        return predict_ridge(self, task, levels)

    def to_arrays(self) -> Arrays:
        knots_c = self.design.temperature_knots_c
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "usual": self.design.usual,
            "has_season": np.array(self.design.has_season),
            "knots_c": np.empty(0) if knots_c is None else knots_c,
            "back": np.array(list(self.slots)),
            "calibrated": np.array(list(self.shifts), dtype=np.int64),
            "shifts": np.stack(list(self.shifts.values())) if self.shifts else np.empty(0),
        }
        for name in _SLOT_ARRAYS:
            arrays[name] = np.stack([getattr(one, name) for one in self.slots.values()])
        return arrays


_SLOT_ARRAYS = ("center", "scale", "coefficients", "residuals")


@dataclass(frozen=True, slots=True)
class Ridge:
    """Ridge regression on lags, calendar and temperature, with leave-one-out residual quantiles.

    Calibrated, its quantiles are shifted by what a backtest over the last weeks, at most four, found missing.
    """

    is_calibrated: bool
    needed_days: float = NEEDED_DAYS

    def fit(self, task: TrainingTask) -> FittedRidge:
        """Raises InsufficientData with less than three weeks of history."""
        return fit_ridge(
            enough_history(task.history),
            task.site,
            back=task.back,
            calibrated=_calibrated(task.back) if self.is_calibrated else (),
            with_temperature=knows_temperature(task.history),
        )

    def from_arrays(self, arrays: Arrays) -> FittedRidge:
        knots_c = arrays["knots_c"]
        design = FeatureDesign(arrays["usual"], bool(arrays["has_season"]), knots_c if knots_c.size else None)
        slots = {
            int(days): FittedSlots(*(arrays[name][place] for name in _SLOT_ARRAYS))
            for place, days in enumerate(arrays["back"])
        }
        shifts = {int(days): arrays["shifts"][place] for place, days in enumerate(arrays["calibrated"])}
        return FittedRidge(design, slots, shifts)


ridge = Ridge(is_calibrated=False)
calibrated_ridge = Ridge(is_calibrated=True)


def _calibrated(back: tuple[int, ...]) -> tuple[int, ...]:
    """For which of them a calibration pays: what is asked for far ahead is calibrated in its middle."""
    return back if len(back) <= len(BACK_DAYS) else (back[len(back) // 2],)


def enough_history(history: History | None) -> History:
    """The history itself. Raises InsufficientData where it is too short to learn from."""
    if history is None or history.days < NEEDED_DAYS:
        found = 0.0 if history is None else history.days
        raise InsufficientData(
            f"ridge needs {NEEDED_DAYS:g} days of readings, found {found:.1f}", needed=NEEDED_DAYS, found=found
        )
    return history


def knows_temperature(history: History) -> bool:
    """Whether a history tells the temperature (almost) throughout."""
    known = history.weather.get(TEMPERATURE)
    return known is not None and float(np.isnan(known).mean()) <= MOST_MISSING_TEMPERATURE


def foresees_temperature(task: ForecastTask) -> bool:
    """Whether the temperature of every target was forecast."""
    return TEMPERATURE in (future := task.future_weather or {}) and bool(np.isfinite(future[TEMPERATURE]).all())


def fit_ridge(
    history: History, site: Site, *, back: Collection[int], calibrated: Collection[int], with_temperature: bool
) -> FittedRidge:
    """Learn from a history, for lags of so many days back, calibrated for some of them."""
    local = to_local_days(history.values, history.grid, site.timezone, until_day=0)
    temperature_c = _temperature_of(history, site) if with_temperature else None
    inputs = _inputs(local.table, local.first_day, site, temperature_c)
    design = design_features(inputs)
    slots: dict[int, FittedSlots] = {}
    shifts: dict[int, Array] = {}
    for days in sorted({*back, *calibrated}):
        features = load_features(inputs, days, design)
        if days in back:
            slots[days] = fit_slots(features, inputs.table, until=inputs.table.shape[0])
        if days in calibrated and (learned := _backtested_shifts(features, inputs.table, days)) is not None:
            shifts[days] = learned
    return FittedRidge(design, slots, shifts)


def predict_ridge(fitted: FittedRidge, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """Forecast from the task's history with coefficients that were fitted on this or an earlier one."""
    history = enough_history(task.history)
    back = days_ahead(task.grid, history.grid, task.site.timezone)
    targets = cells_of(task.grid, task.site.timezone)
    inputs, first_day = _recent_inputs(task, history, targets, oldest=int(back.max()), fitted=fitted)
    mean = np.empty(task.grid.steps)
    quantiles = np.empty((task.grid.steps, len(levels)))
    for days in np.unique(back).tolist():
        chosen, slots = back == days, fitted.slots[days]
        row, slot = targets.day[chosen] - first_day, targets.slot[chosen]
        features = load_features(inputs, days, fitted.design)
        mean[chosen] = predict_slots(slots, features)[slot, row]
        quantiles[chosen] = mean[chosen, None] + residual_quantiles(slots.residuals.T, levels)[slot]
    if fitted.shifts:
        typical = float(np.median(back))
        nearest = min(fitted.shifts, key=lambda days: abs(days - typical))
        quantiles += _at_levels(fitted.shifts[nearest], levels)[targets.slot]
    return Prediction(mean, np.sort(quantiles, axis=1))


def _backtested_shifts(features: Array, table: Array, days: int) -> Array | None:
    """What the quantiles of the last weeks lacked; None after too few days."""  # (S, Q)
    last = table.shape[0]
    first = max(last - BACKTEST_DAYS, int(NEEDED_DAYS) + days - 1)
    if last - first < REFIT_DAYS:
        return None
    predicted: list[Array] = []
    for start in range(first, last, REFIT_DAYS):
        # the refit knows what a forecast issued `days` before its first day knew
        fitted = fit_slots(features, table, until=start - days + 1)
        part = predict_slots(fitted, features[:, start : min(start + REFIT_DAYS, last)])
        quantiles = residual_quantiles(fitted.residuals.T, CALIBRATED_LEVELS)
        predicted.append(part.T[:, :, None] + quantiles[None])
    return adaptive_shifts(table[first:last], np.concatenate(predicted), CALIBRATED_LEVELS)


def _at_levels(shifts: Array, levels: tuple[float, ...]) -> Array:
    """Shifts of other levels, linear between those that were learned."""  # (S, Q)
    share = [np.interp(levels, CALIBRATED_LEVELS, one) for one in np.eye(len(CALIBRATED_LEVELS))]
    return shifts @ np.array(share)


def _inputs(table: Array, first_day: int, site: Site, temperature_c: Array | None) -> FeatureInputs:
    days = first_day + np.arange(table.shape[0])
    dates = days.astype("datetime64[D]")
    return FeatureInputs(
        table=table,
        weekday=(days + 3) % 7,
        holiday=holidays_of(site.country, days),
        day_of_year=(dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1,
        temperature_c=temperature_c,
    )


def _recent_inputs(
    task: ForecastTask, history: History, targets: Cells, *, oldest: int, fitted: FittedRidge
) -> tuple[FeatureInputs, int]:
    """The end of the table that the features of the targets reach back to, and its first day."""
    local = to_local_days(history.values, history.grid, task.site.timezone, until_day=int(targets.day.max()))
    first_day = max(local.first_day, int(targets.day.min()) - oldest - MONTH - WEEK)
    table = local.table[first_day - local.first_day :]
    temperature_c = None
    if fitted.uses_temperature and task.future_weather is not None:
        ahead = to_local_days(task.future_weather[TEMPERATURE], task.grid, task.site.timezone, until_day=0)
        temperature_c = np.full(table.shape, np.nan)
        temperature_c[ahead.first_day - first_day :] = ahead.table
    return _inputs(table, first_day, task.site, temperature_c), first_day


def _temperature_of(history: History, site: Site) -> Array:
    """The history's temperature, what is usual in the slot where one is missing."""  # (D, S)
    table = to_local_days(history.weather[TEMPERATURE], history.grid, site.timezone, until_day=0).table
    return np.where(np.isnan(table), usual_of_slots(table), table)


def fit_slots(features: Array, table: Array, *, until: int) -> FittedSlots:
    """Weighted ridge regression of each slot on the days before `until`; days without a value do not count.

    Args:
        features: finite everywhere.  # (S, D, P)
        table: the series, NaN where unknown.  # (D, S)
    """
    target = table[:until].T  # (S, D')
    known = np.isfinite(target)
    age_days = np.arange(until)[::-1]
    weight = np.where(known, 0.5 ** (age_days / HALF_LIFE_DAYS), 0.0)
    x = features[:, :until]
    total = np.maximum(weight.sum(axis=1), 1e-12)[:, None]
    center = np.einsum("sd,sdp->sp", weight, x) / total
    scale = np.sqrt(np.einsum("sd,sdp->sp", weight, (x - center[:, None]) ** 2) / total) + 1e-9
    design = np.concatenate([(x - center[:, None]) / scale[:, None], np.ones((*x.shape[:2], 1))], axis=2)
    weighted = design * np.sqrt(weight)[:, :, None]
    gram = weighted.transpose(0, 2, 1) @ weighted + PENALTY * np.eye(design.shape[2])
    y = np.where(known, target, 0.0)
    inverse = np.linalg.inv(gram)
    coefficients = (inverse @ (weighted.transpose(0, 2, 1) @ (y * np.sqrt(weight))[:, :, None]))[:, :, 0]
    recent = slice(max(0, until - RESIDUAL_DAYS), until)
    part = weighted[:, recent]
    leverage = np.einsum("sdp,spq,sdq->sd", part, inverse, part, optimize=True)
    fitted = np.einsum("sdp,sp->sd", design[:, recent], coefficients)
    error = (target[:, recent] - fitted) / (1 - np.minimum(leverage, LARGEST_LEVERAGE))
    return FittedSlots(center, scale, coefficients, error)


def predict_slots(fitted: FittedSlots, features: Array) -> Array:
    """The regression's value for every slot and day."""  # (S, D)
    slopes, intercept = fitted.coefficients[:, :-1], fitted.coefficients[:, -1]
    standard = (features - fitted.center[:, None]) / fitted.scale[:, None]
    return np.einsum("sdp,sp->sd", standard, slopes) + intercept[:, None]
