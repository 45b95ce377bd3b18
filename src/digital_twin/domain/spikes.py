"""Single values that stand out, and days in another unit.

A spike rises over the readings before and after it by many times what the series spreads, and by more than one plug
gives: homes are spiky, so that a lesser one may be true. Of a meter that nearly always tells the same, one step is what
it spreads: a rare pulse is no spike. Days a thousand times as high are in watts.
Source: robust location and spread as in Hampel (1974), Journal of the American Statistical Association 69, with a high
quantile for the spread, since loads rest most of the time and then step.
"""

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.stuck_meters import usual_peaks
from digital_twin.domain.units import Array, SeriesKind, canonical_unit

Mask = NDArray[np.bool_]

SPIKE_SPREADS = 4.0
PLUG_KW = 3.68
"""16 A at 230 V: what a kettle or a car on a plug may draw at any time."""

LEVEL_SHARE = 0.25
"""Of the usual peak of a level: so much of its energy a storage does not take in and give back within an interval."""

SLIP_RATIO, SLIP_LEVEL_KW = 250.0, 20.0
"""A day so many times above the usual one, and above what a home can draw for a day, is in another unit."""


def spikes(name: str, values: Array, step_hours: float) -> Mask:
    """Whether each value stands out from its neighbours, one or two readings wide."""  # values (M, T)
    away = np.abs(values - usual_peaks(values, 0.5)[:, None])
    spread = usual_peaks(away)
    limit = np.maximum(SPIKE_SPREADS * spread, _least(name, values, step_hours))
    found = np.zeros(values.shape, dtype=np.bool_)
    chosen = np.flatnonzero(np.fmax.reduce(away, axis=1) > limit)  # the others, nearly all, are not looked at
    found[chosen] = _rise(away[chosen]) > np.maximum(limit[chosen], SPIKE_SPREADS * _pulse(away[chosen]))[:, None]
    return found


def _least(name: str, values: Array, step_hours: float) -> Array:
    """What each meter may well show for one interval."""  # values (M, T)
    kind = canonical_unit(name)[1]
    if kind is SeriesKind.INSTANT:
        return LEVEL_SHARE * usual_peaks(np.abs(values))
    return np.full(values.shape[0], PLUG_KW * (step_hours if kind is SeriesKind.ENERGY else 1.0))


def _pulse(away: Array) -> Array:
    """The least step of each meter; infinite where it makes none."""  # away (M, T)
    return np.min(away, axis=1, initial=np.inf, where=away > 0)


def _rise(away: Array) -> Array:
    """How far each reading stands out from the nearer two on either side; -inf where nothing is there."""
    meter, place = np.nonzero(~np.isnan(away))
    known = away[meter, place]
    before = np.minimum(_beside(known, meter, 1), _beside(known, meter, 2))
    after = np.minimum(_beside(known, meter, -1), _beside(known, meter, -2))
    rise = np.full(away.shape, -np.inf)
    rise[meter, place] = known - np.maximum(before, after)
    return rise


def slipped_days(name: str, values: Array, day: NDArray[np.int64]) -> Mask:
    """Whether each value lies on a day that is a thousand times too high; `day` ascends.

    The usual day is the median one: where most days are wrong, nothing is found.
    """  # values (M, T), day (T,)
    found = np.zeros(values.shape, dtype=np.bool_)
    if not name.endswith("_kw"):
        return found
    _, first, number = np.unique(day, return_index=True, return_inverse=True)
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, np.abs(values), 0.0), first, axis=1)
    count = np.add.reduceat(known, first, axis=1, dtype=np.int64)
    level = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    usual = usual_peaks(level, 0.5)[:, None]
    is_slipped = (usual > 0) & (level > SLIP_RATIO * usual) & (level > SLIP_LEVEL_KW)
    return is_slipped[:, number] & known


def _beside(known: Array, meter: NDArray[np.int64], steps: int) -> Array:
    """The reading so many before each, of the same meter; infinite where there is none."""
    shifted, of = np.roll(known, steps), np.roll(meter, steps)
    is_there = of == meter
    if steps > 0:
        is_there[:steps] = False
    else:
        is_there[steps:] = False
    return np.where(is_there, shifted, np.inf)
