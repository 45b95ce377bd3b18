"""Forecast requests and answers."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.model import Answer, Body, Instant, InvalidValue, Provenance
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.services.forecasts import ForecastRequest

MAX_HORIZON_HOURS = 24 * 35
Variable = Literal["load_kw", "pv_kw", "net_load_kw"]

GUIDE_FORECAST: dict[str, Any] = {
    "start_time": "2026-03-02T00:00:00Z",
    "end_time": "2026-03-03T00:00:00Z",
    "horizon_hours": 24,
    "confidence_level": 0.95,
    "include_uncertainty": True,
}


class ForecastBody(Body):
    """What to forecast: from `start_time` until `end_time` or for `horizon_hours`."""

    model_config = ConfigDict(json_schema_extra={"examples": [GUIDE_FORECAST]})

    start_time: Instant
    end_time: Instant | None = None
    horizon_hours: Annotated[float, Field(gt=0, le=MAX_HORIZON_HOURS)] | None = None
    confidence_level: Annotated[float, Field(ge=0.5, le=0.99)] = 0.9
    include_uncertainty: bool = True
    variables: Annotated[list[Variable], Field(min_length=1, max_length=3)] = Field(
        default_factory=lambda: ["load_kw", "pv_kw", "net_load_kw"]
    )
    resolution_minutes: Literal[15, 30, 60] = 15
    model: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]+$")] = "auto"
    as_of: Instant | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        try:
            self.grid()
        except InvalidInput as error:
            raise InvalidValue(error.message.partition(", got")[0]) from error
        return self

    def grid(self) -> TimeGrid:
        """Raises InvalidInput without an end, or with two that disagree."""
        minutes = None if self.horizon_hours is None else self.horizon_hours * 60
        if self.end_time is not None:
            grid = TimeGrid.spanning(self.start_time, self.end_time, self.resolution_minutes)
            if minutes is not None and minutes != grid.steps * grid.step_minutes:
                raise InvalidInput("end_time and horizon_hours disagree; give one of them")
            if grid.hours > MAX_HORIZON_HOURS:
                raise InvalidInput(f"a forecast reaches at most {MAX_HORIZON_HOURS} hours")
            return grid
        if minutes is None:
            raise InvalidInput("give end_time or horizon_hours")
        if minutes % self.resolution_minutes:
            raise InvalidInput("horizon_hours must be a whole number of intervals of resolution_minutes")
        return TimeGrid(self.start_time, int(minutes // self.resolution_minutes), self.resolution_minutes)

    def to_domain(self) -> ForecastRequest:
        return ForecastRequest(
            self.grid(),
            tuple(dict.fromkeys(self.variables)),
            self.confidence_level,
            self.include_uncertainty,
            self.model,
            self.as_of,
        )


class ForecastVariable(Answer):
    """One variable: its mean and, unless declined, its quantiles and interval."""

    mean: list[float]
    quantiles: dict[str, list[float]] | None = None
    lower: list[float] | None = None
    upper: list[float] | None = None


class ForecastAnswer(Answer):
    """Forecasts issued at one instant from what was known then."""

    issued_at: Instant
    as_of: Instant
    start: Instant
    resolution_minutes: int
    variables: dict[str, ForecastVariable]
    confidence_level: float
    models: dict[str, str]
    provenance: Provenance


class ModelAnswer(Answer):
    """A forecasting model."""

    name: str
    variables: list[str]
    needs: str
    reference: str


class ModelList(Answer):
    """Registered models; `auto` chooses among them by variable and history."""

    models: list[ModelAnswer]
