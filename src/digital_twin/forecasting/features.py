"""What a load forecast is made of: lags that were known in time, the calendar, and the weather.

Everything is a table of local days and slots. What is known when a forecast is made decides its reach: the latest
known value of the same slot lies `back` days before the target, the latest day that is known to its end `whole` days.
Features keep to both, in training as in prediction, so that nothing looks ahead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.local_days import Flags, Indices, Reach

WEEK, MONTH = 7, 28
SATURDAY = 5
SEASONAL_DAYS = 200
HINGES = (0.1, 0.3, 0.5, 0.7, 0.9)
BLOCKS = 12
"""The parts of a whole day by which its shape is told."""

TEMPERATURE = "temperature_c"
SMOOTHED = TEMPERATURE + " of 24 hours"
"""Buildings feel the mean of a day."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureInputs:
    """The table of the series with the calendar of its days, and the weather of all its cells."""

    day: Indices  # (D,) since 1970-01-01
    table: Array  # (D, S)
    weekday: Indices  # (D,) Monday 0
    holiday: Flags  # (D,)
    day_of_year: Indices  # (D,)
    weather: Mapping[str, Array]  # each (D, S), finite


@dataclass(frozen=True, slots=True, eq=False)
class FeatureDesign:
    """What a fitted model remembers of its history, so that features later mean the same."""

    usual: Array  # (S,) stands in for lags that are missing altogether
    has_season: bool
    usual_weather: Mapping[str, Array]  # each (S,)
    knots: Mapping[str, Array]  # of the weather and of what is smoothed of it

    def to_arrays(self) -> Arrays:
        arrays: dict[str, np.ndarray[Any, Any]] = {"usual": self.usual, "has_season": np.array(self.has_season)}
        arrays |= {_USUAL_WEATHER + name: one for name, one in self.usual_weather.items()}
        return arrays | {_KNOTS + name: one for name, one in self.knots.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "FeatureDesign":
        weather, knots = (
            {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
            for prefix in (_USUAL_WEATHER, _KNOTS)
        )
        return cls(arrays["usual"], bool(arrays["has_season"]), weather, knots)


_USUAL_WEATHER, _KNOTS = "usual weather ", "knots "


def design_features(inputs: FeatureInputs) -> FeatureDesign:
    """Which features a history can teach; the season needs most of a year."""
    known = np.isfinite(inputs.table)
    return FeatureDesign(
        usual=usual_of_slots(inputs.table),
        has_season=int(known.any(axis=1).sum()) > SEASONAL_DAYS,
        usual_weather={name: usual_of_slots(table) for name, table in inputs.weather.items()},
        knots={name: _knots(table) for name, table in with_smoothed(inputs.weather).items()},
    )


def load_features(inputs: FeatureInputs, reach: Reach, design: FeatureDesign, *, first: int = 0) -> Array:
    """Features of every cell from the day `first` on, for forecasts of that reach."""  # (S, D, P)
    lags = slot_lags(inputs.table, reach.back, design.usual)
    shape = day_shape(inputs.table, reach.whole, design.usual)
    recent = day_levels(inputs.table, reach, design.usual)
    calendar = calendar_of(inputs, has_season=design.has_season)
    weekend = inputs.weekday >= SATURDAY
    columns = [*lags.values(), lags["past"] * weekend[:, None], *recent]
    columns += [np.broadcast_to(one[:, None], inputs.table.shape) for one in (*shape.T, *calendar)]
    columns = [one[first:] for one in columns]
    columns += weather_with_hinges(inputs.weather, design.knots, first=first)
    return np.stack(columns, axis=-1).transpose(1, 0, 2)


def slot_lags(table: Array, back: int, usual: Array) -> dict[str, Array]:
    """Of the same slot: the latest known values, those of the same weekday, and recent means."""  # each (D, S)
    week = -(-back // WEEK) * WEEK
    weekly = [lag(table, week + weeks * WEEK) for weeks in range(3)]
    tables = {
        "past": lag(table, back),
        "before": lag(table, back + 1),
        "week": weekly[0],
        "fortnight": weekly[1],
        "weekly": _mean_of(weekly),
        "level": lag(trailing_mean(table, WEEK), back),
        "month": lag(trailing_mean(table, MONTH), back),
    }
    return dict(zip(tables, fill_missing_lags(list(tables.values()), usual), strict=True))


def day_shape(table: Array, whole: int, usual: Array) -> Array:
    """The latest whole day as the means of its parts."""  # (D, BLOCKS)
    return _in_blocks(lag(table, whole), lag(trailing_mean(table, MONTH), whole), usual)


def month_shape(table: Array, whole: int, usual: Array) -> Array:
    """The month up to that day as the means of the parts of its days."""  # (D, BLOCKS)
    month = lag(trailing_mean(table, MONTH), whole)
    return _in_blocks(month, month, usual)


def _in_blocks(table: Array, instead: Array, usual: Array) -> Array:
    filled = np.where(np.isfinite(table), table, np.where(np.isfinite(instead), instead, usual))
    return filled.reshape(table.shape[0], BLOCKS, -1).mean(axis=2)


def day_levels(table: Array, reach: Reach, usual: Array) -> list[Array]:
    """Means of the latest 24 hours, of the last hour of the latest whole day, and of the week up to that."""
    days, slots = table.shape
    last_hour = lag(table, reach.whole)[:, -(slots // 24) :]
    week = lag(trailing_mean(table, WEEK), reach.whole)
    evening = np.where(np.isfinite(last_hour), last_hour, usual[-(slots // 24) :]).mean(axis=1)
    weekly = np.where(np.isfinite(week), week, usual).mean(axis=1)
    latest = latest_day_mean(table, reach.back)
    return [
        np.where(np.isfinite(latest), latest, weekly[:, None]),
        np.broadcast_to(evening[:, None], (days, slots)),
        np.broadcast_to(weekly[:, None], (days, slots)),
    ]


def latest_day_mean(table: Array, back: int) -> Array:
    """Mean of the 24 hours up to the latest cell that is known."""  # (D, S)
    return lag(trailing_cells_mean(table, table.shape[1]), back)


def calendar_of(inputs: FeatureInputs, *, has_season: bool) -> list[Array]:
    """Weekday, holiday and, where it can be learned, season."""  # each (D,)
    columns: list[Array] = [(inputs.weekday == day).astype(np.float64) for day in range(6)]
    columns.append(inputs.holiday.astype(np.float64))
    if has_season:
        columns += season_of(inputs)
    return columns


def season_of(inputs: FeatureInputs) -> list[Array]:
    """Where in the year a day lies."""  # two of (D,)
    angle = 2 * np.pi * inputs.day_of_year / 365.25
    return [np.sin(angle), np.cos(angle)]


def with_smoothed(weather: Mapping[str, Array]) -> dict[str, Array]:
    """The weather and the temperature that buildings feel."""
    tables = dict(weather)
    if TEMPERATURE in weather:
        tables[SMOOTHED] = trailing_cells_mean(weather[TEMPERATURE], weather[TEMPERATURE].shape[1])
    return tables


def weather_with_hinges(weather: Mapping[str, Array], knots: Mapping[str, Array], *, first: int = 0) -> list[Array]:
    """The weather from the day `first` on, and how far it lies above each knot."""
    columns: list[Array] = []
    for name, table in with_smoothed(weather).items():
        part = table[first:]
        columns += [part, *(np.maximum(part - knot, 0.0) for knot in knots[name])]
    return columns


def _knots(table: Array) -> Array:
    """Where hinges bend: below and above, weather may act differently."""
    knots = np.unique(np.quantile(table, HINGES))
    return knots[(knots > table.min()) & (knots < table.max())]


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


def trailing_cells_mean(table: Array, cells: int) -> Array:
    """Mean of the last so many cells, this one included, across midnight; NaN only where all are."""  # (D, S)
    row = table.reshape(-1, 1)
    return trailing_mean(row, cells).reshape(table.shape)


def _mean_of(tables: list[Array]) -> Array:
    stacked = np.stack(tables)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


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
