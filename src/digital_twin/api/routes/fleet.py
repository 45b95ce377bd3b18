"""Plans at the level of members: of each, in pages and tables, and a member's own."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from digital_twin.api.accept import preferred
from digital_twin.api.cursors import from_cursor, to_cursor
from digital_twin.api.plan_formats import PLAN_TABLES, Span, written_plans
from digital_twin.api.reading_formats import CSV, JSON
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.fleet import MemberPlanPage, MemberPlanQuery, OwnPlanAnswer, OwnPlanQuery
from digital_twin.api.schemas.model import is_uuid
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission

router = twin_router("optimization")

_BINARY = {"type": "string", "contentEncoding": "base64"}


@router.get(
    "/communities/{community_id}/optimization/results/{result_id}/members",
    response_model=MemberPlanPage,
    responses={
        200: {"content": {kind: {"schema": {"type": "string"} if kind == CSV else _BINARY} for kind in PLAN_TABLES}}
    },
    **requires(Permission.SCHEDULES_READ),
)
async def list_member_plans(
    community_id: str,
    result_id: str,
    request: Request,
    twin: TwinDep,
    grant: GrantDep,
    query: Annotated[MemberPlanQuery, Query()],
) -> MemberPlanPage | Response:
    """What each member is planned to do, by member id; by Accept as CSV, Arrow or Parquet of all of them."""
    if not is_uuid(result_id):
        raise NotFound("there is no result of this id")
    media_type = preferred(request.headers.get("accept"), (JSON, *PLAN_TABLES))
    if media_type in PLAN_TABLES:
        spans = twin.fleet_plans.spans(grant, result_id)
        first = await anext(spans)  # what is wrong with the question is answered as a problem
        return StreamingResponse(written_plans(_with_first(first, spans), media_type), media_type=media_type)
    result, plans = await twin.fleet_plans.page(grant, result_id, after=from_cursor(query.cursor), limit=query.limit)
    full = len(plans) == query.limit
    return MemberPlanPage.from_plans(result, plans, to_cursor(plans[-1].member_id) if full else None)


@router.get("/communities/{community_id}/members/{member_id}/plan", **requires(Permission.READINGS_READ))
async def get_member_plan(
    community_id: str, member_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[OwnPlanQuery, Query()]
) -> OwnPlanAnswer:
    """A member's plan, the newest unless a result is named; who is bound to a member sees that one's alone."""
    if query.result_id is not None and not is_uuid(query.result_id):
        raise NotFound("there is no result of this id")
    return OwnPlanAnswer.from_report(await twin.fleet_plans.of_member(grant, member_id, query.result_id))


async def _with_first(first: Span, others: AsyncGenerator[Span, None]) -> AsyncGenerator[Span, None]:
    async with aclosing(others):
        yield first
        async for span in others:
            yield span
