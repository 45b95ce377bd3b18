"""What a plan means for each member, kept beside the result that tells of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PLAN_COLUMNS = ("load_kw", "pv_kw", "charge_kw", "discharge_kw", "soc_kwh", "curtailed_kw")
"""The rows of a member's powers; what is stored stands at the end of each interval."""

KEPT_MEMBER_PLANS = 30
"""So many results of a community keep the plans of their members: a month of one plan a day."""


@dataclass(frozen=True, slots=True, eq=False)
class MemberPlan:
    """One member's part of a plan; of several storages the sum."""

    member_id: str
    cost: float
    saved: float  # against the member's own self-consumption rule
    powers: NDArray[np.float32]  # (6, T) as PLAN_COLUMNS


class MemberPlans(Protocol):
    """Members' plans of the community that the transaction entered."""

    async def add(self, result_id: str, plans: Sequence[MemberPlan]) -> None:
        """Of a result that is stored already. Whoever is no member any more is left out, and old results' plans go."""
        ...

    async def page(self, result_id: str, *, after: str | None, limit: int) -> list[MemberPlan]:
        """By member id; `after` is the one that the last page ended with."""
        ...

    async def newest(self, member_id: str) -> tuple[str, MemberPlan] | None:
        """The member's plan of the newest result that has one, with the id of that result."""
        ...

    async def of_member(self, result_id: str, member_id: str) -> MemberPlan | None: ...
