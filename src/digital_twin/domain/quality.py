"""How far a reading can be trusted, as its source says."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array

Flags = NDArray[np.uint8]
"""One `Quality` for each value."""


class Quality(IntEnum):
    """What a value is, from best to worst; the numbers are stored."""

    MEASURED = 0
    ESTIMATED = 1
    """Computed where the meter said nothing: interpolated, from a profile, a forecast."""
    SUBSTITUTED = 2
    """Taken from elsewhere: another meter, an older issue, a person's correction."""
    SUSPECT = 3
    """Kept as it was told, and not believed."""
    MISSING = 4
    """There is no value. Never stored: where nothing is known there is NaN."""

    @property
    def word(self) -> str:
        """As it is written where readings travel."""
        return self.name.lower()


def quality_words(values: Array, flags: Flags | None) -> list[str] | None:
    """The quality of each value, missing where it is NaN; None where all are plainly measured."""
    missing = np.isnan(values)
    if not missing.any() and (flags is None or not flags.any()):
        return None
    told = np.zeros(values.size, dtype=np.uint8) if flags is None else flags
    codes = np.where(missing, np.uint8(Quality.MISSING), told)
    return _WORDS[codes].tolist()


_WORDS = np.array([quality.word for quality in Quality])
