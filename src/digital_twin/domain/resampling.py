"""The same series on another grid, without inventing energy."""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import SeriesKind, canonical_unit

Number = TypeVar("Number", np.float64, np.uint8)


def resample(series: SeriesValues, grid: TimeGrid) -> SeriesValues:
    """The series on `grid`; intervals that are not wholly covered by readings are NaN.

    A mean is averaged or repeated, an energy summed or split evenly, an instant taken at the start of the interval
    and held; its quality is the worst of what it is made of. Works through the greatest common step, so any two
    resolutions meet.

    Raises:
        InvalidInput: the grids would meet in steps of less than a minute.
    """
    kind = canonical_unit(series.key.name)[1]
    step = math.gcd(series.grid.step_minutes, grid.step_minutes)
    if (grid.start - series.grid.start).total_seconds() % (60 * step):
        raise InvalidInput("the two grids do not share a step", field="start")
    blocks = _blocks(series.values, series.grid, grid, empty=np.nan)
    if kind is SeriesKind.ENERGY:
        values = blocks.sum(axis=1) * (step / series.grid.step_minutes)
    elif kind is SeriesKind.INSTANT:
        values = blocks[:, 0]
    else:
        values = blocks.mean(axis=1)
    if series.flags is None:
        return SeriesValues(series.key, grid, values)
    qualities = _blocks(series.flags, series.grid, grid, empty=Quality.MEASURED)
    flags = qualities[:, 0] if kind is SeriesKind.INSTANT else qualities.max(axis=1)
    return SeriesValues(series.key, grid, values, flags if flags.any() else None)


def _blocks(given: NDArray[Number], source: TimeGrid, target: TimeGrid, *, empty: float) -> NDArray[Number]:
    """What each interval of the target is made of, in the greatest common step; `empty` where nothing is given."""
    step = math.gcd(source.step_minutes, target.step_minutes)
    fine = np.repeat(given, source.step_minutes // step)
    first = int((target.start - source.start).total_seconds()) // (60 * step)
    cut = np.full(target.steps * target.step_minutes // step, empty, dtype=given.dtype)
    low, high = max(first, 0), min(first + cut.size, fine.size)
    if low < high:
        cut[low - first : high - first] = fine[low:high]
    return cut.reshape(target.steps, -1)
