"""Smoothing: against all readings at once and the textbook, and by its invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.linear_worlds import World, full

from digital_twin.macro_twin.kalman import Gaussian
from digital_twin.macro_twin.smoothing import Moments, smooth
from digital_twin.macro_twin.textbook import textbook_smooth

ROUNDING = 1e-8
"""Of covariances of order 1 over some dozen steps in float64."""


def looked_back(world: World, lag: int | None = None) -> Moments:
    first = world.transitions[0]
    return smooth(world.trail(), first.decay, (first.target, first.source), lag=lag)


@pytest.mark.parametrize("seed", range(5))
def test_each_step_is_known_as_all_readings_at_once_tell(seed: int) -> None:
    world = World(seed)
    found, (means, covariances) = looked_back(world), world.posterior()
    np.testing.assert_allclose(found.mean, means, atol=ROUNDING)
    np.testing.assert_allclose(full(found.covariance), covariances, atol=ROUNDING)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_with_a_lag_each_step_is_known_as_the_readings_up_to_there_tell(lag: int) -> None:
    world = World(11)
    found = looked_back(world, lag)
    for step in range(len(world.readings)):
        means, covariances = world.posterior(step + lag + 1)
        np.testing.assert_allclose(found.mean[step], means[step], atol=ROUNDING)
        np.testing.assert_allclose(full(found.covariance[step]), covariances[step], atol=ROUNDING)


@given(st.integers(0, 10_000))
def test_smoothing_agrees_with_the_textbook(seed: int) -> None:
    world = World(seed, states=7, steps=6)
    found, beliefs = looked_back(world), world.beliefs()
    later = (beliefs[-1].mean, beliefs[-1].full_covariance())
    for step in range(len(beliefs) - 2, -1, -1):
        moved, belief = world.transitions[step + 1], beliefs[step]
        filtered = (belief.mean, belief.full_covariance())
        later = textbook_smooth(filtered, later, moved.matrix(), np.diag(moved.noise))
        np.testing.assert_allclose(found.mean[step], later[0], atol=1e-6)
        np.testing.assert_allclose(full(found.covariance[step]), later[1], atol=1e-6)


def test_what_was_shrunk_is_widened_on_the_way_back() -> None:
    world = World(9, states=4, steps=6)
    shrunk = np.random.default_rng(9).uniform(0.3, 1.0, (6, 4))
    trail, first = world.trail(shrunk), world.transitions[0]
    found = smooth(trail, first.decay, (first.target, first.source))
    later = (trail.mean[-1], full(trail.covariance[-1]))
    for step in range(4, -1, -1):
        factor, moved = shrunk[step + 1], world.transitions[step + 1]
        both = np.outer(factor, factor)
        # the belief before it was shrunk, given what is known of it afterwards
        before = trail.mean[step + 1] + (later[0] - trail.mean[step + 1]) / factor, later[1] / both
        filtered = (trail.mean[step], full(trail.covariance[step]))
        later = textbook_smooth(filtered, before, moved.matrix(), np.diag(moved.noise))
        np.testing.assert_allclose(found.mean[step], later[0], atol=1e-6)
        np.testing.assert_allclose(full(found.covariance[step]), later[1], atol=1e-6)


@given(st.integers(0, 10_000), st.sampled_from([None, 0, 2]))
def test_looking_back_never_makes_a_step_less_certain(seed: int, lag: int | None) -> None:
    world = World(seed)
    found = looked_back(world, lag)
    for belief, covariance in zip(world.beliefs(), full(found.covariance), strict=True):
        size = np.trace(belief.covariance)
        assert np.linalg.eigvalsh(belief.full_covariance() - covariance).min() > -ROUNDING * size
        assert np.linalg.eigvalsh(covariance).min() > -ROUNDING * size


@given(st.integers(0, 10_000))
def test_the_last_step_stays_as_it_was_filtered(seed: int) -> None:
    world = World(seed)
    found, belief = looked_back(world), world.filtered()
    np.testing.assert_array_equal(found.mean[-1], belief.mean)
    np.testing.assert_array_equal(found.covariance[-1], belief.covariance)


def test_what_nothing_moves_is_known_at_each_step_as_it_is_at_the_end() -> None:
    world = World(5, steps=12)
    for transition in world.transitions:
        transition.decay[:], transition.noise[:], transition.gain[:] = 1.0, 0.0, 0.0
    world.start = Gaussian(world.start.mean, np.diag([2.0, 1.0, 3.0, 0.0, 1.0]))  # one is known from the beginning
    found, belief = looked_back(world), world.filtered()
    np.testing.assert_allclose(found.mean, np.tile(belief.mean, (12, 1)), atol=ROUNDING)
    np.testing.assert_allclose(found.covariance, np.tile(belief.covariance, (12, 1, 1)), atol=ROUNDING)


def test_variances_stay_within_the_filters_over_a_year_of_sensors_a_million_times_better_than_the_prior() -> None:
    world = World(2, states=6, steps=40)
    repeats = 30_000 // 40
    world.start = Gaussian(world.start.mean, 1e4 * np.eye(6))
    world.transitions, world.noise = world.transitions * repeats, 1e-6 * world.noise
    world.designs, world.readings = np.tile(world.designs, (repeats, 1, 1)), np.tile(world.readings, (repeats, 1))
    found = looked_back(world)
    filtered = np.stack([np.diag(one.covariance) for one in world.beliefs()])
    smoothed = np.diagonal(found.covariance, axis1=1, axis2=2)
    assert np.isfinite(found.mean).all()
    assert (smoothed <= filtered * (1 + ROUNDING)).all()
    every = np.linalg.eigvalsh(full(found.covariance))
    assert (every[:, 0] > -ROUNDING * every[:, -1]).all()


@given(st.integers(0, 10_000), st.lists(st.floats(-4, 4), min_size=5, max_size=5))
def test_units_do_not_matter_to_looking_back(seed: int, exponents: list[float]) -> None:
    world, other = World(seed), World(seed)
    of_states = np.power(10.0, exponents)
    both = np.outer(of_states, of_states)
    other.start = Gaussian(world.start.mean * of_states, world.start.covariance * both)
    for transition in other.transitions:
        transition.noise[:] *= of_states**2
        transition.gain[:] *= of_states[transition.target] / of_states[transition.source]
    other.designs = world.designs / of_states
    one, converted = looked_back(world), looked_back(other)
    np.testing.assert_allclose(converted.mean / of_states, one.mean, atol=ROUNDING)
    np.testing.assert_allclose(converted.covariance / both, one.covariance, atol=ROUNDING)
