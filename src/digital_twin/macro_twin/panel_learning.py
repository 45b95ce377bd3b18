"""What the history of a panel's meters teaches: profiles, shares of the driver, and how errors of meters live on.

Every average is pulled towards a more common one by a number of imagined days: a weekend's towards that of all days, a
slot's towards the meter's mean, a meter's towards that of all meters. Without any history all meters are alike. Recent
days count more.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.panel import Driver, Indices, Mask, Panel
from digital_twin.macro_twin.panel_filter import believed
from digital_twin.macro_twin.shares import PRIOR_CV, PRIOR_METERS

HALF_LIFE_DAYS = 14.0
ROUNDS = 3
SMALLEST_SHARE = 0.02
"""Of the whole that must report for the driver of a step to count."""

METER_DAYS, SLOT_DAYS, WEEKEND_DAYS = 0.5, 1.0, 4.0
"""Imagined days behind a meter's mean, behind its slots, and behind the kinds of day."""

PROFILE_HOURS, SPREAD_HOURS = 0.75, 1.5
"""Standard deviations of the kernels that smooth over the time of day."""

TYPICAL_WEIGHT = 0.25
"""Of a meter's part of the usual load in its share of the driver; the rest is how it was seen to respond."""

RESPONSE_DAYS = 4.0
PRIOR_ERROR, PRIOR_DEVIATION = 0.8, 0.3
"""Relative to the mean, until readings tell: of a home's interval from its part, and of all together from the usual."""

LARGEST_DEVIATION = 6.0
"""How many spreads an interval may count for in the memory of a meter's errors."""

OWN_FAST_DECAYS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
FAST_DECAYS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
LASTING_DECAYS = (0.95, 0.98, 0.99, 0.995, 0.998)
DRIVER_DECAYS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
"""Tried for one step, for single meters and for all; the lasting ones for a quarter of an hour."""

SLOW_DECAY = 0.9997
"""Of the slow driver in a quarter of an hour: a month."""

SLOW_MARGIN = 4.0
"""The slow driver goes so much further than its history shows, out of which its mean was taken."""

LEAST_LASTING, MOST_MEMORY, POOLED = 0.03, 0.95, 0.25
"""Of the variance of a meter's errors: the lasting part at least, both that last at most; and the pull
to all meters'."""

MARGIN, TIMES_HELD, LIMIT_DAYS = 0.75, 3, 7.0
"""Readings are doubted so far beyond the levels that were held for two intervals so often; imagined days of wide
limits."""


@dataclass(frozen=True, eq=False)
class PanelHistory:
    """Readings of the meters of one quantity."""

    ids: tuple[str, ...]
    readings: Array  # (T, M)
    whole: Array  # (T,) the community's own series of the quantity
    slot: Indices  # (T,) of the local day
    is_weekend: Indices  # (T,)
    step_minutes: int
    metered_share: float
    typical: float  # the community's quantity without data, to begin with
    is_signed: bool  # may be negative, as net load may

    @property
    def slots(self) -> int:
        """Of a day."""
        return 1440 // self.step_minutes

    @property
    def kind(self) -> Indices:
        """The slot, counted on by a day on weekends."""  # (T,)
        return self.slot + self.slots * self.is_weekend

    @cached_property
    def known(self) -> Mask:
        return np.isfinite(self.readings)

    @cached_property
    def weight(self) -> Array:
        """Recent days count more."""  # (T,)
        age_days = (self.slot.size - 1 - np.arange(self.slot.size)) / self.slots
        weight: Array = 0.5 ** (age_days / HALF_LIFE_DAYS)
        return weight


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A panel with the series of the whole that it was learned from."""

    panel: Panel
    whole: Array  # (T,) NaN where too few reported
    scale: float  # typical size of the community's quantity


def learn_panel(history: PanelHistory) -> Learned:
    """The panel that the history supports."""
    count = len(history.ids)
    limits = _limits(history)
    counted = believed(history.readings, limits)
    history = replace(history, readings=counted)
    share = np.full((history.slots, count), 1 / count)
    moved = np.zeros(history.slot.size)
    profile, is_told = _profile(history, history.readings), np.zeros(history.slot.size, dtype=np.bool_)
    for _ in range(ROUNDS):
        moved, is_told = _driver_series(history, profile, share)
        share = _shares(history, profile, moved, is_told)
        moved, is_told = _driver_series(history, profile, share)
        profile = _profile(history, history.readings - share[history.slot] * moved[:, None])
    moved, is_told = _driver_series(history, profile, share)
    usual = profile.sum(axis=1)[history.kind]
    metered = np.where(is_told, usual + moved, np.nan)
    error = history.readings - profile[history.kind] - share[history.slot] * moved[:, None]
    typical = float(np.nanmean(np.abs(metered))) if is_told.any() else history.metered_share * history.typical
    typical = max(typical, 1e-9)
    spread = _spreads(history, error, typical)
    parts, fast_decay, lasting_decay = _own_parts(history, error / spread[history.slot])
    driver = _driver(history, error, share, moved, is_told, typical)
    panel = Panel(
        ids=history.ids,
        metered_share=history.metered_share,
        profile=_rounded(profile),
        share=_rounded(share),
        spread=_rounded(spread),
        parts=_rounded(parts),
        fast_decay=_rounded(fast_decay),
        lasting_decay=lasting_decay,
        driver=driver,
        unmetered_variance=_rounded(_unmetered(history, profile, spread, typical)),
        limits=_rounded(limits),
    )
    return Learned(panel, metered / history.metered_share, typical / history.metered_share)


def _rounded(values: Array) -> Array:
    """To what is kept of a panel, so that it is the same before and after."""
    return values.astype(np.float32).astype(np.float64)


@compiled
def _sums_by(kind: Indices, kinds: int, values: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted sums of each column's known values by kind, and the weights."""
    total, number = np.zeros((kinds, values.shape[1])), np.zeros((kinds, values.shape[1]))
    for t in range(values.shape[0]):
        for i in range(values.shape[1]):
            if not np.isnan(values[t, i]):
                total[kind[t], i] += weight[t] * values[t, i]
                number[kind[t], i] += weight[t]
    return total, number


def _smooth(values: Array, hours: float) -> Array:
    """By a Gaussian kernel around the clock."""  # (S, M)
    slots = values.shape[0]
    apart = np.minimum(np.arange(slots), slots - np.arange(slots)) * 24 / slots
    kernel = np.exp(-0.5 * (apart / hours) ** 2)
    circle = (np.arange(slots)[:, None] - np.arange(slots)) % slots
    smoothed: Array = (kernel / kernel.sum())[circle] @ values
    return smoothed


def _profile(history: PanelHistory, readings: Array) -> Array:
    """What each meter usually shows, by slot of workdays and of weekends."""  # (2 S, M)
    slots, count = history.slots, len(history.ids)
    total, number = _sums_by(history.kind, 2 * slots, readings, history.weight)
    of_meter, days = total.sum(axis=0), number.sum(axis=0) / slots
    everyone = of_meter.sum() / number.sum() if number.sum() else history.metered_share * history.typical / count
    mean = (of_meter / slots + METER_DAYS * everyone) / (days + METER_DAYS)
    shape = np.ones(slots) if history.is_signed else _shape(total, number, slots)
    by_day, days_by_day = total.reshape(2, slots, count), number.reshape(2, slots, count)
    known, seen = _smooth(by_day.sum(axis=0), PROFILE_HOURS), _smooth(days_by_day.sum(axis=0), PROFILE_HOURS)
    of_all_days = (known + SLOT_DAYS * shape[:, None] * mean) / (seen + SLOT_DAYS)
    kinds = [
        (_smooth(one, PROFILE_HOURS) + WEEKEND_DAYS * of_all_days) / (_smooth(seen_of_it, PROFILE_HOURS) + WEEKEND_DAYS)
        for one, seen_of_it in zip(by_day, days_by_day, strict=True)
    ]
    return np.concatenate(kinds)


def _shape(total: Array, number: Array, slots: int) -> Array:
    """All meters together over the day, relative to their mean; 1 where nothing tells."""  # (S,)
    known, seen = total.reshape(2, slots, -1).sum(axis=(0, 2)), number.reshape(2, slots, -1).sum(axis=(0, 2))
    shape = np.divide(known, seen, out=np.full(slots, np.nan), where=seen > 0)
    if not np.isfinite(shape).any() or np.nanmean(shape) <= 0:
        return np.ones(slots)
    return np.nan_to_num(shape / np.nanmean(shape), nan=1.0).astype(np.float64)


def _driver_series(history: PanelHistory, profile: Array, share: Array) -> tuple[Array, Mask]:
    """By how much all meters together differed from the usual, and in which steps enough reported to say."""
    beyond = np.where(history.known, history.readings - profile[history.kind], 0.0).sum(axis=1)
    reported = (share[history.slot] * history.known).sum(axis=1)
    moved = np.divide(beyond, reported, out=np.zeros(beyond.shape), where=reported > SMALLEST_SHARE)
    has_own = np.isfinite(history.whole)
    own = history.metered_share * np.where(has_own, history.whole, 0.0) - profile.sum(axis=1)[history.kind]
    return np.where(has_own, own, moved), has_own | (reported > SMALLEST_SHARE)


def _shares(history: PanelHistory, profile: Array, moved: Array, is_told: Mask) -> Array:
    """Each meter's part of the driver: how it responded, pulled to its part of the usual load."""  # (S, M)
    slots, count = history.slots, len(history.ids)
    usual = np.full((slots, count), 1 / count)
    if not history.is_signed:
        usual = _smooth(profile.reshape(2, slots, count).mean(axis=0), PROFILE_HOURS)
        usual = np.maximum(usual, 1e-3 * max(float(usual.mean()), 1e-9))
        usual /= usual.sum(axis=1, keepdims=True)
    if not is_told.any() or not moved.any():
        return usual
    beyond = np.where(history.known, history.readings - profile[history.kind], np.nan) * moved[:, None]
    together, _ = _sums_by(history.slot, slots, beyond, history.weight)
    squares = np.where(history.known, (moved**2)[:, None], np.nan)
    alone, _ = _sums_by(history.slot, slots, squares, history.weight)
    imagined = RESPONSE_DAYS * float(np.mean(moved[is_told] ** 2))
    together, alone = _smooth(together, SPREAD_HOURS), _smooth(alone, SPREAD_HOURS)
    response = np.maximum((together + imagined * usual) / (alone + imagined), 0.05 / count if history.is_signed else 0)
    response /= response.sum(axis=1, keepdims=True)
    weight = 0.0 if history.is_signed else TYPICAL_WEIGHT
    return weight * usual + (1 - weight) * response


def _spreads(history: PanelHistory, error: Array, typical: float) -> Array:
    """Standard deviation of each meter's errors by slot."""  # (S, M)
    slots, count = history.slots, len(history.ids)
    squares, number = _sums_by(history.slot, slots, error**2, history.weight)
    prior = (PRIOR_ERROR * typical / count) ** 2 if count > 1 else 0.0
    everyone = (squares.sum() + slots * prior) / (number.sum() + slots)
    of_meter = (squares.sum(axis=0) + METER_DAYS * slots * everyone) / (number.sum(axis=0) + METER_DAYS * slots)
    of_slot = (_smooth(squares, SPREAD_HOURS) + of_meter) / (_smooth(number, SPREAD_HOURS) + 1)
    return np.sqrt(0.9 * of_slot + 0.1 * of_meter) + 1e-4 * typical / count


def _own_parts(history: PanelHistory, error: Array) -> tuple[Array, Array, float]:
    """How long errors of meters live, from their autocorrelation: parts of the variance, each meter's decay of the
    fast part, and that of the lasting one."""
    slots = history.slots
    lags = _lags(slots, error.shape[0])
    bounded = np.clip(error, -LARGEST_DEVIATION, LARGEST_DEVIATION)
    products, pairs = _autocovariances(bounded, np.concatenate([[0], lags]))
    variance = (products[0] + slots) / (pairs[0] + slots)
    pooled = products[1:].sum(axis=1) / np.maximum(pairs[1:].sum(axis=1), 1)
    pooled = pooled * pairs[0].sum() / max(products[0].sum(), 1e-12) if pairs[0].sum() else np.zeros(lags.size)
    found = (products[1:] / variance + slots * pooled[:, None]) / (pairs[1:] + slots)
    weight = 1 / np.sqrt(lags)
    best: tuple[float, float, float, Array] | None = None
    for fast in FAST_DECAYS:
        for lasting in (decay ** (history.step_minutes / 15) for decay in LASTING_DECAYS):
            curves = _curves(fast, lasting, lags) * weight[:, None]
            of_all = _mixture(curves, (pooled * weight)[:, None], np.zeros(2), 0.0)[:, 0]
            distance = float(np.linalg.norm(curves @ of_all - pooled * weight))
            if best is None or distance < best[0]:
                best = (distance, fast, lasting, of_all)
    assert best is not None
    _, fast, lasting, of_all = best
    of_all[1] = max(of_all[1], LEAST_LASTING)
    decay, remembered = _own_fits(found * weight[:, None], of_all, lags, (fast, lasting))
    remembered[1] = np.maximum(remembered[1], LEAST_LASTING)
    remembered *= np.minimum(1.0, MOST_MEMORY / remembered.sum(axis=0))
    return np.vstack([remembered, 1 - remembered.sum(axis=0)]), decay, lasting


def _own_fits(wanted: Array, of_all: Array, lags: Indices, decays: tuple[float, float]) -> tuple[Array, Array]:
    """Of each meter the fast decay that fits it best, near the parts of all, and its parts."""  # (M,), (2, M)
    tried = (decays[0], *OWN_FAST_DECAYS)
    fits: list[Array] = []
    distances: list[Array] = []
    for fast in tried:
        curves = _curves(fast, decays[1], lags) / np.sqrt(lags)[:, None]
        parts = _mixture(curves, wanted, of_all, POOLED)
        fits.append(parts)
        away = ((parts - of_all[:, None]) ** 2).sum(axis=0)
        distances.append(((curves @ parts - wanted) ** 2).sum(axis=0) + POOLED * away)
    nearest = np.argmin(distances, axis=0)
    return np.array(tried)[nearest], np.stack(fits)[nearest, :, np.arange(nearest.size)].T


def _lags(slots: int, steps: int) -> Indices:
    """Up to a day, the short ones all; the first even where there is nothing behind it."""
    lags = np.unique(np.concatenate([np.arange(1, 9), np.round(np.geomspace(10, slots, 7)).astype(np.int64)]))
    return lags[lags < max(steps, 2)]


def _autocovariances(values: Array, lags: Indices) -> tuple[Array, Array]:
    """Sums of products of known pairs at each lag, and their numbers."""  # (L, M), (L, M)
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    end = values.shape[0]
    products = np.stack([(filled[lag:] * filled[: end - lag]).sum(axis=0) for lag in lags])
    pairs = np.stack([(known[lag:] & known[: end - lag]).sum(axis=0) for lag in lags])
    return products, pairs.astype(np.float64)


def _curves(fast: float, lasting: float, lags: Indices) -> Array:
    """Autocorrelations of two processes of first order."""  # (L, 2)
    curves: Array = np.power([[fast, lasting]], lags[:, None]).astype(np.float64)
    return curves


def _mixture(curves: Array, found: Array, prior: Array, pull: float) -> Array:
    """Of each column the two weights, not negative, that fit the curves to it best, pulled to the prior's."""  # (2, M)
    normal = curves.T @ curves + pull * np.eye(2)
    wanted = curves.T @ found + pull * prior[:, None]
    both = np.linalg.solve(normal + 1e-12 * np.eye(2), wanted)
    alone = np.maximum(wanted / np.diag(normal)[:, None], 0.0)
    nothing = np.zeros_like(alone[0])
    best = np.where(both[0] < 0, [nothing, alone[1]], np.where(both[1] < 0, [alone[0], nothing], both))
    return best.astype(np.float64)


def _driver(history: PanelHistory, error: Array, share: Array, moved: Array, is_told: Mask, typical: float) -> Driver:
    """How far and how long the driver goes: what all meters share beyond the sum of their own errors."""
    slots, count = history.slots, len(history.ids)
    squares, number = _sums_by(history.slot, slots, np.where(is_told, moved**2, np.nan)[:, None], np.ones(moved.size))
    prior = (PRIOR_DEVIATION * typical) ** 2
    everyone = (squares.sum() + 0.25 * slots * prior) / (number.sum() + 0.25 * slots)
    of_slot = (_smooth(squares, SPREAD_HOURS) + everyone) / (_smooth(number, SPREAD_HOURS) + 1)
    scale = np.sqrt(0.8 * of_slot[:, 0] + 0.2 * everyone).astype(np.float64)
    lags = _lags(slots, moved.size)
    relative = np.where(is_told, moved / scale[history.slot], np.nan)
    products, pairs = _autocovariances(relative[:, None], lags)
    reported = (share[history.slot] * history.known).sum(axis=1)
    reported = np.where(is_told & (reported > SMALLEST_SHARE), reported, np.nan)
    own, _ = _autocovariances(error / (scale[history.slot] * reported)[:, None], lags)
    own_sum = own.sum(axis=1) * count / (count - 1) if count > 1 else np.zeros(lags.size)
    slow_decay = SLOW_DECAY ** (history.step_minutes / 15)
    imagined = 0.5 * 0.8**lags + 0.5 * slow_decay**lags
    found = (products[:, 0] - own_sum + slots * imagined) / (pairs[:, 0] + slots)
    best: tuple[float, float, Array] | None = None
    for fast in DRIVER_DECAYS:
        curves = _curves(fast, slow_decay, lags)
        variances = _mixture(curves, found[:, None], np.zeros(2), 0.0)[:, 0]
        distance = float(np.linalg.norm(curves @ variances - found))
        if best is None or distance < best[0]:
            best = (distance, fast, variances)
    assert best is not None
    _, fast, variances = best
    fast_variance, slow_variance = np.maximum(variances, 0.02).tolist()
    return Driver(scale, fast, slow_decay, fast_variance, SLOW_MARGIN * slow_variance)


def _limits(history: PanelHistory) -> Array:
    """The lowest and the highest reading of each meter that is not doubted.

    A level counts that was held for two intervals, as wrong readings come singly, and more than by coincidence.
    """  # (2, M)
    count, number = len(history.ids), history.known.sum(axis=0)
    pairs = np.stack([history.readings[1:], history.readings[:-1]])
    held = np.isfinite(pairs).all(axis=0)
    nothing = np.full((TIMES_HELD, count), np.inf)
    high = -np.sort(np.vstack([np.where(held, -pairs.min(axis=0), np.inf), nothing]), axis=0)[TIMES_HELD - 1]
    low = np.sort(np.vstack([np.where(held, pairs.max(axis=0), np.inf), nothing]), axis=0)[TIMES_HELD - 1]
    is_told = np.isfinite(high)
    high, low = np.where(is_told, high, 0.0), np.where(is_told, low, 0.0)
    widest = max(float(np.abs(high).max()), 10 * history.metered_share * history.typical / count)
    imagined = LIMIT_DAYS * history.slots
    weight = number / (number + imagined)
    if history.is_signed:
        margin = MARGIN * np.maximum(high - low, 0.0)
        return np.stack(
            [weight * (low - margin) - (1 - weight) * widest, weight * (high + margin) + (1 - weight) * widest]
        )
    highest = weight * (1 + MARGIN) * high + (1 - weight) * 2 * widest
    return np.stack([weight * (1 - MARGIN) * np.maximum(low, 0.0), highest])


def _unmetered(history: PanelHistory, profile: Array, spread: Array, typical: float) -> Array:
    """Variance of homes without a meter around their part of the whole."""  # (S,)
    count = len(history.ids)
    part = profile.mean(axis=0) / typical * count - 1
    between = float(((part**2).sum() + PRIOR_METERS * PRIOR_CV**2) / (count + PRIOR_METERS)) * (typical / count) ** 2
    without = count * (1 - history.metered_share) / history.metered_share
    variance: Array = without * ((spread**2).mean(axis=1) + between) + without**2 / count * between
    return variance
