"""Predictions of the state as answers."""

from typing import Annotated

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_DIGITS, Answer, Body, Instant, Provenance
from digital_twin.macro_twin import ESTIMATED
from digital_twin.services.predictions import PredictedState

LONGEST_HOURS = 7 * 24


class PredictionQuery(Body):
    """How far ahead, and as of when."""

    model_config = ConfigDict(strict=False, extra="forbid")

    hours: Annotated[
        int, PLAIN_DIGITS, Field(ge=1, le=LONGEST_HOURS, description="Hours after now, or after as_of")
    ] = 24
    as_of: Instant | None = Field(default=None, description="Only what was known then; now without it")


class PredictedColumns(Answer):
    """One quantity: what is expected, the standard deviation of its error, and the band that holds 95 %."""

    mean: list[float]
    sd: list[float]
    lower: list[float]
    upper: list[float]


class PredictionAnswer(Answer):
    """The steps after the state, as they are expected from all that was read until then."""

    as_of: Instant
    observed_at: Instant | None = Field(description="End of the last interval with a reading; null before any")
    start: Instant = Field(description="Where the state ends, at most a week before as_of")
    resolution_minutes: int
    states: Annotated[
        dict[str, PredictedColumns],
        Field(description="demand_kw, pv_kw and net_load_kw of each interval, storage_soc_kwh at its start"),
    ]
    provenance: Provenance

    @classmethod
    def from_domain(cls, predicted: PredictedState) -> "PredictionAnswer":
        parts = {
            "mean": predicted.mean,
            "sd": predicted.deviation,
            "lower": predicted.lower,
            "upper": predicted.upper,
        }
        return cls(
            as_of=predicted.as_of,
            observed_at=predicted.observed_at,
            start=predicted.grid.start,
            resolution_minutes=predicted.grid.step_minutes,
            states={
                name: PredictedColumns(**{part: values[:, index].tolist() for part, values in parts.items()})
                for index, name in enumerate(ESTIMATED)
            },
            provenance=Provenance.model_validate(predicted.provenance),
        )
