"""Rows gathered by series mean what they mean one by one."""

from datetime import timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.reading_rows import RowsBySeries
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.series_days import to_day_rows
from digital_twin.domain.stretches import Stretches
from digital_twin.domain.time import TimeGrid

HOMES = [SeriesKey("load_kw", f"h{home}") for home in range(3)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 100), st.sampled_from([1.0, 2.0, float("nan")]))))
def test_the_last_value_of_a_slot_wins_and_all_are_counted_as_one_by_one(rows: list[tuple[int, int, float]]) -> None:
    gathered, singles = RowsBySeries(), []
    for home, step, value in rows:
        start = MONDAY + timedelta(minutes=15 * step)
        slots, values = gathered.series(HOMES[home], 15)
        slots.append(gathered.slot(start, 15))
        values.append(value)
        singles.append(SeriesValues(HOMES[home], TimeGrid(start, 1, 15), np.array([value])))
    stretches = gathered.stretches()
    assert sum(one.values.size for one in stretches) == len(rows)
    if not rows:
        return
    made, counts = to_day_rows(Stretches.of([HOMES.index(one.key) for one in stretches], stretches), 15)
    expected, expected_counts = to_day_rows(Stretches.of([home for home, _, _ in rows], singles), 15)
    assert counts == expected_counts
    np.testing.assert_array_equal(made.day, expected.day)
    np.testing.assert_array_equal(made.series, expected.series)
    np.testing.assert_array_equal(made.slots, expected.slots)


def test_a_day_that_comes_slot_by_slot_for_all_homes_is_one_stretch_for_each() -> None:
    gathered = RowsBySeries()
    for step in range(96):
        for home in HOMES:
            slots, values = gathered.series(home, 15)
            slots.append(gathered.slot(MONDAY + timedelta(minutes=15 * step), 15))
            values.append(step)
    assert [one.grid for one in gathered.stretches()] == [TimeGrid(MONDAY, 96, 15)] * 3


def test_a_time_off_the_grid_is_refused_however_it_is_written() -> None:
    gathered = RowsBySeries()
    east = MONDAY.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert gathered.slot(MONDAY, 15) == gathered.slot(east, 15)
    for wrong in (MONDAY + timedelta(minutes=7), MONDAY.replace(tzinfo=None)):
        for _ in range(2):
            with pytest.raises(InvalidInput):
                gathered.slot(wrong, 15)
