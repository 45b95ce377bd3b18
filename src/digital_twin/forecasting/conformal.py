"""Honest intervals: quantiles are shifted until, over the recent past, each interval held as often as it promises.

First each day's quantiles are stretched by how uncertain the days just before it turned out to be (`day_scale`). What
is still amiss is learned day by day, since the slots of a day err together: a quantile that was missed too often moves
outwards, one that was missed too seldom inwards, by a step that would mend the same share of the error at every level
if errors were normal. So the share that is missed in the long run is the promised one whatever happens, and what has
changed is followed within days.

Source: adaptive conformal inference, Gibbs and Candes (2021), Adaptive conformal inference under distribution shift;
the shifts themselves follow, Angelopoulos, Candes and Tibshirani (2023), Conformal PID control for time series.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.day_scale import day_scale
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.local_days import Indices

DAY_PARTS = 3
LEARNING_RATE = 0.2
"""Share of an error in coverage that one day mends."""

SHARED = 0.9
"""How much of it is that of the whole day, the rest is that of the part."""

TRUSTED_DAYS = 10.0
FEWEST_DAYS = 7
"""Fewer days narrow and move no interval; more do so by days / (days + TRUSTED_DAYS) of what they say."""

MIDDLE = 0.5
WIDTH_LEVELS = (0.1, 0.9)
LEAST_WIDTH = 0.2
OUTERMOST = 0.025
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What past days taught: shifts in units of the width that a forecast claims, and the least width of a slot.

    The day after these is `bias` widths off and `stretch` times as uncertain as it will claim.
    """

    shifts: Array  # (P, Q)
    least_width: Array  # (S,)
    bias: float = 0.0
    stretch: float = 1.0

    def apply(self, quantiles: Array, slots: Indices, levels: tuple[float, ...]) -> Array:
        """The quantiles after shifting, in order.

        Args:
            quantiles: as forecast.  # (T, Q)
            slots: the slot of the day of each row.  # (T,)
        """  # -> (T, Q)
        width = np.maximum(_claimed_width(quantiles, levels), self.least_width[slots])
        part = day_parts(self.least_width.size)[slots]
        moved = _stretched(quantiles, width, self.bias, self.stretch, levels)
        return np.sort(moved + self.shifts[part] * (self.stretch * width)[:, None], axis=1)

    def to_arrays(self) -> Arrays:
        return {
            "shifts": self.shifts,
            "least_width": self.least_width,
            "bias": np.array(self.bias),
            "stretch": np.array(self.stretch),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Calibration":
        return cls(arrays["shifts"], arrays["least_width"], float(arrays["bias"]), float(arrays["stretch"]))


def day_parts(slots: int) -> Indices:
    """Which part of the day each slot belongs to."""  # (S,)
    return np.arange(slots) * DAY_PARTS // slots


def calibrate(actual: Array, predicted: Array, levels: tuple[float, ...]) -> Calibration:
    """What to do to quantiles, learned by going through past days in order.

    What all levels lack alike is left to `day_scale`: past days are forecast by an older fit, whose middle has
    drifted further than that of the fit in use.

    Args:
        actual: what happened, NaN where unknown.  # (D, S)
        predicted: the quantiles issued before, NaN where there were none.  # (D, S, Q)
    """
    width, usual = _widths(predicted, levels)
    errors = (actual - _at(predicted, MIDDLE, levels)) / width
    trust = _trust(errors)
    bias, stretch = day_scale(errors, trust)
    moved = _stretched(predicted, width, bias[:-1, None], stretch[:-1, None], levels)
    excess = (actual[:, :, None] - moved) / (stretch[:-1, None] * width)[:, :, None]
    shifts = _follow(excess, levels, is_level_kept=True)
    return Calibration(_cautious(shifts, levels, trust), LEAST_WIDTH * usual, float(bias[-1]), float(stretch[-1]))


def adaptive_shifts(actual: Array, predicted: Array, levels: tuple[float, ...]) -> Array:
    """The shifts of each slot and quantile at the width that is usual there, in the unit of the series.

    They hold for weeks, and of days that one and the same rule was asked: so they follow what all levels lack alike,
    and not the moods of single days.
    """  # (S, Q)
    width, usual = _widths(predicted, levels)
    excess = (actual[:, :, None] - predicted) / width[:, :, None]
    shifts = _follow(excess, levels, is_level_kept=False)
    trusted = _cautious(shifts, levels, _trust(_at(excess, MIDDLE, levels)))
    return trusted[day_parts(usual.size)] * usual[:, None]


def _widths(predicted: Array, levels: tuple[float, ...]) -> tuple[Array, Array]:
    """The claimed widths, none far below what is usual in its slot, and that."""  # (D, S), (S,)
    claimed = _claimed_width(predicted, levels)
    known = np.isfinite(claimed)
    total = np.where(known, claimed, 0.0).sum(axis=0)
    usual = np.maximum(total / np.maximum(known.sum(axis=0), 1), _SMALLEST)
    return np.maximum(claimed, LEAST_WIDTH * usual), usual


def _claimed_width(quantiles: Array, levels: tuple[float, ...]) -> Array:
    low, high = WIDTH_LEVELS
    return _at(quantiles, high, levels) - _at(quantiles, low, levels)


def _at(of_levels: Array, level: float, levels: tuple[float, ...]) -> Array:
    """The column of the nearest level: what one level learns must not depend on which others are asked for."""
    return of_levels[..., int(np.abs(np.asarray(levels) - level).argmin())]


def _stretched(
    quantiles: Array, width: Array, bias: Array | float, stretch: Array | float, levels: tuple[float, ...]
) -> Array:
    """Moved by so many widths, then pulled away from the middle."""  # (..., Q)
    middle = _at(quantiles, MIDDLE, levels)
    away = quantiles - middle[..., None]
    return (middle + bias * width)[..., None] + away * np.asarray(stretch)[..., None]


def _spread(errors: Array) -> float:
    """How many claimed widths the errors of the middle are wide; at least one, lest what fits too well stays so."""
    known = errors[np.isfinite(errors)]
    if not known.size:
        return 1.0
    low, high = np.quantile(known, WIDTH_LEVELS)
    return max(1.0, float(high - low))


def _densities(levels: tuple[float, ...]) -> tuple[Array, float]:
    """Of a normal distribution at each level, and how wide that is.

    Further out than OUTERMOST the density of there: one bad hour must not throw the last quantile off.
    """  # (Q,)
    normal = NormalDist()
    own = np.asarray(levels)
    low, high = (normal.inv_cdf(float(_at(own, level, levels))) for level in WIDTH_LEVELS)
    inner = np.clip(own, OUTERMOST, 1 - OUTERMOST).tolist()
    return np.array([normal.pdf(normal.inv_cdf(level)) for level in inner]), max(high - low, _SMALLEST)


def _follow(excess: Array, levels: tuple[float, ...], *, is_level_kept: bool) -> Array:
    """The shifts at the end of the days.

    Args:
        excess: how far reality lay above each quantile, in widths; NaN where unknown.  # (D, S, Q)
        is_level_kept: whether what all levels lack alike is left as it is.
    """  # -> (P, Q)
    promised = np.asarray(levels)
    density, normal_width = _densities(levels)
    rate = LEARNING_RATE * _spread(_at(excess, MIDDLE, levels)) / normal_width
    part_of = day_parts(excess.shape[1])
    member = part_of == np.arange(DAY_PARTS)[:, None]  # (P, S)
    shifts = np.zeros((DAY_PARTS, promised.size))
    for day in excess:
        known = np.isfinite(day[:, 0])
        if not known.any():
            continue
        lacking = np.where(known[:, None], promised - (day <= shifts[part_of]), 0.0)  # (S, Q)
        count = (member & known).sum(axis=1)[:, None]
        of_part = member.astype(np.float64) @ lacking / np.maximum(count, 1)
        of_day = lacking.sum(axis=0) / known.sum()
        step = np.where(count > 0, SHARED * of_day + (1 - SHARED) * of_part, SHARED * of_day)
        alike = step @ density / (density @ density) if is_level_kept else np.zeros(DAY_PARTS)
        shifts += rate * (step / density - alike[:, None])
    return shifts


def _trust(errors: Array) -> float:
    """How far so many days are believed when they move or narrow an interval, 0..1."""
    days = int(np.isfinite(errors).any(axis=1).sum())
    return days / (days + TRUSTED_DAYS) if days >= FEWEST_DAYS else 0.0


def _cautious(shifts: Array, levels: tuple[float, ...], trust: float) -> Array:
    """What moves all levels, or narrows what they enclose, only as far as it is trusted."""
    promised = np.asarray(levels)
    middle = np.array([np.interp(MIDDLE, promised, of_part) for of_part in shifts])[:, None]
    own = shifts - middle
    narrows = np.where(promised < MIDDLE, own > 0, own < 0)
    return trust * middle + np.where(narrows, trust * own, own)
