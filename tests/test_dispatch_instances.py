"""Hundreds of random questions, each judged by the same model written out by hand for another solver."""

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.builders import MONDAY
from tests.dispatch_by_hand import least_objective

from digital_twin.domain.errors import Infeasible, InvalidInput, Unavailable
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import (
    OBJECTIVES,
    Battery,
    Device,
    DispatchProblem,
    ElectricVehicle,
    GridLimits,
    HeatPump,
    MemberExchange,
    Outlook,
    PeakCharge,
    Schedule,
    ShiftableLoad,
    ShiftableRun,
    Stay,
    Storage,
    Weights,
)
from digital_twin.optimization.blocks import Shape, constant_of, numbers_of, prices_of
from digital_twin.optimization.check import violations
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.kept_models import compiled_model

SEEDS, PARTS = 500, 10
STEPS = 8
SAME = 1e-6
"""Relative: to this plans with binaries are solved; powers hold to 1e-7."""
WEIGHTS = (*OBJECTIVES.values(), Weights(cost=1.0, peak=0.3, emissions=0.1), Weights(cost=1.0, exported=0.05))


def random_problem(generator: np.random.Generator) -> DispatchProblem:
    """Small, with some of everything: ties, negative prices, tight limits, devices that may not fit."""
    minutes = int(generator.choice([15, 60]))
    price = {
        "smooth": lambda: generator.uniform(0.05, 0.5, STEPS),
        "ties": lambda: generator.choice([0.2, 0.3], STEPS),
        "flat": lambda: np.full(STEPS, 0.25),
        "negative": lambda: generator.uniform(-0.4, 0.4, STEPS),
    }[str(generator.choice(["smooth", "ties", "flat", "negative"]))]()
    export = price - generator.uniform(-0.02, 0.2) if generator.random() < 0.5 else np.full(STEPS, 0.08)
    outlook = Outlook(
        TimeGrid(MONDAY, STEPS, minutes),
        generator.choice([0.0, 5, 10], STEPS) if generator.random() < 0.3 else generator.uniform(0, 12, STEPS),
        generator.uniform(0, 15, STEPS) * (generator.random(STEPS) < 0.5),
        price,
        export,
        generator.uniform(0.1, 0.5, STEPS),
    )
    tight = generator.random() < 0.4
    beyond = float(generator.choice([0.0, 0.5, 3.0])) if generator.random() < 0.3 else None
    limits = GridLimits(*generator.uniform(*((6, 14) if tight else (25, 60)), 2).tolist(), beyond)
    peak = PeakCharge(0.4, float(generator.choice([0.0, 8.0]))) if generator.random() < 0.3 else None
    devices = random_devices(generator, outlook)
    if generator.random() < 0.25:
        exchange = random_exchange(generator, outlook)
        behind = replace(outlook, load_kw=exchange.import_kw.sum(axis=0), pv_kw=exchange.export_kw.sum(axis=0))
        return DispatchProblem(behind, random_storage(generator), limits, peak, exchange, False, devices)
    return DispatchProblem(
        outlook, random_storage(generator), limits, peak, None, bool(generator.random() < 0.8), devices
    )


def random_exchange(generator: np.random.Generator, outlook: Outlook) -> MemberExchange:
    """Two members, of whom one has a roof, under any rule; sharing never costs."""
    net_kw = np.stack([outlook.load_kw / 2 - outlook.pv_kw, outlook.load_kw / 2])
    rules = [rule for rule in SharingRule if rule is not SharingRule.SINGLE_METER]
    return MemberExchange(
        np.maximum(net_kw, 0.0),
        np.maximum(-net_kw, 0.0),
        generator.uniform(0, 0.2, STEPS),
        rules[int(generator.integers(len(rules)))],
        60,
        np.array([0.0, 0.7]),
    )


def random_storage(generator: np.random.Generator) -> Storage:
    if generator.random() < 0.15:
        return Storage(0, 0, 1, 1, 0, 0)
    capacity = float(generator.uniform(4, 20))
    return Storage(
        capacity,
        float(generator.uniform(1, 8)),
        float(generator.choice([0.9, 1.0])),
        float(generator.choice([0.85, 1.0])),
        capacity * float(generator.random()),
        capacity * float(generator.choice([0.0, 0.5])),
        float(generator.choice([0.0, 0.02])),
        capacity * float(generator.choice([0.0, 0.2])),
        float(generator.choice([0.0, 0.25])),
    )


def random_devices(generator: np.random.Generator, outlook: Outlook) -> tuple[Device, ...]:
    makers = (random_vehicle, random_heat_pump, random_load, random_run, random_battery)
    chosen = [maker for maker in makers if generator.random() < 0.3]
    return tuple(maker(generator, outlook.grid.step_hours) for maker in chosen)


def random_battery(generator: np.random.Generator, hours: float) -> Device:
    return Battery("attic", random_storage(generator))


def random_vehicle(generator: np.random.Generator, hours: float) -> Device:
    power = float(generator.choice([3.7, 11.0]))
    reachable = 0.9 * power * 3 * hours
    return ElectricVehicle(
        "car",
        40.0,
        power,
        (
            Stay(0, 3, 5.0, 5.0 + reachable * float(generator.uniform(0, 1.1))),
            Stay(4, int(generator.integers(5, STEPS + 1)), 10.0, 10.0),
        ),
        float(generator.choice([0.0, 1.38])),
        vehicle_to_grid=bool(generator.random() < 0.5),
    )


def random_heat_pump(generator: np.random.Generator, hours: float) -> Device:
    outdoor = generator.uniform(-8, 12, STEPS)
    return HeatPump(
        "warmth",
        float(generator.uniform(1, 5)),
        float(generator.uniform(2, 10)),
        float(generator.choice([0.0, 0.2])),
        float(generator.uniform(16, 22)),
        3.0 + 0.05 * outdoor,
        outdoor,
        generator.uniform(0, 0.5, STEPS),
        np.full(STEPS, 20.0),
        np.full(STEPS, 22.0),
        float(generator.choice([0.1, 10.0])),
    )


def random_load(generator: np.random.Generator, hours: float) -> Device:
    first = int(generator.integers(0, 4))
    minimum = float(generator.choice([0.0, 1.0, 2.0]))
    return ShiftableLoad("pump", 2.0 * hours * int(generator.integers(1, 5)), 2.0, first, first + 4, minimum)


def random_run(generator: np.random.Generator, hours: float) -> Device:
    return ShiftableRun("washer", (2.0, 0.3, 1.1), int(generator.integers(0, 3)), int(generator.integers(6, STEPS + 1)))


@cache
def judged(seed: int) -> tuple[DispatchProblem, Weights, float | None]:
    """A question with its weights, and the least objective; None where no plan exists."""
    generator = np.random.default_rng(seed)
    problem = random_problem(generator)
    weights = WEIGHTS[int(generator.integers(len(WEIGHTS)))]
    return problem, weights, least_objective(problem, weights)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_random_question_gets_the_right_class_and_the_best_value(part: int) -> None:
    classes: Counter[str] = Counter()
    for seed in range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS):
        problem, weights, expected = judged(seed)
        if expected is None:
            with pytest.raises(Infeasible) as caught:
                plan_dispatch(problem, weights)
            assert caught.value.message
            classes["infeasible"] += 1
            continue
        plan = plan_dispatch(problem, weights)
        assert violations(problem, plan) == [], seed
        assert plan.objective_value == pytest.approx(expected, rel=SAME, abs=SAME), seed
        assert plan.gap <= SAME, seed
        assert (plan.status == "optimal") == (plan.gap <= 1e-6), seed
        classes[plan.solver] += 1
    assert len(classes) == 3, classes


def proved(plan: Schedule) -> float:
    """The bound whose gap relative to itself, or to 1, the plan tells."""
    value, gap = plan.objective_value, plan.gap
    bounds = [bound for bound in (value / (1 + gap), value / (1 - gap) if gap != 1 else -np.inf) if abs(bound) >= 1]
    return min(bound for bound in (value - gap, *bounds) if value - bound == pytest.approx(gap * max(1.0, abs(bound))))


@pytest.mark.parametrize("part", range(6))
def test_when_the_time_is_over_the_answer_is_a_plan_with_its_gap_or_none(part: int) -> None:
    """Never a plan that breaks a limit, never a gap that is too small, never "infeasible" where a plan exists."""
    stopped: Counter[str] = Counter()
    for seed in range(part * 10, part * 10 + 10):
        for time_limit_s in (0.0, 1e-4, 2e-3):  # by turns, on a model that is compiled once
            answer = answer_in_time(seed, time_limit_s)
            stopped[answer] += time_limit_s == 0.0
    assert stopped["feasible"] > 3, stopped


def answer_in_time(seed: int, time_limit_s: float) -> str:
    """The status of a plan that is what it claims to be, or why there is none."""
    problem, weights, expected = judged(seed)
    try:
        plan = plan_dispatch(problem, weights, time_limit_s=time_limit_s)
    except Unavailable:
        return "no plan yet"
    except Infeasible:
        assert expected is None, seed
        return "infeasible"
    assert expected is not None, seed
    assert violations(problem, plan) == [], seed
    tolerance = SAME * max(1.0, abs(expected))
    assert proved(plan) - tolerance <= expected <= plan.objective_value + tolerance, seed
    assert (plan.status == "optimal") == (plan.gap <= 1e-6), seed
    return plan.status


@pytest.mark.parametrize(
    "change",
    [
        {"import_price_per_kwh": np.full(STEPS, np.nan)},
        {"export_price_per_kwh": np.full(STEPS, np.inf)},
        {"load_kw": np.full(STEPS, np.nan)},
        {"emission_factor_kg_per_kwh": np.full(STEPS, -np.inf)},
    ],
)
def test_a_question_with_a_gap_is_refused(change: dict[str, np.ndarray]) -> None:
    problem = random_problem(np.random.default_rng(1))
    with pytest.raises(InvalidInput):
        replace(problem, outlook=replace(problem.outlook, **change))


@pytest.mark.parametrize("limits", [(np.inf, 10.0), (10.0, np.inf), (np.nan, 10.0)])
def test_a_question_without_bounds_is_refused(limits: tuple[float, float]) -> None:
    """Where a price below the feed-in price could be traded in circles for ever."""
    with pytest.raises(InvalidInput):
        GridLimits(*limits)


@pytest.mark.parametrize("seed", range(40))
def test_any_prices_of_the_rows_prove_a_bound(seed: int) -> None:
    """Every variable has finite bounds, so whatever duals are made up, no plan costs less than what they prove."""
    generator = np.random.default_rng(seed)
    problem, weights, expected = judged(seed)
    compiled = compiled_model(Shape.of(problem, weights))
    program = compiled.program(numbers_of(problem), prices_of(problem, weights))
    assert np.isfinite(program.lower).all()
    assert np.isfinite(program.upper).all()
    for spread in (0.0, 0.1, 10.0):
        made_up = generator.normal(0, spread, program.row_lower.size)
        proved_cost = program.bound(made_up) + constant_of(problem, weights)
        assert np.isfinite(proved_cost)
        if expected is not None:
            assert proved_cost <= expected + SAME * max(1.0, abs(expected))
    assert np.isfinite(program.bound(np.full(program.row_lower.size, np.nan)))
