"""Hard limits of the community's connection that no plan of a fleet keeps: what goes beyond them at the least."""

from dataclasses import replace

import numpy as np

from digital_twin.domain.errors import Infeasible, TwinError, Unavailable
from digital_twin.optimization.fleet.bounds import Bounds
from digital_twin.optimization.fleet.check import POWER_TOLERANCE_KW, violations
from digital_twin.optimization.fleet.connections import without_curtailing_fuses
from digital_twin.optimization.fleet.directions import settle_directions
from digital_twin.optimization.fleet.grid import grid_side
from digital_twin.optimization.fleet.plan import DEFAULT_GAP, FleetPlan, FleetProblem
from digital_twin.optimization.fleet.presolve import standard_fleet

_NEGLIGIBLE = 1e-8
"""Part of the load: a bound of what goes beyond limits that is no larger may be rounding."""

_IDLE_PER_KWH = 0.01
"""What use costs while a kilowatt-hour beyond the limits costs 1, so that nobody burns energy where that is free."""


def exceeds_limits(problem: FleetProblem, plan: FleetPlan) -> bool:
    """The plan goes beyond hard limits of the community's connection."""
    is_hard = problem.limits.beyond_per_kwh is None
    return is_hard and any("limit_kw" in name for name in violations(problem, plan))


def counting_problem(problem: FleetProblem) -> FleetProblem:
    """The same fleet, of which nothing counts but what goes beyond the limits, in kWh, and a little the use."""
    storages, nothing = problem.storages, np.zeros(problem.grid.steps)
    unworthy = np.zeros(storages.member.size)
    return replace(
        problem,
        storages=replace(storages, wear_per_kwh=unworthy + _IDLE_PER_KWH, end_value_per_kwh=unworthy),
        import_price_per_kwh=nothing,
        export_price_per_kwh=nothing,
        limits=replace(problem.limits, beyond_per_kwh=1.0),
        peak=None,
    )


def no_plan_within_limits(problem: FleetProblem, counted: FleetPlan, until: float) -> TwinError:
    """Why there is none, from the plan that goes the least beyond: proved, or not found in time."""
    negligible_kwh = _NEGLIGIBLE * max(1.0, problem.grid.step_hours * float(problem.members.load_kw.sum()))
    least_kwh = _least_beyond(problem, counted, (negligible_kwh, until))
    if least_kwh <= negligible_kwh:
        return Unavailable(
            "no plan within the community's limits was found in time; raise OPTIMIZATION_TIMEOUT_MINUTES, or price "
            "what goes beyond them with grid_limit_price_per_kwh"
        )
    limits = []
    for name, powers, limit in (
        ("grid_import_limit_kw", counted.import_kw, problem.limits.import_kw),
        ("grid_export_limit_kw", counted.export_kw, problem.limits.export_kw),
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


def _least_beyond(problem: FleetProblem, counted: FleetPlan, enough: tuple[float, float]) -> float:
    """What goes beyond the limits in any plan where use costs nothing, by the prices of one, or else exactly.

    Args:
        enough: kWh from which on the prices' answer will do, and when to stop looking
    """
    counting = counting_problem(without_curtailing_fuses(problem) or problem)
    free = np.zeros(problem.storages.member.size)
    counting = replace(counting, storages=replace(counting.storages, wear_per_kwh=free))
    standard = standard_fleet(counting)
    bounds = Bounds(standard, grid_side(counting, standard), tolerance=DEFAULT_GAP, hard=False)
    bounds.try_prices(problem.grid.step_hours * counted.value_per_kwh)
    if bounds.lower <= enough[0]:
        settle_directions(standard, bounds, until=enough[1])
    return bounds.lower
