"""How good a series is over a time: what is there, what is missing, what is hard to believe."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import WORDS, QualityWord
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.suspicion import (
    Reason,
    stretches_of,
    suspect_readings,
    suspect_stretches,
)
from digital_twin.domain.time import TimeGrid, local_clock

Mask = NDArray[np.bool_]

_FIRST_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Intervals from `start`, before `end`; suspect for a reason, or a gap."""

    start: datetime
    end: datetime
    intervals: int
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class DayQuality:
    """A local calendar day: the intervals that it was to have, those that are there, and those that are suspect."""

    day: date
    expected: int
    present: int
    suspect: int


@dataclass(frozen=True, slots=True, eq=False)
class SeriesQuality:
    """The quality of a series over a time."""

    expected: int
    counts: Mapping[QualityWord, int]
    gaps: tuple[Stretch, ...]
    suspects: tuple[Stretch, ...]
    suspect_count: int
    days: tuple[DayQuality, ...]
    last_reading_end: datetime | None
    """The end of the newest interval with a reading; None without any."""

    @property
    def completeness(self) -> float | None:
        """Share of the expected intervals that are there, 0..1; None where none is expected."""
        return None if not self.expected else 1 - self.counts["missing"] / self.expected

    @property
    def longest_gap(self) -> Stretch | None:
        """The earliest of the longest gaps."""
        return max(self.gaps, key=lambda gap: gap.intervals, default=None)


def quality_of(series: SeriesValues, zone: str, *, expected: Mask | None = None) -> SeriesQuality:
    """The quality of a series on its grid, by days of this zone; `expected` intervals are all unless told."""
    grid, values = series.grid, series.values
    wanted = np.ones(grid.steps, dtype=np.bool_) if expected is None else expected
    values = np.where(wanted, values, np.nan)
    present = ~np.isnan(values)
    flags = None if series.flags is None else series.flags[None]
    found = suspect_stretches(series.key.name, grid, values[None], flags)
    suspect = suspect_readings(values[None], found)[0]
    _, first, end = stretches_of((wanted & ~present)[None])
    return SeriesQuality(
        expected=int(wanted.sum()),
        counts=_counts(series, wanted, present),
        gaps=tuple(_stretch(grid, *places) for places in zip(first.tolist(), end.tolist(), strict=True)),
        suspects=tuple(_stretch(grid, one.first, one.end, one.reason) for one in found),
        suspect_count=int(suspect.sum()),
        days=_days(grid, zone, wanted, present, suspect),
        last_reading_end=grid.instant(int(np.flatnonzero(present)[-1]) + 1) if present.any() else None,
    )


def _counts(series: SeriesValues, wanted: Mask, present: Mask) -> dict[QualityWord, int]:
    flags = np.zeros(series.values.size, dtype=np.uint8) if series.flags is None else series.flags
    counted = np.bincount(flags[present], minlength=len(WORDS))
    counts = dict(zip(WORDS, counted.tolist(), strict=True))
    counts["missing"] = int((wanted & ~present).sum())
    return counts


def _stretch(grid: TimeGrid, first: int, end: int, reason: Reason | None = None) -> Stretch:
    return Stretch(grid.instant(first), grid.instant(end), end - first, reason)


def _days(grid: TimeGrid, zone: str, wanted: Mask, present: Mask, suspect: Mask) -> tuple[DayQuality, ...]:
    days, number = np.unique(local_clock(grid, zone).day, return_inverse=True)
    counts = (np.bincount(number, weights=mask).astype(np.int64).tolist() for mask in (wanted, present, suspect))
    return tuple(
        DayQuality(_FIRST_DAY + timedelta(days=day), *of_day)
        for day, *of_day in zip(days.tolist(), *counts, strict=True)
    )
