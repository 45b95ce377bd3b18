"""How a community has done."""

from typing import Annotated

from fastapi import Query

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.kpis import KpiAnswer, KpiQuery
from digital_twin.services.access import Permission

router = twin_router("optimization")


@router.get("/communities/{community_id}/kpis", **requires(Permission.SCHEDULES_READ))
async def read_kpis(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[KpiQuery, Query()]
) -> KpiAnswer:
    """What a community used of its own sun in a time, what its energy cost, and what its storage has earned of what
    the best plan would have."""
    return KpiAnswer.model_validate(await twin.kpis.kpis(grant, query.to_domain()))
