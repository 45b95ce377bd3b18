"""Sums over members, kept up to date day by day, are those that one would work out anew from every reading."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import community, series

from digital_twin.domain.assets import Member
from digital_twin.services.ports import CommunitySum, Store

MINUTES = {"h1": 5, "h2": 15, "h3": 30, "h4": 60}
NAMES = ("load_kw", "storage_soc_kwh")  # a mean and an instant
SPAN_MINUTES = 2 * 1440
HALVES = [float("nan"), 0.0, 0.5, 1.5, 2.0, 64.0]
"""Exact in single precision, and exact when averaged over up to 12 slots in another order within the tolerance."""

REORDERED = 1e-12

minute = st.integers(0, SPAN_MINUTES - 1)
dates = st.tuples(st.none() | minute, st.none() | minute).filter(lambda two: None in two or two[0] < two[1])
write = st.tuples(
    st.just("write"), st.sampled_from(NAMES), st.sampled_from(sorted(MINUTES)), minute,
    st.lists(st.sampled_from(HALVES), min_size=1, max_size=60),
)  # fmt: skip
move = st.tuples(st.just("move"), st.sampled_from(sorted(MINUTES)), dates)
ask = st.tuples(st.just("ask"), minute, st.integers(1, SPAN_MINUTES))
steps_taken = st.lists(write | write | move | ask, min_size=3, max_size=14)
_number = count()


class Plain:
    """All readings by name, member and minute, and when each member belongs."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str, int], float] = {}
        self.known: set[tuple[str, str]] = set()
        self.spans: dict[str, tuple[int | None, int | None]] = dict.fromkeys(MINUTES, (None, None))

    def belongs(self, member: str, at: int) -> bool:
        joined, left = self.spans[member]
        return (joined is None or joined <= at) and (left is None or at < left)

    def slot(self, name: str, member: str, at: int, minutes: int) -> float | None:
        """The value of a coarse slot; None where it is not wholly known."""
        starts = [at] if name == "storage_soc_kwh" else range(at, at + minutes, MINUTES[member])
        values = [self.values.get((name, member, one)) for one in starts]
        known = [one for one in values if one is not None]
        return sum(known) / len(known) if len(known) == len(values) and self.belongs(member, at) else None

    def minutes_of(self, name: str) -> int:
        return max(MINUTES[member] for one, member in self.known if one == name)


@pytest.mark.parametrize("store", ["embedded", "given"], indirect=True)
@settings(max_examples=25)
@given(steps=steps_taken)
async def test_any_history_of_readings_and_dates_adds_up(store: Store, steps: Sequence[tuple[object, ...]]) -> None:
    name, plain = f"c{next(_number)}", Plain()
    # two days of which the first is closed
    start = datetime.combine(datetime.now(UTC).date() - timedelta(days=36), datetime.min.time(), UTC)
    async with store.platform() as tx:
        await tx.communities.create(community(name))
    async with store.community(name) as tx:
        await tx.members.put_members([Member(member) for member in MINUTES])
    past: list[tuple[datetime, dict[tuple[str, str, int], float]]] = []
    for number, step in enumerate([*steps, ("ask", 0, SPAN_MINUTES)]):
        async with store.community(name) as tx:
            match step:
                case "write", str(series_name), str(member), int(at), list(values):
                    minutes = MINUTES[member]
                    first = at - at % minutes
                    sent = series(
                        series_name, values, member=member, start=start + timedelta(minutes=first), minutes=minutes
                    )
                    receipt = await tx.readings.record([sent], key=str(number))
                    plain.known.add((series_name, member))
                    plain.values |= {
                        (series_name, member, first + index * minutes): value
                        for index, value in enumerate(values)
                        if value == value
                    }
                    past.append((receipt.received_at, dict(plain.values)))
                case "move", str(member), (joined, left):
                    plain.spans[member] = (joined, left)
                    span = [None if one is None else start + timedelta(minutes=one) for one in (joined, left)]
                    await tx.members.put_members([Member(member, None, *span)])
                case _, int(at), int(length):
                    end = start + timedelta(minutes=at + length)
                    for one in NAMES:
                        found = await tx.readings.community_sum(one, start + timedelta(minutes=at), end)
                        _assert_adds_up(found, plain, one, start)
    for received_at, plain.values in past:
        async with store.community(name) as tx:
            for one in NAMES:
                end = start + timedelta(minutes=SPAN_MINUTES)
                _assert_adds_up(await tx.readings.community_sum(one, start, end, as_of=received_at), plain, one, start)


def _assert_adds_up(found: CommunitySum | None, plain: Plain, name: str, start: datetime) -> None:
    if not any(one == name for one, _ in plain.known):
        assert found is None
        return
    assert found is not None
    minutes = plain.minutes_of(name)
    assert found.grid.step_minutes == minutes
    owners = [member for one, member in sorted(plain.known) if one == name]
    minutes_in = range(_minutes(start, found.grid.start), _minutes(start, found.grid.end), minutes)
    slots = [[plain.slot(name, member, at, minutes) for member in owners] for at in minutes_in]
    known = [[one for one in slot if one is not None] for slot in slots]
    assert found.reporting.tolist() == [len(one) for one in known]
    assert found.members.tolist() == [sum(plain.belongs(member, at) for member in MINUTES) for at in minutes_in]
    np.testing.assert_allclose(found.total, [sum(one) if one else np.nan for one in known], rtol=REORDERED)


def _minutes(start: datetime, instant: datetime) -> int:
    return round((instant - start).total_seconds() / 60)
