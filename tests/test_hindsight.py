"""Looking back on the twin's own steps: nearer to the truth, more certain, and never beyond what can be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.linear_worlds import full
from tests.twins import Homes, lively_homes, plant, prior, readings

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.hindsight import look_back_on_panel, smoothed_track
from digital_twin.macro_twin.panel import NEWS
from digital_twin.macro_twin.panel_filter import follow
from digital_twin.macro_twin.state import advance, panel_steps, start_state
from digital_twin.macro_twin.structure import ENERGY, EXCHANGE, LOAD, OBSERVED, SIZE, STORAGE_SOC
from digital_twin.macro_twin.trail import new_trail

ROUNDING = 1e-6
"""Of variances relative to their own size, over some dozen steps."""


@pytest.fixture(scope="module")
def homes() -> Homes:
    return lively_homes(40, 42)


def silent_by_chance(homes: Homes, first: int) -> Array:
    return np.random.default_rng(4).random((len(homes.load_kw) - first, homes.load_kw.shape[1])) >= 0.6


def test_past_demand_is_nearer_to_the_truth_and_more_certain_when_it_is_looked_back_on(homes: Homes) -> None:
    first, last = 21 * 24, len(homes.load_kw)
    model, state = homes.learn(first)
    shown = homes.between(first, last, silent_by_chance(homes, first))
    track, smoothed = advance(state, model, shown).track, smoothed_track(state, model, shown)
    truth = homes.load_kw[first:].sum(axis=1)
    errors = [np.sqrt(np.mean((one.mean[:, LOAD] - truth) ** 2)) for one in (smoothed, track)]
    assert errors[0] < 0.95 * errors[1]
    assert (smoothed.deviation[:, LOAD] <= track.deviation[:, LOAD]).all()
    np.testing.assert_array_equal(smoothed.mean[-1], track.mean[-1])
    np.testing.assert_array_equal(smoothed.deviation[-1], track.deviation[-1])


def test_a_lag_of_no_step_leaves_the_track_as_it_is(homes: Homes) -> None:
    first = 21 * 24
    model, state = homes.learn(first)
    shown = homes.between(first, len(homes.load_kw), silent_by_chance(homes, first))
    track, smoothed = advance(state, model, shown).track, smoothed_track(state, model, shown, lag=0)
    np.testing.assert_array_equal(smoothed.mean, track.mean)
    np.testing.assert_array_equal(smoothed.deviation, track.deviation)


def test_what_no_other_step_knows_is_left_uncertain(homes: Homes) -> None:
    first, last = 21 * 24, len(homes.load_kw)
    model, state = homes.learn(first)
    shown = homes.between(first, last, silent_by_chance(homes, first))
    panel, memory, meters = model.panels[0], state.panels[0], shown.meters[0]
    assert panel is not None
    assert memory is not None
    steps = panel_steps(shown.grid, "UTC", None)
    before = follow(panel, memory.copy(), meters, *steps)
    found = look_back_on_panel(panel, memory, meters, steps)
    silent = np.isnan(meters)
    news = ((panel.spread**2 * panel.parts[NEWS])[steps[0] % panel.slots] * silent).sum(axis=1)
    assert (found.variance >= np.minimum(memory.noise[1] * news, before.variance)).all()
    assert (found.variance <= before.variance).all()
    without_a_meter = replace(panel, unmetered_variance=panel.unmetered_variance + 50.0)
    wider = look_back_on_panel(without_a_meter, memory, meters, steps)
    np.testing.assert_allclose(wider.variance, found.variance + 50.0)
    np.testing.assert_allclose(wider.mean, found.mean)
    all_report = ~silent.any(axis=1)
    np.testing.assert_array_equal(found.mean[all_report], before.mean[all_report])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000))
def test_a_storage_is_looked_back_on_within_its_bounds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    model = prior(plant(5, storage_kwh=10.0))
    state = start_state(model, lively_homes(1, 1).start)
    grid = TimeGrid(state.instant, 96, 60)
    energy = np.clip(5 + np.cumsum(generator.normal(0, 2, 96)), 0, 10)
    energy[generator.random(96) < 0.8] = np.nan
    shown = readings(grid, net_load_kw=generator.normal(3, 2, 96), storage_soc_kwh=energy)
    track, smoothed = advance(state, model, shown).track, smoothed_track(state, model, shown)
    assert smoothed.mean[:, STORAGE_SOC].min() >= 0
    assert smoothed.mean[:, STORAGE_SOC].max() <= 10
    assert (smoothed.deviation <= track.deviation).all()
    seen = ~np.isnan(energy)
    if seen.any():
        np.testing.assert_allclose(smoothed.mean[seen, STORAGE_SOC], energy[seen], atol=0.1)


def test_the_trail_knows_all_that_moves_the_states_but_chance() -> None:
    model = prior(plant(20, pv_kw=30.0, storage_kwh=10.0))
    state, steps = start_state(model, lively_homes(1, 1).start), 72
    generator = np.random.default_rng(8)
    sky = np.maximum(np.sin((np.arange(steps) - 6) * np.pi / 12), 0.0)
    shown = readings(
        TimeGrid(state.instant, steps, 60),
        clear_sky=sky,
        net_load_kw=np.where(generator.random(steps) < 0.5, generator.normal(8, 3, steps), np.nan),
        pv_kw=20 * sky * generator.uniform(0.3, 1.0, steps),
        storage_soc_kwh=np.where(generator.random(steps) < 0.3, generator.uniform(0, 10, steps), np.nan),
    )
    trail = new_trail(steps, SIZE, readings=len(OBSERVED), couplings=1, asked=len(OBSERVED))
    advance(state, model, shown, trail)
    assert (trail.scale != 1.0).any()
    covariances = full(trail.covariance)
    for step in range(1, steps):
        matrix = np.eye(SIZE)
        matrix[ENERGY, EXCHANGE] = trail.coupling[step, 0]
        matrix = model.dynamics.decay[:, None] * matrix
        predicted = covariances[step] / np.outer(trail.scale[step], trail.scale[step])
        for gain, spread in zip(trail.gain[step], trail.spread[step], strict=True):
            if np.isfinite(spread):
                predicted += spread * np.outer(gain, gain)
        by_chance = predicted - matrix @ covariances[step - 1] @ matrix.T
        deviations = np.sqrt(np.maximum(np.diag(predicted), 1e-12))
        assert np.linalg.eigvalsh(by_chance / np.outer(deviations, deviations)).min() > -ROUNDING
