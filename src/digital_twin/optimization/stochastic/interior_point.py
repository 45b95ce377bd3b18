"""A primal-dual interior-point method for the program of a plan under risk.

The first point is feasible but for the states of charge, and its prices are feasible throughout; each slack times its
price is led to a share of the barrier that is as large as its scenario is probable.

Source: Mehrotra 1992, SIAM J. Optim. 2, 575-601.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.program import Program, Solve

MOST_STEPS = 80
_TO_BOUNDARY = 0.999
_FIRST_BARRIER, _FIRST_SHARE, _FIRST_SLACK = 0.1, 0.4, 0.5
_LEAST_CENTRING, _MOST_CENTRING = 1e-4, 0.9
_MOST_CURVATURE = 5.0
"""In units of what slack times price is led to: a correction for more than that does harm."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
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
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                point = _moved(program, point, program.factor(point.price / point.slack))
        except LinAlgError:
            return
        if not (np.isfinite(point.gap) and point.slack.min() > 0 and point.price.min() > 0):
            return


def _moved(program: Program, point: Point, solve: Solve) -> Point:
    """Mehrotra's step: as far to the centre as the boldest step suggests, with its curvature corrected."""
    barrier = point.gap / program.weights.sum()

    def direction(change: Array | float) -> tuple[Array, Array, Array]:
        """The Newton step after which slack times price is minus `change`, to first order."""
        dy, rows = solve(-program.slope - program.transposed((change + point.price * point.missed) / point.slack))
        ds = rows + point.missed
        return dy, ds, -point.price - (change + point.price * ds) / point.slack

    _, ahead_slack, ahead_price = direction(0.0)
    slack = point.slack + _reach(point.slack, ahead_slack) * ahead_slack
    price = point.price + _reach(point.price, ahead_price) * ahead_price
    share = float(slack @ price) / point.gap
    aim = barrier * float(np.clip(share**3, _LEAST_CENTRING, _MOST_CENTRING)) * program.weights
    most = _MOST_CURVATURE * aim
    dy, ds, dp = direction(np.clip(ahead_slack * ahead_price, -most, most) - aim)
    forward = min(1.0, _TO_BOUNDARY * _reach(point.slack, ds))
    upward = min(1.0, _TO_BOUNDARY * _reach(point.price, dp))
    return Point(
        point.y + forward * dy, point.slack + forward * ds, point.price + upward * dp, (1 - forward) * point.missed
    )


def _reach(values: Array, steps: Array) -> float:
    """The longest step up to 1 that keeps all above 0."""
    falling = float((-steps / values).max(initial=0.0))
    return 1.0 if falling <= 1 else 1 / falling


def first_point(program: Program) -> Point:
    """Powers well within their bounds, and everything else about where the barrier would put it."""
    numbers, free, chance = program.numbers, program.free, program.numbers.probabilities
    x = free.low + _FIRST_SHARE * (free.high - free.low)
    net = free.net(x) + free.fixed_net
    excess, kink_price, excess_price = _excess_on_path(program, net)
    cost = numbers.level + numbers.slope @ net + program.by_scenario(numbers.rise * excess)
    parts, prices = [x, excess], [kink_price, excess_price]
    if program.peaks:
        peak = np.zeros(program.peaks)
        np.maximum.at(peak, program.peak.scenario, program.peak.at - net[program.peak.interval])
        peak += 1.0
        rows = np.bincount(program.peak.scenario, minlength=program.peaks)
        share = program.peak.price * chance / (rows + 1)
        cost = cost + program.peak.price * peak
        parts, prices = [*parts, peak], [*prices, share[program.peak.scenario], share]
    else:
        prices += [np.empty(0), np.empty(0)]
    if program.tails:
        threshold = float(chance @ cost)
        spread = float(np.sqrt(chance @ (cost - threshold) ** 2)) + _FIRST_BARRIER
        parts += [np.maximum(cost - threshold, 0.0) + spread, np.array([threshold])]
        tail = numbers.tail_weight * chance
        prices += [tail, tail * (1 / (1 - numbers.confidence) - 1)]
    return _boxed(program, np.concatenate(parts), np.concatenate(prices))


def _excess_on_path(program: Program, net: Array) -> tuple[Array, Array, Array]:
    """The excess r that balances barrier / r + barrier / (r - missing) = rise, and the prices of both of its limits."""
    rise = program.numbers.rise
    counted = program.numbers.probabilities[program.kink_scenario]
    missing = rise * (program.numbers.at - net[program.kink_interval])
    excess = (missing + 2 * _FIRST_BARRIER + np.hypot(missing, 2 * _FIRST_BARRIER)) / (2 * rise)
    least = 1e-6 * rise  # where rounding leaves nothing
    price = np.clip(_FIRST_BARRIER / np.maximum(excess - missing / rise, 1e-12), least, rise - least)
    return excess, counted * price, counted * (rise - price)


def _boxed(program: Program, y: Array, prices: Array) -> Point:
    """The point with these prices of the scenarios' rows, and prices of the storage's bounds that make up for them."""
    slack = program.times(y) - program.limits
    free, steps = program.free.low.size, program.free.fixed_net.size
    of_soc = slice(2 * free, 2 * free + 2 * steps)
    slack[of_soc] = np.maximum(slack[of_soc], _FIRST_SLACK)
    price = np.concatenate([np.zeros(2 * free), _FIRST_BARRIER / slack[of_soc], prices])
    reduced = (program.slope - program.transposed(price))[:free]
    least = _FIRST_BARRIER / np.minimum(slack[:free], slack[free : 2 * free])
    price[:free], price[free : 2 * free] = np.maximum(reduced, 0) + least, np.maximum(-reduced, 0) + least
    return Point(y, slack, price, program.times(y) - program.limits - slack)
