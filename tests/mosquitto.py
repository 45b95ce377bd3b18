"""A real MQTT broker that tests start, restart and publish to."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import paho.mqtt.client as mqtt
from tests.e2e.serving import free_port
from tests.programs import program

TIMEOUT_S = 120.0
SYSTEM_PROGRAMS = "/usr/sbin"
"""Where Debian keeps servers, which not every PATH names."""


def has_mosquitto() -> bool:
    """Whether there is a broker to start."""
    return _installed() is not None


def _installed() -> str | None:
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), SYSTEM_PROGRAMS)))


class Mosquitto:
    """One broker on a port of its own; what it holds for those who are away is on disk while it does not run."""

    def __init__(self, directory: Path, *listener: str) -> None:
        self._log = directory / "mosquitto.log"
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        settings = directory / "mosquitto.conf"
        self._command = [_installed() or program("mosquitto", package="mosquitto"), "-c", str(settings)]
        self._process: subprocess.Popen[bytes] | None = None
        lines = (
            f"user {getpass.getuser()}",  # as root it would turn into another
            "max_queued_messages 0",
            "persistence true",
            f"persistence_location {directory}/",
            f"listener {self.port} 127.0.0.1",
            *(listener or ("allow_anonymous true",)),
        )
        settings.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + TIMEOUT_S
        while not self._listens():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        """As its service does, so that it keeps what it holds; if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(TIMEOUT_S)
            self._process = None

    def publish(self, messages: Iterable[tuple[str, bytes]], *, retain: bool = False) -> None:
        """Publish at QoS 1, until the broker has confirmed all."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(1000)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        try:
            for one in [client.publish(topic, payload, qos=1, retain=retain) for topic, payload in messages]:
                one.wait_for_publish(TIMEOUT_S)
                assert one.is_published()
        finally:
            client.disconnect()
            client.loop_stop()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True
