"""Small fleets where burning energy would pay, against a mixed-integer program written out by hand.

The seeds are those of a hunt through 120 on which plans, each of one direction at a time, once lay up to thirty times
their cost above the bound, or were not found at all.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests.fleets import KINDS, fleet
from tests.test_fleet import ROUNDING, TOLERANCE, least_cost

from digital_twin.domain.errors import Infeasible
from digital_twin.optimization.fleet.check import violations
from digital_twin.optimization.fleet.dispatch import plan_fleet
from digital_twin.optimization.fleet.plan import FleetProblem
from digital_twin.optimization.plan import GridLimits

STEPS = 24
FOUND = (2, 3, 4, 6, 8, 10, 11, 20, 53, 61, 62, 74, 79, 96, 108, 113)
FOUND_WITHOUT_A_PLAN = 56


def where_burning_pays(seed: int) -> FleetProblem:
    """One to three members, some hours of negative prices, mostly no wear and no curtailment, often hard limits."""
    generator = np.random.default_rng([seed, 77])
    count = int(generator.integers(1, 4))
    problem = fleet(KINDS[int(generator.integers(0, 8))], count, seed, STEPS)
    price = problem.import_price_per_kwh.copy()
    first, length = generator.integers(0, STEPS), generator.integers(1, STEPS)
    price[first : first + length] = -generator.uniform(0.02, 0.5)
    wear, worth = generator.choice([0.0, 0.0, 0.002, 0.01]), generator.choice([0.0, 0.0, 0.1])
    storages = replace(problem.storages, wear_per_kwh=np.full(count, wear), end_value_per_kwh=np.full(count, worth))
    if generator.random() < 0.3:
        efficiency = generator.uniform(0.6, 0.95, count)
        storages = replace(storages, charge_efficiency=efficiency, discharge_efficiency=efficiency)
    curtailable = generator.random(count) < generator.choice([0.0, 0.0, 0.5])
    members = replace(problem.members, curtailable=curtailable)
    load, pv = members.load_kw.sum(axis=0).max(), max(members.pv_kw.sum(axis=0).max(), 0.5)
    beyond = None if generator.random() < 0.7 else 2.0
    limits = GridLimits(float(generator.uniform(0.5, 1.2) * load), float(generator.uniform(0.05, 0.9) * pv), beyond)
    return replace(
        problem,
        members=members,
        storages=storages,
        import_price_per_kwh=price,
        export_price_per_kwh=price - generator.choice([0.0, 0.05]),
        limits=limits,
        peak=problem.peak if generator.random() < 0.5 else None,
    )


@pytest.mark.parametrize("seed", FOUND)
def test_the_best_plan_of_one_direction_at_a_time_is_found_and_proved(seed: int) -> None:
    problem = where_burning_pays(seed)
    plan, optimum = plan_fleet(problem), least_cost(problem, whole=True)
    assert optimum is not None
    rounding = ROUNDING * max(1.0, abs(optimum))
    assert plan.lower_bound - rounding <= optimum <= plan.cost + rounding
    assert plan.gap <= TOLERANCE
    assert plan.status == "optimal"
    assert not violations(problem, plan)


def test_that_only_burning_would_keep_the_limits_is_proved() -> None:
    problem = where_burning_pays(FOUND_WITHOUT_A_PLAN)
    assert least_cost(problem) is not None
    assert least_cost(problem, whole=True) is None
    with pytest.raises(Infeasible, match=r"at least 3\.778\d* kWh go beyond them") as told:
        plan_fleet(problem)
    relaxed = {limit["limit"]: limit["relax_by"] + 1e-3 for limit in told.value.facts["limits"]}
    limits = replace(
        problem.limits,
        import_kw=problem.limits.import_kw + relaxed.get("grid_import_limit_kw", 0.0),
        export_kw=problem.limits.export_kw + relaxed.get("grid_export_limit_kw", 0.0),
    )
    wider = replace(problem, limits=limits)
    assert not violations(wider, plan_fleet(wider))
