"""The independent check that every plan of a fleet passes, and its cost: physics, limits and prices in plain numpy."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetPlan, FleetProblem

POWER_TOLERANCE_KW = 1e-5
"""Ten milliwatts at one storage or fuse; at the community's connection as much for each thousand members."""


def cost_of(problem: FleetProblem, plan: FleetPlan) -> float:
    """What the plan costs: energy, peak, wear and what goes beyond priced limits, less the worth of what is left."""
    hours, storages = problem.grid.step_hours, problem.storages
    energy = problem.import_price_per_kwh @ plan.import_kw - problem.export_price_per_kwh @ plan.export_kw
    if problem.limits.beyond_per_kwh is not None:
        beyond = np.maximum(plan.import_kw - problem.limits.import_kw, 0.0)
        beyond += np.maximum(plan.export_kw - problem.limits.export_kw, 0.0)
        energy += problem.limits.beyond_per_kwh * beyond.sum()
    wear = storages.wear_per_kwh @ (plan.charge_kw + plan.discharge_kw).sum(axis=1)
    left = storages.end_value_per_kwh @ plan.soc_kwh[:, -1]
    peak = 0.0
    if problem.peak is not None:
        peak = problem.peak.per_kw * max(0.0, float(plan.import_kw.max()) - problem.peak.so_far_kw)
    return float(hours * (energy + wear) - left + peak)


def violations(problem: FleetProblem, plan: FleetPlan) -> list[str]:
    """What the plan breaks, in words; empty for a plan that may be carried out."""
    broken = _of_storages(problem, plan) | _of_members(problem, plan) | _of_community(problem, plan)
    return [name for name, is_broken in broken.items() if is_broken]


def _of_storages(problem: FleetProblem, plan: FleetPlan) -> dict[str, bool]:
    storages, hours = problem.storages, problem.grid.step_hours
    capacity = storages.highest_kwh.max(axis=1, initial=1.0)[:, None]
    kilowatts = POWER_TOLERANCE_KW * np.maximum(1.0, capacity)
    kilowatthours = kilowatts * max(1.0, hours * problem.grid.steps)
    before = np.column_stack([storages.initial_kwh, plan.soc_kwh[:, :-1]])
    gained = hours * plan.charge_kw * storages.charge_efficiency[:, None]
    lost = hours * plan.discharge_kw / storages.discharge_efficiency[:, None] + storages.driven_kwh
    return {
        "the state of charge": _any(np.abs(plan.soc_kwh - before - gained + lost) > kilowatthours),
        "the least energy": _any(plan.soc_kwh < storages.lowest_kwh - kilowatthours),
        "the most energy": _any(plan.soc_kwh > storages.highest_kwh + kilowatthours),
        "the charging power": _outside(plan.charge_kw, storages.charge_max_kw, kilowatts),
        "the discharging power": _outside(plan.discharge_kw, storages.discharge_max_kw, kilowatts),
        "charging while discharging": _any(np.minimum(plan.charge_kw, plan.discharge_kw) > kilowatts),
    }


def net_injection_kw(problem: FleetProblem, plan: FleetPlan) -> Array:
    """What each member puts into the community's net, below 0 what it takes."""  # (N, T)
    members = problem.members
    injection = members.pv_kw - plan.curtailed_kw - members.load_kw
    np.add.at(injection, problem.storages.member, plan.discharge_kw - plan.charge_kw)
    return injection


def _of_members(problem: FleetProblem, plan: FleetPlan) -> dict[str, bool]:
    members, injection = problem.members, net_injection_kw(problem, plan)
    tolerance = POWER_TOLERANCE_KW * max(1.0, float(np.abs(injection).max()))
    return {
        "the available generation": _outside(plan.curtailed_kw, members.pv_kw, tolerance),
        "curtailment where there is none": _any(plan.curtailed_kw[~members.curtailable] > tolerance),
        "a member's import fuse": _any(-injection > members.import_fuse_kw[:, None] + tolerance),
        "a member's export fuse": _any(injection > members.export_fuse_kw[:, None] + tolerance),
    }


def _of_community(problem: FleetProblem, plan: FleetPlan) -> dict[str, bool]:
    limits, hard = problem.limits, problem.limits.beyond_per_kwh is None
    need = -net_injection_kw(problem, plan).sum(axis=0)
    tolerance = POWER_TOLERANCE_KW * max(1.0, problem.members.load_kw.shape[0] / 1000, float(np.abs(need).max()) / 1000)
    cost = cost_of(problem, plan)
    near = 1e-9 * max(1.0, abs(cost))
    return {
        "the community's balance": _any(np.abs(plan.import_kw - plan.export_kw - need) > tolerance),
        "importing while exporting": _any(np.minimum(plan.import_kw, plan.export_kw) > tolerance),
        "a negative power": _any(np.minimum(plan.import_kw, plan.export_kw) < -tolerance),
        "grid_import_limit_kw": hard and _any(plan.import_kw > limits.import_kw + tolerance),
        "grid_export_limit_kw": hard and _any(plan.export_kw > limits.export_kw + tolerance),
        "its cost": not abs(plan.cost - cost) <= near,
        "its bound": not plan.lower_bound <= cost + near + 1e-7 * abs(cost),
    }


def _any(flags: object) -> bool:
    return bool(np.any(flags))  # type: ignore[arg-type]


def _outside(values: Array, high: Array, tolerance: Array | float) -> bool:
    # a value that is no number lies within no bounds
    return not bool(((values >= -tolerance) & (values <= high + tolerance)).all())
