"""Keeping in memory: a log of writes needs no upkeep, so that only what removes readings does anything."""

from collections.abc import Iterable, MutableMapping
from datetime import datetime
from typing import Any, Protocol

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.domain.readings import SUMMED_SERIES, SeriesKey
from digital_twin.domain.retention import Retention
from digital_twin.domain.time import floor_to_step
from digital_twin.services.ports import Clock, Compacted, Erased, RunState
from digital_twin.testing.accounts import AccountTables
from digital_twin.testing.member_plans import PlanTable
from digital_twin.testing.readings import KeptSum, MemoryReadings, ReadingLog
from digital_twin.testing.runs import RunTables
from digital_twin.testing.topics import TopicTables

KEPT_FROM_HOMES = 5
DAY_MINUTES = 1440


class CommunityTables(Protocol):
    """What a community's tables have of its members."""

    log: ReadingLog
    members: dict[str, Member]
    assets: dict[str, Asset]
    runs: RunTables
    member_plans: PlanTable
    plan_questions: dict[str, bytes]
    topics: TopicTables


class MemoryKeeping:
    """The port `Keeping`."""

    def __init__(
        self, inside: CommunityTables, accounts: AccountTables, readings: MemoryReadings, clock: Clock
    ) -> None:
        self._inside = inside
        self._log = inside.log
        self._accounts = accounts
        self._readings = readings
        self._clock = clock

    async def retention(self) -> Retention:
        return self._log.retention

    async def retain(self, retention: Retention) -> None:
        self._log.retention = retention

    async def begin_upkeep(self) -> bool:
        return True

    async def close_day(self) -> int | None:
        return None

    async def add_up_day(self, before: datetime) -> bool:
        return False

    async def compact(self, received_before: datetime) -> Compacted | None:
        return None

    async def keep_spans(self) -> None:
        pass

    async def forget_keys(self, received_before: datetime) -> int:
        newest = max((one.received_at for one in self._log.receipts.values()), default=received_before)
        old = [key for key, one in self._log.receipts.items() if one.received_at < min(received_before, newest)]
        for key in old:
            del self._log.receipts[key]
        return len(old)

    async def remove_day(self, before: datetime) -> bool:
        old = [(series, start) for series, start in self._log.writes if start < before]
        if not old:
            return False
        first = min(floor_to_step(start, DAY_MINUTES) for _, start in old)
        of_day = [(series, start) for series, start in old if floor_to_step(start, DAY_MINUTES) == first]
        await self._keep_sums(of_day)
        for key in of_day:
            del self._log.writes[key]
        return True

    async def _keep_sums(self, removed: list[tuple[SeriesKey, datetime]]) -> None:
        """Keep the sums of enough homes that these readings are part of."""
        kept: dict[tuple[str, datetime], KeptSum] = {}
        for series, start in removed:
            if series.name not in SUMMED_SERIES or series.member_id is None or series.asset_id is not None:
                continue
            found = await self._readings.community_sum(series.name, start, start + self._readings.step_of(series))
            assert found is not None
            reporting = int(found.reporting[0])
            if reporting >= KEPT_FROM_HOMES and self._readings.takes_part(series, found.grid):
                kept[series.name, found.grid.start] = KeptSum(
                    self._clock.now(), found.grid.step_minutes, float(found.total[0]), reporting, int(found.members[0])
                )
        self._log.kept.update(kept)

    async def forget_days(self, before: datetime) -> bool:
        return False

    async def forget_past(self, known_from: datetime) -> bool:
        self._log.known_from = max(known_from, self._log.known_from or known_from)
        return False

    async def forget_superseded(self, kind: str, before: datetime) -> int:
        results = self._inside.runs.results
        known = sorted(name for name, one in results.items() if one.kind == kind)
        gone = [name for name in known[:-1] if results[name].created_at < before]
        _forget(results, gone)
        return len(gone)

    async def erase_member(self, member_id: str) -> Erased:
        inside = self._inside
        if member_id not in inside.members:
            raise NotFound(f"there is no member {member_id!r}")
        if any(run.state in (RunState.QUEUED, RunState.RUNNING) for run in inside.runs.runs.values()):
            raise Conflict("a Run of this community may hold the member's data")
        assets = [name for name, asset in inside.assets.items() if asset.member_id == member_id]
        series = [key for key in self._log.resolutions if key.member_id == member_id or key.asset_id in assets]
        own = [(key, start) for key, start in self._log.writes if key in series]
        await self._keep_sums(own)
        days = {(key, floor_to_step(start, DAY_MINUTES)) for key, start in own}
        _forget(self._log.writes, own)
        _forget(self._log.resolutions, series)
        _forget(inside.assets, assets)
        del inside.members[member_id]
        _forget(inside.member_plans, [key for key in inside.member_plans if key[1] == member_id])
        inside.plan_questions.clear()
        samples = [key for key in inside.topics.samples if key[0].member_id == member_id or key[0].asset_id in assets]
        _forget(inside.topics.samples, samples)
        inside.topics.due.difference_update(samples)
        links = [key for key, one in self._accounts.memberships.items() if one.member_id == member_id]
        _forget(self._accounts.memberships, links)
        return Erased(len(series), len(days), len(assets), len(links), self._forget_documents(member_id))

    def _forget_documents(self, member_id: str) -> int:
        """Whatever names the member as a whole word."""
        runs, topics, forgotten = self._inside.runs, self._inside.topics, 0
        tables: tuple[dict[str, Any], ...] = (runs.results, runs.runs)
        for table in tables:
            named = [key for key, one in table.items() if _names(str(one), member_id)]
            _forget(table, named)
            forgotten += len(named)
        events = [one for one in runs.events if not _names(str(one), member_id)]
        letters = [one for one in topics.letters if not _names(str(one), member_id)]
        forgotten += len(runs.events) - len(events) + len(topics.letters) - len(letters)
        runs.events, topics.letters = events, letters
        return forgotten

    async def purge_journal(self) -> bool:
        return False


def _forget(table: MutableMapping[Any, Any], keys: Iterable[Any]) -> None:
    for key in keys:
        del table[key]


def _names(text: str, member_id: str) -> bool:
    spaced = "".join(letter if letter.isalnum() or letter in "_-" else " " for letter in text)
    return member_id in spaced.split()
