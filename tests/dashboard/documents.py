"""Answers of the API, small enough to reckon with by hand."""

from datetime import date, timedelta
from typing import Any

Document = dict[str, Any]

START = "2026-03-02T00:00:00Z"


def community(**changes: Any) -> Document:
    return {
        "community_id": "sun_hill", "name": None, "timezone": "Europe/Vienna", "currency": "EUR",
        "num_prosumers": 20, "total_pv_capacity_kw": 80.0, "total_storage_capacity_kwh": 100.0,
        "max_storage_power_kw": 40.0, "grid_import_limit_kw": 100.0, "grid_export_limit_kw": 30.0,
        "incentive_budget_daily": 11.0, "charge_efficiency": 0.9, "discharge_efficiency": 0.8, **changes,
    }  # fmt: skip


def provenance(*assumptions: str) -> Document:
    return {"as_of": START, "code_version": "1.2.3", "assumptions": list(assumptions), "sources": {}, "notes": []}


def forecast(**variables: Document) -> Document:
    """Four hours of demand, highest in the third (03:00 in Vienna)."""
    load = {
        "mean": [20.0, 30.0, 50.0, 40.0], "lower": [15.0, 25.0, 40.0, 30.0], "upper": [25.0, 35.0, 70.0, 50.0],
        "quantiles": {"0.05": [15.0, 25.0, 40.0, 30.0], "0.5": [20.0, 30.0, 50.0, 40.0],
                      "0.95": [25.0, 35.0, 70.0, 50.0]},
    }  # fmt: skip
    return {
        "issued_at": START, "as_of": START, "start": START, "resolution_minutes": 60, "confidence_level": 0.9,
        "variables": variables or {"load_kw": load}, "models": {"load_kw": "ridge_conformal"},
        "provenance": provenance(),
    }  # fmt: skip


def schedule(**changes: Any) -> Document:
    """Case 1 of the definitions: four half hours with one optimum, worked by hand."""
    return {
        "result_id": "plan-1", "kind": "dispatch", "objective": "minimize_cost", "status": "optimal", "gap": 0.0,
        "objective_value": 18.36, "start": START, "resolution_minutes": 30, "load_kw": [20.0, 40.0, 60.0, 90.0],
        "pv_kw": [80.0, 40.0, 0.0, 0.0], "import_price_per_kwh": [0.2, 0.2, 0.4, 0.3],
        "export_price_per_kwh": [0.05] * 4, "charge_kw": [40.0, 40.0, 0.0, 0.0],
        "discharge_kw": [0.0, 0.0, 40.0, 17.6], "soc_kwh": [38.0, 56.0, 31.0, 20.0],
        "import_kw": [0.0, 40.0, 20.0, 72.4], "export_kw": [20.0, 0.0, 0.0, 0.0], "curtailed_kw": [0.0] * 4,
        "cost": 18.36, "emissions_kg": 16.24, "peak_kw": 72.4, "self_consumption": 5 / 6,
        "self_sufficiency": 0.369524, "savings": {
            "baseline": "self_consumption_rule", "cost_without_control": 19.24, "saved": 0.88,
            "baselines": {
                "self_consumption_rule": {"cost": 19.24, "saved": 0.88}, "idle": {"cost": 24.75, "saved": 6.39},
            },
        },
        "binding": [
            {"limit": "max_storage_power_kw", "intervals": 3, "first_interval": START, "value_per_unit": 0.141}
        ],
        "provenance": provenance("the storage is half full"), **changes,
    }  # fmt: skip


def state(**changes: Any) -> Document:
    return {
        "as_of": START, "observed_at": START, "coverage": 0.5, "nis": 1.1, "data_age_s": 300.0,
        "states": {
            "demand_kw": {"mean": 40.0, "sd": 2.0}, "pv_kw": {"mean": 60.0, "sd": 3.0},
            "net_load_kw": {"mean": -20.0, "sd": 3.6}, "storage_soc_kwh": {"mean": 52.25, "sd": 1.0},
        },
        "provenance": provenance(), **changes,
    }  # fmt: skip


def history(**states: Document) -> Document:
    """An hour in quarters; in the last one the storage gains 2.25 kWh, which takes 10 kW at an efficiency of 0.9."""
    known = {
        "demand_kw": {"mean": [40.0] * 4, "sd": [2.0] * 4}, "pv_kw": {"mean": [60.0] * 4, "sd": [3.0] * 4},
        "net_load_kw": {"mean": [-20.0] * 4, "sd": [3.6] * 4},
        "storage_soc_kwh": {"mean": [50.0, 50.0, 50.0, 52.25], "sd": [1.0] * 4},
    }  # fmt: skip
    return {
        "start": START, "resolution_minutes": 15, "coverage": [0.5] * 4, "nis": [1.0] * 4, "states": states or known,
    }  # fmt: skip


def prediction(**changes: Any) -> Document:
    """The next hour in quarters, ever less sure."""
    expected = {
        name: {
            "mean": [mean] * 4, "sd": [2.0] * 4, "lower": [mean - 4 - one for one in range(4)],
            "upper": [mean + 4 + one for one in range(4)],
        }
        for name, mean in (("demand_kw", 40.0), ("pv_kw", 60.0), ("net_load_kw", -20.0), ("storage_soc_kwh", 50.0))
    }  # fmt: skip
    return {
        "as_of": START, "observed_at": START, "start": "2026-03-02T01:00:00Z", "resolution_minutes": 15,
        "states": expected, "provenance": provenance(), **changes,
    }  # fmt: skip


def state_meter(member_id: str = "home_1", condition: str = "silent", **changes: Any) -> Document:
    return {
        "series": "load_kw", "member_id": member_id, "condition": condition, "since": START, "last_reading_end": START,
        "data_age_s": 7200.0, "variance_fall_kw2": 1.5, "sd_fall_kw": 0.4, **changes,
    }  # fmt: skip


def state_meters(*meters: Document, **counts: int) -> Document:
    return {"as_of": START, "observed_at": START, "counts": counts, "meters": list(meters), "next": None}


def consistency(**streams: Document) -> Document:
    return {
        "is_lost": any(one["is_lost"] for one in streams.values()), "lost_since": None, "streams": streams,
    }  # fmt: skip


def stream(**changes: Any) -> Document:
    return {
        "is_lost": False, "nis": 1.1, "late_truth_nis": None, "late_truth_coverage": None, "late_truth_intervals": 0,
        "widening": 1.0,
        **changes,
    }  # fmt: skip


def tariff(**changes: Any) -> Document:
    """Case 2 of the definitions: two hours under a budget of 11, worked by hand."""
    return {
        "result_id": "tariff-1", "kind": "tariff", "status": "optimal", "gap": 0.0, "start": START,
        "resolution_minutes": 60, "import_price_per_kwh": [0.2, 0.36], "export_price_per_kwh": [0.1, 0.36],
        "demand_before_kw": [100.0, 200.0], "demand_after_kw": [110.0, 188.0], "blocks": [],
        "welfare": {
            "change": 1.86, "consumer_surplus": -1.14, "operator_margin": 3.0, "pv_receipts": 0.0, "carbon_damage": 0.0,
        },
        "incentives_paid": 11.0, "revenue": 89.68, "budget_shadow_price": 1 / 12,
        "days": [
            {"start": START, "energy_before_kwh": 300.0, "energy_after_kwh": 298.0, "incentive_budget": 11.0,
             "incentives_paid": 11.0, "budget_shadow_price": 1 / 12},
        ],
        "present_tariff": {
            "import_price_per_kwh": [0.3, 0.3], "export_price_per_kwh": [0.1, 0.1], "revenue": 90.0,
            "operator_margin": 0.0, "pv_receipts": 0.0, "carbon_damage": 0.0,
        },
        "distribution": {
            "basis": "members", "members_total": 2, "members_known": 2, "bill_before": 90.0, "bill_after": 89.68,
            "surplus_change": -1.14, "gains": 0.5, "losses": 1.64, "share_better_off": 0.5,
            "members": [
                {"member_id": "a", "bill_before": 50.0, "bill_after": 49.0, "surplus_change": 0.5},
                {"member_id": "b", "bill_before": 40.0, "bill_after": 40.68, "surplus_change": -1.64},
            ],
        },
        "binding": [
            {"limit": "incentive_budget", "intervals": 1, "first_interval": START, "value_per_unit": 1 / 12}
        ],
        "provenance": provenance(), **changes,
    }  # fmt: skip


def kpi(mean: float, spread: float) -> Document:
    quantiles = {"0.05": mean - 3 * spread, "0.5": mean, "0.95": mean + 3 * spread}
    return {"mean": mean, "low": mean - spread, "high": mean + spread, "quantiles": quantiles}


def scenario(scenario_id: str, name: str, cost: float, own: float, difference: float) -> Document:
    figures = {"self_consumption": kpi(own, 0.01), "emissions_kg": kpi(1000.0, 10.0)}
    powers = {"peak_import_kw": kpi(30.0, 1.0), "imported_kwh": kpi(9000.0, 90.0)}
    share, half = (0.9, 50.0) if difference else (0.0, 0.0)
    return {
        "scenario_id": scenario_id, "name": name, "simulation_duration_days": 365, "runs": 20, "precision": 0.01,
        "seed": 1, "kpis": {"cost": kpi(cost, 25.0), "self_sufficiency": kpi(own, 0.01), **figures, **powers},
        "comparison": {
            "reference": "as_is", "share_cheaper": share,
            "cost_difference": {"mean": difference, "low": difference - half, "high": difference + half},
        },
    }  # fmt: skip


def comparison() -> Document:
    """More PV against the community as it is: 200 saved for 1,000 spent."""
    more = scenario("scenario_1", "More PV", 800.0, 0.6, -200.0)
    more["economics"] = {
        "investment": 1000.0, "payback_years": 5.0, "net_present_value": kpi(500.0, 50.0),
        "discounted_cash_flows": [-1000.0, *[190.0] * 8],
    }  # fmt: skip
    ranks = (("scenario_1", 800.0, 0.9, 0.98), ("as_is", 1000.0, 0.1, 0.5), ("today", 1000.0, 0.0, None))
    ranking = [
        {"scenario_id": one, "mean_cost": cost, "share_best": share, **({} if sure is None else {"confidence": sure})}
        for one, cost, share, sure in ranks
    ]
    return {
        "result_id": "run-1", "scenarios": [scenario("today", "As it is today", 1000.0, 0.5, 0.0), more],
        "comparison": {"reference": "as_is", "ranking": ranking, "differences": []}, "provenance": provenance(),
    }  # fmt: skip


def meter(member_id: str, **changes: Any) -> Document:
    """A meter that told all of a day."""
    return {
        "name": "load_kw", "member_id": member_id, "asset_id": None, "expected": 96, "missing": 0, "suspect": 0,
        "reasons": [], "last_reading_end": START, "data_age_s": 60.0, **changes,
    }  # fmt: skip


def quality(*meters: Document) -> Document:
    """What is told of the readings of these."""
    counts = {
        "count": len(meters), "reporting": sum(one["missing"] < one["expected"] for one in meters),
        "silent": sum(one["missing"] == one["expected"] for one in meters),
        "suspect": sum(one["suspect"] > 0 for one in meters),
    }  # fmt: skip
    return {"as_of": START, "series": [], "meters": {**counts, "page": list(meters)}, "next": None}


def day_group(name: str, count: int, level: float = 1.0) -> Document:
    return {"name": name, "count": count, "workday": [level] * 24, "day_off": [2 * level] * 24}


def meter_pattern(**probabilities: float) -> Document:
    told = {"heat_pump": 0.1, "ev": 0.2, "pv": 0.05, **probabilities}
    return {
        "shape": "evening peak", "days": 55, "mean_kw": 0.5, "base_share": 0.3, "peak_kw": 4.0, "peak_hour": 19,
        "workday_kw": [0.5] * 24, "day_off_kw": [0.6] * 24,
        "cold": {"kw_per_c": 0.08, "bend_c": 15.0, "share": 0.7},
        "devices": {name: {"probability": one, "because": []} for name, one in told.items()},
    }  # fmt: skip


def patterns(**changes: Any) -> Document:
    """Three homes, one with too few readings, and two days of which one is unusual."""
    own = {
        "series": "load_kw", "pattern": meter_pattern(),
        "kinds": {"groups": [day_group("evening peak", 2)], "silhouette": None, "stability": None},
        "days": [{"day": f"2026-03-0{day}", "kind": "evening peak"} for day in (1, 2)],
        "unusual": [
            {"day": "2026-03-02", "distance": 6.5, "because": "no evening peak", "kw": [0.4] * 24,
             "usual_kw": [0.5] * 24},
        ],
    }  # fmt: skip
    page = [
        {"member_id": "home_1", "series": "load_kw", "group": "evening peak", "pattern": meter_pattern()},
        {"member_id": "home_2", "series": "load_kw", "group": "night heating", "pattern": meter_pattern(ev=0.9)},
        {"member_id": "home_3", "series": "load_kw", "group": None, "pattern": None},
    ]
    groups = [day_group("evening peak", 1), day_group("night heating", 1)]
    return {
        "start": START, "end": START, "next": None, "own": own,
        "members": {
            "count": 3, "with_pattern": 2, "expected": {"heat_pump": 0.2, "ev": 1.1, "pv": 0.1},
            "groups": {"groups": groups, "silhouette": 0.6, "stability": 0.92}, "page": page,
        },
        "provenance": provenance(), **changes,
    }  # fmt: skip


def issued(day: str = "2026-03-02", **changes: Any) -> Document:
    """Four hours from the Viennese midnight on; in the third, at 02:00, more happened than 90 % sure."""
    quantiles = {"0.05": [10.0] * 4, "0.25": [15.0] * 4, "0.75": [25.0] * 4, "0.95": [30.0] * 4}
    midnight = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    return {
        "variable": "load_kw", "day": day, "issued_at": f"{midnight}T23:00:00Z", "model": "ensemble",
        "start": f"{midnight}T23:00:00Z", "resolution_minutes": 60, "mean": [20.0] * 4, "quantiles": quantiles,
        "actual": [20.0, 12.0, 42.0, None], **changes,
    }  # fmt: skip


def accuracy(*skills: float | None, **changes: Any) -> Document:
    """Of one variable: days from 2 March on of this skill, and intervals that hold as they promise."""
    known = [one for one in skills if one is not None]
    count = len(skills)
    by_day = {
        "day": [f"2026-03-{2 + index:02d}" for index in range(count)], "skill": list(skills), "nmae": [0.1] * count,
        "pinball_loss_kw": [1.0] * count, "naive_pinball_loss_kw": [2.0] * count, "coverage_50": [0.5] * count,
        "coverage_80": [0.8] * count, "coverage_90": [None if one is None else 0.9 for one in skills],
    }  # fmt: skip
    return {
        "days": len(known), "skill": sum(known) / len(known) if known else None, "nmae": 0.1, "pinball_loss_kw": 1.0,
        "naive_pinball_loss_kw": 2.0, "coverage_50": 0.5, "coverage_80": 0.8, "coverage_90": 0.9, "by_day": by_day,
        **changes,
    }  # fmt: skip


def drift(**changes: Any) -> Document:
    return {
        "is_degraded": True, "degraded_since": START, "counted_from": START, "days": 60, "relative_loss": 0.92,
        "relative_loss_before": 0.61, "evidence": 1200.0, "evidence_needed": 1000.0, **changes,
    }  # fmt: skip


def version(model: str = "ensemble", loss_kw: float = 3.0, **changes: Any) -> Document:
    """Trained on a month of readings; the seasonal naive lost 4 kW on the days held out."""
    return {
        "variable": "load_kw", "model": model, "version": 2, "run_id": "run", "trained_at": START, "as_of": START,
        "data_start": "2026-01-31T00:00:00Z", "data_end": "2026-03-02T00:00:00Z", "data_sha256": "d" * 64,
        "resolution_minutes": 15, "code_version": "1.2.3", "sha256": "a" * 64, "taught_until": None, "ensemble": None,
        "scores": {
            "start": START, "end": START, "days": 14,
            "model": {"pinball_loss_kw": loss_kw, "rmse_kw": 9.0, "coverage_90": 0.88},
            "seasonal_naive": {"pinball_loss_kw": 4.0, "rmse_kw": 12.0, "coverage_90": None},
        }, **changes,
    }  # fmt: skip


def ensemble(**weights: float) -> Document:
    """Members of these mean weights, the same at all hours but for the evening's high quantiles, which the last has."""
    *_, last = weights
    groups, parts = ["low", "middle", "high"], ["00-08", "08-16", "16-24"]
    members = [
        {
            "model": name, "weight_mean": mean, "loss_relative_to_best": 1.0 + 0.1 * place,
            "weights": {
                part: {
                    group: float(name == last) if (part, group) == ("16-24", "high") else mean for group in groups
                }
                for part in parts
            },
        }
        for place, (name, mean) in enumerate(weights.items())
    ]  # fmt: skip
    return {
        "members": members, "parts_of_day": parts, "groups": groups, "days": 24, "last_day": "2026-03-01",
        "left_out": ["lstm needs temperature_c"],
    }  # fmt: skip


def backtest(**losses_kw: float | None) -> Document:
    """Of one variable: models that lost so much over 14 days, twice as much at 18:00; the seasonal naive 4 kW."""
    models: Document = {}
    for name, loss in {"seasonal_naive": 4.0, **losses_kw}.items():
        ratio = None if loss is None else {"value": loss / 4, "low": loss / 4 - 0.05, "high": loss / 4 + 0.05}
        models[name] = {
            "days": 0 if loss is None else 14, "pinball_loss_kw": loss,
            "relative_loss": None if loss is None else loss / 40, "coverage_80": None if loss is None else 0.81,
            "coverage_90": None if loss is None else 0.9, "coverage_95": None if loss is None else 0.94,
            "naive_ratio": ratio,
        }  # fmt: skip
    by_hour = {
        name: [None if loss is None else loss * (1 + (hour == 18)) for hour in range(24)]
        for name, loss in {"seasonal_naive": 4.0, **losses_kw}.items()
    }
    return {"models": models, "by_day": {"day": []}, "by_hour": by_hour}
