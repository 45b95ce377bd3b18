"""`digital-twin kpis`, as a manager reads it."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from tests.cli.command_line import CommandLine
from tests.cli.test_plan_commands import SITE
from tests.e2e.serving import Installation


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


def test_a_day_is_told_in_figures_and_as_json(line: CommandLine, installation: Installation):
    community = f"hill_{uuid.uuid4().hex[:8]}"
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    of_all = {"unit": "kW", "kind": "mean", "start": start.isoformat(), "resolution_minutes": 60}
    series = [{"name": "load_kw", "values": [10.0] * 24, **of_all}, {"name": "pv_kw", "values": [5.0] * 24, **of_all}]
    with installation.client("root_admin") as http:
        assert http.post("/communities", json={"community_id": community, **SITE}).status_code == 201
        assert http.post(f"/communities/{community}/readings", json={"series": series}).status_code == 200
    shown = line.output("kpis", "--community", community, "--days", "1")
    for words in ("The last 1 days", "240.0 kWh", "120.0 kWh", "50.0%", "36.00", "saved against idle"):
        assert words in shown
    told = json.loads(line.output("kpis", "--community", community, "--days", "1", "--json"))
    assert told["cost"] == pytest.approx(36)
    assert told["self_sufficiency"] == pytest.approx(0.5)
