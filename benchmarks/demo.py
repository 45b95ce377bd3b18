"""The whole demo: seconds and memory of a first and of a second run on one home, beside a server that is only started.

Memory is the sum of the resident sets of all processes that belong to it, so that pages which processes share count
several times: what the machine gives is less. Orphans count too, since this process adopts them.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
from tests.e2e.serving import free_port

from benchmarks.measure import Result, Spread, report, rounds_asked, significant
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres

FLOOR, FIRST, SECOND = "floor: server started, until ready", "demo --exit, fresh home", "demo --exit, same home again"
SAMPLE_EVERY_S = 0.2
LONGEST_S = 900.0
PR_SET_CHILD_SUBREAPER = 36
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GIGABYTE = 2**30


class Peak:
    """The highest sum of resident sets of this process's descendants while the block lasts, and their number then."""

    def __init__(self) -> None:
        self.bytes, self.processes = 0, 0
        self._ended = threading.Event()

    def __enter__(self) -> "Peak":
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            sets = resident_sets(os.getpid())
            if sum(sets) > self.bytes:
                self.bytes, self.processes = sum(sets), len(sets)


def resident_sets(ancestor: int) -> list[int]:
    """Bytes of each living descendant."""
    found, waiting = [], [ancestor]
    while waiting:
        with suppress(OSError):  # it has ended meanwhile
            process = Path(f"/proc/{waiting.pop()}")
            threads = [(thread / "children").read_text().split() for thread in (process / "task").iterdir()]
            children = [int(child) for of_thread in threads for child in of_thread]
            waiting += children
            found.append(int((process / "statm").read_text().split()[1]) * PAGE_BYTES)
    return found[1:]


def adopt_orphans() -> None:
    """Have processes whose parent ends become children of this one."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A home whose data go with it, which root keeps elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            yield home
        finally:
            shutil.rmtree(EmbeddedPostgres(home).data_dir.parent, ignore_errors=True)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "digital_twin.cli.main", *arguments]


def run_demo(home: Path) -> None:
    """To its end."""
    done = subprocess.run(
        _command("demo", "--exit", "--home", str(home), "--port", str(free_port())),
        capture_output=True, text=True, check=False, timeout=LONGEST_S,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


def start_server(home: Path) -> None:
    """API, worker, dashboard and database, until they answer; then they are ended."""
    port, pages = free_port(), free_port()
    environment = {**os.environ, "DASHBOARD_PORT": str(pages), "LOG_LEVEL": "WARNING"}
    command = _command("serve", "--home", str(home), "--port", str(port))
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + LONGEST_S
        with httpx.Client(timeout=5) as client:
            for address in (f"http://127.0.0.1:{port}/health/ready", f"http://127.0.0.1:{pages}/"):
                while not _answers(client, address):
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError("the server does not start")
                    time.sleep(0.05)
    finally:
        server.terminate()
        server.wait(60)


def _answers(client: httpx.Client, address: str) -> bool:
    with suppress(httpx.TransportError):
        return client.get(address).status_code < 500  # the dashboard asks for a log-in
    return False


def measured(what: str, home: Path) -> tuple[float, int, int]:
    """Seconds, bytes at the peak and processes then."""
    started = time.monotonic()
    with Peak() as peak:
        start_server(home) if what == FLOOR else run_demo(home)
    return time.monotonic() - started, peak.bytes, peak.processes


def main() -> None:
    rounds = rounds_asked((__doc__ or "").splitlines()[0], 3)
    adopt_orphans()
    found: dict[str, list[tuple[float, int, int]]] = {FLOOR: [], FIRST: [], SECOND: []}
    for _ in range(rounds):
        with fresh_home() as home:
            found[FLOOR].append(measured(FLOOR, home))
        with fresh_home() as home:
            for what in (FIRST, SECOND):
                found[what].append(measured(what, home))
    rows: list[list[str]] = []
    floor = np.array(found[FLOOR], dtype=np.float64)
    for what, measures in found.items():
        seconds, peak_bytes, processes = np.array(measures, dtype=np.float64).T
        rows.append(
            [
                what,
                Spread.of(seconds).text(),
                "1" if what == FLOOR else Spread.of(seconds / floor[:, 0]).text(),
                significant(float(np.median(peak_bytes)) / GIGABYTE),
                "1" if what == FLOOR else Spread.of(peak_bytes / floor[:, 1]).text(),
                significant(float(np.median(processes)), 2),
            ]
        )
    columns = ("demo", "s: median (quartiles)", "x floor", "peak, GiB", "x floor", "processes")
    report(Result("demo", columns, rows, [f"Rounds: {rounds}; the wall's clock."]), "scripts/bench demo")


if __name__ == "__main__":
    main()
