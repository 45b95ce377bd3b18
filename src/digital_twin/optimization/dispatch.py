"""The optimal plan: solved on a compiled model, checked independently, re-solved with modes where the check asks."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import cvxpy as cp
import numpy as np
from cvxpy.settings import INFEASIBLE_OR_UNBOUNDED

from digital_twin.domain.errors import TwinError, Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import account
from digital_twin.optimization.blocks import (
    IDLE_WEIGHT,
    Numbers,
    Shape,
    apply_numbers,
    build,
    constant_of,
    numbers_of,
    prices_of,
)
from digital_twin.optimization.check import POWER_TOLERANCE_KW, violations
from digital_twin.optimization.compiled import CompiledModel, NoFeasiblePoint, Prices, Solution
from digital_twin.optimization.explain import explain_infeasible
from digital_twin.optimization.plan import BindingLimit, DispatchProblem, Schedule, Weights

KEPT_SHAPES = 8
MODE_GAP = 1e-6
OBJECTIVE_TOLERANCE = 1e-6
_LIMITS = {
    # limit: the variables whose upper bound it is
    "grid_import_limit_kw": ("import_kw",),
    "grid_export_limit_kw": ("export_kw",),
    "max_storage_power_kw": ("charge_kw", "discharge_kw"),
    "total_storage_capacity_kwh": ("soc_kwh",),
}
_PAIRS = (("charge_kw", "discharge_kw"), ("import_kw", "export_kw"))
_local = threading.local()


class PlanRefused(TwinError):
    """A fault of ours: the solver's plan did not pass the independent check, so nobody gets it."""

    kind = "plan-refused"


def plan_dispatch(problem: DispatchProblem, weights: Weights, *, time_limit_s: float = 60.0) -> Schedule:
    """The plan that minimises the weighted sum; ties go to the cheapest, then to the least use of the devices.

    Raises:
        Infeasible: no plan respects the limits; the facts name those in the way and what relaxing each would take.
        Unavailable: not solved within the time limit.
        PlanRefused: the independent check found a fault.
    """
    shape = Shape.of(problem, weights)
    compiled = _compiled(shape)
    numbers = numbers_of(problem)
    stages = _stages(problem, weights)
    try:
        solution = compiled.solve(numbers, stages, time_limit_s=time_limit_s)
        solver_gap, solver = 0.0, "HiGHS simplex"
        if _uses_both_directions(solution):
            numbers, solver_gap = _one_way(shape, stages[0], numbers, time_limit_s), MODE_GAP
            solution = compiled.solve(numbers, stages, time_limit_s=time_limit_s)
            solver = "HiGHS MIP, then simplex"
    except NoFeasiblePoint as error:
        raise explain_infeasible(problem) from error
    schedule = _schedule(problem, weights, solution)
    broken = violations(problem, schedule)
    if broken:
        raise PlanRefused(f"the plan failed the independent check of {', '.join(broken)}; please report the request")
    gap = max(solver_gap, _gap(schedule, solution.objective + constant_of(problem, weights)))
    return replace(
        schedule,
        gap=gap,
        status="optimal" if gap <= MODE_GAP else "feasible",
        solver=solver,
        binding=_binding(problem, solution),
        notes=_notes(problem),
    )


def _gap(schedule: Schedule, bound: float) -> float:
    """How far the plan, priced exactly and without the solver, lies above the model's optimum; relative, 0 if equal."""
    beyond = (schedule.objective_value - bound) / max(1.0, abs(bound))
    return max(0.0, beyond) if beyond > OBJECTIVE_TOLERANCE else 0.0


def _stages(problem: DispatchProblem, weights: Weights) -> list[Prices]:
    stages = [prices_of(problem, weights)]
    if not weights.cost:
        stages.append(prices_of(problem, Weights(cost=1.0)))
    return [*stages, prices_of(problem, IDLE_WEIGHT)]


def _compiled(shape: Shape) -> CompiledModel:
    """The compiled model of this thread; CVXPY and HiGHS objects are never shared between threads."""
    kept: OrderedDict[Shape, CompiledModel] | None = getattr(_local, "kept", None)
    if kept is None:
        kept = _local.kept = OrderedDict()
    if shape not in kept:
        kept[shape] = CompiledModel(build(shape))
        while len(kept) > KEPT_SHAPES:
            kept.popitem(last=False)
    kept.move_to_end(shape)
    return kept[shape]


def _uses_both_directions(solution: Solution) -> bool:
    """The linear model may burn energy by charging while discharging, or by importing while exporting."""
    values = solution.values
    storage = np.minimum(values["charge_kw"], values["discharge_kw"]).max()
    grid = np.minimum(values["import_kw"], values["export_kw"]).max()
    return bool(max(storage, grid) > POWER_TOLERANCE_KW)


def _one_way(shape: Shape, prices: Prices, numbers: Numbers, time_limit_s: float) -> Numbers:
    """Upper bounds that leave one direction per interval: those of the best plan of the same model with binaries."""
    model = build(shape)
    apply_numbers(model, numbers)
    forward = {pair: cp.Variable(shape.steps, boolean=True) for pair in _PAIRS}
    for (one, other), is_forward in forward.items():
        model.constraints.append(model.variables[one] <= cp.multiply(numbers.upper[one], is_forward))
        model.constraints.append(model.variables[other] <= cp.multiply(numbers.upper[other], 1 - is_forward))
    cost = sum(values @ model.variables[name] for name, values in prices.items())
    mixed = cp.Problem(cp.Minimize(cost), model.constraints)
    mixed.solve(cp.HIGHS, time_limit=time_limit_s, mip_rel_gap=MODE_GAP, threads=1)
    if mixed.status in (cp.INFEASIBLE, INFEASIBLE_OR_UNBOUNDED):
        raise NoFeasiblePoint
    if mixed.status != cp.OPTIMAL:
        raise Unavailable(
            "no certified plan was found in time; ask for a shorter horizon or raise OPTIMIZATION_TIMEOUT_MINUTES",
            retry_after_s=5,
        )
    upper = dict(numbers.upper)
    for (one, other), is_forward in forward.items():
        chosen = np.round(np.asarray(is_forward.value))
        upper[one] = upper[one] * chosen
        upper[other] = upper[other] * (1 - chosen)
    return Numbers(numbers.right_hand_sides, numbers.lower, upper)


def _schedule(problem: DispatchProblem, weights: Weights, solution: Solution) -> Schedule:
    """The plan's figures, evaluated without the solver."""
    charge, discharge, curtailed = (
        np.clip(solution.values[name], 0.0, None) for name in ("charge_kw", "discharge_kw", "curtailed_kw")
    )
    return account(problem, weights, charge, discharge, curtailed)


def _binding(problem: DispatchProblem, solution: Solution) -> tuple[BindingLimit, ...]:
    """Limits whose bound carries a reduced cost, the most valuable first."""
    grid = problem.outlook.grid
    found: list[BindingLimit] = []
    for limit, names in _LIMITS.items():
        worth = np.sum([np.maximum(-solution.reduced_costs[name], 0.0) for name in names], axis=0)
        found.append(_binding_limit(limit, worth, grid.instant))
    final = np.zeros(grid.steps)
    final[-1] = max(solution.reduced_costs["soc_kwh"][-1], 0.0)
    found.append(_binding_limit("final_soc_min_kwh", final, grid.instant))
    significant = [limit for limit in found if limit.intervals]
    return tuple(sorted(significant, key=lambda limit: -limit.value_per_unit))


def _binding_limit(limit: str, worth: Array, instant: Callable[[int], datetime]) -> BindingLimit:
    at = np.flatnonzero(worth > OBJECTIVE_TOLERANCE)
    first = instant(int(at[0])) if at.size else None
    return BindingLimit(limit, int(at.size), first, float(worth[at].sum()))


def _notes(problem: DispatchProblem) -> tuple[str, ...]:
    exchange, outlook = problem.exchange, problem.outlook
    if exchange is None:
        return ()
    notes: list[str] = []
    spread = outlook.import_price_per_kwh - outlook.export_price_per_kwh
    if (exchange.gain_per_kwh > spread + OBJECTIVE_TOLERANCE).any():
        notes.append(
            "the gain on shared energy exceeds import less export price in some intervals: circular trade pays"
        )
    if (exchange.gain_per_kwh < -OBJECTIVE_TOLERANCE).any():
        notes.append("sharing costs more than it saves in some intervals; the plan does not go out of its way for that")
    return tuple(notes)
