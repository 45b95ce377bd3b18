"""A plan for every member's own storage: the least cost, with a certified gap, for ten or ten thousand of them.

Iterations of the interior point give courses and prices; from these come bounds that stand by themselves, and as soon
as they are near enough to each other the plan is taken from the upper one, checked independently and returned.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from digital_twin.domain.errors import Infeasible, TwinError
from digital_twin.optimization.fleet.bounds import Bounds
from digital_twin.optimization.fleet.carried_out import carried_out, certified
from digital_twin.optimization.fleet.check import violations
from digital_twin.optimization.fleet.connections import without_curtailing_fuses
from digital_twin.optimization.fleet.directions import settle_directions
from digital_twin.optimization.fleet.grid import grid_side
from digital_twin.optimization.fleet.limits import counting_problem, exceeds_limits, no_plan_within_limits
from digital_twin.optimization.fleet.plan import DEFAULT_GAP, FleetPlan, FleetProblem, FleetProgress
from digital_twin.optimization.fleet.presolve import standard_fleet
from digital_twin.optimization.fleet.search import Search

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
        InvalidInput: several storages compete behind one fuse.
        Unavailable: limits that cannot be exceeded, and no plan within them was found in time.
        FleetPlanRefused: the independent check found a fault.
    """
    until = time.monotonic() + time_limit_s
    plan = _search(problem, tolerance, until, progress)
    if plan.gap > tolerance or exceeds_limits(problem, plan):
        plan = _in_one_direction(problem, plan, tolerance, until)
    if exceeds_limits(problem, plan):
        plan = _within_limits(problem, plan, tolerance, until)
    broken = violations(problem, plan)
    if broken:
        raise FleetPlanRefused(
            f"the fleet's plan failed the independent check of {', '.join(broken)}; please report the request"
        )
    return plan


def _within_limits(problem: FleetProblem, plan: FleetPlan, tolerance: float, until: float) -> FleetPlan:
    """A plan within hard limits, whatever it costs: the one that goes the least beyond them.

    Raises:
        Infeasible: even that one goes beyond.
        Unavailable: there may be one within them, but it was not found in time.
    """
    counting = counting_problem(problem)
    counted = _search(counting, tolerance, until, lambda _: None)
    if exceeds_limits(problem, counted):
        counted = _in_one_direction(counting, counted, tolerance, until)
    if exceeds_limits(problem, counted):
        raise no_plan_within_limits(problem, counted, until)
    kept = replace(counted, value_per_kwh=plan.value_per_kwh, iterations=plan.iterations + counted.iterations)
    return certified(problem, kept, plan.lower_bound, tolerance)


def _search(problem: FleetProblem, tolerance: float, until: float, progress: Report) -> FleetPlan:
    """The plan of one search, which may go beyond hard limits where it found none within them."""
    standard = standard_fleet(problem)
    grid = grid_side(problem, standard)
    bounds = Bounds(standard, grid, tolerance=tolerance, hard=problem.limits.beyond_per_kwh is None)
    search = Search(standard, grid, bounds, until=until, progress=progress)
    search.run()
    if not bounds.met:
        settle_directions(standard, bounds, until=until)
    plan = carried_out(problem, standard, grid, bounds, search.iterations)
    freed = without_curtailing_fuses(problem)
    if freed is None or (plan.value_per_kwh >= 0).all():
        return plan
    proved = _search(freed, tolerance, until, lambda _: None).lower_bound
    return certified(problem, plan, min(plan.lower_bound, proved), tolerance)


def _in_one_direction(problem: FleetProblem, plan: FleetPlan, tolerance: float, until: float) -> FleetPlan:
    """The better of the plan and one that does not discharge where prices are so negative that burning energy pays.

    The bound allows for both powers at once in such an interval, one after the other; a plan does not.
    """
    storages, value = problem.storages, plan.value_per_kwh
    kept = (storages.charge_efficiency * storages.discharge_efficiency)[:, None]
    burns = (storages.wear_per_kwh[:, None] + value) < kept * (value - storages.wear_per_kwh[:, None])
    if not burns.any() or time.monotonic() >= until:
        return plan
    only_charging = replace(storages, discharge_max_kw=np.where(burns, 0.0, storages.discharge_max_kw))
    try:
        other = _search(replace(problem, storages=only_charging), tolerance, until, lambda _: None)
    except Infeasible:
        return plan
    together = replace(other, iterations=plan.iterations + other.iterations)
    other = certified(problem, together, plan.lower_bound, tolerance)
    return min(plan, other, key=lambda found: (exceeds_limits(problem, found), found.cost))
