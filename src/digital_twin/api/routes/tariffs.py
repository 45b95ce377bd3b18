"""Design of tariffs."""

from fastapi import Response

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.tariffs import TariffAnswer, TariffBody
from digital_twin.services.access import Permission

router = twin_router("optimization")


@router.post(
    "/communities/{community_id}/optimization/tariff",
    response_model_exclude_none=True,
    **requires(Permission.SCHEDULES_RUN),
)
async def design_tariff(
    community_id: str, body: TariffBody, twin: TwinDep, grant: GrantDep, response: Response
) -> TariffAnswer:
    """Prices that maximise welfare under an incentive budget; infeasible answers name the limits in conflict."""
    result = await twin.tariffs.design(grant, body.to_domain())
    response.headers["Location"] = f"/communities/{community_id}/optimization/results/{result.result_id}"
    return TariffAnswer.model_validate(result.document)
