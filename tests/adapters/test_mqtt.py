"""The ingester on a real broker and a real database: what was acknowledged is stored, once, whatever is away."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.builders import community
from tests.databases import DatabaseServer
from tests.mosquitto import Mosquitto

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.mqtt import BrokerAddress, MqttBroker
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.events import notifications
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.bootstrap import Intake
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.topics import Pick, TimeFormat, TimeMapping, TopicMapping, TopicTemplate, ValueMapping
from digital_twin.services.ingest import IngestService, Piece
from digital_twin.services.payloads import PayloadReader
from digital_twin.services.ports import BrokerSession, DeadLetter, Delivery
from digital_twin.telemetry import REGISTRY
from digital_twin.worker.ingest import Ingestion

HERE, THERE = "solar_valley", "windy_hill"
PATIENCE_S = 180.0
HOMES = 10
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=12)
CLIENT_ID = "twin-under-test"


def meters(community_id: str = HERE, *, mapping_id: str = "meters", pick: Pick = Pick.LAST) -> TopicMapping:
    return TopicMapping(
        mapping_id,
        TopicTemplate(f"communities/{community_id}/homes/{{member_id}}/meter"),
        (ValueMapping("load_kw", "$.w", "W", samples=pick),),
        resolution_minutes=1,
        time=TimeMapping("$.t", TimeFormat.SECONDS),
    )


def message(number: int, *, watts: float | None = None, community_id: str = HERE) -> tuple[str, bytes]:
    """Each number is another minute of another home, and its watts."""
    minute, home = divmod(number, HOMES)
    at = (START + timedelta(minutes=minute)).timestamp()
    payload = {"w": number if watts is None else watts, "t": at}
    return f"communities/{community_id}/homes/home_{home}/meter", json.dumps(payload).encode()


def messages(first: int, end: int) -> list[tuple[str, bytes]]:
    return [message(number) for number in range(first, end)]


@dataclass
class Twin:
    """Two communities with ten homes each, and ingesters that come and go."""

    address: str
    broker: Mosquitto
    store: PostgresStore

    @asynccontextmanager
    async def ingester(self) -> AsyncGenerator[None, None]:
        """An ingester until the block ends, which begins when it takes messages."""
        clock, stop = SystemClock(), asyncio.Event()
        intake = Intake(
            ingest=IngestService(self.store, clock),
            broker=MqttBroker(BrokerAddress(self.broker.url, CLIENT_ID), clock),
            clock=clock,
            mappings_changed=lambda: notifications(self.address, "topic_mapping"),
            side_by_side=3,
        )
        working = asyncio.create_task(Ingestion(intake).run(stop))
        try:
            await self.subscribed()
            yield
        finally:
            stop.set()
            await working

    async def subscribed(self, topic: str = f"communities/{HERE}/homes/+/meter", *, yes: bool = True) -> None:
        """Wait until an ingester is connected that reads the topic, or does not."""

        async def is_so() -> bool:
            async with self.store.platform() as tx:
                known = await tx.ingesters.find(CLIENT_ID)
            return known is not None and known.is_connected and (topic in known.filters) is yes

        await until(is_so)

    async def publish(self, some: Sequence[tuple[str, bytes]]) -> None:
        await asyncio.to_thread(self.broker.publish, some)

    async def stored(self, count: int, *, community_id: str = HERE) -> None:
        """Wait until so many readings are there: each message's own, and no other."""

        async def are_there() -> bool:
            return len(await self.readings(community_id)) >= count

        await until(are_there)
        expected = {number: pytest.approx(number / 1000, rel=1e-6) for number in range(count)}
        assert await self.readings(community_id) == expected

    async def readings(self, community_id: str = HERE) -> dict[int, float]:
        """What is stored, by the number of the message that told it."""
        keys = [SeriesKey("load_kw", f"home_{home}") for home in range(HOMES)]
        async with self.store.community(community_id) as tx:
            found = await tx.readings.read(keys, START, START + timedelta(hours=12))
        return {
            int(minute) * HOMES + home: float(one.values[minute])
            for home, one in zip((int(str(one.key.member_id)[5:]) for one in found), found, strict=True)
            for minute in np.flatnonzero(~np.isnan(one.values))
        }

    async def has_more_than(self, seen: int) -> bool:
        return len(await self.readings()) > seen

    async def knows(self, expected: dict[int, float]) -> bool:
        return await self.readings() == expected

    async def letters(self) -> list[DeadLetter]:
        async with self.store.community(HERE) as tx:
            return await tx.dead_letters.page(before=None, limit=1000)


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
async def twin(embedded_server: DatabaseServer, mosquitto: Mosquitto) -> AsyncGenerator[Twin, None]:
    async with embedded_server.database() as address, open_pool(address, size=5) as pool:
        store = PostgresStore(pool)
        for name in (HERE, THERE):
            async with store.platform() as tx:
                await tx.communities.create(community(name))
            async with store.community(name) as tx:
                await tx.members.put_members([Member(f"home_{home}") for home in range(HOMES)])
        async with store.community(HERE) as tx:
            await tx.topic_mappings.add(meters())
        made = Twin(address, mosquitto, store)
        yield made
        await forget_session(made)


async def forget_session(twin: Twin) -> None:
    """What is left in the broker for this test's ingester is not the next one's."""
    import aiomqtt

    async with aiomqtt.Client(
        "127.0.0.1", twin.broker.port, identifier=CLIENT_ID, protocol=aiomqtt.ProtocolVersion.V5, clean_start=True
    ):
        pass


def outcome(metric: str, name: str) -> float:
    return REGISTRY.get_sample_value(f"digital_twin_{metric}_total", {"outcome": name}) or 0.0


async def test_what_is_published_is_stored_and_the_rest_is_a_dead_letter(twin: Twin) -> None:
    before = {name: outcome("mqtt_messages", name) for name in ("stored", "dead_letter")}
    async with twin.ingester():
        bad = [("communities/solar_valley/homes/home_1/meter", b"\x00\xff"), *[message(0, watts=-1)] * 2]
        await twin.publish([*messages(0, 150), *bad, *messages(150, 300)])
        await twin.stored(300)
    letters = await twin.letters()
    assert {letter.reason for letter in letters} == {"the payload is not JSON", "load_kw: load_kw must lie in 0..1e+06"}
    assert outcome("mqtt_messages", "stored") - before["stored"] == 300
    assert outcome("mqtt_messages", "dead_letter") - before["dead_letter"] == 3
    assert REGISTRY.get_sample_value("digital_twin_mqtt_held_messages") == 0


async def test_what_is_published_while_no_ingester_runs_comes_when_one_does(twin: Twin) -> None:
    async with twin.ingester():
        await twin.publish(messages(0, 20))
        await twin.stored(20)
    await twin.publish(messages(20, 200))
    async with twin.ingester():
        await twin.stored(200)


async def test_a_broker_that_is_started_again_loses_nothing(twin: Twin) -> None:
    async with twin.ingester():
        await twin.publish(messages(0, 50))
        twin.broker.stop()
        twin.broker.start()
        await twin.publish(messages(50, 100))
        await twin.stored(100)


async def test_messages_wait_while_the_database_is_away(twin: Twin) -> None:
    async with twin.ingester():
        await twin.publish(messages(0, 20))
        await twin.stored(20)
        with away(twin.address):
            await twin.publish(messages(20, 200))
            await until(lambda: is_holding(180))
        await twin.stored(200)
    assert REGISTRY.get_sample_value("digital_twin_mqtt_held_messages") == 0


async def test_the_broker_holds_back_what_would_be_too_much_to_hold(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digital_twin.adapters.mqtt.RECEIVE_MAXIMUM", 10)
    async with twin.ingester():
        with away(twin.address):
            await twin.publish(messages(0, 100))
            await until(lambda: is_holding(10))
            await twin.publish([("elsewhere", b"")])  # by when it is confirmed, the others would have come
            assert await is_holding(10)
        await twin.stored(100)


async def test_a_message_that_is_too_large_is_left_out_and_holds_up_no_other(twin: Twin) -> None:
    topic, payload = message(0)
    async with twin.ingester():
        await twin.publish([(topic, payload.rjust(70_000)), *messages(0, 20)])
        await twin.stored(20)
        assert await twin.letters() == []
        await twin.publish([(topic, payload.rjust(60_000)), *messages(0, 20)])
        await twin.stored(20)


async def test_what_was_retained_before_is_not_taken_for_new(twin: Twin) -> None:
    topic, payload = message(5)
    await asyncio.to_thread(twin.broker.publish, [(topic, payload)], retain=True)
    async with twin.ingester():
        await twin.publish([message(0)])
        await twin.stored(1)
    await asyncio.to_thread(twin.broker.publish, [(topic, b"")], retain=True)


class away:  # noqa: N801  read as a word: with away(database)
    """The database refuses everybody and lets go of those it has, until the block ends."""

    def __init__(self, address: str) -> None:
        self._name = str(conninfo_to_dict(address)["dbname"])
        self._elsewhere = make_conninfo(address, dbname="postgres", options="")

    def __enter__(self) -> None:
        self._allow("false")
        self._do(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{self._name}'")

    def __exit__(self, *_: object) -> None:
        self._allow("true")

    def _allow(self, yes: str) -> None:
        self._do(f'alter database "{self._name}" with allow_connections {yes}')

    def _do(self, statement: str) -> None:
        with psycopg.connect(self._elsewhere, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again: what is looked at tells nobody that it has changed."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def is_holding(count: int) -> bool:
    return REGISTRY.get_sample_value("digital_twin_mqtt_held_messages") == count


async def has_counted(metric: str, name: str, count: float) -> bool:
    return outcome(metric, name) >= count


async def test_a_message_that_was_committed_and_not_acknowledged_comes_again_and_changes_nothing(twin: Twin) -> None:
    async with twin.ingester():
        pass  # the session has its subscription
    await twin.publish(messages(0, 30))
    clock, reader = SystemClock(), PayloadReader(meters())
    ingest = IngestService(twin.store, clock)
    async with MqttBroker(BrokerAddress(twin.broker.url, CLIENT_ID), clock).session() as session:
        async for delivery in session.deliveries():
            await ingest.store(HERE, [Piece(delivery.message, reader)])
            if delivery.message.payload == message(29)[1]:
                break
    await twin.stored(30)
    before = outcome("readings", "duplicate")
    async with twin.ingester():
        await until(lambda: has_counted("readings", "duplicate", before + 30))
    await twin.stored(30)


async def test_the_broker_hears_acknowledgements_in_the_order_of_the_messages(twin: Twin) -> None:
    async with twin.ingester():
        pass
    await twin.publish(messages(0, 3))
    broker = MqttBroker(BrokerAddress(twin.broker.url, CLIENT_ID), SystemClock())
    async with broker.session() as session:
        first, second, third = await take(session, 3)
        third.acknowledge()
        second.acknowledge()
    async with broker.session() as session:
        assert [one.message.payload for one in await take(session, 3)] == [payload for _, payload in messages(0, 3)]
        assert session.is_resumed
    async with broker.session() as session:
        first, second, third = await take(session, 3)
        second.acknowledge()
        first.acknowledge()
    async with broker.session() as session:
        assert [one.message.payload for one in await take(session, 1)] == [message(2)[1]]


async def take(session: BrokerSession, count: int) -> list[Delivery]:
    """The next messages."""
    async with asyncio.timeout(PATIENCE_S):
        deliveries = session.deliveries()
        return [await anext(deliveries) for _ in range(count)]


async def test_mappings_hold_as_soon_as_they_are_made_and_until_they_are_deleted(twin: Twin) -> None:
    there = f"communities/{THERE}/homes/+/meter"
    async with twin.ingester():
        async with twin.store.community(THERE) as tx:
            await tx.topic_mappings.add(meters(THERE))
        await twin.subscribed(there)
        await twin.publish([message(number, community_id=THERE) for number in range(20)])
        await twin.stored(20, community_id=THERE)
        async with twin.store.community(THERE) as tx:
            await tx.topic_mappings.remove("meters", expected_version=None)
        await twin.subscribed(there, yes=False)
        await twin.publish([message(20, community_id=THERE), message(0)])
        await twin.stored(1)
        await twin.stored(20, community_id=THERE)


async def test_a_subscription_that_is_not_needed_any_more_is_taken_back_after_a_start(twin: Twin) -> None:
    there = f"communities/{THERE}/homes/+/meter"
    async with twin.store.community(THERE) as tx:
        await tx.topic_mappings.add(meters(THERE))
    async with twin.ingester():
        await twin.subscribed(there)
    async with twin.store.community(THERE) as tx:
        await tx.topic_mappings.remove("meters", expected_version=None)
    await twin.publish([message(0, community_id=THERE)])
    unmapped = outcome("mqtt_messages", "unmapped")
    async with twin.ingester():
        await twin.subscribed(there, yes=False)
        await twin.publish([message(1, community_id=THERE), message(0)])
        await twin.stored(1)
    assert outcome("mqtt_messages", "unmapped") == unmapped + 1


async def test_a_message_may_concern_two_communities_and_is_stored_in_both(twin: Twin) -> None:
    async with twin.store.community(THERE) as tx:
        await tx.topic_mappings.add(meters(HERE))  # which only an administrator may make
    async with twin.ingester():
        await twin.publish(messages(0, 20))
        await twin.stored(20)
        await twin.stored(20, community_id=THERE)


async def test_samples_that_have_been_acknowledged_are_in_the_mean_after_a_start(twin: Twin) -> None:
    async with twin.store.community(HERE) as tx:
        await tx.topic_mappings.replace(meters(pick=Pick.MEAN), expected_version=None)
    async with twin.ingester():
        await twin.publish([message(0, watts=3000)])
        await twin.publish([message(0, watts=3000)])
        await until(lambda: twin.knows({0: 3.0}))
    topic, payload = message(0, watts=1000)
    later = json.loads(payload) | {"t": START.timestamp() + 30}
    async with twin.ingester():
        await twin.publish([(topic, json.dumps(later).encode())])
        await until(lambda: twin.knows({0: 2.0}))


async def test_an_ingester_that_is_killed_again_and_again_loses_and_doubles_nothing(twin: Twin, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": twin.address,
        "MQTT_URL": twin.broker.url,
        "MQTT_CLIENT_ID": CLIENT_ID,
        "DIGITAL_TWIN_HOME": str(tmp_path),
        "LOG_LEVEL": "ERROR",
    }
    dice, kills, share = random.Random(7), 3, 2400  # more than are stored at once, and no more than have room

    async def start() -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "digital_twin.cli.main", "worker", "--ingest")
        return await asyncio.create_subprocess_exec(*command, env=environment)

    process = await start()
    try:
        await twin.subscribed()
        interrupted = 0
        for first in range(0, kills * share, share):
            publishing = asyncio.create_task(twin.publish(messages(first, first + share)))
            await until(lambda seen=first: twin.has_more_than(seen))
            await asyncio.sleep(dice.uniform(0, 0.1))
            process.kill()
            await process.wait()
            interrupted += len(await twin.readings()) < first + share
            await publishing
            process = await start()
        assert interrupted
        await twin.stored(kills * share)
    finally:
        process.terminate()
        await process.wait()
    assert await twin.letters() == []
