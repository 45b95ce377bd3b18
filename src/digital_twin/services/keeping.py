"""How long a community's readings are kept, the erasure of a member, and the upkeep of what is kept."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from digital_twin.domain.errors import TwinError
from digital_twin.domain.retention import Retention
from digital_twin.domain.time import floor_to_step
from digital_twin.services.access import Grant
from digital_twin.services.active_schedules import KIND as DECISION
from digital_twin.services.ports import Clock, Erased, Keeping, Store
from digital_twin.telemetry import UPKEEP, UPKEEP_STEP_DURATION, get_logger

KEYS_KEPT_FOR = timedelta(days=2)
"""Keys of batches are promised for a day."""

COMMUNITIES_A_PAGE = 100
_DAY, _DAY_MINUTES = timedelta(days=1), 1440

T = TypeVar("T")


class KeepingService:
    """Use cases around what is kept."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def retention(self, grant: Grant) -> Retention:
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.keeping.retention()

    async def retain(self, grant: Grant, retention: Retention) -> Retention:
        """Keep readings and journal so long from now on; the next upkeep removes what is older."""
        async with self._store.community(str(grant.community_id)) as tx:
            await tx.keeping.retain(retention)
        get_logger().info("retention_set", community_id=grant.community_id, account=grant.caller.username)
        return retention

    async def erase_member(self, grant: Grant, member_id: str) -> Erased:
        """Remove a member and everything that is theirs; when this returns nothing of it is left.

        Raises:
            NotFound: there is no such member.
            Conflict: a Run of the community is not done.
        """
        community_id = str(grant.community_id)
        async with self._store.community(community_id) as tx:
            erased = await tx.keeping.erase_member(member_id)
        is_left = True
        while is_left:
            async with self._store.community(community_id) as tx:
                is_left = await tx.keeping.purge_journal()
        get_logger().info("member_erased", community_id=community_id, account=grant.caller.username)
        return erased

    async def keep_up_all(self) -> None:
        """The upkeep of every community, one after the other; where one fails the others go on."""
        after: str | None = None
        while True:
            async with self._store.platform() as tx:
                page = await tx.communities.page(account_id=None, after=after, limit=COMMUNITIES_A_PAGE)
            for one in page:
                after = one.community.community_id
                try:
                    await self.keep_up(after)
                except TwinError as error:
                    get_logger().warning("upkeep_failed", community_id=after, error=error.message)
            if len(page) < COMMUNITIES_A_PAGE:
                return

    async def keep_up(self, community_id: str) -> None:
        """Remove what is kept no longer, and bring the rest into its lasting form: in many short transactions."""
        today = floor_to_step(self._clock.now(), _DAY_MINUTES)
        steps = _Steps(self._store, community_id)
        await steps.all("journal_parts_purged", lambda keeping: keeping.purge_journal())
        await steps.all("days_closed", _close_day)
        await steps.one("spans_kept", lambda keeping: keeping.keep_spans())
        retention = await steps.one("retention_read", lambda keeping: keeping.retention())
        if retention is not None:
            await self._remove_old(steps, retention, today)
        await steps.all("days_added_up", lambda keeping: keeping.add_up_day(today))
        await steps.all("journal_runs_merged", lambda keeping: _merge_run(keeping, today))
        await steps.one("keys_forgotten", lambda keeping: keeping.forget_keys(today - KEYS_KEPT_FOR))

    @staticmethod
    async def _remove_old(steps: "_Steps", retention: Retention, today: datetime) -> None:
        if retention.readings_days is not None:
            first = today - retention.readings_days * _DAY
            await steps.all("days_removed", lambda keeping: keeping.remove_day(first))
            await steps.all("journal_parts_cut", lambda keeping: keeping.forget_days(first))
        if retention.journal_days is not None:
            known_from = today - retention.journal_days * _DAY
            await steps.all("journal_parts_cut", lambda keeping: keeping.forget_past(known_from))
            await steps.one("decisions_forgotten", lambda keeping: keeping.forget_superseded(DECISION, known_from))


class _Steps:
    """Steps of one community's upkeep, a transaction each, as long as nobody else does its upkeep."""

    def __init__(self, store: Store, community_id: str) -> None:
        self._store = store
        self._community_id = community_id

    async def one(self, step: str, do: Callable[[Keeping], Awaitable[T]]) -> T | None:
        """What the step gives; None where somebody else is at it."""
        started = time.perf_counter()
        async with self._store.community(self._community_id) as tx:
            if not await tx.keeping.begin_upkeep():
                return None
            found = await do(tx.keeping)
        UPKEEP_STEP_DURATION.labels(step).observe(time.perf_counter() - started)
        return found

    async def all(self, step: str, do: Callable[[Keeping], Awaitable[bool]]) -> None:
        """The step again and again until there is nothing left of its kind."""
        while await self.one(step, do):
            UPKEEP.labels(step).inc()


async def _close_day(keeping: Keeping) -> bool:
    return await keeping.close_day() is not None


async def _merge_run(keeping: Keeping, received_before: datetime) -> bool:
    return await keeping.compact(received_before) is not None
