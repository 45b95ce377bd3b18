"""Which way roofs face, told by what they generated under a known sky, or else under a clear one.

Where readings cannot tell it, what is usual decides. Source: tilt and azimuth of roofs by Killinger et al. (2018), On
the search for representative characteristics of PV systems, Solar Energy 173; weights by Huber (1964).
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.evidence import is_better
from digital_twin.forecasting.forecast import History, Site
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.roof_sight import Sight, under_clear_sky, under_weather
from digital_twin.forecasting.solar import Orientation, Sky

DEFAULT_TILT_DEGREES, TILT_DEVIATION = 30.0, 13.0
AZIMUTH_DEVIATION = 50.0

FIRST_TILTS, FIRST_TURNS = np.arange(5.0, 66.0, 10.0), np.arange(-120.0, 121.0, 20.0)
FINER_STEPS = ((5.0, 10.0), (2.5, 5.0), (1.5, 2.5))
LEAST_APART_DEGREES = 60.0
LEAST_PART, LEAST_GAIN_BY_DAYS, LEAST_GAIN_BY_HOURS = 0.15, 0.05, 0.25
"""A second plane that is smaller, or explains less than that more, is more likely an error of the weather."""
HUBER, REWEIGHTINGS = 1.345, 2


@dataclass(frozen=True, slots=True, eq=False)
class Roofs:
    """One plane or two that generate together."""

    tilt_degrees: Array  # (K,)
    azimuth_degrees: Array  # (K,)
    scale_kw: Array  # (K,) output under 1,000 W/m2 at 25 degrees

    def output_kw(self, sky: Sky) -> Array:
        """What they would yield if nothing limited them; exactly 0 at night."""  # (T,)
        return self.scale_kw @ sky.yields(self.tilt_degrees, self.azimuth_degrees)


def default_orientation(site: Site) -> Orientation:
    """Towards the equator."""
    return Orientation(DEFAULT_TILT_DEGREES, 180.0 if site.latitude >= 0 else 0.0)


def usual_roofs(site: Site) -> Roofs:
    """What is known from the capacity alone."""
    facing = default_orientation(site)
    scale_kw = facing.scale * site.pv_capacity_kw
    return Roofs(*(np.array([one]) for one in (facing.tilt_degrees, facing.azimuth_degrees, scale_kw)))


def fit_roofs(site: Site, history: History) -> tuple[Roofs, float]:
    """The planes that best explain what was generated, and how well (correlation); two only where they prove better.

    By the weather where the history knows it, otherwise by the highest output of each time of day in each of the last
    months, which stands for a cloudless moment.
    """
    sight = under_weather(site, history) if "ghi_wm2" in history.weather else under_clear_sky(site, history)
    if sight.seen_kw.size < 3 or not sight.seen_kw.any():
        return usual_roofs(site), -1.0
    towards = default_orientation(site).azimuth_degrees
    tilt, turn = (grid.ravel() for grid in np.meshgrid(FIRST_TILTS, FIRST_TURNS, indexing="ij"))
    azimuth = (towards + turn) % 360
    output = sight.yields(tilt, azimuth)
    unlikely = ((tilt - DEFAULT_TILT_DEGREES) / TILT_DEVIATION) ** 2
    search = _Search(sight, unlikely + (turn / AZIMUTH_DEVIATION) ** 2, unlikely, azimuth, output)
    weight = _weights(search)
    one, two = (
        _refined(sight, Roofs(tilt[planes], azimuth[planes], np.ones(planes.size)), weight, towards)
        for planes in (search.best_one(weight), search.best_two(weight))
    )
    roofs = two if _is_told_apart(sight, one, two, weight) else one
    return roofs, correlation(sight.seen_kw, roofs.scale_kw @ sight.yields(roofs.tilt_degrees, roofs.azimuth_degrees))


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """The first planes tried, and how unlikely each is before any reading: alone, or as one of two."""

    sight: Sight
    alone: Array  # (K,)
    as_one_of_two: Array  # (K,)
    azimuth_degrees: Array  # (K,)
    output: Array  # (K, n)

    def best_one(self, weight: Array) -> Indices:
        seen = self.sight.seen_kw
        square = (weight * self.output**2).sum(axis=1)
        error = weight @ seen**2 - np.maximum(self.output @ (weight * seen), 0.0) ** 2 / np.maximum(square, 1e-9)
        return np.array([int(np.argmin(self.sight.days * np.log(np.maximum(error, 1e-12)) + self.alone))])

    def best_two(self, weight: Array) -> Indices:
        seen = self.sight.seen_kw
        gram, with_seen = (self.output * weight) @ self.output.T, self.output @ (weight * seen)
        one, other = np.triu_indices(self.alone.size, 1)
        apart = np.abs((self.azimuth_degrees[one] - self.azimuth_degrees[other] + 180) % 360 - 180)
        determinant = np.maximum(gram[one, one] * gram[other, other] - gram[one, other] ** 2, 1e-9)
        first = (gram[other, other] * with_seen[one] - gram[one, other] * with_seen[other]) / determinant
        second = (gram[one, one] * with_seen[other] - gram[one, other] * with_seen[one]) / determinant
        error = weight @ seen**2 - first * with_seen[one] - second * with_seen[other]
        unlikely = self.as_one_of_two[one] + self.as_one_of_two[other]
        badness = self.sight.days * np.log(np.maximum(error, 1e-12)) + unlikely
        allowed = (apart >= LEAST_APART_DEGREES) & (first > 0) & (second > 0)
        if not allowed.any():
            return self.best_one(weight)
        best = int(np.argmin(np.where(allowed, badness, np.inf)))
        return np.array([one[best], other[best]])


def correlation(one: Array, other: Array) -> float:
    """-1 where either does not vary."""
    if one.size < 3 or one.std() == 0 or other.std() == 0:
        return -1.0
    return float(np.corrcoef(one, other)[0, 1])


def _weights(search: _Search) -> Array:
    """Less for intervals that the best plane explains worst: clouds that the weather missed, snow, a broken string."""
    seen = search.sight.seen_kw
    weight = np.ones(seen.size)
    for _ in range(REWEIGHTINGS):
        away = np.abs(seen - _explained(search.output[search.best_one(weight)], seen, weight))
        usual = HUBER * 1.4826 * max(float(np.median(away)), 1e-9)
        weight = np.minimum(1.0, usual / np.maximum(away, 1e-12))
    return weight


def _is_told_apart(sight: Sight, one: Roofs, two: Roofs, weight: Array) -> bool:
    """Whether two planes, scaled on every other group of intervals, are better on the rest."""
    if two.scale_kw.size < 2 or two.scale_kw.min() < LEAST_PART * two.scale_kw.sum():
        return False
    told, kept = sight.group % 2 == 0, sight.group % 2 == 1
    losses: list[Array] = []
    for roofs in (one, two):
        output = sight.yields(roofs.tilt_degrees, roofs.azimuth_degrees)
        loss = weight * (sight.seen_kw - _explained(output, sight.seen_kw, weight * told)) ** 2
        number = np.unique(sight.group[kept], return_inverse=True)[1]
        losses.append(np.bincount(number, weights=loss[kept]).astype(np.float64))
    if sight.are_days:
        return is_better(losses[1], losses[0], least_gain=LEAST_GAIN_BY_DAYS)
    return bool(losses[1].sum() < (1 - LEAST_GAIN_BY_HOURS) * losses[0].sum())


def _explained(output: Array, seen: Array, weight: Array) -> Array:
    """The combination of planes that is nearest to what was seen."""  # (n,)
    return _scales(output, seen, weight) @ output


def _scales(output: Array, seen: Array, weight: Array) -> Array:
    """Least squares with no scale below 0."""  # (K,)
    gram = (output * weight) @ output.T + 1e-9 * np.eye(output.shape[0])
    scale = np.linalg.solve(gram, output @ (weight * seen))
    if scale.min() >= 0 or scale.size == 1:
        return np.maximum(scale, 0.0)
    alone = np.argmax(scale)
    return np.where(np.arange(scale.size) == alone, (output[alone] @ (weight * seen)) / gram[alone, alone], 0.0)


def _refined(sight: Sight, roofs: Roofs, weight: Array, towards: float) -> Roofs:
    """Finer steps around the best, one plane after the other."""
    seen, tilt, azimuth = sight.seen_kw, roofs.tilt_degrees.copy(), roofs.azimuth_degrees.copy()
    output = sight.yields(tilt, azimuth)
    for step, turn in FINER_STEPS:
        for plane in range(tilt.size):
            up, side = (one.ravel() for one in np.meshgrid((0.0, -step, step), (0.0, -turn, turn), indexing="ij"))
            tilts = np.clip(tilt[plane] + up, 0.0, 90.0)
            azimuths = (azimuth[plane] + side) % 360
            tried = sight.yields(tilts, azimuths)
            badness = np.empty(tilts.size)
            for number, one in enumerate(tried):
                both = output.copy()
                both[plane] = one
                away = seen - _explained(both, seen, weight)
                badness[number] = sight.days * np.log(max(float(weight @ away**2), 1e-12))
            badness += ((tilts - DEFAULT_TILT_DEGREES) / TILT_DEVIATION) ** 2
            if tilt.size == 1:
                badness += (((azimuths - towards + 180) % 360 - 180) / AZIMUTH_DEVIATION) ** 2
            best = int(np.argmin(badness))
            tilt[plane], azimuth[plane], output[plane] = tilts[best], azimuths[best], tried[best]
    return Roofs(tilt, azimuth, _scales(output, seen, weight))
