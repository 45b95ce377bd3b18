"""Prophet's curve: fitted by Prophet on hourly means, kept as arrays, evaluated in numpy at any resolution.

Source: Taylor and Letham (2018), Forecasting at scale, The American Statistician 72(1).
"""

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.features import SATURDAY, FeatureInputs, weather_with_hinges
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.local_days import Flags

if TYPE_CHECKING:
    from prophet import Prophet

DAY_ORDER, WEEK_ORDER = 8, 3
CHANGEPOINTS = 12
REGRESSOR_PRIOR = 0.1
WORK, REST = "work", "rest"
_HOURS = 24
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A piecewise linear trend and a weighted sum of waves, weather and holidays, in parts of `size`."""

    size: float
    first_time: float  # in days since 1970-01-01, local
    duration_days: float
    slope: float
    level: float
    bends: Array  # (2, B) when, as a part of the duration, and by how much
    weights: Array  # (P,)
    center: Array  # (W,) of weather and holidays
    scale: Array  # (W,)

    def of(self, inputs: FeatureInputs, knots: Mapping[str, Array], *, first: int = 0) -> Array:
        """Its value in every cell from the day `first` on."""  # (D, S)
        regressors = (regressors_of(inputs, knots, first=first) - self.center) / self.scale
        time, is_rest = times_of(inputs)[first:], _is_rest(inputs)[first:, None, None]
        day, week = _waves(time, 1.0, DAY_ORDER), _waves(time, 7.0, WEEK_ORDER)
        columns = np.concatenate([day * ~is_rest, day * is_rest, week, regressors], axis=2)
        part = (time - self.first_time) / self.duration_days
        bent = sum((bend * np.maximum(part - at, 0.0) for at, bend in self.bends.T), np.zeros_like(part))
        return self.size * (self.slope * part + self.level + bent + columns @ self.weights)

    def to_arrays(self) -> Arrays:
        numbers = np.array([self.size, self.first_time, self.duration_days, self.slope, self.level])
        return {"numbers": numbers} | {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Curve":
        return cls(*arrays["numbers"].tolist(), *(arrays[name] for name in _ARRAYS))


_ARRAYS = ("bends", "weights", "center", "scale")


def fit_curve(inputs: FeatureInputs, knots: Mapping[str, Array]) -> Curve:
    """Learn from the hourly means of a series, and of its weather."""
    hourly = by_hours(inputs)
    columns = regressors_of(hourly, knots)
    known = np.isfinite(hourly.table)
    center, scale = columns[known].mean(axis=0), columns[known].std(axis=0) + _SMALLEST
    model: Any = fit_prophet(hourly, (columns - center) / scale)
    fitted = {name: np.asarray(one, dtype=np.float64).ravel() for name, one in model.params.items()}
    start, duration = model.start.to_datetime64(), model.t_scale.to_timedelta64()
    day = np.timedelta64(1, "D")
    return Curve(
        size=float(model.y_scale),
        first_time=float((start - np.datetime64(0, "D")) / day),
        duration_days=float(duration / day),
        slope=float(fitted["k"][0]),
        level=float(fitted["m"][0]),
        bends=np.stack([np.asarray(model.changepoints_t, dtype=np.float64), fitted["delta"]]),
        weights=fitted["beta"],
        center=center,
        scale=scale,
    )


def fit_prophet(hourly: FeatureInputs, regressors: Array) -> "Prophet":
    """Prophet itself, told the cells that are known, without samples of its uncertainty."""
    from prophet import Prophet

    model = Prophet(
        n_changepoints=CHANGEPOINTS,
        daily_seasonality=False,
        weekly_seasonality=False,
        yearly_seasonality=False,
        uncertainty_samples=0,
    )
    model.add_seasonality("day at work", 1.0, DAY_ORDER, condition_name=WORK)
    model.add_seasonality("day at rest", 1.0, DAY_ORDER, condition_name=REST)
    model.add_seasonality("week", 7.0, WEEK_ORDER)
    for place in range(regressors.shape[2]):
        model.add_regressor(f"regressor {place}", prior_scale=REGRESSOR_PRIOR, standardize=False)
    with _silence("cmdstanpy", "prophet"):
        return model.fit(prophet_frame(hourly, regressors), seed=1)


@contextmanager
def _silence(*names: str) -> Generator[None]:
    """No word from these loggers, and none of what Prophet should no longer ask of pandas."""
    loggers = [logging.getLogger(name) for name in names]
    were_disabled = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, was_disabled in zip(loggers, were_disabled, strict=True):
            logger.disabled = was_disabled


def prophet_frame(hourly: FeatureInputs, regressors: Array) -> Any:
    """The known cells as Prophet wants them."""
    import pandas as pd

    known = np.isfinite(hourly.table)
    nanoseconds = np.round(times_of(hourly)[known] * 86_400e9).astype(np.int64)
    is_rest = np.broadcast_to(_is_rest(hourly)[:, None], known.shape)[known]
    columns = {f"regressor {place}": regressors[known][:, place] for place in range(regressors.shape[2])}
    told = {"ds": nanoseconds.astype("datetime64[ns]"), "y": hourly.table[known], WORK: ~is_rest, REST: is_rest}
    return pd.DataFrame(told | columns)


def by_hours(inputs: FeatureInputs) -> FeatureInputs:
    """The same days with slots of an hour; NaN where no part of the hour is known."""
    days = inputs.table.shape[0]
    parts = inputs.table.reshape(days, _HOURS, -1)
    known = np.isfinite(parts)
    count = known.sum(axis=2)
    total = np.where(known, parts, 0.0).sum(axis=2)
    table = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    weather = {name: one.reshape(days, _HOURS, -1).mean(axis=2) for name, one in inputs.weather.items()}
    return FeatureInputs(inputs.day, table, inputs.weekday, inputs.holiday, inputs.day_of_year, weather)


def times_of(inputs: FeatureInputs) -> Array:
    """The middle of each cell in days since 1970-01-01, on the local clock."""  # (D, S)
    slots = inputs.table.shape[1]
    return inputs.day[:, None] + (np.arange(slots) + 0.5) / slots


def _waves(time: Array, period_days: float, order: int) -> Array:
    """Sines and cosines in turn."""  # (D, S, 2 * order)
    angle = 2 * np.pi * time[:, :, None] * np.arange(1, order + 1) / period_days
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(*time.shape, -1)


def _is_rest(inputs: FeatureInputs) -> Flags:
    """Weekends and public holidays."""  # (D,)
    return (inputs.weekday >= SATURDAY) | inputs.holiday


def regressors_of(inputs: FeatureInputs, knots: Mapping[str, Array], *, first: int = 0) -> Array:
    """The weather with its hinges, and holidays that are no weekend."""  # (D, S, W)
    is_holiday = inputs.holiday & (inputs.weekday < SATURDAY)
    holiday = np.broadcast_to(is_holiday[first:, None].astype(np.float64), inputs.table[first:].shape)
    return np.stack([*weather_with_hinges(inputs.weather, knots, first=first), holiday], axis=-1)
