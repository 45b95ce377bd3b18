"""Weeks ahead: past years' temperatures through what load does in them, against plain loops and invented worlds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.auto import choose_model, make_forecast
from digital_twin.forecasting.forecast import ForecastTask, History, Site
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.naive import seasonal_naive
from digital_twin.forecasting.past_years import RECENT_SHARE, SHIFT_DAYS, YEAR_DAYS, temperature_courses
from digital_twin.forecasting.response import (
    HALF_LIFE_DAYS,
    LAG_HOURS,
    PENALTY,
    SMOOTHING_HOURS,
    calendar_of,
    felt_temperatures,
    fit_response,
    slot_features,
)
from digital_twin.forecasting.scenarios import LEVEL_HALF_LIFE_DAYS, running_level, scenarios
from digital_twin.forecasting.scores import coverage, pinball_loss
from digital_twin.testing.forecasters import check_forecaster

SITE = Site(48.2, 16.4, "UTC", 100, 0.0, "AT")
START = datetime(2019, 1, 1, tzinfo=UTC)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
WEEKS = 28


def weather(days: int, seed: int = 0) -> Array:
    """Temperature with seasons and spells that last for days, hour by hour."""
    chance = np.random.default_rng(seed)
    day = np.arange(days)
    anomaly = np.zeros(days)
    for step in range(1, days):
        anomaly[step] = 0.7 * anomaly[step - 1] + chance.normal(0, 2.5)
    daily = 10 - 11 * np.cos(2 * np.pi * (day - 15) / 365.25) + anomaly
    return np.repeat(daily, 24) + 4 * np.sin((np.arange(24 * days) % 24 - 9) / 24 * 2 * np.pi)


def world(days: int, *, seed: int = 0, noise: float = 2.0) -> History:
    """A load that is heated in the cold and rests on weekends."""
    grid = TimeGrid(START, 24 * days, 60)
    hour = np.arange(grid.steps)
    temperature_c = weather(days, seed)
    workday = ((START.weekday() + hour // 24) % 7 < 5).astype(float)
    load = 60 + 10 * np.sin((hour % 24 - 9) / 24 * 2 * np.pi) + 12 * workday + 2.5 * np.maximum(14 - temperature_c, 0)
    load += np.random.default_rng(seed + 1).normal(0, noise, grid.steps)
    return History(grid, load, {"temperature_c": temperature_c})


def until(history: History, days: int) -> History:
    steps = 24 * days
    return History(
        TimeGrid(START, steps, 60),
        history.values[:steps],
        {name: one[:steps] for name, one in history.weather.items()},
    )


def asked(history: History, days: int = WEEKS) -> ForecastTask:
    end = history.grid.end
    return ForecastTask("load_kw", TimeGrid(end, 24 * days, 60), end, SITE, history, None)


def trained(history: History) -> TrainingTask:
    return TrainingTask("load_kw", SITE, history, history.grid.end)


WHOLE = world(1_150)


# What a forecast is


def test_it_keeps_what_every_forecaster_promises() -> None:
    check_forecaster(scenarios, days=430)


def test_a_month_ahead_is_sharper_than_the_naive_one_and_its_interval_holds() -> None:
    inside: list[float] = []
    losses: list[tuple[float, float]] = []
    for day in range(740, 1_100, 45):
        past = until(WHOLE, day)
        actual = WHOLE.values[24 * day : 24 * (day + WEEKS)]
        made = scenarios.fit(trained(past)).predict(asked(past), LEVELS)
        naive = seasonal_naive.fit(trained(past)).predict(asked(past), LEVELS)
        losses.append(tuple(pinball_loss(actual, one.quantiles, LEVELS) for one in (made, naive)))
        inside.append(coverage(actual, made.quantiles[:, 0], made.quantiles[:, -1]))
    ours, theirs = np.mean(losses, axis=0)
    assert ours < 0.8 * theirs
    # a month holds some ten spells of weather: 8 months are 80 draws, three standard deviations are 10 points
    assert np.mean(inside) == pytest.approx(0.9, abs=0.1)


def test_nothing_that_comes_later_changes_a_forecast() -> None:
    past = until(WHOLE, 900)
    later = world(1_000, seed=5)
    joined = History(
        TimeGrid(START, 24 * 1_000, 60),
        np.concatenate([past.values, later.values[24 * 900 :]]),
        {"temperature_c": np.concatenate([past.weather["temperature_c"], later.weather["temperature_c"][24 * 900 :]])},
    )
    one = scenarios.fit(trained(past)).predict(asked(past), LEVELS)
    other = scenarios.fit(replace(trained(joined), as_of=past.grid.end)).predict(asked(past), LEVELS)
    np.testing.assert_array_equal(one.quantiles, other.quantiles)


def test_a_cold_spell_of_now_is_felt_tomorrow_and_forgotten_in_a_month() -> None:
    past = until(WHOLE, 1_110)  # in January
    temperature_c = past.weather["temperature_c"].copy()
    temperature_c[-72:] -= 12
    cold = History(
        past.grid, past.values + 2.5 * (past.weather["temperature_c"] - temperature_c), {"temperature_c": temperature_c}
    )
    usual, colder = (scenarios.fit(trained(one)).predict(asked(one), LEVELS).mean for one in (past, cold))
    more = (colder - usual).reshape(WEEKS, 24).mean(axis=1)
    assert more[0] > 10
    assert more[0] > 3 * more[6] > -1
    assert abs(more[-7:].mean()) < 4


def test_a_level_that_came_to_stay_is_carried_on() -> None:
    """Load that moves by steps of its own, each lasting for months, as homes come and go."""
    steps = np.repeat(np.random.default_rng(3).normal(0, 12, 12), 24 * 100)[: 24 * 1_150]
    moving = replace(WHOLE, values=WHOLE.values + steps)
    past = until(moving, 970)
    raised = replace(past, values=past.values + np.where(np.arange(past.grid.steps) > 24 * 900, 30.0, 0.0))
    one, other = (scenarios.fit(trained(history)).predict(asked(history), LEVELS).mean for history in (past, raised))
    assert (other - one).mean() > 15


def test_a_holiday_ahead_is_forecast_as_one() -> None:
    """Ascension Day of 2021 was Thursday, 13 May: a holiday whose date changes."""
    days = 863
    assert START + timedelta(days=days) == datetime(2021, 5, 13, tzinfo=UTC)
    days -= 14
    past = until(WHOLE, days)
    dates = [(START + timedelta(days=day)).date() for day in range(days)]
    off = np.array(
        [
            (date.month, date.day) in ((1, 1), (1, 6), (5, 1), (8, 15), (10, 26), (11, 1), (12, 8), (12, 25), (12, 26))
            for date in dates
        ]
    )
    quiet = replace(past, values=past.values - np.repeat(np.where(off, 25.0, 0.0), 24))
    made = scenarios.fit(trained(quiet)).predict(asked(quiet), LEVELS).mean.reshape(WEEKS, 24).mean(axis=1)
    assert made[[0, 7, 21]].mean() - made[14] > 12


def test_residuals_of_a_season_widen_that_season_and_no_other() -> None:
    """Ten restless days each June, 30 days behind one target and 46 behind another; five weeks count as near."""
    middle = 900
    day = np.arange(24 * (middle + 18)) // 24
    restless = np.abs((day - middle + 182) % 365 - 182) <= 5
    past = until(WHOLE, middle + 18)
    shaken = np.where(restless, np.random.default_rng(4).normal(0, 60, day.size), 0.0)
    past = replace(past, values=past.values + shaken)
    made = scenarios.fit(trained(past)).predict(asked(past), LEVELS)
    width = (made.quantiles[:, -1] - made.quantiles[:, 0]).reshape(WEEKS, 24).mean(axis=1)
    assert width[30 - 18] > 1.3 * width[46 - 18 - 1]


def test_without_temperature_past_seasons_answer_and_with_it_the_first_week_is_sharper() -> None:
    losses: list[tuple[float, float]] = []
    inside: list[float] = []
    for day in range(760, 1_100, 68):
        past = until(WHOLE, day)
        actual = WHOLE.values[24 * day : 24 * (day + WEEKS)]
        bare = History(past.grid, past.values, {})
        one, other = scenarios.fit(trained(past)), scenarios.fit(trained(bare))
        assert other.suits(asked(bare))
        assert not one.suits(asked(bare))
        with_it, without = one.predict(asked(past), LEVELS).quantiles, other.predict(asked(bare), LEVELS).quantiles
        week = slice(7 * 24)
        losses.append(tuple(pinball_loss(actual[week], made[week], LEVELS) for made in (with_it, without)))
        inside.append(coverage(actual, without[:, 0], without[:, -1]))
    sharper, plain = np.mean(losses, axis=0)
    assert sharper < 0.95 * plain
    assert np.mean(inside) > 0.75


def test_less_than_a_year_is_too_little() -> None:
    with pytest.raises(InsufficientData) as caught:
        scenarios.fit(trained(until(WHOLE, 300)))
    assert caught.value.facts == {"needed": 365.0, "found": 300.0}


def test_a_forecast_from_the_middle_of_a_day_has_no_gap() -> None:
    past = until(WHOLE, 900)
    steps = past.grid.steps - 7
    cut = History(
        TimeGrid(START, steps, 60), past.values[:steps], {"temperature_c": past.weather["temperature_c"][:steps]}
    )
    made = scenarios.fit(trained(cut)).predict(asked(cut), LEVELS)
    assert np.isfinite(made.quantiles).all()
    whole = scenarios.fit(trained(past)).predict(asked(past), LEVELS)
    assert np.abs(made.mean[7:] - whole.mean[:-7]).mean() < 3


def test_a_slot_that_was_hardly_ever_seen_spoils_no_other() -> None:
    past = until(WHOLE, 900)
    hour = np.arange(past.grid.steps) % 24
    hidden = (hour == 3) & (np.arange(past.grid.steps) < 24 * 895)
    rare = replace(past, values=np.where(hidden | (hour == 4), np.nan, past.values))
    one, other = (scenarios.fit(trained(history)).predict(asked(history), LEVELS) for history in (past, rare))
    assert np.isfinite(other.quantiles).all()
    seen = ~np.isin(np.arange(24 * WEEKS) % 24, (3, 4))
    assert np.abs(other.mean - one.mean)[seen].max() < 2


def test_hours_that_have_passed_are_answered_as_those_of_now() -> None:
    past = until(WHOLE, 900)
    grid = TimeGrid(past.grid.end - timedelta(hours=30), 24, 60)
    task = ForecastTask("load_kw", grid, past.grid.end, SITE, past, None)
    made = scenarios.fit(trained(past)).predict(task, LEVELS)
    assert np.isfinite(made.quantiles).all()
    assert np.abs(made.mean - past.values[-30:-6]).mean() < 15


# The choice


def test_auto_takes_scenarios_beyond_a_week_when_there_is_a_year() -> None:
    past = until(WHOLE, 400)
    assert choose_model(asked(past)) == "scenarios"
    assert choose_model(asked(past, days=7)) != "scenarios"
    assert choose_model(asked(until(WHOLE, 300))) != "scenarios"
    foreseen = {"temperature_c": np.full(24 * WEEKS, 5.0)}
    assert choose_model(replace(asked(past), future_weather=foreseen)) != "scenarios"
    made = make_forecast(asked(past))
    assert made.model == "scenarios"
    direct = scenarios.fit(trained(past)).predict(asked(past), made.levels)
    np.testing.assert_array_equal(made.quantiles, direct.quantiles)


# Its parts, against plain computations


def test_courses_are_those_of_a_plain_loop() -> None:
    rows, ahead = 800, 20
    table = weather(rows).reshape(rows, 24)
    first = 17_000
    found = temperature_courses(table, first, first + rows + np.arange(ahead))
    daily = table.mean(axis=1)

    def columns(day: Array) -> Array:
        waves = [wave(2 * np.pi * k * day / 365.25) for k in (1, 2, 3) for wave in (np.sin, np.cos)]
        return np.stack([np.ones(day.size), *waves], axis=1)

    coefficients, *_ = np.linalg.lstsq(columns(first + np.arange(rows)), daily, rcond=None)
    usual = columns(first + np.arange(rows + ahead)) @ coefficients
    odd = daily - usual[:rows]
    kept = (odd[:-1] * odd[1:]).sum() / (odd[:-1] ** 2).sum()
    expected: list[Array] = []
    for year in (1, 2, 3):
        for shift in range(-SHIFT_DAYS, SHIFT_DAYS + 1):
            start = rows - round(year * YEAR_DAYS) + shift
            if start < 1 or start + ahead > rows:
                continue
            lasting = RECENT_SHARE * (odd[-30:].mean() - odd[max(0, start - 30) : start].mean())
            course = table[start : start + ahead].copy()
            for day in range(ahead):
                fading = (odd[-1] - odd[start - 1] - lasting) * kept ** (day + 1)
                course[day] += lasting + fading + usual[rows + day] - usual[start + day]
            expected.append(course)
    # two draws of the season's weather a year: their variance is too small by one part in so many
    wide = np.mean(expected, axis=0) + np.sqrt(1 + 1 / (2 * rows / 365.25)) * (expected - np.mean(expected, axis=0))
    np.testing.assert_allclose(found, wide, atol=1e-9)


def test_many_years_give_no_more_courses_than_can_be_reckoned_with() -> None:
    table = weather(20 * 366).reshape(-1, 24)
    courses = temperature_courses(table, 10_000, 10_000 + table.shape[0] + np.arange(3))
    assert 150 <= courses.shape[0] <= 260


@pytest.mark.parametrize("slots", [24, 96])
def test_felt_temperatures_are_lags_and_running_means(slots: int) -> None:
    table = np.random.default_rng(0).normal(10, 5, (6, slots))
    felt = felt_temperatures(table).reshape(6 * slots, -1)
    course = table.ravel()
    for place, hours in enumerate(LAG_HOURS):
        back = hours * slots // 24
        expected = [course[max(0, step - back)] for step in range(course.size)]
        np.testing.assert_allclose(felt[:, place], expected)
    for place, hours in enumerate(SMOOTHING_HOURS, start=len(LAG_HOURS)):
        kept, mean = 0.5 ** (24 / slots / hours), course[0]
        for step, value in enumerate(course):
            mean = kept * mean + (1 - kept) * value
            assert felt[step, place] == pytest.approx(mean)


def test_a_residual_is_what_a_fit_without_that_week_misses() -> None:
    days = np.arange(18_000, 18_500)
    calendar = calendar_of(days, "AT")
    felt = felt_temperatures(weather(500).reshape(500, 24))[:, 10:12]
    table = world(500).values.reshape(500, 24)[:, 10:12].copy()
    table[77, 1] = np.nan
    response, residuals = fit_response(table, calendar, felt)
    weight = 0.5 ** (np.arange(500)[::-1] / HALF_LIFE_DAYS)
    features = slot_features(calendar, felt[:, 0], response.knots_c)
    design = np.column_stack([(features - response.center[0]) / response.scale[0], np.ones(500)])
    penalty = np.sqrt(PENALTY) * np.eye(design.shape[1])[:-1]
    for last in (499, 499 - 7, 499 - 7 * 40):
        week = np.arange(last - 6, last + 1)
        kept = ~np.isin(np.arange(500), week)
        rooted = design[kept] * np.sqrt(weight[kept])[:, None]
        target = np.concatenate([table[kept, 0] * np.sqrt(weight[kept]), np.zeros(penalty.shape[0])])
        coefficients, *_ = np.linalg.lstsq(np.concatenate([rooted, penalty]), target, rcond=None)
        np.testing.assert_allclose(
            residuals[week, 0], table[week, 0] - design[week] @ coefficients, rtol=1e-5, atol=1e-5
        )
    assert np.isnan(residuals[77]).tolist() == [False, True]
    assert response.of_slot(0, features)[5] == pytest.approx(design[5] @ response.coefficients[0])


def test_the_running_level_forgets_by_half_in_two_weeks() -> None:
    residuals = np.random.default_rng(2).normal(3, 1, (60, 2))
    residuals[10:14, 0] = np.nan
    level = running_level(residuals)
    kept = 0.5 ** (1 / LEVEL_HALF_LIFE_DAYS)
    own = np.zeros(2)
    for slot in range(2):
        weights = [kept ** (59 - day) for day in range(60) if np.isfinite(residuals[day, slot])]
        values = residuals[np.isfinite(residuals[:, slot]), slot]
        own[slot] = weights @ values / (sum(weights) + 1)
    np.testing.assert_allclose(level[-1], (own + own.mean()) / 2)
