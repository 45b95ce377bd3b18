"""Sums over members that stand in for a community's own series."""

from dataclasses import replace

import numpy as np
from tests.builders import MONDAY, community, series

from digital_twin.domain.assets import Member
from digital_twin.domain.quality import Quality
from digital_twin.domain.time import TimeGrid
from digital_twin.services.history import KnownSeries, community_series, history_of
from digital_twin.testing import FakeClock, MemoryStore

HOMES = ("home_1", "home_2", "home_3", "home_4")


async def known(name: str, values: dict[str, list[float]], *, prosumers: int) -> KnownSeries:
    """The community's series where these members have reported."""
    clock = FakeClock(MONDAY)
    clock.advance(days=2)
    store = MemoryStore(clock)
    wanted = community(num_prosumers=prosumers)
    async with store.platform() as tx:
        await tx.communities.create(wanted)
    async with store.community(wanted.community_id) as tx:
        await tx.members.put_members([Member(home) for home in HOMES])
        readings = [series(name, one, member=home, start=MONDAY) for home, one in values.items()]
        await tx.readings.record(readings, key="k")
        end = readings[0].grid.end
        found = await community_series(tx, wanted, name, MONDAY, end, clock.now())
    assert found is not None
    return found


async def test_the_load_of_some_stands_for_all_prosumers():
    found = await known("load_kw", {"home_1": [1.0, 2.0], "home_2": [3.0, 4.0]}, prosumers=8)
    assert found.values.values.tolist() == [16.0, 24.0]
    assert found.source == "sum over 2 of 8 prosumers, scaled by 8/2"


async def test_what_a_source_suspects_is_no_history():
    store = MemoryStore(FakeClock(MONDAY))
    wanted = community()
    flags = np.array([0, Quality.SUSPECT, Quality.ESTIMATED, Quality.SUBSTITUTED], dtype=np.uint8)
    async with store.platform() as tx:
        await tx.communities.create(wanted)
    async with store.community(wanted.community_id) as tx:
        told = replace(series("load_kw", [1.0, 900.0, 3.0, 4.0]), flags=flags)
        await tx.readings.record([told], key="k")
        found = await community_series(tx, wanted, "load_kw", MONDAY, told.grid.end, told.grid.end)
    assert found is not None
    np.testing.assert_array_equal(found.values.values, [1.0, np.nan, 3.0, 4.0])


async def test_a_spike_and_a_day_in_watts_are_no_history():
    store, wanted = MemoryStore(FakeClock(MONDAY)), community()
    values = 40 + 10 * np.random.default_rng(0).random(96 * 9)
    told = values.copy()
    told[96 * 4 : 96 * 5] *= 1000
    told[200] = 9000
    async with store.platform() as tx:
        await tx.communities.create(wanted)
    async with store.community(wanted.community_id) as tx:
        readings = series("load_kw", told.tolist())
        await tx.readings.record([readings], key="k")
        end = readings.grid.end
        found = await history_of(tx, wanted, "load_kw", TimeGrid(end, 96, 15), end)
    assert found is not None
    believed = np.delete(np.arange(values.size), [200, *range(96 * 4, 96 * 5)])
    np.testing.assert_allclose(found.values.values[believed], values[believed], rtol=1e-6)
    assert np.isnan(found.values.values).sum() == 97
    assert found.source == "community-level readings, without 97 that are hard to believe"


async def test_generation_is_not_scaled_to_those_who_have_no_roof():
    found = await known("pv_kw", {"home_1": [1.0, 2.0], "home_2": [3.0, 4.0]}, prosumers=4)
    assert found.values.values.tolist() == [4.0, 6.0]
    assert found.source == "sum over 2 of 2 prosumers"


async def test_generation_is_scaled_to_roofs_that_are_silent_or_belong_to_no_member():
    nan = float("nan")
    found = await known("pv_kw", {"home_1": [1.0, 2.0], "home_2": [3.0, nan]}, prosumers=8)
    assert found.values.values.tolist() == [8.0, 8.0]
