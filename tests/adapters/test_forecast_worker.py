"""Real workers on a real database: a day is taught and forecast once, by one of them, and kept as it was said."""

import asyncio
import hashlib
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pydantic import SecretStr
from tests.builders import community, series, trained_version
from tests.databases import DatabaseServer

from digital_twin.bootstrap import Settings, Worker, open_worker
from digital_twin.forecasting.ensemble import Ensemble
from digital_twin.forecasting.held_out import Score, Scores
from digital_twin.forecasting.model_bytes import FORMAT, to_bytes
from digital_twin.forecasting.naive import seasonal_naive
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.training import FittedModel
from digital_twin.services.ports import ForecastCare, IssuedForecast, TrainedVersion
from digital_twin.services.runs import FORECASTING
from digital_twin.worker.main import run

HERE = "solar_valley"
PATIENCE_S = 300.0
DAYS = 10


async def fill(worker: Worker, midnight: datetime, days: int = DAYS) -> None:
    """Hours of load until this midnight."""
    async with worker.twin.store.platform() as tx:
        await tx.communities.create(community(HERE))
    start = midnight - days * timedelta(days=1)
    load = 50 + 20 * np.sin(np.arange(24 * days) * np.pi / 12)
    async with worker.twin.store.community(HERE) as tx:
        readings = [series("load_kw", load.tolist(), start=start, minutes=60)]
        await tx.readings.record(readings, key="history", assumed_delay=timedelta())


async def looked_after(worker: Worker, midnight: datetime) -> tuple[ForecastCare, list[IssuedForecast]]:
    """What is kept, when somebody has looked."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with worker.twin.store.community(HERE) as tx:
                care = await tx.issued_forecasts.care()
                issued = await tx.issued_forecasts.between(midnight, midnight + timedelta(days=1))
            if care is not None:
                return care, issued
            await asyncio.sleep(0.2)


def settings_for(home: Path, database_url: str) -> Settings:
    return Settings(
        digital_twin_home=home,
        database_url=SecretStr(database_url),
        compute_processes=1,
        log_level="ERROR",
        retrain_forecasts=False,
    )


def last_midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def test_of_several_workers_one_issues_the_forecast_of_the_day(embedded_server: DatabaseServer, tmp_path: Path):
    settings = settings_for(tmp_path, await embedded_server.create())
    midnight = last_midnight()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(open_worker(settings, [FORECASTING])) for _ in range(2)]
        await fill(workers[0], midnight)
        running = [asyncio.create_task(run(one, stop)) for one in workers]
        care, issued = await looked_after(workers[0], midnight)
        assert await workers[0].twin.forecast_care.due() == []
        stop.set()
        await asyncio.gather(*running)
    assert care.version == 1
    assert care.next_issue_at == midnight + timedelta(days=1)
    assert [(one.variable, one.start, one.issued_at) for one in issued] == [("load_kw", midnight, midnight)]
    assert issued[0].naive_quantiles is not None
    assert 29 < issued[0].mean.min() < issued[0].mean.max() < 71


async def quick_ensemble(worker: Worker, as_of: datetime) -> TrainedVersion:
    """A version in service that was trained on what was known then."""
    async with worker.twin.store.community(HERE) as tx:
        found = await worker.twin.models.tasks(tx, community(HERE), [("load_kw", "ensemble")], as_of)
    task = found["load_kw", "ensemble"]
    fitted = Ensemble({"ridge": ridge, "seasonal_naive": seasonal_naive}).fit(task)
    score = Score(1.0, 1.0, 0.9)
    payload = to_bytes(
        FittedModel("ensemble", "load_kw", task.site, 60, as_of, fitted), Scores(as_of, as_of, 14, score, score)
    )
    version = replace(
        trained_version("0" * 32),
        model="ensemble",
        as_of=as_of,
        payload_format=FORMAT,
        sha256=hashlib.sha256(payload).hexdigest(),
        scores={"model": asdict(score), "seasonal_naive": asdict(score)},
    )
    async with worker.twin.store.community(HERE) as tx:
        return await tx.trained_models.add(version, payload)


async def test_two_workers_teach_the_model_in_service_once_before_the_day_is_forecast(
    embedded_server: DatabaseServer, tmp_path: Path
):
    settings = settings_for(tmp_path, await embedded_server.create())
    midnight = last_midnight()
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(open_worker(settings, [FORECASTING])) for _ in range(2)]
        await fill(workers[0], midnight, days=60)
        trained = await quick_ensemble(workers[0], midnight - timedelta(days=3))
        await asyncio.gather(*(one.twin.forecast_care.look_after(HERE) for one in workers))
        _, [issued] = await looked_after(workers[0], midnight)
        async with workers[1].twin.store.community(HERE) as tx:
            found = await tx.trained_models.latest_lesson(trained, until=midnight)
            before = await tx.trained_models.latest_lesson(trained, until=midnight - timedelta(seconds=1))
            [listed] = await tx.trained_models.all()
    assert before is None
    assert found is not None
    lesson, payload = found
    assert lesson.as_of == listed.taught_until == midnight
    assert lesson.sha256 == hashlib.sha256(payload).hexdigest()
    assert listed.ensemble == lesson.ensemble
    assert listed.ensemble is not None
    assert listed.ensemble["last_day"] == str((midnight - timedelta(days=1)).date())
    assert issued.model.endswith(f"taught until {midnight:%Y-%m-%dT%H:%MZ}")
