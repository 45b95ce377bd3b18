"""The guide from its first page to its last, over HTTP: each step is one test and uses what the steps before left."""

from typing import Any

import httpx
import pytest
from tests.api.application import EIGHT_NUMBERS, Api, answered

GUIDE_ACCOUNT = {
    "username": "walker_1",
    "email": "walker@example.org",
    "password": "secure_password",
    "role": "operator",
}
GUIDE_LOGIN = {"username": "walker_1", "password": "secure_password"}
GUIDE_COMMUNITY = {"community_id": "walkers_village", **EIGHT_NUMBERS}
GUIDE_FORECAST = {
    "start_time": "2026-03-02T00:00:00Z",
    "end_time": "2026-03-03T00:00:00Z",
    "horizon_hours": 24,
    "confidence_level": 0.95,
    "include_uncertainty": True,
}
GUIDE_DISPATCH = {"objective": "minimize_cost", "horizon_hours": 24, "start_time": "2026-03-02T00:00:00Z"}


@pytest.fixture(scope="module")
def guide(api: Api) -> "Reader":
    """Someone with the guide in their hands."""
    return Reader(api)


class Reader:
    """What a reader of the guide has reached; asked for a step, they take those before it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._done: dict[str, Any] = {}

    def account(self) -> Any:
        return self._once("account", lambda: self._post(self._api.admin, "/auth/register", GUIDE_ACCOUNT, 201))

    def client(self) -> httpx.Client:
        self.account()
        return self._once("client", lambda: self._api.login(**GUIDE_LOGIN))

    def community(self) -> Any:
        return self._once("community", lambda: self._post(self.client(), "/communities", GUIDE_COMMUNITY, 201))

    def forecast(self) -> Any:
        self.community()
        path = "/communities/walkers_village/forecasting/generate"
        return self._once("forecast", lambda: self._post(self.client(), path, GUIDE_FORECAST))

    def schedule(self) -> Any:
        self.community()
        path = "/communities/walkers_village/optimization/dispatch"
        return self._once("schedule", lambda: self._post(self.client(), path, GUIDE_DISPATCH))

    def _once(self, step: str, take: Any) -> Any:
        if step not in self._done:
            self._done[step] = take()
        return self._done[step]

    @staticmethod
    def _post(client: httpx.Client, path: str, body: Any, status: int = 200) -> Any:
        return answered(client.post(path, json=body), status)


def test_the_server_says_that_it_is_alive_and_ready(api: Api):
    anyone = api.anonymous()
    assert answered(anyone.get("/health/live")) == {"status": "alive"}
    assert answered(anyone.get("/health/ready")) == {
        "status": "ready",
        "database": True,
        "redis": None,
        "mqtt": None,
    }
    assert answered(anyone.get("/version"))["name"] == "digital-twin"


def test_a_registration_by_oneself_makes_a_viewer_and_notes_the_wish(api: Api):
    wish = {**GUIDE_ACCOUNT, "username": "hopeful", "email": "hopeful@example.org"}
    account = answered(api.anonymous().post("/auth/register", json=wish), 201)
    assert (account["role"], account["requested_role"]) == ("viewer", "operator")
    refusal = api.login("hopeful", "secure_password").post("/communities", json=GUIDE_COMMUNITY)
    assert refusal.status_code == 403


def test_an_administrator_grants_the_wish_and_it_holds_at_once(api: Api):
    wish = {**GUIDE_ACCOUNT, "username": "patient", "email": "patient@example.org"}
    account = answered(api.anonymous().post("/auth/register", json=wish), 201)
    client = api.login("patient", "secure_password")
    answered(api.admin.patch(f"/users/{account['id']}", json={"role": "operator"}))
    me = answered(client.get("/auth/me"))
    assert (me["role"], me["requested_role"]) == ("operator", None)


def test_a_registration_with_an_administrators_token_gives_the_role(guide: Reader):
    account = guide.account()
    assert (account["username"], account["role"], account["requested_role"]) == ("walker_1", "operator", None)
    assert "password" not in account


def test_a_login_gives_a_bearer_token_for_half_an_hour(api: Api, guide: Reader):
    guide.account()
    tokens = answered(api.anonymous().post("/auth/login", json=GUIDE_LOGIN))
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 30 * 60
    assert tokens["refresh_token"]


def test_me_names_the_account_and_its_communities(guide: Reader):
    guide.community()
    me = answered(guide.client().get("/auth/me"))
    assert (me["username"], me["email"], me["role"]) == ("walker_1", "walker@example.org", "operator")
    assert [(one["community_id"], one["role"]) for one in me["communities"]] == [("walkers_village", "operator")]


def test_eight_fields_make_a_community(guide: Reader):
    community = guide.community()
    assert {name: community[name] for name in GUIDE_COMMUNITY} == GUIDE_COMMUNITY
    assert answered(guide.client().get("/communities/walkers_village")) == community
    assert [one["community_id"] for one in answered(guide.client().get("/communities"))["communities"]] == [
        "walkers_village"
    ]


def test_the_guides_forecast_answers_from_documented_priors(guide: Reader):
    forecast = guide.forecast()
    assert forecast["start"] == "2026-03-02T00:00:00Z"
    assert forecast["resolution_minutes"] == 15
    assert forecast["confidence_level"] == 0.95
    assert set(forecast["variables"]) == {"load_kw", "pv_kw", "net_load_kw"}
    for variable in forecast["variables"].values():
        assert {len(variable[name]) for name in ("mean", "lower", "upper")} == {96}
    assert forecast["provenance"]["assumptions"]


def test_the_models_say_what_they_forecast_and_what_they_need(guide: Reader):
    guide.community()
    models = answered(guide.client().get("/communities/walkers_village/forecasting/models"))["models"]
    assert {variable for model in models for variable in model["variables"]} >= {"load_kw", "pv_kw"}
    assert all(model["name"] and model["needs"] and model["reference"] for model in models)
    used = guide.forecast()["models"]
    assert {used["load_kw"], used["pv_kw"]} <= {model["name"] for model in models}


def test_the_guides_dispatch_answers_a_certified_plan(guide: Reader):
    schedule = guide.schedule()
    assert schedule["status"] == "optimal"
    assert schedule["objective"] == "minimize_cost"
    assert schedule["start"] == "2026-03-02T00:00:00Z"
    assert len(schedule["charge_kw"]) == 96
    assert schedule["savings"]["saved"] >= -1e-6
    assert schedule["provenance"]["solver"]


def test_the_results_list_the_plan(guide: Reader):
    schedule = guide.schedule()
    results = answered(guide.client().get("/communities/walkers_village/optimization/results"))["results"]
    assert [one["result_id"] for one in results] == [schedule["result_id"]]
    assert results[0]["cost"] == schedule["cost"]


def test_a_result_is_given_again_as_it_was_answered(guide: Reader):
    schedule = guide.schedule()
    path = f"/communities/walkers_village/optimization/results/{schedule['result_id']}"
    assert answered(guide.client().get(path)) == schedule
