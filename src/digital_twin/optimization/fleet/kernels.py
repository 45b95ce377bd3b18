"""What one iteration of the interior point does for each unit: compiled sweeps over the units of a batch.

Source: Mehrotra (1992), SIAM Journal on Optimization 2; for bounds of every variable Wright (1997), Primal-Dual
Interior-Point Methods, chapters 10 and 11; corrections clipped as Colombo and Gondzio (2008), section 3.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.units import (
    CHARGE,
    DISCHARGE,
    FAST,
    SURPLUS,
    Aim,
    Batch,
    Community,
    Iterate,
    Newton,
    Units,
)

STEPS = (1.0, 0.75, 0.4, 0.1)
"""Parts of the dual direction that are tried."""


_SHIFT, _SMALLEST = 1 + 1e-13, 1e-15
"""What keeps the pivots of a unit without room above 0."""

_NOTHING = 1e-200
_NEAR = 0.02  # of its room: nearer to a bound the least multiplier grows no more


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _reduce(units: Units, price: Array, community: Array, unit: int, reduced: Array) -> None:
    """Reduced costs of one unit's variables."""
    stored, taken, wear = units.stored[unit], units.taken[unit], units.wear[unit]
    charge, discharge, energy = reduced[0], reduced[1], reduced[2]
    for step in range(community.size):
        charge[step] = wear + stored * price[step] + community[step]
    for step in range(community.size):
        discharge[step] = wear - taken * price[step] - community[step]
    for step in range(community.size):
        energy[step] = price[step + 1] - price[step]
    if reduced.shape[0] > SURPLUS:
        for step in range(community.size):
            reduced[SURPLUS, step] = wear + stored * price[step]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def centre(units: Units, iterate: Iterate, community: Array, barrier: float) -> None:
    """The point of the central path for these prices: both products of every bound equal the barrier's share."""
    reduced = np.empty(units.room.shape[1:])
    for unit in range(units.room.shape[0]):
        _reduce(units, iterate.price[unit], community, unit, reduced)
        share = barrier * units.weight[unit]
        for kind in range(units.room.shape[1]):
            for step in range(community.size):
                room, cost = units.room[unit, kind, step], reduced[kind, step]
                if room <= 0:
                    iterate.slack[unit, kind, step] = 0.0
                    iterate.lower[unit, kind, step] = 0.0
                    iterate.upper[unit, kind, step] = 0.0
                    continue
                larger = (2 * share + room * abs(cost) + np.sqrt((room * cost) ** 2 + 4 * share**2)) / (2 * room)
                near = share / larger
                smaller = share / (room - near)
                iterate.slack[unit, kind, step] = near if cost > 0 else room - near
                iterate.lower[unit, kind, step] = larger if cost > 0 else smaller
                iterate.upper[unit, kind, step] = smaller if cost > 0 else larger


@njit(cache=True, error_model="numpy", fastmath=FAST)
def eliminate(units: Units, iterate: Iterate, newton: Newton, community: Array, batch: Batch, sums: Array) -> float:
    """Factor each unit's tridiagonal system and solve it for no centring.

    Adds to `sums` (3, T): the diagonal of the community's system, its right-hand side, the injection.

    Returns: the sum of slack times multiplier.
    """
    steps = community.size
    reduced, right = np.empty((units.room.shape[1], steps)), np.empty(steps)
    products = 0.0
    for unit in range(batch[0], batch[1]):
        _reduce(units, iterate.price[unit], community, unit, reduced)
        for kind in range(units.room.shape[1]):
            products += _spread(units, iterate, newton, unit, kind)
        _factor(units, newton, unit, right)
        for step in range(steps):
            sums[0, step] += newton.spread[unit, CHARGE, step] + newton.spread[unit, DISCHARGE, step]
            sums[2, step] += iterate.slack[unit, DISCHARGE, step] - iterate.slack[unit, CHARGE, step]
        _right_side(units, iterate, newton, reduced, unit, (right, sums[1]))
        _solve(newton.pivot[unit], newton.ratio[unit], right, newton.offset[unit])
        for step in range(steps):
            sums[1, step] -= newton.coupling[unit, step] * newton.offset[unit, step]
    return products


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _spread(units: Units, iterate: Iterate, newton: Newton, unit: int, kind: int) -> float:
    """By how much variables give way, 1 / (lower / slack + upper / above), and the sum of slack times multiplier."""
    room, slack, spread = units.room[unit, kind], iterate.slack[unit, kind], newton.spread[unit, kind]
    lower, upper = iterate.lower[unit, kind], iterate.upper[unit, kind]
    products = 0.0
    for step in range(room.size):
        above = room[step] - slack[step]
        spread[step] = slack[step] * above / (lower[step] * above + upper[step] * slack[step] + _NOTHING)
    for step in range(room.size):
        products += slack[step] * lower[step] + (room[step] - slack[step]) * upper[step]
    return products


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _factor(units: Units, newton: Newton, unit: int, diagonal: Array) -> None:
    """L D L' of one unit's tridiagonal system, and its coupling to the community's prices."""
    stored, taken = units.stored[unit], units.taken[unit]
    charge, discharge, energy = newton.spread[unit, 0], newton.spread[unit, 1], newton.spread[unit, 2]
    coupling, pivot, ratio = newton.coupling[unit], newton.pivot[unit], newton.ratio[unit]
    for step in range(diagonal.size):
        diagonal[step] = energy[step] + stored**2 * charge[step] + taken**2 * discharge[step]
    for step in range(1, diagonal.size):
        diagonal[step] += energy[step - 1]
    if units.room.shape[1] > SURPLUS:
        for step in range(diagonal.size):
            diagonal[step] += stored**2 * newton.spread[unit, SURPLUS, step]
    for step in range(diagonal.size):
        coupling[step] = stored * charge[step] + taken * discharge[step]
    pivot[0], ratio[0] = diagonal[0] * _SHIFT + _SMALLEST, 0.0
    for step in range(1, diagonal.size):
        ratio[step] = energy[step - 1] / pivot[step - 1]
        most = diagonal[step] * _SHIFT + _SMALLEST
        pivot[step] = max(most - ratio[step] * energy[step - 1], 1e-14 * most)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _right_side(
    units: Units, iterate: Iterate, newton: Newton, reduced: Array, unit: int, into: tuple[Array, Array]
) -> None:
    """Of the tridiagonal system and of the community's, for these reduced costs with their targets."""
    right, community = into
    steps = right.size
    stored, taken = units.stored[unit], units.taken[unit]
    charge, discharge, energy = newton.spread[unit, 0], newton.spread[unit, 1], newton.spread[unit, 2]
    slack, drawn = iterate.slack[unit], units.drawn[unit]
    for step in range(steps):
        right[step] = (
            energy[step] * reduced[2, step]
            - stored * charge[step] * reduced[0, step]
            + taken * discharge[step] * reduced[1, step]
            + stored * slack[0, step] - taken * slack[1, step] - slack[2, step] - drawn[step]
        )  # fmt: skip
    for step in range(1, steps):
        right[step] += slack[2, step - 1] - energy[step - 1] * reduced[2, step - 1]
    if reduced.shape[0] > SURPLUS:
        for step in range(steps):
            right[step] += stored * (slack[3, step] - newton.spread[unit, 3, step] * reduced[3, step])
    for step in range(steps):
        community[step] += discharge[step] * reduced[1, step] - charge[step] * reduced[0, step]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _solve(pivot: Array, ratio: Array, right: Array, solution: Array) -> None:
    """L D L' x = right, where `ratio` is minus what stands beside the diagonal of L; `right` is used up."""
    last = right.size - 1
    for step in range(1, last + 1):
        right[step] += ratio[step] * right[step - 1]
    for step in range(last + 1):
        right[step] /= pivot[step]
    solution[last] = right[last]
    for step in range(last - 1, -1, -1):
        solution[step] = right[step] + ratio[step + 1] * solution[step + 1]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _price_move(newton: Newton, community_move: Array, unit: int, right: Array) -> None:
    """How the unit's prices follow the community's."""
    steps = community_move.size
    move = newton.price_move[unit]
    for step in range(steps):
        right[step] = newton.coupling[unit, step] * community_move[step]
    _solve(newton.pivot[unit], newton.ratio[unit], right, move)
    for step in range(steps):
        move[step] = newton.offset[unit, step] - move[step]
    move[steps] = 0.0


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _reduced_moves(units: Units, newton: Newton, community_move: Array, unit: int, moves: Array) -> None:
    """How the reduced costs follow the prices."""
    stored, taken, price = units.stored[unit], units.taken[unit], newton.price_move[unit]
    charge, discharge, energy = moves[0], moves[1], moves[2]
    for step in range(community_move.size):
        charge[step] = stored * price[step] + community_move[step]
    for step in range(community_move.size):
        discharge[step] = -taken * price[step] - community_move[step]
    for step in range(community_move.size):
        energy[step] = price[step + 1] - price[step]
    if moves.shape[0] > SURPLUS:
        for step in range(community_move.size):
            moves[SURPLUS, step] = stored * price[step]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def correct(
    units: Units, iterate: Iterate, newton: Newton, community: Community, run: tuple[Batch, Aim], sums: Array
) -> None:
    """Predict the direction without centring, into `move`, and solve each unit's system for targets that allow for it.

    Adds to `sums` (T,) the community's right-hand side.
    """
    batch, aim = run
    prices, steps = community.price, community.price.size
    reduced, moves, right = (
        np.empty((units.room.shape[1], steps)),
        np.empty((units.room.shape[1], steps)),
        np.empty(steps),
    )
    for unit in range(batch[0], batch[1]):
        _price_move(newton, community.move, unit, right)
        _reduce(units, iterate.price[unit], prices, unit, reduced)
        _reduced_moves(units, newton, community.move, unit, moves)
        share = aim.barrier * units.weight[unit]
        for kind in range(units.room.shape[1]):
            spread, move, cost, change = newton.spread[unit, kind], newton.move[unit, kind], reduced[kind], moves[kind]
            for step in range(steps):
                move[step] = -spread[step] * (cost[step] + change[step])
            _aim(units, iterate, newton, (unit, kind), (share, aim.clip * share), cost)
        _right_side(units, iterate, newton, reduced, unit, (right, sums))
        _solve(newton.pivot[unit], newton.ratio[unit], right, newton.offset[unit])
        for step in range(steps):
            sums[step] -= newton.coupling[unit, step] * newton.offset[unit, step]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _aim(
    units: Units, iterate: Iterate, newton: Newton, which: tuple[int, int], aim: tuple[float, float], reduced: Array
) -> None:
    """Shift reduced costs by the targets of their bounds: the share less the error of second order, clipped."""
    (unit, kind), (share, most) = which, aim
    room, slack, move = units.room[unit, kind], iterate.slack[unit, kind], newton.move[unit, kind]
    lower, upper = iterate.lower[unit, kind], iterate.upper[unit, kind]
    for step in range(reduced.size):
        above = room[step] - slack[step]
        below = -move[step] * lower[step] * (1 + move[step] / (slack[step] + _NOTHING))
        beyond = -move[step] * upper[step] * (1 - move[step] / (above + _NOTHING))
        low, high = share - min(max(below, -most), most), share + min(max(beyond, -most), most)
        reduced[step] += high / (above + _NOTHING) - low / (slack[step] + _NOTHING)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def direct(units: Units, iterate: Iterate, newton: Newton, community: Community, run: tuple[Batch, Aim]) -> None:
    """The direction with its corrections: into `move`, the change of `lower` into `spread`, the step into `longest`."""
    batch, aim = run
    steps = community.price.size
    reduced, moves, right, beyond = (
        np.empty((units.room.shape[1], steps)),
        np.empty((units.room.shape[1], steps)),
        np.empty(steps),
        np.empty(steps),
    )
    goal = np.empty(steps)
    for unit in range(batch[0], batch[1]):
        share = aim.barrier * units.weight[unit]
        most = aim.clip * share
        _price_move(newton, community.move, unit, right)
        _reduce(units, iterate.price[unit], community.price, unit, reduced)
        _reduced_moves(units, newton, community.move, unit, moves)
        beyond[:] = 1.0
        for kind in range(units.room.shape[1]):
            room, slack, spread = units.room[unit, kind], iterate.slack[unit, kind], newton.spread[unit, kind]
            move, cost, change = newton.move[unit, kind], reduced[kind], moves[kind]
            lower = iterate.lower[unit, kind]
            for step in range(steps):
                error = -move[step] * lower[step] * (1 + move[step] / (slack[step] + _NOTHING))
                goal[step] = share - min(max(error, -most), most)
            _aim(units, iterate, newton, (unit, kind), (share, most), cost)
            for step in range(steps):
                move[step] = -spread[step] * (cost[step] + change[step])
            for step in range(steps):
                spread[step] = (goal[step] - lower[step] * move[step]) / (slack[step] + _NOTHING) - lower[step]
            for step in range(steps):
                down, up = move[step] / (slack[step] + _NOTHING), move[step] / (room[step] - slack[step] + _NOTHING)
                beyond[step] = max(beyond[step], max(-down, up))
        far = 1.0
        for step in range(steps):
            far = max(far, beyond[step])
        newton.longest[unit] = 1 / far


@njit(cache=True, error_model="numpy", fastmath=FAST)
def advance(
    units: Units, newton: Newton, iterate: Iterate, community_move: Array, run: tuple[Batch, Aim], products: Array
) -> None:
    """Take each unit's primal step; adds to `products` (K,) what they would be after each dual step of STEPS.

    The barrier of `run` is the least product that is left, `clip` the longest primal step.
    """
    batch, aim = run
    steps = community_move.size
    moves = np.empty((units.room.shape[1], steps))
    for unit in range(batch[0], batch[1]):
        far = min(newton.longest[unit], aim.clip)
        least = aim.barrier * units.weight[unit]
        _reduced_moves(units, newton, community_move, unit, moves)
        for kind in range(units.room.shape[1]):
            room, slack, move = units.room[unit, kind], iterate.slack[unit, kind], newton.move[unit, kind]
            lower, upper, change = iterate.lower[unit, kind], iterate.upper[unit, kind], newton.spread[unit, kind]
            for step in range(steps):
                slack[step] += far * move[step]
            cost = moves[kind]
            for trial in range(len(STEPS)):
                part, total = STEPS[trial], 0.0
                for step in range(steps):
                    above = room[step] - slack[step]
                    low, high = lower[step] + part * change[step], upper[step] + part * (change[step] - cost[step])
                    near = _NEAR * room[step] + _NOTHING
                    lift = max(0.0, max(least / max(slack[step], near) - low, least / max(above, near) - high))
                    total += slack[step] * low + above * high + room[step] * lift
                products[trial] += total


@njit(cache=True, error_model="numpy", fastmath=FAST)
def raise_multipliers(
    units: Units, newton: Newton, iterate: Iterate, community: Array, batch: Batch, step_and_least: tuple[float, float]
) -> None:
    """Take the dual step, at the community's new prices, and lift both multipliers of a bound by the same.

    Their difference is the reduced cost again, exactly: any prices are dual feasible.
    """
    part, barrier = step_and_least
    steps = community.size
    reduced = np.empty((units.room.shape[1], steps))
    for unit in range(batch[0], batch[1]):
        least = barrier * units.weight[unit]
        for step in range(steps):
            iterate.price[unit, step] += part * newton.price_move[unit, step]
        _reduce(units, iterate.price[unit], community, unit, reduced)
        for kind in range(units.room.shape[1]):
            room, slack, change = units.room[unit, kind], iterate.slack[unit, kind], newton.spread[unit, kind]
            lower, upper, cost = iterate.lower[unit, kind], iterate.upper[unit, kind], reduced[kind]
            for step in range(steps):
                near = _NEAR * room[step] + _NOTHING
                low = lower[step] + part * change[step]
                high = low - cost[step]
                lift = max(
                    0.0, max(least / max(slack[step], near) - low, least / max(room[step] - slack[step], near) - high)
                )
                lifted_high, lifted_low = high + lift, low + lift
                free = 1.0 if room[step] > 0 else 0.0
                upper[step] = free * (lifted_high if cost[step] > 0 else lifted_low - cost[step])
                lower[step] = free * (lifted_high + cost[step] if cost[step] > 0 else lifted_low)
