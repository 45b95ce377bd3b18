"""Explanations of plans for members and under risk: held against planning again, by another solver, and in words."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import highspy
import numpy as np
import pytest
from tests.cases import case_4
from tests.fleets import KINDS, fleet
from tests.test_fleet import behind_fuses, least_cost, with_hard_limits
from tests.test_stochastic import around

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.optimization import GridLimits, PeakCharge
from digital_twin.optimization.explanation.explain_groups import OUT_OF_TIME, explain_members, explain_risk
from digital_twin.optimization.explanation.member_values import CommunityUse, community_limits, member_limits
from digital_twin.optimization.explanation.wording import Wording
from digital_twin.optimization.fleet.dispatch import plan_fleet
from digital_twin.optimization.fleet.plan import FleetPlan, FleetProblem
from digital_twin.optimization.fleet.whole_program import whole_program
from digital_twin.optimization.member_plan import MembersQuestion
from digital_twin.optimization.member_rules import MemberPrices
from digital_twin.optimization.model_file import MOST_MEMBERS, write_members_model, write_risk_model
from digital_twin.optimization.plan import Powers
from digital_twin.optimization.stochastic.dispatch import plan_under_risk
from digital_twin.optimization.stochastic.extensive import column_names
from digital_twin.optimization.stochastic.plan import Risk, StochasticProblem
from digital_twin.optimization.stochastic.recourse import cvar_of

STEP = 0.02
"""kW or kWh by which limits are changed: small enough to stay on one piece of the optimum, far above rounding."""


def use_of(plan: FleetPlan) -> CommunityUse:
    return CommunityUse(plan.import_kw, plan.export_kw, plan.value_per_kwh)


def slopes(problem: FleetProblem, resized: Callable[[float], FleetProblem]) -> tuple[float, float]:
    """What more saves by planning again with another solver: of the next bit, and of the last one."""
    here, more, less = (least_cost(one) for one in (problem, resized(STEP), resized(-STEP)))
    assert here is not None
    assert more is not None
    return (here - more) / STEP, np.inf if less is None else (less - here) / STEP


def raised(problem: FleetProblem, limit: str, member: int, by: float) -> FleetProblem:
    storages, own = problem.storages, problem.storages.member == member
    if limit == "capacity_kwh":
        highest = storages.highest_kwh + by * own[:, None]
        return replace(problem, storages=replace(storages, highest_kwh=highest))
    if limit == "power_kw":
        names = ("charge_max_kw", "discharge_max_kw")
        more = {name: (powers := getattr(storages, name)) + by * own[:, None] * (powers > 0) for name in names}
        return replace(problem, storages=replace(storages, **more))
    fuses = getattr(problem.members, limit) + by * (np.arange(problem.members.load_kw.shape[0]) == member)
    return replace(problem, members=replace(problem.members, **{limit: fuses}))


@pytest.mark.parametrize("kind", KINDS)
def test_the_worth_of_limits_is_what_another_solver_saves_with_more(kind: str) -> None:
    problem = fleet(kind, 8, 3, steps=24)
    if kind not in ("EV", "third without battery"):
        problem = behind_fuses(problem, 3)
    plan = plan_fleet(problem, tolerance=1e-7)
    judged = 0
    for one in member_limits(problem, plan.value_per_kwh, 8):
        member = int(np.nanargmax(one.worth))
        few, many = slopes(problem, lambda by, one=one, member=member: raised(problem, one.limit, member, by))
        assert few - 1e-4 <= one.worth[member] <= many + 1e-4
        judged += 1
    for limit in community_limits(problem, use_of(plan)):
        name = limit.limit.removeprefix("grid_").replace("_limit", "")
        few, many = slopes(
            problem,
            lambda by, name=name, value=limit.value_kw: replace(
                problem, limits=replace(problem.limits, **{name: value + by})
            ),
        )
        assert few - 1e-4 <= limit.worth_per_kw <= many + 1e-4
        judged += 1
    assert judged


def question(problem: FleetProblem) -> MembersQuestion:
    steps, count = problem.grid.steps, problem.members.load_kw.shape[0]
    prices = MemberPrices(problem.import_price_per_kwh, problem.export_price_per_kwh, np.full(steps, 0.15))
    return MembersQuestion(problem, prices, np.full(steps, 0.2), np.zeros(problem.storages.member.size, bool), count)


def test_a_plan_for_members_in_words() -> None:
    problem = behind_fuses(fleet("export limit", 8, 3, steps=48), 3)
    found = explain_members(question(problem), use_of(plan_fleet(problem)), Wording(problem.grid, UTC, "EUR"))
    assert [text for _, text in found.limits] == [
        "The export limit of 0.78 kW holds the plan back in 48 intervals, first at 00:00. 1 kW more would save 1.13 "
        "EUR a day."
    ]
    assert [text for _, text in found.member_limits] == [
        "The capacity of batteries and vehicles holds 1 of 8 members back. 1 kWh more for each of them would save "
        "0.00090 EUR a day, at most 0.00090 EUR for one.",
        "What the fuse lets out holds 3 of 8 members back. 1 kW more for each of them would save 0.027 EUR a day, at "
        "most 0.018 EUR for one.",
    ]
    assert found.notes[0] == (
        "Inside the community a kWh is worth least, 0.00 EUR at 12:30, and most, 0.0218 EUR at 00:00."
    )


# Under risk


def day(**risk: float) -> StochasticProblem:
    problem = replace(case_4(24), limits=GridLimits(650, 300), peak=PeakCharge(0.5, 500))
    return around(problem, 20, **({"cvar_weight": 0.7, "confidence": 0.8} | risk))


def powers(problem: StochasticProblem) -> Powers:
    schedule = plan_under_risk(problem).schedule
    return Powers(schedule.charge_kw, schedule.discharge_kw, schedule.curtailed_kw)


def figures(problem: StochasticProblem) -> Array:
    """The mean and the worst costs of the best plan."""
    cost = plan_under_risk(problem).outcomes.cost
    return np.array([cost.mean(), cvar_of(cost, problem.scenarios.probabilities, problem.risk.confidence)])


def test_a_plan_under_risk_in_words() -> None:
    problem = day()
    found = explain_risk(problem, powers(problem), Wording(problem.expected.outlook.grid, UTC, "EUR"), time_limit_s=600)
    assert found.tail[1] == (
        "The worst 20% of what may come are 4 of 20 scenarios, which cost 2036.78 to 2920.84 EUR where the mean of all "
        "is 1586.93 EUR. In them demand is 344 kWh higher and the sun gives 20.1 kWh less than on average. All of them "
        "pass a limit of the connection."
    )
    assert found.hedging is not None
    assert found.hedging[1] == (
        "A plan that looks at the mean alone would cost 1.95 EUR a day less on average, and 6.20 EUR more in the worst "
        "20%."
    )
    assert [text for _, text in found.limits][:2] == [
        "The storage power is 200 kW. 10 kW more would save 29.25 EUR a day on average and 39.42 EUR in the worst 20%.",
        "The import limit is 650 kW. 100 kW more would save 161.54 EUR a day on average and 293.19 EUR in the worst "
        "20%.",
    ]
    assert found.actions[0][1] == "00:00 to 01:00: storage discharges 200 kWh."


def test_what_limits_and_hedging_are_worth_under_risk_is_what_planning_again_finds() -> None:
    problem = day()
    wording = Wording(problem.expected.outlook.grid, UTC, "EUR")
    found, here = explain_risk(problem, powers(problem), wording, time_limit_s=600), figures(problem)
    limits = {value.limit: value for value, _ in found.limits}
    value = limits["grid_import_limit_kw"]
    changed = replace(problem.expected.limits, import_kw=value.value + value.change)
    there = figures(replace(problem, expected=replace(problem.expected, limits=changed)))
    assert there - here == pytest.approx([value.mean, value.tail], abs=1e-3)
    assert found.hedging is not None
    neutral = figures(replace(problem, risk=Risk(0.0, 0.8)))
    hedging = found.hedging[0]
    assert [here[0] - neutral[0], neutral[1] - here[1]] == pytest.approx(
        [hedging.mean_cost, hedging.tail_saving], abs=1e-3
    )


def test_the_worst_scenarios_are_those_that_the_tail_is_the_mean_of() -> None:
    problem = day()
    plan = plan_under_risk(problem)
    tail = explain_risk(problem, powers(problem), Wording(problem.expected.outlook.grid, UTC, "EUR"), time_limit_s=0.0)
    assert tail.notes == (OUT_OF_TIME,)
    worst = tail.tail[0]
    assert worst.scenarios.tolist() == np.argsort(-plan.outcomes.cost)[:4].tolist()
    assert worst.cost.mean() == pytest.approx(plan.figures.cvar)
    load_kwh = problem.scenarios.load_kw.sum(axis=1)
    assert worst.more_load_kwh == pytest.approx(load_kwh[worst.scenarios].mean() - load_kwh.mean())


# As files


def read(path: Path) -> highspy.Highs:
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(path))
    highs.run()
    return highs


@pytest.mark.parametrize("form", ["lp", "mps"])
def test_another_reading_of_a_model_under_risk_has_the_optimum_of_the_plan(tmp_path: Path, form: str) -> None:
    problem = day()
    path = tmp_path / f"model.{form}"
    write_risk_model(problem, path)
    highs = read(path)
    assert highs.getObjectiveValue() == pytest.approx(plan_under_risk(problem).schedule.objective_value, rel=1e-6)
    assert set(column_names(problem)) == {highs.getColName(column)[1] for column in range(highs.getNumCol())}


@pytest.mark.parametrize("form", ["lp", "mps"])
@pytest.mark.parametrize("kind", KINDS)
def test_another_reading_of_a_model_of_members_has_the_optimum_of_the_plan(
    tmp_path: Path, form: str, kind: str
) -> None:
    problem = fleet(kind, 6, 4, steps=24)
    path = tmp_path / f"model.{form}"
    write_members_model(problem, path)
    plan = plan_fleet(problem, tolerance=1e-7)
    optimum = read(path).getObjectiveValue()
    assert plan.lower_bound - 1e-6 * abs(optimum) <= optimum <= plan.cost + 1e-6 * max(1.0, abs(optimum))
    assert optimum == pytest.approx(plan.cost, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_whole_program_is_that_of_the_tests(seed: int) -> None:
    problem = behind_fuses(fleet(KINDS[seed], 7, seed, steps=24), seed)
    problem = with_hard_limits(problem) if seed % 2 else problem
    program, constant, names = whole_program(problem)
    assert len(set(names)) == program.cost.size
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.passModel(program.to_highs())
    highs.run()
    other = least_cost(problem)
    is_feasible = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    assert is_feasible == (other is not None)
    if other is not None:
        assert highs.getObjectiveValue() + constant == pytest.approx(other, abs=1e-6)


def test_models_that_no_file_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at most 500 members, this plan has 501"):
        write_members_model(fleet("base", MOST_MEMBERS + 1, 1, steps=24), tmp_path / "model.lp")
    with pytest.raises(InvalidInput, match="60,000 scenarios times intervals, this plan has 60,024"):
        write_risk_model(around(case_4(24), 2501), tmp_path / "model.lp")
