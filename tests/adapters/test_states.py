"""States: what is due is noted with the readings, advances follow each other, and the past can be asked for."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, community, hours, series
from tests.builders import state_update as update

from digital_twin.domain.assets import Asset, Member, Photovoltaics
from digital_twin.domain.errors import Conflict
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.ports import Checkpoint, StateDue, StateUpdate, Store
from digital_twin.services.states import StateService
from digital_twin.testing import FakeClock, InProcessPool

ID = "solar_valley"


async def open_community(store: Store, community_id: str = ID) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community(community_id))
    async with store.community(community_id) as tx:
        await tx.members.put_members([Member("h1")])
        await tx.members.put_assets([Asset("roof", Photovoltaics(9), "h1")])


async def record(store: Store, *readings: object, key: str) -> None:
    async with store.community(ID) as tx:
        await tx.readings.record(readings, key=key)  # type: ignore[arg-type]


async def due(store: Store) -> StateDue | None:
    async with store.community(ID) as tx:
        return await tx.states.due()


async def save(store: Store, one: StateUpdate) -> None:
    async with store.community(ID) as tx:
        await tx.states.save(one)


# What is due


async def test_readings_that_feed_the_state_are_noted_as_due_with_the_stretch_they_changed(store: Store) -> None:
    await open_community(store)
    assert await due(store) is None
    await record(store, series("load_kw", [np.nan, 1, 2, np.nan], member="h1"), series("load_kw", [5, 6]), key="a")
    found = await due(store)
    assert found is not None
    assert (found.changed_from, found.changed_until) == (MONDAY, MONDAY + hours(0.75))
    await record(store, series("net_load_kw", [1.0], start=MONDAY + hours(30), minutes=60), key="b")
    found = await due(store)
    assert found is not None
    assert len(found.ids) == 2
    assert (found.changed_from, found.changed_until) == (MONDAY, MONDAY + hours(31))


async def test_what_changes_nothing_or_feeds_no_state_is_not_due(store: Store) -> None:
    await open_community(store)
    await record(store, series("temperature_c", [9.0]), series("pv_kw", [1.0], asset="roof"), key="a")
    assert await due(store) is None
    await record(store, series("load_kw", [1.0]), key="b")
    seen = await due(store)
    assert seen is not None
    async with store.community(ID) as tx:
        await tx.states.settle(seen, seen.changed_until)
    await record(store, series("load_kw", [1.0]), key="c")
    assert await due(store) is None


async def test_a_temperature_is_due_only_where_the_state_took_it_up_and_can_again(store: Store) -> None:
    await open_community(store)
    await save(store, update(1, MONDAY, steps=96, midnights=1))  # from the kept midnight up to the next
    await record(store, series("temperature_c", [9.0] * 400, start=MONDAY - hours(50)), key="a")
    found = await due(store)
    assert found is not None
    assert (found.changed_from, found.changed_until) == (MONDAY, MONDAY + hours(24))
    async with store.community(ID) as tx:
        await tx.states.settle(found, found.changed_until)
    await record(store, series("temperature_c", [9.0] * 4, start=MONDAY + hours(24)), key="b")
    await record(store, series("temperature_c", [3.0] * 4, start=MONDAY + hours(1)), key="c")
    changed = await due(store)
    assert changed is not None
    assert (changed.changed_from, changed.changed_until) == (MONDAY + hours(1), MONDAY + hours(2))


async def test_only_what_was_seen_is_struck_out_and_what_lies_ahead_stays(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1.0]), key="a")
    await record(store, series("load_kw", [1.0] * 8, start=MONDAY + hours(1)), key="b")
    seen = await due(store)
    assert seen is not None
    await record(store, series("load_kw", [2.0], start=MONDAY - hours(1)), key="c")
    async with store.community(ID) as tx:
        await tx.states.settle(seen, MONDAY + hours(2))
    left = await due(store)
    assert left is not None
    assert (left.changed_from, left.changed_until) == (MONDAY - hours(1), MONDAY + hours(3))
    async with store.community(ID) as tx:
        await tx.states.settle(replace(left, ids=left.ids[-1:]), MONDAY)
    left = await due(store)
    assert left is not None
    assert (left.changed_from, left.changed_until) == (MONDAY + hours(2), MONDAY + hours(3))


async def test_the_communities_that_are_due_are_known_from_outside(store: Store) -> None:
    await open_community(store, "another")
    await open_community(store)
    await record(store, series("load_kw", [1.0]), key="a")
    async with store.platform() as tx:
        assert await tx.states.communities_due(MONDAY + hours(1)) == [ID]
        assert await tx.states.communities_due(MONDAY) == [], "nothing of it has happened yet"


async def test_a_batch_that_fails_leaves_nothing_due(store: Store) -> None:
    await open_community(store)

    async def fail() -> None:
        async with store.community(ID) as tx:
            await tx.readings.record([series("load_kw", [1.0])], key="a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await due(store) is None


# Advancing


async def test_of_several_advances_at_once_one_moves_the_state(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [5.0] * 96), key="a")
    services = [StateService(store, FakeClock(MONDAY + hours(24)), InProcessPool()) for _ in range(3)]
    moved = await asyncio.gather(*(service.advance(ID) for service in services))
    assert sum(moved) >= 1
    assert await due(store) is None
    async with store.community(ID) as tx:
        snapshot = await tx.states.snapshot()
    assert snapshot is not None
    assert (snapshot.version, snapshot.observed_at) == (1, MONDAY + hours(24))


async def test_a_state_outlives_the_process_that_estimated_it(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [5.0, 6.0] * 48), key="a")
    grant = Grant(Caller(1, "ada", Role.OPERATOR), ID)
    first = await StateService(store, FakeClock(MONDAY + hours(24)), InProcessPool()).state(grant)
    again = StateService(store, FakeClock(MONDAY + hours(25)), InProcessPool())
    assert (await again.state(grant))["states"] == first["states"]
    await record(store, series("load_kw", [7.0], start=MONDAY + hours(24)), key="b")
    assert (await again.state(grant))["states"]["demand_kw"]["mean"] == pytest.approx(7, rel=1e-2)
    async with store.community(ID) as tx:
        snapshot = await tx.states.snapshot()
    assert snapshot is not None
    assert snapshot.version == 2
    assert snapshot.calibrated_until == MONDAY + hours(24)


# What is kept


async def test_the_newest_state_comes_back_and_a_second_advance_from_the_same_one_is_refused(store: Store) -> None:
    await open_community(store)
    first = update(1, MONDAY, 4)
    await save(store, first)
    await save(store, update(2, MONDAY + hours(1), 4))
    with pytest.raises(Conflict):
        await save(store, update(2, MONDAY + hours(1), 4, value=9.0))
    with pytest.raises(Conflict):
        await save(store, update(1, MONDAY, 4))
    async with store.community(ID) as tx:
        assert await tx.states.snapshot() == update(2, MONDAY + hours(1), 4).snapshot


async def test_a_state_is_taken_up_from_the_last_midnight_before_and_replaces_what_came_after(store: Store) -> None:
    await open_community(store)
    await save(store, update(1, MONDAY, 4 * 96, midnights=4))
    await save(store, update(2, MONDAY + hours(48), 2 * 96, midnights=1))
    async with store.community(ID) as tx:
        assert await tx.states.checkpoint(MONDAY - hours(1)) is None
        assert await tx.states.checkpoint(MONDAY + hours(30)) == Checkpoint(MONDAY + hours(24), b"1 1")
        assert await tx.states.checkpoint(MONDAY + hours(99)) == Checkpoint(MONDAY + hours(48), b"2 0")
    await save(store, update(3, MONDAY + hours(24 * 8), 96, midnights=1))
    async with store.community(ID) as tx:
        assert await tx.states.checkpoint(MONDAY + hours(30)) is None, "older than a week"


async def test_the_history_holds_each_interval_once_as_it_was_last_seen(store: Store) -> None:
    await open_community(store)
    async with store.community(ID) as tx:
        assert await tx.states.track(MONDAY, MONDAY + hours(1)) is None
    await save(store, update(1, MONDAY + hours(20), 24))
    await save(store, update(2, MONDAY + hours(23), 8, value=5.0))
    async with store.community(ID) as tx:
        track = await tx.states.track(MONDAY + hours(19.9), MONDAY + hours(27))
    assert track is not None
    assert (track.grid.start, track.grid.steps) == (MONDAY + hours(19.75), 29)
    expected = np.array([np.nan] + [1.0] * 12 + [5.0] * 8 + [1.0] * 4 + [np.nan] * 4)
    np.testing.assert_array_equal(track.coverage, expected)
    np.testing.assert_array_equal(track.nis, expected)
    np.testing.assert_array_equal(track.mean, expected[:, None] + np.arange(4.0))
    np.testing.assert_array_equal(track.deviation, 2 * (expected[:, None] + np.arange(4.0)))
    np.testing.assert_array_equal(track.reporting, np.where(np.isnan(expected), 0, 7))
    np.testing.assert_array_equal(track.told_after_h, 3 * expected)


async def test_an_uncertainty_too_small_for_single_precision_is_none(store: Store) -> None:
    await open_community(store)
    one = update(1, MONDAY, 4)
    await save(store, replace(one, track=replace(one.track, deviation=np.full((4, 4), 1e-60))))
    async with store.community(ID) as tx:
        track = await tx.states.track(MONDAY, MONDAY + hours(1))
    assert track is not None
    np.testing.assert_allclose(track.deviation, 0.0, atol=1e-45)


async def test_another_resolution_begins_another_history(store: Store) -> None:
    await open_community(store)
    await save(store, update(1, MONDAY, 96))
    await save(store, update(2, MONDAY + hours(48), 24, minutes=60))
    async with store.community(ID) as tx:
        track = await tx.states.track(MONDAY, MONDAY + hours(72))
    assert track is not None
    assert track.grid.step_minutes == 60
    assert np.flatnonzero(np.isfinite(track.coverage)).tolist() == list(range(48, 72))


async def test_what_was_known_at_an_instant_is_the_last_answer_before_it(store: Store) -> None:
    await open_community(store)
    await save(store, update(1, MONDAY, 4))
    await save(store, update(2, MONDAY + hours(1), 4))
    async with store.community(ID) as tx:
        assert await tx.states.known(MONDAY) is None
        for minutes, version in ((1, 1), (1.5, 1), (2, 2), (500, 2)):
            known = await tx.states.known(MONDAY + timedelta(minutes=minutes))
            assert known is not None
            assert known.document == {"version": version}


async def test_a_community_made_again_under_its_name_knows_no_state(store: Store) -> None:
    await open_community(store)
    await record(store, series("load_kw", [1.0]), key="a")
    await save(store, update(1, MONDAY, 96, midnights=1))
    async with store.platform() as tx:
        await tx.communities.delete(ID, expected_version=None)
    await open_community(store)
    async with store.community(ID) as tx:
        assert await tx.states.snapshot() is None
        assert await tx.states.due() is None
        assert await tx.states.known(MONDAY + hours(99)) is None
        assert await tx.states.checkpoint(MONDAY + hours(99)) is None
        assert await tx.states.track(MONDAY, MONDAY + hours(1)) is None
