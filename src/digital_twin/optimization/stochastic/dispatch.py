"""The plan under risk: one schedule of the storage for all scenarios, solved, checked and certified."""

import time
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.errors import Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import account
from digital_twin.optimization.check import violations
from digital_twin.optimization.device_accounting import storage_cost, stored_kwh
from digital_twin.optimization.plan import OBJECTIVES, DispatchProblem, Schedule
from digital_twin.optimization.stochastic.bound import lower_bound
from digital_twin.optimization.stochastic.check import scenario_violations
from digital_twin.optimization.stochastic.interior_point import Point, points
from digital_twin.optimization.stochastic.plan import Outcomes, Risk, Scenarios, StochasticProblem, StochasticSchedule
from digital_twin.optimization.stochastic.program import Program
from digital_twin.optimization.stochastic.reach import Reach, reach_of
from digital_twin.optimization.stochastic.recourse import figures_of, kinks_of, objective_of, outcomes_of

GAP = 1e-6
"""Relative; what a plan must be certified to, to be called optimal."""
ACCEPTED_GAP = 1e-4
"""Beyond it HiGHS is asked, too."""
TRIED_GAP = 3e-7
"""What the steps go for, so that nothing is left of the barrier in the plan."""
_IDLE = 1e-6
"""Of the storage's power; what is less is left alone."""
_COST = OBJECTIVES["minimize_cost"]


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """A use of the storage within its bounds."""

    charge_kw: Array  # (T,)
    discharge_kw: Array  # (T,)
    outcomes: Outcomes
    objective: float


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """The best use that was found, and a bound that none falls below."""

    use: Use
    bound: float
    solver: str

    @property
    def objective(self) -> float:
        return self.use.objective

    @property
    def gap(self) -> float:
        return max(0.0, self.use.objective - self.bound) / max(1.0, abs(self.bound))


def plan_under_risk(problem: StochasticProblem, *, time_limit_s: float = 60.0) -> StochasticSchedule:
    """The schedule of the storage with the least (1 - weight) x mean + weight x mean of the worst costs.

    Raises:
        Infeasible: not even the expected course keeps the limits; the facts name those in the way.
        Unavailable: not solved within the time limit.
        PlanRefused: the independent check found a fault.
    """
    deadline = time.monotonic() + time_limit_s
    reach, some_cannot = _reach_of(problem, time_limit_s)
    best = _solved(problem, reach, deadline)
    schedule = _expected_schedule(problem, best)
    broken = violations(problem.expected, schedule) + scenario_violations(problem, schedule, best.use.outcomes)
    if broken:
        from digital_twin.optimization.dispatch import PlanRefused

        raise PlanRefused(f"the plan failed the independent check of {', '.join(broken)}; please report the request")
    return StochasticSchedule(
        replace(schedule, notes=_notes(problem, some_cannot=some_cannot)),
        best.use.outcomes,
        figures_of(problem, best.use.outcomes),
        _value_over_mean(problem, best.use.objective, deadline),
    )


def certified_use(problem: StochasticProblem, *, time_limit_s: float = 60.0) -> Certified:
    """The best use of the storage with its bound, before any check. Raises Infeasible and Unavailable."""
    deadline = time.monotonic() + time_limit_s
    return _solved(problem, _reach_of(problem, time_limit_s)[0], deadline)


def _reach_of(problem: StochasticProblem, time_limit_s: float) -> tuple[Reach, bool]:
    reach, some_cannot = reach_of(problem)
    if reach is None:
        from digital_twin.optimization.explanation.infeasible import explain_infeasible

        raise explain_infeasible(problem.expected, time_limit_s=time_limit_s)
    return reach, some_cannot


def _solved(problem: StochasticProblem, reach: Reach, deadline: float) -> Certified:
    """The best use of the storage: where both directions at once would pay, the best that has one in each interval."""
    if problem.expected.storage.power_kw == 0 or problem.expected.storage.capacity_kwh == 0:
        resting = _use(problem, reach.charge_kw[0], reach.discharge_kw[0])
        return Certified(resting, resting.objective, "none")
    best = _within(problem, reach, deadline)
    if best.gap > GAP:
        narrowed = _within(problem, _one_way(problem, reach, best.use), deadline)
        best = Certified(min(best.use, narrowed.use, key=lambda use: use.objective), best.bound, best.solver)
    return best


def _within(problem: StochasticProblem, reach: Reach, deadline: float) -> Certified:
    """The best use that the steps of the interior point find, and the best bound; HiGHS's where they fail."""
    kinks = kinks_of(problem, reach.low_kw, reach.high_kw)
    program = Program.of(problem, reach, kinks)
    best: Certified | None = None
    point: Point | None = None
    for point in points(program, deadline):
        cost = program.cost(point.y)
        accuracy = TRIED_GAP * max(1.0, abs(cost))
        if point.gap * program.units.cost > accuracy:
            continue
        best = _better(best, _certified(problem, reach, program, point))
        if best.gap <= TRIED_GAP or abs(cost - best.bound) <= accuracy:  # the latter where burning energy would pay
            return best
    if kinks.is_exact and (best is None or best.gap > ACCEPTED_GAP):
        best = _extensive(problem, reach, deadline) or best
    if best is None and point is not None:
        best = _certified(problem, reach, program, point)
    if best is None or not np.isfinite(best.bound):
        raise Unavailable(
            "no certified plan was found in time; ask for fewer scenarios or a shorter horizon", retry_after_s=5
        )
    return best


def _extensive(problem: StochasticProblem, reach: Reach, deadline: float) -> Certified | None:
    """HiGHS on everything written out; None where it runs out of time."""
    from digital_twin.optimization.stochastic.extensive import Prepared

    remaining = deadline - time.monotonic()
    found = Prepared.of(problem, reach).solve(time_limit_s=remaining) if remaining > 0 else None
    if found is None:
        return None
    hours, storage = problem.expected.outlook.grid.step_hours, problem.expected.storage
    soc_kwh = stored_kwh(storage, found.charge_kw, found.discharge_kw, hours)
    charge, discharge = _single_mode(problem, reach, soc_kwh)
    return Certified(_use(problem, charge, discharge), found.objective, "HiGHS")


def _better(one: Certified | None, other: Certified) -> Certified:
    if one is None:
        return other
    use = min(one.use, other.use, key=lambda use: use.objective)
    return Certified(use, max(one.bound, other.bound), other.solver)


def _certified(problem: StochasticProblem, reach: Reach, program: Program, point: Point) -> Certified:
    charge, discharge = _single_mode(problem, reach, program.soc_kwh(point.y))
    return Certified(_use(problem, charge, discharge), lower_bound(program, point.price), "interior point")


def _single_mode(problem: StochasticProblem, reach: Reach, soc_kwh: Array) -> tuple[Array, Array]:
    """The charge or the discharge of each interval that follows these states as closely as the bounds allow."""
    storage, hours = problem.expected.storage, problem.expected.outlook.grid.step_hours
    least, most = reach.stored_kwh(storage, hours)
    idle_kwh = _IDLE * hours * storage.power_kw
    stored, before = np.empty_like(soc_kwh), storage.initial_kwh
    for step, (low, high) in enumerate(reach.soc_kwh.T.tolist()):
        low, high = max(low, before + least[step]), min(high, before + most[step])
        after = before if abs(soc_kwh[step] - before) < idle_kwh else float(soc_kwh[step])
        after = min(max(after, low), high)
        stored[step], before = after - before, after
    charge = np.maximum(stored, 0.0) / (hours * storage.charge_efficiency)
    discharge = np.maximum(-stored, 0.0) * storage.discharge_efficiency / hours
    return charge, discharge


def _one_way(problem: StochasticProblem, reach: Reach, use: Use) -> Reach:
    """Only the direction of this use in each interval."""
    charges = use.charge_kw >= use.discharge_kw
    charge, discharge = reach.charge_kw.copy(), reach.discharge_kw.copy()
    charge[1] = np.where(charges, charge[1], charge[0])
    discharge[1] = np.where(charges, discharge[0], discharge[1])
    narrowed = Reach.of(problem.expected, charge, discharge)
    return reach if narrowed is None else narrowed


def _use(problem: StochasticProblem, charge_kw: Array, discharge_kw: Array) -> Use:
    outcomes = outcomes_of(problem, discharge_kw - charge_kw, _storage_cost(problem.expected, charge_kw, discharge_kw))
    objective = objective_of(problem.risk, outcomes.cost, problem.scenarios.probabilities)
    return Use(charge_kw, discharge_kw, outcomes, objective)


def _storage_cost(problem: DispatchProblem, charge_kw: Array, discharge_kw: Array) -> float:
    storage, hours = problem.storage, problem.outlook.grid.step_hours
    moved_kwh = hours * float((charge_kw + discharge_kw).sum())
    return storage_cost(storage, stored_kwh(storage, charge_kw, discharge_kw, hours), moved_kwh)


def _expected_schedule(problem: StochasticProblem, best: Certified) -> Schedule:
    """The plan on the expected course, with the objective, the gap and the status of the whole."""
    use, expected = best.use, problem.expected
    course = outcomes_of(_on_the_mean(problem), use.discharge_kw - use.charge_kw, 0.0)
    schedule = account(expected, _COST, use.charge_kw, use.discharge_kw, course.curtailed_kw[0])
    status = "optimal" if best.gap <= GAP else "feasible"
    return replace(schedule, objective_value=use.objective, gap=best.gap, status=status, solver=best.solver)


def _on_the_mean(problem: StochasticProblem) -> StochasticProblem:
    """The expected course as the only scenario."""
    outlook = problem.expected.outlook
    return StochasticProblem(problem.expected, Scenarios(outlook.load_kw[None], outlook.pv_kw[None]), Risk(0.0))


def _value_over_mean(problem: StochasticProblem, objective: float, deadline: float) -> float | None:
    """By how much the plan for the expected course is worse, once the scenarios come; None where it was not found."""
    mean = _on_the_mean(problem)
    reach, _ = reach_of(mean)
    if reach is None:
        return None
    try:
        planned = _solved(mean, reach, deadline)
    except Unavailable:
        return None
    if planned.gap > ACCEPTED_GAP:
        return None
    return max(0.0, _use(problem, planned.use.charge_kw, planned.use.discharge_kw).objective - objective)


def _notes(problem: StochasticProblem, *, some_cannot: bool) -> tuple[str, ...]:
    if not some_cannot:
        return ()
    return (
        "some scenarios cannot keep the limits of the grid; energy beyond them is priced at "
        f"{problem.excess_price_per_kwh:g} per kWh",
    )
