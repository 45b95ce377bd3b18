"""Forecasts in service: issued each local midnight from what was known then, judged, and trained anew in time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.builders import MONDAY, community, hours, issued_forecast, series, trained_version

from digital_twin.domain.errors import InvalidInput, Unavailable
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import TimeGrid, local_midnight
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.held_out import HELD_OUT_DAYS
from digital_twin.forecasting.model_bytes import FORMAT
from digital_twin.forecasting.registry import BEST, find_forecaster
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.forecast_accuracy import AccuracyRequest, AccuracyService
from digital_twin.services.forecast_care import RETRAIN_EVERY_DAYS, ForecastCareService
from digital_twin.services.forecasts import ForecastRequest, ForecastService
from digital_twin.services.issued_forecasts import LONGEST_CATCH_UP_DAYS, ForecastIssuer
from digital_twin.services.lessons import Teacher
from digital_twin.services.models import ModelService
from digital_twin.services.ports import Event, ForecastCare, IssuedForecast, Run, RunState
from digital_twin.services.runs import RunService
from digital_twin.telemetry import REGISTRY
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

HERE = "solar_valley"
DAY = timedelta(days=1)
GRANT = Grant(Caller(1, "ada", Role.ADMIN), HERE)
AT_ONCE = timedelta(0)


def load(days: int, *, seed: int = 1, minutes: int = 60) -> list[float]:
    """A daily wave with some noise."""
    steps = days * 1440 // minutes
    wave = 60 + 25 * np.sin(2 * np.pi * (np.arange(steps) * minutes / 60 - 8) / 24)
    return (wave + np.random.default_rng(seed).normal(0, 2, steps)).tolist()


class _Silent(ForecastIssuer):
    """Says nothing, for what does not depend on what is said."""

    async def issue(self, community_id: str, midnight: datetime) -> None:
        pass


class World:
    """A community in memory whose forecasts are looked after."""

    def __init__(self, *, retrains: bool = True, issues: bool = True) -> None:
        self.clock = FakeClock(MONDAY + hours(0.1))
        self.store = MemoryStore(self.clock)
        self.pool = InProcessPool()
        self.forecasts = ForecastService(self.store, self.clock, self.pool)
        runs = RunService(self.store, self.clock, self.store.feed)
        models = self.models = ModelService(self.store, self.clock, runs, self.forecasts)
        issuer = ForecastIssuer(self.store, self.forecasts) if issues else _Silent(self.store, self.forecasts)
        self.teacher = Teacher(self.store, self.clock, self.pool, models)
        self.care = ForecastCareService(
            self.store, self.clock, teacher=self.teacher, issuer=issuer, models=models, retrains=retrains
        )
        self.accuracy = AccuracyService(self.store, self.clock)
        self._keys = iter(range(10_000))

    async def open(self, *readings: SeriesValues, timezone: str | None = None) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(HERE, timezone=timezone))
        await self.record(*readings)

    async def record(self, *readings: SeriesValues, delay: timedelta | None = AT_ONCE) -> None:
        if readings:
            async with self.store.community(HERE) as tx:
                await tx.readings.record(readings, key=str(next(self._keys)), assumed_delay=delay)

    async def issued(self) -> list[IssuedForecast]:
        async with self.store.community(HERE) as tx:
            return await tx.issued_forecasts.between(MONDAY - 100 * DAY, MONDAY + 400 * DAY)

    async def days(self, variable: str = "load_kw") -> list[datetime]:
        return [one.start for one in await self.issued() if one.variable == variable]

    async def kept_care(self) -> ForecastCare:
        async with self.store.community(HERE) as tx:
            found = await tx.issued_forecasts.care()
        assert found is not None
        return found

    async def trainings(self) -> list[Run]:
        async with self.store.community(HERE) as tx:
            return [run for run in await tx.runs.page(before=None, limit=100) if run.kind == "training"]

    async def alerts(self) -> list[Event]:
        async with self.store.community(HERE) as tx:
            return [event for event in await tx.events.after(0, limit=1000) if event.kind == "alert"]

    async def issue_as_if(self, days: int, levels_kw: Sequence[float]) -> None:
        """Forecasts of so many past days up to today, each flat at its level; the naive's are half as high again."""
        async with self.store.community(HERE) as tx:
            for back, level in zip(reversed(range(days)), levels_kw, strict=True):
                await tx.issued_forecasts.add(issued_forecast(MONDAY - back * DAY, level_kw=level))


@pytest.fixture
def world() -> World:
    return World()


def past_load(days: int, *, minutes: int = 60, name: str = "load_kw") -> SeriesValues:
    return series(name, load(days, minutes=minutes), start=MONDAY - days * DAY, minutes=minutes)


# Issued


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


# Degraded


def alarms(variable: str = "load_kw") -> float:
    return REGISTRY.get_sample_value("digital_twin_forecast_alerts_total", {"variable": variable}) or 0.0


def judged_days_told() -> float:
    return REGISTRY.get_sample_value("digital_twin_forecast_relative_loss_count", {"variable": "load_kw"}) or 0.0


async def worse_lately(world: World) -> None:
    """Sixty days of forecasts that nearly hold, then two weeks far too low: what happens is always 10 kW."""
    generator = np.random.default_rng(1)
    good, bad = 10 + generator.uniform(-1, 1, 60), 3 + generator.uniform(-0.1, 0.1, 14)
    await world.open(series("load_kw", [10.0] * 24 * 73, start=MONDAY - 73 * DAY, minutes=60))
    await world.issue_as_if(74, [*good, *bad])


async def test_forecasts_that_have_become_worse_are_told_of_once(world: World) -> None:
    await worse_lately(world)
    counted, told = alarms(), judged_days_told()
    await world.care.look_after(HERE)
    [alert] = await world.alerts()
    assert alert.document["about"] == "forecast_accuracy"
    assert alert.document["variable"] == "load_kw"
    assert alert.document["degraded_since"] == (MONDAY - 13 * DAY).isoformat().replace("+00:00", "Z")
    assert alert.document["relative_loss"] > 2 * alert.document["relative_loss_before"]
    drift = (await world.accuracy.drift(GRANT))["load_kw"]
    assert drift["is_degraded"]
    assert drift["degraded_since"] == MONDAY - 13 * DAY
    assert drift["evidence"] >= drift["evidence_needed"]
    assert (alarms() - counted, judged_days_told() - told) == (1, 73)
    world.clock.advance(days=1)
    await world.care.look_after(HERE)
    assert len(await world.alerts()) == 1
    assert (alarms() - counted, judged_days_told() - told) == (1, 73)


async def test_forecasts_that_have_become_worse_are_trained_anew_within_a_day(world: World) -> None:
    await worse_lately(world)
    async with world.store.community(HERE) as tx:
        await tx.issued_forecasts.keep_care(ForecastCare(MONDAY, MONDAY, MONDAY + 5 * DAY, {}))
    await world.care.look_after(HERE)
    assert (await world.kept_care()).next_training_at <= MONDAY + DAY + hours(1)


async def test_forecasts_that_stay_as_they_are_alarm_nobody(world: World) -> None:
    levels = 10 + np.random.default_rng(1).uniform(-1, 1, 74)
    await world.open(series("load_kw", [10.0] * 24 * 73, start=MONDAY - 73 * DAY, minutes=60))
    await world.issue_as_if(74, levels.tolist())
    await world.care.look_after(HERE)
    assert await world.alerts() == []
    drift = (await world.accuracy.drift(GRANT))["load_kw"]
    assert (drift["is_degraded"], drift["days"], drift["counted_from"]) == (False, 73, MONDAY - 73 * DAY)


# Trained anew


async def pass_days(world: World, days: float) -> None:
    """Time passes, with a look whenever one is due."""
    for _ in range(round(24 * days)):
        world.clock.advance(hours=1)
        if await world.care.due():
            await world.care.look_after(HERE)


async def end_trainings(world: World, *, well: bool, payload_format: int = FORMAT) -> None:
    """Those under way: well, so that a version serves from their beginning on, or not."""
    for run in await world.trainings():
        if not run.state.has_ended:
            async with world.store.community(HERE) as tx:
                await tx.runs.cancel(run.run_id, at=world.clock.now())
                trained = replace(trained_version(run.run_id), as_of=run.created_at, payload_format=payload_format)
                if well:
                    await tx.trained_models.add(trained, b"model")


async def trained_every_day(world: World, days: int, **how: Any) -> list[float]:
    """On which days trainings began, when each ends within the day as told."""
    for _ in range(days):
        await end_trainings(world, **how)
        await pass_days(world, 1)
        await world.record(
            series("load_kw", load(1), start=world.clock.now().replace(hour=0, minute=0) - DAY, minutes=60)
        )
    return [(run.created_at - MONDAY) / DAY for run in reversed(await world.trainings())]


async def test_what_serves_is_trained_before_it_is_stale() -> None:
    world = World(issues=False)
    await world.open(past_load(60))
    await world.care.look_after(HERE)
    [first] = await world.trainings()
    assert (first.state, first.created_by) == (RunState.QUEUED, None)
    assert first.request["pairs"] == [["load_kw", BEST["load_kw"]]]
    at_once, *later = await trained_every_day(world, 20, well=True)
    assert at_once < 0.01
    assert later[0] < 1.01
    np.testing.assert_allclose(np.diff(later), RETRAIN_EVERY_DAYS)
    assert len(later) == 4


async def test_while_a_training_waits_there_is_no_other() -> None:
    world = World(issues=False)
    await world.open(past_load(60))
    await world.care.look_after(HERE)
    await pass_days(world, 3)
    assert len(await world.trainings()) == 1


@pytest.mark.parametrize("how", [{"well": False}, {"well": True, "payload_format": FORMAT - 1}])
async def test_while_no_version_serves_training_is_tried_each_day(how: dict[str, Any]) -> None:
    world = World(issues=False)
    await world.open(past_load(60))
    await world.care.look_after(HERE)
    began = await trained_every_day(world, 5, **how)
    np.testing.assert_allclose(np.diff(began[1:]), 1)
    assert len(began) == 6


async def test_what_ended_long_ago_is_not_trained() -> None:
    world = World(issues=False)
    await world.open(past_load(60))
    world.clock.advance(days=40)
    await world.care.look_after(HERE)
    assert await world.trainings() == []
    assert (await world.kept_care()).lacked_history_at == world.clock.now()
    world.clock.advance(minutes=1)
    lately = world.clock.now().replace(hour=0, minute=0) - 9 * DAY
    await world.record(series("load_kw", load(9), start=lately, minutes=60))
    await world.care.look_after(HERE)
    assert len(await world.trainings()) == 1


async def test_a_community_is_trained_once_its_history_has_come() -> None:
    world = World(issues=False)
    await world.open()
    await world.care.look_after(HERE)
    world.clock.advance(hours=5)
    await world.record(series("load_kw", load(1)[:5], start=MONDAY, minutes=60))
    assert await world.care.due() == [], "what is read today is no history"
    imported = world.clock.now()
    await world.record(past_load(60))
    assert await world.care.due() == [HERE]
    await asyncio.gather(*(world.care.look_after(HERE) for _ in range(3)))
    [run] = await world.trainings()
    assert run.created_at == imported
    assert await world.care.due() == []
    care = await world.kept_care()
    assert care.lacked_history_at is None
    assert imported < care.next_training_at <= imported + DAY, "what came later is learned within a day"
    await world.record(past_load(80))
    assert await world.care.due() == []


async def test_a_history_that_is_too_short_is_tried_once() -> None:
    world = World(issues=False)
    await world.open(past_load(20))
    await world.care.look_after(HERE)
    assert await world.care.due() == []
    world.clock.advance(hours=1)
    await world.record(past_load(30))
    assert await world.care.due() == [HERE]
    await world.care.look_after(HERE)
    assert await world.trainings() == []
    assert await world.care.due() == []
    assert (await world.kept_care()).lacked_history_at == world.clock.now()


async def test_while_the_best_has_too_little_to_learn_from_the_next_best_is_trained() -> None:
    world = World(issues=False)
    needed = find_forecaster("ridge_conformal").needed_days + HELD_OUT_DAYS
    assert needed < find_forecaster(BEST["load_kw"]).needed_days + HELD_OUT_DAYS
    await world.open(past_load(round(needed) + 1))
    await world.care.look_after(HERE)
    [run] = await world.trainings()
    assert run.request["pairs"] == [["load_kw", "ridge_conformal"]]


async def test_with_too_little_to_learn_from_there_is_no_training(world: World) -> None:
    await world.open(past_load(20))
    await world.care.look_after(HERE)
    await pass_days(world, 2)
    assert await world.trainings() == []
    assert world.clock.now() < (await world.kept_care()).next_training_at <= world.clock.now() + DAY


async def test_who_does_not_want_it_is_not_trained_anew() -> None:
    world = World(retrains=False, issues=False)
    await world.open(past_load(60))
    await world.care.look_after(HERE)
    await pass_days(world, 3)
    assert await world.trainings() == []
    assert (await world.kept_care()).next_look_at == MONDAY + 4 * DAY
    await world.record(past_load(80))
    assert await world.care.due() == []


async def test_trainings_of_many_communities_are_spread_over_the_day(world: World) -> None:
    names = [f"community_{number}" for number in range(60)]
    async with world.store.platform() as tx:
        for name in names:
            await tx.communities.create(community(name))
    slots: list[float] = []
    for name in names:
        await world.care.look_after(name)
        async with world.store.community(name) as tx:
            care = await tx.issued_forecasts.care()
        assert care is not None
        slots.append((care.next_training_at - MONDAY) / hours(1))
    assert max(np.histogram(slots, bins=24, range=(0.0, 24.2))[0]) <= 10
    assert len(set(slots)) > 50


async def test_a_community_that_is_gone_is_nobodys_worry(world: World) -> None:
    await world.open(past_load(10))
    async with world.store.community(HERE) as tx:
        await tx.communities.delete(HERE, expected_version=None)
    await world.care.look_after(HERE)
