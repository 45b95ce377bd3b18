"""The product as a process: started, asked over HTTP, killed without warning, started again."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from digital_twin.adapters.postgres.embedded import EmbeddedPostgres

PASSWORD = "correct horse battery"
START_TIMEOUT_S, PATIENCE_S = 120.0, 300.0
FEW_TICKS = 5
"""A process that waits takes less processor time than that in a moment."""

NEVER_OUTGOING = range(15_000, 32_768)


def free_port() -> int:
    """A port that nobody listens on; of those that no outgoing connection is given meanwhile, as Linux has them."""
    while True:
        port = secrets.choice(NEVER_OUTGOING)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Installation:
    """A home of its own and the server that runs on it, with a worker beside it unless told otherwise."""

    def __init__(
        self,
        home: Path,
        *,
        with_worker: bool = True,
        with_dashboard: bool = False,
        log: Path | None = None,
        **environment: str,
    ) -> None:
        self.home = home
        self._log = log or home / "server.log"
        self._left_out = [
            *(() if with_worker else ("--no-worker",)),
            *(() if with_dashboard else ("--no-dashboard",)),
        ]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # models that train on their own would take the cores from what is tested
        quiet = {"PASSWORD_COST": "4", "LOG_LEVEL": "WARNING", "RETRAIN_FORECASTS": "false"}
        self._environment = quiet | environment
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command of the program on this home, to its end."""
        return subprocess.run(
            self._command(*arguments), input=stdin, text=True, capture_output=True, env=self._env(), check=False
        )

    def create_administrator(self, username: str = "root_admin") -> None:
        options = ("--username", username, "--email", f"{username}@example.org", "--home", str(self.home))
        done = self.run("admin", "create", *options, "--password-stdin", stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        command = self._command("serve", "--home", str(self.home), "--port", str(self.port), *self._left_out)
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, env=self._env())
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            assert self._server.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, "the server does not become ready"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill_server(self) -> None:
        """SIGKILL: no handler runs."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def child(self, command: str) -> int:
        """The process that the server runs beside itself for a command of the program, once it is there."""
        assert self._server is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (found := [pid for pid in _children(self._server.pid) if command in _words(pid)]):
            assert time.monotonic() < deadline, f"the server starts no {command}"
            time.sleep(0.05)
        return found[0]

    def family(self) -> list[int]:
        """The server and all that it and its children have started."""
        assert self._server is not None
        return _family(self._server.pid)

    def worker_family(self) -> list[int]:
        """The worker that the server started, and what it has started itself."""
        return _family(self.child("worker"))

    def kill_worker(self) -> list[int]:
        """SIGKILL to the worker that the server started, and starts again; gives it and what it had started itself."""
        processes = self.worker_family()
        os.kill(processes[0], signal.SIGKILL)
        return processes

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """The server's worker stands still with all that it has started, as on a machine that sleeps, then wakes."""
        processes = self.worker_family()
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def second_worker(self) -> Iterator[None]:
        """A worker that somebody started beside the server's."""
        command = self._command("worker", "--home", str(self.home))
        with (self.home / "worker.log").open("ab") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log, env=self._env())
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(60)

    def hang_up(self) -> None:
        """What a terminal sends that closes."""
        assert self._server is not None
        self._server.send_signal(signal.SIGHUP)
        self._server.wait(60)

    def kill_database(self) -> None:
        """SIGKILL to the postmaster; its backends follow."""
        pid_file = EmbeddedPostgres(self.home).data_dir / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)

    def stop(self) -> None:
        """As Ctrl-C does, for good: its data go too, which root keeps outside of the home."""
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            self._server.wait(60)
        database = EmbeddedPostgres(self.home)
        if database.is_running():  # its last user was killed
            database.start()
            database.stop()
        shutil.rmtree(database.data_dir.parent)

    @contextmanager
    def client(self, username: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """A client that is logged in."""
        with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as client:
            answer = client.post("/auth/login", json={"username": username, "password": password})
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "digital_twin.cli.main", *arguments]

    def _env(self) -> dict[str, str]:
        ours = ("DATABASE_URL", "SECRET_KEY", "JWT_SECRET_KEY", "ENVIRONMENT")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, **self._environment}


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended; Linux, proc(5)."""
    return _status(pid) not in (None, "Z")


def busiest(processes: Collection[int]) -> int:
    """Which of the processes computes."""
    before = {pid: _ticks(pid) for pid in processes}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        time.sleep(0.2)
        most = max(processes, key=lambda pid: _ticks(pid) - before[pid])
        if _ticks(most) - before[most] > FEW_TICKS:
            return most
        assert time.monotonic() < deadline, "none of the processes computes"


def _ticks(pid: int) -> int:
    """Processor time of the process in the system's ticks; none of one that has ended."""
    try:
        return sum(int(one) for one in _after_name(pid)[11:13])
    except OSError:
        return 0


def _status(pid: int) -> str | None:
    try:
        return _after_name(pid)[0]
    except OSError:
        return None


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        found += _children(one)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent, *_ = _after_name(int(entry.name))
                if int(parent) == pid and state != "Z":
                    found.append(int(entry.name))
    return found


def _after_name(pid: int) -> list[str]:
    """The fields of the process's status behind its name, which may hold anything: state, parent and more."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _words(pid: int) -> list[str]:
    """The command line of the process; none once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
