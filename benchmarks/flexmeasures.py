"""Readings of one meter over HTTP: ours and FlexMeasures, on one PostgreSQL server, with the same numbers.

Both take a series of 15-minute values from a start as one JSON document.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import orjson
from tests.e2e.serving import Installation

from benchmarks.environments import prepare_environment
from benchmarks.flexmeasures_server import NAME, FlexMeasures, flexmeasures
from benchmarks.given_postgres import create_database, is_installed, postgres_server
from benchmarks.ingest import community
from benchmarks.measure import Result, report, rounds_asked, significant, take_turns
from digital_twin.domain.units import Array

LONG, SHORT = 10_000, 96
TIMEOUT_S = 120.0
FIRST = datetime(2010, 1, 1, tzinfo=UTC)
APART = timedelta(days=120)
"""Between the first values of two rounds; 10,000 values are 104 days."""

OURS, PEER = "ours", "FlexMeasures"
Post = Callable[[Array, datetime], None]


def start_of(number: int, readings: int) -> datetime:
    """Each round and each length has a time of its own; rounds count from -1."""
    return FIRST + (2 * (number + 1) + (readings == SHORT)) * APART


def values_of(number: int, readings: int) -> Array:
    return np.random.default_rng(number + 1).gamma(2, 0.3, readings).round(3)


def work_of(name: str, post: Post) -> dict[str, Callable[[int], None]]:
    """What is sent in each round, in this order: what is corrected was sent before."""

    def send(readings: int, change_kw: float = 0.0) -> Callable[[int], None]:
        return lambda number: post(values_of(number, readings) + change_kw, start_of(number, readings))

    return {
        f"{name}: {LONG:,} fresh": send(LONG),
        f"{name}: {SHORT} fresh": send(SHORT),
        f"{name}: {SHORT} sent again": send(SHORT),
        f"{name}: {SHORT} corrected": send(SHORT, 1.0),
    }


def once(post: Post, change_kw: float, number: int) -> float | None:
    """Seconds for many values that are known already; None where no answer came in time."""
    started = time.perf_counter()
    try:
        post(values_of(number, LONG) + change_kw, start_of(number, LONG))
    except httpx.ReadTimeout:
        return None
    return time.perf_counter() - started


def to_peer(peer: FlexMeasures) -> Post:
    def post(values: Array, start: datetime) -> None:
        body = {"values": values, "start": start.isoformat(), "duration": f"PT{15 * values.size}M", "unit": "kW"}
        peer.post(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), timeout_s=TIMEOUT_S)

    return post


def to_twin(client: httpx.Client) -> Post:
    def post(values: Array, start: datetime) -> None:
        column = {"name": "load_kw", "unit": "kW", "member_id": "home_0", "resolution_minutes": 15}
        body = {"series": [{**column, "start": start.isoformat(), "values": values}]}
        content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = {"Content-Type": "application/json"}
        answer = client.post("/communities/beside/readings", content=content, headers=headers)
        if answer.raise_for_status().json()["received"] != values.size:
            raise RuntimeError(answer.text)

    return post


@contextmanager
def both() -> Iterator[tuple[httpx.Client, FlexMeasures]]:
    """The two servers, each on a database of its own on one PostgreSQL server."""
    with tempfile.TemporaryDirectory() as name, postgres_server() as address:
        home = Path(name)
        twin = Installation(home, with_worker=False, DATABASE_URL=create_database(address, "twin"))
        with flexmeasures(home, create_database(address, "peer")) as peer:
            try:
                twin.create_administrator()
                twin.start()
                with twin.client("root_admin") as client:
                    client.post("/communities", json=community("beside")).raise_for_status()
                    member = {"members": [{"member_id": "home_0"}]}
                    client.post("/communities/beside/members", json=member).raise_for_status()
                    yield client, peer
            finally:
                twin.stop()


def rows_of(client: httpx.Client, peer: FlexMeasures, rounds: int) -> list[list[str]]:
    to_us, to_them = to_twin(client), to_peer(peer)
    timings = take_turns({**work_of(OURS, to_us), **work_of(PEER, to_them)}, rounds=rounds, turning=False)
    rows: list[list[str]] = []
    for name in work_of("", to_us):
        ours, theirs = OURS + name, PEER + name
        cells = [_text(float(timings.of(one).median)) for one in (ours, theirs)]
        rows.append([name.removeprefix(": "), *cells, timings.ratio(theirs, ours).text()])
    for what, change_kw in (("sent again", 0.0), ("corrected", 1.0)):
        theirs = once(to_them, change_kw, 0)
        if theirs is None:
            peer.start()  # it is still busy with what nobody waits for
        ours = once(to_us, change_kw, 0)
        assert ours is not None
        limit = TIMEOUT_S if theirs is None else theirs
        ratio = ("> " if theirs is None else "") + significant(limit / ours)
        rows.append([f"{LONG:,} {what}", _text(ours), _text(theirs), ratio])
    return rows


def _text(seconds: float | None) -> str:
    return f"no answer in {TIMEOUT_S:.0f} s" if seconds is None else significant(1e3 * seconds)


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 5)
    if not is_installed() or shutil.which("redis-server") is None:
        print("FlexMeasures: skipped, it needs the system's PostgreSQL with its extensions, and redis-server")
        return
    prepare_environment(NAME)
    with both() as (client, peer):
        rows = rows_of(client, peer, rounds)
    columns = ("readings", "ours, ms", "FlexMeasures, ms", "FlexMeasures / ours")
    notes = [f"FlexMeasures 1.0.1, one worker of gunicorn; rounds: {rounds}, the last two rows once."]
    report(Result("flexmeasures", columns, rows, notes), "scripts/bench flexmeasures")


if __name__ == "__main__":
    main()
