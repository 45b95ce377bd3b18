"""How far readings can be trusted: what a source says of them, and what is found in them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.quality import WORDS, Quality, quality_words
from digital_twin.domain.readings import PLANNED_SERIES, SeriesKey, SeriesValues, check_readings
from digital_twin.domain.resampling import resample
from digital_twin.domain.series_quality import quality_of
from digital_twin.domain.spikes import spikes
from digital_twin.domain.stuck_meters import runs_of
from digital_twin.domain.suspicion import Reason, SuspectStretch, suspect_stretches
from digital_twin.domain.time import RESOLUTIONS_MINUTES, TimeGrid
from digital_twin.domain.units import Array

NAN = float("nan")


def flagged(name: str, values: list[float], flags: list[int], *, minutes: int = 15) -> SeriesValues:
    grid = TimeGrid(MONDAY, len(values), minutes)
    return SeriesValues(SeriesKey(name), grid, np.array(values, dtype=np.float64), np.array(flags, dtype=np.uint8))


# What a source says


def test_every_quality_has_its_word() -> None:
    assert {quality.name.lower() for quality in Quality} == set(WORDS)
    assert all(WORDS[quality] == quality.name.lower() for quality in Quality)


def test_words_are_told_only_where_something_is_not_plainly_measured() -> None:
    values, plain = np.array([1.0, 2.0]), np.zeros(2, dtype=np.uint8)
    assert quality_words(values, None) is None
    assert quality_words(values, plain) is None
    assert quality_words(values, np.array([3, 0], dtype=np.uint8)) == ["suspect", "measured"]
    assert quality_words(np.array([1.0, NAN]), None) == ["measured", "missing"]
    assert quality_words(np.array([1.0, NAN]), np.array([1, 3], dtype=np.uint8)) == ["estimated", "missing"]


def test_a_refused_reading_leaves_the_flags_of_the_others_alone() -> None:
    kept, refused = check_readings(flagged("load_kw", [1, -5, 3], [1, 0, 3]), MONDAY + timedelta(days=1))
    assert quality_words(kept.values, kept.flags) == ["estimated", "missing", "suspect"]
    assert len(refused) == 1


@given(
    st.sampled_from(RESOLUTIONS_MINUTES),
    st.sampled_from(RESOLUTIONS_MINUTES),
    st.sampled_from(["load_kw", "storage_soc_kwh"]),
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
)
def test_an_interval_is_as_good_as_the_worst_it_is_made_of(
    fine: int, coarse: int, name: str, qualities: list[int]
) -> None:
    given = flagged(name, [1.0] * len(qualities), qualities, minutes=fine)
    there = resample(given, TimeGrid(MONDAY, -(-len(qualities) * fine // coarse), coarse))
    of_minute = np.repeat(qualities, fine)
    for index in np.flatnonzero(np.isfinite(there.values)):
        minutes = of_minute[index * coarse : (index + 1) * coarse]
        expected = minutes[0] if name == "storage_soc_kwh" else minutes.max()
        assert (0 if there.flags is None else there.flags[index]) == expected
    assert there.flags is None or there.flags.any()


# What is found


def meters(name: str, *rows: Sequence[float], minutes: int = 15) -> list[SuspectStretch]:
    values = np.array(rows, dtype=np.float64)
    return suspect_stretches(name, TimeGrid(MONDAY, values.shape[1], minutes), values)


def lively(steps: int, seed: int = 0) -> Array:
    """A home's load that never repeats itself."""
    return 0.2 + np.random.default_rng(seed).gamma(1.5, 0.3, steps)


@pytest.mark.parametrize("name", ["load_kw", "net_load_kw", "pv_kw"])
def test_a_meter_that_hangs_for_half_a_day_is_found_where_it_hangs(name: str) -> None:
    values = lively(960)
    values[300:347] = values[300]
    assert meters(name, values) == []
    values[347] = values[300]
    assert meters(name, values) == [SuspectStretch(0, 300, 348, Reason.STUCK)]


def test_missing_readings_do_not_set_a_hanging_meter_free() -> None:
    values = lively(960)
    values[300:360] = 1.5
    values[310:322] = NAN
    assert meters("load_kw", values) == [SuspectStretch(0, 300, 360, Reason.STUCK)]


def test_a_coarse_meter_that_repeats_itself_all_the_time_does_not_hang() -> None:
    """Ten hours of the same 0.4 kW, every night: one pulse of 0.1 kWh a quarter."""
    day = np.concatenate([np.full(40, 0.4), np.round(lively(56) / 0.4) * 0.4])
    quiet_day = np.concatenate([np.full(60, 0.4), np.round(lively(36) / 0.4) * 0.4])
    assert meters("load_kw", np.concatenate([day, day, quiet_day, day])) == []


def test_a_dark_roof_and_a_full_or_empty_battery_do_not_hang() -> None:
    night, light = np.full(56, 0.004), np.abs(lively(40)) + 0.5
    assert meters("pv_kw", np.concatenate([night, light] * 5)) == []
    full, empty = np.full(400, 10.0), np.full(400, 1.0)
    between = np.linspace(1, 10, 60)
    assert meters("storage_soc_kwh", np.concatenate([full, between[::-1], empty, between])) == []
    assert [one.reason for one in meters("storage_soc_kwh", np.concatenate([full, np.full(200, 5.0), empty]))] == [
        Reason.STUCK
    ]


def test_nothing_but_zeros_is_told_of_what_is_always_on() -> None:
    values = lively(960)
    values[100:292] = 0
    assert meters("load_kw", values) == [SuspectStretch(0, 100, 292, Reason.ZEROS)]
    assert meters("load_kw", values[: 100 + 191]) == []
    assert meters("heat_pump_kw", values) == []


def test_a_value_that_stands_out_from_both_sides_is_a_spike() -> None:
    values = lively(960)
    values[500:502] = [400.0, 380.0]
    values[20] = -90.0
    assert meters("net_load_kw", values) == [
        SuspectStretch(0, 20, 21, Reason.SPIKE),
        SuspectStretch(0, 500, 502, Reason.SPIKE),
    ]


def test_a_kettle_and_a_car_that_charges_are_no_spikes() -> None:
    quiet = np.full(960, 0.1) + lively(960) / 100
    quiet[500] = 3.5
    quiet[600:612] = 11.0
    assert meters("load_kw", quiet) == []


def test_a_storage_may_dip_but_not_lose_and_regain_a_third_of_its_energy() -> None:
    full = np.full(180, 10.0)
    full[[20, 60]] = 9.99, 9.0
    assert meters("storage_soc_kwh", full) == []
    full[90] = 6.5
    assert meters("storage_soc_kwh", full) == [SuspectStretch(0, 90, 91, Reason.SPIKE)]


def test_the_rare_pulse_of_a_coarse_meter_is_no_spike() -> None:
    rare = np.zeros(180)
    rare[90] = 4.0
    assert meters("load_kw", rare) == []
    rare[[20, 40]] = 4.0, 4000.0
    assert meters("load_kw", rare) == [SuspectStretch(0, 40, 41, Reason.SPIKE)]


def test_days_in_watts_are_told() -> None:
    values = lively(960)
    values[192:384] *= 1000
    values[600] = 90
    assert meters("load_kw", values) == [
        SuspectStretch(0, 192, 384, Reason.UNIT),
        SuspectStretch(0, 600, 601, Reason.SPIKE),
    ]


@pytest.mark.parametrize(("usual_kw", "times", "is_told"), [(1, 240, False), (1, 260, True), (0.05, 390, False)])
def test_a_day_is_in_watts_where_it_is_far_above_the_usual_and_what_a_home_can_draw(
    usual_kw: float, times: float, is_told: bool
) -> None:
    values = usual_kw * (1 + np.arange(960) % 7 / 1000)
    values[192:288] *= times
    assert (Reason.UNIT in [one.reason for one in meters("load_kw", values)]) == is_told


@pytest.mark.parametrize("name", PLANNED_SERIES)
def test_prices_and_weather_may_stay_as_they_are_and_jump(name: str) -> None:
    assert meters(name, [0.2] * 500 + [900.0] + [0.2] * 500) == []


def test_what_a_source_suspects_is_told_as_such() -> None:
    flags = np.array([[0, 3, 3, 0, 1]], dtype=np.uint8)
    found = suspect_stretches("load_kw", TimeGrid(MONDAY, 5, 15), np.array([[1, 2, NAN, 3, 4]]), flags)
    assert found == [SuspectStretch(0, 1, 2, Reason.TOLD)]


@given(st.integers(0, 2**32), st.sampled_from(["load_kw", "pv_kw", "storage_soc_kwh"]), st.sampled_from([15, 60]))
def test_many_meters_at_once_are_judged_as_each_alone(seed: int, name: str, minutes: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.round(generator.gamma(1, 0.5, (4, 400)), int(generator.integers(0, 3)))
    for row in values:
        first = int(generator.integers(0, 350))
        row[first : first + int(generator.integers(1, 250))] = generator.choice([0, 0.7, NAN])
        row[generator.integers(0, 400)] = generator.choice([50, 2000, NAN])
    together = meters(name, *values, minutes=minutes)
    alone = [
        SuspectStretch(index, one.first, one.end, one.reason)
        for index, row in enumerate(values)
        for one in meters(name, row, minutes=minutes)
    ]
    assert together == sorted(alone)


@given(st.lists(st.sampled_from([0.0, 0.4, 0.8, NAN]), min_size=1, max_size=80), st.integers(1, 3))
def test_runs_are_those_of_a_plain_loop(row: list[float], copies: int) -> None:
    expected: list[tuple[int, int, int, int, float]] = []
    for meter in range(copies):
        for place, value in enumerate(row):
            if np.isnan(value):
                continue
            if expected and expected[-1][0] == meter and expected[-1][4] == value:
                _, first, _, readings, _ = expected.pop()
                expected.append((meter, first, place + 1, readings + 1, value))
            else:
                expected.append((meter, place, place + 1, 1, value))
    runs = runs_of(np.array([row] * copies))
    found = zip(runs.meter, runs.first, runs.end, runs.readings, runs.value, strict=True)
    assert [tuple(one) for one in found] == expected


@given(st.integers(0, 2**32))
def test_spikes_are_those_of_a_plain_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.gamma(0.3, 1.0, 60)
    values[generator.integers(0, 60, 4)] = generator.uniform(0, 90, 4)
    values[generator.integers(0, 60, 6)] = NAN
    known = [index for index in range(60) if not np.isnan(values[index])]
    ordered = sorted(values[known])
    middle = ordered[(len(known) - 1) // 2]
    away = [abs(values[index] - middle) for index in known]
    step = min((one for one in away if one > 0), default=0.0)
    spread = max(sorted(away)[int(0.99 * (len(known) - 1))], step)
    expected = np.zeros(60, dtype=bool)
    for number, index in enumerate(known):
        before, after = away[max(number - 2, 0) : number], away[number + 1 : number + 3]
        rise = away[number] - max(min(before), min(after)) if before and after else -1.0
        expected[index] = rise > 4 * spread and rise > 3.68
    assert spikes("load_kw", values[None], 0.25)[0].tolist() == expected.tolist()


# What is there and what is missing


@given(
    st.sampled_from(["Europe/Vienna", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]),
    st.dates(date(2024, 1, 1), date(2028, 12, 20)),
    st.integers(0, 2**32),
)
def test_the_calendar_of_gaps_is_that_of_a_plain_loop(zone: str, first_day: date, seed: int) -> None:
    generator = np.random.default_rng(seed)
    grid = TimeGrid(datetime.combine(first_day, time(), UTC), 4 * 96, 15)
    values = np.where(generator.random(grid.steps) < 0.2, NAN, generator.random(grid.steps))
    expected = generator.random(grid.steps) < 0.9
    found = quality_of(SeriesValues(SeriesKey("load_kw"), grid, values), zone, expected=expected)
    by_day: dict[date, list[int]] = {}
    for index in range(grid.steps):
        counts = by_day.setdefault(grid.instant(index).astimezone(ZoneInfo(zone)).date(), [0, 0])
        counts[0] += int(expected[index])
        counts[1] += int(expected[index] and not np.isnan(values[index]))
    assert {one.day: [one.expected, one.present] for one in found.days} == by_day
    missing = sum(gap.intervals for gap in found.gaps)
    assert found.counts["missing"] == missing == found.expected - sum(one.present for one in found.days)
    assert all(gap.end - gap.start == gap.intervals * grid.step for gap in found.gaps)


def test_gaps_counts_and_the_last_reading_are_told() -> None:
    given = flagged("load_kw", [NAN, 1, 2, NAN, NAN, 3, 4, NAN], [0, 1, 3, 0, 0, 0, 2, 0])
    found = quality_of(given, "UTC")
    assert found.counts == {"measured": 1, "estimated": 1, "substituted": 1, "suspect": 1, "missing": 4}
    assert found.completeness == 0.5
    assert [(gap.start - MONDAY, gap.intervals) for gap in found.gaps] == [
        (timedelta(0), 1),
        (timedelta(minutes=45), 2),
        (timedelta(minutes=105), 1),
    ]
    assert found.longest_gap == found.gaps[1]
    assert found.last_reading_end == MONDAY + timedelta(minutes=105)
    assert [(one.start - MONDAY, one.reason) for one in found.suspects] == [(timedelta(minutes=30), Reason.TOLD)]


def test_a_series_without_readings_says_so() -> None:
    found = quality_of(SeriesValues(SeriesKey("load_kw"), TimeGrid(MONDAY, 4, 15), np.full(4, NAN)), "UTC")
    assert (found.completeness, found.last_reading_end, found.suspects) == (0, None, ())
    nobody = quality_of(flagged("load_kw", [1.0], [0]), "UTC", expected=np.array([False]))
    assert (nobody.completeness, nobody.expected, nobody.longest_gap) == (None, 0, None)
