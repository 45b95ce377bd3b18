"""Meters that publish to a broker, with a ledger of it: a value a message, a slot of all members at a time.

As a process: `python -m tests.faults.publisher PORT LEDGER MEMBERS SEED`. It prints a line for each slot that the
broker has confirmed, and ends when its standard input closes.
"""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import paho.mqtt.client as mqtt
from tests.faults.ledger import SLOTS, Acknowledged, Batch, Ledger, member_id, midnight

TOPIC = "communities/ledger/{member_id}"
PAUSE_S = 0.05
CONFIRM_TIMEOUT_S = 120.0
MAPPING = {
    "mapping_id": "meters",
    "topic": TOPIC,
    "resolution_minutes": 15,
    "time": {"path": "$.t", "format": "epoch_s"},
    "values": [{"series": "load_kw", "path": "$.kw"}],
}


def slots(members: int, seed: int) -> Iterator[Batch]:
    """Without end, each slot once, so that nothing depends on the order in which a broker sends again."""
    chance = np.random.default_rng(seed)
    number = 0
    while True:
        values = np.full((members, SLOTS), np.nan, np.float32)
        values[:, number % SLOTS] = chance.uniform(0.01, 9, members)
        yield Batch(f"message-{number}", "message", number // SLOTS, 0, values)
        number += 1


def messages(batch: Batch) -> Iterator[tuple[str, bytes]]:
    for member, slot in zip(*np.nonzero(np.isfinite(batch.values)), strict=True):
        start_s = int(midnight(batch.day).timestamp()) + 900 * int(slot)
        payload = {"t": start_s, "kw": batch.values[member, slot]}
        yield TOPIC.format(member_id=member_id(member)), orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)


def publish(client: mqtt.Client, batch: Batch) -> None:
    """At QoS 1, until the broker has confirmed each message."""
    for one in [client.publish(topic, payload, qos=1) for topic, payload in messages(batch)]:
        one.wait_for_publish(CONFIRM_TIMEOUT_S)
        if not one.is_published():
            raise TimeoutError("the broker confirms nothing")


def main() -> None:
    port, path, members, seed = sys.argv[1:]
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    ledger = Ledger(Path(path))
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    for batch in slots(int(members), int(seed)):
        ledger.write(batch)
        sent_at = time.monotonic()
        publish(client, batch)
        now = time.monotonic()
        ledger.write(Acknowledged(batch.key, None, sent_at, now, attempts=1, longest_wait_s=now - sent_at))
        print(batch.key, flush=True)
        if is_over.wait(PAUSE_S):
            break
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
