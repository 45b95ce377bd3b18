"""The port `Store` in memory: plain dictionaries, copied for each transaction and swapped in when it ends well."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.community import Community
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.services.ports import Clock, Ingester, Replay, StoredCommunity, StoredResult
from digital_twin.testing.accounts import AccountTables, MemoryAccounts
from digital_twin.testing.fakes import FakeClock
from digital_twin.testing.feeds import FeedTables, MemoryFeeds
from digital_twin.testing.forecasts import ForecastTables, MemoryIssuedForecasts
from digital_twin.testing.keeping import MemoryKeeping
from digital_twin.testing.member_plans import MemoryMemberPlans, PlanTable
from digital_twin.testing.models import MemoryTrainedModels, ModelTable
from digital_twin.testing.plan_questions import MemoryPlanQuestions
from digital_twin.testing.readings import MemoryReadings, ReadingLog
from digital_twin.testing.runs import JobTable, MemoryEvents, MemoryFeed, MemoryRunQueue, MemoryRuns, RunTables
from digital_twin.testing.states import MemoryStates, StateTables
from digital_twin.testing.topics import (
    MemoryDeadLetters,
    MemoryIngesters,
    MemorySampled,
    MemoryTopicMappings,
    TopicTables,
)


@dataclass
class _CommunityTables:
    stored: StoredCommunity
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    assets: dict[str, Asset] = field(default_factory=dict[str, Asset])
    runs: RunTables = field(default_factory=RunTables)
    member_plans: PlanTable = field(default_factory=PlanTable)
    plan_questions: dict[str, bytes] = field(default_factory=dict[str, bytes])
    models: ModelTable = field(default_factory=ModelTable)
    forecasts: ForecastTables = field(default_factory=ForecastTables)
    log: ReadingLog = field(default_factory=ReadingLog)
    states: StateTables = field(default_factory=StateTables)
    feeds: FeedTables = field(default_factory=FeedTables)
    topics: TopicTables = field(default_factory=TopicTables)
    keys: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


@dataclass
class _Tables:
    communities: dict[str, _CommunityTables] = field(default_factory=dict[str, _CommunityTables])
    jobs: JobTable = field(default_factory=JobTable)
    accounts: AccountTables = field(default_factory=AccountTables)
    ingesters: dict[str, tuple[Ingester, datetime]] = field(default_factory=dict[str, tuple[Ingester, datetime]])
    replays: dict[tuple[str, str], Replay] = field(default_factory=dict[tuple[str, str], Replay])


class MemoryStore:
    """The port `Store`; transactions run one after the other."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or FakeClock()
        self._tables = _Tables()
        self._turn = asyncio.Lock()
        self.feed = MemoryFeed()

    @asynccontextmanager
    async def platform(self) -> AsyncGenerator["MemoryTransaction", None]:
        async with self._transaction() as tables:
            yield MemoryTransaction(tables, None, self._clock)

    @asynccontextmanager
    async def community(self, community_id: str) -> AsyncGenerator["MemoryTransaction", None]:
        async with self._transaction() as tables:
            if community_id not in tables.communities:
                raise unknown_community(community_id)
            yield MemoryTransaction(tables, community_id, self._clock)

    async def is_ready(self) -> bool:
        return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[_Tables, None]:
        async with self._turn:
            mine = _copied(self._tables)
            yield mine
            self._tables = mine
        self.feed.hear()


class MemoryTransaction:
    """The port `Transaction`; without a community it sees what platform scope sees."""

    def __init__(self, tables: _Tables, entered: str | None, clock: Clock) -> None:
        # outside of every community its nouns are empty, and what is written to them is lost
        inside = tables.communities[entered] if entered is not None else _CommunityTables(_NOWHERE)
        visible = set(tables.communities) if entered is None else {entered}
        self.communities = MemoryCommunities(tables, visible, clock)
        self.members = MemoryMembers(inside)
        self.readings = MemoryReadings(inside.log, inside.members, inside.assets, clock, inside.states)
        self.keeping = MemoryKeeping(inside, tables.accounts, self.readings, clock)
        self.states = MemoryStates(inside.states, {name: tables.communities[name].states for name in visible})
        self.results = MemoryResults(inside.runs)
        self.member_plans = MemoryMemberPlans(inside.member_plans, inside.members)
        self.plan_questions = MemoryPlanQuestions(inside.plan_questions)
        self.trained_models = MemoryTrainedModels(inside.models)
        forecasts = {name: (tables.communities[name].forecasts, tables.communities[name].log) for name in visible}
        self.issued_forecasts = MemoryIssuedForecasts(inside.forecasts, inside.log, forecasts)
        self.runs = MemoryRuns(inside.runs, tables.jobs)
        self.events = MemoryEvents(inside.runs, clock)
        self.feeds = MemoryFeeds(inside.feeds, {name: tables.communities[name].feeds for name in visible})
        topics = {name: tables.communities[name].topics for name in visible}
        self.topic_mappings = MemoryTopicMappings(inside.topics, topics)
        self.dead_letters = MemoryDeadLetters(inside.topics, clock)
        self.sampled = MemorySampled(inside.topics, topics)
        self.ingesters = MemoryIngesters(tables.ingesters, clock)
        self.run_queue = MemoryRunQueue([one.runs for one in tables.communities.values()], tables.jobs)
        self.accounts = MemoryAccounts(tables.accounts, visible, clock)
        self.replays = MemoryReplays(tables, inside)


class MemoryCommunities:
    """The port `Communities`."""

    def __init__(self, tables: _Tables, visible: set[str], clock: Clock) -> None:
        self._tables = tables
        self._visible = visible
        self._clock = clock

    async def create(self, community: Community) -> StoredCommunity:
        if community.community_id in self._tables.communities:
            raise Conflict(f"the community {community.community_id!r} exists already; choose another community_id")
        stored = StoredCommunity(community, 1, self._clock.now())
        self._tables.communities[community.community_id] = _CommunityTables(stored)
        self._visible.add(community.community_id)
        return stored

    async def get(self, community_id: str) -> StoredCommunity:
        if community_id not in self._visible:
            raise unknown_community(community_id)
        return self._tables.communities[community_id].stored

    async def replace(self, community: Community, *, expected_version: int | None) -> StoredCommunity:
        before = await self._expect(community.community_id, expected_version)
        stored = replace(before, community=community, version=before.version + 1)
        self._tables.communities[community.community_id].stored = stored
        return stored

    async def delete(self, community_id: str, *, expected_version: int | None) -> None:
        await self._expect(community_id, expected_version)
        for key in self._tables.communities.pop(community_id).keys:
            self._tables.replays.pop(key, None)
        self._visible.discard(community_id)
        memberships = self._tables.accounts.memberships
        for key in [key for key in memberships if key[1] == community_id]:
            del memberships[key]

    async def page(
        self, *, account_id: int | None, after: str | None, limit: int, among: Collection[str] | None = None
    ) -> list[StoredCommunity]:
        now = self._clock.now()
        wanted = self._visible if among is None else self._visible & set(among)
        chosen = sorted(name for name in wanted if name > (after or ""))
        if account_id is not None:
            memberships = self._tables.accounts.memberships
            mine = {
                community_id
                for (holder, community_id), one in memberships.items()
                if holder == account_id
                and (one.valid_from is None or one.valid_from <= now)
                and (one.valid_until is None or one.valid_until > now)
            }
            chosen = [name for name in chosen if name in mine]
        return [self._tables.communities[name].stored for name in chosen[:limit]]

    async def _expect(self, community_id: str, version: int | None) -> StoredCommunity:
        current = await self.get(community_id)
        if version not in (None, current.version):
            raise Conflict(
                f"the community was changed meanwhile and is at version {current.version} now; read it again"
            )
        return current


class MemoryMembers:
    """The port `Members`."""

    def __init__(self, inside: _CommunityTables) -> None:
        self._inside = inside

    async def put_members(self, members: Sequence[Member]) -> int:
        before = len(self._inside.members)
        self._inside.members.update({one.member_id: one for one in members})
        return len(self._inside.members) - before

    async def members(self) -> list[Member]:
        return [one for _, one in sorted(self._inside.members.items())]

    async def put_assets(self, assets: Sequence[Asset]) -> int:
        if any(one.member_id is not None and one.member_id not in self._inside.members for one in assets):
            raise NotFound("an asset names a member that is not there; add members with POST .../members")
        before = len(self._inside.assets)
        self._inside.assets.update({one.asset_id: one for one in assets})
        return len(self._inside.assets) - before

    async def assets(self) -> list[Asset]:
        return [one for _, one in sorted(self._inside.assets.items())]


class MemoryResults:
    """The port `Results`."""

    def __init__(self, inside: RunTables) -> None:
        self._inside = inside

    async def add(self, result: StoredResult) -> None:
        self._inside.results[result.result_id] = result

    async def get(self, result_id: str, kinds: Collection[str]) -> StoredResult:
        if result_id not in self._inside.results or self._inside.results[result_id].kind not in kinds:
            raise NotFound(f"there is no result {result_id}")
        return self._inside.results[result_id]

    async def page(self, *, kinds: Collection[str], before: str | None, limit: int) -> list[StoredResult]:
        newest_first = sorted(self._inside.results.values(), key=lambda one: one.result_id, reverse=True)
        chosen = [one for one in newest_first if one.kind in kinds and (before is None or one.result_id < before)]
        return chosen[:limit]


class MemoryReplays:
    """The port `Replays`; forgets nothing."""

    def __init__(self, tables: _Tables, inside: _CommunityTables) -> None:
        self._replays = tables.replays
        self._keys_inside = inside.keys

    async def claim(self, scope: str, key: str, fingerprint: bytes) -> bool:
        if (scope, key) in self._replays:
            return False
        self._replays[scope, key] = Replay(fingerprint, 0, {}, b"")
        self._keys_inside.add((scope, key))
        return True

    async def find(self, scope: str, key: str) -> Replay | None:
        return self._replays.get((scope, key))

    async def finish(self, scope: str, key: str, replay: Replay) -> None:
        before = self._replays.get((scope, key))
        if before is not None:
            self._replays[scope, key] = replace(replay, fingerprint=before.fingerprint)

    async def release(self, scope: str, key: str) -> None:
        self._replays.pop((scope, key), None)


def _copied(value: Any) -> Any:
    """The same rows in tables, dictionaries, lists and sets of their own; the rows themselves are frozen and shared."""
    if isinstance(value, Hashable):
        return value
    match value:
        case dict():
            return {key: _copied(one) for key, one in value.items()}
        case list():
            return [_copied(one) for one in value]
        case set():
            return set(value)
        case _:
            return type(value)(**{one.name: _copied(getattr(value, one.name)) for one in fields(value)})


def unknown_community(community_id: str) -> NotFound:
    return NotFound(f"there is no community {community_id!r} that you may see", community_id=community_id)


_NOWHERE = StoredCommunity(Community("nowhere", 1, 0, 0, 0, 0, 0, 0), 0, FakeClock().now())
