"""The LSTM: in numpy what it is in JAX and on paper, blind to the future, and never at a loss."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY
from tests.histories import VIENNA, warmed_history

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting.auto import make_forecast, preferred_models
from digital_twin.forecasting.forecast import ForecastTask, History, Site
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.lstm import FittedLstm, lstm
from digital_twin.forecasting.lstm_inputs import DAYS, HOURS, WEATHER, HourlySeries, Windows
from digital_twin.forecasting.lstm_network import BASE, LEVELS, MEDIAN, SHAPES, Weights, quantiles_of, shipped_base
from digital_twin.forecasting.lstm_training import Teaching, draw_windows, fresh_weights, series_of, train
from digital_twin.forecasting.registry import models_to_train
from digital_twin.forecasting.within_hours import NORMAL_WIDTH, quantiles_within_hours

SHORT = Teaching(portions=1, learning_rate=1e-3)


def asked(past: History, hours: int = 24, site: Site = VIENNA, variable: str = "load_kw") -> ForecastTask:
    grid = TimeGrid(past.grid.end, hours * 60 // past.grid.step_minutes, past.grid.step_minutes)
    ahead = {name: np.full(grid.steps, 7.0) for name in past.weather} or None
    return ForecastTask(variable, grid, grid.start, site, past, ahead)


def training(past: History, site: Site = VIENNA, back: tuple[int, ...] = (1, 2, 3)) -> TrainingTask:
    return TrainingTask("load_kw", site, past, past.grid.end, back)


def untaught(past: History, weather: tuple[str, ...] = ()) -> FittedLstm:
    """The base itself, which costs nothing to make."""
    return FittedLstm(shipped_base(), weather, past.grid.step_minutes, 3)


@pytest.fixture(scope="module")
def year() -> History:
    return warmed_history(120, weather=tuple(WEATHER))


@pytest.fixture(scope="module")
def taught(year: History) -> FittedLstm:
    return lstm.fit(training(year))


# The windows


def test_a_forecast_needs_no_more_history_than_its_window(year: History, taught: FittedLstm) -> None:
    late = slice(year.grid.steps - (DAYS + 3) * 24, None)
    short = History(
        TimeGrid(year.grid.instant(late.start), (DAYS + 3) * 24, 60),
        year.values[late],
        {name: one[late] for name, one in year.weather.items()},
    )
    np.testing.assert_allclose(
        taught.predict(asked(short), LEVELS).quantiles, taught.predict(asked(year), LEVELS).quantiles, rtol=1e-9
    )


def loss_of(weights: Weights, series: HourlySeries) -> float:
    """The mean loss over windows of this series, as teaching counts it."""
    days, hours, target, weight = (one[0] for one in draw_windows([series], (1,), np.random.default_rng(7)))
    plain = np.ones(days.shape[1])
    said = quantiles_of(weights, Windows(days, hours, np.zeros((HOURS, plain.size)), plain)).transpose(1, 0, 2)
    error, promised = target[..., None] - said, np.array(LEVELS)
    return float((weight[..., None] * np.maximum(promised * error, (promised - 1) * error)).mean())


# What it learned


def test_teaching_makes_the_base_better_at_what_it_is_taught(year: History, taught: FittedLstm) -> None:
    series = series_of(training(year))
    nothing, base, after = (loss_of(one, series) for one in (fresh_weights(0), shipped_base(), taught.weights))
    assert after < base < nothing


def test_warmth_that_lowers_the_load_is_learned(year: History, taught: FittedLstm) -> None:
    mild = asked(year)
    warm = replace(mild, future_weather={**(mild.future_weather or {}), "temperature_c": np.full(24, 11.0)})
    assert (taught.predict(warm, LEVELS).mean - taught.predict(mild, LEVELS).mean).mean() < -1


def test_the_same_task_gives_the_same_fit(year: History, taught: FittedLstm) -> None:
    again = lstm.fit(training(year))
    for name, array in taught.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)


def test_nothing_after_as_of_is_learned(year: History) -> None:
    as_of = year.grid.end - timedelta(days=20)
    changed = year.values.copy()
    changed[-20 * 24 :] = 1e5
    series = [series_of(TrainingTask("load_kw", VIENNA, one, as_of)) for one in (year, replace(year, values=changed))]
    one, same = (train(shipped_base(), [each], (1, 2, 3), SHORT) for each in series)
    np.testing.assert_array_equal(one.recurrent, same.recurrent)


def test_what_several_communities_teach_is_true_of_another() -> None:
    several = [series_of(training(warmed_history(60, seed=seed))) for seed in range(3)]
    together = train(fresh_weights(0), several, (1,), Teaching(portions=8, learning_rate=3e-3))
    another = series_of(training(warmed_history(60, seed=9)))
    assert loss_of(together, another) < 0.9 * loss_of(fresh_weights(0), another)


def test_the_base_that_comes_along_says_where_it_is_from() -> None:
    payload = files("digital_twin.forecasting").joinpath(BASE).read_bytes()
    assert len(payload) < 500_000
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        origin = json.loads(archive["origin"].tobytes())
        assert {name: archive[name].shape for name in SHAPES} == SHAPES
    assert {"seed", "portions", "code_sha256", "made_on"} <= set(origin)
    assert "synthetic" in origin["from"]


# Every history


@pytest.mark.parametrize("level", [0.0, 42.0, -3.0])
def test_what_never_changes_is_forecast_to_stay(level: float) -> None:
    past = warmed_history(60)
    still = replace(past, values=np.full(past.grid.steps, level))
    found = lstm.fit(training(still)).predict(asked(still, 48), LEVELS)
    np.testing.assert_allclose(found.quantiles, level, atol=0.05 * abs(level) + 1e-9)


@settings(max_examples=25)
@given(holes=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 9)), max_size=5), cut=st.integers(0, 23))
def test_gaps_leave_no_gap_and_no_nonsense(holes: list[tuple[int, int]], cut: int) -> None:
    past = warmed_history(40)
    values = past.values.copy()
    for day, length in holes:
        values[24 * day : 24 * (day + length)] = np.nan
    values[values.size - cut :] = np.nan
    gappy = replace(past, values=values)
    wanted = asked(gappy, 40)
    if not untaught(gappy).suits(wanted):
        with pytest.raises(InsufficientData, match="in the last 28 days"):
            untaught(gappy).predict(wanted, LEVELS)
        return
    found = untaught(gappy).predict(wanted, LEVELS)
    assert np.isfinite(found.quantiles).all()
    assert 10 < found.mean.mean() < 80


def test_learning_goes_on_through_gaps() -> None:
    past = warmed_history(60)
    values = past.values.copy()
    values[24 * 10 : 24 * 14] = np.nan
    values[-30:] = np.nan
    found = lstm.fit(training(replace(past, values=values)))
    assert all(np.isfinite(one).all() for one in found.weights.to_arrays().values())


@pytest.mark.parametrize("days", [1, 3, 20])
def test_too_little_history_says_how_much_is_needed(days: int) -> None:
    with pytest.raises(InsufficientData) as caught:
        lstm.fit(training(warmed_history(days)))
    assert caught.value.facts == {"needed": lstm.needed_days, "found": days}


def test_three_weeks_are_enough() -> None:
    past = warmed_history(21)
    found = lstm.fit(training(past)).predict(asked(past), LEVELS)
    assert np.isfinite(found.quantiles).all()


@pytest.mark.parametrize(
    ("day", "hours"), [(datetime(2026, 3, 29, tzinfo=UTC), 23), (datetime(2025, 10, 26, tzinfo=UTC), 25)]
)
@pytest.mark.parametrize("minutes", [15, 60])
def test_the_days_when_the_clock_changes_are_forecast_whole(day: datetime, hours: int, minutes: int) -> None:
    midnight = day - timedelta(hours=1 if hours == 23 else 2)
    past = warmed_history(40, end=midnight, minutes=minutes)
    found = untaught(past).predict(asked(past, hours), LEVELS)
    assert found.quantiles.shape == (hours * 60 // minutes, len(LEVELS))
    assert np.isfinite(found.quantiles).all()
    after = warmed_history(42, end=midnight + timedelta(hours=hours), minutes=minutes)
    clock = local_clock(asked(after).grid, VIENNA.timezone)
    shape = 40 + 20 * np.sin((clock.hour - 9) / 24 * 2 * np.pi)
    assert np.corrcoef(untaught(after).predict(asked(after), LEVELS).mean, shape)[0, 1] > 0.9


def test_a_forecast_issued_at_any_hour_follows_the_clock() -> None:
    for cut in (1, 7, 13, 22):
        past = warmed_history(60, end=MONDAY - timedelta(hours=cut))
        clock = local_clock(asked(past, 48).grid, VIENNA.timezone)
        shape = 40 + 20 * np.sin((clock.hour - 9) / 24 * 2 * np.pi) - 8 * (clock.weekday >= 5)
        found = untaught(past).predict(asked(past, 48), LEVELS)
        assert np.corrcoef(found.mean, shape)[0, 1] > 0.9


def test_a_day_asked_alone_is_the_same_as_within_two() -> None:
    past = warmed_history(60)
    two = untaught(past).predict(asked(past, 48), LEVELS).quantiles
    far = replace(asked(past), grid=TimeGrid(past.grid.end + timedelta(days=1), 24, 60))
    np.testing.assert_allclose(two[:24], untaught(past).predict(asked(past), LEVELS).quantiles, rtol=1e-6)
    np.testing.assert_allclose(two[24:], untaught(past).predict(far, LEVELS).quantiles, rtol=1e-6)


# What it suits


def test_a_fit_answers_only_what_it_was_made_for(year: History, taught: FittedLstm) -> None:
    wanted = asked(year)
    assert taught.suits(wanted)
    assert taught.suits(asked(year, 48))
    assert not taught.suits(asked(year, 24 * 4))
    assert not taught.suits(replace(wanted, history=None))
    assert not taught.suits(replace(wanted, future_weather=None))
    assert not taught.suits(
        replace(wanted, future_weather={**(wanted.future_weather or {}), "ghi_wm2": np.full(24, np.nan)})
    )
    assert not taught.suits(asked(warmed_history(40, minutes=30, weather=tuple(WEATHER))))
    assert untaught(year).suits(replace(wanted, future_weather=None))


def test_weather_that_a_fit_does_not_know_changes_nothing() -> None:
    past = warmed_history(40, weather=("temperature_c",))
    plain = replace(past, weather={})
    np.testing.assert_array_equal(
        untaught(past).predict(asked(past), LEVELS).quantiles, untaught(plain).predict(asked(plain), LEVELS).quantiles
    )


def test_other_levels_lie_between_those_of_the_network(year: History, taught: FittedLstm) -> None:
    all_of_them = taught.predict(asked(year), LEVELS)
    some = taught.predict(asked(year), (0.05, 0.25, 0.5, 0.75, 0.95))
    np.testing.assert_allclose(some.quantiles[:, [0, 2, 4]], all_of_them.quantiles[:, [2, 7, 12]], rtol=1e-12)
    assert (some.quantiles[:, 1] > all_of_them.quantiles[:, 4]).all()
    assert (some.quantiles[:, 1] < all_of_them.quantiles[:, 5]).all()
    assert (np.diff(some.quantiles, axis=1) > 0).all()


# Finer steps


def test_within_hours_means_are_kept_and_scatter_adds_up() -> None:
    scores = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    hours = np.arange(48)
    hourly = 10 * np.sin(hours / 24 * 2 * np.pi)[:, None] + (2 + np.cos(hours / 5))[:, None] * scores
    smooth = np.repeat(np.full((28, 24), 5.0), 4, axis=1)
    exact = quantiles_within_hours(hourly, smooth, 0)
    np.testing.assert_allclose(exact.reshape(48, 4, -1).mean(axis=1), hourly, atol=1e-9)
    steps = np.tile([3.0, -3.0, 3.0, -3.0], 24) * np.where(np.arange(28) % 2, 1, -1)[:, None]
    noisy = quantiles_within_hours(hourly, smooth + steps, 0)
    own = (exact[:, 11] - exact[:, 3]) / NORMAL_WIDTH
    wider = (noisy[:, 11] - noisy[:, 3]) / NORMAL_WIDTH
    np.testing.assert_allclose(wider, np.sqrt(own**2 + 9.0), rtol=1e-6)
    np.testing.assert_allclose(noisy[:, MEDIAN], exact[:, MEDIAN], atol=1e-9)


def test_what_steps_of_the_day_are_off_the_line_of_late_comes_again() -> None:
    past = warmed_history(40, minutes=15)
    peak = np.zeros(past.grid.steps)
    slot = (local_clock(past.grid, VIENNA.timezone).hour * 4).astype(int)
    peak[slot == 50] = 8.0
    found = untaught(past).predict(asked(replace(past, values=past.values + peak)), LEVELS).mean
    plain = untaught(past).predict(asked(past), LEVELS).mean
    at = (local_clock(asked(past).grid, VIENNA.timezone).hour * 4).astype(int) == 50
    assert (found - plain)[at] > 5
    assert np.abs((found - plain)[~at]).max() < 3


@pytest.mark.parametrize("model", ["lstm", "ensemble"])
def test_nothing_offers_it_for_generation_which_its_base_never_saw(model: str) -> None:
    past = warmed_history(60)
    with pytest.raises(InvalidInput, match=f"{model} forecasts load_kw, net_load_kw only"):
        make_forecast(asked(past, variable="pv_kw"), model=model)
    assert models_to_train("pv_kw", [model]) == []
    assert preferred_models(asked(past, variable="pv_kw")) == ("pvwatts",)


# Arrays


def test_a_fit_comes_back_from_its_arrays_whole(year: History, taught: FittedLstm) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **taught.to_arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as archive:
        again = lstm.from_arrays(dict(archive))
    assert (again.weather, again.step_minutes, again.farthest_back) == (taught.weather, 60, 3)
    one, same = (each.predict(asked(year, 48), LEVELS) for each in (taught, again))
    np.testing.assert_array_equal(one.quantiles, same.quantiles)
    assert again.suits(asked(year))
