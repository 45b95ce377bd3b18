"""Trade-offs and the plan in force, over HTTP."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.dispatching import CASE_1, CASE_1_COMMUNITY, dispatch

from digital_twin.api.schemas.trade_offs import TradeOffBody
from digital_twin.client import Tokens, TwinClient
from digital_twin.domain.errors import NotFound

AHEAD = {"horizon_hours": 2, "resolution_minutes": 30, "load_kw": [20.0, 40, 60, 90], "pv_kw": [80.0, 40, 0, 0]}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def village(api: Api, operator: httpx.Client) -> str:
    return api.community(operator, **CASE_1_COMMUNITY)


def trade_off(client: httpx.Client, community_id: str, body: dict[str, Any], status: int = 200) -> Any:
    response = client.post(f"/communities/{community_id}/optimization/pareto", json=body)
    return answered(response, status) if status < 400 else refused(response, status)


@pytest.mark.parametrize(
    ("against", "figure", "unit"), [("emissions", "emissions_kg", "kg"), ("peak", "peak_kw", "kW")]
)
def test_a_trade_off_goes_from_the_cheapest_to_the_best_in_the_other(
    operator: httpx.Client, village: str, against: str, figure: str, unit: str
):
    found = trade_off(operator, village, {**CASE_1, "against": against, "points": 6})
    points = found["points"]
    assert (found["kind"], found["unit"]) == ("pareto", unit)
    assert points[0]["cost"] == pytest.approx(dispatch(operator, village, CASE_1)["cost"])
    assert [one["cost"] for one in points] == sorted(one["cost"] for one in points)
    assert [one[figure] for one in points] == sorted((one[figure] for one in points), reverse=True)
    assert all(one[figure] == pytest.approx(one["measure"], abs=1e-5) for one in points)


def test_a_chosen_point_becomes_a_plan_of_its_own(operator: httpx.Client, village: str):
    found = trade_off(operator, village, {**CASE_1, "against": "peak", "points": 4})
    point = found["points"][-1]
    path = f"/communities/{village}/optimization/pareto/{found['result_id']}/points"
    response = operator.post(f"{path}/{point['number']}")
    plan = answered(response)
    assert plan["objective"] == "cost_against_peak"
    for name in ("cost", "emissions_kg", "peak_kw", "self_sufficiency"):
        assert plan[name] == pytest.approx(point[name])
    assert answered(operator.get(response.headers["location"])) == plan
    untold = refused(operator.get(f"{response.headers['location']}/explanation"), 422)
    assert "cheapest within the cap of its point" in untold["detail"]
    refused(operator.post(f"{path}/40"), 404)
    refused(operator.post(f"/communities/{village}/optimization/pareto/{UNKNOWN}/points/0"), 404)


@pytest.mark.parametrize("more", [{"objective": "minimize_cost"}, {"weights": {"cost": 1}}, {"level": "member"}])
def test_a_trade_off_sets_its_aim_itself(operator: httpx.Client, village: str, more: dict[str, Any]):
    trade_off(operator, village, {**CASE_1, "against": "peak", **more}, status=422)


# The plan in force


@pytest.fixture
def site(api: Api, operator: httpx.Client) -> str:
    return api.community(operator, **CASE_1_COMMUNITY)


def applied(client: httpx.Client, community_id: str, result_id: str) -> httpx.Response:
    return client.post(f"/communities/{community_id}/schedules/{result_id}/apply")


def test_one_plan_is_in_force_until_another_is_or_none(operator: httpx.Client, site: str):
    active = f"/communities/{site}/schedules/active"
    assert "no schedule is in force" in refused(operator.get(active), 404)["detail"]
    first, second = (dispatch(operator, site, {**AHEAD, "current_soc_kwh": soc}) for soc in (20, 50))
    assert answered(applied(operator, site, first["result_id"]))["schedule"] == first
    assert answered(operator.get(active))["schedule"] == first
    answered(applied(operator, site, second["result_id"]))
    found = answered(operator.get(active))
    assert found["schedule"] == second
    me = answered(operator.get("/auth/me"))
    assert (found["applied_by"], found["applied_by_name"]) == (me["id"], me["username"])
    assert operator.delete(active).status_code == 204
    refused(operator.get(active), 404)
    refused(operator.delete(active), 404)


def test_who_applied_a_plan_is_named_to_who_may_see_the_memberships(api: Api, operator: httpx.Client, site: str):
    plan = dispatch(operator, site, {**AHEAD, "current_soc_kwh": 20})
    answered(applied(operator, site, plan["result_id"]))
    path = f"/communities/{site}/schedules/active"
    name = answered(operator.get("/auth/me"))["username"]
    viewer, other = (api.member_of(site, role) for role in ("viewer", "operator"))
    assert "applied_by_name" not in answered(viewer.get(path))
    assert answered(other.get(path))["applied_by_name"] == name
    assert answered(api.admin.get(path))["applied_by_name"] == name


def test_set_points_are_read_as_csv(operator: httpx.Client, site: str):
    plan = dispatch(operator, site, {**AHEAD, "current_soc_kwh": 20})
    answered(applied(operator, site, plan["result_id"]))
    response = operator.get(f"/communities/{site}/schedules/active", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [float(row["charge_kw"]) for row in rows] == plan["charge_kw"]


def test_a_plan_that_is_over_is_not_put_in_force(operator: httpx.Client, site: str):
    past = dispatch(operator, site, CASE_1)
    assert "is over" in refused(applied(operator, site, past["result_id"]), 409)["detail"]
    refused(applied(operator, site, UNKNOWN), 404)


def test_a_plan_for_another_state_of_the_storage_is_not_put_in_force(operator: httpx.Client, site: str):
    now = datetime.now(UTC)
    start = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    body = {**AHEAD, "start_time": start.isoformat(), "current_soc_kwh": 20, "load_kw": [90.0] * 4, "pv_kw": [0.0] * 4}
    plan = dispatch(operator, site, body)
    quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) - timedelta(minutes=15)
    reading = {"series": "storage_soc_kwh", "start": quarter.isoformat(), "value": 95.0}
    answered(operator.post(f"/communities/{site}/readings", json={"readings": [reading]}))
    problem = refused(applied(operator, site, plan["result_id"]), 409)
    assert problem["known_kwh"] == pytest.approx(95)
    assert "make a new one" in problem["detail"]


def test_a_key_puts_nothing_in_force(api: Api, operator: httpx.Client, site: str):
    plan = dispatch(operator, site, {**AHEAD, "current_soc_kwh": 20})
    key = api.key(operator, [site], "schedules:run", "schedules:read")
    assert "log in again" in refused(applied(key, site, plan["result_id"]), 403)["detail"]
    answered(applied(operator, site, plan["result_id"]))
    answered(key.get(f"/communities/{site}/schedules/active"))


def test_the_documents_example_is_answered_from_priors(operator: httpx.Client, site: str):
    [example] = TradeOffBody.model_json_schema()["examples"]
    found = trade_off(operator, site, example)
    assert 1 <= len(found["points"]) <= example["points"]
    assert found["provenance"]["assumptions"]


def test_the_client_asks_for_all_of_it(api: Api, operator: httpx.Client, site: str):
    token = operator.headers["authorization"].removeprefix("Bearer ")
    with TwinClient(api.url, tokens=Tokens(token, "")) as client:
        plan = client.dispatch(site, **AHEAD, current_soc_kwh=20)
        result_id = plan["result_id"]
        assert client.plans.explanation(site, result_id)["result_id"] == result_id
        assert client.plans.model(site, result_id).startswith("\\ File written by HiGHS")
        assert client.plans.csv(site, result_id).startswith("start,end,charge_kw,curtailed_kw,discharge_kw,")
        found = client.plans.trade_off(site, "peak", points=3, **AHEAD)
        kept = client.plans.keep_point(site, found["result_id"], 0)
        assert client.plans.apply(site, kept["result_id"])["schedule"]["result_id"] == kept["result_id"]
        assert client.plans.active(site)["schedule"]["result_id"] == kept["result_id"]
        client.plans.withdraw(site)
        with pytest.raises(NotFound):
            client.plans.active(site)
