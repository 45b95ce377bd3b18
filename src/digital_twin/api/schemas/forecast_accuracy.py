"""How good issued forecasts were, as it is asked for and answered."""

from datetime import date

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.forecasts import Variable
from digital_twin.api.schemas.model import Answer, Body, Instant
from digital_twin.services.forecast_accuracy import AccuracyRequest

SKILL = (
    "Share of the seasonal naive's loss that is saved, both issued at the same midnight: 0 is no better, 1 is perfect"
)
NMAE = "Mean absolute error of the mean as a share of the mean of what happened"


class AccuracyQuery(Body):
    """Which issued forecasts: of the local days that begin in [start, end)."""

    model_config = ConfigDict(strict=False, extra="forbid")

    start: Instant | None = Field(default=None, description="Four weeks before `end` unless told")
    end: Instant | None = Field(default=None, description="Now unless told")
    variable: Variable | None = Field(default=None, description="All that are metered unless told")

    def to_domain(self) -> AccuracyRequest:
        return AccuracyRequest(self.start, self.end, self.variable)


class AccuracyByDay(Answer):
    """Each local day with a forecast; null where less than nine tenths of its readings are known."""

    day: list[date]
    pinball_loss_kw: list[float | None]
    naive_pinball_loss_kw: list[float | None]
    skill: list[float | None]
    nmae: list[float | None]
    coverage_50: list[float | None]
    coverage_80: list[float | None]
    coverage_90: list[float | None]


class VariableAccuracy(Answer):
    """Of one variable over all days that are known; null where nothing is."""

    days: int = Field(description="Days with a forecast and at least nine tenths of their readings")
    pinball_loss_kw: float | None = Field(description="Mean over the intervals and the quantiles from 5 to 95 %")
    naive_pinball_loss_kw: float | None
    skill: float | None = Field(description=SKILL)
    nmae: float | None = Field(description=NMAE)
    coverage_50: float | None = Field(description="Share of the values inside the 50 % interval")
    coverage_80: float | None
    coverage_90: float | None
    by_day: AccuracyByDay


class AccuracyAnswer(Answer):
    """How good the forecasts were that were issued at local midnights."""

    start: Instant
    end: Instant
    timezone: str
    variables: dict[str, VariableAccuracy] = Field(description="Those that a forecast was issued for")


class IssuedAnswer(Answer):
    """What was said of a local day when it began, and what happened; null where that is not known."""

    variable: str
    day: date
    issued_at: Instant
    model: str
    start: Instant
    resolution_minutes: int
    mean: list[float]
    quantiles: dict[str, list[float]]
    actual: list[float | None]


class IssuedList(Answer):
    """Issued forecasts beside what happened, by variable and day."""

    start: Instant
    end: Instant
    timezone: str
    forecasts: list[IssuedAnswer]
