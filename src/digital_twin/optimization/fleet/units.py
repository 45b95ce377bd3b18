"""A fleet's units in standard form, and what the sweeps over them hand to each other.

A unit in standard form has c, g, e >= 0 (charge, discharge, stored at the end) within its room, where its member has
generation that the fuse does not let out also s (charge from it), and
e_t = e_{t-1} - drawn_t + stored (c_t + s_t) - taken g_t from e_{-1} = 0. Its multipliers are y_t, the price of stored
energy, and the pairs lower - upper = reduced cost of every bound; they are kept equal exactly, so that any prices give
a bound. Eliminating c, g, e, s from Newton's equations leaves a tridiagonal system in y, coupled to the community's
prices.
"""

from typing import NamedTuple

from digital_twin.domain.units import Array

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Liberties of rounding alone: the compiler may not assume that no NaN occurs."""

CHARGE, DISCHARGE, ENERGY, SURPLUS = 0, 1, 2, 3
"""The kinds of variables of a unit."""

Batch = tuple[int, int]
"""The first unit and the one after the last."""


class Units(NamedTuple):
    """Units in standard form."""

    room: Array  # (B, K, T) of charge kW, discharge kW, stored kWh, and K = 4 where anyone charges from surplus, kW
    drawn: Array  # (B, T) kWh
    stored: Array  # (B,) kWh by a kW of charge in an interval
    taken: Array  # (B,) kWh by a kW of discharge
    wear: Array  # (B,) cost of a kW in an interval, either way
    weight: Array  # (B,) of its share in the barrier


class Iterate(NamedTuple):
    """Where the units are; an interval after the last holds minus the value of what is left."""

    slack: Array  # (B, K, T) above the lower bounds, which are 0
    lower: Array  # (B, K, T) multipliers
    upper: Array  # (B, K, T)
    price: Array  # (B, T + 1)


class Aim(NamedTuple):
    """What products of slack and multiplier are brought to: a share of the barrier, and at most so many times that."""

    barrier: float
    clip: float


class Community(NamedTuple):
    """Its prices of a kW over each interval."""

    price: Array  # (T,)
    move: Array  # (T,)


class Newton(NamedTuple):
    """What the sweeps hand to each other."""

    spread: Array  # (B, K, T) by how much a variable gives way to its reduced cost; later the change of `lower`
    move: Array  # (B, K, T)
    pivot: Array  # (B, T) of the tridiagonal system
    ratio: Array  # (B, T)
    coupling: Array  # (B, T) of stored energy to the community's price
    offset: Array  # (B, T) y at the community's present price
    price_move: Array  # (B, T + 1)
    longest: Array  # (B,) step, at most 1
