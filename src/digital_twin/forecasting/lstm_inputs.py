"""What the LSTM sees: windows of four weeks of hours, each in units of its own level and spread.

A window ends where the known hours end. Its newest row are the 24 hours up to there, the row before it the 24 before
them. Its targets are 24 hours in a row, in the same columns, `back` days after the newest row; only their calendar and
their weather, which was foreseen, are newer than the window's end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.units import Array
from digital_twin.forecasting.feature_inputs import known_weather
from digital_twin.forecasting.features import WEEK, trailing_mean
from digital_twin.forecasting.forecast import ForecastTask, History, Site
from digital_twin.forecasting.local_days import Cells, cells_of

DAYS, HOURS = 28, 24
WINDOW = DAYS * HOURS
WEATHER = {"temperature_c": (10.0, 10.0), "ghi_wm2": (150.0, 200.0), "wind_speed_ms": (4.0, 3.0)}
"""What is usual, and how much around it."""
LEAST_SPREAD = 1e-3
"""Of the level, so that the last digit of a constant is not taken for a habit."""
FARTHEST = 10.0
"""Deviations beyond so many spreads are cut off."""
YEAR_DAYS = 365.25
FARTHEST_BACK = 7
"""Targets farther ahead are taken for as far as this."""

DAY_INPUTS = HOURS + 1 + WEEK + 1 + 2
"""Of a row: its hours, how many are known, weekday, holiday, and temperature and radiation against the four weeks'."""
HOUR_INPUTS = (4 + 3 + 2 + WEEK) + 8 + 1 + 4 + 4 * len(WEATHER)
"""Of a target: calendar, lags, what is usual, what all targets share, weather."""

Whole = np.ndarray[tuple[int], np.dtype[np.int64]]
Wholes = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Truths = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Float32 = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of one weather variable at every hour."""

    value: Array  # (H,)
    usual: Array  # (H,) mean of the last four weeks at that hour of the day, this one included
    day: Array  # (H,) mean of the 24 hours up to and including this one


@dataclass(frozen=True, slots=True, eq=False)
class HourlySeries:
    """Local hours in a row, 24 to each day, with four empty weeks before the first."""

    values: Array  # (H,) NaN where unknown
    usual: Array  # (H,) mean of the last four weeks at that hour of the day, this one included; NaN where all are
    weather: Mapping[str, Known]
    weekday: Whole  # (D,)
    holiday: Truths  # (D + 2,) from the day before the first
    season: Array  # (D,) angle of the year, that of the other half in the south
    first_day: int
    end: int  # the first hour that is not wholly past


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """N windows as the network takes them, with what turns its answers into the unit of the series."""

    days: Float32  # (28, N, DAY_INPUTS)
    hours: Float32  # (24, N, HOUR_INPUTS)
    usual: Array  # (24, N)
    spread: Array  # (N,)


def foreseen_weather(history: History) -> tuple[str, ...]:
    """What the history tells of the weather (almost) throughout, and will therefore be foreseen."""
    known = known_weather(history)
    return tuple(name for name in WEATHER if name in known)


def hourly_series(
    history: History, site: Site, names: tuple[str, ...] = (), task: ForecastTask | None = None
) -> HourlySeries:
    """The history by the hour with the weather of these names; with a task also its days and the weather foreseen."""
    cells = cells_of(history.grid, site.timezone)
    ahead = cells if task is None else cells_of(task.grid, site.timezone)
    first_day = int(cells.day[0]) - DAYS
    # the last of the 24 targets may lie a day beyond the last one asked for
    last_day = int(cells.day[-1] if task is None else max(cells.day[-1], ahead.day[-1]) + 1)
    hours = HOURS * (last_day - first_day + 1)
    past = hour_of(cells, first_day)
    values = mean_at(past, history.values, hours)
    weather: dict[str, Known] = {}
    for name in names:
        place, found = past, history.weather[name]
        if task is not None and task.future_weather is not None:
            place = np.concatenate([past, hour_of(ahead, first_day)])
            found = np.concatenate([found, task.future_weather[name]])
        weather[name] = _known(mean_at(place, found, hours), WEATHER[name][0])
    dates = np.arange(first_day - 1, last_day + 2)
    years = dates.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    angle = np.float64(2 * np.pi) * (dates - years) / YEAR_DAYS + (np.pi if site.latitude < 0 else 0.0)
    return HourlySeries(
        values=values,
        usual=trailing_mean(values.reshape(-1, HOURS), DAYS).ravel(),
        weather=weather,
        weekday=(dates[1:-1] + 3) % WEEK,
        holiday=holidays_of(site.country, dates),
        season=angle[1:-1],
        first_day=first_day,
        end=int(past[-1]) + int((cells.slot[-1] + 1) * HOURS % cells.slots == 0),
    )


def hour_of(cells: Cells, first_day: int) -> Whole:
    """Which hour since the beginning of that day each cell lies in."""
    return (cells.day - first_day) * HOURS + cells.slot * HOURS // cells.slots


def mean_at(place: Whole, values: Array, places: int) -> Array:
    """The mean of the known values at each place, NaN where there are none."""
    known = np.isfinite(values)
    total = np.bincount(place[known], weights=values[known], minlength=places)
    count = np.bincount(place[known], minlength=places)
    return np.divide(total, count, out=np.full(places, np.nan), where=count > 0)


def windows_of(series: HourlySeries, ends: Whole, back: Whole) -> Windows:
    """The windows that end before these hours, for targets so many days after their newest rows.

    Args:
        ends: counted from the first hour of the series, at least `WINDOW`.  # (N,)
        back: at least 1.  # (N,)
    """
    rows = series.values[ends[:, None] + np.arange(-WINDOW, 0)].reshape(-1, DAYS, HOURS)
    known = np.isfinite(rows)
    newest = ends + np.arange(-HOURS, 0)[:, None]  # (24, N) the hours of the newest row
    count = np.maximum(known.sum(axis=(1, 2)), 1)
    level = np.where(known, rows, 0.0).sum(axis=(1, 2)) / count
    off_level = np.where(known, rows - level[:, None, None], 0.0)
    spread = np.sqrt((off_level**2).sum(axis=(1, 2)) / count)
    spread = np.maximum(spread, LEAST_SPREAD * np.abs(level)) + 1e-12
    usual = np.where(np.isfinite(series.usual[newest]), series.usual[newest], level)
    unusual = np.where(known, rows - usual.T[:, None], 0.0) / spread[:, None, None]
    unusual = np.clip(unusual, -FARTHEST, FARTHEST)
    return Windows(
        days=_day_inputs(series, ends, unusual, known),
        hours=np.concatenate(
            [
                _calendar(series, newest + back * HOURS),
                _lags(unusual, known, back),
                ((usual - level) / spread)[..., None],
                _constants(unusual, level / spread, back),
                _weather(series, newest, back),
            ],
            axis=-1,
        ).astype(np.float32),
        usual=usual,
        spread=spread,
    )


def _day_inputs(series: HourlySeries, ends: Whole, unusual: Array, known: Truths) -> Float32:
    """Each row by the hour of the day, with the calendar and weather of its last hour."""
    by_hour = (np.arange(HOURS) - ends[:, None]) % HOURS
    rows = np.take_along_axis(unusual, np.broadcast_to(by_hour[:, None], unusual.shape), axis=2)
    last = ends[:, None] - 1 - HOURS * np.arange(DAYS)[::-1]  # (N, 28)
    day = last // HOURS
    columns = [rows, known.mean(axis=2)[..., None], _one_hot(series.weekday[day]), series.holiday[day + 1][..., None]]
    for name in ("temperature_c", "ghi_wm2"):
        found = series.weather.get(name)
        mean = np.zeros(day.shape) if found is None else found.day[last]
        columns.append(((mean - mean.mean(axis=1, keepdims=True)) / WEATHER[name][1])[..., None])
    return np.concatenate(columns, axis=-1).transpose(1, 0, 2).astype(np.float32)


def _calendar(series: HourlySeries, targets: Wholes) -> Array:
    day, hour = targets // HOURS, targets % HOURS
    clock = 2 * np.pi * (hour + 0.5) / HOURS
    waves = [np.sin(clock), np.cos(clock), np.sin(2 * clock), np.cos(2 * clock)]
    season = series.season[day]
    holidays = [series.holiday[day + 1 + off] for off in (-1, 0, 1)]
    columns = [*waves, *(one.astype(np.float64) for one in holidays), np.sin(season), np.cos(season)]
    return np.concatenate([np.stack(columns, axis=-1), _one_hot(series.weekday[day])], axis=-1)


def _lags(unusual: Array, known: Truths, back: Whole) -> Array:
    """How unusual that hour was on the newest days, whole weeks ago and of late, and how much it varies."""
    one = np.arange(unusual.shape[0])
    week = -(-back // WEEK) * WEEK - back  # rows from the newest one to that of the target's weekday
    rows = [np.zeros_like(back), np.ones_like(back), np.full_like(back, 2), week, week + WEEK]
    lags = [unusual[one, DAYS - 1 - row] for row in rows]
    weekly = np.mean([unusual[one, DAYS - 1 - week - WEEK * weeks] for weeks in range(DAYS // WEEK)], axis=0)
    late = unusual[:, -WEEK:].mean(axis=1)
    varies = np.sqrt((unusual**2).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    return np.stack([*lags, weekly, late, varies], axis=-1).transpose(1, 0, 2)


def _constants(unusual: Array, height: Array, back: Whole) -> Array:
    """What all targets of a window share: the last day and hour, the level in spreads, and how far ahead they are."""
    shared = [
        unusual[:, -1].mean(axis=1),
        unusual[:, -1, -1],
        np.clip(height, -FARTHEST, FARTHEST) / 5,
        (np.minimum(back, FARTHEST_BACK) - 1) / 2,
    ]
    return np.broadcast_to(np.stack(shared, axis=-1), (HOURS, back.size, len(shared)))


def _weather(series: HourlySeries, newest: Wholes, back: Whole) -> Array:
    """The targets' weather, against what was usual and against the newest day's; zero where it is not foreseen."""
    columns: list[Array] = []
    for name, (usual, around) in WEATHER.items():
        if name not in series.weather:
            columns.extend([np.zeros(newest.shape)] * 4)
            continue
        found = series.weather[name]
        value = found.value[newest + HOURS * back]
        against = [value - other for other in (usual, found.usual[newest], found.value[newest])]
        columns.extend([*(one / around for one in against), np.ones(newest.shape)])
    return np.stack(columns, axis=-1)


def _one_hot(weekday: Wholes) -> Array:
    return (weekday[..., None] == np.arange(WEEK)).astype(np.float64)


def _known(found: Array, usual: float) -> Known:
    """Missing values as usual at that hour of late."""
    late = trailing_mean(found.reshape(-1, HOURS), DAYS).ravel()
    late = np.where(np.isfinite(late), late, usual)
    value = np.where(np.isfinite(found), found, late)
    total = np.concatenate([np.zeros(HOURS), np.cumsum(value)])
    return Known(value, late, (total[HOURS:] - total[:-HOURS]) / HOURS)
