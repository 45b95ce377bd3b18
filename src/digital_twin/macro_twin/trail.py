"""What a filter leaves of each step for whoever looks back: its belief, its readings and what it made of them."""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled


class Trail(NamedTuple):
    """Without steps where nothing is kept."""

    mean: Array  # (T, n) at the end of the step
    covariance: Array  # (T, n, n) lower triangles
    coupling: Array  # (T, C) gains of the transition into the step
    row: Array  # (T, M, n) of each reading
    gain: Array  # (T, M, n) by which its innovation moved the states
    innovation: Array  # (T, M)
    spread: Array  # (T, M) variance of the innovation; NaN is no reading
    scale: Array  # (T, n) by which deviations were shrunk after the readings, 1 where they were not
    design: Array  # (T, Q, n) how what is asked for is made of the states


def new_trail(steps: int, states: int, *, readings: int, couplings: int, asked: int) -> Trail:
    """With room for so many steps."""
    return Trail(
        mean=np.empty((steps, states)),
        covariance=np.zeros((steps, states, states)),
        coupling=np.zeros((steps, couplings)),
        row=np.zeros((steps, readings, states)),
        gain=np.zeros((steps, readings, states)),
        innovation=np.zeros((steps, readings)),
        spread=np.full((steps, readings), np.nan),
        scale=np.ones((steps, states)),
        design=np.zeros((steps, asked, states)),
    )


@compiled
def keep_reading(
    trail: Trail, place: tuple[int, int], row: Array, product: Array, innovation: float, spread: float
) -> None:
    """The reading at (step, number) with which the filter is about to update."""
    step, number = place
    if step < trail.mean.shape[0]:
        trail.innovation[step, number], trail.spread[step, number] = innovation, spread
        for i in range(row.size):
            trail.row[step, number, i] = row[i]
            trail.gain[step, number, i] = product[i] / spread


@compiled
def keep_belief(trail: Trail, step: int, mean: Array, covariance: Array, design: Array) -> None:
    """The belief at the end of the step, and what is asked of it."""
    if step < trail.mean.shape[0]:
        trail.mean[step] = mean
        trail.covariance[step] = covariance
        trail.design[step] = design


@compiled
def keep_moves(trail: Trail, step: int, coupling: float, shrunk: tuple[int, float]) -> None:
    """The gain of the one coupling in this step, and the state whose deviation was shrunk with the factor."""
    if step < trail.mean.shape[0]:
        trail.coupling[step, 0] = coupling
        trail.scale[step, shrunk[0]] = shrunk[1]
