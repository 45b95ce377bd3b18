"""Dispatch: the worked cases, an independent solver, shadow prices by difference, and the check itself."""

from dataclasses import replace

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from tests.builders import MONDAY
from tests.cases import case_1, case_4

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import (
    OBJECTIVES,
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Schedule,
    Storage,
    Weights,
)
from digital_twin.optimization.baseline import idle, self_consumption_rule
from digital_twin.optimization.blocks import IDLE_WEIGHT, Shape, build, numbers_of, prices_of
from digital_twin.optimization.check import violations
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.modes import MODE_GAP

COST = OBJECTIVES["minimize_cost"]


def outlook(
    load: list[float], pv: list[float], buy: list[float], sell: list[float] | float = 0.05, minutes: int = 60
) -> Outlook:
    steps = len(load)
    sold = np.broadcast_to(np.asarray(sell, dtype=float), steps).copy()
    return Outlook(
        TimeGrid(MONDAY, steps, minutes),
        np.array(load, float),
        np.array(pv, float),
        np.array(buy, float),
        sold,
        np.full(steps, 0.2),
    )


def battery(
    capacity: float = 10, power: float = 5, initial: float = 5, final: float = 0, wear: float = 0, eta: float = 0.9
) -> Storage:
    return Storage(capacity, power, eta, eta, initial, final, wear)


WIDE = GridLimits(1000, 1000)


# The worked cases


def test_case_1_has_its_only_optimum() -> None:
    plan = plan_dispatch(case_1(), COST)
    np.testing.assert_allclose(plan.charge_kw, [40, 40, 0, 0], atol=1e-6)
    np.testing.assert_allclose(plan.discharge_kw, [0, 0, 40, 17.6], atol=1e-6)
    np.testing.assert_allclose(plan.soc_kwh, [38, 56, 31, 20], atol=1e-6)
    np.testing.assert_allclose(plan.import_kw, [0, 40, 20, 72.4], atol=1e-6)
    np.testing.assert_allclose(plan.export_kw, [20, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(plan.curtailed_kw, 0, atol=1e-6)
    assert plan.cost == pytest.approx(18.36)
    assert plan.emissions_kg == pytest.approx(16.24)
    assert plan.self_consumption == pytest.approx(0.833333, abs=1e-6)
    assert plan.self_sufficiency == pytest.approx(0.369524, abs=1e-6)
    [power] = [one for one in plan.binding if one.limit == "max_storage_power_kw"]
    assert power.value_per_unit == pytest.approx(0.141)


def test_case_1_is_compared_with_what_would_happen_without_a_plan() -> None:
    resting, rule = idle(case_1()), self_consumption_rule(case_1(), reserve_kwh=20)
    assert (resting.cost, resting.emissions_kg) == pytest.approx((24.75, 21))
    assert rule.cost == pytest.approx(19.24)
    assert violations(case_1(), rule) == []


@pytest.mark.parametrize(("steps", "optimum"), [(96, 1006.3345), (24, 1006.4172)])
def test_case_4_is_the_peers_day(steps: int, optimum: float) -> None:
    plan = plan_dispatch(case_4(steps), COST)
    assert plan.cost == pytest.approx(optimum, abs=1e-3)
    assert plan.gap == 0


def test_case_4_without_a_battery() -> None:
    problem = case_4(96)
    bare = replace(problem, storage=Storage(0, 0, 0.95, 0.95, 0, 0), limits=WIDE)
    assert plan_dispatch(bare, COST).cost == pytest.approx(1181.33, abs=0.01)


# Against an independent solver

prices = st.lists(st.floats(0.05, 0.6), min_size=8, max_size=8)
powers = st.lists(st.floats(0, 20), min_size=8, max_size=8)


def by_linprog(problem: DispatchProblem) -> float:
    """The least cost by scipy, the model written out by hand: x = charge, discharge, import, export, curtailed."""
    view, store, limits = problem.outlook, problem.storage, problem.limits
    steps, hours = view.grid.steps, view.grid.step_hours
    eye, zero = np.eye(steps), np.zeros((steps, steps))
    cost = hours * np.concatenate(
        [np.full(2 * steps, store.wear_per_kwh), view.import_price_per_kwh, -view.export_price_per_kwh, np.zeros(steps)]
    )
    balance = np.hstack([-eye, eye, eye, -eye, -eye])
    lower = np.tril(np.ones((steps, steps)))
    stored = hours * np.hstack([store.charge_efficiency * lower, -lower / store.discharge_efficiency, zero, zero, zero])
    upper = np.full(steps, store.capacity_kwh - store.initial_kwh)
    least = np.full(steps, -store.initial_kwh)
    least[-1] = store.final_min_kwh - store.initial_kwh
    bounds = [(0, store.power_kw)] * (2 * steps) + [(0, limits.import_kw)] * steps + [(0, limits.export_kw)] * steps
    bounds += [(0, available) for available in view.pv_kw]
    found = linprog(
        cost,
        np.vstack([stored, -stored]),
        np.concatenate([upper, -least]),
        balance,
        view.load_kw - view.pv_kw,
        bounds,
    )
    assert found.status == 0, found.message
    return float(found.fun)


@settings(max_examples=60)
@given(powers, powers, prices, st.floats(0, 10), st.sampled_from([0.0, 0.02]))
def test_the_plan_costs_what_another_solver_finds(
    load: list[float], pv: list[float], buy: list[float], initial: float, wear: float
) -> None:
    problem = DispatchProblem(
        outlook(load, pv, buy, 0.04), battery(initial=initial, final=initial / 2, wear=wear), GridLimits(30, 12)
    )
    plan = plan_dispatch(problem, COST)
    assert plan.cost == pytest.approx(by_linprog(problem), abs=1e-6)
    assert violations(problem, plan) == []
    # HiGHS keeps its constraints to 1e-7
    assert plan.cost <= idle(problem).cost + 1e-6


@settings(max_examples=25)
@given(powers, powers, st.lists(st.floats(-0.3, 0.5), min_size=8, max_size=8))
def test_at_negative_prices_a_plan_neither_burns_energy_nor_trades_in_circles(
    load: list[float], pv: list[float], buy: list[float]
) -> None:
    problem = DispatchProblem(outlook(load, pv, buy, 0.04), battery(), GridLimits(40, 20))
    plan = plan_dispatch(problem, COST)
    assert violations(problem, plan) == []
    assert np.minimum(plan.import_kw, plan.export_kw).max() < 1e-5
    # the relaxation may burn: it is a lower bound
    assert plan.cost >= by_linprog(problem) - 1e-6


def test_a_negative_price_that_pays_for_burning_is_planned_with_one_direction_at_a_time() -> None:
    problem = DispatchProblem(
        outlook([1, 1], [0, 0], [-1.0, 0.3], 0.0), battery(initial=10, final=10, eta=0.8), GridLimits(20, 20)
    )
    plan = plan_dispatch(problem, COST)
    assert plan.solver.startswith("HiGHS MIP")
    assert np.minimum(plan.charge_kw, plan.discharge_kw).max() < 1e-5
    assert by_linprog(problem) < plan.cost - 1e-3


# Objectives


def test_every_objective_is_best_at_what_it_is_for() -> None:
    problem = case_1()
    plans = {name: plan_dispatch(problem, weights) for name, weights in OBJECTIVES.items()}
    for name, weights in OBJECTIVES.items():
        own = plans[name].objective_value
        for other in plans.values():
            assert own <= value_of(problem, weights, other) + 1e-6, name
    assert plans["minimize_peak"].peak_kw == min(plan.peak_kw for plan in plans.values())
    assert plans["minimize_cost"].cost == min(plan.cost for plan in plans.values())


def value_of(problem: DispatchProblem, weights: Weights, plan: Schedule) -> float:
    view, hours = problem.outlook, problem.outlook.grid.step_hours
    net = plan.import_kw - plan.export_kw
    return float(
        weights.cost * plan.cost
        + weights.emissions * hours * (view.emission_factor_kg_per_kwh @ net)
        + weights.peak * plan.peak_kw
        + weights.exported * hours * (plan.export_kw + plan.curtailed_kw).sum()
    )


def test_ties_go_to_the_cheapest_plan() -> None:
    """Any plan that keeps the peak of the last hour is best for the peak; only one of them is cheapest."""
    problem = DispatchProblem(
        outlook([2, 2, 9], [0, 0, 0], [0.1, 0.5, 0.2]), battery(initial=4, final=4, eta=1.0, power=4), WIDE
    )
    plan = plan_dispatch(problem, OBJECTIVES["minimize_peak"])
    best_peak = plan.peak_kw
    assert best_peak == pytest.approx(5.0)
    cheapest = plan_dispatch(replace(problem, limits=GridLimits(best_peak, 1000)), COST)
    assert plan.cost == pytest.approx(cheapest.cost, abs=1e-6)


def test_idle_devices_stay_idle_when_nothing_is_gained() -> None:
    flat = DispatchProblem(outlook([5, 5, 5], [0, 0, 0], [0.3, 0.3, 0.3]), battery(eta=1.0, initial=5, final=5), WIDE)
    plan = plan_dispatch(flat, COST)
    assert plan.charge_kw.max() == plan.discharge_kw.max() == plan.curtailed_kw.max() == 0


def test_a_peak_that_is_paid_already_costs_nothing_more() -> None:
    view = outlook([5, 20, 5], [0, 0, 0], [0.2, 0.2, 0.2])
    store = battery(eta=1.0, initial=5, final=0, power=5)
    paid = DispatchProblem(view, store, WIDE, PeakCharge(10, so_far_kw=18))
    unpaid = DispatchProblem(view, store, WIDE, PeakCharge(10))
    assert plan_dispatch(paid, COST).peak_kw <= 18
    assert plan_dispatch(unpaid, COST).peak_kw == pytest.approx(15)
    assert plan_dispatch(unpaid, COST).cost == pytest.approx(5 * 0.2 * 5 + 10 * 15)
    assert plan_dispatch(paid, COST).cost == pytest.approx(5 * 0.2 * 5)


# Limits and their worth


@pytest.mark.parametrize(
    "limit",
    [
        "grid_import_limit_kw",
        "grid_export_limit_kw",
        "max_storage_power_kw",
        "total_storage_capacity_kwh",
        "final_soc_min_kwh",
    ],
)
def test_the_worth_of_a_limit_is_what_one_more_unit_saves(limit: str) -> None:
    problem = DispatchProblem(
        outlook([2.1, 14, 3.4, 18], [16.3, 0, 12.7, 0], [0.2, 0.5, 0.25, 0.45], 0.1),
        battery(capacity=12, power=6, initial=6, final=8),
        GridLimits(14.5, 3),
        curtailable=True,
    )
    worth = sum(one.value_per_unit for one in plan_dispatch(problem, COST).binding if one.limit == limit)
    step = 1e-4
    store, limits = problem.storage, problem.limits
    relaxed = {
        "grid_import_limit_kw": replace(problem, limits=replace(limits, import_kw=limits.import_kw + step)),
        "grid_export_limit_kw": replace(problem, limits=replace(limits, export_kw=limits.export_kw + step)),
        "max_storage_power_kw": replace(problem, storage=replace(store, power_kw=store.power_kw + step)),
        "total_storage_capacity_kwh": replace(problem, storage=replace(store, capacity_kwh=store.capacity_kwh + step)),
        "final_soc_min_kwh": replace(problem, storage=replace(store, final_min_kwh=store.final_min_kwh - step)),
    }[limit]
    saved = (plan_dispatch(problem, COST).cost - plan_dispatch(relaxed, COST).cost) / step
    assert worth == pytest.approx(saved, abs=1e-5)


def test_what_a_direction_forbids_is_no_limit_of_the_connection() -> None:
    """At negative prices nothing is exported, as importing pays: the limit of export is not touched."""
    outlook = replace(case_1().outlook, import_price_per_kwh=np.full(4, -0.1))
    plan = plan_dispatch(replace(case_1(), outlook=outlook), COST)
    assert plan.export_kw.max() == pytest.approx(0, abs=1e-6)
    assert "grid_export_limit_kw" not in [one.limit for one in plan.binding]


def test_a_reserve_that_binds_at_the_end_is_called_so() -> None:
    problem = replace(case_1(), storage=replace(case_1().storage, reserve_kwh=30.0))
    limits = [one.limit for one in plan_dispatch(problem, COST).binding]
    assert "storage_reserve_kwh" in limits
    assert "final_soc_min_kwh" not in limits


def test_an_infeasible_day_names_each_limit_that_would_help_and_how_much() -> None:
    problem = DispatchProblem(
        outlook([10, 30, 10], [0, 0, 0], [0.2] * 3), battery(eta=1.0, initial=5, final=5, power=5), GridLimits(20, 20)
    )
    with pytest.raises(Infeasible) as caught:
        plan_dispatch(problem, COST)
    [limit] = caught.value.facts["limits"]
    assert limit == {"limit": "grid_import_limit_kw", "relax_by": pytest.approx(5.0), "unit": "kW", "alone": True}
    assert "5 kW more of grid_import_limit_kw (20 -> 25)" in caught.value.message
    relaxed = replace(problem, limits=GridLimits(20 + limit["relax_by"], 20))
    assert violations(relaxed, plan_dispatch(relaxed, COST)) == []


def test_limits_that_are_only_too_tight_together_are_named_together() -> None:
    problem = DispatchProblem(
        outlook([30, 0], [0, 30], [0.2, 0.2]), Storage(0, 0, 1, 1, 0, 0), GridLimits(20, 20), curtailable=False
    )
    with pytest.raises(Infeasible, match="and") as caught:
        plan_dispatch(problem, COST)
    assert {one["limit"]: one["relax_by"] for one in caught.value.facts["limits"]} == {
        "grid_import_limit_kw": pytest.approx(10),
        "grid_export_limit_kw": pytest.approx(10),
    }


def test_too_much_sun_is_curtailed_where_it_may_be() -> None:
    problem = DispatchProblem(outlook([0, 0], [50, 0], [0.2, 0.2]), battery(), GridLimits(20, 20))
    assert plan_dispatch(problem, COST).curtailed_kw[0] == pytest.approx(50 - 20 - (5 / 0.9 - 5) / 0.9)
    with pytest.raises(Infeasible, match="grid_export_limit_kw"):
        plan_dispatch(replace(problem, curtailable=False), COST)


# Sharing

REGISTERS_IN = np.array([[0, 0, 2, 4], [3, 5, 6, 8], [1, 1, 1, 1]], dtype=float)
REGISTERS_OUT = np.array([[9, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=float)


def shared_problem(rule: SharingRule, gain: float = 0.14) -> DispatchProblem:
    load, pv = REGISTERS_IN.sum(0), REGISTERS_OUT.sum(0)
    exchange = MemberExchange(REGISTERS_IN, REGISTERS_OUT, np.full(4, gain), rule, 60, np.array([0.0, 0.6, 0.4]))
    view = outlook(load.tolist(), pv.tolist(), [0.30, 0.30, 0.30, 0.40], 0.06)
    return DispatchProblem(view, battery(), WIDE, exchange=exchange, curtailable=False)


@pytest.mark.parametrize("rule", [rule for rule in SharingRule if rule is not SharingRule.SINGLE_METER])
def test_under_every_sharing_rule_the_plan_is_at_least_as_good_as_resting(rule: SharingRule) -> None:
    problem = shared_problem(rule)
    plan = plan_dispatch(problem, COST)
    assert violations(problem, plan) == []
    assert plan.cost <= idle(problem).cost + 1e-9
    # what the solver thought it pays is what the allocation of the rule makes it pay
    assert plan.objective_value == pytest.approx(plan.cost)


def test_the_storage_of_a_sharing_community_serves_its_members_through_their_meters() -> None:
    alone, together = (plan_dispatch(shared_problem(rule), COST) for rule in (SharingRule.NONE, SharingRule.DYNAMIC))
    # sold to the grid a stored kWh earns 0.06; shared it saves 0.20
    assert alone.discharge_kw.sum() <= together.discharge_kw.sum()
    assert together.shared_kwh is not None
    assert together.shared_kwh.sum() > 0
    assert together.cost < alone.cost


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("rule", [SharingRule.DYNAMIC, SharingRule.STATIC, SharingRule.HYBRID])
def test_the_gap_is_nothing_where_the_books_agree_with_the_solver(rule: SharingRule, objective: str) -> None:
    plan = plan_dispatch(shared_problem(rule), OBJECTIVES[objective])
    assert plan.status == "optimal"
    assert plan.gap <= MODE_GAP


@pytest.mark.parametrize("rule", [SharingRule.DYNAMIC, SharingRule.STATIC, SharingRule.HYBRID])
def test_where_sharing_costs_the_gap_says_what_the_plan_may_miss(rule: SharingRule) -> None:
    problem = shared_problem(rule, gain=-0.1)
    plan = plan_dispatch(problem, COST)
    assert plan.status == "feasible"
    assert "sharing costs more than it saves" in plan.notes[0]
    # the solver believed that nothing need be shared; the rule shares all the same
    unshared = plan_dispatch(shared_problem(rule, gain=0.0), COST).cost
    assert unshared <= plan.cost <= unshared + plan.gap * max(1.0, unshared) + 1e-6


def test_a_gain_above_the_spread_is_noted_because_it_pays_for_circles() -> None:
    problem = shared_problem(SharingRule.DYNAMIC, gain=0.30)
    plan = plan_dispatch(problem, COST)
    assert "circular trade" in plan.notes[0]
    assert np.minimum(plan.charge_kw, plan.discharge_kw).max() < 1e-5


# The check, the compiled model and refused input


def test_the_check_finds_every_tampering() -> None:
    problem = case_1()
    plan = plan_dispatch(problem, COST)
    bump = np.array([0.0, 0.0, 0.0, 1.0])
    tampered = {
        "the energy balance": replace(plan, import_kw=plan.import_kw + bump),
        "the state of charge": replace(plan, soc_kwh=plan.soc_kwh + bump),
        "the storage power": replace(plan, charge_kw=plan.charge_kw + 10),
        "the storage capacity": replace(plan, soc_kwh=plan.soc_kwh + 60),
        "the final energy": replace(plan, soc_kwh=plan.soc_kwh - bump),
        "the available generation": replace(plan, curtailed_kw=plan.curtailed_kw + bump),
        "charging while discharging": replace(plan, charge_kw=plan.charge_kw + bump),
        "grid_import_limit_kw": replace(plan, import_kw=plan.import_kw + 100 * bump),
        "grid_export_limit_kw": replace(plan, export_kw=plan.export_kw + 150 * bump),
        "finite numbers": replace(plan, objective_value=float("nan")),
    }
    for fault, broken in tampered.items():
        assert fault in violations(problem, broken), fault
    curtailed = replace(plan, curtailed_kw=np.array([1.0, 0, 0, 0]))
    assert "curtailment where there is none" in violations(replace(problem, curtailable=False), curtailed)
    assert violations(problem, plan) == []


def test_a_plan_is_found_where_others_run_the_solver_on_more_threads() -> None:
    """HiGHS shares its threads over the process and refuses another number of them once they run."""
    others = highspy.Highs()
    others.setOptionValue("output_flag", False)
    others.setOptionValue("threads", 2)
    others.addVar(1.0, 2.0)
    highspy.Highs.resetGlobalScheduler(True)
    assert others.run() == highspy.HighsStatus.kOk
    assert plan_dispatch(case_1(), COST).cost == pytest.approx(18.36)


class NeverSure(CompiledModel):
    """Goes through every stage, whether or not the stages so far leave one plan only."""

    def _is_only_optimum(self, *_: object) -> bool:
        return False


@given(seed=st.integers(0, 10_000), objective=st.sampled_from(["minimize_cost", "minimize_peak", "minimize_emissions"]))
@settings(max_examples=60)
def test_stages_are_skipped_only_where_they_change_nothing(seed: int, objective: str) -> None:
    """Two prices and few powers make ties; the skipping model must use the devices as little as the thorough one."""
    generator = np.random.default_rng(seed)
    load, pv = generator.choice([0.0, 20, 40], (2, 6))
    price = generator.choice([0.2, 0.3], 6)
    outlook = Outlook(TimeGrid(MONDAY, 6, 60), load, pv, price, np.full(6, 0.05), generator.choice([0.1, 0.2], 6))
    problem = DispatchProblem(outlook, Storage(60, 20, 0.9, 0.9, 20, 20), GridLimits(100, 100))
    shape, weights = Shape.of(problem, OBJECTIVES[objective]), OBJECTIVES[objective]
    stages = [prices_of(problem, one) for one in (weights, COST, IDLE_WEIGHT)]
    quick, thorough = (
        made(build(shape)).solve(numbers_of(problem), stages, time_limit_s=10) for made in (CompiledModel, NeverSure)
    )
    for priced in stages:
        worth = [sum(priced[name] @ one.values[name] for name in priced) for one in (quick, thorough)]
        assert worth[0] == pytest.approx(worth[1], abs=1e-7)


@given(st.lists(st.sampled_from(["one", "two", "three", "infeasible", "other shape"]), min_size=2, max_size=8))
@settings(max_examples=15)
def test_a_model_that_is_used_again_remembers_nothing(order: list[str]) -> None:
    cases = {
        "one": (case_1(), COST, 18.36),
        "two": (replace(case_1(), limits=GridLimits(80, 5)), COST, None),
        "three": (case_1(), OBJECTIVES["minimize_peak"], None),
        "infeasible": (replace(case_1(), limits=GridLimits(10, 5)), COST, None),
        "other shape": (case_4(24), COST, 1006.4172),
    }
    seen: dict[str, float] = {}
    for name in order:
        problem, weights, expected = cases[name]
        if name == "infeasible":
            with pytest.raises(Infeasible):
                plan_dispatch(problem, weights)
            continue
        cost = plan_dispatch(problem, weights).cost
        assert cost == pytest.approx(seen.setdefault(name, cost), abs=1e-9)
        if expected is not None:
            assert cost == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: outlook([1, float("nan")], [0, 0], [0.1, 0.1]),
        lambda: outlook([1, -1], [0, 0], [0.1, 0.1]),
        lambda: outlook([1, 1], [0, 0], [0.1, float("inf")]),
        lambda: outlook([1, 1], [0], [0.1, 0.1]),
        lambda: battery(initial=11),
        lambda: battery(final=-1),
        lambda: battery(power=float("inf")),
        lambda: battery(eta=0),
        lambda: GridLimits(-1, 5),
        lambda: shared_problem(SharingRule.SINGLE_METER),
        lambda: Weights(),
        lambda: Weights(cost=-1),
        lambda: Weights(cost=float("nan")),
        lambda: replace(shared_problem(SharingRule.DYNAMIC), outlook=outlook([1] * 3, [0] * 3, [0.1] * 3)),
    ],
)
def test_a_question_without_an_answer_cannot_be_asked(make: object) -> None:
    with pytest.raises(InvalidInput):
        make()  # type: ignore[operator]
