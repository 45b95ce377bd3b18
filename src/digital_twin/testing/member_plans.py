"""Members' plans in memory."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from digital_twin.services.ports.member_plans import KEPT_MEMBER_PLANS, MemberPlan

PlanTable = dict[tuple[str, str], MemberPlan]
"""One community's, by result and member."""


class MemoryMemberPlans:
    """The port `MemberPlans`."""

    def __init__(self, table: PlanTable, members: Collection[str]) -> None:
        self._table = table
        self._members = members

    async def add(self, result_id: str, plans: Sequence[MemberPlan]) -> None:
        for plan in plans:
            if plan.member_id in self._members:
                self._table[result_id, plan.member_id] = replace(plan, powers=plan.powers.astype(np.float32))
        kept = sorted({result for result, _ in self._table})[-KEPT_MEMBER_PLANS:]
        for key in [key for key in self._table if key[0] not in kept]:
            del self._table[key]

    async def page(self, result_id: str, *, after: str | None, limit: int) -> list[MemberPlan]:
        found = sorted(member for result, member in self._table if result == result_id and member > (after or ""))
        return [self._table[result_id, member] for member in found[:limit]]

    async def newest(self, member_id: str) -> tuple[str, MemberPlan] | None:
        results = [result for result, member in self._table if member == member_id]
        return None if not results else (max(results), self._table[max(results), member_id])

    async def of_member(self, result_id: str, member_id: str) -> MemberPlan | None:
        return self._table.get((result_id, member_id))
