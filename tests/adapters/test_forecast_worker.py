"""Real workers on a real database: the forecast of the day is issued once, by one of them, and kept as it was said."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pydantic import SecretStr
from tests.builders import community, series
from tests.databases import DatabaseServer

from digital_twin.bootstrap import Settings, Worker, open_worker
from digital_twin.services.ports import ForecastCare, IssuedForecast
from digital_twin.services.runs import FORECASTING
from digital_twin.worker.main import run

HERE = "solar_valley"
PATIENCE_S = 300.0
DAYS = 10


async def fill(worker: Worker, midnight: datetime) -> None:
    """Hours of load until this midnight."""
    async with worker.twin.store.platform() as tx:
        await tx.communities.create(community(HERE))
    start = midnight - DAYS * timedelta(days=1)
    load = 50 + 20 * np.sin(np.arange(24 * DAYS) * np.pi / 12)
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


async def test_of_several_workers_one_issues_the_forecast_of_the_day(embedded_server: DatabaseServer, tmp_path: Path):
    settings = Settings(
        digital_twin_home=tmp_path,
        database_url=SecretStr(await embedded_server.create()),
        compute_processes=1,
        log_level="ERROR",
    )
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
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
