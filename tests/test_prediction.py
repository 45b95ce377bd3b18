"""Prediction from a state: by many steps at once, one after the other, and against the matrices written out."""

import numpy as np
import pytest
from tests.twins import lively_homes, plant, prior, readings

from digital_twin.domain.time import TimeGrid
from digital_twin.macro_twin.filtering import Outlook
from digital_twin.macro_twin.kalman import Transition, predict
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.prediction import Forecasted, predict_ahead
from digital_twin.macro_twin.state import TwinState, advance, start_state
from digital_twin.macro_twin.structure import (
    DEMAND_HABIT,
    DEMAND_REMAINDER,
    DEMAND_TERMS,
    DEPARTURE_TERMS,
    LOAD,
    NET_LOAD,
    PV,
    STORAGE_SOC,
)

HISTORY_DAYS = 14


@pytest.fixture(scope="module")
def learned() -> tuple[TwinModel, TwinState]:
    return lively_homes(20, HISTORY_DAYS).learn(HISTORY_DAYS * 24)


def outlook_of(state: TwinState, model: TwinModel, steps: int) -> Outlook:
    sky = np.maximum(np.sin((np.arange(steps) - 6) * np.pi / 12), 0.0)
    return model.outlook(TimeGrid(state.instant, steps, 60), sky, np.full(steps, np.nan))


def forecast(state: TwinState, model: TwinModel, steps: int) -> Forecasted:
    return predict_ahead(state, model, outlook_of(state, model, steps))


def test_a_prediction_by_many_steps_is_that_many_predictions_by_one(learned: tuple[TwinModel, TwinState]) -> None:
    model, state = learned
    at_once = forecast(state, model, 48)
    outlook, moved = outlook_of(state, model, 48), state
    for step in range(48):
        one = slice(step, step + 1)
        next_step = predict_ahead(
            moved, model, Outlook(outlook.features[one], outlook.slot[one], outlook.kind[one], outlook.clear_sky[one])
        )
        np.testing.assert_array_equal(next_step.mean[0], at_once.mean[step])
        np.testing.assert_array_equal(next_step.deviation[0], at_once.deviation[step])
        silent = readings(
            TimeGrid(moved.instant, 1, 60), clear_sky=outlook.clear_sky[one], load_kw=np.full((1, 20), np.nan)
        )
        moved = advance(moved, model, silent).state


def test_the_state_that_a_prediction_starts_from_stays_as_it_is(learned: tuple[TwinModel, TwinState]) -> None:
    model, state = learned
    before = state.digest
    forecast(state, model, 24)
    assert state.digest == before


def test_demand_is_predicted_with_the_covariance_of_the_matrices(learned: tuple[TwinModel, TwinState]) -> None:
    model, state = learned
    dynamics, outlook = model.dynamics, outlook_of(state, model, 24)
    belief, nothing = state.belief, np.empty(0, dtype=np.int64)
    expected, predicted = [], forecast(state, model, 24)
    habits, scales = state.memory.habits, (state.memory.noise_scale * state.memory.day_scale, state.memory.noise_scale)
    for features, slot, kind in zip(outlook.features, outlook.slot, outlook.kind, strict=True):
        noise = dynamics.walk.copy()
        noise[:DEPARTURE_TERMS] *= scales[0]
        noise[DEMAND_REMAINDER] = scales[1] * dynamics.liveliness[slot] ** 2
        belief = predict(belief, Transition(dynamics.decay, noise, nothing, nothing, np.empty(0)))
        row = np.zeros(noise.size)
        row[:DEMAND_TERMS], row[DEMAND_REMAINDER] = features, 1.0
        row[DEMAND_HABIT] = habits.usual[slot] + dynamics.day_kinds[kind, slot]
        expected.append((row @ belief.mean, np.sqrt(row @ belief.full_covariance() @ row)))
    np.testing.assert_allclose(predicted.mean[:, LOAD], [mean for mean, _ in expected], rtol=1e-9)
    np.testing.assert_allclose(predicted.deviation[:, LOAD], [deviation for _, deviation in expected], rtol=1e-9)


def test_what_lies_further_ahead_is_less_certain_at_the_same_hour() -> None:
    model = prior(plant(50, pv_kw=30.0, storage_kwh=40.0))
    state = start_state(model, lively_homes(1, 1).start)
    history = readings(
        TimeGrid(state.instant, 48, 60),
        clear_sky=outlook_of(state, model, 48).clear_sky,
        net_load_kw=np.full(48, 20.0),
        pv_kw=20 * outlook_of(state, model, 48).clear_sky,
        storage_soc_kwh=np.full(48, 25.0),
    )
    state = advance(state, model, history).state
    deviation = forecast(state, model, 72).deviation
    for quantity in (LOAD, NET_LOAD, STORAGE_SOC):
        assert (deviation[24:, quantity] >= deviation[:-24, quantity]).all()
    by_day = outlook_of(state, model, 72).clear_sky[24:] > 0
    assert (deviation[24:, PV] >= deviation[:-24, PV])[by_day].all()


def test_only_net_load_is_predicted_below_nought() -> None:
    model = prior(plant(5, pv_kw=500.0, storage_kwh=10.0))
    forecasted = forecast(start_state(model, lively_homes(1, 1).start), model, 48)
    assert forecasted.mean[:, NET_LOAD].min() < -100
    for quantity in (LOAD, PV, STORAGE_SOC):
        assert forecasted.mean[:, quantity].min() >= 0
    assert forecasted.mean[:, STORAGE_SOC].max() <= 10.0
