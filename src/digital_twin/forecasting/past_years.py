"""Temperatures that may come in weeks that no weather forecast reaches: those of past years around the same days.

Each course starts at the temperature of now and drifts to its own, as an autoregressive anomaly does, and is moved by
what the season changes between its days and those asked for.

Source: shifted dates, Xie and Hong (2016), Temperature scenario generation for probabilistic load forecasting, IEEE
Transactions on Smart Grid 9.
"""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Indices

YEAR_DAYS = 365.25
SHIFT_DAYS = 18
MOST_COURSES = 240
HARMONICS = 3
RECENT_DAYS = 30
RECENT_SHARE = 0.2
"""So much of the last month's anomaly is left for good. As SHIFT_DAYS chosen on the months of 2001 to 2010 of the
GEFCom2014 set, each forecast from the other nine years."""

DRAWS_A_YEAR = 2
"""The weather of a season of one year is worth so many independent draws, and the spread of n of them is too narrow by
1 / n of its variance. Chosen on 2009 and 2010 of the same set, with 400 days of history and with all."""


def season_columns(days: Indices, harmonics: int) -> Array:
    """Sines and cosines of the day of the year."""  # (D, 2 * harmonics)
    angle = 2 * np.pi * days[:, None] / YEAR_DAYS * np.arange(1, harmonics + 1)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def temperature_courses(table_c: Array, first_day: int, days: Indices) -> Array:
    """Courses of past years for days that follow one another, the first of which follows the table's last.

    Args:
        table_c: known throughout, until the last whole day.  # (D, S)
        first_day: the first day of the table, since 1970-01-01.
        days: those asked for.  # (N,)
    """  # -> (K, N, S)
    rows, ahead = table_c.shape[0], days.size
    known = first_day + np.arange(rows)
    daily = table_c.mean(axis=1)
    usual = _usual(known, daily, np.concatenate([known, days]))
    anomaly = daily - usual[:rows]
    starts = _starts(rows, ahead)
    kept = _persistence(anomaly) ** np.arange(1, ahead + 1)
    recent = np.array([anomaly[max(0, start - RECENT_DAYS) : start].mean() for start in (*starts, rows)])
    lasting = RECENT_SHARE * (recent[-1] - recent[:-1])
    fading = anomaly[-1] - anomaly[starts - 1] - lasting
    places = starts[:, None] + np.arange(ahead)
    shift = lasting[:, None] + fading[:, None] * kept + usual[rows:] - usual[places]
    courses = table_c[places] + shift[:, :, None]
    middle = courses.mean(axis=0)
    return middle + widening(rows) * (courses - middle)


def widening(days: int) -> float:
    """The factor on the spread of what so many days showed of a season: few years miss much of what may come."""
    return float(np.sqrt(1 + YEAR_DAYS / (DRAWS_A_YEAR * days)))


def _starts(rows: int, ahead: int) -> Indices:
    """The rows at which past courses start: so many years before, some days earlier or later."""
    years = np.arange(1, int(rows / YEAR_DAYS) + 2)
    every = -(-years.size * (2 * SHIFT_DAYS + 1) // MOST_COURSES)
    shifts = np.arange(-SHIFT_DAYS, SHIFT_DAYS + 1, every)
    starts = (rows - np.rint(years * YEAR_DAYS).astype(np.int64)[:, None] + shifts).ravel()
    return starts[(starts >= 1) & (starts + ahead <= rows)]


def _usual(known: Indices, daily: Array, wanted: Indices) -> Array:
    """The daily mean of the season, by least squares."""
    columns = np.column_stack([np.ones(known.size), season_columns(known, HARMONICS)])
    coefficients = np.linalg.lstsq(columns, daily, rcond=None)[0]
    return np.column_stack([np.ones(wanted.size), season_columns(wanted, HARMONICS)]) @ coefficients


def _persistence(anomaly: Array) -> float:
    """What is left of an anomaly after a day."""
    before, after = anomaly[:-1], anomaly[1:]
    return float(np.clip(before @ after / max(before @ before, 1e-12), 0.0, 1.0))
