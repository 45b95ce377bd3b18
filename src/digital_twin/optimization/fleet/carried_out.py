"""From the courses of a search to the plan of every member, with its cost and its certificate."""

from dataclasses import replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.bounds import Bounds
from digital_twin.optimization.fleet.check import cost_of
from digital_twin.optimization.fleet.grid import GridSide
from digital_twin.optimization.fleet.plan import FleetPlan, FleetProblem, relative_gap
from digital_twin.optimization.fleet.presolve import StandardFleet
from digital_twin.optimization.fleet.repair import follow_courses

SOLVER = "structured interior point"


def certified(problem: FleetProblem, plan: FleetPlan, lower_bound: float, tolerance: float) -> FleetPlan:
    """The plan at its cost, held against a lower bound."""
    cost = cost_of(problem, plan)
    gap = relative_gap(lower_bound, cost, problem.retail_cost)
    status = "optimal" if gap <= tolerance else "feasible"
    return replace(plan, cost=cost, lower_bound=lower_bound, gap=gap, status=status)


def carried_out(
    problem: FleetProblem, standard: StandardFleet, grid: GridSide, bounds: Bounds, iterations: int
) -> FleetPlan:
    """The plan of the best courses. What the community curtails each member bears in proportion to what it could."""
    followed = np.empty((4, *bounds.courses.shape))
    everyone = np.array([0, bounds.courses.shape[0]])
    injection_kw, _ = follow_courses(
        standard.units, standard.end_value, bounds.courses, everyone, bounds.prices[: problem.grid.steps],
        followed=followed,
    )  # fmt: skip
    charge_kw, discharge_kw, soc_kwh, from_surplus_kw = standard.of_storages(followed)
    curtailable_kw = _curtailable(problem, standard, charge_kw, discharge_kw)
    together_kw = curtailable_kw.sum(axis=0)
    recourse = grid.recourse(injection_kw[0], at_most_kw=together_kw)
    spilled_kw = standard.spilled_kw.copy()
    np.subtract.at(spilled_kw, problem.storages.member, from_surplus_kw)
    share = np.minimum(recourse.curtailed_kw / np.maximum(together_kw, np.finfo(np.float64).tiny), 1.0)
    plan = FleetPlan(
        charge_kw + from_surplus_kw,
        discharge_kw,
        soc_kwh,
        np.maximum(spilled_kw, 0.0) + share * curtailable_kw,
        recourse.import_kw,
        recourse.export_kw,
        bounds.prices[: problem.grid.steps] / problem.grid.step_hours,
        np.nan,
        -np.inf,
        np.inf,
        "feasible",
        SOLVER,
        iterations,
    )
    return certified(problem, plan, bounds.lower + standard.fixed_cost, bounds.tolerance)


def _curtailable(problem: FleetProblem, standard: StandardFleet, charge: Array, discharge: Array) -> Array:
    """What each member could give up of the generation that its fuse lets out, without more import than it lets in."""
    members = problem.members
    usable = np.where(members.curtailable[:, None], members.pv_kw - standard.spilled_kw, 0.0)
    if not np.isfinite(members.import_fuse_kw).any():
        return usable
    inward = members.import_fuse_kw[:, None] + members.pv_kw - standard.spilled_kw - members.load_kw
    np.add.at(inward, problem.storages.member, discharge - charge)
    return np.clip(inward, 0.0, usable)
