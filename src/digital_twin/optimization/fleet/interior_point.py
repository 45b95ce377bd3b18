"""The interior point of a fleet: units in compiled sweeps, the community's prices in one small dense system.

Each unit takes its own primal step, so that one unit at its bounds does not hold up thousands; what that leaves of
the balance the next iterations take up. The dual step is the one of a few that leaves the least sum of products.
Prices are feasible whatever they are (every variable has two bounds), so each iteration could stop with a bound.
"""

from functools import partial

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.bounded_vector import BoundedVector
from digital_twin.optimization.fleet.coupling import subtract_couplings
from digital_twin.optimization.fleet.grid import GridSide
from digital_twin.optimization.fleet.kernels import (
    STEPS,
    TO_BOUND,
    advance,
    centre,
    correct,
    direct,
    eliminate,
    raise_multipliers,
)
from digital_twin.optimization.fleet.presolve import StandardFleet
from digital_twin.optimization.fleet.units import Aim, Batch, Community, Iterate, Newton

TOGETHER = 64
"""Units of a batch: as many as stay in the second-level cache."""

CENTRING = 0.3
"""The part of the barrier that each iteration aims at. Less, or what a prediction promises, leads units to their bounds
where they block each other's steps; 0.2 to 0.5 take as many iterations."""

CLIP = 5.0
LEAST = 0.05
"""Of its share: what a product is lifted to."""

IDLE = 1e-5
"""Part of the price that use costs at the least with a common step, so that nobody burns energy where that is free."""

FIRST_BARRIER = 0.3
_GRID_SHARE = 0.3


class InteriorPoint:
    """One run; `products` over the cost tells how far it has come.

    Args:
        common_step: all units and the community take the longest step that each of them can.
    """

    def __init__(self, standard: StandardFleet, grid: GridSide, *, common_step: bool = False) -> None:
        steps = grid.load_kw.size
        per_kw = _price_scale(standard, grid)
        self._common_step = common_step
        self.grid = grid
        units = standard.units
        wear = np.maximum(units.wear, IDLE * per_kw) if common_step else units.wear
        self.units = units._replace(weight=per_kw * (units.weight + 1e-12), wear=wear)
        largest = max(float(np.abs(grid.load_kw).max()), float(grid.pv_kw.max()), 1e-9)
        weight = max(float(self.units.weight.sum()), _GRID_SHARE * per_kw * largest) / steps
        self.side = BoundedVector(grid.room, weight)
        start = 0.5 * (grid.import_cost + grid.export_gain)
        peak = np.full(steps, -0.5 * grid.peak_cost / steps)
        self.prices = np.concatenate([start, peak]) if grid.with_peak else start
        count = self.units.wear.size
        worth = -self.prices[:steps].mean() / np.maximum(self.units.stored, self.units.taken)
        price = np.repeat(worth[:, None], steps + 1, axis=1)
        price[:, -1] = -standard.end_value
        shape = self.units.room.shape
        self.iterate = Iterate(np.empty(shape), np.empty(shape), np.empty(shape), price)
        system = np.empty((4, count, steps))
        self._newton = Newton(
            np.empty(shape), np.empty(shape), system[0], system[1], system[2], system[3],
            np.zeros((count, steps + 1)), np.ones(count),
        )  # fmt: skip
        free = (self.units.room > 0).sum(axis=(1, 2))
        self.total_weight = 2 * float(self.units.weight @ free) + self.side.total_weight
        self._pending: tuple[float, float] | None = None
        self.products = np.inf
        self.centre(FIRST_BARRIER)

    @property
    def balance_prices(self) -> Array:
        """Of a kW in each interval."""  # (T,)
        return self.prices[: self.grid.load_kw.size]

    def centre(self, barrier: float) -> None:
        """Start anew at the point of the central path for the present prices."""
        self._pending = None
        centre(self.units, self.iterate, self.balance_prices, barrier)
        self.side.centre(self._reduced_side(), barrier)

    def measure(self) -> float:
        """Take up what the last step left over and set up the next: the sum of products."""
        steps = self.grid.load_kw.size
        self._sums, self._schur = np.zeros((3, steps)), np.zeros((steps, steps))
        products = self.side.products
        for batch in self._batches():
            if self._pending is not None:
                raise_multipliers(self.units, self._newton, self.iterate, self.balance_prices, batch, self._pending)
            products += eliminate(self.units, self.iterate, self._newton, self.balance_prices, batch, self._sums)
            subtract_couplings(self._newton, batch, self._schur)
        self._pending = None
        self.products = products
        return products

    def step(self, least_barrier: float) -> None:
        """One iteration from what `measure` has set up: predict, aim, move.

        Raises:
            LinAlgError: the system of the community's prices has lost all digits.
        """
        self._factor()
        aim = Aim(max(CENTRING * self.products / self.total_weight, least_barrier), CLIP)
        prices, move = self._side_direction(self._reduced_side(), self._sums[1])
        targets = self.side.targets(move, aim.barrier, aim.clip)
        self._sums[1] = 0.0
        community = Community(self.balance_prices, prices[: self.grid.load_kw.size])
        for batch in self._batches():
            correct(self.units, self.iterate, self._newton, community, (batch, aim), self._sums[1])
        reduced = self.side.shifted(self._reduced_side(), targets)
        prices, move = self._side_direction(reduced, self._sums[1])
        self._move(prices, move, targets, aim)

    def _batches(self) -> list[Batch]:
        count = self.units.wear.size
        return [(first, min(first + TOGETHER, count)) for first in range(0, count, TOGETHER)]

    def _reduced_side(self) -> Array:
        return self.grid.cost - self.grid.priced(self.prices)

    def _factor(self) -> None:
        """The system of the community's prices, scaled to a diagonal of ones, with as little shift as it takes."""
        steps = self.grid.load_kw.size
        matrix = self.grid.normal_matrix(self.side.spread)
        upper = np.triu(self._schur, 1)
        matrix[:steps, :steps] += upper + upper.T + np.diag(np.diag(self._schur) + self._sums[0])
        self._scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
        matrix = matrix / self._scale[:, None] / self._scale
        shift = 1e-13
        while True:
            matrix[np.diag_indices_from(matrix)] += shift
            try:
                self._cholesky = cho_factor(matrix, check_finite=False)
            except LinAlgError:
                shift *= 100
                if shift > 1:
                    raise
            else:
                self._matrix = matrix
                return

    def _side_direction(self, reduced: Array, units_right: Array) -> tuple[Array, Array]:
        """How prices move, and with them the community's variables."""
        grid, spread = self.grid, self.side.spread
        missing = grid.right_side - grid.rows @ self.side.slack + grid.rows @ (spread * reduced)
        missing[: units_right.size] += units_right - self._sums[2]
        scaled = missing / self._scale
        found = cho_solve(self._cholesky, scaled, check_finite=False)
        found += cho_solve(self._cholesky, scaled - self._matrix @ found, check_finite=False)
        found /= self._scale
        return found, spread * (grid.priced(found) - reduced)

    def _move(self, prices: Array, move: Array, targets: tuple[Array, Array], aim: Aim) -> None:
        """Primal steps of the units and of the community, then the dual step common to all."""
        steps = self.grid.load_kw.size
        least = LEAST * aim.barrier
        side_step = self.side.longest(move)
        side_step = TO_BOUND * side_step if side_step < 1 else 1.0
        products = np.zeros(len(STEPS))
        batches = self._batches()
        community = Community(self.balance_prices, prices[:steps])
        step = partial(advance, self.units, self._newton, self.iterate, prices[:steps])
        for batch in batches:
            direct(self.units, self.iterate, self._newton, community, (batch, aim))
            if not self._common_step:
                step((batch, Aim(least, 1.0)), products)
        if self._common_step:
            side_step = min(side_step, float(self._newton.longest.min(initial=1.0)))
            for batch in batches:
                step((batch, Aim(least, side_step)), products)
        change = self.side.change(move, targets[0])
        changes = change, change + self.grid.priced(prices)
        self.side.slack = self.side.slack + side_step * move
        lifted = [self.side.lifted(changes, part, least) for part in STEPS]
        best = int(np.argmin(products + np.array([each[0] for each in lifted])))
        _, self.side.lower, self.side.upper = lifted[best]
        self.prices = self.prices + STEPS[best] * prices
        self._pending = STEPS[best], least


def _price_scale(standard: StandardFleet, grid: GridSide) -> float:
    """What a kW over an interval is worth: at the connection or in what is left, or else beyond its limits."""
    at_connection = 0.5 * float(np.abs(grid.import_cost).mean() + np.abs(grid.export_gain).mean())
    left = standard.end_value * standard.units.stored
    return max(at_connection, float(left.max(initial=0.0))) or grid.beyond_cost
