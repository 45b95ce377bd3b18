"""Readings as rows of one series and one UTC day, and the slot-wise merge of new rows into old ones.

A row holds 1440 / resolution slots in float32, NaN where there is no reading. Values are compared as stored. A reading
is its value together with its flag: the same value told with another flag is another reading.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import Flags
from digital_twin.domain.stretches import Indices, Stretches
from digital_twin.domain.units import Array

DAY_MINUTES = 1440

_VALUES_A_BLOCK = 2**15
"""So many are made decimals of at once: they stay in the processor's cache, and take little memory on their way."""

Slots = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class DayRows:
    """Rows of one resolution in the order of (day, series), each pair once."""

    day: Indices  # (R,) days since 1970-01-01
    series: Indices  # (R,)
    slots: Slots  # (R, 1440 / resolution)
    flags: Flags | None = None  # as slots, 0 where there is no reading; None where all are measured

    @property
    def size(self) -> int:
        return self.day.size

    def part(self, first: int, end: int) -> "DayRows":
        """Rows from one position up to another."""
        flags = None if self.flags is None else self.flags[first:end]
        return DayRows(self.day[first:end], self.series[first:end], self.slots[first:end], flags)

    def where(self, chosen: Mask) -> "DayRows":
        """The chosen rows."""
        if chosen.all():
            return self
        flags = None if self.flags is None else self.flags[chosen]
        return DayRows(self.day[chosen], self.series[chosen], self.slots[chosen], flags)


def shortest_decimals(slots: Slots) -> Array:
    """The decimals of fewest digits that are stored as these values: 41.3 comes back as 41.3.

    A single has 6 to 9 significant digits (IEEE 754-2019, section 5.12.2); the first count that leads back is it.
    """
    stored = slots.ravel()
    found = np.empty(stored.size)
    for first in range(0, stored.size, _VALUES_A_BLOCK):
        found[first : first + _VALUES_A_BLOCK] = _decimals(stored[first : first + _VALUES_A_BLOCK])
    return found.reshape(slots.shape)


def _decimals(stored: Slots) -> Array:
    exact = stored.astype(np.float64)
    # most meters tell whole thousandths: below a thousand these have at most six digits
    found = np.round(exact * 1000) / 1000
    is_found = (found.astype(np.float32) == stored) & (np.abs(exact) < 1000)
    found = np.where(is_found, found, exact)
    open_places = np.flatnonzero(np.isfinite(exact) & ~is_found)
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
    return found


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What a batch held before it met the store: received = distinct + duplicate + superseded."""

    received: int
    duplicate: int
    superseded: int


def to_day_rows(told: Stretches, resolution_minutes: int) -> tuple[DayRows, BatchCounts]:
    """Rows of a batch of one resolution, in order: where two readings meet in a slot the last one wins."""
    slots_per_day = DAY_MINUTES // resolution_minutes
    told = told.cut(slots_per_day)
    day, first = np.divmod(told.first_slot, slots_per_day)
    keys, row = np.unique((day << 32) | told.series, return_inverse=True)
    rows = DayRows(keys >> 32, keys & 0xFFFFFFFF, np.full((keys.size, slots_per_day), np.nan, dtype=np.float32))
    if keys.size == row.size and (told.length == slots_per_day).all():  # whole days that do not meet
        rows.slots[row] = told.values.reshape(-1, slots_per_day)
        known = ~np.isnan(rows.slots)
        if told.flags is not None:
            flags = np.empty(known.shape, dtype=np.uint8)
            flags[row] = told.flags.reshape(-1, slots_per_day)
            rows = replace(rows, flags=np.where(known, flags, np.uint8(0)))
        return rows, BatchCounts(int(np.count_nonzero(known)), 0, 0)
    offset = row * slots_per_day + first - (np.cumsum(told.length) - told.length)
    place = np.repeat(offset, told.length) + np.arange(told.values.size)
    return _scattered(rows, place, told)


def _scattered(rows: DayRows, place: Indices, told: Stretches) -> tuple[DayRows, BatchCounts]:
    """The empty rows with each reading at its place; numpy keeps the last of several for one place."""
    known = ~np.isnan(told.values)
    place, values = place[known], told.values[known]
    slots = rows.slots.ravel()
    slots[place] = values
    equal_to_winner = slots[place] == values
    if told.flags is not None:
        flags = np.zeros(slots.size, dtype=np.uint8)
        flags[place] = told.flags[known]
        equal_to_winner &= flags[place] == told.flags[known]
        rows = replace(rows, flags=flags.reshape(rows.slots.shape))
    winning, equal = int(np.count_nonzero(~np.isnan(slots))), int(np.count_nonzero(equal_to_winner))
    return rows, BatchCounts(values.size, equal - winning, values.size - equal)


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """New rows over old ones: where nothing was (first) and where something else was (corrected)."""

    slots: Slots  # (R, S)
    flags: Flags | None  # (R, S)
    first: Mask  # (R, S)
    corrected: Mask  # (R, S)

    @property
    def changed_rows(self) -> Mask:
        """Rows that hold anything new."""  # (R,)
        changed: Mask = (self.first | self.corrected).max(axis=1)
        return changed


def merge(old: Slots, new: Slots, *, old_flags: Flags | None = None, new_flags: Flags | None = None) -> Merge:
    """Slot by slot; a missing new value never erases an old one."""
    told = ~np.isnan(new)
    differs = new != old
    flags = None
    if old_flags is not None or new_flags is not None:
        before = np.zeros(old.shape, dtype=np.uint8) if old_flags is None else old_flags
        after = np.zeros(old.shape, dtype=np.uint8) if new_flags is None else new_flags
        differs |= after != before
        flags = np.where(told, after, before)
    differs &= told
    had = ~np.isnan(old)
    return Merge(np.where(differs, new, old), flags, differs & ~had, differs & had)
