"""The past with hindsight, as it is asked for: the smoother's answer, from the readings of the span and none after."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from tests.builders import community, series
from tests.test_states import GRANT, ID, NOBODY, START, World, daily, homes

from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.macro_twin.calibration import TwinReadings
from digital_twin.macro_twin.hindsight import smoothed_track
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.state import TwinState
from digital_twin.services.access import Grant
from digital_twin.services.hindsight import HindsightService
from digital_twin.services.ports import StateTrack
from digital_twin.testing import InProcessPool

DEMAND = 0
DAY = timedelta(days=1)
DAYS = 24
HOMES = 6


@pytest.fixture
def world() -> World:
    return World()


async def looked_back(world: World, start: datetime, end: datetime, grant: Grant = GRANT) -> StateTrack:
    service = HindsightService(world.service, world.store, world.clock, InProcessPool())
    return await service.history(grant, start, end)


def with_gaps(loads: list[SeriesValues], seed: int = 3) -> list[SeriesValues]:
    """From the third week on, half of the readings are lost."""
    generator = np.random.default_rng(seed)
    for one in loads:
        lost = generator.random(one.values.size) < 0.5
        lost[: 14 * 24] = False
        one.values[lost] = np.nan
    return loads


def lively(count: int, days: int) -> list[SeriesValues]:
    """Homes that stray from their day for hours on end, all of them and each by itself."""
    generator, steps = np.random.default_rng(5), 24 * days
    shocks = generator.normal(0, 0.3, (steps, count)) + generator.normal(0, 0.2, (steps, 1))
    stray = np.zeros((steps, count))
    for step in range(1, steps):
        stray[step] = 0.9 * stray[step - 1] + shocks[step]
    day = np.array(daily(steps, mean=1.0))[:, None]
    loads = day * (0.5 + np.arange(count) / count) * np.exp(0.4 * stray)
    loads = loads.round(3)  # so that they are kept as they are
    return [
        series("load_kw", loads[:, one].tolist(), member=f"h{one}", start=START, minutes=60) for one in range(count)
    ]


async def lived(world: World) -> np.ndarray:
    """Some weeks in which meters come and go; what all used together."""
    await world.open(homes=HOMES, num_prosumers=HOMES)
    loads = lively(HOMES, DAYS)
    truth = np.sum([one.values for one in loads], axis=0)
    await world.record(*with_gaps(loads))
    world.clock.advance(days=DAYS)
    await world.service.advance(ID)
    return truth


async def test_the_past_is_nearer_to_the_truth_and_surer_with_hindsight(world: World) -> None:
    truth = await lived(world)
    span = START + 18 * DAY, START + DAYS * DAY
    told, found = await world.service.history(GRANT, *span), await looked_back(world, *span)
    errors = [np.sqrt(np.mean((one.mean[:, DEMAND] - truth[18 * 24 :]) ** 2)) for one in (found, told)]
    assert errors[0] < 0.95 * errors[1]
    assert (found.deviation <= told.deviation * (1 + 1e-9)).all()
    assert (found.deviation[:, DEMAND] < 0.98 * told.deviation[:, DEMAND]).any()
    np.testing.assert_allclose(found.mean[-1], told.mean[-1], rtol=1e-6)
    np.testing.assert_array_equal(found.reporting, told.reporting)


async def test_it_is_what_the_smoother_makes_of_the_state_kept_before_and_the_readings_of_the_span(
    world: World,
) -> None:
    await lived(world)
    start, end = START + 20 * DAY + timedelta(hours=5), START + 22 * DAY
    found = await looked_back(world, start, end)
    async with world.store.community(ID) as tx:
        kept, snapshot = await tx.states.checkpoint(start), await tx.states.snapshot()
    assert kept is not None
    assert snapshot is not None
    assert kept.at == START + 20 * DAY
    grid, shown = TimeGrid(kept.at, 48, 60), with_gaps(lively(HOMES, DAYS))
    meters = np.stack([one.values[20 * 24 : 22 * 24] for one in shown], axis=1)
    nobody = [np.empty((48, 0))] * 3
    readings = TwinReadings(grid, np.full((48, 4), np.nan), (meters, *nobody), np.zeros(48))
    track = smoothed_track(TwinState.from_bytes(kept.state), TwinModel.from_bytes(snapshot.model), readings)
    np.testing.assert_array_equal(found.mean[:, DEMAND], track.mean[5:, DEMAND])
    np.testing.assert_array_equal(found.deviation[:, DEMAND], track.deviation[5:, DEMAND])


async def test_nothing_that_was_read_after_the_span_is_used(world: World) -> None:
    await lived(world)
    span = START + 20 * DAY, START + 22 * DAY
    before = await looked_back(world, *span)
    loud = [series("load_kw", [9.0] * 20, member=f"h{one}", start=START + 22 * DAY, minutes=60) for one in range(HOMES)]
    version = (await world.snapshot()).version
    await world.record(*loud)
    after = await looked_back(world, *span)
    assert (await world.snapshot()).version == version + 1
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.deviation, after.deviation)
    longer = await looked_back(world, span[0], span[1] + DAY)
    assert not np.array_equal(longer.mean[:48], before.mean)


async def test_it_reaches_back_to_where_the_history_begins_that_was_learned_from(world: World) -> None:
    await lived(world)
    found = await looked_back(world, START - DAY, START + 2 * DAY)
    assert found.grid.start == START - DAY
    assert np.isnan(found.mean[:24]).all()
    assert np.isfinite(found.mean[24:]).all()
    with pytest.raises(InvalidInput, match="2026-01-22T00:00:00Z on"):
        await looked_back(world, START - 70 * DAY, START)
    assert np.isnan((await looked_back(world, START - 2 * DAY, START - DAY)).mean).all()


async def test_a_span_that_has_not_ended_is_empty_from_now_on(world: World) -> None:
    await lived(world)
    found = await looked_back(world, START + 23 * DAY, START + 25 * DAY)
    assert found.grid.steps == 48
    assert np.isfinite(found.mean[:24]).all()
    assert np.isnan(found.mean[24:]).all()
    assert not found.reporting[24:].any()


async def test_a_span_of_nothing_and_a_community_of_nowhere_are_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="end must be after start"):
        await looked_back(world, START, START)
    with pytest.raises(NotFound):
        await looked_back(world, START, START + DAY)


async def test_before_any_reading_there_is_nothing_to_look_back_on(world: World) -> None:
    await world.open()
    found = await looked_back(world, START - DAY, START)
    assert found.grid.steps == 96
    assert np.isnan(found.mean).all()


async def test_a_changed_plan_is_learned_for_the_question(world: World) -> None:
    await lived(world)
    async with world.store.platform() as tx:
        await tx.communities.replace(
            community(ID, num_prosumers=2 * HOMES, timezone="Europe/Vienna"), expected_version=None
        )
    span = START + 18 * DAY, START + DAYS * DAY
    told, found = await world.service.history(GRANT, *span), await looked_back(world, *span)
    assert found.mean[:, DEMAND].mean() == pytest.approx(2 * told.mean[:, DEMAND].mean(), rel=0.1)


@pytest.mark.parametrize(("reporting", "is_open"), [(4, False), (5, True)])
async def test_a_member_sees_a_past_of_five_homes_or_more(world: World, reporting: int, is_open: bool) -> None:
    await world.open(homes=reporting, num_prosumers=20)
    await world.record(*homes(reporting, 24 * 3))
    world.clock.advance(days=3)
    found = await looked_back(world, START, START + 3 * DAY, Grant(NOBODY, ID, "h0"))
    assert np.isfinite(found.mean).all() == is_open
    assert np.isnan(found.mean).all() != is_open
