"""The tridiagonal systems of the units of a batch: L D L', some units abreast, for each step waits for the last."""

from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.units import ENERGY, FAST, Batch, Newton

_ABREAST = 8
"""Units whose recursions over time go side by side."""

_SHIFT, _SMALLEST = 1 + 1e-13, 1e-15
"""What keeps the pivots of a unit without room above 0."""


@njit(cache=True, error_model="numpy", fastmath=FAST)
def factorise(newton: Newton, batch: Batch) -> None:
    """Factors in place of the systems, whose diagonals stand in `pivot`."""
    pivot, ratio, spread = newton.pivot, newton.ratio, newton.spread
    for first in range(batch[0], batch[1], _ABREAST):
        last = min(first + _ABREAST, batch[1])
        for unit in range(first, last):
            pivot[unit, 0] = pivot[unit, 0] * _SHIFT + _SMALLEST
            ratio[unit, 0] = 0.0
        for step in range(1, pivot.shape[1]):
            for unit in range(first, last):
                beside = spread[unit, ENERGY, step - 1]
                ratio[unit, step] = beside / pivot[unit, step - 1]
                most = pivot[unit, step] * _SHIFT + _SMALLEST
                pivot[unit, step] = max(most - ratio[unit, step] * beside, 1e-14 * most)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def solve(newton: Newton, batch: Batch, right: Array, solution: Array) -> None:
    """L D L' x = right.

    Args:
        right: of the batch, used up.  # (batch, T)
        solution: where it is left.  # (B, T) or longer
    """
    pivot, ratio, final = newton.pivot, newton.ratio, right.shape[1] - 1
    for first in range(batch[0], batch[1], _ABREAST):
        last = min(first + _ABREAST, batch[1])
        for step in range(1, final + 1):
            for unit in range(first, last):
                right[unit - batch[0], step] += ratio[unit, step] * right[unit - batch[0], step - 1]
        for unit in range(first, last):
            for step in range(final + 1):
                right[unit - batch[0], step] /= pivot[unit, step]
            solution[unit, final] = right[unit - batch[0], final]
        for step in range(final - 1, -1, -1):
            for unit in range(first, last):
                after = ratio[unit, step + 1] * solution[unit, step + 1]
                solution[unit, step] = right[unit - batch[0], step] + after
