"""The plan in force, for those who carry it out."""

from fastapi import Request, Response

from digital_twin.api.accept import preferred
from digital_twin.api.result_csv import CSV, result_csv
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.active_schedules import ActiveScheduleAnswer
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.schedules import ScheduleAnswer
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission
from digital_twin.services.active_schedules import ActiveSchedule, end_of

router = twin_router("optimization")


@router.post(
    "/communities/{community_id}/schedules/{result_id}/apply",
    response_model_exclude_none=True,
    **requires(Permission.SCHEDULES_RUN),
)
async def apply_schedule(community_id: str, result_id: str, twin: TwinDep, grant: GrantDep) -> ActiveScheduleAnswer:
    """Put a plan in force; needs a log-in of the last 15 minutes, and a plan that still fits."""
    if not is_uuid(result_id):
        raise NotFound("there is no result of this id")
    return _answer(await twin.active_schedules.apply(grant, result_id))


@router.get(
    "/communities/{community_id}/schedules/active",
    response_model=ActiveScheduleAnswer,
    response_model_exclude_none=True,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}},
    **requires(Permission.SCHEDULES_READ),
)
async def active_schedule(
    community_id: str, request: Request, twin: TwinDep, grant: GrantDep
) -> ActiveScheduleAnswer | Response:
    """The plan in force; by Accept as CSV with a row of set-points for each interval."""
    found = await twin.active_schedules.active(grant)
    if preferred(request.headers.get("accept"), ("application/json", CSV)) == CSV:
        return Response(result_csv(found.plan), media_type=CSV)
    return _answer(found)


@router.delete("/communities/{community_id}/schedules/active", status_code=204, **requires(Permission.SCHEDULES_RUN))
async def withdraw_schedule(community_id: str, twin: TwinDep, grant: GrantDep) -> None:
    """Let no plan be in force."""
    await twin.active_schedules.withdraw(grant)


def _answer(found: ActiveSchedule) -> ActiveScheduleAnswer:
    return ActiveScheduleAnswer(
        applied_at=found.applied_at,
        applied_by=found.applied_by,
        applied_by_name=found.applied_by_name,
        ends_at=end_of(found.plan),
        schedule=ScheduleAnswer.model_validate(found.plan),
    )
