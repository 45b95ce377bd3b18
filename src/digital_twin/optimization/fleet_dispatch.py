"""A plan for every member's own storage: the least cost, with a certified gap, for ten or ten thousand of them.

Iterations of the interior point give courses and prices; from these come bounds that stand by themselves, and as soon
as they are near enough to each other the plan is taken from the upper one, checked independently and returned.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from digital_twin.domain.errors import Infeasible, TwinError, Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet import DEFAULT_GAP, FleetPlan, FleetProblem, FleetProgress, relative_gap
from digital_twin.optimization.fleet_bounds import Bounds
from digital_twin.optimization.fleet_check import POWER_TOLERANCE_KW, cost_of, violations
from digital_twin.optimization.fleet_grid import GridSide, grid_side
from digital_twin.optimization.fleet_presolve import StandardFleet, standard_fleet
from digital_twin.optimization.fleet_repair import follow_courses
from digital_twin.optimization.fleet_search import Search

SOLVER = "structured interior point"

_NEGLIGIBLE = 1e-8
"""Part of the load: a bound of what goes beyond limits that is no larger may be rounding."""

_COUNTED_KWH = 1.0
"""What goes beyond limits is found to a tenth of a thousandth of itself, or of a hundredth of this."""

Report = Callable[[FleetProgress], None]


class FleetPlanRefused(TwinError):
    """A fault of ours: the plan did not pass the independent check, so nobody gets it."""

    kind = "plan-refused"


def plan_fleet(
    problem: FleetProblem,
    *,
    tolerance: float = DEFAULT_GAP,
    time_limit_s: float = 600.0,
    progress: Report = lambda _: None,
) -> FleetPlan:
    """The plan of the least cost, within `tolerance` of it where time allows; identical storages get equal plans.

    Raises:
        Infeasible: no plan respects every bound and limit; the facts name those in the way.
        Unavailable: limits that cannot be exceeded, and no plan within them was found in time.
        FleetPlanRefused: the independent check found a fault.
    """
    until = time.monotonic() + time_limit_s
    plan = _plan(problem, tolerance, until, progress)
    if plan.gap > tolerance and time.monotonic() < until:
        plan = _in_one_direction(problem, plan, tolerance, until)
    broken = violations(problem, plan)
    if broken:
        raise FleetPlanRefused(
            f"the fleet's plan failed the independent check of {', '.join(broken)}; please report the request"
        )
    return plan


def _plan(problem: FleetProblem, tolerance: float, until: float, progress: Report) -> FleetPlan:
    standard = standard_fleet(problem)
    grid, hard = grid_side(problem, standard), problem.beyond_limits_per_kwh is None
    search = Search(
        standard, grid, Bounds(standard, grid, tolerance=tolerance, hard=hard), until=until, progress=progress
    )
    search.run()
    plan = _carried_out(problem, standard, grid, search)
    if hard and _exceeds(problem, plan):
        plan = replace(_within_limits(problem, standard, grid, until), lower_bound=plan.lower_bound)
        plan = replace(plan, gap=relative_gap(plan.lower_bound, plan.cost, 0.01 * grid.retail_cost))
    status = "optimal" if plan.gap <= tolerance else "feasible"
    return replace(plan, status=status)


def _carried_out(problem: FleetProblem, standard: StandardFleet, grid: GridSide, search: Search) -> FleetPlan:
    """The plan of the best courses."""
    bounds = search.bounds
    followed = np.empty((4, *bounds.courses.shape))
    everyone = np.array([0, bounds.courses.shape[0]])
    injection_kw, _ = follow_courses(standard.units, standard.end_value, bounds.courses, everyone, followed=followed)
    charge, discharge, soc, from_surplus = standard.of_storages(followed)
    curtailable_kw = _curtailable(problem, standard, charge, discharge)
    recourse = grid.recourse(injection_kw[0], bounds.prices, at_most_kw=curtailable_kw.sum(axis=0))
    spilled_kw = standard.spilled_kw.copy()
    np.subtract.at(spilled_kw, problem.storages.member, from_surplus)
    share = recourse.curtailed_kw / np.maximum(curtailable_kw.sum(axis=0), 1e-300)
    plan = FleetPlan(
        charge + from_surplus,
        discharge,
        soc,
        np.maximum(spilled_kw, 0.0) + np.minimum(share, 1.0) * curtailable_kw,
        recourse.import_kw,
        recourse.export_kw,
        bounds.prices[: problem.grid.steps] / problem.grid.step_hours,
        0.0,
        bounds.lower + standard.fixed_cost,
        np.inf,
        "feasible",
        SOLVER,
        search.iterations,
    )
    cost = cost_of(problem, plan)
    gap = relative_gap(plan.lower_bound, cost, 0.01 * grid.retail_cost)
    return replace(plan, cost=cost, gap=gap)


def _curtailable(problem: FleetProblem, standard: StandardFleet, charge: Array, discharge: Array) -> Array:
    """What each member could give up of the generation that its fuse lets out, without more import than it lets in."""
    members = problem.members
    usable = np.where(members.curtailable[:, None], members.pv_kw - standard.spilled_kw, 0.0)
    if not np.isfinite(members.import_fuse_kw).any():
        return usable
    inward = members.import_fuse_kw[:, None] + members.pv_kw - standard.spilled_kw - members.load_kw
    np.add.at(inward, problem.storages.member, discharge - charge)
    return np.clip(inward, 0.0, usable)


def _within_limits(problem: FleetProblem, standard: StandardFleet, grid: GridSide, until: float) -> FleetPlan:
    """A plan within hard limits, whatever it costs: the one that goes the least beyond them.

    Raises:
        Infeasible: even that one goes beyond.
        Unavailable: there may be one within them, but it was not found in time.
    """
    zero = np.zeros(problem.grid.steps)
    idle = standard.units._replace(wear=np.zeros_like(standard.units.wear))
    free = replace(standard, units=idle, end_value=np.zeros_like(standard.end_value), fixed_cost=0.0)
    counted = replace(
        grid, import_cost=zero, export_gain=zero, beyond_cost=problem.grid.step_hours, peak_cost=0.0,
        retail_cost=_COUNTED_KWH,
    )  # fmt: skip
    search = Search(
        free, counted, Bounds(free, counted, tolerance=DEFAULT_GAP, hard=False), until=until, progress=lambda _: None
    )
    search.run()
    plan = _carried_out(problem, free, counted, search)
    if not _exceeds(problem, plan):
        return plan
    if search.bounds.lower > _NEGLIGIBLE * max(1.0, problem.grid.step_hours * float(problem.members.load_kw.sum())):
        raise _beyond_limits(problem, plan, search.bounds.lower)
    raise Unavailable(
        "no plan within the community's limits was found in time; allow more time, or price what goes beyond them"
    )


def _exceeds(problem: FleetProblem, plan: FleetPlan) -> bool:
    return any("limit_kw" in name for name in violations(problem, plan))


def _beyond_limits(problem: FleetProblem, plan: FleetPlan, least_kwh: float) -> Infeasible:
    limits = []
    for name, powers, limit in (
        ("grid_import_limit_kw", plan.import_kw, problem.limits.import_kw),
        ("grid_export_limit_kw", plan.export_kw, problem.limits.export_kw),
    ):
        excess = float((powers - limit).max())
        if excess > POWER_TOLERANCE_KW:
            step = int(np.argmax(powers - limit))
            limits.append({
                "limit": name, "relax_by": round(excess, 6), "unit": "kW", "alone": False,
                "at": problem.grid.instant(step).isoformat(),
            })  # fmt: skip
    words = " and ".join(f"{each['relax_by']:.6g} kW more of {each['limit']}" for each in limits)
    return Infeasible(
        f"no plan keeps the community's limits: at least {least_kwh:.6g} kWh go beyond them; {words} would do",
        limits=limits,
    )


def _in_one_direction(problem: FleetProblem, plan: FleetPlan, tolerance: float, until: float) -> FleetPlan:
    """The better of the plan and one that does not discharge where prices are so negative that burning energy pays."""
    storages, value = problem.storages, plan.value_per_kwh
    kept = (storages.charge_efficiency * storages.discharge_efficiency)[:, None]
    burns = (storages.wear_per_kwh[:, None] + value) < kept * (value - storages.wear_per_kwh[:, None])
    if not burns.any():
        return plan
    only_charging = replace(storages, discharge_max_kw=np.where(burns, 0.0, storages.discharge_max_kw))
    try:
        other = _plan(replace(problem, storages=only_charging), tolerance, until, lambda _: None)
    except (Infeasible, Unavailable):
        return plan
    if other.cost >= plan.cost:
        return plan
    scale = abs(plan.cost - plan.lower_bound) / plan.gap
    gap = max(0.0, other.cost - plan.lower_bound) / max(abs(other.cost), scale if scale > abs(plan.cost) else 0.0)
    status = "optimal" if gap <= tolerance else "feasible"
    return replace(
        other, lower_bound=plan.lower_bound, gap=gap, status=status, iterations=plan.iterations + other.iterations
    )
