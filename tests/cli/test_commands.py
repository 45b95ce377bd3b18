"""Commands end with the exit code of what went wrong and one sentence, print tables, and start light."""

import csv
import json
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.cli.command_line import END, START, CommandLine, assert_fails
from tests.e2e.serving import PASSWORD, Installation

from digital_twin.cli.quality import REASONS
from digital_twin.domain.suspicion import Reason

HEAVY = ("numpy", "pandas", "fastapi", "cvxpy", "scipy", "pvlib", "psycopg", "highspy", "sqlalchemy", "httpx")


@pytest.fixture
def stranger(installation: Installation, tmp_path: Path) -> CommandLine:
    """The terminal of somebody who is not signed in."""
    return CommandLine(installation, tmp_path / "config")


def count(text: str, what: str) -> int:
    """The number beside a line of a table."""
    row = next(line for line in text.splitlines() if what in line)
    return int(re.sub(r"\D", "", row.split("│")[2]))


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
