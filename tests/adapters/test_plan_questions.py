"""Questions of plans as every store keeps them: with their result, the newest ones, and gone with any member."""

from datetime import timedelta

import pytest
from tests.builders import MONDAY, community

from digital_twin.domain.assets import Member
from digital_twin.services.ports import KEPT_QUESTIONS, Store, StoredResult
from digital_twin.services.schedule_document import new_result_id

HERE, THERE = "solar_valley", "wind_hill"


@pytest.fixture
async def kept(store: Store) -> Store:
    """A store with two communities."""
    for name in (HERE, THERE):
        async with store.platform() as tx:
            await tx.communities.create(community(name))
        async with store.community(name) as tx:
            await tx.members.put_members([Member("barn")])
    return store


async def add(store: Store, payload: bytes, *, minutes: int = 0, community_id: str = HERE) -> str:
    result_id = new_result_id(MONDAY + timedelta(minutes=minutes))
    async with store.community(community_id) as tx:
        await tx.results.add(StoredResult(result_id, "dispatch", MONDAY, {}))
        await tx.plan_questions.add(result_id, payload)
    return result_id


async def question(store: Store, result_id: str, community_id: str = HERE) -> bytes | None:
    async with store.community(community_id) as tx:
        return await tx.plan_questions.get(result_id)


async def test_a_question_comes_back_to_the_last_byte(kept: Store):
    payload = bytes(range(256)) * 1000
    result_id = await add(kept, payload)
    assert await question(kept, result_id) == payload
    assert await question(kept, new_result_id(MONDAY)) is None


async def test_only_the_newest_results_keep_their_question(kept: Store):
    results = [await add(kept, b"?", minutes=number) for number in range(KEPT_QUESTIONS + 2)]
    found = [await question(kept, one) is not None for one in results]
    assert found == [False] * 2 + [True] * KEPT_QUESTIONS


async def test_when_a_member_is_erased_no_question_of_the_community_is_left(kept: Store):
    here, there = await add(kept, b"?"), await add(kept, b"?", community_id=THERE)
    async with kept.community(HERE) as tx:
        await tx.keeping.erase_member("barn")
    assert await question(kept, here) is None
    assert await question(kept, there, THERE) == b"?"


async def test_another_community_sees_no_question_of_this_one(kept: Store):
    assert await question(kept, await add(kept, b"?"), THERE) is None
