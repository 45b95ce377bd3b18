"""Forecasts."""

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.forecasts import ForecastAnswer, ForecastBody, ModelAnswer, ModelList
from digital_twin.services.access import Permission

router = twin_router("forecasting")


@router.post(
    "/communities/{community_id}/forecasting/generate",
    response_model_exclude_none=True,
    **requires(Permission.FORECASTS_RUN),
)
async def generate_forecast(community_id: str, body: ForecastBody, twin: TwinDep, grant: GrantDep) -> ForecastAnswer:
    """Forecast load, generation and net load with their uncertainty; without data from documented priors."""
    return ForecastAnswer.model_validate(await twin.forecasts.generate(grant, body.to_domain()))


@router.get("/communities/{community_id}/forecasting/models", **requires(Permission.FORECASTS_READ))
async def list_forecasting_models(community_id: str, twin: TwinDep, grant: GrantDep) -> ModelList:
    """The models that `model` may name."""
    return ModelList(
        models=[
            ModelAnswer(name=one.name, variables=list(one.variables), needs=one.needs, reference=one.reference)
            for one in twin.forecasts.models()
        ]
    )
