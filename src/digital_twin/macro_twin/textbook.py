"""The Kalman filter as textbooks print it: slow, plain, and the measure of the fast one.

Source: Simon (2006), Optimal State Estimation, equations 5.16 to 5.19, with the covariance in Joseph's form.
"""

import numpy as np

from digital_twin.domain.units import Array


def textbook_predict(mean: Array, covariance: Array, transition: Array, noise: Array) -> tuple[Array, Array]:
    """Mean and covariance one step later; `noise` is a covariance."""
    return transition @ mean, transition @ covariance @ transition.T + noise


def textbook_update(
    mean: Array, covariance: Array, design: Array, readings: Array, noise: Array
) -> tuple[Array, Array]:
    """Mean and covariance after readings = design @ states + errors of covariance `noise`."""
    spread = design @ covariance @ design.T + noise
    gain = np.linalg.solve(spread, design @ covariance).T
    kept = np.eye(mean.size) - gain @ design
    return mean + gain @ (readings - design @ mean), kept @ covariance @ kept.T + gain @ noise @ gain.T
