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


@dataclass(frozen=True, slots=True, eq=False)
class Lags:
    """What a forecast of one reach knows of the series, for the cells from the day `first` on; finite."""

    first: int
    of_slot: Mapping[str, Array]  # each (D, S)
    day_mean: Array  # (D, S) of the latest 24 hours
    last_hour: Array  # (D,) of the latest whole day
    week_mean: Array  # (D,) up to that day
    blocks: Array  # (D, BLOCKS) the parts of that day
    month_blocks: Array  # (D, BLOCKS) the same in the mean of a month


def lags_of(table: Array, reach: Reach, usual: Array, *, first: int = 0) -> Lags:
    """The lags of every cell, what is usual where they are missing."""
    week, month = trailing_mean(table, WEEK), trailing_mean(table, MONTH)
    day, week_of_day, month_of_day = (lag(one, reach.whole)[first:] for one in (table, week, month))
    typical = np.where(np.isfinite(month_of_day), month_of_day, usual)
    week_mean = np.where(np.isfinite(week_of_day), week_of_day, usual).mean(axis=1)
    day_mean = latest_day_mean(table, reach.back)[first:]
    hour = slice(-(table.shape[1] // 24), None)
    return Lags(
        first=first,
        of_slot=_slot_lags(table, week, month, reach.back, usual, first),
        day_mean=np.where(np.isfinite(day_mean), day_mean, week_mean[:, None]),
        last_hour=np.where(np.isfinite(day[:, hour]), day[:, hour], usual[hour]).mean(axis=1),
        week_mean=week_mean,
        blocks=_in_blocks(np.where(np.isfinite(day), day, typical)),
        month_blocks=_in_blocks(typical),
    )


def _slot_lags(table: Array, week: Array, month: Array, back: int, usual: Array, first: int) -> dict[str, Array]:
    """Of the same slot: the latest known values, those of the same weekday, and recent means."""  # each (D, S)
    weeks = -(-back // WEEK) * WEEK
    weekly = [lag(table, weeks + more * WEEK)[first:] for more in range(3)]
    tables = {
        "past": lag(table, back)[first:],
        "before": lag(table, back + 1)[first:],
        "week": weekly[0],
        "fortnight": weekly[1],
        "weekly": _mean_of(weekly),
        "level": lag(week, back)[first:],
        "month": lag(month, back)[first:],
    }
    return dict(zip(tables, fill_missing_lags(list(tables.values()), usual), strict=True))


def _in_blocks(table: Array) -> Array:
    return table.reshape(table.shape[0], BLOCKS, -1).mean(axis=2)


def latest_day_mean(table: Array, back: int) -> Array:
    """Mean of the 24 hours up to the latest cell that is known."""  # (D, S)
    return lag(trailing_cells_mean(table, table.shape[1]), back)


def load_features(inputs: FeatureInputs, lags: Lags, design: FeatureDesign) -> Array:
    """Features of every cell that the lags are of."""  # (S, D, P)
    shape = lags.day_mean.shape
    is_weekend = (inputs.weekday >= SATURDAY)[lags.first :, None]
    calendar = [one[lags.first :] for one in calendar_of(inputs, has_season=design.has_season)]
    of_days = [lags.last_hour, lags.week_mean, *lags.blocks.T, *calendar]
    columns = [*lags.of_slot.values(), lags.of_slot["past"] * is_weekend, lags.day_mean]
    columns += [np.broadcast_to(one[:, None], shape) for one in of_days]
    columns += weather_with_hinges(inputs.weather, design.knots, first=lags.first)
    return np.stack([one.T for one in columns], axis=-1)


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
    total[days:], count[days:] = total[days:] - total[:-days], count[days:] - count[:-days]
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


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
