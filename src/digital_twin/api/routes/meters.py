"""Meters: how each of them fares, and which would help the twin most."""

from typing import Annotated

from fastapi import Query

from digital_twin.api.cursors import from_numbered_cursor, to_cursor
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.meters import MetersQuery, StateMetersAnswer
from digital_twin.services.access import Permission

router = twin_router("state")


@router.get("/communities/{community_id}/state/meters", **requires(Permission.MEMBERS_READ))
async def read_state_meters(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[MetersQuery, Query()]
) -> StateMetersAnswer:
    """Which silent meters would make the twin surest, which are dead, refused or stuck since when, and how old each is.

    Not for members: it tells of single homes.
    """
    report, first = await twin.meters.report(grant), from_numbered_cursor(query.cursor)
    answer = StateMetersAnswer.from_domain(report, first=first, limit=query.limit)
    after = first + query.limit
    answer.next = to_cursor(str(after)) if after < len(report.meters) else None
    return answer
