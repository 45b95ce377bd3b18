"""Of plans that are as good the most even one: held against quadratic programs that know nothing of the method."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from tests.builders import MONDAY
from tests.cases import case_4
from tests.test_dispatch_instances import WEIGHTS, random_problem

from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import (
    OBJECTIVES,
    Battery,
    DispatchProblem,
    ElectricVehicle,
    GridLimits,
    Outlook,
    PeakCharge,
    Schedule,
    ShiftableLoad,
    Stay,
    Storage,
)
from digital_twin.optimization.blocks import IDLE_WEIGHT, prices_of
from digital_twin.optimization.check import violations
from digital_twin.optimization.dispatch import plan_dispatch, schedule_of, solve_model, stages_of
from digital_twin.optimization.even_course import even_course
from digital_twin.optimization.evenness import evened
from digital_twin.optimization.linear_program import NoFeasiblePoint

COST = OBJECTIVES["minimize_cost"]
SAME = 1e-9
"""Relative; plans of one face differ in rounding only."""


def night_and_day(*, load: float = 0.0, pv: float = 0.0, **changed: object) -> DispatchProblem:
    """Six cheap hours, then six dear ones with load."""
    prices = np.repeat([0.1, 0.3], 6)
    outlook = Outlook(
        TimeGrid(MONDAY, 12, 60),
        np.where(prices > 0.2, 4.0, load),
        np.where(prices > 0.2, 0.0, pv),
        prices,
        np.full(12, 0.05),
        np.full(12, 0.2),
    )
    plain = DispatchProblem(outlook, Storage(100, 10, 0.9, 1.0, 0, 0), GridLimits(50, 50))
    return replace(plain, **changed)  # type: ignore[arg-type]


def test_a_storage_charges_evenly_through_a_cheap_night() -> None:
    plan = plan_dispatch(night_and_day(), COST)
    np.testing.assert_allclose(plan.charge_kw, np.repeat([24 / 0.9 / 6, 0], 6), atol=1e-9)
    np.testing.assert_allclose(plan.discharge_kw, np.repeat([0, 4], 6), atol=1e-9)


def test_what_is_curtailed_leaves_room_for_an_even_course() -> None:
    """20 kW of sun, of which 14 go out: 6 of each hour are free, four hours' worth of which fits in."""
    storage = Storage(21.6, 10, 0.9, 1.0, 0, 0)
    plan = plan_dispatch(night_and_day(pv=20.0, storage=storage, limits=GridLimits(50, 14)), COST)
    np.testing.assert_allclose(plan.charge_kw[:6], 4, atol=1e-9)
    np.testing.assert_allclose(plan.curtailed_kw[:6], 2, atol=1e-9)
    assert violations(night_and_day(pv=20.0, storage=storage, limits=GridLimits(50, 14)), plan) == []


def test_a_charge_on_the_peak_keeps_its_peak() -> None:
    """Load of 6 kW in one hour of the night leaves 1 kW below the peak that is paid already."""
    load = np.where(np.arange(12) == 2, 6.0, 0.0) + np.repeat([0.0, 4.0], 6)
    problem = night_and_day(peak=PeakCharge(5.0, 7.0))
    problem = replace(problem, outlook=replace(problem.outlook, load_kw=load))
    plan = plan_dispatch(problem, COST)
    others = (24 / 0.9 - 1) / 5
    np.testing.assert_allclose(plan.charge_kw[:6], [others, others, 1, others, others, others], atol=1e-9)
    assert plan.peak_kw == pytest.approx(7)


def test_a_vehicle_is_as_even_as_its_minimum_power_allows() -> None:
    """10 kWh in two hours at 4 kW or more, however many hours are as cheap."""
    car = ElectricVehicle("car", 40, 8, (Stay(0, 6, 5, 15),), 4.0, 1.0, 1.0)
    powers = plan_dispatch(night_and_day(devices=(car,)), COST).devices[0].charge_kw
    assert sorted(powers[powers > 1e-9]) == pytest.approx([5, 5])


def test_every_device_has_its_own_even_course() -> None:
    devices = (
        Battery("attic", Storage(50, 5, 1.0, 1.0, 0, 12)),
        ShiftableLoad("pump", 9.0, 6.0, 1, 5),
        ElectricVehicle("car", 40, 8, (Stay(0, 3, 5, 11),), 0.0, 1.0, 1.0),
    )
    plan = plan_dispatch(night_and_day(devices=devices), COST)
    attic, pump, car = (use.charge_kw for use in plan.devices)
    np.testing.assert_allclose(car, np.repeat([2, 0], [3, 9]), atol=1e-9)
    np.testing.assert_allclose(pump, np.repeat([0, 2.25, 0], [1, 4, 7]), atol=1e-9)
    assert np.ptp(attic[:6]) < 1e-9


def test_the_same_question_has_the_same_answer_whatever_was_asked_before() -> None:
    """The solver starts where it ended last and stops at any of the plans that are as good."""
    problem, generator = flat_day(0), np.random.default_rng(3)
    first = plan_dispatch(problem, COST)
    for number in range(1, 6):
        outlook = problem.outlook
        plan_dispatch(replace(problem, outlook=replace(outlook, load_kw=generator.permutation(outlook.load_kw))), COST)
        plan_dispatch(flat_day(number), COST)
        again = plan_dispatch(problem, COST)
        np.testing.assert_allclose(again.charge_kw, first.charge_kw, atol=1e-6)
        np.testing.assert_allclose(again.discharge_kw, first.discharge_kw, atol=1e-6)


def flat_day(number: int) -> DispatchProblem:
    """The peers' day under a tariff of three prices; others have other loads and suns."""
    problem, generator = case_4(96), np.random.default_rng(number)
    hour = np.arange(96) / 4
    load, sun = generator.uniform(0.7, 1.3, 2)
    outlook = replace(
        problem.outlook,
        load_kw=problem.outlook.load_kw * load,
        pv_kw=problem.outlook.pv_kw * sun,
        import_price_per_kwh=np.select([hour < 6, (hour >= 17) & (hour < 21)], [0.15, 0.35], 0.25),
    )
    return replace(problem, outlook=outlook)


# Against quadratic programs


@pytest.mark.parametrize("part", range(4))
def test_a_course_is_the_one_with_the_least_squares(part: int) -> None:
    """Random tubes and powers, many of them degenerate, some impossible."""
    impossible = 0
    for seed in range(part * 25, part * 25 + 25):
        generator = np.random.default_rng(seed)
        steps = int(generator.integers(1, 14))
        gain = np.where(generator.random(steps) < 0.6, 0.9, -1.2) if seed % 3 else np.full(steps, 0.225)
        low = generator.choice([0.0, 1.0], steps) * (generator.random(steps) < 0.3)
        high = low + generator.choice([0.0, 3.0, 8.0], steps)
        stored = np.cumsum(gain * (low + (high - low) * generator.choice([0, 0.5, 1], steps)))
        least = stored - generator.choice([0, 0.5, 5], steps) + (seed % 7 == 6)
        most = np.maximum(stored + generator.choice([0, 0.5, 5], steps), least)
        if generator.random() < 0.5:
            least[-1] = most[-1] = stored[-1]
        course, is_found = even_course((gain, low, high), least, most)
        power = cp.Variable(steps)
        level = cp.cumsum(cp.multiply(gain, power))
        program = cp.Problem(
            cp.Minimize(cp.sum_squares(power)), [power >= low, power <= high, level >= least, level <= most]
        )
        program.solve(cp.CLARABEL)
        assert is_found == (program.status == "optimal"), seed
        if not is_found:
            impossible += 1
            continue
        assert (course >= low).all()
        assert (course <= high).all()
        assert (np.cumsum(gain * course) >= least - 1e-8).all()
        assert (np.cumsum(gain * course) <= most + 1e-8).all()
        assert course @ course == pytest.approx(program.value, rel=1e-6, abs=1e-6), seed
    assert 0 < impossible < 20


def least_squares(problem: DispatchProblem, plan: Schedule) -> float:
    """Of all plans that cost no more and use no more."""
    view, store, hours = problem.outlook, problem.storage, problem.outlook.grid.step_hours
    charge, discharge, curtailed, bought, sold = (cp.Variable(view.grid.steps, nonneg=True) for _ in range(5))
    added = hours * (store.charge_efficiency * charge - discharge / store.discharge_efficiency)
    level = store.initial_kwh + cp.cumsum(added)
    use = (plan.charge_kw + plan.discharge_kw + plan.curtailed_kw).sum()
    program = cp.Problem(
        cp.Minimize(cp.sum_squares(charge) + cp.sum_squares(discharge)),
        [
            bought - sold + view.pv_kw - curtailed + discharge - charge == view.load_kw,
            curtailed <= view.pv_kw, charge <= store.power_kw, discharge <= store.power_kw,
            bought <= problem.limits.import_kw, sold <= problem.limits.export_kw,
            level >= 0, level <= store.capacity_kwh, level[-1] >= store.final_min_kwh,
            hours * (view.import_price_per_kwh @ bought - view.export_price_per_kwh @ sold) <= plan.cost + 1e-6,
            cp.sum(charge + discharge + curtailed) <= use + 1e-6,
        ],
    )  # fmt: skip
    program.solve(cp.CLARABEL)
    return float(program.value)


@pytest.mark.parametrize("number", range(6))
def test_no_plan_of_the_same_cost_and_use_is_more_even(number: int) -> None:
    problem = flat_day(number)
    plan = plan_dispatch(problem, COST)
    squares = float(plan.charge_kw @ plan.charge_kw + plan.discharge_kw @ plan.discharge_kw)
    assert squares == pytest.approx(least_squares(problem, plan), rel=1e-4)


def test_the_even_plan_costs_and_uses_what_the_solvers_does() -> None:
    """On random days with some of everything, under every objective."""
    calmer = 0
    for seed in range(120):
        generator = np.random.default_rng(seed)
        problem = random_problem(generator)
        weights = WEIGHTS[int(generator.integers(len(WEIGHTS)))]
        try:
            solved = solve_model(problem, weights, time_limit_s=60.0)
        except NoFeasiblePoint:
            continue
        found = solved.compiled.solve(solved.numbers, stages_of(problem, weights), time_limit_s=60.0)
        even = None if found.face is None else evened(problem, solved.compiled, found.face)
        if even is None:
            continue
        plans = [schedule_of(problem, weights, values) for values in (even, found.values)]
        assert violations(problem, plans[0]) == []
        for name in ("objective_value", "cost"):
            one, other = (getattr(plan, name) for plan in plans)
            assert one == pytest.approx(other, rel=SAME, abs=SAME), (seed, name)
        idle = prices_of(problem, IDLE_WEIGHT)
        used = [sum(idle[name] @ values[name] for name in idle) for values in (even, found.values)]
        assert used[0] == pytest.approx(used[1], rel=SAME, abs=SAME), seed
        squares = [squares_of(values) for values in (even, found.values)]
        assert squares[0] <= squares[1] + SAME, seed
        calmer += squares[0] < squares[1] - 1e-3
    assert calmer > 10


def squares_of(values: dict[str, np.ndarray]) -> float:
    return sum(float(powers @ powers) for name, powers in values.items() if name.endswith("charge_kw"))
