"""What a fleet costs at least and at most, from any prices and courses: the certificate that does not trust an iterate.

Below: the exact best answers of all units to prices, and the connection's. Above: courses that are repaired until they
can be carried out, or the best mixture of all those met so far, with the connection's exact use.
"""

from dataclasses import replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.battery_programme import best_answers
from digital_twin.optimization.fleet.columns import MOST_GROUPS, ColumnMaster, Columns
from digital_twin.optimization.fleet.grid import GridSide
from digital_twin.optimization.fleet.plan import FleetProgress, gap_scale, relative_gap
from digital_twin.optimization.fleet.presolve import StandardFleet
from digital_twin.optimization.fleet.repair import follow_courses

STRICT = 1e4
"""What lies beyond hard limits costs so many times more in an upper bound than in the interior point."""

_WITHIN = 1e-9
"""Part of a hard limit that plans stay below it, for rounding."""

_WORTH_MIXING = 4
"""Courses of each group from which on a mixture is looked for between iterations: fewer hardly ever close the gap."""

_TOWARDS_BEST = 0.7
"""Of the prices tried next: nearer to those of the best lower bound than to the mixture's, which jump about."""


class Bounds:
    """The best lower and upper bound met so far, of the units above their least powers and of the connection."""

    def __init__(self, standard: StandardFleet, grid: GridSide, *, tolerance: float, hard: bool) -> None:
        self.tolerance = tolerance
        self._standard, self.grid = standard, grid
        self.hard = hard
        self._strict = _stricter(grid) if hard else grid
        count = standard.units.wear.size
        groups = max(1, min(count, MOST_GROUPS))
        self._groups = np.arange(groups + 1) * count // groups
        self._master = ColumnMaster(self._strict, groups)
        self._best_prices = self._mixed_prices = np.zeros(grid.right_side.size)
        self.courses: Array = np.zeros_like(standard.units.drawn)  # (U, T) of stored energy in the best plan
        self.lower, self.upper = -np.inf, np.inf

    @property
    def gap(self) -> float:
        return self._gap(self.upper)

    @property
    def met(self) -> bool:
        return self.gap <= self.tolerance

    @property
    def prices(self) -> Array:
        """Of the community's rows, where the lower bound is best."""
        return self._best_prices

    def progress(self, iterations: int) -> FleetProgress:
        fixed = self._standard.fixed_cost
        return FleetProgress(iterations, self.lower + fixed, self.upper + fixed, self.gap)

    @property
    def scale(self) -> float:
        """What a gap is held against at the least."""
        fixed = self._standard.fixed_cost
        return gap_scale(min(abs(self.lower + fixed), abs(self.upper + fixed)), self.grid.retail_cost)

    def raise_lower(self, lower: float) -> None:
        """Take up a bound that was proved elsewhere."""
        self.lower = min(max(self.lower, lower), self.upper)

    def look_at(self, courses: Array, prices: Array) -> None:
        """Bounds from an iterate's courses (U, T) and prices of the community's rows, and from all earlier ones."""
        self.try_prices(prices)
        self.try_courses(courses)
        if not self.met and len(self._master.blocks) >= _WORTH_MIXING:
            self._mix()

    def refine(self) -> None:
        """One more round between prices and courses, once the iterations are over."""
        self.try_prices(_TOWARDS_BEST * self._best_prices + (1 - _TOWARDS_BEST) * self._mixed_prices)
        self._mix()

    def _gap(self, upper: float) -> float:
        fixed = self._standard.fixed_cost
        return relative_gap(self.lower + fixed, upper + fixed, self.grid.retail_cost)

    def try_courses(self, courses: Array) -> None:
        """An upper bound from courses (U, T), which are mixed with others later."""
        injection, cost = self._follow(courses)
        self._take(courses, injection, cost)
        self._master.add(Columns(injection, cost, courses.copy()))

    def _follow(self, courses: Array) -> tuple[Array, Array]:
        balance = self._best_prices[: self.grid.load_kw.size]
        return follow_courses(self._standard.units, self._standard.end_value, courses, self._groups, balance)

    def _take(self, courses: Array, injection_kw: Array, cost: Array) -> None:
        """Keep the courses if no better ones are known."""
        upper = self._cost_with(injection_kw.sum(axis=0), float(cost.sum()))
        if upper < self.upper:
            self.upper, self.courses = upper, courses.copy()

    def try_prices(self, prices: Array) -> None:
        """A lower bound from prices of the community's rows, and the units' answers as courses to mix."""
        bounded, side = self.grid.bounded(prices)
        balance = bounded[: self.grid.load_kw.size]
        injection, cost = best_answers(self._standard.units, balance, self._standard.end_value, self._groups)
        lower = side + float(cost.sum()) - float(injection.sum(axis=0) @ balance)
        if lower > self.lower:
            self.lower, self._best_prices = lower, bounded
        self._master.add(Columns(injection, cost, balance))

    def _mix(self) -> None:
        """Follow the best mixture of all courses met so far, if it promises enough."""
        mixed = self._master.mix()
        if mixed is None:
            return
        weights, self._mixed_prices = mixed
        injection, cost = self._master.cost_of(weights)
        promised = self._cost_with(injection, cost)
        if promised < self.upper and (self._gap(promised) <= self.tolerance or promised < self.upper - self._worth_it):
            courses = self._mixed_courses(weights)
            self._take(courses, *self._follow(courses))

    @property
    def _worth_it(self) -> float:
        """An improvement of the upper bound for which courses are mixed although the bounds do not meet yet."""
        return 0.5 * (self.upper - self.lower) if np.isfinite(self.upper) else 0.0

    def _mixed_courses(self, weights: Array) -> Array:
        units, sizes = self._standard.units, np.diff(self._groups)
        courses = np.zeros_like(units.drawn)
        for block, shares in zip(self._master.blocks, weights, strict=True):
            if not shares.any():
                continue
            answers = block.source
            if answers.ndim == 1:
                prices, answers = answers, np.empty_like(courses)
                best_answers(units, prices, self._standard.end_value, self._groups, answers)
            courses += np.repeat(shares, sizes)[:, None] * answers
        return courses

    def _cost_with(self, injection_kw: Array, units_cost: float) -> float:
        return units_cost + self._strict.recourse(injection_kw).cost


def _stricter(grid: GridSide) -> GridSide:
    return replace(
        grid,
        beyond_cost=STRICT * grid.beyond_cost,
        import_limit_kw=(1 - _WITHIN) * grid.import_limit_kw,
        export_limit_kw=(1 - _WITHIN) * grid.export_limit_kw,
    )
