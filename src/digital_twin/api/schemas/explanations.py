"""Why a plan is as it is."""

from typing import Literal

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import Answer, Body, Instant


class SideAnswer(Answer):
    """What each unit in one direction changes the objective by, and for how many units at least that holds."""

    is_possible: bool
    objective_per_unit: float | None = Field(
        default=None, description="Below 0 it betters the plan; missing where the plan would need other modes at once"
    )
    holds_for: float | None = None


class LimitAnswer(Answer):
    """A limit that holds the plan back; more and less of it differ where the plan is degenerate."""

    limit: str
    unit: str
    value: float
    intervals: int
    first_interval: Instant | None
    more: SideAnswer
    less: SideAnswer
    text: str


class ActionAnswer(Answer):
    """What is done in a stretch of intervals, at which price, and what the energy is worth otherwise."""

    device_id: str | None = Field(default=None, description="Missing: the community's storage or generation")
    action: Literal["charges", "discharges", "takes", "curtails"]
    start: Instant
    end: Instant
    energy_kwh: float
    price_per_kwh: float | None = None
    worth_per_kwh: float | None = None
    is_full_power: bool
    text: str


class ExplanationAnswer(Answer):
    """The limits that matter, the one worth most first, and the actions in the order of time."""

    result_id: str
    objective: str
    unit: str = Field(description="Of the objective")
    limits: list[LimitAnswer]
    actions: list[ActionAnswer]
    notes: list[str]


class ModelQuery(Body):
    """In which form the model is written."""

    model_config = ConfigDict(strict=False, extra="forbid")

    format: Literal["lp", "mps"] = "lp"
