"""Two communities of real meters: where their files lie, and how one command each imports them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command_line import CommandLine

DATA = Path(__file__).parents[3] / "shared" / "data"
CITYLEARN = DATA / "citylearn2022" / "meters.parquet"
HOUSEHOLDS = DATA / "ch_households537" / "meters_15min_wide.parquet"
EIGHT_FIELDS: dict[str, Any] = {
    "num_prosumers": 17,
    "total_pv_capacity_kw": 75.0,
    "total_storage_capacity_kwh": 108.8,
    "max_storage_power_kw": 85.0,
    "grid_import_limit_kw": 400.0,
    "grid_export_limit_kw": 400.0,
    "incentive_budget_daily": 50.0,
}

needs_citylearn = pytest.mark.skipif(not CITYLEARN.exists(), reason="the CityLearn 2022 data are not there")
needs_households = pytest.mark.skipif(not HOUSEHOLDS.exists(), reason="the data of 537 Swiss households are not there")


@dataclass(frozen=True)
class RealCommunity:
    """A community whose meter file was imported."""

    community_id: str
    end: datetime
    """Of its readings: a local midnight."""

    command: tuple[str, ...]
    said: str
    """What the command printed."""


def import_citylearn(line: CommandLine) -> RealCommunity:
    """Seventeen homes with generation, hourly, a year."""
    create(line, "sierra_crest", timezone="America/Los_Angeles", latitude=34.1, longitude=-117.4)
    options = ("--community", "sierra_crest", "--timezone", "Etc/GMT+8", "--label", "start")
    return _imported(line, "sierra_crest", datetime(2017, 8, 1, 7, tzinfo=UTC), "import", str(CITYLEARN), *options)


def import_households(line: CommandLine) -> RealCommunity:
    """537 homes with net meters, every quarter of an hour, seven weeks."""
    create(line, "households", timezone="Europe/Zurich", num_prosumers=537, grid_import_limit_kw=5_000.0)
    options = ("--community", "households", "--series", "net_load_kw", "--unit", "kWh")
    return _imported(line, "households", datetime(2018, 12, 16, 23, tzinfo=UTC), "import", str(HOUSEHOLDS), *options)


def create(line: CommandLine, community_id: str, **fields: Any) -> None:
    with line.installation.client("root_admin") as client:
        answer = client.post("/communities", json={**EIGHT_FIELDS, "community_id": community_id, **fields})
        assert answer.status_code == 201, answer.text


def _imported(line: CommandLine, community_id: str, end: datetime, *command: str) -> RealCommunity:
    return RealCommunity(community_id, end, command, line.output(*command))
