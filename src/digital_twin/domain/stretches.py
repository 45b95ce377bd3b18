"""Readings of many series as plain columns: stretch by stretch, in the order they were told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import Flags
from digital_twin.domain.readings import SeriesValues

Singles = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Stretches of one resolution, whose slots are counted from 1970-01-01; NaN where there is no reading."""

    series: Indices  # (K,)
    first_slot: Indices  # (K,)
    length: Indices  # (K,)
    values: Singles  # (N,) those of all stretches, one after the other
    flags: Flags | None = None  # (N,); None where all are measured

    @classmethod
    def of(cls, series: Sequence[int], readings: Sequence[SeriesValues]) -> "Stretches":
        """Readings of one resolution, each with the number of its series."""
        starts = [one.grid.start for one in readings]
        step_s = 60 * readings[0].grid.step_minutes
        slots = {start: int(start.timestamp()) // step_s for start in set(starts)}  # many series share their start
        values = [one.values for one in readings]
        return cls(
            np.asarray(series, dtype=np.int64),
            np.array([slots[start] for start in starts], dtype=np.int64),
            np.array([one.size for one in values], dtype=np.int64),
            np.concatenate(values, dtype=np.float32, casting="same_kind") + np.float32(0),  # -0.0 becomes 0.0
            _flags_of(readings),
        )

    @classmethod
    def joined(cls, parts: Sequence["Stretches"]) -> "Stretches":
        """One after the other."""
        flags = None
        if any(part.flags is not None for part in parts):
            flags = np.concatenate([_or_measured(part.flags, part.values.size) for part in parts])
        return cls(
            np.concatenate([part.series for part in parts]),
            np.concatenate([part.first_slot for part in parts]),
            np.concatenate([part.length for part in parts]),
            np.concatenate([part.values for part in parts]),
            flags,
        )

    def owned_by(self, numbers: Indices) -> "Stretches":
        """The same readings under other numbers: each series under that at its place."""
        return replace(self, series=numbers[self.series])

    def cut(self, slots: int) -> "Stretches":
        """The same readings with no stretch across a multiple of so many slots."""
        pieces = (self.first_slot + np.maximum(self.length, 1) - 1) // slots - self.first_slot // slots + 1
        if pieces.max(initial=1) == 1:
            return self
        owner = np.repeat(np.arange(self.series.size), pieces)
        number = np.arange(owner.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = self.first_slot[owner]
        first = np.where(number == 0, begin, (begin // slots + number) * slots)
        end = np.minimum((first // slots + 1) * slots, begin + self.length[owner])
        return Stretches(self.series[owner], first, end - first, self.values, self.flags)

    def take(self, chosen: Indices) -> "Stretches":
        """The chosen stretches in this order."""
        length = self.length[chosen]
        source = (np.cumsum(self.length) - self.length)[chosen]
        place = np.repeat(source - (np.cumsum(length) - length), length) + np.arange(length.sum())
        flags = None if self.flags is None else self.flags[place]
        return Stretches(self.series[chosen], self.first_slot[chosen], length, self.values[place], flags)


def _flags_of(readings: Sequence[SeriesValues]) -> Flags | None:
    flags = [one.flags for one in readings]
    if all(own is None for own in flags):
        return None
    return np.concatenate([_or_measured(own, one.values.size) for own, one in zip(flags, readings, strict=True)])


def _or_measured(flags: Flags | None, size: int) -> Flags:
    return np.zeros(size, dtype=np.uint8) if flags is None else flags
