"""Whether one model is better than another, told by the same days that neither learned from."""

import numpy as np

from digital_twin.domain.units import Array

LEAST_GAIN = 0.02
LEAST_CERTAINTY = 2.0
FEWEST_DAYS = 6


def is_better(loss: Array, other: Array, *, least_gain: float = LEAST_GAIN) -> bool:
    """Whether losses are smaller by more than chance would make them, and by enough to be worth it.

    Args:
        loss: of each day held back.  # (D,)
        other: of the same days.  # (D,)
        least_gain: what makes it worth it, as a share of the other's losses.
    """
    gain = other - loss
    if gain.size < FEWEST_DAYS or gain.mean() <= least_gain * other.mean():
        return False
    return bool(gain.mean() > LEAST_CERTAINTY * gain.std(ddof=1) / np.sqrt(gain.size))
