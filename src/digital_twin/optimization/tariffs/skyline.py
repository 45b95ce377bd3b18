"""Symmetric matrices kept row by row from the first entry that is not 0 up to the diagonal, and their factors L D L'.

Elimination fills nothing before the first entry of a row: where neighbours lie close together it takes as many steps as
there are rows.

Source: George, Liu 1981, Computer Solution of Large Sparse Positive Definite Systems, chapter 4.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.demand_response import Indices

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Liberties of rounding alone: the compiler may not assume that no NaN occurs."""
_LOST, _IMMOVABLE = 1e-15, 1e100
"""A pivot that rounding has left this share of its diagonal has lost its digits: its variable is held."""


class Skyline(NamedTuple):
    """Where values lie: entry (row, column) at diagonal[row] - row + column."""

    first: Indices  # (n,) the first column of each row
    diagonal: Indices  # (n,) where each row ends


@njit(cache=True)
def skyline_of(first: Indices) -> Skyline:
    """The layout of rows that begin at these columns."""
    diagonal = np.empty(first.size, dtype=np.int64)
    end = -1
    for row in range(first.size):
        end += row - first[row] + 1
        diagonal[row] = end
    return Skyline(first, diagonal)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def factorise(skyline: Skyline, values: Array) -> None:
    """Put L and D in place of a positive semidefinite matrix."""
    for row in range(skyline.first.size):
        start, own = skyline.first[row], skyline.diagonal[row] - row
        for column in range(start, row):
            other = skyline.diagonal[column] - column
            total = 0.0
            for before in range(max(start, skyline.first[column]), column):
                total += values[own + before] * values[other + before]
            values[own + column] -= total
        pivot = whole = values[own + row]
        for column in range(start, row):
            scaled = values[own + column] / values[skyline.diagonal[column]]
            pivot -= scaled * values[own + column]
            values[own + column] = scaled
        values[own + row] = pivot if pivot > _LOST * whole else _IMMOVABLE


@njit(cache=True, error_model="numpy", fastmath=FAST)
def solve(skyline: Skyline, factors: Array, right: Array) -> None:
    """Put the solution in place of the right-hand side."""
    size = right.size
    for row in range(size):
        own, total = skyline.diagonal[row] - row, 0.0
        for column in range(skyline.first[row], row):
            total += factors[own + column] * right[column]
        right[row] -= total
    for row in range(size):
        right[row] /= factors[skyline.diagonal[row]]
    for row in range(size - 1, -1, -1):
        own, found = skyline.diagonal[row] - row, right[row]
        for column in range(skyline.first[row], row):
            right[column] -= factors[own + column] * found


@njit(cache=True, error_model="numpy", fastmath=FAST)
def dot(one: Array, other: Array) -> float:
    """The inner product of two short vectors."""
    total = 0.0
    for index in range(one.size):
        total += one[index] * other[index]
    return total


@njit(cache=True, error_model="numpy", fastmath=FAST)
def add(into: Array, factor: float, values: Array) -> None:
    """Add a multiple of other values."""
    for index in range(into.size):
        into[index] += factor * values[index]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def largest(values: Array) -> float:
    """The largest magnitude; infinity where a value is not a number."""
    found = 0.0
    for value in values:
        if not abs(value) <= found:
            found = abs(value) if value == value else np.inf
    return found
