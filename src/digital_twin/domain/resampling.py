"""The same series on another grid, without inventing energy."""

import math

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array, SeriesKind, canonical_unit


def resample(series: SeriesValues, grid: TimeGrid) -> SeriesValues:
    """The series on `grid`; intervals that are not wholly covered by readings are NaN.

    A mean is averaged or repeated, an energy summed or split evenly, an instant taken at the start of the interval
    and held. Works through the greatest common step, so any two resolutions meet.

    Raises:
        InvalidInput: the grids would meet in steps of less than a minute.
    """
    kind = canonical_unit(series.key.name)[1]
    step = math.gcd(series.grid.step_minutes, grid.step_minutes)
    offset_minutes = (grid.start - series.grid.start).total_seconds() / 60
    if offset_minutes % step:
        raise InvalidInput("the two grids do not share a step", field="start")
    fine = np.repeat(series.values, series.grid.step_minutes // step)
    if kind is SeriesKind.ENERGY:
        fine = fine * (step / series.grid.step_minutes)
    window = _cut(fine, first=int(offset_minutes // step), length=grid.steps * grid.step_minutes // step)
    blocks = window.reshape(grid.steps, -1)
    if kind is SeriesKind.ENERGY:
        values = blocks.sum(axis=1)
    elif kind is SeriesKind.INSTANT:
        values = blocks[:, 0]
    else:
        values = blocks.mean(axis=1)
    return SeriesValues(series.key, grid, values)


def _cut(values: Array, *, first: int, length: int) -> Array:
    """`length` values from position `first`, NaN where there are none."""
    cut = np.full(length, np.nan)
    low, high = max(first, 0), min(first + length, values.size)
    if low < high:
        cut[low - first : high - first] = values[low:high]
    return cut
