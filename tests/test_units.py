"""Roofs and batteries of which some are silent: sums that are exact, expectations against brute force, and bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.twins import START, metering, plant, prior, readings

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.coverage import METER_ERROR, Mask, MeterGroup, SumReading
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.state import TwinState, advance, start_state
from digital_twin.macro_twin.structure import PV, STORAGE_SOC
from digital_twin.macro_twin.units import Kind, Patterns, read_units

DAYS, ROOFS = 21, 12
HOUR = (np.arange(DAYS * 24) % 24).astype(np.int64)
SKY = np.maximum(np.sin((HOUR - 6) / 12 * np.pi), 0.0)


def roofs_kw(seed: int = 0) -> Array:
    """Roofs that face east, south or west under clouds that they share."""
    generator = np.random.default_rng(seed)
    size, facing = generator.uniform(2, 10, ROOFS), generator.choice([-2.0, 0.0, 2.0], ROOFS)
    sun = np.maximum(np.sin((HOUR[:, None] - 6 - facing) / 12 * np.pi), 0.0) * (SKY[:, None] > 0)
    clouds = generator.uniform(0.2, 1.0, DAYS * 24)[:, None] * generator.uniform(0.9, 1.1, (DAYS * 24, ROOFS))
    return size * sun * clouds


def twin_of(pv_kw: Array, shown: Array) -> tuple[TwinModel, TwinState, TwinReadings]:
    """The model and the state after all but the last week, and what is shown in that."""
    first, grid = (DAYS - 7) * 24, TimeGrid(START, DAYS * 24, 60)
    history = readings(TimeGrid(START, first, 60), clear_sky=SKY[:first], pv_kw=pv_kw[:first])
    model = calibrate(prior(plant(30, pv_kw=60.0)), metering(pv_kw=ROOFS), history)
    state = advance(start_state(model, START), model, history).state
    week = TimeGrid(grid.instant(first), 7 * 24, 60)
    return model, state, readings(week, clear_sky=SKY[first:], pv_kw=shown[first:])


def read(model: TwinModel, meters: Array, possible: Mask | None = None) -> SumReading:
    """What roofs say in the first steps of a day."""
    steps = len(meters)
    light: Mask = np.ones(steps, dtype=np.bool_) if possible is None else possible
    return read_units(np.full(steps, np.nan), meters, HOUR[:steps], model.groups[PV], model.patterns[0], light)


@pytest.fixture(scope="module")
def model() -> TwinModel:
    return twin_of(roofs_kw(), roofs_kw())[0]


def test_when_every_roof_reports_the_generation_is_their_sum() -> None:
    pv_kw = roofs_kw()
    model, state, told = twin_of(pv_kw, pv_kw)
    track, exact = advance(state, model, told).track, METER_ERROR * model.groups[PV].scale
    np.testing.assert_allclose(track.mean[:, PV], pv_kw[-7 * 24 :].sum(axis=1), atol=5 * exact)
    assert (track.deviation[:, PV] < 5 * exact).all()


def test_when_no_roof_reports_nothing_is_read(model: TwinModel) -> None:
    reading = read(model, np.full((24, ROOFS), np.nan))
    assert np.isnan(reading.value).all()
    assert (reading.share == 0).all()
    assert (reading.reporting == 0).all()


def test_few_roofs_tell_more_than_scaling_up_by_shares() -> None:
    pv_kw = roofs_kw()
    reports = np.arange(ROOFS) < 3
    model, state, told = twin_of(pv_kw, np.where(reports, pv_kw, np.nan))
    track, truth = advance(state, model, told).track, pv_kw[-7 * 24 :].sum(axis=1)
    share = pv_kw[: -7 * 24].sum(axis=0) / pv_kw[: -7 * 24].sum()
    scaled = pv_kw[-7 * 24 :, reports].sum(axis=1) / share[reports].sum()
    error = track.mean[:, PV] - truth
    assert np.mean(error**2) < 0.5**2 * np.mean((scaled - truth) ** 2)
    by_day = track.deviation[:, PV] > 0.01 * truth.mean()
    assert 0.85 < np.mean(np.abs(error[by_day]) < 1.96 * track.deviation[by_day, PV]) <= 1.0


def test_silent_roofs_are_expected_where_all_readings_at_once_put_them(model: TwinModel) -> None:
    meters = roofs_kw()[12:13]
    reports = np.arange(ROOFS) % 3 == 0
    group, patterns = replace(model.groups[PV], ceiling=np.full((24, ROOFS), np.inf)), unbounded(model.patterns[0])
    whole, variance = by_brute_force(group, patterns, meters[0], reports)
    shown = np.where(reports, meters, np.nan)
    reading = read_units(np.full(1, np.nan), shown, np.array([12]), group, patterns, np.ones(1, dtype=np.bool_))
    assert reading.value[0] == pytest.approx(whole, rel=1e-9)
    exact = (METER_ERROR * group.scale) ** 2
    assert reading.noise[0] - exact + reading.lasting[0] ** 2 == pytest.approx(variance, rel=1e-9)


def unbounded(patterns: Patterns) -> Patterns:
    """Without a top, and with an error that does not depend on what is read."""
    return patterns._replace(top=np.full(patterns.top.shape, np.inf), kind=Kind(lasting=0.7, is_lively=False))


def by_brute_force(group: MeterGroup, patterns: Patterns, shown: Array, reports: Mask) -> tuple[float, float]:
    """Mean and variance of the whole at noon, from the joint distribution of all units."""
    rows = np.column_stack([group.weight[12], patterns.loading])
    prior_covariance = np.zeros((rows.shape[1], rows.shape[1]))
    prior_covariance[0, 0] = 1 / patterns.level_precision[12]
    prior_covariance[1:, 1:] = np.linalg.inv(patterns.precision[12])
    mean = rows[:, 0] * patterns.level[12]
    covariance = rows @ prior_covariance @ rows.T + np.diag(patterns.variance[12])
    seen, silent = np.ix_(reports, reports), np.ix_(~reports, reports)
    gain = np.linalg.solve(covariance[seen], covariance[silent].T).T
    expected = mean[~reports] + gain @ (shown[reports] - mean[reports])
    left = covariance[np.ix_(~reports, ~reports)] - gain @ covariance[silent].T
    return float(shown[reports].sum() + expected.sum()), float(left.sum())


def test_under_a_dark_sky_less_can_be_wrong(model: TwinModel) -> None:
    noon = roofs_kw()[12:13]
    shown = np.where(np.arange(ROOFS) < 3, noon, np.nan)

    def deviation(meters: Array) -> float:
        patterns, light = model.patterns[0], np.ones(1, dtype=np.bool_)
        reading = read_units(np.full(1, np.nan), meters, np.array([12]), model.groups[PV], patterns, light)
        return float(np.sqrt(reading.noise[0] + reading.lasting[0] ** 2))

    assert deviation(0.1 * shown) < 0.7 * deviation(shown)


def test_a_silent_roof_generates_nothing_in_the_dark(model: TwinModel) -> None:
    shown = np.full((24, ROOFS), np.nan)
    shown[:, 0] = roofs_kw()[:24, 0]
    reading = read(model, shown, SKY[:24] > 0)
    np.testing.assert_array_equal(reading.value[SKY[:24] == 0], shown[SKY[:24] == 0, 0])


@given(st.lists(st.booleans(), min_size=ROOFS, max_size=ROOFS).filter(lambda one: 0 < sum(one) < ROOFS))
def test_one_more_roof_never_makes_the_whole_less_certain(model: TwinModel, reports: list[bool]) -> None:
    shown = np.where(reports, roofs_kw()[:24], np.nan)
    more = shown.copy()
    silent = reports.index(False)
    more[:, silent] = roofs_kw()[:24, silent]
    steady = replace(model, patterns=(unbounded(model.patterns[0]), model.patterns[1]))
    fewer, with_it = read(steady, shown), read(steady, more)
    before, after = fewer.noise + fewer.lasting**2, with_it.noise + with_it.lasting**2
    assert (after <= before * (1 + 1e-9)).all()


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_units_of_power_do_not_matter(factor: float) -> None:
    pv_kw = roofs_kw()
    reports = np.arange(ROOFS) < 3
    model, state, told = twin_of(pv_kw, np.where(reports, pv_kw, np.nan))
    usual = advance(state, model, told).track.mean[:, PV]
    model, state, told = twin_of(factor * pv_kw, factor * np.where(reports, pv_kw, np.nan))
    scaled = advance(state, model, told).track.mean[:, PV]
    np.testing.assert_allclose(scaled, factor * usual, rtol=1e-3, atol=1e-3 * factor * usual.max())


def test_silent_batteries_stay_between_empty_and_full() -> None:
    generator = np.random.default_rng(1)
    capacity = generator.uniform(4, 12, 8)
    wave = 0.5 + 0.7 * np.sin((HOUR[:, None] - 9 + generator.normal(0, 1, 8)) / 12 * np.pi)
    soc = capacity * np.clip(wave + generator.normal(0, 0.1, (DAYS * 24, 8)), 0, 1)
    history = readings(TimeGrid(START, DAYS * 24, 60), storage_soc_kwh=soc)
    model = calibrate(prior(plant(30, storage_kwh=float(capacity.sum()))), metering(storage_soc_kwh=8), history)
    state = start_state(model, START)
    for shown in (np.zeros(8), capacity, 3 * capacity):
        told = readings(
            TimeGrid(START, 24, 60), storage_soc_kwh=np.tile(np.where(np.arange(8) < 2, shown, np.nan), (24, 1))
        )
        track = advance(state, model, told).track
        assert track.mean[:, STORAGE_SOC].min() >= 0
        assert track.mean[:, STORAGE_SOC].max() <= model.dynamics.capacity_kwh


def test_any_cut_of_the_time_axis_gives_the_same_bits(model: TwinModel) -> None:
    shown = np.where(np.random.default_rng(3).random((24, ROOFS)) < 0.4, roofs_kw()[:24], np.nan)
    whole = read(model, shown)
    for step in range(24):
        one = read_units(
            np.full(1, np.nan),
            shown[step : step + 1],
            HOUR[step : step + 1],
            model.groups[PV],
            model.patterns[0],
            np.ones(1, dtype=np.bool_),
        )
        np.testing.assert_array_equal(one.value[0], whole.value[step])
        np.testing.assert_array_equal(one.lasting[0], whole.lasting[step])


def test_a_roof_that_was_never_heard_is_taken_to_be_like_the_others() -> None:
    pv_kw = roofs_kw()
    pv_kw[:, -1] = np.nan
    model, _, _ = twin_of(pv_kw, pv_kw)
    group, patterns = model.groups[PV], model.patterns[0]
    np.testing.assert_allclose(group.weight[12, -1], group.weight[12, :-1].mean(), rtol=0.3)
    assert patterns.variance[12, -1] > np.median(patterns.variance[12, :-1])
    reading = read(model, pv_kw[:24])
    assert reading.value[12] > np.nansum(pv_kw[12])


EXTREMES = st.sampled_from([np.nan, 0.0, 1e-9, 0.3, 7.0, 1e6])
"""What a meter may show and ingest lets pass, and gaps."""


@given(st.lists(st.lists(EXTREMES, min_size=6, max_size=6), min_size=30, max_size=60))
def test_whatever_units_show_the_estimates_are_numbers_with_an_error(shown: list[list[float]]) -> None:
    table, grid = np.array(shown), TimeGrid(START, len(shown), 60)
    told = readings(grid, clear_sky=SKY[: len(shown)], pv_kw=table[:, :3], storage_soc_kwh=table[:, 3:])
    model = calibrate(prior(plant(5, pv_kw=9.0, storage_kwh=9.0)), metering(pv_kw=3, storage_soc_kwh=3), told)
    after = advance(start_state(model, START), model, told)
    assert np.isfinite(after.track.mean).all()
    assert (after.track.deviation >= 0).all()
    assert np.isfinite(after.state.belief.full_covariance()).all()


def test_late_readings_of_a_roof_lead_where_they_would_have_led_in_time() -> None:
    pv_kw = roofs_kw()
    late = np.where(np.arange(ROOFS) < 4, pv_kw, np.nan)
    model, state, told = twin_of(pv_kw, late)
    in_time = told.meters[PV].copy()
    in_time[30:40, 6] = pv_kw[-7 * 24 :][30:40, 6]
    whole = replace(told, meters=tuple(in_time if index == PV else one for index, one in enumerate(told.meters)))
    kept = advance(state, model, cut(whole, 0, 24)).state
    assert advance(state, model, told).state.digest != advance(state, model, whole).state.digest
    assert advance(kept, model, cut(whole, 24, 7 * 24)).state.digest == advance(state, model, whole).state.digest


def cut(told: TwinReadings, first: int, last: int) -> TwinReadings:
    grid = TimeGrid(told.grid.instant(first), last - first, 60)
    meters = tuple(np.ascontiguousarray(one[first:last]) for one in told.meters)
    return TwinReadings(grid, told.own[first:last], meters, told.clear_sky[first:last])
