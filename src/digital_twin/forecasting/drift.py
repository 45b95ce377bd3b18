"""Whether forecasts have become worse: a test that may look every day without ever crying wolf more than it says.

Each day is ranked among those before it by the loss as a share of the seasonal naive's, so that hard days, which are
hard for both, count for little. While days are exchangeable these ranks are uniform and independent (conformal
p-values); a bet that low ones come gains nothing on average, and the sum of the bets begun on each day stays below
`EVIDENCE_NEEDED` for so many days on average at least. Chances of a false alarm within n days are at most
n / EVIDENCE_NEEDED.

Source: Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman (2021), Retrain or not retrain: conformal test
martingales for change-point detection, COPA; Shin, Ramdas and Rinaldo (2024), E-detectors: a nonparametric framework
for sequential change detection, New England Journal of Statistics in Data Science 2, section 2.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array

EVIDENCE_NEEDED = 1000.0


@dataclass(frozen=True, slots=True)
class Change:
    """When there was enough evidence, and since when days probably are worse."""

    noticed: int
    since: int


def evidence_of(relative_loss: Array) -> Array:
    """After each day, how much speaks for a change to the worse before it: the Shiryaev-Roberts sum of the bets."""
    evidence = np.empty(relative_loss.size)
    so_far = 0.0
    for day, gain in enumerate(_gains(relative_loss)):
        so_far = (so_far + 1.0) * gain
        evidence[day] = so_far
    return evidence


def find_change(relative_loss: Array) -> Change | None:
    """The first change to the worse; None while there is too little evidence of one."""
    enough = np.flatnonzero(evidence_of(relative_loss) >= EVIDENCE_NEEDED)
    if not enough.size:
        return None
    noticed = int(enough[0])
    return Change(noticed, _shift_in(relative_loss[: noticed + 1]))


def _gains(relative_loss: Array) -> Array:
    """What a bet on low ranks wins each day: half of it on any low one, half on very low ones."""
    rank = _ranks(relative_loss)
    return 0.5 * 2 * (1 - rank) + 0.5 * 0.5 / np.sqrt(rank)


def _shift_in(values: Array) -> int:
    """Where the mean most likely rose: the split that leaves the least squares.

    Source: Bai (1994), Least squares estimation of a shift in linear processes, Journal of Time Series Analysis 15.
    """
    before = np.arange(1, values.size)
    total = np.cumsum(values)
    after = values.size - before
    rise = (total[-1] - total[:-1]) / after - total[:-1] / before
    return 1 + int(np.argmax(before * after * np.maximum(rise, 0.0) ** 2))


def _ranks(relative_loss: Array) -> Array:
    """Of each day the share of days up to it that were as bad or worse; ties count against an alarm."""
    earlier: list[float] = []
    ranks = np.empty(relative_loss.size)
    for day, loss in enumerate(relative_loss):
        ranks[day] = (len(earlier) - bisect_left(earlier, loss) + 1) / (day + 1)
        insort(earlier, loss)
    return ranks
