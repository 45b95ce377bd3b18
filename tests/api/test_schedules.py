"""Dispatch over HTTP: the worked cases, every objective, refusals that say what to do, and priors."""

from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, refused
from tests.api.dispatching import CASE_1, CASE_1_COMMUNITY, EXACT, MONDAY, check_physics, dispatch
from tests.cases import case_4

OBJECTIVES = (
    "minimize_cost",
    "maximize_welfare",
    "minimize_emissions",
    "minimize_peak",
    "maximize_self_consumption",
)


# The worked cases


def test_case_1_has_its_only_optimum(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, {**CASE_1, "objective": "minimize_cost"})
    expected = {
        "charge_kw": [40, 40, 0, 0],
        "discharge_kw": [0, 0, 40, 17.6],
        "soc_kwh": [38, 56, 31, 20],
        "import_kw": [0, 40, 20, 72.4],
        "export_kw": [20, 0, 0, 0],
        "curtailed_kw": [0, 0, 0, 0],
    }
    for name, values in expected.items():
        assert plan[name] == pytest.approx(values, abs=EXACT), name
    assert plan["cost"] == pytest.approx(18.36, abs=EXACT)
    assert plan["objective_value"] == pytest.approx(18.36, abs=EXACT)
    assert plan["emissions_kg"] == pytest.approx(16.24, abs=EXACT)
    assert plan["peak_kw"] == pytest.approx(72.4, abs=EXACT)
    assert plan["self_consumption"] == pytest.approx(0.833333, abs=EXACT)
    assert plan["self_sufficiency"] == pytest.approx(0.369524, abs=EXACT)
    assert plan["status"] == "optimal"


def test_case_1_saves_against_the_rule_and_against_idle_storage(operator: httpx.Client, village: str):
    savings = dispatch(operator, village, CASE_1)["savings"]
    assert savings["baseline"] == "self_consumption_rule"
    assert savings["cost_without_control"] == pytest.approx(19.24, abs=EXACT)
    assert savings["saved"] == pytest.approx(0.88, abs=EXACT)
    assert savings["baselines"]["idle"]["cost"] == pytest.approx(24.75, abs=EXACT)
    assert savings["baselines"]["idle"]["saved"] == pytest.approx(6.39, abs=EXACT)


def test_case_1_prices_one_more_kw_of_storage_power(operator: httpx.Client, village: str):
    binding = {one["limit"]: one["value_per_unit"] for one in dispatch(operator, village, CASE_1)["binding"]}
    assert binding["max_storage_power_kw"] == pytest.approx(0.141, abs=EXACT)


@pytest.mark.parametrize(("steps", "optimum", "no_battery"), [(96, 1006.3345, 1181.33), (24, 1006.4172, 1181.45)])
def test_case_4_reaches_the_peers_optimum(
    api: Api, operator: httpx.Client, steps: int, optimum: float, no_battery: float
):
    outlook = case_4(steps).outlook
    body = {
        "start_time": MONDAY,
        "resolution_minutes": 1440 // steps,
        "load_kw": outlook.load_kw.tolist(),
        "pv_kw": outlook.pv_kw.tolist(),
        "import_price_per_kwh": outlook.import_price_per_kwh.tolist(),
        "export_price_per_kwh": 0.08,
    }
    plan = dispatch(operator, api.community(operator), {**body, "current_soc_kwh": 500})
    assert plan["cost"] == pytest.approx(optimum, abs=EXACT)
    # without a battery the peers' day exports more than 300 kW at noon
    wide = api.community(operator, total_storage_capacity_kwh=0.0, grid_export_limit_kw=1000.0)
    assert dispatch(operator, wide, body)["cost"] == pytest.approx(no_battery, abs=0.01)


# Objectives


def test_each_objective_is_best_at_what_it_is_named_for(operator: httpx.Client, village: str):
    plans = {name: dispatch(operator, village, {**CASE_1, "objective": name}) for name in OBJECTIVES}
    measures = {
        "minimize_cost": lambda plan: plan["cost"],
        "minimize_emissions": lambda plan: plan["emissions_kg"],
        "minimize_peak": lambda plan: plan["peak_kw"],
        "maximize_self_consumption": lambda plan: -plan["self_consumption"],
    }
    for name, measure in measures.items():
        assert plans[name]["objective"] == name
        assert measure(plans[name]) == pytest.approx(min(map(measure, plans.values())), abs=1e-6), name
    for plan in plans.values():
        check_physics(plan, capacity_kwh=100, power_kw=40, efficiencies=(0.9, 0.8), initial_kwh=20)


def test_weights_add_up(operator: httpx.Client, village: str):
    cheap = dispatch(operator, village, {**CASE_1, "weights": {"cost": 1}})
    assert (cheap["objective"], cheap["cost"]) == ("weights", pytest.approx(18.36, abs=EXACT))
    mixed = dispatch(operator, village, {**CASE_1, "weights": {"cost": 1, "emissions": 2, "peak": 0.1}})
    assert mixed["objective_value"] == pytest.approx(_weighed(mixed), abs=EXACT)
    assert _weighed(mixed) <= _weighed(cheap) + EXACT


def _weighed(plan: Any) -> float:
    """Cost + 2 emissions + peak / 10; in deciding, exports are credited with what they displace."""
    net_kw = np.array(plan["import_kw"]) - np.array(plan["export_kw"])
    emissions_kg = 0.5 * net_kw @ np.array(CASE_1["emission_factor_kg_per_kwh"])
    return plan["cost"] + 2 * emissions_kg + 0.1 * plan["peak_kw"]


def test_wear_makes_the_battery_rest(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, {**CASE_1, "battery_wear_per_kwh": 10})
    assert max(plan["discharge_kw"]) == pytest.approx(0, abs=EXACT)


def test_a_price_on_the_peak_lowers_it(operator: httpx.Client, village: str):
    free, dear = (dispatch(operator, village, CASE_1 | extra) for extra in ({}, {"peak_price_per_kw": 50}))
    assert dear["peak_kw"] < free["peak_kw"] - 1


# Refusals


def test_an_infeasible_request_names_each_limit_in_the_way_and_what_it_takes(operator: httpx.Client, village: str):
    problem = dispatch(operator, village, {**CASE_1, "load_kw": [20.0, 40, 60, 200]}, 422)
    assert problem["type"] == "/problems/infeasible"
    limits = {one["limit"]: one for one in problem["limits"]}
    # 200 kW less 40 kW of discharge are 60 kW more than the connection gives
    assert limits["grid_import_limit_kw"]["relax_by"] == pytest.approx(60, abs=EXACT)
    assert "grid_import_limit_kw" in problem["detail"]
    enough = {**CASE_1, "load_kw": [20.0, 40, 60, 140]}
    assert dispatch(operator, village, enough)["status"] == "optimal"


def test_energy_that_cannot_be_there_at_the_end_is_named(operator: httpx.Client, village: str):
    problem = dispatch(operator, village, {**CASE_1, "final_soc_min_kwh": 99}, 422)
    # 40, 40, 40 and, beside the load of 90 at a limit of 100, 10 kW at .9 bring 58.5 kWh on top of 20
    assert problem["limits"] == [
        {"limit": "final_soc_min_kwh", "relax_by": pytest.approx(20.5, abs=EXACT), "unit": "kWh", "alone": True}
    ]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"load_kw": [1.0, 2, 3]}, "/load_kw"),
        ({"pv_kw": [1.0] * 5}, "/pv_kw"),
        ({"import_price_per_kwh": [0.1] * 3}, "/import_price_per_kwh"),
        ({"export_price_per_kwh": [0.1]}, "/export_price_per_kwh"),
        ({"emission_factor_kg_per_kwh": [0.1] * 5}, "/emission_factor_kg_per_kwh"),
        ({"load_kw": [1.0, None, 3, 4]}, "/load_kw/1"),
        ({"load_kw": [1.0, "2", 3, 4]}, "/load_kw/1"),
        ({"load_kw": [1.0, -2, 3, 4]}, "/load_kw/1"),
        ({"load_kw": []}, "/load_kw"),
        ({"current_soc_kwh": 100.001}, "/current_soc_kwh"),
        ({"current_soc_kwh": -0.001}, "/current_soc_kwh"),
        ({"final_soc_min_kwh": 101}, "/final_soc_min_kwh"),
        ({"battery_wear_per_kwh": -1}, "/battery_wear_per_kwh"),
        ({"resolution_minutes": 7}, "/resolution_minutes"),
        ({"resolution_minutes": "30"}, "/resolution_minutes"),
        ({"horizon_hours": 0}, "/horizon_hours"),
        ({"horizon_hours": 337}, "/horizon_hours"),
        ({"objective": "maximize_profit"}, "/objective"),
        ({"weights": {"cost": -1}}, "/weights/cost"),
        ({"risk": {"cvar_weight": 0.1}}, "/risk"),
        ({"start_time": "2026-03-02T00:00:00"}, "/start_time"),
        ({"start_time": "2026-03-02T00:10:00Z"}, "/start"),
        ({"start_time": 1_772_409_600}, "/start_time"),
        ({"as_of": "2099-01-01T00:00:00Z"}, "/as_of"),
        ({"members": [{"member_id": "a", "load_kw": [1.0], "pv_kw": [0.0] * 4}]}, "/members/0/load_kw"),
        ({"members": [{"member_id": "a", "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}]}, "/members"),
    ],
)
def test_what_breaks_a_rule_is_pointed_at(operator: httpx.Client, village: str, change: Any, pointer: str):
    response = operator.post(f"/communities/{village}/optimization/dispatch", json={**CASE_1, **change})
    refused(response, 422, pointer=pointer)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e308", "01", "0x10"])
def test_a_number_that_is_none_is_refused_without_an_echo(operator: httpx.Client, village: str, number: str):
    body = f'{{"horizon_hours": 1, "resolution_minutes": 60, "load_kw": [{number}], "pv_kw": [0]}}'
    headers = {"Content-Type": "application/json"}
    response = operator.post(f"/communities/{village}/optimization/dispatch", content=body, headers=headers)
    refused(response, 422)


def test_an_objective_and_weights_together_are_refused(operator: httpx.Client, village: str):
    dispatch(operator, village, {**CASE_1, "objective": "minimize_cost", "weights": {"cost": 1}}, 422)
    dispatch(operator, village, {**CASE_1, "weights": {}}, 422)


@pytest.mark.parametrize("start", ["1970-01-01T00:00:00Z", "2099-12-31T23:00:00Z"])
def test_the_ends_of_time_are_planned_or_refused(operator: httpx.Client, village: str, start: str):
    for body in ({}, {key: CASE_1[key] for key in ("load_kw", "pv_kw", "resolution_minutes")}):
        request = {**body, "start_time": start, "horizon_hours": 2}
        response = operator.post(f"/communities/{village}/optimization/dispatch", json=request)
        assert response.status_code in (200, 422), response.text


# What is left out


def test_eight_numbers_are_enough_and_every_prior_is_listed(operator: httpx.Client, community: str):
    plan = dispatch(operator, community, {})
    assert len(plan["load_kw"]) == 96
    assumptions = " / ".join(plan["provenance"]["assumptions"])
    for word in ("half full", "0.30", "0.08", "0.21", "UTC", "48.2"):
        assert word in assumptions, assumptions
    assert plan["import_price_per_kwh"] == [0.3] * 96
    assert plan["provenance"]["models"]["load_kw"] == "standard_load"
    check_physics(plan, capacity_kwh=1000, power_kw=200, efficiencies=(0.95, 0.95), initial_kwh=500)


def test_what_the_request_says_is_no_assumption(operator: httpx.Client, village: str):
    provenance = dispatch(operator, village, CASE_1)["provenance"]
    assert provenance["assumptions"] == []
    assert provenance["sources"]["load_kw"] == "the request"
    assert len(provenance["inputs_sha256"]) == 64


@pytest.mark.parametrize(
    ("given", "assumed"), [("import_price_per_kwh", "earns 0.08"), ("export_price_per_kwh", "costs 0.30")]
)
def test_each_price_that_is_left_out_is_an_assumption(operator: httpx.Client, village: str, given: str, assumed: str):
    left_out = {"import_price_per_kwh", "export_price_per_kwh"} - {given}
    body = {name: value for name, value in CASE_1.items() if name not in left_out}
    [assumption] = dispatch(operator, village, body)["provenance"]["assumptions"]
    assert assumed in assumption
    assert assumption.count("per kWh") == 1


def test_a_grid_without_emissions_emits_nothing(api: Api, operator: httpx.Client):
    clean = api.community(operator, emission_factor_kg_per_kwh=0.0, **CASE_1_COMMUNITY)
    plan = dispatch(operator, clean, {name: value for name, value in CASE_1.items() if "emission" not in name})
    assert plan["emissions_kg"] == 0
    assert not any("kg/kWh" in sentence for sentence in plan["provenance"]["assumptions"])


def test_the_same_inputs_have_the_same_fingerprint_and_plan(operator: httpx.Client, village: str):
    one, other = dispatch(operator, village, CASE_1), dispatch(operator, village, CASE_1)
    assert one["result_id"] != other["result_id"]
    assert one["provenance"]["inputs_sha256"] == other["provenance"]["inputs_sha256"]
    assert one["charge_kw"] == other["charge_kw"]
    third = dispatch(operator, village, {**CASE_1, "current_soc_kwh": 21})
    assert third["provenance"]["inputs_sha256"] != one["provenance"]["inputs_sha256"]


def test_a_battery_without_power_or_capacity_stays_idle(api: Api, operator: httpx.Client):
    for numbers in ({"total_storage_capacity_kwh": 0.0}, {"max_storage_power_kw": 0.0}):
        plan = dispatch(operator, api.community(operator, **numbers), {})
        assert max(plan["charge_kw"] + plan["discharge_kw"]) == pytest.approx(0, abs=1e-9)
