"""How much better than these prices any tariff can be: a bound by weak duality that trusts no solver.

Let c be the change of prices. At a price m of each day's budget and n of the revenue floor,

    L = welfare - m (incentives - budget) + n (revenue - floor)

is at least the welfare of every tariff that keeps to its limits. Where L is concave its tangent bounds it, and over
the linear limits the tangent is bounded by their prices.

L bends where a discount begins, downwards as long as demand is at least 0. In between, with cells S at a discount, the
others U and w the weight of the curvature of welfare and n together, L is concave if

    [ (w + m) Q_SS      (w + m/2) Q_SU ]
    [ (w + m/2) Q_US        w Q_UU     ]    is positive semidefinite.

With r the most that x'Qy / sqrt(x'Qx y'Qy) comes to for x in S and y in U, that is w (w + m) >= r² (w + m/2)². And r
is at most (k - 1) / (k + 1), whatever S is, with k the condition of Q scaled to ones on its diagonal. Without cross
elasticities r = 0.

Source: Horn, Johnson 2013, Matrix Analysis, section 7.4 (Wielandt's inequality).
"""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.accounting import sums_by, tariff_figures, welfare_slope
from digital_twin.optimization.tariffs.convex_program import Optimum
from digital_twin.optimization.tariffs.limits import price_of_floor, prices_of_budgets
from digital_twin.optimization.tariffs.matrices import Matrix
from digital_twin.optimization.tariffs.model import CLOSED, DISCOUNTS, TariffModel
from digital_twin.optimization.tariffs.parts import Parts
from digital_twin.optimization.tariffs.plan import TariffFigures, TariffProblem

NEAR_KINKS = (1e-6, 1e-4)
"""Of the highest reference price."""
_ROUNDING = 1e-12
"""Of the largest eigenvalue."""


def bound_of_welfare(model: TariffModel, optimum: Optimum, prices: Array) -> float:
    """A bound on the weighted change of welfare of any tariff; infinity where L is not known to be concave.

    Args:
        prices: near the optimum: the nearer, the tighter.  # (K,)
    """
    of_budget, of_floor = prices_of_budgets(model, optimum), price_of_floor(model, optimum)
    if not _is_concave(model.parts, of_budget, of_floor):
        return np.inf
    found = _tangent_bound(model, optimum, prices, (of_budget, of_floor))
    for near in NEAR_KINKS:
        at_kinks = _at_kinks(model.parts.problem, prices, near)
        if at_kinks is not None:
            found = min(found, _tangent_bound(model, optimum, at_kinks, (of_budget, of_floor)))
    return found


def _tangent_bound(model: TariffModel, optimum: Optimum, prices: Array, worth: tuple[Array, float]) -> float:
    """The most that the tangent at these prices comes to within the linear limits.

    Args:
        worth: of one more unit of each day's budget  # (D,), and of one less of the revenue floor.
    """
    problem, scale, (of_budget, of_floor) = model.parts.problem, model.scale, worth
    limits, figures, priced = problem.limits, tariff_figures(problem, prices[problem.calendar.block]), of_budget > 0
    bound = figures.change.weighted(problem.weights)
    bound += float(of_budget[priced] @ (limits.incentive_budget - figures.incentives_paid)[priced])
    bound += of_floor * (figures.revenue - (limits.revenue_floor or 0.0))
    held, unused = _of_linear_limits(model, optimum, prices / scale.price_per_kwh)
    held *= scale.money / scale.price_per_kwh
    rising, falling = _slopes(problem, figures, of_budget, of_floor)
    left = np.clip(held, rising, falling) - held
    reach = np.where(left > 0, limits.high_per_kwh - prices, prices - limits.low_per_kwh)
    return bound + unused * scale.money + float(np.abs(left) @ reach)


def _at_kinks(problem: TariffProblem, prices: Array, near: float) -> Array | None:
    """These prices, those that lie close to a reference price put there: to either side L has another tangent.

    None where there is nothing to put.
    """
    block, reference = problem.calendar.block, problem.outlook.import_price_per_kwh
    away = np.abs(prices[block] - reference)
    close = (away > 0) & (away < near * float(np.abs(reference).max()))
    if not close.any():
        return None
    nearest = np.full(prices.size, np.inf)
    np.minimum.at(nearest, block, away)
    moved, here = prices.copy(), close & (away == nearest[block])
    moved[block[here]] = reference[here]
    return moved


def _is_concave(parts: Parts, of_budget: Array, of_floor: float) -> bool:
    if parts.problem.response.is_diagonal:
        return True
    weights = parts.problem.weights
    weight = weights.operator_margin - weights.consumer_surplus / 2 + of_floor
    for day in np.flatnonzero(of_budget):
        cells, m = np.flatnonzero(parts.day == day), of_budget[day]
        mixed = _mixing(parts.bend[cells][:, cells])
        if weight * (weight + m) < (mixed * (weight + m / 2)) ** 2:
            return False
    return True


def _mixing(bend: Matrix) -> float:
    """A bound on x'Qy / sqrt(x'Qx y'Qy) of any x and y with no cell in common."""
    plain = bend if isinstance(bend, np.ndarray) else bend.toarray()
    answers = plain.diagonal() > 0
    own = np.sqrt(plain.diagonal()[answers])
    if own.size < 2:
        return 0.0
    values = np.linalg.eigvalsh(plain[answers][:, answers] / np.outer(own, own))
    least, most = max(values[0] - _ROUNDING * values[-1], 0.0), values[-1]
    return float((most - least) / (most + least))


def _slopes(problem: TariffProblem, figures: TariffFigures, of_budget: Array, of_floor: float) -> tuple[Array, Array]:
    """What L gains as the price of each block rises, and what it loses as it falls."""  # (K,), (K,)
    calendar, slopes, price = problem.calendar, problem.response.slopes, figures.import_price_per_kwh
    change, demand_kw, m = price - problem.outlook.import_price_per_kwh, figures.demand_kw, of_budget[calendar.day]
    spared = m * (np.where(change < 0, demand_kw, 0.0) - slopes @ np.maximum(-change, 0.0))
    earned = of_floor * (demand_kw + slopes @ price)
    hours, blocks = problem.outlook.grid.step_hours, calendar.blocks
    gain = sums_by(calendar.block, welfare_slope(problem, price) + hours * (spared + earned), blocks)
    bend = hours * m * np.where(change == 0, np.maximum(demand_kw, 0.0), 0.0)
    return gain, gain + sums_by(calendar.block, bend, blocks)


def _of_linear_limits(model: TariffModel, optimum: Optimum, x: Array) -> tuple[Array, float]:
    """The pull of all linear limits on prices, and what their unused room is worth; scaled.

    What defines discounts is no limit: L knows it already.
    """  # (K,)
    held, unused, first = np.zeros(x.size), 0.0, 0
    for limit in model.linear:
        prices = optimum.prices[first : first + limit.limits.size]
        first += limit.limits.size
        if limit.name not in (CLOSED, DISCOUNTS):
            rows = limit.matrix[:, : x.size]
            held += rows.T @ prices
            unused += float(prices @ (limit.limits - rows @ x))
    return held, unused
