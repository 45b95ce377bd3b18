"""What each meter's part of the community is, by hour of the day, learned from its history with shrinkage.

Every average is pulled towards a more common one by a number of imagined days: a meter's hour towards the meter's
day, the meter towards the average of all meters. Without any history all meters are alike.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import Indices, Mask, MeterGroup

HOUR_DAYS, METER_DAYS = 3.0, 1.0
"""Imagined days behind a meter's average and behind the average of all."""

PRIOR_CV, PRIOR_METERS = 0.56, 4.0
"""How differently homes use energy: relative deviation of a household's annual use from the mean of its group, fitted
to 1 to 537 metered Swiss homes, and for how many meters it counts."""

PRIOR_ERROR = 0.8
"""Deviation of a home's interval from its share of the sum, relative to its mean, until readings tell."""

SUBSETS, SMALLEST_EFFECT, LARGEST_EFFECT = 16, 0.7, 4.0
"""How much more a sum of meters errs than independent errors would, measured on so many halves of the meters.

Source: Kish (1965), Survey Sampling, section 8.2 (design effect)."""

ROUNDS = 3
SMALLEST_SHARE = 0.1
LASTING_HOURS = 12.0
"""Memory of the lasting part of a meter's error."""

CEILING_QUANTILE, CEILING_FACTOR, CEILING_DAYS = 0.999, 2.0, 7.0
"""A reading is not believed beyond twice the highest usual one; with little history that of any meter counts too."""

LARGEST_LOAD, LARGEST_ERROR = 3.0, 20.0
"""Nor beyond what the meter's part of so many times the usual sum and so many standard deviations of its error give in
that hour."""


@dataclass(frozen=True, slots=True, eq=False)
class MeterHistory:
    """Readings of the meters of one quantity."""

    ids: tuple[str, ...]
    meters: Array  # (T, M)
    own: Array  # (T,) the community's own series of the quantity
    hour: Indices  # (T,)
    step_hours: float
    metered_share: float
    typical: float  # the community's quantity without data, to begin with


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A group with the series of the whole that it was learned from."""

    group: MeterGroup
    whole: Array  # (T,) NaN where too few reported


def learn_group(history: MeterHistory) -> Learned:
    """The group's weights and errors."""
    count = len(history.ids)
    if count == 0:
        return Learned(_no_meters(history), history.own)
    known = np.isfinite(history.meters)
    filled = np.where(known, history.meters, 0.0)
    by_hour = _hours_of(history.hour)
    weight = np.full((24, count), 1.0 / count)
    whole = _whole(history, weight, filled, known)
    for _ in range(ROUNDS):
        if not np.isfinite(whole).any():
            break
        weight = _weights(history, by_hour, filled, known, whole)
        whole = _whole(history, weight, filled, known)
    return Learned(_group(history, weight, whole, by_hour, known), whole / history.metered_share)


def _hours_of(hour: Indices) -> Array:
    """Which steps belong to each hour."""  # (24, T)
    return (np.arange(24)[:, None] == hour).astype(np.float64)


def _whole(history: MeterHistory, weight: Array, filled: Array, known: Mask) -> Array:
    """The sum of all meters, reported or not; from the community's own series where there is one."""  # (T,)
    covered = (weight[history.hour] * known).sum(axis=1)
    from_meters = np.divide(
        filled.sum(axis=1), covered, out=np.full(covered.shape, np.nan), where=covered >= SMALLEST_SHARE
    )
    return np.where(np.isfinite(history.own), history.metered_share * history.own, from_meters)


def _weights(history: MeterHistory, by_hour: Array, filled: Array, known: Mask, whole: Array) -> Array:
    """Ratios of sums: what a meter used of what all used while it reported."""  # (24, M)
    count = len(history.ids)
    usable = known & np.isfinite(whole)[:, None]
    total = np.where(np.isfinite(whole), whole, 0.0)
    used = by_hour @ np.where(usable, filled, 0.0)
    of = by_hour @ (usable * total[:, None])
    steps_a_day = 24.0 / history.step_hours
    typical = max(float(np.nanmean(whole)), 1e-9)
    of_meter = (used.sum(axis=0) + METER_DAYS * steps_a_day * typical / count) / (
        of.sum(axis=0) + METER_DAYS * steps_a_day * typical
    )
    seen = by_hour @ np.isfinite(whole).astype(np.float64)
    of_hour = np.divide(by_hour @ total, seen, out=np.full(24, typical), where=seen > 0)
    imagined = (HOUR_DAYS / history.step_hours * np.maximum(of_hour, 1e-3 * typical))[:, None]
    weight = (used + imagined * of_meter) / (of + imagined)
    return weight / weight.sum(axis=1, keepdims=True)


def _group(history: MeterHistory, weight: Array, whole: Array, by_hour: Array, known: Mask) -> MeterGroup:
    count = len(history.ids)
    typical = float(np.nanmean(np.abs(whole))) if np.isfinite(whole).any() else history.typical
    expected = weight[history.hour] * whole[:, None]
    usable = known & np.isfinite(expected)
    error = np.where(usable, history.meters - expected, 0.0)
    variance = _variances(history, by_hour, usable, error, weight * max(typical, 1e-9))
    variance *= _design_effect(usable, error, variance[history.hour])
    between = _between(weight.mean(axis=0)) * (typical / count) ** 2
    unmetered = count * (1 - history.metered_share) / history.metered_share
    usual, most = weight * typical, LARGEST_ERROR * np.sqrt(variance)
    highest = _ceilings(history.meters, history.step_hours, typical)
    ceiling = np.minimum(highest, LARGEST_LOAD * usual + most) if count > 1 else highest[None, :]
    ceiling = np.broadcast_to(ceiling, (24, count)).copy()
    return MeterGroup(
        ids=history.ids,
        metered_share=history.metered_share,
        weight=weight,
        variance=variance,
        unmetered_variance=unmetered * (variance.mean(axis=1) + between) + unmetered**2 / count * between,
        ceiling=ceiling,
        floor=np.zeros((24, count)),
        own_ceiling=_own_ceiling(history, typical / history.metered_share),
        scale=max(typical / history.metered_share, 1e-6),
    )


def _variances(history: MeterHistory, by_hour: Array, usable: Mask, error: Array, usual: Array) -> Array:
    """Of each meter's error by hour; a sum of one meter has none."""  # (24, M)
    if len(history.ids) == 1:
        return np.zeros(usual.shape)
    squares, number = by_hour @ error**2, by_hour @ usable.astype(np.float64)
    imagined = METER_DAYS * 24.0 / history.step_hours
    pooled = (number * usual**2).sum() + imagined * (usual**2).mean()
    relative = (squares.sum() + imagined * (PRIOR_ERROR * usual).mean() ** 2) / pooled
    of_meter = (squares.sum(axis=0) + imagined * relative * (usual**2).mean(axis=0)) / (number.sum(axis=0) + imagined)
    imagined = HOUR_DAYS / history.step_hours
    return (squares + imagined * of_meter) / (number + imagined)


def _design_effect(usable: Mask, error: Array, variance: Array) -> float:
    """Squared errors of sums over halves of the meters, relative to those of independent errors that cancel in all."""
    steps, count = error.shape
    if count < 2 or steps < 2:
        return 1.0
    golden = (np.sqrt(5) - 1) / 2
    chosen = (np.arange(1, count + 1)[:, None] * golden * np.arange(1, SUBSETS + 1)) % 1 < 0.5
    seen = usable * variance
    half = seen @ chosen
    rest = seen.sum(axis=1, keepdims=True) - half
    expected = np.divide(half * rest, half + rest, out=np.zeros_like(half), where=half + rest > 0).sum()
    found = ((error @ chosen)[(half > 0) & (rest > 0)] ** 2).sum()
    return float(np.clip(found / expected, SMALLEST_EFFECT, LARGEST_EFFECT)) if expected > 0 else 1.0


def _between(share: Array) -> float:
    """Squared relative deviation of a home's mean from that of all homes."""
    deviation = share * share.size - 1
    return float(((deviation**2).sum() + PRIOR_METERS * PRIOR_CV**2) / (share.size + PRIOR_METERS))


def _ceilings(meters: Array, step_hours: float, typical: float) -> Array:
    """Beyond which a meter is not believed."""  # (M,)
    known = np.isfinite(meters)
    number = known.sum(axis=0)
    highest = np.zeros(known.shape[1])
    some = number > 0
    if not some.any():
        return np.full(highest.shape, np.inf)
    size = np.where(known, np.abs(meters), np.nan)
    highest[some] = np.nanquantile(size[:, some], CEILING_QUANTILE, axis=0)
    imagined = CEILING_DAYS * 24.0 / step_hours
    widest = max(float(highest.max()), 10 * typical / known.shape[1])
    return CEILING_FACTOR * (number * highest + imagined * widest) / (number + imagined)


def _own_ceiling(history: MeterHistory, typical: float) -> float:
    return float(_ceilings(history.own[:, None], history.step_hours, typical)[0]) if history.own.size else np.inf


def _no_meters(history: MeterHistory) -> MeterGroup:
    own = history.own[np.isfinite(history.own)]
    typical = float(np.abs(own).mean()) if own.size else history.typical
    nothing = np.zeros((24, 0))
    return MeterGroup(
        ids=(),
        metered_share=1.0,
        weight=nothing,
        variance=nothing,
        unmetered_variance=np.zeros(24),
        ceiling=nothing,
        floor=nothing,
        own_ceiling=_own_ceiling(history, typical),
        scale=max(typical, 1e-6),
    )
