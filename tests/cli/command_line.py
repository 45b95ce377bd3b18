"""The command line as people use it, in somebody's terminal."""

import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.serving import PASSWORD, Installation

from digital_twin.cli.credentials import API_KEY_VARIABLE
from digital_twin.cli.main import main

Done = subprocess.CompletedProcess[str]

START, END = "2026-01-12T00:00:00Z", "2026-01-13T00:00:00Z"

EIGHT_FIELDS: dict[str, Any] = {
    "num_prosumers": 20,
    "total_pv_capacity_kw": 50.0,
    "total_storage_capacity_kwh": 100.0,
    "max_storage_power_kw": 20.0,
    "grid_import_limit_kw": 500.0,
    "grid_export_limit_kw": 300.0,
    "incentive_budget_daily": 10.0,
}


class CommandLine:
    """Somebody's terminal: their own credentials, on one installation."""

    def __init__(self, installation: Installation, config: Path) -> None:
        self.installation = installation
        self.config = config

    def log_in(self, username: str) -> None:
        options = ("--username", username, "--url", self.installation.url, "--password-stdin")
        done = self.run("login", *options, stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr

    def output(self, *arguments: str) -> str:
        """What a command prints, which must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *arguments: str, stdin: str = "", api_key: str | None = None) -> Done:
        """A command in this process, which spares the start of another."""
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with self._terminal(["digital-twin", *arguments], stdin, api_key), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Done(arguments, code, out.getvalue(), err.getvalue())

    def process(self, *arguments: str, columns: int) -> Done:
        """A command as a process in a terminal of that width."""
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.config), "COLUMNS": str(columns)}
        command = [sys.executable, "-m", "digital_twin.cli.main", *arguments]
        return subprocess.run(command, text=True, capture_output=True, check=False, env=environment)

    @contextmanager
    def _terminal(self, command: list[str], stdin: str, api_key: str | None) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CONFIG_HOME", str(self.config))
            patch.delenv(API_KEY_VARIABLE, raising=False)
            if api_key is not None:
                patch.setenv(API_KEY_VARIABLE, api_key)
            patch.setattr(sys, "argv", command)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            yield


def create(http: httpx.Client, **fields: Any) -> str:
    """A new community."""
    name = f"c{uuid.uuid4().hex[:12]}"
    answer = http.post("/communities", json={**EIGHT_FIELDS, "community_id": name, **fields})
    assert answer.status_code == 201, answer.text
    return name


def assert_fails(done: Done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def serve(home: Path, *arguments: str, **environment: str) -> Done:
    """The server, on a home of its own, to its end."""
    installation = Installation(home, **environment)
    return installation.run("serve", "--home", str(home), "--port", str(installation.port), *arguments)
