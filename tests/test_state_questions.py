"""What a state is asked besides itself: what comes next, and how its meters fare."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from tests.builders import series
from tests.test_states import GRANT, ID, NOBODY, START, World, daily, homes

from digital_twin.domain.errors import InvalidInput, NotAllowed, NotFound
from digital_twin.macro_twin import ESTIMATED, SURE, Condition
from digital_twin.macro_twin.state import TwinState
from digital_twin.services.access import Grant
from digital_twin.services.meters import MeterReport, MeterService
from digital_twin.services.predictions import LONGEST_GAP, PredictedState, PredictionService
from digital_twin.services.twin_questions import predict_state
from digital_twin.services.twin_steps import TwinTask
from digital_twin.testing import InProcessPool

DEMAND, PV, NET_LOAD, STORED = range(4)


@pytest.fixture
def world() -> World:
    return World()


async def predicted(
    world: World, hours: int = 24, grant: Grant = GRANT, as_of: datetime | None = None
) -> PredictedState:
    return await PredictionService(world.service, world.clock, InProcessPool()).predict(grant, hours, as_of)


async def looked_at(world: World) -> MeterReport:
    return await MeterService(world.store, world.service, world.clock, InProcessPool()).report(GRANT)


# What comes next


async def test_a_new_community_is_predicted_from_its_plan(world: World) -> None:
    await world.open()
    found = await predicted(world)
    assert found.observed_at is None
    assert found.grid.end == START + timedelta(hours=24)
    assert found.mean.shape == (found.grid.steps, len(ESTIMATED))
    assert found.mean[:, DEMAND].max() > 1.5 * found.mean[:, DEMAND].min() > 0, "a household's day"
    assert found.mean[:, PV].max() > 50
    assert found.mean[:4, PV].max() == pytest.approx(0, abs=1e-6), "at midnight"
    assert "standard household profile" in " ".join(found.provenance["assumptions"])
    with pytest.raises(NotFound):
        await predicted(world, grant=Grant(NOBODY, "nowhere"))


async def test_a_prediction_follows_the_days_that_were_read_and_grows_less_sure(world: World) -> None:
    await world.open()
    values = daily(24 * 22)
    await world.record(series("load_kw", values[: 24 * 21], start=START, minutes=60))
    world.clock.advance(days=21)
    found = await predicted(world)
    truth = np.array(values[24 * 21 :])
    assert found.grid.start == START + timedelta(days=21)
    assert found.grid.steps == 24
    assert np.sqrt(np.mean((found.mean[:, DEMAND] - truth) ** 2)) < 0.1 * truth.mean()
    assert (found.lower[:, DEMAND] <= truth).mean() > 0.8
    assert (truth <= found.upper[:, DEMAND]).mean() > 0.8
    assert found.deviation[0, DEMAND] < found.deviation[:, DEMAND].max()
    assert found.provenance["data_start"] == "2026-03-02T00:00:00Z"
    assert found.provenance["data_end"] == "2026-03-23T00:00:00Z"
    assert found.provenance["models"] == {"prediction": "macro_twin"}


async def test_a_cold_day_that_is_forecast_is_predicted_with_its_heating(world: World) -> None:
    await world.open()
    days = np.random.default_rng(0).uniform(-5.0, 14.0, 23)
    days[21:] = -5.0, 14.0
    outside = np.repeat(days, 24)
    load = np.array(daily(24 * 23)) + 2.0 * (15.0 - outside)
    await world.record(
        series("load_kw", load[: 24 * 21].tolist(), start=START, minutes=60),
        series("temperature_c", outside.tolist(), start=START, minutes=60),
    )
    world.clock.advance(days=21)
    found = await predicted(world, hours=48)
    assert found.provenance["sources"]["temperature_c"] == "community-level readings"
    settled = np.r_[12:24, 36:48]  # a building takes some hours to feel it
    np.testing.assert_allclose(found.mean[settled, DEMAND], load[24 * 21 :][settled], rtol=0.15)
    assert (found.mean[12:24, DEMAND] > found.mean[36:48, DEMAND] + 25).all()


async def test_where_the_time_zone_has_a_country_its_holidays_are_no_workdays(world: World) -> None:
    await world.open(timezone="Europe/Vienna")
    assert (await world.service.standing(GRANT)).instruments.setting.plant.country == "AT"
    elsewhere = World()
    await elsewhere.open(timezone="UTC")
    assert (await elsewhere.service.standing(GRANT)).instruments.setting.plant.country is None


async def test_bands_keep_to_what_is_possible(world: World) -> None:
    await world.open()
    found = await predicted(world, hours=48)
    for one in (found.lower, found.mean, found.upper):
        assert (one[:, [DEMAND, PV, STORED]] >= 0).all()
    assert (found.lower <= found.mean).all()
    assert (found.mean <= found.upper).all()
    assert found.upper[:, STORED].max() <= 200
    assert found.lower[:, NET_LOAD].min() < 0


async def test_what_was_not_read_before_now_is_predicted_as_well_up_to_a_week(world: World) -> None:
    await world.open()
    await world.record(series("load_kw", daily(24 * 9), start=START, minutes=60))
    world.clock.advance(days=9, hours=5, minutes=20)
    late = await predicted(world, hours=6)
    assert late.grid.start == late.observed_at == START + timedelta(days=9)
    assert late.grid.end == START + timedelta(days=9, hours=11)
    world.clock.advance(days=30)
    later = await predicted(world, hours=6)
    assert later.grid.start == START + timedelta(days=39, hours=5) - LONGEST_GAP
    assert later.grid.steps == 7 * 24 + 6
    assert later.observed_at == START + timedelta(days=9)


async def test_a_plan_that_changed_since_the_last_reading_is_predicted_as_it_is_now(world: World) -> None:
    await world.open(total_pv_capacity_kw=0.0)
    await world.record(series("load_kw", daily(24 * 9), start=START, minutes=60))
    world.clock.advance(days=9)
    assert (await predicted(world)).mean[:, PV].max() == 0
    async with world.store.platform() as tx:
        found = (await tx.communities.get(ID)).community
        await tx.communities.replace(replace(found, total_pv_capacity_kw=100.0), expected_version=None)
    assert (await predicted(world)).mean[:, PV].max() > 10


async def test_a_prediction_as_of_an_instant_is_the_one_that_was_made_then(world: World) -> None:
    await world.open()
    values = daily(24 * 14)
    outside = np.full(24 * 16, 5.0)
    await world.record(
        series("load_kw", values, start=START, minutes=60),
        series("temperature_c", outside.tolist(), start=START, minutes=60),
    )
    world.clock.advance(days=14, minutes=10)
    then, asked_at = await predicted(world), world.clock.now()
    world.clock.advance(hours=8)
    await world.record(
        series("load_kw", [150.0] * 8, start=START + timedelta(days=14), minutes=60),
        series("temperature_c", [-15.0] * 48, start=START + timedelta(days=14), minutes=60),
    )
    assert (await predicted(world)).mean[0, DEMAND] > 1.5 * then.mean[8, DEMAND], "now it knows better"
    again = await predicted(world, as_of=asked_at)
    assert again.as_of == asked_at
    assert again.observed_at == then.observed_at
    assert again.grid == then.grid
    np.testing.assert_array_equal(again.mean, then.mean)
    np.testing.assert_array_equal(again.deviation, then.deviation)
    before_any = await predicted(world, as_of=START - timedelta(days=1))
    assert before_any.observed_at is None
    assert "standard household profile" in " ".join(before_any.provenance["assumptions"])
    with pytest.raises(InvalidInput, match="future"):
        await predicted(world, as_of=world.clock.now() + timedelta(seconds=1))


async def test_what_late_truth_taught_of_a_state_widens_its_prediction_and_not_one_as_of_before(world: World) -> None:
    await world.open(homes=10, num_prosumers=10)
    await world.record(*homes(4, 24 * 10))
    world.clock.advance(days=10)
    first, asked_at = await predicted(world, hours=168), world.clock.now()
    for day in range(10, 14):  # whoever is silent uses three times what is expected of them, and tells so a day late
        await world.record(*homes(4, 24, first=24 * day))
        world.clock.advance(days=1)
        await world.service.advance(ID)
        silent = [
            series("load_kw", [3.0] * 24, member=f"h{one}", start=START + timedelta(days=day), minutes=60)
            for one in range(4, 10)
        ]
        await world.record(*silent)
        await world.service.advance(ID)
    state = await world.service.state(GRANT)
    taught = state["consistency"]["streams"]["load_kw"]["widening"]
    told = await predicted(world, hours=168)
    standing = await world.service.standing(GRANT)
    plain = predict_state(
        TwinTask(
            standing.instruments.setting, told.grid, np.empty((0, 4)), (np.empty((0, 0)),) * 4,
            standing.model, standing.state,
        )
    )  # fmt: skip
    of_state = TwinState.from_bytes(standing.state).deviation[DEMAND]
    wider = np.sqrt(plain.deviation[:, DEMAND] ** 2 + (taught**2 - 1) * of_state**2)
    np.testing.assert_allclose(told.deviation[:, DEMAND], wider, rtol=1e-12)
    assert taught > 1
    assert told.deviation[0, DEMAND] >= state["states"]["demand_kw"]["sd"], "nobody is surer of the future"
    half_kw = (told.upper - told.mean)[:, NET_LOAD]
    np.testing.assert_allclose(half_kw, SURE * told.deviation[:, NET_LOAD], rtol=1e-12)
    again = await predicted(world, hours=168, as_of=asked_at)
    np.testing.assert_allclose(again.deviation, first.deviation, rtol=1e-12)


@pytest.mark.parametrize(("reporting", "is_open"), [(4, False), (5, True)])
async def test_a_member_sees_predictions_of_five_homes_or_more(world: World, reporting: int, is_open: bool) -> None:
    await world.open(homes=reporting, num_prosumers=20)
    await world.record(*homes(reporting, 24 * 3))
    world.clock.advance(days=3)
    own = Grant(NOBODY, ID, "h0")
    if is_open:
        assert np.isfinite((await predicted(world, grant=own)).mean).all()
    else:
        with pytest.raises(NotAllowed):
            await predicted(world, grant=own)


# How meters fare


async def test_without_meters_there_is_nothing_to_look_at(world: World) -> None:
    await world.open()
    assert await looked_at(world) == MeterReport(START, None, None, {}, ())
    await world.record(series("load_kw", daily(24), start=START, minutes=60))
    world.clock.advance(days=1)
    found = await looked_at(world)
    assert (found.observed_at, found.meters) == (START + timedelta(days=1), ())


async def test_silent_meters_are_ranked_by_what_they_would_add_and_the_others_by_their_trouble(world: World) -> None:
    await world.open(homes=6, num_prosumers=6)
    told = homes(6, 24 * 10)
    await world.record(*told[:4], series("storage_soc_kwh", [5.0] * 24 * 10, member="h0", start=START, minutes=60))
    for one in told[4:]:  # the two largest fall silent
        await world.record(
            series("load_kw", one.values[:-5].tolist(), member=one.key.member_id, start=START, minutes=60)
        )
    world.clock.advance(days=10, minutes=10)
    found = await looked_at(world)
    assert found.counts == {Condition.SILENT: 2, Condition.REPORTING: 5}
    assert {(one.name, one.member_id) for one in found.meters[:2]} == {("load_kw", "h5"), ("load_kw", "h4")}
    first, second = found.meters[:2]
    assert (first.sd_fall_kw or 0) > (second.sd_fall_kw or 0) > 0
    assert first.since == first.newest_end == START + timedelta(days=9, hours=19)
    assert {one.variance_fall_kw2 for one in found.meters[2:]} == {0.0, None}
    [stored] = [one for one in found.meters if one.name == "storage_soc_kwh"]
    assert (stored.condition, stored.since, stored.sd_fall_kw) == (Condition.REPORTING, None, None)


async def test_dead_refused_and_stuck_meters_are_told_with_since_when(world: World) -> None:
    await world.open(homes=6, num_prosumers=6)
    told, learned = [one.values.tolist() for one in homes(6, 24 * 10)], 24 * 10 - 30
    told[1] = told[1][:learned]
    told[2] = [*told[2][:-3], 400.0, 410.0, 420.0]
    told[3] = [*told[3][:-26], *[0.77] * 26]
    for first, last in ((0, learned), (learned, 24 * 10)):
        start = START + timedelta(hours=first)
        await world.record(
            *(
                series("load_kw", values[first:last], member=f"h{one}", start=start, minutes=60)
                for one, values in enumerate(told)
                if values[first:last]
            )
        )
        world.clock.advance(hours=last - first)
        await world.service.advance(ID)
    found = {one.member_id: one for one in (await looked_at(world)).meters}
    end = START + timedelta(days=10)
    assert found["h1"].condition is Condition.DEAD
    assert found["h1"].since == end - timedelta(hours=30)
    assert found["h2"].condition is Condition.REFUSED
    assert found["h2"].since == end - timedelta(hours=3)
    assert found["h2"].newest_end == end
    assert (found["h2"].sd_fall_kw or 0) > 0, "what is refused is missed"
    assert found["h3"].condition is Condition.STUCK
    assert found["h3"].since == end - timedelta(hours=26)
    assert found["h3"].sd_fall_kw == 0, "it is believed all the same"


async def test_a_meter_is_refused_where_the_state_did_not_believe_it_although_it_has_shown_as_much(
    world: World,
) -> None:
    await world.open(homes=6, num_prosumers=6)
    told = [one.values.tolist() for one in homes(6, 24 * 10)]
    lowest, highest = told[2][-21], max(told[2])
    assert lowest < 0.5 * highest
    for first, last in ((0, 24 * 10 - 21), (24 * 10 - 21, 24 * 10 - 20)):
        told[2][-21] = 0.99 * highest  # at the hour at which it shows the least
        start = START + timedelta(hours=first)
        await world.record(
            *(
                series("load_kw", values[first:last], member=f"h{one}", start=start, minutes=60)
                for one, values in enumerate(told)
            )
        )
        world.clock.advance(hours=last - first)
        await world.service.advance(ID)
    found = {one.member_id: one for one in (await looked_at(world)).meters}
    assert found["h2"].condition is Condition.REFUSED
    assert found["h2"].since == START + timedelta(hours=24 * 10 - 21)
    assert (found["h2"].sd_fall_kw or 0) > 0, "what is refused is missed"
    assert {one.condition for name, one in found.items() if name != "h2"} == {Condition.REPORTING}


async def test_where_the_community_meters_itself_no_meter_adds_anything(world: World) -> None:
    await world.open(homes=3, num_prosumers=3)
    await world.record(*homes(2, 24 * 9), series("load_kw", daily(24 * 10), start=START, minutes=60))
    world.clock.advance(days=10)
    found = await looked_at(world)
    assert [one.condition for one in found.meters] == [Condition.DEAD] * 2
    assert all(one.sd_fall_kw == 0 for one in found.meters)
