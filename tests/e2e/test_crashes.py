"""Whatever is killed, and whenever: what was acknowledged is there, once, unchanged."""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.e2e.serving import Installation

MEMBERS, DAYS, SLOTS = 105, 100, 96  # 1,008,000 readings
KILLS = 20  # ten of the server, ten of the database
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
COMMUNITY = {
    "community_id": "ledger",
    "num_prosumers": MEMBERS,
    "total_pv_capacity_kw": 0,
    "total_storage_capacity_kwh": 0,
    "max_storage_power_kw": 0,
    "grid_import_limit_kw": 1000,
    "grid_export_limit_kw": 1000,
    "incentive_budget_daily": 0,
}


@dataclass
class Ledger:
    """What the server acknowledged, kept outside of it."""

    values: np.ndarray = field(default_factory=lambda: np.full((MEMBERS, DAYS * SLOTS), np.nan))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("received", "stored", "corrected"), 0))
    replayed: int = 0

    def acknowledge(self, batch: "Batch", receipt: dict[str, int]) -> None:
        self.values[:, batch.first : batch.first + SLOTS] = batch.values
        for name in self.counts:
            self.counts[name] += receipt[name]
        self.replayed += bool(receipt["replayed"])


@dataclass
class Batch:
    """One day of every member; `key` makes sending it again harmless."""

    key: str
    day: int
    values: np.ndarray

    @property
    def first(self) -> int:
        return self.day * SLOTS

    def body(self) -> dict[str, object]:
        start = (FIRST + timedelta(days=self.day)).isoformat()
        common = {"name": "load_kw", "unit": "kW", "start": start, "resolution_minutes": 15}
        return {
            "series": [
                {**common, "member_id": f"home_{index}", "values": row.tolist()}
                for index, row in enumerate(self.values)
            ]
        }


def batches(generator: np.random.Generator) -> Iterator[Batch]:
    """Every day once, and every tenth day again with other values."""
    for day in range(DAYS):
        yield Batch(f"day-{day}", day, _values(generator))
        if day % 10 == 5:
            yield Batch(f"correction-{day}", day - 3, _values(generator))


def _values(generator: np.random.Generator) -> np.ndarray:
    return generator.uniform(0.01, 9, (MEMBERS, SLOTS)).astype(np.float32).astype(np.float64)


class Killer(threading.Thread):
    """Kills server and database in turn, each at a random moment after some batch."""

    def __init__(self, installation: Installation, seed: int) -> None:
        super().__init__(daemon=True)
        self._installation = installation
        self._random = random.Random(seed)
        self.progress = threading.Semaphore(0)
        self.finished = threading.Event()
        self.kills: list[str] = []
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            for number in range(KILLS):
                for _ in range(5):
                    self.progress.acquire()
                # not between batches but somewhere inside the next one
                self.finished.wait(self._random.uniform(0, 0.4))
                if number % 2:
                    self._installation.kill_database()
                    self.kills.append("database")
                else:
                    self._installation.kill_server()
                    self.kills.append("server")
                    self._installation.start()
        except BaseException as fault:
            self.fault = fault


def send_until_acknowledged(client: httpx.Client, batch: Batch) -> dict[str, int]:
    """Send again until the server says that it is kept."""
    for _ in range(2_000):
        try:
            answer = client.post(
                "/communities/ledger/readings", json=batch.body(), headers={"Idempotency-Key": batch.key}
            )
        except httpx.TransportError:
            threading.Event().wait(0.05)  # the server is away
            continue
        if answer.status_code == 200:
            return answer.json()
        assert answer.status_code in (409, 503), answer.text
        threading.Event().wait(0.05)
    pytest.fail("the server never came back")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, with_worker=False)
    made.create_administrator()
    made.start()
    yield made
    made.stop()


def test_nothing_acknowledged_is_lost_doubled_or_changed_when_server_and_database_are_killed(
    installation: Installation,
) -> None:
    with installation.client("root_admin") as client:
        _survive(installation, client)


def _survive(installation: Installation, client: httpx.Client) -> None:
    assert client.post("/communities", json=COMMUNITY).status_code == 201
    members = [{"member_id": f"home_{index}"} for index in range(MEMBERS)]
    assert client.post("/communities/ledger/members", json={"members": members}).status_code == 201
    ledger = Ledger()
    killer = Killer(installation, seed=7)
    killer.start()
    sent = 0
    for batch in batches(np.random.default_rng(11)):
        ledger.acknowledge(batch, send_until_acknowledged(client, batch))
        sent += batch.values.size
        killer.progress.release()
    killer.finished.set()
    killer.join(60)
    assert killer.fault is None
    assert len(killer.kills) == KILLS
    # each batch was stored exactly once, however often it was sent
    assert ledger.counts == {"received": sent, "stored": MEMBERS * DAYS * SLOTS, "corrected": 10 * MEMBERS * SLOTS}
    for index in range(MEMBERS):
        kept = stored(client, f"home_{index}").astype(np.float32)  # an answer has the fewest digits that lead back
        np.testing.assert_array_equal(kept, ledger.values[index].astype(np.float32))


def stored(client: httpx.Client, member_id: str) -> np.ndarray:
    query = {"series": "load_kw", "member_id": member_id, "start": FIRST.isoformat()}
    query["end"] = (FIRST + timedelta(days=DAYS)).isoformat()
    answer = client.get("/communities/ledger/readings", params=query)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["series"][0]["values"], dtype=np.float64)
