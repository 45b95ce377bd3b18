"""Demand: its likelihood against a joint density, what history teaches, and predictions whose errors are as told."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from tests.twins import START, metering, plant, prior, readings

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.departures import Departures, log_likelihood
from digital_twin.macro_twin.felt import FELT_HOURS, feel
from digital_twin.macro_twin.habits import PARTS, REMAINDER, expect_tomorrow, tomorrow_of
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.prediction import predict_ahead
from digital_twin.macro_twin.simplex import minimise
from digital_twin.macro_twin.state import TwinState, advance, start_state
from digital_twin.macro_twin.structure import DEPARTURE_TERMS, LOAD, calendar_of, day_waves, slots_of

HOURLY = 24
DEPARTURES = Departures(3.0, 20.0, 1.0, 2.0, 1.5, 0.1)


def told(load_kw: Array, *, first: int = 0, temperature_c: Array | None = None) -> TwinReadings:
    """A community's own hourly series."""
    grid = TimeGrid(START + timedelta(hours=first), load_kw.size, 60)
    whole = readings(grid, load_kw=load_kw)
    return TwinReadings(grid, whole.own, whole.meters, whole.clear_sky, temperature_c)


def learned(load_kw: Array, *, temperature_c: Array | None = None) -> tuple[TwinModel, TwinState]:
    history = told(load_kw, temperature_c=temperature_c)
    model = calibrate(prior(plant(50)), metering(), history)
    return model, advance(start_state(model, START), model, history).state


def one_step_ahead(model: TwinModel, state: TwinState, load_kw: Array, *, first: int) -> Array:
    """Mean and deviation of each step, expected at the end of the one before."""  # (T, 2)
    expected = np.empty((load_kw.size, 2))
    for step in range(load_kw.size):
        grid = TimeGrid(state.instant, 1, 60)
        predicted = predict_ahead(state, model, model.outlook(grid, np.zeros(1), np.full(1, np.nan)))
        expected[step] = predicted.mean[0, LOAD], predicted.deviation[0, LOAD]
        state = advance(state, model, told(load_kw[step : step + 1], first=first + step)).state
    return expected


def usual_days(days: int, *, seed: int = 0, tails: float | None = None) -> Array:
    """A day's shape with a level that wanders for days and a remainder that does for hours, normal or with tails."""
    generator = np.random.default_rng(seed)
    steps = days * HOURLY
    news = generator.standard_normal(steps)
    if tails is not None:
        news = generator.standard_t(tails, steps) / np.sqrt(tails / (tails - 2))
    level, remainder = np.zeros(steps), np.zeros(steps)
    for step in range(1, steps):
        level[step] = np.exp(-1 / 30) * level[step - 1] + 0.6 * generator.standard_normal()
        remainder[step] = np.exp(-1 / 2) * remainder[step - 1] + 2.0 * news[step]
    return 60 + 20 * np.sin(2 * np.pi * (np.arange(steps) - 9) / 24) + level + remainder


def test_the_likelihood_of_a_day_is_the_joint_density_of_its_readings() -> None:
    generator = np.random.default_rng(1)
    weights = np.column_stack([np.ones(HOURLY), day_waves(60)])
    liveliness, usual = generator.uniform(0.5, 1.5, HOURLY), generator.uniform(20, 40, HOURLY)
    decay, noise = DEPARTURES.motion(1.0)
    rest = usual + generator.normal(0, 2, HOURLY)
    rest[7] = np.nan
    found = log_likelihood(
        rest, np.arange(HOURLY), (weights, liveliness, usual), (decay, noise),
        tomorrow_of(decay, noise, HOURLY), DEPARTURES.habit_gain,
    )  # fmt: skip
    # the parts of every step, written out as shocks since before the first one
    shocks = np.concatenate([np.diag(noise / (1 - decay**2)), *[np.zeros((PARTS, PARTS))] * HOURLY], axis=1)
    rows = np.empty((HOURLY, shocks.shape[1]))
    parts = np.sqrt(shocks)
    for step in range(HOURLY):
        scaled = noise.copy()
        scaled[REMAINDER] *= liveliness[step] ** 2
        parts = decay[:, None] * parts
        parts[:, (step + 1) * PARTS : (step + 2) * PARTS] += np.diag(np.sqrt(scaled))
        rows[step] = np.append(weights[step], 1.0) @ parts
    known = np.isfinite(rest)
    covariance, error = (rows @ rows.T)[np.ix_(known, known)], (rest - usual)[known]
    density = -0.5 * (np.linalg.slogdet(covariance)[1] + error @ np.linalg.solve(covariance, error))
    assert found == pytest.approx(density, rel=1e-9)


def test_tomorrow_is_as_uncertain_as_a_day_of_steps_makes_it() -> None:
    generator = np.random.default_rng(2)
    decay, noise = DEPARTURES.motion(1.0)
    root = generator.standard_normal((PARTS, PARTS))
    mean, covariance = generator.standard_normal(PARTS), root @ root.T
    weight = np.append(np.ones(1), day_waves(60)[5])
    found = expect_tomorrow(mean, np.tril(covariance), weight, REMAINDER, tomorrow_of(decay, noise, HOURLY), (3.0, 2.0))
    scale = np.append(np.full(DEPARTURE_TERMS, 3.0), 2.0)
    for _ in range(HOURLY):
        mean, covariance = decay * mean, np.outer(decay, decay) * covariance + np.diag(scale * noise)
    row = np.append(weight, 1.0)
    assert found == pytest.approx((row @ mean, row @ covariance @ row), rel=1e-9)


def test_a_simplex_finds_the_lowest_point_of_a_curved_valley() -> None:
    def rosenbrock(point: Array) -> float:
        return float((1 - point[0]) ** 2 + 100 * (point[1] - point[0] ** 2) ** 2)

    found = minimise(rosenbrock, np.array([-1.2, 1.0]), step=0.7, evaluations=300)
    np.testing.assert_allclose(found, 1.0, atol=1e-3)


def test_how_far_and_how_long_demand_departs_is_learned() -> None:
    departures = learned(usual_days(56))[0].demand.departures
    assert departures.remainder_kw == pytest.approx(2.0 / np.sqrt(1 - np.exp(-1)), rel=0.2)
    assert 1.0 < departures.remainder_hours < 4.0
    assert departures.level_kw == pytest.approx(0.6 / np.sqrt(1 - np.exp(-1 / 15)), rel=0.5)
    assert 10 < departures.level_hours < 90


@pytest.mark.parametrize("tails", [None, 3.0])
def test_of_a_hundred_readings_about_95_lie_in_the_interval_whatever_the_tails(tails: float | None) -> None:
    load = usual_days(70, tails=tails)
    first = 42 * HOURLY
    expected = one_step_ahead(*learned(load[:first]), load[first:], first=first)
    surprise = (load[first:] - expected[:, 0]) / expected[:, 1]
    assert 0.93 < np.mean(np.abs(surprise) < 1.96) < 0.97
    assert 0.6 < np.mean(surprise**2) < (1.4 if tails is None else 2.0), "t with 3 has no fourth moment"


def test_noise_that_doubles_is_told_within_days() -> None:
    quiet, loud = usual_days(70, seed=3), usual_days(70, seed=3)
    loud = quiet.mean() + 2 * (loud - quiet.mean())
    first = 42 * HOURLY
    model, state = learned(quiet[:first])
    expected = one_step_ahead(model, state, loud[first:], first=first)
    later = slice(7 * HOURLY, None)
    surprise = (loud[first:] - expected[:, 0])[later] / expected[later, 1]
    assert 0.92 < np.mean(np.abs(surprise) < 1.96) < 0.98


def test_what_a_clock_switches_on_is_expected_at_its_hour() -> None:
    load = usual_days(42, seed=4)
    load[np.arange(load.size) % HOURLY == 22] += 60
    first = 35 * HOURLY
    expected = one_step_ahead(*learned(load[:first]), load[first:], first=first)
    at_the_hour = np.arange(expected.shape[0]) % HOURLY == 22
    error = (load[first:] - expected[:, 0])[at_the_hour]
    assert np.abs(error).mean() < 6, "a tenth of the jump"


def test_weekends_are_told_from_workdays() -> None:
    load = usual_days(63, seed=5)
    weekend = np.arange(load.size) // HOURLY % 7 >= 5  # the history begins on a Monday
    load[weekend] -= 15
    model, _ = learned(load[: 56 * HOURLY])
    workday, saturday, sunday = model.demand.day_kinds_kw.mean(axis=1)
    assert workday - saturday > 6
    assert workday - sunday > 6


def test_a_public_holiday_is_expected_like_a_sunday_where_the_country_is_known() -> None:
    history = TimeGrid(datetime(2026, 2, 23, tzinfo=UTC), 61 * HOURLY, 60)  # up to the evening of 24 April
    zone, load = "Europe/Vienna", usual_days(75, seed=8)
    days = local_clock(TimeGrid(history.start, load.size, 60), zone)
    rests = (days.weekday >= 5) | (days.day == (date(2026, 4, 6) - date(1970, 1, 1)).days)  # Easter Monday
    rests |= days.day == (date(2026, 5, 1) - date(1970, 1, 1)).days
    load[rests] -= 25

    def expected_on(country: str | None) -> Array:
        """The first of May, from the evening before."""
        of = replace(plant(50), timezone=zone, country=country)
        before = TimeGrid(history.start, 66 * HOURLY + 22, 60)
        told_of = readings(before, load_kw=load[: before.steps])
        model = calibrate(prior(of), metering(), told_of)
        state = advance(start_state(model, before.start), model, told_of).state
        grid = TimeGrid(state.instant, HOURLY, 60)
        return predict_ahead(state, model, model.outlook(grid, np.zeros(HOURLY), np.full(HOURLY, np.nan))).mean[:, LOAD]

    truth = load[66 * HOURLY + 22 :][:HOURLY]
    known, unknown, nowhere = expected_on("AT"), expected_on(None), expected_on("XX")
    np.testing.assert_array_equal(unknown, nowhere)
    assert np.abs(truth - known).mean() < 0.5 * np.abs(truth - unknown).mean()


def test_a_day_of_the_calendar_is_a_holiday_of_its_own_country_from_local_midnight_on() -> None:
    grid = TimeGrid(datetime(2026, 4, 30, tzinfo=UTC), 72, 60)  # the first of May is a Friday
    _, kind = calendar_of(grid, "Europe/Vienna", "AT")
    assert kind.tolist() == [0] * 22 + [2] * 24 + [1] * 24 + [2] * 2
    _, plain = calendar_of(grid, "Europe/Vienna")
    assert plain.tolist() == [0] * 46 + [1] * 24 + [2] * 2
    _, is_rest = slots_of(grid, "Europe/Vienna", "AT")
    assert is_rest.tolist() == [0.0] * 22 + [1.0] * 50


def test_heating_is_learned_and_a_cold_morning_foreseen() -> None:
    days = 42
    outside = np.repeat(np.random.default_rng(6).uniform(-6, 14, days), HOURLY)
    felt_c = feel(outside, outside.size, before_c=np.nan, step_hours=1.0)
    load = usual_days(days, seed=6) + 1.5 * (15 - felt_c)
    model, state = learned(load, temperature_c=outside)
    assert model.demand.degrees[0] == pytest.approx(1.5, rel=0.2)
    grid = TimeGrid(state.instant, HOURLY, 60)

    def day_at(outside_c: float) -> Array:
        felt_c = feel(np.full(HOURLY, outside_c), HOURLY, before_c=state.felt_c, step_hours=1.0)
        return predict_ahead(state, model, model.outlook(grid, np.zeros(HOURLY), felt_c)).mean[:, LOAD]

    cold, mild = day_at(-6.0), day_at(14.0)
    np.testing.assert_allclose((cold - mild)[-6:], 1.5 * 20, rtol=0.25)


def test_units_of_power_do_not_matter() -> None:
    load = usual_days(30, seed=7)
    first = 28 * HOURLY
    small, large = learned(load[:first]), learned(1_000 * load[:first])
    assert large[0].demand.departures.level_hours == pytest.approx(small[0].demand.departures.level_hours, rel=1e-3)
    expected = [
        one_step_ahead(*small, load[first:], first=first) * 1_000,
        one_step_ahead(*large, 1_000 * load[first:], first=first),
    ]
    np.testing.assert_allclose(*expected, rtol=1e-3)


@pytest.mark.parametrize("load", [np.zeros(240), np.full(240, 5.0), np.tile([np.nan, 3.0], 120), np.full(240, -2.0)])
def test_a_dull_history_gives_numbers(load: Array) -> None:
    model, state = learned(load)
    outlook = model.outlook(TimeGrid(state.instant, HOURLY, 60), np.zeros(HOURLY), np.full(HOURLY, np.nan))
    predicted = predict_ahead(state, model, outlook)
    assert np.isfinite(predicted.mean).all()
    assert np.isfinite(predicted.deviation).all()


def test_what_nobody_read_becomes_no_habit() -> None:
    load = usual_days(28, seed=8)
    model, state = learned(load)
    silent = advance(state, model, told(np.full(48, np.nan), first=load.size)).state
    np.testing.assert_array_equal(silent.memory.habits.usual, state.memory.habits.usual)


def test_temperature_is_felt_late_and_a_gap_changes_nothing() -> None:
    outside = np.array([np.nan, 10.0, 10.0, 0.0, np.nan, 0.0])
    felt_c = feel(outside, 6, before_c=np.nan, step_hours=1.0)
    kept = np.exp(-1 / FELT_HOURS)
    np.testing.assert_allclose(felt_c, [np.nan, 10, 10, 10 * kept, 10 * kept, 10 * kept**2])
    np.testing.assert_array_equal(feel(outside[3:], 3, before_c=float(felt_c[2]), step_hours=1.0), felt_c[3:])
    np.testing.assert_array_equal(feel(None, 2, before_c=4.0, step_hours=1.0), [4.0, 4.0])
