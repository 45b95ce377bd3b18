"""Scenarios as the documents that are kept and answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.services.provenance import Provenance, instant_text
from digital_twin.simulation.economics import Investment, discounted
from digital_twin.simulation.known_year import KnownYear
from digital_twin.simulation.kpis import (
    QUANTILE_LEVELS,
    Difference,
    MemberEffects,
    cost_difference,
    kpi_of,
    kpi_values,
    member_effects,
    ranking,
    risk_of,
)
from digital_twin.simulation.outcomes import Estimate, Outcomes, estimate
from digital_twin.simulation.scenario import AS_IS, Scenario, Setting
from digital_twin.simulation.terms import Terms

_DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """Everything that the documents are made of; setting 0 is the community as it is, scenario s has setting s + 1."""

    scenarios: Sequence[Scenario]
    settings: Sequence[Setting]
    known: KnownYear
    terms: Terms
    outcomes: Outcomes

    def names(self) -> list[str]:
        return [AS_IS, *(scenario.scenario_id for scenario in self.scenarios)]


def scenario_documents(simulated: Simulated, provenance: Provenance) -> list[dict[str, Any]]:
    """A document for each scenario."""
    _fingerprint(simulated, provenance)
    return [_document(simulated, place, provenance) for place in range(len(simulated.scenarios))]


def comparison_document(simulated: Simulated) -> dict[str, Any]:
    """All scenarios beside each other and the community as it is, cheapest first, with how sure that is."""
    names, outcomes = simulated.names(), simulated.outcomes
    ranks = ranking(outcomes, range(len(names)))
    order = [one.scenario for one in ranks]
    return {
        "reference": AS_IS,
        "ranking": [
            {
                "scenario_id": names[one.scenario],
                "mean_cost": one.mean_cost,
                "share_best": one.share_best,
                **({} if one.confidence is None else {"confidence": one.confidence}),
            }
            for one in ranks
        ],
        "differences": [
            {"scenario_id": names[one], "other": names[other], **_difference(cost_difference(outcomes, one, other))}
            for place, one in enumerate(order)
            for other in order[place + 1 :]
        ],
    }


def _document(simulated: Simulated, place: int, provenance: Provenance) -> dict[str, Any]:
    scenario, number = simulated.scenarios[place], place + 1
    outcomes, terms = simulated.outcomes, simulated.terms
    cost = outcomes.of("cost")[number]
    document: dict[str, Any] = {
        "scenario_id": scenario.scenario_id,
        "name": scenario.name,
        "description": scenario.description,
        "policy": scenario.policy.value,
        "parameter_changes": dict(scenario.parameter_changes),
        "start": instant_text(simulated.known.grid.end),
        "simulation_duration_days": terms.days,
        "resolution_minutes": simulated.known.grid.step_minutes,
        "kpis": {name: _kpi(values) for name, values in kpi_values(outcomes, number).items()},
        "risk": _risk(cost),
        "comparison": {"reference": AS_IS, **_difference(cost_difference(outcomes, number, 0))},
        "runs": outcomes.runs,
        "precision": estimate(cost).precision,
        "seed": terms.seed,
        "provenance": provenance.to_document(),
    }
    if scenario.investment is not None:
        saved = (outcomes.of("cost")[0] - cost) * _DAYS_A_YEAR / terms.days
        document["economics"] = economics_document(scenario.investment, saved)
    effects = _effects(simulated, number)
    if effects is not None:
        document["members"] = _members(effects)
    return document


def economics_document(investment: Investment, saved: Array) -> dict[str, Any]:
    """What the investment is worth if every year of its life saves what a simulated one did."""
    worth = investment.net_present_value(saved)
    flows = investment.cash_flows(float(saved.mean()))
    payback = {
        "payback_years": investment.payback_years(float(saved.mean())),
        "discounted_payback_years": investment.discounted_payback_years(float(saved.mean())),
    }
    return {
        "investment": investment.amount,
        "lifetime_years": investment.lifetime_years,
        "discount_rate": investment.discount_rate,
        "annual_operation_cost": investment.annual_operation_cost,
        "annual_saving": _interval(estimate(saved)),
        "net_present_value": _kpi(worth),
        "cash_flows": flows.tolist(),
        "discounted_cash_flows": discounted(flows, investment.discount_rate).tolist(),
        **{name: years for name, years in payback.items() if years is not None},
    }


def _kpi(values: Array) -> dict[str, Any]:
    kpi = kpi_of(values)
    quantiles = {f"{level:g}": value for level, value in zip(QUANTILE_LEVELS, kpi.quantiles, strict=True)}
    return {**_interval(kpi.estimate), "quantiles": quantiles}


def _interval(one: Estimate) -> dict[str, float]:
    return {"mean": one.mean, "low": one.low, "high": one.high}


def _risk(cost: Array) -> dict[str, float]:
    risk = risk_of(cost)
    return {"var_95": risk.var_95, "cvar_95": risk.cvar_95}


def _difference(difference: Difference) -> dict[str, Any]:
    return {"cost_difference": _interval(difference.estimate), "share_cheaper": difference.share_cheaper}


def _effects(simulated: Simulated, number: int) -> MemberEffects | None:
    """Where members have bills both as it is and in the scenario: with meters of their own."""
    if any(simulated.settings[one].is_one_meter for one in (0, number)):
        return None
    bills = simulated.outcomes.bills[:, :, :-1].mean(axis=1)
    return member_effects(bills[0], bills[number])


def _members(effects: MemberEffects) -> dict[str, Any]:
    return {
        "better_off": effects.better_off,
        "worse_off": effects.worse_off,
        "unchanged": effects.unchanged,
        "groups": [
            {
                "homes": group.homes,
                "mean_saved": group.mean_saved,
                "mean_bill_before": group.mean_bill_before,
            }
            for group in effects.groups
        ],
    }


def _fingerprint(simulated: Simulated, provenance: Provenance) -> None:
    known, terms = simulated.known, simulated.terms
    arrays = [known.load_kw, known.pv_kw, known.net_load_kw, known.temperature_c, known.coefficients]
    provenance.fingerprint(
        [
            known.grid.start.isoformat(),
            str(known.grid.step_minutes),
            repr(known.place),
            *[np.empty(0) if one is None else one for one in arrays],
            known.import_price_per_kwh,
            known.export_price_per_kwh,
            known.emission_factor_kg_per_kwh,
            repr(terms.settings),
            repr(terms.sharing),
            repr((terms.num_prosumers, terms.days, terms.seed, terms.capacity_charge)),
        ]
    )
