"""Dispatch with devices over HTTP: each kind, what it may refuse, and what is kept of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import EIGHT_NUMBERS, Api
from tests.api.dispatching import CASE_1, MONDAY, dispatch
from tests.api.in_memory import in_memory_api
from tests.api.readings import column, send

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "plan-devices.md"
HOURS = 12
DAY: dict[str, Any] = {
    "start_time": MONDAY,
    "horizon_hours": HOURS,
    "resolution_minutes": 60,
    "load_kw": [3.0] * HOURS,
    "pv_kw": [0.0] * 6 + [9.0] * 6,
    "import_price_per_kwh": [0.40, 0.35, 0.20, 0.15, 0.25, 0.30] * 2,
    "export_price_per_kwh": 0.05,
}
CAR = {
    "kind": "ev",
    "device_id": "car",
    "capacity_kwh": 60,
    "power_kw": 11,
    "stays": [{"departure": "2026-03-02T06:00:00Z", "departure_soc_min_kwh": 40, "arrival_soc_kwh": 20}],
}
WARMTH = {
    "kind": "heat_pump",
    "device_id": "warmth",
    "electric_power_kw": 4,
    "heat_capacity_kwh_per_c": 8,
    "heat_loss_kw_per_c": 0.2,
    "current_temperature_c": 20.5,
    "outdoor_c": 2.0,
}
BATTERY = {"kind": "battery", "device_id": "attic", "capacity_kwh": 10, "power_kw": 5, "current_soc_kwh": 5}
PUMP = {"kind": "shiftable_load", "device_id": "pump", "energy_kwh": 6, "power_kw": 2, "minimum_power_kw": 2}
WASHER = {
    "kind": "shiftable_load",
    "device_id": "washer",
    "profile_kw": [2.0, 0.5],
    "earliest_start": "2026-03-02T01:00:00Z",
    "latest_end": "2026-03-02T05:00:00Z",
}


@pytest.fixture(scope="module")
def bare(api: Api, operator: httpx.Client) -> str:
    """A community without a storage of its own."""
    return api.community(operator, total_storage_capacity_kwh=0.0, max_storage_power_kw=0.0)


def used(plan: Any, device_id: str) -> Any:
    [use] = [one for one in plan["devices"] if one["device_id"] == device_id]
    return use


def test_a_vehicle_is_charged_when_energy_is_cheap_and_leaves_with_what_it_needs(operator: httpx.Client, bare: str):
    plan = dispatch(operator, bare, {**DAY, "devices": [CAR]})
    car = used(plan, "car")
    # 20 kWh at 90 % are 22.2 kWh: 11 kW in the cheapest hour, 11 in the next, and no less than 1.38 for the rest
    assert sum(car["charge_kw"]) == pytest.approx(20 / 0.9, abs=1.2)
    assert car["charge_kw"][3] == pytest.approx(11)
    assert car["charge_kw"][6:] == [0] * 6
    assert car["soc_kwh"][5] >= 40 - 1e-6
    assert car["soc_kwh"][6:] == [None] * 6
    assert all(power == 0 or power >= 1.38 - 1e-5 for power in car["charge_kw"])
    assert plan["savings"]["saved"] > 0
    assert operator.get(f"/communities/{bare}/optimization/results/{plan['result_id']}").json() == plan


def test_an_unknown_state_of_charge_counts_as_empty_and_says_so(operator: httpx.Client, bare: str):
    stay = {"departure": "2026-03-02T06:00:00Z", "departure_soc_min_kwh": 30}
    plan = dispatch(operator, bare, {**DAY, "devices": [{**CAR, "stays": [stay]}]})
    assert 0.9 * sum(used(plan, "car")["charge_kw"]) == pytest.approx(30, abs=1.2)
    assert any("car is unknown" in sentence for sentence in plan["provenance"]["assumptions"])


def test_a_vehicle_that_leaves_after_the_horizon_needs_only_what_time_cannot_mend(operator: httpx.Client, bare: str):
    stay = {"departure": "2026-03-02T14:00:00Z", "departure_soc_min_kwh": 30, "arrival_soc_kwh": 0}
    plan = dispatch(operator, bare, {**DAY, "devices": [{**CAR, "stays": [stay]}]})
    assert used(plan, "car")["soc_kwh"][-1] == pytest.approx(30 - 2 * 11 * 0.9, abs=1.3)


def test_a_heat_pump_keeps_the_band_and_a_cold_start_is_no_refusal(operator: httpx.Client, bare: str):
    plan = dispatch(operator, bare, {**DAY, "devices": [WARMTH]})
    assert min(used(plan, "warmth")["temperature_c"]) >= 20 - 1e-4
    assert plan["discomfort_c_hours"] == pytest.approx(0, abs=1e-4)
    cold = dispatch(operator, bare, {**DAY, "devices": [{**WARMTH, "current_temperature_c": 14}]})
    assert cold["discomfort_c_hours"] > 1
    assert used(cold, "warmth")["charge_kw"][0] == pytest.approx(4)


def test_a_heat_pump_without_outdoor_temperatures_says_what_it_needs(operator: httpx.Client, bare: str):
    without = {name: value for name, value in WARMTH.items() if name != "outdoor_c"}
    problem = dispatch(operator, bare, {**DAY, "devices": [without]}, 409)
    assert "temperature_c" in problem["detail"]


def test_the_outdoor_temperature_comes_from_readings(api: Api, operator: httpx.Client):
    community = api.community(operator, total_storage_capacity_kwh=0.0)
    send(operator, community, column([2.0] * HOURS, "temperature_c", unit="C", kind="instant", resolution_minutes=60))
    without = {name: value for name, value in WARMTH.items() if name != "outdoor_c"}
    body = {**DAY, "as_of": datetime.now(UTC).isoformat()}
    found, given = (dispatch(operator, community, {**body, "devices": [one]}) for one in (without, WARMTH))
    for name in ("charge_kw", "temperature_c"):
        assert used(found, "warmth")[name] == pytest.approx(used(given, "warmth")[name], abs=1e-6)


def test_a_battery_of_its_own_keeps_its_reserve(operator: httpx.Client, bare: str):
    plan = dispatch(operator, bare, {**DAY, "devices": [{**BATTERY, "reserve_kwh": 2, "final_soc_min_kwh": 0}]})
    soc_kwh = used(plan, "attic")["soc_kwh"]
    assert min(soc_kwh) == pytest.approx(2, abs=1e-6)
    assert soc_kwh[-1] == pytest.approx(2, abs=1e-6)


def test_loads_that_can_wait_run_where_energy_is_cheap(operator: httpx.Client, bare: str):
    plan = dispatch(operator, bare, {**DAY, "devices": [PUMP, WASHER]})
    # what the sun gives away for 0.05 is cheapest, in whichever of its hours
    assert sum(used(plan, "pump")["charge_kw"][6:]) == pytest.approx(6)
    # 2 kW in the hour at 0.15 and 0.5 kW in the one at 0.25
    assert used(plan, "washer")["charge_kw"] == pytest.approx([0, 0, 0, 2, 0.5, 0, 0, 0, 0, 0, 0, 0])


def test_a_limit_with_a_price_may_be_passed(api: Api, operator: httpx.Client):
    tight = api.community(operator, total_storage_capacity_kwh=0.0, grid_import_limit_kw=2.0)
    body = {**DAY, "pv_kw": [0.0] * HOURS}
    assert "grid_import_limit_kw" in dispatch(operator, tight, body, 422)["detail"]
    plan = dispatch(operator, tight, {**body, "grid_limit_price_per_kwh": 0.5})
    assert plan["beyond_limits_kwh"] == pytest.approx(HOURS)
    assert plan["cost"] == pytest.approx(3 * sum(DAY["import_price_per_kwh"]) + 0.5 * HOURS)


def test_what_is_left_at_the_end_may_be_worth_something(operator: httpx.Client, village: str):
    poor, rich = (dispatch(operator, village, {**CASE_1, "end_value_per_kwh": value}) for value in (0.01, 2.0))
    assert poor["soc_kwh"][-1] == pytest.approx(0, abs=1e-6)
    assert rich["soc_kwh"][-1] == pytest.approx(20 + 4 * 0.5 * 40 * 0.95)
    assert rich["water_value_per_kwh"][-1] >= 2.0 - 1e-9


def test_the_water_value_comes_from_a_day_more(api: Api, operator: httpx.Client):
    community = api.community(operator)
    body = {"start_time": MONDAY, "horizon_hours": 24, "resolution_minutes": 60, "end_value_per_kwh": "water_value"}
    plan = dispatch(operator, community, body)
    assert "the worth of a stored kWh" in plan["provenance"]["sources"]["end_value_per_kwh"]
    refused = dispatch(operator, community, {**DAY, "end_value_per_kwh": "water_value"}, 422)
    assert "load_kw says nothing" in refused["detail"]


@pytest.fixture(scope="module")
def village(api: Api, operator: httpx.Client) -> str:
    return api.community(operator, total_storage_capacity_kwh=100.0, max_storage_power_kw=40.0)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ({**CAR, "stays": []}, "/devices/0"),
        ({**CAR, "minimum_power_kw": 12.0}, "minimum_power_kw"),
        ({**BATTERY, "current_soc_kwh": 11}, "initial_kwh"),
        ({**PUMP, "energy_kwh": 5}, "whole intervals"),
        ({**PUMP, "profile_kw": [1.0]}, "either"),
        ({**WASHER, "latest_end": "2026-03-02T02:00:00Z"}, "profile_kw"),
        ({**WASHER, "latest_end": "2026-03-01T02:00:00Z"}, "no whole interval"),
        ({**WARMTH, "outdoor_c": [1.0, 2.0]}, "outdoor_c"),
        ({**WARMTH, "comfort_min_c": 30.0}, "comfort"),
        ({"kind": "toaster", "device_id": "t"}, "/devices/0"),
    ],
)
def test_a_device_that_makes_no_sense_is_refused_by_name(
    operator: httpx.Client, bare: str, device: dict[str, Any], told: str
):
    problem = dispatch(operator, bare, {**DAY, "devices": [device]}, 422)
    assert told in str(problem)


def test_a_departure_that_cannot_be_reached_says_what_is_missing(operator: httpx.Client, bare: str):
    stay = {"departure": "2026-03-02T01:00:00Z", "departure_soc_min_kwh": 40, "arrival_soc_kwh": 20}
    problem = dispatch(operator, bare, {**DAY, "devices": [{**CAR, "stays": [stay]}]}, 422)
    assert "10.1 kWh less of devices.car.departure_soc_min_kwh (40 -> 29.9)" in problem["detail"]


def test_devices_count_as_load_of_the_site(operator: httpx.Client, bare: str):
    plan = dispatch(operator, bare, {**DAY, "devices": [PUMP]})
    taken = np.array(DAY["load_kw"]) + used(plan, "pump")["charge_kw"]
    balance = np.array(plan["import_kw"]) - plan["export_kw"] + DAY["pv_kw"] - np.array(plan["curtailed_kw"])
    np.testing.assert_allclose(balance, taken, atol=1e-6)
    assert plan["self_sufficiency"] == pytest.approx(1 - sum(plan["import_kw"]) / taken.sum())


def test_the_page_tells_devices_that_can_be_planned(api: Api, operator: httpx.Client):
    devices = json.loads(PAGE.read_text(encoding="utf-8").partition("```json\n")[2].partition("```")[0])
    assert {one["kind"] for one in devices} == {"ev", "heat_pump", "battery", "shiftable_load"}
    plan = dispatch(operator, api.community(operator), {"start_time": MONDAY, "devices": devices})
    assert plan["status"] == "optimal"
    assert [one["device_id"] for one in plan["devices"]] == [one["device_id"] for one in devices]
    assert used(plan, "car")["soc_kwh"][27] >= 40 - 1e-6
    assert min(used(plan, "warmth")["temperature_c"]) >= 20 - 1e-4
    assert sum(power > 0 for power in used(plan, "washer")["charge_kw"]) == 4


async def test_when_the_time_is_over_the_best_known_plan_is_answered_with_what_it_may_miss():
    async with in_memory_api(optimization_timeout_minutes=1e-9) as api:
        await api.create_administrator()
        api.client.headers["Authorization"] = f"Bearer {(await api.login())['access_token']}"
        await api.client.post("/communities", json={"community_id": "hasty", **EIGHT_NUMBERS})
        answer = await api.client.post("/communities/hasty/optimization/dispatch", json={**DAY, "devices": [CAR]})
        assert answer.status_code == 200, answer.text
        plan = answer.json()
        assert plan["status"] == "feasible"
        assert plan["gap"] > 0
        assert plan["provenance"]["solver"].startswith("out of time")
        assert any("the time was over" in note for note in plan["provenance"]["notes"])
        kept = await api.client.get(answer.headers["Location"])
        assert kept.json() == plan
        # nothing that needs no solver keeps to this limit
        tight = {"community_id": "tight", **EIGHT_NUMBERS, "grid_import_limit_kw": 5.0}
        await api.client.post("/communities", json=tight)
        answer = await api.client.post("/communities/tight/optimization/dispatch", json={**DAY, "devices": [CAR]})
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"]
