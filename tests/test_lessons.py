"""Lessons: what each day teaches the model in service is kept beside it, and in no forecast of an earlier instant."""

import asyncio
import hashlib
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, community, series, trained_version
from tests.cared_for import DAY, HERE, World, load

from digital_twin.domain.errors import Unavailable
from digital_twin.domain.time import TimeGrid
from digital_twin.forecasting.ensemble import Ensemble
from digital_twin.forecasting.forecast import ForecastTask
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.held_out import Score, Scores
from digital_twin.forecasting.model_bytes import FORMAT, to_bytes
from digital_twin.forecasting.naive import seasonal_naive
from digital_twin.forecasting.registry import DEFAULT_LEVELS
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.training import FittedModel, teach
from digital_twin.services.forecasts import ForecastRequest
from digital_twin.services.ports import Lesson, TrainedVersion
from digital_twin.telemetry import REGISTRY

QUICK = Ensemble({"ridge": ridge, "seasonal_naive": seasonal_naive})
"""Two members of the real one, which reads what this one learned."""

TRAINED_AT = MONDAY - 4 * DAY
WHOLE = load(80, seed=3)
START = MONDAY - 70 * DAY


async def known(world: World, as_of: datetime) -> TrainingTask:
    """What there was to learn from at that instant, through the code that trains."""
    async with world.store.community(HERE) as tx:
        found = await world.models.tasks(tx, community(HERE), [("load_kw", "ensemble")], as_of)
    return found["load_kw", "ensemble"]


async def fitted_at(world: World, as_of: datetime) -> FittedModel:
    task = await known(world, as_of)
    return FittedModel("ensemble", "load_kw", task.site, 60, as_of, QUICK.fit(task))


async def keep(world: World, model: FittedModel) -> TrainedVersion:
    score = Score(1.0, 1.0, 0.9)
    payload = to_bytes(model, Scores(START, model.as_of, 14, score, score))
    version = replace(
        trained_version("0" * 32),
        model="ensemble",
        as_of=model.as_of,
        payload_format=FORMAT,
        sha256=hashlib.sha256(payload).hexdigest(),
        scores={"model": asdict(score), "seasonal_naive": asdict(score)},
    )
    async with world.store.community(HERE) as tx:
        return await tx.trained_models.add(version, payload)


async def latest(world: World, trained: TrainedVersion, until: datetime) -> Lesson | None:
    async with world.store.community(HERE) as tx:
        found = await tx.trained_models.latest_lesson(trained, until=until)
    return None if found is None else found[0]


async def taught_until(world: World, trained: TrainedVersion, until: datetime) -> datetime | None:
    lesson = await latest(world, trained, until)
    return None if lesson is None else lesson.as_of


async def forecast(world: World, as_of: datetime) -> tuple[str, np.ndarray]:
    """By whom the next day is forecast from what was known then, and the quantiles."""
    request = ForecastRequest(TimeGrid(as_of, 24, 60), variables=("load_kw",), as_of=as_of)
    async with world.store.community(HERE) as tx:
        gathered = await world.forecasts.gather(tx, community(HERE), request)
    made = (await world.forecasts.compute(gathered, request)).variables["load_kw"]
    return made.model, made.quantiles


def lessons_given() -> float:
    return REGISTRY.get_sample_value("digital_twin_forecast_lessons_total", {"variable": "load_kw"}) or 0.0


async def opened(*, late_hours: int = 0) -> tuple[World, FittedModel, TrainedVersion]:
    """Seventy days of hours until Monday, with a model that was trained four days before."""
    world = World(retrains=False)
    until = 70 * 24 - late_hours
    await world.open(series("load_kw", WHOLE[:until], start=START, minutes=60))
    model = await fitted_at(world, TRAINED_AT)
    return world, model, await keep(world, model)


async def test_what_yesterday_taught_is_in_todays_forecast() -> None:
    world, model, trained = await opened()
    before = lessons_given()
    assert (await forecast(world, MONDAY))[0] == "ensemble, trained version 1 of 2026-02-26T00:00Z"
    await world.care.look_after(HERE)
    lesson = await latest(world, trained, MONDAY)
    assert lesson is not None
    assert (lesson.as_of, lesson.taught_at, lessons_given() - before) == (MONDAY, world.clock.now(), 1)
    label, quantiles = await forecast(world, MONDAY)
    assert label == "ensemble, trained version 1 of 2026-02-26T00:00Z, taught until 2026-03-02T00:00Z"
    [issued] = await world.issued()
    assert issued.model == label
    task = await known(world, MONDAY)
    taught = teach(model, task)
    assert taught is not None
    day = ForecastTask("load_kw", TimeGrid(MONDAY, 24, 60), MONDAY, task.site, task.history, None)
    by_hand, as_trained = (one.predict(day, DEFAULT_LEVELS).quantiles for one in (taught, model.fitted))
    np.testing.assert_allclose(quantiles, by_hand)
    assert np.abs(quantiles - as_trained).max() > 0.01


async def test_a_forecast_of_an_earlier_instant_knows_the_lessons_up_to_then() -> None:
    world, _, trained = await opened()
    instants = [TRAINED_AT + hour for hour in (timedelta(), 2.5 * DAY)] + [MONDAY]
    before = [await forecast(world, instant) for instant in instants[:2]]
    await world.care.look_after(HERE)
    on_monday = await forecast(world, MONDAY)
    await world.record(series("load_kw", [500.0] * 48, start=MONDAY, minutes=60))
    world.clock.advance(days=2)
    await world.care.look_after(HERE)
    assert [await taught_until(world, trained, MONDAY + days * DAY) for days in (-0.1, 0, 1, 2, 9)] == [
        None, MONDAY, MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 2 * DAY
    ]  # fmt: skip
    for instant, (label, quantiles) in zip(instants, [*before, on_monday], strict=True):
        again, same = await forecast(world, instant)
        assert again == label
        np.testing.assert_array_equal(same, quantiles)


async def test_a_lesson_knows_nothing_that_came_after_its_instant() -> None:
    lessons: list[Lesson] = []
    for after in ([], [900.0] * 48):
        world, _, trained = await opened()
        world.clock.advance(days=2)
        if after:
            await world.record(series("load_kw", after, start=MONDAY, minutes=60))
            await world.record(series("load_kw", after, start=MONDAY - 3 * DAY, minutes=60), delay=None)
        await world.teacher.teach(HERE, MONDAY)
        lesson = await latest(world, trained, world.clock.now())
        assert lesson is not None
        lessons.append(lesson)
    assert lessons[0] == lessons[1]


async def test_of_several_workers_one_gives_the_lesson_and_it_is_given_once() -> None:
    world, _, trained = await opened()
    before = lessons_given()
    await asyncio.gather(*(world.teacher.teach(HERE, MONDAY) for _ in range(3)))
    assert lessons_given() - before == 1
    first = await latest(world, trained, MONDAY)
    world.clock.advance(hours=1)
    await world.teacher.teach(HERE, MONDAY)
    assert await latest(world, trained, MONDAY) == first


async def test_a_process_that_dies_leaves_the_model_as_it_was_and_the_lesson_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, _, trained = await opened()
    before = await forecast(world, MONDAY)

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the process died")

    with monkeypatch.context() as patch:
        patch.setattr(world.pool, "call", away)
        with pytest.raises(Unavailable):
            await world.care.look_after(HERE)
    assert await taught_until(world, trained, MONDAY) is None
    assert (await forecast(world, MONDAY))[0] == before[0]
    assert await world.care.due() == [HERE]
    await world.care.look_after(HERE)
    assert await taught_until(world, trained, MONDAY) == MONDAY


async def test_readings_that_come_late_are_in_the_next_lesson() -> None:
    on_time, _, same = await opened()
    late, _, trained = await opened(late_hours=20)
    for world in (on_time, late):
        await world.teacher.teach(HERE, MONDAY)
    tuesday = MONDAY + DAY
    for world, since in ((on_time, 70 * 24), (late, 70 * 24 - 20)):
        world.clock.advance(days=1)
        values = WHOLE[since : 71 * 24]
        await world.record(series("load_kw", values, start=START + since * timedelta(hours=1), minutes=60))
        await world.teacher.teach(HERE, tuesday)
    assert (await latest(late, trained, MONDAY)) != (await latest(on_time, same, MONDAY))
    one, other = await latest(late, trained, tuesday), await latest(on_time, same, tuesday)
    assert one is not None
    assert other is not None
    assert (one.sha256, one.data_sha256) == (other.sha256, other.data_sha256)


async def test_a_lesson_that_was_damaged_is_not_used() -> None:
    world, model, trained = await opened()
    as_trained = await forecast(world, MONDAY)
    await world.teacher.teach(HERE, MONDAY)
    lesson = await latest(world, trained, MONDAY)
    assert lesson is not None
    other = World(retrains=False)
    await other.open(series("load_kw", WHOLE[: 70 * 24], start=START, minutes=60))
    kept = await keep(other, model)
    async with other.store.community(HERE) as tx:
        assert await tx.trained_models.add_lesson(replace(lesson, version=kept.version), b"damaged")
    label, quantiles = await forecast(other, MONDAY)
    assert label == as_trained[0]
    np.testing.assert_array_equal(quantiles, as_trained[1])


async def test_no_lesson_for_who_has_learned_all_there_is_or_serves_no_more() -> None:
    world, _, trained = await opened()
    await world.teacher.teach(HERE, TRAINED_AT)
    await world.teacher.teach(HERE, TRAINED_AT + 8 * DAY)
    assert await latest(world, trained, TRAINED_AT + 30 * DAY) is None


async def test_a_model_of_another_place_or_resolution_is_not_taught() -> None:
    world, model, _ = await opened()
    task = await known(world, MONDAY)
    assert teach(model, task) is not None
    assert teach(model, replace(task, site=replace(task.site, num_prosumers=7))) is None
    assert teach(replace(model, step_minutes=15), task) is None
    assert teach(replace(model, fitted=ridge.fit(task)), task) is None
