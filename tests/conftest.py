"""What tests of all kinds share."""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.databases import DatabaseServer, server_of_environment
from tests.e2e.serving import Installation

import digital_twin
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres

# what is compiled once serves all runs and all processes; each home of a test would compile anew
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "numba"))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))

# no deadline: the machine is shared; and what a run finds, every run finds
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # once, before the first of the processes warms up
        _compile_anew_what_has_changed()
    config.addinivalue_line("markers", "real_data: asks about communities of real meters, where their data are there")


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """One more than there are cores, since many tests wait; none beside this one for files that are named."""
    cores = yield
    return 0 if all(Path(one.split("::")[0]).is_file() for one in config.args) else cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process is still at it when the others have nothing left to do."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests on real communities, whose data not every machine has: those that ran, and those that did not."""
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if "real_data" in getattr(report, "keywords", ()):  # a file that could not be collected has none
                terminalreporter.write_line(f"real communities: {outcome} {report.nodeid}")


def _compile_anew_what_has_changed() -> None:
    """Else a call would compile, against its deadline, what the warm processes believe to be compiled."""
    warmed_up = Path(os.environ["NUMBA_CACHE_DIR"]) / "warmed-up"
    code = Path(digital_twin.__file__).parent.rglob("*.py")
    if warmed_up.exists() and warmed_up.stat().st_mtime < max(path.stat().st_mtime for path in code):
        warmed_up.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """The program's own PostgreSQL, one for the whole session."""
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("embedded"))
    yield DatabaseServer(embedded.start())
    embedded.stop()
    shutil.rmtree(embedded.data_dir.parent)  # as root it lies outside of the home


@pytest.fixture(scope="session")
def given_server() -> Iterator[DatabaseServer]:
    """The server that the environment names, left as it was found."""
    server = server_of_environment()
    yield server
    server.drop_all()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The product as a process, one for the session, with the administrator `root_admin`; nobody kills it."""
    installation = Installation(tmp_path_factory.mktemp("installation"), LOGIN_ATTEMPTS_PER_5_MINUTES="1000")
    installation.create_administrator()
    installation.start()
    yield installation
    installation.stop()
