"""Readings in: fresh, the rest of half-known days, corrected and repeated, against raw COPY into the same server.

The floor is what a store of rows could reach at best: binary COPY of (series, time, value) into a table without an
index, made ready beforehand, with no check, no merge, no count and no journal. A batch is one day of 1,000 homes at 15
minutes: 96,000 readings.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import psycopg
from tests.e2e.serving import Installation

from benchmarks.measure import Result, Spread, Timings, report, rounds_asked, significant, take_turns
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

HOMES = 1_000
SLOTS = 96
READINGS = HOMES * SLOTS
FLOOR = "floor: binary COPY of rows"
Work = dict[str, Callable[[int], object]]
"""What to do with the days of a round; a name with `half` in it means half of the readings."""


def day_of(number: int, *, second: bool = False) -> datetime:
    """Two days for each round; all of them are recent, as live readings are."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=2 * number + second - 20)


def values_of(number: int, change_kw: float = 0.0) -> Array:
    """A day of every home."""  # (N, S)
    return np.random.default_rng(number + 100).gamma(2, 0.3, (HOMES, SLOTS)).round(3) + change_kw


class Copy:
    """The floor."""

    def __init__(self, address: str, rounds: int) -> None:
        self._connection = psycopg.connect(address)
        self._connection.execute("create table benchmark_rows (series int, at timestamptz, value real)")
        self._connection.commit()
        self._ready = {number: copy_rows(number) for number in range(-1, rounds)}

    def __call__(self, number: int) -> None:
        with self._connection.cursor() as cursor:
            with cursor.copy("copy benchmark_rows from stdin binary") as copy:
                copy.write(self._ready[number])
            self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def copy_rows(number: int) -> bytes:
    """COPY BINARY of (series int, at timestamptz, value real)."""
    fields = [("n", ">i2"), ("l1", ">i4"), ("series", ">i4"), ("l2", ">i4"), ("at", ">i8"), ("l3", ">i4"), ("v", ">f4")]
    rows = np.zeros(READINGS, np.dtype(fields))
    first = int((day_of(number) - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000
    rows["n"], rows["l1"], rows["l2"], rows["l3"] = 3, 4, 8, 4
    rows["series"] = np.repeat(np.arange(HOMES), SLOTS)
    rows["at"] = first + np.tile(np.arange(SLOTS), HOMES) * 900_000_000
    rows["v"] = values_of(number).ravel()
    return b"PGCOPY\n\xff\r\n\0" + b"\0" * 8 + rows.tobytes() + b"\xff\xff"


class IntoStore:
    """Batches handed to the store: merge, counts, journal, commit."""

    def __init__(self, address: str, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._pool = open_pool(address, size=2)
        runner.run(self._pool.open())
        self._store = PostgresStore(self._pool)
        runner.run(self._prepare())

    async def _prepare(self) -> None:
        async with self._store.community("store_level") as tx:
            await tx.members.put_members([Member(f"home_{home}") for home in range(HOMES)])

    def work(self) -> Work:
        return {
            "store, fresh": lambda number: self._record(number, values_of(number)),
            "store, first half of the days": lambda number: self._record(number, halves(number)[0], second=True),
            "store, the other half": lambda number: self._record(number, halves(number)[1], second=True),
            "store, corrected": lambda number: self._record(number, values_of(number, 1.0)),
            "store, sent again": lambda number: self._record(number, values_of(number, 1.0)),
        }

    def _record(self, number: int, values: Array, *, second: bool = False) -> None:
        grid = TimeGrid(day_of(number, second=second), SLOTS, 15)
        batch = [SeriesValues(SeriesKey("load_kw", f"home_{home}"), grid, values[home]) for home in range(HOMES)]
        self._runner.run(self._commit(batch, f"{grid.start}{np.random.default_rng().integers(2**62)}"))

    async def _commit(self, batch: list[SeriesValues], key: str) -> None:
        async with self._store.community("store_level") as tx:
            receipt = await tx.readings.record(batch, key=key)
        if receipt.received == 0:
            raise RuntimeError("nothing was received")

    def close(self) -> None:
        self._runner.run(self._pool.close())


def halves(number: int) -> tuple[Array, Array]:
    """The same day twice, with NaN in every other slot: nowhere does one half stand beside itself."""
    values, even = values_of(number), np.arange(SLOTS) % 2 == 0
    return np.where(even, values, np.nan), np.where(even, np.nan, values)


class OverHttp:
    """The same batches as requests, made ready beforehand."""

    def __init__(self, client: httpx.Client, rounds: int) -> None:
        self._client = client
        members = [{"member_id": f"home_{home}"} for home in range(HOMES)]
        for name in ("http_json", "http_csv"):
            client.post(f"/communities/{name}/members", json={"members": members}).raise_for_status()
        self._ready: dict[tuple[str, int], bytes] = {}
        for number in range(-1, rounds):
            even, odd = halves(number)
            self._ready["fresh", number] = json_columns(values_of(number), day_of(number))
            self._ready["half", number] = json_columns(even, day_of(number, second=True))
            self._ready["rest", number] = json_columns(odd, day_of(number, second=True))
            self._ready["corrected", number] = json_columns(values_of(number, 1.0), day_of(number))
            self._ready["csv", number] = csv_rows(values_of(number), day_of(number))

    def work(self) -> Work:
        json, csv = ("http_json", "application/json"), ("http_csv", "text/csv")
        return {
            "HTTP, JSON columns, fresh": lambda number: self._post(*json, "fresh", number),
            "HTTP, JSON columns, first half of the days": lambda number: self._post(*json, "half", number),
            "HTTP, JSON columns, the other half": lambda number: self._post(*json, "rest", number),
            "HTTP, JSON columns, corrected": lambda number: self._post(*json, "corrected", number),
            "HTTP, CSV, fresh": lambda number: self._post(*csv, "csv", number),
        }

    def _post(self, community: str, content_type: str, body: str, number: int) -> None:
        answer = self._client.post(
            f"/communities/{community}/readings",
            content=self._ready[body, number],
            headers={"Content-Type": content_type},
        )
        answer.raise_for_status()
        counts = answer.json()
        wanted = "corrected" if body == "corrected" else "stored"
        if counts[wanted] != (READINGS // 2 if body in ("half", "rest") else READINGS):
            raise RuntimeError(f"{body}: {counts}")


def json_columns(values: Array, start: datetime) -> bytes:
    columns = [
        {
            "name": "load_kw", "unit": "kW", "kind": "mean", "member_id": f"home_{home}",
            "start": start.isoformat(), "resolution_minutes": 15,
            "values": [None if value != value else value for value in values[home].tolist()],
        }
        for home in range(HOMES)
    ]  # fmt: skip
    return orjson.dumps({"series": columns})


def csv_rows(values: Array, start: datetime) -> bytes:
    times = [(start + timedelta(minutes=15 * slot)).isoformat() for slot in range(SLOTS)]
    lines = ["series,start,value,member_id"]
    for home in range(HOMES):
        lines += [f"load_kw,{at},{value},home_{home}" for at, value in zip(times, values[home].tolist(), strict=True)]
    return "\n".join(lines).encode()


def community(name: str) -> dict[str, Any]:
    return {
        "community_id": name, "num_prosumers": HOMES, "total_pv_capacity_kw": 0, "total_storage_capacity_kwh": 0,
        "max_storage_power_kw": 0, "grid_import_limit_kw": 5_000, "grid_export_limit_kw": 0,
        "incentive_budget_daily": 0,
    }  # fmt: skip


@contextmanager
def everything(rounds: int) -> Iterator[Work]:
    """The server, its database, and all contestants on both."""
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        twin = Installation(Path(home), with_worker=False)
        twin.create_administrator()
        twin.start()
        database = EmbeddedPostgres(Path(home))
        try:
            address = database.start()
            with twin.client("root_admin") as client:
                for name in ("store_level", "http_json", "http_csv"):
                    client.post("/communities", json=community(name)).raise_for_status()
                copy, store = Copy(address, rounds), IntoStore(address, runner)
                try:
                    yield {FLOOR: copy, **store.work(), **OverHttp(client, rounds).work()}
                finally:
                    store.close()
                    copy.close()
        finally:
            database.stop()
            twin.stop()


def rows_of(timings: Timings) -> list[list[str]]:
    """Readings a second, and how long one takes against the floor."""
    rows: list[list[str]] = []
    floor = timings.seconds[FLOOR] / READINGS
    for name, seconds in timings.seconds.items():
        size = READINGS // 2 if "half" in name else READINGS
        each = seconds / size
        ratio = "1" if name == FLOOR else Spread.of(each / floor).text()
        rows.append([name, f"{size:,}", significant(float(np.median(1 / each))), ratio])
    return rows


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 7)
    with everything(rounds) as work:
        timings = take_turns(work, rounds=rounds, turning=False)
    columns = ("batch", "readings", "readings a second", "time a reading, x floor")
    report(Result("ingest", columns, rows_of(timings)), "scripts/bench ingest")


if __name__ == "__main__":
    main()
