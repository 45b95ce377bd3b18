"""Readings as rows of one series and one UTC day, and the slot-wise merge of new rows into old ones.

A row holds 1440 / resolution slots in float32, NaN where there is no reading. Values are compared as stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.units import Array

DAY_MINUTES = 1440

Slots = NDArray[np.float32]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class DayRows:
    """Rows of one resolution in the order of (day, series), each pair once."""

    day: Indices  # (R,) days since 1970-01-01
    series: Indices  # (R,)
    slots: Slots  # (R, 1440 / resolution)

    @property
    def size(self) -> int:
        return self.day.size

    def where(self, chosen: Mask) -> "DayRows":
        """The chosen rows."""
        return DayRows(self.day[chosen], self.series[chosen], self.slots[chosen])


def shortest_decimals(slots: Slots) -> Array:
    """The decimals of fewest digits that are stored as these values: 41.3 comes back as 41.3.

    A single has 6 to 9 significant digits (IEEE 754-2019, section 5.12.2); the first count that leads back is it.
    """
    stored = slots.ravel()
    exact = stored.astype(np.float64)
    found = exact.copy()
    open_places = np.flatnonzero(np.isfinite(exact) & (exact != 0))
    exponent = np.floor(np.log10(np.abs(exact[open_places]))).astype(np.int64)
    for digits in range(6, 10):
        scale = 10.0 ** np.abs(digits - 1 - exponent)
        small = exponent < digits
        value = exact[open_places]
        whole = np.round(np.where(small, value * scale, value / scale))
        decimal = np.where(small, whole / scale, whole * scale)
        leads_back = decimal.astype(np.float32) == stored[open_places]
        found[open_places[leads_back]] = decimal[leads_back]
        open_places, exponent = open_places[~leads_back], exponent[~leads_back]
    return found.reshape(slots.shape)


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What a batch held before it met the store: received = distinct + duplicate + superseded."""

    received: int
    duplicate: int
    superseded: int


def to_day_rows(
    series: Sequence[int], readings: Sequence[SeriesValues], resolution_minutes: int
) -> tuple[DayRows, BatchCounts]:
    """Rows of a batch of one resolution, in order: where two readings meet in a slot the last one wins."""
    slots_per_day = DAY_MINUTES // resolution_minutes
    lengths = np.array([one.values.size for one in readings], dtype=np.int64)
    first_slots = np.array([int(one.grid.start.timestamp()) // 60 // resolution_minutes for one in readings])
    total = int(lengths.sum())
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slot = np.repeat(first_slots, lengths) + within  # counted from 1970-01-01
    values = np.concatenate([one.values for one in readings]).astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
    known = ~np.isnan(values)
    slot, values, owner = slot[known], values[known], np.repeat(np.asarray(series, dtype=np.int64), lengths)[known]
    day, slot = slot // slots_per_day, slot % slots_per_day
    keys, row = np.unique((day << 32) | owner, return_inverse=True)
    rows = np.full((keys.size, slots_per_day), np.nan, dtype=np.float32)
    flat = row * slots_per_day + slot
    rows.ravel()[flat] = values  # numpy keeps the last of several values for one place
    winning = int(np.count_nonzero(~np.isnan(rows)))
    equal_to_winner = int(np.count_nonzero(rows.ravel()[flat] == values))
    counts = BatchCounts(values.size, equal_to_winner - winning, values.size - equal_to_winner)
    return DayRows(keys >> 32, keys & 0xFFFFFFFF, rows), counts


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """New rows over old ones: where nothing was (first) and where something else was (corrected)."""

    merged: Slots  # (R, S)
    first: Mask  # (R, S)
    corrected: Mask  # (R, S)

    @property
    def changed_rows(self) -> Mask:
        """Rows that hold anything new."""  # (R,)
        changed: Mask = (self.first | self.corrected).max(axis=1)
        return changed


def merge(old: Slots, new: Slots) -> Merge:
    """Slot by slot; a missing new value never erases an old one."""
    differs = ~np.isnan(new) & (new != old)
    had = ~np.isnan(old)
    return Merge(np.where(differs, new, old), differs & ~had, differs & had)
