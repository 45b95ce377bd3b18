"""A primal-dual interior-point method for the program of a plan under risk.

The first point is feasible but for the states of charge, and its prices are feasible throughout; each slack times its
price is led to a share of the barrier that is as large as its scenario is probable.

Source: Mehrotra 1992, SIAM J. Optim. 2, 575-601.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.newton import Newton, condense, factored, solve
from digital_twin.optimization.stochastic.program import Program
from digital_twin.optimization.stochastic.rows import FAST, Rows, costs, net_discharge, times, transposed

MOST_STEPS = 80
_TO_BOUNDARY = 0.999
_LEAST_CENTRING, _MOST_CENTRING = 1e-4, 0.9
_MOST_CURVATURE = 5.0
"""In units of what slack times price is led to: a correction for more than that does harm."""
_FIRST_BARRIER, _FIRST_SHARE, _FIRST_SLACK = 0.1, 0.4, 0.5


class Point(NamedTuple):
    """Where the steps have led."""

    y: Array
    slack: Array
    price: Array
    missed: Array  # Ay - b - slack

    @property
    def gap(self) -> float:
        """Slack times price: how far the point is from an optimum, once it is feasible."""
        return float(self.slack @ self.price)


def points(program: Program, deadline: float) -> Iterator[Point]:
    """Points ever closer to the optimum, until rounding or the deadline (of `time.monotonic`) ends the steps."""
    point = first_point(program)
    for _ in range(MOST_STEPS):
        yield point
        if time.monotonic() > deadline:
            return
        newton = condense(program.rows, point.price / point.slack)
        try:
            lower = factored(newton)
        except LinAlgError:
            return
        point = advance(program.rows, newton, lower, point, (program.slope, program.weights))
        if not (np.isfinite(point.gap) and point.slack.min() > 0 and point.price.min() > 0):
            return


@njit(cache=True, error_model="numpy", fastmath=FAST)
def advance(rows: Rows, newton: Newton, lower: Array, point: Point, program: tuple[Array, Array]) -> Point:
    """Mehrotra's step: as far to the centre as the boldest step suggests, with its curvature corrected.

    Args:
        program: its slope, and how each row counts in the barrier.
    """
    slope, counts = program
    _, ahead_slack, ahead_price = _direction(rows, newton, lower, point, (slope, np.zeros(counts.size)))
    forward, upward = _reach(point.slack, ahead_slack), _reach(point.price, ahead_price)
    gap, left, counted = 0.0, 0.0, 0.0
    for row in range(counts.size):
        counted += counts[row]
        gap += point.slack[row] * point.price[row]
        left += (point.slack[row] + forward * ahead_slack[row]) * (point.price[row] + upward * ahead_price[row])
    centring = min(max((left / gap) ** 3, _LEAST_CENTRING), _MOST_CENTRING) * gap / counted
    change = np.empty(counts.size)
    for row in range(counts.size):
        aim = centring * counts[row]
        most = _MOST_CURVATURE * aim
        change[row] = min(max(ahead_slack[row] * ahead_price[row], -most), most) - aim
    dy, ds, dp = _direction(rows, newton, lower, point, (slope, change))
    forward, upward = _TO_BOUNDARY * _reach(point.slack, ds), _TO_BOUNDARY * _reach(point.price, dp)
    for column in range(dy.size):
        dy[column] = point.y[column] + forward * dy[column]
    for row in range(counts.size):
        ds[row] = point.slack[row] + forward * ds[row]
        dp[row] = point.price[row] + upward * dp[row]
        change[row] = (1 - forward) * point.missed[row]
    return Point(dy, ds, dp, change)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _direction(
    rows: Rows, newton: Newton, lower: Array, point: Point, aim: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """The Newton step after which slack times price is minus the change aimed at, to first order."""
    slope, change = aim
    pulled = np.empty(change.size)
    for row in range(change.size):
        pulled[row] = (change[row] + point.price[row] * point.missed[row]) / point.slack[row]
    right = transposed(rows, pulled)
    for column in range(slope.size):
        right[column] = -slope[column] - right[column]
    dy, ds = solve(rows, newton, lower, right)
    for row in range(change.size):
        ds[row] += point.missed[row]
        pulled[row] = -point.price[row] - (change[row] + point.price[row] * ds[row]) / point.slack[row]
    return dy, ds, pulled


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _reach(values: Array, steps: Array) -> float:
    """The longest step up to 1 that keeps all above 0."""
    falling = 1.0
    for row in range(values.size):
        falling = max(falling, -steps[row] / values[row])
    return 1 / falling


def first_point(program: Program) -> Point:
    """Powers well within their bounds, and everything else about where the barrier would put it."""
    rows, store, chance = program.rows, program.store, program.probabilities
    low, high = store.free
    x = low + _FIRST_SHARE * (high - low)
    net = net_discharge(rows, x) + store.fixed_net
    excess, kink_price, excess_price = _excess_on_path(program, net)
    peak, over_price, peak_price = _peak_above(program, net)
    parts, prices = [x, excess, peak], [kink_price, excess_price, over_price, peak_price]
    if program.tail_weight > 0:
        cost = program.level + costs(rows, net, excess, peak)
        threshold = float(chance @ cost)
        spread = float(np.sqrt(chance @ (cost - threshold) ** 2)) + _FIRST_BARRIER
        parts += [np.maximum(cost - threshold, 0.0) + spread, np.array([threshold])]
        tail = program.tail_weight * chance
        prices += [tail, tail * (1 / (1 - program.confidence) - 1)]
    return _boxed(program, np.concatenate(parts), np.concatenate(prices))


def _excess_on_path(program: Program, net: Array) -> tuple[Array, Array, Array]:
    """The excess r that balances barrier / r + barrier / (r - missing) = rise, and the prices of both of its limits."""
    rows, rise = program.rows, program.rows.rise
    counted = program.probabilities[rows.kink_scenario]
    missing = rise * (program.at - net[rows.kink_interval])
    excess = (missing + 2 * _FIRST_BARRIER + np.hypot(missing, 2 * _FIRST_BARRIER)) / (2 * rise)
    least = 1e-6 * rise  # where rounding leaves nothing
    price = np.clip(_FIRST_BARRIER / np.maximum(excess - missing / rise, 1e-12), least, rise - least)
    return excess, counted * price, counted * (rise - price)


def _peak_above(program: Program, net: Array) -> tuple[Array, Array, Array]:
    """Peaks above all imports, and a price that is shared by all that a peak is above."""
    rows, peaks = program.rows, program.rows.counts[2]
    peak = np.zeros(peaks)
    np.maximum.at(peak, rows.peak_scenario, program.peak_at - net[rows.peak_interval])
    above = np.bincount(rows.peak_scenario, minlength=peaks) + 1
    share = rows.peak_price * program.probabilities[:peaks] / above
    return peak + 1.0, share[rows.peak_scenario], share


def _boxed(program: Program, y: Array, prices: Array) -> Point:
    """The point with these prices of the scenarios' rows, and prices of the storage's bounds that make up for them."""
    rows, free, steps = program.rows, program.rows.counts[0], program.store.fixed_net.size
    reached = times(rows, y) - program.limits
    slack = reached.copy()
    of_soc = slice(2 * free, 2 * free + 2 * steps)
    slack[of_soc] = np.maximum(slack[of_soc], _FIRST_SLACK)
    price = np.concatenate([np.zeros(2 * free), _FIRST_BARRIER / slack[of_soc], prices])
    reduced = (program.slope - transposed(rows, price))[:free]
    least = _FIRST_BARRIER / np.minimum(slack[:free], slack[free : 2 * free])
    price[:free], price[free : 2 * free] = np.maximum(reduced, 0) + least, np.maximum(-reduced, 0) + least
    return Point(y, slack, price, reached - slack)
