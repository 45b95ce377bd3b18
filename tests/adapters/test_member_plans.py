"""Members' plans as every store keeps them: with their result, page by page, and gone with the member."""

from datetime import timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, community

from digital_twin.domain.assets import Member
from digital_twin.services.ports import KEPT_MEMBER_PLANS, PLAN_COLUMNS, MemberPlan, Store, StoredResult
from digital_twin.services.schedule_document import new_result_id

HERE, THERE = "solar_valley", "wind_hill"
HOMES = ("Attic", "barn", "cellar_2", "home-1")
"""In the order of their characters."""


@pytest.fixture
async def kept(store: Store) -> Store:
    """A store with two communities of the same members."""
    for name in (HERE, THERE):
        async with store.platform() as tx:
            await tx.communities.create(community(name))
        async with store.community(name) as tx:
            await tx.members.put_members([Member(one) for one in reversed(HOMES)])
    return store


def plan(member_id: str, seed: int = 1, steps: int = 96) -> MemberPlan:
    generator = np.random.default_rng(seed)
    powers = generator.random((len(PLAN_COLUMNS), steps)).astype(np.float32)
    return MemberPlan(member_id, float(generator.normal()), float(generator.normal()), powers)


async def add(store: Store, plans: list[MemberPlan], *, minutes: int = 0, community_id: str = HERE) -> str:
    result_id = new_result_id(MONDAY + timedelta(minutes=minutes))
    async with store.community(community_id) as tx:
        await tx.results.add(StoredResult(result_id, "member_dispatch", MONDAY, {}))
        await tx.member_plans.add(result_id, plans)
    return result_id


async def members_of(store: Store, result_id: str, community_id: str = HERE) -> list[str]:
    async with store.community(community_id) as tx:
        return [one.member_id for one in await tx.member_plans.page(result_id, after=None, limit=100)]


async def test_a_plan_comes_back_as_it_was_made(kept: Store):
    made = plan("barn")
    result_id = await add(kept, [made])
    async with kept.community(HERE) as tx:
        found = await tx.member_plans.of_member(result_id, "barn")
        assert found is not None
        assert (found.member_id, found.cost, found.saved) == (made.member_id, made.cost, made.saved)
        assert np.array_equal(found.powers, made.powers)
        assert await tx.member_plans.of_member(result_id, "Attic") is None


async def test_pages_follow_each_other_in_the_order_of_members(kept: Store):
    result_id = await add(kept, [plan(one) for one in reversed(HOMES)])
    async with kept.community(HERE) as tx:
        first = await tx.member_plans.page(result_id, after=None, limit=3)
        second = await tx.member_plans.page(result_id, after=first[-1].member_id, limit=3)
    assert [one.member_id for one in (*first, *second)] == list(HOMES)


async def test_the_newest_plan_of_a_member_is_that_of_the_newest_result_they_are_in(kept: Store):
    await add(kept, [plan("barn", 1)], minutes=1)
    middle = await add(kept, [plan("barn", 2)], minutes=2)
    await add(kept, [plan("Attic", 3)], minutes=3)
    async with kept.community(HERE) as tx:
        found = await tx.member_plans.newest("barn")
        assert await tx.member_plans.newest("cellar_2") is None
    assert found is not None
    assert found[0] == middle
    assert found[1].cost == plan("barn", 2).cost


async def test_only_the_newest_results_keep_the_plans_of_their_members(kept: Store):
    results = [await add(kept, [plan("barn")], minutes=number) for number in range(KEPT_MEMBER_PLANS + 2)]
    found = [bool(await members_of(kept, one)) for one in results]
    assert found == [False] * 2 + [True] * KEPT_MEMBER_PLANS


async def test_who_left_the_list_of_members_meanwhile_is_left_out(kept: Store):
    result_id = await add(kept, [plan("barn"), plan("unknown")])
    assert await members_of(kept, result_id) == ["barn"]


async def test_an_erased_member_has_no_plan_any_more_and_the_others_keep_theirs(kept: Store):
    result_id = await add(kept, [plan(one) for one in HOMES])
    async with kept.community(HERE) as tx:
        await tx.keeping.erase_member("barn")
    assert await members_of(kept, result_id) == [one for one in HOMES if one != "barn"]


async def test_another_community_sees_no_plan_of_this_one(kept: Store):
    result_id = await add(kept, [plan("barn")])
    assert await members_of(kept, result_id, THERE) == []
    async with kept.community(THERE) as tx:
        assert await tx.member_plans.newest("barn") is None
        assert await tx.member_plans.of_member(result_id, "barn") is None
