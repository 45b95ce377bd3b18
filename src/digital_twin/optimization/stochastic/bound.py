"""A lower bound of what any plan costs, from any prices: Lagrange's, with every variable within its box."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.numbers import summed
from digital_twin.optimization.stochastic.program import Program


def lower_bound(program: Program, price: Array) -> float:
    """No plan costs less than this, in money.

    The prices are first made consistent: those of losses are probabilities of a worst case, those of excess and peak
    at most what their scenario's cost counts. What then is left over in the storage's reduced costs is met by the best
    corner of its box, so the bound holds for prices of any origin.
    """
    numbers = program.numbers
    steps = numbers.slope.shape[1]
    _, _, soc_low, soc_high, kink, _, over, _, tail, _ = program.row_parts(price)
    counted = numbers.probabilities
    if program.tails:
        most = numbers.tail_weight / (1 - numbers.confidence) * counted
        counted = (1 - numbers.tail_weight) * counted + _adding_up(np.clip(tail, 0.0, most), most, numbers.tail_weight)
    kink = np.clip(kink, 0.0, counted[program.kink_scenario] * numbers.rise)
    marginal = counted @ numbers.slope - summed(program.kink_interval, kink, steps)
    bound = counted @ numbers.level + kink @ numbers.at
    if program.peaks:
        over = _at_most(np.maximum(over, 0.0), program.peak.scenario, counted * program.peak.price)
        marginal -= summed(program.peak.interval, over, steps)
        bound += over @ program.peak.at
    soc_price = np.cumsum((soc_high - soc_low)[::-1])[::-1] - numbers.end_value
    reduced = [
        (numbers.wear + numbers.charge_gain * soc_price - marginal, numbers.charge),
        (numbers.wear - numbers.discharge_loss * soc_price + marginal, numbers.discharge),
        (np.append(soc_price[1:], -numbers.end_value) - soc_price, numbers.soc),
    ]
    bound += soc_price[0] * numbers.initial + numbers.end_value * numbers.final_min
    bound += sum(float(np.minimum(cost * low, cost * high).sum()) for cost, (low, high) in reduced)
    return float(bound) * numbers.unit_cost


def _adding_up(values: Array, most: Array, total: float) -> Array:
    """The values moved so that they add up, none beyond its most."""
    missing = total - values.sum()
    if missing <= 0:
        return values * (total / values.sum())
    room = most - values
    return values + room * min(1.0, missing / room.sum()) if room.sum() > 0 else values


def _at_most(values: Array, group: np.ndarray, most: Array) -> Array:  # type: ignore[type-arg]
    """The values scaled down in the groups whose sum exceeds its most."""
    total = summed(group, values, most.size)
    return values * np.minimum(1.0, most / np.maximum(total, 1e-300))[group]
