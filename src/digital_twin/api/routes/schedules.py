"""Dispatch plans and their results."""

from typing import Annotated

from fastapi import Query, Request, Response

from digital_twin.api.accept import preferred
from digital_twin.api.cursors import from_cursor, to_cursor
from digital_twin.api.result_csv import CSV, result_csv
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import ACCEPTED, accepted, prefers_a_run
from digital_twin.api.schemas.explanations import ExplanationAnswer, ModelQuery
from digital_twin.api.schemas.fleet import MemberScheduleAnswer
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.api.schemas.schedules import DispatchBody, ResultPage, ResultQuery, ScheduleAnswer, summary_of
from digital_twin.api.schemas.tariffs import TariffAnswer
from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.services.access import Permission
from digital_twin.services.ports import Run
from digital_twin.services.question_document import answer_of

PLAIN = "text/plain"

router = twin_router("optimization")


@router.post(
    "/communities/{community_id}/optimization/dispatch",
    response_model_exclude_none=True,
    responses=ACCEPTED,
    **requires(Permission.SCHEDULES_RUN),
)
async def dispatch(
    community_id: str, body: DispatchBody, request: Request, response: Response, twin: TwinDep, grant: GrantDep
) -> ScheduleAnswer | MemberScheduleAnswer | RunAnswer:
    """Plan storage, curtailment and grid exchange; infeasible answers name the limits in the way.

    At `level: member` every member's own battery and vehicle is planned; more than a few hundred members, or
    `Prefer: respond-async`, make it a Run.
    """
    if body.level == "member":
        wanted = body.to_member_dispatch()
        made = await twin.fleet_schedules.dispatch(grant, wanted, as_run=prefers_a_run(request))
        if isinstance(made, Run):
            return await accepted(twin, made, request, response)
        response.headers["Location"] = f"/communities/{community_id}/optimization/results/{made.result_id}"
        return MemberScheduleAnswer.model_validate(made.document)
    result = await twin.schedules.dispatch(grant, body.to_domain())
    response.headers["Location"] = f"/communities/{community_id}/optimization/results/{result.result_id}"
    return ScheduleAnswer.model_validate(answer_of(result.document))


@router.get("/communities/{community_id}/optimization/results", **requires(Permission.SCHEDULES_READ))
async def list_results(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[ResultQuery, Query()]
) -> ResultPage:
    """Stored results, newest first."""
    before = from_cursor(query.cursor)
    if before is not None and not is_uuid(before):
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor")
    page = await twin.schedules.results(grant, kind=query.kind, before=before, limit=query.limit)
    full = len(page) == query.limit
    return ResultPage(
        results=[summary_of(stored) for stored in page],
        next=to_cursor(page[-1].result_id) if full else None,
    )


@router.get(
    "/communities/{community_id}/optimization/results/{result_id}",
    response_model=ScheduleAnswer | MemberScheduleAnswer | TariffAnswer,
    response_model_exclude_none=True,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}},
    **requires(Permission.SCHEDULES_READ),
)
async def get_result(
    community_id: str, result_id: str, request: Request, twin: TwinDep, grant: GrantDep
) -> ScheduleAnswer | MemberScheduleAnswer | TariffAnswer | Response:
    """One stored result, as it was answered; by Accept as CSV with a row for each interval."""
    if not is_uuid(result_id):
        raise NotFound("there is no result of this id")
    stored = await twin.schedules.result(grant, result_id)
    if preferred(request.headers.get("accept"), ("application/json", CSV)) == CSV:
        return Response(result_csv(stored.document), media_type=CSV)
    if stored.kind == "tariff":
        return TariffAnswer.model_validate(stored.document)
    if stored.kind == "member_dispatch":
        return MemberScheduleAnswer.model_validate(stored.document)
    return ScheduleAnswer.model_validate(answer_of(stored.document))


@router.get(
    "/communities/{community_id}/optimization/results/{result_id}/explanation",
    response_model_exclude_none=True,
    **requires(Permission.SCHEDULES_READ),
)
async def explain_result(community_id: str, result_id: str, twin: TwinDep, grant: GrantDep) -> ExplanationAnswer:
    """What the limits of a plan are worth on either side, and what it does when at which prices, also in words."""
    if not is_uuid(result_id):
        raise NotFound("there is no result of this id")
    return ExplanationAnswer.model_validate(await twin.kept_plans.explanation(grant, result_id))


@router.get(
    "/communities/{community_id}/optimization/results/{result_id}/model",
    response_model=None,
    responses={200: {"content": {PLAIN: {"schema": {"type": "string"}}}}},
    **requires(Permission.SCHEDULES_READ),
)
async def read_model(
    community_id: str, result_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[ModelQuery, Query()]
) -> Response:
    """The linear program whose optimum the plan is, as text that other solvers read."""
    if not is_uuid(result_id):
        raise NotFound("there is no result of this id")
    return Response(await twin.kept_plans.model(grant, result_id, query.format), media_type=PLAIN)
