"""Which plan is in force: what integrators carry out. Nothing is switched from here.

Each decision is a stored result of its own, so the newest one holds and all of them together are the record of who
put what in force, when.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from digital_twin.domain.community import Community
from digital_twin.domain.errors import Conflict, NotAllowed, NotFound
from digital_twin.services.access import Access, Caller, Grant, Permission
from digital_twin.services.ports import Clock, Store, StoredResult, Transaction
from digital_twin.services.provenance import instant_text
from digital_twin.services.question_document import answer_of
from digital_twin.services.schedule_document import KIND as DISPATCH
from digital_twin.services.schedule_document import new_result_id
from digital_twin.services.schedules import latest_state_of_charge

KIND = "applied_schedule"
RECENT_LOG_IN = timedelta(minutes=15)
STALE_AFTER = timedelta(hours=24)
TOLERATED_SHARE = 0.1
"""Of the capacity, by which the storage may differ from what the plan expects now, beyond an interval at full power."""


@dataclass(frozen=True, slots=True, eq=False)
class ActiveSchedule:
    """The plan that holds, since when, and who said so."""

    plan: dict[str, Any]
    applied_at: datetime
    applied_by: int
    applied_by_name: str | None  # None where the caller may not know who has rights here


class ActiveScheduleService:
    """Use cases around the plan in force."""

    def __init__(self, store: Store, clock: Clock, access: Access) -> None:
        self._store = store
        self._clock = clock
        self._access = access

    async def apply(self, grant: Grant, result_id: str) -> ActiveSchedule:
        """Put a plan in force in place of the one before.

        Raises:
            NotAllowed: not from a log-in of the last 15 minutes.
            NotFound: no such plan.
            Conflict: it is over, was made more than a day ago, or expects another state of the storage.
        """
        now = self._clock.now()
        _check_log_in(grant.caller, now)
        async with self._store.community(str(grant.community_id)) as tx:
            stored = await tx.results.get(result_id, (DISPATCH,))
            _check_time(stored, now)
            community = (await tx.communities.get(str(grant.community_id))).community
            await _check_state(tx, community, stored.document, now)
            await self._decide(tx, grant.caller, result_id)
        return ActiveSchedule(answer_of(stored.document), now, grant.caller.account_id, grant.caller.username)

    async def active(self, grant: Grant) -> ActiveSchedule:
        """Raises NotFound when none holds, or the last one is over."""
        async with self._store.community(str(grant.community_id)) as tx:
            newest = await tx.results.page(kinds=(KIND,), before=None, limit=1)
            result_id = newest[0].document["result_id"] if newest else None
            if result_id is None:
                raise _none_in_force()
            plan = (await tx.results.get(result_id, (DISPATCH,))).document
        if end_of(plan) <= self._clock.now():
            raise _none_in_force()
        applied_by: int = newest[0].document["applied_by"]
        name = await self._name_of(applied_by, grant)
        return ActiveSchedule(answer_of(plan), newest[0].created_at, applied_by, name)

    async def withdraw(self, grant: Grant) -> None:
        """Let none be in force. Raises NotFound when none is."""
        await self.active(grant)
        async with self._store.community(str(grant.community_id)) as tx:
            await self._decide(tx, grant.caller, None)

    async def _name_of(self, account_id: int, grant: Grant) -> str | None:
        """The name of an account, for itself and for who may see the memberships of the community."""
        if account_id == grant.caller.account_id:
            return grant.caller.username
        try:
            await self._access.check(grant.caller, Permission.MEMBERSHIPS_MANAGE, grant.community_id)
        except NotAllowed:
            return None
        async with self._store.platform() as tx:
            account = await tx.accounts.by_id(account_id)
        return None if account is None else account.username

    async def _decide(self, tx: Transaction, caller: Caller, result_id: str | None) -> None:
        now = self._clock.now()
        document = {"result_id": result_id, "applied_by": caller.account_id, "applied_at": instant_text(now)}
        await tx.results.add(StoredResult(new_result_id(now), KIND, now, document))
        await tx.events.add("schedule", {"result_id": result_id, "in_force": result_id is not None})


def end_of(plan: dict[str, Any]) -> datetime:
    """When the last interval of a plan ends."""
    start = datetime.fromisoformat(plan["start"])
    return start + timedelta(minutes=plan["resolution_minutes"]) * len(plan["charge_kw"])


def _none_in_force() -> NotFound:
    return NotFound("no schedule is in force; apply one with POST .../schedules/{result_id}/apply")


def _check_log_in(caller: Caller, now: datetime) -> None:
    if caller.logged_in_at is None or now - caller.logged_in_at > RECENT_LOG_IN:
        raise NotAllowed(
            f"a schedule is put in force by a person who logged in within the last {RECENT_LOG_IN.seconds // 60} "
            "minutes; log in again"
        )


def _check_time(stored: StoredResult, now: datetime) -> None:
    if end_of(stored.document) <= now:
        raise Conflict("this plan is over; make a new one")
    if now - stored.created_at > STALE_AFTER:
        raise Conflict("this plan was made more than a day ago, on what was known then; make a new one")


async def _check_state(tx: Transaction, community: Community, plan: dict[str, Any], now: datetime) -> None:
    """What the storage holds, where that is known and the plan has begun."""
    start, step = datetime.fromisoformat(plan["start"]), timedelta(minutes=plan["resolution_minutes"])
    if now < start:
        return
    known_kwh = await latest_state_of_charge(tx, now)
    if known_kwh is None:
        return
    expected_kwh = plan["soc_kwh"][min((now - start) // step, len(plan["soc_kwh"]) - 1)]
    tolerated_kwh = TOLERATED_SHARE * community.total_storage_capacity_kwh
    tolerated_kwh += community.max_storage_power_kw * (step / timedelta(hours=1))
    if abs(known_kwh - expected_kwh) > tolerated_kwh:
        raise Conflict(
            f"the storage holds {known_kwh:.6g} kWh where this plan expects about {expected_kwh:.6g}; make a new one",
            known_kwh=known_kwh,
            expected_kwh=expected_kwh,
        )
