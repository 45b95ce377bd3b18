"""The disk of an installation becomes full while readings come in, and is freed again.

First there is no room for data, then, which ends the server, none for its write-ahead log either.
"""

import errno
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import httpx
import psycopg
from tests.faults.audit import Findings, audit
from tests.faults.disturbance import COMMUNITY, MEMBERS_EACH, SENDERS, register, running, senders
from tests.faults.ledger import SERIES, Acknowledged, entries, member_id, midnight

from digital_twin.adapters.postgres.cluster import SUPERUSER, Cluster

DISK_MIB = 256
PIECES_BYTES = (2**20, 2**12)
EVERY_S = 0.2
MOST_SEGMENTS = 100


@dataclass(frozen=True, slots=True)
class DiskSurvival:
    """What became of readings that came while there was no room for them."""

    findings: Findings
    refused: int
    """Attempts to write that were not acknowledged."""

    reads: int
    """Asked while there was no room for data."""

    reads_answered: int
    reads_without_log: int
    """Answered when there was none for the log either."""

    healed_s: float
    """From the moment when there was room again to the first acknowledgement of what was sent after it."""


def survive_full_disk(*, full_for_s: float, seed: int) -> DiskSurvival:
    """Fill the disk under a running installation, wait, free it, and compare everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # or the database's user could not enter, and its data would be kept elsewhere
        return _survive(Path(folder), full_for_s, seed)


def _survive(folder: Path, full_for_s: float, seed: int) -> DiskSurvival:
    ledgers = [folder / f"ledger-{number}" for number in range(SENDERS)]
    with (
        _small_disk(folder / "disk") as disk,
        running(disk, log=folder / "server.log") as installation,
        installation.client("root_admin") as client,
    ):
        register(client, COMMUNITY, SENDERS * MEMBERS_EACH)
        with senders(client, ledgers, seed) as progress:
            for _ in range(10):
                progress.wait()
            with (disk / "ballast").open("wb", buffering=0) as ballast:
                answered = _read_meanwhile(client, ballast, full_for_s)
                _use_up_log(disk)
                answered_without_log = _read_meanwhile(client, ballast, full_for_s)
            (disk / "ballast").unlink()
            freed_at = time.monotonic()
            for _ in range(SENDERS + 1):
                progress.wait()
        findings = audit(client, COMMUNITY, ledgers, members=SENDERS * MEMBERS_EACH)
    told = [entry for path in ledgers for entry in entries(path) if isinstance(entry, Acknowledged)]
    return DiskSurvival(
        findings,
        refused=sum(one.attempts - 1 for one in told),
        reads=len(answered),
        reads_answered=sum(answered),
        reads_without_log=sum(answered_without_log),
        healed_s=min(one.answered_at for one in told if one.sent_at > freed_at) - freed_at,
    )


def _read_meanwhile(client: httpx.Client, ballast: FileIO, full_for_s: float) -> list[bool]:
    """Whether each read was answered while the disk was full; one that is not must say so with 503."""
    span = {"start": midnight(0).isoformat(), "end": midnight(1).isoformat()}
    query = {"series": SERIES, "member_id": member_id(0), **span}
    answered: list[bool] = []
    ends = time.monotonic() + full_for_s
    while time.monotonic() < ends:
        _fill(ballast)  # again: the server itself frees some room now and then
        answer = client.get(f"/communities/{COMMUNITY}/readings", params=query)
        if answer.status_code not in (200, 503):
            raise RuntimeError(f"{answer.status_code}: {answer.text[:1000]}")
        answered.append(answer.status_code == 200)
        time.sleep(EVERY_S)
    return answered


def _use_up_log(home: Path) -> None:
    """Begin one segment of the write-ahead log after the other, until the server cannot."""
    address = Cluster.of_home(home).address(SUPERUSER, "postgres")
    with suppress(psycopg.OperationalError), psycopg.connect(address, autocommit=True) as connection:
        for _ in range(MOST_SEGMENTS):
            connection.execute("select pg_logical_emit_message(false, 'fill', 'up'), pg_switch_wal()")
        raise RuntimeError("the write-ahead log never came to its end")


def _fill(file: FileIO) -> None:
    """Down to the last block."""
    for size in PIECES_BYTES:
        try:
            while file.write(b"\0" * size) == size:
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    try:
        with tempfile.TemporaryDirectory() as folder, _small_disk(Path(folder) / "disk"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own in this folder, until the block ends."""
    folder.mkdir()
    options = f"size={DISK_MIB}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
