"""Feeds brought up to date: what is due is asked for, believed or not, and kept with what became of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from digital_twin.domain.errors import InsufficientData, NotFound, TwinError, Unavailable
from digital_twin.domain.feeds import FED_SERIES, FeedKind
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SUMMED_SERIES, SeriesKey, SeriesValues
from digital_twin.domain.time import floor_to_step
from digital_twin.services.feed_answers import (
    FeedTask,
    check_terms,
    foreseen,
    steps_of,
    substituted,
    unless_measured,
)
from digital_twin.services.feed_sources import REACHES, FeedSources, midnight_of
from digital_twin.services.history import HISTORY_DAYS
from digital_twin.services.ports import Clock, FeedIssue, Outcome, Store, StoredFeed, Transaction
from digital_twin.services.readings import count_readings
from digital_twin.telemetry import FEED_AGE, FEED_FETCHES, get_logger

UPDATE_FEEDS = "update_feeds"
"""The job that brings all feeds up to date that are due."""

AT_ONCE = 4
"""Feeds that are brought up to date side by side."""

AGAIN_AFTER, PAST_THE_HOUR = timedelta(hours=1), timedelta(minutes=5)
"""Sources issue on the hour: all feeds ask shortly after it, so that communities of one place share the answer."""

LONGEST_NOTE = 400

EMPTY_AGAIN_AFTER, LONGEST_BACK_OFF = timedelta(minutes=15), timedelta(hours=1)

BACK, AHEAD = timedelta(days=8), timedelta(days=10)
"""What is read to see what stands where: the week that a forecast repeats, and as far ahead as one goes."""


CHUNKS_AT_ONCE = 5


class _ReplacedMeanwhile(Exception):
    """The feed was changed or removed while its source was asked: what came is for nobody."""


class FeedUpdates:
    """Asks for what is due; one process at a time, so that communities share answers."""

    def __init__(self, store: Store, clock: Clock, sources: FeedSources, *, history_days: int = HISTORY_DAYS) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources
        self._history_days = history_days

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
                except Exception as error:
                    get_logger().error("feed_not_updated", community=community_id, feed=kind, exc_info=error)

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
                wanted = await _wanted_past(tx, stored, now, self._history_days)
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
            newest = await self._sources.newest(task, stored.archived_until)
            told = newest.series
            start, end = min(one.grid.start for one in told), max(one.grid.end for one in told)
            issue = replace(issue, issued_at=newest.issued_at, fetched_at=newest.asked_at, start=start, end=end)
            after = replace(stored, failures=0, next_fetch_at=floor_to_step(task.now, 60) + AGAIN_AFTER + PAST_THE_HOUR)
        except TwinError as error:
            issue = replace(issue, outcome=_outcome(error), note=_legible(error.message))
            failures = stored.failures + (issue.outcome is not Outcome.EMPTY)
            after = replace(stored, failures=failures, next_fetch_at=_again_at(error, stored, task.now))
        FEED_FETCHES.labels(task.feed.kind, issue.outcome).inc()
        await self._keep(task, after, issue, told)
        return after

    async def _keep(self, task: FeedTask, stored: StoredFeed, issue: FeedIssue, told: Sequence[SeriesValues]) -> None:
        """All of it in one transaction; readings first, whose lock comes before those of rows."""
        kind, now = task.feed.kind, task.now
        is_good = issue.outcome is Outcome.STORED
        async with self._store.community(task.community.community_id) as tx:
            kept = await _kept(tx, kind, now - BACK, now + AHEAD)
            if is_good and kind is FeedKind.WEATHER:
                await _record(tx, task, unless_measured(told, kept), "newest", REACHES[kind].delay)
            elif is_good:
                await _record(tx, task, told, "newest", REACHES[kind].delay)
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
            until = min(begin + timedelta(days=REACHES[task.feed.kind].chunk_days), end)
            try:
                told = await self._sources.past(task, begin, until)
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
                    told = unless_measured(
                        told, await _kept(tx, task.feed.kind, midnight_of(begin), midnight_of(until))
                    )
                await _record(tx, task, told, f"past {begin}", REACHES[task.feed.kind].delay)
                if not await tx.feeds.advance(stored):
                    raise _ReplacedMeanwhile

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


async def _wanted_past(
    tx: Transaction, stored: StoredFeed, now: datetime, history_days: int
) -> tuple[date, date] | None:
    """The days before the newest answers that are to be known; None where they are there.

    Weather helps to understand readings, so it goes back as far as they do; what simulations take prices and factors
    from is the last year, whatever was metered.
    """
    end = now.date() - timedelta(days=REACHES[stored.feed.kind].past_ends_days_ago)
    if stored.archived_until is not None and stored.archived_until >= end:
        return None
    first = now.date() - timedelta(days=history_days)
    if stored.feed.kind is FeedKind.WEATHER:
        metered = [one for one in await tx.readings.series() if one.series.key.name in SUMMED_SERIES]
        first = max(first, min((one.first_day.date() for one in metered), default=end))
    return (first, end) if first < end else None


async def _kept(tx: Transaction, kind: FeedKind, start: datetime, end: datetime) -> list[SeriesValues]:
    return await tx.readings.read([SeriesKey(name) for name in FED_SERIES[kind]], start, end)


async def _record(
    tx: Transaction, task: FeedTask, told: Sequence[SeriesValues], part: str, delay: timedelta | None
) -> None:
    if told:
        key = f"feed {task.feed.kind} {task.now.isoformat()} {part}"
        count_readings(await tx.readings.record(told, key=key, assumed_delay=delay), 0)


def _outcome(error: TwinError) -> Outcome:
    if isinstance(error, InsufficientData):
        return Outcome.EMPTY
    return Outcome.UNAVAILABLE if isinstance(error, Unavailable) else Outcome.REFUSED


def _legible(sentence: str) -> str:
    """A sentence that may repeat words of a source: short, and without what no text holds."""
    return "".join(one if one.isprintable() else "?" for one in sentence[:LONGEST_NOTE])


def _again_at(error: TwinError, stored: StoredFeed, now: datetime) -> datetime:
    """Later each time, and not before the source says."""
    if isinstance(error, InsufficientData):
        return now + EMPTY_AGAIN_AFTER
    back_off = min(timedelta(minutes=2 ** min(stored.failures, 10)), LONGEST_BACK_OFF)
    return now + max(back_off, timedelta(seconds=error.facts.get("retry_after_s", 0)))
