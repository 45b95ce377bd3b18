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


def textbook_smooth(
    filtered: tuple[Array, Array], later: tuple[Array, Array], transition: Array, noise: Array
) -> tuple[Array, Array]:
    """Mean and covariance given all readings, from those given the readings so far and those of the next step.

    Source: Simon (2006), equations 9.136 to 9.140 (Rauch, Tung and Striebel).
    """
    mean, covariance = filtered
    predicted_mean, predicted = textbook_predict(mean, covariance, transition, noise)
    gain = np.linalg.solve(predicted, transition @ covariance).T
    return mean + gain @ (later[0] - predicted_mean), covariance + gain @ (later[1] - predicted) @ gain.T
