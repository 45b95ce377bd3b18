"""`digital-twin patterns`: groups of homes, what they seem to have, and days unlike others, in tables."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.serving import Installation

DAYS = 30


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


@pytest.fixture(scope="module")
def community(installation: Installation) -> str:
    """Two homes over thirty days: one peaks in the evening, the other has PV, and one day is silent there."""
    community_id = f"valley_{uuid.uuid4().hex[:8]}"
    hours = np.arange(24 * DAYS) % 24
    evening = 0.3 + 1.5 * np.exp(-(((hours - 19) / 1.5) ** 2))
    sunny = 0.6 - 2.5 * np.exp(-(((hours - 12.5) / 2) ** 2))
    evening[24 * 12 : 24 * 13] = 0.0
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    columns = [
        {"name": "net_load_kw", "unit": "kW", "member_id": member, "start": start.isoformat(),
         "resolution_minutes": 60, "values": values.round(4).tolist()}
        for member, values in (("dusk", evening), ("noon", sunny))
    ]  # fmt: skip
    numbers = ("total_pv_capacity_kw", "total_storage_capacity_kwh", "max_storage_power_kw", "grid_import_limit_kw")
    zeros = dict.fromkeys((*numbers, "grid_export_limit_kw", "incentive_budget_daily"), 0)
    with installation.client("root_admin") as http:
        body = {"community_id": community_id, "num_prosumers": 2, "timezone": "UTC", **zeros}
        assert http.post("/communities", json=body).status_code == 201
        members = {"members": [{"member_id": "dusk"}, {"member_id": "noon"}]}
        assert http.post(f"/communities/{community_id}/members", json=members).status_code == 201
        assert http.post(f"/communities/{community_id}/readings", json={"series": columns}).status_code == 200
    return community_id


def test_homes_are_told_with_what_they_seem_to_have(line: CommandLine, community: str) -> None:
    shown = line.output("patterns", "--community", community, "--days", str(DAYS))
    assert "Groups of homes" in shown
    [noon] = [row for row in shown.splitlines() if "noon" in row]
    assert "midday solar dip" in noon
    assert "Of 2 homes with enough readings about:" in shown


def test_one_member_is_told_with_their_unusual_days(line: CommandLine, community: str) -> None:
    shown = line.output("patterns", "--community", community, "--days", str(DAYS), "--member", "dusk")
    assert "hardly any consumption all day" in shown
    assert "noon" not in shown


def test_the_answer_is_there_as_json(line: CommandLine, community: str) -> None:
    answer = json.loads(line.output("patterns", "--community", community, "--days", str(DAYS), "--json"))
    assert answer["members"]["count"] == 2
