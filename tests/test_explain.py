"""Explanations: their sentences, the worth of limits by planning again, conflicts, what comes closest."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.builders import MONDAY
from tests.cases import case_1, case_4
from tests.test_dispatch_instances import WEIGHTS, random_problem

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import (
    OBJECTIVES,
    DispatchProblem,
    ElectricVehicle,
    GridLimits,
    MemberExchange,
    Outlook,
    ShiftableLoad,
    ShiftableRun,
    Stay,
    Storage,
    Weights,
)
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.explanation.conflict import Kept, find_conflict
from digital_twin.optimization.explanation.explain import MODES_STAY, Explanation, explain_plan
from digital_twin.optimization.explanation.infeasible import explain_infeasible
from digital_twin.optimization.explanation.limit_values import UNTOLD
from digital_twin.optimization.explanation.relaxable import Limit
from digital_twin.optimization.explanation.sized_limits import sized_limits
from digital_twin.optimization.explanation.wording import amount, money, objective_unit
from digital_twin.optimization.linear_program import OutOfTime
from digital_twin.optimization.plan import Powers

COST = OBJECTIVES["minimize_cost"]


def explained(problem: DispatchProblem, weights: Weights = COST) -> Explanation:
    return explain_plan(problem, weights, zone=UTC, currency="EUR")


def best(problem: DispatchProblem, weights: Weights = COST) -> float:
    return plan_dispatch(problem, weights).objective_value


# Sentences


def test_of_plans_that_are_as_good_the_one_that_is_kept_is_explained() -> None:
    steps = 4
    outlook = Outlook(
        TimeGrid(MONDAY, steps, 60), np.full(steps, 5.0), np.zeros(steps), np.full(steps, 0.3), np.full(steps, 0.1),
        np.full(steps, 0.2),
    )  # fmt: skip
    problem = DispatchProblem(outlook, Storage(10, 4, 1.0, 1.0, 0, 4), GridLimits(20, 20))
    for at in range(steps):
        charge = 4.0 * (np.arange(steps) == at)
        powers = Powers(charge, np.zeros(steps), np.zeros(steps))
        ((action, text),) = explain_plan(problem, COST, powers, zone=UTC, currency="EUR").actions
        assert (action.first, action.end, action.deed) == (at, at + 1, "charges")
        assert text.startswith(f"0{at}:00 to 0{at + 1}:00: storage charges 4 kWh: a kWh costs 0.300 EUR then")


def test_the_worked_case_in_words() -> None:
    found = explained(case_1())
    assert [text for _, text in found.limits] == [
        "The energy to be left at the end of 20 kWh holds the plan back at 01:30. 1 kWh more would cost 0.24 EUR over "
        "2 hours; 1 kWh less would save 0.24 EUR.",
        "The storage power of 40 kW holds the plan back in 3 intervals, first at 00:00. 10 kW more would save 1.41 EUR "
        "over 2 hours; 1 kW less would cost 0.14 EUR.",
    ]
    assert [text for _, text in found.actions] == [
        "00:00 to 01:00: storage charges 40 kWh: a kWh costs 0.125 EUR then and is worth 0.216 later; it uses its "
        "full power.",
        "01:00 to 02:00: storage discharges 28.8 kWh: a kWh saves 0.369 EUR then and would be worth 0.300 if kept.",
    ]
    assert found.notes == ()


def test_a_storage_that_may_end_empty_holds_nothing_back() -> None:
    problem = replace(case_1(), storage=replace(case_1().storage, final_min_kwh=0.0))
    found = explained(problem)
    [text] = [text for value, text in found.limits if value.limit == "final_soc_min_kwh"]
    assert text == "The storage ends empty; 1 kWh to be left then would cost 0.22 EUR over 2 hours."


def test_a_tight_export_limit_in_words() -> None:
    problem = replace(case_4(96), limits=GridLimits(800, 100))
    [text] = [text for value, text in explained(problem).limits if value.limit == "grid_export_limit_kw"]
    assert text == (
        "The export limit of 100 kW holds the plan back in 8 intervals, first at 11:45. 10 kW more would save 1.60 EUR "
        "a day; 0.1 kW less would cost 0.016 EUR."
    )
    curtailed = [text for value, text in explained(problem).actions if value.deed == "curtails"]
    assert curtailed == [
        "11:45 to 13:45: 135 kWh of generation is curtailed; one more kWh on site would be worth 0.00 EUR."
    ]


def test_devices_are_told_by_name_at_local_time() -> None:
    problem = replace(
        case_4(24),
        devices=(
            ElectricVehicle("car", 50, 11, (Stay(0, 7, 10, 40),), charge_efficiency=1.0),
            ShiftableRun("washer", (2.0, 1.0), 8, 20),
        ),
    )
    found = explain_plan(problem, COST, zone=ZoneInfo("Europe/Vienna"), currency="EUR")
    texts = [text for value, text in found.actions if value.device_id]
    assert texts == [
        "03:00 to 06:00: car charges 30 kWh: a kWh costs 0.115 EUR then and is worth 0.118 later.",
        "13:00 to 15:00: washer takes 3 kWh: a kWh costs 0.0800 EUR then, 0.170 on average when it may run.",
    ]
    departure = next(text for value, text in found.limits if value.limit == "devices.car.departure_soc_min_kwh")
    assert departure.startswith(
        "The energy at departure of car of 40 kWh holds the plan back at 07:00. 1 kWh more would"
    )


@pytest.mark.parametrize(
    ("weights", "unit"),
    [
        (COST, "EUR"),
        (OBJECTIVES["maximize_welfare"], "EUR"),
        (OBJECTIVES["minimize_emissions"], "kg CO2"),
        (OBJECTIVES["minimize_peak"], "kW of peak"),
        (OBJECTIVES["maximize_self_consumption"], "kWh exported"),
        (Weights(cost=1.0, peak=3.0), "of the weighted sum"),
        (Weights(emissions=2.0), "of the weighted sum"),
    ],
)
def test_the_unit_of_the_objective(weights: Weights, unit: str) -> None:
    assert objective_unit(weights, "EUR") == unit


def test_amounts_have_three_digits_and_money_at_least_cents() -> None:
    assert [amount(one) for one in (0, 0.012345, 5.4799, 20, 1234.5, 100)] == [
        "0",
        "0.0123",
        "5.48",
        "20",
        "1234",
        "100",
    ]
    assert [money(one) for one in (0, 0.00012345, 0.141, 1.41, 1234.5)] == [
        "0.00",
        "0.000123",
        "0.141",
        "1.41",
        "1234.50",
    ]


# Numbers


@pytest.mark.parametrize("seed", range(40))
def test_the_worth_of_each_limit_is_what_planning_again_finds_on_either_side(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = replace(random_problem(generator), devices=())
    weights = WEIGHTS[int(generator.integers(len(WEIGHTS)))]
    try:
        found, here = explained(problem, weights), best(problem, weights)
    except Infeasible:
        return
    if found.notes:
        return  # with other sizes other modes may be best
    sizes = {one.name: one for one in sized_limits(problem)}
    told, judged = {one.limit: one for one, _ in found.limits}, 0
    for name, limit in sizes.items():
        for sign, end, side in ((1, limit.most, "more"), (-1, limit.least, "less")):
            slope = getattr(told[name], side) if name in told else None
            if slope is UNTOLD:
                continue
            reach = min(slope.reach if slope else 0.01, abs(end - limit.value))
            if reach < 1e-6:
                continue
            for share in (1.0, 0.3):
                try:
                    there = best(limit.resized(limit.value + sign * share * reach), weights)
                    judged += 1
                except Infeasible:
                    assert slope is None
                    continue
                change = slope.per_unit * share * reach if slope else 0.0
                assert there - here == pytest.approx(change, abs=2e-6 * max(1.0, abs(here)))
    assert judged >= 6


def test_a_limit_that_just_suffices_has_two_worths() -> None:
    """The storage ends where it would anyway: more must be bought, less cannot be sold."""
    storage = Storage(10, 5, 1.0, 1.0, 4, 4)
    problem = case_1()
    flat = replace(
        problem.outlook,
        pv_kw=np.zeros(4),
        import_price_per_kwh=np.full(4, 0.3),
        export_price_per_kwh=np.full(4, 0.1),
        load_kw=np.zeros(4),
    )
    found = explained(replace(problem, outlook=flat, storage=storage))
    [value] = [value for value, _ in found.limits if value.limit == "final_soc_min_kwh"]
    assert value.more is not None
    assert value.less is not None
    assert (value.more.per_unit, value.less.per_unit) == (pytest.approx(0.3), pytest.approx(-0.1))
    assert (value.more.reach, value.less.reach) == (pytest.approx(6), pytest.approx(4))


def test_what_needs_a_choice_is_said_to_stay() -> None:
    problem = replace(case_1(), devices=(ShiftableRun("washer", (2.0, 1.0), 0, 4),))
    outlook = replace(problem.outlook, import_price_per_kwh=np.array([0.2, -0.3, 0.2, -0.3]))
    assert explained(replace(problem, outlook=outlook)).notes == (MODES_STAY,)


def test_nothing_is_promised_in_the_gap_below_a_minimum_power() -> None:
    """Half as much power again cannot be used: what is left of the energy would be less than the minimum."""
    load = ShiftableLoad("pump", 4.0, 4.0, 0, 4, minimum_power_kw=4.0)
    problem = replace(case_1(), devices=(load,))
    here = best(problem)
    assert best(replace(problem, devices=(replace(load, power_kw=6.0),))) == pytest.approx(here)
    assert best(replace(problem, devices=(replace(load, power_kw=8.0),))) < here - 0.1
    assert not [value for value, _ in explained(problem).limits if value.limit == "devices.pump.power_kw"]


# No plan


def no_plan(problem: DispatchProblem) -> Infeasible:
    with pytest.raises(Infeasible) as caught:
        plan_dispatch(problem, COST)
    return caught.value


def evening(storage: Storage, limits: GridLimits, **changes: object) -> DispatchProblem:
    problem = case_1()
    outlook = replace(problem.outlook, load_kw=np.array([10.0, 10, 60, 10]), pv_kw=np.zeros(4))
    return replace(problem, outlook=outlook, storage=storage, limits=limits, **changes)


def test_the_conflict_names_limits_and_when_they_clash() -> None:
    facts = no_plan(evening(Storage(100, 20, 1.0, 1.0, 50, 0), GridLimits(30, 30))).facts
    assert facts["conflict"] == [
        {
            "limit": "max_storage_power_kw",
            "unit": "kW",
            "value": 20,
            "start": "2026-03-02T01:00:00Z",
            "end": "2026-03-02T01:30:00Z",
        },
        {
            "limit": "grid_import_limit_kw",
            "unit": "kW",
            "value": 30,
            "start": "2026-03-02T01:00:00Z",
            "end": "2026-03-02T01:30:00Z",
        },
    ]


def test_what_comes_closest_passes_limits_by_the_least_and_is_marked_as_no_plan() -> None:
    closest = no_plan(evening(Storage(100, 20, 1.0, 1.0, 50, 0), GridLimits(30, 30))).facts["least_violation"]
    assert closest["is_a_plan"] is False
    assert closest["passes"] == [
        {
            "limit": "grid_import_limit_kw",
            "unit": "kW",
            "most": pytest.approx(10),
            "intervals": 1,
            "first_interval": "2026-03-02T01:00:00Z",
        }
    ]
    assert closest["import_kw"][2] == pytest.approx(40)
    balance = np.array(closest["import_kw"]) - closest["export_kw"] + closest["discharge_kw"] - closest["charge_kw"]
    assert balance == pytest.approx([10, 10, 60, 10])


def given_up(problem: DispatchProblem, names: set[str]) -> DispatchProblem:
    store, limits, far = problem.storage, problem.limits, 1e6
    return replace(
        problem,
        limits=replace(
            limits,
            import_kw=far if "grid_import_limit_kw" in names else limits.import_kw,
            export_kw=far if "grid_export_limit_kw" in names else limits.export_kw,
        ),
        storage=replace(
            store,
            final_min_kwh=0.0 if "final_soc_min_kwh" in names else store.final_min_kwh,
            power_kw=far if "max_storage_power_kw" in names else store.power_kw,
            capacity_kwh=far if "total_storage_capacity_kwh" in names else store.capacity_kwh,
        ),
    )


ALL_LIMITS = {
    "grid_import_limit_kw",
    "grid_export_limit_kw",
    "final_soc_min_kwh",
    "max_storage_power_kw",
    "total_storage_capacity_kwh",
}


def test_a_conflict_is_one_and_none_has_fewer_limits() -> None:
    """Random days without a plan: with all other limits given up there is still none, and with fewer kept there is."""
    judged = 0
    for seed in range(400):
        problem = random_problem(np.random.default_rng(seed))
        problem = replace(problem, devices=(), storage=replace(problem.storage, reserve_kwh=0.0))
        if problem.storage.power_kw == 0:
            continue
        facts: dict[str, Any] = {}
        try:
            plan_dispatch(problem, COST)
        except Infeasible as error:
            facts = error.facts
        if facts:
            conflict = {one["limit"] for one in facts["conflict"]}
            no_plan(given_up(problem, ALL_LIMITS - conflict))
            assert facts["conflict_is"] == "smallest"
            for fewer in combinations(sorted(ALL_LIMITS), len(conflict) - 1):
                plan_dispatch(given_up(problem, ALL_LIMITS - set(fewer)), COST)
                judged += 1
    assert judged > 20


def crowded(cars: int) -> DispatchProblem:
    """Generation that the connection does not let out, and cars that it does not let in together."""
    problem = evening(Storage(0, 0, 1.0, 1.0, 0, 0), GridLimits(54, 30), curtailable=False)
    outlook = replace(problem.outlook, load_kw=np.full(4, 10.0), pv_kw=np.array([0.0, 0, 0, 50]))
    devices = tuple(
        ElectricVehicle(f"car_{one}", 50, 11, (Stay(0, 2, 10, 19),), charge_efficiency=1.0) for one in range(cars)
    )
    return replace(problem, outlook=outlook, devices=devices)


def test_the_conflict_with_the_fewest_limits_is_told_where_there_are_several() -> None:
    facts = no_plan(crowded(5)).facts
    assert [one["limit"] for one in facts["conflict"]] == ["grid_export_limit_kw"]
    assert facts["conflict_is"] == "smallest"


def test_with_many_limits_a_conflict_is_told_as_irreducible() -> None:
    facts = no_plan(replace(crowded(40), curtailable=True)).facts
    assert facts["conflict_is"] == "irreducible"
    assert len([one for one in facts["conflict"] if one["limit"].startswith("devices.")]) == 5
    assert [one["limit"] for one in facts["limits"]] == ["grid_import_limit_kw"]


def test_without_time_the_answer_says_that_more_may_be_in_the_way() -> None:
    error = explain_infeasible(crowded(5), time_limit_s=0.0)
    assert str(error) == ("no schedule respects every limit; the time was over before it was known what it would take")
    assert error.facts == {"limits": []}


LIMITS = [Limit(name, "kW", 1.0, (name,), np.ones(4)) for name in "abcdefgh"]


def clashes(generator: np.random.Generator) -> list[set[str]]:
    """Sets of limits each of which cannot be kept together."""
    names = [one.name for one in LIMITS]
    sizes = generator.integers(1, 6, generator.integers(1, 8))
    return [set(generator.choice(names, size, replace=False)) for size in sizes]


@pytest.mark.parametrize("seed", range(100))
def test_the_smallest_conflict_is_found_among_many(seed: int) -> None:
    known = clashes(np.random.default_rng(seed))
    found = find_conflict(LIMITS, 4, lambda kept: not any(one <= {k.limit.name for k in kept} for one in known))
    assert found is not None
    assert found.proof == "smallest"
    assert {one.limit.name for one in found.kept} in known
    assert len(found.kept) == min(len(one) for one in known)


@pytest.mark.parametrize("seed", range(30))
def test_whenever_the_time_is_over_what_is_told_is_a_conflict(seed: int) -> None:
    known, proofs = clashes(np.random.default_rng(seed)), []
    for patience in range(1, 60):
        answers = iter(range(patience))

        def has_plan(kept: Iterable[Kept]) -> bool:
            if next(answers, None) is None:  # noqa: B023  used within this turn alone
                raise OutOfTime(0.0)
            return not any(one <= {k.limit.name for k in kept} for one in known)

        found = find_conflict(LIMITS, 4, has_plan)
        assert found is not None
        names = {one.limit.name for one in found.kept}
        assert any(one <= names for one in known)
        if found.proof != "unfinished":
            assert not any(one < names for one in known)
        proofs.append(("unfinished", "irreducible", "smallest").index(found.proof))
    assert proofs == sorted(proofs)
    assert (proofs[0], proofs[-1]) == (0, 2)


def test_a_departure_that_cannot_be_reached_is_in_the_conflict() -> None:
    car = ElectricVehicle("car", 50, 11, (Stay(0, 2, 10, 40),))
    facts = no_plan(replace(case_1(), devices=(car,))).facts
    assert [one["limit"] for one in facts["conflict"]] == ["devices.car.departure_soc_min_kwh"]
    assert facts["conflict"][0]["start"] == "2026-03-02T00:30:00Z"


def test_under_sharing_plans_are_explained_as_well() -> None:
    problem = case_1()
    members = np.array([[20.0, 40, 60, 90]])
    exchange = MemberExchange(members, np.array([[80.0, 40, 0, 0]]), np.full(4, 0.1), SharingRule.DYNAMIC, 30)
    problem = replace(problem, exchange=exchange, curtailable=False)
    found = explained(problem)
    assert found.actions
    here = best(problem)
    for value, _ in found.limits:
        limit = next(one for one in sized_limits(problem) if one.name == value.limit)
        if value.more is not None:
            there = best(limit.resized(limit.value + value.more.reach))
            assert there - here == pytest.approx(value.more.per_unit * value.more.reach, abs=1e-5)
