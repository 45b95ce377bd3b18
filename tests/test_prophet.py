"""Prophet: its curve is Prophet's own, what it missed lately goes on, and it answers without Prophet."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.histories import VIENNA, history, task

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting.feature_inputs import inputs_of
from digital_twin.forecasting.features import design_features
from digital_twin.forecasting.forecast import ForecastTask, History
from digital_twin.forecasting.forecaster import TrainingTask, first_steps
from digital_twin.forecasting.prophet import latest_errors, prophet
from digital_twin.forecasting.prophet_curve import by_hours, fit_curve, fit_prophet, prophet_frame, regressors_of
from digital_twin.testing import check_forecaster

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


def learn(past: History) -> TrainingTask:
    return TrainingTask("load_kw", VIENNA, past, past.grid.end)


def growing(days: int, minutes: int = 60) -> History:
    """A load that grows, bends, rests on holidays and follows the weather."""
    past = history(days, minutes=minutes, weather=True, end=datetime(2026, 1, 20, tzinfo=UTC))
    clock = local_clock(past.grid, VIENNA.timezone)
    trend = np.interp(np.arange(past.grid.steps), [0, past.grid.steps / 2, past.grid.steps], [0, 30, 10])
    rest = np.where(holidays_of("AT", clock.day), -10.0, 0.0)
    return replace(past, values=past.values + trend + rest + 2 * np.maximum(past.weather["temperature_c"] - 5, 0))


# The curve


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("gap", [False, True])
def test_the_curve_is_what_prophet_says(gap: bool) -> None:
    past = growing(60)
    if gap:
        past = replace(past, values=np.where(np.arange(past.grid.steps) % 50 < 7, np.nan, past.values))
    names = frozenset({"temperature_c", "ghi_wm2"})
    inputs = inputs_of(past, VIENNA, names)
    known = inputs_of(first_steps(past, 50 * 24), VIENNA, names)
    knots = design_features(known).knots
    curve = fit_curve(known, knots)

    def columns(of: History) -> np.ndarray:
        return (regressors_of(inputs_of(of, VIENNA, names), knots) - curve.center) / curve.scale

    model = fit_prophet(known, columns(first_steps(past, 50 * 24)))
    everything = replace(inputs, table=np.nan_to_num(inputs.table))
    expected = np.asarray(model.predict(prophet_frame(everything, columns(past)))["yhat"])
    assert np.std(expected) > 5
    np.testing.assert_allclose(curve.of(inputs, knots).ravel(), expected, rtol=1e-6)
    np.testing.assert_allclose(curve.of(inputs, knots, first=40), curve.of(inputs, knots)[40:], rtol=1e-12)


def test_the_means_of_hours_leave_out_what_is_not_known() -> None:
    past = history(3, minutes=15, end=datetime(2026, 1, 20, 23, tzinfo=UTC))
    values = past.values.copy()
    values[5], values[8:12] = np.nan, np.nan
    inputs = inputs_of(replace(past, values=values), VIENNA, frozenset())
    hourly = by_hours(inputs)
    np.testing.assert_allclose(hourly.table[0, 0], values[:4].mean())
    np.testing.assert_allclose(hourly.table[0, 1], values[[4, 6, 7]].mean())
    assert np.isnan(hourly.table[0, 2])
    np.testing.assert_array_equal(np.isnan(hourly.table).sum(), 1)


def test_quarters_of_an_hour_lie_on_the_curve_of_the_hours() -> None:
    """The middle of an hour lies between its second and third quarter; waves are flat at that scale."""
    past = growing(40, minutes=15)
    inputs = inputs_of(past, VIENNA, frozenset())
    curve = fit_curve(inputs, {})
    hours, quarters = curve.of(by_hours(inputs), {}), curve.of(inputs, {})
    np.testing.assert_allclose(quarters.reshape(*hours.shape, 4)[:, :, 1:3].mean(axis=2), hours, rtol=0.01)


# The forecaster


def test_prophet_does_what_every_forecaster_must() -> None:
    check_forecaster(prophet)


def test_with_less_than_three_weeks_it_says_how_much_it_needs() -> None:
    with pytest.raises(InsufficientData) as caught:
        prophet.fit(learn(history(20)))
    assert caught.value.facts["needed"] > caught.value.facts["found"] == 20


def test_no_value_from_after_the_training_instant_changes_what_was_learned() -> None:
    past = history(40)
    as_of = past.grid.end - timedelta(days=5)
    is_known = past.grid.starts < np.datetime64(as_of.replace(tzinfo=None))
    later = replace(past, values=np.where(is_known, past.values, 7e4))
    known, beyond = (prophet.fit(TrainingTask("load_kw", VIENNA, one, as_of)).to_arrays() for one in (past, later))
    assert known.keys() == beyond.keys()
    for name, array in known.items():
        np.testing.assert_array_equal(array, beyond[name])


def test_errors_that_go_on_were_known_in_time() -> None:
    missed = np.random.default_rng(1).normal(0, 1, (30, 24))
    for back in (1, 2, 9):
        changed = missed.copy()
        changed[20 - back, 13:] = 99
        changed[20 - back + 1 :] = 99
        before, after = (latest_errors(one, back)[20, 12] for one in (missed, changed))
        np.testing.assert_array_equal(before, after)
        assert np.abs(before).min() > 0


def test_a_level_that_has_moved_since_the_fit_is_followed() -> None:
    wander = np.repeat(np.cumsum(np.random.default_rng(6).normal(0, 6, 77)), 24)
    calm = history(77)
    past = replace(calm, values=calm.values + 100 + wander)
    fitted = prophet.fit(learn(first_steps(past, 70 * 24)))
    moved = replace(past, values=np.where(np.arange(past.grid.steps) >= 70 * 24, past.values + 30, past.values))
    before, after = (fitted.predict(task(one), LEVELS).mean for one in (past, moved))
    assert 20 < (after - before).mean() < 33


@pytest.mark.parametrize("issued_at", [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
def test_the_days_on_which_the_clock_changes_are_forecast_like_others(issued_at: datetime) -> None:
    past = history(60, end=issued_at)
    asked = ForecastTask("load_kw", TimeGrid(issued_at, 25, 60), issued_at, VIENNA, past, None)
    made = prophet.fit(learn(past)).predict(asked, LEVELS)
    assert np.isfinite(made.quantiles).all()
    assert np.abs(np.diff(made.mean)).max() < 25


def test_a_public_holiday_is_forecast_as_a_day_of_rest() -> None:
    new_year = datetime(2026, 12, 31, 23, tzinfo=UTC)
    past = history(80, end=new_year)
    clock = local_clock(past.grid, VIENNA.timezone)
    is_rest = holidays_of("AT", clock.day) | (clock.weekday >= 5)
    past = replace(past, values=np.where(is_rest, 20.0, 40.0) + past.values / 100)
    with_calendar = prophet.fit(learn(past)).predict(task(past), LEVELS)
    elsewhere = replace(VIENNA, country=None)
    without = prophet.fit(replace(learn(past), site=elsewhere)).predict(task(past, site=elsewhere), LEVELS)
    assert with_calendar.mean.mean() < 24 < 34 < without.mean.mean()


def test_a_fit_with_weather_answers_only_where_the_weather_is_foreseen() -> None:
    past = growing(40)
    fitted, asked = prophet.fit(learn(past)), task(past)
    assert not fitted.suits(asked)
    foreseen = {name: np.full(24, 8.0) for name in past.weather}
    assert fitted.suits(replace(asked, future_weather=foreseen))
    warm, cold = (
        fitted.predict(replace(asked, future_weather=dict.fromkeys(past.weather, np.full(24, degrees))), LEVELS)
        for degrees in (12.0, 6.0)
    )
    assert warm.mean.mean() - cold.mean.mean() == pytest.approx(12, abs=6)
    far = {name: np.full(24 * 5, 8.0) for name in past.weather}
    assert not fitted.suits(replace(task(past, steps=24 * 5), future_weather=far))


def test_learning_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    prophet.fit(learn(history(30)))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("cmdstanpy").disabled
