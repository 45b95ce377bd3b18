"""Why a plan under risk is as it is: what the bad outcomes are made of, what hedging costs, what limits are worth."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.errors import Infeasible, InvalidInput, Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.device_accounting import storage_cost, stored_kwh
from digital_twin.optimization.explanation.sized_limits import SizedLimit, sized_limits
from digital_twin.optimization.fleet.plan import Whole
from digital_twin.optimization.plan import Powers
from digital_twin.optimization.stochastic.dispatch import certified_use
from digital_twin.optimization.stochastic.plan import Outcomes, Risk, StochasticProblem
from digital_twin.optimization.stochastic.recourse import LIMIT_TOLERANCE_KW, cvar_of, outcomes_of

WORTH_TELLING = 1e-4
"""Relative to the mean cost: what changes less is as exact as the plan."""
_LOOSENED_BELOW = ("final_soc_min_kwh", "storage_reserve_kwh")


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The worst outcomes, and how they differ from the mean of all."""

    share: float  # of probability
    scenarios: Whole  # their numbers, the worst first
    cost: Array  # of each
    mean_cost: float  # of all
    more_load_kwh: float  # than on average
    less_pv_kwh: float
    passing_limits: int  # scenarios of the tail


@dataclass(frozen=True, slots=True)
class Hedging:
    """What the plan costs more on average than one that looks at the mean alone, and what it saves in the tail."""

    mean_cost: float
    tail_saving: float


@dataclass(frozen=True, slots=True)
class RiskLimitValue:
    """What so much of a limit, below 0 less of it, would change the costs by; the plan made anew for it."""

    limit: str
    unit: str
    value: float
    change: float
    objective: float
    mean: float
    tail: float


@dataclass(frozen=True, slots=True, eq=False)
class RiskValues:
    """What explains a plan under risk; None and fewer limits where the time was over."""

    tail: Tail
    hedging: Hedging | None
    limits: tuple[RiskLimitValue, ...]
    is_complete: bool


def risk_values(problem: StochasticProblem, powers: Powers, *, time_limit_s: float) -> RiskValues:
    """Of the plan with these powers, as far as time allows."""
    deadline = time.monotonic() + time_limit_s
    outcomes = _outcomes(problem, powers)
    hedging: Hedging | None = None
    limits: list[RiskLimitValue] = []
    is_complete = True
    try:
        hedging = _hedging(problem, outcomes.cost, deadline)
        limits += _limit_values(problem, outcomes.cost, deadline)
    except Unavailable:
        is_complete = False
    told = tuple(sorted(limits, key=lambda one: one.objective / abs(one.change)))
    return RiskValues(_tail(problem, outcomes), hedging, told, is_complete)


def _outcomes(problem: StochasticProblem, powers: Powers) -> Outcomes:
    storage, hours = problem.expected.storage, problem.expected.outlook.grid.step_hours
    charge, discharge = powers.charge_kw, powers.discharge_kw
    moved_kwh = hours * float((charge + discharge).sum())
    fixed = storage_cost(storage, stored_kwh(storage, charge, discharge, hours), moved_kwh)
    return outcomes_of(problem, discharge - charge, fixed)


def _tail(problem: StochasticProblem, outcomes: Outcomes) -> Tail:
    chance, hours = problem.scenarios.probabilities, problem.expected.outlook.grid.step_hours
    share = 1 - problem.risk.confidence
    order = np.argsort(-outcomes.cost, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(chance[order])[:-1]])
    counted = np.clip(share - before, 0.0, chance[order])
    worst, counted = order[counted > 1e-12], counted[counted > 1e-12]
    load_kwh, pv_kwh = (hours * part.sum(axis=1) for part in (problem.scenarios.load_kw, problem.scenarios.pv_kw))
    excess_kw = np.maximum(outcomes.import_excess_kw, outcomes.export_excess_kw)[worst].max(axis=1)
    weights = counted / counted.sum()
    return Tail(
        share,
        worst,
        outcomes.cost[worst],
        float(chance @ outcomes.cost),
        float(weights @ load_kwh[worst] - chance @ load_kwh),
        float(chance @ pv_kwh - weights @ pv_kwh[worst]),
        int((excess_kw > LIMIT_TOLERANCE_KW).sum()),
    )


def _hedging(problem: StochasticProblem, cost: Array, deadline: float) -> Hedging:
    """Against the plan of the least mean. Raises Unavailable."""
    neutral = replace(problem, risk=Risk(0.0, problem.risk.confidence))
    other = certified_use(neutral, time_limit_s=_left_s(deadline)).use.outcomes.cost
    mean, tail = _mean_and_tail(problem, cost)
    other_mean, other_tail = _mean_and_tail(problem, other)
    return Hedging(max(0.0, mean - other_mean), max(0.0, other_tail - tail))


def _limit_values(problem: StochasticProblem, cost: Array, deadline: float) -> Iterator[RiskLimitValue]:
    """Of limits that a little more, or less where that loosens them, betters the plan. Raises Unavailable."""
    mean, tail = _mean_and_tail(problem, cost)
    for limit in sized_limits(problem.expected):
        change = _round_step(limit)
        try:
            resized = replace(problem, expected=limit.resized(limit.value + change))
            found = certified_use(resized, time_limit_s=_left_s(deadline)).use.outcomes.cost
        except (Infeasible, InvalidInput):
            continue
        other_mean, other_tail = _mean_and_tail(problem, found)
        mean_change, tail_change = other_mean - mean, other_tail - tail
        weight = problem.risk.cvar_weight
        objective = (1 - weight) * mean_change + weight * tail_change
        if objective < -WORTH_TELLING * max(1.0, abs(mean)):
            yield RiskLimitValue(limit.name, limit.unit, limit.value, change, objective, mean_change, tail_change)


def _mean_and_tail(problem: StochasticProblem, cost: Array) -> tuple[float, float]:
    chance = problem.scenarios.probabilities
    return float(chance @ cost), cvar_of(cost, chance, problem.risk.confidence)


def _round_step(limit: SizedLimit) -> float:
    """One, ten or a hundred of the unit: at most a fifth of what there is."""
    step = 10.0 ** math.floor(math.log10(0.2 * limit.value)) if limit.value > 0 else 1.0
    return -step if limit.name in _LOOSENED_BELOW else step


def _left_s(deadline: float) -> float:
    """Raises Unavailable when the time is over."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise Unavailable("the time is over", retry_after_s=5)
    return left_s
