"""The demo: a server of its own, a community with a synthetic year, and everything that the twin can say about it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digital_twin.cli import output
from digital_twin.cli.demo_community import COMMUNITY, COMMUNITY_ID
from digital_twin.cli.demo_report import adds_up, run_steps, show_report
from digital_twin.client import SignInNeeded, TwinClient
from digital_twin.domain.errors import Conflict, InvalidInput, Unavailable

FIRST_PORT, PORTS_TRIED, DASHBOARD_PORT = 8000, 20, 8501
START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 30.0
ADMIN, OPERATOR, VIEWER = "demo_admin", "demo_operator", "demo_viewer"


def run_demo(home: Path, port: int | None, *, leave: bool) -> None:
    """Run it, and serve on until interrupted unless it is to leave.

    Raises:
        InvalidInput: the port is taken.
        Unavailable: the server does not start.
    """
    _end_as_on_ctrl_c(signal.SIGTERM, signal.SIGHUP)
    with _listening(port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pages = _free_port()
        passwords, server = _started(home, url, listener, pages)
    try:
        _report(home, url, f"http://localhost:{pages}", passwords)
        _wait_for_pages(pages, server)
        if leave:
            output.console.print("\nEnding, as --exit asks; without it the demo serves on at these addresses.")
        else:
            output.console.print("\nServing until Ctrl-C.")
            server.wait()
    except KeyboardInterrupt:
        output.console.print("\nGood-bye.")
    finally:
        _end(server)


def _end_as_on_ctrl_c(*signals: signal.Signals) -> None:
    """The server is never left behind; what nohup ignores stays ignored."""
    for one in signals:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, signal.default_int_handler)


def _started(
    home: Path, url: str, listener: socket.socket, pages: int
) -> "tuple[dict[str, str], subprocess.Popen[bytes]]":
    """The passwords of the accounts, and the server when it is ready."""
    with output.progress("starting the twin", 1) as advance:
        passwords = _passwords(home)
        server = _start(home, url, listener, pages)
        try:
            _wait_until_ready(url, server, home)
        except BaseException:
            _end(server)
            raise
        advance(1)
    return passwords, server


def _report(home: Path, url: str, dashboard: str, passwords: dict[str, str]) -> None:
    """Everything that is shown: what the twin says, and where to look.

    Raises:
        Conflict: the figures do not add up.
    """
    with TwinClient(url) as client:
        _open_community(client, home, passwords)
        found = run_steps(client, datetime.now(UTC))
        version = client.version()["version"]
    show_report(found)
    show = output.console.print
    where = _addresses(url, dashboard, passwords)
    show(output.table(f"digital-twin {version}: where to look", ["what", "where"], where))
    show("Try it:", style="bold")
    show(_curl(url, passwords[OPERATOR]), markup=False, highlight=False, soft_wrap=True)
    if not adds_up(found):
        raise Conflict("the figures of the report do not add up; please report this")


def _addresses(url: str, dashboard: str, passwords: dict[str, str]) -> list[tuple[str, str]]:
    logins = [(f"log in as {name}", password) for name, password in passwords.items()]
    return [
        ("dashboard", dashboard),
        ("API with documentation", f"{url}/docs"),
        ("metrics", f"{url}/metrics"),
        *logins,
    ]


def _curl(url: str, password: str) -> str:
    return (
        f"""TOKEN=$(curl -s {url}/auth/login -H 'Content-Type: application/json' \\
  -d '{{"username": "{OPERATOR}", "password": "{password}"}}' """
        f"""| python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
curl -s {url}/communities/{COMMUNITY_ID}/optimization/dispatch -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -d '{{"objective": "minimize_cost", "horizon_hours": 24}}'"""
    )


def _open_community(client: TwinClient, home: Path, passwords: dict[str, str]) -> None:
    """The accounts and the community, unless an earlier run made them; the client goes on as the operator."""
    try:
        client.login(ADMIN, passwords[ADMIN])
    except SignInNeeded:
        _create_administrator(home, passwords[ADMIN])
        client.login(ADMIN, passwords[ADMIN])
    for name, role in ((OPERATOR, "operator"), (VIEWER, "viewer")):
        _unless_there(client.register, name, f"{name}@example.org", passwords[name], role)
    client.login(OPERATOR, passwords[OPERATOR])
    _unless_there(client.create_community, COMMUNITY)
    client.put_membership(COMMUNITY_ID, VIEWER, "viewer")


def _unless_there(make: Any, *arguments: Any) -> None:
    with suppress(Conflict):  # an earlier run made it
        make(*arguments)


def _listening(wanted: int | None) -> socket.socket:
    """A socket that holds the port from here on; the server takes it over, so that no other can answer there."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if wanted is None else (wanted,):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise InvalidInput("the port is taken by another program; give a free one with --port", field="port")


def _free_port() -> int:
    """The dashboard's own port, or the next one that nobody listens on."""
    for port in range(DASHBOARD_PORT, DASHBOARD_PORT + PORTS_TRIED):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise InvalidInput(f"the ports from {DASHBOARD_PORT} on are all taken; free one for the dashboard")


def _passwords(home: Path) -> dict[str, str]:
    """Random ones, made by the first run and kept where only their owner reads them."""
    path = home / "demo-logins.json"
    if not path.exists():
        passwords = {name: f"demo-{secrets.token_urlsafe(12)}" for name in (ADMIN, OPERATOR, VIEWER)}
        fresh = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(passwords, file)
        with suppress(FileExistsError):  # another demo on this home was first
            path.hardlink_to(fresh)
        fresh.unlink()
    return json.loads(path.read_text())


def _environment() -> dict[str, str]:
    """The demo has a database of its own, whatever the environment names."""
    others = (
        "DATABASE_URL", "REDIS_URL", "ENVIRONMENT", "REGISTRATION", "ALLOWED_HOSTS", "SECRET_KEY", "JWT_SECRET_KEY",
        "START_WORKER", "DASHBOARD_HOST",
    )  # fmt: skip
    return {name: value for name, value in os.environ.items() if name.upper() not in others}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "digital_twin.cli.main", *arguments]


def _create_administrator(home: Path, password: str) -> None:
    options = ("--username", ADMIN, "--email", f"{ADMIN}@example.org", "--password-stdin", "--home", str(home))
    done = subprocess.run(  # noqa: S603  our own program
        _command("admin", "create", *options),
        input=password, text=True, capture_output=True, check=False, cwd=home, env=_environment(),
    )  # fmt: skip
    already_there = 4
    if done.returncode not in (0, already_there):
        raise Unavailable(f"the demo's database does not start: {done.stderr.strip()[-1000:]}")


def _start(home: Path, url: str, listener: socket.socket, pages: int) -> "subprocess.Popen[bytes]":
    """The server as a process of its own, so that the demo talks to it as everybody does."""
    environment = {**_environment(), "API_URL": url, "DASHBOARD_PORT": str(pages)}
    with (home / "server.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  our own program
            _command("serve", "--home", str(home), "--listener", str(listener.fileno())),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, env=environment,
            pass_fds=(listener.fileno(),),
        )  # fmt: skip


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with TwinClient(url, timeout_s=5.0) as client:
        while not client.is_ready():
            if server.poll() is not None or time.monotonic() > deadline:
                tail = (home / "server.log").read_text(errors="replace")[-1000:]
                raise Unavailable(f"the server does not start: {tail.strip()}")
            time.sleep(0.1)


def _wait_for_pages(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Until the dashboard, which starts beside everything else, can be looked at."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise Unavailable("the dashboard does not start; the demo's server.log says why")
        time.sleep(0.1)


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
