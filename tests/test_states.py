"""States as they are asked for: current at once, the same however readings arrive, honest about what is not known."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.builders import community, series

from digital_twin.domain.assets import Asset, Member, Photovoltaics
from digital_twin.domain.errors import InvalidInput, NotAllowed, NotFound
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesValues
from digital_twin.macro_twin.state import TwinState
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.ports import Snapshot
from digital_twin.services.states import StateService
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

ID = "solar_valley"
START = datetime(2026, 3, 2, tzinfo=UTC)
NOBODY = Caller(1, "someone", Role.OPERATOR)
GRANT = Grant(NOBODY, ID)
NAMES = ("demand_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")


class World:
    """A community in memory with a clock, whose readings come as they are told."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.store = MemoryStore(self.clock)
        self.service = StateService(self.store, self.clock, InProcessPool())
        self._keys = iter(range(10_000))

    async def open(self, *, homes: int = 0, **given: Any) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(ID, **given))
        async with self.store.community(ID) as tx:
            await tx.members.put_members([Member(f"h{one}") for one in range(homes)])

    async def record(self, *readings: SeriesValues, delay: timedelta | None = None) -> None:
        async with self.store.community(ID) as tx:
            await tx.readings.record(readings, key=str(next(self._keys)), assumed_delay=delay)

    async def snapshot(self) -> Snapshot:
        async with self.store.community(ID) as tx:
            found = await tx.states.snapshot()
        assert found is not None
        return found

    async def is_due(self) -> bool:
        return ID in await self.service.due()


def daily(steps: int, *, minutes: int = 60, mean: float = 40.0, first: int = 0) -> list[float]:
    hours = (first + np.arange(steps)) * minutes / 60
    return (mean * (1 + 0.4 * np.sin(2 * np.pi * (hours - 9) / 24) + 0.05 * np.sin(hours * 2.7))).tolist()


def homes(count: int, steps: int, *, first: int = 0, minutes: int = 60) -> list[SeriesValues]:
    """Loads of so many members from the step `first` on."""
    start = START + first * timedelta(minutes=minutes)
    return [
        series(
            "load_kw",
            daily(steps, minutes=minutes, mean=0.3 + 0.1 * one, first=first + one),
            member=f"h{one}",
            start=start,
            minutes=minutes,
        )
        for one in range(count)
    ]


@pytest.fixture
def world() -> World:
    return World()


# Before any reading


async def test_a_new_community_has_a_state_at_once_and_says_what_is_assumed(world: World) -> None:
    await world.open()
    state = await world.service.state(GRANT)
    assert state["observed_at"] is None
    assert state["nis"] is None
    assert state["data_age_s"] is None
    assert state["coverage"] == 0
    assert list(state["states"]) == list(NAMES)
    demand = state["states"]["demand_kw"]
    assert 10 < demand["mean"] < 80, "a hundred standard households at midnight"
    assert demand["sd"] > 0.25 * demand["mean"]
    assert state["states"]["pv_kw"] == {"mean": 0, "sd": 0}, "at midnight"
    storage = state["states"]["storage_soc_kwh"]
    assert storage["mean"] == pytest.approx(100)
    assert storage["sd"] > 50
    assumed = " ".join(state["provenance"]["assumptions"])
    for words in ("standard household profile", "500 kW of PV", "the storage is anywhere", "latitude and longitude"):
        assert words in assumed
    assert not await world.service.advance(ID)


async def test_a_history_of_nothing_is_empty_and_not_missing(world: World) -> None:
    await world.open()
    track = await world.service.history(GRANT, START, START + timedelta(hours=2))
    assert track.grid.steps == 8
    assert np.isnan(track.mean).all()


async def test_a_state_of_nowhere_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.service.state(GRANT)
    with pytest.raises(NotFound):
        await world.service.advance(ID)


# With readings


async def test_a_load_that_rests_for_a_day_is_noted_and_a_full_battery_is_not(world: World) -> None:
    await world.open(homes=2)
    resting = [*daily(48, mean=0.4), *[0.7] * 25]
    await world.record(
        series("load_kw", resting, member="h0", start=START, minutes=60),
        series("storage_soc_kwh", [8.0] * 73, member="h1", start=START, minutes=60),
    )
    world.clock.advance(days=3, hours=1, minutes=5)
    [note] = [one for one in (await world.service.state(GRANT))["provenance"]["notes"] if "for a day" in one]
    assert note == "1 load_kw meters have shown one value for a day: h0"


async def test_what_its_source_suspects_moves_nothing(world: World) -> None:
    plain, last = World(), START + timedelta(hours=71)
    flags = np.array([Quality.SUSPECT], dtype=np.uint8)
    suspects = [
        replace(series("load_kw", [value], member=member, start=last, minutes=60), flags=flags)
        for value, member in ((300.0, None), (9.0, "h0"))
    ]
    for one in (world, plain):
        await one.open(homes=3)
        await one.record(*homes(3, 71), *homes(3, 1, first=71)[1:])
    await world.record(*suspects)
    for one in (world, plain):
        one.clock.advance(days=3, minutes=5)
    found, expected = await world.service.state(GRANT), await plain.service.state(GRANT)
    assert found["states"] == expected["states"]
    assert found["coverage"] == expected["coverage"]


async def test_the_communitys_own_load_is_its_demand(world: World) -> None:
    await world.open()
    values = daily(96 * 3, minutes=15)
    await world.record(series("load_kw", values, start=START))
    world.clock.advance(days=3, minutes=5)
    assert await world.is_due()
    state = await world.service.state(GRANT)
    assert not await world.is_due()
    assert state["states"]["demand_kw"]["mean"] == pytest.approx(values[-1], rel=1e-2)
    assert state["states"]["demand_kw"]["sd"] < 0.1
    assert state["coverage"] == 1
    assert state["observed_at"] == "2026-03-05T00:00:00Z"
    assert state["data_age_s"] == 300
    assert state["provenance"]["sources"] == {"load_kw": "community-level readings"}
    track = await world.service.history(GRANT, START, START + timedelta(days=3))
    np.testing.assert_allclose(track.mean[96:, 0], values[96:], rtol=1e-2)
    async with world.store.community(ID) as tx:
        assert [event.kind for event in await tx.events.after(0, limit=10)] == ["state"]


async def test_meters_of_some_members_stand_for_their_part_of_the_community(world: World) -> None:
    await world.open(homes=20, num_prosumers=20)
    await world.record(*homes(10, 24 * 10))
    world.clock.advance(days=10)
    state = await world.service.state(GRANT)
    assert state["coverage"] == pytest.approx(0.5)
    assert "10 meters of 20 prosumers" in state["provenance"]["sources"]["load_kw"]
    assert "prosumers without load_kw readings are like the 10 with them" in state["provenance"]["assumptions"]
    [told] = {len(one.values) for one in homes(10, 24 * 10)}
    truth = 2 * sum(one.values[told - 1] for one in homes(10, 24 * 10))
    demand = state["states"]["demand_kw"]
    assert abs(demand["mean"] - truth) < 3 * demand["sd"]
    assert demand["sd"] > 0.01 * truth, "what nobody metered is not known"
    unmetered = state["parts"]["unmetered_demand_kw"]
    assert unmetered["mean"] == pytest.approx(demand["mean"] - truth / 2)
    assert unmetered["sd"] == demand["sd"]
    assert state["parts"]["net_charge_kw"]["sd"] > 0


async def test_a_roof_without_a_meter_counts_by_what_is_registered_of_it(world: World) -> None:
    await world.open(homes=4, num_prosumers=4, total_pv_capacity_kw=24.0)
    capacities = {"h0": 4.0, "h1": 8.0, "h2": 12.0}
    async with world.store.community(ID) as tx:
        await tx.members.put_assets([Asset(f"{one}_pv", Photovoltaics(kw), one) for one, kw in capacities.items()])
    hours = np.arange(24 * 10 - 11) % 24
    sun = np.maximum(np.sin((hours - 5) / 14 * np.pi), 0.0) * (hours < 19)
    told = [series("pv_kw", (capacities[one] * sun).tolist(), member=one, start=START) for one in ("h0", "h1")]
    await world.record(*told)
    world.clock.advance(hours=hours.size)
    state = await world.service.state(GRANT)
    assert state["states"]["pv_kw"]["mean"] == pytest.approx(24.0 * sun[-1], rel=0.02)
    assert state["states"]["pv_kw"]["sd"] > 0.05 * 12.0 * sun[-1], "the third roof is not seen"
    assert any("what is registered of them" in one for one in state["provenance"]["assumptions"])


async def test_meters_of_different_resolutions_are_read_on_the_coarsest(world: World) -> None:
    await world.open(homes=6, num_prosumers=6)
    quarter = [series("load_kw", [1.0] * 96 * 5, member=f"h{one}", start=START) for one in range(3)]
    hourly = [series("load_kw", [2.0] * 24 * 5, member=f"h{one}", start=START, minutes=60) for one in range(3, 6)]
    await world.record(*quarter, *hourly)
    world.clock.advance(days=5)
    state = await world.service.state(GRANT)
    assert state["states"]["demand_kw"]["mean"] == pytest.approx(9, rel=1e-2)
    assert (await world.service.history(GRANT, START, START + timedelta(days=1))).grid.step_minutes == 60
    assert "6 load_kw meters have shown one value for a day" in " ".join(state["provenance"]["notes"])


async def test_a_members_net_meter_counts_only_without_a_load_meter(world: World) -> None:
    await world.open(homes=4, num_prosumers=4)
    net = [
        series("net_load_kw", daily(240, mean=one + 1), member=f"h{one}", start=START, minutes=60) for one in range(4)
    ]
    await world.record(*net, *homes(2, 240))
    world.clock.advance(days=10)
    sources = (await world.service.state(GRANT))["provenance"]["sources"]
    assert sources == {"load_kw": "2 meters of 4 prosumers", "net_load_kw": "2 meters of 4 prosumers"}


async def test_readings_of_the_future_wait_for_their_time(world: World) -> None:
    await world.open()
    await world.record(series("load_kw", daily(96 * 2, minutes=15), start=START))
    world.clock.advance(hours=24, minutes=20)
    state = await world.service.state(GRANT)
    assert state["observed_at"] == "2026-03-03T00:15:00Z"
    assert not await world.service.advance(ID)
    world.clock.advance(minutes=10)
    assert await world.is_due()
    assert await world.service.advance(ID)
    assert (await world.snapshot()).observed_at == START + timedelta(hours=24.5)


# Readings come as they come


async def arrive(world: World, hours: list[int]) -> str:
    """The state when the hours after four days came in this order, advanced after each."""
    await world.open(homes=4, num_prosumers=5)
    await world.record(*homes(4, 24 * 4))
    world.clock.advance(days=4)
    await world.service.advance(ID)
    world.clock.advance(days=2)
    last = homes(4, 30, first=24 * 4)
    for hour in hours:
        when = START + timedelta(days=4, hours=hour)
        await world.record(
            *(series("load_kw", [one.values[hour]], member=one.key.member_id, start=when, minutes=60) for one in last)
        )
        await world.service.advance(ID)
    return TwinState.from_bytes((await world.snapshot()).state).digest


async def test_readings_lead_to_the_same_state_in_whatever_order_they_arrive() -> None:
    in_order = list(range(30))
    shuffled = np.random.default_rng(1).permutation(30).tolist()
    assert await arrive(World(), in_order) == await arrive(World(), shuffled)


async def test_a_correction_changes_the_history_from_its_instant_on_and_not_before(world: World) -> None:
    await world.open()
    values = daily(24 * 9)
    await world.record(series("load_kw", values, start=START, minutes=60))
    world.clock.advance(days=9)
    await world.service.advance(ID)
    before = await world.service.history(GRANT, START, START + timedelta(days=9))
    await world.record(series("load_kw", [90.0], start=START + timedelta(hours=180), minutes=60))
    after = await world.service.history(GRANT, START, START + timedelta(days=9))
    np.testing.assert_array_equal(before.mean[:180], after.mean[:180])
    assert after.mean[180, 0] == pytest.approx(90, rel=1e-2)


async def test_a_temperature_that_comes_late_leads_to_the_state_that_it_would_have_led_to_in_time() -> None:
    outside = np.repeat(np.random.default_rng(1).uniform(-8.0, 12.0, 21), 24)
    load = np.array(daily(24 * 21)) + 2.0 * (15.0 - outside)
    states: list[dict[str, Any]] = []
    for hours_late in (0, 5):
        world = World()
        await world.open()
        known = 24 * 20
        await world.record(
            series("load_kw", load[:known].tolist(), start=START, minutes=60),
            series("temperature_c", outside[:known].tolist(), start=START, minutes=60),
        )
        world.clock.advance(days=20)
        await world.service.advance(ID)
        for hour in range(known, known + 12):
            world.clock.advance(hours=1)
            at = START + timedelta(hours=hour)
            if not hours_late:
                await world.record(series("temperature_c", [outside[hour]], start=at, minutes=60))
                assert not await world.is_due(), "what lies ahead of the state counts with the readings there"
            await world.record(series("load_kw", [load[hour]], start=at, minutes=60))
            await world.service.advance(ID)
        if hours_late:
            late = outside[known : known + 12].tolist()
            before = await world.service.state(GRANT)
            await world.record(series("temperature_c", late, start=START + timedelta(days=20), minutes=60))
            assert await world.is_due()
            assert (await world.service.state(GRANT))["states"] != before["states"]
            assert not await world.is_due()
        states.append((await world.service.state(GRANT))["states"])
    assert states[0] == states[1]


async def test_a_long_history_that_comes_late_is_learned_from(world: World) -> None:
    await world.open()
    world.clock.advance(days=90)
    await world.record(series("load_kw", daily(4), start=START + timedelta(days=89, hours=20), minutes=60))
    await world.service.advance(ID)
    assert (await world.snapshot()).calibrated_days == pytest.approx(4 / 24)
    await world.record(series("load_kw", daily(24 * 89 + 20), start=START, minutes=60))
    await world.service.advance(ID)
    assert (await world.snapshot()).calibrated_days == pytest.approx(63)
    assert not await world.is_due()


async def test_what_is_too_old_to_matter_is_struck_out(world: World) -> None:
    await world.open()
    await world.record(series("load_kw", daily(24 * 80), start=START, minutes=60))
    world.clock.advance(days=80)
    await world.service.advance(ID)
    version = (await world.snapshot()).version
    await world.record(series("load_kw", [77.0], start=START, minutes=60))
    assert not await world.service.advance(ID)
    assert not await world.is_due()
    assert (await world.snapshot()).version == version


async def test_a_changed_plan_starts_the_estimate_over(world: World) -> None:
    await world.open()
    await world.record(series("load_kw", daily(24 * 9), start=START, minutes=60))
    world.clock.advance(days=9)
    await world.service.advance(ID)
    setup = (await world.snapshot()).setup
    async with world.store.platform() as tx:
        await tx.communities.replace(community(ID, total_pv_capacity_kw=9.0), expected_version=None)
    await world.record(series("load_kw", [50.0], start=START + timedelta(days=9), minutes=60))
    world.clock.advance(hours=1)
    await world.service.advance(ID)
    assert (await world.snapshot()).setup != setup


async def test_a_state_of_another_version_is_estimated_anew(world: World) -> None:
    await world.open()
    await world.record(series("load_kw", daily(24 * 9), start=START, minutes=60))
    world.clock.advance(days=9)
    await world.service.advance(ID)
    tables = world.store._tables.communities[ID].states
    assert tables.snapshot is not None
    tables.snapshot = replace(tables.snapshot, state=b"from another age")
    await world.record(series("load_kw", [50.0], start=START + timedelta(days=9), minutes=60))
    world.clock.advance(hours=1)
    assert await world.service.advance(ID)
    assert (await world.service.state(GRANT))["states"]["demand_kw"]["mean"] == pytest.approx(50, rel=1e-2)


async def test_a_new_process_goes_on_where_the_last_one_ended(world: World) -> None:
    await world.open()
    values = daily(24 * 9 + 1)
    await world.record(series("load_kw", values[:-1], start=START, minutes=60))
    world.clock.advance(days=9)
    await world.service.advance(ID)
    again = StateService(world.store, world.clock, InProcessPool())
    known = await again.state(GRANT)
    assert known["states"] == (await world.service.state(GRANT))["states"]
    await world.record(series("load_kw", values[-1:], start=START + timedelta(days=9), minutes=60))
    world.clock.advance(hours=1)
    assert (await again.state(GRANT))["states"]["demand_kw"]["mean"] == pytest.approx(values[-1], rel=1e-2)
    assert (await world.snapshot()).version == 2


async def test_many_questions_at_once_compute_once(world: World) -> None:
    class CountingPool(InProcessPool):
        calls = 0

        async def call(self, function: Any, *args: Any, timeout_s: float) -> Any:
            CountingPool.calls += 1
            await asyncio.sleep(0)  # others may go on meanwhile
            return await super().call(function, *args, timeout_s=timeout_s)

    await world.open()
    await world.record(series("load_kw", daily(24 * 3), start=START, minutes=60))
    world.clock.advance(days=3)
    service = StateService(world.store, world.clock, CountingPool())
    answers = await asyncio.gather(*(service.state(GRANT) for _ in range(5)))
    assert CountingPool.calls == 1
    assert all(one == answers[0] for one in answers)


# As it was known


async def test_a_state_of_the_past_is_the_answer_that_was_known_then(world: World) -> None:
    await world.open()
    await world.record(series("load_kw", daily(24 * 9), start=START, minutes=60))
    world.clock.advance(days=9)
    then = await world.service.state(GRANT)
    asked_at = world.clock.now()
    world.clock.advance(hours=2)
    await world.record(series("load_kw", [80.0, 80.0], start=START + timedelta(days=9), minutes=60))
    now = await world.service.state(GRANT)
    assert now["observed_at"] != then["observed_at"]
    again = await world.service.state(GRANT, as_of=asked_at + timedelta(minutes=30))
    assert again["states"] == then["states"]
    assert again["data_age_s"] == 1800
    with pytest.raises(InvalidInput, match="future"):
        await world.service.state(GRANT, as_of=world.clock.now() + timedelta(seconds=1))


async def test_imported_history_is_known_as_it_would_have_come(world: World) -> None:
    await world.open()
    values = daily(24 * 20)
    world.clock.advance(days=30)
    await world.record(series("load_kw", values, start=START, minutes=60), delay=timedelta(hours=1))
    await world.service.advance(ID)
    at = START + timedelta(days=10, hours=1)
    state = await world.service.state(GRANT, as_of=at)
    assert state["observed_at"] == "2026-03-12T00:00:00Z"
    assert state["states"]["demand_kw"]["mean"] == pytest.approx(values[239], rel=1e-2)
    earlier = await world.service.state(GRANT, as_of=START + timedelta(minutes=30))
    assert earlier["observed_at"] is None
    assert earlier["coverage"] == 0


# Who may see it


async def test_a_member_is_told_of_no_other_homes_meter(world: World) -> None:
    await world.open(homes=6, num_prosumers=6)
    resting = series("load_kw", [0.7] * 72, member="h5", start=START, minutes=60)
    await world.record(*homes(5, 72), resting)
    world.clock.advance(days=3)
    assert "h5" in str((await world.service.state(GRANT))["provenance"]["notes"])
    assert "h5" not in str(await world.service.state(Grant(NOBODY, ID, "h0")))


@pytest.mark.parametrize(("reporting", "is_open"), [(4, False), (5, True)])
async def test_a_member_sees_states_of_five_homes_or_more(world: World, reporting: int, is_open: bool) -> None:
    await world.open(homes=reporting, num_prosumers=20)
    await world.record(*homes(reporting, 24 * 3))
    world.clock.advance(days=3)
    own = Grant(NOBODY, ID, "h0")
    track = await world.service.history(own, START, START + timedelta(days=3))
    assert np.isfinite(track.mean).all() == is_open
    assert np.isnan(track.mean).all() != is_open
    if is_open:
        assert (await world.service.state(own))["coverage"] > 0
    else:
        with pytest.raises(NotAllowed):
            await world.service.state(own)
    assert (await world.service.state(GRANT))["coverage"] > 0
