"""The Kalman filter: against brute force over all readings at once, against the textbook, and by its invariants."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.linear_worlds import World

from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import MeterGroup, read_sum
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


# Sums of few meters


def group(shares: Array, variances: Array, *, metered: float = 1.0, unmetered: float = 0.0) -> MeterGroup:
    count = shares.size
    return MeterGroup(
        ids=tuple(map(str, range(count))),
        metered_share=metered,
        weight=np.tile(shares, (24, 1)),
        variance=np.tile(variances, (24, 1)),
        unmetered_variance=np.full(24, unmetered),
        ceiling=np.full((24, count), np.inf),
        floor=np.zeros((24, count)),
        own_ceiling=np.inf,
        lasting=0.0,
        scale=1e-9,
    )


def seen(meters: list[float], of: MeterGroup, own: float = np.nan) -> tuple[float, float, float, int]:
    """Value, share, variance and number of reporters of one step."""
    told = read_sum(np.array([own]), np.array([meters]), np.zeros(1, dtype=np.int64), of)
    return told.value[0], told.share[0], told.noise[0], int(told.reporting[0])


def test_the_error_of_a_partial_sum_is_that_of_errors_which_cancel() -> None:
    shares, variances = np.array([0.5, 0.3, 0.2]), np.array([4.0, 1.0, 2.0])
    value, share, variance, reporting = seen([5.0, np.nan, 2.0], group(shares, variances))
    assert (value, share, reporting) == (7.0, pytest.approx(0.7), 2)
    generator = np.random.default_rng(0)
    errors = generator.normal(0, np.sqrt(variances), (400_000, 3))
    # given that all errors together are 0: by regression on their sum
    sums = errors.sum(axis=1)
    partial = errors[:, [0, 2]].sum(axis=1)
    left = partial - sums * (partial @ sums) / (sums @ sums)
    assert variance == pytest.approx(left.var(), rel=0.02)


def test_all_meters_are_exact_none_is_no_reading_and_the_communitys_own_series_wins() -> None:
    of = group(np.array([0.5, 0.5]), np.ones(2))
    value, share, variance, _ = seen([1.0, 2.0], of)
    assert (value, share) == (3.0, 1.0)
    assert variance < 1e-20
    value, share, _, reporting = seen([np.nan, np.nan], of)
    assert np.isnan(value)
    assert (share, reporting) == (0.0, 0)
    value, share, variance, reporting = seen([1.0, 2.0], of, own=9.0)
    assert (value, share, reporting) == (9.0, 1.0, 0)
    assert variance < 1e-20


def test_homes_without_a_meter_leave_an_error_when_all_meters_report() -> None:
    of = group(np.array([0.5, 0.5]), np.ones(2), metered=0.25, unmetered=6.0)
    _, share, variance, _ = seen([1.0, 2.0], of)
    assert share == pytest.approx(0.25)
    assert variance == pytest.approx(2.0 * 6.0 / 8.0)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 1_000))
def test_one_more_meter_always_covers_more(reports: list[bool], seed: int) -> None:
    generator = np.random.default_rng(seed)
    of = group(generator.dirichlet(np.ones(len(reports))), generator.uniform(0.1, 2, len(reports)))
    shown = [1.0 if one else np.nan for one in reports]
    _, share, _, reporting = seen(shown, of)
    assert 0 <= share <= 1 + ROUNDING
    assert reporting == sum(reports)
    for index, one in enumerate(reports):
        if not one:
            more = [*shown[:index], 1.0, *shown[index + 1 :]]
            assert seen(more, of)[1] > share
