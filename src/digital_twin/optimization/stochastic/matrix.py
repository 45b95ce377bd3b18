"""The dense end of a Newton system under risk: put together, scaled and factored."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, lapack

from digital_twin.domain.units import Array

_lapack: Any = lapack  # its functions are made when it is imported
_SHIFTS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)
"""Added to the unit diagonal until the matrix is positive definite in spite of rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A symmetric positive definite matrix, scaled to a unit diagonal, by Cholesky."""

    lower: Array  # (F, F) in the order of columns
    scale: Array  # (F,)

    @classmethod
    def of(cls, of_net: Array, of_soc: Array, places: NDArray[np.intp], gains: Array, diagonal: Array) -> Self:
        """Of the free powers: of_net between their intervals, of_soc at the later of both, and the diagonal.

        Args:
            places: (2, T) of the charge and the discharge of each interval among the free powers; -1 where fixed
            gains: (2,) of the energy in store from there on

        Raises:
            LinAlgError: rounding leaves a matrix that is not positive definite.
        """
        for shift in _SHIFTS:
            made, scale = _assembled(of_net, of_soc, places, gains, diagonal)
            made.flat[:: made.shape[0] + 1] = 1 + shift
            lower, fault = _lapack.dpotrf(made.T, lower=1, clean=0, overwrite_a=1)
            if fault == 0:
                return cls(lower, scale)
        raise LinAlgError("the Newton matrix is not positive definite")

    def solve(self, right: Array) -> Array:
        return self.scale * _lapack.dpotrs(self.lower, self.scale * right, lower=1, overwrite_b=1)[0]


_SIGNS = (-1.0, 1.0)
"""Of the net discharge in a charge and in a discharge."""


@njit(cache=True, error_model="numpy")
def _assembled(
    of_net: Array, of_soc: Array, places: NDArray[np.intp], gains: Array, diagonal: Array
) -> tuple[Array, Array]:
    """The upper triangle in the order of rows, scaled to a unit diagonal, and the scale."""
    size, steps = diagonal.size, of_soc.size
    made, scale = np.empty((size, size)), np.empty(size)
    for step in range(steps):
        for kind in range(2):
            place = places[kind, step]
            if place >= 0:
                own = of_net[step, step] + gains[kind] ** 2 * of_soc[step] + diagonal[place]
                scale[place] = 1 / np.sqrt(own)
    for step in range(steps):
        for later in range(step, steps):
            for kind in range(2):
                row = places[kind, step]
                for other in range(2):
                    column = places[other, later]
                    if row >= 0 and column >= 0:
                        entry = _SIGNS[kind] * _SIGNS[other] * of_net[step, later]
                        entry += gains[kind] * gains[other] * of_soc[later]
                        made[min(row, column), max(row, column)] = entry * scale[row] * scale[column]
    return made, scale
