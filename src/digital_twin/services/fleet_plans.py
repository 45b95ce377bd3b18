"""Members' plans read: some of all members, or a member's own."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from digital_twin.domain.errors import NotAllowed, NotFound
from digital_twin.services.access import Grant
from digital_twin.services.fleet_document import KIND
from digital_twin.services.ports import KEPT_MEMBER_PLANS, MemberPlan, Store, StoredResult

MEMBERS_A_SPAN = 200
"""So many are read at a time where all are wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class MemberPlanReport:
    """One member's plan and the result that it is part of."""

    result: StoredResult
    plan: MemberPlan


class FleetPlanService:
    """Use cases around members' plans."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, grant: Grant, result_id: str, *, after: str | None, limit: int
    ) -> tuple[StoredResult, list[MemberPlan]]:
        """Some members' plans by member id. Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            result = await tx.results.get(result_id, (KIND,))
            plans = await tx.member_plans.page(result_id, after=after, limit=limit)
        if not plans and after is None:
            raise NotFound(
                f"the newest {KEPT_MEMBER_PLANS} results keep the plans of their members, {result_id} is older"
            )
        return result, plans

    async def spans(self, grant: Grant, result_id: str) -> AsyncGenerator[tuple[StoredResult, list[MemberPlan]], None]:
        """All members' plans, so many at a time. Raises NotFound before the first."""
        after: str | None = None
        while True:
            result, plans = await self.page(grant, result_id, after=after, limit=MEMBERS_A_SPAN)
            yield result, plans
            if len(plans) < MEMBERS_A_SPAN:
                return
            after = plans[-1].member_id

    async def of_member(self, grant: Grant, member_id: str, result_id: str | None) -> MemberPlanReport:
        """One member's plan, of this result or of the newest; a member sees their own alone.

        Raises:
            NotAllowed: a member asks about another.
            NotFound: there is no plan for the member.
        """
        if grant.member_id not in (None, member_id):
            raise NotAllowed("a member may see their own plan, not those of others")
        async with self._store.community(str(grant.community_id)) as tx:
            if result_id is None:
                newest = await tx.member_plans.newest(member_id)
            else:
                found = await tx.member_plans.of_member(result_id, member_id)
                newest = None if found is None else (result_id, found)
            if newest is None:
                raise NotFound("there is no plan for this member; an operator makes one with level: member")
            return MemberPlanReport(await tx.results.get(newest[0], (KIND,)), newest[1])
