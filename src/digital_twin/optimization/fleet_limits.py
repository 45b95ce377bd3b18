"""Hard limits of the community's connection that the least cost does not keep: what goes beyond them at the least."""

from dataclasses import replace

import numpy as np

from digital_twin.domain.errors import Infeasible, Unavailable
from digital_twin.optimization.fleet import DEFAULT_GAP, FleetPlan, FleetProblem
from digital_twin.optimization.fleet_bounds import Bounds
from digital_twin.optimization.fleet_carried_out import carried_out
from digital_twin.optimization.fleet_check import POWER_TOLERANCE_KW, violations
from digital_twin.optimization.fleet_grid import GridSide
from digital_twin.optimization.fleet_presolve import StandardFleet
from digital_twin.optimization.fleet_search import Search

_NEGLIGIBLE = 1e-8
"""Part of the load: a bound of what goes beyond limits that is no larger may be rounding."""

_COUNTED_KWH = 1.0
"""What goes beyond limits is found to a tenth of a thousandth of itself, or of a hundredth of this."""


def within_limits(problem: FleetProblem, standard: StandardFleet, grid: GridSide, until: float) -> FleetPlan:
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
    bounds = Bounds(free, counted, tolerance=DEFAULT_GAP, hard=False)
    search = Search(free, counted, bounds, until=until, progress=lambda _: None)
    search.run()
    plan = carried_out(problem, free, counted, bounds, search.iterations)
    if not exceeds_limits(problem, plan):
        return plan
    if bounds.lower > _NEGLIGIBLE * max(1.0, problem.grid.step_hours * float(problem.members.load_kw.sum())):
        raise _beyond_limits(problem, plan, bounds.lower)
    raise Unavailable(
        "no plan within the community's limits was found in time; allow more time, or price what goes beyond them"
    )


def exceeds_limits(problem: FleetProblem, plan: FleetPlan) -> bool:
    """The plan goes beyond hard limits of the community's connection."""
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
