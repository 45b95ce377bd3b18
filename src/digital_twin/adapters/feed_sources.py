"""The sources of feeds, opened at the addresses that the settings give."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from digital_twin.adapters.entsoe import entsoe
from digital_twin.adapters.open_meteo import open_meteo
from digital_twin.services.feed_sources import FeedSources
from digital_twin.services.ports import Clock
from digital_twin.services.provenance import CODE_VERSION


@dataclass(frozen=True, slots=True)
class SourceAddresses:
    """Where each source is, and who asks."""

    open_meteo: str
    open_meteo_archive: str
    entsoe: str
    open_meteo_key: str | None = field(default=None, repr=False)
    entsoe_token: str | None = field(default=None, repr=False)


@asynccontextmanager
async def open_sources(addresses: SourceAddresses, clock: Clock) -> AsyncGenerator[FeedSources, None]:
    """The sources, until the block ends."""
    headers = {"User-Agent": f"digital-twin/{CODE_VERSION}"}
    async with httpx.AsyncClient(headers=headers) as client:
        of_weather = (addresses.open_meteo, addresses.open_meteo_archive)
        weather = open_meteo(client, clock, addresses=of_weather, key=addresses.open_meteo_key)
        market = entsoe(client, clock, address=addresses.entsoe, token=addresses.entsoe_token)
        yield FeedSources(weather, market, market)
