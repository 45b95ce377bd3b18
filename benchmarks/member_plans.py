"""A plan for every one of 10,000 members over HTTP: how long each stage takes, and what the database must do of it.

The homes are synthetic, each with PV and a battery, a third with a vehicle, and have four weeks of quarters of an hour.
What is timed is a Run: it reads all members' days part by part, forecasts the community, plans, and stores a plan for
each. The floor of the reading is PostgreSQL's own COPY of the same rows, at which nobody looks. Core-seconds are those
of the worker, of the processes that compute for it, and of PostgreSQL, so that other load is hardly in them.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.ipc as ipc
from tests.e2e.serving import Installation

from benchmarks.measure import Result, Spread, report
from benchmarks.twin_service import Processes
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.cli.registration import asset_document
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.member_outlook import MEMBERS_A_PART
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import HomeSeries, Recipe, Shares, SyntheticCommunity

COMMUNITY = "measured"
SEED, DAYS, AT_ONCE = 100, 28, 500
ARROW = "application/vnd.apache.arrow.stream"
LOOK_EVERY_S, LONGEST_S = 0.5, 1800.0
SERIES = ("load_kw", "pv_kw", "storage_soc_kwh")
COPY = (
    "copy (select day, series, slots from only {} where series in (select id from series where name in "
    "('load_kw', 'pv_kw', 'net_load_kw') and member_id is not null)) to stdout (format binary)"
)
STAGES = ("members' days are read", "forecast, plan, and what is stored of it")
WHOLE, FLOOR = "the whole Run", "floor of the reading: COPY of the same rows"
COSTS = ("wall", "service", "computing", "database")


@dataclass(frozen=True, slots=True)
class Lap:
    """What something took: seconds of the wall's clock, and of processors."""

    wall: float
    service: float
    computing: float
    database: float


class Watch:
    """Takes the laps of an installation's worker and database."""

    def __init__(self, twin: Installation) -> None:
        self._database = EmbeddedPostgres(twin.home)
        self.address = self._database.start()
        with psycopg.connect(self.address) as connection:
            [(backend,)] = connection.execute("select pg_backend_pid()").fetchall()
            parent = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
        self._processes = Processes(twin.child("worker"), parent)
        self._last = self._now()

    def lap(self) -> Lap:
        """Since the last one."""
        before, self._last = self._last, self._now()
        return Lap(*(after - then for after, then in zip(self._last, before, strict=True)))

    def _now(self) -> tuple[float, ...]:
        spent = self._processes.seconds()
        return (time.perf_counter(), *(spent[name] for name in COSTS[1:]))

    def close(self) -> None:
        self._database.stop()


class Village:
    """So many homes behind a server with a worker."""

    def __init__(self, client: httpx.Client, homes: int, now: datetime) -> None:
        self._client, self._now = client, now
        grid = TimeGrid(now - timedelta(days=DAYS), DAYS * 96, 15)
        shares = Shares(pv=1.0, battery=1.0, vehicle=0.3)
        self._made = SyntheticCommunity(Recipe(homes, Place(48.2, 16.4, "Europe/Vienna"), grid, SEED, shares))

    def register(self) -> None:
        """The community, its members and all that they have, with four weeks of readings."""
        homes = self._made.homes
        batteries = [home.battery for home in homes if home.battery]
        body = {
            "community_id": COMMUNITY, "num_prosumers": len(homes), "total_pv_capacity_kw": self._made.pv_capacity_kw,
            "total_storage_capacity_kwh": sum(one.capacity_kwh for one in batteries),
            "max_storage_power_kw": sum(one.power_kw for one in batteries),
            "grid_import_limit_kw": 5.0 * len(homes), "grid_export_limit_kw": 5.0 * len(homes),
            "incentive_budget_daily": 0, "latitude": 48.2, "longitude": 16.4, "timezone": "Europe/Vienna",
        }  # fmt: skip
        self._post("", body, to="/communities")
        for first in range(0, len(homes), AT_ONCE):
            some = homes[first : first + AT_ONCE]
            self._post("members", {"members": [{"member_id": one.member_id} for one in some]})
            self._post("assets", {"assets": [asset_document(asset) for one in some for asset in one.assets]})
        for first in range(0, len(homes), AT_ONCE):
            self._upload(list(self._made.series(first, first + AT_ONCE)))

    def _upload(self, homes: list[HomeSeries]) -> None:
        answer = self._client.post(
            f"/communities/{COMMUNITY}/readings",
            params={"assumed_delay_minutes": 0},
            content=_arrow(self._made.recipe.grid, homes),
            headers={"Content-Type": ARROW},
        )
        assert answer.status_code == 200, answer.text

    def settle(self) -> None:
        """Until the community's state has learned from the readings, which is not part of a plan."""
        answer = self._client.get(f"/communities/{COMMUNITY}/state")
        assert answer.status_code == 200, answer.text

    def plan(self, watch: Watch) -> dict[str, Lap]:
        """One Run from its asking to its end, by stage."""
        watch.lap()
        run = self._post("optimization/dispatch", self._request(), {"Prefer": "respond-async"})
        parts = 1 + -(-len(self._made.homes) // MEMBERS_A_PART)  # the first says who they are
        run = self._until(run, lambda seen: seen["progress"]["done"] >= parts)
        reading = watch.lap()
        run = self._until(run, lambda seen: seen["state"] == "succeeded")
        planning = watch.lap()
        whole = Lap(*(getattr(reading, name) + getattr(planning, name) for name in COSTS))
        return {STAGES[0]: reading, STAGES[1]: planning, WHOLE: whole}

    def _until(self, run: dict[str, Any], reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + LONGEST_S
        while not reached(run):
            assert run["state"] in ("queued", "running"), run
            assert time.monotonic() < deadline, run
            time.sleep(LOOK_EVERY_S)
            run = self._client.get(f"/runs/{run['run_id']}").json()
        return run

    def _request(self) -> dict[str, Any]:
        prices = 0.25 + 0.1 * np.sin(np.arange(96) / 15)
        return {
            "level": "member", "horizon_hours": 24, "resolution_minutes": 15, "export_price_per_kwh": 0.06,
            "import_price_per_kwh": prices.tolist(),
            "devices": [self._vehicle(home.member_id) for home in self._made.homes if home.vehicle],
        }  # fmt: skip

    def _vehicle(self, member_id: str) -> dict[str, Any]:
        """At home until the morning."""
        leaves = (self._now + timedelta(hours=14)).isoformat()
        return {
            "kind": "ev", "device_id": f"car_of_{member_id}", "member_id": member_id, "capacity_kwh": 60,
            "power_kw": 11,
            "stays": [{"departure": leaves, "departure_soc_min_kwh": 40, "arrival_soc_kwh": 20}],
        }  # fmt: skip

    def _post(
        self, what: str, body: dict[str, Any], headers: dict[str, str] | None = None, *, to: str | None = None
    ) -> dict[str, Any]:
        answer = self._client.post(to or f"/communities/{COMMUNITY}/{what}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()


def copied(watch: Watch) -> Lap:
    """What PostgreSQL takes to give the rows."""
    with psycopg.connect(watch.address) as connection:
        watch.lap()
        for table in ("reading_open", "reading_closed"):
            with connection.cursor() as cursor, cursor.copy(COPY.format(table)) as copy:
                for _ in copy:
                    pass
        return watch.lap()


def _arrow(grid: TimeGrid, homes: list[HomeSeries]) -> bytes:
    """All readings of some homes."""
    columns = [(name, home.home.member_id, np.round(home.readings[name], 3)) for home in homes for name in SERIES]
    steps = grid.steps
    starts = int(grid.start.timestamp()) + 900 * np.arange(steps)
    table = pa.table(
        {
            "series": pa.array(np.repeat([name for name, _, _ in columns], steps)).dictionary_encode(),
            "member_id": pa.array(np.repeat([member for _, member, _ in columns], steps)).dictionary_encode(),
            "start": pa.array(np.tile(starts, len(columns)), pa.timestamp("s", tz="UTC")),
            "value": np.concatenate([values for _, _, values in columns]),
        }
    )
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100_000)
    return sink.getvalue()


def highest_memory_mb(pid: int) -> float:
    """The largest resident set that the process ever had; Linux, proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(homes: int, rounds: int) -> tuple[dict[str, list[Lap]], float]:
    """The laps of each round, and the worker's memory at most."""
    found: dict[str, list[Lap]] = {}
    with tempfile.TemporaryDirectory() as home:
        twin = Installation(Path(home))
        twin.create_administrator()
        twin.start()
        try:
            with twin.client("root_admin") as client:
                client.timeout = httpx.Timeout(LONGEST_S)
                village = Village(client, homes, floor_to_step(datetime.now(UTC), 15))
                village.register()
                village.settle()
                watch = Watch(twin)
                for number in range(-1, rounds):
                    laps = village.plan(watch) | {FLOOR: copied(watch)}
                    if number >= 0:
                        for name, lap in laps.items():
                            found.setdefault(name, []).append(lap)
                watch.close()
                return found, highest_memory_mb(twin.child("worker"))
        finally:
            twin.stop()


def row(name: str, laps: Sequence[Lap]) -> list[str]:
    return [name, *(Spread.of(np.array([getattr(lap, cost) for lap in laps])).text() for cost in COSTS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found, megabytes = measure(asked.members, asked.rounds)
    columns = (
        f"{asked.members:,} members", "seconds", "core-seconds of the worker", "of what computes", "of PostgreSQL",
    )  # fmt: skip
    notes = [
        f"{asked.rounds} Runs after one that is not counted. The worker had {megabytes:,.0f} MB at most, the taking up "
        "of all readings into the state included."
    ]
    report(Result("member_plans", columns, [row(*one) for one in found.items()], notes), "scripts/bench member_plans")


if __name__ == "__main__":
    main()
