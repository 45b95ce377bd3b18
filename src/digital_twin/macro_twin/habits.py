"""What is usual in each slot of the day, how far this day will depart from it tomorrow, and what a day teaches.

A departure is level, day waves and remainder together. Of every departure a part becomes habit; what was expected of it
a day before tells whether days are livelier than the model has it.

Source: Brown (1963), Smoothing, Forecasting and Prediction of Discrete Time Series, chapter 7 (exponential smoothing).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.structure import DEPARTURE_TERMS

PARTS = DEPARTURE_TERMS + 1
"""Of a departure: level and waves, and the remainder."""

REMAINDER = DEPARTURE_TERMS


class Tomorrow(NamedTuple):
    """What becomes of the parts of a departure within a day."""

    decay: Array  # (PARTS,)
    noise: Array  # (PARTS,) variance that comes to them


class Habits(NamedTuple):
    """What is carried from day to day, by slot."""

    usual: Array  # (S,) kW, the kind of day apart
    expected: Array  # (S,) kW, departure that was expected a day before; NaN before the first day
    spread: Array  # (S,) kW2, its variance


@compiled
def departure_of(mean: Array, weight: Array, remainder: int) -> float:
    """Of demand from what is usual; the first states are level and waves.

    Args:
        mean: of the states
        weight: of level and waves in this slot
        remainder: its place among the states
    """
    departure = mean[remainder]
    for part in range(DEPARTURE_TERMS):
        departure += weight[part] * mean[part]
    return departure


@compiled
def expect_tomorrow(
    mean: Array, covariance: Array, weight: Array, remainder: int, tomorrow: Tomorrow, scales: tuple[float, float]
) -> tuple[float, float]:
    """The departure in the same slot a day later, and its variance.

    Args:
        scales: factors on the noise of level and waves, and on that of the remainder
    """
    expected, variance = 0.0, 0.0
    for part in range(PARTS):
        is_remainder = part == REMAINDER
        state = remainder if is_remainder else part
        left = tomorrow.decay[part] * (1.0 if is_remainder else weight[part])
        expected += left * mean[state]
        variance += left * left * covariance[state, state]
        variance += tomorrow.noise[part] * (scales[1] if is_remainder else scales[0] * weight[part] * weight[part])
        for other in range(part):
            variance += 2.0 * left * tomorrow.decay[other] * weight[other] * covariance[state, other]
    return expected, variance


def tomorrow_of(decay: Array, noise: Array, slots: int) -> Tomorrow:
    """After a day of so many steps in which the parts decay and are shaken.

    Args:
        decay: in a step, below 1, (PARTS,)
        noise: variance that comes to them in a step, (PARTS,)
    """
    return Tomorrow(decay**slots, noise * (1 - decay ** (2 * slots)) / (1 - decay**2))


def habits_of(usual: Array) -> Habits:
    """Before the first day."""
    return Habits(usual.copy(), np.full(usual.size, np.nan), np.zeros(usual.size))
