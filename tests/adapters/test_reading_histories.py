"""Random histories of readings against the plainest possible store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.recorded import NAN, flags_of, in_turn, open_community, outcome

from digital_twin.adapters.postgres import spool
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.services.ports import CommunitySum, Readings, Store
from digital_twin.testing import FakeClock, MemoryStore

SLOTS = 200
"""Two days of quarters and a little more, around the border of open and closed days; or some hours of minutes."""

SERIES = [SeriesKey("load_kw", "h1"), SeriesKey("load_kw", "h2"), SeriesKey("load_kw", "h3"), SeriesKey("pv_kw")]

one_reading = st.tuples(st.sampled_from([NAN, 0.0, 0.1, 1.5, 2.0]), st.sampled_from([0, 0, 1, 3]))
one_series = st.tuples(
    st.sampled_from(SERIES),
    st.integers(0, SLOTS - 1),
    st.lists(one_reading, min_size=1, max_size=110),
    st.booleans(),  # whether it has flags
    st.booleans(),  # whether a new part begins with it
)
batch_of_readings = st.tuples(st.lists(one_series, min_size=1, max_size=5), st.booleans(), st.integers(0, 12))
history = st.lists(batch_of_readings, min_size=1, max_size=8)
_number = count()


@pytest.mark.parametrize("store", ["embedded", "given"], indirect=True)
@pytest.mark.parametrize(
    ("days_ago", "minutes"),
    [(1, 15), (36, 15), (400, 15), (36, 1)],
    ids=["open", "across the border", "closed", "minutes across the border"],
)
@settings(max_examples=25)
@given(batches=history, instants=st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=4))
async def test_any_history_reads_back_as_a_dictionary_would(
    store: Store,
    days_ago: int,
    minutes: int,
    batches: list[tuple[list[tuple[SeriesKey, int, list[tuple[float, int]], bool, bool]], bool, int]],
    instants: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "READINGS_AT_ONCE", 50)  # else everything here would be one portion
    step = timedelta(minutes=minutes)
    start = datetime.combine(datetime.now(UTC).date() - timedelta(days=days_ago), datetime.min.time(), UTC)
    if minutes == 1:
        start += timedelta(hours=20)  # the slots reach into the day that follows
    end = start + 320 * step
    name, clock = f"c{next(_number)}", FakeClock(datetime(2020, 1, 1, tzinfo=UTC))
    oracle = MemoryStore(clock)
    for one in (store, oracle):
        await open_community(one, name)
    stamps: list[datetime] = []
    for stretches, imported, key in batches:
        readings: list[SeriesValues] = []
        parts: list[list[SeriesValues]] = []
        for series_key, slot, told, has_flags, begins_part in stretches:
            grid = TimeGrid(start + slot * step, len(told), minutes)
            values = np.array([value for value, _ in told])
            flags = np.array([flag for _, flag in told], dtype=np.uint8) if has_flags else None
            readings.append(SeriesValues(series_key, grid, values, flags))
            if begins_part or not parts:
                parts.append([])
            parts[-1].append(readings[-1])
        delay = timedelta(hours=1) if imported else None
        async with store.community(name) as tx:
            receipt = await tx.readings.record_parts(in_turn(parts), key=str(key), assumed_delay=delay)
        if not receipt.replayed:
            clock.advance(seconds=(receipt.received_at - clock.now()).total_seconds())
        async with oracle.community(name) as tx:
            expected = await tx.readings.record(readings, key=str(key), assumed_delay=delay)
        assert (outcome(receipt), receipt.replayed) == (outcome(expected), expected.replayed)
        assert receipt.received_at == expected.received_at
        stamps.append(receipt.received_at)
    first, last = min(stamps), max(stamps)
    between = [first + fraction * (last - first) for fraction in instants]
    in_history = [start + fraction * (end - start) for fraction in instants]
    for as_of in [None, *stamps, *between, *in_history]:
        async with store.community(name) as tx, oracle.community(name) as other:
            await _assert_equal(tx.readings, other.readings, (start, end), as_of)
    async with store.community(name) as tx, oracle.community(name) as other:
        assert await tx.readings.series() == await other.readings.series()


async def _assert_equal(
    ours: Readings, oracle: Readings, span: tuple[datetime, datetime], as_of: datetime | None
) -> None:
    start, end = span
    _assert_same_series(
        await ours.read(SERIES, start, end, as_of=as_of), await oracle.read(SERIES, start, end, as_of=as_of)
    )
    _assert_same_sum(
        await ours.community_sum("load_kw", start, end, as_of=as_of),
        await oracle.community_sum("load_kw", start, end, as_of=as_of),
    )


def _assert_same_series(ours: Sequence[SeriesValues], oracle: Sequence[SeriesValues]) -> None:
    assert [(one.key, one.grid) for one in ours] == [(one.key, one.grid) for one in oracle]
    for mine, theirs in zip(ours, oracle, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(flags_of(mine), flags_of(theirs))


def _assert_same_sum(ours: CommunitySum | None, oracle: CommunitySum | None) -> None:
    if ours is None or oracle is None:
        assert ours is oracle
        return
    assert ours.grid == oracle.grid
    # the order of a sum of three float32 values may differ
    np.testing.assert_allclose(ours.total, oracle.total, rtol=1e-12)
    np.testing.assert_array_equal(ours.reporting, oracle.reporting)
    np.testing.assert_array_equal(ours.members, oracle.members)
