"""How far readings can be trusted."""

from typing import Annotated

from fastapi import Query

from digital_twin.api.cursors import from_numbered_cursor, to_cursor
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.quality import MetersAnswer, QualityAnswer, QualityQueryBody, SeriesQualityAnswer
from digital_twin.services.access import Permission
from digital_twin.services.quality import QualityQuery

router = twin_router("readings")


@router.get("/communities/{community_id}/readings/quality", **requires(Permission.READINGS_READ))
async def read_quality(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[QualityQueryBody, Query()]
) -> QualityAnswer:
    """Gaps, a calendar of days, data age, and what is hard to believe: meters that hang, spikes, watts for kilowatts.

    With `member_id` or `asset_id` of that one alone; else of the community's own series, and an overview of all its
    meters, the worst first. Pages are of one ranking when `end` lies in the past.
    """
    names = tuple(dict.fromkeys(name.strip() for name in (query.series or "").split(",") if name.strip()))
    wanted = QualityQuery(names, query.start, query.end, query.member_id, query.asset_id, query.as_of)
    report = await twin.quality.report(grant, wanted)
    answer = QualityAnswer(
        as_of=report.now,
        series=[SeriesQualityAnswer.from_judged(one, report.now) for one in report.series],
        meters=None,
    )
    if report.meters is not None:
        first = from_numbered_cursor(query.cursor)
        answer.meters = MetersAnswer.from_domain(report.meters, report.now, first=first, limit=query.limit)
        after = first + query.limit
        answer.next = to_cursor(str(after)) if after < len(report.meters) else None
    return answer
