"""Scenarios: asked for as Runs, read as results."""

from fastapi import Request, Response

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import ACCEPTED, accepted
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.api.schemas.simulations import RunMultipleBody, RunScenarioBody, ScenarioAnswer, ScenariosAnswer
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission
from digital_twin.services.simulations import MANY

router = twin_router("simulation")

_RUN = requires(Permission.SIMULATIONS_RUN)


@router.post("/communities/{community_id}/simulation/run-scenario", status_code=202, responses=ACCEPTED, **_RUN)
async def run_scenario(
    community_id: str, body: RunScenarioBody, request: Request, response: Response, twin: TwinDep, grant: GrantDep
) -> RunAnswer:
    """Simulate the community as it is and as it would be, on the same drawn years."""
    return await accepted(twin, await twin.simulations.submit(grant, body.to_domain()), request, response)


@router.post("/communities/{community_id}/simulation/run-multiple", status_code=202, responses=ACCEPTED, **_RUN)
async def run_multiple(
    community_id: str, body: RunMultipleBody, request: Request, response: Response, twin: TwinDep, grant: GrantDep
) -> RunAnswer:
    """Compare scenarios on common random numbers."""
    return await accepted(twin, await twin.simulations.submit(grant, body.to_domain()), request, response)


@router.get("/communities/{community_id}/simulation/results/{result_id}", **requires(Permission.SIMULATIONS_READ))
async def get_simulation(
    community_id: str, result_id: str, twin: TwinDep, grant: GrantDep
) -> ScenarioAnswer | ScenariosAnswer:
    """What scenarios came to; the id is the Run's."""
    if not is_uuid(result_id):
        raise NotFound("there is no simulation of this id")
    stored = await twin.simulations.result(grant, result_id)
    answer = ScenariosAnswer if stored.kind == MANY else ScenarioAnswer
    return answer.model_validate(stored.document)
