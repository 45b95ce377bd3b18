"""Two hundred and more random tariffs solved a second time by CVXPY with Clarabel, from the formulas as they stand."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import cvxpy as cp
import numpy as np
import pytest

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import GridLimits, Outlook
from digital_twin.optimization.tariffs.accounting import (
    broken_limits,
    demand_limits_kw,
    incentives_by_day,
    rise_of_members,
    tariff_figures,
)
from digital_twin.optimization.tariffs.demand_response import Elasticity, demand_response
from digital_twin.optimization.tariffs.design import design_tariff, stake
from digital_twin.optimization.tariffs.plan import PriceCalendar, Supply, TariffLimits, TariffProblem, WelfareWeights

SAME = 1e-6
"""Of the bill at stake: what the objectives of two solvers may differ by."""
CERTIFIED, CROSS = 220, 40


def instance(seed: int, *, cross: bool) -> TariffProblem:
    """A tariff with some of everything: days, blocks over midnight, floors, steps, members, tight or absent budgets."""
    draw = np.random.default_rng([seed, int(cross)])
    days, per_day = int(draw.integers(1, 4)), int(draw.choice([4, 6, 12, 24]))
    steps = days * per_day
    block = np.arange(steps) // int(draw.choice([1, 2, 4]))
    if draw.random() < 0.3:
        block = np.minimum((np.arange(steps) + 1) // 2, (steps - 1) // 2)  # every other one lies over midnight
    day = np.arange(steps) // per_day
    load = draw.uniform(5, 200, steps) * (draw.random(steps) > 0.03)
    reference = draw.choice([np.full(steps, 0.3), draw.choice([0.2, 0.3, 0.4], steps), draw.uniform(0.15, 0.45, steps)])
    pv = draw.uniform(0, 120, steps) * (draw.random() < 0.5)
    budget = draw.choice([0.0, 0.5, 5.0, 50.0, np.inf], days) * (load.mean() / 50)
    grid = GridLimits(float(draw.choice([1e6, 150.0])), float(draw.choice([1e6, 60.0])))
    outlook = Outlook(
        TimeGrid(datetime(2026, 3, 2, tzinfo=UTC), steps, 60), load, pv, reference, np.full(steps, 0.08),
        draw.uniform(0, 0.4, steps),
    )  # fmt: skip
    bill = float(reference @ load)
    members = load * draw.uniform(0, 0.2, (3, steps))
    limits = TariffLimits(
        float(draw.choice([0.02, 0.1])),
        float(draw.choice([0.5, 0.7])),
        budget,
        grid,
        revenue_floor=bill * draw.uniform(0.9, 1.02) if draw.random() < 0.3 else None,
        max_step_per_kwh=float(draw.choice([0.03, 0.1])) if draw.random() < 0.3 else None,
        protected_load_kw=members if draw.random() < 0.25 else None,
    )
    elasticity = Elasticity(-draw.uniform(0.05, 0.8), draw.uniform(0.02, 0.3) if cross else 0.0)
    supply = Supply(draw.uniform(-0.1, 0.6, steps), draw.uniform(0, 0.2, steps), float(draw.choice([0.0, 0.165])))
    weights = WelfareWeights(*draw.choice([0.5, 1.0, 1.5], 1), 1.0, *draw.choice([1.0, 2.0], 2))
    response = demand_response(load, reference, elasticity, day)
    return TariffProblem(outlook, supply, PriceCalendar(block, day), response, limits, weights)


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """`welfare` is NaN where the solver gives up, which it does where limits leave hardly any room."""

    price_per_kwh: Array | None
    welfare: float


def by_clarabel(one: TariffProblem) -> Peer | None:
    """The best prices with own slopes only; None where the limits leave none."""
    outlook, limits, weights, block = one.outlook, one.limits, one.weights, one.calendar.block
    hours, reference, load = outlook.grid.step_hours, outlook.import_price_per_kwh, outlook.load_kw
    answer = -one.response.slopes.diagonal()
    price, discount = cp.Variable(one.calendar.blocks), cp.Variable(outlook.grid.steps, nonneg=True)
    change = price[block] - reference
    squared = cp.multiply(answer, cp.square(change))
    demand = load - cp.multiply(answer, change)
    cost, carbon = one.supply.marginal_cost_per_kwh, one.supply.carbon_price_per_kg * outlook.emission_factor_kg_per_kwh
    share = weights.operator_margin - weights.consumer_surplus / 2
    welfare = (weights.operator_margin - weights.consumer_surplus) * (load @ change) - share * cp.sum(squared)
    welfare -= weights.operator_margin * ((answer * (reference - cost)) @ change)
    welfare += weights.carbon_damage * ((carbon * answer) @ change)
    least, most = demand_limits_kw(one)
    overspent = cp.Variable(nonneg=True)
    rules = [
        price >= limits.low_per_kwh,
        price <= limits.high_per_kwh,
        demand >= least,
        demand <= most,
        discount >= -change,
    ]
    for day, budget in enumerate(limits.incentive_budget):
        if np.isfinite(budget):
            today = one.calendar.day == day
            paid = load[today] @ discount[today] + cp.sum(cp.multiply(answer[today], cp.square(discount[today])))
            rules.append(hours * paid <= budget + overspent)
    if limits.revenue_floor is not None:
        revenue = reference @ demand + load @ change - cp.sum(squared)
        rules.append(hours * revenue >= limits.revenue_floor)
    if limits.max_step_per_kwh is not None and one.calendar.blocks > 1:
        rules.append(cp.abs(cp.diff(price)) <= limits.max_step_per_kwh)
    if limits.protected_load_kw is not None:
        rules.append(limits.protected_load_kw @ change <= 0)
    try:
        asked = cp.Problem(cp.Maximize(hours * welfare / stake(one)), [*rules, overspent == 0])
        asked.solve(solver=cp.CLARABEL)
    except cp.error.SolverError:
        least_spent = cp.Problem(cp.Minimize(overspent), rules)
        least_spent.solve(solver=cp.CLARABEL)
        is_infeasible = least_spent.status == "infeasible" or overspent.value > SAME * stake(one)
        return None if is_infeasible else Peer(None, np.nan)
    if asked.status in ("infeasible", "infeasible_inaccurate"):
        return None
    prices = np.asarray(price.value)[block]
    return Peer(prices, tariff_figures(one, prices).change.weighted(weights))


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("seed", range(CERTIFIED))
def test_a_second_solver_finds_no_better_tariff(seed: int) -> None:
    one = instance(seed, cross=False)
    peer = by_clarabel(one)
    if peer is None:
        with pytest.raises(Infeasible):
            design_tariff(one)
        return
    design = design_tariff(one)
    if not np.isnan(peer.welfare):
        assert design.welfare_change == pytest.approx(peer.welfare, abs=SAME * stake(one))
    assert design.status == "optimal"
    assert design.gap <= SAME
    assert broken_limits(one, design.figures) == []
    assert (incentives_by_day(one, design.figures.import_price_per_kwh) <= one.limits.incentive_budget).all()


@pytest.mark.parametrize("seed", range(CROSS))
def test_with_cross_elasticities_no_budget_is_overspent_and_no_limit_broken(seed: int) -> None:
    one = instance(seed, cross=True)
    try:
        design = design_tariff(one)
    except Infeasible:
        unbound = replace(one.limits, incentive_budget=np.full(one.calendar.days, np.inf), revenue_floor=None)
        assert design_tariff(replace(one, limits=replace(unbound, max_step_per_kwh=None, protected_load_kw=None)))
        return
    assert broken_limits(one, design.figures) == []
    assert (incentives_by_day(one, design.figures.import_price_per_kwh) <= one.limits.incentive_budget).all()
    assert (rise_of_members(one, design.figures.import_price_per_kwh) <= SAME * stake(one)).all()
