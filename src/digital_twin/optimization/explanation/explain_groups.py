"""Why a plan for members, or one under risk, is as it is."""

from dataclasses import dataclass

from digital_twin.optimization.explanation.group_wording import (
    community_limit_text,
    hedging_text,
    member_limit_text,
    prices_text,
    risk_limit_text,
    tail_text,
)
from digital_twin.optimization.explanation.member_values import (
    CommunityLimit,
    CommunityUse,
    MemberLimit,
    community_limits,
    member_limits,
)
from digital_twin.optimization.explanation.reasons import Action, storage_uses
from digital_twin.optimization.explanation.risk_values import Hedging, RiskLimitValue, Tail, risk_values
from digital_twin.optimization.explanation.wording import Wording, action_text
from digital_twin.optimization.member_plan import MembersQuestion
from digital_twin.optimization.plan import Powers
from digital_twin.optimization.stochastic.plan import StochasticProblem

AS_LONG_AS_PRICES_STAY = "what more of a limit saves is told for a little more, at the prices of this plan"
OUT_OF_TIME = "the time was over before every limit was looked at"


@dataclass(frozen=True, slots=True)
class MembersExplanation:
    """Numbers, each with its sentence."""

    unit: str
    limits: tuple[tuple[CommunityLimit, str], ...]
    member_limits: tuple[tuple[MemberLimit, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RiskExplanation:
    """Numbers, each with its sentence."""

    unit: str
    tail: tuple[Tail, str]
    hedging: tuple[Hedging, str] | None
    limits: tuple[tuple[RiskLimitValue, str], ...]
    actions: tuple[tuple[Action, str], ...]
    notes: tuple[str, ...]


def explain_members(question: MembersQuestion, use: CommunityUse, wording: Wording) -> MembersExplanation:
    """Of the plan that uses the connection like this."""
    fleet, count = question.fleet, question.members
    return MembersExplanation(
        wording.unit,
        tuple((one, community_limit_text(one, wording)) for one in community_limits(fleet, use)),
        tuple((one, member_limit_text(one, count, wording)) for one in member_limits(fleet, use.value_per_kwh, count)),
        (prices_text(use.value_per_kwh, wording), AS_LONG_AS_PRICES_STAY),
    )


def explain_risk(
    problem: StochasticProblem, powers: Powers, wording: Wording, *, time_limit_s: float
) -> RiskExplanation:
    """Of the plan with these powers."""
    found = risk_values(problem, powers, time_limit_s=time_limit_s)
    tail, hedging = found.tail, found.hedging
    return RiskExplanation(
        wording.unit,
        (tail, tail_text(tail, problem.scenarios.count, wording)),
        None if hedging is None else (hedging, hedging_text(hedging, tail, wording)),
        tuple((one, risk_limit_text(one, tail, wording)) for one in found.limits),
        tuple((one, action_text(one, wording)) for one in storage_uses(problem.expected, powers)),
        () if found.is_complete else (OUT_OF_TIME,),
    )
