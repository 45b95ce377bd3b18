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
    def of(cls, made: Array) -> Self:
        """Of a matrix whose upper triangle is given in the order of rows. Raises LinAlgError where it is none such."""
        scale = _scaled(made)
        for shift in _SHIFTS:
            lower, fault = _lapack.dpotrf(made.T, lower=1, clean=0)
            if fault == 0:
                return cls(lower, scale)
            made.flat[:: made.shape[0] + 1] += shift
        raise LinAlgError("the Newton matrix is not positive definite")

    def solve(self, right: Array) -> Array:
        return self.scale * _lapack.dpotrs(self.lower, self.scale * right, lower=1)[0]


@njit(cache=True, error_model="numpy")
def assembled(
    of_net: Array,
    of_soc: Array,
    interval: NDArray[np.intp],
    sign: Array,
    gain: Array,
    diagonal: Array,
) -> Array:
    """The upper triangle over free powers: of_net between their intervals, of_soc at the later, and the diagonal.

    Each power moves the net discharge of its interval by its sign, and the energy from there on by its gain.
    """
    size = interval.size
    made = np.empty((size, size))
    for one in range(size):
        for other in range(one, size):
            later = max(interval[one], interval[other])
            made[one, other] = (
                sign[one] * sign[other] * of_net[interval[one], interval[other]]
                + gain[one] * gain[other] * of_soc[later]
            )
        made[one, one] += diagonal[one]
    return made


@njit(cache=True, error_model="numpy")
def _scaled(made: Array) -> Array:
    """Scales the upper triangle in place; the result is the scale."""
    size = made.shape[0]
    scale = np.empty(size)
    for one in range(size):
        scale[one] = 1 / np.sqrt(made[one, one])
    for one in range(size):
        for other in range(one, size):
            made[one, other] *= scale[one] * scale[other]
    return scale
