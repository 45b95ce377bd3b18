"""Whatever dies while a plan for many members is made: its Run ends once, with the plans of all members or of none."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.e2e.serving import Installation, busiest, is_running
from tests.e2e.test_workers import (
    AS_OF,
    ENDED,
    Kind,
    ask,
    assert_taken_up_again,
    begin,
    in_the_middle,
    look,
    patience,
    submit,
    to_its_end,
    to_their_end,
    told,
)

DAY = timedelta(days=1)
HOMES = 600
"""Two parts of their days, between that of who they are and that of the plan."""

PARTS = 4
HORIZON_HOURS = 168
TOO_SHORT_MINUTES = "0.00001"
CERTIFIED = 1e-4
SECONDS_TO_STOP = 20.0
"""A cancelled Run's process ends within two or three; a crowded machine takes longer."""


class MemberPlans(Kind):
    """A week of quarters of an hour for homes with a battery each, which have two weeks of readings."""

    def __init__(self, **more: float) -> None:
        self._more = more

    def prepare(self, client: httpx.Client, community: str) -> None:
        names = [f"home_{number:03d}" for number in range(HOMES)]
        battery = {"kind": "battery", "capacity_kwh": 8.0, "power_kw": 4.0}
        self._post(client, community, "members", {"members": [{"member_id": one} for one in names]})
        assets = [{"asset_id": f"of_{one}", "member_id": one, "device": battery} for one in names]
        self._post(client, community, "assets", {"assets": assets})
        generator = np.random.default_rng(9)
        column = {"name": "load_kw", "unit": "kW", "start": (AS_OF - 14 * DAY).isoformat(), "resolution_minutes": 60}
        series = [
            {**column, "member_id": one, "values": generator.gamma(2, 0.3, 14 * 24).round(3).tolist()} for one in names
        ]
        self._post(client, community, "readings", {"series": series, "assumed_delay_minutes": 0})

    def submit(self, client: httpx.Client, community: str) -> httpx.Response:
        hours = np.arange(4 * HORIZON_HOURS) / 4 % 24
        body = {
            "level": "member", "start_time": AS_OF.isoformat(), "horizon_hours": HORIZON_HOURS,
            "resolution_minutes": 15, "load_kw": (250 + 100 * np.exp(-((hours - 19) ** 2) / 8)).tolist(),
            "pv_kw": np.zeros(hours.size).tolist(), "export_price_per_kwh": 0.05,
            "import_price_per_kwh": (0.25 + 0.1 * np.sin(hours / 2)).round(3).tolist(), **self._more,
        }  # fmt: skip
        return client.post(f"/communities/{community}/optimization/dispatch", json=body)

    def result(self, client: httpx.Client, run: dict[str, Any]) -> Any:
        path = f"/communities/{run['community_id']}/optimization/results/{run['run_id']}"
        of_members, answer = ask(client, f"{path}/members?limit=1"), ask(client, path)
        if answer.status_code == 404:
            assert of_members.status_code == 404, "plans without their result are seen"
            return None
        plans = client.get(f"{path}/members", headers={"Accept": "text/csv"})
        assert plans.text.count("\n") == 1 + HOMES * 4 * HORIZON_HOURS
        return {name: value for name, value in answer.json().items() if name != "result_id"}, plans.text

    def _post(self, client: httpx.Client, community: str, what: str, body: dict[str, Any]) -> None:
        answer = client.post(f"/communities/{community}/{what}", json=body)
        assert answer.is_success, answer.text


KIND = MemberPlans()


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("member_plans"))
    made.create_administrator()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def client(twin: Installation) -> Iterator[httpx.Client]:
    with twin.client("root_admin") as made:
        yield made


@pytest.fixture(scope="module")
def calm(client: httpx.Client) -> tuple[str, Any]:
    """A community, and what a Run of it comes to that nothing disturbs."""
    run = to_its_end(client, KIND, begin(client, KIND, "village"))
    assert (run["state"], run["attempt"]) == ("succeeded", 1), run
    assert run["progress"] == {"done": PARTS, "total": PARTS}
    return "village", KIND.result(client, run)


def while_it_plans(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    """The Run when all members' days are known and its plan is being made."""
    with patience("the plan to be begun") as pause:
        while (run := look(client, run))["progress"] != {"done": PARTS - 1, "total": PARTS}:
            assert run["state"] in ("queued", "running"), run
            pause()
    return run


@pytest.mark.parametrize("when", [in_the_middle, while_it_plans])
def test_a_plan_whose_worker_is_killed_is_made_by_the_next(
    twin: Installation, client: httpx.Client, calm: tuple[str, Any], when: Any
) -> None:
    community, expected = calm
    run = when(client, submit(client, KIND, community))
    processes = twin.kill_worker()
    assert look(client, run)["state"] == "running", "it had ended before the worker was killed"
    to_their_end(processes)
    run = to_its_end(client, KIND, run)
    assert_taken_up_again(client, run)
    assert KIND.result(client, run) == expected


def test_a_plan_whose_own_process_is_killed_is_made_by_another(
    twin: Installation, client: httpx.Client, calm: tuple[str, Any]
) -> None:
    community, expected = calm
    run = while_it_plans(client, submit(client, KIND, community))
    os.kill(busiest(twin.worker_family()), signal.SIGKILL)
    assert look(client, run)["progress"]["done"] < PARTS, "it had been made before its process was killed"
    run = to_its_end(client, KIND, run)
    assert_taken_up_again(client, run)
    assert KIND.result(client, run) == expected


def test_a_cancelled_plan_stops_its_process_and_leaves_nothing(
    twin: Installation, client: httpx.Client, calm: tuple[str, Any]
) -> None:
    community, _ = calm
    run = while_it_plans(client, submit(client, KIND, community))
    planning = busiest(twin.worker_family())
    asked = time.monotonic()
    assert client.delete(f"/runs/{run['run_id']}").json()["state"] == "cancelled"
    with patience("the end of the process") as pause:
        while is_running(planning):
            pause()
    assert time.monotonic() - asked < SECONDS_TO_STOP
    assert look(client, run)["state"] == "cancelled"
    assert KIND.result(client, run) is None


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    made = Installation(tmp_path_factory.mktemp("hasty"), OPTIMIZATION_TIMEOUT_MINUTES=TOO_SHORT_MINUTES)
    made.create_administrator()
    made.start()
    with made.client("root_admin") as client:
        yield client
    made.stop()


def test_out_of_time_a_run_ends_with_the_best_plan_by_then_and_its_gap(hasty: httpx.Client) -> None:
    kind = MemberPlans(grid_limit_price_per_kwh=0.5)
    run = to_its_end(hasty, kind, begin(hasty, kind, "priced"))
    assert (run["state"], run["attempt"]) == ("succeeded", 1), run
    made, _ = kind.result(hasty, run)
    assert made["status"] == "feasible"
    assert made["lower_bound"] < made["objective_value"]
    assert made["gap"] > CERTIFIED
    assert [one["state"] for one in told(hasty, run)].count("succeeded") == 1


def test_out_of_time_without_a_plan_within_hard_limits_a_run_fails_once_and_says_what_to_do(
    hasty: httpx.Client,
) -> None:
    run = to_its_end(hasty, KIND, begin(hasty, KIND, "strict"))
    assert run["state"] == "failed", run
    assert "raise OPTIMIZATION_TIMEOUT_MINUTES" in run["problem"]["detail"]
    assert KIND.result(hasty, run) is None
    assert [one["state"] for one in told(hasty, run) if one["state"] in ENDED] == ["failed"]
