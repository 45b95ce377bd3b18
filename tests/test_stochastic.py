"""Planning under risk: against the extensive form by HiGHS, by hand, and what must hold of any such plan."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY
from tests.cases import case_1, case_4

from digital_twin.domain.errors import Infeasible, InvalidInput, Unavailable
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization import (
    OBJECTIVES,
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Storage,
)
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.stochastic import interior_point as interior
from digital_twin.optimization.stochastic.bound import lower_bound
from digital_twin.optimization.stochastic.check import scenario_violations
from digital_twin.optimization.stochastic.dispatch import GAP, plan_under_risk
from digital_twin.optimization.stochastic.extensive import Prepared
from digital_twin.optimization.stochastic.newton import condense, factored, solve
from digital_twin.optimization.stochastic.plan import Risk, Scenarios, StochasticProblem, StochasticSchedule
from digital_twin.optimization.stochastic.program import Program
from digital_twin.optimization.stochastic.reach import reach_of
from digital_twin.optimization.stochastic.recourse import cvar_of, kinks_of, outcomes_of
from digital_twin.optimization.stochastic.rows import times, transposed

RELATIVE = 2e-6
"""Twice what a plan is certified to: both solvers stop short of the optimum."""


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """On a machine with much to do compiling takes longer than planning may."""
    plan_under_risk(coin(), time_limit_s=600)


def expected(
    load: Array, pv: Array, buy: Array, sell: Array | float = 0.05, storage: Storage | None = None, minutes: int = 60
) -> DispatchProblem:
    steps = load.size
    grid = TimeGrid(MONDAY, steps, minutes)
    outlook = Outlook(grid, load, pv, buy, np.broadcast_to(sell, steps).astype(float), np.full(steps, 0.2))
    return DispatchProblem(outlook, storage or Storage(10, 5, 0.9, 0.9, 5, 5), GridLimits(1000, 1000))


def around(problem: DispatchProblem, count: int, seed: int = 0, **risk: float) -> StochasticProblem:
    """Scenarios whose load and generation scatter around the expected course."""
    generator = np.random.default_rng(seed)
    outlook = problem.outlook
    shape = (count, outlook.grid.steps)
    load_kw = outlook.load_kw * generator.lognormal(0, 0.25, shape)
    pv_kw = outlook.pv_kw * generator.uniform(0, 1.6, (count, 1)) * generator.uniform(0.7, 1, shape)
    return StochasticProblem(problem, Scenarios(load_kw, pv_kw), Risk(**risk))


def any_problem(seed: int) -> StochasticProblem:
    """Anything from one interval and one scenario on: tight limits, flat prices, storages that are full or tiny."""
    generator = np.random.default_rng(seed)

    def one_of(*choices: float) -> float:
        return float(choices[generator.integers(len(choices))])

    steps, count = int(one_of(1, 2, 4, 12, 24)), int(one_of(1, 2, 8, 20))
    load, pv = generator.uniform(0, 20, steps) * one_of(1, 0, 10), generator.uniform(0, 30, steps) * one_of(1, 1, 0, 10)
    buy = np.full(steps, 0.3) if one_of(0, 0, 1) else generator.uniform(0.1, 0.5, steps)
    sell = generator.uniform(0, 0.1, steps) * one_of(0, 1)
    capacity = one_of(10, 100, 1e-3, 0)
    initial = capacity * one_of(0, 0.3, 1)
    efficiency = one_of(0.5, 0.9, 1)
    storage = Storage(
        capacity, one_of(5, 20, 1e-3, 0), efficiency, one_of(efficiency, 0.8), initial, initial * one_of(0, 1),
        one_of(0, 0.02), initial * one_of(0, 0.5), one_of(0, 0.2),
    )  # fmt: skip
    beyond = (None, None, 0.5, 0.05)[generator.integers(4)]
    limits = GridLimits(one_of(1e4, 60, 25), one_of(1e4, 30, 10, 0), beyond)
    peak = PeakCharge(one_of(0.5, 5, 0), one_of(0, 10)) if one_of(0, 1) else None
    base = replace(
        expected(load, pv, buy, sell, storage, minutes=int(one_of(15, 60))), limits=limits, peak=peak,
        curtailable=bool(one_of(0, 1, 1)),
    )  # fmt: skip
    problem = around(base, count, seed, cvar_weight=one_of(0, 0.2, 0.5, 1), confidence=one_of(0, 0.5, 0.9, 0.99))
    if one_of(0, 1):
        given = generator.uniform(0.1, 2, count)
        shape = (count, steps)
        prices = np.maximum(buy * generator.lognormal(0, 0.2, shape), sell)
        problem = replace(problem, scenarios=replace(problem.scenarios, weights=given, import_price_per_kwh=prices))
    return problem


def by_highs(problem: StochasticProblem) -> tuple[float, bool]:
    """The optimum of the extensive form, and whether its storage moves one way at a time, as a storage must."""
    reach, _ = reach_of(problem)
    assert reach is not None
    found = Prepared.of(problem, reach).solve(time_limit_s=600)
    assert found is not None
    return found.objective, bool(np.minimum(found.charge_kw, found.discharge_kw).max() < 1e-6)


# Against the extensive form


@pytest.mark.parametrize("first", range(0, 240, 40))
def test_no_plan_is_worse_than_what_another_solver_finds(first: int) -> None:
    compared = 0
    for seed in range(first, first + 40):
        problem = any_problem(seed)
        try:
            plan = plan_under_risk(problem)
        except Infeasible:
            assert reach_of(problem)[0] is None
            continue
        optimum, is_plan = by_highs(problem)
        tolerance = RELATIVE * max(1.0, abs(optimum))
        bound = plan.figures.objective_value - plan.schedule.gap * max(1.0, abs(plan.figures.objective_value))
        assert plan.figures.objective_value >= optimum - tolerance, seed
        if is_plan:
            assert plan.figures.objective_value == pytest.approx(optimum, abs=tolerance), seed
            assert plan.schedule.status == "optimal", seed
        elif plan.schedule.status == "feasible":  # burning energy would pay: the bound is that of the linear program
            assert bound <= optimum + tolerance, seed
        compared += 1
    assert compared > 20


@pytest.mark.parametrize(("count", "seed"), [(5, 0), (30, 1), (30, 2)])
def test_a_day_of_scenarios_is_planned_to_the_optimum(count: int, seed: int) -> None:
    problem = around(replace(case_4(96), peak=PeakCharge(2.0, 300.0)), count, seed)
    plan = plan_under_risk(problem)
    assert plan.schedule.status == "optimal"
    assert plan.schedule.solver == "interior point"
    assert plan.figures.objective_value == pytest.approx(by_highs(problem)[0], rel=RELATIVE)


def test_hundreds_of_scenarios_are_certified() -> None:
    plan = plan_under_risk(around(case_4(96), 400))
    assert plan.schedule.gap <= GAP
    assert plan.schedule.solver == "interior point"


def test_where_the_steps_fail_another_solver_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = around(case_4(24), 10)
    optimum = plan_under_risk(problem).figures.objective_value
    monkeypatch.setattr(interior, "MOST_STEPS", 3)
    plan = plan_under_risk(problem)
    assert plan.schedule.solver == "HiGHS"
    assert plan.figures.objective_value == pytest.approx(optimum, rel=RELATIVE)


# What must hold of any plan


@pytest.mark.parametrize("peak", [PeakCharge(0.0), PeakCharge(5.0, 1000.0)])
def test_a_peak_that_costs_nothing_more_changes_nothing(peak: PeakCharge) -> None:
    """Where importing earns, generation is curtailed for its sake as without a charge on the peak."""
    outlook = replace(case_4(24).outlook, import_price_per_kwh=np.full(24, -0.2))
    free = replace(case_4(24), outlook=outlook, curtailable=True)
    without, charged = (plan_under_risk(around(one, 5, 1)) for one in (free, replace(free, peak=peak)))
    assert charged.figures.objective_value == pytest.approx(without.figures.objective_value, rel=1e-6)


def test_a_peak_that_might_be_worth_its_price_is_not_called_optimal() -> None:
    """Curtailing to import more than the peak so far is not tried: the gap says how much that might be worth."""
    outlook = replace(case_4(24).outlook, import_price_per_kwh=np.full(24, -0.2))
    problem = around(replace(case_4(24), outlook=outlook, curtailable=True, peak=PeakCharge(0.01)), 5, 1)
    plan = plan_under_risk(problem)
    free = plan_under_risk(replace(problem, expected=replace(problem.expected, peak=None)))
    assert plan.schedule.status == "feasible"
    assert plan.figures.objective_value > free.figures.objective_value
    assert plan.schedule.gap > 0


@pytest.mark.parametrize("problem", [case_1(), case_4(24), case_4(96), replace(case_4(24), peak=PeakCharge(5.0))])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_one_scenario_alone_is_planned_like_a_certain_course(problem: DispatchProblem, weight: float) -> None:
    outlook = problem.outlook
    only = StochasticProblem(problem, Scenarios(outlook.load_kw[None], outlook.pv_kw[None]), Risk(weight))
    plan, certain = plan_under_risk(only), plan_dispatch(problem, OBJECTIVES["minimize_cost"])
    assert plan.schedule.cost == pytest.approx(certain.cost, rel=RELATIVE)
    assert plan.figures.expected_cost == pytest.approx(plan.schedule.cost, rel=1e-9)
    assert plan.figures.cvar == pytest.approx(plan.figures.expected_cost, rel=1e-12)
    assert plan.value_of_stochastic_solution == pytest.approx(0, abs=1e-3)


def test_case_1_has_its_only_optimum_under_risk_too() -> None:
    problem = case_1()
    outlook = problem.outlook
    plan = plan_under_risk(StochasticProblem(problem, Scenarios(outlook.load_kw[None], outlook.pv_kw[None]), Risk()))
    np.testing.assert_allclose(plan.schedule.charge_kw, [40, 40, 0, 0], atol=1e-4)
    np.testing.assert_allclose(plan.schedule.discharge_kw, [0, 0, 40, 17.6], atol=1e-4)
    assert plan.figures.expected_cost == pytest.approx(18.36)


@pytest.mark.parametrize("seed", range(4))
def test_more_weight_on_the_worst_costs_more_on_average_and_less_at_worst(seed: int) -> None:
    base = replace(case_4(24), peak=PeakCharge(3.0, 200.0))
    plans = [plan_under_risk(around(base, 12, seed, cvar_weight=weight)) for weight in (0.0, 0.25, 0.5, 0.75, 1.0)]
    means = np.array([plan.figures.expected_cost for plan in plans])
    worst = np.array([plan.figures.cvar for plan in plans])
    tolerance = RELATIVE * means.max() / 0.25  # an error of the objective, told apart by weights a quarter apart
    assert (np.diff(means) >= -tolerance).all()
    assert (np.diff(worst) <= tolerance).all()
    assert worst[0] - worst[-1] > tolerance  # or the comparison would be empty


def test_without_weight_on_the_worst_the_mean_is_what_counts() -> None:
    plan = plan_under_risk(around(case_4(24), 15, cvar_weight=0.0))
    assert plan.figures.objective_value == pytest.approx(plan.outcomes.cost.mean())
    assert plan.figures.expected_cost == pytest.approx(plan.outcomes.cost.mean())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=4, max_size=4), st.integers(0, 1000))
def test_a_scenario_that_stands_there_twice_counts_as_one_of_twice_the_weight(counts: list[int], seed: int) -> None:
    few = around(case_4(24), 4, seed, confidence=0.6)
    weighted = replace(few, scenarios=replace(few.scenarios, weights=np.array(counts, dtype=float)))
    rows = np.repeat(np.arange(4), counts)
    many = replace(few, scenarios=Scenarios(few.scenarios.load_kw[rows], few.scenarios.pv_kw[rows]))
    one, other = plan_under_risk(weighted).figures, plan_under_risk(many).figures
    assert one.objective_value == pytest.approx(other.objective_value, rel=RELATIVE)


def test_the_order_of_scenarios_does_not_matter() -> None:
    problem = around(case_4(24), 20)
    order = np.random.default_rng(3).permutation(20)
    scenarios = Scenarios(problem.scenarios.load_kw[order], problem.scenarios.pv_kw[order])
    one, other = plan_under_risk(problem), plan_under_risk(replace(problem, scenarios=scenarios))
    assert one.figures.objective_value == pytest.approx(other.figures.objective_value, rel=RELATIVE)
    np.testing.assert_allclose(one.outcomes.cost[order], other.outcomes.cost, rtol=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_planning_for_scenarios_is_never_worse_than_planning_for_the_mean(seed: int) -> None:
    problem = around(replace(case_4(24), peak=PeakCharge(5.0, 300.0)), 20, seed, cvar_weight=0.8)
    plan = plan_under_risk(problem)
    assert plan.value_of_stochastic_solution is not None
    assert plan.value_of_stochastic_solution > 0
    certain = plan_dispatch(problem.expected, OBJECTIVES["minimize_cost"])
    outcomes = outcomes_of(problem, certain.discharge_kw - certain.charge_kw, 0.0)
    mean, worst = outcomes.cost.mean(), cvar_of(outcomes.cost, np.full(20, 0.05), 0.9)
    assert 0.2 * mean + 0.8 * worst > plan.figures.objective_value


def test_the_same_question_has_the_same_answer() -> None:
    one, other = plan_under_risk(around(case_4(24), 10)), plan_under_risk(around(case_4(24), 10))
    np.testing.assert_array_equal(one.schedule.charge_kw, other.schedule.charge_kw)


# By hand


def coin(beyond: float | None = None, import_kw: float = 100.0) -> StochasticProblem:
    """Two hours, the second of which brings a load of 10 or of 30 kW; a full battery of 10 kWh without losses."""
    base = expected(np.array([10.0, 20.0]), np.zeros(2), np.array([0.3, 0.3]), 0.0, Storage(10, 10, 1, 1, 10, 0))
    base = replace(base, limits=GridLimits(import_kw, 100, beyond))
    scenarios = Scenarios(np.array([[10.0, 10.0], [10.0, 30.0]]), np.zeros((2, 2)), np.array([3.0, 1.0]))
    return StochasticProblem(base, scenarios, Risk(0.5, 0.75))


def test_the_figures_of_two_scenarios_can_be_checked_by_hand() -> None:
    figures = plan_under_risk(coin()).figures
    assert figures.expected_cost == pytest.approx(0.75 * 3.0 + 0.25 * 9.0)  # 10 kWh less, whenever
    assert figures.cvar == pytest.approx(9.0)
    assert figures.objective_value == pytest.approx(0.5 * 4.5 + 0.5 * 9.0)
    assert figures.violation_chance == 0


def test_a_limit_that_a_scenario_can_keep_is_kept_in_it() -> None:
    plan = plan_under_risk(coin(import_kw=22.0))
    assert plan.schedule.discharge_kw[1] >= 8 - 1e-6  # 30 kW less 8 kW are 22 kW
    assert plan.figures.violation_chance == 0
    assert plan.schedule.notes == ()


def test_a_limit_that_a_scenario_cannot_keep_is_priced_and_its_chance_told() -> None:
    plan = plan_under_risk(coin(import_kw=19.0))
    np.testing.assert_allclose(plan.schedule.discharge_kw, [0, 10], atol=1e-5)
    assert plan.figures.import_violation_chance == pytest.approx(0.25)
    assert plan.figures.export_violation_chance == 0
    assert plan.figures.violation_chance == pytest.approx(0.25)
    assert plan.figures.expected_excess_kwh == pytest.approx(0.25)  # 1 kWh in one of four
    assert plan.figures.expected_excess_cost == pytest.approx(0.25 * 3.0)  # ten times the largest price
    assert "priced at 3 per kWh" in plan.schedule.notes[0]


def test_a_limit_with_a_price_is_passed_where_that_pays() -> None:
    base = expected(np.array([1.0, 1.0]), np.zeros(2), np.array([0.1, 0.5]), 0.0, Storage(10, 10, 1, 1, 0, 0))
    base = replace(base, outlook=replace(base.outlook, load_kw=np.array([1.0, 9.0])), limits=GridLimits(8, 8, 0.1))
    scenarios = Scenarios(np.array([[1.0, 9.0], [1.0, 11.0]]), np.zeros((2, 2)))
    plan = plan_under_risk(StochasticProblem(base, scenarios, Risk(0.0)))
    assert plan.schedule.charge_kw[0] == pytest.approx(10, abs=1e-4)  # 3 kWh beyond at .2, less than .5 later
    assert plan.figures.import_violation_chance == 1
    assert plan.schedule.notes == ()


def test_limits_that_not_even_the_expected_course_keeps_are_named() -> None:
    problem = coin()
    tight = replace(problem, expected=replace(problem.expected, limits=GridLimits(5, 100)))
    with pytest.raises(Infeasible) as caught:
        plan_under_risk(tight)
    assert [one["limit"] for one in caught.value.facts["limits"]] == ["grid_import_limit_kw"]


@pytest.mark.parametrize(
    ("confidence", "worst"), [(0.0, 2.5), (0.5, 3.5), (0.75, 4.0), (0.9, 4.0), (0.25, 3.0), (0.6, 3.625)]
)
def test_the_mean_of_the_worst_takes_part_of_an_outcome(confidence: float, worst: float) -> None:
    assert cvar_of(np.array([2.0, 4.0, 1.0, 3.0]), np.full(4, 0.25), confidence) == pytest.approx(worst)


# Without storage, and where energy could be burnt


def test_without_a_storage_there_is_nothing_to_decide() -> None:
    base = replace(case_4(24), storage=Storage(0, 0, 1, 1, 0, 0), limits=GridLimits(2000, 2000))
    plan = plan_under_risk(around(base, 5))
    assert plan.schedule.charge_kw.max() == plan.schedule.discharge_kw.max() == 0
    assert plan.schedule.status == "optimal"
    assert plan.value_of_stochastic_solution == 0


@pytest.mark.parametrize("seed", range(8))
def test_at_negative_prices_a_plan_moves_one_way_and_tells_its_gap(seed: int) -> None:
    generator = np.random.default_rng(seed)
    buy = generator.uniform(-0.4, 0.3, 12)
    base = expected(generator.uniform(0, 8, 12), generator.uniform(0, 8, 12), buy, np.minimum(buy, 0.05))
    problem = around(replace(base, curtailable=bool(seed % 2)), 5, seed)
    plan = plan_under_risk(problem)
    assert np.minimum(plan.schedule.charge_kw, plan.schedule.discharge_kw).max() == 0
    optimum, _ = by_highs(problem)
    assert plan.figures.objective_value - plan.schedule.gap * max(1, abs(optimum)) <= optimum + 1e-3
    assert (plan.schedule.status == "optimal") == (plan.schedule.gap <= GAP)


def test_where_selling_pays_more_than_buying_the_bound_still_holds() -> None:
    base = expected(np.full(6, 4.0), np.zeros(6), np.array([0.1, 0.1, 0.1, 0.3, 0.3, 0.3]), 0.2)
    problem = around(base, 4)
    plan = plan_under_risk(problem)
    use = np.random.default_rng(1).uniform(-5, 5, (2000, 6))  # any use at all: those that fit are plans
    soc = 5 + np.cumsum(np.where(use < 0, -0.9 * use, -use / 0.9), axis=1)
    fits = (soc >= 0).all(1) & (soc <= 10).all(1) & (soc[:, -1] >= 5)
    assert fits.sum() > 10
    bound = plan.figures.objective_value - plan.schedule.gap * max(1.0, abs(plan.figures.objective_value))
    for net in use[fits]:
        cost = outcomes_of(problem, net, 0.0).cost
        assert 0.5 * cost.mean() + 0.5 * cvar_of(cost, np.full(4, 0.25), 0.9) >= bound - 1e-9


# The parts


def program_of(problem: StochasticProblem) -> Program:
    reach, _ = reach_of(problem)
    assert reach is not None
    return Program.of(problem, reach, kinks_of(problem, reach.low_kw, reach.high_kw))


@pytest.mark.parametrize("peak", [None, PeakCharge(5.0, 100.0)])
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_newton_system_is_that_of_the_dense_matrix(peak: PeakCharge | None, weight: float) -> None:
    program = program_of(around(replace(case_4(24), peak=peak), 4, cvar_weight=weight))
    generator = np.random.default_rng(0)
    matrix = np.array([times(program.rows, unit) for unit in np.eye(program.slope.size)]).T
    back = np.array([transposed(program.rows, unit) for unit in np.eye(matrix.shape[0])])
    np.testing.assert_allclose(back, matrix, atol=1e-12)
    weights, right = generator.lognormal(0, 2, matrix.shape[0]), generator.normal(size=program.slope.size)
    newton = condense(program.rows, weights)
    found, rows = solve(program.rows, newton, factored(newton), right)
    dense = np.linalg.solve(matrix.T @ (weights[:, None] * matrix), right)
    np.testing.assert_allclose(found, dense, atol=1e-9 * np.abs(dense).max())
    np.testing.assert_allclose(rows, matrix @ dense, atol=1e-8 * np.abs(dense).max())


@pytest.mark.parametrize("peak", [None, PeakCharge(5.0, 100.0)])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_any_prices_at_all_give_a_lower_bound(peak: PeakCharge | None, weight: float) -> None:
    problem = around(replace(case_4(24), peak=peak), 6, cvar_weight=weight)
    optimum, program, generator = by_highs(problem)[0], program_of(problem), np.random.default_rng(1)
    good = next(point.price for number, point in enumerate(interior.points(program, np.inf)) if number == 8)
    for scale in (0.01, 0.3, 3.0):
        for _ in range(20):
            prices = good * generator.lognormal(0, scale, good.size)
            assert lower_bound(program, prices) <= optimum + 1e-6 * abs(optimum)
    assert lower_bound(program, good) > optimum - 0.1 * abs(optimum)


def test_the_first_point_keeps_all_but_the_states_of_charge() -> None:
    program = program_of(around(replace(case_4(24), peak=PeakCharge(5.0, 100.0)), 6))
    point = interior.first_point(program)
    missed = np.abs(times(program.rows, point.y) - program.limits - point.slack)
    free = 2 * program.rows.counts[0]
    assert max(missed[:free].max(), missed[free + 48 :].max()) < 1e-9
    assert np.abs(program.slope - transposed(program.rows, point.price)).max() < 1e-9
    assert min(point.slack.min(), point.price.min()) > 0


@pytest.mark.parametrize("seed", range(30))
def test_every_scenario_answers_at_the_least_cost(seed: int) -> None:
    problem = any_problem(seed)
    if problem.expected.peak is not None or not problem.expected.curtailable:
        problem = replace(problem, expected=replace(problem.expected, peak=None, curtailable=True))
    hours, limits, scenarios = problem.expected.outlook.grid.step_hours, problem.expected.limits, problem.scenarios
    net_kw = np.random.default_rng(seed).uniform(-20, 20, problem.expected.outlook.grid.steps)
    best = np.full(scenarios.load_kw.shape, np.inf)
    for share in np.linspace(0, 1, 201):
        carried = scenarios.load_kw - (1 - share) * scenarios.pv_kw - net_kw
        cost = problem.import_price_per_kwh * np.maximum(carried, 0)
        cost -= problem.export_price_per_kwh * np.maximum(-carried, 0)
        beyond = np.maximum(carried - limits.import_kw, 0) + np.maximum(-carried - limits.export_kw, 0)
        best = np.minimum(best, cost + problem.excess_price_per_kwh * beyond)
    found = outcomes_of(problem, net_kw, 0.0).cost
    finest = hours * (problem.scenarios.pv_kw.sum(axis=1) / 200) * 10  # of a grid of curtailments, at most prices
    assert (found <= hours * best.sum(axis=1) + 1e-9).all()
    assert (found >= hours * best.sum(axis=1) - finest - 1e-9).all()


def test_the_kinks_say_what_the_outcomes_cost() -> None:
    problem = around(replace(case_4(24), limits=GridLimits(400, 100, 0.5)), 6)
    reach, _ = reach_of(problem)
    assert reach is not None
    kinks = kinks_of(problem, reach.low_kw, reach.high_kw)
    for net_kw in np.random.default_rng(0).uniform(reach.low_kw, reach.high_kw, (20, 24)):
        per_hour = kinks.level + kinks.slope * net_kw
        beyond = kinks.rise * np.maximum(kinks.at_kw - net_kw[kinks.cell % 24], 0)
        per_hour += np.bincount(kinks.cell, beyond, 6 * 24).reshape(6, 24)
        np.testing.assert_allclose(per_hour.sum(axis=1), outcomes_of(problem, net_kw, 0.0).cost)


# Refusals


def planned() -> tuple[StochasticProblem, StochasticSchedule]:
    problem = around(replace(case_4(24), curtailable=False, limits=GridLimits(2000, 2000)), 4)
    return problem, plan_under_risk(problem)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("import_kw", "the energy balance of scenarios"),
        ("curtailed_kw", "the generation of scenarios"),
        ("cost", "the bills of scenarios"),
    ],
)
def test_the_check_finds_a_fault_in_one_scenario(field: str, fault: str) -> None:
    problem, plan = planned()
    assert scenario_violations(problem, plan.schedule, plan.outcomes) == []
    values = getattr(plan.outcomes, field).copy()
    values[2] += 0.01
    assert fault in scenario_violations(problem, plan.schedule, replace(plan.outcomes, **{field: values}))


def test_the_check_finds_circular_trade() -> None:
    problem, plan = planned()
    both = {name: getattr(plan.outcomes, name) + 1.0 for name in ("import_kw", "export_kw")}
    assert "importing while exporting" in scenario_violations(problem, plan.schedule, replace(plan.outcomes, **both))


@pytest.mark.parametrize("name", ["load_kw", "pv_kw", "import_price_per_kwh", "export_price_per_kwh"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scenarios_hold_finite_numbers(name: str, value: float) -> None:
    arrays = {one: np.ones((2, 3)) for one in ("load_kw", "pv_kw", "import_price_per_kwh", "export_price_per_kwh")}
    arrays[name][1, 2] = value
    with pytest.raises(InvalidInput, match=name):
        Scenarios(**arrays)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, np.nan]])
def test_every_scenario_has_a_weight_above_0(weights: list[float]) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        Scenarios(np.ones((2, 3)), np.ones((2, 3)), np.array(weights))


def test_powers_of_scenarios_are_not_negative_and_shapes_fit() -> None:
    with pytest.raises(InvalidInput, match="powers"):
        Scenarios(-np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(InvalidInput, match="shape"):
        Scenarios(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(InvalidInput, match="intervals"):
        StochasticProblem(case_4(24), Scenarios(np.ones((2, 3)), np.ones((2, 3))), Risk())


@pytest.mark.parametrize(("weight", "confidence"), [(-0.1, 0.9), (1.1, 0.9), (0.5, 1.0), (0.5, -0.1), (np.nan, 0.5)])
def test_risk_is_weighed_between_nothing_and_all(weight: float, confidence: float) -> None:
    with pytest.raises(InvalidInput):
        Risk(weight, confidence)


def test_energy_that_members_share_is_not_planned_under_risk() -> None:
    registers = np.ones((1, 24))
    exchange = MemberExchange(registers, registers, np.zeros(24), SharingRule.DYNAMIC, 60)
    with pytest.raises(InvalidInput, match="single meter"):
        around(replace(case_4(24), exchange=exchange), 2)


def test_when_time_is_over_the_best_checked_plan_comes_with_its_gap() -> None:
    problem = around(case_4(96), 20)
    plan, best = plan_under_risk(problem, time_limit_s=0.0), plan_under_risk(problem)
    assert plan.schedule.status == "feasible"
    assert plan.value_of_stochastic_solution is None
    objective, optimum = plan.figures.objective_value, best.figures.objective_value
    assert optimum <= objective <= optimum + plan.schedule.gap * max(1.0, abs(objective))


def test_without_any_bound_there_is_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interior, "MOST_STEPS", 0)
    with pytest.raises(Unavailable, match="in time"):
        plan_under_risk(around(case_4(24), 5), time_limit_s=0.0)
