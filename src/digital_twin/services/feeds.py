"""Feeds of weather, prices and carbon: set up for a community, and how fresh what they tell is."""

from dataclasses import dataclass
from datetime import datetime

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.domain.feeds import Feed, FeedKind, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.services.access import Grant
from digital_twin.services.feed_answers import check_terms
from digital_twin.services.ports import Clock, FeedIssue, Outcome, Store, StoredFeed, Transaction

_USUAL_QUALITY = {
    FeedKind.WEATHER: Quality.ESTIMATED,
    FeedKind.PRICES: Quality.MEASURED,
    FeedKind.CARBON: Quality.ESTIMATED,
}
"""What the newest values of each kind are while all is well: forecasts, published prices, the last day's factors."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """A feed with its last attempt and the last that brought something."""

    stored: StoredFeed
    attempt: FeedIssue | None
    issue: FeedIssue | None
    now: datetime

    @property
    def age_s(self) -> float | None:
        """Since when there is nothing newer; None before there is anything."""
        return None if self.issue is None else (self.now - self.issue.fetched_at).total_seconds()

    @property
    def quality(self) -> Quality:
        """What the values of the coming hours are."""
        if self.issue is None or self.attempt is None:
            return Quality.MISSING
        if self.attempt.outcome in (Outcome.REFUSED, Outcome.UNAVAILABLE):
            return Quality.SUBSTITUTED
        return _USUAL_QUALITY[self.stored.feed.kind]


class FeedService:
    """Use cases around feeds."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def put(self, grant: Grant, feed: Feed) -> FeedStatus:
        """Set up or replace the feed of its kind; it is fetched within a minute.

        Raises:
            InvalidInput: the community has no place, or a tariff that its terms do not go with.
        """
        community_id = str(grant.community_id)
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            _check_place(feed, community)
            check_terms(feed, community)
            stored = await tx.feeds.put(feed, due_at=self._clock.now())
            return await self._status(tx, stored)

    async def get(self, grant: Grant, kind: FeedKind) -> FeedStatus:
        """Raises NotFound where none of this kind is set up."""
        async with self._store.community(str(grant.community_id)) as tx:
            stored = await tx.feeds.get(kind)
            if stored is None:
                raise _no_feed(kind)
            return await self._status(tx, stored)

    async def all(self, grant: Grant) -> list[FeedStatus]:
        """Those that are set up."""
        async with self._store.community(str(grant.community_id)) as tx:
            stored = [await tx.feeds.get(kind) for kind in FeedKind]
            return [await self._status(tx, one) for one in stored if one is not None]

    async def remove(self, grant: Grant, kind: FeedKind) -> None:
        """Ask no more; what was told stays. Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            if not await tx.feeds.remove(kind):
                raise _no_feed(kind)

    async def _status(self, tx: Transaction, stored: StoredFeed) -> FeedStatus:
        kind = stored.feed.kind
        attempt = await tx.feeds.newest_issue(kind)
        issue = await tx.feeds.newest_issue(kind, outcome=Outcome.STORED)
        return FeedStatus(stored, attempt, issue, self._clock.now())


def _check_place(feed: Feed, community: Community) -> None:
    if isinstance(feed, WeatherFeed) and (community.latitude is None or community.longitude is None):
        raise InvalidInput(
            "weather is that of a place: give the community latitude and longitude first, with PUT /communities/"
            f"{community.community_id}",
        )


def _no_feed(kind: FeedKind) -> NotFound:
    return NotFound(f"the community has no {kind} feed; set one up with PUT .../feeds/{kind}")
