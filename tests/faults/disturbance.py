"""Senders at work while processes are killed and connections are cut, and what became of it."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from tests.e2e.serving import Installation
from tests.faults.audit import Findings, audit
from tests.faults.commit_cutter import CommitCutter, commit_cutter
from tests.faults.ledger import Acknowledged, entries, member_id

from digital_twin.adapters.postgres.embedded import EmbeddedPostgres

COMMUNITY = "ledger"
SENDERS, MEMBERS_EACH = 2, 20
FIRST_BATCHES = 12
"""Are acknowledged before anything happens, so that there is a past to be asked about."""

LONGEST_PAUSE_S = 0.4
"""A fault strikes at a random moment of the batches that follow the last acknowledgement."""

PATIENCE_S = 300.0

Fault = Callable[[], float]
"""Strikes, and says when on the machine's monotonic clock."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault, and when it struck."""

    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Survival:
    """What a disturbance left behind."""

    findings: Findings
    recovery_s: Mapping[str, NDArray[np.float64]]
    """Per kind of fault: from each to the first acknowledgement of a request that was sent after it."""

    longest_wait_s: float
    """Of any request, for an answer or a broken connection."""


def survive(
    installation: Installation, folder: Path, faults: Mapping[str, Fault], *, times: Mapping[str, int], seed: int
) -> Survival:
    """Let faults of each kind strike so many times in random order, while senders send; then compare everything."""
    chance = random.Random(seed)
    kinds = [kind for kind, number in times.items() for _ in range(number)]
    chance.shuffle(kinds)
    ledgers = [folder / f"ledger-{number}" for number in range(SENDERS)]
    with installation.client("root_admin") as client:
        register(client, COMMUNITY, SENDERS * MEMBERS_EACH)
        with senders(client, ledgers, seed) as progress:
            for _ in range(FIRST_BATCHES):
                progress.wait()
            struck = [_strike(kind, faults[kind], progress, chance) for kind in kinds]
            for _ in range(SENDERS + 1):  # so that some batch was sent after the last fault, too
                progress.wait()
        findings = audit(client, COMMUNITY, ledgers, members=SENDERS * MEMBERS_EACH)
    told = [entry for path in ledgers for entry in entries(path) if isinstance(entry, Acknowledged)]
    recovery_s = {kind: recoveries(struck, told, kind) for kind in times}
    return Survival(findings, recovery_s, max(one.longest_wait_s for one in told))


def _strike(kind: str, fault: Fault, progress: "Progress", chance: random.Random) -> Struck:
    progress.wait()
    time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
    return Struck(kind, fault())


def recoveries(struck: Sequence[Struck], told: Sequence[Acknowledged], kind: str) -> NDArray[np.float64]:
    """Seconds from each fault of this kind to the first acknowledgement of what was sent after it."""
    strikes = [fault.at for fault in struck if fault.kind == kind]
    return np.array([min(one.answered_at for one in told if one.sent_at > at) - at for at in strikes])


def kills(installation: Installation) -> dict[str, Fault]:
    """SIGKILL to each of the product's processes."""

    def server() -> float:
        at = time.monotonic()
        installation.kill_server()
        installation.start()
        return at

    def worker() -> float:
        at = time.monotonic()
        installation.kill_worker()
        return at

    def database() -> float:
        at = time.monotonic()
        installation.kill_database()
        return at

    return {"server": server, "worker": worker, "database": database}


def cuts(cutter: CommitCutter) -> dict[str, Fault]:
    """The connection to the database cut around a COMMIT of readings."""
    return {"before": lambda: cutter.cut("before"), "after": lambda: cutter.cut("after")}


@contextmanager
def running(home: Path, *, log: Path | None = None, **settings: str) -> Iterator[Installation]:
    """The product, whose sessions outlast any disturbance, until the block ends."""
    installation = Installation(home, log=log, JWT_ACCESS_TOKEN_EXPIRE_MINUTES="1440", **settings)
    try:
        installation.create_administrator()
        installation.start()
        yield installation
    finally:
        installation.stop()


@contextmanager
def running_behind_cutter(folder: Path) -> Iterator[tuple[Installation, CommitCutter]]:
    """The product on a database whose connections can be cut."""
    database = EmbeddedPostgres(folder / "database")
    try:
        address = database.start()
        with commit_cutter(address) as (cutter, cut_address), running(folder, DATABASE_URL=cut_address) as installation:
            yield installation, cutter
    finally:
        database.stop()
        shutil.rmtree(database.data_dir.parent, ignore_errors=True)


class Progress:
    """Acknowledgements as the senders tell of them."""

    def __init__(self, senders: Sequence["subprocess.Popen[bytes]"]) -> None:
        self._senders = senders
        self._told = threading.Semaphore(0)
        self._hearing = [threading.Thread(target=self._hear, args=(sender,)) for sender in senders]
        for thread in self._hearing:
            thread.start()

    def wait(self) -> None:
        """Until a batch is acknowledged that was not when this was called.

        Raises:
            RuntimeError: a sender has ended, or nothing is acknowledged for long.
        """
        while self._told.acquire(blocking=False):
            pass
        deadline = time.monotonic() + PATIENCE_S
        while not self._told.acquire(timeout=1):
            if time.monotonic() > deadline or any(sender.poll() is not None for sender in self._senders):
                raise RuntimeError("a sender gave up; its reason is above")

    def close(self) -> None:
        """When the senders have ended."""
        for thread in self._hearing:
            thread.join()

    def _hear(self, sender: "subprocess.Popen[bytes]") -> None:
        assert sender.stdout is not None
        with sender.stdout as lines:
            for _ in lines:
                self._told.release()


def senders(client: httpx.Client, ledgers: Sequence[Path], seed: int) -> AbstractContextManager[Progress]:
    """Senders with their members and ledgers, who speak with this client's rights."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    return processes(
        [
            ("tests.faults.sender", str(client.base_url), COMMUNITY, str(path), str(number * MEMBERS_EACH),
             str(MEMBERS_EACH), str(seed))
            for number, path in enumerate(ledgers)
        ],
        TOKEN=token,
    )  # fmt: skip


@contextmanager
def processes(modules: Sequence[Sequence[str]], **environment: str) -> Iterator[Progress]:
    """Modules with their arguments that send until the block ends, and then come to the end of what they began."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        for module in modules
    ]
    progress = Progress(started)
    try:
        yield progress
        for sender in started:
            assert sender.stdin is not None
            sender.stdin.close()
        codes = [sender.wait(PATIENCE_S) for sender in started]
        if any(codes):
            raise RuntimeError("a sender failed; its reason is above")
    finally:
        for sender in started:
            assert sender.stdin is not None
            sender.stdin.close()
            sender.kill()
            sender.wait()
        progress.close()


def register(client: httpx.Client, community: str, members: int) -> None:
    """A community whose members have meters and nothing else."""
    numbers = {"num_prosumers": members, "grid_import_limit_kw": 1000, "grid_export_limit_kw": 1000}
    none = ("total_pv_capacity_kw", "total_storage_capacity_kwh", "max_storage_power_kw", "incentive_budget_daily")
    body = {"community_id": community, **numbers, **dict.fromkeys(none, 0)}
    client.post("/communities", json=body).raise_for_status()
    listed = {"members": [{"member_id": member_id(number)} for number in range(members)]}
    client.post(f"/communities/{community}/members", json=listed).raise_for_status()
