"""What one iteration of the interior point does for each unit: compiled sweeps over the units of a batch.

Source: Mehrotra (1992), SIAM Journal on Optimization 2; for bounds of every variable Wright (1997), Primal-Dual
Interior-Point Methods, chapters 10 and 11; corrections clipped as Colombo and Gondzio (2008), section 3.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.tridiagonal import factorise, solve
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

TO_BOUND = 0.995
"""Part of the way to the nearest bound that is gone."""

_NOTHING, _HARDLY = 1e-200, 1e-100
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
    reduced, right = np.empty((units.room.shape[1], steps)), np.empty((batch[1] - batch[0], steps))
    products = 0.0
    for unit in range(batch[0], batch[1]):
        _reduce(units, iterate.price[unit], community, unit, reduced)
        for kind in range(units.room.shape[1]):
            products += _spread(units, iterate, newton, unit, kind)
        _assemble(units, newton, unit)
        for step in range(steps):
            sums[0, step] += newton.spread[unit, CHARGE, step] + newton.spread[unit, DISCHARGE, step]
            sums[2, step] += iterate.slack[unit, DISCHARGE, step] - iterate.slack[unit, CHARGE, step]
        _right_side(units, iterate, newton, reduced, unit, (right[unit - batch[0]], sums[1]))
    factorise(newton, batch)
    solve(newton, batch, right, newton.offset)
    _subtract_offsets(newton, batch, sums[1])
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
def _assemble(units: Units, newton: Newton, unit: int) -> None:
    """The diagonal of one unit's tridiagonal system, into `pivot`, and its coupling to the community's prices."""
    stored, taken = units.stored[unit], units.taken[unit]
    charge, discharge, energy = newton.spread[unit, 0], newton.spread[unit, 1], newton.spread[unit, 2]
    coupling, diagonal = newton.coupling[unit], newton.pivot[unit]
    for step in range(diagonal.size):
        diagonal[step] = energy[step] + stored**2 * charge[step] + taken**2 * discharge[step]
    for step in range(1, diagonal.size):
        diagonal[step] += energy[step - 1]
    if units.room.shape[1] > SURPLUS:
        for step in range(diagonal.size):
            diagonal[step] += stored**2 * newton.spread[unit, SURPLUS, step]
    for step in range(diagonal.size):
        coupling[step] = stored * charge[step] + taken * discharge[step]


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
def _subtract_offsets(newton: Newton, batch: Batch, community: Array) -> None:
    """What the units' prices at the community's present price leave of its right-hand side."""
    for unit in range(batch[0], batch[1]):
        for step in range(community.size):
            community[step] -= newton.coupling[unit, step] * newton.offset[unit, step]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _follow_community(newton: Newton, batch: Batch, community_move: Array, right: Array) -> None:
    """How the units' prices follow the community's, into `price_move`; `right` (batch, T) is used up."""
    steps = community_move.size
    for unit in range(batch[0], batch[1]):
        for step in range(steps):
            right[unit - batch[0], step] = newton.coupling[unit, step] * community_move[step]
    solve(newton, batch, right, newton.price_move)
    for unit in range(batch[0], batch[1]):
        for step in range(steps):
            newton.price_move[unit, step] = newton.offset[unit, step] - newton.price_move[unit, step]
        newton.price_move[unit, steps] = 0.0


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
    kinds, steps = units.room.shape[1], community.price.size
    reduced, moves, right = np.empty((kinds, steps)), np.empty((kinds, steps)), np.empty((batch[1] - batch[0], steps))
    _follow_community(newton, batch, community.move, right)
    for unit in range(batch[0], batch[1]):
        _reduce(units, iterate.price[unit], community.price, unit, reduced)
        _reduced_moves(units, newton, community.move, unit, moves)
        share = aim.barrier * units.weight[unit]
        for kind in range(kinds):
            spread, move, cost, change = newton.spread[unit, kind], newton.move[unit, kind], reduced[kind], moves[kind]
            for step in range(steps):
                move[step] = -spread[step] * (cost[step] + change[step])
            _aim(units, iterate, newton, (unit, kind), (share, aim.clip * share), cost)
        _right_side(units, iterate, newton, reduced, unit, (right[unit - batch[0]], sums))
    solve(newton, batch, right, newton.offset)
    _subtract_offsets(newton, batch, sums)


@njit(cache=True, error_model="numpy", fastmath=FAST, inline="always")
def _targets(
    move: float, place: tuple[float, float, float], multipliers: tuple[float, float], share: float, most: float
) -> tuple[float, float]:
    """Products of both bounds to aim at: the share less the error of second order, clipped."""
    (slack, above, inverse), (lower, upper) = place, multipliers
    below = -move * lower * (1 + move * above * inverse)
    beyond = -move * upper * (1 - move * slack * inverse)
    return share - min(max(below, -most), most), share + min(max(beyond, -most), most)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _aim(
    units: Units, iterate: Iterate, newton: Newton, which: tuple[int, int], aim: tuple[float, float],
    reduced: Array,
) -> None:  # fmt: skip
    """Shift reduced costs by the targets of their bounds."""
    (unit, kind), (share, most) = which, aim
    room, slack, move = units.room[unit, kind], iterate.slack[unit, kind], newton.move[unit, kind]
    lower, upper = iterate.lower[unit, kind], iterate.upper[unit, kind]
    for step in range(reduced.size):
        above = room[step] - slack[step]
        inverse = 1 / (slack[step] * above + _NOTHING)
        low, high = _targets(move[step], (slack[step], above, inverse), (lower[step], upper[step]), share, most)
        reduced[step] += (high * slack[step] - low * above) * inverse


@njit(cache=True, error_model="numpy", fastmath=FAST)
def direct(units: Units, iterate: Iterate, newton: Newton, community: Community, run: tuple[Batch, Aim]) -> None:
    """The direction with its corrections: into `move`, the change of `lower` into `spread`, the step into `longest`."""
    batch, aim = run
    kinds, steps = units.room.shape[1], community.price.size
    reduced, moves, beyond = np.empty((kinds, steps)), np.empty((kinds, steps)), np.empty(steps)
    _follow_community(newton, batch, community.move, np.empty((batch[1] - batch[0], steps)))
    for unit in range(batch[0], batch[1]):
        share = aim.barrier * units.weight[unit]
        _reduce(units, iterate.price[unit], community.price, unit, reduced)
        _reduced_moves(units, newton, community.move, unit, moves)
        beyond[:] = 1.0
        for kind in range(kinds):
            costs = reduced[kind], moves[kind], beyond
            _turn(units, iterate, newton, (unit, kind), (share, aim.clip * share), costs)
        far = 1.0
        for step in range(steps):
            far = max(far, beyond[step])
        newton.longest[unit] = TO_BOUND / far if far > 1 else 1.0


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _turn(
    units: Units, iterate: Iterate, newton: Newton, which: tuple[int, int], aim: tuple[float, float],
    costs: tuple[Array, Array, Array],
) -> None:  # fmt: skip
    """The corrected direction of one kind of variables; how many times it goes beyond their bounds, into the last."""
    (unit, kind), (share, most), (reduced, change, beyond) = which, aim, costs
    room, slack, move = units.room[unit, kind], iterate.slack[unit, kind], newton.move[unit, kind]
    lower, upper, spread = iterate.lower[unit, kind], iterate.upper[unit, kind], newton.spread[unit, kind]
    for step in range(reduced.size):
        above = room[step] - slack[step]
        inverse = 1 / (slack[step] * above + _NOTHING)
        low, high = _targets(move[step], (slack[step], above, inverse), (lower[step], upper[step]), share, most)
        shifted = reduced[step] + (high * slack[step] - low * above) * inverse
        turned = -spread[step] * (shifted + change[step])
        move[step] = turned
        spread[step] = (low - lower[step] * turned) * above * inverse - lower[step]
        beyond[step] = max(beyond[step], max(-turned * above * inverse, turned * slack[step] * inverse))


@njit(cache=True, error_model="numpy", fastmath=FAST)
def advance(
    units: Units, newton: Newton, iterate: Iterate, community_move: Array, run: tuple[Batch, Aim], products: Array
) -> None:
    """Take each unit's primal step; adds to `products` (K,) what they would be after each dual step of STEPS.

    The barrier of `run` is the least product that is left, `clip` the longest primal step.
    """
    batch, aim = run
    kinds, steps = units.room.shape[1], community_move.size
    moves, least_low, least_high = np.empty((kinds, steps)), np.empty(steps), np.empty(steps)
    for unit in range(batch[0], batch[1]):
        far = min(newton.longest[unit], aim.clip)
        least = aim.barrier * units.weight[unit]
        _reduced_moves(units, newton, community_move, unit, moves)
        for kind in range(kinds):
            room, slack, move = units.room[unit, kind], iterate.slack[unit, kind], newton.move[unit, kind]
            lower, upper, change = iterate.lower[unit, kind], iterate.upper[unit, kind], newton.spread[unit, kind]
            for step in range(steps):
                slack[step] += far * move[step]
            _least_multipliers(room, slack, least, (least_low, least_high))
            cost = moves[kind]
            for trial in range(len(STEPS)):
                part, total = STEPS[trial], 0.0
                for step in range(steps):
                    low, high = lower[step] + part * change[step], upper[step] + part * (change[step] - cost[step])
                    lift = max(0.0, max(least_low[step] - low, least_high[step] - high))
                    total += slack[step] * low + (room[step] - slack[step]) * high + room[step] * lift
                products[trial] += total


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _least_multipliers(room: Array, slack: Array, least: float, into: tuple[Array, Array]) -> None:
    """Of lower and upper bounds, for a least product; near a bound they grow no more."""
    low, high = into
    for step in range(room.size):
        near = _NEAR * room[step] + _HARDLY
        below, above = max(slack[step], near), max(room[step] - slack[step], near)
        part = least / (below * above)
        low[step] = part * above
        high[step] = part * below


@njit(cache=True, error_model="numpy", fastmath=FAST)
def raise_multipliers(
    units: Units, newton: Newton, iterate: Iterate, community: Array, batch: Batch, step_and_least: tuple[float, float]
) -> None:
    """Take the dual step, at the community's new prices, and lift both multipliers of a bound by the same.

    Their difference is the reduced cost again, exactly: any prices are dual feasible.
    """
    part, barrier = step_and_least
    kinds, steps = units.room.shape[1], community.size
    reduced, least_low, least_high = np.empty((kinds, steps)), np.empty(steps), np.empty(steps)
    for unit in range(batch[0], batch[1]):
        least = barrier * units.weight[unit]
        for step in range(steps):
            iterate.price[unit, step] += part * newton.price_move[unit, step]
        _reduce(units, iterate.price[unit], community, unit, reduced)
        for kind in range(kinds):
            room, slack, change = units.room[unit, kind], iterate.slack[unit, kind], newton.spread[unit, kind]
            lower, upper, cost = iterate.lower[unit, kind], iterate.upper[unit, kind], reduced[kind]
            _least_multipliers(room, slack, least, (least_low, least_high))
            for step in range(steps):
                low = lower[step] + part * change[step]
                high = low - cost[step]
                lift = max(0.0, max(least_low[step] - low, least_high[step] - high))
                lifted_high, lifted_low = high + lift, low + lift
                free = 1.0 if room[step] > 0 else 0.0
                upper[step] = free * (lifted_high if cost[step] > 0 else lifted_low - cost[step])
                lower[step] = free * (lifted_high + cost[step] if cost[step] > 0 else lifted_low)
