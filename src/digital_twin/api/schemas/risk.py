"""Risk in a dispatch: how it is weighed, and what is told of it."""

from typing import Annotated

from pydantic import Field

from digital_twin.api.schemas.model import Answer, Body
from digital_twin.services.planned_risk import RiskRequest

Chance = Annotated[float, Field(ge=0, le=1)]


class RiskBody(Body):
    """Plan for sample paths of the forecast: (1 - cvar_weight) x mean cost + cvar_weight x mean of the worst costs."""

    cvar_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    confidence: Annotated[float, Field(ge=0, le=0.99)] = Field(
        default=0.9, description="The worst costs are those of probability 1 - confidence"
    )
    scenarios: Annotated[int, Field(ge=2, le=500)] = 100
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    def to_domain(self) -> RiskRequest:
        return RiskRequest(self.cvar_weight, self.confidence, self.scenarios, self.seed)


class ViolationChance(Answer):
    """The probability that a limit of the connection is passed in some interval."""

    grid_import_limit_kw: Chance
    grid_export_limit_kw: Chance
    either: Chance


class RiskAnswer(Answer):
    """What the plan costs and risks over all scenarios; costs include energy beyond the limits at its price."""

    cvar_weight: float
    confidence: float
    scenarios: int
    seed: int
    expected_cost: float
    cvar: float = Field(description="Conditional value at risk: the mean of the worst costs")
    cost_quantiles: dict[str, float]
    import_kw_quantiles: dict[str, list[float]]
    violation_chance: ViolationChance
    expected_beyond_limits_kwh: float
    expected_beyond_limits_cost: float
    beyond_limits_price_per_kwh: float
    value_of_planning_for_risk: float | None = Field(
        default=None, description="By how much the objective of a plan for the expected course alone lies above"
    )
