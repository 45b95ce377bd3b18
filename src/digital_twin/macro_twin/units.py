"""Roofs or batteries of a community: what the units that report say about those that are silent.

Unit i shows y_i = share_i level + pattern_i @ scores + e_i. The level is the sum of all, of which history tells little
more than the hour's mean, so that a cloud is read off those who report. The patterns are the ways in which units of
the history differed together: roofs that face east from those that face west, batteries that fill early from those
that fill late. A silent unit is expected where level and scores put it, and its error has two parts: that of level and
scores, and its own. What reporters show is never estimated again: the whole is their sum and what is expected of the
others, exact when all report.

Source: Tipping and Bishop (1999), Journal of the Royal Statistical Society B 61, 611-622 (probabilistic principal
components); Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 2.7 (a mean to be learned).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.coverage import METER_ERROR, Indices, Mask, MeterGroup, SumReading

PATTERNS = 8
DRIFT = 0.1
"""Of a unit's usual output: by how much its share wanders between the history and now."""

LEVEL_DEVIATION = 0.5
"""Of the hour's mean level: how far seasons and spells of weather may lead away from it, beside what history shows."""

OWN_DAYS = 1.0
"""Imagined days behind the average error of units alike, for a unit that has hardly been heard."""

ROUNDS = 12
LIVELINESS = (0.05, 5.0)
"""Between which the level counts, relative to the hour's mean."""


class Kind(NamedTuple):
    """How the errors of what is expected of silent units behave."""

    lasting: float  # part of their variance that lasts for hours
    is_lively: bool  # whether that grows and shrinks with the level, as with clouds


ROOFS, BATTERIES = Kind(0.7, is_lively=True), Kind(0.95, is_lively=False)


class Patterns(NamedTuple):
    """What was learned of the units of a group beside their shares."""

    loading: Array  # (M, K)
    precision: Array  # (24, K, K) of the scores
    variance: Array  # (24, M) of the units' own errors
    level: Array  # (24,) mean
    level_precision: Array  # (24,)
    top: Array  # (M,) the most that a unit has shown
    kind: Kind


def no_patterns(units: int = 0) -> Patterns:
    """Where there is no history."""
    return Patterns(
        loading=np.zeros((units, 0)),
        precision=np.zeros((24, 0, 0)),
        variance=np.ones((24, units)),
        level=np.zeros(24),
        level_precision=np.ones(24),
        top=np.zeros(units),
        kind=BATTERIES,
    )


def learn_patterns(
    group: MeterGroup, meters: Array, whole: Array, hour: Indices, *, step_hours: float, kind: Kind
) -> Patterns:
    """The patterns of a group's units.

    Args:
        group: with the shares
        meters: readings, (T, M)
        whole: their sum, reported or not; NaN where it is not known, (T,)
        hour: of the local day, (T,)
        kind: roofs or batteries
    """
    count = len(group.ids)
    known = np.isfinite(meters) & np.isfinite(whole)[:, None]
    if count < 2 or not known.any():
        return no_patterns(count)
    by_hour = (np.arange(24)[:, None] == hour).astype(np.float64)
    total = np.where(np.isfinite(whole), whole, 0.0)
    heard = by_hour @ np.isfinite(whole)
    level = by_hour @ total / np.maximum(heard, 1.0)
    spread = by_hour @ total**2 / np.maximum(heard, 1.0) - level**2
    tiny = (METER_ERROR * group.scale) ** 2
    size = (group.weight.mean(axis=0) + 0.02 / count) * max(float(level.mean()), 1e-9)
    error = np.where(known, meters - group.weight[hour] * total[:, None], 0.0) / size
    loading = _principal(error, min(PATTERNS, count - 1))
    scores = error @ loading
    left = np.where(known, error - scores @ loading.T, 0.0)
    variance = _variances(by_hour, known, error, left, OWN_DAYS / step_hours) * size**2
    variance += (DRIFT * group.weight * level[:, None]) ** 2 + tiny / count
    return Patterns(
        loading=size[:, None] * loading,
        precision=_precisions(by_hour, scores),
        variance=variance,
        level=level,
        level_precision=1.0 / (np.maximum(spread, 0.0) + (LEVEL_DEVIATION * level) ** 2 + tiny),
        top=np.where(known.any(axis=0), np.where(known, meters, 0.0).max(axis=0), np.inf),
        kind=kind,
    )


def _principal(error: Array, patterns: int) -> Array:
    """The orthonormal directions in which most of the errors lie, by subspace iteration."""  # (M, K)
    units = np.arange(1, error.shape[1] + 1)[:, None]
    directions = np.cos(units * np.arange(1, patterns + 1) * (np.sqrt(5) - 1))
    for _ in range(ROUNDS):
        directions, _ = np.linalg.qr(error.T @ (error @ directions))
    return directions


def _precisions(by_hour: Array, scores: Array) -> Array:
    """Inverse covariances of the scores by hour, a tenth of each spread evenly."""  # (24, K, K)
    steps, patterns = scores.shape
    everywhere = scores.T @ scores / steps
    least = 1e-6 * float(np.trace(everywhere)) + 1e-12
    found = np.empty((24, patterns, patterns))
    for hour in range(24):
        here = by_hour[hour] > 0
        covariance = scores[here].T @ scores[here] / max(int(here.sum()), 1)
        even = float(np.trace(covariance)) / max(patterns, 1)
        found[hour] = np.linalg.inv(0.9 * covariance + (0.1 * even + least) * np.eye(patterns))
    return found


def _variances(by_hour: Array, known: Mask, error: Array, left: Array, imagined: float) -> Array:
    """Of what the patterns leave, pulled towards the errors of all units where a unit has hardly been heard."""
    number = by_hour @ known.astype(np.float64)
    of_all = (by_hour @ error**2).sum(axis=1) / np.maximum(number.sum(axis=1), 1.0)
    return (by_hour @ left**2 + imagined * of_all[:, None]) / (number + imagined)


def widen(patterns: Patterns, factor: float) -> Patterns:
    """With so many times the variance of what is expected, which itself stays as it is."""
    return patterns._replace(
        precision=patterns.precision / factor,
        variance=patterns.variance * factor,
        level_precision=patterns.level_precision / factor,
    )


def read_units(
    own: Array, meters: Array, hour: Indices, group: MeterGroup, patterns: Patterns, possible: Mask
) -> SumReading:
    """The community's own series where it has a value, elsewhere what units show with what the silent are expected to.

    Args:
        own: the community-level series, (T,)
        meters: one column a unit of the group, (T, M)
        hour: of the local day, (T,)
        possible: whether a silent unit may be above 0, (T,)
    """
    highest = group.ceiling.max(axis=0, initial=0.0) if group.ids else np.zeros(0)
    believed = np.where((meters <= highest) & (meters >= 0.0), meters, np.nan)
    whole, error, reporting = _expect(believed, hour, possible, group.weight, patterns)
    if patterns.kind.is_lively:
        error *= np.clip(whole / np.maximum(patterns.level[hour], 1e-9), *LIVELINESS)
    reported, rest = group.variance.sum(axis=1)[hour], group.unmetered_variance[hour]
    error += np.divide(reported * rest, reported + rest, out=np.zeros_like(rest), where=rest > 0)
    own = np.where(np.abs(own) <= group.own_ceiling, own, np.nan)
    has_own = np.isfinite(own)
    from_units = (reporting > 0) & ~has_own
    exact = (METER_ERROR * group.scale) ** 2
    return SumReading(
        value=np.where(has_own, own, np.where(from_units, whole, np.nan)),
        share=np.where(has_own, 1.0, np.where(from_units, group.metered_share, 0.0)),
        noise=np.where(from_units, (1 - patterns.kind.lasting) * error, 0.0) + exact,
        lasting=np.where(from_units, np.sqrt(patterns.kind.lasting * error), 0.0),
        reporting=np.where(from_units, reporting, 0),
    )


@compiled
def _expect(
    meters: Array, hour: Indices, possible: Mask, weight: Array, patterns: Patterns
) -> tuple[Array, Array, Indices]:
    """The whole, the variance of its error, and how many report; summed unit by unit, so that any cut of the time axis
    gives the same bits."""
    steps, count = meters.shape
    size = patterns.loading.shape[1] + 1
    whole, error, reporting = np.zeros(steps), np.zeros(steps), np.zeros(steps, dtype=np.int64)
    information, seen = np.empty((size, size)), np.empty(size)
    for t in range(steps):
        for i in range(count):
            if not np.isnan(meters[t, i]):
                reporting[t] += 1
                whole[t] += meters[t, i]
        if 0 < reporting[t] < count and possible[t]:
            _weigh(information, seen, meters[t], weight[hour[t]], hour[t], patterns)
            _factor(information)
            _solve(information, seen)
            silent, error[t] = _fill_in(information, seen, meters[t], weight[hour[t]], hour[t], patterns)
            whole[t] += silent
    return whole, error, reporting


@compiled
def _weigh(information: Array, seen: Array, meters: Array, weight: Array, hour: int, patterns: Patterns) -> None:
    """What is known of level and scores beforehand and from the units that report, as the normal equations."""
    size = seen.size
    row = np.empty(size)
    information[0, 0] = patterns.level_precision[hour]
    seen[0] = patterns.level[hour] * patterns.level_precision[hour]
    for j in range(1, size):
        seen[j], information[j, 0] = 0.0, 0.0
        for k in range(1, j + 1):
            information[j, k] = patterns.precision[hour, j - 1, k - 1]
    for i in range(meters.size):
        if not np.isnan(meters[i]):
            _fill(row, weight[i], patterns.loading[i])
            for j in range(size):
                seen[j] += row[j] * meters[i] / patterns.variance[hour, i]
                for k in range(j + 1):
                    information[j, k] += row[j] * row[k] / patterns.variance[hour, i]


@compiled
def _fill_in(
    factor: Array, scores: Array, meters: Array, weight: Array, hour: int, patterns: Patterns
) -> tuple[float, float]:
    """What is expected of the silent, none below 0 or above its top, and the variance of their sum."""
    row, together = np.empty(scores.size), np.zeros(scores.size)
    total, variance = 0.0, 0.0
    for i in range(meters.size):
        if np.isnan(meters[i]):
            _fill(row, weight[i], patterns.loading[i])
            expected = 0.0
            for j in range(scores.size):
                expected += row[j] * scores[j]
                together[j] += row[j]
            total += min(max(expected, 0.0), patterns.top[i])
            variance += patterns.variance[hour, i]
    row[:] = together
    _solve(factor, row)
    for j in range(scores.size):
        variance += row[j] * together[j]
    return total, variance


@compiled
def _fill(row: Array, weight: float, loading: Array) -> None:
    row[0] = weight
    for j in range(loading.size):
        row[j + 1] = loading[j]


@compiled
def _factor(matrix: Array) -> None:
    """Cholesky's factor in place of the lower triangle."""
    for j in range(matrix.shape[0]):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] * matrix[j, k]
        matrix[j, j] = np.sqrt(matrix[j, j])
        for i in range(j + 1, matrix.shape[0]):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]


@compiled
def _solve(factor: Array, values: Array) -> None:
    """The solution in place of the values."""
    for j in range(values.size):
        for k in range(j):
            values[j] -= factor[j, k] * values[k]
        values[j] /= factor[j, j]
    for j in range(values.size - 1, -1, -1):
        for k in range(j + 1, values.size):
            values[j] -= factor[k, j] * values[k]
        values[j] /= factor[j, j]
