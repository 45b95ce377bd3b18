"""Topic mappings, dead letters and samples: the same on every store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.builders import community

from digital_twin.domain.assets import Member
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.topics import (
    Pick,
    Sample,
    TimeFormat,
    TimeMapping,
    TimeMark,
    TopicMapping,
    TopicTemplate,
    ValueMapping,
)
from digital_twin.domain.units import SeriesKind
from digital_twin.services.ports import KEPT_LETTERS, SAMPLES_WAIT, DeadLetter, Ingester, Store

HERE, THERE = "solar_valley", "windy_hill"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
METERS = TopicMapping(
    "meters",
    TopicTemplate(f"communities/{HERE}/homes/{{member_id}}/meter"),
    (
        ValueMapping("load_kw", "$.power", "W", SeriesKind.MEAN, 0.5, "$.quality", Pick.MEAN),
        ValueMapping("pv_kw", "$.pv"),
    ),
    resolution_minutes=5,
    time=TimeMapping("$.at", TimeFormat.MILLISECONDS, TimeMark.END),
    items_path="$.items",
)
LOAD = SeriesKey("load_kw", "home_1")


@pytest.fixture(autouse=True)
async def communities(store: Store) -> None:
    async with store.platform() as tx:
        for name in (HERE, THERE):
            await tx.communities.create(replace(community(), community_id=name))
    async with store.community(HERE) as tx:
        await tx.members.put_members([Member("home_1"), Member("home_2")])


def letter(reason: str, at: datetime | None = None) -> DeadLetter:
    return DeadLetter(at or datetime.now(UTC), "a/b", b"\x00\xff", 2, reason)


def sample(minute: float, value: float, pick: Pick = Pick.MEAN, quality: Quality = Quality.MEASURED) -> Sample:
    at = NOON + timedelta(minutes=minute)
    return Sample(LOAD, 15, NOON + int(minute // 15) * QUARTER, at, value, quality, pick)


async def test_a_mapping_comes_back_as_it_was_kept(store: Store):
    async with store.community(HERE) as tx:
        added = await tx.topic_mappings.add(METERS)
    async with store.community(HERE) as tx:
        assert await tx.topic_mappings.get("meters") == added
        assert await tx.topic_mappings.all() == [added]
    assert (added.mapping, added.version) == (METERS, 1)


async def test_a_mapping_changes_only_at_the_version_that_was_seen(store: Store):
    changed = replace(METERS, resolution_minutes=1)
    async with store.community(HERE) as tx:
        await tx.topic_mappings.add(METERS)
        with pytest.raises(Conflict, match="meters"):
            await tx.topic_mappings.add(METERS)
        assert (await tx.topic_mappings.replace(changed, expected_version=1)).version == 2
        with pytest.raises(Conflict, match="version 2"):
            await tx.topic_mappings.replace(METERS, expected_version=1)
        with pytest.raises(Conflict, match="version 2"):
            await tx.topic_mappings.remove("meters", expected_version=1)
        assert (await tx.topic_mappings.get("meters")).mapping == changed
        await tx.topic_mappings.remove("meters", expected_version=None)
        for ask in (tx.topic_mappings.get("meters"), tx.topic_mappings.replace(METERS, expected_version=None)):
            with pytest.raises(NotFound):
                await ask


async def test_mappings_of_all_communities_are_seen_from_the_platform_alone(store: Store):
    elsewhere = replace(METERS, topic=TopicTemplate("a/b"))
    for name, mapping in ((THERE, elsewhere), (HERE, METERS)):
        async with store.community(name) as tx:
            await tx.topic_mappings.add(mapping)
    async with store.platform() as tx:
        assert await tx.topic_mappings.of_all_communities() == [(HERE, METERS), (THERE, elsewhere)]
    async with store.community(HERE) as tx:
        assert [one.mapping for one in await tx.topic_mappings.all()] == [METERS]


async def test_dead_letters_are_read_newest_first_and_page_by_page(store: Store):
    async with store.community(HERE) as tx:
        await tx.dead_letters.add([letter(str(number)) for number in range(5)])
        await tx.dead_letters.add([])
    async with store.community(HERE) as tx:
        first = await tx.dead_letters.page(before=None, limit=3)
        second = await tx.dead_letters.page(before=first[-1].letter_id, limit=3)
    assert [one.reason for one in first + second] == ["4", "3", "2", "1", "0"]
    assert (first[0].topic, first[0].payload, first[0].payload_bytes) == ("a/b", b"\x00\xff", 2)
    async with store.community(THERE) as tx:
        assert await tx.dead_letters.page(before=None, limit=3) == []


async def test_dead_letters_are_removed_all_or_until_an_instant(store: Store):
    now = datetime.now(UTC)
    async with store.community(HERE) as tx:
        await tx.dead_letters.add([letter("old", now - timedelta(hours=2)), letter("new", now), letter("newer", now)])
        assert await tx.dead_letters.remove(received_until=now - timedelta(hours=1)) == 1
        assert [one.reason for one in await tx.dead_letters.page(before=None, limit=9)] == ["newer", "new"]
        assert await tx.dead_letters.remove(received_until=None) == 2


async def test_dead_letters_are_kept_for_a_month_and_only_so_many(store: Store):
    async with store.community(HERE) as tx:
        await tx.dead_letters.add([letter("ancient", datetime.now(UTC) - timedelta(days=31))])
        await tx.dead_letters.add([letter("new")])
        assert [one.reason for one in await tx.dead_letters.page(before=None, limit=9)] == ["new"]
        await tx.dead_letters.add([letter("more")] * KEPT_LETTERS)
        kept = await tx.dead_letters.page(before=None, limit=KEPT_LETTERS + 9)
    assert len(kept) == KEPT_LETTERS
    assert {one.reason for one in kept} == {"more"}


async def test_samples_become_the_mean_of_their_interval_when_it_is_over_for_a_while(store: Store):
    ended = NOON + QUARTER
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(0, 1.0), sample(5, 2.0), sample(14, 6.0), sample(16, 9.0)])
        assert await tx.sampled.settled(ended) == []
        [mean] = await tx.sampled.settled(ended + SAMPLES_WAIT)
        assert (mean.key, mean.grid.start, mean.grid.step_minutes) == (LOAD, NOON, 15)
        assert (mean.values.tolist(), mean.flags) == ([3.0], None)
        assert await tx.sampled.settled(ended + SAMPLES_WAIT) == []


async def test_a_late_sample_corrects_the_mean_and_one_that_comes_again_changes_nothing(store: Store):
    later = NOON + QUARTER + SAMPLES_WAIT
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(0, 1.0), sample(5, 2.0)])
        await tx.sampled.settled(later)
        await tx.sampled.add([sample(0, 1.0)])
        assert await tx.sampled.settled(later) == []
        await tx.sampled.add([sample(7, 6.0, quality=Quality.ESTIMATED), sample(5, 5.0)])
        [mean] = await tx.sampled.settled(later)
    assert mean.values.tolist() == [4.0]
    assert mean.flags is not None
    assert mean.flags.tolist() == [Quality.ESTIMATED]


async def test_samples_of_long_ago_are_not_forgotten_while_the_others_of_their_interval_come(store: Store):
    days_later = NOON + timedelta(days=40)
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(0, 1.0)])
        assert [one.values.tolist() for one in await tx.sampled.settled(days_later)] == [[1.0]]
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(5, 3.0)])
        assert [one.values.tolist() for one in await tx.sampled.settled(days_later)] == [[2.0]]


@pytest.mark.parametrize(("pick", "value", "waits"), [(Pick.LAST, 3.0, timedelta(0)), (Pick.FIRST, 1.0, SAMPLES_WAIT)])
async def test_the_first_or_the_last_sample_is_picked_by_its_time(
    store: Store, pick: Pick, value: float, waits: timedelta
):
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(5, 3.0, pick), sample(0, 1.0, pick), sample(2, 2.0, pick)])
        assert await tx.sampled.settled(NOON + QUARTER + waits - timedelta(seconds=1)) == []
        [one] = await tx.sampled.settled(NOON + QUARTER + waits)
    assert one.values.tolist() == [value]


async def test_communities_whose_intervals_wait_are_found(store: Store):
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(0, 1.0)])
    later = NOON + QUARTER + SAMPLES_WAIT
    async with store.platform() as tx:
        assert await tx.sampled.communities_due(later - timedelta(seconds=1)) == []
        assert await tx.sampled.communities_due(later) == [HERE]
    async with store.community(HERE) as tx:
        await tx.sampled.settled(later)
    async with store.platform() as tx:
        assert await tx.sampled.communities_due(later) == []


async def test_what_would_be_refused_is_told_with_its_reason(store: Store):
    known, stranger = (LOAD, 15), (SeriesKey("load_kw", "nobody"), 15)
    fresh, finer = (SeriesKey("pv_kw", "home_2"), 15), (SeriesKey("pv_kw", "home_2"), 5)
    nothing = (SeriesKey("power_kw", "home_1", "no_asset"), 15)
    async with store.community(HERE) as tx:
        await tx.sampled.add([sample(0, 1.0)])
        await tx.readings.record(await tx.sampled.settled(NOON + timedelta(hours=1)), key="first")
        refusals = await tx.readings.refusals([known, stranger, fresh, finer, nothing])
        coarser = await tx.readings.refusals([(LOAD, 60)])
    assert set(refusals) == {stranger, finer, nothing}
    assert "'nobody' is not in this community" in refusals[stranger]
    assert "'no_asset' is not in this community" in refusals[nothing]
    assert "every 15 minutes" in refusals[finer]
    assert "every 15 minutes" in coarser[LOAD, 60]


async def test_an_ingester_is_known_by_what_it_told_last(store: Store):
    async with store.platform() as tx:
        assert await tx.ingesters.find("twin") is None
        await tx.ingesters.tell(Ingester("twin", True, ("a/+",)))
        assert await tx.ingesters.find("twin") == Ingester("twin", True, ("a/+",))
        await tx.ingesters.tell(Ingester("twin", False, ()))
        assert await tx.ingesters.find("twin") == Ingester("twin", False, ())
