"""People at command lines of one installation, and a day of readings in a file."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.cli.command_line import CommandLine, create
from tests.e2e.serving import Installation


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


@pytest.fixture(scope="module")
def http(installation: Installation) -> Iterator[httpx.Client]:
    """The administrator without the command line."""
    with installation.client("root_admin") as client:
        yield client


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
