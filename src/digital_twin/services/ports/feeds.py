"""Weather, prices and carbon from outside: the sources that are asked, and feeds as they are kept."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from digital_twin.domain.bidding_zones import BiddingZone
from digital_twin.domain.feeds import Feed, FeedKind, Place
from digital_twin.domain.generation_mix import GenerationMix
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

KEPT_ISSUES = timedelta(days=400)
"""As long as the history that forecasts learn from."""


@dataclass(frozen=True, slots=True)
class WeatherAnswer:
    """Weather in canonical units, each variable on its own grid."""

    issued_at: datetime
    asked_at: datetime  # the same where several ask the same within minutes, and share the answer
    series: tuple[SeriesValues, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PriceAnswer:
    """Spot prices of a zone; NaN where none is published."""

    issued_at: datetime
    asked_at: datetime
    currency: str
    grid: TimeGrid
    spot_per_kwh: Array  # (T,)


@dataclass(frozen=True, slots=True)
class MixAnswer:
    """Generation of a zone by kind."""

    issued_at: datetime
    asked_at: datetime
    mix: GenerationMix


class WeatherSource(Protocol):
    """Tells the weather of a place.

    Each call raises Unavailable where nothing answers in time (`retry_after_s` where the source says when), NotAllowed
    where it refuses who asks, and InvalidInput for an answer that cannot be believed.
    """

    @property
    def name(self) -> str: ...

    async def forecast(self, place: Place, step_minutes: int, *, past_days: int) -> WeatherAnswer:
        """The next week, and the last days as the models saw them."""
        ...

    async def archive(self, place: Place, first: date, last: date) -> WeatherAnswer:
        """Past weather hour by hour, from one UTC day to another, both included."""
        ...


class PriceSource(Protocol):
    """Tells day-ahead prices. Raises as WeatherSource, and InsufficientData where none is published."""

    @property
    def name(self) -> str: ...

    async def day_ahead(self, zone: BiddingZone, start: datetime, end: datetime) -> PriceAnswer: ...


class MixSource(Protocol):
    """Tells what generates. Raises as WeatherSource, and InsufficientData where nothing is published."""

    @property
    def name(self) -> str: ...

    async def generation(self, zone: BiddingZone, start: datetime, end: datetime) -> MixAnswer: ...


class Outcome(StrEnum):
    """What became of an attempt to bring a feed up to date."""

    STORED = "stored"
    EMPTY = "empty"  # the source has nothing for this time yet
    REFUSED = "refused"  # what it answered cannot be believed, or it refuses us
    UNAVAILABLE = "unavailable"  # nothing answered in time


@dataclass(frozen=True, slots=True)
class FeedIssue:
    """One attempt: when the source issued what it told, when it was asked for that, and what became of it."""

    kind: FeedKind
    source: str
    fetched_at: datetime
    outcome: Outcome
    note: str | None = None
    issued_at: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredFeed:
    """A feed with how far it has come; `archived_*` is the stretch of whole UTC days that its history covers."""

    feed: Feed
    next_fetch_at: datetime
    version: int = 0
    failures: int = 0
    archived_from: date | None = None
    archived_until: date | None = None


class Feeds(Protocol):
    """Feeds of the community that the transaction entered."""

    async def put(self, feed: Feed, *, due_at: datetime) -> StoredFeed:
        """Add or replace; what was archived under other settings counts no more."""
        ...

    async def get(self, kind: FeedKind) -> StoredFeed | None: ...

    async def remove(self, kind: FeedKind) -> bool:
        """Whether there was one. Its issues and values stay."""
        ...

    async def advance(self, stored: StoredFeed) -> bool:
        """Keep how far it has come; False where it was replaced or removed meanwhile."""
        ...

    async def add_issue(self, issue: FeedIssue) -> None:
        """Keep it, and let go of those that are KEPT_ISSUES older."""
        ...

    async def newest_issue(
        self, kind: FeedKind, *, outcome: Outcome | None = None, as_of: datetime | None = None
    ) -> FeedIssue | None:
        """The last attempt, or the last that ended so, that had been made by then."""
        ...

    async def due(self, now: datetime) -> list[tuple[str, FeedKind]]:
        """Community and kind of enabled feeds whose time has come; for platform scope."""
        ...

    async def oldest_good(self) -> dict[FeedKind, datetime]:
        """For each kind the feed that has waited longest: when it last stored something; for platform scope."""
        ...
