"""Ridge regression with one set of coefficients for each slot of the day, all slots solved at once.

Source: closed-form leave-one-out residuals e_i / (1 - h_ii) of ridge regression, Hastie, Tibshirani and Friedman
(2009), The Elements of Statistical Learning, section 7.10.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import adaptive_shifts
from digital_twin.forecasting.features import FeatureInputs, holidays_of, load_features
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.local_days import Indices, LocalDays, cells_of, days_back, local_days_of, to_local_days
from digital_twin.forecasting.naive import residual_quantiles

NEEDED_DAYS = 21.0
HALF_LIFE_DAYS = 120.0
PENALTY = 3.0
RESIDUAL_DAYS = 60
LARGEST_LEVERAGE = 0.8
BACKTEST_DAYS = 28
REFIT_DAYS = 7


def ridge(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """Ridge regression on lags, calendar and temperature, with leave-one-out residual quantiles.

    Raises:
        InsufficientData: less than three weeks of history.
    """
    inputs, local, back, slot = _prepare(task)
    mean = np.empty(task.grid.steps)
    quantiles = np.empty((task.grid.steps, len(levels)))
    rows = _rows(task, local)
    for days in np.unique(back):
        chosen = back == days
        features = load_features(inputs, int(days))
        fitted = fit_slots(features, inputs.table, until=_training_rows(local))
        part = predict_slots(fitted, features)
        mean[chosen] = part[slot[chosen], rows[chosen]]
        quantiles[chosen] = mean[chosen, None] + residual_quantiles(fitted.residuals.T, levels)[slot[chosen]]
    return Prediction(mean, np.sort(quantiles, axis=1))


def calibrated_ridge(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """As `ridge`, its quantiles shifted by what a backtest over the last weeks, at most four, found missing."""
    raw = ridge(task, levels)
    inputs, local, back, slot = _prepare(task)
    days = int(np.median(back))
    features = load_features(inputs, days)
    last = _training_rows(local)
    first = max(last - BACKTEST_DAYS, int(NEEDED_DAYS))
    if last - first < REFIT_DAYS:
        return raw
    predicted: list[Array] = []
    for start in range(first, last, REFIT_DAYS):
        # the refit knows what a forecast issued `days` before its first day knew
        fitted = fit_slots(features, inputs.table, until=start - days + 1)
        part = predict_slots(fitted, features)[:, start : min(start + REFIT_DAYS, last)]
        quantiles = residual_quantiles(fitted.residuals.T, levels)
        predicted.append(part.T[:, :, None] + quantiles[None])
    shifts = adaptive_shifts(inputs.table[first:last], np.concatenate(predicted), levels)
    return Prediction(raw.mean, np.sort(raw.quantiles + shifts[slot], axis=1), raw.assumptions)


def _prepare(task: ForecastTask) -> tuple[FeatureInputs, LocalDays, Indices, Indices]:
    history = task.history
    if history is None or history.days < NEEDED_DAYS:
        found = 0.0 if history is None else history.days
        raise InsufficientData(
            f"ridge needs {NEEDED_DAYS:g} days of readings, found {found:.1f}", needed=NEEDED_DAYS, found=found
        )
    local, targets = local_days_of(task, history)
    days = local.first_day + np.arange(local.table.shape[0])
    dates = days.astype("datetime64[D]")
    inputs = FeatureInputs(
        table=local.table,
        weekday=(days + 3) % 7,
        holiday=holidays_of(task.site.country, days),
        day_of_year=(dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1,
        temperature_c=_temperature_table(task, local),
    )
    return inputs, local, days_back(targets, local.last_known), targets.slot


def _rows(task: ForecastTask, local: LocalDays) -> Indices:
    return cells_of(task.grid, task.site.timezone).day - local.first_day


def _training_rows(local: LocalDays) -> int:
    """Days of the table that hold history; the rest is empty for the targets."""
    return local.last_known[0] - local.first_day + 1


def _temperature_table(task: ForecastTask, local: LocalDays) -> Array | None:
    """Temperature over history and targets; None unless it is known for both."""
    name = "temperature_c"
    history = task.history
    if history is None or task.future_weather is None or name not in task.future_weather or name not in history.weather:
        return None
    until_day = local.first_day + local.table.shape[0] - 1
    past = to_local_days(history.weather[name], history.grid, task.site.timezone, until_day=until_day)
    future = to_local_days(task.future_weather[name], task.grid, task.site.timezone, until_day=until_day)
    table = past.table.copy()
    ahead = future.table[: until_day - future.first_day + 1]
    rows = slice(future.first_day - past.first_day, until_day - past.first_day + 1)
    table[rows] = np.where(np.isfinite(ahead), ahead, table[rows])
    if np.isnan(table).mean() > 0.02:
        return None
    typical = np.nanmean(table, axis=0)
    return np.where(np.isnan(table), typical, table)


@dataclass(frozen=True, slots=True, eq=False)
class FittedSlots:
    """Coefficients of every slot on standardised features, and the latest leave-one-out residuals."""

    center: Array  # (S, P)
    scale: Array  # (S, P)
    coefficients: Array  # (S, P + 1), the last one is the intercept
    residuals: Array  # (S, R) NaN where unknown


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
