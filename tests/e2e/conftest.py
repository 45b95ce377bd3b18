"""Communities that several tests of the product as a process ask about; none of them changes what is stored."""

import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.real_communities import RealCommunity, import_citylearn, import_households
from tests.e2e.serving import Installation


@pytest.fixture(scope="session")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line of the administrator."""
    made = CommandLine(installation, tmp_path_factory.mktemp("config"))
    made.log_in("root_admin")
    return made


@pytest.fixture(scope="session")
def sierra_crest(line: CommandLine) -> RealCommunity:
    return import_citylearn(line)


@pytest.fixture(scope="session")
def households(line: CommandLine) -> RealCommunity:
    return import_households(line)
