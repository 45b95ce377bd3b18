"""Cost against another aim."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.model import Answer, Instant, InvalidValue, Provenance
from digital_twin.api.schemas.schedules import DispatchBody
from digital_twin.services.trade_offs import TradeOffRequest


class TradeOffBody(DispatchBody):
    """What to plan, as for a dispatch, and what to trade its cost against."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"against": "emissions", "points": 5, "horizon_hours": 24, "start_time": "2026-03-02T00:00:00Z"}
            ]
        }
    )

    against: Literal["emissions", "self_sufficiency", "peak"]
    points: Annotated[int, Field(ge=2, le=50)] = 12

    @model_validator(mode="after")
    def _no_other_aim(self) -> Self:
        if self.objective is not None or self.weights is not None or self.risk is not None:
            raise InvalidValue("a trade-off sets the aim itself; leave objective, weights and risk out")
        if self.level == "member":
            raise InvalidValue("a trade-off is made at the level of the community")
        return self

    def to_request(self) -> TradeOffRequest:
        return TradeOffRequest(self.to_domain(), self.against, self.points)


class TradeOffPointAnswer(Answer):
    """The figures of one plan, and what one unit less of the measure would cost there."""

    number: int
    measure: float
    price_per_unit: float | None = None
    cost: float
    emissions_kg: float
    peak_kw: float
    self_consumption: float
    self_sufficiency: float


class TradeOffAnswer(Answer):
    """Plans from the cheapest to the best in the other measure; none is worse than another in both."""

    result_id: str
    kind: Literal["pareto"]
    against: str
    unit: Literal["kg", "kWh", "kW"] = Field(description="Of the measure; kWh: energy taken from the grid")
    start: Instant
    resolution_minutes: int
    points: list[TradeOffPointAnswer]
    provenance: Provenance
