"""Readings: exactly once, exactly counted, and readable as they were known at any instant."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from tests.adapters.recorded import NAN, flagged, flags_of, in_turn, open_community, outcome, read, record
from tests.builders import MONDAY, series

from digital_twin.domain.assets import Member
from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.domain.readings import Receipt, SeriesKey, SeriesValues
from digital_twin.services.ports import Store


async def test_every_reading_of_a_batch_is_counted_once(store: Store) -> None:
    await open_community(store)
    first = await record(store, series("load_kw", [1, 2, NAN, 4], member="h1"), key="a")
    again = await record(store, series("load_kw", [1, 2.5, 3, NAN], member="h1"), key="b")
    assert outcome(first) == (3, 3, 0, 0, 0)
    assert outcome(again) == (3, 1, 1, 1, 0)
    assert await read(store, SeriesKey("load_kw", "h1"), MONDAY, 1) == [1, 2.5, 3, 4]


async def test_a_missing_value_never_erases_a_neighbour_or_itself(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1, 2, 3, 4], member="h1"), key="a")
    receipt = await record(store, series("load_kw", [NAN] * 96, member="h1"), key="b")
    assert outcome(receipt) == (0, 0, 0, 0, 0)
    assert await read(store, SeriesKey("load_kw", "h1"), MONDAY, 1) == [1, 2, 3, 4]


async def test_a_repeated_key_changes_nothing_and_says_so(store: Store) -> None:
    await open_community(store)
    first = await record(store, series("load_kw", [1, 2], member="h1"), key="a")
    again = await record(store, series("load_kw", [7, 8, 9], member="h1"), key="a")
    assert again.replayed
    assert not first.replayed
    assert outcome(again) == outcome(first)
    assert again.received_at == first.received_at
    assert await read(store, SeriesKey("load_kw", "h1"), MONDAY, 0.5) == [1, 2]


async def test_the_last_of_several_values_for_a_slot_wins(store: Store) -> None:
    await open_community(store)
    receipt = await record(
        store,
        series("load_kw", [1, 2], member="h1"),
        series("load_kw", [1, 3], member="h1"),
        series("load_kw", [1], member="h1"),
        key="a",
    )
    assert outcome(receipt) == (5, 2, 2, 0, 1)
    assert await read(store, SeriesKey("load_kw", "h1"), MONDAY, 0.5) == [1, 3]


async def test_negative_zero_is_zero(store: Store) -> None:
    await open_community(store)
    await record(store, series("net_load_kw", [0.0], member="h1"), key="a")
    assert outcome(await record(store, series("net_load_kw", [-0.0], member="h1"), key="b")) == (1, 0, 1, 0, 0)


async def test_a_series_keeps_its_resolution(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1], member="h1"), key="a")
    for readings in (
        [series("load_kw", [1], member="h1", minutes=60)],
        [series("pv_kw", [1], member="h1"), series("pv_kw", [1], member="h1", minutes=5)],
    ):
        with pytest.raises(InvalidInput, match="every 15"):
            await record(store, *readings, key="b")


async def test_readings_need_their_member_and_asset(store: Store) -> None:
    await open_community(store)
    for stranger in (series("load_kw", [1], member="h9"), series("pv_kw", [1], asset="shed")):
        with pytest.raises(InvalidInput, match="is not in this community"):
            await record(store, series("load_kw", [5], member="h1"), stranger, key="a")
    async with store.community("solar_valley") as tx:
        assert await tx.readings.series() == []
    await record(store, series("pv_kw", [1], asset="roof"), series("temperature_c", [21]), key="a")


async def test_what_is_stored_is_listed_with_its_span(store: Store) -> None:
    await open_community(store)
    await record(
        store,
        series("pv_kw", [1.0] * 200, member="h1"),
        series("load_kw", [1.0], member="h2", minutes=60),
        series("load_kw", [1.0]),
        series("temperature_c", [NAN]),
        key="a",
    )
    async with store.community("solar_valley") as tx:
        known = await tx.readings.series()
    assert [(one.series.key.name, one.series.key.member_id, one.series.resolution_minutes) for one in known] == [
        ("load_kw", None, 15),
        ("load_kw", "h2", 60),
        ("pv_kw", "h1", 15),
    ]
    assert (known[2].first_day, known[2].last_day) == (MONDAY, MONDAY + timedelta(days=2))


async def test_a_question_may_begin_and_end_anywhere(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", range(96), member="h1"), key="a")
    key = SeriesKey("load_kw", "h1")
    assert await read(store, key, MONDAY + timedelta(minutes=20), 0.5) == [1, 2, 3]
    before = await read(store, key, MONDAY - timedelta(hours=1), 1.25)
    np.testing.assert_array_equal(before, [NAN, NAN, NAN, NAN, 0])
    async with store.community("solar_valley") as tx:
        assert await tx.readings.read([SeriesKey("pv_kw", "h1")], MONDAY, MONDAY + timedelta(days=1)) == []


async def test_the_past_is_read_as_it_was_known_then(store: Store) -> None:
    await open_community(store)
    key = SeriesKey("load_kw", "h1")
    first = await record(store, series("load_kw", [1, 2, 3], member="h1"), key="a")
    second = await record(store, series("load_kw", [NAN, 20, 3, 4], member="h1"), key="b")
    third = await record(store, series("load_kw", [NAN, 2], member="h1"), key="c")
    assert first.received_at < second.received_at < third.received_at
    before = first.received_at - timedelta(microseconds=1)
    np.testing.assert_array_equal(await read(store, key, MONDAY, 1, before), [NAN] * 4)
    np.testing.assert_array_equal(await read(store, key, MONDAY, 1, first.received_at), [1, 2, 3, NAN])
    assert await read(store, key, MONDAY, 1, second.received_at) == [1, 20, 3, 4]
    assert await read(store, key, MONDAY, 1, third.received_at) == [1, 2, 3, 4]
    assert await read(store, key, MONDAY, 1) == [1, 2, 3, 4]


async def test_imported_history_counts_as_known_a_while_after_it_happened(store: Store) -> None:
    await open_community(store)
    key, delay = SeriesKey("load_kw", "h1"), timedelta(hours=1)
    imported = await record(store, series("load_kw", [1, 2, 3, 4], member="h1"), key="a", delay=delay)
    corrected = await record(store, series("load_kw", [9], member="h1"), key="b", delay=delay)
    # the first interval ends at 00:15 and counts as known from 01:15 on
    np.testing.assert_array_equal(await read(store, key, MONDAY, 1, MONDAY + timedelta(minutes=74)), [NAN] * 4)
    np.testing.assert_array_equal(await read(store, key, MONDAY, 1, MONDAY + timedelta(minutes=90)), [1, 2, NAN, NAN])
    assert await read(store, key, MONDAY, 1, imported.received_at) == [1, 2, 3, 4]
    assert await read(store, key, MONDAY, 1, corrected.received_at) == [9, 2, 3, 4]


async def test_a_reading_is_its_value_and_its_flag(store: Store) -> None:
    await open_community(store)
    key = SeriesKey("load_kw", "h1")

    async def flags(as_of: datetime | None = None) -> list[int] | None:
        async with store.community("solar_valley") as tx:
            [found] = await tx.readings.read([key], MONDAY, MONDAY + timedelta(hours=1), as_of=as_of)
            return None if found.flags is None else found.flags.tolist()

    values = series("load_kw", [1, 2, 3, NAN], member="h1")
    first = await record(store, values, key="a")
    assert await flags() is None
    estimated = await record(store, flagged(values, 0, 1, 2, 3), key="b")
    assert outcome(estimated) == (3, 0, 1, 2, 0)
    assert await flags() == [0, 1, 2, 0]
    again = await record(store, flagged(values, 0, 1, 1, 0), flagged(values, 0, 1, 2, 0), key="c")
    assert outcome(again) == (6, 0, 5, 0, 1)
    measured = await record(store, values, key="d")
    assert outcome(measured) == (3, 0, 1, 2, 0)
    assert await flags() is None
    assert await flags(first.received_at) is None
    assert await flags(estimated.received_at) == await flags(again.received_at) == [0, 1, 2, 0]
    assert await flags(measured.received_at) is None


async def test_a_batch_in_parts_is_one_batch(store: Store) -> None:
    await open_community(store)
    parts = [
        [series("load_kw", [1, 2, 3], member="h1"), series("pv_kw", [7, 7], member="h1", minutes=30)],
        [series("load_kw", [2, 2], member="h1"), series("load_kw", [5.0] * 200, member="h3")],
        [series("load_kw", [1, NAN, 4], member="h1")],
    ]
    async with store.community("solar_valley") as tx:
        receipt = await tx.readings.record_parts(in_turn(parts), key="a")
    # h1's first slot was told 1, 2, 1: the last wins, one repeats it and one is superseded
    assert outcome(receipt) == (209, 205, 2, 0, 2)
    assert await read(store, SeriesKey("load_kw", "h1"), MONDAY, 0.75) == [1, 2, 4]
    assert await read(store, SeriesKey("load_kw", "h3"), MONDAY + timedelta(hours=49), 0.5) == [5, 5]
    before = receipt.received_at - timedelta(microseconds=1)
    np.testing.assert_array_equal(await read(store, SeriesKey("load_kw", "h1"), MONDAY, 0.5, before), [NAN, NAN])


async def test_a_known_key_is_answered_without_the_rest_of_its_parts(store: Store) -> None:
    await open_community(store)
    first = await record(store, series("load_kw", [1], member="h1"), key="a")
    part = [series("load_kw", [2], member="h1")]
    async with store.community("solar_valley") as tx:
        again = await tx.readings.record_parts(in_turn([part, part, part]), key="a")
    assert again.replayed
    assert outcome(again) == outcome(first)
    assert await read(store, SeriesKey("load_kw", "h1"), MONDAY, 0.25) == [1]


async def test_parts_that_fail_leave_nothing(store: Store) -> None:
    await open_community(store)

    async def broken() -> AsyncIterator[Sequence[SeriesValues]]:
        for value in (1.0, 2.0):
            yield [series("load_kw", [value], member="h1")]
        raise InvalidInput("line 7 has no value")

    with pytest.raises(InvalidInput, match="line 7"):
        async with store.community("solar_valley") as tx:
            await tx.readings.record_parts(broken(), key="a")
    async with store.community("solar_valley") as tx:
        assert await tx.readings.series() == []
    assert outcome(await record(store, series("load_kw", [1], member="h1"), key="a")) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("minutes", [1, 5, 10, 30, 60])
async def test_every_resolution_is_stored_corrected_and_read(store: Store, minutes: int) -> None:
    await open_community(store)
    key, slots = SeriesKey("load_kw", "h1"), 1440 // minutes
    start = MONDAY + timedelta(hours=20)
    night = [1 + float(slot % 7) for slot in range(slots)]  # until 20:00 of the next day
    first = await record(store, series("load_kw", night, member="h1", start=start, minutes=minutes), key="a")
    assert outcome(first) == (slots, slots, 0, 0, 0)
    last_hour = [NAN] * (slots - 60 // minutes) + [9.0] * (60 // minutes)
    change = replace(
        series("load_kw", last_hour, member="h1", start=start, minutes=minutes), flags=np.ones(slots, dtype=np.uint8)
    )
    second = await record(store, change, key="b")
    assert outcome(second) == (60 // minutes, 0, 0, 60 // minutes, 0)
    after = night[: -60 // minutes] + [9.0] * (60 // minutes)
    assert await read(store, key, start, 24) == after
    assert await read(store, key, start, 24, first.received_at) == night
    async with store.community("solar_valley") as tx:
        [found] = await tx.readings.read([key], start, start + timedelta(hours=24))
        total = await tx.readings.community_sum("load_kw", start, start + timedelta(hours=24))
    assert flags_of(found) == [0] * (slots - 60 // minutes) + [1] * (60 // minutes)
    assert total is not None
    assert total.total.tolist() == after


async def test_a_community_sum_says_how_many_took_part(store: Store) -> None:
    await open_community(store)
    await record(
        store,
        series("load_kw", [1.0] * 8, member="h1"),
        series("load_kw", [NAN, 10, 10, 10, 10, NAN, 10, 10], member="h2"),
        series("load_kw", [100.0] * 300, member="h3"),
        key="a",
    )
    async with store.community("solar_valley") as tx:
        total = await tx.readings.community_sum("load_kw", MONDAY, MONDAY + timedelta(hours=2))
        late = await tx.readings.community_sum(
            "load_kw", MONDAY + timedelta(hours=47.5), MONDAY + timedelta(hours=48.5)
        )
        assert await tx.readings.community_sum("pv_kw", MONDAY, MONDAY + timedelta(hours=2)) is None
    assert total is not None
    assert total.total.tolist() == [101, 101, 101, 101, 111, 101, 111, 111]
    assert total.reporting.tolist() == [2, 2, 2, 2, 3, 2, 3, 3]
    assert total.members.tolist() == [2, 2, 2, 2, 3, 3, 3, 3]
    assert late is not None
    np.testing.assert_array_equal(late.total, [100, 100, NAN, NAN])
    assert late.members.tolist() == [3, 3, 2, 2]


async def test_members_of_several_resolutions_add_up_on_the_coarsest(store: Store) -> None:
    await open_community(store)
    await record(
        store,
        series("load_kw", [1, 3, 5, NAN, 2, 2, 2, 2], member="h1"),
        series("load_kw", [10, 20], member="h3", minutes=60),
        series("storage_soc_kwh", [1, 2, 3, 4], member="h1"),
        series("storage_soc_kwh", [7], member="h3", minutes=60),
        key="a",
    )
    async with store.community("solar_valley") as tx:
        load = await tx.readings.community_sum("load_kw", MONDAY, MONDAY + timedelta(hours=2))
        soc = await tx.readings.community_sum("storage_soc_kwh", MONDAY, MONDAY + timedelta(hours=1))
    assert load is not None
    assert soc is not None
    assert (load.total.tolist(), load.reporting.tolist()) == ([10, 22], [1, 2])
    assert soc.total.tolist() == [8]


async def test_a_change_of_dates_changes_the_sums(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1.0] * 4, member="h1"), series("load_kw", [2.0] * 4, member="h3"), key="a")

    async def total() -> list[float]:
        async with store.community("solar_valley") as tx:
            found = await tx.readings.community_sum("load_kw", MONDAY, MONDAY + timedelta(hours=1))
        assert found is not None
        return found.total.tolist()

    assert await total() == [3] * 4
    async with store.community("solar_valley") as tx:
        await tx.members.put_members([Member("h3", joined_at=MONDAY + timedelta(minutes=30))])
    assert await total() == [1, 1, 3, 3]


async def test_a_coarser_member_later_keeps_the_sums_of_the_days_before(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1.0] * 200, member="h1"), key="a")

    async def totals(hours: float, as_of: datetime | None = None) -> list[float]:
        async with store.community("solar_valley") as tx:
            found = await tx.readings.community_sum("load_kw", MONDAY, MONDAY + timedelta(hours=hours), as_of=as_of)
        assert found is not None
        return found.total.tolist()

    assert await totals(50) == [1] * 200
    early = await record(store, series("load_kw", [3.0] * 96, member="h2", minutes=60), key="b")
    await record(store, series("load_kw", [5.0] * 96, member="h2", minutes=60), key="c")
    assert await totals(50) == [1, *[6] * 49]
    assert await totals(50, early.received_at) == [1, *[4] * 49]


async def test_sums_are_asked_for_in_any_zone(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1.0] * 96, member="h1"), key="a")
    evening = (MONDAY + timedelta(hours=23)).astimezone(timezone(timedelta(hours=5)))
    async with store.community("solar_valley") as tx:
        found = await tx.readings.community_sum("load_kw", evening, evening + timedelta(hours=1))
    assert found is not None
    assert found.total.tolist() == [1] * 4


async def test_many_ask_for_sums_at_once_while_readings_arrive(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1.0] * 96, member="h1"), key="a")

    async def ask(as_of: datetime | None) -> set[float]:
        async with store.community("solar_valley") as tx:
            for _ in range(2):
                await tx.readings.read([SeriesKey("load_kw", "h1")], MONDAY, MONDAY + timedelta(hours=9), as_of=as_of)
                found = await tx.readings.community_sum("load_kw", MONDAY, MONDAY + timedelta(hours=9), as_of=as_of)
        assert found is not None
        return set(found.total.tolist())

    async def write(value: float) -> None:
        await record(store, series("load_kw", [value] * 96, member="h1"), key=f"{value}")

    now = datetime.now(UTC) + timedelta(seconds=1)
    answers = await asyncio.gather(
        *(ask(as_of) for as_of in (now, None, now)), write(2), *(ask(as_of) for as_of in (now, None, now)), write(3)
    )
    for answer in answers:
        assert answer is None or len(answer) == 1  # a whole batch or nothing of it
    assert await ask(None) == {3.0}


async def test_readings_of_a_community_that_goes_meanwhile_are_not_found(store: Store) -> None:
    await open_community(store)

    async def write(number: int) -> int:
        written = 0
        try:
            for batch in range(20):
                start = MONDAY + timedelta(days=batch)
                await record(store, series("load_kw", [1.0] * 96, member="h1", start=start), key=f"{number}-{batch}")
                written += 1
                if written == 3:
                    going.set()
        except NotFound:
            return written
        return written

    async def delete() -> None:
        await going.wait()
        async with store.platform() as tx:
            await tx.communities.delete("solar_valley", expected_version=None)

    going = asyncio.Event()
    one, two, _ = await asyncio.gather(write(1), write(2), delete())
    assert max(one, two) >= 3
    with pytest.raises(NotFound):
        await record(store, series("load_kw", [1.0], member="h1"), key="late")


async def test_writers_at_once_lose_nothing_and_count_exactly(store: Store) -> None:
    await open_community(store)
    randomness = random.Random(3)

    async def writer(number: int) -> list[Receipt]:
        receipts: list[Receipt] = []
        for batch in range(6):
            start = MONDAY + timedelta(minutes=15 * randomness.randrange(90))
            values = [float(1 + (number + slot) % 3) for slot in range(12)]
            receipts.append(
                await record(
                    store,
                    series("load_kw", values, member="h1", start=start),
                    series("load_kw", values[::-1], member="h3", start=start),
                    key=f"{number}-{batch}",
                )
            )
        return receipts

    receipts = [one for part in await asyncio.gather(*(writer(number) for number in range(4))) for one in part]
    stored = 0
    for member in ("h1", "h3"):
        stored += np.count_nonzero(~np.isnan(await read(store, SeriesKey("load_kw", member), MONDAY, 30)))
    assert sum(one.stored for one in receipts) == stored
    assert sum(one.received for one in receipts) == 4 * 6 * 24
    assert len({one.received_at for one in receipts}) == 24
