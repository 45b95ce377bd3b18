"""The OpenAPI document is kept: its examples work as they stand, and no answer to anything breaks it."""

import base64
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.api.application import PASSWORD, Api, answered
from tests.api.in_memory import in_memory_api
from tests.api.operations import Operation, operations
from tests.api.test_runs import years

from digital_twin.api.schemas.communities import GUIDE_COMMUNITY

# the application runs in this process, and its pools draw random waits while cases are generated
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

ROLES = ("admin", "operator", "viewer")
EXAMPLES = settings(
    max_examples=2,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NOT_CHECKED = [positive_data_acceptance]
"""Rules between fields (an end after its start, members that exist) are no part of a schema, so that a body may fit the
schema and still be refused; that good ones are accepted is asserted by the operations reached."""

NEVER_REACHED = {"GET /communities/{community_id}/events"}  # its answer has no end; test_runs.py reads it
"""Operations that no role reaches with a success here, each with its reason."""


# Examples


async def test_every_example_of_the_document_works_as_it_stands():
    async with in_memory_api(registration="open") as api:
        await api.create_administrator()
        headers = {"Authorization": f"Bearer {(await api.login())['access_token']}"}
        document = (await api.client.get("/openapi.json")).json()
        ids = {
            "community_id": "green_village",
            "username": "operator_1",
            "account_id": 2,
            "mapping_id": "smart_meters",
        }
        sent: set[str] = set()
        for operation in in_order(operations(document)):
            if operation.path.endswith("/feeds/weather"):
                place = {"latitude": 48.2, "longitude": 16.4}
                path = "/communities/green_village"
                assert (await api.client.put(path, json={**GUIDE_COMMUNITY, **place}, headers=headers)).is_success
            if operation.path.endswith("/forecasting/train"):
                body = readings_until(api.clock.now())
                path = "/communities/green_village/readings"
                assert (await api.client.post(path, json=body, headers=headers)).is_success
            for media_type, body in operation.examples:
                content: Any = {"content": body} if isinstance(body, str) else {"json": body}
                if "arrow" in media_type:
                    content = {"content": base64.b64decode(body)}  # as their schema says
                response = await api.client.request(
                    operation.method,
                    operation.address(ids),
                    **content,
                    headers={**headers, "Content-Type": media_type},
                )
                assert response.is_success, f"{operation.name} {body}: {response.text}"
                sent.add(operation.name)
        without = {one.name for one in operations(document) if one.method in ("POST", "PUT", "PATCH")} - sent
        assert without == {
            "POST /auth/logout",  # takes no body
            "POST /auth/logout-all",  # takes no body
            "POST /auth/refresh",  # a token that is good cannot be printed
            "POST /auth/password",  # the current password cannot be printed
            "POST /communities/{community_id}/optimization/pareto/{result_id}/points/{number}",  # takes no body
            "POST /communities/{community_id}/schedules/{result_id}/apply",  # takes no body
        }


def readings_until(now: datetime) -> dict[str, Any]:
    """Enough to train a model on, at the resolution that `years` has."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=45)
    values = [float(quarter % 96 + quarter // 96 % 7) for quarter in range(45 * 96)]
    column = {"name": "load_kw", "unit": "kW", "start": start.isoformat(), "resolution_minutes": 15, "values": values}
    return {"series": [column], "assumed_delay_minutes": 0}


def in_order(given_operations: Iterator[Operation]) -> list[Operation]:
    """The guide's order: an account, a community, its members; then the rest; and the sharing rule, which asks for
    the readings of members that no example can hold, at last.
    """
    first = ("/auth/register", "/auth/login", "/communities", "/communities/{community_id}/members")
    places = {path: place for place, path in enumerate(first)} | {"/communities/{community_id}/sharing": 99}
    return sorted(given_operations, key=lambda one: places.get(one.path, len(first)))


# What may be sent at all


@pytest.fixture(scope="module")
def walks(api: Api) -> dict[str, "Walk"]:
    """What came of asking everything, by role."""
    return {role: walk(api, role) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_no_answer_breaks_the_document(walks: dict[str, "Walk"], role: str):
    assert not walks[role].broken, "\n".join(walks[role].broken[:5])


def test_every_operation_succeeds_for_someone(api: Api, walks: dict[str, "Walk"]):
    every = {operation.name for operation in operations(answered(api.anonymous().get("/openapi.json")))}
    admin, operator, viewer = (walks[role].reached for role in ROLES)
    assert admin | operator | viewer == every - NEVER_REACHED
    assert viewer < operator < admin


def test_no_limit_stood_in_the_way(walks: dict[str, "Walk"]):
    assert all(429 not in one.statuses and len(one.statuses) > 3 for one in walks.values())


@dataclass
class Walk:
    """The operations that succeeded, the statuses that were seen, and the answers that break the document."""

    reached: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


def walk(api: Api, role: str) -> Walk:
    """Ask everything that the document holds as someone of this role, under every check of the checker."""
    done, world = Walk(), World(api, role)
    schema = schemathesis.openapi.from_dict(answered(api.anonymous().get("/openapi.json")), config=SchemathesisConfig())
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.label in NEVER_REACHED:
            continue
        for case in world.cases(operation):
            headers = {"Authorization": world.client(operation.label).headers["Authorization"]}
            try:
                response = case.call_and_validate(base_url=api.url, headers=headers, excluded_checks=NOT_CHECKED)
            except BaseExceptionGroup as failures:
                done.broken.append(str(failures))
                continue
            done.statuses.add(response.status_code)
            if response.status_code < 300:
                done.reached.add(operation.label)
    return done


class World:
    """Someone of a role, and real things for the paths and bodies of what they ask."""

    def __init__(self, api: Api, role: str) -> None:
        self._api, self._role = api, role
        self._owner = api.account("operator")
        self._client = api.account(role)
        self.community = self._new_community()
        self._result = self._new_result()
        path = f"/communities/{self.community}/readings"
        answered(self._owner.post(path, json=readings_until(datetime.now(UTC))))
        day = {"unit": "kW", "start": LONG_AGO, "resolution_minutes": 15, "values": [1.0] * 96}
        answered(self._owner.post(path, json={"series": [{"name": name, **day} for name in ("load_kw", "pv_kw")]}))

    def client(self, label: str) -> httpx.Client:
        """The one who asks; someone new where asking ends sessions or counts attempts."""
        ends_sessions = label in ("POST /auth/logout", "POST /auth/logout-all", "POST /auth/password")
        return self._api.account(self._role) if ends_sessions else self._client

    def cases(self, operation: Any) -> Iterator[schemathesis.Case]:
        """The document's example on real things, then what is generated: fitting bodies, and ones that do not fit."""
        yield self._example(operation)
        for mode in GenerationMode:
            for case in generated(operation.as_strategy(generation_mode=mode)):
                if case.path_parameters:
                    case.path_parameters = self._ids(operation.label)
                yield case

    def _example(self, operation: Any) -> schemathesis.Case:
        parts: dict[str, Any] = {"path_parameters": self._ids(operation.label)}
        if operation.label.endswith("/schedules/active"):
            self._put_in_force()
        if operation.label in QUERIES:
            parts["query"] = QUERIES[operation.label]
        if operation.label == "GET /runs":
            parts["query"] = {"community_id": self.community}
        body = self._body(operation)
        if body is not None:
            parts |= {"body": body, "media_type": "application/json"}
        return operation.Case(**parts)

    def _ids(self, label: str) -> dict[str, Any]:
        makers: dict[str, Callable[[], Any]] = {
            "community_id": lambda: self._new_community() if label in OF_THEIR_OWN else self.community,
            "account_id": lambda: answered(self._api.account("viewer").get("/auth/me"))["id"],
            "username": self._new_member,
            "session_id": self._other_session,
            "key_id": self._new_key,
            "result_id": lambda: self._result_of(label),
            "number": lambda: 0,
            "run_id": self._new_run,
            "import_id": self._new_import,
            "kind": lambda: "conflict",
            "mapping_id": self._mapping,
            "member_id": lambda: self._planned_member() if label.endswith("/plan") else "home_1",
            "feed": self._feed,
        }
        return {name: make() for name, make in makers.items() if f"{{{name}}}" in label}

    def _other_session(self) -> str:
        """A second session of the one who asks."""
        self._api.login(answered(self._client.get("/auth/me"))["username"])
        return answered(self._client.get("/auth/sessions"))["sessions"][0]["id"]

    def _body(self, operation: Any) -> Any:
        document = operation.schema.raw_schema
        [examples] = [one for one in operations(document) if one.name == operation.label]
        known = {
            "POST /auth/refresh": lambda: {"refresh_token": self._tokens()["refresh_token"]},
            "POST /auth/password": lambda: {"current_password": PASSWORD, "new_password": "a new password for me"},
            "POST /auth/login": lambda: {"username": self._someone(), "password": PASSWORD},
        }
        if operation.label in known:
            return known[operation.label]()
        return self._on_real_things(operation.label, examples.example())

    def _on_real_things(self, label: str, body: Any) -> Any:
        body = copy.deepcopy(body)
        fresh = self._api.fresh("contract")
        real = {
            "POST /auth/register": {"username": fresh, "email": f"{fresh}@example.org"},
            "POST /communities": {"community_id": fresh},
            "PUT /communities/{community_id}": {"community_id": self.community},
            "POST /auth/api-keys": {"communities": [self.community], "scopes": ["community:read"]},
            "POST /invites": {"community_id": self.community},
            "POST /communities/{community_id}/topic-mappings": {"mapping_id": fresh, "topic": self._topic},
            "PUT /communities/{community_id}/topic-mappings/{mapping_id}": {"topic": self._topic},
        }
        if label == "PUT /communities/{community_id}/memberships":
            return {**body, "username": self._someone()}
        return {**body, **real[label]} if label in real else body

    def _someone(self) -> str:
        return self._api.register("viewer")

    def _tokens(self) -> dict[str, Any]:
        body = {"username": self._someone(), "password": PASSWORD}
        return answered(self._api.anonymous().post("/auth/login", json=body))

    def _new_community(self) -> str:
        community = self._api.community(self._owner, latitude=48.2, longitude=16.4)
        members = {"members": [{"member_id": "home_1"}]}
        answered(self._owner.post(f"/communities/{community}/members", json=members), 201)
        me = answered(self._client.get("/auth/me"))
        body = {"username": me["username"], "role": "viewer" if self._role == "viewer" else "operator"}
        answered(self._api.admin.put(f"/communities/{community}/memberships", json=body))
        return community

    def _new_member(self) -> str:
        username = self._someone()
        answered(
            self._owner.put(f"/communities/{self.community}/memberships", json={"username": username, "role": "viewer"})
        )
        return username

    def _new_key(self) -> str:
        body = {"name": "service", "scopes": ["community:read"], "communities": [self.community]}
        return answered(self._client.post("/auth/api-keys", json=body), 201)["id"]

    @property
    def _topic(self) -> str:
        return f"communities/{self.community}/homes/{{member_id}}/meter"

    def _mapping(self) -> str:
        """The example's topic mapping, made where it is missing."""
        body = {"mapping_id": "smart_meters", "topic": self._topic, "values": [{"series": "load_kw"}]}
        made = self._owner.post(f"/communities/{self.community}/topic-mappings", json=body)
        assert made.status_code in (201, 409)
        return "smart_meters"

    def _feed(self) -> str:
        answered(self._owner.put(f"/communities/{self.community}/feeds/prices", json={"zone": "AT"}))
        return "prices"

    def _new_run(self) -> str:
        """A Run that takes a while, so that it can be cancelled."""
        body = years(*range(2020, 2025), values=[1.0] * 35_000)
        return self._import(body)["run_id"]

    def _new_import(self) -> str:
        body = {"readings": [{"series": "load_kw", "start": "2026-03-01T00:00:00Z", "value": 1.0}]}
        return self._ended(self._import(body))["run_id"]

    def _import(self, body: Any) -> Any:
        path = f"/communities/{self.community}/readings"
        return answered(self._owner.post(path, json=body, headers={"Prefer": "respond-async"}), 202)

    @cached_property
    def _simulation(self) -> str:
        path = f"/communities/{self.community}/simulation/run-scenario"
        body = {"scenario_id": "s", "simulation_duration_days": 1, "monte_carlo_runs": 2}
        return self._ended(answered(self._owner.post(path, json=body), 202))["run_id"]

    @cached_property
    def _backtest(self) -> str:
        path = f"/communities/{self.community}/forecasting/backtest"
        body = {"models": ["seasonal_naive"], "days": 2, "variables": ["load_kw"]}
        return self._ended(answered(self._owner.post(path, json=body), 202))["run_id"]

    def _result_of(self, label: str) -> str:
        if "/simulation/" in label:
            return self._simulation
        if "/schedules/" in label:
            return self._current_result
        if "/pareto/" in label:
            return self._trade_off
        if label.endswith("/members"):
            return self._members_result
        return self._backtest if "/backtest/" in label else self._result

    @cached_property
    def _current_result(self) -> str:
        body = {"horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
        path = f"/communities/{self.community}/optimization/dispatch"
        return answered(self._owner.post(path, json=body))["result_id"]

    @cached_property
    def _members_result(self) -> str:
        battery = {"kind": "battery", "capacity_kwh": 8.0, "power_kw": 4.0}
        assets = [{"asset_id": "battery_1", "member_id": "home_1", "device": battery}]
        answered(self._owner.post(f"/communities/{self.community}/assets", json={"assets": assets}), 201)
        body = {"level": "member", "start_time": "2026-03-02T00:00:00Z", "horizon_hours": 1}
        path = f"/communities/{self.community}/optimization/dispatch"
        return answered(self._owner.post(path, json=body))["result_id"]

    def _planned_member(self) -> str:
        assert self._members_result
        return "home_1"

    @cached_property
    def _trade_off(self) -> str:
        body = {"against": "peak", "points": 2, "horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
        return answered(self._owner.post(f"/communities/{self.community}/optimization/pareto", json=body))["result_id"]

    def _put_in_force(self) -> None:
        answered(self._owner.post(f"/communities/{self.community}/schedules/{self._current_result}/apply"))

    def _ended(self, run: Any) -> Any:
        while run["state"] in ("queued", "running"):
            run = answered(self._owner.get(f"/runs/{run['run_id']}", headers={"Prefer": "wait=20"}))
        return run

    def _new_result(self) -> str:
        path = f"/communities/{self.community}/optimization/dispatch"
        body = {"start_time": "2026-03-02T00:00:00Z", "horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
        return answered(self._owner.post(path, json=body))["result_id"]


CHANGES_ALL = ("DELETE /communities/{community_id}", "PUT /communities/{community_id}/sharing")
"""Operations after which the others would not work in the same community."""

OF_THEIR_OWN = (
    *CHANGES_ALL,
    "PUT /communities/{community_id}/feeds/weather",
    "DELETE /communities/{community_id}/members/{member_id}",
)
"""Those, one that wants the place that replacing a community by the example has taken away, and one that a Run which is
not done forbids."""

LONG_AGO = "2024-06-01T00:00:00Z"
"""Load and generation of this day are known, and too old for any forecast."""

QUERIES: dict[str, dict[str, Any]] = {
    "GET /communities/{community_id}/kpis": {"start": LONG_AGO, "end": "2024-06-02T00:00:00Z"},
    "GET /communities/{community_id}/readings": {
        "series": "load_kw",
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
    },
    "GET /communities/{community_id}/readings/quality": {
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
    },
    "GET /communities/{community_id}/state/history": {
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
    },
}


def generated(strategy: Any) -> list[schemathesis.Case]:
    """A few cases, the same ones each time; none where nothing can be wrong."""
    cases: list[schemathesis.Case] = []

    @EXAMPLES
    @given(strategy)
    def collect(case: schemathesis.Case) -> None:
        cases.append(case)

    try:
        collect()
    except Unsatisfiable:
        return []
    return cases
