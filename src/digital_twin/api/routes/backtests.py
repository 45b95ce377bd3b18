"""Backtests: asked for as Runs, read as results."""

from fastapi import Request, Response

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import ACCEPTED, accepted
from digital_twin.api.schemas.backtests import BacktestAnswer, BacktestBody
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission

router = twin_router("forecasting")


@router.post(
    "/communities/{community_id}/forecasting/backtest",
    status_code=202,
    responses=ACCEPTED,
    **requires(Permission.FORECASTS_RUN),
)
async def backtest_models(
    community_id: str, body: BacktestBody, request: Request, response: Response, twin: TwinDep, grant: GrantDep
) -> RunAnswer:
    """Ask models at the midnights of past days, fitted anew as it goes, and hold them against what happened."""
    return await accepted(twin, await twin.backtests.submit(grant, body.to_domain()), request, response)


@router.get("/communities/{community_id}/forecasting/backtest/{result_id}", **requires(Permission.FORECASTS_READ))
async def get_backtest(community_id: str, result_id: str, twin: TwinDep, grant: GrantDep) -> BacktestAnswer:
    """What a backtest came to; the id is the Run's."""
    if not is_uuid(result_id):
        raise NotFound("there is no backtest of this id")
    return BacktestAnswer.model_validate((await twin.backtests.result(grant, result_id)).document)
