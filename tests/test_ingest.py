"""Messages become readings: what is stored at once, what waits for the end of its interval, what is a dead letter."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from tests.builders import MONDAY, community, hours, series

from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.topics import Pick, TimeMapping, TopicMapping, TopicTemplate, ValueMapping
from digital_twin.services.ingest import KEPT_PAYLOAD_BYTES, IngestService, Piece
from digital_twin.services.payloads import PayloadReader
from digital_twin.services.ports import DeadLetter, Ingester, Message
from digital_twin.telemetry import REGISTRY
from digital_twin.testing import FakeClock, MemoryStore

HERE = "solar_valley"
METER = TopicMapping(
    "meter",
    TopicTemplate("{member_id}/meter"),
    (ValueMapping("load_kw", "$.kw"),),
    time=TimeMapping("$.at"),
)


class Twin:
    """A community with one home, at noon, and the ingester's use cases."""

    def __init__(self) -> None:
        self.clock = FakeClock(MONDAY + hours(12))
        self.store = MemoryStore(self.clock)
        self.ingest = IngestService(self.store, self.clock)

    async def prepare(self) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(HERE))
        async with self.store.community(HERE) as tx:
            await tx.members.put_members([Member("home_1")])

    async def tell(self, *payloads: Any, pick: Pick = Pick.LAST, topic: str = "home_1/meter", series: str = "load_kw"):
        values = (ValueMapping(series, "$.kw", samples=pick),)
        reader = PayloadReader(replace(METER, values=values))
        texts = [one if isinstance(one, bytes) else orjson.dumps(one) for one in payloads]
        await self.ingest.store(HERE, [Piece(Message(topic, text, self.clock.now()), reader) for text in texts])

    async def readings(self, name: str = "load_kw") -> dict[str, float]:
        """What is known since eleven, by the time at which it starts."""
        async with self.store.community(HERE) as tx:
            found = await tx.readings.read([SeriesKey(name, "home_1")], MONDAY + hours(11), MONDAY + hours(14))
        return {
            f"{one.grid.instant(int(index)):%H:%M}": float(one.values[index])
            for one in found
            for index in np.flatnonzero(~np.isnan(one.values))
        }

    async def letters(self) -> list[DeadLetter]:
        async with self.store.community(HERE) as tx:
            return await tx.dead_letters.page(before=None, limit=100)


@pytest.fixture
async def twin() -> Twin:
    made = Twin()
    await made.prepare()
    return made


def at(minute: int, kw: Any, hour: int = 12) -> dict[str, Any]:
    return {"at": f"2026-03-02T{hour}:{minute:02}:00Z", "kw": kw}


async def test_a_value_whose_interval_is_over_is_a_reading_at_once(twin: Twin) -> None:
    await twin.tell(at(30, 1.0, hour=11), at(45, 2.0, hour=11))
    assert await twin.readings() == {"11:30": 1.0, "11:45": 2.0}


@pytest.mark.parametrize(("pick", "value"), [(Pick.LAST, 4.0), (Pick.FIRST, 1.0), (Pick.MEAN, 2.0)])
async def test_samples_become_one_reading_when_their_interval_is_over(twin: Twin, pick: Pick, value: float) -> None:
    for minute, kw in ((0, 1.0), (5, 1.0), (10, 4.0)):
        twin.clock.advance(minutes=5 if minute else 0)
        await twin.tell(at(minute, kw), pick=pick)
        await twin.ingest.settle_samples()
    assert await twin.readings() == {}
    twin.clock.advance(minutes=6)
    await twin.ingest.settle_samples()
    assert await twin.readings() == {"12:00": value}


async def test_the_next_message_settles_what_is_over_and_a_later_value_wins(twin: Twin) -> None:
    twin.clock.advance(minutes=14)
    await twin.tell(at(14, 1.0))
    twin.clock.advance(minutes=1)
    await twin.tell(at(15, 9.0))
    assert await twin.readings() == {"12:00": 1.0}
    await twin.tell(at(14, 2.0))
    await twin.ingest.settle_samples()
    assert await twin.readings() == {"12:00": 2.0}


async def test_a_message_that_comes_again_changes_nothing(twin: Twin) -> None:
    twin.clock.advance(minutes=10)
    for _ in range(3):
        await twin.tell(at(0, 1.0), at(5, 2.0), pick=Pick.MEAN)
    twin.clock.advance(minutes=10)
    for _ in range(3):
        await twin.tell(at(0, 1.0), at(5, 2.0), pick=Pick.MEAN)
        await twin.ingest.settle_samples()
    assert await twin.readings() == {"12:00": 1.5}


async def test_what_is_known_ahead_waits_for_nothing(twin: Twin) -> None:
    await twin.tell(at(0, 0.25, hour=13), series="import_price_per_kwh")
    assert await twin.readings("import_price_per_kwh") == {"13:00": 0.25}


async def test_an_instant_is_known_when_it_has_come(twin: Twin) -> None:
    twin.clock.advance(minutes=2)
    await twin.tell(at(1, 50.0), series="storage_soc_kwh")
    assert await twin.readings("storage_soc_kwh") == {"12:00": 50.0}


async def test_what_cannot_be_stored_becomes_a_dead_letter_and_keeps_nothing_else_back(twin: Twin) -> None:
    await twin.tell(at(0, 1.0, hour=11), b"\xff{", at(0, -5.0, hour=11), at(15, 2.0, hour=11), at(30, 1.0, hour=15))
    await twin.tell(at(0, 1.0), topic="stranger/meter")
    assert await twin.readings() == {"11:00": 1.0, "11:15": 2.0}
    stranger, ahead, negative, garbage = await twin.letters()
    assert "'stranger' is not in this community" in stranger.reason
    assert "not over yet" in ahead.reason
    assert "must lie in 0..1e+06" in negative.reason
    assert (garbage.reason, garbage.payload) == ("the payload is not JSON", b"\xff{")
    assert garbage.received_at == twin.clock.now()


async def test_another_resolution_than_that_of_the_series_is_a_reason(twin: Twin) -> None:
    await twin.tell(at(0, 1.0, hour=11))
    reader = PayloadReader(replace(METER, resolution_minutes=5))
    message = Message("home_1/meter", orjson.dumps(at(15, 2.0, hour=11)), twin.clock.now())
    await twin.ingest.store(HERE, [Piece(message, reader)])
    assert await twin.readings() == {"11:00": 1.0}
    [letter] = await twin.letters()
    assert "is stored every 15 minutes" in letter.reason


async def test_samples_of_a_series_that_has_got_another_resolution_meanwhile_hold_up_no_message(twin: Twin) -> None:
    twin.clock.advance(minutes=5)
    await twin.tell(at(0, 1.0), pick=Pick.MEAN)
    async with twin.store.community(HERE) as tx:
        await tx.readings.record([series("load_kw", [5.0], member="home_1", minutes=5)], key="other")
    twin.clock.advance(minutes=20)
    await twin.tell(at(0, 0.25, hour=13), series="import_price_per_kwh")
    assert await twin.readings("import_price_per_kwh") == {"13:00": 0.25}
    [letter] = await twin.letters()
    assert letter.reason.startswith("samples of load_kw since 2026-03-02T12:00Z: load_kw")
    await twin.ingest.settle_samples()
    assert len(await twin.letters()) == 1


async def test_of_a_large_payload_a_dead_letter_keeps_the_beginning(twin: Twin) -> None:
    await twin.tell(b"x" * 5000)
    [letter] = await twin.letters()
    assert (letter.payload, letter.payload_bytes) == (b"x" * KEPT_PAYLOAD_BYTES, 5000)


class BrokenReader(PayloadReader):
    """Fails as only a fault of ours could."""

    def read(self, topic: str, payload: bytes, received_at: Any) -> Any:
        if b"poison" in payload:
            raise ZeroDivisionError
        return super().read(topic, payload, received_at)


async def test_a_message_that_nothing_can_be_done_with_holds_up_no_other(twin: Twin) -> None:
    texts = [orjson.dumps(at(quarter, 1.0 + quarter, hour=11)) for quarter in (0, 15, 30, 45)]
    texts.insert(2, b"poison")
    before = REGISTRY.get_sample_value("digital_twin_mqtt_messages_total", {"outcome": "stored"}) or 0.0
    messages = [Message("home_1/meter", text, twin.clock.now()) for text in texts]
    await twin.ingest.store(HERE, [Piece(one, BrokenReader(METER)) for one in messages])
    assert await twin.readings() == {"11:00": 1.0, "11:15": 16.0, "11:30": 31.0, "11:45": 46.0}
    [letter] = await twin.letters()
    assert letter.payload == b"poison"
    assert REGISTRY.get_sample_value("digital_twin_mqtt_messages_total", {"outcome": "stored"}) == before + 4


async def test_messages_of_a_community_that_is_gone_are_let_go(twin: Twin) -> None:
    async with twin.store.platform() as tx:
        await tx.communities.delete(HERE, expected_version=None)
    await twin.tell(at(0, 1.0, hour=11))


async def test_somebody_takes_messages_while_that_is_told_lately(twin: Twin) -> None:
    assert not await twin.ingest.is_taking("twin")
    await twin.ingest.tell(Ingester("twin", is_connected=True, filters=("a/b",)))
    assert await twin.ingest.is_taking("twin")
    assert await twin.ingest.subscribed_before("twin") == {"a/b"}
    twin.clock.advance(seconds=31)
    assert not await twin.ingest.is_taking("twin")
