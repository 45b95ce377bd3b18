"""What in a series is hard to believe, and why. Found in what is stored, and never stored itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import Flags, Quality
from digital_twin.domain.readings import PLANNED_SERIES
from digital_twin.domain.spikes import slipped_days, spikes
from digital_twin.domain.stuck_meters import Runs, stuck_runs, zero_runs
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

Mask = NDArray[np.bool_]

DAY_S = 86_400


class Reason(StrEnum):
    """Why a stretch is suspect."""

    TOLD = "told"
    """Its source said so."""
    STUCK = "stuck"
    """The same value for longer than is believable."""
    ZEROS = "zeros"
    """Nothing but 0 for longer than is believable."""
    SPIKE = "spike"
    """One or two readings far above those around them."""
    UNIT = "unit"
    """Days a thousand times too high: watts sent as kilowatts."""


@dataclass(frozen=True, slots=True, order=True)
class SuspectStretch:
    """Readings of one meter from place `first`, before place `end` of the grid."""

    meter: int
    first: int
    end: int
    reason: Reason


def suspect_stretches(name: str, grid: TimeGrid, values: Array, flags: Flags | None = None) -> list[SuspectStretch]:
    """All that is suspect in meters of one name, in order; of prices and weather only what their sources told.

    Args:
        name: of the series, whose kind decides what is believable
        grid: of the values
        values: one row a meter, (M, T)
        flags: what the sources said, (M, T); None where all is measured
    """
    found: list[SuspectStretch] = []
    if flags is not None:
        found += _stretches((flags == Quality.SUSPECT) & ~np.isnan(values), Reason.TOLD)
    if name not in PLANNED_SERIES:
        day = grid.starts.astype(np.int64) // DAY_S
        found += _runs(stuck_runs(name, values, grid.step_hours), Reason.STUCK)
        found += _runs(zero_runs(name, values, grid.step_hours), Reason.ZEROS)
        slipped = slipped_days(name, values, day)
        found += _stretches(slipped, Reason.UNIT)
        # in the spread of the others, which a day in watts would hide
        found += _stretches(spikes(name, np.where(slipped, np.nan, values), grid.step_hours), Reason.SPIKE)
    return sorted(found)


def suspect_readings(values: Array, stretches: list[SuspectStretch]) -> Mask:
    """Whether each reading lies in a suspect stretch."""  # (M, T)
    suspect = np.zeros(values.shape, dtype=np.bool_)
    for one in stretches:
        suspect[one.meter, one.first : one.end] = True
    return suspect & ~np.isnan(values)


def stretches_of(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, first place and place after the last of each stretch of a mask's rows, in order."""  # mask (M, T)
    edged = np.zeros((mask.shape[0], mask.shape[1] + 2), dtype=np.int8)
    edged[:, 1:-1] = mask
    steps = np.diff(edged, axis=1)
    row, first = np.nonzero(steps == 1)
    return row, first, np.nonzero(steps == -1)[1]


def _stretches(mask: Mask, reason: Reason) -> Iterator[SuspectStretch]:
    for meter, first, end in zip(*(places.tolist() for places in stretches_of(mask)), strict=True):
        yield SuspectStretch(meter, first, end, reason)


def _runs(runs: Runs, reason: Reason) -> Iterator[SuspectStretch]:
    for meter, first, end in zip(runs.meter.tolist(), runs.first.tolist(), runs.end.tolist(), strict=True):
        yield SuspectStretch(meter, first, end, reason)
