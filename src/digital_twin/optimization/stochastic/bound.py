"""A lower bound of what any plan costs, from any prices: Lagrange's, with every variable within its box."""

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.program import Program
from digital_twin.optimization.stochastic.rows import row_parts


def lower_bound(program: Program, price: Array) -> float:
    """No plan costs less than this, in money.

    The prices are first made consistent: those of losses are probabilities of a worst case, those of excess and peak
    at most what their scenario's cost counts. What then is left over in the storage's reduced costs is met by the best
    corner of its box, so the bound holds for prices of any origin.
    """
    rows, store, counted = program.rows, program.store, program.probabilities
    _, _, soc_low, soc_high, kink, _, over, _, tail, _ = row_parts(rows, price)
    if tail.size:
        most = program.tail_weight / (1 - program.confidence) * counted
        tail = _adding_up(np.clip(tail, 0.0, most), most, program.tail_weight)
        counted = (1 - program.tail_weight) * counted + tail
    kink = np.clip(kink, 0.0, counted[rows.kink_scenario] * rows.rise)
    over = _at_most(np.maximum(over, 0.0), rows.peak_scenario, counted * rows.peak_price)
    steps = soc_low.size
    marginal = counted @ rows.slope - np.bincount(rows.kink_interval, kink, steps)
    marginal -= np.bincount(rows.peak_interval, over, steps)
    soc_price = np.cumsum((soc_high - soc_low)[::-1])[::-1] - store.end_value
    reduced = [
        (store.wear + store.gains[0] * soc_price - marginal, store.powers[0]),
        (store.wear + store.gains[1] * soc_price + marginal, store.powers[1]),
        (np.append(soc_price[1:], -store.end_value) - soc_price, store.soc),
    ]
    bound = counted @ program.level + kink @ program.at + over @ program.peak_at
    bound += soc_price[0] * store.initial + store.end_value * store.final_min
    bound += sum(float(np.minimum(cost * low, cost * high).sum()) for cost, (low, high) in reduced)
    return float(bound) * program.units.cost


def _adding_up(values: Array, most: Array, total: float) -> Array:
    """The values moved so that they add up, none beyond its most."""
    missing = total - values.sum()
    if missing <= 0:
        return values * (total / values.sum())
    room = most - values
    return values + room * min(1.0, missing / room.sum()) if room.sum() > 0 else values


def _at_most(values: Array, group: NDArray[np.intp], most: Array) -> Array:
    """The values scaled down in the groups whose sum exceeds its most."""
    total = np.bincount(group, values, most.size)
    return values * np.minimum(1.0, most / np.maximum(total, 1e-300))[group]
