"""A real MQTT broker that tests start, kill without warning and start again."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
from tests.e2e.serving import free_port
from tests.programs import program

START_TIMEOUT_S = 60.0


class Mosquitto:
    """One broker on a port of its own; what it holds for those who are away is kept on disk."""

    def __init__(self, directory: Path, *settings: str) -> None:
        os.environ["PATH"] += os.pathsep + "/usr/sbin"  # where Debian has it
        self._directory = directory
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._command = [program("mosquitto", package="mosquitto"), "-c", str(directory / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None
        lines = (
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {directory}/",
            "autosave_on_changes true",
            "autosave_interval 1",  # changes: what it has confirmed is on disk
            "max_queued_messages 0",
            *(settings or ("allow_anonymous true",)),
        )
        if os.getuid() == 0:
            lines = (*lines, "user root")
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self._directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            assert self._process.poll() is None, (self._directory / "mosquitto.log").read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def publish(self, messages: Sequence[tuple[str, bytes]], *, port: int | None = None) -> None:
        """Publish at QoS 1, until all are confirmed."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.max_queued_messages_set(0)
        client.connect("127.0.0.1", port or self.port)
        client.loop_start()
        for one in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
            one.wait_for_publish(START_TIMEOUT_S)
            assert one.is_published()
        client.disconnect()
        client.loop_stop()

    def _listens(self) -> bool:
        import socket

        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True
