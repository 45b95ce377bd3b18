"""Prices in whole units, such as cents: rounded so that every limit still holds, then bettered by single units.

The best prices in whole units are an integer program. Rounding each price to a neighbour, then moving single prices and
pairs of prices by a unit while that gains welfare and keeps to all limits, is not proved to find its optimum; what it
finds is evaluated exactly, and the gap to the optimum in prices of any size bounds what is missed.
"""

import numpy as np

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.accounting import broken_limits, in_units, sums_by, tariff_figures, welfare_slope
from digital_twin.optimization.tariffs.plan import TariffProblem

MOST_MOVES, MOST_TRIED = 200, 100
MOST_BLOCKS_IN_PAIRS = 48
THRESHOLDS = (0.2, 0.35, 0.5, 0.65, 0.8)


def in_whole_units(problem: TariffProblem, prices: Array, unit: float) -> Array:
    """The best prices found in whole units near these, which keep to every limit.

    Raises:
        Infeasible: no neighbouring prices in whole units keep to every limit.
    """  # (K,)
    starts = [in_units(start, unit) for start in _starts(problem, prices, unit)]
    worth = [_worth(problem, start) for start in starts]
    if max(worth) == -np.inf:
        raise Infeasible(
            f"no prices in whole multiples of {unit:g} near the best ones respect every limit; give a smaller "
            "price_unit_per_kwh",
            limits=[{"limit": "price_unit_per_kwh", "relax_by": unit, "unit": "currency/kWh", "alone": True}],
        )
    best, welfare = starts[int(np.argmax(worth))], max(worth)
    for _ in range(MOST_MOVES):
        better = _bettered(problem, best, welfare, unit)
        if better is None:
            break
        best, welfare = better
    return best


def _worth(problem: TariffProblem, prices: Array) -> float:
    """The weighted change of welfare; minus infinity where a limit is broken."""
    figures = tariff_figures(problem, prices[problem.calendar.block])
    return -np.inf if broken_limits(problem, figures) else figures.change.weighted(problem.weights)


def _starts(problem: TariffProblem, prices: Array, unit: float) -> list[Array]:
    """All prices rounded in the same way: by one threshold, towards the present price, away from it; one price."""
    limits, block = problem.limits, problem.calendar.block
    lowest, highest = np.ceil(limits.low_per_kwh / unit - 1e-9), np.floor(limits.high_per_kwh / unit + 1e-9)
    count = np.bincount(block)
    present = sums_by(block, problem.outlook.import_price_per_kwh, prices.size) / count
    down, up = np.floor(prices / unit + 1e-9), np.ceil(prices / unit - 1e-9)
    one_price = np.full(prices.size, np.round(float(prices @ count) / count.sum() / unit))
    starts = [np.floor(prices / unit + share) for share in THRESHOLDS]
    starts += [up, down, np.where(prices < present, up, down), np.where(prices < present, down, up)]
    starts += [np.round(present / unit), one_price]
    return [unit * np.clip(start, lowest, highest) for start in starts]


def _bettered(problem: TariffProblem, prices: Array, welfare: float, unit: float) -> tuple[Array, float] | None:
    """The first move that gains and keeps to every limit, by what each would gain without limits."""
    moves, gains = _moves(problem, prices, unit)
    for index in np.argsort(-gains)[:MOST_TRIED]:
        if gains[index] <= 0:
            return None
        moved = prices.copy()
        for block, sign in moves[index]:
            moved[int(block)] += sign * unit
        moved = in_units(moved, unit)
        found = _worth(problem, moved)
        if found > welfare:
            return moved, found
    return None


def _moves(problem: TariffProblem, prices: Array, unit: float) -> tuple[Array, Array]:
    """Single prices, and pairs of them, up or down by a unit, with what each gains: welfare is quadratic."""
    slope, bend = _slope_and_bend(problem, prices)
    block, sign = np.tile(np.arange(prices.size), 2), np.repeat([1.0, -1.0], prices.size)
    single = unit * sign * slope[block] + unit**2 / 2 * bend.diagonal()[block]
    moves = np.stack([np.stack([block, sign], axis=1), np.stack([block, np.zeros_like(sign)], axis=1)], axis=1)
    if prices.size > MOST_BLOCKS_IN_PAIRS:
        return moves, single  # (M, 2, 2), (M,)
    one, other = np.triu_indices(block.size, 1)
    apart = block[one] != block[other]
    one, other = one[apart], other[apart]
    both = single[one] + single[other] + unit**2 * sign[one] * sign[other] * bend[block[one], block[other]]
    pairs = np.stack([moves[one, 0], moves[other, 0]], axis=1)
    return np.concatenate([moves, pairs]), np.concatenate([single, both])


def _slope_and_bend(problem: TariffProblem, prices: Array) -> tuple[Array, Array]:
    """First and second derivatives of weighted welfare by the prices of blocks."""  # (K,), (K, K)
    weights, block = problem.weights, problem.calendar.block
    by_interval = welfare_slope(problem, prices[block])
    share = problem.outlook.grid.step_hours * (2 * weights.operator_margin - weights.consumer_surplus)
    slopes = problem.response.slopes.tocoo()
    bend = np.zeros((prices.size, prices.size))
    np.add.at(bend, (block[slopes.row], block[slopes.col]), share * slopes.data)
    return sums_by(block, by_interval, prices.size), bend
