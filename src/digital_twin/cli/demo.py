"""The demo: a server of its own, a community with a synthetic history, its forecast and its dispatch plan."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from digital_twin.cli import output
from digital_twin.client import TwinClient
from digital_twin.domain.errors import Conflict, InvalidInput, Unavailable
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid, floor_to_step

COMMUNITY_ID = "green_village"
COMMUNITY: dict[str, Any] = {
    "community_id": COMMUNITY_ID,
    "num_prosumers": 100,
    "total_pv_capacity_kw": 500.0,
    "total_storage_capacity_kwh": 1000.0,
    "max_storage_power_kw": 200.0,
    "grid_import_limit_kw": 800.0,
    "grid_export_limit_kw": 300.0,
    "incentive_budget_daily": 100.0,
}
"""The eight numbers; everything else is a documented prior."""

HISTORY = timedelta(days=90)
RESOLUTION_MINUTES = 15
FIRST_PORT, PORTS_TRIED = 8000, 20
START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 30.0
ADMIN, OPERATOR, VIEWER = "demo_admin", "demo_operator", "demo_viewer"


def run_demo(home: Path | None, port: int | None, *, leave: bool) -> None:
    """Run it, and serve on until interrupted unless it is to leave.

    Raises:
        InvalidInput: the port is taken.
        Unavailable: the server does not start.
    """
    _end_as_on_ctrl_c(signal.SIGTERM, signal.SIGHUP)
    with _listening(port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        passwords, server = _started(_made(home), url, listener)
    try:
        _report(url, passwords)
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


def _started(home: Path, url: str, listener: socket.socket) -> "tuple[dict[str, str], subprocess.Popen[bytes]]":
    """The passwords of the accounts, and the server when it is ready."""
    with output.progress("starting the twin", 2) as advance:
        passwords = _passwords(home)
        _create_administrator(home, passwords[ADMIN])
        advance(1)
        server = _start(home, listener)
        try:
            _wait_until_ready(url, server, home)
        except BaseException:
            _end(server)
            raise
        advance(1)
    return passwords, server


def _report(url: str, passwords: dict[str, str]) -> None:
    """Everything that is shown: history, forecast, plan, and where to look."""
    with TwinClient(url) as client:
        _open_community(client, passwords)
        history = _history(datetime.now(UTC))
        with output.progress("storing the history", sum(one.values.size for one in history)) as advance:
            counts = {"received": 0, "stored": 0, "duplicate": 0}
            for series in history:
                receipt = client.record(COMMUNITY_ID, [series], assumed_delay_minutes=60)
                counts = {name: counts[name] + receipt[name] for name in counts}
                advance(series.values.size)
        ahead = floor_to_step(datetime.now(UTC), 60) + timedelta(hours=1)
        with output.progress("forecasting", 1) as advance:
            forecast = client.forecast(COMMUNITY_ID, start_time=ahead, horizon_hours=24)
            advance(1)
        with output.progress("planning the dispatch", 1) as advance:
            plan = client.dispatch(COMMUNITY_ID, objective="minimize_cost", start_time=ahead, horizon_hours=24)
            advance(1)
        version = client.version()["version"]
    show = output.console.print
    show(output.table("Community", ["field", "value"], list(COMMUNITY.items())))
    show(output.table("Readings sent", ["what", "count"], list(counts.items())))
    show(output.forecast_table(forecast))
    show(output.schedule_table(plan))
    show(output.schedule_summary(plan))
    show(output.assumptions_text(plan), style="dim", markup=False)
    show(output.table(f"digital-twin {version}: where to look", ["what", "where"], _addresses(url, passwords)))
    show("Try it:", style="bold")
    show(_curl(url, passwords[OPERATOR]), markup=False, highlight=False, soft_wrap=True)


def _addresses(url: str, passwords: dict[str, str]) -> list[tuple[str, str]]:
    logins = [(f"log in as {name}", password) for name, password in passwords.items()]
    return [("API with documentation", f"{url}/docs"), ("metrics", f"{url}/metrics"), *logins]


def _curl(url: str, password: str) -> str:
    return (
        f"""TOKEN=$(curl -s {url}/auth/login -H 'Content-Type: application/json' \\
  -d '{{"username": "{OPERATOR}", "password": "{password}"}}' """
        f"""| python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
curl -s {url}/communities/{COMMUNITY_ID}/optimization/dispatch -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -d '{{"objective": "minimize_cost", "horizon_hours": 24}}'"""
    )


def _open_community(client: TwinClient, passwords: dict[str, str]) -> None:
    """The accounts and the community, unless an earlier run made them; the client goes on as the operator."""
    client.login(ADMIN, passwords[ADMIN])
    for name, role in ((OPERATOR, "operator"), (VIEWER, "viewer")):
        _unless_there(client.register, name, f"{name}@example.org", passwords[name], role)
    client.login(OPERATOR, passwords[OPERATOR])
    _unless_there(client.create_community, COMMUNITY)
    client.put_membership(COMMUNITY_ID, VIEWER, "viewer")


def _unless_there(make: Any, *arguments: Any) -> None:
    with suppress(Conflict):  # an earlier run made it
        make(*arguments)


def _history(now: datetime) -> list[SeriesValues]:
    """Load and generation of the last weeks; the same instant has the same value in every run."""
    end = floor_to_step(now, 60)
    start = end - HISTORY
    parts = [_year(year, start, end) for year in range(start.year, end.year + 1)]
    return [series for part in parts for series in part]


def _year(year: int, start: datetime, end: datetime) -> list[SeriesValues]:
    """One calendar year, cut to [start, end)."""
    import numpy as np

    from digital_twin.simulation.sky import Place
    from digital_twin.simulation.synthetic import synthetic_community

    first, after = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    grid = TimeGrid.spanning(first, after, RESOLUTION_MINUTES)
    made = synthetic_community(
        np.random.default_rng(year),
        grid,
        Place(48.2, 16.4, "UTC"),
        homes=COMMUNITY["num_prosumers"],
        pv_capacity_kw=COMMUNITY["total_pv_capacity_kw"],
    )
    window = TimeGrid.spanning(max(start, first), min(end, after), RESOLUTION_MINUTES)
    skipped = (window.start - first) // grid.step
    return [
        SeriesValues(SeriesKey(name), window, values[skipped : skipped + window.steps])
        for name, values in (("load_kw", made.load_kw.sum(axis=0)), ("pv_kw", made.pv_kw.sum(axis=0)))
    ]


def _made(home: Path | None) -> Path:
    if home is None:
        from digital_twin.bootstrap import read_settings

        home = read_settings().digital_twin_home / "demo"
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    return home


def _listening(wanted: int | None) -> socket.socket:
    """A socket that holds the port from here on; the server takes it over, so that no other can answer there."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if wanted is None else (wanted,):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise InvalidInput("the port is taken by another program; give a free one with --port", field="port")


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
    others = ("DATABASE_URL", "ENVIRONMENT", "REGISTRATION", "ALLOWED_HOSTS", "SECRET_KEY", "JWT_SECRET_KEY")
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


def _start(home: Path, listener: socket.socket) -> "subprocess.Popen[bytes]":
    """The server as a process of its own, so that the demo talks to it as everybody does."""
    with (home / "server.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  our own program
            _command("serve", "--home", str(home), "--listener", str(listener.fileno()), "--no-dashboard"),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, env=_environment(),
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


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
