"""The macro twin: the filter against brute force, sums of few meters against plain scaling, and states that last."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.twins import START, Homes, lively_homes, metering, plant, prior, readings

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.macro_twin.bounds import TICK
from digital_twin.macro_twin.calibration import calibrate
from digital_twin.macro_twin.coverage import METER_ERROR, believed_own, known_whole
from digital_twin.macro_twin.filtering import LARGEST_SCALE
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.parts import parts_of
from digital_twin.macro_twin.state import TwinState, advance, start_state, stuck_meters
from digital_twin.macro_twin.structure import LOAD, NET_LOAD, PV, STATES, STORAGE_SOC
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, Shares, SyntheticCommunity

CITYLEARN = Path(__file__).parents[2] / "shared" / "data" / "citylearn2022" / "meters.parquet"
HISTORY_DAYS = 28


ROUNDING_KW = 1e-9


def state_of(state: TwinState, name: str) -> float:
    return float(state.belief.mean[STATES.index(name)])


def rms(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def scaled_up(homes: Homes, first: int, reports: Array) -> Array:
    """N/n times the sum of those who report, the last value where nobody does."""
    number = reports.sum(axis=1)
    total = np.where(reports, homes.load_kw[first:], 0.0).sum(axis=1)
    scaled = np.divide(total * reports.shape[1], number, out=np.full(number.size, np.nan), where=number > 0)
    return pd.Series(scaled).ffill().bfill().to_numpy()


def errors_at(homes: Homes, missing: float, *, seed: int = 0) -> tuple[float, float]:
    """Errors of the twin and of N/n scaling after the history, with so many readings missing at random."""
    first = HISTORY_DAYS * 1440 // homes.step_minutes
    last, count = homes.load_kw.shape
    model, state = homes.learn(first)
    reports = np.random.default_rng(seed).random((last - first, count)) >= missing
    truth = homes.load_kw[first:].sum(axis=1)
    track = advance(state, model, homes.between(first, last, reports)).track
    return rms(track.mean[:, LOAD] - truth), rms(scaled_up(homes, first, reports) - truth)


# Half of the meters are silent


@pytest.mark.parametrize("missing", [0.3, 0.5, 0.9])
def test_the_twin_beats_plain_scaling_on_synthetic_homes(missing: float) -> None:
    grid = TimeGrid(START, 42 * 96, 15)
    recipe = Recipe(40, Place(48.2, 16.4, "Europe/Vienna"), grid, seed=3, shares=Shares(0.0, 0.0, 0.0, 0.0))
    load_kw = np.stack([home.load_kw for home in SyntheticCommunity(recipe).series()], axis=1)
    twin, plain = errors_at(Homes(load_kw, 15, "Europe/Vienna"), missing)
    assert twin < 0.9 * plain


@pytest.mark.skipif(not CITYLEARN.exists(), reason="the CityLearn 2022 data are not there")
@pytest.mark.parametrize("missing", [0.3, 0.5, 0.6, 0.9])
def test_the_twin_beats_plain_scaling_on_seventeen_metered_homes(missing: float) -> None:
    frame = pd.read_parquet(CITYLEARN).pivot(index="time", columns="building", values="load_kwh")
    homes = Homes(frame.loc["2016-08-01":].to_numpy()[: 120 * 24], 60)
    twin, plain = errors_at(homes, missing)
    assert twin < 0.85 * plain


def test_errors_are_about_as_large_as_the_twin_says() -> None:
    homes = lively_homes(60, 84)
    first, last = HISTORY_DAYS * 24, len(homes.load_kw)
    model, state = homes.learn(first)
    reports = np.random.default_rng(1).random((last - first, 60)) >= 0.5
    track = advance(state, model, homes.between(first, last, reports)).track
    surprise = (track.mean[:, LOAD] - homes.load_kw[first:].sum(axis=1)) / track.deviation[:, LOAD]
    assert 0.5 < np.mean(surprise**2) < 2.0
    assert 0.5 < track.nis[-1] < 2.0


# Full coverage and none


def test_with_every_meter_the_demand_is_their_sum() -> None:
    homes = lively_homes(12, 30)
    model, state = homes.learn(HISTORY_DAYS * 24)
    track = advance(state, model, homes.between(HISTORY_DAYS * 24, 30 * 24)).track
    exact = METER_ERROR * model.groups[LOAD].scale
    np.testing.assert_allclose(track.mean[:, LOAD], homes.load_kw[HISTORY_DAYS * 24 :].sum(axis=1), atol=5 * exact)
    assert (track.deviation[:, LOAD] < 2 * exact).all()
    np.testing.assert_allclose(track.coverage, 1.0)


def test_without_a_meter_the_twin_only_grows_less_certain() -> None:
    homes = lively_homes(12, 30)
    model, state = homes.learn(HISTORY_DAYS * 24)
    # as lively as it has ever been: what was believed in livelier times would settle
    state = replace(state, memory=state.memory._replace(noise_scale=LARGEST_SCALE))
    nobody = np.zeros((48, 12), dtype=np.bool_)
    after = advance(state, model, homes.between(HISTORY_DAYS * 24, 30 * 24, nobody))
    assert (after.track.coverage == 0).all()
    before, later = (one.memory._replace(surplus_kw=0.0) for one in (state, after.state))
    np.testing.assert_equal(later, before)
    for before, later in zip(np.diag(state.belief.covariance), np.diag(after.state.belief.covariance), strict=True):
        assert later >= before
    told = advance(state, model, homes.between(HISTORY_DAYS * 24, 30 * 24))
    assert (after.track.deviation[:, LOAD] > 10 * told.track.deviation[:, LOAD]).all()


def test_a_step_that_doubles_the_load_is_followed_where_all_report() -> None:
    homes = lively_homes(12, 30)
    first = HISTORY_DAYS * 24
    doubled = homes.load_kw.copy()
    doubled[first:] *= 2
    model, state = homes.learn(first)
    track = advance(state, model, replace(homes, load_kw=doubled).between(first, 30 * 24)).track
    whole = track.coverage > 0.999
    assert whole.mean() > 0.9
    np.testing.assert_allclose(track.mean[whole, LOAD], doubled[first:].sum(axis=1)[whole], rtol=1e-3)


def test_a_load_that_stood_still_is_followed_when_it_jumps() -> None:
    homes = lively_homes(2, 30)
    own = replace(homes, load_kw=np.full((30 * 24, 2), 20.0))
    model, state = own.learn(HISTORY_DAYS * 24)
    jumped = own.load_kw.copy()
    jumped[HISTORY_DAYS * 24 + 5 :] = 35.0
    readings = replace(own, load_kw=jumped).between(HISTORY_DAYS * 24, 30 * 24)
    told = readings.own.copy()
    told[:, LOAD] = jumped[HISTORY_DAYS * 24 :].sum(axis=1)
    alone = replace(readings, own=told)
    mean = advance(state, model, alone).track.mean[:, LOAD]
    np.testing.assert_allclose(mean[:5], 40.0, rtol=1e-3)
    assert mean[6] > 60.0
    np.testing.assert_allclose(mean[9:], 70.0, rtol=0.01)


# What meters should not show


def test_one_reading_in_a_hundred_may_be_wrong_by_a_factor() -> None:
    homes = lively_homes(40, 56)
    first, last = HISTORY_DAYS * 24, 56 * 24
    model, state = homes.learn(first)
    generator = np.random.default_rng(5)
    wrong = generator.random((last - first, 40)) < 0.01
    shown = homes.load_kw.copy()
    shown[first:][wrong] *= generator.choice([10.0, 100.0, 1000.0], wrong.sum())
    truth = homes.load_kw[first:].sum(axis=1)
    track = advance(state, model, replace(homes, load_kw=shown).between(first, last)).track
    # what is believed of a wrong reading lies below twice the highest of its meter
    assert rms(track.mean[:, LOAD] - truth) < 0.07 * truth.mean()
    assert rms(shown[first:].sum(axis=1) - truth) > truth.mean(), "so wrong that it would have mattered"


def test_a_meter_that_shows_one_value_for_a_day_is_named() -> None:
    homes = lively_homes(4, 30)
    model, state = homes.learn(HISTORY_DAYS * 24)
    assert stuck_meters(state, model, LOAD) == []
    stuck = homes.load_kw.copy()
    stuck[HISTORY_DAYS * 24 :, 2] = 0.5
    after = advance(state, model, replace(homes, load_kw=stuck).between(HISTORY_DAYS * 24, 30 * 24)).state
    assert stuck_meters(after, model, LOAD) == ["home_2"]


def test_storage_is_never_emptier_than_empty_nor_fuller_than_full() -> None:
    of = plant(10, storage_kwh=20.0)
    model, grid = prior(of), TimeGrid(START, 48, 60)
    soc = np.where(np.arange(48) % 12 < 6, 0.0, 20.0)
    soc[::5] = np.nan
    after = advance(start_state(model, START), model, readings(grid, storage_soc_kwh=soc))
    energy = after.track.mean[:, STORAGE_SOC]
    assert energy.min() >= 0
    assert energy.max() <= 20
    assert after.track.deviation[:, STORAGE_SOC].max() <= 20 / np.sqrt(12) + 1e-9


@given(st.integers(0, 10_000), st.sampled_from([15, 60]), st.booleans())
def test_a_storage_gives_no_more_than_it_holds_nor_takes_more_than_fits_in(
    seed: int, step_minutes: int, knows_net_load: bool
) -> None:
    generator, steps = np.random.default_rng(seed), 60
    of = plant(10, storage_kwh=20.0)
    model, hours = prior(of, step_minutes), step_minutes / 60
    soc = np.clip(10 + np.cumsum(generator.normal(0, 6, steps)), 0, 20)
    soc[generator.random(steps) < 0.3] = np.nan
    told = {"net_load_kw": generator.normal(0, 30, steps)} if knows_net_load else {}
    shown = readings(TimeGrid(START, steps, step_minutes), storage_soc_kwh=soc, **told)
    state = start_state(model, START)
    for step in range(steps):
        after = advance(state, model, shown.between(step, step + 1))
        exchange_kw, held_kwh = (
            state_of(after.state, "storage_exchange_kw"),
            state_of(after.state, "storage_energy_kwh"),
        )
        assert -held_kwh * of.discharge_efficiency / hours <= exchange_kw + ROUNDING_KW
        assert exchange_kw - ROUNDING_KW <= (20 - held_kwh) / of.charge_efficiency / hours
        assert np.linalg.eigvalsh(after.state.belief.full_covariance()).min() > -ROUNDING_KW
        state = after.state


def test_what_readings_tell_of_the_exchange_is_believed_though_the_storage_should_be_empty() -> None:
    told = {"load_kw": 12.0, "pv_kw": 0.0, "net_load_kw": 7.0, "storage_soc_kwh": 0.0}
    shown = readings(TimeGrid(START, 6, 15), **{name: np.full(6, value) for name, value in told.items()})
    model = prior(plant(10, storage_kwh=20.0), 15)
    mean = advance(start_state(model, START), model, shown).track.mean
    np.testing.assert_allclose(mean[-1], [12.0, 0.0, 7.0, 0.0], atol=0.1)


def test_what_cannot_be_of_the_communitys_own_series_is_read_nowhere(
    learned: tuple[Homes, TwinModel, TwinState],
) -> None:
    homes, model, state = learned
    model = replace(model, groups=tuple(replace(one, own_ceiling=1e3) for one in model.groups))
    first = HISTORY_DAYS * 24
    meters = homes.between(first, first + 2)
    absurd = replace(meters, own=np.where(np.arange(4) == LOAD, 1e9, meters.own))
    found, expected = (advance(state, model, one) for one in (absurd, meters))
    np.testing.assert_array_equal(found.track.mean, expected.track.mean)
    assert parts_of(found.state, model, absurd) == parts_of(expected.state, model, meters)
    own = believed_own(absurd.own, model.groups)[:, LOAD]
    total = known_whole(own, meters.meters[LOAD], np.array([0, 1]), model.groups[LOAD])
    np.testing.assert_allclose(total, homes.load_kw[first : first + 2].sum(axis=1))


def test_after_months_of_silence_what_has_decayed_is_nothing() -> None:
    model, steps = prior(plant(10, pv_kw=5.0, storage_kwh=20.0), 15), 400 * 96
    grid = TimeGrid(START, 96, 15)
    woken = advance(start_state(model, START), model, readings(grid, load_kw=np.full(96, 9.0))).state
    silence = readings(TimeGrid(grid.end, steps, 15), load_kw=np.full(steps, np.nan))
    after = advance(woken, model, silence).state
    for numbers in (after.belief.mean, after.belief.covariance, after.estimate, after.deviation):
        traces = np.abs(numbers[numbers != 0.0])
        assert traces.min() >= TICK**2
    assert state_of(woken, "demand_level_kw") != 0.0
    assert state_of(after, "demand_level_kw") == 0.0


EXTREMES = st.sampled_from([np.nan, 0.0, 1e-9, 0.3, 7.0, 1e6])
"""What a meter may show and ingest lets pass, and gaps."""


@given(
    st.lists(st.tuples(EXTREMES, EXTREMES, EXTREMES, EXTREMES, EXTREMES), min_size=30, max_size=60),
    st.sampled_from([0.0, 5.0]),
)
def test_whatever_meters_show_the_estimates_are_numbers_with_an_error(
    shown: list[tuple[float, ...]], capacity: float
) -> None:
    table = np.array(shown)
    sky = np.maximum(np.sin((np.arange(len(table)) % 24 - 6) / 12 * np.pi), 0.0)
    told = readings(
        TimeGrid(START, len(table), 60),
        clear_sky=sky,
        load_kw=table[:, :2],
        pv_kw=table[:, 2],
        net_load_kw=-table[:, 3:4],
        storage_soc_kwh=table[:, 4],
    )
    meters = metering(load_kw=2, net_load_kw=1)
    model = calibrate(prior(plant(3, pv_kw=capacity, storage_kwh=capacity)), meters, told)
    after = advance(start_state(model, START), model, told)
    assert np.isfinite(after.track.mean).all()
    assert (after.track.deviation >= 0).all()
    covariance = after.state.belief.full_covariance()
    assert np.isfinite(covariance).all()
    size = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    assert np.linalg.eigvalsh(covariance / size[:, None] / size).min() > -1e-6, "positive but for rounding"


@pytest.mark.parametrize(
    ("day", "hours"), [(datetime(2026, 3, 29, tzinfo=UTC), 23), (datetime(2026, 10, 25, tzinfo=UTC), 25)]
)
def test_days_on_which_the_clock_changes_are_like_others(day: datetime, hours: int) -> None:
    homes = replace(lively_homes(8, 30), zone="Europe/Vienna", start=day - timedelta(days=28))
    model, state = homes.learn(HISTORY_DAYS * 24)
    after = advance(state, model, homes.between(HISTORY_DAYS * 24, HISTORY_DAYS * 24 + hours)).track
    truth = homes.load_kw[HISTORY_DAYS * 24 : HISTORY_DAYS * 24 + hours].sum(axis=1)
    np.testing.assert_allclose(after.mean[:, LOAD], truth, rtol=1e-2)


# Every subset of series


@pytest.mark.parametrize("names", range(16))
def test_any_subset_of_the_communitys_series_will_do(names: int) -> None:
    grid = TimeGrid(START, 10 * 24, 60)
    hours = np.arange(240) % 24
    sky = np.maximum(np.sin((hours - 6) / 12 * np.pi), 0.0)
    load, pv, charge = (
        8 + 4 * np.sin(hours / 24 * 2 * np.pi),
        10 * sky,
        np.where(hours == 12, 5.0, -5.0 * (hours == 20)),
    )
    soc = 4 + np.cumsum(0.9 * np.maximum(charge, 0) - np.maximum(-charge, 0) / 1.1)
    series = {"load_kw": load, "pv_kw": pv, "net_load_kw": load - pv + charge, "storage_soc_kwh": soc.clip(0, 15)}
    given = {name: values for index, (name, values) in enumerate(series.items()) if names >> index & 1}
    told = readings(grid, clear_sky=sky, **given)
    model = calibrate(prior(plant(20, pv_kw=10.0, storage_kwh=15.0)), metering(), told)
    after = advance(start_state(model, START), model, told)
    assert np.isfinite(after.track.mean).all()
    assert np.isfinite(after.track.deviation).all()
    for index, name in enumerate(series):
        if name in given:
            assert after.state.estimate[index] == pytest.approx(given[name][-1], abs=0.5)


def test_each_stream_is_judged_by_its_own_readings() -> None:
    homes = lively_homes(12, 35)
    first, last = HISTORY_DAYS * 24, 35 * 24
    grid = TimeGrid(START + timedelta(days=HISTORY_DAYS), last - first, 60)
    model, state = homes.learn(first)
    as_learned = advance(state, model, homes.between(first, last)).state.memory
    wild = advance(state, model, readings(grid, load_kw=homes.load_kw[first:last] * 3.0)).state.memory
    assert 0.5 < as_learned.stream_nis[LOAD] < 2
    assert wild.stream_nis[LOAD] > as_learned.stream_nis[LOAD] + 0.05, "though the noise adapts within hours"
    assert as_learned.stream_counts.tolist() == [7 * 24, 0, 0, 0]
    assert as_learned.nis == as_learned.stream_nis[LOAD]


def test_net_load_is_demand_less_generation_plus_what_the_storage_takes_with_their_joint_error() -> None:
    grid = TimeGrid(START, 5 * 24, 60)
    sky = np.maximum(np.sin((np.arange(120) % 24 - 6) / 12 * np.pi), 0.0)
    told = readings(grid, clear_sky=sky, net_load_kw=10 - 8 * sky)
    model = calibrate(prior(plant(20, pv_kw=10.0, storage_kwh=15.0)), metering(), told)
    track = advance(start_state(model, START), model, told).track
    np.testing.assert_allclose(track.mean[24:, NET_LOAD], 10 - 8 * sky[24:], atol=0.1)
    noon = 4 * 24 + 12
    assert track.deviation[noon, NET_LOAD] < 0.1 < track.deviation[noon, LOAD], "what is metered is the difference"


def test_at_night_nothing_is_generated() -> None:
    model, grid = prior(plant(20, pv_kw=10.0)), TimeGrid(START, 24, 60)
    sky = np.maximum(np.sin((np.arange(24) - 6) / 12 * np.pi), 0.0)
    track = advance(start_state(model, START), model, readings(grid, clear_sky=sky)).track
    assert (track.mean[sky == 0, PV] == 0).all()
    assert (track.deviation[sky == 0, PV] == 0).all()
    assert (track.deviation[sky > 0.1, PV] > 0).all()


def test_before_any_reading_the_standard_household_is_expected_with_a_wide_error() -> None:
    model, grid = prior(plant(100, "Europe/Vienna"), 15), TimeGrid(START, 96, 15)
    after = advance(start_state(model, START), model, readings(grid))
    expected = 100 * standard_household_kw(local_clock(grid, "Europe/Vienna"))
    assert rms(after.track.mean[:, LOAD] - expected) < 0.1 * expected.mean()
    assert (after.track.deviation[:, LOAD] > 0.25 * expected.mean()).all()
    assert after.state.nis is None
    assert after.state.coverage == 0


# States last


@pytest.fixture(scope="module")
def learned() -> tuple[Homes, TwinModel, TwinState]:
    homes = lively_homes(9, 35)
    return homes, *homes.learn(HISTORY_DAYS * 24)


def test_in_one_stretch_or_in_many_the_state_is_the_same_to_the_bit(
    learned: tuple[Homes, TwinModel, TwinState],
) -> None:
    homes, model, state = learned
    first = HISTORY_DAYS * 24
    reports = np.random.default_rng(2).random((96, 9)) < 0.6
    whole = advance(state, model, homes.between(first, first + 96, reports)).state
    for cut in (1, 7, 24):
        pieces = state
        for begin in range(0, 96, cut):
            end = min(begin + cut, 96)
            pieces = advance(pieces, model, homes.between(first + begin, first + end, reports[begin:end])).state
        assert pieces.digest == whole.digest


def test_late_readings_replayed_from_a_kept_state_lead_where_they_would_have_led_in_time(
    learned: tuple[Homes, TwinModel, TwinState],
) -> None:
    homes, model, state = learned
    first = HISTORY_DAYS * 24
    in_time = advance(state, model, homes.between(first, first + 72)).state
    late = np.ones((72, 9), dtype=np.bool_)
    late[30:50, 4] = False
    kept = advance(state, model, homes.between(first, first + 24, late[:24])).state
    without = advance(kept, model, homes.between(first + 24, first + 72, late[24:])).state
    assert without.digest != in_time.digest
    assert advance(kept, model, homes.between(first + 24, first + 72)).state.digest == in_time.digest


def test_a_state_and_its_model_come_back_from_their_bytes(learned: tuple[Homes, TwinModel, TwinState]) -> None:
    homes, model, state = learned
    again, model_again = TwinState.from_bytes(state.to_bytes()), TwinModel.from_bytes(model.to_bytes())
    assert again.digest == state.digest
    assert model_again.to_bytes() == model.to_bytes()
    told = homes.between(HISTORY_DAYS * 24, HISTORY_DAYS * 24 + 24)
    assert advance(again, model_again, told).state.digest == advance(state, model, told).state.digest


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: b"PK" + data, lambda data: data[:-1]])
def test_bytes_that_are_no_state_are_refused(learned: tuple[Homes, TwinModel, TwinState], spoil: object) -> None:
    with pytest.raises(InvalidInput, match="stored state"):
        TwinState.from_bytes(spoil(learned[2].to_bytes()))  # type: ignore[operator]
