"""A year at once by dynamic programming: the same plans as the linear program's, and the same refusals."""

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import MONDAY
from tests.cases import case_1, case_4
from tests.test_dispatch_instances import random_problem, random_storage

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import (
    OBJECTIVES,
    Battery,
    DispatchProblem,
    GridLimits,
    Outlook,
    PeakCharge,
    Storage,
    Weights,
)
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.foresight import plan_with_foresight

COST = OBJECTIVES["minimize_cost"]
LINEAR = (COST, OBJECTIVES["maximize_welfare"], OBJECTIVES["minimize_emissions"], Weights(cost=1.0, exported=0.05))


def outlook_of(generator: np.random.Generator, steps: int) -> Outlook:
    price = generator.normal(0.2, 0.12, steps)
    return Outlook(
        TimeGrid(MONDAY, steps, 60),
        generator.gamma(2, 10, steps),
        generator.gamma(1, 20, steps) * (generator.random(steps) < 0.5),
        price,
        price - generator.gamma(1, 0.1, steps),
        generator.uniform(0, 0.5, steps),
    )


def small(seed: int) -> DispatchProblem:
    """One storage behind one connection, with some of everything."""
    generator = np.random.default_rng(seed)
    import_kw, export_kw = generator.uniform(10, 80, 2).tolist()
    limits = GridLimits(import_kw, export_kw, 2.0 if generator.random() < 0.3 else None)
    outlook = outlook_of(generator, int(generator.integers(1, 40)))
    return DispatchProblem(outlook, random_storage(generator), limits, curtailable=bool(generator.random() < 0.7))


def test_the_cases_worked_by_hand_come_out_exactly() -> None:
    plan = plan_with_foresight(case_1(), COST)
    np.testing.assert_allclose(plan.charge_kw, [40, 40, 0, 0], atol=1e-9)
    np.testing.assert_allclose(plan.discharge_kw, [0, 0, 40, 17.6], atol=1e-9)
    assert plan.cost == pytest.approx(18.36, abs=1e-9)
    assert plan_with_foresight(case_4(96), COST).cost == pytest.approx(1006.3345, abs=1e-4)


def test_all_is_curtailed_where_importing_beyond_the_limit_still_earns() -> None:
    problem = case_1()
    outlook = replace(problem.outlook, import_price_per_kwh=np.full(4, -1.0), export_price_per_kwh=np.full(4, -1.2))
    limits = GridLimits(10.0, 10.0, 0.5)
    still = replace(problem.storage, power_kw=0.0)
    problem = replace(problem, outlook=outlook, limits=limits, storage=still, curtailable=True)
    assert plan_with_foresight(problem, COST).cost == pytest.approx(plan_dispatch(problem, COST).cost)


def test_random_questions_have_the_same_answers_as_the_linear_program() -> None:
    answered, impossible = 0, 0
    for seed in range(300):
        problem, weights = small(seed), LINEAR[seed % len(LINEAR)]
        try:
            found = plan_with_foresight(problem, weights)
        except InvalidInput:
            continue
        except Infeasible:
            with pytest.raises(Infeasible):
                plan_dispatch(problem, weights)
            impossible += 1
            continue
        value = plan_dispatch(problem, weights).objective_value
        assert found.objective_value == pytest.approx(value, rel=1e-6, abs=1e-6), seed
        answered += 1
    assert answered > 120
    assert impossible > 10


def test_a_season_of_quarters_costs_what_the_linear_program_says() -> None:
    generator, steps = np.random.default_rng(3), 4 * 24 * 60
    outlook = replace(outlook_of(generator, steps), grid=TimeGrid(MONDAY, steps, 15))
    outlook = replace(outlook, import_price_per_kwh=np.maximum(outlook.import_price_per_kwh, 0.05))
    outlook = replace(outlook, export_price_per_kwh=np.minimum(0.04, outlook.import_price_per_kwh))
    problem = DispatchProblem(outlook, Storage(60, 25, 0.95, 0.93, 20, 20, 0.005), GridLimits(150, 150))
    found = plan_with_foresight(problem, COST)
    assert found.cost == pytest.approx(plan_dispatch(problem, COST).cost, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"peak": PeakCharge(2.0)}, "peak"),
        ({"devices": (Battery("attic", Storage(10, 5, 0.9, 0.9, 5, 5)),)}, "devices"),
    ],
)
def test_what_it_cannot_plan_it_refuses(change: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        plan_with_foresight(replace(case_4(24), **change), COST)  # type: ignore[arg-type]


def test_prices_that_no_plan_of_one_direction_may_use_are_refused() -> None:
    problem = case_4(24)
    burning = replace(problem.outlook, import_price_per_kwh=np.full(24, -0.5), export_price_per_kwh=np.full(24, -0.5))
    with pytest.raises(InvalidInput, match="burning"):
        plan_with_foresight(replace(problem, outlook=burning, curtailable=False), COST)
    upside_down = replace(problem.outlook, export_price_per_kwh=problem.outlook.import_price_per_kwh + 0.1)
    with pytest.raises(InvalidInput, match="exports earn"):
        plan_with_foresight(replace(problem, outlook=upside_down), COST)


def test_every_kind_of_question_of_the_planner_is_answered_alike_or_refused() -> None:
    for seed in range(60):
        problem = random_problem(np.random.default_rng(seed))
        try:
            found = plan_with_foresight(problem, COST)
        except (InvalidInput, Infeasible):
            continue
        assert found.objective_value == pytest.approx(plan_dispatch(problem, COST).objective_value, rel=1e-6, abs=1e-6)
