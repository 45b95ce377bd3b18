"""Trained versions as every store keeps them: numbered one after the other, bounded, found by what was known when."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.builders import MONDAY, community, lesson_of, trained_version

from digital_twin.domain.errors import NotFound
from digital_twin.services.ports import KEPT_VERSIONS, Lesson, Store, TrainedVersion
from digital_twin.services.schedule_document import new_result_id

HERE, THERE = "solar_valley", "wind_hill"
TRAINED = trained_version()
PAYLOAD = b"\x00PK\xff" * 1000


@pytest.fixture
async def kept(store: Store) -> Store:
    """A store with two communities."""
    async with store.platform() as tx:
        for name in (HERE, THERE):
            await tx.communities.create(community(name))
    return store


async def add(store: Store, *, payload: bytes = PAYLOAD, run_id: str | None = None, **given: object) -> TrainedVersion:
    trained = replace(TRAINED, run_id=run_id or new_result_id(MONDAY), **given)
    async with store.community(HERE) as tx:
        return await tx.trained_models.add(trained, payload)


async def newest(
    store: Store, *, since: datetime, until: datetime, payload_format: int = 1, variable: str = "load_kw"
) -> tuple[TrainedVersion, bytes] | None:
    async with store.community(HERE) as tx:
        return await tx.trained_models.newest(
            variable, "ridge", payload_format=payload_format, since=since, until=until
        )


async def test_a_version_comes_back_as_it_was_added(kept: Store):
    added = await add(kept)
    assert added == replace(TRAINED, run_id=added.run_id, version=1)
    assert await newest(kept, since=MONDAY, until=MONDAY) == (added, PAYLOAD)
    async with kept.community(HERE) as tx:
        assert await tx.trained_models.all() == [added]


async def test_versions_are_counted_for_each_variable_and_model(kept: Store):
    numbers = [(await add(kept)).version, (await add(kept)).version]
    numbers += [(await add(kept, variable="pv_kw")).version, (await add(kept, model="pvwatts")).version]
    assert numbers == [1, 2, 1, 1]
    async with kept.community(HERE) as tx:
        listed = await tx.trained_models.all()
    assert [(one.variable, one.model, one.version) for one in listed] == [
        ("load_kw", "pvwatts", 1),
        ("load_kw", "ridge", 2),
        ("load_kw", "ridge", 1),
        ("pv_kw", "ridge", 1),
    ]


async def test_a_run_adds_a_version_once(kept: Store):
    first = await add(kept)
    again = await add(kept, run_id=first.run_id, payload=b"other", sha256="00" * 32)
    assert again == first
    assert await newest(kept, since=MONDAY, until=MONDAY) == (first, PAYLOAD)


async def test_the_oldest_version_gives_way_and_its_number_is_not_used_again(kept: Store):
    numbers = [(await add(kept)).version for _ in range(KEPT_VERSIONS + 2)]
    assert numbers == list(range(1, KEPT_VERSIONS + 3))
    async with kept.community(HERE) as tx:
        listed = await tx.trained_models.all()
    assert [one.version for one in listed] == list(range(KEPT_VERSIONS + 2, 2, -1))


async def test_trainings_at_the_same_time_get_numbers_of_their_own(kept: Store):
    added = await asyncio.gather(*(add(kept) for _ in range(4)))
    assert sorted(one.version for one in added) == [1, 2, 3, 4]


async def test_the_newest_is_the_one_that_knows_the_latest_within_the_stretch(kept: Store):
    days = [timedelta(days=day) for day in range(8)]
    late = await add(kept, as_of=MONDAY + days[6])
    early = await add(kept, as_of=MONDAY + days[2])
    again = await add(kept, as_of=MONDAY + days[2])
    assert await newest(kept, since=MONDAY, until=MONDAY + days[7]) == (late, PAYLOAD)
    assert await newest(kept, since=MONDAY, until=MONDAY + days[5]) == (again, PAYLOAD)
    assert again.version > early.version
    assert await newest(kept, since=MONDAY + days[3], until=MONDAY + days[5]) is None
    assert await newest(kept, since=MONDAY, until=MONDAY + days[7], payload_format=2) is None
    assert await newest(kept, since=MONDAY, until=MONDAY + days[7], variable="pv_kw") is None


# Lessons


async def teach(store: Store, lesson: Lesson, payload: bytes = b"lesson") -> bool:
    async with store.community(HERE) as tx:
        return await tx.trained_models.add_lesson(lesson, payload)


async def latest(store: Store, trained: TrainedVersion, days: float) -> tuple[Lesson, bytes] | None:
    async with store.community(HERE) as tx:
        return await tx.trained_models.latest_lesson(trained, until=trained.as_of + timedelta(days=days))


async def test_a_version_is_known_as_it_was_taught_up_to_an_instant(kept: Store):
    trained = await add(kept, ensemble={"days": 28})
    second, first = replace(lesson_of(trained, 2), ensemble=None), lesson_of(trained, 1)
    assert [await teach(kept, one, str(one.as_of).encode()) for one in (second, first)] == [True, True]
    assert await latest(kept, trained, 0.9) is None
    assert await latest(kept, trained, 1) == await latest(kept, trained, 1.9) == (first, str(first.as_of).encode())
    assert await latest(kept, trained, 30) == (second, str(second.as_of).encode())
    other = await add(kept, ensemble={"days": 28})
    assert await latest(kept, other, 30) is None
    async with kept.community(HERE) as tx:
        listed = await tx.trained_models.all()
    assert listed == [other, replace(trained, taught_until=second.as_of, ensemble=None)]
    assert await newest(kept, since=MONDAY, until=MONDAY) == (other, PAYLOAD)


async def test_a_lesson_is_given_once_however_many_give_it(kept: Store):
    lesson = lesson_of(await add(kept), 1)
    gave = await asyncio.gather(*(teach(kept, lesson, f"of {number}".encode()) for number in range(4)))
    assert sorted(gave) == [False, False, False, True]
    found = await latest(kept, replace(TRAINED, version=1), 1)
    assert found == (lesson, f"of {gave.index(True)}".encode())


async def test_lessons_go_with_their_version_and_none_comes_after_it(kept: Store):
    first = await add(kept)
    assert await teach(kept, lesson_of(first, 1))
    for _ in range(KEPT_VERSIONS):
        await add(kept)
    assert await latest(kept, first, 2) is None
    assert not await teach(kept, lesson_of(first, 2))
    assert await latest(kept, first, 2) is None


async def test_a_community_sees_its_own_versions_and_takes_them_along(kept: Store):
    await add(kept)
    lesson = lesson_of(replace(TRAINED, version=1), 1)
    assert await teach(kept, lesson)
    async with kept.community(THERE) as tx:
        assert await tx.trained_models.all() == []
        assert await tx.trained_models.latest_lesson(replace(TRAINED, version=1), until=lesson.as_of) is None
        assert not await tx.trained_models.add_lesson(lesson, b"lesson")
    async with kept.community(HERE) as tx:
        await tx.communities.delete(HERE, expected_version=None)
    with pytest.raises(NotFound):
        await add(kept)
    async with kept.platform() as tx:
        await tx.communities.create(community(HERE))
    async with kept.community(HERE) as tx:
        assert await tx.trained_models.all() == []
