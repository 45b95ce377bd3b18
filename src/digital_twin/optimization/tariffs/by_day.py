"""The best tariff where blocks meet in nothing but the budgets of their days: closed forms at the price of each budget.

Where prices act on their own interval alone and each block has one reference price, welfare W_k and incentives I_k of a
block are quadratic in its own price. At a price m of the day's budget the best price maximises W_k - m I_k: a division
and a cut to the bounds. What all blocks of a day then spend falls as m rises, so that a search in one number finds the
m at which the budget is spent. For every m >= 0

    sum of max (W_k - m I_k) + m x budget

is a bound on what any tariff can gain (weak duality): the certificate needs no solver.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.plan import BindingLimit
from digital_twin.optimization.tariffs.accounting import demand_limits_kw, own_slopes, sums_by, tariff_figures
from digital_twin.optimization.tariffs.demand_response import Indices
from digital_twin.optimization.tariffs.plan import Settled, TariffProblem

SOLVER = "closed form at the price of each budget"
FLAT, DRAW = 1e-6, 1e-4
"""Below this share of the steepest block a price hardly matters; it is then drawn to the reference price."""
MOST_STEPS, BOLDEST = 200, 1e3
SPARED = 1e-12
"""Share of a budget that is not aimed at, so that rounding never overspends it."""
SIGNIFICANT = 1e-5
"""Of the mean price: what a limit must be worth per kWh of the horizon's demand to be named."""


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Welfare and incentives of each block as functions of its price p: -h p²/2 + s p and e u + q u², u = r - p > 0."""

    day: Indices  # (K,)
    r: Array
    h: Array
    s: Array
    e: Array
    q: Array
    low: Array
    high: Array

    def best(self, multiplier: Array) -> Array:
        """The best price of each block at these prices of the budgets."""  # (K,)
        m = multiplier[self.day]
        dearer = self.s / self.h
        cheaper = (self.s + m * (self.e + 2 * self.q * self.r)) / (self.h + 2 * m * self.q)
        return np.clip(np.where(dearer < self.r, np.minimum(cheaper, self.r), dearer), self.low, self.high)

    def spent(self, price: Array, days: int) -> Array:
        discount = np.maximum(self.r - price, 0.0)
        return sums_by(self.day, (self.e + self.q * discount) * discount, days)  # (D,)

    def fall_of_spending(self, price: Array, multiplier: Array) -> Array:
        """How fast a day spends less as the price of its budget rises."""  # (D,)
        discount = self.r - price
        moves = (discount > 0) & (price > self.low) & (price < self.high)
        steepness = self.h + 2 * multiplier[self.day] * self.q
        return sums_by(self.day, moves * (self.e + 2 * self.q * discount) ** 2 / steepness, multiplier.size)

    def pull(self, price: Array, multiplier: Array) -> Array:
        """What a higher price of each block is worth per unit."""  # (K,)
        discount = np.maximum(self.r - price, 0.0)
        saved = multiplier[self.day] * (self.e + 2 * self.q * discount)
        gain = self.s - self.h * price
        return np.where(discount > 0, gain + saved, np.where(gain < 0, np.minimum(gain + saved, 0.0), gain))


def best_by_day(problem: TariffProblem) -> Settled | None:
    """The optimum with its certificate; None where limits couple blocks otherwise, or leave no prices."""
    blocks = _blocks(problem) if _is_separable(problem) else None
    if blocks is None or (blocks.low > blocks.high).any():
        return None
    multiplier = _prices_of_budgets(blocks, problem.limits.incentive_budget)
    if multiplier is None:
        return None
    price = blocks.best(multiplier)
    figures = tariff_figures(problem, price[problem.calendar.block])
    priced = multiplier > 0
    unspent = (problem.limits.incentive_budget - figures.incentives_paid)[priced]
    bound = figures.change.weighted(problem.weights) + float(multiplier[priced] @ unspent)
    return Settled(price, multiplier, bound, SOLVER, _binding(problem, blocks, price, multiplier))


def _is_separable(problem: TariffProblem) -> bool:
    limits, calendar = problem.limits, problem.calendar
    couples = limits.revenue_floor is not None or limits.protected_load_kw is not None
    couples |= limits.max_step_per_kwh is not None and calendar.blocks > 1
    if couples or not problem.response.is_diagonal:
        return False
    first = _first_of_block(problem)
    reference = problem.outlook.import_price_per_kwh
    return bool((reference[first] == reference).all() and (calendar.day[first] == calendar.day).all())


def _first_of_block(problem: TariffProblem) -> Indices:
    """The first interval of each interval's block."""  # (T,)
    block = problem.calendar.block
    return np.unique(block, return_index=True)[1][block]


def _blocks(problem: TariffProblem) -> _Blocks:
    outlook, weights, block = problem.outlook, problem.weights, problem.calendar.block
    hours, slopes = outlook.grid.step_hours, own_slopes(problem)
    first = np.unique(block, return_index=True)[1]

    def of_block(values: Array) -> Array:
        return hours * sums_by(block, values, first.size)

    reference, e, q = outlook.import_price_per_kwh[first], of_block(outlook.load_kw), of_block(-slopes)
    margin = weights.operator_margin * (outlook.import_price_per_kwh - problem.supply.marginal_cost_per_kwh)
    carbon = weights.carbon_damage * problem.supply.carbon_price_per_kg * outlook.emission_factor_kg_per_kwh
    moved = (weights.operator_margin - weights.consumer_surplus) * outlook.load_kw + slopes * (margin - carbon)
    h = 2 * (weights.operator_margin - weights.consumer_surplus / 2) * q
    unit = (float(e.sum()) or 1.0) / (float(np.abs(reference).max()) or 1.0)
    draw = np.where(h < 2 * FLAT * unit, 2 * DRAW * unit, 0.0)
    s = of_block(moved) + (h + draw) * reference
    low, high = _bounds(problem, slopes)
    return _Blocks(problem.calendar.day[first], reference, h + draw, s, e, q, low, high)


def _bounds(problem: TariffProblem, slopes: Array) -> tuple[Array, Array]:
    """The prices between which demand stays at least 0 and within the connection."""  # (K,), (K,)
    limits, blocks = problem.limits, problem.calendar.blocks
    low, high = np.full(blocks, limits.low_per_kwh), np.full(blocks, limits.high_per_kwh)
    cheapest, dearest = _reach_of_connection(problem, slopes)
    np.maximum.at(low, problem.calendar.block, cheapest)
    np.minimum.at(high, problem.calendar.block, dearest)
    return low, high


def _reach_of_connection(problem: TariffProblem, slopes: Array) -> tuple[Array, Array]:
    outlook = problem.outlook
    least, most = demand_limits_kw(problem)
    answer = np.where(slopes < 0, -slopes, np.nan)
    cheapest = outlook.import_price_per_kwh - (most - outlook.load_kw) / answer
    dearest = outlook.import_price_per_kwh + (outlook.load_kw - least) / answer
    return np.nan_to_num(cheapest, nan=-np.inf), np.nan_to_num(dearest, nan=np.inf)


def _prices_of_budgets(blocks: _Blocks, budget: Array) -> Array | None:
    """The price of each day's budget at which it is spent, 0 where it is not; None where the bounds overspend one.

    Newton's steps, kept between the prices that are known to be too low and too high.
    """  # (D,)
    days, aim, spared = budget.size, budget * (1 - SPARED), SPARED * np.where(np.isfinite(budget), budget, 0.0)
    if (blocks.spent(np.clip(blocks.r, blocks.low, blocks.high), days) > aim).any():
        return None
    multiplier, low, high = np.zeros(days), np.zeros(days), np.full(days, np.inf)
    for _ in range(MOST_STEPS):
        price = blocks.best(multiplier)
        over = blocks.spent(price, days) - aim
        low, high = np.where(over > 0, multiplier, low), np.where(over > 0, high, multiplier)
        unsettled = (over > 0) | (multiplier > 0) & (over < -spared)
        if not unsettled.any():
            return multiplier
        fall = np.maximum(blocks.fall_of_spending(price, multiplier), 1e-300)
        newton = multiplier + (over + spared / 2) / fall
        farthest = np.where(np.isfinite(high), high, BOLDEST * (multiplier + 1))
        between = np.where(np.isfinite(high), (low + high) / 2, 4 * multiplier + 1)
        multiplier = np.where(unsettled, np.where((newton > low) & (newton < farthest), newton, between), multiplier)
    return None


def _binding(problem: TariffProblem, blocks: _Blocks, price: Array, multiplier: Array) -> tuple[BindingLimit, ...]:
    """The limits with a price: one more unit of each raises welfare by `value_per_unit`."""
    limits, block, grid = problem.limits, problem.calendar.block, problem.outlook.grid
    pull, least = blocks.pull(price, multiplier), SIGNIFICANT * float(blocks.e.sum())
    answer = np.maximum(-own_slopes(problem), 1e-300)
    cheapest, dearest = _reach_of_connection(problem, own_slopes(problem))
    rising, falling = np.where(pull > least, pull, 0.0)[block], np.where(pull < -least, -pull, 0.0)[block]
    per_interval = 1 / np.bincount(block)[block]
    bound_low, bound_high = price[block] == limits.low_per_kwh, price[block] == limits.high_per_kwh
    worth = {
        "price_bounds.high": rising * bound_high * per_interval,
        "price_bounds.low": falling * bound_low * per_interval,
        "grid_import_limit_kw": falling * ~bound_low * (price[block] == cheapest) / answer,
        "grid_export_limit_kw": rising * ~bound_high * (price[block] == dearest) * _exports(problem) / answer,
    }
    found = []
    for name, values in worth.items():
        if (held := np.flatnonzero(values)).size:
            found.append(BindingLimit(name, held.size, grid.instant(int(held[0])), float(values.sum())))
    if (spent := np.flatnonzero(multiplier > SIGNIFICANT)).size:
        held = np.flatnonzero(np.isin(problem.calendar.day, spent))
        worth_of_budget = float(multiplier[spent].sum())
        found.append(BindingLimit("incentive_budget", held.size, grid.instant(int(held[0])), worth_of_budget))
    return tuple(found)


def _exports(problem: TariffProblem) -> NDArray[np.bool_]:
    """Where the least demand is what the connection for export asks, not that nobody uses less than nothing."""
    return demand_limits_kw(problem)[0] > 0
