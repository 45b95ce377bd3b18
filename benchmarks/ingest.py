"""Readings in over HTTP, by format: fresh, and then corrected, against the store alone and against only reading a body.

Every batch is one request to a server of one process, made ready beforehand: checked, merged, counted, journalled and
committed when it is answered. The store alone takes the same readings as arrays in the same round; the bare server
(Starlette) takes the same Arrow body and looks at nothing in it.
"""

import asyncio
import io
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.ipc as ipc
from tests import builders
from tests.e2e.serving import Installation

from benchmarks.bare_servers import BODY_READER, bare_server
from benchmarks.measure import Result, Spread, report, rounds_asked, significant, take_turns
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesValues, series_key
from digital_twin.domain.time import time_grid
from digital_twin.domain.units import Array

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
FORMATS = {"Arrow": ARROW, "JSON columns": JSON, "CSV": CSV}
LARGEST_HOMES = 10_000
STORE, BARE = "the store alone", "the body only read"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A batch of so many readings of each of so many homes."""

    homes: int
    slots: int

    @property
    def readings(self) -> int:
        return self.homes * self.slots

    def start(self, number: int) -> datetime:
        """Two days for each round; all of them are recent, as live readings are."""
        return TODAY + timedelta(days=2 * number - 30)

    def values(self, number: int, change_kw: float) -> Array:
        """What every home used."""  # (N, S)
        drawn = np.random.default_rng(number + 100).gamma(2, 0.3, (self.homes, self.slots))
        return drawn.round(3) + change_kw

    def table(self, number: int, change_kw: float) -> pa.Table:
        """A row for each reading, home by home."""
        names = pa.array([f"home_{home}" for home in range(self.homes)])
        places = pa.array(np.repeat(np.arange(self.homes, dtype=np.int32), self.slots))
        first_s = int(self.start(number).timestamp())
        starts = first_s + np.tile(900 * np.arange(self.slots), self.homes)
        return pa.table(
            {
                "series": pa.array(["load_kw"] * self.readings).dictionary_encode(),
                "member_id": pa.DictionaryArray.from_arrays(places, names),
                "start": pa.array(starts, pa.timestamp("s", tz="UTC")),
                "value": self.values(number, change_kw).ravel(),
            }
        )

    def body(self, name: str, number: int, change_kw: float) -> bytes:
        """The batch in a format."""
        if name == "JSON columns":
            return orjson.dumps({"series": list(self._columns(number, change_kw))})
        table, sink = self.table(number, change_kw), io.BytesIO()
        if name == "CSV":
            arrow_csv.write_csv(as_text(table), sink)
        else:
            with ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=100_000)
        return sink.getvalue()

    def _columns(self, number: int, change_kw: float) -> Iterator[dict[str, Any]]:
        start = self.start(number).isoformat()
        for home, values in enumerate(self.values(number, change_kw).tolist()):
            yield {
                "name": "load_kw", "unit": "kW", "kind": "mean", "member_id": f"home_{home}", "start": start,
                "resolution_minutes": 15, "values": values,
            }  # fmt: skip

    def arrays(self, number: int, change_kw: float) -> list[SeriesValues]:
        grid, values = time_grid(self.start(number), self.slots, 15), self.values(number, change_kw)
        return [SeriesValues(series_key("load_kw", f"home_{home}"), grid, values[home]) for home in range(self.homes)]


SHAPES = (Shape(100, 100), Shape(10_000, 1), Shape(1_000, 96), Shape(10_000, 96))


def as_text(table: pa.Table) -> pa.Table:
    """What `write_csv` takes: dictionaries spelt out, times in RFC 3339."""
    starts = np.datetime_as_string(table.column("start").cast(pa.timestamp("s")).to_numpy(), unit="s")
    plain = {name: table.column(name).cast(pa.string()) for name in ("series", "member_id")}
    return pa.table({**plain, "start": np.char.add(starts, "Z"), "value": table.column("value")})


def community(name: str) -> dict[str, Any]:
    return {
        "community_id": name, "num_prosumers": LARGEST_HOMES, "total_pv_capacity_kw": 0,
        "total_storage_capacity_kwh": 0, "max_storage_power_kw": 0, "grid_import_limit_kw": 50_000,
        "grid_export_limit_kw": 0, "incentive_budget_daily": 0,
    }  # fmt: skip


def prepare(client: httpx.Client, name: str, homes: int) -> None:
    """A community with so many members."""
    client.post("/communities", json=community(name)).raise_for_status()
    for first in range(0, homes, 5_000):
        members = [{"member_id": f"home_{home}"} for home in range(first, min(homes, first + 5_000))]
        client.post(f"/communities/{name}/members", json={"members": members}).raise_for_status()


class IntoStore:
    """Batches handed to the store as arrays, on a database of its own."""

    def __init__(self, address: str, runner: asyncio.Runner) -> None:
        self._runner = runner
        runner.run(migrate(address))
        self._pool = open_pool(address, size=2)
        runner.run(self._pool.open())
        self._store = PostgresStore(self._pool)

    def prepare(self, name: str, homes: int) -> None:
        async def create() -> None:
            async with self._store.platform() as tx:
                await tx.communities.create(builders.community(name))
            async with self._store.community(name) as tx:
                await tx.members.put_members([Member(f"home_{home}") for home in range(homes)])

        self._runner.run(create())

    def record(self, name: str, shape: Shape, number: int, change_kw: float) -> Callable[[int], None]:
        batch = shape.arrays(number, change_kw)

        async def commit() -> None:
            async with self._store.community(name) as tx:
                receipt = await tx.readings.record(batch, key=f"{number} {change_kw}")
            check(receipt.received, shape)

        return lambda _: self._runner.run(commit())

    def close(self) -> None:
        self._runner.run(self._pool.close())


def check(received: int, shape: Shape) -> None:
    if received != shape.readings:
        raise RuntimeError(f"{received} of {shape.readings} readings were received")


class Contest:
    """All contestants on one shape: the bodies of a round are made before its turns."""

    def __init__(self, shape: Shape, client: httpx.Client, store: IntoStore, bare: httpx.Client) -> None:
        self._shape, self._client, self._store, self._bare = shape, client, store, bare
        self._names = {name: f"as_{name.split()[0].lower()}_{shape.homes}_{shape.slots}" for name in FORMATS}
        for community_id in self._names.values():
            prepare(client, community_id, shape.homes)
        self._store_name = f"store_{shape.homes}_{shape.slots}"
        store.prepare(self._store_name, shape.homes)

    def work(self, number: int) -> dict[str, Callable[[int], None]]:
        """What is timed in a round; what is corrected is stored first."""
        found: dict[str, Callable[[int], None]] = {BARE: self._read_only(number)}
        for state, change_kw in (("fresh", 0.0), ("corrected", 1.0)):
            found[f"{STORE}, {state}"] = self._store.record(self._store_name, self._shape, number, change_kw)
            for name in FORMATS:
                found[f"{name}, {state}"] = self._post(name, number, state, change_kw)
        return found

    def _read_only(self, number: int) -> Callable[[int], None]:
        body = self._shape.body("Arrow", number, 0.0)

        def read(_: int) -> None:
            if self._bare.post("/", content=body).json()["bytes"] != len(body):
                raise RuntimeError("the bare server read another number of bytes")

        return read

    def _post(self, name: str, number: int, state: str, change_kw: float) -> Callable[[int], None]:
        body, path = self._shape.body(name, number, change_kw), f"/communities/{self._names[name]}/readings"

        def send(_: int) -> None:
            answer = self._client.post(path, content=body, headers={"Content-Type": FORMATS[name]})
            answer.raise_for_status()
            check(answer.json()["stored" if state == "fresh" else "corrected"], self._shape)

        return send


@contextmanager
def everything() -> Generator[tuple[httpx.Client, IntoStore, httpx.Client]]:
    """The server with its database, the store alone with its own, and the bare server."""
    with ExitStack() as closing:
        home, other = (Path(closing.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        twin, database = Installation(home, with_worker=False), EmbeddedPostgres(other)
        twin.create_administrator()
        closing.callback(twin.stop)
        twin.start()
        closing.callback(database.stop)
        runner = closing.enter_context(asyncio.Runner())
        store = IntoStore(database.start(), runner)
        closing.callback(store.close)
        client = closing.enter_context(twin.client("root_admin"))
        client.timeout = httpx.Timeout(600)
        port = closing.enter_context(bare_server(BODY_READER))
        yield client, store, closing.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}"))


def rows_of(shape: Shape, seconds: dict[str, list[float]]) -> list[list[str]]:
    """Readings a second, and how many times as long as the store alone and as the body only read."""
    rows: list[list[str]] = []
    found = {name: np.array(told) for name, told in seconds.items()}
    for name, own in found.items():
        state = name.rpartition(", ")[2]
        alone = found.get(f"{STORE}, {state}", own)
        rows.append(
            [
                f"{shape.homes:,} homes x {shape.slots}: {name}",
                significant(float(np.median(shape.readings / own))),
                "" if name == BARE else Spread.of(own / alone).text(),
                Spread.of(own / found[BARE]).text(),
            ]
        )
    return rows


def measure(rounds: int) -> list[list[str]]:
    rows: list[list[str]] = []
    with everything() as (client, store, bare):
        for shape in SHAPES:
            contest = Contest(shape, client, store, bare)
            seconds: dict[str, list[float]] = {}
            for number in range(-1, rounds):
                timings = take_turns(contest.work(number), rounds=1, warm_up=0, turning=False)
                for name, own in timings.seconds.items():
                    if number >= 0:
                        seconds.setdefault(name, []).append(float(own[0]))
            rows += rows_of(shape, seconds)
    return rows


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 5)
    columns = ("one request", "readings a second", "time, x store alone", "time, x body only read")
    report(Result("ingest", columns, measure(rounds)), "scripts/bench ingest")


if __name__ == "__main__":
    main()
