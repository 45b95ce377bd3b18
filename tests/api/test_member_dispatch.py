"""Plans at the level of members over HTTP: each member's own battery, what all save, and who may see what."""

import io
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from tests.api.application import Api, answered, refused
from tests.api.dispatching import MONDAY
from tests.api.test_kept_plans import optimum

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "plan-for-members.md"
HOURS = 24
PRICES = [0.20] * 6 + [0.35] * 4 + [0.15] * 6 + [0.45] * 5 + [0.25] * 3
DAY: dict[str, Any] = {
    "level": "member", "start_time": MONDAY, "horizon_hours": 24, "resolution_minutes": 60,
    "import_price_per_kwh": PRICES, "export_price_per_kwh": 0.05,
}  # fmt: skip
CLOCK = np.arange(HOURS)
SUN = np.clip(np.sin((CLOCK - 6) / 12 * np.pi), 0, None)
ENERGY = 1e-3
"""Powers of members are answered in single precision."""


def dispatched(client: httpx.Client, community: str, status: int = 200, **changes: Any) -> dict[str, Any]:
    response = client.post(f"/communities/{community}/optimization/dispatch", json={**DAY, **changes})
    return answered(response) if status == 200 else refused(response, status)


def village(api: Api, owner: httpx.Client, homes: int = 6, **given: Any) -> str:
    """Homes of four weeks of readings; every second one has PV and a battery."""
    community = api.community(owner, num_prosumers=homes, total_pv_capacity_kw=2.5 * homes, **given)
    names = [f"home_{number}" for number in range(homes)]
    answered(
        owner.post(f"/communities/{community}/members", json={"members": [{"member_id": one} for one in names]}), 201
    )
    assets: list[dict[str, Any]] = []
    for one in names[::2]:
        assets += [
            {"asset_id": f"roof_of_{one}", "member_id": one, "device": {"kind": "pv", "capacity_kw": 5.0}},
            {
                "asset_id": f"battery_of_{one}",
                "member_id": one,
                "device": {"kind": "battery", "capacity_kwh": 8.0, "power_kw": 4.0},
            },
        ]
    answered(owner.post(f"/communities/{community}/assets", json={"assets": assets}), 201)
    upload(owner, community, names)
    return community


def upload(owner: httpx.Client, community: str, names: list[str]) -> None:
    start = datetime.fromisoformat(MONDAY) - timedelta(days=28)
    evening = np.exp(-(((CLOCK - 19) / 2.0) ** 2))
    columns: list[dict[str, Any]] = []
    for number, one in enumerate(names):
        load = np.tile((1 + 0.3 * number) * (0.3 + evening), 28)
        courses = {"load_kw": load} | ({"pv_kw": np.tile(4.0 * SUN, 28)} if number % 2 == 0 else {})
        columns += [
            {
                "name": name, "unit": "kW", "kind": "mean", "member_id": one, "start": start.isoformat(),
                "resolution_minutes": 60, "values": values.tolist(),
            }
            for name, values in courses.items()
        ]  # fmt: skip
    answered(owner.post(f"/communities/{community}/readings", json={"series": columns, "assumed_delay_minutes": 0}))


@pytest.fixture(scope="module")
def owner(api: Api) -> httpx.Client:
    return api.account("operator")


@pytest.fixture(scope="module")
def homes(api: Api, owner: httpx.Client) -> str:
    return village(api, owner)


@pytest.fixture(scope="module")
def plan(owner: httpx.Client, homes: str) -> dict[str, Any]:
    return dispatched(owner, homes)


def members_of(client: httpx.Client, community: str, result_id: str, **query: Any) -> dict[str, Any]:
    path = f"/communities/{community}/optimization/results/{result_id}/members"
    return answered(client.get(path, params=query))


def test_every_member_gets_a_plan_and_all_together_are_the_community(
    owner: httpx.Client, homes: str, plan: dict[str, Any]
):
    assert (plan["members"], plan["storages"], plan["vehicles"]) == (6, 3, 0)
    assert plan["status"] == "optimal"
    assert plan["gap"] <= 1e-4
    assert plan["lower_bound"] <= plan["objective_value"] + 1e-9
    page = members_of(owner, homes, plan["result_id"])
    assert [one["member_id"] for one in page["members"]] == [f"home_{number}" for number in range(6)]
    for name in ("load_kw", "pv_kw", "charge_kw", "discharge_kw", "soc_kwh", "curtailed_kw"):
        together = np.sum([one[name] for one in page["members"]], axis=0)
        assert together == pytest.approx(np.array(plan[name]), abs=ENERGY)
    net = np.array(plan["load_kw"]) + plan["charge_kw"] - np.array(plan["discharge_kw"]) - plan["pv_kw"]
    met = np.array(plan["import_kw"]) - plan["export_kw"]
    assert net + plan["curtailed_kw"] == pytest.approx(met, abs=1e-6)
    assert all(np.all(np.array(one["charge_kw"]) == 0) for one in page["members"][1::2])


def test_members_loads_agree_with_the_forecast_of_the_community(owner: httpx.Client, homes: str, plan: dict[str, Any]):
    body = {"start_time": MONDAY, "horizon_hours": 24, "resolution_minutes": 60, "variables": ["load_kw", "pv_kw"]}
    forecast = answered(owner.post(f"/communities/{homes}/forecasting/generate", json=body))["variables"]
    for name in ("load_kw", "pv_kw"):
        assert plan[name] == pytest.approx(np.maximum(forecast[name]["mean"], 0), abs=1e-6)
    assert "readings of 6 of 6 members" in plan["provenance"]["sources"]["members"]


def test_what_members_save_is_told_and_adds_up(owner: httpx.Client, homes: str, plan: dict[str, Any]):
    saved = np.array([one["saved"] for one in members_of(owner, homes, plan["result_id"])["members"]])
    savings, fairness = plan["savings"], plan["fairness"]
    assert savings["saved"] == pytest.approx(savings["cost_without_control"] - plan["cost"])
    assert savings["saved"] > 0
    assert saved.sum() + fairness["shared_by_nobody"] == pytest.approx(savings["saved"])
    assert fairness["saved_quantiles"]["0"] == pytest.approx(saved.min())
    assert fairness["saved_quantiles"]["1"] == pytest.approx(saved.max())
    assert fairness["worse_off_members"] == (saved < -0.005).sum()
    assert fairness["members_with_storage"] == 3
    assert fairness["mean_saved_with_storage"] == pytest.approx(saved[::2].mean())


def test_a_plan_is_no_dearer_than_that_of_one_large_battery_may_be(
    api: Api, owner: httpx.Client, homes: str, plan: dict[str, Any]
):
    """All batteries as one, which knows no members, cost no more than members' own; here they are alike."""
    one = api.community(
        owner, total_storage_capacity_kwh=24.0, max_storage_power_kw=12.0, grid_import_limit_kw=1e4,
        grid_export_limit_kw=1e4,
    )  # fmt: skip
    body = {name: DAY[name] for name in DAY if name != "level"}
    body |= {"load_kw": plan["load_kw"], "pv_kw": plan["pv_kw"], "current_soc_kwh": 12.0}
    whole = answered(owner.post(f"/communities/{one}/optimization/dispatch", json=body))
    assert plan["cost"] == pytest.approx(whole["cost"], rel=2e-4)


def test_a_result_is_kept_as_it_was_answered_and_is_listed(owner: httpx.Client, homes: str, plan: dict[str, Any]):
    path = f"/communities/{homes}/optimization/results"
    assert answered(owner.get(f"{path}/{plan['result_id']}")) == plan
    listed = answered(owner.get(path, params={"kind": "member_dispatch"}))["results"]
    assert plan["result_id"] in [one["result_id"] for one in listed]
    assert {one["kind"] for one in listed} == {"member_dispatch"}


def test_pages_of_members_follow_each_other(owner: httpx.Client, homes: str, plan: dict[str, Any]):
    first = members_of(owner, homes, plan["result_id"], limit=4)
    second = members_of(owner, homes, plan["result_id"], limit=4, cursor=first["next"])
    assert len(first["members"]) == 4
    assert len(second["members"]) == 2
    assert second["next"] is None


def test_tables_hold_every_member_and_interval(owner: httpx.Client, homes: str, plan: dict[str, Any]):
    path = f"/communities/{homes}/optimization/results/{plan['result_id']}/members"
    as_csv = owner.get(path, headers={"Accept": "text/csv"})
    as_parquet = owner.get(path, headers={"Accept": "application/vnd.apache.parquet"})
    table = arrow_csv.read_csv(io.BytesIO(as_csv.content))
    other = parquet.read_table(io.BytesIO(as_parquet.content))
    assert table.num_rows == other.num_rows == 6 * HOURS
    assert table.column_names == other.column_names
    for name in ("load_kw", "charge_kw", "soc_kwh"):
        assert table[name].to_numpy() == pytest.approx(other[name].to_numpy(), rel=1e-5)
    first = members_of(owner, homes, plan["result_id"])["members"][0]
    assert other["charge_kw"].to_numpy()[:HOURS] == pytest.approx(np.array(first["charge_kw"]))
    assert other["member_id"].to_pylist()[HOURS - 1 : HOURS + 1] == ["home_0", "home_1"]


def test_a_member_sees_their_own_plan_alone(api: Api, owner: httpx.Client, homes: str, plan: dict[str, Any]):
    home = api.member_of(homes, "viewer", member_id="home_2")
    own = answered(home.get(f"/communities/{homes}/members/home_2/plan"))
    assert own["member_id"] == "home_2"
    assert own["import_price_per_kwh"] == PRICES
    assert len(own["soc_kwh"]) == HOURS
    refused(home.get(f"/communities/{homes}/members/home_0/plan"), 403)
    refused(home.get(f"/communities/{homes}/optimization/results/{plan['result_id']}/members"), 403)
    named = answered(owner.get(f"/communities/{homes}/members/home_0/plan", params={"result_id": plan["result_id"]}))
    assert named["result_id"] == plan["result_id"]
    refused(owner.get(f"/communities/{homes}/members/nobody/plan"), 404)


def test_a_plan_for_members_is_explained_to_who_may_see_all_of_them(
    api: Api, owner: httpx.Client, homes: str, plan: dict[str, Any]
):
    path = f"/communities/{homes}/optimization/results/{plan['result_id']}"
    found = answered(owner.get(f"{path}/explanation"))
    assert (found["objective"], found["unit"]) == ("minimize_cost", "EUR")
    capacity = next(one for one in found["members"] if one["limit"] == "capacity_kwh")
    assert {one["member_id"] for one in capacity["most_valuable"]} <= {"home_0", "home_2", "home_4"}
    assert capacity["members"] == len(capacity["most_valuable"])
    assert sum(one["objective_per_unit"] for one in capacity["most_valuable"]) == pytest.approx(
        capacity["objective_per_unit"]
    )
    assert "of 6 members" in capacity["text"]
    assert found["notes"][0].startswith("Inside the community a kWh is worth least")
    home = api.member_of(homes, "viewer", member_id="home_2")
    for part in ("explanation", "model"):
        refused(home.get(f"{path}/{part}"), 403)


def test_the_model_of_a_plan_for_members_has_its_optimum(
    owner: httpx.Client, homes: str, plan: dict[str, Any], tmp_path: Path
):
    path = f"/communities/{homes}/optimization/results/{plan['result_id']}"
    best = optimum(owner, path, tmp_path, "lp").getObjectiveValue()
    assert plan["lower_bound"] - 1e-6 <= best <= plan["objective_value"] + 1e-6


def test_a_run_makes_the_same_plan(owner: httpx.Client, homes: str, plan: dict[str, Any]):
    path = f"/communities/{homes}/optimization/dispatch"
    response = owner.post(path, json=DAY, headers={"Prefer": "respond-async, wait=30"})
    run = answered(response, 202)
    assert response.headers["location"] == f"/runs/{run['run_id']}"
    while run["state"] in ("queued", "running"):
        run = answered(owner.get(f"/runs/{run['run_id']}", headers={"Prefer": "wait=20"}))
    assert run["state"] == "succeeded", run
    assert run["progress"] == {"done": 3, "total": 3}
    made = answered(owner.get(run["links"]["result"]))
    assert made["result_id"] == run["run_id"]
    assert made["cost"] == pytest.approx(plan["cost"], rel=1e-4)
    assert len(members_of(owner, homes, run["run_id"])["members"]) == 6


def test_a_run_that_finds_no_plan_fails_with_the_reason_and_leaves_no_result(api: Api, owner: httpx.Client):
    tight = village(api, owner, 2, grid_import_limit_kw=0.1)
    response = owner.post(
        f"/communities/{tight}/optimization/dispatch", json=DAY, headers={"Prefer": "respond-async, wait=30"}
    )
    run = answered(response, 202)
    while run["state"] in ("queued", "running"):
        run = answered(owner.get(f"/runs/{run['run_id']}", headers={"Prefer": "wait=20"}))
    assert run["state"] == "failed"
    assert run["problem"]["type"].endswith("infeasible")
    assert "grid_import_limit_kw" in run["problem"]["detail"]
    assert answered(owner.get(f"/communities/{tight}/optimization/results"))["results"] == []
    refused(owner.get(f"/communities/{tight}/optimization/results/{run['run_id']}/members"), 404)


def car(member_id: str | None, **changes: Any) -> dict[str, Any]:
    stays = [
        {"departure": "2026-03-02T07:00:00Z", "departure_soc_min_kwh": 30.0, "arrival_soc_kwh": 20.0},
        {
            "arrival": "2026-03-02T17:00:00Z", "departure": "2026-03-03T07:00:00Z", "departure_soc_min_kwh": 30.0,
            "arrival_soc_kwh": 18.0,
        },
    ]  # fmt: skip
    whole = {"kind": "ev", "device_id": "car", "capacity_kwh": 40.0, "power_kw": 7.0, "stays": stays}
    return whole | ({} if member_id is None else {"member_id": member_id}) | changes


def test_a_members_vehicle_is_charged_by_its_departure(owner: httpx.Client, homes: str):
    made = dispatched(owner, homes, devices=[car("home_1")])
    assert made["vehicles"] == 1
    own = answered(owner.get(f"/communities/{homes}/members/home_1/plan"))
    soc, charge = np.array(own["soc_kwh"]), np.array(own["charge_kw"])
    assert soc[6] >= 30.0 - ENERGY
    assert (charge[7:17] == 0).all()
    assert soc[16] == pytest.approx(soc[6] - 12.0, abs=ENERGY)
    assert np.dot(charge[:7], 0.9 * np.ones(7)) == pytest.approx(soc[6] - 20.0, abs=ENERGY)


def test_a_vehicle_that_cannot_be_ready_is_named_with_its_member(owner: httpx.Client, homes: str):
    stays = [{"departure": "2026-03-02T02:00:00Z", "departure_soc_min_kwh": 39.0, "arrival_soc_kwh": 5.0}]
    problem = dispatched(owner, homes, 422, devices=[car("home_1", stays=stays)])
    assert "member 'home_1' with 'car'" in problem["detail"]
    assert problem["limits"][0]["member_id"] == "home_1"
    assert problem["limits"][0]["device_id"] == "car"


def test_vehicles_that_are_all_alike_and_cannot_be_ready_are_all_named(owner: httpx.Client, homes: str):
    stays = [{"departure": "2026-03-02T02:00:00Z", "departure_soc_min_kwh": 39.0, "arrival_soc_kwh": 5.0}]
    cars = [car(f"home_{number}", device_id=f"car_{number}", stays=stays) for number in (1, 3)]
    problem = dispatched(owner, homes, 422, devices=cars)
    assert {one["member_id"] for one in problem["limits"]} == {"home_1", "home_3"}
    assert "and so for 1 more" in problem["detail"]


def test_that_a_member_leaves_within_the_horizon_is_told(api: Api, owner: httpx.Client):
    community = village(api, owner, 2)
    leaving = {"member_id": "home_1", "left_at": "2026-03-02T06:00:00Z"}
    answered(owner.post(f"/communities/{community}/members", json={"members": [leaving]}), 201)
    [note] = [one for one in dispatched(owner, community)["provenance"]["notes"] if "as they are at the start" in one]
    assert "1 joining or leaving" in note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": "minimize_peak"}, "minimize_cost or maximize_welfare"),
        ({"weights": {"cost": 1.0}}, "no weights"),
        ({"current_soc_kwh": 5.0}, "no current_soc_kwh"),
        ({"final_soc_min_kwh": 0.0}, "no final_soc_min_kwh"),
        ({"devices": [car("home_1"), car("home_2")]}, "given twice"),
        ({"devices": [car("home_2", device_id="battery_of_home_0")]}, "of a registered battery"),
        ({"end_value_per_kwh": "water_value"}, "is a number"),
        ({"devices": [car(None)]}, "must name the member_id"),
        ({"devices": [car("stranger")]}, "who is a member"),
        ({"import_price_per_kwh": [0.2] * 3}, "one value for each"),
        ({"level": "community", "devices": [car("home_1")]}, "level: member"),
    ],
)
def test_what_is_no_part_of_a_plan_for_members_says_so(
    owner: httpx.Client, homes: str, change: dict[str, Any], words: str
):
    assert words in dispatched(owner, homes, 422, **change)["detail"]


def test_a_community_without_members_or_batteries_is_told_what_to_register(api: Api, owner: httpx.Client):
    bare = api.community(owner)
    assert "POST .../members" in dispatched(owner, bare, 409)["detail"]
    answered(owner.post(f"/communities/{bare}/members", json={"members": [{"member_id": "home"}]}), 201)
    assert "POST .../assets" in dispatched(owner, bare, 409)["detail"]


def test_a_rule_that_makes_sharing_cost_something_is_refused(api: Api, owner: httpx.Client):
    shared = village(api, owner, 2)
    path = f"/communities/{shared}/sharing"
    answered(owner.put(path, json={"rule": "dynamic", "network_charge_per_kwh": 0.1}))
    assert "costs nothing" in dispatched(owner, shared, 422)["detail"]
    answered(owner.put(path, json={"rule": "dynamic"}))
    assert dispatched(owner, shared)["status"] == "optimal"


def test_members_without_readings_use_what_a_prosumer_does(api: Api, owner: httpx.Client):
    community = api.community(owner, num_prosumers=10, total_pv_capacity_kw=10.0)
    members = [{"member_id": f"m_{number}"} for number in range(4)]
    answered(owner.post(f"/communities/{community}/members", json={"members": members}), 201)
    assets = [
        {
            "asset_id": "b",
            "member_id": "m_0",
            "device": {"kind": "battery", "capacity_kwh": 8.0, "power_kw": 4.0},
        },
        {"asset_id": "p", "member_id": "m_1", "device": {"kind": "pv", "capacity_kw": 5.0}},
    ]
    answered(owner.post(f"/communities/{community}/assets", json={"assets": assets}), 201)
    made = dispatched(owner, community, load_kw=[10.0] * HOURS, pv_kw=(10 * SUN).tolist())
    page = members_of(owner, community, made["result_id"])["members"]
    for one in page:
        assert one["load_kw"] == pytest.approx([1.0] * HOURS, abs=1e-6)
    assert page[1]["pv_kw"] == pytest.approx(5 * SUN, abs=1e-5)
    assert sum(page[0]["pv_kw"]) == 0
    assumed = " ".join(made["provenance"]["assumptions"])
    assert "4 members without two days of readings" in assumed
    assert "1 members without readings of pv_kw" in assumed
    assert "4 members are 40 % of the prosumers" in assumed


def test_the_page_that_tells_how_works_as_it_stands(api: Api, owner: httpx.Client):
    assets, cars = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    community = api.community(owner)
    members = {"members": [{"member_id": "home_1"}, {"member_id": "home_2"}]}
    answered(owner.post(f"/communities/{community}/members", json=members), 201)
    answered(owner.post(f"/communities/{community}/assets", json=json.loads(assets)), 201)
    made = dispatched(owner, community, devices=json.loads(cars))
    assert (made["storages"], made["vehicles"]) == (2, 1)
    own = answered(owner.get(f"/communities/{community}/members/home_1/plan"))
    assert max(own["charge_kw"]) <= 5 + ENERGY


def test_a_battery_starts_at_what_its_meter_says(api: Api, owner: httpx.Client):
    community = village(api, owner, 2)
    reading = {"series": "storage_soc_kwh", "start": "2026-03-01T23:00:00Z", "value": 6.5, "member_id": "home_0"}
    path = f"/communities/{community}/readings"
    answered(owner.post(path, params={"assumed_delay_minutes": 0}, json={"readings": [reading]}))
    made = dispatched(owner, community)
    own = answered(owner.get(f"/communities/{community}/members/home_0/plan"))
    gained = 0.95 * np.array(own["charge_kw"]) - np.array(own["discharge_kw"]) / 0.95
    assert own["soc_kwh"][0] - gained[0] == pytest.approx(6.5, abs=ENERGY)
    assert not any("half full" in one for one in made["provenance"]["assumptions"])


def test_several_storages_behind_a_narrow_fuse_are_refused_by_name(api: Api, owner: httpx.Client):
    community = village(api, owner, 2)
    fuse = {"asset_id": "fuse", "member_id": "home_0", "device": {"kind": "fuse", "limit_kw": 6.0}}
    answered(owner.post(f"/communities/{community}/assets", json={"assets": [fuse]}), 201)
    assert dispatched(owner, community)["status"] == "optimal"
    assert "fuse of member 'home_0'" in dispatched(owner, community, 422, devices=[car("home_0")])["detail"]


def test_meters_that_tell_the_net_alone_agree_in_their_sum(api: Api, owner: httpx.Client):
    community = village(api, owner, 2)
    start = datetime.fromisoformat(MONDAY) - timedelta(days=28)
    answered(owner.post(f"/communities/{community}/members", json={"members": [{"member_id": "net"}]}), 201)
    column = {
        "name": "net_load_kw", "unit": "kW", "kind": "mean", "member_id": "net", "start": start.isoformat(),
        "resolution_minutes": 60, "values": np.tile(1.0 - 2.0 * SUN, 28).tolist(),
    }  # fmt: skip
    body = {"series": [column], "assumed_delay_minutes": 0}
    answered(owner.post(f"/communities/{community}/readings", json=body))
    made = dispatched(owner, community, load_kw=[6.0] * HOURS, pv_kw=(5 * SUN).tolist())
    net = np.array(made["load_kw"]) - made["pv_kw"]
    assert net == pytest.approx(6.0 - 5 * SUN, abs=1e-6)
    assert "meters tell the net alone" in " ".join(made["provenance"]["assumptions"])
    own = answered(owner.get(f"/communities/{community}/members/net/plan"))
    assert max(own["curtailed_kw"]) == 0
