"""Messages from a broker: stored before they are acknowledged, against acknowledged at once and not stored.

Broker, database, publisher and, for the latency, the ingester are processes of their own.
"""

import asyncio
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import numpy as np
from psycopg.conninfo import make_conninfo
from tests.builders import community
from tests.databases import DatabaseServer
from tests.mosquitto import Mosquitto

from benchmarks.measure import Result, Spread, report, rounds_asked, significant
from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.mqtt import BrokerAddress, MqttBroker
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.events import notifications
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.bootstrap import Intake
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.topics import TimeFormat, TimeMapping, TopicMapping, TopicTemplate, ValueMapping
from digital_twin.services.ingest import IngestService
from digital_twin.telemetry import REGISTRY
from digital_twin.worker.ingest import Ingestion

HOMES, BACKLOG = 1_000, 20_000
RATE, SECONDS, PROBES, LOOK_EVERY_S = 1_000, 30, 8, 0.02
CLIENT_ID = "benchmark"
QUARTER, QUARTERS = timedelta(minutes=15), 10_000


@dataclass(frozen=True)
class Bench:
    """A broker and a database with communities of a thousand homes."""

    broker: Mosquitto
    address: str
    store: PostgresStore

    async def add_communities(self, names: Sequence[str]) -> None:
        for name in names:
            async with self.store.platform() as tx:
                await tx.communities.create(community(name))
            async with self.store.community(name) as tx:
                await tx.members.put_members([Member(f"home_{home}") for home in range(HOMES)])
                await tx.members.put_members([Member(f"probe_{probe}") for probe in range(PROBES)])
                await tx.topic_mappings.add(
                    TopicMapping(
                        "meters",
                        TopicTemplate(f"communities/{name}/{{member_id}}"),
                        (ValueMapping("load_kw", "$.w", "W"),),
                        time=TimeMapping("$.t", TimeFormat.SECONDS),
                    )
                )

    def session(self) -> MqttBroker:
        return MqttBroker(BrokerAddress(self.broker.url, CLIENT_ID), SystemClock())

    async def publish(self, names: Sequence[str], first: int, *, count: int, per_second: float = math.inf) -> None:
        """From another process: quarter after quarter of every home, one value a message."""
        words = [sys.executable, "-m", "benchmarks.mqtt_publisher", str(self.broker.port), ",".join(names)]
        words += [str(first), str(count), str(HOMES), str(per_second)]
        publisher = await asyncio.create_subprocess_exec(*words)
        assert await publisher.wait() == 0

    async def take(self) -> float:
        """The seconds in which as many messages as wait are taken and acknowledged, from the first on."""
        async with self.session().session() as session:
            taken, started = 0, 0.0
            async for delivery in session.deliveries():
                started = started or time.perf_counter()
                delivery.acknowledge()
                taken += 1
                if taken == BACKLOG:
                    break
            return time.perf_counter() - started

    async def ingest(self) -> float:
        """The same where they are stored before."""
        stop, clock = asyncio.Event(), SystemClock()
        intake = Intake(
            ingest=IngestService(self.store, clock),
            broker=self.session(),
            clock=clock,
            mappings_changed=lambda: notifications(self.address, "topic_mapping"),
            side_by_side=8,
        )
        before = stored()
        working = asyncio.create_task(Ingestion(intake).run(stop))
        while not held():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        started = time.perf_counter()
        while stored() < before + BACKLOG or held():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        seconds = time.perf_counter() - started
        stop.set()
        await working
        return seconds


def stored() -> float:
    return REGISTRY.get_sample_value("digital_twin_mqtt_messages_total", {"outcome": "stored"}) or 0.0


def held() -> float:
    return REGISTRY.get_sample_value("digital_twin_mqtt_held_messages") or 0.0


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Bench, None]:
    broker, embedded = Mosquitto(folder), EmbeddedPostgres(folder / "home")
    broker.start()
    try:
        address = await DatabaseServer(embedded.start()).create()
        address = make_conninfo(address, options="")  # what is committed is on the disk
        async with open_pool(address, size=10) as pool:
            yield Bench(broker, address, PostgresStore(pool))
    finally:
        embedded.stop()
        broker.stop()


async def rates(bench: Bench, rounds: int) -> list[list[str]]:
    """Backlogs of equal size drained in turn, the first round not counted."""
    one, ten = ["alone"], [f"of_ten_{number}" for number in range(10)]
    await bench.add_communities([*one, *ten])
    await subscribe(bench, [*one, *ten])
    contestants = {
        "floor: acknowledged at once, not stored": (one, bench.take),
        "stored, one community": (one, bench.ingest),
        "stored, ten communities": (ten, bench.ingest),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for place, (name, (names, drain)) in enumerate(contestants.items()):
            first = (number * len(contestants) + place) * BACKLOG
            await bench.publish(names, first, count=BACKLOG)
            taken = await drain()
            if number:
                seconds[name].append(taken)
    floor = np.array(next(iter(seconds.values())))
    return [
        [name, significant(BACKLOG / float(np.median(found))), Spread.of(np.array(found) / floor).text()]
        for name, found in seconds.items()
    ]


async def subscribe(bench: Bench, names: Sequence[str]) -> None:
    async with bench.session().session() as session:
        await session.subscribe([f"communities/{name}/+" for name in names])


async def latencies(bench: Bench, folder: Path) -> np.ndarray:
    """Seconds from publishing a value to reading it, beside a stream of others."""
    await bench.add_communities(["live"])
    environment = {
        **os.environ,
        "DATABASE_URL": bench.address,
        "MQTT_URL": bench.broker.url,
        "MQTT_CLIENT_ID": "benchmark-live",
        "DIGITAL_TWIN_HOME": str(folder / "live"),
        "LOG_LEVEL": "WARNING",
    }
    command = (sys.executable, "-m", "digital_twin.cli.main", "worker", "--ingest")
    ingester = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        while True:
            async with bench.store.platform() as tx:
                known = await tx.ingesters.find("benchmark-live")
            if known is not None and known.is_connected and "communities/live/+" in known.filters:
                break
            await asyncio.sleep(0.05)
        stop = asyncio.Event()
        async with aiomqtt.Client("127.0.0.1", bench.broker.port) as client:
            probing = [asyncio.create_task(probe(bench, client, number, stop)) for number in range(PROBES)]
            await bench.publish(["live"], 0, count=RATE * SECONDS, per_second=RATE)
            stop.set()
            return np.concatenate(await asyncio.gather(*probing))
    finally:
        ingester.terminate()
        await ingester.wait()


async def probe(bench: Bench, client: aiomqtt.Client, number: int, stop: asyncio.Event) -> np.ndarray:
    """One value after the other, each looked for until it is there."""
    found: list[float] = []
    key = SeriesKey("load_kw", f"probe_{number}")
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - QUARTERS * QUARTER
    for quarter in range(QUARTERS):
        if stop.is_set():
            break
        at = start + quarter * QUARTER
        payload = json.dumps({"w": 1000, "t": at.timestamp()})
        published = time.perf_counter()
        await client.publish(f"communities/live/probe_{number}", payload, qos=1)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            async with bench.store.community("live") as tx:
                series = await tx.readings.read([key], at, at + QUARTER)
            if series and not np.isnan(series[0].values[0]):
                break
        found.append(time.perf_counter() - published)
    return np.array(found)


async def measure(rounds: int) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with opened(folder) as bench:
            rows = await rates(bench, rounds)
            seconds = await latencies(bench, folder)
    p50, p99 = (significant(1e3 * float(np.quantile(seconds, share))) for share in (0.5, 0.99))
    note = (
        f"Published at {RATE:,} messages a second for {SECONDS} s, {seconds.size:,} values among them were looked for "
        f"every {1e3 * LOOK_EVERY_S:.0f} ms until they could be read: after {p50} ms in the median, {p99} ms at the "
        "99th percentile."
    )
    return Result("mqtt", ("messages", "a second", "time a message, x floor"), rows, (note,))


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 5)
    report(asyncio.run(measure(rounds)), "scripts/bench mqtt")


if __name__ == "__main__":
    main()
