"""What each scenario does once the storage is scheduled: import, export, curtail at the least cost.

Seen from the storage each interval of a scenario is a function of one number, the net discharge n: piecewise linear,
with a kink wherever import turns into export or a limit is reached. Only kinks within the storage's reach matter, so
most intervals have one or none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.plan import Outcomes, Risk, RiskFigures, StochasticProblem

LIMIT_TOLERANCE_KW = 1e-5
"""What counts as beyond a limit; the tolerance of the independent check."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinks:
    """Cost per hour of a scenario's interval: level + slope x n + sum of rise x max(0, at - n) over its kinks."""

    level: Array  # (S, T)
    slope: Array  # (S, T)
    cell: NDArray[np.intp]  # (K,) scenario x T + interval, ascending
    at_kw: Array  # (K,)
    rise: Array  # (K,) above 0
    is_exact: bool  # else the function lies below the cost: circular trade, or burning energy, would pay somewhere


def outcomes_of(problem: StochasticProblem, net_discharge_kw: Array, storage_cost: float) -> Outcomes:
    """Every scenario's cheapest answer to a net discharge, evaluated exactly."""
    net_kw = problem.scenarios.load_kw - problem.scenarios.pv_kw - net_discharge_kw
    carried_kw = _cheapest(problem, net_kw)
    limits, peak = problem.expected.limits, problem.expected.peak
    hours = problem.expected.outlook.grid.step_hours
    import_kw, export_kw = np.maximum(carried_kw, 0.0), np.maximum(-carried_kw, 0.0)
    import_excess = np.maximum(import_kw - limits.import_kw, 0.0)
    export_excess = np.maximum(export_kw - limits.export_kw, 0.0)
    excess_cost = hours * problem.excess_price_per_kwh * (import_excess + export_excess).sum(axis=1)
    energy = problem.import_price_per_kwh * import_kw - problem.export_price_per_kwh * export_kw
    cost = storage_cost + hours * energy.sum(axis=1) + excess_cost
    if peak is not None:
        cost = cost + peak.per_kw * np.maximum(import_kw.max(axis=1) - peak.so_far_kw, 0.0)
    return Outcomes(import_kw, export_kw, carried_kw - net_kw, import_excess, export_excess, cost, excess_cost)


def _cheapest(problem: StochasticProblem, net_kw: Array) -> Array:
    """What the connection carries after the cheapest curtailment; the least of it where that is a tie."""  # (S, T)
    if not problem.expected.curtailable:
        return net_kw
    most = net_kw + problem.scenarios.pv_kw
    peak = problem.expected.peak
    if peak is not None and peak.per_kw > 0:
        # nothing is curtailed for the sake of importing more than has a price already
        most = np.minimum(most, np.maximum(net_kw, max(peak.so_far_kw, 0.0)))
    slopes = _slopes(problem)
    best, least = net_kw, _along(problem, slopes, net_kw)
    for turning_kw in _turning_points(problem, slopes):
        tried = np.clip(turning_kw, net_kw, most)
        cost = _along(problem, slopes, tried)
        cheaper = cost < least - 1e-12 * (1 + np.abs(least))
        best, least = np.where(cheaper, tried, best), np.where(cheaper, cost, least)
    return best


def _turning_points(problem: StochasticProblem, slopes: Array) -> list[float]:
    """Where the cost may be least: where slopes below 0 end, or beyond all bends."""
    limits = problem.expected.limits
    falls, stays = ([bool(one.any()) for one in signs] for signs in (slopes < 0, slopes >= 0))
    bends_kw = (-limits.export_kw, 0.0, limits.import_kw)
    found = [at_kw for number, at_kw in enumerate(bends_kw) if falls[number] and stays[number + 1]]
    return [*found, np.inf] if any(falls[1:]) else found


def _slopes(problem: StochasticProblem) -> Array:
    """What one more kW of net load costs per hour: beyond the export limit, in export, in import, beyond its limit."""
    buy, sell, excess = problem.import_price_per_kwh, problem.export_price_per_kwh, problem.excess_price_per_kwh
    return np.array([sell - excess, sell, buy, buy + excess])  # (4, S, T)


def _along(problem: StochasticProblem, slopes: Array, carried_kw: Array) -> Array:
    """The function of these slopes that is 0 where nothing is carried."""
    limits = problem.expected.limits
    return (
        slopes[2] * np.maximum(carried_kw, 0.0)
        - slopes[1] * np.maximum(-carried_kw, 0.0)
        + (slopes[3] - slopes[2]) * np.maximum(carried_kw - limits.import_kw, 0.0)
        + (slopes[1] - slopes[0]) * np.maximum(-carried_kw - limits.export_kw, 0.0)
    )


def kinks_of(problem: StochasticProblem, low_kw: Array, high_kw: Array) -> Kinks:
    """The cost as a function of the net discharge between these ends; where it bends down, the chord below it.

    Slopes below 0 are met by curtailing all there is, which moves their part of the function by the generation. Where
    a new peak has a price it is a function below that of the answers, which then curtail nothing to import more.
    """
    net_kw, pv_kw = problem.scenarios.load_kw - problem.scenarios.pv_kw, problem.scenarios.pv_kw
    limits, slopes = problem.expected.limits, _slopes(problem)
    moved = np.minimum(slopes, 0.0)
    if not problem.expected.curtailable:
        moved[:] = 0.0
    kept = slopes - moved
    turning_kw = np.array([-limits.export_kw, 0.0, limits.import_kw])[:, None, None]
    at_kw = np.concatenate([net_kw - turning_kw, net_kw + pv_kw - turning_kw])  # (6, S, T)
    rise = np.concatenate([np.diff(kept, axis=0), np.diff(moved, axis=0)])
    slope = -(slopes[0] + np.where(at_kw >= high_kw, rise, 0.0).sum(axis=0))
    lowest_kw = net_kw - high_kw
    level = _along(problem, kept, lowest_kw) + _along(problem, moved, lowest_kw + pv_kw) - slope * high_kw
    within = (at_kw > low_kw) & (at_kw < high_kw)
    down = within & (rise < 0)
    width = np.where(high_kw > low_kw, high_kw - low_kw, 1.0)
    chord = np.where(down, rise * (at_kw - low_kw) / width, 0.0).sum(axis=0)
    kind, scenario, interval = np.nonzero(within & (rise > 0))
    cell = scenario * net_kw.shape[1] + interval
    order = np.argsort(cell, kind="stable")
    chosen = (kind[order], scenario[order], interval[order])
    return Kinks(
        level + chord * high_kw, slope - chord, cell[order], at_kw[chosen], rise[chosen], is_exact=not down.any()
    )


def cvar_of(cost: Array, probabilities: Array, confidence: float) -> float:
    """The mean of the worst outcomes that together have the probability 1 - confidence."""
    order = np.argsort(-cost, kind="stable")
    share = 1.0 - confidence
    before = np.concatenate([[0.0], np.cumsum(probabilities[order])[:-1]])
    counted = np.clip(share - before, 0.0, probabilities[order])
    return float(counted @ cost[order] / counted.sum())


def objective_of(risk: Risk, cost: Array, probabilities: Array) -> float:
    """(1 - weight) x mean + weight x mean of the worst."""
    mean, worst = float(probabilities @ cost), cvar_of(cost, probabilities, risk.confidence)
    return (1 - risk.cvar_weight) * mean + risk.cvar_weight * worst


def figures_of(problem: StochasticProblem, outcomes: Outcomes) -> RiskFigures:
    """What the plan costs and risks."""
    chance, risk = problem.scenarios.probabilities, problem.risk
    hours = problem.expected.outlook.grid.step_hours
    over = [
        (excess > LIMIT_TOLERANCE_KW).any(axis=1) for excess in (outcomes.import_excess_kw, outcomes.export_excess_kw)
    ]
    excess_kwh = hours * (outcomes.import_excess_kw + outcomes.export_excess_kw).sum(axis=1)
    return RiskFigures(
        expected_cost=float(chance @ outcomes.cost),
        cvar=cvar_of(outcomes.cost, chance, risk.confidence),
        objective_value=objective_of(risk, outcomes.cost, chance),
        import_violation_chance=float(chance @ over[0]),
        export_violation_chance=float(chance @ over[1]),
        violation_chance=float(chance @ (over[0] | over[1])),
        expected_excess_kwh=float(chance @ excess_kwh),
        expected_excess_cost=float(chance @ outcomes.excess_cost),
    )
