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
    mean_per_unit: float | None = Field(default=None, description="Under risk: what the mean cost changes by")
    tail_per_unit: float | None = Field(default=None, description="Under risk: what the worst costs change by")
    over: float | None = Field(default=None, description="Under risk: the plan was made anew for so many units")


class LimitAnswer(Answer):
    """A limit that holds the plan back; more and less of it differ where the plan is degenerate."""

    limit: str
    unit: str
    value: float
    intervals: int
    first_interval: Instant | None = None
    more: SideAnswer | None = Field(default=None, description="Missing where that side was not looked at")
    less: SideAnswer | None = None
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


class WorstScenario(Answer):
    """One of the scenarios that make the tail."""

    scenario: int
    cost: float


class TailAnswer(Answer):
    """The worst outcomes under risk, and how they differ from the mean of all."""

    share: float
    scenarios: list[WorstScenario]
    mean_cost: float
    more_load_kwh: float
    less_pv_kwh: float
    passing_limits: int
    text: str


class HedgingAnswer(Answer):
    """What this plan costs more on average than one that looks at the mean alone, and saves in the tail."""

    mean_cost: float
    tail_saving: float
    text: str


class RiskExplanationAnswer(Answer):
    """What only a plan under risk has to explain."""

    tail: TailAnswer
    hedging: HedgingAnswer | None = None


class ValuableMember(Answer):
    """One of those for whom more of a limit is worth most."""

    member_id: str
    objective_per_unit: float


class MemberLimitAnswer(Answer):
    """A limit of members' own that holds some of them back, and what one more for each of these changes."""

    limit: str
    unit: str
    members: int
    objective_per_unit: float = Field(description="Of one more for each of them together; below 0 it betters the plan")
    most_valuable: list[ValuableMember] = Field(description="Up to ten")
    text: str


class ExplanationAnswer(Answer):
    """The limits that matter, the one worth most first, and the actions in the order of time."""

    result_id: str
    objective: str
    unit: str = Field(description="Of the objective")
    limits: list[LimitAnswer]
    actions: list[ActionAnswer]
    risk: RiskExplanationAnswer | None = None
    members: list[MemberLimitAnswer] | None = Field(default=None, description="Of a plan at the level of members")
    notes: list[str]


class ModelQuery(Body):
    """In which form the model is written."""

    model_config = ConfigDict(strict=False, extra="forbid")

    format: Literal["lp", "mps"] = "lp"
