"""The meters of a community beside each other: who is silent, who is suspect."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import Flags
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.suspicion import Reason, suspect_readings, suspect_stretches

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MeterQuality:
    """What a meter told of the intervals that it was to tell of."""

    key: SeriesKey
    expected: int
    missing: int
    suspect: int
    reasons: tuple[Reason, ...]
    last_reading_end: datetime | None
    """The end of the newest interval with a reading; None without any."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing came of what was expected."""
        return self.missing == self.expected > 0

    @property
    def trouble(self) -> float:
        """Share of the expected readings that are missing or suspect, 0..1."""
        return (self.missing + self.suspect) / self.expected if self.expected else 0.0


def quality_of_meters(series: Sequence[SeriesValues], expected: Mask) -> list[MeterQuality]:
    """The quality of each of these series of one name on one grid."""  # expected (M, T)
    name, grid = series[0].key.name, series[0].grid
    values = np.where(expected, np.stack([one.values for one in series]), np.nan)
    flags = _flags_of(series)
    found = suspect_stretches(name, grid, values, flags)
    suspect = suspect_readings(values, found).sum(axis=1)
    reasons: list[set[Reason]] = [set() for _ in series]
    for one in found:
        reasons[one.meter].add(one.reason)
    known = ~np.isnan(values)
    last = grid.steps - np.argmax(known[:, ::-1], axis=1)
    return [
        MeterQuality(
            key=one.key,
            expected=int(wanted),
            missing=int(wanted - there),
            suspect=int(doubtful),
            reasons=tuple(sorted(why)),
            last_reading_end=grid.instant(int(newest)) if there else None,
        )
        for one, wanted, there, doubtful, why, newest in zip(
            series, expected.sum(axis=1), known.sum(axis=1), suspect, reasons, last, strict=True
        )
    ]


def worst_first(meters: Sequence[MeterQuality]) -> list[MeterQuality]:
    """By the share of what is missing or suspect, those in equal trouble by what they are."""
    return sorted(meters, key=lambda one: (-one.trouble, one.key.name, one.key.member_id or "", one.key.asset_id or ""))


def _flags_of(series: Sequence[SeriesValues]) -> Flags | None:
    if all(one.flags is None for one in series):
        return None
    none = np.zeros(series[0].values.size, dtype=np.uint8)
    return np.stack([none if one.flags is None else one.flags for one in series])
