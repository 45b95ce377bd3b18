"""Trade-offs: the ends are exact, every point is proved by a plan at its price, none is dominated, all are apart."""

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog
from tests.cases import case_1, case_4
from tests.test_dispatch_instances import random_problem

from digital_twin.domain.errors import Infeasible, Unavailable
from digital_twin.domain.sharing import SharingRule
from digital_twin.optimization import (
    OBJECTIVES,
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Schedule,
    Weights,
    dispatch,
)
from digital_twin.optimization.check import violations
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.pareto import Traded, TradeOffPoint, trade_off

TRADED = get_args(Traded)
COST = OBJECTIVES["minimize_cost"]


def test_ends_that_are_not_known_to_be_the_best_are_no_trade_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where burning energy pays modes have to be searched for; when the time is over the best so far is a guess."""
    search = dispatch.choose_modes
    monkeypatch.setattr(dispatch, "choose_modes", lambda *a, **more: replace(search(*a, **more), is_certain=False))
    outlook = replace(
        case_4(24).outlook, import_price_per_kwh=np.full(24, -0.2), export_price_per_kwh=np.full(24, -0.3)
    )
    with pytest.raises(Unavailable, match="ends of the trade-off"):
        trade_off(replace(case_4(24), outlook=outlook), "emissions", points=5)


def at_price(problem: DispatchProblem, against: Traded, price: float) -> Schedule:
    """The cheapest plan where each unit of the measure costs so much."""
    if against == "peak":
        return plan_dispatch(problem, Weights(cost=1.0, peak=price))
    outlook = problem.outlook
    factor = outlook.emission_factor_kg_per_kwh if against == "emissions" else np.ones(outlook.grid.steps)
    dearer = outlook.import_price_per_kwh + price * factor
    return plan_dispatch(replace(problem, outlook=replace(outlook, import_price_per_kwh=dearer)), COST)


def reported(problem: DispatchProblem, against: Traded, schedule: Schedule) -> float:
    shared_kwh = 0.0 if schedule.shared_kwh is None else float(schedule.shared_kwh.sum())
    grid_kwh = problem.outlook.grid.step_hours * float(schedule.import_kw.sum()) - shared_kwh
    return {"emissions": schedule.emissions_kg, "self_sufficiency": grid_kwh, "peak": schedule.peak_kw}[against]


@pytest.mark.parametrize("against", TRADED)
def test_every_point_is_the_best_plan_at_its_price(against: Traded) -> None:
    problem = case_4(96)
    found = trade_off(problem, against, points=12)
    assert len(found.points) == 12
    for point in found.points:
        assert violations(problem, point.schedule) == []
        assert reported(problem, against, point.schedule) == pytest.approx(point.measure, abs=1e-5)
    for point in found.points[1:-1]:
        assert point.price_per_unit is not None
        assert point.price_per_unit > 0
        best = at_price(problem, against, point.price_per_unit).objective_value
        assert point.schedule.cost + point.price_per_unit * point.measure == pytest.approx(best, abs=1e-5)


def cheapest_within(problem: DispatchProblem, against: Traded, cap: float) -> float:
    """By a linear program that was written out for this: charge, discharge, energy, import, export, curtailed, peak."""
    outlook, storage, limits = problem.outlook, problem.storage, problem.limits
    steps, hours = outlook.grid.steps, outlook.grid.step_hours
    none, one = np.zeros(steps), np.ones(steps)
    eye, zero = sp.eye_array(steps), sp.csr_array((steps, steps))
    cost = [one * hours * storage.wear_per_kwh] * 2 + [none, hours * outlook.import_price_per_kwh]
    cost += [-hours * outlook.export_price_per_kwh, none, [0.0]]
    stored = [-hours * storage.charge_efficiency * eye, hours / storage.discharge_efficiency * eye]
    balances = [
        [-eye, eye, zero, eye, -eye, -eye, sp.csr_array((steps, 1))],
        [*stored, eye - sp.eye_array(steps, k=-1), zero, zero, zero, sp.csr_array((steps, 1))],
    ]
    before = np.append(storage.initial_kwh, none[1:])
    peaks = [zero, zero, zero, eye, zero, zero, -np.ones((steps, 1))]
    factor = outlook.emission_factor_kg_per_kwh if against == "emissions" else one
    capped = [none, none, none, none if against == "peak" else hours * factor, none, none, [float(against == "peak")]]
    least_kwh = np.append(none[1:], storage.final_min_kwh)
    upper = [storage.power_kw] * 2 + [storage.capacity_kwh, limits.import_kw, limits.export_kw, outlook.pv_kw]
    found = linprog(
        np.concatenate(cost),
        A_ub=sp.vstack([sp.hstack(peaks), sp.csr_array(np.concatenate(capped)[None])]),
        b_ub=np.append(none, cap),
        A_eq=sp.vstack([sp.hstack(row) for row in balances]),
        b_eq=np.concatenate([outlook.load_kw - outlook.pv_kw, before]),
        bounds=np.column_stack(
            [
                np.concatenate([none, none, least_kwh, none, none, none, [0.0]]),
                np.concatenate([*(np.broadcast_to(most, steps) for most in upper), [np.inf]]),
            ]
        ),
        method="highs-ipm",
    )
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("against", TRADED)
@pytest.mark.parametrize("points", [4, 13, 30])
def test_every_point_costs_what_another_program_finds_within_its_measure(against: Traded, points: int) -> None:
    problem = case_4(96)
    found = trade_off(problem, against, points=points).points
    assert len(found) == points
    for point in found:
        beyond = 1e-7 * max(1.0, point.measure)  # what rounding leaves of the cap; without it the end has no interior
        optimum = cheapest_within(problem, against, point.measure + beyond)
        assert point.schedule.cost == pytest.approx(optimum, rel=1e-6)


def test_the_ends_are_exact() -> None:
    problem = case_4(96)
    for against, objective in (("peak", "minimize_peak"), ("emissions", "minimize_emissions")):
        found = trade_off(problem, against, points=5)
        assert found.points[0].schedule.cost == pytest.approx(plan_dispatch(problem, COST).cost, abs=1e-6)
        least = plan_dispatch(problem, OBJECTIVES[objective])
        assert found.points[-1].measure <= reported(problem, against, least) + 1e-6
    assert trade_off(problem, "peak", points=2).points[-1].schedule.cost == pytest.approx(
        plan_dispatch(problem, OBJECTIVES["minimize_peak"]).cost, abs=1e-5
    )


@pytest.mark.parametrize("against", TRADED)
def test_points_are_apart_and_none_is_dominated(against: Traded) -> None:
    points = trade_off(case_4(96), against, points=30).points
    first, last = points[0], points[-1]
    spans = first.measure - last.measure, last.schedule.cost - first.schedule.cost
    gaps: list[float] = []
    for one, other in pairwise(points):
        assert one.measure > other.measure
        assert one.schedule.cost < other.schedule.cost
        steps = (one.measure - other.measure) / spans[0], (other.schedule.cost - one.schedule.cost) / spans[1]
        gaps.append(float(np.hypot(*steps)))
    assert max(gaps) < 3 * sum(gaps) / len(gaps)


def beats(one: TradeOffPoint, other: TradeOffPoint) -> bool:
    return one.measure <= other.measure + 1e-9 and one.schedule.objective_value <= other.schedule.objective_value + 1e-9


@pytest.mark.parametrize("against", TRADED)
def test_random_questions_with_devices_have_only_undominated_plans(against: Traded) -> None:
    several = 0
    for seed in range(60):
        problem = random_problem(np.random.default_rng(seed))
        try:
            points = trade_off(problem, against, points=6).points
        except Infeasible:
            with pytest.raises(Infeasible):
                plan_dispatch(problem, COST)
            continue
        several += len(points) > 2
        assert points[0].schedule.objective_value == pytest.approx(
            plan_dispatch(problem, COST).objective_value, abs=2e-6 * max(1, abs(points[0].schedule.objective_value))
        )
        for point in points:
            assert violations(problem, point.schedule) == []
            assert reported(problem, against, point.schedule) <= point.measure + 1e-4
            assert not any(beats(other, point) for other in points if other is not point)
    assert several > 10


def test_where_one_plan_is_best_in_both_there_is_one_point() -> None:
    problem = case_1()
    nothing = replace(problem.outlook, emission_factor_kg_per_kwh=np.zeros(4))
    assert len(trade_off(replace(problem, outlook=nothing), "emissions", points=9).points) == 1


def test_what_is_shared_needs_no_grid() -> None:
    problem = case_1()
    exchange = MemberExchange(
        np.array([[20.0, 40, 60, 90]]), np.array([[80.0, 40, 0, 0]]), np.full(4, 0.1), SharingRule.DYNAMIC, 30
    )
    problem = replace(problem, exchange=exchange, curtailable=False)
    points = trade_off(problem, "emissions", points=6).points
    for point in points:
        assert point.schedule.emissions_kg == pytest.approx(point.measure, abs=1e-6)


def test_without_any_plan_the_limits_in_the_way_are_named() -> None:
    with pytest.raises(Infeasible, match="grid_import_limit_kw"):
        trade_off(replace(case_1(), limits=GridLimits(30, 30)), "peak", points=5)
