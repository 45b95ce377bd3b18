"""Partial coverage: the meters of each quantity, and one reading of the whole from what they say.

Consumption is told by a panel of its meters (`panel.py`), generation and stored energy by patterns of their units
(`units.py`); what a community's own series says comes before either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.panel import Whole

METER_ERROR = 1e-4
"""Of a complete sum, relative to the typical size of the quantity; keeps the filter's covariance above 0."""

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class MeterGroup:
    """The meters of one quantity and what was learned of each, by hour of the local day.

    Homes without a meter take part as a remainder that never reports: `metered_share` is the part of the community
    that has meters, `unmetered_variance_kw2` the variance of the others around their share.
    """

    ids: tuple[str, ...]
    metered_share: float
    weight: Array  # (24, M) sums to 1 over the meters
    variance: Array  # (24, M) of its errors
    unmetered_variance: Array  # (24,)
    ceiling: Array  # (24, M) readings above are not believed
    floor: Array  # (24, M) readings below are not believed
    own_ceiling: float  # the same for the community's own series
    scale: float  # typical size of the community's quantity


@dataclass(frozen=True, slots=True, eq=False)
class SumReading:
    """One scalar reading of the whole for every step: value = share x quantity + error; NaN where there is none."""

    value: Array  # (T,)
    share: Array  # (T,) 0..1
    noise: Array  # (T,) variance of the error that is new in every step
    lasting: Array  # (T,) standard deviation of the error that lasts
    reporting: Indices  # (T,) meters that took part; 0 where the community's own series speaks


def believed_own(own: Array, groups: Sequence[MeterGroup]) -> Array:
    """The community's own series of all quantities without what cannot be."""  # (T, 4)
    return np.where(np.abs(own) <= [group.own_ceiling for group in groups], own, np.nan)


def read_own(own: Array, group: MeterGroup) -> SumReading:
    """The believed values of the community's own series alone."""
    has_own, nothing = np.isfinite(own), np.zeros(own.size)
    return SumReading(
        value=own,
        share=has_own.astype(np.float64),
        noise=nothing + (METER_ERROR * group.scale) ** 2,
        lasting=nothing,
        reporting=nothing.astype(np.int64),
    )


def read_whole(own: Array, whole: Whole, group: MeterGroup) -> SumReading:
    """The community's own series where it has a value, elsewhere what its panel of meters says; never both."""
    has_own = np.isfinite(own)
    from_meters = (whole.reporting > 0) & ~has_own
    exact = (METER_ERROR * group.scale) ** 2
    return SumReading(
        value=np.where(has_own, own, np.where(from_meters, whole.mean, np.nan)),
        share=np.where(has_own | from_meters, 1.0, 0.0),
        noise=np.where(from_meters, whole.variance - whole.lasting, 0.0) + exact,
        lasting=np.where(from_meters, np.sqrt(whole.lasting), 0.0),
        reporting=np.where(from_meters, whole.reporting, 0),
    )


def are_believed(meters: Array, hour: Indices, group: MeterGroup) -> Mask:
    """Which readings are there and within what the meter can show in that hour."""  # (T, M)
    return (meters <= group.ceiling[hour]) & (meters >= group.floor[hour])


def known_whole(own: Array, meters: Array, hour: Indices, group: MeterGroup) -> Array:
    """The whole where nothing of it is estimated: what is believed of the community's own series, or all meters where
    each home has one."""
    believed = are_believed(meters, hour, group)
    is_whole = believed.all(axis=1) & (meters.shape[1] > 0) & (group.metered_share >= 1)
    total = np.where(believed, meters, 0.0).sum(axis=1)
    return np.where(np.isfinite(own), own, np.where(is_whole, total, np.nan))


@compiled
def run_lengths(meters: Array, last: Array, length: Indices) -> None:
    """Count on, in place, for how many readings each meter has shown its last value; gaps do not count."""
    for t in range(meters.shape[0]):
        for i in range(meters.shape[1]):
            value = meters[t, i]
            if not np.isnan(value):
                length[i] = length[i] + 1 if value == last[i] else 1
                last[i] = value
