"""Load patterns."""

from typing import Annotated

from fastapi import Query

from digital_twin.api.cursors import from_numbered_cursor, to_cursor
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.patterns import PatternQueryBody, PatternsAnswer
from digital_twin.services.access import Permission
from digital_twin.services.patterns import PatternQuery

router = twin_router("forecasting")


@router.get("/communities/{community_id}/forecasting/patterns", **requires(Permission.READINGS_READ))
async def read_patterns(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[PatternQueryBody, Query()]
) -> PatternsAnswer:
    """What is typical of homes and days: shapes with names, what homes seem to have, and days unlike others.

    Without `member_id` of the community as a whole and of all its members beside each other; with it of that one. A
    member sees their own alone. Pages are of one ranking when `as_of` lies in the past.
    """
    report = await twin.patterns.report(grant, PatternQuery(query.days, query.member_id, query.as_of))
    first = from_numbered_cursor(query.cursor)
    answer = PatternsAnswer.from_report(report, first=first, limit=query.limit)
    if answer.members is not None and first + query.limit < answer.members.count:
        answer.next = to_cursor(str(first + query.limit))
    return answer
