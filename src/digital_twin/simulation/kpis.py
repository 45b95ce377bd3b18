"""What simulated years say: figures with intervals and quantiles, risk, differences, winners and losers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from digital_twin.domain.units import Array
from digital_twin.simulation.outcomes import Estimate, Outcomes, estimate, scramble_of

QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
RISK_LEVEL = 0.95
FEWEST_HOMES = 5
"""No group of members has fewer homes: sums over so many tell nothing about one."""
_MOST_GROUPS = 10
_UNIT = 0.01
"""Whoever pays less than this more or less in the period is as well off as before."""

_SUMS = (
    "cost",
    "emissions_kg",
    "peak_import_kw",
    "imported_kwh",
    "exported_kwh",
    "curtailed_kwh",
    "shared_kwh",
    "load_kwh",
    "generation_kwh",
    "charged_kwh",
    "discharged_kwh",
    "beyond_import_limit_kwh",
    "beyond_export_limit_kwh",
)
KPIS = (*_SUMS[:2], "self_consumption", "self_sufficiency", *_SUMS[2:])


@dataclass(frozen=True, slots=True)
class Kpi:
    """A figure over the simulated years: its mean with the confidence interval, and how it varies from year to year."""

    estimate: Estimate
    quantiles: tuple[float, ...]  # at QUANTILE_LEVELS


@dataclass(frozen=True, slots=True)
class Risk:
    """What a bad year costs: exceeded in one of 20, and the mean of those."""

    var_95: float
    cvar_95: float


def kpi_values(outcomes: Outcomes, scenario: int) -> dict[str, Array]:
    """Each figure in each run."""  # each (R,)
    values = {name: outcomes.of(name)[scenario] for name in _SUMS}
    unused = outcomes.of("left_pv_export_kwh")[scenario] + values["curtailed_kwh"]
    values["self_consumption"] = 1 - _share(unused, values["generation_kwh"])
    values["self_sufficiency"] = 1 - _share(outcomes.of("left_import_kwh")[scenario], values["load_kwh"])
    return {name: values[name] for name in KPIS}


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def kpi_of(values: Array) -> Kpi:
    """The figure of these runs."""
    return Kpi(estimate(values), tuple(np.quantile(values, QUANTILE_LEVELS).tolist()))


def risk_of(cost: Array) -> Risk:
    """Value at risk and its conditional mean.

    Source: Rockafellar and Uryasev (2002), Journal of Banking and Finance 26, proposition 8: the tail of exactly 5 %,
    a run on its border counted in part.
    """
    worst_first = np.sort(cost)[::-1]
    tail = (1 - RISK_LEVEL) * cost.size
    weights = np.clip(tail - np.arange(cost.size), 0.0, 1.0)
    border = max(int(np.ceil(tail - 1e-9)) - 1, 0)
    return Risk(float(worst_first[border]), float(worst_first @ weights / weights.sum()))


@dataclass(frozen=True, slots=True)
class Difference:
    """One scenario's cost less another's, run by run on the same years."""

    estimate: Estimate
    share_cheaper: float  # of the years


def cost_difference(outcomes: Outcomes, scenario: int, other: int) -> Difference:
    """What the scenario costs beyond the other one; below 0 it saves."""
    cost = outcomes.of("cost")
    paired = cost[scenario] - cost[other]
    return Difference(estimate(paired), float((paired < 0).mean()))


@dataclass(frozen=True, slots=True)
class Rank:
    """A scenario's place by mean cost."""

    scenario: int
    mean_cost: float
    share_best: float  # of the years in which no other is cheaper
    confidence: float | None  # that it truly costs less in the mean than the next one; None for the last


def ranking(outcomes: Outcomes, scenarios: Sequence[int]) -> list[Rank]:
    """The cheapest first, each with how sure it is that it stands before the next.

    Source: paired t on common random numbers; Law (2015), Simulation Modeling and Analysis, section 10.2.
    """
    cost = outcomes.of("cost")[list(scenarios)]
    best = cost.argmin(axis=0)
    order = np.argsort(cost.mean(axis=1), kind="stable")
    ranks: list[Rank] = []
    for place, index in enumerate(order):
        is_last = place == order.size - 1
        confidence = None if is_last else _confidence(cost[order[place + 1]] - cost[index])
        ranks.append(Rank(scenarios[index], float(cost[index].mean()), float((best == index).mean()), confidence))
    return ranks


def _confidence(difference: Array) -> float:
    """How sure it is that the mean difference is above 0."""
    groups = scramble_of(np.arange(difference.size))
    means = np.array([difference[groups == group].mean() for group in np.unique(groups)])
    error = means.std(ddof=1) / np.sqrt(means.size)
    if error == 0:
        return 0.5 if means.mean() == 0 else float(means.mean() > 0)
    return float(stdtr(means.size - 1, difference.mean() / error))


@dataclass(frozen=True, slots=True)
class MemberGroup:
    """Members who gain alike, from those who lose most to those who gain most."""

    homes: int
    mean_saved: float
    mean_bill_before: float


@dataclass(frozen=True, slots=True)
class MemberEffects:
    """Who wins and who loses, by each one's mean bill over the runs."""

    better_off: int
    worse_off: int
    unchanged: int
    groups: tuple[MemberGroup, ...]


def member_effects(before: Array, after: Array) -> MemberEffects | None:
    """Deciles by what members save, or as many groups as leave five homes in each; None below ten homes.

    Args:
        before: each home's mean bill in the community as it is.  # (N,)
        after: the same in the scenario.  # (N,)
    """
    count = min(_MOST_GROUPS, before.size // FEWEST_HOMES)
    if count < 2:
        return None
    saved = before - after
    order = np.argsort(saved, kind="stable")
    groups = tuple(
        MemberGroup(
            homes.size,
            float(saved[homes].mean()),
            float(before[homes].mean()),
        )
        for homes in np.array_split(order, count)
    )
    better, worse = int((saved > _UNIT).sum()), int((saved < -_UNIT).sum())
    return MemberEffects(better, worse, before.size - better - worse, groups)
