"""Generation: what is left out of its past, what is forecast, and how sure that is."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from statistics import NormalDist

import numpy as np
import pytest
from tests.plants import EAST_WEST, QUITO, SOUTH, SYDNEY, VIENNA, plant, roofs_of, weather_of

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.evidence import is_better
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.forecaster import TrainingTask, first_steps
from digital_twin.forecasting.forest import grow_forest
from digital_twin.forecasting.orientation import Roofs, fit_roofs, usual_roofs
from digital_twin.forecasting.pv import FittedPhotovoltaics, pvwatts
from digital_twin.forecasting.pv_calibration import LEVELS, calibrate_by_sun, parts_of
from digital_twin.forecasting.pv_faults import Faults, find_faults
from digital_twin.forecasting.scores import coverage
from digital_twin.forecasting.solar import Orientation, Sky


def found_faults(actual: History, roofs: Roofs = SOUTH) -> Faults:
    expected_kw = roofs.output_kw(Sky(VIENNA, [actual.grid], actual.weather))
    return find_faults(VIENNA, actual.grid, actual.values, expected_kw)


# What is left out


def test_days_on_which_a_plant_stood_still_are_found_and_no_others() -> None:
    past = plant(VIENNA, SOUTH, days=60)
    values = past.values.copy()
    for day in (10, 11, 40):
        values[24 * day : 24 * (day + 1)] = 0.0
    found = found_faults(replace(past, values=values))
    is_lit = Sky(VIENNA, [past.grid], {}).clear_ghi_wm2 > 0
    still_days = np.unique(np.flatnonzero(found.stood_still & is_lit) // 24)
    assert still_days.tolist() == [10, 11, 40]
    assert found.left_out(VIENNA, past.grid).still_days == 3
    assert not found_faults(past).is_any.any()


def test_an_afternoon_without_output_is_found_within_its_day() -> None:
    past = plant(VIENNA, SOUTH, days=20, minutes=15)
    noon = 5 * 96 + 44
    values = past.values.copy()
    values[noon : noon + 16] = 0.0
    still = np.flatnonzero(found_faults(replace(past, values=values)).stood_still)
    assert set(still.tolist()) <= set(range(noon, noon + 16))
    assert still.size >= 10


@pytest.mark.parametrize("minutes", [15, 60])
def test_a_stretch_at_one_level_while_more_was_possible_is_found(minutes: int) -> None:
    past = plant(VIENNA, SOUTH, days=30, minutes=minutes)
    day = int(np.argmax(past.values.reshape(30, -1).sum(axis=1)))
    an_hour = 60 // minutes
    begin = day * 24 * an_hour + 9 * an_hour
    values = past.values.copy()
    values[begin : begin + 4 * an_hour] = 80.0
    found = found_faults(replace(past, values=values))
    assert np.flatnonzero(found.held_back).tolist() == list(range(begin, begin + 4 * an_hour))
    assert found.limit_kw is None


def test_the_limit_of_an_inverter_is_learned_and_never_exceeded() -> None:
    past = plant(VIENNA, SOUTH, days=60, noise=0.02)
    limited = replace(past, values=np.minimum(past.values, 150.0))
    found = found_faults(limited)
    assert found.limit_kw == pytest.approx(150)
    assert not found.held_back.any()
    made = ask(learned(VIENNA, limited), limited, ahead=2)
    assert made.quantiles.max() == pytest.approx(150)
    assert fit_roofs(VIENNA, past)[0].scale_kw.sum() == pytest.approx(400, rel=0.05)
    fitted = learned(VIENNA, limited)
    assert fitted.roofs.scale_kw.sum() == pytest.approx(400, rel=0.08)


def test_the_reader_is_told_what_was_left_out_and_the_forecast_does_not_follow_it() -> None:
    past = plant(VIENNA, SOUTH, days=60)
    values = past.values.copy()
    values[24 * 52 :] = 0.0
    broken = replace(past, values=values)
    told = ask(learned(VIENNA, broken), broken)
    assert any("8 days with a standstill or snow" in one for one in told.assumptions)
    whole = ask(learned(VIENNA, past), past)
    assert told.mean.sum() == pytest.approx(whole.mean.sum(), rel=0.1)


def learned(site: Site, past: History) -> FittedPhotovoltaics:
    return pvwatts.fit(TrainingTask("pv_kw", site, past, past.grid.end))


def question(site: Site, past: History, *, ahead: int = 1, weather: dict[str, Array] | None = None) -> ForecastTask:
    grid = TimeGrid(past.grid.end, ahead * 1440 // past.grid.step_minutes, past.grid.step_minutes)
    future = weather_of(site, grid, seed=8) if weather is None else weather
    return ForecastTask("pv_kw", grid, grid.start, site, past, future)


def ask(fitted: FittedPhotovoltaics, past: History, *, site: Site = VIENNA, ahead: int = 1) -> Prediction:
    return fitted.predict(question(site, past, ahead=ahead), LEVELS)


# Forecasts


@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize("site", [VIENNA, SYDNEY, QUITO])
@pytest.mark.parametrize("days", [0, 5, 20, 90])
def test_generation_is_zero_at_night_exactly_ordered_and_within_its_limit(site: Site, days: int, minutes: int) -> None:
    facing = usual_roofs(site)
    past = plant(site, facing, days=max(days, 1), minutes=minutes)
    if days == 0:
        past = replace(past, values=np.full(past.grid.steps, np.nan))
    for weather in (None, {}):
        asked = question(site, past if weather is None else replace(past, weather={}), ahead=2, weather=weather)
        assert asked.history is not None
        made = learned(site, asked.history).predict(asked, LEVELS)
        is_dark = Sky(site, [asked.grid], {}).clear_ghi_wm2 == 0
        assert is_dark.sum() > 10 * 60 // minutes
        assert not made.quantiles[is_dark].any()
        assert not made.mean[is_dark].any()
        assert np.isfinite(made.quantiles).all()
        assert (np.diff(made.quantiles, axis=1) >= 0).all()
        assert (
            0 < made.quantiles.max() <= max(site.pv_capacity_kw, past.values[np.isfinite(past.values)].max(initial=0))
        )


def test_a_capacity_alone_makes_what_pvwatts_makes_of_it_and_says_how_unsure_that_is() -> None:
    past = plant(VIENNA, SOUTH, days=1)
    asked = question(VIENNA, replace(past, values=np.full(past.grid.steps, np.nan)))
    made = FittedPhotovoltaics(usual_roofs(VIENNA), VIENNA.pv_capacity_kw).predict(asked, LEVELS)
    expected = 500 * Sky(VIENNA, [asked.grid], asked.future_weather or {}).output(Orientation(30, 180))
    np.testing.assert_allclose(made.mean, expected, atol=1e-9)
    known = ask(learned(VIENNA, plant(VIENNA, SOUTH, days=60)), plant(VIENNA, SOUTH, days=60))
    wide = (made.quantiles[:, 12] - made.quantiles[:, 2]).sum() / made.mean.sum()
    narrow = (known.quantiles[:, 12] - known.quantiles[:, 2]).sum() / known.mean.sum()
    assert wide > 1.5 * narrow
    assert any("500 kW of PV at 30 degrees facing south" in one for one in made.assumptions)


def test_the_first_days_move_the_forecast_towards_what_they_gave() -> None:
    past = plant(VIENNA, roofs_of((30.0, 180.0, 215.0)), days=10)
    usual = FittedPhotovoltaics(usual_roofs(VIENNA), VIENNA.pv_capacity_kw)
    # half of what the capacity promised on ten days, which count as much as the promise: three quarters
    assert ask(learned(VIENNA, past), past).mean.sum() == pytest.approx(0.75 * ask(usual, past).mean.sum(), rel=0.05)


def test_a_plant_that_yields_less_than_before_is_followed() -> None:
    past = plant(VIENNA, SOUTH, days=300)
    soiled = replace(past, values=past.values * np.where(np.arange(past.grid.steps) < 24 * 240, 1.0, 0.75))
    ratio = ask(learned(VIENNA, soiled), soiled).mean.sum() / ask(learned(VIENNA, past), past).mean.sum()
    assert ratio == pytest.approx(0.75, abs=0.08)


def test_what_the_weather_blurs_is_learned_only_where_that_is_better_on_days_held_back() -> None:
    past = plant(VIENNA, SOUTH, days=150)
    plain = learned(VIENNA, past)
    assert plain.residual is not None
    assert not plain.residual.is_full
    east = np.sin((np.arange(past.grid.steps) % 24 - 11) / 24 * 2 * np.pi)
    shaded = replace(past, values=past.values * np.where(east < -0.2, 0.5, 1.0))
    taught = learned(VIENNA, shaded)
    assert taught.residual is not None
    assert taught.residual.is_full


@pytest.mark.parametrize("days", [30, 150])
def test_intervals_of_learned_generation_hold(days: int) -> None:
    whole = plant(VIENNA, SOUTH, days=days + 40, noise=0.2)
    steps = 24 * days
    fitted = learned(VIENNA, first_steps(whole, steps))
    inside: list[float] = []
    for day in range(days, days + 40):
        past = first_steps(whole, 24 * day)
        future = {name: one[24 * day : 24 * (day + 1)] for name, one in whole.weather.items()}
        made = fitted.predict(question(VIENNA, past, weather=future), LEVELS)
        actual = whole.values[24 * day : 24 * (day + 1)]
        lit = made.quantiles[:, -1] > 1.0
        inside.append(coverage(actual[lit], made.quantiles[lit, 2], made.quantiles[lit, 12]))
    # some 400 hours: four standard deviations are 6 points
    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)


def test_no_later_value_changes_a_forecast() -> None:
    whole = plant(VIENNA, SOUTH, days=61)
    steps = 24 * 60
    later = replace(
        whole,
        values=np.where(np.arange(whole.grid.steps) < steps, whole.values, 9_999.0),
        weather={name: np.where(np.arange(one.size) < steps, one, 50.0) for name, one in whole.weather.items()},
    )
    made = [
        pvwatts.fit(TrainingTask("pv_kw", VIENNA, one, whole.grid.instant(steps))).predict(
            question(VIENNA, first_steps(one, steps)), LEVELS
        )
        for one in (whole, later)
    ]
    np.testing.assert_array_equal(made[0].quantiles, made[1].quantiles)


def test_what_was_learned_comes_back_from_its_arrays_and_is_the_same_when_learned_again() -> None:
    past = plant(VIENNA, EAST_WEST, days=60)
    fitted = learned(VIENNA, past)
    arrays = fitted.to_arrays()
    assert all(isinstance(one, np.ndarray) and one.dtype != object for one in arrays.values())
    for again in (pvwatts.from_arrays(arrays), learned(VIENNA, past)):
        np.testing.assert_array_equal(ask(again, past).quantiles, ask(fitted, past).quantiles)
        assert ask(again, past).assumptions == ask(fitted, past).assumptions
    bare = replace(past, weather={})
    without = learned(VIENNA, bare)
    asked = question(VIENNA, bare, weather={})
    np.testing.assert_array_equal(
        pvwatts.from_arrays(without.to_arrays()).predict(asked, LEVELS).quantiles,
        without.predict(asked, LEVELS).quantiles,
    )


def test_a_fit_with_weather_answers_where_it_is_foreseen_and_one_without_answers_all() -> None:
    past = plant(VIENNA, SOUTH, days=30)
    with_weather, without = learned(VIENNA, past), learned(VIENNA, replace(past, weather={}))
    assert with_weather.suits(question(VIENNA, past))
    assert not with_weather.suits(question(VIENNA, past, weather={}))
    assert without.suits(question(VIENNA, past))
    assert without.suits(question(VIENNA, past, weather={}))


def test_weather_of_another_year_is_not_believed() -> None:
    past = plant(VIENNA, SOUTH, days=90)
    typical = replace(past, weather=weather_of(VIENNA, past.grid, seed=77))
    fitted = learned(VIENNA, typical)
    assert fitted.residual is None
    bright, dull = (
        fitted.predict(question(VIENNA, typical, weather={"ghi_wm2": np.full(24, wm2)}), LEVELS) for wm2 in (900, 10)
    )
    np.testing.assert_array_equal(bright.quantiles, dull.quantiles)
    assert any("is not used" in one for one in bright.assumptions)


def test_hours_of_weather_that_are_missing_are_forecast_by_the_clouds_of_late() -> None:
    past = plant(VIENNA, SOUTH, days=40)
    fitted = learned(VIENNA, past)
    asked = question(VIENNA, past)
    assert asked.future_weather is not None
    ghi_wm2 = asked.future_weather["ghi_wm2"].copy()
    ghi_wm2[8:11] = np.nan
    holey = replace(asked, future_weather={**asked.future_weather, "ghi_wm2": ghi_wm2})
    made, whole = fitted.predict(holey, LEVELS), fitted.predict(asked, LEVELS)
    assert np.isfinite(made.quantiles).all()
    assert made.mean[8:11].min() > 0
    np.testing.assert_allclose(made.mean[13:], whole.mean[13:], rtol=0.2, atol=3)


def test_gaps_zeros_and_a_constant_make_a_forecast_and_no_capacity_makes_none() -> None:
    past = plant(VIENNA, SOUTH, days=60)
    generator = np.random.default_rng(1)
    holey = np.where(generator.random(past.grid.steps) < 0.3, np.nan, past.values)
    holey[24 * 20 : 24 * 30] = np.nan
    blind = {name: np.where(generator.random(one.size) < 0.2, np.nan, one) for name, one in past.weather.items()}
    whole = ask(learned(VIENNA, past), past)
    made = ask(learned(VIENNA, replace(past, values=holey, weather=blind)), past)
    assert made.mean.sum() == pytest.approx(whole.mean.sum(), rel=0.1)
    for constant in (0.0, 7.0):
        odd = replace(past, values=np.full(past.grid.steps, constant))
        assert np.isfinite(ask(learned(VIENNA, odd), odd).quantiles).all()
        assert ask(learned(VIENNA, odd), odd).mean.max() == pytest.approx(constant)
    nowhere = replace(VIENNA, pv_capacity_kw=0.0)
    assert not ask(learned(nowhere, first_steps(past, 24)), past, site=nowhere).quantiles.any()
    assert ask(learned(nowhere, past), past, site=nowhere).mean.sum() == pytest.approx(whole.mean.sum(), rel=0.02)


@pytest.mark.parametrize(
    ("start", "hours"), [(datetime(2026, 3, 28, 23, tzinfo=UTC), 23), (datetime(2026, 10, 24, 22, tzinfo=UTC), 25)]
)
def test_the_days_on_which_the_clock_changes_are_like_others(start: datetime, hours: int) -> None:
    past = plant(VIENNA, SOUTH, days=40, end=start)
    fitted = learned(VIENNA, past)
    grid = TimeGrid(start, hours, 60)
    clear = {"ghi_wm2": 0.8 * Sky(VIENNA, [grid], {}).clear_ghi_wm2}
    made = fitted.predict(ForecastTask("pv_kw", grid, start, VIENNA, past, clear), LEVELS)
    # the sun does not change its clock: highest near solar noon at 10:54 UTC
    assert grid.instant(int(made.mean.argmax())).hour in (10, 11)
    assert np.isfinite(made.quantiles).all()


# The forest and the calibration


def test_a_forest_gives_the_quantiles_of_the_cases_that_are_alike() -> None:
    generator = np.random.default_rng(4)
    features = generator.uniform(-1, 1, (6_000, 3))
    spread = np.where(features[:, 0] > 0, 3.0, 1.0)
    targets = 2 * np.sign(features[:, 1]) + spread * generator.normal(0, 1, 6_000)
    forest = grow_forest(features, targets, fewest=20, tried=3)
    levels = (0.1, 0.5, 0.9)
    asked = np.array([[0.5, 0.5, 0.0], [-0.5, -0.5, 0.0]])
    mean, quantiles = forest.quantiles(asked, levels)
    np.testing.assert_allclose(mean, [2, -2], atol=0.4)
    np.testing.assert_allclose(quantiles[0], [2 - 3 * 1.2816, 2, 2 + 3 * 1.2816], atol=0.7)
    np.testing.assert_allclose(quantiles[1], [-2 - 1.2816, -2, -2 + 1.2816], atol=0.5)


def test_a_forest_is_the_weighted_distribution_that_its_leaves_spell_out() -> None:
    generator = np.random.default_rng(6)
    features, targets = generator.normal(0, 1, (120, 2)), generator.normal(0, 1, 120)
    forest = grow_forest(features, targets, fewest=5, tried=2)
    row = np.array([0.3, -0.2])
    weight = np.zeros(120)
    for root in forest.roots:
        node = int(root)
        while forest.feature[node] >= 0:
            node = int(forest.begin[node]) + int(row[forest.feature[node]] > forest.threshold[node])
        members = forest.cases[forest.begin[node] : forest.end[node]]
        assert members.size >= 5
        weight[members] += 1 / members.size / forest.roots.size
    assert sorted(forest.cases[:120].tolist()) == list(range(120))
    kept = weight > 0
    middles = np.cumsum(weight[kept]) - weight[kept] / 2
    mean, quantiles = forest.quantiles(row[None], (0.01, 0.3, 0.5, 0.99))
    np.testing.assert_allclose(mean[0], weight @ forest.targets)
    np.testing.assert_allclose(quantiles[0], np.interp((0.01, 0.3, 0.5, 0.99), middles, forest.targets[kept]))


def test_shifts_by_the_sun_bring_each_part_of_the_day_to_what_is_promised() -> None:
    generator = np.random.default_rng(9)
    position = generator.uniform(-1, 1, 20_000)
    spread = np.where(position < -1 / 3, 2.0, 1.0)
    actual = spread * generator.normal(0, 1, position.size)
    claimed = np.tile([0.5 * NormalDist().inv_cdf(level) for level in LEVELS], (position.size, 1))
    learned_shifts = calibrate_by_sun(actual, claimed, position, days=500, rated=1.0)
    moved = learned_shifts.apply(claimed, position)
    for part in range(3):
        mine = parts_of(position) == part
        np.testing.assert_allclose((actual[mine, None] <= moved[mine]).mean(axis=0), LEVELS, atol=0.015)


def test_few_days_aim_further_out_and_do_not_narrow_much() -> None:
    generator = np.random.default_rng(9)
    actual, position = generator.normal(0, 1, 400), generator.uniform(-1, 1, 400)
    claimed = np.tile([3 * NormalDist().inv_cdf(level) for level in LEVELS], (400, 1))
    few, many = (
        calibrate_by_sun(actual, claimed, position, days=days, rated=1.0).apply(claimed, position) for days in (5, 500)
    )
    assert (few[:, 12] - few[:, 2]).mean() > 1.5 * (many[:, 12] - many[:, 2]).mean()


def test_evidence_is_more_than_a_lucky_day() -> None:
    generator = np.random.default_rng(3)
    worse = generator.uniform(1, 2, 60)
    assert is_better(0.9 * worse, worse)
    assert not is_better(0.99 * worse, worse)
    lucky = worse.copy()
    lucky[7] = 0.0
    assert not is_better(lucky, worse)
    assert not is_better(0.5 * worse[:3], worse[:3])


def test_neither_learning_nor_asking_imports_a_framework() -> None:
    program = """
import sys
from datetime import UTC, datetime
import numpy as np
from digital_twin.domain.time import TimeGrid
from digital_twin.forecasting.forecast import ForecastTask, History, Site
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.pv import pvwatts
from digital_twin.forecasting.solar import Orientation, rated_output

site = Site(48.2, 16.4, "UTC", 1, 5.0)
grid = TimeGrid(datetime(2026, 5, 1, tzinfo=UTC), 24 * 20, 60)
weather = {"ghi_wm2": np.random.default_rng(0).uniform(100, 800, grid.steps)}
past = History(grid, 5 * rated_output(site, grid, Orientation(30, 180), weather), weather)
fitted = pvwatts.fit(TrainingTask("pv_kw", site, past, grid.end))
day = TimeGrid(grid.end, 24, 60)
asked = ForecastTask("pv_kw", day, day.start, site, past, {"ghi_wm2": np.full(24, 500.0)})
assert fitted.residual is not None and fitted.predict(asked, (0.05, 0.5, 0.95)).quantiles.any()
heavy = {"jax", "lightgbm", "prophet", "sklearn", "pandas", "pvlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
