"""Feeds are set up, switched off, removed and measured."""

from typing import Any

import numpy as np
import pytest
from tests.builders import community
from tests.feed_sources import Answer, SourceServer
from tests.feed_updates.fed import AUSTRIA, HERE, NOON, Fed, feeding, grant

from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.domain.feeds import FeedKind, PriceFeed, WeatherFeed
from digital_twin.services.feed_sources import FeedSources
from digital_twin.services.feed_updates import FeedUpdates
from digital_twin.services.ports import Outcome
from digital_twin.telemetry import FEED_AGE, FEED_FETCHES


async def test_weather_needs_a_place(server: SourceServer):
    async with feeding(server) as fed:
        await fed.make(latitude=None, longitude=None)
        with pytest.raises(
            InvalidInput, match="give the community latitude and longitude first, with PUT /communities"
        ):
            await fed.put(WeatherFeed())
        await fed.put(PriceFeed(AUSTRIA))  # a market needs none


async def test_a_place_that_is_taken_away_is_told_as_missing(fed: Fed):
    await fed.put(WeatherFeed())
    async with fed.store.community(HERE) as tx:
        await tx.communities.replace(community(HERE), expected_version=None)
    await fed.update()
    attempt = (await fed.status(FeedKind.WEATHER)).attempt
    assert attempt is not None
    assert "no latitude and longitude" in (attempt.note or "")
    assert fed.server.asked == []


async def test_a_feed_that_is_switched_off_asks_nothing(fed: Fed):
    await fed.put(WeatherFeed(enabled=False))
    await fed.update()
    assert fed.server.asked == []
    assert (await fed.status(FeedKind.WEATHER)).attempt is None


async def test_a_feed_that_is_removed_while_its_source_is_asked_stores_nothing(fed: Fed):
    await fed.put(WeatherFeed())

    class Removing:
        name = "open-meteo"

        async def forecast(self, *args: Any, **given: Any) -> Any:
            answer = await fed.updates._sources.weather.forecast(*args, **given)
            await fed.service.remove(grant(HERE), FeedKind.WEATHER)
            return answer

        archive = forecast

    sources = fed.updates._sources
    await FeedUpdates(fed.store, fed.clock, FeedSources(Removing(), sources.prices, sources.carbon)).update_due()
    async with fed.store.community(HERE) as tx:
        assert await tx.readings.series() == []
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) is None


async def test_what_was_removed_is_not_found_and_what_it_told_stays(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.update()
    assert [one.stored.feed for one in await fed.service.all(grant(HERE))] == [WeatherFeed()]
    await fed.service.remove(grant(HERE), FeedKind.WEATHER)
    for ask in (fed.service.get, fed.service.remove):
        with pytest.raises(NotFound, match="no weather feed; set one up with PUT"):
            await ask(grant(HERE), FeedKind.WEATHER)
    assert np.isfinite((await fed.read("ghi_wm2", NOON, 24)).values).all()


async def test_attempts_and_ages_are_measured(fed: Fed):
    counted = FEED_FETCHES.labels(FeedKind.WEATHER, Outcome.STORED)
    before = counted._value.get()
    await fed.put(WeatherFeed())
    await fed.update()
    assert counted._value.get() == before + 1
    fed.server.fail(Answer(b"", status=500))
    await fed.later(minutes=66)
    await fed.updates.measure_age()
    assert FEED_AGE.labels(FeedKind.WEATHER)._value.get() == 66 * 60
    assert np.isnan(FEED_AGE.labels(FeedKind.CARBON)._value.get())
