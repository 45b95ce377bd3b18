"""A tariff design as the document that is kept and answered."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.distribution import Distribution
from digital_twin.optimization.tariffs.learned_elasticity import answer_error_kw
from digital_twin.optimization.tariffs.plan import TariffDesign, TariffProblem, Welfare
from digital_twin.services.known_elasticity import KnownElasticity
from digital_twin.services.provenance import instant_text

KIND = "tariff"
BAND, BAND_DEVIATIONS = 0.8, 1.2816
"""Probability of the band of demand, and how many standard deviations of a normal error it reaches to each side."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownMembers:
    """The members whose loads are known; without any, the one row is the community as a whole."""

    total: int
    member_ids: tuple[str, ...]
    load_kw: Array  # (N, T), N at least 1


@dataclass(frozen=True, slots=True, eq=False)
class KnownDemand:
    """How demand answers, and between what it lies at the present tariff where it is forecast."""

    elasticity: KnownElasticity
    band_kw: Array | None  # (T, 2)


def tariff_document(
    problem: TariffProblem, design: TariffDesign, demand: KnownDemand, members: KnownMembers, shares: Distribution
) -> dict[str, Any]:
    """The prices with what they do, beside the present tariff, and what holds them back."""
    figures, outlook = design.figures, problem.outlook
    shadow = design.budget_shadow_price
    return {
        "kind": KIND,
        "status": design.status,
        "gap": design.gap,
        "start": instant_text(outlook.grid.start),
        "resolution_minutes": outlook.grid.step_minutes,
        "import_price_per_kwh": figures.import_price_per_kwh.tolist(),
        "export_price_per_kwh": problem.supply.feed_in_price_per_kwh.tolist(),
        "demand_before_kw": outlook.load_kw.tolist(),
        "demand_after_kw": figures.demand_kw.tolist(),
        **_bands(problem, design, demand),
        "elasticity": demand.elasticity.to_document(),
        "marginal_cost_per_kwh": problem.supply.marginal_cost_per_kwh.tolist(),
        "blocks": _blocks(problem, figures.import_price_per_kwh),
        "welfare": {"change": design.welfare_change, **_parts(figures.change)},
        "incentives_paid": float(figures.incentives_paid.sum()),
        "revenue": figures.revenue,
        "budget_shadow_price": float(shadow.max()),
        "days": _days(problem, design),
        "present_tariff": {
            "import_price_per_kwh": outlook.import_price_per_kwh.tolist(),
            "export_price_per_kwh": outlook.export_price_per_kwh.tolist(),
            "revenue": figures.revenue_before,
            "operator_margin": figures.before.operator_margin,
            "pv_receipts": figures.before.pv_receipts,
            "carbon_damage": figures.before.carbon_damage,
        },
        "distribution": _distribution(members, shares),
        "slopes_distortion": problem.response.distortion,
        "binding": [
            {
                "limit": limit.limit,
                "intervals": limit.intervals,
                "first_interval": None if limit.first_interval is None else instant_text(limit.first_interval),
                "value_per_unit": limit.value_per_unit,
            }
            for limit in design.binding
        ],
    }


def _bands(problem: TariffProblem, design: TariffDesign, demand: KnownDemand) -> dict[str, list[float]]:
    """Where demand lies with `BAND` probability: the forecast's error, and after response that of the elasticity."""
    outlook, figures, learned = problem.outlook, design.figures, demand.elasticity.learned
    reach = np.zeros((outlook.grid.steps, 2))
    bands: dict[str, list[float]] = {}
    if demand.band_kw is not None:
        reach = np.abs(demand.band_kw - outlook.load_kw[:, None])
        low, high = demand.band_kw.T
        bands |= {"demand_before_low_kw": low.tolist(), "demand_before_high_kw": high.tolist()}
    if learned is not None:
        change = figures.import_price_per_kwh / outlook.import_price_per_kwh - 1
        error_kw = answer_error_kw(learned, outlook.load_kw, change, problem.calendar.day)
        reach = np.hypot(reach, BAND_DEVIATIONS * error_kw[:, None])
    if demand.band_kw is None and learned is None:
        return bands
    low, high = np.maximum(figures.demand_kw - reach[:, 0], 0.0), figures.demand_kw + reach[:, 1]
    return bands | {"demand_after_low_kw": low.tolist(), "demand_after_high_kw": high.tolist()}


def _parts(welfare: Welfare) -> dict[str, float]:
    return {
        "consumer_surplus": welfare.consumer_surplus,
        "operator_margin": welfare.operator_margin,
        "pv_receipts": welfare.pv_receipts,
        "carbon_damage": welfare.carbon_damage,
    }


def _blocks(problem: TariffProblem, price: Array) -> list[dict[str, Any]]:
    """Each stretch of one price, in order of time."""
    grid = problem.outlook.grid
    firsts = np.append(0, 1 + np.flatnonzero(np.diff(price)))
    lasts = np.append(firsts[1:], grid.steps)
    return [
        {
            "start": instant_text(grid.instant(int(first))),
            "end": instant_text(grid.instant(int(last))),
            "import_price_per_kwh": float(price[first]),
        }
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _days(problem: TariffProblem, design: TariffDesign) -> list[dict[str, Any]]:
    """Each local day, partial ones as far as the horizon goes."""
    figures, grid = design.figures, problem.outlook.grid
    starts = [grid.instant(int(np.argmax(problem.calendar.day == day))) for day in range(problem.calendar.days)]
    return [
        {
            "start": instant_text(start),
            "energy_before_kwh": float(figures.energy_before_kwh[day]),
            "energy_after_kwh": float(figures.energy_kwh[day]),
            "incentive_budget": float(problem.limits.incentive_budget[day]),
            "incentives_paid": float(figures.incentives_paid[day]),
            "budget_shadow_price": float(design.budget_shadow_price[day]),
        }
        for day, start in enumerate(starts)
    ]


def _distribution(members: KnownMembers, shares: Distribution) -> dict[str, Any]:
    """Who gains; without members' readings the community as one, of which nothing can be said about homes."""
    document: dict[str, Any] = {
        "basis": "members" if members.member_ids else "community",
        "members_total": members.total,
        "members_known": len(members.member_ids),
        "bill_before": float(shares.bill_before.sum()),
        "bill_after": float(shares.bill_after.sum()),
        "surplus_change": float(shares.surplus_change.sum()),
    }
    if not members.member_ids:
        return document
    document |= {"gains": shares.gains, "losses": shares.losses, "share_better_off": shares.share_better_off}
    if shares.deciles is not None:
        document["surplus_change_deciles"] = {f"{level:g}": value for level, value in shares.deciles.items()}
    rows = zip(members.member_ids, shares.bill_before, shares.bill_after, shares.surplus_change, strict=True)
    document["members"] = [
        {"member_id": name, "bill_before": float(before), "bill_after": float(after), "surplus_change": float(change)}
        for name, before, after, change in rows
    ]
    return document
