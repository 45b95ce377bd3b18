"""How good issued forecasts were."""

from typing import Annotated

from fastapi import Query

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.forecast_accuracy import AccuracyAnswer, AccuracyQuery, IssuedList
from digital_twin.services.access import Permission

router = twin_router("forecasting")


@router.get("/communities/{community_id}/forecasting/accuracy", **requires(Permission.FORECASTS_READ))
async def read_forecast_accuracy(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[AccuracyQuery, Query()]
) -> AccuracyAnswer:
    """How good the forecasts were that were issued each midnight, in all and by day, beside the seasonal naive."""
    return AccuracyAnswer.model_validate(await twin.accuracy.accuracy(grant, query.to_domain()))


@router.get("/communities/{community_id}/forecasting/issued", **requires(Permission.FORECASTS_READ))
async def list_issued_forecasts(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[AccuracyQuery, Query()]
) -> IssuedList:
    """The forecasts of up to 31 days as they were issued, each beside what happened."""
    return IssuedList.model_validate(await twin.accuracy.issued(grant, query.to_domain()))
