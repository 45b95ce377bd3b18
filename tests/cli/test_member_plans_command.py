"""`digital-twin dispatch --level member` and `member-plan`: what each member should do, as tables and as files."""

import csv
import json
import uuid
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.serving import Installation

START = "2026-03-02T00:00:00Z"
HOMES = ("attic", "barn", "cellar")


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


@pytest.fixture(scope="module")
def community(installation: Installation) -> str:
    """Three homes without readings, two of them with a battery."""
    community_id = f"valley_{uuid.uuid4().hex[:8]}"
    numbers = {
        "total_pv_capacity_kw": 9, "total_storage_capacity_kwh": 0, "max_storage_power_kw": 0,
        "grid_import_limit_kw": 100, "grid_export_limit_kw": 100, "incentive_budget_daily": 0,
    }  # fmt: skip
    battery = {"kind": "battery", "capacity_kwh": 8.0, "power_kw": 4.0}
    assets = [{"asset_id": f"battery_of_{one}", "member_id": one, "device": battery} for one in HOMES[:2]]
    with installation.client("root_admin") as http:
        body = {"community_id": community_id, "num_prosumers": 3, "timezone": "UTC", **numbers}
        assert http.post("/communities", json=body).status_code == 201
        members = {"members": [{"member_id": one} for one in HOMES]}
        assert http.post(f"/communities/{community_id}/members", json=members).status_code == 201
        assert http.post(f"/communities/{community_id}/assets", json={"assets": assets}).status_code == 201
    return community_id


def test_a_plan_for_members_tells_what_all_save(line: CommandLine, community: str):
    shown = line.output("dispatch", "--community", community, "--start", START, "--level", "member")
    assert "2 and 0" in shown
    assert "saved against everyone's own rule" in shown
    assert "3 members without two days of readings" in " ".join(shown.split())


def test_every_members_plan_is_written(line: CommandLine, community: str, tmp_path: Path):
    options = ("dispatch", "--community", community, "--start", START, "--level", "member", "--output")
    table, columns = tmp_path / "plans.csv", tmp_path / "plans.parquet"
    line.output(*options, str(table))
    line.output(*options, str(columns))
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == parquet.read_table(columns).num_rows == 3 * 96
    assert {row["member_id"] for row in rows} == set(HOMES)
    assert rows[0]["start"] == START


def test_one_members_plan_is_shown_by_hour(line: CommandLine, community: str):
    plan = json.loads(
        line.output("dispatch", "--community", community, "--start", START, "--level", "member", "--json")
    )
    shown = line.output("member-plan", "--community", community, "--member", "barn")
    assert "Plan of barn" in shown
    assert len([row for row in shown.splitlines() if row.startswith("│ ")]) == 24
    own = json.loads(line.output("member-plan", "--community", community, "--member", "barn", "--json"))
    assert own["result_id"] == plan["result_id"]
    assert len(own["soc_kwh"]) == 96


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--level", "street"), "community or member"),
        (("--output", "plans.csv"), "--level member"),
        (("--level", "member", "--output", "plans.xml"), ".parquet"),
        (("--level", "member", "--objective", "minimize_peak"), "minimize_cost"),
    ],
)
def test_what_cannot_be_asked_is_said(line: CommandLine, community: str, options: tuple[str, ...], words: str):
    done = line.run("dispatch", "--community", community, *options)
    assert done.returncode == 2
    assert words in done.stderr
