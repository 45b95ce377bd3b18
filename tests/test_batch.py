"""Many communities at once: each as if it were alone, whatever its neighbours, its gaps and the cuts of time."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.linear_worlds import full

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.macro_twin.batch import Beliefs, Steps, run_many
from digital_twin.macro_twin.kalman import Gaussian, Transition, predict, update

LENGTH = 30
GUIDE = Path(__file__).parents[1] / "docs" / "how-to" / "filter-many-series.md"


def communities(
    seed: int, *, count: int = 11, states: int = 6, length: int = 20, readings: int = 3
) -> tuple[Beliefs, Steps]:
    """Each with a model of its own that changes from step to step, rows with holes, and a third of readings missing."""
    generator = np.random.default_rng(seed)
    of_steps = (count, length)
    factor = generator.normal(0, 1, (count, states, states))
    design = generator.normal(0, 1, (*of_steps, readings, states))
    design[generator.random(design.shape) < 0.3] = 0.0
    design[..., 0, ::2] = 0.0  # in every lane
    value = generator.normal(0, 2, (*of_steps, readings))
    value[generator.random(value.shape) < 0.3] = np.nan
    return (
        Beliefs(generator.normal(0, 1, (count, states)), np.tril(factor @ factor.swapaxes(1, 2))),
        Steps(
            decay=generator.uniform(0.5, 1.0, (*of_steps, states)),
            noise=generator.uniform(0.01, 0.5, (*of_steps, states)),
            target=np.array([states - 1, 0]),
            source=np.array([states - 2, states - 2]),
            gain=generator.normal(0, 1, (*of_steps, 2)),
            design=design,
            value=value,
            error=generator.uniform(0.05, 1.0, (*of_steps, readings)),
        ),
    )


def part_of(start: Beliefs, steps: Steps, places: Array | list[int]) -> tuple[Beliefs, Steps]:
    """Some of the communities, in this order."""
    names = ("decay", "noise", "gain", "design", "value", "error")
    chosen = {name: getattr(steps, name)[places] for name in names}
    return Beliefs(start.mean[places], start.covariance[places]), replace(steps, **chosen)


def between(steps: Steps, begin: int, end: int) -> Steps:
    names = ("decay", "noise", "gain", "design", "value", "error")
    return replace(steps, **{name: getattr(steps, name)[:, begin:end] for name in names})


def assert_same(found: Beliefs, expected: Beliefs) -> None:
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.covariance, expected.covariance)


@given(st.integers(0, 10_000))
def test_each_community_is_filtered_as_if_it_were_alone(seed: int) -> None:
    start, steps = communities(seed)
    found = run_many(start, steps)
    for one in range(len(start.mean)):
        belief = Gaussian(start.mean[one], start.covariance[one])
        for step in range(steps.value.shape[1]):
            noise, gain = steps.noise[one, step], steps.gain[one, step]
            moved = predict(belief, Transition(steps.decay[one, step], noise, steps.target, steps.source, gain))
            belief = update(moved, steps.design[one, step], steps.value[one, step], steps.error[one, step])
        np.testing.assert_allclose(found.mean[one], belief.mean, atol=1e-9)
        np.testing.assert_allclose(found.covariance[one], belief.covariance, atol=1e-9)


@given(st.integers(0, 10_000), st.permutations(range(11)), st.integers(1, 11))
def test_neighbours_do_not_matter_to_the_bit(seed: int, order: list[int], count: int) -> None:
    start, steps = communities(seed)
    whole, places = run_many(start, steps), order[:count]
    found = run_many(*part_of(start, steps, places))
    assert_same(found, Beliefs(whole.mean[places], whole.covariance[places]))


@given(st.integers(0, 10_000), st.integers(1, LENGTH - 1))
def test_where_time_is_cut_does_not_matter_to_the_bit(seed: int, cut: int) -> None:
    start, steps = communities(seed, count=3, length=LENGTH)
    early = run_many(start, between(steps, 0, cut))
    assert_same(run_many(early, between(steps, cut, LENGTH)), run_many(start, steps))


def test_what_stays_the_same_may_be_told_once() -> None:
    start, steps = communities(7)

    def told_once(array: Array) -> Array:
        return np.broadcast_to(array[:1, :1], array.shape)

    once = replace(steps, noise=told_once(steps.noise), gain=told_once(steps.gain), design=told_once(steps.design))
    copied = replace(once, noise=once.noise.copy(), gain=once.gain.copy(), design=once.design.copy())
    assert_same(run_many(start, once), run_many(start, copied))


def test_no_reading_leaves_the_prediction() -> None:
    start, steps = communities(3)
    silent = replace(steps, value=np.full(steps.value.shape, np.nan))
    no_sensors = replace(steps, design=steps.design[:, :, :0], value=steps.value[:, :, :0], error=steps.error[:, :, :0])
    assert_same(run_many(start, silent), run_many(start, no_sensors))


def test_covariances_stay_positive_over_a_year_of_sensors_a_million_times_better_than_the_prior() -> None:
    start, steps = communities(1, count=8, states=10, length=30)
    exact = replace(steps, error=1e-6 * steps.error)
    beliefs = Beliefs(start.mean, np.tile(1e4 * np.eye(10), (8, 1, 1)))
    for _ in range(30_000 // 30):
        beliefs = run_many(beliefs, exact)
        variances = np.linalg.eigvalsh(full(beliefs.covariance))
        assert (variances[:, 0] > -1e-9 * variances[:, -1]).all()
    assert np.isfinite(beliefs.mean).all()


@pytest.mark.parametrize("name", ["decay", "noise", "gain", "design", "error"])
def test_arrays_that_do_not_fit_are_refused_by_name(name: str) -> None:
    start, steps = communities(0)
    with pytest.raises(InvalidInput, match=name):
        run_many(start, replace(steps, **{name: getattr(steps, name)[:, 1:]}))


def test_the_guides_example_runs_and_errs_as_much_as_it_expects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = tmp_path / "example.py"
    example.write_text(GUIDE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0])
    runpy.run_path(str(example))
    found, expected, alone = (float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out))
    assert found == pytest.approx(expected, rel=0.15)
    assert expected < 0.8 * alone
