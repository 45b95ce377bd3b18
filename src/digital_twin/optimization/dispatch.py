"""The optimal plan: solved on a compiled model, checked independently, re-solved with modes where the check asks."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.errors import Infeasible, TwinError, Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import account
from digital_twin.optimization.baseline import idle, self_consumption_rule
from digital_twin.optimization.blocks import IDLE_WEIGHT, Shape, constant_of, numbers_of, prices_of
from digital_twin.optimization.check import violations
from digital_twin.optimization.compiled import CompiledModel, Solution
from digital_twin.optimization.device_accounting import use_of
from digital_twin.optimization.device_blocks import device_powers
from digital_twin.optimization.evenness import evened
from digital_twin.optimization.explanation.infeasible import explain_infeasible
from digital_twin.optimization.kept_models import compiled_model
from digital_twin.optimization.linear_program import NoFeasiblePoint, OutOfTime
from digital_twin.optimization.model import Numbers, Prices
from digital_twin.optimization.modes import MODE_GAP, Mode, choose_modes, modes_of
from digital_twin.optimization.plan import BindingLimit, DispatchProblem, Schedule, Weights

OBJECTIVE_TOLERANCE = 1e-6
LEAST_TIME_S = 2.0
"""What is granted beyond the time limit to say what was found: a plan of the modes, or why there is none."""
OUT_OF_TIME = "the time was over before the best plan was found"
NO_BETTER = "what the solver found costs more"
TIES_LEFT = "the time was over before ties were broken: other plans of this objective may be cheaper or use less"
_LIMITS = {
    # limit: the variables whose upper bound it is
    "grid_import_limit_kw": ("import_kw",),
    "grid_export_limit_kw": ("export_kw",),
    "max_storage_power_kw": ("charge_kw", "discharge_kw"),
    "total_storage_capacity_kwh": ("soc_kwh",),
}


class PlanRefused(TwinError):
    """A fault of ours: the solver's plan did not pass the independent check, so nobody gets it."""

    kind = "plan-refused"


def plan_dispatch(problem: DispatchProblem, weights: Weights, *, time_limit_s: float = 60.0) -> Schedule:
    """The plan that minimises the weighted sum; ties go to the cheapest, to the least use, to the most even.

    When the time is over it is the best plan that is known by then, with the gap that is left.

    Raises:
        Infeasible: no plan respects the limits; the facts name those in the way and what relaxing each would take.
        Unavailable: the time was over before any plan was known.
        PlanRefused: the independent check found a fault.
    """
    deadline = time.monotonic() + time_limit_s
    try:
        found = solve_model(problem, weights, time_limit_s=time_limit_s)
    except NoFeasiblePoint as error:
        raise explain_infeasible(problem, time_limit_s=left_s(deadline)) from error
    except OutOfTime as stopped:
        return _best_known(problem, weights, stopped.bound + constant_of(problem, weights), OUT_OF_TIME)
    schedule = schedule_of(problem, weights, found.solution.values)
    broken = violations(problem, schedule)
    if broken:
        raise PlanRefused(f"the plan failed the independent check of {', '.join(broken)}; please report the request")
    bound = found.bound + constant_of(problem, weights)
    gap = _gap(schedule, bound)
    if gap > MODE_GAP and found.has_modes:
        with suppress(Unavailable):
            known = _best_known(problem, weights, bound, NO_BETTER)
            if known.objective_value < schedule.objective_value:
                return known
    return replace(
        schedule,
        gap=gap,
        status="optimal" if gap <= MODE_GAP else "feasible",
        solver=found.solver,
        binding=_binding(problem, found),
        notes=(*_notes(problem), *(() if found.solution.ties_are_broken else (TIES_LEFT,))),
        water_value_per_kwh=_water_value(problem, weights, found.solution),
    )


def left_s(deadline: float) -> float:
    """Seconds until then, and at least what it takes to say what was found."""
    return max(deadline - time.monotonic(), LEAST_TIME_S)


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """The model with the numbers that were solved, the modes that a plan needs among them."""

    compiled: CompiledModel
    numbers: Numbers
    solution: Solution
    bound: float  # no plan costs less
    solver: str
    has_modes: bool = False
    is_certain: bool = True  # False where the time was over before the modes were known to be the best


def solve_model(
    problem: DispatchProblem, weights: Weights, *, time_limit_s: float, stages: Sequence[Prices] = ()
) -> Solved:
    """The optimum of the model, by the stages where they are given. Raises NoFeasiblePoint and OutOfTime."""
    compiled = compiled_model(Shape.of(problem, weights))
    numbers, modes = numbers_of(problem), modes_of(problem)
    stages = stages or stages_of(problem, weights)
    relaxed = compiled.solve(numbers, stages, time_limit_s=time_limit_s)
    if not any(mode.is_broken_by(relaxed.values) for mode in modes):
        return Solved(compiled, numbers, _evened(problem, compiled, relaxed, modes), relaxed.bound, "HiGHS simplex")
    remaining_s = time_limit_s - relaxed.seconds
    chosen = choose_modes(compiled, numbers, stages, modes, relaxed.values, time_limit_s=remaining_s)
    bound = max(chosen.bound, relaxed.bound)
    try:
        remaining_s = max(remaining_s - chosen.seconds, LEAST_TIME_S)
        solution = compiled.solve(chosen.numbers, stages, time_limit_s=remaining_s)
    except NoFeasiblePoint as error:
        if chosen.is_certain:
            raise PlanRefused("the modes of the plan could not be carried out; please report the request") from error
        raise OutOfTime(bound) from error
    except OutOfTime as stopped:  # what it proves holds for these modes alone
        raise OutOfTime(bound) from stopped
    solution = _evened(problem, compiled, solution, modes)
    return Solved(compiled, chosen.numbers, solution, bound, "HiGHS MIP, then simplex", True, chosen.is_certain)


def _evened(problem: DispatchProblem, compiled: CompiledModel, solution: Solution, modes: Sequence[Mode]) -> Solution:
    """The most even of the plans that are as good, unless it breaks a mode."""
    if solution.face is None:
        return solution
    values = evened(problem, compiled, solution.face)
    if values is None or any(mode.is_broken_by(values) for mode in modes):
        return solution
    return replace(solution, values=values)


def _best_known(problem: DispatchProblem, weights: Weights, bound: float, reason: str) -> Schedule:
    """The better of the plans that need no solver, each of which has passed the check; the reason why is told."""
    known: dict[str, Schedule] = {}
    for name, rule in (("the self-consumption rule", self_consumption_rule), ("idle storage", idle)):
        with suppress(Infeasible):
            made = rule(problem)
            known[name] = account(problem, weights, made.charge_kw, made.discharge_kw, made.curtailed_kw, made.devices)
    if not known:
        raise Unavailable(
            "no plan was found in time; ask for a shorter horizon or raise OPTIMIZATION_TIMEOUT_MINUTES",
            retry_after_s=5,
        )
    name, schedule = min(known.items(), key=lambda one: one[1].objective_value)
    gap = _gap(schedule, bound)
    return replace(
        schedule,
        gap=gap,
        status="optimal" if gap <= MODE_GAP else "feasible",
        solver=f"out of time, {name}" if reason == OUT_OF_TIME else name,
        notes=(*_notes(problem), f"{reason}: this is {name}"),
    )


def _gap(schedule: Schedule, bound: float) -> float:
    """How far the plan, priced exactly and without the solver, lies above the model's optimum; relative, 0 if equal."""
    beyond = (schedule.objective_value - bound) / max(1.0, abs(bound))
    return max(0.0, beyond) if beyond > OBJECTIVE_TOLERANCE else 0.0


def stages_of(problem: DispatchProblem, weights: Weights) -> list[Prices]:
    """What is minimised, then what breaks ties."""
    stages = [prices_of(problem, weights)]
    if not weights.cost:
        stages.append(prices_of(problem, Weights(cost=1.0)))
    return [*stages, prices_of(problem, IDLE_WEIGHT)]


def schedule_of(problem: DispatchProblem, weights: Weights, values: dict[str, Array]) -> Schedule:
    """The plan's figures, evaluated without the solver."""
    charge, discharge, curtailed = (
        np.maximum(values[name], 0.0) for name in ("charge_kw", "discharge_kw", "curtailed_kw")
    )
    hours = problem.outlook.grid.step_hours
    devices = tuple(
        use_of(device, *device_powers(index, device, values), hours) for index, device in enumerate(problem.devices)
    )
    return account(problem, weights, charge, discharge, curtailed, devices)


def _water_value(problem: DispatchProblem, weights: Weights, solution: Solution) -> Array:
    """What one more kWh in the storage at the end of each interval would lower the objective by.

    The duals of the storage's balance, summed up from the reduced costs of the energy that is stored.
    """  # (T,)
    after = np.cumsum(solution.reduced_costs["soc_kwh"][::-1])[::-1]
    return after + weights.cost * problem.storage.end_value_per_kwh


def _binding(problem: DispatchProblem, found: Solved) -> tuple[BindingLimit, ...]:
    """Limits whose bound carries a reduced cost, the most valuable first; not the bounds that modes have set."""
    reduced, instant = found.solution.reduced_costs, problem.outlook.grid.instant
    own = numbers_of(problem).upper if found.has_modes else found.numbers.upper
    binding: list[BindingLimit] = []
    for limit, names in _LIMITS.items():
        worth = np.zeros(problem.outlook.grid.steps)
        for name in names:
            worth += np.where(found.numbers.upper[name] == own[name], np.maximum(-reduced[name], 0.0), 0.0)
        at = np.flatnonzero(worth > OBJECTIVE_TOLERANCE)
        if at.size:
            binding.append(BindingLimit(limit, int(at.size), instant(int(at[0])), float(worth[at].sum())))
    final = float(reduced["soc_kwh"][-1])
    if final > OBJECTIVE_TOLERANCE:
        storage = problem.storage
        limit = "storage_reserve_kwh" if storage.reserve_kwh > storage.final_min_kwh else "final_soc_min_kwh"
        binding.append(BindingLimit(limit, 1, instant(problem.outlook.grid.steps - 1), final))
    return tuple(sorted(binding, key=lambda limit: -limit.value_per_unit))


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
