"""A real Redis that tests start, kill without warning and start again."""

import socket
import subprocess
import time
from pathlib import Path

from tests.e2e.serving import free_port
from tests.programs import program

START_TIMEOUT_S = 120.0


class RedisServer:
    """One server on a port of its own; it keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self._command = [program("redis-server", package="redis-server"), "--save", "", "--bind", "127.0.0.1"]
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [*self._command, "--port", str(self._port), "--dir", str(self._directory)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            assert self._process.poll() is None, "redis-server does not start"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def ask(self, *words: str) -> str:
        """The first line of the answer to one command."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.makefile().readline().strip()

    def kill(self) -> None:
        """SIGKILL, if it runs: no handler runs, and its memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def answers(self) -> bool:
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False
