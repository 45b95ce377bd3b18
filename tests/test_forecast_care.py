"""Forecasts in service: issued each local midnight from what was known then, judged, and trained anew in time."""

import asyncio
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.builders import MONDAY, community, hours, issued_forecast, series
from tests.cared_for import DAY, GRANT, HERE, World, load, past_load

from digital_twin.domain.errors import InvalidInput, Unavailable
from digital_twin.domain.time import TimeGrid, local_midnight
from digital_twin.forecasting.auto import make_forecast
from digital_twin.services.forecast_accuracy import AccuracyRequest
from digital_twin.services.forecasts import ForecastRequest
from digital_twin.services.issued_forecasts import LONGEST_CATCH_UP_DAYS

# Issued


@pytest.fixture
def world() -> World:
    return World()


async def test_at_midnight_the_day_is_forecast_from_what_was_known_then(world: World) -> None:
    await world.open(past_load(40))
    await world.record(series("load_kw", [999.0] * 24, start=MONDAY, minutes=60), delay=None)
    assert await world.care.due() == [HERE]
    await world.care.look_after(HERE)
    [issued] = await world.issued()
    assert (issued.variable, issued.start, issued.issued_at) == ("load_kw", MONDAY, MONDAY)
    assert (issued.resolution_minutes, issued.mean.shape, issued.quantiles.shape) == (60, (24,), (24, 7))
    request = ForecastRequest(TimeGrid(MONDAY, 24, 60), variables=("load_kw",), as_of=MONDAY)
    async with world.store.community(HERE) as tx:
        gathered = await world.forecasts.gather(tx, community(HERE), request)
    task = gathered.task("load_kw", request.grid)
    np.testing.assert_array_equal(issued.quantiles, make_forecast(task).quantiles.astype(np.float32))
    naive = make_forecast(task, model="seasonal_naive").quantiles
    np.testing.assert_array_equal(issued.naive_quantiles, naive.astype(np.float32))
    assert issued.mean.max() < 100


async def test_a_day_is_issued_once_and_the_next_at_the_next_midnight(world: World) -> None:
    await world.open(past_load(10))
    await asyncio.gather(*(world.care.look_after(HERE) for _ in range(3)))
    assert await world.days() == [MONDAY]
    assert (await world.kept_care()).version == 1
    before = (await world.issued())[0].mean
    world.clock.advance(hours=23)
    await world.care.look_after(HERE)
    assert await world.days() == [MONDAY]
    world.clock.advance(hours=1)
    assert await world.care.due() == [HERE]
    await world.care.look_after(HERE)
    assert await world.days() == [MONDAY, MONDAY + DAY]
    np.testing.assert_array_equal((await world.issued())[0].mean, before)


async def test_after_a_downtime_days_are_made_up_for_as_they_would_have_been(world: World) -> None:
    await world.open(past_load(5))
    await world.care.look_after(HERE)
    world.clock.advance(days=12)
    await world.record(series("load_kw", load(12, seed=2), start=MONDAY, minutes=60))
    await world.care.look_after(HERE)
    today = MONDAY + 12 * DAY
    assert await world.days() == [
        MONDAY, *(today - back * DAY for back in reversed(range(LONGEST_CATCH_UP_DAYS)))
    ]  # fmt: skip
    assert all(one.issued_at == one.start for one in await world.issued())


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [("Europe/Vienna", date(2026, 3, 29), 23), ("Europe/Vienna", date(2026, 10, 25), 25),
     ("Europe/Vienna", date(2026, 3, 10), 24), ("Asia/Kathmandu", date(2026, 3, 10), 24)],
)  # fmt: skip
async def test_a_day_is_the_communitys_own_and_as_long_as_it_is(zone: str, day: date, length: int) -> None:
    world = World()
    midnight = local_midnight(day, zone)
    assert midnight.astimezone(ZoneInfo(zone)).date() == day
    await world.open(
        series("load_kw", load(15), start=midnight.replace(minute=0) - 15 * DAY, minutes=60), timezone=zone
    )
    world.clock.advance(days=(midnight - world.clock.now()) / DAY + 0.01)
    await world.record(series("load_kw", load(15), start=midnight.replace(minute=0) - 15 * DAY, minutes=60))
    await world.care.look_after(HERE)
    [issued] = await world.issued()
    assert issued.start == midnight
    assert issued.mean.size * issued.resolution_minutes == 60 * length
    assert (await world.kept_care()).next_issue_at == midnight + length * hours(1)


async def test_only_what_is_metered_is_forecast(world: World) -> None:
    await world.open()
    await world.care.look_after(HERE)
    assert await world.issued() == []
    sun = [max(0.0, np.sin(2 * np.pi * (hour - 6) / 24)) * 200 for hour in range(24 * 10)]
    await world.record(past_load(10), series("pv_kw", sun, start=MONDAY - 10 * DAY, minutes=60))
    world.clock.advance(days=1)
    await world.care.look_after(HERE)
    issued = {one.variable: one for one in await world.issued()}
    assert sorted(issued) == ["load_kw", "net_load_kw", "pv_kw"]
    np.testing.assert_allclose(
        issued["net_load_kw"].mean, issued["load_kw"].mean - issued["pv_kw"].mean, rtol=1e-4, atol=1e-3
    )


async def test_net_meters_are_forecast_as_they_are(world: World) -> None:
    await world.open(past_load(10, name="net_load_kw"))
    await world.care.look_after(HERE)
    assert [one.variable for one in await world.issued()] == ["net_load_kw"]


async def test_what_ended_long_ago_is_not_forecast(world: World) -> None:
    await world.open(past_load(10))
    world.clock.advance(days=30)
    await world.care.look_after(HERE)
    assert await world.issued() == []
    assert await world.care.due() == []


async def test_a_process_that_is_away_leaves_the_day_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.open(past_load(10))

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the process died")

    with monkeypatch.context() as patch:
        patch.setattr(world.pool, "call", away)
        with pytest.raises(Unavailable):
            await world.care.look_after(HERE)
    assert await world.care.due() == [HERE]
    await world.care.look_after(HERE)
    assert await world.days() == [MONDAY]


# Judged


async def test_accuracy_is_told_by_day_and_in_all_on_days_that_are_known(world: World) -> None:
    await world.open()
    await world.issue_as_if(4, [10.0, 10.0, 10.0, 10.0])
    values = [10.0] * 24 + [20.0] * 24 + [10.0] * 12 + [np.nan] * 12 + [10.0]
    await world.record(series("load_kw", values, start=MONDAY - 3 * DAY, minutes=60))
    document = await world.accuracy.accuracy(GRANT, AccuracyRequest())
    found = document["variables"]["load_kw"]
    assert found["by_day"]["day"] == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2)]
    assert found["days"] == 2
    assert found["by_day"]["nmae"] == [0.0, 0.5, None, None]
    assert found["by_day"]["coverage_90"] == [1.0, 0.0, None, None]
    assert found["nmae"] == pytest.approx(240 / 720)
    assert found["coverage_90"] == 0.5
    ours, naive = found["by_day"]["pinball_loss_kw"], found["by_day"]["naive_pinball_loss_kw"]
    assert found["skill"] == pytest.approx(1 - (ours[0] + ours[1]) / (naive[0] + naive[1]))
    assert found["by_day"]["skill"][0] == pytest.approx(1 - ours[0] / naive[0])
    one = await world.accuracy.accuracy(GRANT, AccuracyRequest(MONDAY - 3 * DAY, MONDAY - 2 * DAY, "load_kw"))
    assert one["variables"]["load_kw"]["days"] == 1
    other = await world.accuracy.accuracy(GRANT, AccuracyRequest(variable="pv_kw"))
    assert other["variables"] == {}


async def test_a_forecast_stands_beside_what_happened(world: World) -> None:
    await world.open(series("load_kw", [12.0, np.nan, 8.0], start=MONDAY, minutes=60))
    await world.issue_as_if(2, [5.0, 10.0])
    document = await world.accuracy.issued(GRANT, AccuracyRequest(MONDAY, MONDAY + DAY))
    [told] = document["forecasts"]
    assert (told["variable"], told["day"], told["model"]) == ("load_kw", date(2026, 3, 2), "ridge")
    assert told["mean"] == [10.0] * 24
    assert told["quantiles"]["0.5"] == [10.0] * 24
    assert len(told["actual"]) == 24
    assert told["actual"][1] is None
    assert told["actual"][3:] == [None] * 21


@pytest.mark.parametrize(
    "span", [(MONDAY, MONDAY), (MONDAY, MONDAY - DAY), (MONDAY - 401 * DAY, MONDAY), (MONDAY + DAY, None)]
)
async def test_a_span_that_is_empty_or_too_long_is_refused(
    world: World, span: tuple[datetime, datetime | None]
) -> None:
    await world.open()
    with pytest.raises(InvalidInput):
        await world.accuracy.accuracy(GRANT, AccuracyRequest(*span))
    with pytest.raises(InvalidInput):
        await world.accuracy.issued(GRANT, AccuracyRequest(MONDAY - 32 * DAY, MONDAY))


async def test_net_load_is_held_against_load_less_generation(world: World) -> None:
    await world.open(series("load_kw", [9.0] * 24, minutes=60), series("pv_kw", [2.0] * 24, minutes=60))
    async with world.store.community(HERE) as tx:
        await tx.issued_forecasts.add(issued_forecast(MONDAY, variable="net_load_kw"))
    document = await world.accuracy.issued(GRANT, AccuracyRequest(MONDAY, MONDAY + DAY))
    assert document["forecasts"][0]["actual"] == [7.0] * 24
