"""How far off, and how uncertain, forecasts have been in the last few days beside what they claim.

Days that err much come together, and so do calm ones: cold spells, holidays, seasons. What the latest days say of the
next one is known before it begins, so intervals can be wider or narrower on that day, not weeks later.

Source: exponentially weighted volatility, J.P. Morgan (1996), RiskMetrics; conformal scores in units of a scale that
is predicted, Lei, G'Sell, Rinaldo, Tibshirani and Wasserman (2018), section 5.2; soft threshold, Donoho (1995).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Flags

BIAS_HALF_LIFE_DAYS, USUAL_BIAS = 7.0, 0.15
"""A bias of less than this share of the claimed width was as likely as not gone a week later, and is left alone."""

STRETCH_HALF_LIFE_DAYS, STRETCH_POWER = 2.0, 0.7
USUAL_DAYS = 2.0
"""To begin with, so many days' worth of evidence says that all is as usual."""


class DayScale(NamedTuple):
    """What was known before each day, and before the one after the last: a bias, and a factor of the width."""

    bias: Array  # (D + 1,) in claimed widths
    stretch: Array  # (D + 1,)


def day_scale(errors: Array, trust: float) -> DayScale:
    """What the days so far say of each.

    Args:
        errors: how far reality lay above the middle, in claimed widths; NaN where unknown.  # (D, S)
        trust: how far what is not known to be safe is believed, 0..1.
    """
    known = np.isfinite(errors).sum(axis=1) > 0
    middle = np.zeros(known.size)
    middle[known] = np.nanmedian(errors[known], axis=1)
    lately = _latest(middle, known, BIAS_HALF_LIFE_DAYS, usual=0.0)
    bias = trust * np.sign(lately) * np.maximum(np.abs(lately) - USUAL_BIAS, 0.0)
    size = np.zeros(known.size)
    size[known] = np.nanmean(np.abs(errors - bias[:-1, None])[known], axis=1)
    usual = float(size[known].mean()) if known.any() else 0.0
    if usual <= 0.0:
        return DayScale(bias, np.ones_like(bias))
    stretch = (_latest(size, known, STRETCH_HALF_LIFE_DAYS, usual) / usual) ** STRETCH_POWER
    return DayScale(bias, np.where(stretch < 1.0, 1.0 - trust * (1.0 - stretch), stretch))


def _latest(values: Array, known: Flags, half_life_days: float, usual: float) -> Array:
    """The mean of the days before each, and of all, the later ones counting more."""  # (D + 1,)
    kept = 0.5 ** (1 / half_life_days)
    means = np.empty(values.size + 1)
    total, count = 0.0, 0.0
    for day in range(values.size + 1):
        means[day] = (total + USUAL_DAYS * usual) / (count + USUAL_DAYS)
        if day < values.size:
            total, count = kept * total, kept * count
            if known[day]:
                total, count = total + values[day], count + 1
    return means
