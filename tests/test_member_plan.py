"""Plans by member: what each pays adds up to what all pay, and their own rules are those of a single home."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fleets import KINDS, fleet

from digital_twin.optimization.baseline import self_consumption_rule
from digital_twin.optimization.devices import Storage
from digital_twin.optimization.fleet.plan import FleetMembers, FleetProblem, FleetStorages
from digital_twin.optimization.member_plan import MembersAnswer, MembersQuestion, plan_members
from digital_twin.optimization.member_rules import MemberPrices, at_the_connection, by_own_rules, member_costs
from digital_twin.optimization.plan import DispatchProblem, GridLimits, Outlook

ROUNDING = 1e-9
MONEY = 1e-6
"""Powers are kept in single precision, costs are not."""


def question(kind: str, members: int = 12, seed: int = 3, steps: int = 48) -> MembersQuestion:
    """A fleet without a peak charge, whose members pay each other half way between the prices."""
    problem = replace(fleet(kind, members, seed, steps), peak=None)
    buying, selling = problem.import_price_per_kwh, problem.export_price_per_kwh
    vehicles = problem.storages.charge_max_kw.min(axis=1) == 0
    prices = MemberPrices(buying, selling, (buying + selling) / 2)
    return MembersQuestion(problem, prices, np.full(steps, 0.2), vehicles, members)


@pytest.mark.parametrize("kind", KINDS)
def test_what_members_pay_adds_up_to_what_the_community_pays_for_energy(kind: str):
    asked = question(kind)
    limited = replace(asked.fleet, limits=GridLimits(1e6, 1e6))
    answer = plan_members(replace(asked, fleet=limited), time_limit_s=300)
    assert answer.cost.sum() == pytest.approx(answer.facts["cost"], abs=MONEY)
    assert answer.saved.sum() == pytest.approx(answer.facts["rule_cost"] - answer.facts["cost"], abs=MONEY)
    assert answer.facts["cost"] <= answer.facts["rule_cost"] + answer.facts["gap"] * abs(answer.facts["cost"])


@pytest.mark.parametrize("kind", ["base", "EV"])
def test_powers_by_member_are_those_of_the_connection(kind: str):
    answer = plan_members(question(kind), time_limit_s=300)
    load, pv, charge, discharge, _, curtailed = answer.powers.astype(float).sum(axis=0)
    net = load + charge - discharge - pv + curtailed
    assert net == pytest.approx(answer.import_kw - answer.export_kw, abs=1e-3)
    assert answer.totals_kw[0] == pytest.approx(load, rel=1e-5)
    assert (answer.charging <= 12).all()
    assert answer.charging.max() > 0


def test_an_answer_comes_back_from_its_bytes():
    answer = plan_members(question("third without battery"), time_limit_s=300)
    again = MembersAnswer.from_bytes(answer.to_bytes())
    for name in ("powers", "cost", "saved", "has_storage", "charging", "totals_kw", "import_kw", "value_per_kwh"):
        assert np.array_equal(getattr(again, name), getattr(answer, name))
    assert again.facts == answer.facts


def test_the_last_row_may_stand_for_those_who_are_no_members():
    whole = question("base")
    answer = plan_members(replace(whole, members=11), time_limit_s=300)
    assert answer.powers.shape[0] == answer.cost.size == 11
    assert answer.totals_kw[0] == pytest.approx(whole.fleet.members.load_kw.sum(axis=0))


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_of_a_lone_home_is_that_of_a_community_of_one(seed: int):
    generator = np.random.default_rng(seed)
    problem = alone(generator)
    use = by_own_rules(problem, np.zeros(1, dtype=bool))
    same = self_consumption_rule(as_dispatch(problem))
    assert use.charge_kw[0] == pytest.approx(same.charge_kw, abs=ROUNDING)
    assert use.discharge_kw[0] == pytest.approx(same.discharge_kw, abs=ROUNDING)
    assert use.soc_kwh[0] == pytest.approx(same.soc_kwh, abs=ROUNDING)
    prices = MemberPrices(problem.import_price_per_kwh, problem.export_price_per_kwh, problem.import_price_per_kwh)
    assert member_costs(problem, prices, use)[0] == pytest.approx(same.cost, abs=1e-7)


def alone(generator: np.random.Generator, steps: int = 24) -> FleetProblem:
    base = fleet("base", 1, int(generator.integers(1000)), steps)
    limits = GridLimits(1e4, 1e4)
    return replace(base, limits=limits, peak=None)


def as_dispatch(problem: FleetProblem) -> DispatchProblem:
    storages, zero = problem.storages, np.zeros(problem.grid.steps)
    storage = Storage(
        float(storages.highest_kwh[0, 0]), float(storages.charge_max_kw[0, 0]), float(storages.charge_efficiency[0]),
        float(storages.discharge_efficiency[0]), float(storages.initial_kwh[0]), float(storages.lowest_kwh[0, -1]),
        float(storages.wear_per_kwh[0]),
    )  # fmt: skip
    members = problem.members
    outlook = Outlook(
        problem.grid, members.load_kw[0], members.pv_kw[0], problem.import_price_per_kwh, problem.export_price_per_kwh,
        zero,
    )  # fmt: skip
    return DispatchProblem(outlook, storage, problem.limits)


def home_with(storages: FleetStorages, load_kw: list[float], pv_kw: list[float], fuse_kw: float) -> FleetProblem:
    problem = alone(np.random.default_rng(0), len(load_kw))
    fuse = np.full(1, fuse_kw)
    members = FleetMembers(np.array([load_kw]), np.array([pv_kw]), np.ones(1, dtype=bool), fuse, fuse)
    return replace(problem, members=members, storages=storages)


def vehicle(steps: int, needed_kwh: float) -> FleetStorages:
    """Away in the first interval, there from the second to the last but one, full enough by then; gone again."""
    there = np.ones((1, steps))
    there[0, [0, -1]] = 0.0
    lowest = np.zeros((1, steps))
    lowest[0, -2] = needed_kwh
    one, none = np.ones(1), np.zeros((1, steps))
    return FleetStorages(
        np.zeros(1, dtype=np.int64), 4.0 * there, none, lowest, np.full((1, steps), 50.0), none, 10.0 * one, one, one,
        0.0 * one, 0.0 * one,
    )  # fmt: skip


def test_a_vehicle_charges_on_arrival_what_it_needs_and_no_more():
    steps = 24
    problem = home_with(vehicle(steps, 16.0), [0.0] * steps, [0.0] * steps, 100.0)
    hours = problem.grid.step_hours
    use = by_own_rules(problem, np.ones(1, dtype=bool))
    assert hours * use.charge_kw.sum() == pytest.approx(6.0)
    first = use.charge_kw[0, 1]
    assert first == pytest.approx(min(4.0, 6.0 / hours))
    assert use.charge_kw[0, 0] == use.charge_kw[0, -1] == 0


def test_a_vehicle_leaves_the_load_its_room_behind_the_fuse():
    steps = 24
    problem = home_with(vehicle(steps, 16.0), [3.0] * steps, [0.0] * steps, 4.0)
    use = by_own_rules(problem, np.ones(1, dtype=bool))
    assert use.charge_kw.max() <= 1.0 + ROUNDING


def test_generation_beyond_the_fuse_is_curtailed_under_the_rule():
    steps = 24
    problem = home_with(vehicle(steps, 10.0), [1.0] * steps, [9.0] * steps, 5.0)
    use = by_own_rules(problem, np.ones(1, dtype=bool))
    assert use.curtailed_kw == pytest.approx(np.full((1, steps), 3.0))
    assert at_the_connection(problem, use)[1] == pytest.approx(np.full(steps, 5.0))


def test_two_batteries_of_a_home_do_not_use_the_same_surplus():
    one = fleet("base", 2, 5, 24)
    storages = replace(one.storages, member=np.zeros(2, dtype=np.int64))
    members = one.members
    alone = FleetMembers(
        *(
            getattr(members, name)[:1]
            for name in ("load_kw", "pv_kw", "curtailable", "import_fuse_kw", "export_fuse_kw")
        )
    )
    use = by_own_rules(replace(one, members=alone, storages=storages), np.zeros(2, dtype=bool))
    surplus = alone.pv_kw[0] - alone.load_kw[0]
    assert (use.charge_kw.sum(axis=0) <= np.maximum(surplus, 0) + ROUNDING).all()
    assert (use.discharge_kw.sum(axis=0) <= np.maximum(-surplus, 0) + ROUNDING).all()
    assert use.charge_kw[1].sum() + use.discharge_kw[1].sum() > 0


def test_the_rule_that_breaks_a_limit_is_told():
    asked = question("import limit")
    tight = replace(asked.fleet, limits=GridLimits(asked.fleet.limits.import_kw, 1e6))
    answer = plan_members(replace(asked, fleet=tight), time_limit_s=300)
    assert answer.import_kw.max() <= tight.limits.import_kw * (1 + 1e-3)
    assert answer.facts["rule_breaks"] == ["grid_import_limit_kw"]
    assert answer.rule_import_kw.max() > tight.limits.import_kw


def test_the_cost_is_told_at_the_prices_that_are_paid():
    asked = question("base")
    dearer = replace(asked.fleet, import_price_per_kwh=asked.fleet.import_price_per_kwh + 0.1)
    answer = plan_members(replace(asked, fleet=dearer), time_limit_s=300)
    extra = 0.1 * dearer.grid.step_hours * answer.import_kw.sum()
    assert answer.facts["objective_value"] == pytest.approx(answer.facts["cost"] + extra, abs=MONEY)
