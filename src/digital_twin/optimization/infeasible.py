"""Why no plan exists: which limits are in the way, and what relaxing each would take."""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.blocks import Shape, build, numbers_of
from digital_twin.optimization.device_blocks import prefix_of
from digital_twin.optimization.devices import Battery, ElectricVehicle, ShiftableLoad
from digital_twin.optimization.model import Numbers, apply_numbers
from digital_twin.optimization.plan import DispatchProblem

SIGNIFICANT = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A bound of a variable in some intervals that could be relaxed."""

    name: str
    unit: str
    value: float
    variable: str
    where: Array  # (T,) 1 where it holds
    is_upper: bool = True


def relaxable_limits(problem: DispatchProblem) -> list[Limit]:
    """The limits that a plan may fail on; a limit that has a price is none."""
    steps = problem.outlook.grid.steps
    always, end = np.ones(steps), _at([steps - 1], steps)
    found: list[Limit] = []
    if problem.limits.beyond_per_kwh is None:
        found.append(Limit("grid_import_limit_kw", "kW", problem.limits.import_kw, "import_kw", always))
        found.append(Limit("grid_export_limit_kw", "kW", problem.limits.export_kw, "export_kw", always))
    found.append(Limit("final_soc_min_kwh", "kWh", problem.storage.final_min_kwh, "soc_kwh", end, is_upper=False))
    for index, device in enumerate(problem.devices):
        name, prefix = f"devices.{device.device_id}.", prefix_of(index)
        match device:
            case Battery():
                final_kwh = device.storage.final_min_kwh
                found.append(
                    Limit(f"{name}final_soc_min_kwh", "kWh", final_kwh, f"{prefix}soc_kwh", end, is_upper=False)
                )
            case ElectricVehicle():
                departures = _at([stay.end - 1 for stay in device.stays], steps)
                most_kwh = max((stay.departure_min_kwh for stay in device.stays), default=0.0)
                limit = f"{name}departure_soc_min_kwh"
                found.append(Limit(limit, "kWh", most_kwh, f"{prefix}soc_kwh", departures, is_upper=False))
            case ShiftableLoad():
                window = _at(range(device.first, device.end), steps)
                found.append(Limit(f"{name}power_kw", "kW", device.power_kw, f"{prefix}charge_kw", window))
            case _:
                pass
    return found


def _at(steps: Any, size: int) -> Array:
    where = np.zeros(size)
    where[list(steps)] = 1.0
    return where


def explain_infeasible(problem: DispatchProblem) -> Infeasible:
    """The error that names the limits in the way.

    Each limit is relaxed alone first: the least amount that suffices is reported. If none suffices alone, the
    smallest relaxation of all together is. The facts list `limits` as {limit, relax_by, unit, alone}.
    """
    limits = relaxable_limits(problem)
    suffices: list[tuple[Limit, float]] = []
    for limit in limits:
        found = _least_relaxation(problem, [limit])
        if found is not None and found[0] > SIGNIFICANT:
            suffices.append((limit, found[0]))
    if suffices:
        words = " or ".join(_words(limit, amount) for limit, amount in suffices)
        return _infeasible(words, suffices, alone=True)
    together = _least_relaxation(problem, limits) or [0.0] * len(limits)
    needed = [(limit, amount) for limit, amount in zip(limits, together, strict=True) if amount > SIGNIFICANT]
    if not needed:
        return Infeasible("no schedule keeps to every limit and to the minimum powers of the devices", limits=[])
    return _infeasible(" and ".join(_words(limit, amount) for limit, amount in needed), needed, alone=False)


def _infeasible(words: str, relaxed: list[tuple[Limit, float]], *, alone: bool) -> Infeasible:
    limits = [
        {"limit": limit.name, "relax_by": round(amount, 6), "unit": limit.unit, "alone": alone}
        for limit, amount in relaxed
    ]
    return Infeasible(f"no schedule respects every limit; it would take {words}", limits=limits)


def _words(limit: Limit, amount: float) -> str:
    direction, target = ("more", limit.value + amount) if limit.is_upper else ("less", limit.value - amount)
    return f"{amount:.6g} {limit.unit} {direction} of {limit.name} ({limit.value:.6g} -> {target:.6g})"


def _least_relaxation(problem: DispatchProblem, relaxed: list[Limit]) -> list[float] | None:
    """The smallest sum of uniform relaxations of these limits that admits a plan; None when none does."""
    model, numbers = build(Shape.of(problem)), numbers_of(problem)
    lower, upper = dict(numbers.lower), dict(numbers.upper)
    upper.pop("peak_kw", None)  # as high as the import limit, which may be relaxed
    upper.pop("billed_peak_kw", None)
    slack = [cp.Variable(nonneg=True) for _ in relaxed]
    for limit, by in zip(relaxed, slack, strict=True):
        variable = model.variables[limit.variable]
        # the bounds that the solver is given make way where the limit holds, and only there
        if limit.is_upper:
            model.constraints.append(variable <= upper[limit.variable] + limit.where * by)
            upper[limit.variable] = np.where(limit.where > 0, np.inf, upper[limit.variable])
        else:
            model.constraints.append(variable >= lower[limit.variable] - limit.where * by)
            lower[limit.variable] = np.where(limit.where > 0, 0.0, lower[limit.variable])
    apply_numbers(model, Numbers(numbers.right_hand_sides, lower, upper))
    relaxation = cp.Problem(cp.Minimize(sum(slack)), model.constraints)
    relaxation.solve(cp.HIGHS, threads=1)
    if relaxation.status != cp.OPTIMAL:
        return None
    return [float(np.asarray(by.value)) for by in slack]
