"""Answers of the API, small enough to reckon with by hand."""

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
