"""Honest intervals: quantiles are shifted until, over the recent past, each was exceeded as often as it promises.

Source: adaptive conformal inference, Gibbs and Candes (2021); for quantiles of load and prices, Zaffran et al. (2022).
"""

import numpy as np

from digital_twin.domain.units import Array

DAY_PARTS = 3
LEARNING_RATE = 0.05
WIDTH_LEVELS = (0.05, 0.95)


def adaptive_shifts(actual: Array, predicted: Array, levels: tuple[float, ...]) -> Array:
    """What to add to each quantile of each slot, learned by going through past days in order.

    One shift per quantile and part of the day, in units of the width that the model claims there: that between the
    quantiles nearest to 5 and 95 %, so that what one level learns does not depend on which others are asked for.

    Args:
        actual: what happened, NaN where unknown.  # (D, S)
        predicted: the quantiles issued before.  # (D, S, Q)
    """  # -> (S, Q)
    slots = actual.shape[1]
    part_of = np.arange(slots) * DAY_PARTS // slots
    promised = np.asarray(levels)
    low, high = (int(np.abs(promised - level).argmin()) for level in WIDTH_LEVELS)
    width = np.maximum((predicted[:, :, high] - predicted[:, :, low]).mean(axis=0), 1e-9)  # (S,)
    shift = np.zeros((DAY_PARTS, len(levels)))
    for day in range(actual.shape[0]):
        below = actual[day][:, None] <= predicted[day] + shift[part_of] * width[:, None]
        known = np.isfinite(actual[day])
        for part in range(DAY_PARTS):
            chosen = known & (part_of == part)
            if chosen.any():
                shift[part] += LEARNING_RATE * (promised - below[chosen].mean(axis=0))
    return shift[part_of] * width[:, None]
