# ruff: noqa: A005
"""An authenticated GET against a hello world of bare FastAPI: what identity, rights, database and headers cost.

Both run as one process of uvicorn with the settings of `digital-twin serve`; the client only writes and reads bytes.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.e2e.serving import Installation

from benchmarks.bare_servers import HELLO_WORLD, bare_server
from benchmarks.load import get_request, latencies
from benchmarks.measure import Result, Spread, report, rounds_asked, significant

CONNECTIONS = (1, 8)
REQUESTS = 400
HELLO = "hello world, bare FastAPI"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send which request."""

    port: int
    request: bytes


@dataclass(slots=True)
class Found:
    """Per round: median and 95th percentile of the latency, requests a second."""

    p50: list[float] = field(default_factory=list[float])
    p95: list[float] = field(default_factory=list[float])
    per_second: list[float] = field(default_factory=list[float])


def measure(targets: dict[str, Target], *, connections: int, rounds: int) -> dict[str, Found]:
    """Everyone once per round; the first round is not counted."""
    found = {name: Found() for name in targets}
    names = list(targets)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            target = targets[name]
            started = time.perf_counter()
            seconds = asyncio.run(latencies(target.port, target.request, connections=connections, requests=REQUESTS))
            wall = time.perf_counter() - started
            if number:
                found[name].p50.append(float(np.quantile(seconds, 0.5)))
                found[name].p95.append(float(np.quantile(seconds, 0.95)))
                found[name].per_second.append(seconds.size / wall)
    return found


def rows_of(found: dict[str, Found], connections: int) -> list[list[str]]:
    reference = found[HELLO]
    rows: list[list[str]] = []
    for name, one in found.items():
        ratios = [Spread.of(np.array(one.p50) / np.array(reference.p50)).text()]
        ratios.append(Spread.of(np.array(one.p95) / np.array(reference.p95)).text())
        ratios.append(Spread.of(np.array(reference.per_second) / np.array(one.per_second)).text())
        if name == HELLO:
            ratios = ["1", "1", "1"]
        rows.append(
            [
                f"{name}, {connections} at once",
                f"{significant(1e3 * float(np.median(one.p50)))} / {significant(1e3 * float(np.median(one.p95)))}",
                significant(float(np.median(one.per_second))),
                *ratios,
            ]
        )
    return rows


def targets_of(twin: Installation, hello_port: int) -> dict[str, Target]:
    """The hello world, and the product's reads by an administrator and by a member of the community."""
    community = {
        "community_id": "measured", "num_prosumers": 100, "total_pv_capacity_kw": 500,
        "total_storage_capacity_kwh": 200, "max_storage_power_kw": 50, "grid_import_limit_kw": 300,
        "grid_export_limit_kw": 300, "incentive_budget_daily": 0,
    }  # fmt: skip
    with twin.client("root_admin") as client:
        client.post("/communities", json=community).raise_for_status()
        token = client.headers["Authorization"].removeprefix("Bearer ")
    return {
        HELLO: Target(hello_port, get_request("/")),
        "GET /auth/me": Target(twin.port, get_request("/auth/me", token)),
        "GET /communities/{id}": Target(twin.port, get_request("/communities/measured", token)),
        "GET /health/live": Target(twin.port, get_request("/health/live")),
    }


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 7)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as home, bare_server(HELLO_WORLD) as hello_port:
        twin = Installation(Path(home), with_worker=False)
        twin.create_administrator()
        twin.start()
        try:
            targets = targets_of(twin, hello_port)
            for connections in CONNECTIONS:
                rows += rows_of(measure(targets, connections=connections, rounds=rounds), connections)
        finally:
            twin.stop()
    columns = ("request", "p50 / p95, ms", "a second", "p50, x hello", "p95, x hello", "hello's throughput, x its own")
    report(Result("http", columns, rows), "scripts/bench http")


if __name__ == "__main__":
    main()
