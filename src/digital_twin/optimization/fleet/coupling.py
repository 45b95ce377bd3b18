"""How the community's prices are coupled through the units: the sum of W K^-1 W over tridiagonal K.

The inverse of a tridiagonal matrix falls off from its diagonal by one factor a step, so that a block of intervals is
coupled to all later ones by an outer product: of each unit, and together by one matrix product over many units.

Source: Meurant (1992), SIAM Journal on Matrix Analysis and Applications 13, section 2, for the inverse.
"""

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.units import FAST, Batch, Newton

BLOCK = 12
"""Fastest among 4 to 32."""


def subtract_couplings(newton: Newton, batch: Batch, schur: Array) -> None:
    """Subtract the batch's W K^-1 W from the upper triangle of `schur` (T, T)."""
    steps = schur.shape[0]
    carried = np.zeros((batch[1] - batch[0], steps + 1))
    factors = np.empty((batch[1] - batch[0], BLOCK))
    for end in range(steps, 0, -BLOCK):
        first = max(0, end - BLOCK)
        _couple_within(newton, batch, (first, end), carried, (schur, factors))
        if end < steps:
            schur[first:end, end:] -= factors[:, : end - first].T @ carried[:, end:steps]
            _pass_on(newton, batch, (first, end), carried)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _couple_within(
    newton: Newton, batch: Batch, block: tuple[int, int], carried: Array, into: tuple[Array, Array]
) -> None:
    """Couplings within one block of intervals, and the `factors` (batch, block) that make those to later ones.

    `carried` (batch, T + 1) holds K^-1 W of the interval after the block, and last its own K^-1; then those of the
    first interval of the block, as far as they lie within it.
    """
    schur, factors = into
    first, end = block
    for unit in range(batch[0], batch[1]):
        row = carried[unit - batch[0]]
        pivot, ratio, coupling = newton.pivot[unit], newton.ratio[unit], newton.coupling[unit]
        fall, inverse = 1.0, row[-1]
        for step in range(end - 1, first - 1, -1):
            down = ratio[step + 1] if step + 1 < coupling.size else 0.0
            fall *= down
            inverse = 1 / pivot[step] + down * down * inverse
            for later in range(step + 1, end):
                row[later] *= down
            row[step] = inverse * coupling[step]
            factors[unit - batch[0], step - first] = coupling[step] * fall
            for later in range(step, end):
                schur[step, later] -= coupling[step] * row[later]
        row[-1] = inverse


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _pass_on(newton: Newton, batch: Batch, block: tuple[int, int], carried: Array) -> None:
    """What lies after the block, seen from its first interval instead of the one after it."""
    first, end = block
    for unit in range(batch[0], batch[1]):
        fall = 1.0
        for step in range(first + 1, end + 1):
            fall *= newton.ratio[unit, step]
        for later in range(end, newton.ratio.shape[1]):
            carried[unit - batch[0], later] *= fall
