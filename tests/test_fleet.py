"""Plans of fleets against a general solver, and what makes them trustworthy: bounds, checks, repeatability."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import bmat, csr_matrix, diags, hstack, identity, vstack
from tests.fleets import KINDS, LargeProgram, fleet, large_program, rows

from digital_twin.domain.errors import Infeasible, InvalidInput, Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.check import net_injection_kw, violations
from digital_twin.optimization.fleet.dispatch import plan_fleet
from digital_twin.optimization.fleet.interior_point import InteriorPoint
from digital_twin.optimization.fleet.plan import FleetMembers, FleetPlan, FleetProblem, FleetProgress, FleetStorages
from digital_twin.optimization.plan import GridLimits

TOLERANCE = 1e-4
ROUNDING = 2e-6
"""What HiGHS leaves of feasibility and of optimality, relative to the cost."""


def least_cost(problem: FleetProblem, *, whole: bool = False) -> float | None:
    """By HiGHS on the large program; None if there is no plan. With `whole` no storage charges while discharging."""
    program = large_program(problem)
    if whole:
        program, integrality = _with_modes(problem, program)
    else:
        integrality = np.zeros(program.cost.size)
    constraint = LinearConstraint(program.matrix, program.row_lower, program.row_upper)
    found = milp(program.cost, constraints=constraint, bounds=(program.lower, program.upper), integrality=integrality)
    return None if found.x is None else float(found.fun + program.constant)


def _with_modes(problem: FleetProblem, program: LargeProgram) -> tuple[LargeProgram, Array]:
    size = problem.storages.charge_max_kw.size
    rest = program.cost.size - 2 * size
    charge, discharge = program.upper[:size], program.upper[size : 2 * size]
    none = csr_matrix((size, rest))
    modes = bmat([
        [identity(size), csr_matrix((size, size)), none, diags(-charge)],
        [csr_matrix((size, size)), identity(size), none, diags(discharge)],
    ])  # fmt: skip
    wide = vstack([hstack([program.matrix, csr_matrix((program.matrix.shape[0], size))]), modes])
    widened = LargeProgram(
        np.concatenate([program.cost, np.zeros(size)]),
        csr_matrix(wide),
        np.concatenate([program.row_lower, np.full(2 * size, -np.inf)]),
        np.concatenate([program.row_upper, np.zeros(size), discharge]),
        np.concatenate([program.upper, np.ones(size)]),
        np.concatenate([program.lower, np.zeros(size)]),
        program.constant,
    )
    return widened, np.concatenate([np.zeros(program.cost.size), np.ones(size)])


def assert_optimal(problem: FleetProblem, plan: FleetPlan) -> None:
    """The bounds of the plan enclose what HiGHS finds, and are near each other."""
    optimum = least_cost(problem)
    assert optimum is not None
    rounding = ROUNDING * max(1.0, abs(optimum))
    assert plan.lower_bound - rounding <= optimum <= plan.cost + rounding
    assert plan.gap <= TOLERANCE
    assert plan.status == "optimal"
    assert not violations(problem, plan)


def with_hard_limits(problem: FleetProblem) -> FleetProblem:
    return replace(problem, limits=replace(problem.limits, beyond_per_kwh=None))


def behind_fuses(problem: FleetProblem, seed: int) -> FleetProblem:
    """Fuses that hold back storages and let out less than the sun gives; a fifth may not be curtailed."""
    generator = np.random.default_rng(seed)
    members, count = problem.members, problem.members.load_kw.shape[0]
    strength = problem.storages.charge_max_kw.max(axis=1)
    inward = (members.load_kw - members.pv_kw).max(axis=1) + generator.uniform(0, 0.5, count) * strength
    curtailable = generator.random(count) < 0.8
    surplus = (members.pv_kw - members.load_kw).max(axis=1)
    outward = np.where(curtailable, generator.uniform(0.3, 0.9, count) * surplus, surplus) + 0.01
    return replace(
        problem,
        members=replace(
            members, curtailable=curtailable, import_fuse_kw=np.maximum(inward, 0.5),
            export_fuse_kw=np.maximum(outward, 0.1),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("members", [10, 40])
def test_bounds_enclose_the_optimum_of_a_general_solver(kind: str, members: int) -> None:
    problem = fleet(kind, members, 7, steps=48)
    assert_optimal(problem, plan_fleet(problem))


@pytest.mark.parametrize("kind", ["base", "flat tariff", "import limit", "export limit", "third without battery"])
def test_hard_limits_are_kept_at_the_least_cost(kind: str) -> None:
    problem = with_hard_limits(fleet(kind, 20, 3, steps=48))
    assert_optimal(problem, plan_fleet(problem))


@pytest.mark.parametrize("seed", range(6))
def test_fuses_and_own_curtailment_are_planned_exactly(seed: int) -> None:
    problem = behind_fuses(fleet(KINDS[seed % 4], 15, seed, steps=48), seed)
    plan = plan_fleet(problem)
    assert_optimal(problem, plan)
    injection = net_injection_kw(problem, plan)
    assert (np.abs(injection - problem.members.export_fuse_kw[:, None]) < 1e-4).any()


def test_what_is_left_at_the_end_and_the_peak_so_far_count() -> None:
    problem = fleet("base", 12, 1, steps=48)
    assert problem.peak is not None
    worth = np.random.default_rng(0).uniform(0, 0.4, 12)
    problem = replace(
        problem,
        storages=replace(problem.storages, end_value_per_kwh=worth),
        peak=replace(problem.peak, per_kw=3.0, so_far_kw=2.0),
    )
    assert_optimal(problem, plan_fleet(problem))
    assert_optimal(replace(problem, peak=None), plan_fleet(replace(problem, peak=None)))


def test_vehicles_that_must_charge_all_the_time_are_planned() -> None:
    problem = fleet("base", 6, 2, steps=24)
    storages = problem.storages
    lowest = storages.lowest_kwh.copy()
    reached = storages.initial_kwh + storages.charge_efficiency * storages.charge_max_kw[:, 0] * 3
    lowest[:3, 2] = np.minimum(reached, storages.highest_kwh[:, 0])[:3]
    problem = replace(problem, storages=replace(storages, lowest_kwh=lowest))
    assert_optimal(problem, plan_fleet(problem))


def test_without_any_storage_the_plan_is_the_connection_alone() -> None:
    problem = fleet("base", 5, 0, steps=24)
    nothing = np.zeros(0, dtype=np.int64)
    problem = replace(problem, storages=rows(problem.storages, nothing, nothing))
    assert_optimal(problem, plan_fleet(problem))


def test_storages_without_room_take_no_part() -> None:
    problem = fleet("base", 4, 0, steps=24)
    still = np.zeros_like(problem.storages.charge_max_kw)
    problem = replace(problem, storages=replace(problem.storages, charge_max_kw=still, discharge_max_kw=still))
    plan = plan_fleet(problem)
    assert_optimal(problem, plan)
    assert np.array_equal(plan.soc_kwh, np.repeat(problem.storages.initial_kwh[:, None], 24, axis=1))


def test_a_member_may_have_a_battery_and_a_vehicle() -> None:
    problem = fleet("EV", 16, 5, steps=48)
    problem = replace(problem, storages=replace(problem.storages, member=np.arange(16) // 2))
    assert_optimal(problem, plan_fleet(problem))


def test_two_storages_that_one_fuse_may_hold_back_are_refused() -> None:
    problem = fleet("base", 4, 5, steps=24)
    members = replace(problem.members, import_fuse_kw=np.full(4, 6.0))
    storages = replace(problem.storages, member=np.array([0, 1, 2, 2]))
    with pytest.raises(InvalidInput, match="import fuse of member 2 is shared by 2 storages"):
        plan_fleet(replace(problem, members=members, storages=storages))


@pytest.mark.parametrize("seed", range(3))
def test_at_negative_prices_no_storage_burns_energy(seed: int) -> None:
    problem = fleet("base", 6, seed, steps=24)
    price = problem.import_price_per_kwh.copy()
    price[10:15] = -0.4
    problem = replace(problem, import_price_per_kwh=price, export_price_per_kwh=price - 0.05)
    plan = plan_fleet(problem)
    optimum = least_cost(problem, whole=True)
    assert optimum is not None
    assert plan.lower_bound <= optimum + ROUNDING * max(1.0, abs(optimum))
    assert plan.cost <= optimum + 0.02 * abs(optimum)
    assert not violations(problem, plan)


def test_a_storage_that_cannot_keep_its_bounds_is_named() -> None:
    problem = fleet("base", 8, 4, steps=48)
    lowest = problem.storages.lowest_kwh.copy()
    lowest[5, 0] = problem.storages.highest_kwh[5, 0]
    with pytest.raises(Infeasible, match=r"storage 5 of member 5 .* around 2026-03-02T00:30.* kWh are missing") as told:
        plan_fleet(replace(problem, storages=replace(problem.storages, lowest_kwh=lowest)))
    (limit,) = told.value.facts["limits"]
    lowest[5, 0] -= limit["relax_by"] + 1e-5
    plan = plan_fleet(replace(problem, storages=replace(problem.storages, lowest_kwh=lowest)))
    assert plan.status == "optimal"


def test_a_fuse_that_is_too_small_is_named() -> None:
    problem = fleet("base", 8, 4, steps=48)
    fuses = np.full(8, np.inf)
    fuses[3] = 0.01
    still = np.zeros_like(problem.storages.charge_max_kw)
    problem = replace(
        problem,
        members=replace(problem.members, import_fuse_kw=fuses),
        storages=replace(problem.storages, charge_max_kw=still, discharge_max_kw=still),
    )
    with pytest.raises(Infeasible, match=r"import_fuse_kw of member 3 is .* kW too small at"):
        plan_fleet(problem)


def test_limits_that_no_plan_keeps_are_named_with_what_would_do() -> None:
    problem = replace(fleet("base", 10, 6, steps=48), limits=GridLimits(0.1, 100.0))
    assert least_cost(problem) is None
    with pytest.raises(Infeasible, match="kW more of grid_import_limit_kw would do") as told:
        plan_fleet(problem)
    (limit,) = told.value.facts["limits"]
    relaxed = replace(problem, limits=GridLimits(0.1 + limit["relax_by"] + 1e-3, 100.0))
    assert not violations(relaxed, plan_fleet(relaxed))


def test_identical_storages_get_equal_plans() -> None:
    plan = plan_fleet(fleet("identical", 12, 1, steps=48))
    assert plan.charge_kw.max() > 0.1
    for power in (plan.charge_kw, plan.discharge_kw, plan.soc_kwh):
        assert (power == power[0]).all()


def test_the_order_of_members_does_not_matter() -> None:
    problem = fleet("base", 20, 9, steps=48)
    order = np.random.default_rng(1).permutation(20)
    members, storages = problem.members, rows(problem.storages, order, np.arange(20))
    turned = replace(
        problem,
        members=replace(members, load_kw=members.load_kw[order], pv_kw=members.pv_kw[order]),
        storages=storages,
    )
    one, other = plan_fleet(problem), plan_fleet(turned)
    assert max(one.lower_bound, other.lower_bound) <= min(one.cost, other.cost)
    assert one.cost == pytest.approx(other.cost, rel=2 * TOLERANCE)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_unit_of_money_does_not_matter(factor: float) -> None:
    problem = fleet("base", 20, 9, steps=48)
    assert problem.peak is not None
    assert problem.limits.beyond_per_kwh is not None
    dear = replace(
        problem,
        import_price_per_kwh=factor * problem.import_price_per_kwh,
        export_price_per_kwh=factor * problem.export_price_per_kwh,
        limits=replace(problem.limits, beyond_per_kwh=factor * problem.limits.beyond_per_kwh),
        peak=replace(problem.peak, per_kw=factor * problem.peak.per_kw),
        storages=replace(problem.storages, wear_per_kwh=factor * problem.storages.wear_per_kwh),
    )
    one, other = plan_fleet(problem), plan_fleet(dear)
    assert other.status == "optimal"
    assert one.cost == pytest.approx(other.cost / factor, rel=2 * TOLERANCE)


def test_the_same_question_gets_the_same_answer_to_the_last_digit() -> None:
    problem = fleet("EV", 70, 2, steps=48)
    one, other = plan_fleet(problem), plan_fleet(problem)
    assert np.array_equal(one.charge_kw, other.charge_kw)
    assert (one.cost, one.lower_bound, one.iterations) == (other.cost, other.lower_bound, other.iterations)


def test_iterations_that_are_thrown_off_find_back(monkeypatch: pytest.MonkeyPatch) -> None:
    step, taken = InteriorPoint.step, []

    def thrown_off(self: InteriorPoint, least_barrier: float) -> None:
        step(self, least_barrier)
        taken.append(least_barrier)
        if len(taken) == 8:
            self.prices = self.prices + 40.0

    monkeypatch.setattr(InteriorPoint, "step", thrown_off)
    problem = fleet("base", 20, 9, steps=48)
    assert_optimal(problem, plan_fleet(problem))
    assert len(taken) > 8


def test_out_of_time_the_best_plan_so_far_comes_with_its_gap() -> None:
    problem = fleet("base", 30, 9, steps=48)
    plan = plan_fleet(problem, time_limit_s=0.0)
    assert not violations(problem, plan)
    optimum = least_cost(problem)
    assert optimum is not None
    assert plan.lower_bound < optimum < plan.cost
    assert plan.status == "feasible"
    assert plan.gap > TOLERANCE


def test_out_of_time_nothing_beyond_hard_limits_is_a_plan() -> None:
    problem = with_hard_limits(fleet("import limit", 30, 9, steps=48))
    problem = replace(problem, limits=replace(problem.limits, import_kw=0.7 * problem.limits.import_kw))
    with pytest.raises(Unavailable, match="raise OPTIMIZATION_TIMEOUT_MINUTES"):
        plan_fleet(problem, time_limit_s=0.0)


def test_progress_is_told_until_the_bounds_meet() -> None:
    told: list[FleetProgress] = []
    plan = plan_fleet(fleet("base", 20, 9, steps=48), progress=told.append)
    assert [each.iterations for each in told] == sorted(each.iterations for each in told)
    assert told[-1].gap <= TOLERANCE
    assert told[-1].iterations == plan.iterations
    bounds = np.array([each.lower_bound for each in told])
    assert (bounds[1:] >= bounds[:-1]).all()


CORRUPTIONS: dict[str, Callable[[FleetPlan], FleetPlan]] = {
    "the state of charge": lambda plan: replace(plan, soc_kwh=plan.soc_kwh + 0.01),
    "the least energy": lambda plan: replace(plan, soc_kwh=plan.soc_kwh - 100.0),
    "the most energy": lambda plan: replace(plan, soc_kwh=plan.soc_kwh + 100.0),
    "the charging power": lambda plan: replace(plan, charge_kw=plan.charge_kw + 100.0),
    "the discharging power": lambda plan: replace(plan, discharge_kw=plan.discharge_kw - 0.1),
    "charging while discharging": lambda plan: replace(
        plan, charge_kw=plan.charge_kw + 0.1, discharge_kw=plan.discharge_kw + 0.1
    ),
    "the available generation": lambda plan: replace(plan, curtailed_kw=plan.curtailed_kw - 0.1),
    "curtailment where there is none": lambda plan: replace(plan, curtailed_kw=plan.curtailed_kw + 0.1),
    "a member's import fuse": lambda plan: replace(plan, charge_kw=plan.charge_kw + 10.0),
    "a member's export fuse": lambda plan: replace(plan, discharge_kw=plan.discharge_kw + 10.0),
    "the community's balance": lambda plan: replace(plan, import_kw=plan.import_kw + 0.1),
    "importing while exporting": lambda plan: replace(
        plan, import_kw=plan.import_kw + 1.0, export_kw=plan.export_kw + 1.0
    ),
    "a negative power": lambda plan: replace(plan, export_kw=plan.export_kw - 1.0),
    "grid_import_limit_kw": lambda plan: replace(plan, import_kw=plan.import_kw + 100.0),
    "grid_export_limit_kw": lambda plan: replace(plan, export_kw=plan.export_kw + 100.0),
    "its cost": lambda plan: replace(plan, cost=plan.cost * 0.99),
    "its bound": lambda plan: replace(plan, lower_bound=plan.cost + 1.0),
}


@pytest.fixture(scope="module")
def checked() -> tuple[FleetProblem, FleetPlan]:
    problem = with_hard_limits(behind_fuses(fleet("base", 10, 1, steps=24), 4))
    return problem, plan_fleet(problem)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_check_finds_what_is_wrong(name: str, checked: tuple[FleetProblem, FleetPlan]) -> None:
    problem, plan = checked
    assert violations(problem, plan) == []
    assert name in violations(problem, CORRUPTIONS[name](plan))


@pytest.mark.parametrize("name", ["soc_kwh", "charge_kw", "import_kw", "curtailed_kw"])
def test_the_check_finds_what_is_no_number(name: str, checked: tuple[FleetProblem, FleetPlan]) -> None:
    problem, plan = checked
    values = getattr(plan, name).copy()
    values.flat[-1] = np.nan
    assert violations(problem, replace(plan, **{name: values}))


def test_members_together_are_the_community(checked: tuple[FleetProblem, FleetPlan]) -> None:
    problem, plan = checked
    assert plan.export_kw - plan.import_kw == pytest.approx(net_injection_kw(problem, plan).sum(axis=0), abs=1e-6)


def test_arrays_that_do_not_fit_are_refused_with_their_place() -> None:
    problem = fleet("base", 3, 0, steps=24)
    load = problem.members.load_kw.copy()
    load[2, 7] = np.nan
    with pytest.raises(InvalidInput, match=r"load_kw must be finite and >= 0, 2\.7 is not"):
        replace(problem.members, load_kw=load)
    with pytest.raises(InvalidInput, match=r"charge_efficiency must lie in \(0, 1\]"):
        replace(problem.storages, charge_efficiency=np.full(3, 1.2))
    with pytest.raises(InvalidInput, match="belongs to member 9 of 3"):
        replace(problem, storages=replace(problem.storages, member=np.array([0, 9, 1])))
    with pytest.raises(InvalidInput, match=r"wear_per_kwh must be of shape \(3,\), got \(2,\)"):
        replace(problem.storages, wear_per_kwh=np.zeros(2))
    assert isinstance(problem.members, FleetMembers)
    assert isinstance(problem.storages, FleetStorages)
