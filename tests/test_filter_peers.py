"""Filter and smoother against those of dynamax and statsmodels, which are skipped where these are not installed."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.linear_worlds import World, full

from digital_twin.domain.units import Array
from digital_twin.macro_twin.smoothing import smooth

Posteriors = tuple[Array, Array, Array, Array]
"""Filtered means (T, n) and covariances (T, n, n), and smoothed ones."""

DYNAMAX_BOOST = 1e-6
"""It adds 1e-9 to the diagonal of what it solves with, which weighs more where readings are exact."""


def start_of(world: World) -> tuple[Array, Array]:
    """The others begin with the prediction for the first step."""
    first = world.transitions[0]
    matrix, noise = first.matrix(), np.diag(first.noise)
    return matrix @ world.start.mean, matrix @ world.start.full_covariance() @ matrix.T + noise


def moves_of(world: World) -> tuple[Array, Array]:
    """Matrices and covariances of the transitions into each step."""  # (T, n, n), (T, n, n)
    return np.stack([one.matrix() for one in world.transitions]), np.stack(
        [np.diag(one.noise) for one in world.transitions]
    )


def by_dynamax(world: World) -> Posteriors:
    """It knows no gaps: what is missing tells nothing there."""
    jax = pytest.importorskip("jax")
    inference = pytest.importorskip("dynamax.linear_gaussian_ssm.inference")
    seen = ~np.isnan(world.readings)
    with jax.enable_x64(True):
        given = (*start_of(world), *moves_of(world), world.designs * seen[:, :, None], np.diag(world.noise))
        parameters = inference.make_lgssm_params(*map(jax.numpy.asarray, given))
        found = inference.lgssm_smoother(parameters, jax.numpy.asarray(np.where(seen, world.readings, 0.0)))
        return (
            np.asarray(found.filtered_means),
            np.asarray(found.filtered_covariances),
            np.asarray(found.smoothed_means),
            np.asarray(found.smoothed_covariances),
        )


def by_statsmodels(world: World) -> Posteriors:
    """It counts time last, and its transitions lead out of each step."""
    smoothers = pytest.importorskip("statsmodels.tsa.statespace.kalman_smoother")
    _, sensors, states = world.designs.shape
    peer = smoothers.KalmanSmoother(k_endog=sensors, k_states=states)
    peer.bind(np.asfortranarray(world.readings.T))
    peer["design"], peer["obs_cov"] = np.moveaxis(world.designs, 0, -1), np.diag(world.noise)
    peer["transition"], peer["state_cov"] = (np.moveaxis(np.roll(one, -1, axis=0), 0, -1) for one in moves_of(world))
    peer["selection"] = np.eye(states)
    peer.initialize_known(*start_of(world))
    found = peer.smooth()
    return (
        found.filtered_state.T,
        np.moveaxis(found.filtered_state_cov, -1, 0),
        found.smoothed_state.T,
        np.moveaxis(found.smoothed_state_cov, -1, 0),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside tensorflow-probability
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("peer", "tolerance"), [(by_dynamax, DYNAMAX_BOOST), (by_statsmodels, 1e-8)])
def test_others_filter_and_smooth_to_the_same(peer: Callable[[World], Posteriors], tolerance: float, seed: int) -> None:
    world = World(seed, states=8, steps=30, sensors=4)
    expected, first, beliefs = peer(world), world.transitions[0], world.beliefs()
    smoothed = smooth(world.trail(), first.decay, (first.target, first.source))
    ours = (
        np.stack([one.mean for one in beliefs]),
        np.stack([one.full_covariance() for one in beliefs]),
        smoothed.mean,
        full(smoothed.covariance),
    )
    for mine, others in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, others, atol=tolerance)
