"""The welfare of prices as a convex program.

With d = d0 + B (p - p0), -B = Q: margin is linear in prices less p'Qp, consumer surplus linear plus half of it, so
that welfare is concave while the margin weighs at least half as much as the surplus. Revenue is concave too. The
incentive of a discount u is u'd0 + u'Qu where prices act on their own interval alone; else the part that rising prices
add, -u'Q(up), is bounded from above by convex-concave steps around a point.

Variables: the price of each block, then the discount of each cell. All numbers are scaled by the energy, the price and
the power of the problem.

Source: Lipp, Boyd 2016, Optim. Eng. 17, 263-287 (convex-concave procedure).
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.accounting import demand_limits_kw
from digital_twin.optimization.tariffs.convex_program import ConvexProgram, QuadraticLimit
from digital_twin.optimization.tariffs.demand_response import Indices
from digital_twin.optimization.tariffs.matrices import Matrix
from digital_twin.optimization.tariffs.parts import SMALLEST_BUDGET, Parts, Scale, parts_of
from digital_twin.optimization.tariffs.plan import TariffProblem

CLOSED = "no_discounts"
"""The rows of days with nothing to spend."""
NO_DEMAND = "no_demand"
"""The rows that keep demand from falling below 0."""
DISCOUNTS = "discounts"
"""The rows that define discounts."""
FLAT = 1e-6
"""Scaled curvature below which a price hardly matters: there ties go to the reference price."""
_DRAW = 1e-7
_STEADY = 1e-9
_NO_ROOM = 1e-12
_NEARLY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LinearLimit:
    """Rows Gx <= h of one limit. `unit` is one scaled unit of the limit."""

    name: str
    matrix: Matrix  # (r, n)
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

    parts: Parts
    curvature: Matrix
    slope: Array
    constant: float
    linear: tuple[LinearLimit, ...]
    bent: tuple[BentLimit, ...]
    start: Array

    @property
    def scale(self) -> Scale:
        return self.parts.scale

    def objective(self, x: Array) -> float:
        return float(0.5 * x @ (self.curvature @ x) + self.slope @ x)

    def program(self, steadiness: float) -> ConvexProgram:
        """The program, so much steeper in each variable."""
        steeper = steadiness * self.parts.kind.eye(self.slope.size) if steadiness else 0.0
        return ConvexProgram(
            self.curvature + steeper,
            self.slope,
            self.parts.kind.above([one.matrix for one in self.linear]),
            np.concatenate([one.limits for one in self.linear]),
            tuple(one.constraint for one in self.bent),
            self.parts.order,
        )


def build_tariff(problem: TariffProblem, around: Array | None = None, *, may_close: bool = True) -> TariffModel:
    """The model.

    Args:
        around: price changes in each interval around which incentives are bounded; the present tariff if None.  # (T,)
        may_close: days with next to nothing to spend get no discounts, rather than the smallest budget.
    """
    parts = parts_of(problem, may_close=may_close)
    curvature, slope, constant = _objective(parts)
    linear = [*_price_limits(parts), *_demand_limits(parts), *_members(parts), *_closed(parts)]
    if parts.has_discounts:
        linear.append(_discounts(parts))
    bent = list(_budgets(parts, np.zeros(problem.outlook.grid.steps) if around is None else np.abs(around)))
    if problem.limits.revenue_floor is not None:
        bent.append(_revenue(parts, problem.limits.revenue_floor))
    return TariffModel(parts, curvature, slope, constant, tuple(linear), tuple(bent), _start(parts))


def _objective(parts: Parts) -> tuple[Matrix, Array, float]:
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
    steady = _STEADY * parts.kind.eye(parts.day.size)
    constant = float(gain @ reference + share * reference @ (parts.bend @ reference) + draw @ mean**2)
    return parts.square(2 * bend + parts.kind.diagonal(2 * draw), steady), parts.vector(slope), constant


def _price_limits(parts: Parts) -> list[LinearLimit]:
    limits, unit, calendar = parts.problem.limits, parts.scale.price_per_kwh, parts.problem.calendar
    eye = parts.kind.eye(calendar.blocks)
    within = tuple(np.split(np.argsort(calendar.block, kind="stable"), np.cumsum(np.bincount(calendar.block))[:-1]))
    ones = np.ones(calendar.blocks)
    rows = [
        LinearLimit("price_bounds.high", parts.wide(eye), ones * limits.high_per_kwh / unit, unit, within),
        LinearLimit("price_bounds.low", parts.wide(-eye), -ones * limits.low_per_kwh / unit, unit, within),
    ]
    if limits.max_step_per_kwh is not None and calendar.blocks > 1:
        rise = eye[1:] - eye[:-1]
        both = parts.kind.above([rise, -rise])
        most = np.full(2 * (ones.size - 1), limits.max_step_per_kwh / unit)
        rows.append(LinearLimit("max_price_step_per_kwh", parts.wide(both), most, unit, within[1:] * 2))
    return rows


def _demand_limits(parts: Parts) -> list[LinearLimit]:
    """No demand below 0, and none beyond the connection; rows that no price within the bounds reaches are left out."""
    problem, unit = parts.problem, parts.scale.power_kw
    moved = parts.scale.price_per_kwh / unit * parts.slopes
    by_block, at_zero = moved @ parts.to_block, problem.outlook.load_kw / unit - moved @ parts.reference
    least, most = demand_limits_kw(problem)
    low, high = (
        bound / parts.scale.price_per_kwh for bound in (problem.limits.low_per_kwh, problem.limits.high_per_kwh)
    )
    moves_by, rise = abs(by_block).sum(axis=1), by_block.sum(axis=1)
    rises, falls = (moves_by + rise) / 2, (moves_by - rise) / 2
    lowest, highest = at_zero + low * rises - high * falls, at_zero + high * rises - low * falls
    moves = moves_by > _NO_ROOM
    wanted = (
        (NO_DEMAND, -1, np.zeros_like(least), moves & (lowest < 0)),
        ("grid_import_limit_kw", 1, most, moves & (highest > most / unit)),
        ("grid_export_limit_kw", -1, least, moves & (lowest < least / unit) & (least > 0)),
    )
    rows = []
    for name, sign, limit, which in wanted:
        if not which.any():
            continue
        room = sign * (limit / unit - at_zero)[which] + _NO_ROOM
        matrix = parts.wide(sign * by_block[which])
        rows.append(LinearLimit(name, matrix, room, unit, tuple(np.flatnonzero(which)[:, None])))
    return rows


def _members(parts: Parts) -> list[LinearLimit]:
    """The load of each protected member costs no more than at the reference price, so that nobody has to lose."""
    loads, outlook = parts.problem.limits.protected_load_kw, parts.problem.outlook
    if loads is None:
        return []
    loads = loads[loads.any(axis=1)]
    by_cell = loads @ parts.to_cell
    size = by_cell.sum(axis=1, keepdims=True)
    matrix = parts.kind.of((by_cell / size) @ parts.to_block)
    room = (loads @ outlook.import_price_per_kwh) / (size[:, 0] * parts.scale.price_per_kwh)
    unit = float(size.mean()) * outlook.grid.step_hours * parts.scale.price_per_kwh
    everywhere = tuple(np.arange(outlook.grid.steps) for _ in room)
    return [LinearLimit("no_member_worse_off", parts.wide(matrix), room, unit, everywhere)]


def _closed(parts: Parts) -> list[LinearLimit]:
    """No price below the reference where there is nothing to spend; prices so near it are put there afterwards."""
    if not parts.closed.size:
        return []
    rows = parts.wide(-parts.to_block[parts.closed])
    room = _NEARLY - parts.reference[parts.closed]
    cell_of = parts.to_cell @ np.arange(parts.day.size)
    intervals = tuple(np.flatnonzero(cell_of == cell) for cell in parts.closed)
    return [LinearLimit(CLOSED, rows, room, 1.0, intervals)]


def _discounts(parts: Parts) -> LinearLimit:
    """A discount is at least 0 and at least what the price lies below the reference."""
    kind, below = parts.kind, -parts.kind.eye(parts.day.size)
    matrix = kind.above([kind.beside([kind.zeros(parts.to_block.shape), below]), kind.beside([-parts.to_block, below])])
    limits = np.concatenate([np.zeros(parts.day.size), -parts.reference])
    return LinearLimit(DISCOUNTS, matrix, limits, 1.0, tuple(np.empty((limits.size, 0), dtype=np.int64)))


def _budgets(parts: Parts, around_per_kwh: Array) -> list[BentLimit]:
    """What discounts cost on each local day whose budget they may overspend."""
    problem, rows = parts.problem, []
    centre = (parts.to_cell.T @ around_per_kwh) / parts.to_cell.sum(axis=0) / parts.scale.price_per_kwh
    for day in parts.limited_days:
        today = parts.kind.diagonal((parts.day == day).astype(np.float64))
        bend, energy = today @ parts.bend @ today, parts.energy * (parts.day == day)
        budget = max(problem.limits.incentive_budget[day] / parts.scale.money, SMALLEST_BUDGET)
        blocks = problem.calendar.blocks
        prices, slope, constant = parts.kind.zeros((blocks, blocks)), np.zeros(blocks), 0.0
        if not problem.response.is_diagonal:
            pull, middle = bend @ centre, bend @ parts.reference
            prices = parts.to_block.T @ bend @ parts.to_block / 2
            slope = -parts.to_block.T @ (pull + middle) / 2
            constant = float(parts.reference @ (middle / 4 + pull / 2) + centre @ pull / 4)
            energy = energy - pull
        constraint = QuadraticLimit(parts.square(prices, 2 * bend), parts.vector(slope, energy), budget - constant)
        rows.append(BentLimit("incentive_budget", constraint, int(day)))
    return rows


def _revenue(parts: Parts, floor: float) -> BentLimit:
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


def _start(parts: Parts) -> Array:
    """Reference prices, well inside the bounds, with discounts a little above what they need."""
    limits, unit = parts.problem.limits, parts.scale.price_per_kwh
    mean = (parts.to_block.T @ parts.reference) / np.maximum(1, parts.to_block.sum(axis=0))
    low, high = limits.low_per_kwh / unit, limits.high_per_kwh / unit
    price = np.clip(mean, low + 0.1 * (high - low), high - 0.1 * (high - low))
    return parts.vector(price, np.maximum(parts.reference - parts.to_block @ price, 0.0) + 0.01)
