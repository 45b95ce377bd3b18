"""Forecast requests and answers."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.model import Answer, Body, Instant, InvalidValue, Provenance
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.services.forecasts import ForecastRequest
from digital_twin.services.models import TrainingRequest
from digital_twin.services.ports import TrainedVersion

MAX_HORIZON_HOURS = 24 * 35
Variable = Literal["load_kw", "pv_kw", "net_load_kw"]
ModelName = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]+$")]

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
    model: ModelName = "auto"
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


TRAIN_LOAD: dict[str, Any] = {"variables": ["load_kw"]}


class TrainingBody(Body):
    """What to train: without names the models that `auto` takes, for every variable with enough readings."""

    model_config = ConfigDict(json_schema_extra={"examples": [TRAIN_LOAD]})

    variables: Annotated[list[Variable], Field(min_length=1, max_length=3)] | None = None
    models: Annotated[list[ModelName], Field(min_length=1, max_length=32)] | None = None
    as_of: Instant | None = None

    def to_domain(self) -> TrainingRequest:
        return TrainingRequest(
            None if self.variables is None else tuple(dict.fromkeys(self.variables)),
            None if self.models is None else tuple(dict.fromkeys(self.models)),
            self.as_of,
        )


class ModelAnswer(Answer):
    """A forecasting model."""

    name: str
    variables: list[str]
    needs: str
    reference: str
    learns: bool = Field(description="Whether it can be trained")


class ScoreAnswer(Answer):
    """Over the days held out, of forecasts for the day ahead made with the weather as it was foreseen."""

    pinball_loss_kw: float = Field(description="Mean over the intervals and the quantiles from 5 to 95 %")
    rmse_kw: float = Field(description="Root mean square error of the mean")
    coverage_90: float | None = Field(
        description="Share of the values inside the 90 % interval; null where none could be outside, as PV at night"
    )


class ScoresAnswer(Answer):
    """How good a model was on the last days before `as_of`, fitted on what came before each of two weeks."""

    start: Instant
    end: Instant
    days: int = Field(description="Days with readings")
    model: ScoreAnswer
    seasonal_naive: ScoreAnswer


class MemberAnswer(Answer):
    """One of the models that an ensemble averages."""

    model: str = Field(examples=["ridge"])
    weight_mean: float = Field(description="Over parts of the day and groups; of all members they add up to 1")
    weights: dict[str, dict[str, float]] = Field(
        description="By part of the day, then by group of quantiles; of all members they add up to 1 in each",
        examples=[{"00-08": {"low": 0.31, "middle": 0.28, "high": 0.35}}],
    )
    loss_relative_to_best: float | None = Field(
        description="Mean pinball loss over the days judged, 1 for the member with the least; null while none is known"
    )


class EnsembleAnswer(Answer):
    """What the members of an ensemble are worth, told by days that they did not learn from."""

    members: list[MemberAnswer]
    parts_of_day: list[str] = Field(description="Local hours", examples=[["00-08", "08-16", "16-24"]])
    groups: list[str] = Field(
        description="Of quantiles: low up to 20 %, high from 80 % on, and the middle",
        examples=[["low", "middle", "high"]],
    )
    days: int = Field(description="Days judged")
    last_day: date = Field(description="The latest of them, local")
    left_out: list[str] = Field(
        description="Models that are no members, each with the reason",
        examples=[["prophet was left out: prophet needs 21 days of readings, found 20.0"]],
    )


class TrainedVersionAnswer(Answer):
    """A model as it was trained for a variable; a forecast by `auto` is made with it for a week after `as_of`."""

    variable: str
    model: str
    version: int
    run_id: str
    trained_at: Instant
    as_of: Instant
    data_start: Instant
    data_end: Instant
    data_sha256: str
    resolution_minutes: int
    code_version: str
    sha256: str
    scores: ScoresAnswer
    taught_until: Instant | None = Field(
        description="What was known until then taught it what members and intervals are worth; null: only as trained"
    )
    ensemble: EnsembleAnswer | None = Field(description="As of the latest lesson; null for a model of one piece")

    @classmethod
    def from_version(cls, trained: TrainedVersion) -> "TrainedVersionAnswer":
        return cls.model_validate({name: getattr(trained, name) for name in cls.model_fields})


class DriftAnswer(Answer):
    """Whether the forecasts of a variable have become worse; losses are shares of the seasonal naive's."""

    is_degraded: bool
    degraded_since: Instant | None
    counted_from: Instant | None = Field(description="Days before do not count: there was an alarm, or it is long ago")
    days: int
    relative_loss: float | None = Field(description="Since they became worse, or of all days that count")
    relative_loss_before: float | None = Field(description="Before they became worse")
    evidence: float = Field(description="Of a change to the worse; it is told once there is as much as needed")
    evidence_needed: float = Field(description="Also the days that pass on average at least before a false alarm")


class ModelList(Answer):
    """Registered models, among which `auto` chooses, their trained versions, and how forecasts fare in service."""

    models: list[ModelAnswer]
    trained: list[TrainedVersionAnswer] = Field(description="By variable and model, the newest version first")
    drift: dict[str, DriftAnswer] = Field(description="By variable, once forecasts of it could be judged")
