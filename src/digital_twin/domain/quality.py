"""How far a reading can be trusted, as its source says."""

from enum import IntEnum
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
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


QualityWord = Literal["measured", "estimated", "substituted", "suspect", "missing"]
"""A `Quality` as it is written where readings travel."""

WORDS: tuple[QualityWord, ...] = get_args(QualityWord)
"""The word of each `Quality`, in order."""


def quality_words(values: Array, flags: Flags | None) -> list[QualityWord] | None:
    """The quality of each value, missing where it is NaN; None where all are plainly measured."""
    missing = np.isnan(values)
    if not missing.any() and (flags is None or not flags.any()):
        return None
    told = np.full(values.size, Quality.MEASURED, dtype=np.uint8) if flags is None else flags
    return [WORDS[number] for number in np.where(missing, np.uint8(Quality.MISSING), told).tolist()]


def told_flags(values: Array, flags: Flags) -> Flags | None:
    """Flags as they are kept beside values: measured where there is no value; None where all are.

    Raises:
        InvalidInput: a value is there and called missing; `row` says which.
    """
    if not flags.any():
        return None
    is_known = ~np.isnan(values)
    contradicted = is_known & (flags == Quality.MISSING)
    if contradicted.any():
        raise InvalidInput("a value that is there cannot be missing", row=int(np.argmax(contradicted)))
    return np.where(is_known, flags, np.uint8(Quality.MEASURED))
