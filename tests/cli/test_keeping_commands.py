"""`digital-twin retention` and `erase`: what is removed for good is asked about first."""

import json
import uuid

import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.serving import PASSWORD, Installation

from digital_twin.client import TwinClient
from digital_twin.domain.errors import InvalidInput, NotFound


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


@pytest.fixture
def community(installation: Installation) -> str:
    """A community with two members."""
    community_id = f"valley_{uuid.uuid4().hex[:8]}"
    with installation.client("root_admin") as http:
        numbers = ("total_pv_capacity_kw", "total_storage_capacity_kwh", "max_storage_power_kw", "grid_import_limit_kw")
        zeros = dict.fromkeys((*numbers, "grid_export_limit_kw", "incentive_budget_daily"), 0)
        body = {"community_id": community_id, "num_prosumers": 2, **zeros}
        assert http.post("/communities", json=body).status_code == 201
        members = {"members": [{"member_id": "h1"}, {"member_id": "h2"}]}
        assert http.post(f"/communities/{community_id}/members", json=members).status_code == 201
        rows = [{"series": "load_kw", "start": "2026-01-12T00:00:00Z", "value": 1.0, "member_id": "h1"}]
        assert http.post(f"/communities/{community_id}/readings", json={"readings": rows}).status_code == 200
    return community_id


def members(installation: Installation, community: str) -> list[str]:
    with installation.client("root_admin") as http:
        found = http.get(f"/communities/{community}/members").json()["members"]
    return [one["member_id"] for one in found]


def kept(line: CommandLine, community: str, *flags: str) -> dict[str, int | None]:
    return json.loads(line.output("retention", "--community", community, "--json", *flags))


def test_what_is_not_named_stays_as_it_is(line: CommandLine, community: str) -> None:
    assert kept(line, community) == {"readings_days": None, "journal_days": None}
    assert kept(line, community, "--readings-days", "1095", "--yes") == {"readings_days": 1095, "journal_days": None}
    assert kept(line, community, "--journal-days", "400", "--yes") == {"readings_days": 1095, "journal_days": 400}
    shown = line.output("retention", "--community", community)
    assert "1,095 days" in shown
    assert "400 days" in shown


def test_to_keep_more_needs_no_question_and_to_keep_less_does(line: CommandLine, community: str) -> None:
    asked = line.run("retention", "--community", community, "--readings-days", "30", stdin="n\n")
    assert asked.returncode == 1
    assert "for good" in asked.stdout + asked.stderr
    assert kept(line, community)["readings_days"] is None
    agreed = line.run("retention", "--community", community, "--readings-days", "30", stdin="y\n")
    assert agreed.returncode == 0
    assert "30 days" in agreed.stdout
    assert kept(line, community, "--readings-days", "31")["readings_days"] == 31
    assert kept(line, community, "--readings-days", "all")["readings_days"] is None


@pytest.mark.parametrize("days", ["ten", "-1", "1.5", "0"])
def test_days_that_are_none_are_refused(line: CommandLine, community: str, days: str) -> None:
    done = line.run("retention", "--community", community, "--readings-days", days, "--yes")
    assert done.returncode == 2
    assert "days" in done.stderr


def test_a_member_is_erased_when_that_is_wanted(line: CommandLine, installation: Installation, community: str) -> None:
    declined = line.run("erase", "h1", "--community", community, stdin="n\n")
    assert declined.returncode == 1
    assert members(installation, community) == ["h1", "h2"]
    assert "days of readings" in line.output("erase", "h1", "--community", community, "--yes")
    assert members(installation, community) == ["h2"]
    again = line.run("erase", "h1", "--community", community, "--yes")
    assert again.returncode == 3
    erased = json.loads(line.output("erase", "h2", "--community", community, "--yes", "--json"))
    assert (erased["member_id"], erased["series"]) == ("h2", 0)


def test_the_client_erases_members_and_nothing_else(installation: Installation, community: str) -> None:
    with TwinClient(installation.url) as twin:
        twin.login("root_admin", PASSWORD)
        for unsafe in ("..", ".", "", "h1/../..", "h1?x=1"):
            with pytest.raises(InvalidInput):
                twin.erase_member(community, unsafe)
        assert twin.erase_member(community, "h1")["series"] == 1
        with pytest.raises(NotFound):
            twin.erase_member(community, "h1")
        assert twin.retain(community, readings_days=10, journal_days=None) == twin.retention(community)
        assert twin.community(community)["community_id"] == community
