"""Dispatch over HTTP: the worked cases, every objective, refusals that say what to do, priors, and stored results."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused
from tests.cases import case_4

EXACT = 1e-3
"""Of money, kW, kWh and kg in the worked cases."""

MONDAY = "2026-03-02T00:00:00Z"
CASE_1_COMMUNITY = {
    "total_storage_capacity_kwh": 100.0,
    "max_storage_power_kw": 40.0,
    "grid_import_limit_kw": 100.0,
    "grid_export_limit_kw": 30.0,
    "charge_efficiency": 0.9,
    "discharge_efficiency": 0.8,
}
CASE_1 = {
    "start_time": MONDAY,
    "horizon_hours": 2,
    "resolution_minutes": 30,
    "load_kw": [20.0, 40, 60, 90],
    "pv_kw": [80.0, 40, 0, 0],
    "import_price_per_kwh": [0.20, 0.20, 0.40, 0.30],
    "export_price_per_kwh": 0.05,
    "emission_factor_kg_per_kwh": [0.10, 0.25, 0.40, 0.20],
    "current_soc_kwh": 20,
}
OBJECTIVES = (
    "minimize_cost",
    "maximize_welfare",
    "minimize_emissions",
    "minimize_peak",
    "maximize_self_consumption",
)


@pytest.fixture(scope="module")
def village(api: Api, operator: httpx.Client) -> str:
    """The community of case 1."""
    return api.community(operator, **CASE_1_COMMUNITY)


def dispatch(client: httpx.Client, community_id: str, body: dict[str, Any], status: int = 200) -> Any:
    response = client.post(f"/communities/{community_id}/optimization/dispatch", json=body)
    return answered(response, status) if status < 400 else refused(response, status)


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
        _check_physics(plan, capacity_kwh=100, power_kw=40, efficiencies=(0.9, 0.8), initial_kwh=20)


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


def _check_physics(
    plan: Any, *, capacity_kwh: float, power_kw: float, efficiencies: tuple[float, float], initial_kwh: float
) -> None:
    """Balance, limits and storage, from the answer alone."""
    names = ("load_kw", "pv_kw", "charge_kw", "discharge_kw", "import_kw", "export_kw", "curtailed_kw", "soc_kwh")
    load, pv, charge, discharge, grid_in, grid_out, curtailed, soc = (np.array(plan[name]) for name in names)
    hours = plan["resolution_minutes"] / 60
    into, out = efficiencies
    np.testing.assert_allclose(grid_in + pv - curtailed + discharge, load + charge + grid_out, atol=1e-6)
    np.testing.assert_allclose(np.diff(soc, prepend=initial_kwh), hours * (into * charge - discharge / out), atol=1e-6)
    assert soc.min() > -1e-6
    assert soc.max() < capacity_kwh + 1e-6
    assert np.minimum(charge, discharge).max() < 1e-6
    assert np.maximum(charge, discharge).max() < power_kw + 1e-6


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
    _check_physics(plan, capacity_kwh=1000, power_kw=200, efficiencies=(0.95, 0.95), initial_kwh=500)


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


# What was known when


def test_a_plan_for_the_past_sees_what_was_known_then_and_no_later(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    _record(operator, community_id, "storage_soc_kwh", start - timedelta(minutes=15), [300.0, 777.0], unit="kWh")
    _record(operator, community_id, "import_price_per_kwh", start, [0.5] * 4, unit="currency/kWh")
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "horizon_hours": 1})
    assert plan["provenance"]["as_of"] == "2026-03-10T12:00:00Z"
    # known at noon: the state of charge of 11:45 (as an instant), not that of noon, and no price of the hour after it
    assert _initial_kwh(plan) == pytest.approx(300, abs=1e-3)
    assert plan["import_price_per_kwh"] == [0.3] * 4
    later = (start + timedelta(hours=1)).isoformat()
    hindsight = {"start_time": start.isoformat(), "horizon_hours": 1, "as_of": later}
    assert dispatch(operator, community_id, hindsight)["import_price_per_kwh"] == [0.5] * 4


def test_a_state_of_charge_is_believed_for_two_hours(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    _record(operator, community_id, "storage_soc_kwh", start - timedelta(hours=3), [300.0], unit="kWh")
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "horizon_hours": 1})
    assert _initial_kwh(plan) == pytest.approx(500, abs=1e-3)
    assert any("half full" in sentence for sentence in plan["provenance"]["assumptions"])


def _record(
    client: httpx.Client, community_id: str, name: str, start: datetime, values: list[float], **column: str
) -> None:
    """Quarters that became known when they ended."""
    series = {"name": name, "start": start.isoformat(), "resolution_minutes": 15, "values": values, **column}
    body = {"assumed_delay_minutes": 0, "series": [series]}
    answered(client.post(f"/communities/{community_id}/readings", json=body))


def _initial_kwh(plan: Any) -> float:
    hours = plan["resolution_minutes"] / 60
    return plan["soc_kwh"][0] - hours * (0.95 * plan["charge_kw"][0] - plan["discharge_kw"][0] / 0.95)


# Tariffs on the local clock


@pytest.mark.parametrize(
    ("midnight", "hours"), [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25), ("2026-06-09T22:00:00Z", 24)]
)
def test_an_evening_price_holds_in_the_local_evening_of_short_and_long_days(
    api: Api, operator: httpx.Client, midnight: str, hours: int
):
    tariff = {
        "import_price": {
            "kind": "time_of_use",
            "default_per_kwh": 0.2,
            "windows": [{"per_kwh": 0.4, "start_hour": 17, "end_hour": 21}],
        },
        "export_price": {"kind": "flat", "per_kwh": 0.05},
    }
    community_id = api.community(operator, timezone="Europe/Vienna", tariff=tariff)
    plan = dispatch(operator, community_id, {"start_time": midnight, "horizon_hours": hours, "resolution_minutes": 60})
    # the evening lies four to eight hours before the next local midnight, however long the day was
    assert plan["import_price_per_kwh"] == [0.2] * (hours - 7) + [0.4] * 4 + [0.2] * 3


def test_a_dynamic_tariff_without_market_prices_says_what_it_needs(api: Api, operator: httpx.Client):
    tariff = {"import_price": {"kind": "dynamic", "markup_per_kwh": 0.1}, "export_price": {"kind": "dynamic"}}
    community_id = api.community(operator, tariff=tariff)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    body = {"start_time": start.isoformat(), "horizon_hours": 1, "as_of": (start + timedelta(hours=2)).isoformat()}
    problem = dispatch(operator, community_id, body, 409)
    assert problem["type"] == "/problems/insufficient-data"
    assert (problem["needed"], problem["found"]) == (4, 0)
    _record(operator, community_id, "import_price_per_kwh", start, [100.0, 50, -20, 0], unit="EUR/MWh")
    plan = dispatch(operator, community_id, body)
    assert plan["import_price_per_kwh"] == pytest.approx([0.2, 0.15, 0.08, 0.1])
    assert plan["export_price_per_kwh"] == pytest.approx([0.1, 0.05, -0.02, 0])


# Sharing


CASE_3_MEMBERS = [
    {"member_id": "A", "load_kw": [4.0, 4, 4, 4], "pv_kw": [20.0, 20, 0, 12]},
    {"member_id": "B", "load_kw": [4.0, 24, 12, 0], "pv_kw": [0.0] * 4},
    {"member_id": "C", "load_kw": [4.0, 8, 8, 16], "pv_kw": [0.0] * 4},
]
"""The sharing case: kWh per quarter as mean powers."""


@pytest.mark.parametrize(
    ("rule", "cost", "shared"),
    [("none", 5.40, 0), ("dynamic", 4.28, 8), ("static", 4.42, 7), ("hybrid", 4.28, 8), ("single_meter", 3.48, None)],
)
def test_members_share_by_the_rule_of_their_community(
    api: Api, operator: httpx.Client, rule: str, cost: float, shared: float | None
):
    community_id = api.community(operator, total_storage_capacity_kwh=0.0)
    path = f"/communities/{community_id}"
    coefficients = {"A": 0.0, "B": 0.5, "C": 0.5}
    members = [{"member_id": name, "sharing_coefficient": share} for name, share in coefficients.items()]
    answered(operator.post(f"{path}/members", json={"members": members}), 201)
    sharing = {"rule": rule, "sharing_price_per_kwh": 0.10, "network_charge_per_kwh": 0.10}
    answered(operator.put(f"{path}/sharing", json=sharing))
    request: dict[str, Any] = {
        "start_time": MONDAY,
        "horizon_hours": 1,
        "import_price_per_kwh": 0.30,
        "export_price_per_kwh": 0.06,
    }
    if rule == "single_meter":
        loads, generation = ([one[name] for one in CASE_3_MEMBERS] for name in ("load_kw", "pv_kw"))
        request |= {"load_kw": np.sum(loads, axis=0).tolist(), "pv_kw": np.sum(generation, axis=0).tolist()}
    else:
        request["members"] = CASE_3_MEMBERS
    plan = dispatch(operator, community_id, request)
    assert plan["cost"] == pytest.approx(cost, abs=EXACT)
    if shared is not None:
        assert sum(plan["shared_kwh"]) == pytest.approx(shared, abs=EXACT)
    if rule == "dynamic":
        assert plan["self_consumption"] == pytest.approx(11 / 13, abs=EXACT)
        assert plan["self_sufficiency"] == pytest.approx(11 / 23, abs=EXACT)


@pytest.mark.parametrize(("zonal_price", "cost"), [(0.150, 4.20), (None, 4.10)])
def test_an_italian_premium_follows_the_zonal_price(
    api: Api, operator: httpx.Client, zonal_price: float | None, cost: float
):
    community_id = api.community(operator, total_storage_capacity_kwh=0.0)
    sharing = {"rule": "dynamic", "settlement_minutes": 60, "premium": {"regional_per_mwh": 10.0}}
    answered(operator.put(f"/communities/{community_id}/sharing", json=sharing))
    prices: dict[str, Any] = {"import_price_per_kwh": 0.30, "export_price_per_kwh": 0.06}
    if zonal_price is not None:
        prices["zonal_price_per_kwh"] = zonal_price
    plan = dispatch(
        operator, community_id, {"start_time": MONDAY, "horizon_hours": 1, "members": CASE_3_MEMBERS, **prices}
    )
    assert plan["cost"] == pytest.approx(cost, abs=EXACT)
    assumed = any("zonal price" in sentence for sentence in plan["provenance"]["assumptions"])
    assert assumed is (zonal_price is None)


def test_sums_beside_members_are_refused_rather_than_dropped(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    answered(operator.put(f"/communities/{community_id}/sharing", json={"rule": "dynamic"}))
    body: dict[str, Any] = {"start_time": MONDAY, "horizon_hours": 1, "members": CASE_3_MEMBERS, "load_kw": [1.0] * 4}
    response = operator.post(f"/communities/{community_id}/optimization/dispatch", json=body)
    refused(response, 422, pointer="/load_kw")
    twice = {**body, "members": [CASE_3_MEMBERS[0]] * 2}
    response = operator.post(f"/communities/{community_id}/optimization/dispatch", json=twice)
    refused(response, 422, pointer="/members")


def test_fixed_shares_need_the_coefficient_of_every_member(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    answered(operator.put(f"/communities/{community_id}/sharing", json={"rule": "static"}))
    body = {"start_time": MONDAY, "horizon_hours": 1, "members": CASE_3_MEMBERS}
    assert "sharing_coefficient" in dispatch(operator, community_id, body, 409)["detail"]


def test_members_who_have_left_take_no_part_in_the_plan(api: Api, operator: httpx.Client):
    community_id = api.community(operator, total_storage_capacity_kwh=0.0)
    path = f"/communities/{community_id}"
    start = datetime(2026, 3, 10, tzinfo=UTC)
    members = [{"member_id": "stays"}, {"member_id": "leaves", "left_at": "2026-03-09T00:00:00Z"}]
    answered(operator.post(f"{path}/members", json={"members": members}), 201)
    answered(operator.put(f"{path}/sharing", json={"rule": "dynamic"}))
    week_before = (start - timedelta(days=7)).isoformat()
    column = {"name": "load_kw", "unit": "kW", "start": week_before, "resolution_minutes": 15, "values": [3.0] * 4}
    series = [{**column, "member_id": one["member_id"]} for one in members]
    answered(operator.post(f"{path}/readings", json={"series": series, "assumed_delay_minutes": 60}))
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "horizon_hours": 1})
    assert plan["load_kw"] == pytest.approx([3.0] * 4)
    assert "members behave as 1 week(s) before" in plan["provenance"]["assumptions"]


# Results


def test_results_are_paged_newest_first_and_each_once(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    path = f"/communities/{community_id}/optimization/results"
    made = [dispatch(operator, community_id, CASE_1)["result_id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "kind": "dispatch"} | ({"cursor": cursor} if cursor else {})
        page = answered(operator.get(path, params=params))
        seen += [one["result_id"] for one in page["results"]]
        assert all(one["kind"] == "dispatch" for one in page["results"])
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_a_stored_result_is_where_the_answer_said(operator: httpx.Client, village: str):
    response = operator.post(f"/communities/{village}/optimization/dispatch", json=CASE_1)
    assert answered(operator.get(response.headers["location"])) == response.json()


def test_a_result_is_found_in_its_own_community_only(
    operator: httpx.Client, stranger: httpx.Client, village: str, community: str
):
    result_id = dispatch(operator, village, CASE_1)["result_id"]
    refused(operator.get(f"/communities/{community}/optimization/results/{result_id}"), 404)
    refused(stranger.get(f"/communities/{village}/optimization/results/{result_id}"), 404)


@pytest.mark.parametrize("result_id", ["1", "00000000-0000-0000-0000-000000000000", "x' or 1=1", "%00"])
def test_a_result_that_never_was_is_not_found(operator: httpx.Client, village: str, result_id: str):
    response = operator.get(f"/communities/{village}/optimization/results/{result_id}")
    assert response.status_code in (404, 422)


@pytest.mark.parametrize("params", [{"kind": "import"}, {"limit": "0"}, {"cursor": "Zm9v"}, {"kinds": "dispatch"}])
def test_a_list_that_cannot_be_is_refused(operator: httpx.Client, village: str, params: dict[str, str]):
    refused(operator.get(f"/communities/{village}/optimization/results", params=params), 422)


def test_a_repeated_request_with_its_key_is_planned_once(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    path, headers = f"/communities/{community_id}/optimization/dispatch", {"Idempotency-Key": "again"}
    first, second = (operator.post(path, json=CASE_1, headers=headers) for _ in range(2))
    assert answered(second) == answered(first)
    assert second.headers["location"] == first.headers["location"]
    refused(operator.post(path, json={**CASE_1, "current_soc_kwh": 21}, headers=headers), 422)
    results = answered(operator.get(f"/communities/{community_id}/optimization/results"))["results"]
    assert len(results) == 1


# What meters tell


def test_behind_net_meters_nothing_is_curtailed(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    start = datetime(2026, 3, 16, tzinfo=UTC)
    hours = np.arange(10 * 96) / 4 % 24
    net_kw = (20 - 45 * np.exp(-(((hours - 12) / 2) ** 2))).tolist()
    _record(operator, community_id, "net_load_kw", start - timedelta(days=10), net_kw, unit="kW")
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "current_soc_kwh": 20})
    assert plan["curtailed_kw"] == pytest.approx([0] * 96, abs=1e-9)
    assert np.subtract(plan["load_kw"], plan["pv_kw"]) == pytest.approx(np.array(net_kw[:96]), abs=0.01)
    assert any("not metered apart" in sentence for sentence in plan["provenance"]["assumptions"])
    assert not any("standard" in sentence for sentence in plan["provenance"]["assumptions"])
    _check_physics(plan, capacity_kwh=100, power_kw=40, efficiencies=(0.9, 0.8), initial_kwh=20)


def test_a_few_reporting_members_stand_for_all(api: Api, operator: httpx.Client):
    community_id = api.community(operator, num_prosumers=100)
    path = f"/communities/{community_id}"
    start = datetime(2026, 3, 16, tzinfo=UTC)
    answered(operator.post(f"{path}/members", json={"members": [{"member_id": "a"}, {"member_id": "b"}]}), 201)
    for member in ("a", "b"):
        past = start - timedelta(days=10)
        _record(operator, community_id, "load_kw", past, [2.0] * 960, unit="kW", member_id=member)
    plan = dispatch(operator, community_id, {"start_time": start.isoformat()})
    assert plan["load_kw"] == pytest.approx([200] * 96, rel=1e-6)
    assert plan["provenance"]["sources"]["load_kw"] == "sum over 2 of 100 prosumers, scaled by 100/2"


def test_a_peak_that_was_paid_for_costs_nothing_more(api: Api, operator: httpx.Client):
    def cost(peak_so_far_kw: float) -> float:
        charge = {"per_kw": 10.0, "peak_so_far_kw": peak_so_far_kw}
        flat = {"kind": "flat", "per_kwh": 0.05}
        tariff = {"import_price": flat, "export_price": flat, "capacity_charge": charge}
        community_id = api.community(operator, **CASE_1_COMMUNITY, tariff=tariff)
        return dispatch(operator, community_id, CASE_1)["cost"]

    # 100 kW is the limit of the connection: with it paid for, the plan is that without a charge
    assert cost(100) == pytest.approx(18.36, abs=EXACT)
    assert cost(0) > cost(50) > cost(100)


# Many at once


def test_of_equal_requests_at_once_with_one_key_one_is_planned(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    path, headers = f"/communities/{community_id}/optimization/dispatch", {"Idempotency-Key": "at once"}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: operator.post(path, json=CASE_1, headers=headers), range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    planned = {answer.json()["result_id"] for answer in answers if answer.status_code == 200}
    results = answered(operator.get(f"/communities/{community_id}/optimization/results"))["results"]
    assert planned == {one["result_id"] for one in results}
    assert len(planned) == 1


def test_plans_made_at_once_do_not_mix(operator: httpx.Client, village: str):
    levels = [20, 30, 40, 50, 60, 70]
    alone = [dispatch(operator, village, {**CASE_1, "current_soc_kwh": level})["cost"] for level in levels]
    with ThreadPoolExecutor(6) as threads:
        bodies = [{**CASE_1, "current_soc_kwh": level} for level in levels]
        together = list(threads.map(lambda body: dispatch(operator, village, body)["cost"], bodies))
    assert together == pytest.approx(alone, abs=1e-9)
