"""Commands end with the exit code of what went wrong and one sentence, print tables, and start light."""

import csv
import json
import re
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.serving import PASSWORD, Installation

from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.cli.main import EXIT_CODES, exit_code
from digital_twin.cli.quality import REASONS
from digital_twin.client import SignInNeeded
from digital_twin.domain import errors
from digital_twin.domain.suspicion import Reason

HEAVY = ("numpy", "pandas", "fastapi", "cvxpy", "scipy", "pvlib", "psycopg", "highspy", "sqlalchemy", "httpx")
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


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


@pytest.fixture
def stranger(installation: Installation, tmp_path: Path) -> CommandLine:
    """The terminal of somebody who is not signed in."""
    return CommandLine(installation, tmp_path / "config")


@pytest.fixture(scope="module")
def http(installation: Installation) -> Iterator[httpx.Client]:
    """The administrator without the command line."""
    with installation.client("root_admin") as client:
        yield client


def create(http: httpx.Client, **fields: Any) -> str:
    """A new community."""
    name = f"c{uuid.uuid4().hex[:12]}"
    answer = http.post("/communities", json={**EIGHT_FIELDS, "community_id": name, **fields})
    assert answer.status_code == 201, answer.text
    return name


@pytest.fixture
def community(http: httpx.Client) -> str:
    return create(http)


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A day of hourly loads of two homes."""
    path = tmp_path / "day.csv"
    rows = [f"2026-01-12T{hour:02}:00:00Z,{1 + hour % 3},{2 + hour % 5}" for hour in range(24)]
    path.write_text("\n".join(["start,home_1 load [kWh],home_2 load [kWh]", *rows]))
    return path


def count(text: str, what: str) -> int:
    """The number beside a line of a table."""
    row = next(line for line in text.splitlines() if what in line)
    return int(re.sub(r"\D", "", row.split("│")[2]))


def assert_fails(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


# Start


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["login", "--help"], ["import", "--help"], ["admin", "create", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from digital_twin.cli.main import main\n"
        f"sys.argv = ['digital-twin', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.endswith("heavy: []\n")


def test_every_command_of_the_guide_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "digital_twin.cli.main", "--help"], capture_output=True, text=True, check=True
    )
    commands = (
        "serve",
        "admin",
        "migrate",
        "login",
        "import",
        "export",
        "quality",
        "accuracy",
        "backtest",
        "state",
        "forecast",
        "dispatch",
        "tariff",
        "demo",
    )
    for command in commands:
        assert f" {command} " in done.stdout


# Exit codes


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    direct = [cls for cls in errors.TwinError.__subclasses__() if cls.__module__ == errors.__name__]
    assert {cls: exit_code(cls("")) for cls in direct} == EXIT_CODES
    assert len(set(EXIT_CODES.values())) == len(direct)
    assert exit_code(SignInNeeded("")) == EXIT_CODES[errors.NotAllowed]
    assert exit_code(errors.TwinError("")) == 1


def test_an_invalid_request_is_2(line: CommandLine, community: str) -> None:
    done = line.run("forecast", "--community", community, "--start", START, "--hours", "-1")
    assert done.returncode == 2
    assert "horizon_hours" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["forecast"], ["forecast", "--community", "x", "--start", "yesterday"], ["unknown"],
        ["import", "x.csv", "--community", "x", "--label", "middle"],
        ["export", "--community", "x", "--series", "load_kw", "--start", START],
    ],
)  # fmt: skip
def test_a_command_that_is_written_wrong_is_2(line: CommandLine, arguments: list[str]) -> None:
    assert line.run(*arguments).returncode == 2


def test_an_unknown_community_is_3(line: CommandLine, day: Path) -> None:
    assert_fails(line.run("forecast", "--community", "nowhere"), 3, "not-found")
    assert_fails(line.run("import", str(day), "--community", "nowhere"), 3, "not-found")


def test_a_limit_that_cannot_hold_is_7_and_named(line: CommandLine, http: httpx.Client) -> None:
    community = create(http, grid_import_limit_kw=1.0, total_storage_capacity_kwh=0.0, max_storage_power_kw=0.0)
    done = line.run("dispatch", "--community", community, "--start", START)
    assert_fails(done, 7, "infeasible", "grid_import_limit_kw")


def test_a_server_that_is_not_there_is_8_and_one_sentence(line: CommandLine, day: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    options = ("--username", "somebody", "--url", url, "--password-stdin")
    assert_fails(line.run("login", *options, stdin="secret\n"), 8, "unavailable", "digital-twin serve")
    done = line.run("import", str(day), "--community", "x", "--url", url, api_key="dt_live_x")
    assert_fails(done, 8, "unavailable", "digital-twin serve")


@pytest.fixture
def other_server() -> Iterator[str]:
    """A web server that is no twin."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_that_is_no_twin_is_8(line: CommandLine, other_server: str) -> None:
    options = ("--username", "somebody", "--url", other_server, "--password-stdin")
    assert_fails(line.run("login", *options, stdin="secret\n"), 8, "no digital twin")


# A server that cannot start; it says so before a database is touched


def serve(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The server, on a home of its own, to its end."""
    installation = Installation(home, **environment)
    return installation.run("serve", "--home", str(home), "--port", str(installation.port), *arguments)


def test_a_port_that_is_taken_is_2_and_starts_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = serve(tmp_path, "--port", str(taken.getsockname()[1]))
        demo = Installation(tmp_path).run("demo", "--home", str(tmp_path), "--port", str(taken.getsockname()[1]))
    for ended in (done, demo):
        assert_fails(ended, 2, "invalid-input", "taken by another program", "--port")
    assert not list(tmp_path.iterdir())


def test_an_address_of_another_machine_cannot_be_served(tmp_path: Path) -> None:
    assert_fails(serve(tmp_path, "--host", "192.0.2.1"), 2, "cannot listen on 192.0.2.1")


def test_a_terminal_that_closes_takes_the_database_with_it(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.start()
    try:
        installation.hang_up()
        assert not EmbeddedPostgres(tmp_path).is_running()
    finally:
        installation.stop()


def test_a_socket_that_was_not_handed_down_is_2(tmp_path: Path) -> None:
    assert_fails(serve(tmp_path, "--listener", "77"), 2, "no socket")


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("postgresql://me:canary@127.0.0.1:1/x", 8, "the database does not answer"),
        ("mysql://me:canary@127.0.0.1/x", 2, "DATABASE_URL must look like postgresql://"),
    ],
)
def test_a_server_without_its_database_ends_with_one_sentence(
    tmp_path: Path, address: str, code: int, words: str
) -> None:
    done = serve(tmp_path, DATABASE_URL=address)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_a_number_that_is_none_is_2(line: CommandLine, community: str) -> None:
    assert_fails(line.run("forecast", "--community", community, "--hours", "nan"), 2, "finite")


def test_what_is_wrong_is_said_once(line: CommandLine, community: str) -> None:
    assert_fails(line.run("forecast", "--community", community, "--hours", "0"), 2, "/horizon_hours")


def test_an_address_that_is_none_is_2(line: CommandLine) -> None:
    options = ("--username", "somebody", "--url", "nonsense", "--password-stdin")
    assert_fails(line.run("login", *options, stdin="secret\n"), 2, "http://127.0.0.1:8000")


def test_a_file_that_cannot_be_written_is_1(line: CommandLine, community: str, day: Path) -> None:
    line.output("import", str(day), "--community", community)
    options = ("--series", "load_kw", "--start", START, "--end", END, "--output", "/nowhere/out.csv")
    assert_fails(line.run("export", "--community", community, *options), 1, "/nowhere/out.csv")


# Access


def test_a_login_is_kept_where_only_its_owner_reads_it(stranger: CommandLine) -> None:
    assert_fails(stranger.run("forecast", "--community", "x"), 5, "not-signed-in", "digital-twin login")
    options = ("--username", "root_admin", "--url", stranger.installation.url + "/", "--password-stdin")
    done = stranger.run("login", *options, stdin=PASSWORD + "\r\n")
    assert "signed in" in done.stdout
    file = stranger.config / "digital-twin" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text()
    assert_fails(stranger.run("forecast", "--community", "nowhere"), 3)


def test_a_wrong_password_is_5_and_leaves_no_login(stranger: CommandLine) -> None:
    options = ("--username", "root_admin", "--url", stranger.installation.url, "--password-stdin")
    assert_fails(stranger.run("login", *options, stdin="wrong horse battery\n"), 5)
    assert not (stranger.config / "digital-twin" / "credentials.json").exists()


def test_an_old_access_token_is_renewed_and_kept(stranger: CommandLine) -> None:
    stranger.log_in("root_admin")
    file = stranger.config / "digital-twin" / "credentials.json"
    saved = json.loads(file.read_text())
    file.write_text(json.dumps({**saved, "access_token": "old"}))
    assert_fails(stranger.run("forecast", "--community", "nowhere"), 3, "not-found")
    renewed = json.loads(file.read_text())
    assert renewed["access_token"] != "old"
    assert renewed["refresh_token"] != saved["refresh_token"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', "null"])
def test_a_broken_file_of_credentials_counts_as_none(stranger: CommandLine, content: str) -> None:
    file = stranger.config / "digital-twin" / "credentials.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert_fails(stranger.run("forecast", "--community", "x"), 5, "not-signed-in")


def test_an_api_key_of_the_environment_needs_no_login(
    line: CommandLine, http: httpx.Client, stranger: CommandLine, community: str, tmp_path: Path
) -> None:
    path = tmp_path / "load.csv"
    path.write_text("start,load [kW]\n" + "\n".join(f"2026-01-12T{hour:02}:00:00Z,{hour % 5}" for hour in range(24)))
    body = {"name": "gateway", "scopes": ["readings:write"], "communities": [community]}
    key = http.post("/auth/api-keys", json=body).json()["key"]
    command = ("import", str(path), "--community", community, "--url", line.installation.url)
    done = stranger.run(*command, api_key=key)
    assert done.returncode == 0, done.stderr
    assert count(done.stdout, "stored") == 24
    denied = stranger.run("dispatch", "--community", community, "--url", line.installation.url, api_key=key)
    assert denied.returncode == 5
    assert stranger.run(*command, api_key="dt_live_wrong").returncode == 5


# Readings, forecasts, plans


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_an_export_imports_again_as_nothing_but_duplicates(
    line: CommandLine, community: str, day: Path, tmp_path: Path, ending: str
) -> None:
    first = line.output("import", str(day), "--community", community)
    assert count(first, "members added") == 2
    assert count(first, "stored") == 48
    out = tmp_path / f"out.{ending}"
    options = ("--series", "load_kw", "--start", START, "--end", END, "--member", "home_1", "--output", str(out))
    line.output("export", "--community", community, *options)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == [out.name]
    again = line.output("import", str(out), "--community", community)
    assert count(again, "stored") == 0
    assert count(again, "already there with the same value") == 24


def test_models_are_tried_on_past_days_and_forecasts_told_of(line: CommandLine, community: str, tmp_path: Path) -> None:
    hours = [datetime(2026, 1, 12, tzinfo=UTC) + timedelta(hours=hour) for hour in range(24 * 12)]
    rows = [f"{hour.isoformat()},{5 + hour.hour % 7 + hour.day % 3}" for hour in hours]
    path = tmp_path / "load.csv"
    path.write_text("\n".join(["time,load_kw", *rows]))
    line.output("import", str(path), "--community", community)
    told = line.output("backtest", "--community", community, "--models", "seasonal_naive", "--days", "3")
    assert "load_kw, 3 days before" in told
    assert re.search(r"seasonal_naive\s*│\s*3\s*│.*│\s*1.000\s*│\s*1.000\s*│\s*1.000\s*│", told)
    document = json.loads(
        line.output("backtest", "--community", community, "--models", "seasonal_naive", "--days", "3", "--json")
    )
    assert document["variables"]["load_kw"]["by_day"]["day"] == ["2026-01-21", "2026-01-22", "2026-01-23"]
    refused = line.run("backtest", "--community", community, "--models", "crystal_ball")
    assert refused.returncode == 2
    assert "No forecast was issued" in line.output("accuracy", "--community", community, "--days", "7")
    assert json.loads(line.output("accuracy", "--community", community, "--json"))["variables"] == {}


def test_the_quality_of_readings_is_told_of_all_meters_and_of_one(line: CommandLine, community: str, day: Path) -> None:
    line.output("import", str(day), "--community", community)
    days = (datetime.now(UTC) - datetime.fromisoformat(START)).days + 1
    told = line.output("quality", "--community", community, "--days", str(days))
    assert "2 of 2 meters have reported, 0 are silent" in told
    assert all(home in told for home in ("home_1", "home_2"))
    of_one = line.output("quality", "--community", community, "--days", str(days), "--member", "home_1")
    [row] = [text for text in of_one.splitlines() if START[:10] in text]
    assert re.findall(r"\d+", row.partition(START[:10])[2])[:2] == ["24", "0"]
    document = json.loads(line.output("quality", "--community", community, "--json"))
    assert document["meters"]["silent"] == 2
    assert line.run("quality", "--community", community, "--member", "nobody").returncode == 3


def test_the_state_is_told_with_what_comes_next_and_the_meters_that_need_a_look(
    line: CommandLine, community: str, day: Path
) -> None:
    line.output("import", str(day), "--community", community)
    told = line.output("state", "--community", community, "--hours", "3", "--meters")
    assert "demand that no meter shows" in told
    assert "load_kw: NIS" in told
    assert "Expected from" in told
    assert "2 reporting" in told
    assert "With hindsight from" in line.output("state", "--community", community, "--past", "2")
    document = json.loads(line.output("state", "--community", community, "--json"))
    assert list(document) == ["state"]
    assert document["state"]["consistency"]["is_lost"] is False
    assert line.run("state", "--community", community, "--hours", "200").returncode == 2


def test_every_reason_for_suspicion_has_words() -> None:
    assert set(REASONS) == set(Reason)


def test_a_file_may_be_imported_again_with_the_right_flag(line: CommandLine, community: str, day: Path) -> None:
    line.output("import", str(day), "--community", community, "--unit", "Wh")
    again = line.output("import", str(day), "--community", community)
    assert count(again, "replaced another value") == 48
    once_more = line.output("import", str(day), "--community", community)
    assert count(once_more, "already there with the same value") == 48


def test_a_community_that_names_no_zone_takes_times_that_name_theirs(
    line: CommandLine, community: str, tmp_path: Path
) -> None:
    hours = [f"2026-01-12T{hour:02d}:00:00Z,1.5" for hour in range(24)]
    (tmp_path / "hours.csv").write_text("\n".join(["time,load [kW]", *hours]))
    done = line.output("import", str(tmp_path / "hours.csv"), "--community", community, "--member", "home_1")
    assert count(done, "stored") == 24


def test_a_dry_run_sends_nothing_and_needs_no_server(stranger: CommandLine, day: Path) -> None:
    done = stranger.run("import", str(day), "--community", "x", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "48 readings of 2 members" in done.stdout
    assert "nothing was sent" in done.stdout


def test_a_doubtful_file_is_refused_before_anything_is_sent(
    line: CommandLine, http: httpx.Client, community: str, tmp_path: Path
) -> None:
    path = tmp_path / "doubtful.csv"
    path.write_text("time,load\n2026-01-12 00:00,1\n2026-01-12 01:00,1\n")
    assert_fails(line.run("import", str(path), "--community", community), 2, "--unit")
    assert http.get(f"/communities/{community}/series").json()["series"] == []


CAR = """[{"kind": "ev", "device_id": "car", "capacity_kwh": 60, "power_kw": 11,
  "stays": [{"departure": "2026-01-13T07:00:00Z", "departure_soc_min_kwh": 40, "arrival_soc_kwh": 20}]}]"""


@pytest.fixture
def car(tmp_path: Path) -> Path:
    path = tmp_path / "car.json"
    path.write_text(CAR)
    return path


def test_devices_are_planned_from_a_file(line: CommandLine, community: str, car: Path) -> None:
    shown = line.output("dispatch", "--community", community, "--start", END, "--devices", str(car))
    assert "car" in shown
    assert "40." in shown
    car.write_text("{}")
    done = line.run("dispatch", "--community", community, "--start", END, "--devices", str(car))
    assert_fails(done, 2, "list of devices")
    car.write_text("[")
    assert_fails(line.run("dispatch", "--community", community, "--devices", str(car)), 2, "not JSON")


def test_a_plan_under_risk_shows_what_it_costs_at_worst(line: CommandLine, community: str) -> None:
    options = ("--community", community, "--start", END, "--risk", "0.7", "--scenarios", "20")
    shown = line.output("dispatch", *options)
    assert "Over 20 scenarios" in shown
    assert "mean of the worst 10%" in shown
    assert "chance of passing a limit" in shown
    answer = json.loads(line.output("dispatch", *options, "--json"))
    assert answer["risk"]["cvar_weight"] == 0.7
    assert_fails(line.run("dispatch", "--community", community, "--risk", "2"), 2, "cvar_weight")


def test_a_tariff_is_shown_and_written(line: CommandLine, community: str, tmp_path: Path) -> None:
    limits = ("--low", "0.1", "--high", "0.5", "--unit", "0.01", "--step", "0.05", "--budget", "20")
    options = ("--community", community, "--start", END, "--blocks", "0,6,17,21", *limits)
    table, whole = tmp_path / "tariff.csv", tmp_path / "tariff.json"
    shown = line.output("tariff", *options, "--output", str(table))
    assert "literature" in shown
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answer = json.loads(line.output("tariff", *options, "--output", str(whole), "--json"))
    assert len(rows) == 96
    assert [float(row["import_price_per_kwh"]) for row in rows] == answer["import_price_per_kwh"]
    assert all(price == round(price, 2) for price in answer["import_price_per_kwh"])
    assert json.loads(whole.read_text(encoding="utf-8"))["result_id"] == answer["result_id"]
    assert_fails(line.run("tariff", "--community", community, "--low", "0.1"), 2, "--high")
    assert_fails(line.run("tariff", "--community", community, "--blocks", "noon"), 2, "hours such as")
    assert_fails(line.run("tariff", "--community", community, "--output", "t.xml"), 2, ".csv")


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(line: CommandLine, community: str, day: Path, car: Path, columns: int) -> None:
    commands = (
        ("import", str(day), "--community", community),
        ("forecast", "--community", community, "--start", END),
        ("dispatch", "--community", community, "--start", END),
        ("dispatch", "--community", community, "--start", END, "--devices", str(car)),
        ("dispatch", "--community", community, "--start", END, "--risk", "0.5", "--scenarios", "20"),
        ("tariff", "--community", community, "--start", END),
    )
    for command in commands:
        done = line.process(*command, columns=columns)
        assert done.returncode == 0, done.stderr
        rows = [row for row in done.stdout.splitlines() if row[:1] in "┏┃┡│└"]
        assert len(rows) > 5
        assert max(map(len, rows)) <= columns
        assert "…" not in done.stdout
        assert len([row for row in rows if row.startswith("│ Tue ")]) in (0, 24), "an hour is one row"


def test_json_is_the_answer_of_the_api(line: CommandLine, http: httpx.Client, community: str) -> None:
    forecast = json.loads(line.output("forecast", "--community", community, "--start", END, "--json"))
    assert set(forecast["variables"]) == {"load_kw", "pv_kw", "net_load_kw"}
    options = ("--objective", "minimize_peak", "--hours", "6", "--json")
    plan = json.loads(line.output("dispatch", "--community", community, "--start", END, *options))
    assert plan["objective"] == "minimize_peak"
    address = f"/communities/{community}/optimization/results/{plan['result_id']}"
    assert http.get(address).json()["charge_kw"] == plan["charge_kw"]


# The installation


def test_migrate_may_run_while_the_server_runs(installation: Installation) -> None:
    done = installation.run("migrate", "--home", str(installation.home))
    assert done.returncode == 0, done.stderr
    assert "schema of this version" in done.stdout


def test_an_administrator_is_made_once_and_with_a_good_password(installation: Installation) -> None:
    options = ("--email", "second@example.org", "--home", str(installation.home), "--password-stdin")
    weak = installation.run("admin", "create", "--username", "second_admin", *options, stdin="123\n")
    assert_fails(weak, 2, "invalid-input")
    made = installation.run("admin", "create", "--username", "second_admin", *options, stdin=PASSWORD + "\n")
    assert made.returncode == 0, made.stderr
    again = installation.run("admin", "create", "--username", "second_admin", *options, stdin=PASSWORD + "\n")
    assert_fails(again, 4, "conflict")
    with installation.client("second_admin") as client:
        assert client.get("/auth/me").json()["role"] == "admin"
