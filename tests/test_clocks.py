"""Clocks: intervals and days agree with the standard library in every zone, and devices with wrong clocks are named."""

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY, series

from digital_twin.domain.readings import (
    CLOCK_TOLERANCE,
    COMMUNITY_SERIES,
    MAX_FUTURE,
    PLANNED_SERIES,
    SUMMED_SERIES,
    are_plain,
    check_readings,
)
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting.local_days import to_local_days

ZONES = (
    "UTC",
    "Europe/Vienna",
    "America/St_Johns",
    "America/Los_Angeles",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
)
QUARTER = timedelta(minutes=15)
days = st.dates(date(2000, 1, 2), date(2037, 12, 30))
changes = st.sampled_from(
    [
        ("Europe/Vienna", date(2026, 3, 29), 92),
        ("Europe/Vienna", date(2026, 10, 25), 100),
        ("Australia/Lord_Howe", date(2026, 4, 5), 98),
        ("Australia/Lord_Howe", date(2026, 10, 4), 94),
        ("America/St_Johns", date(2026, 3, 8), 92),
        ("Pacific/Chatham", date(2026, 4, 5), 100),
        ("Asia/Kathmandu", date(2026, 3, 29), 96),
        ("Europe/Vienna", date(2028, 2, 29), 96),
        ("Asia/Kathmandu", date(2027, 12, 31), 96),
    ]
)


def midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


# Days


@given(changes)
def test_a_local_day_has_as_many_quarters_as_its_clock_shows(change: tuple[str, date, int]) -> None:
    zone, day, quarters = change
    first = midnight(day, zone) - timedelta(days=2)
    around = local_clock(TimeGrid(first, 5 * 96, 15), zone)
    assert np.count_nonzero(around.day == (day - date(1970, 1, 1)).days) == quarters


@given(st.sampled_from(ZONES), days, st.sampled_from([1, 15, 60]))
def test_every_interval_lies_on_the_local_day_of_its_start(zone: str, day: date, minutes: int) -> None:
    start = datetime.combine(day, time(), UTC) - timedelta(hours=14)
    grid = TimeGrid(start, 52 * 60 // minutes, minutes)
    clock = local_clock(grid, zone)
    for index in range(0, grid.steps, 7):
        local = grid.instant(index).astimezone(ZoneInfo(zone))
        assert clock.day[index] == (local.date() - date(1970, 1, 1)).days
        assert clock.hour[index] == pytest.approx(local.hour + local.minute / 60)
        assert clock.weekday[index] == local.weekday()
        assert clock.day_of_year[index] == local.timetuple().tm_yday


@given(st.sampled_from(ZONES), st.dates(date(2012, 1, 2), date(2037, 12, 1)), st.sampled_from([15, 60]))
def test_forecasting_gathers_what_happened_at_the_same_local_time(zone: str, first_day: date, minutes: int) -> None:
    grid = TimeGrid(datetime.combine(first_day, time(), UTC), 9 * 1440 // minutes, minutes)
    values = np.arange(float(grid.steps))
    found = to_local_days(values, grid, zone, until_day=0)
    by_hand: dict[tuple[int, int], list[float]] = defaultdict(list)
    for index in range(grid.steps):
        local = grid.instant(index).astimezone(ZoneInfo(zone))
        day = (local.date() - date(1970, 1, 1)).days - found.first_day
        by_hand[day, (60 * local.hour + local.minute) // minutes].append(values[index])
    assert np.isfinite(found.table).sum() == len(by_hand)
    assert all(found.table[place] == np.mean(told) for place, told in by_hand.items())


# Devices


@pytest.mark.parametrize("name", [*SUMMED_SERIES, "heat_kwh", "washing_machine_kw"])
def test_what_is_measured_cannot_lie_ahead(name: str) -> None:
    owner = None if name in SUMMED_SERIES else "h1"
    given = series(name, [1.0, 2.0, 3.0, 4.0], member=owner)
    is_instant = name == "storage_soc_kwh"
    now = MONDAY + 2 * QUARTER
    kept, refused = check_readings(given, now)
    known = 3 if is_instant else 2
    assert np.isfinite(kept.values).tolist() == [index < known for index in range(4)]
    assert [one.start for one in refused] == [MONDAY + index * QUARTER for index in range(known, 4)]
    assert all("device's clock" in one.reason for one in refused)


def test_a_clock_that_is_a_little_fast_is_believed_and_one_that_is_more_is_not() -> None:
    given = series("load_kw", [1.0])
    end = given.grid.end
    assert check_readings(given, end - CLOCK_TOLERANCE)[1] == []
    assert len(check_readings(given, end - CLOCK_TOLERANCE - timedelta(seconds=1))[1]) == 1


@pytest.mark.parametrize("name", PLANNED_SERIES)
def test_prices_emissions_and_weather_may_lie_ahead_for_a_year(name: str) -> None:
    assert set(PLANNED_SERIES) | set(SUMMED_SERIES) == set(COMMUNITY_SERIES)
    given = series(name, [0.5] * 3, start=MONDAY + MAX_FUTURE - QUARTER)
    kept, refused = check_readings(given, MONDAY)
    assert np.isfinite(kept.values).tolist() == [True, False, False]
    assert {one.reason for one in refused} == {"the interval starts more than 370 days ahead"}


@pytest.mark.parametrize("start", [datetime(1970, 1, 1, tzinfo=UTC), datetime(1980, 1, 6, tzinfo=UTC)])
def test_a_clock_that_lost_its_time_is_refused_by_name(start: datetime) -> None:
    kept, refused = check_readings(series("load_kw", [1.0, 2.0], start=start), MONDAY)
    assert np.isnan(kept.values).all()
    assert all("before 2000; look at the device's clock" in one.reason for one in refused)


def test_readings_are_believed_from_the_first_of_2000() -> None:
    given = series("load_kw", [1.0, 2.0, 3.0], start=datetime(1999, 12, 31, 23, 45, tzinfo=UTC))
    kept, refused = check_readings(given, MONDAY)
    assert np.isfinite(kept.values).tolist() == [False, True, True]
    assert [one.start for one in refused] == [given.grid.start]


@given(st.integers(-400, 400), st.integers(1, 40), st.sampled_from(["load_kw", "storage_soc_kwh", "ghi_wm2"]))
def test_each_interval_is_judged_by_itself(shift: int, steps: int, name: str) -> None:
    given = series(name, [1.0] * steps, start=MONDAY + shift * QUARTER)
    kept, refused = check_readings(given, MONDAY)
    for index in range(steps):
        start = given.grid.instant(index)
        measured_until = start if name == "storage_soc_kwh" else start + QUARTER
        is_believed = name == "ghi_wm2" or measured_until <= MONDAY + CLOCK_TOLERANCE
        assert np.isfinite(kept.values[index]) == is_believed
    assert len(refused) + np.isfinite(kept.values).sum() == steps


@given(
    st.integers(-60, 60), st.integers(1, 9), st.sampled_from(["load_kw", "ghi_wm2"]), st.sampled_from([1.0, -9.0, 1e9])
)
def test_what_is_plain_at_a_glance_holds_a_close_look(shift: int, steps: int, name: str, value: float) -> None:
    given = [series(name, [value] * steps, start=MONDAY + shift * QUARTER), series("load_kw", [np.nan], start=MONDAY)]
    if are_plain(given, MONDAY):
        assert not any(check_readings(one, MONDAY)[1] for one in given)
