"""Whatever process is killed in the middle of a Run: the Run goes on, ends once, and comes to the same."""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol

import httpx
import numpy as np
import pytest
from tests.e2e.serving import Installation, free_port, is_running

from digital_twin.adapters.postgres.embedded import EmbeddedPostgres

PATIENCE_S = 300.0
"""No test asserts how long anything takes; what never comes must still end a test."""

JOBS_AT_ONCE = 4
"""Of a worker with two processes."""

AS_OF = datetime.fromisoformat("2026-03-02T00:00:00Z")
COMMUNITY = {
    "num_prosumers": 100,
    "total_pv_capacity_kw": 500,
    "total_storage_capacity_kwh": 1000,
    "max_storage_power_kw": 200,
    "grid_import_limit_kw": 800,
    "grid_export_limit_kw": 300,
    "incentive_budget_daily": 100,
}
ENDED = ("succeeded", "failed", "cancelled")


class Kind(Protocol):
    """A kind of Run: how it is asked for, and what it comes to."""

    def prepare(self, client: httpx.Client, community: str) -> None:
        """What must be there before."""
        ...

    def submit(self, client: httpx.Client, community: str) -> httpx.Response: ...

    def result(self, client: httpx.Client, run: dict[str, Any]) -> Any:
        """All that the Run came to, without ids and the times of its making; None while nothing of it is seen."""
        ...


class Import:
    """Readings of three series over five years: eight parts."""

    years = range(2021, 2026)
    names = ("load_kw", "pv_kw", "net_load_kw")

    def prepare(self, client: httpx.Client, community: str) -> None:
        pass

    def submit(self, client: httpx.Client, community: str) -> httpx.Response:
        generator = np.random.default_rng(5)
        series = [
            {
                "name": name, "unit": "kW", "start": f"{year}-01-01T00:00:00Z", "resolution_minutes": 15,
                "values": generator.integers(0, 50, 35_000).tolist(),
            }
            for year in self.years
            for name in self.names
        ]  # fmt: skip
        path = f"/communities/{community}/readings"
        return client.post(path, json={"series": series}, headers={"Prefer": "respond-async"})

    def result(self, client: httpx.Client, run: dict[str, Any]) -> Any:
        answer = ask(client, f"/communities/{run['community_id']}/readings/imports/{run['run_id']}")
        if answer.status_code == 404:
            return None
        counts = {name: value for name, value in answer.json().items() if name != "received_at"}
        return counts, [self.readings(client, run["community_id"], year) for year in self.years]

    def readings(self, client: httpx.Client, community: str, year: int) -> str:
        query = {"series": ",".join(self.names), "start": f"{year}-01-01T00:00Z", "end": f"{year + 1}-01-01T00:00Z"}
        answer = client.get(f"/communities/{community}/readings", params=query, headers={"Accept": "text/csv"})
        assert answer.status_code == 200, answer.text
        return answer.text


class Training:
    """Models that learn quickly, on load and generation of four months: five parts."""

    days = 120
    models = ("ridge", "ridge_conformal", "pvwatts")

    def prepare(self, client: httpx.Client, community: str) -> None:
        generator = np.random.default_rng(6)
        hours = np.arange(self.days * 96) / 4 % 24
        clouds = np.repeat(generator.uniform(0.4, 1, self.days), 96)
        values = {
            "load_kw": 40 + 30 * np.exp(-((hours - 19) ** 2) / 8) + generator.normal(0, 3, hours.size),
            "pv_kw": 300 * clouds * np.maximum(np.cos((hours - 11.5) / 12 * np.pi), 0) ** 2,
        }
        start = (AS_OF - timedelta(days=self.days)).isoformat()
        column = {"unit": "kW", "start": start, "resolution_minutes": 15}
        series = [{**column, "name": name, "values": of.tolist()} for name, of in values.items()]
        body = {"series": series, "assumed_delay_minutes": 0}
        assert client.post(f"/communities/{community}/readings", json=body).status_code == 200

    def submit(self, client: httpx.Client, community: str) -> httpx.Response:
        body = {"as_of": AS_OF.isoformat(), "models": self.models}
        return client.post(f"/communities/{community}/forecasting/train", json=body)

    def result(self, client: httpx.Client, run: dict[str, Any]) -> Any:
        versions = ask(client, f"/communities/{run['community_id']}/forecasting/models").json()["trained"]
        made = [one for one in versions if one["run_id"] == run["run_id"]]
        own = ("run_id", "trained_at")
        return [{name: value for name, value in one.items() if name not in own} for one in made] or None


@dataclass(frozen=True)
class Simulation:
    """Two scenarios beside the community as it is, each member with its own meter: a part for every ten years."""

    runs: int = 400

    def prepare(self, client: httpx.Client, community: str) -> None:
        pass

    def submit(self, client: httpx.Client, community: str) -> httpx.Response:
        scenarios = [
            {"scenario_id": "more_sun", "parameter_changes": {"total_pv_capacity_kw": {"multiply": 1.5}}},
            {"scenario_id": "shared", "parameter_changes": {"sharing_rule": "dynamic"}},
        ]
        body = {
            "scenarios": scenarios, "simulation_duration_days": 30, "monte_carlo_runs": self.runs, "seed": 7,
            "as_of": AS_OF.isoformat(),
        }  # fmt: skip
        return client.post(f"/communities/{community}/simulation/run-multiple", json=body)

    def result(self, client: httpx.Client, run: dict[str, Any]) -> Any:
        answer = ask(client, f"/communities/{run['community_id']}/simulation/results/{run['run_id']}")
        if answer.status_code == 404:
            return None
        return {name: value for name, value in answer.json().items() if name != "result_id"}


KINDS: dict[str, Kind] = {"import": Import(), "training": Training(), "simulation": Simulation()}


@contextmanager
def patience(for_what: str) -> Iterator[Callable[[], None]]:
    """What is yielded pauses between two looks, and ends the test when they are too many."""
    deadline = time.monotonic() + PATIENCE_S

    def pause() -> None:
        assert time.monotonic() < deadline, f"still waiting for {for_what}"
        threading.Event().wait(0.05)

    yield pause


def ask(client: httpx.Client, path: str) -> httpx.Response:
    """What is there, or 404; while server or database are away, asked again."""
    with patience(path) as pause:
        while True:
            try:
                answer = client.get(path)
            except httpx.TransportError:
                pause()
                continue
            if answer.status_code != 503:
                assert answer.status_code in (200, 404), answer.text
                return answer
            pause()


def begin(client: httpx.Client, kind: Kind, community: str) -> dict[str, Any]:
    """A Run of the kind in a community of its own."""
    answer = client.post("/communities", json={"community_id": community, **COMMUNITY})
    assert answer.status_code == 201, answer.text
    kind.prepare(client, community)
    return submit(client, kind, community)


def submit(client: httpx.Client, kind: Kind, community: str) -> dict[str, Any]:
    answer = kind.submit(client, community)
    assert answer.status_code == 202, answer.text
    return answer.json()


def look(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    return ask(client, f"/runs/{run['run_id']}").json()


def in_the_middle(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    """The Run when some of its parts are done."""
    with patience("the first part") as pause:
        while not (run := look(client, run))["progress"]["done"]:
            pause()
    return run


def to_its_end(client: httpx.Client, kind: Kind, run: dict[str, Any]) -> dict[str, Any]:
    """The Run when it has ended; before, nothing of its result is seen."""
    with patience("the end") as pause:
        while True:
            seen = kind.result(client, run)
            run = look(client, run)
            assert seen is None or run["state"] == "succeeded", "a result of a Run that has not ended is seen"
            if run["state"] in ENDED:
                return run
            pause()


def to_their_end(processes: Collection[int]) -> None:
    assert len(processes) > 1
    with patience("the end of all processes") as pause:
        while any(is_running(pid) for pid in processes):
            pause()


def told(client: httpx.Client, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a Run that has ended, all that came before those of a later one."""
    community = run["community_id"]
    reading = {"name": "temperature_c", "unit": "degC", "start": AS_OF.isoformat(), "resolution_minutes": 60}
    later = client.post(
        f"/communities/{community}/readings",
        json={"series": [{**reading, "values": [8.5]}]},
        headers={"Prefer": "respond-async"},
    )
    assert later.status_code == 202, later.text
    found: list[dict[str, Any]] = []
    with client.stream("GET", f"/communities/{community}/events", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            event = json.loads(value) if name == "data" else {}
            if event.get("run_id") == run["run_id"]:
                found.append(event)
            elif event.get("run_id") == later.json()["run_id"] and event["state"] == "succeeded":
                return found
    pytest.fail("the stream of events ended")


def assert_taken_up_again(client: httpx.Client, run: dict[str, Any]) -> None:
    """It ended well, once, after more than one attempt that lost nothing of what was done."""
    assert run["state"] == "succeeded", run
    assert run["attempt"] >= 2
    assert run["progress"]["done"] == run["progress"]["total"] > 1
    events = told(client, run)
    states = [event["state"] for event in events]
    assert [state for state in states if state in ENDED] == states[-1:] == ["succeeded"]
    assert states.count("queued") >= 2
    done = [event["done"] for event in events]
    assert done == sorted(done)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The product with all its processes; each test leaves it running."""
    made = Installation(tmp_path_factory.mktemp("workers"), with_dashboard=True, DASHBOARD_PORT=str(free_port()))
    made.create_administrator()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(twin: Installation) -> Iterator[httpx.Client]:
    with twin.client("root_admin") as made:
        yield made


@pytest.fixture(scope="module")
def calm(twin: Installation) -> Callable[[str], Any]:
    """What a Run of the kind comes to that nothing disturbs."""

    @cache
    def result(name: str) -> Any:
        with twin.client("root_admin") as client:
            run = to_its_end(client, KINDS[name], begin(client, KINDS[name], f"calm_{name}"))
            assert (run["state"], run["attempt"]) == ("succeeded", 1), run
            return KINDS[name].result(client, run)

    return result


@pytest.mark.parametrize("name", KINDS)
def test_a_run_whose_worker_is_killed_goes_on_and_comes_to_the_same(
    twin: Installation, client: httpx.Client, calm: Callable[[str], Any], name: str
) -> None:
    kind, expected = KINDS[name], calm(name)
    run = in_the_middle(client, begin(client, kind, f"killed_{name}"))
    processes = twin.kill_worker()
    assert look(client, run)["state"] == "running", "it had ended before the worker was killed"
    to_their_end(processes)
    run = to_its_end(client, kind, run)
    assert_taken_up_again(client, run)
    assert kind.result(client, run) == expected


@pytest.mark.parametrize("name", ["import", "training"])
def test_a_worker_that_was_taken_for_dead_does_no_harm_when_it_wakes(
    twin: Installation, client: httpx.Client, calm: Callable[[str], Any], name: str
) -> None:
    kind, expected = KINDS[name], calm(name)
    run = in_the_middle(client, begin(client, kind, f"slept_{name}"))
    with ExitStack() as beside:
        with twin.asleep():
            assert look(client, run)["state"] == "running", "it had ended before the worker fell asleep"
            beside.enter_context(twin.second_worker())
            with patience("another attempt") as pause:
                while look(client, run)["attempt"] == 1:
                    pause()
        run = to_its_end(client, kind, run)
    assert_taken_up_again(client, run)
    assert kind.result(client, run) == expected


def test_all_processes_end_with_a_server_that_is_killed_and_its_run_goes_on(
    twin: Installation, client: httpx.Client, calm: Callable[[str], Any]
) -> None:
    kind, expected = KINDS["simulation"], calm("simulation")
    run = in_the_middle(client, begin(client, kind, "killed_server"))
    family = {*twin.family(), twin.child("worker"), twin.child("dashboard")}
    twin.kill_server()
    to_their_end(family)
    database = EmbeddedPostgres(twin.home)
    with patience("the end of the database") as pause:
        while database.is_running():
            pause()
    twin.start()
    run = to_its_end(client, kind, run)
    assert_taken_up_again(client, run)
    assert kind.result(client, run) == expected


@pytest.mark.parametrize("name", KINDS)
def test_a_run_outlives_its_database(
    twin: Installation, client: httpx.Client, calm: Callable[[str], Any], name: str
) -> None:
    kind, expected = KINDS[name], calm(name)
    run = in_the_middle(client, begin(client, kind, f"killed_database_{name}"))
    twin.kill_database()
    run = to_its_end(client, kind, run)
    assert run["state"] == "succeeded", run
    assert kind.result(client, run) == expected
    states = [event["state"] for event in told(client, run)]
    assert [state for state in states if state in ENDED] == states[-1:]


def test_cancelled_runs_make_room_for_others(client: httpx.Client) -> None:
    endless = Simulation(runs=10_000)
    runs = [begin(client, endless, f"endless_{number}") for number in range(JOBS_AT_ONCE)]
    runs = [in_the_middle(client, run) for run in runs]
    waiting = begin(client, Simulation(runs=10), "patient")
    assert look(client, waiting)["state"] == "queued", "there is no room"
    for run in runs:
        ended = client.delete(f"/runs/{run['run_id']}")
        assert ended.status_code == 200, ended.text
        assert ended.json()["state"] == "cancelled"
    assert to_its_end(client, Simulation(), waiting)["state"] == "succeeded"
    for run in runs:
        assert look(client, run)["state"] == "cancelled"
        assert endless.result(client, run) is None
        assert [event["state"] for event in told(client, run)][-1] == "cancelled"
