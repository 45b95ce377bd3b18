"""Trade-offs of cost against another aim, and the plan that is chosen."""

from typing import Annotated

from fastapi import Path, Response

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.schedules import ScheduleAnswer
from digital_twin.api.schemas.trade_offs import TradeOffAnswer, TradeOffBody
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission
from digital_twin.services.question_document import answer_of
from digital_twin.services.trade_off_document import PLAN

router = twin_router("optimization")


@router.post(
    "/communities/{community_id}/optimization/pareto",
    response_model_exclude_none=True,
    **requires(Permission.SCHEDULES_RUN),
)
async def trade_off(community_id: str, body: TradeOffBody, twin: TwinDep, grant: GrantDep) -> TradeOffAnswer:
    """Plans from the cheapest to the one with least emissions, grid energy or peak, none dominated by another."""
    document = answer_of((await twin.trade_offs.trade_off(grant, body.to_request())).document)
    points = [{name: value for name, value in point.items() if name != PLAN} for point in document["points"]]
    return TradeOffAnswer.model_validate(document | {"points": points})


@router.post(
    "/communities/{community_id}/optimization/pareto/{result_id}/points/{number}",
    response_model_exclude_none=True,
    **requires(Permission.SCHEDULES_RUN),
)
async def keep_point(
    community_id: str,
    result_id: str,
    number: Annotated[int, Path(ge=0, le=49)],
    twin: TwinDep,
    grant: GrantDep,
    response: Response,
) -> ScheduleAnswer:
    """Keep one point of a trade-off as a plan of its own."""
    if not is_uuid(result_id):
        raise NotFound("there is no result of this id")
    result = await twin.trade_offs.keep(grant, result_id, number)
    response.headers["Location"] = f"/communities/{community_id}/optimization/results/{result.result_id}"
    return ScheduleAnswer.model_validate(answer_of(result.document))
