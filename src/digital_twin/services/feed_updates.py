"""Feeds brought up to date: what is due is asked for, believed or not, and kept with what became of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from digital_twin.domain.errors import InsufficientData, InvalidInput, NotFound, TwinError, Unavailable
from digital_twin.domain.feeds import FED_SERIES, CarbonFeed, FeedKind, Place, PriceFeed, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import ASSUMED_DELAY, SUMMED_SERIES, SeriesKey, SeriesValues
from digital_twin.domain.time import floor_to_step
from digital_twin.services.feed_answers import (
    FeedTask,
    archived_series,
    carbon_series,
    check_terms,
    forecast_series,
    foreseen,
    price_series,
    steps_of,
    substituted,
    unless_measured,
)
from digital_twin.services.history import HISTORY_DAYS
from digital_twin.services.ports import (
    Clock,
    FeedIssue,
    MixSource,
    Outcome,
    PriceSource,
    Store,
    StoredFeed,
    Transaction,
    WeatherSource,
)
from digital_twin.services.readings import count_readings
from digital_twin.telemetry import FEED_AGE, FEED_FETCHES, get_logger

UPDATE_FEEDS = "update_feeds"
"""The job that brings all feeds up to date that are due."""

AT_ONCE = 4
"""Feeds that are brought up to date side by side."""

AGAIN_AFTER, PAST_THE_HOUR = timedelta(hours=1), timedelta(minutes=5)
"""Sources issue on the hour: all feeds ask shortly after it, so that communities of one place share the answer."""

EMPTY_AGAIN_AFTER, LONGEST_BACK_OFF = timedelta(minutes=15), timedelta(hours=1)

PRICE_DELAY = timedelta(hours=-10)
"""Day-ahead prices are out by 14:00 of the day before in central Europe, ten hours before it begins."""

BACK, AHEAD = timedelta(days=8), timedelta(days=10)
"""What is read to see what stands where: the week that a forecast repeats, and as far ahead as one goes."""


@dataclass(frozen=True, slots=True)
class _Cadence:
    """How far back the newest answer reaches, and how the past beyond it is fetched."""

    overlap_days: int
    archive_ends_days_ago: int
    archive_chunk_days: int
    delay: timedelta


_CADENCES = {
    FeedKind.WEATHER: _Cadence(7, 6, 92, ASSUMED_DELAY),  # the reanalysis comes five days later
    FeedKind.PRICES: _Cadence(1, 1, 92, PRICE_DELAY),
    FeedKind.CARBON: _Cadence(3, 3, 31, ASSUMED_DELAY),
}
CHUNKS_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class FeedSources:
    """Who is asked."""

    weather: WeatherSource
    prices: PriceSource
    carbon: MixSource

    def name_of(self, kind: FeedKind) -> str:
        """The source of a kind of feed."""
        by_kind = {FeedKind.WEATHER: self.weather, FeedKind.PRICES: self.prices, FeedKind.CARBON: self.carbon}
        return by_kind[kind].name


class _ReplacedMeanwhile(Exception):
    """The feed was changed or removed while its source was asked: what came is for nobody."""


class FeedUpdates:
    """Asks for what is due; one process at a time, so that communities share answers."""

    def __init__(self, store: Store, clock: Clock, sources: FeedSources) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources

    async def due(self) -> list[tuple[str, FeedKind]]:
        """Community and kind of those whose time has come."""
        async with self._store.platform() as tx:
            return await tx.feeds.due(self._clock.now())

    async def update_due(self) -> None:
        """Bring them up to date; what goes wrong with one keeps no other from it."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(community_id: str, kind: FeedKind) -> None:
            async with limit:
                try:
                    await self.update(community_id, kind)
                except TwinError as error:
                    get_logger().warning("feed_not_updated", community=community_id, feed=kind, error=error.message)

        await asyncio.gather(*(one(community_id, kind) for community_id, kind in await self.due()))

    async def update(self, community_id: str, kind: FeedKind) -> None:
        """Ask for the newest, then for what is missing of the past. Does nothing for a feed that is not due."""
        now = self._clock.now()
        try:
            async with self._store.community(community_id) as tx:
                stored = await tx.feeds.get(kind)
                if stored is None or not stored.feed.enabled or stored.next_fetch_at > now:
                    return
                task = await _task(tx, community_id, stored, now)
                wanted = await _wanted_past(tx, stored, now)
            stored = await self._update_newest(task, stored)
            if stored.failures == 0 and wanted is not None:
                await self._update_past(task, stored, *wanted)
        except (_ReplacedMeanwhile, NotFound):
            return

    async def _update_newest(self, task: FeedTask, stored: StoredFeed) -> StoredFeed:
        issue = FeedIssue(task.feed.kind, self._sources.name_of(task.feed.kind), task.now, Outcome.STORED)
        told: list[SeriesValues] = []
        try:
            check_terms(task.feed, task.community)
            issued_at, told = await self._newest(task, stored)
            start, end = min(one.grid.start for one in told), max(one.grid.end for one in told)
            issue = replace(issue, issued_at=issued_at, start=start, end=end)
            after = replace(stored, failures=0, next_fetch_at=floor_to_step(task.now, 60) + AGAIN_AFTER + PAST_THE_HOUR)
        except TwinError as error:
            issue = replace(issue, outcome=_outcome(error), note=error.message)
            failures = stored.failures + (issue.outcome is not Outcome.EMPTY)
            after = replace(stored, failures=failures, next_fetch_at=_again_at(error, stored, task.now))
        FEED_FETCHES.labels(task.feed.kind, issue.outcome).inc()
        await self._keep(task, after, issue, told)
        return after

    async def _newest(self, task: FeedTask, stored: StoredFeed) -> tuple[datetime, list[SeriesValues]]:
        """When the newest answer was issued, and what it tells."""
        feed, here, back = task.feed, floor_to_step(task.now, 60), _CADENCES[task.feed.kind].overlap_days
        midnight = _midnight(task.now.date())
        if isinstance(feed, WeatherFeed):
            weather = await self._sources.weather.forecast(_place(task), feed.resolution_minutes, past_days=back)
            since = None if stored.archived_until is None else _midnight(stored.archived_until)
            return weather.issued_at, forecast_series(weather, task, since)
        start = midnight - timedelta(days=back)
        if isinstance(feed, PriceFeed):
            prices = await self._sources.prices.day_ahead(feed.zone, start, midnight + timedelta(days=3))
            return prices.issued_at, price_series(prices, task)
        mix = await self._sources.carbon.generation(feed.zone, start, here + timedelta(hours=1))
        return mix.issued_at, carbon_series(mix, task)

    async def _keep(self, task: FeedTask, stored: StoredFeed, issue: FeedIssue, told: Sequence[SeriesValues]) -> None:
        """All of it in one transaction; readings first, whose lock comes before those of rows."""
        kind, now = task.feed.kind, task.now
        is_good = issue.outcome is Outcome.STORED
        async with self._store.community(task.community.community_id) as tx:
            kept = await _kept(tx, kind, now - BACK, now + AHEAD)
            if is_good and kind is FeedKind.WEATHER:
                await _record(tx, task, unless_measured(told, kept), "newest", _CADENCES[kind].delay)
            elif is_good:
                await _record(tx, task, told, "newest", _CADENCES[kind].delay)
                estimates = unless_measured(foreseen(told, task, Quality.ESTIMATED), kept)
                await _record(tx, task, estimates, "foreseen", None)
            elif issue.outcome is not Outcome.EMPTY:
                await _record(tx, task, substituted(kept, task), "substituted", None)
            await tx.feeds.add_issue(issue)
            if not await tx.feeds.advance(stored):
                raise _ReplacedMeanwhile

    async def _update_past(self, task: FeedTask, stored: StoredFeed, first: date, end: date) -> None:
        """Some chunks of the past, oldest first; the rest comes with the next rounds."""
        if stored.archived_from is None or stored.archived_until is None or first < stored.archived_from:
            stored = replace(stored, archived_from=first, archived_until=first)
        for _ in range(CHUNKS_AT_ONCE):
            begin = stored.archived_until or first
            if begin >= end:
                return
            until = min(begin + timedelta(days=_CADENCES[task.feed.kind].archive_chunk_days), end)
            try:
                told = await self._past(task, begin, until)
            except InsufficientData:
                told = []
            except TwinError as error:
                get_logger().warning("feed_history_not_fetched", feed=task.feed.kind, error=error.message)
                return
            is_whole = until >= end
            soon = stored.next_fetch_at if is_whole else task.now + timedelta(minutes=1)
            stored = replace(stored, archived_until=until, next_fetch_at=soon)
            async with self._store.community(task.community.community_id) as tx:
                if task.feed.kind is FeedKind.WEATHER:
                    told = unless_measured(told, await _kept(tx, task.feed.kind, _midnight(begin), _midnight(until)))
                await _record(tx, task, told, f"past {begin}", _CADENCES[task.feed.kind].delay)
                if not await tx.feeds.advance(stored):
                    raise _ReplacedMeanwhile

    async def _past(self, task: FeedTask, first: date, until: date) -> list[SeriesValues]:
        """What was, over whole UTC days from `first` on, without `until`."""
        if isinstance(task.feed, WeatherFeed):
            last = until - timedelta(days=1)
            return archived_series(await self._sources.weather.archive(_place(task), first, last), task)
        span = _midnight(first), _midnight(until)
        if isinstance(task.feed, CarbonFeed):
            return carbon_series(await self._sources.carbon.generation(task.feed.zone, *span), task)
        return price_series(await self._sources.prices.day_ahead(task.feed.zone, *span), task)

    async def measure_age(self) -> None:
        """How long the community has waited that has waited longest for each kind."""
        now = self._clock.now()
        async with self._store.platform() as tx:
            oldest = await tx.feeds.oldest_good()
        for kind in FeedKind:
            FEED_AGE.labels(kind).set((now - oldest[kind]).total_seconds() if kind in oldest else float("nan"))


async def _task(tx: Transaction, community_id: str, stored: StoredFeed, now: datetime) -> FeedTask:
    community = (await tx.communities.get(community_id)).community
    own = [one for one in await tx.readings.named(FED_SERIES[stored.feed.kind]) if one.key == SeriesKey(one.key.name)]
    kept = {one.key.name: one.resolution_minutes for one in own}
    return FeedTask(stored.feed, community, now, steps_of(stored.feed, kept))


async def _wanted_past(tx: Transaction, stored: StoredFeed, now: datetime) -> tuple[date, date] | None:
    """From the first day of the community's readings until where the newest answers begin; None where it is there."""
    end = now.date() - timedelta(days=_CADENCES[stored.feed.kind].archive_ends_days_ago)
    if stored.archived_until is not None and stored.archived_until >= end:
        return None
    metered = [one for one in await tx.readings.series() if one.series.key.name in SUMMED_SERIES]
    if not metered:
        return None
    first = max(min(one.first_day for one in metered).date(), now.date() - timedelta(days=HISTORY_DAYS))
    return (first, end) if first < end else None


async def _kept(tx: Transaction, kind: FeedKind, start: datetime, end: datetime) -> list[SeriesValues]:
    return await tx.readings.read([SeriesKey(name) for name in FED_SERIES[kind]], start, end)


async def _record(
    tx: Transaction, task: FeedTask, told: Sequence[SeriesValues], part: str, delay: timedelta | None
) -> None:
    if told:
        key = f"feed {task.feed.kind} {task.now.isoformat()} {part}"
        count_readings(await tx.readings.record(told, key=key, assumed_delay=delay), 0)


def _place(task: FeedTask) -> Place:
    latitude, longitude = task.community.latitude, task.community.longitude
    if latitude is None or longitude is None:
        raise InvalidInput("the community has no latitude and longitude, so there is no weather to ask for")
    return Place(latitude, longitude)


def _outcome(error: TwinError) -> Outcome:
    if isinstance(error, InsufficientData):
        return Outcome.EMPTY
    return Outcome.UNAVAILABLE if isinstance(error, Unavailable) else Outcome.REFUSED


def _again_at(error: TwinError, stored: StoredFeed, now: datetime) -> datetime:
    """Later each time, and not before the source says."""
    if isinstance(error, InsufficientData):
        return now + EMPTY_AGAIN_AFTER
    back_off = min(timedelta(minutes=2 ** min(stored.failures, 10)), LONGEST_BACK_OFF)
    return now + max(back_off, timedelta(seconds=error.facts.get("retry_after_s", 0)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
