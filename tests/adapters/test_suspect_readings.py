"""What its source suspects is kept and told, and left out of sums."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from tests.builders import MONDAY, community, series

from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesValues
from digital_twin.services.ports import CommunitySum, Store

NAME = "solar_valley"


def flagged(readings: SeriesValues, *flags: int) -> SeriesValues:
    return replace(readings, flags=np.array(flags, dtype=np.uint8))


async def opened(store: Store) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community(NAME))
    async with store.community(NAME) as tx:
        await tx.members.put_members([Member("h1"), Member("h2")])


async def record(store: Store, *readings: SeriesValues, key: str) -> datetime:
    async with store.community(NAME) as tx:
        return (await tx.readings.record(readings, key=key)).received_at


async def summed(store: Store, as_of: datetime | None = None) -> CommunitySum:
    async with store.community(NAME) as tx:
        found = await tx.readings.community_sum("load_kw", MONDAY, MONDAY + timedelta(hours=1), as_of=as_of)
    assert found is not None
    return found


async def test_a_sum_leaves_out_what_a_source_suspects_and_takes_the_rest(store: Store) -> None:
    await opened(store)
    one = flagged(series("load_kw", [1, 900, 3, 4], member="h1"), 0, 3, 1, 2)
    await record(store, one, series("load_kw", [10, 20, 30, 40], member="h2"), key="a")
    found = await summed(store)
    assert found.total.tolist() == [11, 20, 33, 44]
    assert found.reporting.tolist() == [2, 1, 2, 2]


async def test_a_suspicion_that_comes_later_takes_a_reading_out_and_one_that_is_lifted_brings_it_back(
    store: Store,
) -> None:
    await opened(store)
    told = series("load_kw", [1, 2, 3, 4], member="h1")
    believed_at = await record(store, told, key="a")
    suspected_at = await record(store, flagged(told, 3, 0, 0, 0), key="b")
    assert np.isnan((await summed(store)).total[0])
    await record(store, told, key="c")
    assert (await summed(store)).total.tolist() == [1, 2, 3, 4]
    assert (await summed(store, believed_at)).total.tolist() == [1, 2, 3, 4]
    assert (await summed(store, suspected_at)).reporting.tolist() == [0, 1, 1, 1]


async def test_one_suspect_part_makes_a_coarse_slot_unknown(store: Store) -> None:
    await opened(store)
    fine = flagged(series("load_kw", [1, 1, 900] + [1] * 9, member="h1", minutes=5), *[0, 0, 3], *[0] * 9)
    await record(store, fine, series("load_kw", [10, 20, 30, 40], member="h2"), key="a")
    found = await summed(store)
    assert found.total.tolist() == [10, 21, 31, 41]
    assert found.reporting.tolist() == [1, 2, 2, 2]
