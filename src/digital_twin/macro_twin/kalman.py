"""The Kalman filter in float64, one scalar reading after the other, on one stored triangle of the covariance.

A covariance is a square array of which only the lower triangle (row >= column) holds anything: it cannot become
asymmetric, and subtracting a positive square of the gain keeps it positive where the matrix form goes indefinite.
The transition is x' = decay * (x + sum of couplings), a coupling adding `gain` times one state to another.

Source: Bierman (1977), Factorization Methods for Discrete Sequential Estimation, sections II.5 (sequential
processing); Simon (2006), Optimal State Estimation, section 6.1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """What is believed of the states."""

    mean: Array  # (n,)
    covariance: Array  # (n, n) lower triangle, zeros above

    def full_covariance(self) -> Array:
        """Both triangles."""  # (n, n)
        return self.covariance + np.tril(self.covariance, -1).T


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """How the states move on in one step."""

    decay: Array  # (n,)
    noise: Array  # (n,) variances
    target: NDArray[np.int64]  # (C,) couplings: this state ...
    source: NDArray[np.int64]  # (C,) ... takes from that one, which takes from none
    gain: Array  # (C,)

    def matrix(self) -> Array:
        """As the matrix that multiplies the states."""  # (n, n)
        matrix = np.eye(self.decay.size)
        matrix[self.target, self.source] += self.gain
        return self.decay[:, None] * matrix


def predict(belief: Gaussian, transition: Transition) -> Gaussian:
    """The belief one step later."""
    mean, covariance = belief.mean.copy(), belief.covariance.copy()
    for target, source, gain in zip(transition.target, transition.source, transition.gain, strict=True):
        couple_in_place(mean, covariance, target, source, gain)
    predict_in_place(mean, covariance, transition.decay, transition.noise)
    return Gaussian(mean, covariance)


def update(belief: Gaussian, design: Array, readings: Array, noise: Array) -> Gaussian:
    """The belief after readings = design @ states + independent errors of variance `noise`; NaN is no reading."""
    mean, covariance = belief.mean.copy(), belief.covariance.copy()
    work = np.empty(mean.size)
    for row, reading, variance in zip(design, readings, noise, strict=True):
        if not np.isnan(reading):
            spread = spread_of(covariance, row, work) + variance
            update_in_place(mean, covariance, work, reading - row @ mean, spread)
    return Gaussian(mean, covariance)


@compiled
def couple_in_place(mean: Array, covariance: Array, target: int, source: int, gain: float) -> None:
    """Add `gain` times one state to another."""
    n = mean.size
    mean[target] += gain * mean[source]
    variance = covariance[source, source]
    cross = covariance[max(target, source), min(target, source)]
    for other in range(n):
        if other != target:
            covariance[max(target, other), min(target, other)] += (
                gain * covariance[max(source, other), min(source, other)]
            )
    covariance[target, target] += gain * (2.0 * cross + gain * variance)


@compiled
def predict_in_place(mean: Array, covariance: Array, decay: Array, noise: Array) -> None:
    """One step without couplings."""
    for row in range(mean.size):
        mean[row] *= decay[row]
        for column in range(row + 1):
            covariance[row, column] *= decay[row] * decay[column]
        covariance[row, row] += noise[row]


@compiled
def spread_of(covariance: Array, row: Array, product: Array) -> float:
    """The variance of row @ states; leaves covariance @ row in `product`."""
    n = row.size
    for i in range(n):
        product[i] = 0.0
    for i in range(n):
        diagonal = covariance[i, i] * row[i]
        for j in range(i):
            diagonal += covariance[i, j] * row[j]
            product[j] += covariance[i, j] * row[i]
        product[i] += diagonal
    variance = 0.0
    for i in range(n):
        variance += row[i] * product[i]
    return max(variance, 0.0)


@compiled
def update_in_place(mean: Array, covariance: Array, product: Array, innovation: float, spread: float) -> None:
    """Condition on one reading; `product` is covariance @ row, `spread` the variance of the innovation, above 0."""
    for i in range(mean.size):
        gain = product[i] / spread
        mean[i] += gain * innovation
        for j in range(i + 1):
            covariance[i, j] -= gain * product[j]
