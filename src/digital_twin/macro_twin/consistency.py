"""Whether the twin's errors are as large as it says: by its innovations, and by truth that becomes known later.

Both are judged stream by stream over about a week. A stream is lost when either leaves its wide bounds and found again
only within the narrow ones, so that nothing flutters. Late truth also mends: deviations are told wider or narrower by a
factor that grows with each interval that its 95 % band missed and shrinks with each that it held, until one in twenty
is missed.

Source: Bar-Shalom, Li and Kirubarajan (2001), Estimation with Applications to Tracking and Navigation, section 5.4;
Gibbs and Candes (2021), Advances in Neural Information Processing Systems 34, 1660-1672 (adaptive conformal inference).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.units import Array

SURE = 1.959964
"""Standard deviations on either side that hold 95 % of a normal distribution."""

NIS_BOUNDS, NIS_FOUND_AGAIN = (0.5, 2.0), (0.6, 1.7)
COVERED_BOUNDS, COVERED_FOUND_AGAIN = (0.90, 0.99), (0.92, 0.985)

MISSED, WIDENING_STEP = 0.05, 0.03
"""Part of the intervals that the band may miss, and by how much of itself the factor grows with each that it does."""

NARROWEST, WIDEST = 0.5, 6.0

SURE_BEYOND = 25.0
"""What one interval may add to the mean of squared errors: one wrong reading must not be all that it tells."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What tells how honest the errors of one stream are; each number is a running mean of at most a week."""

    nis: float = 0.0
    nis_count: float = 0.0
    late_nis: float = 0.0  # of truth that became known later
    covered: float = 0.0  # share of it within the 95 % band
    late_count: float = 0.0
    widening: float = 1.0  # of the deviations that are told
    is_lost: bool = False


def late_errors(mean: Array, deviation: Array, truth: Array, exact: Array) -> Array:
    """Squared errors over their variance of what had been estimated; NaN where no truth came later.

    Args:
        mean: as it was estimated, (T, 4)
        deviation: the same, (T, 4)
        truth: what the whole was found to be, NaN where nobody knows, (T, 4)
        exact: deviations up to which an estimate had been the truth already, (4,)
    """  # (T, 4)
    unsure = np.where(deviation > exact, deviation, np.nan)
    return ((truth - mean) / unsure) ** 2


def with_truth(record: StreamRecord, errors: Array, week_steps: float) -> StreamRecord:
    """The record after these squared errors of one stream, NaN where there is none."""
    late_nis, covered, count, widening = record.late_nis, record.covered, record.late_count, record.widening
    for error in errors[np.isfinite(errors)]:
        count = min(count + 1.0, week_steps)
        late_nis += (min(float(error), SURE_BEYOND) - late_nis) / count
        is_missed = float(error > SURE**2)
        covered += (1 - is_missed - covered) / count
        widening = min(max(widening * float(np.exp(WIDENING_STEP * (is_missed - MISSED))), NARROWEST), WIDEST)
    return replace(record, late_nis=late_nis, covered=covered, late_count=count, widening=widening)


def judged(record: StreamRecord, week_steps: float) -> StreamRecord:
    """Whether the stream is lost; without a week's evidence it is not."""
    narrow = record.is_lost
    nis_bounds = NIS_FOUND_AGAIN if narrow else NIS_BOUNDS
    covered_bounds = COVERED_FOUND_AGAIN if narrow else COVERED_BOUNDS
    is_lost = (record.nis_count >= week_steps and not _within(record.nis, nis_bounds)) or (
        record.late_count >= week_steps and not _within(record.covered, covered_bounds)
    )
    return replace(record, is_lost=is_lost)


def _within(value: float, bounds: Sequence[float]) -> bool:
    return bounds[0] <= value <= bounds[1]
