"""The evenest course of one storage between given levels: a string pulled taut through a tube.

Minimise Σ p²/2 with low <= p <= high and least <= Σ gain p <= most at the end of each interval. Every interval follows
one price, p = clip(price x gain, low, high); by the Karush-Kuhn-Tucker conditions the price may rise only where the
course touches the upper level, and fall only where it touches the lower. From where a price has to change, prices that
keep within the tube are narrowed down interval by interval until none is left for the next: that which lasts longest is
the right one (Davies, Kovac 2001, Annals of Statistics 29(1), the taut string).
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array

Powers = tuple[Array, Array, Array]
"""What a kW adds, the least and the most kW of each interval."""

_ROUNDING_KWH = 1e-9
_NEWTON_STEPS = 100


@njit(cache=True, error_model="numpy")
def even_course(powers: Powers, least: Array, most: Array) -> tuple[Array, bool]:
    """The powers, and whether there are any; levels are counted from the start."""  # (T,)
    gain, low, high = powers
    steps, first, stored = gain.size, 0, 0.0
    course = np.empty(steps)
    ends = np.concatenate((low / gain, high / gain))
    lowest, highest = min(ends.min(), 0.0), max(ends.max(), 0.0)
    while first < steps:
        floor, ceiling, floor_end, ceiling_end = lowest, highest, -1, -1
        at_floor = at_ceiling = stored
        price, last = 0.0, -2
        for step in range(first, steps):
            at_floor += gain[step] * _power(powers, step, floor)
            at_ceiling += gain[step] * _power(powers, step, ceiling)
            if at_ceiling < least[step] - _ROUNDING_KWH:
                price, last = ceiling, ceiling_end
                break
            if at_floor > most[step] + _ROUNDING_KWH:
                price, last = floor, floor_end
                break
            if at_floor < least[step]:
                floor, floor_end = _price_of(powers, (first, step), least[step] - stored, (floor, ceiling)), step
                at_floor = stored + _stored(powers, (first, step), floor)
            if at_ceiling > most[step]:
                ceiling, ceiling_end = _price_of(powers, (first, step), most[step] - stored, (floor, ceiling)), step
                at_ceiling = stored + _stored(powers, (first, step), ceiling)
        if last == -2:  # the rest is up to it, and rests as far as it may
            price, last = (
                (floor, floor_end) if floor > 0 else (ceiling, ceiling_end) if ceiling < 0 else (0.0, steps - 1)
            )
        if last < first:
            return course, False
        stored += _stored(powers, (first, last), price)
        for step in range(first, last + 1):
            course[step] = _power(powers, step, price)
        first = last + 1
    return course, True


@njit(cache=True, error_model="numpy")
def _power(powers: Powers, step: int, price: float) -> float:
    gain, low, high = powers
    return min(max(price * gain[step], low[step]), high[step])


@njit(cache=True, error_model="numpy")
def _stored(powers: Powers, span: tuple[int, int], price: float) -> float:
    stored = 0.0
    for step in range(span[0], span[1] + 1):
        stored += powers[0][step] * _power(powers, step, price)
    return stored


@njit(cache=True, error_model="numpy")
def _price_of(powers: Powers, span: tuple[int, int], wanted_kwh: float, between: tuple[float, float]) -> float:
    """The price at which so much is stored, a function of straight pieces: Newton's steps, kept between two prices."""
    gain, low, high = powers
    floor, ceiling = between
    price = 0.5 * (floor + ceiling)
    for _ in range(_NEWTON_STEPS):
        missing, slope = wanted_kwh, 0.0
        for step in range(span[0], span[1] + 1):
            power = _power(powers, step, price)
            missing -= gain[step] * power
            if low[step] < power < high[step]:
                slope += gain[step] ** 2
        if abs(missing) <= 1e-13 * max(1.0, abs(wanted_kwh)):
            break
        if missing > 0:
            floor = price
        else:
            ceiling = price
        price = price + missing / slope if slope > 0 else floor
        if not floor < price < ceiling:
            price = 0.5 * (floor + ceiling)
    return price
