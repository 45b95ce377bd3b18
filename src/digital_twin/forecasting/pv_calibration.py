"""Honest quantiles of generation: moved until, on days held back, each was exceeded as often as it promises.

Source: conformalised quantile regression, Romano, Patterson and Candes (2019), one shift per quantile and part of the
day by the sun.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.local_days import Indices

LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
WIDTH_COLUMNS = (3, 11)
LEAST_WIDTH = 0.01
"""Of what is rated."""
PARTS = 3
TRUSTED_DAYS = 10.0
LEARNED_NUMBERS = 6.0
"""Tilt, azimuth, scale and what is blurred were learned from the same days: others err by this over their number more.

Source: final prediction error, Akaike (1969)."""


@dataclass(frozen=True, slots=True, eq=False)
class SunCalibration:
    """Shifts by part of the day and level, in units of the width between 10 and 90 %."""

    shifts: Array  # (PARTS, len(LEVELS))
    least_width: float
    widening: float

    def apply(self, quantiles: Array, position: Array) -> Array:
        """Args:
        quantiles: at `LEVELS`.  # (T, Q)
        position: between sunrise and sunset.  # (T,)
        """  # -> (T, Q)
        width = _width(quantiles, self.least_width)
        shifted = np.sort(quantiles + self.shifts[parts_of(position)] * width[:, None], axis=1)
        middle = shifted[:, len(LEVELS) // 2, None]
        return middle + self.widening * (shifted - middle)

    def to_arrays(self) -> Arrays:
        numbers = {name: np.array(getattr(self, name)) for name in ("least_width", "widening")}
        return {"shifts": self.shifts, **numbers}


def at_levels(quantiles: Array, levels: tuple[float, ...]) -> Array:
    """Those asked for, linear between `LEVELS`, the outermost beyond.

    Args:
        quantiles: at `LEVELS`.  # (T, Q)
    """  # -> (T, len(levels))
    known = np.asarray(LEVELS)
    wanted = np.clip(levels, known[0], known[-1])
    upper = np.clip(np.searchsorted(known, wanted), 1, known.size - 1)
    share = (wanted - known[upper - 1]) / (known[upper] - known[upper - 1])
    return (1 - share) * quantiles[:, upper - 1] + share * quantiles[:, upper]


def parts_of(position: Array) -> Indices:
    """Morning, noon or afternoon by the sun."""  # (T,)
    return np.clip(((position + 1) * PARTS / 2).astype(np.int64), 0, PARTS - 1)


def calibrate_by_sun(actual: Array, predicted: Array, position: Array, *, days: int, rated: float) -> SunCalibration:
    """Learn the shifts from what was predicted for days that were held back.

    Args:
        actual: what happened.  # (N,)
        predicted: at `LEVELS`.  # (N, Q)
        position: between sunrise and sunset.  # (N,)
    """
    least_width = LEAST_WIDTH * rated
    excess = (actual[:, None] - predicted) / _width(predicted, least_width)[:, None]
    promised = np.asarray(LEVELS)
    part = parts_of(position)
    trust = days / (days + TRUSTED_DAYS)
    shifts = np.zeros((PARTS, promised.size))
    for number in range(PARTS):
        mine = excess[part == number]
        if mine.shape[0]:
            found = np.array([np.quantile(mine[:, column], level) for column, level in enumerate(LEVELS)])
            inwards = np.where(promised < 0.5, found > 0, found < 0)
            shifts[number] = np.where(inwards, trust * found, found)
    return SunCalibration(shifts, least_width, 1 + LEARNED_NUMBERS / max(days, 1))


def _width(quantiles: Array, least: float) -> Array:
    low, high = WIDTH_COLUMNS
    return np.maximum(quantiles[:, high] - quantiles[:, low], least)
