"""In what condition each meter is, from its last days: reporting, silent, dead, stuck or refused, and since when."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Condition(StrEnum):
    """What a meter does; the first of these words that fits."""

    DEAD = "dead"
    """No reading for a day."""

    REFUSED = "refused"
    """Its newest reading is more, or less, than it can show."""

    STUCK = "stuck"
    """One and the same value for a day; it is believed all the same."""

    SILENT = "silent"
    """No reading of the last interval."""

    REPORTING = "reporting"


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Of all meters of one quantity; steps are places on the grid that was looked at, -1 where none is known."""

    words: tuple[Condition, ...]
    since: Indices  # (M,) the first step that it is so
    newest: Indices  # (M,) step of the newest reading, believed or not


def conditions_of(meters: Array, believed: Mask, *, steps_a_day: int, may_rest: bool) -> Conditions:
    """The condition at the end of these steps.

    Args:
        meters: readings, NaN where there is none, (T, M)
        believed: which of them are within what the meter can show, (T, M)
        steps_a_day: how many steps make a day
        may_rest: whether one value for days is nothing unusual, as of a dark roof or a full storage
    """
    there = np.isfinite(meters)
    newest = _last(there)
    refused_from = _first_after(there, _last(there & believed))
    current = meters[newest, np.arange(meters.shape[1])]
    one_value_from = _first_after(there, _last(there & (meters != current)))
    held_for = np.array([int(there[first:, i].sum()) for i, first in enumerate(one_value_from)], dtype=np.int64)
    missing = meters.shape[0] - 1 - newest
    cases = (
        (Condition.DEAD, missing >= steps_a_day, np.where(newest >= 0, newest + 1, -1)),
        (Condition.REFUSED, refused_from >= 0, refused_from),
        (Condition.STUCK, (held_for >= steps_a_day) & (not may_rest), one_value_from),
        (Condition.SILENT, missing > 0, newest + 1),
        (Condition.REPORTING, np.ones(newest.size, dtype=np.bool_), np.full(newest.size, -1, dtype=np.int64)),
    )
    return Conditions(
        words=tuple(next(word for word, fits, _ in cases if fits[i]) for i in range(newest.size)),
        since=np.array([next(int(at[i]) for _, fits, at in cases if fits[i]) for i in range(newest.size)], np.int64),
        newest=newest,
    )


def _last(holds: Mask) -> Indices:
    """The last step at which it holds, -1 for never."""  # (M,)
    steps = holds.shape[0]
    return np.where(holds.any(axis=0), steps - 1 - np.argmax(holds[::-1], axis=0), -1)


def _first_after(holds: Mask, step: Indices) -> Indices:
    """The first step after this one at which it holds, -1 for never."""  # (M,)
    later = holds & (np.arange(holds.shape[0])[:, None] > step)
    return np.where(later.any(axis=0), np.argmax(later, axis=0), -1)
