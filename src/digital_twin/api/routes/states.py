"""States: what is happening."""

from typing import Annotated

from fastapi import Query

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.predictions import PredictionAnswer, PredictionQuery
from digital_twin.api.schemas.states import HistoryQuery, StateAnswer, StateHistoryAnswer, StateQuery
from digital_twin.services.access import Permission

router = twin_router("state")


@router.get("/communities/{community_id}/state", **requires(Permission.READINGS_READ))
async def read_state(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[StateQuery, Query()]
) -> StateAnswer:
    """Demand, generation, net load and storage with their errors, from all readings so far or those known `as_of`."""
    return StateAnswer.model_validate(await twin.states.state(grant, query.as_of))


@router.get("/communities/{community_id}/state/history", **requires(Permission.READINGS_READ))
async def read_state_history(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[HistoryQuery, Query()]
) -> StateHistoryAnswer:
    """The same for past intervals: as they were told last, or with hindsight by all readings of the span."""
    service = twin.hindsight if query.hindsight else twin.states
    return StateHistoryAnswer.from_track(await service.history(grant, query.start, query.end))


@router.get("/communities/{community_id}/state/prediction", **requires(Permission.READINGS_READ))
async def read_state_prediction(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[PredictionQuery, Query()]
) -> PredictionAnswer:
    """The same for the intervals ahead, up to a week, each with its 95 % band, from what is known or was `as_of`."""
    return PredictionAnswer.from_domain(await twin.predictions.predict(grant, query.hours, query.as_of))
