"""What is expected of members: like days count, nobody is forgotten, and all together agree with the community."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.time import TimeGrid
from digital_twin.forecasting.member_days import HISTORY_DAYS, expected_of_members, in_balance, shared_out

HOURS = 24
PAST = TimeGrid(MONDAY - timedelta(days=HISTORY_DAYS), HISTORY_DAYS * HOURS, 60)
DAY = TimeGrid(MONDAY, HOURS, 60)
ROUNDING = 1e-9


def by_days(of_day: np.ndarray) -> np.ndarray:
    """The same all day long, (N, P)."""
    return np.repeat(np.atleast_2d(of_day), HOURS, axis=1).astype(np.float64)


def test_a_home_that_does_the_same_every_day_is_expected_to_do_so_again():
    shape = np.arange(24.0)
    history = np.tile(shape, (1, HISTORY_DAYS))
    assert expected_of_members(history, PAST, DAY, "UTC")[0] == pytest.approx(shape)


def test_a_working_day_is_like_working_days_and_a_sunday_like_weekends():
    days = np.arange(HISTORY_DAYS)
    weekend = days % 7 >= 5  # the past begins on a Monday
    history = by_days(np.where(weekend, 10.0, 1.0))
    sunday = TimeGrid(MONDAY + timedelta(days=6), HOURS, 60)
    assert expected_of_members(history, PAST, DAY, "UTC").max() < 2.0
    assert expected_of_members(history, PAST, sunday, "UTC").min() > 8.0


def test_what_is_nearer_counts_more():
    history = by_days(np.where(np.arange(HISTORY_DAYS) < HISTORY_DAYS // 2, 0.0, 1.0))
    assert expected_of_members(history, PAST, DAY, "UTC").min() > 0.6


def test_a_weighted_mean_by_hand():
    history = by_days(np.full(HISTORY_DAYS, np.nan))
    history[0, -7 * HOURS : -6 * HOURS] = 4.0  # the Monday before
    history[0, -2 * HOURS : -HOURS] = 1.0  # the Saturday before
    monday, saturday = 1.0 * 0.5 ** (7 / 14), 0.1 * 0.5 ** (2 / 14)
    expected = (4.0 * monday + 1.0 * saturday) / (monday + saturday)
    assert expected_of_members(history, PAST, DAY, "UTC")[0] == pytest.approx(expected)


@pytest.mark.parametrize("twice", [(5.0, 5.0), (4.0, 6.0), (5.0, np.nan), (np.nan, 5.0)])
def test_an_hour_that_a_25_hour_day_has_twice_counts_once_whichever_is_missing(twice: tuple[float, float]):
    monday = datetime(2026, 10, 26, tzinfo=ZoneInfo("Europe/Vienna")).astimezone(UTC)
    past = TimeGrid(monday - timedelta(days=HISTORY_DAYS), HISTORY_DAYS * HOURS, 60)
    history = np.ones((1, past.steps))
    history[0, -23:-21] = twice  # Sunday 02:00 in summer time, and again in winter time
    found = expected_of_members(history, past, TimeGrid(monday, HOURS, 60), "Europe/Vienna")[0]
    history[0, -23:-21] = 5.0
    assert found == pytest.approx(expected_of_members(history, past, TimeGrid(monday, HOURS, 60), "Europe/Vienna")[0])
    assert found[2] > 1.0
    assert np.delete(found, 2) == pytest.approx(1.0)


def test_a_home_with_a_day_of_readings_is_unknown_and_does_not_touch_the_others():
    history = by_days(np.ones((2, HISTORY_DAYS)))
    history[0, HOURS:] = np.nan
    found = expected_of_members(history, PAST, DAY, "UTC")
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx(1.0)


def test_an_hour_that_was_never_seen_is_expected_at_the_mean():
    history = np.tile(np.arange(24.0), (1, HISTORY_DAYS))
    history[0, 5::HOURS] = np.nan
    found = expected_of_members(history, PAST, DAY, "UTC")[0]
    assert found[5] == pytest.approx((sum(range(24)) - 5) / 23)


@pytest.mark.parametrize("start", ["2026-03-29", "2026-10-25"])
def test_habits_follow_the_clock_on_the_wall_when_it_is_changed(start: str):
    zone = ZoneInfo("Europe/Vienna")
    midnight = datetime.fromisoformat(start).replace(tzinfo=zone).astimezone(UTC)
    past = TimeGrid(midnight - timedelta(days=HISTORY_DAYS), HISTORY_DAYS * HOURS, 60)
    clock = np.array([past.instant(step).astimezone(zone).hour for step in range(past.steps)])
    grid = TimeGrid(midnight, HOURS, 60)
    comes = np.array([grid.instant(step).astimezone(zone).hour for step in range(HOURS)])
    found = expected_of_members(np.where(clock == 7, 3.0, 0.0)[None, :], past, grid, "Europe/Vienna")[0]
    assert found == pytest.approx(np.where(comes == 7, 3.0, 0.0))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_members_agree_with_the_community_whatever_is_expected_of_them(seed: int, members: int):
    generator = np.random.default_rng(seed)
    expected = generator.random((members, 8)) * (generator.random((members, 8)) > 0.5)
    total = generator.random(8) * (generator.random(8) > 0.2)
    found = shared_out(expected, total)
    assert (found >= 0).all()
    assert found.sum(axis=0) == pytest.approx(total, abs=ROUNDING)


def test_who_is_expected_to_use_twice_as_much_gets_twice_as_much():
    expected = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0]])
    found = shared_out(expected, np.array([6.0, 6.0, 4.0]))
    assert found == pytest.approx(np.array([[2.0, 4.0, 2.0], [4.0, 2.0, 2.0]]))


@given(st.integers(0, 2**32 - 1), st.floats(-8, 8))
def test_net_courses_are_met_wherever_both_ways_are_used(seed: int, magnitude: float):
    generator = np.random.default_rng(seed)
    drawn, fed_in = generator.random((4, 6)), generator.random((4, 6))
    net = 10**magnitude * generator.normal(0.0, 1.0, 6)
    more, less = in_balance(drawn, fed_in, net)
    assert (more >= 0).all()
    assert (less >= 0).all()
    size = np.maximum(np.abs(net), 1.0)
    assert (more.sum(axis=0) - less.sum(axis=0)) / size == pytest.approx(net / size, abs=ROUNDING)
    assert more / drawn == pytest.approx(np.broadcast_to(fed_in / np.maximum(less, 1e-300), more.shape), rel=1e-6)


def test_where_members_only_draw_they_draw_all_of_it_and_feed_nothing_in():
    drawn, nothing = np.array([[1.0, 2.0], [3.0, 2.0]]), np.zeros((2, 2))
    more, less = in_balance(drawn, nothing, np.array([8.0, -1.0]))
    assert more == pytest.approx(np.array([[2.0, 0.0], [6.0, 0.0]]))
    assert (less == 0).all()
    less, more = in_balance(nothing, drawn, np.array([-8.0, 1.0]))
    assert more == pytest.approx(np.array([[2.0, 0.0], [6.0, 0.0]]))
    assert (less == 0).all()
