"""Ridge regression of each slot of the day on its own features, steadied by the slots beside it.

Every slot has an intercept of its own; its slopes are learned from its neighbours too, with less weight, since what
moves the load at ten moves it much alike at nine. Of several penalties the one is taken with which days left out are
forecast best.

Source: closed-form leave-one-out residuals e_i / (1 - h_ii) of ridge regression, Hastie, Tibshirani and Friedman
(2009), The Elements of Statistical Learning, section 7.10; penalties from one eigendecomposition, section 3.4.1.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Flags

HALF_LIFE_DAYS = 240.0
NEIGHBOURS = (0.5, 0.25)
"""The weight of the slots next to a slot, and of the ones after these."""

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
LARGEST_LEVERAGE = 0.8
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class FittedSlots:
    """Coefficients of every slot on standardised features, and what leaving each day out left unexplained."""

    center: Array  # (S, P)
    scale: Array  # (P,)
    coefficients: Array  # (S, P + 1), the last one is the intercept
    residuals: Array  # (S, D) NaN where unknown


@dataclass(frozen=True, slots=True, eq=False)
class _Standardised:
    """Days before a fit in the form that it is solved in."""

    design: Array  # (S, D, P)
    target: Array  # (S, D) from its mean, 0 where unknown
    weight: Array  # (S, D) 0 where unknown


def fit_slots(features: Array, table: Array, *, until: int, penalties: tuple[float, ...] = PENALTIES) -> FittedSlots:
    """Weighted ridge regression on the days before `until`; days without a value do not count.

    Args:
        features: finite everywhere.  # (S, D, P)
        table: the series, NaN where unknown.  # (D, S)
    """
    target = table[:until].T  # (S, D')
    known = np.isfinite(target)
    weight = np.where(known, 0.5 ** (np.arange(until)[::-1] / HALF_LIFE_DAYS), 0.0)
    total = np.maximum(weight.sum(axis=1), _SMALLEST)[:, None]
    x, y = features[:, :until], np.where(known, target, 0.0)
    is_seen = known.sum(axis=1) > 0
    center = _as_others((weight[:, None] @ x)[:, 0] / total, is_seen)
    design = x - center[:, None]
    # one scale for all slots: a slope that a slot takes over from its neighbour must mean the same
    scale = np.sqrt(((weight[:, None] @ design**2)[:, 0] / total).mean(axis=0)) + _SMALLEST
    design /= scale
    intercept = _as_others((weight * y).sum(axis=1) / total[:, 0], is_seen)
    moved = np.where(known, y - intercept[:, None], 0.0)
    slopes, error = _best_penalty(_Standardised(design, moved, weight), penalties)
    residuals = np.where(known, error, np.nan)
    return FittedSlots(center, scale, np.concatenate([slopes, intercept[:, None]], axis=1), residuals)


def _as_others(means: Array, is_seen: Flags) -> Array:
    """The means of slots; where a slot was never seen that of the slots that were."""
    means[~is_seen] = means[is_seen].mean(axis=0) if is_seen.any() else 0.0
    return means


def _best_penalty(days: _Standardised, penalties: tuple[float, ...]) -> tuple[Array, Array]:
    """The slopes of the penalty with the least loss on days left out, and their errors on these."""  # (S, P), (S, D)
    root = np.sqrt(days.weight)[:, :, None]
    weighted = days.design * root
    gram = _with_neighbours(weighted.transpose(0, 2, 1) @ weighted)
    moment = _with_neighbours((weighted.transpose(0, 2, 1) @ (days.target[:, :, None] * root))[:, :, 0])
    rows = 1 + 2 * sum(NEIGHBOURS)
    values, vectors = np.linalg.eigh(gram)
    turned = days.design @ vectors
    turned_moment = (vectors.transpose(0, 2, 1) @ moment[:, :, None])[:, :, 0]
    squared = turned**2
    share = days.weight / np.maximum(days.weight.sum(axis=1, keepdims=True), _SMALLEST)
    best: tuple[float, Array, Array] | None = None
    for penalty in penalties:
        inverse = 1 / (np.maximum(values, 0.0) + penalty * rows)
        slopes = turned_moment * inverse
        fitted = (turned @ slopes[:, :, None])[:, :, 0]
        # leaving a day out takes its neighbouring slots with it, whose rows are much like its own
        leverage = rows * days.weight * (squared @ inverse[:, :, None])[:, :, 0] + share
        error = (days.target - fitted) / (1 - np.minimum(leverage, LARGEST_LEVERAGE))
        loss = float((days.weight * np.abs(error)).sum())
        if best is None or loss < best[0]:
            best = (loss, slopes, error)
    assert best is not None
    return (vectors @ best[1][:, :, None])[:, :, 0], best[2]


def _with_neighbours(of_slots: Array) -> Array:
    """Each slot's sums with those of the slots around it."""
    total = of_slots.copy()
    for distance, weight in enumerate(NEIGHBOURS, start=1):
        total += weight * (np.roll(of_slots, distance, axis=0) + np.roll(of_slots, -distance, axis=0))
    return total


def predict_slots(fitted: FittedSlots, features: Array) -> Array:
    """The regression's value for every slot and day."""  # (S, D)
    slopes, intercept = fitted.coefficients[:, :-1], fitted.coefficients[:, -1]
    standard = (features - fitted.center[:, None]) / fitted.scale
    return (standard @ slopes[:, :, None])[:, :, 0] + intercept[:, None]
