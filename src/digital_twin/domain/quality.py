"""How far a reading can be trusted, as its source says."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.uint8]
"""One `Quality` for each value."""


class Quality(IntEnum):
    """What a value is; the numbers are stored."""

    MEASURED = 0
    ESTIMATED = 1
    """Computed where the meter said nothing: interpolated, from a profile, a forecast."""
    SUBSTITUTED = 2
    """Taken from elsewhere: another meter, an older issue, a person's correction."""
    SUSPECT = 3
    """Kept as it was told, and not believed."""
    MISSING = 4
    """There is no value. Never stored: where nothing is known there is NaN."""
