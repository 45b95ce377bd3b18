"""What every forecasting model must do, for the tests of those here and of plug-ins."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.forecaster import Arrays, FittedForecaster, Forecaster, TrainingTask

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SITE = Site(48.2, 16.4, "Europe/Vienna", 50, 40.0, "AT")
AUTUMN = datetime(2025, 10, 27, tzinfo=UTC)
"""The day after clocks went back: the history holds a day of 25 hours, the one before last a year of 23."""


def check_forecaster(forecaster: Forecaster, *, variable: str = "load_kw", days: int = 70) -> None:
    """Put a model to the test on worlds that are easy, poor and odd.

    Args:
        days: so much history it is given; it must learn from it, and where a tenth and three days more are missing.

    Raises:
        AssertionError: says what the model did that it must not do.
    """
    _require(0 <= forecaster.needed_days <= days, f"needed_days must lie between 0 and {days}")
    for name, history in _worlds(days):
        _check_world(forecaster, variable, name, history)
    for few in (1, 3):
        _check_few_days(forecaster, variable, _usual(few, 60))


def _check_world(forecaster: Forecaster, variable: str, name: str, history: History) -> None:
    wanted = TrainingTask(variable, SITE, _sealed(history), history.grid.end)
    fitted, again = forecaster.fit(wanted), forecaster.fit(wanted)
    kept = forecaster.from_arrays(_kept(fitted.to_arrays(), name))
    for hours in (24, 36):
        asked = _task(variable, wanted.history, hours)
        _require(fitted.suits(asked), f"{name}: a fit must suit a forecast of {hours} hours from its own history")
        made = fitted.predict(asked, LEVELS)
        _check_prediction(made, asked, LEVELS, name)
        for other, how in ((fitted, "asked twice"), (again, "fitted twice"), (kept, "kept as arrays")):
            same = other.predict(asked, LEVELS)
            is_same = np.array_equal(same.mean, made.mean) and np.array_equal(same.quantiles, made.quantiles)
            _require(is_same, f"{name}: {how}, it gives other numbers")
    median = fitted.predict(asked, (0.5,))
    _require(np.allclose(median.quantiles[:, 0], made.quantiles[:, 2]), f"{name}: the median depends on other levels")
    later = _usual(round(history.grid.hours / 24) + 2, history.grid.step_minutes)
    _check_prediction(fitted.predict(_task(variable, later, 24), LEVELS), _task(variable, later, 24), LEVELS, name)


def _check_few_days(forecaster: Forecaster, variable: str, history: History) -> None:
    """Too little to learn from is said, or answered all the same."""
    asked = _task(variable, history, 24)
    try:
        fitted: FittedForecaster = forecaster.fit(TrainingTask(variable, SITE, history, history.grid.end))
        made = fitted.predict(asked, LEVELS)
    except InsufficientData:
        return
    _check_prediction(made, asked, LEVELS, f"{history.days:g} days")


def _check_prediction(made: Prediction, asked: ForecastTask, levels: tuple[float, ...], name: str) -> None:
    steps = asked.grid.steps
    _require(made.mean.shape == (steps,), f"{name}: the mean must have {steps} values, it has {made.mean.shape}")
    _require(made.quantiles.shape == (steps, len(levels)), f"{name}: the quantiles' shape is {made.quantiles.shape}")
    is_finite = bool(np.isfinite(made.mean).all() and np.isfinite(made.quantiles).all())
    _require(is_finite, f"{name}: the forecast holds numbers that are not finite")
    _require(bool((np.diff(made.quantiles, axis=1) >= 0).all()), f"{name}: the quantiles cross")


def _kept(arrays: Arrays, name: str) -> Arrays:
    for key, array in arrays.items():
        _require(array.dtype != np.dtype(object), f"{name}: the array {key} holds objects, which would need pickle")
    return {key: array.copy() for key, array in arrays.items()}


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _worlds(days: int) -> Iterator[tuple[str, History]]:
    usual = _usual(days, 60)
    yield "an hourly series", usual
    yield "a series at 15 minutes", _usual(days, 15)
    gappy = usual.values.copy()
    gappy[np.random.default_rng(1).random(gappy.size) < 0.1] = np.nan
    gappy[-30:-25] = np.nan
    gappy[24 * 20 : 24 * 23] = np.nan
    yield "a series with gaps", replace(usual, values=gappy)
    yield "a constant series", replace(usual, values=np.full(usual.grid.steps, 7.0))
    yield "a series of zeros", replace(usual, values=np.zeros(usual.grid.steps))


def _usual(days: int, step_minutes: int) -> History:
    """A load that knows the hour, the weekday and chance."""
    steps = days * 1440 // step_minutes
    grid = TimeGrid(AUTUMN - timedelta(days=days), steps, step_minutes)
    hour = np.arange(steps) * step_minutes / 60
    shape = 30 + 10 * np.sin(2 * np.pi * (hour - 9) / 24) + 5 * (hour // 24 % 7 < 5)
    noise = np.random.default_rng(0).normal(0, 2, steps)
    return History(grid, np.maximum(shape + noise, 0.0), {})


def _task(variable: str, history: History, hours: int) -> ForecastTask:
    end, step_minutes = history.grid.end, history.grid.step_minutes
    return ForecastTask(variable, TimeGrid(end, hours * 60 // step_minutes, step_minutes), end, SITE, history, None)


def _sealed(history: History) -> History:
    """A history that nobody can change."""
    values: Array = history.values.copy()
    values.flags.writeable = False
    return replace(history, values=values)
