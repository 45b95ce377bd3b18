"""From any course of what is stored to powers that can be carried out: the nearest course within what is possible.

A rise is charged and a fall discharged, never both: for the same course that wears least and burns nothing.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import Whole
from digital_twin.optimization.fleet.units import FAST, SURPLUS, Units


def follow_courses(
    units: Units, end_value: Array, courses: Array, groups: Whole, prices: Array, *, followed: Array | None = None
) -> tuple[Array, Array]:
    """What groups of units inject (G, T) and cost (G,) when they follow the courses (U, T) as nearly as they can.

    Args:
        groups: (G + 1,) the first unit of each group, and their number
        prices: below 0 where the community would rather have a unit charge than the unit take its own surplus.  # (T,)
        followed: where charge, discharge, stored energy and charge from surplus are to be left.  # (4, U, T)
    """
    injection = np.zeros((groups.size - 1, courses.shape[1]))
    cost = np.zeros(groups.size - 1)
    kept = followed if followed is not None else np.empty((4, 0, courses.shape[1]))
    _follow(units, (end_value, prices), courses, groups, (injection, cost, kept))
    return injection, cost


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _follow(
    units: Units, worth: tuple[Array, Array], courses: Array, groups: Whole, into: tuple[Array, Array, Array]
) -> None:
    end_value, prices = worth
    injection, cost, followed = into
    for group in range(groups.size - 1):
        for unit in range(groups[group], groups[group + 1]):
            energy = 0.0
            for step in range(courses.shape[1]):
                idle = energy - units.drawn[unit, step]
                surplus = units.room[unit, SURPLUS, step] if units.room.shape[1] > SURPLUS else 0.0
                most = units.room[unit, 0, step] + surplus
                highest = min(units.room[unit, 2, step], idle + units.stored[unit] * most)
                lowest = max(0.0, idle - units.taken[unit] * units.room[unit, 1, step])
                energy = min(max(courses[unit, step], lowest), max(highest, lowest))
                charge = max(energy - idle, 0.0) / units.stored[unit]
                discharge = max(idle - energy, 0.0) / units.taken[unit]
                cost[group] += units.wear[unit] * (charge + discharge)
                surplus = min(surplus, charge if prices[step] >= 0 else max(charge - units.room[unit, 0, step], 0.0))
                charge -= surplus
                injection[group, step] += discharge - charge
                if followed.shape[1]:
                    followed[0, unit, step] = charge
                    followed[1, unit, step] = discharge
                    followed[2, unit, step] = energy
                    followed[3, unit, step] = surplus
            cost[group] -= end_value[unit] * energy
