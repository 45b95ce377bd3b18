"""What tests of all kinds share."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.databases import DatabaseServer, server_of_environment
from tests.e2e.serving import Installation

import digital_twin
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres


def _digest_of_kernels() -> str:
    """Numba's index looks at the file of a function alone, and would serve what another file has changed since."""
    code = hashlib.sha256()
    for package in ("macro_twin", "forecasting", "optimization", "simulation"):
        for path in sorted((Path(digital_twin.__file__).parent / package).rglob("*.py")):
            code.update(path.read_bytes())
    return code.hexdigest()[:16]


# what is compiled once serves all runs and all processes; each home of a test would compile anew
CACHE = Path(__file__).parents[1] / ".pytest_cache"
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE / "numba" / _digest_of_kernels()))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "jax"))

# no deadline: the machine is shared; and what a run finds, every run finds
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_data: asks about communities of real meters, where their data are there")


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput") and not _names_files(session.config):
        _compile_kernels(Path(os.environ["NUMBA_CACHE_DIR"]))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """As many as there are cores, which is what xdist makes of None; none beside this one for files that are named."""
    return 0 if _names_files(config) else None


def _names_files(config: pytest.Config) -> bool:
    return all(Path(one.split("::")[0]).is_file() for one in config.args)


def _compile_kernels(folder: Path) -> None:
    """Before all tests rather than in each server that they start, against the deadline of whoever calls first."""
    marker = folder / "warmed-up"  # which the warm processes look for
    if marker.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    script = "from digital_twin.services import computations; computations.{}()"
    parts = [[sys.executable, "-c", script.format(part)] for part in ("warm_up", "compile_rarer")]
    running = [subprocess.Popen(part, stdout=subprocess.DEVNULL) for part in parts]
    codes = [one.wait() for one in running]
    if any(codes):
        pytest.exit("the kernels do not compile", returncode=1)
    marker.touch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process is still at it when the others have nothing left to do."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests on real communities, whose data not every machine has: those that ran, and those that did not."""
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if "real_data" in getattr(report, "keywords", ()):  # a file that could not be collected has none
                terminalreporter.write_line(f"real communities: {outcome} {report.nodeid}")


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
