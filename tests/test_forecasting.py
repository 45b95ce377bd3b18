"""What holds for every model, and which one answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY
from tests.histories import VIENNA, WEATHER, history, pv_history, task

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting.auto import choose_model, make_forecast
from digital_twin.forecasting.conformal import adaptive_shifts
from digital_twin.forecasting.forecast import Forecast, ForecastTask, History
from digital_twin.forecasting.net_load import combine_net_load, split_net_load
from digital_twin.forecasting.priors import ANNUAL_KWH_PER_HOME, lognormal_quantiles, standard_household_kw
from digital_twin.forecasting.registry import DEFAULT_LEVELS, MODELS, list_models
from digital_twin.forecasting.scores import coverage, pinball_loss
from digital_twin.forecasting.solar import Orientation, position_in_day, rated_output

ENOUGH = {"load_kw": history(380), "pv_kw": pv_history(30, Orientation(30, 180))}


# Every model


@pytest.mark.parametrize(("model", "variable"), [(name, one.variables[0]) for name, one in MODELS.items()])
def test_quantiles_of_every_model_are_finite_and_never_cross(model: str, variable: str) -> None:
    made = make_forecast(task(ENOUGH[variable], variable=variable, steps=40), model=model)
    assert made.quantiles.shape == (40, len(DEFAULT_LEVELS))
    assert np.isfinite(made.quantiles).all()
    assert np.isfinite(made.mean).all()
    assert (np.diff(made.quantiles, axis=1) >= 0).all()
    assert (made.mean >= 0).all()


def test_a_history_that_knows_the_future_is_refused() -> None:
    past = history(30)
    issued_at = past.grid.end - timedelta(hours=2)
    asked = TimeGrid(issued_at, 24, 60)
    with pytest.raises(InvalidInput, match="after the forecast is issued"):
        ForecastTask("load_kw", asked, issued_at, VIENNA, past, None)
    blank = replace(past, values=np.where(np.arange(past.grid.steps) < past.grid.steps - 2, past.values, np.nan))
    assert ForecastTask("load_kw", asked, issued_at, VIENNA, blank, None).history is blank


@pytest.mark.parametrize("model", ["seasonal_naive", "ridge", "ridge_conformal"])
@settings(max_examples=8)
@given(holes=st.lists(st.tuples(st.integers(0, 69), st.integers(1, 12)), max_size=5), seed=st.integers(0, 9))
def test_gaps_in_the_history_leave_no_gap_in_the_forecast(model: str, holes: list[tuple[int, int]], seed: int) -> None:
    past = history(70, seed=seed)
    values = past.values.copy()
    for day, length in holes:
        values[24 * day : 24 * (day + length)] = np.nan
    gappy = replace(past, values=values)
    if gappy.days < 21:
        return
    made = make_forecast(task(gappy), model=model)
    assert np.isfinite(made.quantiles).all()
    assert 10 < made.mean.mean() < 80


@pytest.mark.parametrize(("model", "days"), [("seasonal_naive", 1), ("ridge", 20), ("ridge_conformal", 20)])
def test_a_model_that_lacks_history_says_how_much_it_needs(model: str, days: int) -> None:
    with pytest.raises(InsufficientData) as caught:
        make_forecast(task(history(days)), model=model)
    assert caught.value.facts["needed"] > caught.value.facts["found"] == days


def test_a_forecast_is_better_than_the_weekly_naive_one_and_its_interval_holds() -> None:
    """A smoke test of skill on a made-up series; real data stand in the benchmarks."""
    losses: dict[str, list[float]] = {"seasonal_naive": [], "ridge": [], "ridge_conformal": []}
    inside: list[float] = []
    whole = history(140, end=MONDAY, seed=5)
    for day in range(100, 139):
        known = 24 * day
        past = History(TimeGrid(whole.grid.start, known, 60), whole.values[:known], {})
        actual = whole.values[known : known + 24]
        for model, found in losses.items():
            made = make_forecast(task(past), model=model)
            found.append(pinball_loss(actual, made.quantiles, made.levels) / actual.mean())
            if model == "ridge_conformal":
                inside.append(coverage(actual, *made.interval(0.9)))
    assert np.mean(losses["ridge"]) < 0.85 * np.mean(losses["seasonal_naive"])
    assert np.mean(losses["ridge_conformal"]) < 0.85 * np.mean(losses["seasonal_naive"])
    # 936 cells of independent noise: four standard deviations are 4 points
    assert np.mean(inside) == pytest.approx(0.9, abs=0.04)


# The choice


@pytest.mark.parametrize(
    ("days", "variable", "chosen"),
    [
        (0, "load_kw", "standard_load"),
        (3, "load_kw", "standard_load"),
        (4, "load_kw", "seasonal_naive"),
        (21, "load_kw", "ridge_conformal"),
        (0, "pv_kw", "pvwatts"),
        (5, "net_load_kw", "seasonal_naive"),
    ],
)
def test_auto_takes_the_best_model_there_is_history_for(days: int, variable: str, chosen: str) -> None:
    assert choose_model(task(history(days) if days else None, variable=variable)) == chosen


def test_old_history_is_no_history() -> None:
    past = history(60, end=MONDAY - timedelta(days=40))
    asked = ForecastTask("load_kw", TimeGrid(MONDAY, 24, 60), MONDAY, VIENNA, past, None)
    assert choose_model(asked) == "standard_load"
    with pytest.raises(InsufficientData, match="not older"):
        choose_model(replace(asked, variable="net_load_kw"))


def test_models_are_asked_for_by_name() -> None:
    with pytest.raises(InvalidInput, match="auto or one of"):
        make_forecast(task(history(30)), model="crystal_ball")
    with pytest.raises(InvalidInput, match="pv_kw only"):
        make_forecast(task(history(30)), model="pvwatts")
    assert {one.name for one in list_models()} >= set(MODELS)


# Conformal, scores, intervals


def test_shifts_bring_a_claim_that_is_too_narrow_to_what_it_promises() -> None:
    generator = np.random.default_rng(8)
    levels = (0.05, 0.5, 0.95)
    actual = generator.normal(0, 1, (400, 24))
    claimed = np.broadcast_to(np.array([-0.5, 0, 0.5]), (400, 24, 3))
    shifts = adaptive_shifts(actual, claimed, levels)
    below = (actual[:, :, None] <= claimed + shifts).mean(axis=(0, 1))
    np.testing.assert_allclose(below, levels, atol=0.03)


def test_a_month_of_history_is_enough_to_notice_that_days_have_become_less_certain() -> None:
    calm = history(40)
    noise = np.random.default_rng(2).normal(0, 12, calm.grid.steps) * (np.arange(calm.grid.steps) >= 24 * 30)
    rough = task(replace(calm, values=calm.values + noise))
    widths = [
        np.diff(make_forecast(rough, model=name).interval(0.9), axis=0).mean() for name in ("ridge_conformal", "ridge")
    ]
    assert widths[0] > 1.1 * widths[1]


def test_pinball_loss_is_least_at_the_quantiles() -> None:
    actual = np.random.default_rng(0).normal(0, 1, 20_000)
    levels = (0.1, 0.5, 0.9)
    best = pinball_loss(actual, np.tile(np.quantile(actual, levels), (20_000, 1)), levels)
    assert pinball_loss(np.array([1.0, 3.0]), np.array([[0.0], [4.0]]), (0.25,)) == pytest.approx((0.25 + 0.75) / 2)
    for moved in (-0.2, 0.2):
        shifted = np.tile(np.quantile(actual, levels) + moved, (20_000, 1))
        assert pinball_loss(actual, shifted, levels) > best


def test_an_interval_is_read_off_the_quantiles() -> None:
    grid = TimeGrid(MONDAY, 1, 60)
    made = Forecast("load_kw", grid, MONDAY, np.array([5.0]), (0.1, 0.5, 0.9), np.array([[1.0, 5.0, 9.0]]), "x")
    low, high = made.interval(0.8)
    assert (low[0], high[0]) == (1, 9)
    low, high = made.interval(0.4)
    assert (low[0], high[0]) == pytest.approx((3, 7))
    with pytest.raises(InvalidInput, match=r"at most 0\.8"):
        made.interval(0.9)


# Priors and physics


def test_a_standard_household_uses_its_year() -> None:
    year = TimeGrid(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=1), 8760 * 4, 15)
    used = standard_household_kw(local_clock(year, "Europe/Vienna")).sum() / 4
    assert used == pytest.approx(ANNUAL_KWH_PER_HOME, rel=0.02)


def test_fewer_homes_are_less_certain() -> None:
    widths = [
        np.diff(make_forecast(task(None, site=replace(VIENNA, num_prosumers=homes))).interval(0.9), axis=0).mean()
        / homes
        for homes in (1, 10, 1000)
    ]
    assert widths[0] > widths[1] > widths[2] > 0


def test_lognormal_quantiles_have_the_mean_and_deviation_asked_for() -> None:
    levels = tuple((np.arange(4000) + 0.5) / 4000)
    sample = lognormal_quantiles(np.array([10.0]), 0.3, levels)[0]
    assert sample.mean() == pytest.approx(10, rel=1e-3)
    assert sample.std() == pytest.approx(3, rel=0.01)


def test_the_sun_is_down_at_night_and_never_exceeds_what_is_rated() -> None:
    grid = TimeGrid(datetime(2026, 6, 21, tzinfo=UTC), 96, 15)
    output = rated_output(VIENNA, grid, Orientation(30, 180), {})
    assert output[:8].max() == 0
    assert output[-8:].max() == 0
    assert 0.7 < output.max() <= 1
    assert grid.instant(int(output.argmax())).hour in (10, 11)  # solar noon in Vienna is at 10:56 UTC


def test_generation_is_zero_at_night_and_at_most_the_capacity() -> None:
    for past in (None, pv_history(30, Orientation(30, 180))):
        made = make_forecast(task(past, variable="pv_kw", steps=96))
        clock = local_clock(made.grid, VIENNA.timezone)
        night = (clock.hour < 5) | (clock.hour > 20)
        assert made.quantiles[night].max() == 0
        assert made.quantiles.max() <= 500


def test_an_hour_of_sun_is_the_mean_of_its_quarters() -> None:
    orientation = Orientation(35, 200)
    quarters = rated_output(VIENNA, TimeGrid(MONDAY, 192, 15), orientation, {})
    hours = rated_output(VIENNA, TimeGrid(MONDAY, 48, 60), orientation, {})
    np.testing.assert_allclose(hours, quarters.reshape(-1, 4).mean(axis=1), atol=1e-12)
    # a mean over the hour that the weather service gives is spread over its quarters without loss
    flat = {"ghi_wm2": np.full(48, 300.0)}
    lit = rated_output(VIENNA, TimeGrid(MONDAY, 48, 60), Orientation(0, 180), flat)[10:14]
    np.testing.assert_allclose(lit, lit.mean(), rtol=0.03)


def test_the_sun_stands_between_sunrise_and_sunset_by_day_alone() -> None:
    for day in (MONDAY, MONDAY + timedelta(days=110), MONDAY + timedelta(days=290)):
        grid = TimeGrid(day, 96, 15)
        is_lit = rated_output(VIENNA, grid, Orientation(0, 180), {}) > 0
        within = np.abs(position_in_day(VIENNA, grid)) < 1
        assert (is_lit != within).sum() <= 4  # the equation of time and refraction: half an hour at each end at most


def test_a_shadow_that_falls_every_morning_is_in_the_forecast() -> None:
    past = pv_history(90, Orientation(30, 180))
    shade = np.where(position_in_day(VIENNA, past.grid) < -0.3, 0.2, 1.0)
    made = make_forecast(task(replace(past, values=past.values * shade), variable="pv_kw", steps=96))
    free = make_forecast(task(past, variable="pv_kw", steps=96))
    where = position_in_day(VIENNA, made.grid)
    morning, noon = (where > -0.8) & (where < -0.45), np.abs(where) < 0.2
    assert made.mean[morning].sum() == pytest.approx(0.2 * free.mean[morning].sum(), rel=0.15)
    assert made.mean[noon].sum() == pytest.approx(free.mean[noon].sum(), rel=0.1)


def test_intervals_of_generation_hold() -> None:
    grid = TimeGrid(MONDAY - timedelta(days=120), 120 * 24, 60)
    cloud = np.random.default_rng(6).uniform(0.2, 1.0, 120 * 24)
    values = 500 * cloud * rated_output(VIENNA, grid, Orientation(30, 180), {})
    inside: list[float] = []
    for day in range(100, 120):
        past = History(TimeGrid(grid.start, 24 * day, 60), values[: 24 * day], {})
        made = make_forecast(task(past, variable="pv_kw"))
        light = np.abs(position_in_day(VIENNA, made.grid)) < 0.9
        actual = values[24 * day : 24 * (day + 1)]
        inside.append(coverage(actual[light], *(bound[light] for bound in made.interval(0.9))))
    # some 200 independent hours: three standard deviations are 6 points
    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)


def test_weather_that_is_known_ahead_alone_makes_a_forecast_with_a_usual_error() -> None:
    past = pv_history(30, Orientation(30, 180))
    unknown = {name: np.full(past.grid.steps, np.nan) for name in WEATHER}
    asked = task(replace(past, weather=unknown), variable="pv_kw", steps=96)
    noon = np.exp(-(((np.arange(96) - 46) / 12) ** 2))
    ahead = {"ghi_wm2": 600 * noon, "temperature_c": np.full(96, 10.0), "wind_speed_ms": np.full(96, 2.0)}
    made = make_forecast(replace(asked, future_weather=ahead))
    assert made.mean.max() > 100
    assert made.mean[np.argmax(made.mean)] > made.mean[:20].max()
    assert (made.quantiles[:, -1] >= made.quantiles[:, 0]).all()


def test_readings_that_no_sun_at_the_place_explains_are_followed_as_they_are() -> None:
    past = pv_history(30, Orientation(30, 180))
    shifted = replace(past, values=np.roll(past.values, 40))
    made = make_forecast(task(shifted, variable="pv_kw", steps=96))
    assert any("do not fit the sun" in one for one in made.assumptions)
    expected = np.nanmean(shifted.values.reshape(-1, 96), axis=0)
    np.testing.assert_allclose(made.mean, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "quantiles", "reason"),
    [
        (np.zeros(3), np.zeros((2, 3)), "quantiles of shape"),
        (np.zeros(2), np.zeros((3, 2)), "mean of shape"),
        (np.zeros(3), np.full((3, 2), np.nan), "not finite"),
        (np.zeros(3), np.tile([1.0, 0.0], (3, 1)), "cross"),
    ],
)
def test_a_model_that_breaks_its_promise_is_named(mean: np.ndarray, quantiles: np.ndarray, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"the model strange .*{reason}"):
        Forecast("load_kw", TimeGrid(MONDAY, 3, 60), MONDAY, mean, (0.1, 0.9), quantiles, "strange")


# Net load


def test_net_load_has_the_difference_of_the_means_and_wider_bounds_than_either() -> None:
    grid = TimeGrid(MONDAY, 3, 60)
    levels = DEFAULT_LEVELS

    def spread(variable: str, mean: float, width: float) -> Forecast:
        offsets = np.interp(levels, (0, 1), (-width, width))
        return Forecast(variable, grid, MONDAY, np.full(3, mean), levels, mean + np.tile(offsets, (3, 1)), "x")

    net = combine_net_load(spread("load_kw", 10, 4), spread("pv_kw", 6, 3))
    np.testing.assert_allclose(net.mean, 4)
    assert (np.diff(net.quantiles, axis=1) > 0).all()
    low, high = net.interval(0.9)
    # the difference of two uniform variables: var = (4^2 + 3^2) / 3, bounded by the sum of both widths
    assert 0.9 * 4 < (high[0] - low[0]) / 2 < 0.9 * 7
    certain = combine_net_load(spread("load_kw", 10, 4), spread("pv_kw", 6, 0))
    np.testing.assert_allclose(certain.quantiles, spread("load_kw", 10, 4).quantiles - 6, atol=0.15)


def test_behind_net_meters_load_less_generation_is_what_the_meters_show() -> None:
    grid = TimeGrid(MONDAY, 3, 60)
    offsets = np.tile(np.interp(DEFAULT_LEVELS, (0, 1), (-2, 2)), (3, 1))

    def around(variable: str, mean: list[float]) -> Forecast:
        center = np.array(mean)
        return Forecast(variable, grid, MONDAY, center, DEFAULT_LEVELS, center[:, None] + offsets, "x")

    net = around("net_load_kw", [5.0, -1.0, -9.0])
    load, pv = split_net_load(net, around("pv_kw", [3.0, 3.0, 3.0]))
    np.testing.assert_allclose(load.mean - pv.mean, net.mean)
    np.testing.assert_allclose(load.mean, [8, 2, 0])  # what is fed in was generated
    for made in (load, pv):
        assert (np.diff(made.quantiles, axis=1) >= 0).all()
        assert (made.mean >= 0).all()
    assert (load.quantiles >= 0).all()


def test_levels_are_sorted_and_symmetric() -> None:
    assert all(low < high for low, high in pairwise(DEFAULT_LEVELS))
    np.testing.assert_allclose(np.array(DEFAULT_LEVELS) + np.array(DEFAULT_LEVELS[::-1]), 1)
