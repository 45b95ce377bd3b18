"""Dispatch under risk over HTTP: what is told of the scenarios, what it refuses, and that the seed decides."""

from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered
from tests.api.dispatching import CASE_1, MONDAY, dispatch

DAY: dict[str, Any] = {
    "start_time": MONDAY,
    "horizon_hours": 24,
    "resolution_minutes": 60,
    "import_price_per_kwh": [0.40, 0.35, 0.20, 0.15, 0.25, 0.30] * 4,
    "export_price_per_kwh": 0.05,
}
RISK = {"cvar_weight": 0.6, "confidence": 0.8, "scenarios": 40}


@pytest.fixture(scope="module")
def village(api: Api, operator: httpx.Client) -> str:
    """A community without readings: its forecast is that of documented priors, and wide."""
    return api.community(operator)


def test_a_plan_under_risk_tells_what_may_come(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, {**DAY, "risk": RISK})
    risk = plan["risk"]
    assert {name: risk[name] for name in RISK} == RISK
    assert plan["status"] == "optimal"
    assert plan["gap"] <= 1e-6
    weighed = 0.4 * risk["expected_cost"] + 0.6 * risk["cvar"]
    assert plan["objective_value"] == pytest.approx(weighed)
    assert risk["cvar"] > risk["expected_cost"]
    costs = [risk["cost_quantiles"][name] for name in ("0.05", "0.25", "0.5", "0.75", "0.95")]
    assert costs == sorted(costs)
    assert costs[0] < risk["expected_cost"] < costs[-1]
    imports = np.array([risk["import_kw_quantiles"][name] for name in ("0.05", "0.5", "0.95")])
    assert imports.shape == (3, 24)
    assert (np.diff(imports, axis=0) >= -1e-9).all()
    assert set(risk["violation_chance"]) == {"grid_import_limit_kw", "grid_export_limit_kw", "either"}
    assert risk["value_of_planning_for_risk"] >= 0
    assert "40 sample paths of the forecast, seed 0" in plan["provenance"]["sources"]["scenarios"]


def test_a_plan_under_risk_is_kept_as_it_was_answered(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, {**DAY, "risk": RISK})
    kept = operator.get(f"/communities/{village}/optimization/results/{plan['result_id']}")
    assert kept.json() == plan


def test_the_seed_decides_and_is_kept(operator: httpx.Client, village: str):
    body = {**DAY, "risk": {**RISK, "seed": 5}}
    one, same = (dispatch(operator, village, body) for _ in range(2))
    other = dispatch(operator, village, {**DAY, "risk": {**RISK, "seed": 6}})
    assert one["risk"] == same["risk"]
    assert one["charge_kw"] == same["charge_kw"]
    assert one["provenance"]["inputs_sha256"] == same["provenance"]["inputs_sha256"]
    assert one["risk"]["seed"] == 5
    assert other["risk"]["expected_cost"] != one["risk"]["expected_cost"]
    assert other["provenance"]["inputs_sha256"] != one["provenance"]["inputs_sha256"]


def test_without_risk_nothing_is_told_of_it(operator: httpx.Client, village: str):
    assert "risk" not in dispatch(operator, village, DAY)


def test_a_limit_that_some_scenario_passes_is_told_with_its_chance(api: Api, operator: httpx.Client):
    expected = max(dispatch(operator, api.community(operator), DAY)["load_kw"])
    tight = api.community(
        operator, grid_import_limit_kw=1.05 * expected, total_storage_capacity_kwh=0.0, max_storage_power_kw=0.0
    )
    plan = dispatch(operator, tight, {**DAY, "risk": RISK})
    risk = plan["risk"]
    assert 0 < risk["violation_chance"]["grid_import_limit_kw"] <= 1
    assert risk["violation_chance"]["either"] >= risk["violation_chance"]["grid_import_limit_kw"]
    assert risk["expected_beyond_limits_kwh"] > 0
    price = risk["beyond_limits_price_per_kwh"]
    assert risk["expected_beyond_limits_cost"] == pytest.approx(price * risk["expected_beyond_limits_kwh"])
    assert any("cannot keep the limits" in note for note in plan["provenance"]["notes"])


def test_generation_that_the_caller_knows_is_the_same_in_every_scenario(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, {**DAY, "pv_kw": [0.0] * 24, "risk": RISK})
    assert plan["pv_kw"] == [0.0] * 24
    load = np.array(plan["load_kw"])
    low, high = (np.array(plan["risk"]["import_kw_quantiles"][name]) for name in ("0.05", "0.95"))
    moved = np.array(plan["charge_kw"]) - np.array(plan["discharge_kw"])
    assert (low <= np.maximum(load + moved, 0) + 1e-6).mean() > 0.9
    assert (high > low).any()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"objective": "minimize_peak"}, "/risk"),
        ({"weights": {"cost": 1.0}}, "/risk"),
        ({"load_kw": [1.0] * 24, "pv_kw": [1.0] * 24}, "/risk"),
        ({"risk": {"cvar_weight": 1.2}}, "/risk/cvar_weight"),
        ({"risk": {"confidence": 1.0}}, "/risk/confidence"),
        ({"risk": {"scenarios": 1}}, "/risk/scenarios"),
        ({"risk": {"scenarios": 501}}, "/risk/scenarios"),
        ({"risk": {"seed": -1}}, "/risk/seed"),
        (
            {
                "devices": [
                    {"kind": "battery", "device_id": "attic", "capacity_kwh": 10, "power_kw": 5, "current_soc_kwh": 5}
                ]
            },
            "/risk",
        ),
    ],
)
def test_what_cannot_be_planned_under_risk_says_so(
    operator: httpx.Client, village: str, change: dict[str, Any], pointer: str
):
    problem = dispatch(operator, village, {**DAY, "risk": RISK, **change}, 422)
    assert pointer in [one["pointer"] for one in problem["errors"]]


def test_a_horizon_of_too_many_intervals_is_refused(operator: httpx.Client, village: str):
    body = {"start_time": MONDAY, "horizon_hours": 24 * 8, "resolution_minutes": 15, "risk": RISK}
    problem = dispatch(operator, village, body, 422)
    assert "at most 672 intervals" in problem["detail"]


def test_energy_that_members_share_is_not_planned_under_risk(api: Api, operator: httpx.Client):
    shared = api.community(operator)
    answered(operator.put(f"/communities/{shared}/sharing", json={"rule": "dynamic", "sharing_price_per_kwh": 0.1}))
    member = {"member_id": "home", "load_kw": [1.0] * 24, "pv_kw": [0.0] * 24}
    body = {**DAY, "members": [member], "risk": RISK}
    problem = dispatch(operator, shared, body, 422)
    assert "single meter" in problem["detail"]


def test_limits_that_not_even_the_expected_course_keeps_are_named_under_risk_too(api: Api, operator: httpx.Client):
    tight = api.community(operator, grid_import_limit_kw=0.1, total_storage_capacity_kwh=0.0, max_storage_power_kw=0.0)
    problem = dispatch(operator, tight, {**DAY, "risk": RISK}, 422)
    assert problem["limits"][0]["limit"] == "grid_import_limit_kw"


def test_the_worth_of_what_is_left_may_be_asked_for_under_risk(operator: httpx.Client, village: str):
    body = {name: value for name, value in CASE_1.items() if name in ("start_time", "resolution_minutes")}
    plan = dispatch(operator, village, {**body, "horizon_hours": 6, "end_value_per_kwh": "water_value", "risk": RISK})
    assert plan["risk"]["scenarios"] == 40
    assert "end_value_per_kwh" in plan["provenance"]["sources"]
