"""Communities that feeds keep up to date: real adapters, a server of this machine, and a store in memory."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import numpy as np
from tests.builders import MONDAY, community, hours
from tests.feed_sources import TOKEN, SourceServer

from digital_twin.adapters.entsoe import entsoe
from digital_twin.adapters.open_meteo import OpenMeteo
from digital_twin.adapters.web_source import WebSource
from digital_twin.domain.bidding_zones import bidding_zone
from digital_twin.domain.feeds import Feed, FeedKind
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.feed_sources import FeedSources
from digital_twin.services.feed_updates import FeedUpdates
from digital_twin.services.feeds import FeedService, FeedStatus
from digital_twin.testing import FakeClock, MemoryStore

HERE, THERE = "solar_valley", "wind_hill"
NOON = MONDAY + hours(12)
AUSTRIA = bidding_zone("AT")
VIENNA: dict[str, Any] = {"latitude": 48.2082, "longitude": 16.3721, "timezone": "Europe/Vienna"}
PATIENT_S, HASTY_S = 30.0, 2.0
ALL_WORDS = set(Quality)


@dataclass
class Fed:
    """Communities whose feeds are kept up to date."""

    store: MemoryStore
    clock: FakeClock
    server: SourceServer
    updates: FeedUpdates
    service: FeedService

    async def make(self, community_id: str = HERE, **given: Any) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(community_id, **{**VIENNA, **given}))

    async def put(self, feed: Feed, community_id: str = HERE) -> FeedStatus:
        return await self.service.put(grant(community_id), feed)

    async def update(self) -> None:
        """A round now."""
        self.server.now = self.clock.now()
        await self.updates.update_due()

    async def later(self, **by: float) -> None:
        """A round after so much time."""
        self.clock.advance(**by)
        await self.update()

    async def status(self, kind: FeedKind, community_id: str = HERE) -> FeedStatus:
        return await self.service.get(grant(community_id), kind)

    async def read(
        self, name: str, start: datetime, length_hours: float, *, as_of: datetime | None = None, of: str = HERE
    ) -> SeriesValues:
        async with self.store.community(of) as tx:
            found = await tx.readings.read([SeriesKey(name)], start, start + hours(length_hours), as_of=as_of)
        return found[0]

    async def record(self, *told: SeriesValues) -> None:
        async with self.store.community(HERE) as tx:
            await tx.readings.record(told, key=f"uploaded {told[0].grid.start} {told[0].key}")


def grant(community_id: str) -> Grant:
    return Grant(Caller(1, "operator", Role.OPERATOR), community_id)


@asynccontextmanager
async def feeding(
    server: SourceServer, *, token: str | None = TOKEN, history_days: int = 0, deadline_s: float = PATIENT_S
) -> AsyncGenerator[Fed, None]:
    clock = FakeClock(NOON)
    store = MemoryStore(clock)
    async with httpx.AsyncClient(trust_env=False) as client:
        webs = [
            WebSource(client, name, clock, deadline_s=deadline_s, waits_s=(0.0,)) for name in ("open-meteo", "archive")
        ]
        weather = OpenMeteo(*webs, clock, addresses=(server.address, server.address), key=None)
        market = entsoe(client, clock, address=f"{server.address}/api", token=token)
        updates = FeedUpdates(store, clock, FeedSources(weather, market, market), history_days=history_days)
        yield Fed(store, clock, server, updates, FeedService(store, clock))


def words(told: SeriesValues) -> set[Quality]:
    flags = np.zeros(told.grid.steps, dtype=np.uint8) if told.flags is None else told.flags
    return {Quality(int(one)) for one in flags[np.isfinite(told.values)]}
