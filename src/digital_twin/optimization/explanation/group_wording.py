"""What explains a plan for members, or one under risk, in words."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.explanation.member_values import CommunityLimit, MemberLimit
from digital_twin.optimization.explanation.risk_values import Hedging, RiskLimitValue, Tail
from digital_twin.optimization.explanation.wording import Wording, amount, limit_name, money

_OF_MEMBERS = {
    "capacity_kwh": "The capacity of batteries and vehicles",
    "power_kw": "The power of batteries and vehicles",
    "import_fuse_kw": "What the fuse lets in",
    "export_fuse_kw": "What the fuse lets out",
}
_NO_MONEY = 0.005


def community_limit_text(limit: CommunityLimit, wording: Wording) -> str:
    """What one more kW of the community's connection saves."""
    return (
        f"The {limit_name(limit.limit)} of {amount(limit.value_kw)} kW holds the plan back "
        f"{wording.times(limit.intervals)}. 1 kW more would save {wording.sum_of(limit.worth_per_kw)} "
        f"{wording.per_horizon}."
    )


def member_limit_text(limit: MemberLimit, members: int, wording: Wording) -> str:
    """How many members it holds back, and what one more for each of these saves in all and for one at most."""
    most = wording.sum_of(float(np.nanmax(limit.worth)))
    return (
        f"{_OF_MEMBERS[limit.limit]} holds {limit.held_back:,} of {members:,} members back. 1 {limit.unit} more for "
        f"each of them would save {wording.sum_of(limit.total)} {wording.per_horizon}, at most {most} for one."
    )


def prices_text(value_per_kwh: Array, wording: Wording) -> str:
    """When energy is worth least and most inside the community."""
    low, high = int(np.argmin(value_per_kwh)), int(np.argmax(value_per_kwh))
    told = [f"{money(float(value_per_kwh[step]))} {wording.unit} at {wording.time(step)}" for step in (low, high)]
    if value_per_kwh[high] - value_per_kwh[low] < _NO_MONEY:
        return f"Inside the community a kWh is worth {told[0].split(' at ')[0]} at all times."
    return f"Inside the community a kWh is worth least, {told[0]}, and most, {told[1]}."


def tail_text(tail: Tail, scenarios: int, wording: Wording) -> str:
    """What the bad outcomes cost, and what they are made of."""
    count, unit = tail.scenarios.size, wording.unit
    costs = (
        f"{money(float(tail.cost[-1]))} to {money(float(tail.cost[0]))}" if count > 1 else money(float(tail.cost[0]))
    )
    start = (
        f"The worst {tail.share:.0%} of what may come are {count} of {scenarios} scenarios, which cost {costs} {unit} "
        f"where the mean of all is {money(tail.mean_cost)} {unit}."
    )
    load = f"demand is {amount(abs(tail.more_load_kwh))} kWh {'higher' if tail.more_load_kwh > 0 else 'lower'}"
    sun = f"the sun gives {amount(abs(tail.less_pv_kwh))} kWh {'less' if tail.less_pv_kwh > 0 else 'more'}"
    made_of = f"In them {load} and {sun} than on average."
    return f"{start} {made_of}{_passing(tail)}"


def _passing(tail: Tail) -> str:
    if not tail.passing_limits:
        return ""
    who = "All" if tail.passing_limits == tail.scenarios.size else f"{tail.passing_limits}"
    return f" {who} of them pass a limit of the connection."


def hedging_text(hedging: Hedging, tail: Tail, wording: Wording) -> str:
    """What looking at the worst costs and saves."""
    worst = f"the worst {tail.share:.0%}"
    if max(hedging.mean_cost, hedging.tail_saving) < _NO_MONEY:
        return f"A plan that looks at the mean alone would be as good in {worst}: being careful costs nothing."
    return (
        f"A plan that looks at the mean alone would cost {wording.sum_of(hedging.mean_cost)} {wording.per_horizon}"
        f" less on average, and {wording.sum_of(hedging.tail_saving)} more in {worst}."
    )


def risk_limit_text(value: RiskLimitValue, tail: Tail, wording: Wording) -> str:
    """What a round step of a limit changes on average and in the worst outcomes."""
    step = f"{amount(abs(value.change))} {value.unit} {'more' if value.change > 0 else 'less'}"
    verbs = ["save" if change < 0 else "cost" for change in (value.mean, value.tail)]
    mean, worst = (wording.sum_of(abs(change)) for change in (value.mean, value.tail))
    then = "and" if verbs[0] == verbs[1] else f"but {verbs[1]}"
    return (
        f"The {limit_name(value.limit)} is {amount(value.value)} {value.unit}. {step} would {verbs[0]} {mean} "
        f"{wording.per_horizon} on average {then} {worst} in the worst {tail.share:.0%}."
    )
