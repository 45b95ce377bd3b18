"""How the community's prices are coupled through the units: the sum of W K^-1 W over tridiagonal K.

The inverse of a tridiagonal matrix falls off from its diagonal by one factor a step, so that a block of intervals is
coupled to all later ones by an outer product: of each unit, and together by one matrix product over many units.

Source: Meurant (1992), SIAM Journal on Matrix Analysis and Applications 13, section 2, for the inverse.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.units import FAST, Batch, Newton

BLOCK = 16
"""Fastest among 8 to 32."""

System = tuple[Array, Array, Array]
"""Coupling, what an interval falls off by from the one before, and 1 / pivot of a batch.  # (T, batch) each"""


@njit(cache=True, error_model="numpy", fastmath=FAST)
def subtract_couplings(newton: Newton, batch: Batch, schur: Array) -> None:
    """Subtract the batch's W K^-1 W from the upper triangle of `schur` (T, T)."""
    steps, count = schur.shape[0], batch[1] - batch[0]
    system = _side_by_side(newton, batch)
    carried, own = np.empty((steps, count)), np.zeros(count)
    factors = np.empty((BLOCK, count))
    for end in range(steps, 0, -BLOCK):
        first = max(0, end - BLOCK)
        fall = _couple_within(system, (first, end), (carried, own), (schur, factors))
        if end < steps:
            schur[first:end, end:] -= np.dot(factors[: end - first], carried[end:].T)
            for later in range(end, steps):
                for unit in range(count):
                    carried[later, unit] *= fall[unit]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _side_by_side(newton: Newton, batch: Batch) -> System:
    """The systems with the units of each interval next to each other."""
    shape = newton.pivot.shape[1], batch[1] - batch[0]
    coupling, down, inverse = np.empty(shape), np.empty(shape), np.empty(shape)
    for unit in range(shape[1]):
        for step in range(shape[0]):
            coupling[step, unit] = newton.coupling[batch[0] + unit, step]
            down[step, unit] = newton.ratio[batch[0] + unit, step]
            inverse[step, unit] = 1 / newton.pivot[batch[0] + unit, step]
    return coupling, down, inverse


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _couple_within(
    system: System, block: tuple[int, int], carried: tuple[Array, Array], into: tuple[Array, Array]
) -> Array:
    """Couplings within one block of intervals, and the `factors` (block, batch) that make those to later ones.

    `carried` holds K^-1 W (T, batch) of the interval after the block and its own K^-1 (batch,); then those of the first
    interval of the block, as far as they lie within it.

    Returns: by what those of later intervals fall off over the block.  # (batch,)
    """
    (coupling, down, inverse), (first, end), (inverse_coupled, own), (schur, factors) = system, block, carried, into
    count = own.size
    fall, unused = np.ones(count), np.zeros(count)
    for step in range(end - 1, first - 1, -1):
        ratio = down[step + 1] if step + 1 < coupling.shape[0] else unused
        for unit in range(count):
            fall[unit] *= ratio[unit]
            own[unit] = inverse[step, unit] + ratio[unit] ** 2 * own[unit]
            factors[step - first, unit] = coupling[step, unit] * fall[unit]
        for unit in range(count):
            inverse_coupled[step, unit] = own[unit] * coupling[step, unit]
        for later in range(step + 1, end):
            for unit in range(count):
                inverse_coupled[later, unit] *= ratio[unit]
        for later in range(step, end):
            together = 0.0
            for unit in range(count):
                together += coupling[step, unit] * inverse_coupled[later, unit]
            schur[step, later] -= together
    return fall
