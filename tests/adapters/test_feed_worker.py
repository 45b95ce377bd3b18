"""Real workers on a real database: what is due is asked for once, and kept as it was told."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from tests.builders import community, hours
from tests.databases import DatabaseServer
from tests.feed_sources import TOKEN, SourceServer, spot_per_mwh, temperature_c

from digital_twin.bootstrap import Settings, Worker, open_worker
from digital_twin.domain.bidding_zones import bidding_zone
from digital_twin.domain.feeds import Feed, FeedKind, PriceFeed, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.services.ports import FeedIssue, Outcome
from digital_twin.services.runs import INGEST
from digital_twin.worker.main import run

HERE = "solar_valley"
PATIENCE_S = 120.0


@pytest.fixture
def server() -> Iterator[SourceServer]:
    now = datetime.now(UTC).replace(microsecond=0)
    with SourceServer(now).serving() as made:
        yield made


@pytest.fixture
async def settings(embedded_server: DatabaseServer, server: SourceServer, tmp_path: Path) -> Settings:
    return Settings(
        digital_twin_home=tmp_path,
        database_url=SecretStr(await embedded_server.create()),
        open_meteo_url=server.address,
        open_meteo_archive_url=server.address,
        entsoe_url=f"{server.address}/api",
        entsoe_api_token=SecretStr(TOKEN),
        log_level="ERROR",
    )


@asynccontextmanager
async def working(settings: Settings, *, count: int) -> AsyncGenerator[Worker, None]:
    """So many workers of the queue of feeds, until the block ends."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(open_worker(settings, [INGEST])) for _ in range(count)]
        running = [asyncio.create_task(run(one, stop)) for one in workers]
        yield workers[0]
        stop.set()
        await asyncio.gather(*running)


async def put(worker: Worker, feed: Feed) -> None:
    async with worker.twin.store.platform() as tx:
        await tx.communities.create(community(HERE, latitude=48.21, longitude=16.37, timezone="Europe/Vienna"))
    async with worker.twin.store.community(HERE) as tx:
        await tx.feeds.put(feed, due_at=worker.twin.clock.now())


async def told(worker: Worker, kind: FeedKind) -> FeedIssue:
    """The first issue, when it has come."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with worker.twin.store.community(HERE) as tx:
                issue = await tx.feeds.newest_issue(kind)
            if issue is not None:
                return issue
            await asyncio.sleep(0.1)


async def read(worker: Worker, name: str, start: datetime, length: int, as_of: datetime | None = None) -> SeriesValues:
    async with worker.twin.store.community(HERE) as tx:
        found = await tx.readings.read([SeriesKey(name)], start, start + hours(length), as_of=as_of)
    return found[0]


async def test_of_several_workers_one_asks_once(settings: Settings, server: SourceServer):
    async with open_worker(settings, [INGEST]) as setting_up:
        await put(setting_up, WeatherFeed())
    async with working(settings, count=3) as worker:
        issue = await told(worker, FeedKind.WEATHER)
        assert (issue.outcome, issue.source, issue.note) == (Outcome.STORED, "open-meteo", None)
        start = server.now.replace(minute=0, second=0) + hours(1)
        ahead = await read(worker, "temperature_c", start, 24)
        expected = [temperature_c(start + hours(step)) for step in range(24)]
        np.testing.assert_allclose(ahead.values, expected, rtol=1e-6)
        assert ahead.flags is not None
        assert set(ahead.flags) == {Quality.ESTIMATED}
    assert server.paths() == ["/v1/forecast"]


async def test_the_past_is_kept_as_it_could_have_been_known(settings: Settings, server: SourceServer):
    midnight = server.now.replace(hour=0, minute=0, second=0)
    async with open_worker(settings, [INGEST]) as setting_up:
        await put(setting_up, PriceFeed(bidding_zone("AT")))
    async with working(settings, count=1) as worker:
        await told(worker, FeedKind.PRICES)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with worker.twin.store.community(HERE) as tx:
                    stored = await tx.feeds.get(FeedKind.PRICES)
                if stored is not None and stored.archived_until == midnight.date() - timedelta(days=1):
                    break
                await asyncio.sleep(0.1)
        year = await read(worker, "import_price_per_kwh", midnight - timedelta(days=400), 24 * 400)
        assert np.isfinite(year.values).all()
        evening = midnight - timedelta(days=10) + hours(14)
        tomorrow = evening + hours(10)
        known = await read(worker, "import_price_per_kwh", tomorrow, 1, as_of=evening + hours(1))
        expected = [spot_per_mwh(tomorrow + hours(step / 4)) / 1000 for step in range(4)]
        np.testing.assert_allclose(known.values, expected, rtol=1e-6, atol=1e-7)
        unknown = await read(worker, "import_price_per_kwh", tomorrow, 1, as_of=evening - hours(1))
        assert np.isnan(unknown.values).all()
