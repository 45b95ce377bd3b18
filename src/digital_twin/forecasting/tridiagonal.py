"""Ridge regressions under many penalties for the price of one: in tridiagonal form a penalty only moves the diagonal.

A symmetric matrix G is Q T Q' with T tridiagonal and Q orthogonal, so that (G + s I)^-1 is Q (T + s I)^-1 Q' for every
shift s, and T + s I falls apart into L D L' within as many steps as it has rows. That costs a fraction of eigenvectors.

Source: Golub and Van Loan (2013), Matrix Computations, sections 5.1.6 (products of reflections), 8.3.1 (Householder's
tridiagonal form) and 4.3.6 (tridiagonal systems); for ridge regression Elden (1977), BIT 17.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array

TOGETHER = 8
"""Compiled code takes so many columns at once: matrices of a multiple of it are the fastest, the rest may be 0."""

_NOTHING = 1e-290
"""Squares below it have lost their digits."""


@njit(cache=True)
def reduce_to_tridiagonal(matrix: Array, diagonal: Array, beside: Array, basis: Array) -> None:
    """The form of a symmetric matrix, which is used up, and its axes as the columns of `basis`.

    Args:
        matrix: (P, P)
        diagonal: (P,)
        beside: the last one is 0.  # (P,)
        basis: (P, P)
    """
    reflections = np.zeros(matrix.shape)
    _reflect_both_sides(matrix, diagonal, beside, reflections)
    _multiply(reflections, basis)


@njit(cache=True)
def _reflect_both_sides(matrix: Array, diagonal: Array, beside: Array, reflections: Array) -> None:
    """Row by row I - v v' takes what lies beyond the neighbour of the diagonal to 0; each v is of length sqrt(2)."""
    size = diagonal.size
    product = np.zeros(size)
    for step in range(size):
        row, reflection = matrix[step], reflections[step]
        diagonal[step] = row[step]
        beside[step] = row[step + 1] if step + 1 < size else 0.0
        beyond = _dot(row[step + 2 :], row[step + 2 :])
        if beyond < _NOTHING:
            continue
        beside[step] = -np.copysign(np.sqrt(row[step + 1] ** 2 + beyond), row[step + 1])
        first = row[step + 1] - beside[step]
        scale = 1 / np.sqrt(-beside[step] * first)
        reflection[step + 1] = scale * first
        for column in range(step + 2, size):
            reflection[column] = scale * row[column]
        start = (step + 1) // TOGETHER * TOGETHER
        along, total = reflection[start:], product[start:]
        total[:] = 0.0
        for other in range(step + 1, size):
            _add(total, reflection[other], matrix[other, start:])
        _add(total, -0.5 * _dot(total, along), along)
        for other in range(step + 1, size):
            _subtract_two(matrix[other, start:], reflection[other], total, product[other], along)


@njit(cache=True)
def _multiply(reflections: Array, basis: Array) -> None:
    """The product of the reflections, begun with the last, which changes the fewest rows and columns."""
    size = basis.shape[0]
    product = np.zeros(size)
    basis[:] = 0.0
    for step in range(size):
        basis[step, step] = 1.0
    for step in range(size - 3, -1, -1):
        reflection, start = reflections[step], (step + 1) // TOGETHER * TOGETHER
        total = product[start:]
        total[:] = 0.0
        for other in range(step + 1, size):
            _add(total, reflection[other], basis[other, start:])
        for other in range(step + 1, size):
            _add(basis[other, start:], -reflection[other], total)


@njit(cache=True)
def _dot(one: Array, other: Array) -> float:
    total = 0.0
    for column in range(one.size):
        total += one[column] * other[column]
    return total


@njit(cache=True)
def _add(total: Array, factor: float, row: Array) -> None:
    for column in range(total.size):
        total[column] += factor * row[column]


@njit(cache=True)
def _subtract_two(row: Array, first: float, by_first: Array, second: float, by_second: Array) -> None:
    for column in range(row.size):
        row[column] -= first * by_first[column] + second * by_second[column]


@njit(cache=True)
def forms_of(
    columns: Array, target: Array, diagonal: Array, beside: Array, with_target: Array, with_self: Array
) -> None:
    """Of columns x: x' T^-1 target and x' T^-1 x, from one way forward through L D L' with all of them at once.

    Args:
        columns: along the form's axes, as the target is.  # (P, N)
        target: (P,)
        diagonal: with the shift, above 0.  # (P,)
        with_target: to be filled.  # (N,)
        with_self: to be filled.  # (N,)
    """
    left = np.zeros(columns.shape[1])
    with_target[:] = 0.0
    with_self[:] = 0.0
    multiplier = left_of_target = before = 0.0
    for step in range(diagonal.size):
        pivot = diagonal[step] - multiplier * before
        left_of_target = target[step] - multiplier * left_of_target
        inverse, share = 1 / pivot, left_of_target / pivot
        row = columns[step]
        for column in range(row.size):
            now = row[column] - multiplier * left[column]
            left[column] = now
            with_target[column] += now * share
            with_self[column] += now * now * inverse
        before = beside[step]
        multiplier = before * inverse


@njit(cache=True)
def solve_tridiagonal(target: Array, diagonal: Array, beside: Array) -> Array:
    """T^-1 target, forward and back through L D L'."""  # (P,)
    pivot, solution = diagonal.copy(), target.copy()
    for step in range(1, target.size):
        multiplier = beside[step - 1] / pivot[step - 1]
        pivot[step] -= multiplier * beside[step - 1]
        solution[step] -= multiplier * solution[step - 1]
    solution[-1] /= pivot[-1]
    for step in range(target.size - 2, -1, -1):
        solution[step] = (solution[step] - beside[step] * solution[step + 1]) / pivot[step]
    return solution
