"""What a load forecast is made of: lags that were known in time, the calendar, and the weather.

Everything is a table of local days and slots. A feature for a target that lies `back` days after the last known day
uses cells that are at least `back` days older, in training as in prediction, so that nothing looks ahead.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array

WEEK, MONTH = 7, 28
SEASONAL_DAYS = 200
HINGES = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureInputs:
    """The table of the series with the calendar of its days, and the temperature where it is known throughout."""

    table: Array  # (D, S)
    weekday: np.ndarray[tuple[int], np.dtype[np.int64]]  # (D,) Monday 0
    holiday: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (D,)
    day_of_year: np.ndarray[tuple[int], np.dtype[np.int64]]  # (D,)
    temperature_c: Array | None  # (D, S)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureDesign:
    """What a fitted model remembers of its history, so that features later mean the same."""

    usual: Array  # (S,) stands in for lags that are missing altogether
    has_season: bool
    temperature_knots_c: Array | None  # (K,) None without temperature


def lag(table: Array, days: int) -> Array:
    """The table as it was so many days before."""  # (D, S)
    shifted = np.full_like(table, np.nan)
    if days < table.shape[0]:
        shifted[days:] = table[: table.shape[0] - days]
    return shifted


def trailing_mean(table: Array, days: int) -> Array:
    """Mean of a slot over the last so many days, this one included; NaN only where all are."""  # (D, S)
    known = np.isfinite(table)
    total = np.cumsum(np.where(known, table, 0.0), axis=0)
    count = np.cumsum(known, axis=0)
    total, count = total - lag_or_zero(total, days), count - lag_or_zero(count, days)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def lag_or_zero(table: Array, days: int) -> Array:
    """As `lag`, with 0 before the table begins."""
    return np.nan_to_num(lag(table.astype(np.float64), days))


def design_features(inputs: FeatureInputs) -> FeatureDesign:
    """Which features a history can teach; the season needs most of a year."""
    known = np.isfinite(inputs.table)
    temperature_c = inputs.temperature_c
    return FeatureDesign(
        usual=usual_of_slots(inputs.table),
        has_season=int(known.any(axis=1).sum()) > SEASONAL_DAYS,
        temperature_knots_c=None if temperature_c is None else np.quantile(temperature_c, HINGES),
    )


def load_features(inputs: FeatureInputs, back: int, design: FeatureDesign) -> Array:
    """Features of every cell, for forecasts made from cells at least `back` days older."""  # (S, D, P)
    week = -(-back // WEEK) * WEEK
    past = lag(inputs.table, back)
    level = lag(trailing_mean(inputs.table, WEEK), back)
    weekly = lag(inputs.table, week)
    series = [
        past,
        lag(inputs.table, back + 1),
        weekly,
        lag(inputs.table, week + WEEK),
        _mean_of([weekly, lag(inputs.table, week + WEEK), lag(inputs.table, week + 2 * WEEK)]),
        level,
        lag(trailing_mean(inputs.table, MONTH), back),
        _last_day_mean(inputs.table, back),
    ]
    filled = fill_missing_lags(series, design.usual)
    calendar = _calendar(inputs, design)
    columns = [*filled, *(np.broadcast_to(one[:, None], inputs.table.shape) for one in calendar)]
    if inputs.temperature_c is not None and design.temperature_knots_c is not None:
        columns.extend(_temperature(inputs.temperature_c, design.temperature_knots_c))
    return np.stack(columns, axis=-1).transpose(1, 0, 2)


def _mean_of(tables: list[Array]) -> Array:
    stacked = np.stack(tables)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _last_day_mean(table: Array, back: int) -> Array:
    """Mean of the 24 hours up to the latest cell that is known."""
    days, slots = table.shape
    known = np.isfinite(table).ravel()
    total = np.concatenate([[0.0], np.cumsum(np.where(known, table.ravel(), 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    last = np.arange(days * slots) + 1 - back * slots
    first = np.maximum(last - slots, 0)
    last = np.maximum(last, 0)
    number = count[last] - count[first]
    mean = np.divide(total[last] - total[first], number, out=np.full(number.shape, np.nan), where=number > 0)
    return mean.reshape(days, slots)


def fill_missing_lags(tables: list[Array], usual: Array) -> list[Array]:
    """Missing lags by the mean of the ones there are for that cell, else by what is usual in the slot.

    Args:
        usual: one value per slot.  # (S,)
    """
    fallback = _mean_of(tables)
    fallback = np.where(np.isfinite(fallback), fallback, usual)
    return [np.where(np.isfinite(table), table, fallback) for table in tables]


def usual_of_slots(table: Array) -> Array:
    """The mean of each slot, that of all slots where one was never seen, 0 without any value."""  # (S,)
    known = np.isfinite(table)
    total, count = np.where(known, table, 0.0).sum(axis=0), known.sum(axis=0)
    overall = total.sum() / max(1, count.sum())
    return np.divide(total, count, out=np.full(total.shape, overall), where=count > 0)


def _calendar(inputs: FeatureInputs, design: FeatureDesign) -> list[Array]:
    columns: list[Array] = [(inputs.weekday == day).astype(np.float64) for day in range(6)]
    columns.append(inputs.holiday.astype(np.float64))
    if design.has_season:
        angle = 2 * np.pi * inputs.day_of_year / 365.25
        columns += [np.sin(angle), np.cos(angle)]
    return columns


def _temperature(temperature_c: Array, knots_c: Array) -> list[Array]:
    """Temperature and its hinges: heating below, cooling above."""
    return [temperature_c, *(np.maximum(temperature_c - knot, 0.0) for knot in knots_c)]
