"""Which way roofs face, told by what they generated under a known sky, or else under a clear one.

Where readings cannot tell it, what is usual decides. Source: tilt and azimuth of roofs by Killinger et al. (2018), On
the search for representative characteristics of PV systems, Solar Energy 173; weights by Huber (1964).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.evidence import is_better
from digital_twin.forecasting.forecast import History, Site
from digital_twin.forecasting.local_days import Indices, cells_of
from digital_twin.forecasting.solar import Orientation, Sky

DEFAULT_TILT_DEGREES, TILT_DEVIATION = 30.0, 13.0
AZIMUTH_DEVIATION = 50.0
FITTING_DAYS = 14.0
MOST_DAYS = 90
BLOCK_DAYS, MOST_BLOCKS = 30, 4
DAYS_A_BLOCK_IS_WORTH = 10
"""The highest of each time of day in a month of chance."""

FIRST_TILTS, FIRST_TURNS = np.arange(5.0, 66.0, 10.0), np.arange(-120.0, 121.0, 20.0)
FINER_STEPS = ((5.0, 10.0), (2.5, 5.0), (1.5, 2.5))
LEAST_APART_DEGREES = 60.0
LEAST_PART, LEAST_GAIN_BY_DAYS, LEAST_GAIN_BY_HOURS = 0.15, 0.05, 0.25
"""A second plane that is smaller, or explains less than that more, is more likely an error of the weather."""
HUBER, REWEIGHTINGS = 1.345, 2

Yields = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Roofs:
    """One plane or two that generate together."""

    tilt_degrees: Array  # (K,)
    azimuth_degrees: Array  # (K,)
    scale_kw: Array  # (K,) output under 1,000 W/m2 at 25 degrees

    def output_kw(self, sky: Sky) -> Array:
        """What they would yield if nothing limited them; exactly 0 at night."""  # (T,)
        return self.scale_kw @ sky.yields(self.tilt_degrees, self.azimuth_degrees)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What roofs generated, and what planes would have yielded meanwhile."""

    yields: Yields  # tilts (K,), azimuths (K,) -> (K, n)
    seen_kw: Array  # (n,)
    group: Indices  # (n,) intervals of one group err together
    days: float
    """So many days that err independently the readings are worth."""
    are_days: bool
    """Whether each group is a day; else these are hours of one, of which each is as it is."""


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
    sight = _under_weather(site, history) if "ghi_wm2" in history.weather else _under_clear_sky(site, history)
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


def _under_weather(site: Site, history: History) -> Sight:
    """Days spread over the history, of which both the weather and the output are known."""
    steps = 1440 // history.grid.step_minutes
    days = history.grid.steps // steps
    first = history.grid.steps - days * steps
    known = (np.isfinite(history.values) & np.isfinite(history.weather["ghi_wm2"]))[first:].reshape(days, steps)
    usable = np.flatnonzero(known.any(axis=1))
    taken = usable[np.unique(np.linspace(0, usable.size - 1, min(MOST_DAYS, usable.size)).astype(np.int64))]
    grids = [
        TimeGrid(history.grid.instant(first + day * steps), steps, history.grid.step_minutes) for day in taken.tolist()
    ]
    if not grids:
        return Sight(
            lambda _tilt, _azimuth: np.empty((0, 0)), np.empty(0), np.empty(0, dtype=np.int64), 0.0, are_days=True
        )
    sky = Sky(
        site, grids, {name: one[first:].reshape(days, steps)[taken].ravel() for name, one in history.weather.items()}
    )
    used = known[taken].ravel() & (sky.ghi_wm2 > 0)
    group = np.repeat(np.arange(taken.size), steps)
    return Sight(
        lambda tilt, azimuth: sky.yields(tilt, azimuth)[:, used],
        history.values[first:].reshape(days, steps)[taken].ravel()[used],
        group[used],
        float(usable.size),
        are_days=True,
    )


def _under_clear_sky(site: Site, history: History) -> Sight:
    blocks = _blocks(history)
    sky = Sky(site, [day for block in blocks for day in _three_days(block.grid)], {})
    seen = np.concatenate([_highest_by_slot(block) for block in blocks])
    slots = 1440 // history.grid.step_minutes
    lit = sky.clear_ghi_wm2.reshape(len(blocks), 3, -1).max(axis=1).ravel() > 0
    used = np.isfinite(seen) & lit

    def yields(tilt_degrees: Array, azimuth_degrees: Array) -> Array:
        output = sky.yields(tilt_degrees, azimuth_degrees)
        return (
            output.reshape(len(tilt_degrees), len(blocks), 3, slots).max(axis=2).reshape(len(tilt_degrees), -1)[:, used]
        )

    hour = np.arange(slots * len(blocks)) * history.grid.step_minutes // 60
    return Sight(yields, seen[used], hour[used], float(DAYS_A_BLOCK_IS_WORTH * len(blocks)), are_days=False)


def _blocks(history: History) -> list[History]:
    """The last months one by one, the latest first; what remains at the end is too short to show a clear sky."""
    steps = BLOCK_DAYS * 1440 // history.grid.step_minutes
    blocks = [last_days(history, BLOCK_DAYS)]
    for number in range(1, MOST_BLOCKS):
        first = history.grid.steps - (number + 1) * steps
        if first < 0:
            break
        grid = TimeGrid(history.grid.instant(first), steps, history.grid.step_minutes)
        block = History(grid, history.values[first : first + steps], {})
        if block.days >= FITTING_DAYS:
            blocks.append(block)
    return blocks


def _three_days(grid: TimeGrid) -> list[TimeGrid]:
    """The UTC days in which a block begins, is half over, and ends: in between, the sun moves little."""
    middles = (grid.instant(index) for index in (0, grid.steps // 2, grid.steps - 1))
    midnights = (at.replace(hour=0, minute=0) for at in middles)
    return [TimeGrid(midnight, 1440 // grid.step_minutes, grid.step_minutes) for midnight in midnights]


def _highest_by_slot(block: History) -> Array:
    """The highest value of each slot of the UTC day; NaN where none is known."""  # (S,)
    cells = cells_of(block.grid, "UTC")
    highest = np.full(cells.slots, -np.inf)
    known = np.isfinite(block.values)
    np.maximum.at(highest, cells.slot[known], block.values[known])
    return np.where(np.isfinite(highest), highest, np.nan)


def last_days(history: History, days: int) -> History:
    """The end of a history."""
    steps = min(history.grid.steps, days * 24 * 60 // history.grid.step_minutes)
    first = history.grid.steps - steps
    grid = TimeGrid(history.grid.instant(first), steps, history.grid.step_minutes)
    return History(grid, history.values[first:], {name: values[first:] for name, values in history.weather.items()})
