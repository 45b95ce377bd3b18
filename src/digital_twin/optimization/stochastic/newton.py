"""One step of the interior point of a plan under risk: the Newton system by the structure of its scenarios.

Excesses, peaks, losses and the threshold leave the system one by one, scenario by scenario. Charge and discharge of an
interval leave it together: between them it is only their difference, the net discharge, that meets the scenarios, and
the energy they store meets its bounds in a tridiagonal system. What remains is dense in the net discharge. A step takes
O(S T + S T^2) operations, the latter in one matrix product.

Every variable that leaves is told by how much it gives way, 1 / weight, which is 0 where it is fixed; sums of the
storage's terms have no differences in them, so that weights of any size do no harm.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError, blas, lapack

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.rows import FAST, SIGNS, Rows, row_parts, times, variables

_NOTHING = 1e-200
_SHIFTS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)
"""Added to the diagonal, relative to it, until the matrix is positive definite in spite of rounding."""
_blas: Any = blas  # the functions of both are made when they are imported
_lapack: Any = lapack


class Newton(NamedTuple):
    """The condensed system of one step: its matrix, still without losses and peaks, and the way back from it."""

    matrix: Array  # (T, T) its lower triangle
    losses: Array  # (S, T) whose products are to be added to it
    overs: Array  # (S, T) whose products are to be subtracted
    spread: Array  # (2, T) by how much charge and discharge give way
    stored: Array  # (4, T) energy stored by a kW of net charge; pivots and ratios of its system; how bounds give way
    excess: Array  # (3, K) by how much an excess gives way, its share and its kink's in a move of the net discharge
    over: Array  # (P,) share of a peak's move
    peak: Array  # (S,) by how much a peak gives way
    marginal: Array  # (S, T) of a scenario's loss in the net discharge, less that of the threshold
    of_threshold: Array  # (T,)
    narrow: Array  # (S,) by how much a price of a loss moves with the loss
    tail: Array  # (S,) weights of the rows of losses
    above_loss: Array  # (S,)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def condense(rows: Rows, weight: Array) -> Newton:
    """The system of A' diag(weight) A."""
    low, high, soc_low, soc_high, kink, above, over, above_peak, tail, above_loss = row_parts(rows, weight)
    steps = soc_low.size
    excess, diagonal = np.empty((3, kink.size)), np.zeros(steps)
    for number in range(kink.size):
        excess[0, number] = 1 / (kink[number] + above[number])
        excess[1, number] = kink[number] * excess[0, number]
        excess[2, number] = above[number] * excess[0, number]
        diagonal[rows.kink_interval[number]] += excess[1, number] * above[number]
    peak, share, overs = above_peak.copy(), np.empty(over.size), np.zeros((above_peak.size, steps))
    for number in range(over.size):
        peak[rows.peak_scenario[number]] += over[number]
        diagonal[rows.peak_interval[number]] += over[number]
    for scenario in range(peak.size):
        peak[scenario] = 1 / peak[scenario]
    for number in range(over.size):
        scenario = rows.peak_scenario[number]
        share[number] = over[number] * peak[scenario]
        overs[scenario, rows.peak_interval[number]] = over[number] * np.sqrt(peak[scenario])
    losses, marginal, of_threshold, narrow = _losses(rows, excess, (share, peak), (tail, above_loss))
    spread, stored, matrix = _storage(rows, (low, high, soc_low, soc_high), diagonal)
    return Newton(
        matrix, losses, overs, spread, stored, excess, share, peak, marginal, of_threshold, narrow, tail, above_loss
    )


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _losses(
    rows: Rows, excess: Array, peaks: tuple[Array, Array], weights: tuple[Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """What the scenarios' losses add: the spread of their marginal costs around the one of the threshold."""
    (tails, steps), total = (weights[0].size, rows.slope.shape[1]), 0.0
    losses, marginal, of_threshold = np.empty((tails, steps)), np.empty((tails, steps)), np.zeros(steps)
    if not tails:
        return losses, marginal, of_threshold, np.empty(0)
    marginal, narrow = _marginal(rows, excess, peaks, weights)
    for scenario in range(tails):
        total += narrow[scenario]
        for step in range(steps):
            of_threshold[step] += narrow[scenario] * marginal[scenario, step]
    for step in range(steps):
        of_threshold[step] /= total
    for scenario in range(tails):
        root = np.sqrt(narrow[scenario])
        for step in range(steps):
            marginal[scenario, step] -= of_threshold[step]
            losses[scenario, step] = root * marginal[scenario, step]
    return losses, marginal, of_threshold, narrow


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _marginal(
    rows: Rows, excess: Array, peaks: tuple[Array, Array], weights: tuple[Array, Array]
) -> tuple[Array, Array]:
    """What one more kW of net discharge costs each scenario, and by how much the price of its loss moves with that."""
    (share, peak), (tail, above_loss) = peaks, weights
    marginal, narrow = rows.slope.copy(), np.empty(tail.size)
    for scenario in range(tail.size):
        narrow[scenario] = 1 / tail[scenario] + 1 / above_loss[scenario]
    for kink in range(rows.rise.size):
        scenario, rise = rows.kink_scenario[kink], rows.rise[kink]
        marginal[scenario, rows.kink_interval[kink]] -= rise * excess[1, kink]
        narrow[scenario] += rise**2 * excess[0, kink]
    for over in range(share.size):
        marginal[rows.peak_scenario[over], rows.peak_interval[over]] -= rows.peak_price * share[over]
    for scenario in range(peak.size):
        narrow[scenario] += rows.peak_price**2 * peak[scenario]
    for scenario in range(tail.size):
        narrow[scenario] = 1 / narrow[scenario]
    return marginal, narrow


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _storage(rows: Rows, weights: tuple[Array, Array, Array, Array], diagonal: Array) -> tuple[Array, Array, Array]:
    """What charge and discharge leave between net discharges: 1 / spread and, by what they store, a full matrix."""
    (low, high, soc_low, soc_high), steps = weights, diagonal.size
    spread, stored, matrix = np.zeros((2, steps)), np.empty((4, steps)), np.zeros((steps, steps))
    energy, pivot, ratio, soft = stored[0], stored[1], stored[2], stored[3]
    lossy, before = 0.0, 0.0  # `lossy` is a pivot less what the next interval takes of it
    for step in range(steps):
        for kind in range(2):
            place = rows.places[kind, step]
            if place >= 0:
                spread[kind, step] = 1 / (low[place] + high[place])
        both = spread[0, step] + spread[1, step] + _NOTHING
        energy[step] = (rows.gains[0] * spread[0, step] - rows.gains[1] * spread[1, step]) / both
        given = (rows.gains[0] + rows.gains[1]) ** 2 * spread[0, step] * spread[1, step] / both
        ratio[step] = before / pivot[step - 1] if step else 0.0
        lossy = given + ratio[step] * lossy
        before = soft[step] = 1 / (soc_low[step] + soc_high[step])
        pivot[step] = lossy + before
        matrix[step, step] = diagonal[step] + 1 / both
    inverse = 0.0
    for step in range(steps - 1, -1, -1):
        inverse = 1 / pivot[step] + (ratio[step + 1] ** 2 * inverse if step < steps - 1 else 0.0)
        faded = energy[step] * inverse
        matrix[step, step] += energy[step] * faded
        for earlier in range(step - 1, -1, -1):
            faded *= ratio[earlier + 1]
            if faded < _NOTHING:
                break
            matrix[step, earlier] = energy[earlier] * faded
    return spread, stored, matrix


def factored(newton: Newton) -> Array:
    """The Cholesky factor of the condensed matrix, as a lower triangle.

    Raises:
        LinAlgError: rounding leaves a matrix that is not positive definite.
    """
    matrix = newton.matrix.T  # an upper triangle in the order of columns
    for sign, products in ((1.0, newton.losses), (-1.0, newton.overs)):
        if products.size:
            matrix = _blas.dsyrk(sign, products.T, beta=1.0, c=matrix, overwrite_c=1)
    for shift in _SHIFTS:
        tried = matrix.copy(order="F")
        np.einsum("ii->i", tried)[:] *= 1 + shift
        upper, fault = _lapack.dpotrf(tried, clean=0, overwrite_a=1)
        if fault == 0:
            return upper.T
    raise LinAlgError("the Newton matrix is not positive definite")


@njit(cache=True, error_model="numpy", fastmath=FAST)
def solve(rows: Rows, newton: Newton, lower: Array, right: Array) -> tuple[Array, Array]:
    """y of (A' diag(weight) A) y = right, and Ay, by the Cholesky factor of the condensed matrix.

    Rows that are small differences of large numbers, those of losses, of kinks and of the energy in store, come from
    their prices: were they made from y, rounding would undo the feasibility of the prices near the optimum.
    """
    y = np.empty(right.size)
    x, excess, peak, loss, threshold = variables(rows, y)
    _, _, _, right_of_loss, _ = variables(rows, right)
    by_net, price, at_rest = _at_rest(rows, newton, right)
    net, stored = _moved(rows, newton, lower, (variables(rows, right)[0], by_net), x)
    for scenario in range(loss.size):
        for step in range(net.size):
            price[scenario] -= newton.marginal[scenario, step] * net[step]
        price[scenario] *= newton.narrow[scenario]
        loss[scenario] = (right_of_loss[scenario] - price[scenario]) / newton.above_loss[scenario]
    if threshold.size:
        threshold[0] = at_rest
        for step in range(net.size):
            threshold[0] += newton.of_threshold[step] * net[step]
    _follow(rows, newton, right, (net, price), (excess, peak))
    made = times(rows, y)
    _, _, soc_low, soc_high, kink, _, _, _, tail, _ = row_parts(rows, made)
    for step in range(net.size):
        later = stored[step + 1] if step < net.size - 1 else 0.0
        soc_low[step] = newton.stored[3, step] * (stored[step] - later)
        soc_high[step] = -soc_low[step]
    for number in range(kink.size):
        pull = excess[number] + newton.excess[1, number] * net[rows.kink_interval[number]]
        kink[number] = pull + newton.excess[2, number] * net[rows.kink_interval[number]]
    for scenario in range(tail.size):
        tail[scenario] = price[scenario] / newton.tail[scenario]
    return y, made


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _at_rest(rows: Rows, newton: Newton, right: Array) -> tuple[Array, Array, float]:
    """What the scenarios ask of the net discharge; their losses and the threshold were it to stay where it is."""
    _, excess, peak, loss, threshold = variables(rows, right)
    by_net, price, shift, narrow = np.zeros(rows.slope.shape[1]), np.zeros(rows.slope.shape[0]), 0.0, 0.0
    for kink in range(excess.size):
        by_net[rows.kink_interval[kink]] -= newton.excess[1, kink] * excess[kink]
        price[rows.kink_scenario[kink]] -= rows.rise[kink] * newton.excess[0, kink] * excess[kink]
    for over in range(newton.over.size):
        by_net[rows.peak_interval[over]] -= newton.over[over] * peak[rows.peak_scenario[over]]
    for scenario in range(peak.size):
        price[scenario] -= rows.peak_price * newton.peak[scenario] * peak[scenario]
    if threshold.size:
        shift = threshold[0]  # by which the prices of the losses add up
        for scenario in range(loss.size):
            price[scenario] += loss[scenario] / newton.above_loss[scenario]
            shift -= price[scenario] * newton.narrow[scenario]
            narrow += newton.narrow[scenario]
        shift /= narrow
        for step in range(by_net.size):
            by_net[step] += newton.of_threshold[step] * threshold[0]
        for scenario in range(loss.size):
            price[scenario] += shift
            for step in range(by_net.size):
                by_net[step] += price[scenario] * newton.narrow[scenario] * newton.marginal[scenario, step]
    return by_net, price, shift


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _follow(rows: Rows, newton: Newton, right: Array, moves: tuple[Array, Array], into: tuple[Array, Array]) -> None:
    """How excesses and peaks follow the net discharge and the prices of the losses."""
    (net, price), (excess, peak), counted = moves, into, 1.0 if newton.narrow.size else 0.0
    _, of_excess, of_peak, _, _ = variables(rows, right)
    for kink in range(excess.size):
        pull = of_excess[kink] + counted * rows.rise[kink] * price[rows.kink_scenario[kink]]
        excess[kink] = pull * newton.excess[0, kink] - newton.excess[1, kink] * net[rows.kink_interval[kink]]
    for scenario in range(peak.size):
        pull = of_peak[scenario] + counted * rows.peak_price * price[scenario]
        peak[scenario] = pull * newton.peak[scenario]
    for over in range(newton.over.size):
        peak[rows.peak_scenario[over]] -= newton.over[over] * net[rows.peak_interval[over]]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _moved(rows: Rows, newton: Newton, lower: Array, right: tuple[Array, Array], moved: Array) -> tuple[Array, Array]:
    """The net discharge that solves the system, and the price of energy in store; free powers go into `moved`."""
    (x, by_net), steps = right, lower.shape[0]
    energy, pivot, ratio = newton.stored[0], newton.stored[1], newton.stored[2]
    pulled, given, price = np.zeros((2, steps)), np.empty(steps), np.empty(steps)
    for step in range(steps):
        for kind in range(2):
            if rows.places[kind, step] >= 0:
                pulled[kind, step] = x[rows.places[kind, step]]
        charge, discharge = newton.spread[0, step], newton.spread[1, step]
        given[step] = charge * discharge / (charge + discharge + _NOTHING)
        price[step] = (rows.gains[0] + rows.gains[1]) * given[step] * (pulled[0, step] + pulled[1, step])
    net = price.copy()
    _solve_stored(pivot, ratio, net)
    for step in range(steps):
        both = newton.spread[0, step] + newton.spread[1, step] + _NOTHING
        own = (newton.spread[1, step] * pulled[1, step] - newton.spread[0, step] * pulled[0, step]) / both
        net[step] = by_net[step] + own + energy[step] * net[step]
    _solve_dense(lower, net)
    for step in range(steps):
        price[step] -= energy[step] * net[step]
    _solve_stored(pivot, ratio, price)
    for step in range(steps):
        both = newton.spread[0, step] + newton.spread[1, step] + _NOTHING
        pull = pulled[0, step] + pulled[1, step] - (rows.gains[0] + rows.gains[1]) * price[step]
        for kind in range(2):
            if rows.places[kind, step] >= 0:
                part = SIGNS[kind] * newton.spread[kind, step] / both * net[step]
                moved[rows.places[kind, step]] = given[step] * pull + part
    return net, price


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _solve_stored(pivot: Array, ratio: Array, right: Array) -> None:
    """The tridiagonal system, in place."""
    for step in range(1, right.size):
        right[step] += ratio[step] * right[step - 1]
    for step in range(right.size):
        right[step] /= pivot[step]
    for step in range(right.size - 2, -1, -1):
        right[step] += ratio[step + 1] * right[step + 1]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _solve_dense(lower: Array, right: Array) -> None:
    """L L' x = right, in place."""
    for step in range(right.size):
        row, total = lower[step], 0.0
        for earlier in range(step):
            total += row[earlier] * right[earlier]
        right[step] = (right[step] - total) / row[step]
    for step in range(right.size - 1, -1, -1):
        row = lower[step]
        right[step] /= row[step]
        for earlier in range(step):
            right[earlier] -= row[earlier] * right[step]
