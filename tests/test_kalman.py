"""The Kalman filter: against brute force over all readings at once, against the textbook, and by its invariants."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.linear_worlds import World

from digital_twin.macro_twin.kalman import Gaussian, Transition, predict, update
from digital_twin.macro_twin.textbook import textbook_predict, textbook_update

ROUNDING = 1e-9
"""Of covariances of order 1 over some dozen steps in float64."""


@pytest.mark.parametrize("seed", range(5))
def test_the_filter_knows_what_all_readings_at_once_tell(seed: int) -> None:
    world = World(seed)
    belief = world.filtered()
    means, covariances = world.posterior()
    np.testing.assert_allclose(belief.mean, means[-1], atol=1e-8)
    np.testing.assert_allclose(belief.full_covariance(), covariances[-1], atol=1e-8)


@given(st.integers(0, 10_000))
def test_the_filter_agrees_with_the_textbook(seed: int) -> None:
    world = World(seed, states=7, steps=4)
    belief = world.start
    mean, covariance = belief.mean, belief.full_covariance()
    for transition, design, readings in zip(world.transitions, world.designs, world.readings, strict=True):
        belief = update(predict(belief, transition), design, readings, world.noise)
        mean, covariance = textbook_predict(mean, covariance, transition.matrix(), np.diag(transition.noise))
        seen = ~np.isnan(readings)
        if seen.any():
            errors = np.diag(world.noise[seen])
            mean, covariance = textbook_update(mean, covariance, design[seen], readings[seen], errors)
    np.testing.assert_allclose(belief.mean, mean, atol=1e-8)
    np.testing.assert_allclose(belief.full_covariance(), covariance, atol=1e-8)


@given(st.integers(0, 10_000), st.floats(1e-9, 1e3))
def test_an_observation_never_adds_uncertainty(seed: int, error: float) -> None:
    world = World(seed)
    before = predict(world.start, world.transitions[0])
    after = update(before, world.designs[0], np.ones(3), np.full(3, error))
    lost = before.full_covariance() - after.full_covariance()
    assert np.linalg.eigvalsh(lost).min() > -ROUNDING * np.trace(before.covariance)
    assert (np.diag(after.covariance) <= np.diag(before.covariance) * (1 + ROUNDING)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_covariance_stays_positive_over_a_year_of_sensors_a_million_times_better_than_the_prior(seed: int) -> None:
    world = World(seed, states=10)
    belief = Gaussian(world.start.mean, 1e4 * np.eye(10))
    exact = 1e-6 * world.noise
    for step in range(30_000):
        place = step % len(world.designs)
        belief = update(predict(belief, world.transitions[place]), world.designs[place], np.ones(3), exact)
        if step % 1_000 < 10:
            variances = np.linalg.eigvalsh(belief.full_covariance())
            assert variances[0] > -ROUNDING * variances[-1]
    assert np.isfinite(belief.mean).all()


@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_the_order_of_readings_within_a_step_does_not_matter(seed: int, order: list[int]) -> None:
    world = World(seed)
    before = predict(world.start, world.transitions[0])
    design, readings = world.designs[0], np.array([1.0, -2.0, 0.5])
    straight = update(before, design, readings, world.noise)
    shuffled = update(before, design[order], readings[order], world.noise[order])
    np.testing.assert_allclose(shuffled.mean, straight.mean, atol=1e-8)
    np.testing.assert_allclose(shuffled.covariance, straight.covariance, atol=1e-8)


@given(st.integers(0, 10_000), st.lists(st.floats(-6, 6), min_size=5, max_size=5), st.floats(-6, 6))
def test_units_do_not_matter(seed: int, exponents: list[float], exponent: float) -> None:
    world, other = World(seed), World(seed)
    of_states, of_readings = np.power(10.0, exponents), 10.0**exponent
    both = np.outer(of_states, of_states)
    other.start = Gaussian(world.start.mean * of_states, world.start.covariance * both)
    other.transitions = [
        replace(one, noise=one.noise * of_states**2, gain=one.gain * of_states[one.target] / of_states[one.source])
        for one in world.transitions
    ]
    other.designs = world.designs * of_readings / of_states
    other.readings, other.noise = world.readings * of_readings, world.noise * of_readings**2
    for one, converted in zip(world.beliefs(), other.beliefs(), strict=True):
        np.testing.assert_allclose(converted.mean / of_states, one.mean, atol=1e-8)
        np.testing.assert_allclose(converted.covariance / both, one.covariance, atol=1e-8)


def test_a_level_that_walks_settles_at_the_variance_of_the_riccati_equation() -> None:
    walk, error = 0.04, 0.25
    nothing = np.empty(0, dtype=np.int64)
    transition = Transition(np.ones(1), np.array([walk]), nothing, nothing, np.empty(0))
    belief = Gaussian(np.zeros(1), np.ones((1, 1)))
    for _ in range(200):
        belief = update(predict(belief, transition), np.ones((1, 1)), np.ones(1), np.array([error]))
    settled = (-walk + np.sqrt(walk**2 + 4 * walk * error)) / 2
    assert belief.covariance[0, 0] == pytest.approx(settled)


def test_neither_predict_nor_update_changes_what_it_was_given() -> None:
    world = World(1)
    mean, covariance = world.start.mean.copy(), world.start.covariance.copy()
    world.filtered()
    np.testing.assert_array_equal(world.start.mean, mean)
    np.testing.assert_array_equal(world.start.covariance, covariance)
