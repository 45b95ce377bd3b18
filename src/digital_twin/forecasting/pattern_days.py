"""A meter's readings as whole local days: what patterns are looked for in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Cells, tabulate

LEAST_DAYS = 14
"""Each kind of day has been there twice."""

_LEAST_KNOWN = 0.75
_KNOWN_HOURS = 3
"""A day counts with three quarters of its slots, and with no hole longer than this."""

Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PatternDays:
    """Days that are known well enough, in quarters of an hour or in hours; no NaN but for the temperature's."""

    day: NDArray[np.int64]  # (D,) local, days since 1970-01-01
    kw: Array  # (D, S) negative where more is fed in than used
    is_off: Truths  # (D,) weekends and holidays
    temperature_c: Array  # (D,) mean of the day, NaN where it is not known

    @property
    def slots_an_hour(self) -> int:
        return self.kw.shape[1] // 24

    @property
    def hourly_kw(self) -> Array:
        """Means of the hours."""  # (D, 24)
        return self.kw.reshape(len(self.kw), 24, -1).mean(axis=2)


@dataclass(frozen=True, slots=True)
class Locality:
    """What decides which day it is."""

    timezone: str
    country: str | None = None


def pattern_days(
    values_kw: Array, grid: TimeGrid, locality: Locality, temperature_c: Array | None = None
) -> PatternDays:
    """The days of a series, in quarters of an hour where it is as fine as that, else in hours.

    Args:
        values_kw: NaN where there is no reading.
        temperature_c: on the same grid.

    Raises:
        InsufficientData: fewer than LEAST_DAYS days are known well enough.
    """
    slots = 96 if 15 % grid.step_minutes == 0 else 24
    clock = local_clock(grid, locality.timezone)
    cells = Cells(clock.day, (clock.hour * slots // 24).astype(np.int64), slots)
    first, last = int(cells.day[0]), int(cells.day[-1])
    table = tabulate(values_kw, cells, first, last - first + 1)
    days = np.arange(first, last + 1)
    is_known = _is_known(table)
    if is_known.sum() < LEAST_DAYS:
        raise InsufficientData(
            f"patterns need {LEAST_DAYS} days of readings with few gaps, found {is_known.sum()}; ask for more days",
            needed_days=LEAST_DAYS,
            found_days=int(is_known.sum()),
        )
    days = days[is_known]
    is_off = ((days + 3) % 7 >= 5) | holidays_of(locality.country, days)
    warmth = (
        np.full(table.shape, np.nan) if temperature_c is None else tabulate(temperature_c, cells, first, len(table))
    )
    return PatternDays(days, _bridged(table[is_known], is_off), is_off, _daily_means(warmth)[is_known])


def _is_known(table: Array) -> Truths:
    """Whether a day has most of its slots and no long hole."""  # (D,)
    known = np.isfinite(table)
    width = _KNOWN_HOURS * table.shape[1] // 24
    windows = np.lib.stride_tricks.sliding_window_view(known, width, axis=1)
    return (known.mean(axis=1) >= _LEAST_KNOWN) & (windows.sum(axis=2).min(axis=1) > 0)


def _bridged(table: Array, is_off: Truths) -> Array:
    """The table with its holes bridged by what is usual then on days of the kind, moved to the level of the day."""
    if np.isfinite(table).all():
        return table
    full = table.copy()
    for kind in (is_off, ~is_off):
        rows = table[kind]
        if not len(rows):
            continue
        usual = _slot_means(rows, table)
        known = np.isfinite(rows)
        offset = np.where(known, rows - usual, 0.0).sum(axis=1) / known.sum(axis=1)
        full[kind] = np.where(known, rows, usual + offset[:, None])
    return full


def _slot_means(rows: Array, table: Array) -> Array:
    """What is usual in each slot: by these days, else by all of them, else the mean."""  # (S,)
    usual = np.full(table.shape[1], float(np.nanmean(table)))
    for source in (table, rows):
        count = np.isfinite(source).sum(axis=0)
        usual = np.where(count > 0, np.nansum(source, axis=0) / np.maximum(count, 1), usual)
    return usual


def _daily_means(table: Array) -> Array:
    """NaN for days of which less than half is known."""  # (D,)
    count = np.isfinite(table).sum(axis=1)
    mean = np.nansum(table, axis=1) / np.maximum(count, 1)
    return np.where(2 * count >= table.shape[1], mean, np.nan)
