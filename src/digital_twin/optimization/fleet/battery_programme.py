"""The best answer of each unit to given prices, exactly, by dynamic programming.

What is stored is worth a convex, piecewise linear function. One interval back it is merged with two pieces, those of
charging and of discharging, sorted by slope; where the two would stand are base-stock levels, so that going forward
takes two comparisons an interval. Where prices are so negative that burning energy pays, both powers together are no
plan: the two pieces become one, the chord between full discharge and full charge, whose value no plan of one direction
at a time falls below.

`optimization/foresight.py` merges by the same idea. There an interval has up to seven pieces of a connection and
limits that may leave no plan, and burning is refused; here it has one price, the tube has seen to what is possible,
and the bound needs the chord. What both share is one loop.

Source: Bertsekas (2012), Dynamic Programming and Optimal Control I, section 3.2, for base-stock policies.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import Whole
from digital_twin.optimization.fleet.units import CHARGE, DISCHARGE, ENERGY, FAST, SURPLUS, Units

Pieces = tuple[Array, Array]
"""Lengths and slopes of a piecewise linear function."""


def best_answers(
    units: Units, prices: Array, end_value: Array, groups: Whole, courses: Array | None = None
) -> tuple[Array, Array]:
    """What groups of units would do if a kW injected in an interval earned its price.

    Args:
        prices: (T,) of a kW in an interval
        groups: (G + 1,) the first unit of each group, and their number
        courses: where what is stored is to be left.  # (U, T)

    Returns:
        The groups' injections (G, T) in kW and their costs (G,) of wear less the worth of what is left; their cost less
        what the injection earns is a lower bound over all that the units can do.
    """
    injection = np.zeros((groups.size - 1, prices.size))
    cost = np.zeros(groups.size - 1)
    kept = courses if courses is not None else np.empty((0, prices.size))
    _answer(units, prices, end_value, groups, (injection, cost, kept))
    return injection, cost


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _answer(units: Units, prices: Array, end_value: Array, groups: Whole, into: tuple[Array, Array, Array]) -> None:
    injection, cost, courses = into
    steps = prices.size
    size = 2 * steps + 4
    pieces = ((np.empty(size), np.empty(size)), (np.empty(size), np.empty(size)))
    levels, course = np.empty((2, steps)), np.empty(steps)
    for group in range(groups.size - 1):
        for unit in range(groups[group], groups[group + 1]):
            _look_back(units, prices, end_value[unit], unit, pieces, levels)
            cost[group] += _go_forward(units, prices, (unit, end_value[unit]), levels, injection[group], course)
            if courses.shape[0]:
                courses[unit] = course


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _room(units: Units, unit: int, step: int) -> tuple[float, float, float]:
    """Of charge, discharge and charge from generation that the fuse does not let out, when nothing is discharged."""
    surplus = units.room[unit, SURPLUS, step] if units.room.shape[1] > SURPLUS else 0.0
    return units.room[unit, CHARGE, step], units.room[unit, DISCHARGE, step], surplus


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _burns(price: float, device: tuple[float, float, float], room: tuple[float, float, float]) -> bool:
    """Charging while discharging would pay."""
    stored, taken, wear = device
    return -(wear + price) / stored > (wear - price) / taken and room[1] > 0


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _own_pieces(
    price: float, device: tuple[float, float, float], room: tuple[float, float, float]
) -> tuple[float, float, float, float]:
    """Two pieces of an interval's cost over what is stored before it: slopes, the lower one first, and lengths."""
    stored, taken, wear = device
    charged, lost, extra = stored * room[0], taken * room[1], stored * room[2]
    charge, discharge, surplus = -(wear + price) / stored, (wear - price) / taken, -wear / stored
    if extra > 0:
        return (charge, surplus, charged, extra) if charge <= surplus else (surplus, charge, extra, charged)
    if _burns(price, device, room):
        charge = discharge = ((wear - price) * room[1] - (wear + price) * room[0]) / (charged + lost)
    return charge, discharge, charged, lost


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _look_back(
    units: Units, prices: Array, end_value: float, unit: int, pieces: tuple[Pieces, Pieces], levels: Array
) -> None:
    """From the last interval to the first: up to which energy to charge, and down to which to discharge."""
    after, before = pieces
    device = units.stored[unit], units.taken[unit], units.wear[unit]
    energy, drawn = units.room[unit, ENERGY], units.drawn[unit]
    low, count = 0.0, 1
    after[0][0], after[1][0] = energy[prices.size - 1], -end_value
    for step in range(prices.size - 1, -1, -1):
        room = _room(units, unit, step)
        left = low - device[0] * (room[0] + room[2]) + drawn[step]
        highest = energy[step - 1] if step > 0 else 0.0
        domain = (low, max(-left, 0.0), highest - max(left, 0.0))
        count = _merge(after, before, count, _own_pieces(prices[step], device, room), domain, (levels, step))
        low = max(left, 0.0)
        after, before = before, after


@njit(cache=True, error_model="numpy", fastmath=FAST, inline="always")
def _merge(
    after: Pieces, before: Pieces, count: int, own: tuple[float, float, float, float],
    domain: tuple[float, float, float], into: tuple[Array, int],
) -> int:  # fmt: skip
    """Merge the pieces of the value after an interval with the interval's own, sorted by slope, within the domain.

    Args:
        count: of the pieces after it
        domain: the least energy after the interval, how much is cut off at the left, and how much may be left
        into: where it goes up to which energy after the interval each of its own pieces is inserted, and its number.

    Returns: how many pieces there are before the interval.
    """
    lengths, slopes = after
    merged_lengths, merged_slopes = before
    levels, step = into
    first, second, first_length, second_length = own
    place, skip, space = domain
    found, take, inserted = 0, 0, 0
    while inserted < 2 or (space > 0 and take < count):
        slope = first if inserted == 0 else second
        if inserted < 2 and (take == count or slopes[take] >= slope):
            levels[inserted, step] = place
            length = first_length if inserted == 0 else second_length
            inserted += 1
        else:
            length, slope = lengths[take], slopes[take]
            place += length
            take += 1
        cut = min(length, skip)
        skip -= cut
        length = min(length - cut, space)
        if length > 0:
            space -= length
            merged_lengths[found], merged_slopes[found] = length, slope
            found += 1
    return found


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _go_forward(
    units: Units, prices: Array, who: tuple[int, float], levels: Array, injection: Array, course: Array
) -> float:
    """Follow the levels; adds to the injection, leaves what is stored in `course`.

    Returns: wear less the worth of what is left.
    """
    unit, end_value = who
    device = stored, taken, wear = units.stored[unit], units.taken[unit], units.wear[unit]
    energy, cost = 0.0, 0.0
    for step in range(prices.size):
        room = most, least, extra = _room(units, unit, step)
        energy -= units.drawn[unit, step]
        low, high = levels[0, step] - energy, levels[1, step] - energy
        charge, discharge, surplus = 0.0, 0.0, 0.0
        if extra > 0:
            # the piece of the higher level is charged first
            if prices[step] < 0:
                charge = min(most, max(0.0, high) / stored)
                surplus = min(extra, max(0.0, low - stored * charge) / stored)
            else:
                surplus = min(extra, max(0.0, high) / stored)
                charge = min(most, max(0.0, low - stored * surplus) / stored)
        elif _burns(prices[step], device, room):
            rise = min(max(low, -taken * least), stored * most)
            share = (rise + taken * least) / (stored * most + taken * least)
            charge, discharge = share * most, (1 - share) * least
        elif low > 0:
            charge = min(most, low / stored)
        elif high < 0:
            discharge = min(least, -high / taken)
        energy += stored * (charge + surplus) - taken * discharge
        course[step] = energy
        injection[step] += discharge - charge
        cost += wear * (charge + discharge + surplus)
    return cost - end_value * energy
