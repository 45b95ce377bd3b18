"""Every operation for every kind of caller: what is written here was decided, not computed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.operations import Operation, operations

# callers: nobody; a viewer bound to one home; a viewer; an operator; an operator of another community;
#          a key of the operator with the scope community:read alone; an administrator
# answers: + may, 1 says who are you, 3 says it is not your right, 4 says there is no such community
# scope:   what a key needs; - where no key may ever
MATRIX = """
operation                                                         nobody home viewer operator elsewhere key admin  scope

POST   /auth/register                                             +      +    +      +        +         +   +      any
POST   /auth/login                                                +      +    +      +        +         +   +      any
POST   /auth/refresh                                              +      +    +      +        +         +   +      any
GET    /auth/me                                                   1      +    +      +        +         +   +      any
POST   /auth/password                                             1      +    +      +        +         3   +      -
POST   /auth/logout                                               1      +    +      +        +         3   +      -
POST   /auth/logout-all                                           1      +    +      +        +         3   +      -
GET    /auth/sessions                                             1      +    +      +        +         3   +      -
DELETE /auth/sessions/{session_id}                                1      +    +      +        +         3   +      -
GET    /auth/api-keys                                             1      +    +      +        +         3   +      -
POST   /auth/api-keys                                             1      +    +      +        +         3   +      -
DELETE /auth/api-keys/{key_id}                                    1      +    +      +        +         3   +      -
GET    /users                                                     1      3    3      3        3         3   +      -
PATCH  /users/{account_id}                                        1      3    3      3        3         3   +      -
POST   /invites                                                   1      3    3      +        +         3   +      -
GET    /communities/{community_id}/memberships                    1      3    3      +        4         3   +      -
PUT    /communities/{community_id}/memberships                    1      3    3      +        4         3   +      -
DELETE /communities/{community_id}/memberships/{username}         1      3    3      +        4         3   +      -
POST   /communities                                               1      3    3      +        +         3   +      -
GET    /communities                                               1      +    +      +        +         +   +      any
GET    /communities/{community_id}                                1      +    +      +        4         +   +      community:read
PUT    /communities/{community_id}                                1      3    3      +        4         3   +      community:write
DELETE /communities/{community_id}                                1      3    3      +        4         3   +      -
PUT    /communities/{community_id}/sharing                        1      3    3      +        4         3   +      community:write
POST   /communities/{community_id}/members                        1      3    3      +        4         3   +      members:write
GET    /communities/{community_id}/members                        1      3    +      +        4         3   +      members:read
DELETE /communities/{community_id}/members/{member_id}            1      3    3      +        4         3   +      -
GET    /communities/{community_id}/retention                      1      +    +      +        4         +   +      community:read
PUT    /communities/{community_id}/retention                      1      3    3      +        4         3   +      -
POST   /communities/{community_id}/assets                         1      3    3      +        4         3   +      members:write
GET    /communities/{community_id}/assets                         1      3    +      +        4         3   +      members:read
POST   /communities/{community_id}/readings                       1      3    3      +        4         3   +      readings:write
GET    /communities/{community_id}/readings                       1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/readings/quality               1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/readings/imports/{import_id}   1      3    3      +        4         3   +      readings:write
POST   /communities/{community_id}/topic-mappings                 1      3    3      +        4         3   +      community:write
GET    /communities/{community_id}/topic-mappings                 1      3    3      +        4         3   +      readings:write
POST   /communities/{community_id}/topic-mappings/try             1      3    3      +        4         3   +      readings:write
GET    /communities/{community_id}/topic-mappings/{mapping_id}    1      3    3      +        4         3   +      readings:write
PUT    /communities/{community_id}/topic-mappings/{mapping_id}    1      3    3      +        4         3   +      community:write
DELETE /communities/{community_id}/topic-mappings/{mapping_id}    1      3    3      +        4         3   +      community:write
GET    /communities/{community_id}/dead-letters                   1      3    3      +        4         3   +      readings:write
DELETE /communities/{community_id}/dead-letters                   1      3    3      +        4         3   +      community:write
GET    /communities/{community_id}/events                         1      +    +      +        4         +   +      community:read
GET    /communities/{community_id}/feeds                          1      +    +      +        4         +   +      community:read
GET    /communities/{community_id}/feeds/{feed}                   1      +    +      +        4         +   +      community:read
PUT    /communities/{community_id}/feeds/weather                  1      3    3      +        4         3   +      community:write
PUT    /communities/{community_id}/feeds/prices                   1      3    3      +        4         3   +      community:write
PUT    /communities/{community_id}/feeds/carbon                   1      3    3      +        4         3   +      community:write
DELETE /communities/{community_id}/feeds/{feed}                   1      3    3      +        4         3   +      community:write
GET    /runs                                                      1      +    +      +        +         +   +      any
GET    /runs/{run_id}                                             1      3    +      +        4         3   +      runs:read
DELETE /runs/{run_id}                                             1      3    3      +        4         3   +      runs:cancel
GET    /communities/{community_id}/series                         1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/state                          1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/state/history                  1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/state/prediction               1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/state/meters                   1      3    +      +        4         3   +      members:read
POST   /communities/{community_id}/forecasting/generate           1      3    +      +        4         3   +      forecasts:read
POST   /communities/{community_id}/forecasting/train              1      3    3      +        4         3   +      forecasts:run
GET    /communities/{community_id}/forecasting/models             1      3    +      +        4         3   +      forecasts:read
GET    /communities/{community_id}/forecasting/patterns           1      +    +      +        4         3   +      readings:read
GET    /communities/{community_id}/forecasting/accuracy           1      3    +      +        4         3   +      forecasts:read
GET    /communities/{community_id}/forecasting/issued             1      3    +      +        4         3   +      forecasts:read
POST   /communities/{community_id}/forecasting/backtest           1      3    3      +        4         3   +      forecasts:run
GET    /communities/{community_id}/forecasting/backtest/{result_id} 1    3    +      +        4         3   +      forecasts:read
POST   /communities/{community_id}/optimization/dispatch          1      3    3      +        4         3   +      schedules:run
POST   /communities/{community_id}/optimization/tariff            1      3    3      +        4         3   +      schedules:run
POST   /communities/{community_id}/optimization/pareto            1      3    3      +        4         3   +      schedules:run
POST   /communities/{community_id}/optimization/pareto/{result_id}/points/{number}      1      3    3      +        4         3   +      schedules:run
POST   /communities/{community_id}/schedules/{result_id}/apply      1      3    3      +        4         3   +      schedules:run
GET    /communities/{community_id}/schedules/active               1      3    +      +        4         3   +      schedules:read
DELETE /communities/{community_id}/schedules/active               1      3    3      +        4         3   +      schedules:run
GET    /communities/{community_id}/optimization/results           1      3    +      +        4         3   +      schedules:read
GET    /communities/{community_id}/optimization/results/{result_id} 1    3    +      +        4         3   +      schedules:read
GET    /communities/{community_id}/optimization/results/{result_id}/explanation 1    3    +      +        4         3   +      schedules:read
GET    /communities/{community_id}/optimization/results/{result_id}/model 1    3    +      +        4         3   +      schedules:read
GET    /communities/{community_id}/optimization/results/{result_id}/members 1 3 +    +        4         3   +      schedules:read
GET    /communities/{community_id}/members/{member_id}/plan       1      +    +      +        4         3   +      readings:read
POST   /communities/{community_id}/simulation/run-scenario        1      3    3      +        4         3   +      simulations:run
POST   /communities/{community_id}/simulation/run-multiple        1      3    3      +        4         3   +      simulations:run
GET    /communities/{community_id}/kpis                           1      3    +      +        4         3   +      schedules:read
GET    /communities/{community_id}/simulation/results/{result_id} 1      3    +      +        4         3   +      simulations:read
GET    /health/live                                               +      +    +      +        +         +   +      any
GET    /health/ready                                              +      +    +      +        +         +   +      any
GET    /version                                                   +      +    +      +        +         +   +      any
GET    /metrics                                                   +      +    +      +        +         +   +      any
GET    /problems/{kind}                                           +      +    +      +        +         +   +      any
"""  # noqa: E501
CALLERS = ("nobody", "home", "viewer", "operator", "elsewhere", "key", "admin")
STATUSES = {"1": 401, "3": 403, "4": 404}
SCOPES = (
    "community:read",
    "community:write",
    "forecasts:read",
    "forecasts:run",
    "members:read",
    "members:write",
    "readings:read",
    "readings:write",
    "runs:cancel",
    "runs:read",
    "schedules:read",
    "schedules:run",
    "simulations:read",
    "simulations:run",
)


def rows() -> dict[str, tuple[dict[str, str], str]]:
    """For each operation what each caller is told, and the scope that a key needs."""
    lines = [line.split() for line in MATRIX.strip().splitlines()[1:] if line.strip()]
    return {
        f"{method} {path}": (dict(zip(CALLERS, cells[:-1], strict=True)), cells[-1]) for method, path, *cells in lines
    }


@pytest.fixture(scope="module")
def mine(api: Api, operator: httpx.Client) -> str:
    """A community with one home."""
    community = api.community(operator)
    answered(operator.post(f"/communities/{community}/members", json={"members": [{"member_id": "home_1"}]}), 201)
    return community


@pytest.fixture(scope="module")
def callers(api: Api, operator: httpx.Client, stranger: httpx.Client, mine: str) -> dict[str, httpx.Client]:
    api.community(stranger)
    return {
        "nobody": api.anonymous(),
        "home": api.member_of(mine, "viewer", member_id="home_1"),
        "viewer": api.member_of(mine, "viewer"),
        "operator": operator,
        "elsewhere": stranger,
        "key": api.key(operator, [mine], "community:read"),
        "admin": api.admin,
    }


@pytest.fixture(scope="module")
def document(api: Api) -> list[Operation]:
    return list(operations(answered(api.anonymous().get("/openapi.json"))))


@pytest.fixture(scope="module")
def run_of(operator: httpx.Client, mine: str) -> dict[str, str]:
    """A Run of the community, by the community's id."""
    body = {"readings": [{"series": "load_kw", "start": "2026-03-01T00:00:00Z", "value": 1.0}]}
    run = operator.post(f"/communities/{mine}/readings", json=body, headers={"Prefer": "respond-async"})
    return {mine: answered(run, 202)["run_id"]}


def probe(
    client: httpx.Client, operation: Operation, community: str, run_of: Mapping[str, str] | None = None
) -> httpx.Response:
    """Ask with a parameter that no operation takes: who is permitted learns that, and nothing happens."""
    ids = {
        "run_id": (run_of or {}).get(community, "none"),
        "import_id": "00000000-0000-0000-0000-000000000000",
        "community_id": community,
        "account_id": 1,
        "username": "root_admin",
        "member_id": "nobody",
        "session_id": "none",
        "key_id": "none",
        "result_id": "00000000-0000-0000-0000-000000000000",
        "number": 0,
        "kind": "conflict",
        "feed": "weather",
        "mapping_id": "smart_meters",
    }
    return client.request(
        operation.method, operation.address(ids), params={"no_such_parameter": "1"}, json=operation.example()
    )


def test_every_operation_has_its_row_and_every_row_its_operation(document: list[Operation]):
    assert {operation.name for operation in document} == set(rows())


@pytest.mark.parametrize("caller", CALLERS)
def test_a_caller_may_what_the_matrix_says_and_nothing_else(
    document: list[Operation], callers: dict[str, httpx.Client], mine: str, run_of: dict[str, str], caller: str
):
    for operation in document:
        wanted = rows()[operation.name][0][caller]
        response = probe(callers[caller], operation, mine, run_of)
        assert response.status_code == STATUSES.get(wanted, 422), f"{operation.name} by {caller}: {response.text}"


def test_another_tenants_community_looks_like_one_that_does_not_exist(
    document: list[Operation], callers: dict[str, httpx.Client], mine: str
):
    inside = [operation for operation in document if "{community_id}" in operation.path]
    for operation in inside:
        foreign = refused(probe(callers["elsewhere"], operation, mine), 404)
        missing = refused(probe(callers["elsewhere"], operation, "no_such_community"), 404)
        assert foreign | {"request_id": ""} == missing | {"request_id": ""}
        assert mine not in str(foreign)
    assert len(inside) > 15


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_own_operations_and_no_others(
    api: Api, document: list[Operation], operator: httpx.Client, mine: str, run_of: dict[str, str], scope: str
):
    key = api.key(operator, [mine], scope)
    for operation in document:
        needed = rows()[operation.name][1]
        response = probe(key, operation, mine, run_of)
        assert response.status_code == (422 if needed in ("any", scope) else 403), f"{operation.name}: {response.text}"


def test_the_scopes_are_those_of_the_matrix():
    assert {scope for _, scope in rows().values()} - {"any", "-"} == set(SCOPES)


def test_the_document_names_the_permission_and_the_credentials_of_every_operation(api: Api, document: list[Operation]):
    paths = answered(api.anonymous().get("/openapi.json"))["paths"]
    for operation in document:
        details = paths[operation.path][operation.method.lower()]
        for_all = rows()[operation.name][0]["nobody"] == "+"
        assert (details["x-required-permission"] == "public") is for_all
        assert details["security"] == ([] if for_all else [{"bearer": []}, {"api_key": []}])


# What a community holds is reached through that community alone


def test_a_result_is_found_in_its_own_community_alone(api: Api, operator: httpx.Client, stranger: httpx.Client):
    here, there = api.community(operator), api.community(stranger)
    body = {"start_time": "2026-03-02T00:00:00Z", "horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
    result = answered(operator.post(f"/communities/{here}/optimization/dispatch", json=body))["result_id"]
    answered(operator.get(f"/communities/{here}/optimization/results/{result}"))
    elsewhere = refused(stranger.get(f"/communities/{there}/optimization/results/{result}"), 404)
    missing = f"/communities/{there}/optimization/results/00000000-0000-0000-0000-000000000000"
    nowhere = refused(stranger.get(missing), 404)
    assert elsewhere["detail"].replace(result, "") == nowhere["detail"].replace(missing.rpartition("/")[2], "")
    assert answered(stranger.get(f"/communities/{there}/optimization/results"))["results"] == []


def test_a_list_of_communities_holds_the_callers_own(api: Api, callers: dict[str, httpx.Client], mine: str):
    def listed(caller: str) -> set[str]:
        page = answered(callers[caller].get("/communities", params={"limit": 1000}))
        return {one["community_id"] for one in page["communities"]}

    assert listed("viewer") == listed("home") == listed("key") == {mine}
    assert mine not in listed("elsewhere")
    assert mine in listed("admin") & listed("operator")


@pytest.mark.parametrize(
    ("begins", "ends", "status"), [(-2, -1, 404), (1, 2, 404), (-1, 1, 200), (None, -1, 404), (None, None, 200)]
)
def test_a_membership_holds_from_its_beginning_to_its_end(
    api: Api, mine: str, begins: int | None, ends: int | None, status: int
):
    username = api.register("viewer")
    body: dict[str, Any] = {
        "username": username,
        "role": "viewer",
        "valid_from": hours(begins),
        "valid_until": hours(ends),
    }
    answered(api.admin.put(f"/communities/{mine}/memberships", json=body))
    client = api.login(username)
    assert client.get(f"/communities/{mine}").status_code == status
    assert len(answered(client.get("/communities"))["communities"]) == (status == 200)


def test_an_operator_whose_membership_has_ended_invites_nobody(api: Api, mine: str):
    username = api.register("operator")
    body = {"username": username, "role": "operator", "valid_until": hours(-1)}
    answered(api.admin.put(f"/communities/{mine}/memberships", json=body))
    refused(api.login(username).post("/invites", json={"role": "operator", "community_id": mine}), 404)


def test_a_right_that_is_taken_away_is_gone_at_once(api: Api, operator: httpx.Client, mine: str):
    client = api.member_of(mine, "operator")
    username = answered(client.get("/auth/me"))["username"]
    answered(client.get(f"/communities/{mine}/members"))
    body = {"username": username, "role": "viewer"}
    answered(operator.put(f"/communities/{mine}/memberships", json=body))
    refused(client.post(f"/communities/{mine}/members", json={"members": [{"member_id": "home_2"}]}), 403)
    answered(operator.delete(f"/communities/{mine}/memberships/{username}"), 204)
    refused(client.get(f"/communities/{mine}/members"), 404)


def test_a_membership_is_one_that_there_is_and_may_be(operator: httpx.Client, mine: str):
    path = f"/communities/{mine}/memberships"
    refused(operator.put(path, json={"username": "nobody_at_all", "role": "viewer"}), 404)
    refused(operator.put(path, json={"username": "root_admin", "role": "admin"}), 422, pointer="/role")
    refused(operator.put(path, json={"username": "root_admin", "role": "viewer", "member_id": "nobody"}), 404)
    refused(operator.put(path, json={"username": "root_admin", "role": "operator", "member_id": "home_1"}), 422)
    refused(operator.delete(f"{path}/nobody_at_all"), 404)


def hours(ahead: int | None) -> str | None:
    return None if ahead is None else (datetime.now(UTC) + timedelta(hours=ahead)).isoformat()
