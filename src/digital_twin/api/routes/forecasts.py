"""Forecasts."""

from fastapi import Request, Response

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import accepted
from digital_twin.api.schemas.forecasts import (
    DriftAnswer,
    ForecastAnswer,
    ForecastBody,
    ModelAnswer,
    ModelList,
    TrainedVersionAnswer,
    TrainingBody,
)
from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.services.access import Permission

router = twin_router("forecasting")


@router.post(
    "/communities/{community_id}/forecasting/generate",
    response_model_exclude_none=True,
    **requires(Permission.FORECASTS_READ),
)
async def generate_forecast(community_id: str, body: ForecastBody, twin: TwinDep, grant: GrantDep) -> ForecastAnswer:
    """Forecast load, generation and net load with their uncertainty; without data from documented priors."""
    return ForecastAnswer.model_validate(await twin.forecasts.generate(grant, body.to_domain()))


@router.post("/communities/{community_id}/forecasting/train", status_code=202, **requires(Permission.FORECASTS_RUN))
async def train_forecasting_models(
    community_id: str, body: TrainingBody, twin: TwinDep, grant: GrantDep, request: Request, response: Response
) -> RunAnswer:
    """Train models on the community's readings and judge them on two weeks that they did not learn from."""
    run = await twin.models.train(grant, body.to_domain())
    return await accepted(twin, run, request, response)


@router.get("/communities/{community_id}/forecasting/models", **requires(Permission.FORECASTS_READ))
async def list_forecasting_models(community_id: str, twin: TwinDep, grant: GrantDep) -> ModelList:
    """The models that `model` may name; what was trained: when, on what, and how good it was; whether it still is."""
    registered, trained = await twin.models.known(grant)
    drift = await twin.accuracy.drift(grant)
    return ModelList(
        models=[
            ModelAnswer(
                name=one.name,
                variables=list(one.variables),
                needs=one.needs,
                reference=one.reference,
                learns=one.learns,
            )
            for one in registered
        ],
        trained=[TrainedVersionAnswer.from_version(one) for one in trained],
        drift={variable: DriftAnswer.model_validate(told) for variable, told in drift.items()},
    )
