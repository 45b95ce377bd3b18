"""What a price path means for demand, welfare, incentives and revenue: plain numpy, no solver."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.demand_response import Indices
from digital_twin.optimization.tariffs.plan import TariffFigures, TariffProblem, Welfare

DEMAND_TOLERANCE = 1e-6
"""Relative to the highest load: what rounding may leave below no demand or above a limit."""

DECIMALS = 10
"""Of prices in whole units."""


def demand_at(problem: TariffProblem, price_per_kwh: Array) -> Array:
    """Demand after response: linear in prices."""  # (T,)
    change_kw = problem.response.change_kw(price_per_kwh - problem.outlook.import_price_per_kwh)
    return problem.outlook.load_kw + change_kw


def incentives_by_day(problem: TariffProblem, price_per_kwh: Array) -> Array:
    """Incentive paid = sum of max(reference price - price, 0) x demand after response x step_hours, by local day."""
    discount = np.maximum(problem.outlook.import_price_per_kwh - price_per_kwh, 0.0)
    paid = problem.outlook.grid.step_hours * discount * np.maximum(demand_at(problem, price_per_kwh), 0.0)
    return _by_day(problem, paid)  # (D,)


def tariff_figures(problem: TariffProblem, price_per_kwh: Array) -> TariffFigures:
    """The figures of a price path beside those of the present tariff.

    The change of consumer surplus is the exact area beside the line of demand, -(d0 + d) / 2 x (p - p0). The operator
    sells demand, buys PV at the feed-in price and the rest at the marginal cost. Carbon is counted as in deciding: the
    marginal factor x (import - export).
    """
    outlook, supply, hours = problem.outlook, problem.supply, problem.outlook.grid.step_hours
    reference, load_kw, demand_kw = outlook.import_price_per_kwh, outlook.load_kw, demand_at(problem, price_per_kwh)
    before = _welfare(problem, reference, load_kw, outlook.export_price_per_kwh, surplus=0.0)
    surplus = -hours * float((load_kw + demand_kw) / 2 @ (price_per_kwh - reference))
    after = _welfare(problem, price_per_kwh, demand_kw, supply.feed_in_price_per_kwh, surplus=surplus)
    return TariffFigures(
        import_price_per_kwh=price_per_kwh,
        demand_kw=demand_kw,
        change=Welfare(
            consumer_surplus=surplus,
            pv_receipts=after.pv_receipts - before.pv_receipts,
            operator_margin=after.operator_margin - before.operator_margin,
            carbon_damage=after.carbon_damage - before.carbon_damage,
        ),
        before=before,
        revenue=hours * float(price_per_kwh @ demand_kw),
        revenue_before=hours * float(reference @ load_kw),
        incentives_paid=incentives_by_day(problem, price_per_kwh),
        energy_kwh=_by_day(problem, hours * demand_kw),
        energy_before_kwh=_by_day(problem, hours * load_kw),
    )


def _welfare(
    problem: TariffProblem, price_per_kwh: Array, demand_kw: Array, feed_in_per_kwh: Array, *, surplus: float
) -> Welfare:
    outlook, supply, hours = problem.outlook, problem.supply, problem.outlook.grid.step_hours
    receipts = hours * float(feed_in_per_kwh @ outlook.pv_kw)
    bought = hours * float(supply.marginal_cost_per_kwh @ (demand_kw - outlook.pv_kw))
    emitted_kg = hours * float(outlook.emission_factor_kg_per_kwh @ (demand_kw - outlook.pv_kw))
    return Welfare(
        consumer_surplus=surplus,
        pv_receipts=receipts,
        operator_margin=hours * float(price_per_kwh @ demand_kw) - bought - receipts,
        carbon_damage=supply.carbon_price_per_kg * emitted_kg,
    )


def welfare_slope(problem: TariffProblem, price_per_kwh: Array) -> Array:
    """What weighted welfare gains as the price of each interval rises."""  # (T,) currency per currency/kWh
    outlook, weights, supply = problem.outlook, problem.weights, problem.supply
    margin = weights.operator_margin * (price_per_kwh - supply.marginal_cost_per_kwh)
    damage = weights.carbon_damage * supply.carbon_price_per_kg * outlook.emission_factor_kg_per_kwh
    demand = (weights.operator_margin - weights.consumer_surplus) * demand_at(problem, price_per_kwh)
    return outlook.grid.step_hours * (demand + problem.response.slopes @ (margin - damage))


def demand_limits_kw(problem: TariffProblem) -> tuple[Array, Array]:
    """The least and the greatest demand that the connection allows in each interval.

    Where the present tariff passes a limit already, prices must not make it worse: storage and curtailment mend the
    rest, which is a matter of dispatch.
    """  # (T,), (T,)
    outlook, grid = problem.outlook, problem.limits.grid
    net_kw = outlook.load_kw - outlook.pv_kw
    most = outlook.pv_kw + np.maximum(grid.import_kw, net_kw)
    least = outlook.pv_kw - np.maximum(grid.export_kw, -net_kw)
    return np.maximum(least, 0.0), most


def broken_limits(problem: TariffProblem, figures: TariffFigures) -> list[str]:
    """What the prices break, in words; empty for a tariff that may be offered. The budget knows no tolerance."""
    limits, price = problem.limits, figures.import_price_per_kwh
    reference = max(1e-9, float(np.abs(problem.outlook.import_price_per_kwh).max()))
    power, money = float(problem.outlook.load_kw.max()), abs(figures.revenue_before)
    tolerance_kw, tolerance = DEMAND_TOLERANCE * max(power, 1e-3), DEMAND_TOLERANCE * reference
    least, most = demand_limits_kw(problem)
    of_block = np.zeros(problem.calendar.blocks)
    of_block[problem.calendar.block] = price
    broken = {
        "one price per block": bool((of_block[problem.calendar.block] != price).any()),
        "price_bounds": bool((price < limits.low_per_kwh).any() or (price > limits.high_per_kwh).any()),
        "incentive_budget": bool((figures.incentives_paid > limits.incentive_budget).any()),
        "max_price_step_per_kwh": limits.max_step_per_kwh is not None
        and bool((np.abs(np.diff(of_block)) > limits.max_step_per_kwh + tolerance).any()),
        "price_unit_per_kwh": limits.price_unit_per_kwh is not None
        and bool((np.abs(of_block - in_units(of_block, limits.price_unit_per_kwh)) > 1e-12 * np.abs(of_block)).any()),
        "no_member_worse_off": bool((rise_of_members(problem, price) > tolerance * _energy_of_members(problem)).any()),
        "revenue_floor": limits.revenue_floor is not None
        and figures.revenue < limits.revenue_floor - DEMAND_TOLERANCE * max(money, 1e-3),
        "demand of at least 0": bool((figures.demand_kw < -tolerance_kw).any()),
        "grid_import_limit_kw": bool((figures.demand_kw > most + tolerance_kw).any()),
        "grid_export_limit_kw": bool((figures.demand_kw < least - tolerance_kw).any()),
        "finite numbers": not np.isfinite(figures.demand_kw).all(),
    }
    return [name for name, is_broken in broken.items() if is_broken]


def rise_of_members(problem: TariffProblem, price_per_kwh: Array) -> Array:
    """By how much the present load of each protected member becomes dearer."""  # (N,), empty where none is protected
    loads = problem.limits.protected_load_kw
    change = price_per_kwh - problem.outlook.import_price_per_kwh
    return np.zeros(0) if loads is None else problem.outlook.grid.step_hours * (loads @ change)


def _energy_of_members(problem: TariffProblem) -> Array:
    loads = problem.limits.protected_load_kw
    return np.zeros(0) if loads is None else problem.outlook.grid.step_hours * loads.sum(axis=1)


def in_units(price_per_kwh: Array, unit_per_kwh: float) -> Array:
    """The nearest whole multiples, without the rounding of a product."""
    return np.round(np.round(price_per_kwh / unit_per_kwh) * unit_per_kwh, DECIMALS)


def own_slopes(problem: TariffProblem) -> Array:
    """How demand answers to the price of its own interval, in kW per currency/kWh."""  # (T,)
    return np.asarray(problem.response.slopes.diagonal(), dtype=np.float64)


def sums_by(index: Indices, values: Array, count: int) -> Array:
    """The sum of the values of each index."""  # (count,)
    return np.asarray(np.bincount(index, values, count), dtype=np.float64)


def _by_day(problem: TariffProblem, values: Array) -> Array:
    return sums_by(problem.calendar.day, values, problem.calendar.days)
