"""Partial coverage: what the meters that reported say about the whole community.

Meter i shows y_i = weight_i D + e_i, with D the whole community and weights that are hourly shares. The sum over the
reporting set S is then z = phi_S D + v, phi_S the sum of their weights, and the errors of all meters together cancel,
so that var v = V_S V_rest / V: exact at full coverage, and no reading at none. A part of v lasts for hours: it loads on
a state of its own. Consumption, whose meters have habits of their own, is told by a panel instead (`panel.py`).

Source: regression estimator with auxiliary totals, Särndal, Swensson and Wretman (1992), Model Assisted Survey
Sampling, section 6.4; the conditional variance is that of independent errors given their sum.
"""

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
    variance: Array  # (24, M) of e_i
    unmetered_variance: Array  # (24,)
    ceiling: Array  # (24, M) readings above are not believed
    floor: Array  # (24, M) readings below are not believed
    own_ceiling: float  # the same for the community's own series
    lasting: float  # part of the variance of v that lasts for hours
    scale: float  # typical size of the community's quantity


@dataclass(frozen=True, slots=True, eq=False)
class SumReading:
    """One scalar reading of the whole for every step: value = share x quantity + error; NaN where there is none."""

    value: Array  # (T,)
    share: Array  # (T,) 0..1
    noise: Array  # (T,) variance of the error that is new in every step
    lasting: Array  # (T,) standard deviation of the error that lasts
    reporting: Indices  # (T,) meters that took part; 0 where the community's own series speaks


def read_sum(own: Array, meters: Array, hour: Indices, group: MeterGroup) -> SumReading:
    """The community's own series where it has a value, elsewhere what the reporting meters say; never both.

    Args:
        own: the community-level series, (T,)
        meters: one column a meter of the group, (T, M)
        hour: of the local day, (T,)
    """
    believed = np.where(are_believed(meters, hour, group), meters, np.nan)
    total, weight, reported, unreported, reporting = _sum_reporting(believed, hour, group.weight, group.variance)
    share = group.metered_share * weight
    rest = unreported + group.unmetered_variance[hour]
    both = reported + rest
    error = np.divide(reported * rest, both, out=np.zeros_like(both), where=both > 0)
    own = np.where(np.abs(own) <= group.own_ceiling, own, np.nan)
    has_own = np.isfinite(own)
    from_meters = (reporting > 0) & (share > 0) & ~has_own
    exact = (METER_ERROR * group.scale) ** 2
    return SumReading(
        value=np.where(has_own, own, np.where(from_meters, total, np.nan)),
        share=np.where(has_own, 1.0, np.where(from_meters, share, 0.0)),
        noise=np.where(from_meters, (1 - group.lasting) * error, 0.0) + exact,
        lasting=np.where(from_meters, np.sqrt(group.lasting * error), 0.0),
        reporting=np.where(from_meters, reporting, 0),
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
    """The whole where nothing of it is estimated: the community's own series, or all meters where each home has one."""
    believed = are_believed(meters, hour, group)
    is_whole = believed.all(axis=1) & (meters.shape[1] > 0) & (group.metered_share >= 1)
    total = np.where(believed, meters, 0.0).sum(axis=1)
    return np.where(np.abs(own) <= group.own_ceiling, own, np.where(is_whole, total, np.nan))


@compiled
def _sum_reporting(
    meters: Array, hour: Indices, weight: Array, variance: Array
) -> tuple[Array, Array, Array, Array, Indices]:
    """Sums in the order of the meters, so that any cut of the time axis gives the same bits."""
    steps, count = meters.shape
    total, phi = np.zeros(steps), np.zeros(steps)
    reported, unreported = np.zeros(steps), np.zeros(steps)
    reporting = np.zeros(steps, dtype=np.int64)
    for t in range(steps):
        h = hour[t]
        for i in range(count):
            if np.isnan(meters[t, i]):
                unreported[t] += variance[h, i]
            else:
                total[t] += meters[t, i]
                phi[t] += weight[h, i]
                reported[t] += variance[h, i]
                reporting[t] += 1
    return total, phi, reported, unreported, reporting


@compiled
def run_lengths(meters: Array, last: Array, length: Indices) -> None:
    """Count on, in place, for how many readings each meter has shown its last value; gaps do not count."""
    for t in range(meters.shape[0]):
        for i in range(meters.shape[1]):
            value = meters[t, i]
            if not np.isnan(value):
                length[i] = length[i] + 1 if value == last[i] else 1
                last[i] = value
