"""Messages go on coming from a broker while the ingester, the server and the database are killed."""

import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import psycopg
from tests.e2e.serving import Installation
from tests.faults.audit import Findings, audit
from tests.faults.disturbance import COMMUNITY, PATIENCE_S, Fault, Survival, kills, processes, register, running
from tests.faults.publisher import MAPPING, messages, slots
from tests.mosquitto import Mosquitto

from digital_twin.adapters.postgres.cluster import DATABASE, SUPERUSER, Cluster

MEMBERS = 20
LOOK_EVERY_S = 0.05
LONGEST_PAUSE_S = 0.4


@contextmanager
def running_with_broker(folder: Path) -> Iterator[tuple[Installation, Mosquitto]]:
    """The product with its ingester, and the broker that it takes messages from, until the block ends."""
    broker = Mosquitto(folder)
    broker.start()
    try:
        with running(folder, MQTT_URL=broker.url) as installation:
            yield installation, broker
    finally:
        broker.stop()


def survive_messages(
    installation: Installation, broker: Mosquitto, folder: Path, *, times: Mapping[str, int], seed: int
) -> Survival:
    """Kill processes of each kind so many times, wait for what the broker still holds, and compare everything."""
    chance = random.Random(seed)
    kinds = [kind for kind, number in times.items() for _ in range(number)]
    chance.shuffle(kinds)
    faults = {**kills(installation), "ingester": _ingester_of(installation)}
    recovery_s: dict[str, list[float]] = {kind: [] for kind in times}
    ledger = folder / "ledger"
    with installation.client("root_admin") as client:
        register(client, COMMUNITY, MEMBERS)
        client.post(f"/communities/{COMMUNITY}/topic-mappings", json=MAPPING).raise_for_status()
        _await_subscription(client, broker, seed)
        with processes([("tests.faults.publisher", str(broker.port), str(ledger), str(MEMBERS), str(seed))]):
            for kind in kinds:
                time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
                strike = faults[kind]()
                _await_batch_after(installation.home, strike)
                recovery_s[kind].append(time.monotonic() - strike)
        findings = _when_all_is_taken(client, ledger)
    return Survival(findings, {kind: np.array(found) for kind, found in recovery_s.items()}, longest_wait_s=0.0)


def _ingester_of(installation: Installation) -> Fault:
    def kill() -> float:
        ingester = installation.child("--ingest")
        at = time.monotonic()
        os.kill(ingester, signal.SIGKILL)
        return at

    return kill


def _await_subscription(client: httpx.Client, broker: Mosquitto, seed: int) -> None:
    """A broker keeps nothing for who never asked for it: repeat the first slot until it is there."""
    first = next(slots(MEMBERS, seed))
    deadline = time.monotonic() + PATIENCE_S
    while not client.get(f"/communities/{COMMUNITY}/series").raise_for_status().json()["series"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the ingester stores nothing")
        broker.publish(messages(first))
        time.sleep(1.0)


def _await_batch_after(home: Path, strike: float) -> None:
    """Until readings were stored that came in after the strike, by the database's own clock."""
    address = Cluster.of_home(home).address(SUPERUSER, DATABASE)
    deadline = time.monotonic() + PATIENCE_S
    struck_at = datetime.fromtimestamp(time.time() - (time.monotonic() - strike), UTC)
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError), psycopg.connect(address) as connection:
            row = connection.execute("select max(received_at) from batch").fetchone()
            if row is not None and row[0] is not None and row[0] > struck_at:
                return
        time.sleep(LOOK_EVERY_S)
    raise TimeoutError("nothing is stored any more")


def _when_all_is_taken(client: httpx.Client, ledger: Path) -> Findings:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        findings = audit(client, COMMUNITY, [ledger], members=MEMBERS)
        if not findings.lost or time.monotonic() > deadline:
            return findings
        time.sleep(1.0)
