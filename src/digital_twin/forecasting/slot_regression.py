"""Ridge regression of each slot of the day on its own features, steadied by the slots beside it.

Every slot has an intercept of its own; its slopes are learned from its neighbours too, with less weight, since what
moves the load at ten moves it much alike at nine. Of several penalties the one is taken with which days left out are
forecast best.

Source: closed-form leave-one-out residuals e_i / (1 - h_ii) of ridge regression, Hastie, Tibshirani and Friedman
(2009), The Elements of Statistical Learning, section 7.10.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Flags
from digital_twin.forecasting.tridiagonal import TOGETHER, forms_of, reduce_to_tridiagonal, solve_tridiagonal

HALF_LIFE_DAYS = 240.0
NEIGHBOURS = (0.5, 0.25)
"""The weight of the slots next to a slot, and of the ones after these."""

_ROWS = 1 + 2 * sum(NEIGHBOURS)
"""A day weighs as many: leaving it out takes its neighbouring slots with it, whose rows are much like its own."""

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


def fit_slots(features: Array, table: Array, *, until: int, penalties: tuple[float, ...] = PENALTIES) -> FittedSlots:
    """Weighted ridge regression on the days before `until`; days without a value do not count.

    Args:
        features: finite everywhere.  # (S, D, P)
        table: the series, NaN where unknown.  # (D, S)
    """
    target = np.ascontiguousarray(table[:until].T)  # (S, D')
    known = np.isfinite(target)
    weight = np.where(known, 0.5 ** (np.arange(until)[::-1] / HALF_LIFE_DAYS), 0.0)
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), _SMALLEST)
    is_seen = known.sum(axis=1) > 0
    intercept = _as_others((share * np.where(known, target, 0.0)).sum(axis=1), is_seen)
    moved = np.where(known, target - intercept[:, None], 0.0)
    features = np.ascontiguousarray(features)
    center, scale = _center_and_scale(features, share)
    days = (weight, share, moved)
    standard = (features, center, scale)
    slopes, error, loss = _under_penalties(standard, days, _sums(standard, days), np.asarray(penalties))
    best = int(loss.argmin())
    coefficients = np.concatenate([slopes[best, :, : scale.size], intercept[:, None]], axis=1)
    return FittedSlots(_as_others(center, is_seen), scale, coefficients, np.where(known, error[best], np.nan))


def _as_others(means: Array, is_seen: Flags) -> Array:
    """The means of slots; where a slot was never seen that of the slots that were."""
    means[~is_seen] = means[is_seen].mean(axis=0) if is_seen.any() else 0.0
    return means


@njit(cache=True)
def _center_and_scale(features: Array, share: Array) -> tuple[Array, Array]:
    """The mean of each slot, and how far days lie from it in all slots together.

    One scale serves all: a slope that a slot takes over from its neighbour must mean the same.
    """  # (S, P), (P,)
    slots, days = share.shape
    center, variance = np.zeros((slots, features.shape[2])), np.zeros(features.shape[2])
    for slot in range(slots):
        for day in range(days):
            for column in range(variance.size):
                center[slot, column] += share[slot, day] * features[slot, day, column]
        for day in range(days):
            for column in range(variance.size):
                apart = features[slot, day, column] - center[slot, column]
                variance[column] += share[slot, day] / slots * apart * apart
    return center, np.sqrt(variance) + _SMALLEST


@njit(cache=True)
def _sums(standard: tuple[Array, Array, Array], days: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """Of each slot design' W design and design' W target."""  # (S, R, R), (S, R)
    weight, _, moved = days
    slots = weight.shape[0]
    room = _room(standard[2].size)
    gram, moment, design = np.empty((slots, room, room)), np.empty((slots, room)), np.zeros((weight.shape[1], room))
    for slot in range(slots):
        root = np.sqrt(weight[slot])
        _standardise(standard[0][slot], standard[1][slot], standard[2], root, design)
        np.dot(design.T, design, gram[slot])
        np.dot(design.T, root * moved[slot], moment[slot])
    return gram, moment


@njit(cache=True)
def _under_penalties(
    standard: tuple[Array, Array, Array],
    days: tuple[Array, Array, Array],
    sums: tuple[Array, Array],
    penalties: Array,
) -> tuple[Array, Array, Array]:
    """For each penalty the slopes, the errors on days left out, and the loss of these."""  # (K, S, R), (K, S, D), (K,)
    weight, share, moved = days
    (slots, room), count, kinds = sums[1].shape, weight.shape[1], penalties.size
    slopes, errors, losses = np.empty((kinds, slots, room)), np.empty((kinds, slots, count)), np.zeros(kinds)
    gram, diagonal, beside, basis = np.empty((room, room)), np.empty(room), np.empty(room), np.empty((room, room))
    design, turned, alike = np.zeros((count, room)), np.empty((room, count)), np.ones(count)
    moment, target, leverage = np.empty(room), np.empty(room), np.empty(count)
    for slot in range(slots):
        for row in range(room):
            _add_neighbours(sums[0][:, row], slot, gram[row])
        _add_neighbours(sums[1], slot, moment)
        reduce_to_tridiagonal(gram, diagonal, beside, basis)
        _standardise(standard[0][slot], standard[1][slot], standard[2], alike, design)
        np.dot(basis.T, design.T, turned)
        np.dot(basis.T, moment, target)
        for kind in range(kinds):
            shifted, error = diagonal + _ROWS * penalties[kind], errors[kind, slot]
            # filled with the regression's values, which become errors below
            forms_of(turned, target, shifted, beside, error, leverage)
            np.dot(basis, solve_tridiagonal(target, shifted, beside), slopes[kind, slot])
            for day in range(count):
                own = min(_ROWS * weight[slot, day] * leverage[day] + share[slot, day], LARGEST_LEVERAGE)
                error[day] = (moved[slot, day] - error[day]) / (1 - own)
                losses[kind] += weight[slot, day] * abs(error[day])
    return slopes, errors, losses


@njit(cache=True)
def _room(size: int) -> int:
    return -(-size // TOGETHER) * TOGETHER


@njit(cache=True)
def _standardise(features: Array, center: Array, scale: Array, factor: Array, design: Array) -> None:
    """Fill in the standardised days, each times its factor; what a row has room for beyond them stays 0."""
    inverse = 1 / scale
    for day in range(design.shape[0]):
        for column in range(center.size):
            design[day, column] = factor[day] * (features[day, column] - center[column]) * inverse[column]


@njit(cache=True)
def _add_neighbours(of_slots: Array, slot: int, total: Array) -> None:
    """Fill in a slot's sums with those of the slots around it."""
    slots = of_slots.shape[0]
    for column in range(total.size):
        total[column] = of_slots[slot, column]
    for distance, weight in enumerate(NEIGHBOURS):
        before, after = of_slots[(slot - distance - 1) % slots], of_slots[(slot + distance + 1) % slots]
        for column in range(total.size):
            total[column] += weight * (before[column] + after[column])


def predict_slots(fitted: FittedSlots, features: Array) -> Array:
    """The regression's value for every slot and day."""  # (S, D)
    slopes, intercept = fitted.coefficients[:, :-1], fitted.coefficients[:, -1]
    standard = (features - fitted.center[:, None]) / fitted.scale
    return (standard @ slopes[:, :, None])[:, :, 0] + intercept[:, None]
