"""How good forecasts in service were: what was said of each day beside what happened, and beside the seasonal naive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.scores import pinball_losses

CONFIDENCE_LEVELS = (0.5, 0.8, 0.9)
"""The intervals whose hold is told."""

ENOUGH_READINGS = 0.9
"""Of a day's intervals so many must be known for it to count."""

DARK_SHARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class DaySums:
    """One day as sums over its known intervals, so that days add up."""

    intervals: int
    loss_kw: float  # pinball loss, mean over the levels
    naive_loss_kw: float | None  # of the seasonal naive; None where there was none
    error_kw: float  # absolute error of the mean
    actual_kw: float  # absolute value of what happened
    inside: Mapping[float, int]  # intervals inside of each confidence level's interval
    judged: int  # intervals that could lie outside


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of one day or many; what nothing is known of is None."""

    days: int
    pinball_loss_kw: float | None
    naive_pinball_loss_kw: float | None
    nmae: float | None  # mean absolute error over the mean of what happened
    skill: float | None  # share of the naive's loss that is saved, on the days that have both
    coverage: Mapping[float, float | None]


def judge_day(
    actual: Array, mean: Array, quantiles: Array, levels: tuple[float, ...], *, naive: Array | None, has_nights: bool
) -> DaySums | None:
    """What a day came to; None while too little of it is known.

    Args:
        actual: NaN where unknown.  # (T,)
        quantiles: at the levels; those of the naive likewise.  # (T, Q)
        has_nights: as generation, which cannot be missed where it is dark: where neither the highest quantile nor what
            happened reaches a hundredth of the day's highest, nothing counts for coverage.
    """
    known = np.isfinite(actual)
    if known.mean() < ENOUGH_READINGS:
        return None
    actual, mean, quantiles = actual[known], mean[known], quantiles[known]
    highest = np.maximum(quantiles[:, -1], actual)
    lit = highest > DARK_SHARE * highest.max() if has_nights else np.ones(actual.size, dtype=np.bool_)
    inside = {
        level: int((_is_inside(actual, quantiles, _bounds(levels, level)) & lit).sum()) for level in CONFIDENCE_LEVELS
    }
    return DaySums(
        intervals=actual.size,
        loss_kw=_loss(actual, quantiles, levels),
        naive_loss_kw=None if naive is None else _loss(actual, naive[known], levels),
        error_kw=float(np.abs(actual - mean).sum()),
        actual_kw=float(np.abs(actual).sum()),
        inside=inside,
        judged=int(lit.sum()),
    )


def accuracy_of(days: Sequence[DaySums]) -> Accuracy:
    """Over all these days, each interval counting the same."""
    compared = [one for one in days if one.naive_loss_kw is not None]
    naive_loss = sum(one.naive_loss_kw or 0.0 for one in compared)
    judged = sum(one.judged for one in days)
    ratio = _ratio(sum(one.loss_kw for one in compared), naive_loss)
    return Accuracy(
        days=len(days),
        pinball_loss_kw=_ratio(sum(one.loss_kw for one in days), sum(one.intervals for one in days)),
        naive_pinball_loss_kw=_ratio(naive_loss, sum(one.intervals for one in compared)),
        nmae=_ratio(sum(one.error_kw for one in days), sum(one.actual_kw for one in days)),
        skill=None if ratio is None else 1 - ratio,
        coverage={level: _ratio(sum(one.inside[level] for one in days), judged) for level in CONFIDENCE_LEVELS},
    )


def _loss(actual: Array, quantiles: Array, levels: tuple[float, ...]) -> float:
    return float(pinball_losses(actual, quantiles, levels).mean(axis=1).sum())


def _bounds(levels: tuple[float, ...], confidence_level: float) -> tuple[int, int]:
    tails = 0.5 - confidence_level / 2, 0.5 + confidence_level / 2
    low, high = (int(np.argmin(np.abs(np.array(levels) - tail))) for tail in tails)
    return low, high


def _is_inside(actual: Array, quantiles: Array, bounds: tuple[int, int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    low, high = bounds
    return (actual >= quantiles[:, low]) & (actual <= quantiles[:, high])


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator > 0 else None
