"""The sources of feeds: who is asked for each kind, how far the newest answer reaches, and how the past is fetched."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.feeds import CarbonFeed, FeedKind, Place, PriceFeed, WeatherFeed
from digital_twin.domain.readings import ASSUMED_DELAY, SeriesValues
from digital_twin.domain.time import floor_to_step
from digital_twin.services.feed_answers import (
    FeedTask,
    archived_series,
    carbon_series,
    forecast_series,
    price_series,
)
from digital_twin.services.ports import MixSource, PriceSource, WeatherSource

PRICE_DELAY = timedelta(hours=-10)
"""Day-ahead prices are out by 14:00 of the day before in central Europe, ten hours before it begins."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back the newest answer goes, where the past ends that is fetched apart, and when that counts as known."""

    overlap_days: int
    past_ends_days_ago: int
    chunk_days: int
    delay: timedelta


REACHES = {
    FeedKind.WEATHER: Reach(7, 6, 92, ASSUMED_DELAY),  # the reanalysis comes five days later
    FeedKind.PRICES: Reach(1, 1, 92, PRICE_DELAY),
    FeedKind.CARBON: Reach(3, 3, 31, ASSUMED_DELAY),
}


@dataclass(frozen=True, slots=True)
class NewestAnswer:
    """What a source told last."""

    issued_at: datetime
    asked_at: datetime
    series: list[SeriesValues]


@dataclass(frozen=True, slots=True)
class FeedSources:
    """Who is asked. Each call raises what the ports raise, and InvalidInput for what cannot be."""

    weather: WeatherSource
    prices: PriceSource
    carbon: MixSource

    def name_of(self, kind: FeedKind) -> str:
        """The source of a kind of feed."""
        by_kind = {FeedKind.WEATHER: self.weather, FeedKind.PRICES: self.prices, FeedKind.CARBON: self.carbon}
        return by_kind[kind].name

    async def newest(self, task: FeedTask, archived_until: date | None) -> NewestAnswer:
        """The newest that its source has."""
        feed, here, back = task.feed, floor_to_step(task.now, 60), REACHES[task.feed.kind].overlap_days
        midnight = midnight_of(task.now.date())
        if isinstance(feed, WeatherFeed):
            weather = await self.weather.forecast(_place(task), feed.resolution_minutes, past_days=back)
            since = None if archived_until is None else midnight_of(archived_until)
            return NewestAnswer(weather.issued_at, weather.asked_at, forecast_series(weather, task, since))
        start = midnight - timedelta(days=back)
        if isinstance(feed, PriceFeed):
            prices = await self.prices.day_ahead(feed.zone, start, midnight + timedelta(days=3))
            return NewestAnswer(prices.issued_at, prices.asked_at, price_series(prices, task))
        mix = await self.carbon.generation(feed.zone, start, here + timedelta(hours=1))
        return NewestAnswer(mix.issued_at, mix.asked_at, carbon_series(mix, task))

    async def past(self, task: FeedTask, first: date, until: date) -> list[SeriesValues]:
        """What was, over whole UTC days from `first` on, without `until`."""
        if isinstance(task.feed, WeatherFeed):
            last = until - timedelta(days=1)
            return archived_series(await self.weather.archive(_place(task), first, last), task)
        span = midnight_of(first), midnight_of(until)
        if isinstance(task.feed, CarbonFeed):
            return carbon_series(await self.carbon.generation(task.feed.zone, *span), task)
        return price_series(await self.prices.day_ahead(task.feed.zone, *span), task)


def _place(task: FeedTask) -> Place:
    latitude, longitude = task.community.latitude, task.community.longitude
    if latitude is None or longitude is None:
        raise InvalidInput("the community has no latitude and longitude, so there is no weather to ask for")
    return Place(latitude, longitude)


def midnight_of(day: date) -> datetime:
    """In UTC."""
    return datetime.combine(day, time(), UTC)
