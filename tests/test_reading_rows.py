"""Rows gathered by series mean what they mean one by one."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.reading_rows import ReadingRows, gather
from digital_twin.domain.readings import Series, SeriesKey, SeriesValues
from digital_twin.domain.series_days import to_day_rows
from digital_twin.domain.stretches import Stretches
from digital_twin.domain.time import TimeGrid

HOMES = [SeriesKey("load_kw", f"h{home}") for home in range(3)]
QUARTERS = [Series(key, 15) for key in HOMES]
MONDAY_S = int(MONDAY.timestamp())
ROW = st.tuples(
    st.integers(0, 2), st.integers(-5, 100), st.sampled_from([1.0, 2.0, float("nan")]), st.sampled_from([0, 1, 3])
)


def rows_of(rows: list[tuple[int, int, float, int]]) -> ReadingRows:
    """Home, quarter since Monday, value and quality of each."""
    owner, step, values, flags = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return ReadingRows(owner.astype(np.int64), MONDAY_S + 900 * step.astype(np.int64), values, flags.astype(np.uint8))


@given(st.lists(ROW))
def test_the_last_value_of_a_slot_wins_and_all_are_counted_as_one_by_one(
    rows: list[tuple[int, int, float, int]],
) -> None:
    stretches = gather(QUARTERS, rows_of(rows)).readings
    singles = [
        SeriesValues(
            HOMES[home],
            TimeGrid(MONDAY + timedelta(minutes=15 * step), 1, 15),
            np.array([value]),
            np.array([flag], dtype=np.uint8),
        )
        for home, step, value, flag in rows
    ]
    assert sum(one.values.size for one in stretches) == len(rows)
    if not rows:
        return
    made, counts = to_day_rows(Stretches.of([HOMES.index(one.key) for one in stretches], stretches), 15)
    expected, expected_counts = to_day_rows(Stretches.of([home for home, *_ in rows], singles), 15)
    assert counts == expected_counts
    np.testing.assert_array_equal(made.day, expected.day)
    np.testing.assert_array_equal(made.series, expected.series)
    np.testing.assert_array_equal(made.slots, expected.slots)


@given(st.lists(ROW, min_size=1))
def test_every_value_knows_which_row_it_was(rows: list[tuple[int, int, float, int]]) -> None:
    gathered = gather(QUARTERS, rows_of(rows))
    for number, one in enumerate(gathered.readings):
        for offset in range(one.values.size):
            home, step, value, flag = rows[gathered.row(number, offset)]
            assert (one.key, one.grid.instant(offset)) == (HOMES[home], MONDAY + timedelta(minutes=15 * step))
            np.testing.assert_equal(one.values[offset], value)
            assert one.flags is not None
            assert one.flags[offset] == flag


def test_a_day_that_comes_slot_by_slot_for_all_homes_is_one_stretch_for_each() -> None:
    rows = [(home, step, float(step), 0) for step in range(96) for home in range(3)]
    assert [one.grid for one in gather(QUARTERS, rows_of(rows)).readings] == [TimeGrid(MONDAY, 96, 15)] * 3


@pytest.mark.parametrize(
    ("start_s", "reason"),
    [
        (MONDAY_S + 423, "multiple of 15 minutes; the interval that holds it starts at 2026-03-02T00:00:00+00:00"),
        (-900, "device's clock"),
        (4_102_444_800, "device's clock"),
        (-(2**62), "device's clock"),
        (2**62, "device's clock"),
    ],
)
def test_a_time_that_no_reading_can_have_is_refused_with_its_row_and_the_others_stay(start_s: int, reason: str) -> None:
    starts = np.array([start_s, MONDAY_S + 900, start_s, MONDAY_S, start_s])
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    gathered = gather(QUARTERS, ReadingRows(np.zeros(5, dtype=np.int64), starts, values))
    assert [row for row, _ in gathered.misplaced] == [0, 4], "where nothing is told, nothing can be wrong"
    assert all(rejection.key == HOMES[0] and reason in rejection.reason for _, rejection in gathered.misplaced)
    [kept] = gathered.readings
    assert (kept.grid, kept.values.tolist()) == (TimeGrid(MONDAY, 2, 15), [4, 2])
    assert [gathered.row(0, offset) for offset in range(2)] == [3, 1]


def test_a_resolution_that_no_series_may_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="resolution_minutes"):
        gather([Series(HOMES[0], 7)], ReadingRows(np.zeros(1, dtype=np.int64), np.array([MONDAY_S]), np.ones(1)))
