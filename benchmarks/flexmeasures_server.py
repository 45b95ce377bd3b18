"""The peer FlexMeasures: its own Python environment, its database and Redis, and its server."""

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
from psycopg.conninfo import conninfo_to_dict
from tests.e2e.serving import free_port

from benchmarks.environments import environment_of, python_of

NAME = "flexmeasures"
START_TIMEOUT_S = 300.0


class FlexMeasures:
    """Its server with one sensor of 15 minutes, one worker process and no limits of rate."""

    def __init__(self, home: Path, log: IO[bytes]) -> None:
        self._run: dict[str, Any] = {"env": variables_of(home), "cwd": home, "stderr": log}
        self._log = log
        said = self._output(
            python_of(NAME), "-P", Path(__file__).with_name("flexmeasures_account.py"), secrets.token_urlsafe(24)
        )
        ready = json.loads(said.splitlines()[-1])
        self._address = f"/api/v3_0/sensors/{ready['sensor']}/data"
        port = free_port()
        self._command = [environment_of(NAME) / "bin" / "gunicorn", "--workers", "1", "--timeout", "0"]
        self._command += ["--bind", f"127.0.0.1:{port}", "flexmeasures.app:create()"]
        headers = {"Authorization": ready["token"], "Content-Type": "application/json"}
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers)
        self._server: subprocess.Popen[bytes] | None = None

    def post(self, body: bytes, *, timeout_s: float) -> None:
        """Send values of the sensor; without a worker for ingestion they are stored when it answers.

        Raises:
            httpx.ReadTimeout: no answer came in time.
        """
        answer = self._client.post(self._address, content=body, timeout=timeout_s)
        answer.raise_for_status()

    def start(self) -> None:
        """Anew where it runs: what it was still busy with ends."""
        self.stop()
        self._server = subprocess.Popen(self._command, stdout=self._log, start_new_session=True, **self._run)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("FlexMeasures does not start")
            time.sleep(0.2)

    def stop(self) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def close(self) -> None:
        self.stop()
        self._client.close()

    def _answers(self) -> bool:
        try:
            self._client.get("/api/v3_0/health/ready", timeout=START_TIMEOUT_S)
        except httpx.TransportError:
            return False
        return True

    def _output(self, *command: str | Path) -> bytes:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, **self._run).stdout


@contextmanager
def flexmeasures(home: Path, address: str) -> Iterator[FlexMeasures]:
    """The peer's server on this database, until the block ends."""
    with installed(home, address) as log, closing(FlexMeasures(home, log)) as peer:
        peer.start()
        yield peer


@contextmanager
def installed(home: Path, address: str) -> Iterator[IO[bytes]]:
    """The peer's tables in this database, its settings and its Redis, until the block ends; where it logs."""
    redis_port = free_port()
    (home / ".flexmeasures.cfg").write_text(_settings(address, redis_port))
    redis = subprocess.Popen(
        ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        with (home / "flexmeasures.log").open("wb") as log:
            upgrade = [environment_of(NAME) / "bin" / "flexmeasures", "db", "upgrade"]
            subprocess.run(upgrade, check=True, env=variables_of(home), cwd=home, stdout=log, stderr=log)
            yield log
    finally:
        redis.terminate()
        redis.wait()


def variables_of(home: Path) -> dict[str, str]:
    """What its processes find in their environment."""
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATABASE_URL")}
    return {**ours, "HOME": str(home), "OMP_NUM_THREADS": "1"}


def _settings(address: str, redis_port: int) -> str:
    parts = conninfo_to_dict(address)
    database = f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"
    return "\n".join(
        (
            f"SQLALCHEMY_DATABASE_URI = {database!r}",
            f"SECRET_KEY = {secrets.token_urlsafe(24)!r}",
            f"SECURITY_TOTP_SECRETS = {{'1': {secrets.token_urlsafe(24)!r}}}",
            "FLEXMEASURES_ENV = 'production'",
            "FLEXMEASURES_REDIS_URL = '127.0.0.1'",
            f"FLEXMEASURES_REDIS_PORT = {redis_port}",
            "FLEXMEASURES_REDIS_PASSWORD = ''",
            "FLEXMEASURES_FORCE_HTTPS = False",
            "RATELIMIT_ENABLED = False",
        )
    )
