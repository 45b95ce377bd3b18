"""Looking back: each past step given all readings, or those of the next few steps, too.

The adjoint form of Bryson and Frazier. Going back from the end, what later readings tell about the states of a step is
gathered in a vector r and a matrix N, and the step is then known as mean + P r with covariance P - P N P. Nothing but
the spreads of scalar innovations is divided by: no predicted covariance is inverted, be it singular or nearly so, and
what is not moved by chance stays so. Shocks leave r and N as they are; a reading, a decay, a coupling and a shrinking
are each undone by their transpose.

Source: Bierman (1973), Automatica 9, 503-508 (sequential processing); Durbin and Koopman (2012), Time Series Analysis
by State Space Methods, section 6.4 (one reading at a time).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.kalman import couple_in_place, predict_in_place, spread_of
from digital_twin.macro_twin.trail import Trail

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What is believed of the states of each step."""

    mean: Array  # (T, n)
    covariance: Array  # (T, n, n) lower triangles


def smooth(trail: Trail, decay: Array, couplings: tuple[Indices, Indices], *, lag: int | None = None) -> Moments:
    """Each step given the readings of the next `lag` steps, or all that follow.

    Args:
        trail: what the filter left behind
        decay: of the transition, (n,)
        couplings: of the transition: targets and sources, (C,) each
        lag: in steps; without one all later readings count
    """
    steps = trail.mean.shape[0]
    mean, covariance = np.empty_like(trail.mean), np.zeros_like(trail.covariance)
    _look_back(trail, decay, couplings, steps if lag is None else lag, (mean, covariance))
    return Moments(mean, covariance)


@compiled
def _look_back(
    trail: Trail, decay: Array, couplings: tuple[Indices, Indices], lag: int, found: tuple[Array, Array]
) -> None:
    """Fill mean and covariance of each step."""
    steps, states = trail.mean.shape
    told, certainty = np.zeros(states), np.zeros((states, states))  # r and N
    work = (np.zeros((states, states)), np.zeros((states, states)), np.zeros((states, states)))
    if lag >= steps - 1:
        for step in range(steps - 1, -1, -1):
            _conclude(trail, step, (told, certainty), work, found)
            _step_back(trail, step, decay, couplings, (told, certainty))
        return
    for step in range(steps):
        told[:] = 0.0
        certainty[:] = 0.0
        for later in range(min(step + lag, steps - 1), step, -1):
            _step_back(trail, later, decay, couplings, (told, certainty))
        _conclude(trail, step, (told, certainty), work, found)


@compiled
def _step_back(
    trail: Trail, step: int, decay: Array, couplings: tuple[Indices, Indices], adjoint: tuple[Array, Array]
) -> None:
    """From what is known after the end of a step to what is known after the end of the one before."""
    told, certainty = adjoint
    target, source = couplings
    nothing = np.zeros(told.size)
    predict_in_place(told, certainty, trail.scale[step], nothing)
    for number in range(trail.spread.shape[1] - 1, -1, -1):
        if not np.isnan(trail.spread[step, number]):
            _take_up(trail, step, number, adjoint)
    predict_in_place(told, certainty, decay, nothing)
    for one in range(target.size - 1, -1, -1):
        couple_in_place(told, certainty, source[one], target[one], trail.coupling[step, one])


@compiled
def _take_up(trail: Trail, step: int, number: int, adjoint: tuple[Array, Array]) -> None:
    """r <- r + h (innovation / spread - k' r), N <- (1 - h k') N (1 - k h') + h h' / spread."""
    told, certainty = adjoint
    row, gain = trail.row[step, number], trail.gain[step, number]
    product = np.empty(row.size)
    surprise = trail.innovation[step, number] / trail.spread[step, number]
    for i in range(row.size):
        surprise -= gain[i] * told[i]
    half = 0.5 * (spread_of(certainty, gain, product) + 1.0 / trail.spread[step, number])
    for i in range(row.size):
        told[i] += row[i] * surprise
        product[i] = half * row[i] - product[i]
    for i in range(row.size):
        for j in range(i + 1):
            certainty[i, j] += row[i] * product[j] + product[i] * row[j]


@compiled
def _conclude(
    trail: Trail,
    step: int,
    adjoint: tuple[Array, Array],
    work: tuple[Array, Array, Array],
    found: tuple[Array, Array],
) -> None:
    """mean + P r and P - P N P."""
    told, certainty = adjoint
    belief, later, product = work
    mean, covariance = found
    states = told.size
    for i in range(states):
        for j in range(i + 1):
            belief[i, j] = belief[j, i] = trail.covariance[step, i, j]
            later[i, j] = later[j, i] = certainty[i, j]
    for i in range(states):
        mean[step, i] = trail.mean[step, i]
        product[i] = 0.0
        for k in range(states):
            mean[step, i] += belief[i, k] * told[k]
            product[i] += belief[i, k] * later[k]
    for i in range(states):
        covariance[step, i, : i + 1] = belief[i, : i + 1]
        for k in range(states):
            covariance[step, i, : i + 1] -= product[i, k] * belief[k, : i + 1]
        covariance[step, i, i] = max(covariance[step, i, i], 0.0)
