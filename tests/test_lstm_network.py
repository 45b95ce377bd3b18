"""The network and its windows: against the book, by hand, and nothing of the future."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.histories import VIENNA, warmed_history

from digital_twin.domain.errors import InvalidInput
from digital_twin.forecasting.lstm_inputs import DAYS, HOURS, WEATHER, WINDOW, Windows, hourly_series, windows_of
from digital_twin.forecasting.lstm_network import LEVELS, MEDIAN, SHAPES, UNITS, Weights, quantiles_of, shipped_base
from digital_twin.forecasting.lstm_training import fresh_weights, network_of

FLOAT32 = 1e-5
"""How far sums of float32 may differ with their order, in spreads."""


def some_windows(count: int = 5, weather: tuple[str, ...] = tuple(WEATHER)) -> Windows:
    past = warmed_history(60, seed=3, weather=weather)
    series = hourly_series(past, VIENNA, weather)
    chance = np.random.default_rng(1)
    ends = chance.integers(WINDOW + 100, series.values.size - 5 * HOURS, count)
    return windows_of(series, ends, chance.integers(1, 4, count))


# The network


def test_numpy_says_what_the_model_that_learns_says() -> None:
    windows = some_windows()
    for weights in (fresh_weights(4), shipped_base()):
        by_jax = np.asarray(network_of(weights.to_arrays())(windows.days, windows.hours))
        spreads = (quantiles_of(weights, windows).transpose(1, 0, 2) - windows.usual[..., None]) / (
            windows.spread[:, None, None].transpose(1, 0, 2)
        )
        np.testing.assert_allclose(spreads, by_jax, atol=FLOAT32, rtol=FLOAT32)


def test_the_network_is_the_one_in_the_books() -> None:
    """Unit by unit and gate by gate in plain Python."""
    windows, weights = some_windows(1), fresh_weights(2)
    w = {name: array.astype(float).tolist() for name, array in weights.to_arrays().items()}
    inputs = [(one, "day_in", 0) for one in windows.days[:, 0].tolist()]
    inputs += [(one, "hour_in", 1) for one in windows.hours[:, 0].tolist()]
    units, cell = [0.0] * UNITS, [0.0] * UNITS
    said: list[list[float]] = []
    for values, name, phase in inputs:
        gates = [
            w["bias"][phase][gate]
            + sum(value * w[name][place][gate] for place, value in enumerate(values))
            + sum(unit * w["recurrent"][phase][place][gate] for place, unit in enumerate(units))
            for gate in range(4 * UNITS)
        ]
        for unit in range(UNITS):
            forget, take, tell = (1 / (1 + math.exp(-gates[part * UNITS + unit])) for part in range(3))
            cell[unit] = forget * cell[unit] + take * math.tanh(gates[3 * UNITS + unit])
            units[unit] = tell * math.tanh(cell[unit])
        said.append(list(units))
    for hour in range(HOURS):
        raw = [
            w["out_bias"][level]
            + sum(unit * w["out"][place][level] for place, unit in enumerate(said[DAYS + hour]))
            + sum(value * w["skip"][place][level] for place, value in enumerate(windows.hours[hour, 0].tolist()))
            for level in range(len(LEVELS))
        ]
        gaps = [math.log1p(math.exp(one)) for one in raw]
        expected = [
            raw[MEDIAN] + sum(gaps[MEDIAN + 1 : level + 1]) - sum(gaps[level:MEDIAN]) for level in range(len(LEVELS))
        ]
        found = (quantiles_of(weights, windows)[0, hour] - windows.usual[hour, 0]) / windows.spread[0]
        np.testing.assert_allclose(found, expected, atol=FLOAT32, rtol=FLOAT32)


def test_a_step_worked_by_hand() -> None:
    """One unit takes in 1/2 of a candidate of tanh(1) at every step, keeps 1/4 of its cell and tells 1/2."""
    empty = {name: np.zeros(shape, dtype=np.float32) for name, shape in SHAPES.items()}
    empty["bias"][:, 0] = math.log(1 / 3)  # logistic(log(1/3)) = 1/4
    empty["bias"][:, 3 * UNITS] = 1.0
    empty["out"][0, MEDIAN] = 1.0
    cell, medians = 0.0, []
    for step in range(DAYS + HOURS):
        cell = cell / 4 + math.tanh(1) / 2
        medians.append(math.tanh(cell) / 2)
        assert cell == pytest.approx(math.tanh(1) / 2 * (1 - 0.25 ** (step + 1)) / (1 - 0.25))
    windows = some_windows(1)
    found = (quantiles_of(Weights(**empty), windows)[0] - windows.usual) / windows.spread
    np.testing.assert_allclose(found[:, MEDIAN], medians[DAYS:], atol=FLOAT32)
    np.testing.assert_allclose(np.diff(found, axis=1), math.log(2), atol=FLOAT32)  # of gaps that nothing is known about


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 100))
def test_quantiles_never_cross_whatever_the_weights(seed: int, scale: float) -> None:
    wild = Weights(**{name: one * np.float32(scale) for name, one in fresh_weights(seed).to_arrays().items()})
    found = quantiles_of(wild, some_windows())
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) >= 0).all()


def test_weights_of_another_network_are_refused() -> None:
    arrays = fresh_weights(0).to_arrays()
    with pytest.raises(InvalidInput, match="out must have shape"):
        Weights(**{**arrays, "out": arrays["out"][:-1]})


# The windows


@settings(max_examples=20)
@given(hour=st.integers(0, 23), back=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_window_tells_level_and_lags_as_counted_by_hand(hour: int, back: int, seed: int) -> None:
    past = warmed_history(50, seed=seed)
    series = hourly_series(past, VIENNA)
    end = series.values.size - 5 * HOURS + hour
    window = windows_of(series, np.array([end]), np.array([back]))
    values = series.values[end - WINDOW : end].tolist()
    level = sum(values) / WINDOW
    spread = math.sqrt(sum((one - level) ** 2 for one in values) / WINDOW)
    assert window.spread[0] == pytest.approx(spread)
    for step in range(HOURS):
        target = end - HOURS + step + HOURS * back
        usual = sum(values[step::HOURS]) / DAYS
        assert window.usual[step, 0] == pytest.approx(usual)

        def off(hours: int, usual: float = usual, target: int = target) -> float:
            return (series.values[target - hours] - usual) / spread

        weekly = sum(off(168 * weeks) for weeks in range(1, 5)) / 4
        expected = [off(24 * back), off(24 * back + 24), off(24 * back + 48), off(168), off(336), weekly]
        np.testing.assert_allclose(window.hours[step, 0, 16:22], expected, atol=FLOAT32, rtol=FLOAT32)
        weekday = (target // HOURS + series.first_day + 3) % 7
        assert window.hours[step, 0, 9:16].argmax() == weekday


@settings(max_examples=30)
@given(later=st.floats(-1e6, 1e6), hour=st.integers(0, 23), back=st.integers(1, 3))
def test_nothing_after_a_windows_end_is_in_it_but_weather_that_was_foreseen(later: float, hour: int, back: int) -> None:
    names = tuple(WEATHER)
    past = warmed_history(50, weather=names)
    end = 40 * HOURS + hour
    changed = past.values.copy()
    changed[end:] = later
    beyond = {name: np.where(np.arange(one.size) < end + 24 * back, one, later) for name, one in past.weather.items()}
    found = []
    for one in (past, replace(past, values=changed, weather=beyond)):
        series = hourly_series(one, VIENNA, names)
        offset = int(np.flatnonzero(np.isfinite(series.values))[0])
        found.append(windows_of(series, np.array([end + offset]), np.array([back])))
    for name in ("days", "hours", "usual", "spread"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
