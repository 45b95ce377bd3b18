"""The welfare of prices as a convex program.

With d = d0 + B (p - p0), -B = Q: margin is linear in prices less p'Qp, consumer surplus linear plus half of it, so
that welfare is concave while the margin weighs at least half as much as the surplus. Revenue is concave too. The
incentive of a discount u is u'd0 + u'Qu where prices act on their own interval alone; else the part that rising prices
add, -u'Q(up), is bounded from above by convex-concave steps around a point.

Variables: the price of each block, then the discount of each cell. A cell is what one price can tell apart: intervals
of one block and local day with the same reference price. All numbers are scaled by the energy, the price and the power
of the problem.

Source: Lipp, Boyd 2016, Optim. Eng. 17, 263-287 (convex-concave procedure).
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.convex_program import ConvexProgram, QuadraticLimit
from digital_twin.optimization.demand_response import Indices
from digital_twin.optimization.tariff_accounting import demand_limits_kw, incentives_by_day
from digital_twin.optimization.tariff_plan import TariffProblem

SMALLEST_BUDGET = 1e-6
"""Relative to the bill of the horizon; with less, discounts have no interior. What is spent is brought down exactly."""
FLAT = 1e-6
"""Scaled curvature below which a price hardly matters: there ties go to the reference price."""
_DRAW = 1e-4
_STEADY = 1e-9
_NO_ROOM = 1e-12


@dataclass(frozen=True, slots=True)
class Scale:
    """One unit of the scaled problem."""

    energy_kwh: float
    price_per_kwh: float
    power_kw: float

    @property
    def money(self) -> float:
        return self.energy_kwh * self.price_per_kwh


@dataclass(frozen=True, slots=True, eq=False)
class LinearLimit:
    """Rows Gx <= h of one limit; without a name they define variables. `unit` is one scaled unit of the limit."""

    name: str | None
    matrix: sp.csr_array  # (r, n)
    limits: Array  # (r,)
    unit: float
    intervals: tuple[Indices, ...]  # the intervals that each row is about


@dataclass(frozen=True, slots=True, eq=False)
class BentLimit:
    """A quadratic constraint of one limit, in money."""

    name: str
    constraint: QuadraticLimit
    day: int | None


@dataclass(frozen=True, slots=True, eq=False)
class TariffModel:
    """The program with the names of its limits."""

    curvature: sp.csr_array
    slope: Array
    constant: float
    linear: tuple[LinearLimit, ...]
    bent: tuple[BentLimit, ...]
    scale: Scale
    start: Array

    def program(self) -> ConvexProgram:
        return ConvexProgram(
            self.curvature,
            self.slope,
            sp.csr_array(sp.vstack([one.matrix for one in self.linear])),
            np.concatenate([one.limits for one in self.linear]),
            tuple(one.constraint for one in self.bent),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The problem in cells (C of them) and blocks (K), scaled."""

    problem: TariffProblem
    scale: Scale
    day: Indices  # (C,)
    reference: Array  # (C,)
    to_block: sp.csr_array  # (C, K) picks the price of each cell
    to_cell: sp.csr_array  # (T, C) the cell of each interval
    bend: sp.csr_array  # (C, C) Q: positive semidefinite
    energy: Array  # (C,) at the reference price
    limited_days: Indices  # those whose budget some prices within the bounds would overspend

    @property
    def has_discounts(self) -> bool:
        return bool(self.limited_days.size)

    def wide(self, prices: sp.csr_array, discounts: sp.csr_array | None = None) -> sp.csr_array:
        """Rows over all variables from those over prices and over discounts."""
        if not self.has_discounts:
            return prices
        none = sp.csr_array((len(prices.indptr) - 1, self.day.size))
        return sp.csr_array(sp.hstack([prices, none if discounts is None else discounts]))

    def square(self, prices: sp.sparray, discounts: sp.sparray | None = None) -> sp.csr_array:
        """Curvature over all variables."""
        if not self.has_discounts:
            return sp.csr_array(prices)
        cells = self.day.size
        return sp.csr_array(sp.block_diag([prices, sp.csr_array((cells, cells)) if discounts is None else discounts]))

    def vector(self, prices: Array, discounts: Array | None = None) -> Array:
        if not self.has_discounts:
            return prices
        return np.concatenate([prices, np.zeros(self.day.size) if discounts is None else discounts])


def build_tariff(problem: TariffProblem, around: Array | None = None) -> TariffModel:
    """The model.

    Args:
        around: price changes in each interval around which incentives are bounded; the present tariff if None.  # (T,)
    """
    parts = _parts(problem)
    curvature, slope, constant = _objective(parts)
    linear = [*_price_limits(parts), *_demand_limits(parts)]
    if parts.has_discounts:
        linear.append(_discounts(parts))
    bent = list(_budgets(parts, np.zeros(problem.outlook.grid.steps) if around is None else np.abs(around)))
    if problem.limits.revenue_floor is not None:
        bent.append(_revenue(parts, problem.limits.revenue_floor))
    return TariffModel(curvature, slope, constant, tuple(linear), tuple(bent), parts.scale, _start(parts))


def _parts(problem: TariffProblem) -> _Parts:
    outlook, calendar, hours = problem.outlook, problem.calendar, problem.outlook.grid.step_hours
    reference = outlook.import_price_per_kwh
    scale = Scale(
        energy_kwh=float(hours * outlook.load_kw.sum()) or 1.0,
        price_per_kwh=float(np.abs(reference).max()) or 1.0,
        power_kw=float(outlook.load_kw.max()) or 1.0,
    )
    names = np.stack([calendar.block, calendar.day, reference], axis=1)
    cells, of_step = np.unique(names, axis=0, return_inverse=True)
    steps, block = np.arange(outlook.grid.steps), cells[:, 0].astype(np.int64)
    to_cell = sp.csr_array((np.ones(steps.size), (steps, of_step.ravel())), shape=(steps.size, len(cells)))
    to_block = sp.csr_array((np.ones(block.size), (np.arange(block.size), block)), shape=(block.size, calendar.blocks))
    deepest = np.full(outlook.grid.steps, min(problem.limits.low_per_kwh, float(reference.min())))
    budget = problem.limits.incentive_budget
    may_overspend = (
        incentives_by_day(problem, deepest) > budget if problem.response.is_diagonal else np.isfinite(budget)
    )
    bend = -hours * scale.price_per_kwh / scale.energy_kwh * (to_cell.T @ problem.response.slopes @ to_cell)
    return _Parts(
        problem,
        scale,
        day=cells[:, 1].astype(np.int64),
        reference=np.asarray(cells[:, 2] / scale.price_per_kwh, dtype=np.float64),
        to_block=to_block,
        to_cell=to_cell,
        bend=sp.csr_array(bend),
        energy=hours / scale.energy_kwh * (to_cell.T @ outlook.load_kw),
        limited_days=np.flatnonzero(may_overspend),
    )


def _objective(parts: _Parts) -> tuple[sp.csr_array, Array, float]:
    """Minus the weighted change of welfare; a price that hardly matters is drawn to the reference."""
    problem, weights, outlook = parts.problem, parts.problem.weights, parts.problem.outlook
    of_margin = weights.operator_margin * (outlook.import_price_per_kwh - problem.supply.marginal_cost_per_kwh)
    of_carbon = weights.carbon_damage * problem.supply.carbon_price_per_kg * outlook.emission_factor_kg_per_kwh
    gain_kw = (weights.operator_margin - weights.consumer_surplus) * outlook.load_kw
    gain_kw = gain_kw + problem.response.slopes @ (of_margin - of_carbon)
    gain = outlook.grid.step_hours / parts.scale.energy_kwh * (parts.to_cell.T @ gain_kw)
    share = weights.operator_margin - weights.consumer_surplus / 2
    bend, reference = share * (parts.to_block.T @ parts.bend @ parts.to_block), parts.reference
    draw = np.where(bend.diagonal() < FLAT, _DRAW, 0.0)
    mean = (parts.to_block.T @ reference) / np.maximum(1, parts.to_block.sum(axis=0))
    slope = -parts.to_block.T @ (gain + 2 * share * (parts.bend @ reference)) - 2 * draw * mean
    steady = sp.diags_array(np.full(parts.day.size, _STEADY))
    constant = float(gain @ reference + share * reference @ (parts.bend @ reference) + draw @ mean**2)
    return parts.square(2 * bend + sp.diags_array(2 * draw), steady), parts.vector(slope), constant


def _price_limits(parts: _Parts) -> list[LinearLimit]:
    limits, unit, calendar = parts.problem.limits, parts.scale.price_per_kwh, parts.problem.calendar
    eye = sp.csr_array(sp.eye_array(calendar.blocks))
    within = tuple(np.flatnonzero(calendar.block == block) for block in range(calendar.blocks))
    ones = np.ones(calendar.blocks)
    rows = [
        LinearLimit("price_bounds.high", parts.wide(eye), ones * limits.high_per_kwh / unit, unit, within),
        LinearLimit("price_bounds.low", parts.wide(-eye), -ones * limits.low_per_kwh / unit, unit, within),
    ]
    if limits.max_step_per_kwh is not None and calendar.blocks > 1:
        rise = sp.csr_array(np.diff(np.eye(ones.size), axis=0))
        both = sp.csr_array(sp.vstack([rise, -rise]))
        most = np.full(2 * (ones.size - 1), limits.max_step_per_kwh / unit)
        rows.append(LinearLimit("max_price_step_per_kwh", parts.wide(both), most, unit, within[1:] * 2))
    return rows


def _demand_limits(parts: _Parts) -> list[LinearLimit]:
    """No demand below 0, and none beyond the connection; rows that no price within the bounds reaches are left out."""
    problem, unit = parts.problem, parts.scale.power_kw
    moved = parts.scale.price_per_kwh / unit * (problem.response.slopes @ parts.to_cell)
    by_block, at_zero = moved @ parts.to_block, problem.outlook.load_kw / unit - moved @ parts.reference
    least, most = demand_limits_kw(problem)
    low, high = (
        bound / parts.scale.price_per_kwh for bound in (problem.limits.low_per_kwh, problem.limits.high_per_kwh)
    )
    rises, falls = by_block.maximum(0).sum(axis=1), -by_block.minimum(0).sum(axis=1)
    lowest, highest = at_zero + low * rises - high * falls, at_zero + high * rises - low * falls
    moves = rises + falls > _NO_ROOM
    wanted = (
        (None, -1, np.zeros_like(least), moves & (lowest < 0)),
        ("grid_import_limit_kw", 1, most, moves & (highest > most / unit)),
        ("grid_export_limit_kw", -1, least, moves & (lowest < least / unit) & (least > 0)),
    )
    rows = []
    for name, sign, limit, which in wanted:
        room = sign * (limit / unit - at_zero)[which] + _NO_ROOM
        matrix = parts.wide(sign * sp.csr_array(by_block)[which])
        rows.append(LinearLimit(name, matrix, room, unit, tuple(np.flatnonzero(which)[:, None])))
    return rows


def _discounts(parts: _Parts) -> LinearLimit:
    """A discount is at least 0 and at least what the price lies below the reference."""
    eye = sp.csr_array(sp.eye_array(parts.day.size))
    matrix = sp.vstack([parts.wide(sp.csr_array(parts.to_block.shape), -eye), parts.wide(-parts.to_block, -eye)])
    limits = np.concatenate([np.zeros(parts.day.size), -parts.reference])
    return LinearLimit(None, sp.csr_array(matrix), limits, 1.0, tuple(np.empty((limits.size, 0), dtype=np.int64)))


def _budgets(parts: _Parts, around_per_kwh: Array) -> list[BentLimit]:
    """What discounts cost on each local day whose budget they may overspend."""
    problem, rows = parts.problem, []
    centre = (parts.to_cell.T @ around_per_kwh) / parts.to_cell.sum(axis=0) / parts.scale.price_per_kwh
    for day in parts.limited_days:
        today = sp.diags_array((parts.day == day).astype(np.float64))
        bend, energy = today @ parts.bend @ today, parts.energy * (parts.day == day)
        budget = max(problem.limits.incentive_budget[day] / parts.scale.money, SMALLEST_BUDGET)
        prices, slope, constant = sp.csr_array((problem.calendar.blocks,) * 2), np.zeros(problem.calendar.blocks), 0.0
        if not problem.response.is_diagonal:
            pull, middle = bend @ centre, bend @ parts.reference
            prices = parts.to_block.T @ bend @ parts.to_block / 2
            slope = -parts.to_block.T @ (pull + middle) / 2
            constant = float(parts.reference @ (middle / 4 + pull / 2) + centre @ pull / 4)
            energy = energy - pull
        constraint = QuadraticLimit(parts.square(prices, 2 * bend), parts.vector(slope, energy), budget - constant)
        rows.append(BentLimit("incentive_budget", constraint, int(day)))
    return rows


def _revenue(parts: _Parts, floor: float) -> BentLimit:
    """Prices x demand, concave: at least the floor."""
    outlook, scale, reference = parts.problem.outlook, parts.scale, parts.reference
    moved = parts.problem.response.slopes @ outlook.import_price_per_kwh
    gain = outlook.grid.step_hours / scale.energy_kwh * (parts.to_cell.T @ (outlook.load_kw + moved))
    now = outlook.grid.step_hours * float(outlook.import_price_per_kwh @ outlook.load_kw) / scale.money
    middle = parts.bend @ reference
    slope = -parts.to_block.T @ (gain + 2 * middle)
    room = now - floor / scale.money - float(gain @ reference + reference @ middle)
    bend = parts.square(2 * (parts.to_block.T @ parts.bend @ parts.to_block))
    return BentLimit("revenue_floor", QuadraticLimit(bend, parts.vector(slope), room), None)


def _start(parts: _Parts) -> Array:
    """Reference prices, well inside the bounds, with discounts a little above what they need."""
    limits, unit = parts.problem.limits, parts.scale.price_per_kwh
    mean = (parts.to_block.T @ parts.reference) / np.maximum(1, parts.to_block.sum(axis=0))
    low, high = limits.low_per_kwh / unit, limits.high_per_kwh / unit
    price = np.clip(mean, low + 0.1 * (high - low), high - 0.1 * (high - low))
    return parts.vector(price, np.maximum(parts.reference - parts.to_block @ price, 0.0) + 0.01)
