"""Tariffs: the worked case, closed forms and another solver, budgets to the last cent, limits that are named."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from tests.builders import MONDAY

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import GridLimits, Outlook
from digital_twin.optimization.tariffs.accounting import broken_limits, incentives_by_day, tariff_figures
from digital_twin.optimization.tariffs.demand_response import (
    DemandResponse,
    Elasticity,
    Indices,
    blocks_of_hours,
    demand_response,
    equal_blocks,
)
from digital_twin.optimization.tariffs.design import GAP, TariffRefused, design_tariff, within_budget
from digital_twin.optimization.tariffs.distribution import distribute
from digital_twin.optimization.tariffs.plan import (
    PriceCalendar,
    Supply,
    TariffLimits,
    TariffProblem,
    WelfareWeights,
)

EXACT = 1e-6
"""Of prices, kW and currency: the solver's tolerance on numbers near one, times a few hundred kW."""
BEST = 1e-5
"""How much more welfare, of a bill of some ten currency units, another method may seem to find."""
WIDE = GridLimits(1e6, 1e6)


def problem(
    load: Any,
    reference: Any,
    cost: Any,
    *,
    bounds: tuple[float, float] = (0.05, 0.5),
    budget: Any = np.inf,
    elasticity: Elasticity = Elasticity(-0.3),  # noqa: B008
    blocks: Indices | None = None,
    day: Indices | None = None,
    weights: WelfareWeights = WelfareWeights(),  # noqa: B008
    floor: float | None = None,
    step: float | None = None,
    minutes: int = 60,
    **given: Any,
) -> TariffProblem:
    """A tariff problem without PV and emissions, unless they are given."""
    steps = len(load)
    loads = np.array(load, dtype=float)
    prices = np.broadcast_to(np.asarray(reference, dtype=float), steps).copy()
    days = np.zeros(steps, dtype=np.int64) if day is None else day
    zeros = np.zeros(steps)
    outlook = Outlook(
        TimeGrid(MONDAY, steps, minutes),
        loads,
        given.get("pv", zeros),
        prices,
        given.get("export_price", zeros),
        given.get("factor", zeros),
    )
    supply = Supply(np.asarray(cost, dtype=float), given.get("feed_in", zeros), given.get("carbon_price", 0.0))
    limits = TariffLimits(
        *bounds,
        np.broadcast_to(np.asarray(budget, dtype=float), int(days.max()) + 1).copy(),
        given.get("grid", WIDE),
        floor,
        step,
    )
    calendar = PriceCalendar(np.arange(steps) if blocks is None else blocks, days)
    return TariffProblem(outlook, supply, calendar, demand_response(loads, prices, elasticity, days), limits, weights)


def case_2(budget: float) -> TariffProblem:
    return problem([100, 200], 0.30, [0.10, 0.36], budget=budget)


# The worked case


def test_case_2_spends_its_budget_where_it_is_worth_most() -> None:
    design = design_tariff(case_2(11))
    figures = design.figures
    np.testing.assert_allclose(figures.import_price_per_kwh, [0.20, 0.36], atol=EXACT)
    np.testing.assert_allclose(figures.demand_kw, [110, 188], atol=100 * EXACT)
    assert figures.incentives_paid == pytest.approx([11.0], abs=EXACT)
    assert figures.incentives_paid[0] <= 11
    assert figures.revenue == pytest.approx(89.68, abs=10 * EXACT)
    assert figures.change.consumer_surplus == pytest.approx(-1.14, abs=10 * EXACT)
    assert figures.change.operator_margin == pytest.approx(3.0, abs=10 * EXACT)
    assert design.welfare_change == pytest.approx(1.86, abs=EXACT)
    assert design.budget_shadow_price == pytest.approx([1 / 12], abs=EXACT)
    assert (design.status, [one.limit for one in design.binding]) == ("optimal", ["incentive_budget"])


@pytest.mark.parametrize("budget", [25.0, 1e9, np.inf])
def test_case_2_without_a_budget_prices_at_marginal_cost(budget: float) -> None:
    design = design_tariff(case_2(budget))
    np.testing.assert_allclose(design.figures.import_price_per_kwh, [0.10, 0.36], atol=10 * EXACT)
    assert design.figures.incentives_paid == pytest.approx([24.0], abs=100 * EXACT)
    assert design.welfare_change == pytest.approx(2.36, abs=EXACT)


# Against independent methods


def by_multiplier(one: TariffProblem) -> Array:
    """Prices by the closed form of each interval at a price of the budget, which bisection finds.

    With own slopes b and a discount u: maximise b (p0 - c) u - b u^2 / 2 - m (d0 u + b u^2), so that
    u = (b (p0 - c) - m d0) / (b (1 + 2 m)); a price above p0 costs no budget and is c within the bounds.
    """
    load, reference = one.outlook.load_kw, one.outlook.import_price_per_kwh
    slope = -one.response.slopes.toarray().diagonal()
    cost = np.minimum(one.supply.marginal_cost_per_kwh, reference + load / slope)  # nobody uses less than nothing
    low, high = one.limits.low_per_kwh, one.limits.high_per_kwh

    def prices(multiplier: float) -> Array:
        discount = (slope * (reference - cost) - multiplier * load) / (slope * (1 + 2 * multiplier))
        cheap = np.clip(reference - np.maximum(discount, 0.0), low, high)
        return np.where(cost < reference, cheap, np.clip(cost, low, high))

    def spent(multiplier: float) -> float:
        return float(incentives_by_day(one, prices(multiplier))[0])

    least, most = 0.0, 1e3
    if spent(least) <= one.limits.incentive_budget[0]:
        return prices(least)
    for _ in range(200):
        middle = (least + most) / 2
        least, most = (middle, most) if spent(middle) > one.limits.incentive_budget[0] else (least, middle)
    return prices(most)


loads = st.lists(st.floats(5, 200), min_size=6, max_size=6)
reference_prices = st.lists(st.floats(0.15, 0.45), min_size=6, max_size=6)
costs = st.lists(st.floats(-0.1, 0.6), min_size=6, max_size=6)
budgets = st.sampled_from([0.0, 0.5, 3.0, 12.0, 1e6])
elasticities = st.floats(-0.8, -0.05)


@settings(max_examples=80)
@given(loads, reference_prices, costs, budgets, elasticities)
def test_prices_are_those_of_the_closed_form(
    load: list[float], reference: list[float], cost: list[float], budget: float, own: float
) -> None:
    one = problem(load, reference, cost, budget=budget, elasticity=Elasticity(own), bounds=(0.02, 0.6))
    design, expected = design_tariff(one), tariff_figures(one, by_multiplier(one))
    assert design.welfare_change == pytest.approx(expected.change.weighted(one.weights), abs=BEST)
    # where the optimum is flat a tolerance of welfare is its square root of prices
    np.testing.assert_allclose(design.figures.import_price_per_kwh, expected.import_price_per_kwh, atol=2e-3)
    # a budget of next to nothing leaves no discount strictly inside, where interior points come less near
    assert design.status == "optimal" or (budget == 0 and design.gap < 10 * GAP)


@pytest.mark.parametrize("cross", [0.0, 0.1])
@pytest.mark.parametrize(
    ("floor", "step", "grid"),
    [
        (None, None, WIDE),
        (85.0, None, WIDE),
        (None, 0.05, WIDE),
        (80.0, 0.1, GridLimits(84.0, 1e6)),
    ],
)
def test_coupled_limits_give_what_another_solver_finds(
    cross: float, floor: float | None, step: float | None, grid: GridLimits
) -> None:
    one = problem(
        [40, 80, 60, 120, 30, 50],
        [0.2, 0.3, 0.25, 0.35, 0.2, 0.2],
        [0.1, 0.2, 0.3, 0.5, 0.05, 0.25],
        budget=3.0,
        elasticity=Elasticity(-0.4, cross),
        blocks=np.array([0, 0, 1, 1, 2, 2]),
        floor=floor,
        step=step,
        grid=replace(grid, import_kw=max(grid.import_kw, 100.0)),
        weights=WelfareWeights(1.0, 1.5, 1.0, 1.0),
    )
    assert design_tariff(one).welfare_change == pytest.approx(by_slsqp(one), abs=BEST)


def by_slsqp(one: TariffProblem) -> float:
    """The most welfare that sequential quadratic programming finds from several starts."""
    limits, block = one.limits, one.calendar.block

    def figures(prices: Array) -> Any:
        return tariff_figures(one, prices[block])

    def room(prices: Array) -> Array:
        made = figures(prices)
        parts = [
            (limits.incentive_budget - made.incentives_paid),
            one.outlook.pv_kw + np.maximum(limits.grid.import_kw, one.outlook.load_kw) - made.demand_kw,
        ]
        if limits.revenue_floor is not None:
            parts.append(np.array([made.revenue - limits.revenue_floor]))
        if limits.max_step_per_kwh is not None:
            parts.append(limits.max_step_per_kwh - np.abs(np.diff(prices)))
        return np.concatenate(parts)

    best = -np.inf
    for start in np.random.default_rng(3).uniform(0.15, 0.4, (6, one.calendar.blocks)):
        found = minimize(
            lambda prices: -figures(prices).change.weighted(one.weights),
            start,
            bounds=[(limits.low_per_kwh, limits.high_per_kwh)] * one.calendar.blocks,
            constraints={"type": "ineq", "fun": room},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 200},
        )
        if room(found.x).min() > -1e-7:
            best = max(best, -found.fun)
    return best


FLOORS = {"incentive_budget": 85.0, "revenue_floor": 101.5, "price_bounds.high": 85.0, "max_price_step_per_kwh": 85.0}
STEPS = {"incentive_budget": 0.2, "revenue_floor": 0.2, "price_bounds.high": 0.2, "max_price_step_per_kwh": 0.06}


@pytest.mark.parametrize("limit", list(FLOORS))
def test_the_worth_of_a_limit_is_what_one_more_unit_gains(limit: str) -> None:
    one = problem(
        [40, 80, 60, 120],
        0.3,
        [0.1, 0.22, 0.33, 0.6],
        budget=2.0,
        bounds=(0.05, 0.45),
        floor=FLOORS[limit],
        step=STEPS[limit],
    )
    worth = {found.limit: found.value_per_unit for found in design_tariff(one).binding}[limit]
    change, limits = 1e-3, one.limits
    relaxed = {
        "incentive_budget": replace(limits, incentive_budget=limits.incentive_budget + change),
        "revenue_floor": replace(limits, revenue_floor=FLOORS[limit] - change),
        "price_bounds.high": replace(limits, high_per_kwh=0.45 + change),
        "max_price_step_per_kwh": replace(limits, max_step_per_kwh=STEPS[limit] + change),
    }[limit]
    gained = design_tariff(replace(one, limits=relaxed)).welfare_change - design_tariff(one).welfare_change
    assert gained / change == pytest.approx(worth, rel=0.03, abs=1e-3)


# Invariants


two_days = np.array([0, 0, 0, 1, 1, 1])


@settings(max_examples=60)
@given(
    loads, reference_prices, costs, st.lists(st.sampled_from([0.0, 0.01, 1.0, 7.0]), min_size=2, max_size=2),
    st.sampled_from([-0.2, 0.0, 0.15]),
)  # fmt: skip
def test_no_day_ever_overspends_its_budget(
    load: list[float], reference: list[float], cost: list[float], budget: list[float], cross: float
) -> None:
    blocks = np.array([0, 1, 2, 2, 3, 4])  # one price holds over midnight
    one = problem(load, reference, cost, budget=budget, day=two_days, blocks=blocks, elasticity=Elasticity(-0.3, cross))
    figures = design_tariff(one).figures
    discount = np.maximum(np.array(reference) - figures.import_price_per_kwh, 0)
    paid = np.bincount(two_days, weights=discount * figures.demand_kw)
    assert (paid <= np.array(budget) * (1 + 1e-15)).all()
    assert broken_limits(one, figures) == []


def test_a_discount_that_ends_on_one_day_may_make_those_of_another_dearer() -> None:
    prices = np.array([0.15, 0.25, 0.2, 0.25, 0.25])
    reference = [0.25, 0.25, 0.2, 0.3, 0.25, 0.25]
    blocks = np.array([0, 1, 2, 2, 3, 4])  # the third holds over midnight and is a discount after it alone

    def with_budget(budget: Array) -> TariffProblem:
        elasticity = Elasticity(-0.3, 0.15)
        return problem(
            [20] * 6, reference, [0.1] * 6, budget=budget, day=two_days, blocks=blocks, elasticity=elasticity
        )

    spent = incentives_by_day(with_budget(np.full(2, np.inf)), prices[blocks])
    tight = with_budget(spent * [1.0, 0.5])
    raised = within_budget(tight, prices)
    assert (incentives_by_day(tight, raised[blocks]) <= tight.limits.incentive_budget).all()
    assert raised[0] > prices[0]  # demand came over from the hour before midnight


@settings(max_examples=40)
@given(loads, costs, st.floats(0, 20), st.floats(0, 20))
def test_more_budget_never_means_less_welfare(load: list[float], cost: list[float], one: float, more: float) -> None:
    poor, rich = (design_tariff(problem(load, 0.3, cost, budget=budget)) for budget in (one, one + more))
    assert rich.welfare_change >= poor.welfare_change - BEST
    assert poor.welfare_change >= -BEST


@settings(max_examples=40)
@given(loads, reference_prices, costs)
def test_demand_falls_where_its_price_rises(load: list[float], reference: list[float], cost: list[float]) -> None:
    figures = design_tariff(problem(load, reference, cost, budget=4.0)).figures
    risen = figures.import_price_per_kwh - np.array(reference)
    assert (risen * (figures.demand_kw - np.array(load)) <= 1e-12).all()


@settings(max_examples=40)
@given(loads, st.lists(st.floats(0.1, 1), min_size=6, max_size=6), st.floats(-2, 0), st.floats(-3, 3))
def test_slopes_are_symmetric_and_concave_and_say_how_far_they_were_moved(
    load: list[float], price: list[float], own: float, cross: float
) -> None:
    made = demand_response(np.array(load), np.array(price), Elasticity(own, cross), two_days)
    slopes = made.slopes.toarray()
    np.testing.assert_allclose(slopes, slopes.T, atol=1e-9)
    assert np.linalg.eigvalsh(slopes).max() < 1e-9 * max(1.0, float(np.abs(slopes).max()))
    assert (slopes[:3, 3:] == 0).all()
    asked = np.full((3, 3), cross / 2)
    np.fill_diagonal(asked, own)
    wanted = asked * np.array(load)[:3, None] / np.array(price)[None, :3]
    moved = np.linalg.norm(slopes[:3, :3] - wanted) > 1e-6 * np.linalg.norm(wanted)
    assert not moved or made.distortion > 0


def test_welfare_adds_up_and_transfers_cancel() -> None:
    """Incentive, margin and receipts move money around; what is left is the triangle of demand, and carbon."""
    pv, feed_in = np.array([0.0, 30, 60, 10]), np.array([0.1, 0.2, 0.05, 0.3])
    given: dict[str, Any] = {
        "pv": pv,
        "export_price": np.full(4, 0.08),
        "feed_in": feed_in,
        "factor": np.array([0.1, 0.4, 0.2, 0.3]),
        "carbon_price": 0.165,
    }
    one = problem([50, 60, 70, 80], 0.3, [0.1, 0.2, 0.05, 0.4], budget=5.0, **given)
    design = design_tariff(one)
    change, figures = design.figures.change, design.figures
    moved_kw = figures.demand_kw - one.outlook.load_kw
    mean_price = (figures.import_price_per_kwh + 0.3) / 2
    resource = mean_price - one.supply.marginal_cost_per_kwh - 0.165 * one.outlook.emission_factor_kg_per_kwh
    assert design.welfare_change == pytest.approx(float(resource @ moved_kw))
    assert change.pv_receipts == pytest.approx(float((feed_in - 0.08) @ pv))
    parts = change.consumer_surplus + change.pv_receipts + change.operator_margin - change.carbon_damage
    assert parts == pytest.approx(design.welfare_change)


def test_a_transfer_to_pv_owners_changes_no_price_whatever_it_weighs() -> None:
    base = problem([50, 60], 0.3, [0.1, 0.4], budget=5.0, pv=np.array([10.0, 20]))
    dear = replace(base, supply=replace(base.supply, feed_in_price_per_kwh=np.full(2, 0.2)))
    heavy = replace(dear, weights=WelfareWeights(1, 1, 3, 1))
    plain, weighed = design_tariff(base), design_tariff(heavy)
    np.testing.assert_allclose(plain.figures.import_price_per_kwh, weighed.figures.import_price_per_kwh)
    assert weighed.welfare_change == pytest.approx(plain.welfare_change + 2 * 0.2 * 30)
    assert weighed.status == "optimal"


# Corners


def test_without_a_budget_to_spend_no_price_falls() -> None:
    figures = design_tariff(case_2(0)).figures
    assert figures.import_price_per_kwh == pytest.approx([0.30, 0.36], abs=EXACT)
    assert figures.import_price_per_kwh[0] >= 0.30
    assert figures.incentives_paid == [0.0]


def test_prices_that_may_not_differ_are_one_price() -> None:
    prices = design_tariff(problem([100, 200, 50], 0.3, [0.1, 0.36, 0.2], step=0.0)).figures.import_price_per_kwh
    assert (prices == prices[0]).all()
    # the mean of the marginal costs, weighted by the slopes of demand
    assert prices[0] == pytest.approx((100 * 0.1 + 200 * 0.36 + 50 * 0.2) / 350, abs=10 * EXACT)


def test_a_negative_marginal_cost_is_passed_on_down_to_the_bound() -> None:
    design = design_tariff(problem([100, 200], 0.3, [-0.2, 0.3], bounds=(-0.1, 0.5)))
    assert design.figures.import_price_per_kwh == pytest.approx([-0.1, 0.3], abs=10 * EXACT)
    assert "price_bounds.low" in [one.limit for one in design.binding]


@pytest.mark.parametrize("load", [[0.0, 0, 0], [0.0, 100, 0]])
def test_where_nothing_is_used_the_present_price_stays(load: list[float]) -> None:
    design = design_tariff(problem(load, [0.2, 0.3, 0.25], [0.1, 0.3, 0.4], budget=5.0))
    np.testing.assert_allclose(design.figures.import_price_per_kwh, [0.2, 0.3, 0.25], atol=1e-4)
    assert design.figures.incentives_paid == pytest.approx([0.0], abs=1e-4)


def test_demand_that_does_not_answer_leaves_prices_alone() -> None:
    design = design_tariff(problem([50, 60], 0.3, [0.1, 0.4], elasticity=Elasticity(0.0), budget=5.0))
    assert design.figures.import_price_per_kwh == pytest.approx([0.3, 0.3], abs=1e-4)
    assert design.welfare_change == pytest.approx(0.0, abs=EXACT)


def test_the_connection_holds_after_demand_has_answered() -> None:
    one = problem([95, 200], 0.3, [0.1, 0.36], grid=GridLimits(100, 1e6))
    figures = design_tariff(one).figures
    # nobody may add to the 200 kW that pass the limit already; the cheap hour stops at 100 kW
    assert figures.demand_kw[0] == pytest.approx(100, abs=1e-4)
    assert figures.demand_kw[1] <= 200 + 1e-4
    sunny = problem([95, 200], 0.3, [0.5, 0.36], pv=np.array([200.0, 0]), grid=GridLimits(1e6, 106))
    assert design_tariff(sunny).figures.demand_kw[0] == pytest.approx(94, abs=1e-4)


def test_a_reference_that_varies_inside_a_block_is_discounted_interval_by_interval() -> None:
    blocks = np.zeros(2, dtype=np.int64)
    one = problem([100, 100], [0.2, 0.4], [0.1, 0.1], budget=4.0, blocks=blocks)
    figures = design_tariff(one).figures
    price = figures.import_price_per_kwh[0]
    assert (figures.import_price_per_kwh == price).all()
    discounts = np.maximum(np.array([0.2, 0.4]) - price, 0)
    assert figures.incentives_paid[0] == pytest.approx(float(discounts @ figures.demand_kw))
    grid = np.linspace(0.05, 0.5, 4501)
    allowed = [p for p in grid if incentives_by_day(one, np.full(2, p))[0] <= 4.0]
    best = max(tariff_figures(one, np.full(2, p)).change.weighted(one.weights) for p in allowed)
    assert design_tariff(one).welfare_change >= best - BEST


def test_discounts_are_scaled_down_when_the_solver_spends_a_little_too_much() -> None:
    one = case_2(11)
    prices = within_budget(one, np.array([0.2 - 1e-6, 0.36]))
    assert incentives_by_day(one, prices)[0] <= 11
    assert prices == pytest.approx([0.2, 0.36], abs=1e-9)
    untouched = np.array([0.25, 0.36])
    assert within_budget(one, untouched) is untouched
    forced = replace(one, limits=replace(one.limits, high_per_kwh=0.15))
    with pytest.raises(TariffRefused):
        within_budget(forced, np.array([0.1, 0.1]))


# Local days


@pytest.mark.parametrize(("midnight", "hours"), [((3, 28, 23), 23), ((10, 24, 22), 25), ((6, 9, 22), 24)])
def test_a_price_per_local_hour_and_a_budget_per_local_day(midnight: tuple[int, int, int], hours: int) -> None:
    month, day, hour = midnight
    grid = TimeGrid(datetime(2026, month, day, hour, tzinfo=UTC), 4 * hours, 15)
    clock = local_clock(grid, "Europe/Vienna")
    assert np.unique(clock.day).size == 1
    block = blocks_of_hours(tuple(float(h) for h in range(24)), clock)
    sizes = np.bincount(block)
    assert sizes.sum() == 4 * hours
    assert sizes.size == min(hours, 24)
    assert sorted(set(sizes.tolist())) == ([4, 8] if hours == 25 else [4])
    one = problem(
        [50.0] * grid.steps,
        0.3,
        np.where(np.arange(grid.steps) % 8 < 4, 0.1, 0.4),
        budget=6.0,
        blocks=block,
        minutes=15,
    )
    paid = design_tariff(one).figures.incentives_paid
    assert paid[0] <= 6.0
    assert paid == pytest.approx([6.0], abs=1e-4)


def test_before_its_first_hour_a_day_keeps_the_last_price_of_the_day_before() -> None:
    clock = local_clock(TimeGrid(MONDAY, 48, 60), "UTC")
    block = blocks_of_hours((6.0, 22.0), clock)
    assert block.tolist() == [0] * 6 + [1] * 16 + [2] * 8 + [3] * 16 + [4] * 2


@pytest.mark.parametrize("hours", [(), (6.0, 6.0), (8.0, 7.0), (-1.0, 3.0), (0.0, 24.0)])
def test_hours_that_do_not_rise_within_the_day_are_refused(hours: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="rising local hours"):
        blocks_of_hours(hours, local_clock(TimeGrid(MONDAY, 24, 60), "UTC"))


def test_equal_blocks_must_divide_the_horizon() -> None:
    assert equal_blocks(6, 3).tolist() == [0, 0, 1, 1, 2, 2]
    for blocks in (0, 4, 7):
        with pytest.raises(InvalidInput, match="blocks must divide"):
            equal_blocks(6, blocks)


# Refusals


@pytest.mark.parametrize(
    ("change", "limit", "relax_by"),
    [
        # with both prices at the bound: .5 (100 - 20) + .5 (200 - 40) kWh
        ({"floor": 130.0}, "revenue_floor", 10.0),
        # at .25 the discounts of .05 are taken by 105 and 210 kWh
        ({"bounds": (0.05, 0.25), "budget": 1.0}, "incentive_budget", 14.75),
        # prices of at least .4 take 10 kW off 100 kW: 5 less than the connection lets out
        ({"bounds": (0.4, 0.5), "pv": np.array([195.0, 0]), "grid": GridLimits(1e6, 100)}, "grid_export_limit_kw", 5.0),
    ],
)
def test_limits_in_conflict_are_named_with_what_it_takes(change: dict[str, Any], limit: str, relax_by: float) -> None:
    with pytest.raises(Infeasible) as raised:
        design_tariff(problem([100, 200], 0.3, [0.1, 0.36], **change))
    limits = {one["limit"]: one["relax_by"] for one in raised.value.facts["limits"]}
    assert limits[limit] == pytest.approx(relax_by, rel=1e-3)
    assert limit in raised.value.message


def test_a_relaxation_that_is_named_suffices() -> None:
    with pytest.raises(Infeasible) as raised:
        design_tariff(problem([100, 200], 0.3, [0.1, 0.36], floor=130.0))
    needed = {one["limit"]: one["relax_by"] for one in raised.value.facts["limits"]}["revenue_floor"]
    assert design_tariff(problem([100, 200], 0.3, [0.1, 0.36], floor=130.0 - needed - 0.01)).figures.revenue >= 119.9


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (lambda: WelfareWeights(1.0, 0.4), "weights.operator_margin"),
        (lambda: WelfareWeights(-1.0), "weights.consumer_surplus"),
        (lambda: Elasticity(0.1), "elasticity"),
        (lambda: Elasticity(float("nan")), "elasticity"),
        (lambda: Elasticity(-0.1, 11), "elasticity.cross"),
        (lambda: problem([1, 2], 0.3, [0.1, 0.2], bounds=(0.5, 0.1)), "price_bounds"),
        (lambda: problem([1, 2], 0.3, [0.1, 0.2], budget=-1), "incentive_budget"),
        (lambda: problem([1, 2], 0.3, [0.1, float("nan")]), "marginal_cost_per_kwh"),
        (lambda: problem([1, 2], [0.3, 0.0], [0.1, 0.2]), "reference_price_per_kwh"),
        (lambda: problem([1, 2], 0.3, [0.1, 0.2], step=-0.1), "max_price_step_per_kwh"),
        (lambda: problem([1, 2], 0.3, [0.1, 0.2], floor=float("inf")), "revenue_floor"),
    ],
)
def test_what_breaks_a_rule_is_named(wrong: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        wrong()
    assert raised.value.facts["field"] == field


def test_welfare_at_the_edge_of_concavity_still_has_an_answer() -> None:
    one = problem([100, 200], 0.3, [0.1, 0.36], budget=11.0, weights=WelfareWeights(2.0, 1.0))
    design = design_tariff(one)
    assert design.welfare_change == pytest.approx(by_slsqp(one), abs=1e-3)


# Cross elasticities


def test_more_is_promised_by_dearer_hours_and_still_not_overspent() -> None:
    """A bound of |R'dp|^2 / 4 on the cross term would spend less than the budget; convex-concave steps spend it."""
    day = problem([60, 80, 100, 120], 0.3, [0.1, 0.15, 0.4, 0.5], budget=4.0, elasticity=Elasticity(-0.4, 0.2))
    design = design_tariff(day)
    assert 3.99 < design.figures.incentives_paid[0] <= 4.0
    assert (design.status, design.gap <= GAP) == ("optimal", True)


def test_what_is_not_proved_of_cross_elasticities_is_told() -> None:
    """As much energy moves between hours as is spared: dearer hours may drive any amount into cheap ones."""
    day = problem([60, 80, 100, 120], 0.3, [0.1, 0.15, 0.4, 0.5], budget=4.0, elasticity=Elasticity(-0.4, 0.4))
    design = design_tariff(day)
    assert (design.status, GAP < design.gap < 0.1) == ("feasible", True)
    assert any("what incentives cost is not convex" in note for note in design.notes)


def test_energy_that_moves_within_the_day_is_reported() -> None:
    still = demand_response(np.full(4, 50.0), np.full(4, 0.3), Elasticity(-0.3, 0.3), np.zeros(4, dtype=np.int64))
    assert isinstance(still, DemandResponse)
    # what is dearer at one hour is used at the others: the day's energy stays
    assert still.change_kw(np.array([0.1, 0, 0, 0])).sum() == pytest.approx(0, abs=1e-9)


# Who gains and who loses


def test_members_gain_and_lose_as_much_as_their_community() -> None:
    one = problem([100, 200], 0.3, [0.1, 0.36], budget=11.0)
    price = np.array([0.2, 0.36])
    night, evening = np.array([80.0, 20]), np.array([20.0, 180])
    shares = distribute(one, price, np.array([night, evening]))
    figures = tariff_figures(one, price)
    assert shares.surplus_change.sum() == pytest.approx(figures.change.consumer_surplus)
    assert shares.bill_before.sum() == pytest.approx(figures.revenue_before)
    assert shares.bill_after.sum() == pytest.approx(figures.revenue)
    # the night user: 80 -> 88 kWh at ten cents less, 20 -> 18.8 kWh at six more
    assert shares.surplus_change[0] == pytest.approx(84 * 0.10 - 19.4 * 0.06)
    assert (shares.gains, shares.losses) == pytest.approx((7.236, 8.376))
    assert shares.share_better_off == 0.5
    assert shares.deciles is None


def test_deciles_need_ten_members() -> None:
    one = problem([100, 200], 0.3, [0.1, 0.36])
    members = np.outer(np.arange(1, 12), [1.0, 1.0])
    deciles = distribute(one, np.array([0.2, 0.3]), members).deciles
    assert deciles is not None
    assert list(deciles) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert deciles[0.5] == pytest.approx(6 * 1.05 * 0.1)
