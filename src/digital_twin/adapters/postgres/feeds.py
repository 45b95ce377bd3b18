"""Feeds and their issues in SQL."""

from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.codec import feed_from, to_document
from digital_twin.domain.feeds import Feed, FeedKind
from digital_twin.services.ports import KEPT_ISSUES, FeedIssue, Outcome, StoredFeed

_FEED: LiteralString = "settings, next_fetch_at, version, failures, archived_from, archived_until"
_ISSUE: LiteralString = "kind, source, fetched_at, outcome, note, issued_at, starts_at, ends_at"


class PostgresFeeds:
    """The port `Feeds`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def put(self, feed: Feed, *, due_at: datetime) -> StoredFeed:
        cursor = await self._connection.execute(
            "insert into feed (community, kind, settings, version, next_fetch_at) values (%s, %s, %s, 1, %s) "
            "on conflict (community, kind) do update set settings = excluded.settings, version = feed.version + 1, "
            "next_fetch_at = excluded.next_fetch_at, failures = 0, archived_from = null, archived_until = null "
            f"returning {_FEED}",
            (self._community, feed.kind, Jsonb(to_document(feed)), due_at),
        )
        row = await cursor.fetchone()
        assert row is not None
        return _stored(feed.kind, row)

    async def get(self, kind: FeedKind) -> StoredFeed | None:
        cursor = await self._connection.execute(
            f"select {_FEED} from feed where community = %s and kind = %s", (self._community, kind)
        )
        row = await cursor.fetchone()
        return None if row is None else _stored(kind, row)

    async def remove(self, kind: FeedKind) -> bool:
        cursor = await self._connection.execute(
            "delete from feed where community = %s and kind = %s", (self._community, kind)
        )
        return cursor.rowcount == 1

    async def advance(self, stored: StoredFeed) -> bool:
        cursor = await self._connection.execute(
            "update feed set next_fetch_at = %s, failures = %s, archived_from = %s, archived_until = %s "
            "where community = %s and kind = %s and version = %s",
            (
                stored.next_fetch_at, stored.failures, stored.archived_from, stored.archived_until,
                self._community, stored.feed.kind, stored.version,
            ),
        )  # fmt: skip
        return cursor.rowcount == 1

    async def add_issue(self, issue: FeedIssue) -> None:
        await self._connection.execute(
            f"insert into feed_issue (community, {_ISSUE}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                self._community, issue.kind, issue.source, issue.fetched_at, issue.outcome, issue.note,
                issue.issued_at, issue.start, issue.end,
            ),
        )  # fmt: skip
        await self._connection.execute(
            "delete from feed_issue where community = %s and kind = %s and fetched_at < %s",
            (self._community, issue.kind, issue.fetched_at - KEPT_ISSUES),
        )

    async def newest_issue(
        self, kind: FeedKind, *, outcome: Outcome | None = None, as_of: datetime | None = None
    ) -> FeedIssue | None:
        cursor = await self._connection.execute(
            f"select {_ISSUE} from feed_issue where community = %s and kind = %s "
            "and (%s::text is null or outcome = %s) and (%s::timestamptz is null or fetched_at <= %s) "
            "order by fetched_at desc, id desc limit 1",
            (self._community, kind, outcome, outcome, as_of, as_of),
        )
        row = await cursor.fetchone()
        return None if row is None else _issue(row)

    async def due(self, now: datetime) -> list[tuple[str, FeedKind]]:
        cursor = await self._connection.execute("select community_id, kind from feeds_due(%s)", (now,))
        return [(community_id, FeedKind(kind)) for community_id, kind in await cursor.fetchall()]

    async def oldest_good(self) -> dict[FeedKind, datetime]:
        cursor = await self._connection.execute("select kind, fetched_at from feeds_oldest_good()")
        return {FeedKind(kind): fetched_at for kind, fetched_at in await cursor.fetchall()}


def _stored(kind: FeedKind, row: tuple[Any, ...]) -> StoredFeed:
    settings, *progress = row
    return StoredFeed(feed_from(kind, settings), *progress)


def _issue(row: tuple[Any, ...]) -> FeedIssue:
    kind, source, fetched_at, outcome, *rest = row
    return FeedIssue(FeedKind(kind), source, fetched_at, Outcome(outcome), *rest)
