"""Why no plan exists: which limits are in the way, and what relaxing each would take."""

from typing import Any

import cvxpy as cp
import numpy as np

from digital_twin.domain.errors import Infeasible
from digital_twin.optimization.blocks import Shape, apply_numbers, build, numbers_of
from digital_twin.optimization.plan import DispatchProblem

_UNITS = {"grid_import_limit_kw": "kW", "grid_export_limit_kw": "kW", "final_soc_min_kwh": "kWh"}
SIGNIFICANT = 1e-6


def explain_infeasible(problem: DispatchProblem) -> Infeasible:
    """The error that names the limits in the way.

    Each limit is relaxed alone first: the least amount that suffices is reported. If none suffices alone, the
    smallest relaxation of all together is. The facts list `limits` as {limit, relax_by, unit, alone}.
    """
    alone = {name: _least_relaxation(problem, (name,)) for name in _UNITS}
    suffices = {name: found[name] for name, found in alone.items() if found is not None and found[name] > SIGNIFICANT}
    if suffices:
        limits = [_entry(name, amount, alone=True) for name, amount in suffices.items()]
        words = " or ".join(_words(problem, name, amount) for name, amount in suffices.items())
    else:
        together = _least_relaxation(problem, tuple(_UNITS)) or {}
        needed = {name: amount for name, amount in together.items() if amount > SIGNIFICANT}
        limits = [_entry(name, amount, alone=False) for name, amount in needed.items()]
        words = " and ".join(_words(problem, name, amount) for name, amount in needed.items())
    return Infeasible(f"no schedule respects every limit; it would take {words}", limits=limits)


def _entry(name: str, amount: float, *, alone: bool) -> dict[str, Any]:
    return {"limit": name, "relax_by": round(amount, 6), "unit": _UNITS[name], "alone": alone}


def _words(problem: DispatchProblem, name: str, amount: float) -> str:
    now = {
        "grid_import_limit_kw": problem.limits.import_kw,
        "grid_export_limit_kw": problem.limits.export_kw,
        "final_soc_min_kwh": problem.storage.final_min_kwh,
    }[name]
    direction, target = ("less", now - amount) if name == "final_soc_min_kwh" else ("more", now + amount)
    return f"{amount:.6g} {_UNITS[name]} {direction} of {name} ({now:.6g} -> {target:.6g})"


def _least_relaxation(problem: DispatchProblem, relaxed: tuple[str, ...]) -> dict[str, float] | None:
    """The smallest sum of uniform relaxations of these limits that admits a plan; None when none does."""
    model, numbers = build(Shape.of(problem)), numbers_of(problem)
    slack = {name: cp.Variable(nonneg=True) for name in relaxed}
    for limit, variable in (("grid_import_limit_kw", "import_kw"), ("grid_export_limit_kw", "export_kw")):
        if limit in slack:
            model.constraints.append(model.variables[variable] <= numbers.upper.pop(variable) + slack[limit])
    if "final_soc_min_kwh" in slack:
        final_kwh = numbers.lower.pop("soc_kwh")[-1]
        model.constraints.append(model.variables["soc_kwh"][-1] >= final_kwh - slack["final_soc_min_kwh"])
    apply_numbers(model, numbers)
    relaxation = cp.Problem(cp.Minimize(sum(slack.values())), model.constraints)
    relaxation.solve(cp.HIGHS, threads=1)
    if relaxation.status != cp.OPTIMAL:
        return None
    return {name: float(np.asarray(variable.value)) for name, variable in slack.items()}
