"""A process that publishes: port, communities, first message, how many, homes, messages a second (inf: at once)."""

import json
import sys
import time

import paho.mqtt.client as mqtt

EARLIEST_S = 1_749_999_600  # a full hour of 2025
QUARTER_S = 900
AT_ONCE = 2_000


def main() -> None:
    port, names, first, count, homes, per_second = sys.argv[1:]
    communities, step_s = names.split(","), 1 / float(per_second)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(AT_ONCE)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    started, published = time.perf_counter(), []
    for place in range(int(count)):
        time.sleep(max(0.0, started + place * step_s - time.perf_counter()))
        quarter, home = divmod(int(first) + place, int(homes))
        payload = json.dumps({"w": place, "t": EARLIEST_S + quarter * QUARTER_S})
        topic = f"communities/{communities[place % len(communities)]}/home_{home}"
        published.append(client.publish(topic, payload, qos=1))
    for one in published:
        one.wait_for_publish()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
