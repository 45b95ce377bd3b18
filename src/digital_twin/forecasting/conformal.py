"""Honest intervals: quantiles are shifted until, over the recent past, each was exceeded as often as it promises.

A day is what is learned from: its slots err together. After each one a quantile that was missed too often moves
outwards, one that was missed too seldom inwards, by a step that would mend the same share of the error at every level
if errors were normal. So the share that is missed in the long run is the promised one whatever happens, and what has
changed is followed within weeks.

Source: adaptive conformal inference, Gibbs and Candes (2021), Adaptive conformal inference under distribution shift;
the shifts themselves follow, Angelopoulos, Candes and Tibshirani (2023), Conformal PID control for time series.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Indices

DAY_PARTS = 3
LEARNING_RATE = 0.1
"""Share of an error in coverage that one day mends."""

SHARED = 0.9
"""How much of it is that of the whole day, the rest is that of the part."""

WIDENING_DAYS = 0.5
"""A level is aimed at from further out by this over the number of days, since that many days cannot tell it better."""

TRUSTED_DAYS = 10.0
FEWEST_DAYS = 7
"""Fewer days narrow and move no interval; more do so by days / (days + TRUSTED_DAYS) of what they say."""

WIDTH_LEVELS = (0.1, 0.9)
LEAST_WIDTH = 0.2
OUTERMOST = 0.025
_SMALLEST = 1e-9
_MOST = 0.9995


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What past days taught: shifts in units of the width that a forecast claims, and the least width of a slot."""

    shifts: Array  # (P, Q)
    least_width: Array  # (S,)

    def apply(self, quantiles: Array, slots: Indices, levels: tuple[float, ...]) -> Array:
        """The quantiles after shifting, in order.

        Args:
            quantiles: as forecast.  # (T, Q)
            slots: the slot of the day of each row.  # (T,)
        """  # -> (T, Q)
        width = np.maximum(_claimed_width(quantiles, levels), self.least_width[slots])
        part = day_parts(self.least_width.size)[slots]
        return np.sort(quantiles + self.shifts[part] * width[:, None], axis=1)


def day_parts(slots: int) -> Indices:
    """Which part of the day each slot belongs to."""  # (S,)
    return np.arange(slots) * DAY_PARTS // slots


def calibrate(actual: Array, predicted: Array, levels: tuple[float, ...]) -> Calibration:
    """What to add to quantiles, learned by going through past days in order.

    Args:
        actual: what happened, NaN where unknown.  # (D, S)
        predicted: the quantiles issued before, NaN where there were none.  # (D, S, Q)
    """
    promised = np.asarray(levels)
    width = _claimed_width(predicted, levels)
    usual = _usual(width)
    width = np.maximum(width, LEAST_WIDTH * usual)
    excess = (actual[:, :, None] - predicted) / width[:, :, None]
    days = int(np.isfinite(excess).any(axis=(1, 2)).sum())
    steps = LEARNING_RATE * _spread(excess, levels) * _steps(levels)
    shifts = _follow(excess, _aims(promised, days), steps)
    return Calibration(_trust(shifts, promised, days), LEAST_WIDTH * usual)


def adaptive_shifts(actual: Array, predicted: Array, levels: tuple[float, ...]) -> Array:
    """The shifts of each slot and quantile at the width that is usual there, in the unit of the series."""  # (S, Q)
    learned = calibrate(actual, predicted, levels)
    usual = learned.least_width / LEAST_WIDTH
    return learned.shifts[day_parts(usual.size)] * usual[:, None]


def _claimed_width(quantiles: Array, levels: tuple[float, ...]) -> Array:
    low, high = _width_columns(levels)
    return quantiles[..., high] - quantiles[..., low]


def _usual(width: Array) -> Array:
    """The mean of each slot over the days that it is known on."""  # (S,)
    known = np.isfinite(width)
    return np.maximum(np.where(known, width, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), _SMALLEST)


def _width_columns(levels: tuple[float, ...]) -> tuple[int, int]:
    """The quantiles nearest to 10 and 90 %: what one level learns must not depend on which others are asked for."""
    low, high = (int(np.abs(np.asarray(levels) - level).argmin()) for level in WIDTH_LEVELS)
    return low, high


def _spread(excess: Array, levels: tuple[float, ...]) -> float:
    """How many claimed widths the errors of the middle are wide; at least one, lest what fits too well stays so."""
    errors = excess[:, :, int(np.abs(np.asarray(levels) - 0.5).argmin())]
    known = errors[np.isfinite(errors)]
    if not known.size:
        return 1.0
    low, high = np.quantile(known, WIDTH_LEVELS)
    return max(1.0, float(high - low))


def _aims(levels: Array, days: int) -> Array:
    """The shares that so many days have to be below, for the promised ones to hold on the next."""  # (Q,)
    return np.clip(0.5 + (levels - 0.5) * (1 + WIDENING_DAYS / max(days, 1)), 1 - _MOST, _MOST)


def _steps(levels: tuple[float, ...]) -> Array:
    """How many widths a quantile of normal errors moves for a unit of probability, at each level.

    Further out than OUTERMOST by as many as there: one bad hour must not throw the last quantile off.
    """  # (Q,)
    normal = NormalDist()
    low, high = _width_columns(levels)
    width = max(normal.inv_cdf(levels[high]) - normal.inv_cdf(levels[low]), _SMALLEST)
    inner = np.clip(levels, OUTERMOST, 1 - OUTERMOST).tolist()
    return np.array([1 / (normal.pdf(normal.inv_cdf(level)) * width) for level in inner])


def _follow(excess: Array, aims: Array, steps: Array) -> Array:
    """The shifts at the end of the days.

    Args:
        excess: how far reality lay above each quantile, in widths; NaN where unknown.  # (D, S, Q)
    """  # -> (P, Q)
    part_of = day_parts(excess.shape[1])
    member = part_of == np.arange(DAY_PARTS)[:, None]  # (P, S)
    shifts = np.zeros((DAY_PARTS, aims.size))
    for day in excess:
        known = np.isfinite(day[:, 0])
        if not known.any():
            continue
        lacking = np.where(known[:, None], aims - (day <= shifts[part_of]), 0.0)  # (S, Q)
        count = (member & known).sum(axis=1)[:, None]
        of_part = member.astype(np.float64) @ lacking / np.maximum(count, 1)
        of_day = lacking.sum(axis=0) / known.sum()
        shifts += steps * np.where(count > 0, SHARED * of_day + (1 - SHARED) * of_part, SHARED * of_day)
    return shifts


def _trust(shifts: Array, levels: Array, days: int) -> Array:
    """What moves all levels, or narrows what they enclose, is believed only as far as there are days to tell."""
    trust = days / (days + TRUSTED_DAYS) if days >= FEWEST_DAYS else 0.0
    middle = np.array([np.interp(0.5, levels, of_part) for of_part in shifts])[:, None]
    own = shifts - middle
    narrows = np.where(levels < 0.5, own > 0, own < 0)
    return trust * middle + np.where(narrows, trust * own, own)
