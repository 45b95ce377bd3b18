"""Forecasts that have become worse, and when models are trained anew."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.builders import MONDAY, community, hours, series, trained_version
from tests.cared_for import DAY, GRANT, HERE, World, load, past_load

from digital_twin.forecasting.held_out import HELD_OUT_DAYS
from digital_twin.forecasting.model_bytes import FORMAT
from digital_twin.forecasting.registry import BEST, find_forecaster
from digital_twin.services.forecast_care import RETRAIN_EVERY_DAYS
from digital_twin.services.ports import ForecastCare, RunState
from digital_twin.telemetry import REGISTRY


@pytest.fixture
def world() -> World:
    return World()


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


# Degraded


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


# Trained anew


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
