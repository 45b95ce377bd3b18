"""Feeds and their issues in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from digital_twin.domain.feeds import Feed, FeedKind
from digital_twin.services.ports import KEPT_ISSUES, FeedIssue, Outcome, StoredFeed


@dataclass
class FeedTables:
    """One community's."""

    feeds: dict[FeedKind, StoredFeed] = field(default_factory=dict[FeedKind, StoredFeed])
    issues: list[FeedIssue] = field(default_factory=list[FeedIssue])


class MemoryFeeds:
    """The port `Feeds`."""

    def __init__(self, tables: FeedTables, everywhere: Mapping[str, FeedTables]) -> None:
        self._tables = tables
        self._everywhere = everywhere

    async def put(self, feed: Feed, *, due_at: datetime) -> StoredFeed:
        before = self._tables.feeds.get(feed.kind)
        stored = StoredFeed(feed, due_at, 1 if before is None else before.version + 1)
        self._tables.feeds[feed.kind] = stored
        return stored

    async def get(self, kind: FeedKind) -> StoredFeed | None:
        return self._tables.feeds.get(kind)

    async def remove(self, kind: FeedKind) -> bool:
        return self._tables.feeds.pop(kind, None) is not None

    async def advance(self, stored: StoredFeed) -> bool:
        current = self._tables.feeds.get(stored.feed.kind)
        if current is None or current.version != stored.version:
            return False
        self._tables.feeds[stored.feed.kind] = replace(stored, feed=current.feed)
        return True

    async def add_issue(self, issue: FeedIssue) -> None:
        oldest = issue.fetched_at - KEPT_ISSUES
        kept = [one for one in self._tables.issues if one.kind is not issue.kind or one.fetched_at >= oldest]
        self._tables.issues = [*kept, issue]

    async def newest_issue(
        self, kind: FeedKind, *, outcome: Outcome | None = None, as_of: datetime | None = None
    ) -> FeedIssue | None:
        fitting = [
            (one.fetched_at, number, one)
            for number, one in enumerate(self._tables.issues)
            if one.kind is kind and outcome in (None, one.outcome) and (as_of is None or one.fetched_at <= as_of)
        ]
        return max(fitting)[2] if fitting else None

    async def due(self, now: datetime) -> list[tuple[str, FeedKind]]:
        found = [
            (stored.next_fetch_at, community_id, kind)
            for community_id, tables in self._everywhere.items()
            for kind, stored in tables.feeds.items()
            if stored.feed.enabled and stored.next_fetch_at <= now
        ]
        return [(community_id, kind) for _, community_id, kind in sorted(found)]

    async def oldest_good(self) -> dict[FeedKind, datetime]:
        oldest: dict[FeedKind, datetime] = {}
        for tables in self._everywhere.values():
            for kind, stored in tables.feeds.items():
                good = [
                    one.fetched_at
                    for one in tables.issues
                    if one.kind is kind and one.outcome is Outcome.STORED and stored.feed.enabled
                ]
                if good:
                    oldest[kind] = min(max(good), oldest.get(kind, max(good)))
        return oldest
