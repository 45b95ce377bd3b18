"""Backtests as they are asked for and answered."""

from datetime import date
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.forecasts import ModelName, Variable
from digital_twin.api.schemas.model import Answer, Body, Instant
from digital_twin.services.backtests import MOST_DAYS, BacktestRequest

BACKTEST_RIDGE: dict[str, Any] = {"variables": ["load_kw"], "models": ["ridge"], "days": 7, "refit_days": 7}


class BacktestBody(Body):
    """Which models to ask at past midnights; the seasonal naive is always asked beside them."""

    model_config = ConfigDict(json_schema_extra={"examples": [BACKTEST_RIDGE]})

    variables: Annotated[list[Variable], Field(min_length=1, max_length=3)] | None = None
    models: Annotated[list[ModelName], Field(min_length=1, max_length=32)]
    days: Annotated[int, Field(ge=2, le=MOST_DAYS, description="The last so many whole local days before `as_of`")] = 28
    refit_days: Annotated[
        int, Field(ge=1, le=MOST_DAYS, description="Each model is fitted anew every so many days")
    ] = 7
    as_of: Instant | None = None

    def to_domain(self) -> BacktestRequest:
        return BacktestRequest(
            tuple(dict.fromkeys(self.models)),
            None if self.variables is None else tuple(dict.fromkeys(self.variables)),
            self.days,
            self.refit_days,
            self.as_of,
        )


class RatioAnswer(Answer):
    """A ratio with its 95 % interval, from a bootstrap that draws whole days."""

    value: float
    low: float
    high: float


class BacktestScoreAnswer(Answer):
    """One model over the days with readings; null where nothing is known."""

    days: int
    pinball_loss_kw: float | None = Field(description="Mean over the intervals and the quantiles from 2.5 to 97.5 %")
    relative_loss: float | None = Field(description="The same as a share of the mean of what happened")
    coverage_80: float | None = Field(description="Share of the values inside the 80 % interval")
    coverage_90: float | None
    coverage_95: float | None
    naive_ratio: RatioAnswer | None = Field(
        description="Loss as a multiple of the seasonal naive's on the same days; better where all of it is below 1"
    )


class BacktestVariable(Answer):
    """Models by name, and the pinball loss of each in kW, null where it is not known."""

    models: dict[str, BacktestScoreAnswer]
    by_day: dict[str, list[date] | list[float | None]] = Field(description="The local days, and by model their losses")
    by_hour: dict[str, list[float | None]] = Field(
        description="By model, the mean loss of each of the 24 hours since the midnight that was asked at"
    )


class BacktestProvenance(Answer):
    """What the result rests on."""

    code_version: str
    data_sha256: dict[str, str]


class BacktestAnswer(Answer):
    """How models would have done, asked at each midnight with what was known then."""

    result_id: str
    as_of: Instant
    days: int
    refit_days: int
    variables: dict[str, BacktestVariable]
    provenance: BacktestProvenance
