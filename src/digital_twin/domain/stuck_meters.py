"""Meters that hang: the same value for longer than is believable of the series.

Homes of coarse meters show one value for hours, a dark roof or an empty battery for days. Believable is what is not
longer than a floor by kind of series, nor than a few times what the series itself does. Floors and factors come from
537 real homes and other real series; `benchmarks/quality.py` counts false alarms on them and finds planted faults.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

FLOOR_HOURS = {"load_kw": 12.0, "net_load_kw": 12.0, "pv_kw": 12.0, "storage_soc_kwh": 48.0}
OTHER_FLOOR_HOURS = 24.0
"""No shorter run is called stuck: devices may well draw the same all night."""

ZERO_HOURS = {"load_kw": 48.0, "net_load_kw": 48.0, "pv_kw": 14 * 24.0}
"""A connection in use for so long at nothing, a roof through so many days; other devices may be off for ever."""

HABIT_QUANTILE, HABIT_FACTOR = 0.99, 3.0
"""A run is also to be so many times as long as nearly all other runs of the series."""

OFF_SHARE, DARK_SHARE = 1e-3, 0.02
"""Of the usual peak: below it a load is off, and a roof is dark, whose inverter may show a constant trifle."""

FULL_SHARE = 0.01
"""So near the ends of its range a storage is empty or full and may stay."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Stretches over which a meter shows one value; missing readings inside do not end them."""

    meter: Indices  # (R,)
    first: Indices  # (R,) place of the first reading
    end: Indices  # (R,) place after the last reading
    readings: Indices  # (R,)
    value: Array  # (R,)

    def where(self, chosen: Mask) -> "Runs":
        """The chosen runs."""
        return Runs(self.meter[chosen], self.first[chosen], self.end[chosen], self.readings[chosen], self.value[chosen])


def runs_of(values: Array) -> Runs:
    """The runs of each meter, in order."""  # values (M, T)
    meter, place = np.nonzero(~np.isnan(values))
    known = values[meter, place]
    is_new = np.ones(known.size, dtype=np.bool_)
    is_new[1:] = (known[1:] != known[:-1]) | (meter[1:] != meter[:-1])
    first = np.flatnonzero(is_new)
    after = np.append(first, known.size)[1:]
    return Runs(meter[first], place[first], place[after - 1] + 1, after - first, known[first])


def stuck_runs(name: str, values: Array, step_hours: float) -> Runs:
    """Runs of a value at work that are too long to be true."""  # values (M, T)
    floor = FLOOR_HOURS.get(name, OTHER_FLOOR_HOURS) / step_hours
    runs = _runs_of_those_that_rest(values, floor)
    runs = runs.where(_is_at_work(name, values, runs))
    habit = _habit(runs.where(runs.readings < floor), meters=values.shape[0])
    return runs.where(runs.readings >= np.maximum(floor, HABIT_FACTOR * habit[runs.meter]))


def zero_runs(name: str, values: Array, step_hours: float) -> Runs:
    """Runs of exactly nothing that are too long to be true."""  # values (M, T)
    least = ZERO_HOURS.get(name, np.inf) / step_hours
    runs = _runs_of_those_that_rest(values, least)
    return runs.where((runs.value == 0) & (runs.readings >= least))


def usual_peaks(values: Array, quantile: float = 0.99) -> Array:
    """A high quantile of each meter's known values, that single wrong ones do not move; NaN without any."""
    ordered = np.sort(values, axis=1)  # NaN comes last
    known = np.count_nonzero(~np.isnan(values), axis=1)
    place = np.maximum((quantile * (known - 1)).astype(np.int64), 0)
    return ordered[np.arange(values.shape[0]), place]


def _runs_of_those_that_rest(values: Array, least: float) -> Runs:
    """All runs of the meters that may have one of so many readings; the others, nearly all, are not looked at.

    In such a run each reading but the first equals the one before it or comes after a gap.
    """
    repeats = (values[:, 1:] == values[:, :-1]) | (np.isnan(values[:, :-1]) & ~np.isnan(values[:, 1:]))
    chosen = np.flatnonzero(np.count_nonzero(repeats, axis=1) >= least - 1)
    runs = runs_of(values[chosen])
    return replace(runs, meter=chosen[runs.meter])


def _is_at_work(name: str, values: Array, runs: Runs) -> Mask:
    if name == "storage_soc_kwh":
        low, high = np.fmin.reduce(values, axis=1)[runs.meter], np.fmax.reduce(values, axis=1)[runs.meter]
        margin = FULL_SHARE * (high - low)
        return (runs.value > low + margin) & (runs.value < high - margin)
    share = DARK_SHARE if name == "pv_kw" else OFF_SHARE
    return np.abs(runs.value) > share * usual_peaks(np.abs(values))[runs.meter]


def _habit(runs: Runs, *, meters: int) -> Array:
    """The length in readings that nearly all runs of each meter stay below; 0 without any."""  # (M,)
    order = np.lexsort((runs.readings, runs.meter))
    count = np.bincount(runs.meter, minlength=meters)
    first = np.cumsum(count) - count
    place = first + np.ceil(HABIT_QUANTILE * (count - 1)).astype(np.int64)
    habit = np.zeros(meters)
    some = count > 0
    habit[some] = runs.readings[order][place[some]]
    return habit
