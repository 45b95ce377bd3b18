"""The memory that the server takes for files of 10 MB to 1 GB, CSV and Arrow, each sent in one request and stored.

A file holds quarters of an hour of one home after the other, 100 days each. What counts is the peak of the server's
resident set above that before the request; the database is another process.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
from tests.e2e.serving import Installation

from benchmarks.ingest import ARROW, CSV, as_text, prepare
from benchmarks.measure import Result, report, rounds_asked, significant
from digital_twin.client_tables import ArrowStream

SLOTS = 100 * 96
START = datetime(2025, 1, 1, tzinfo=UTC)
SIZES_MB = (10, 100, 1_000)
BYTES_PER_READING = {CSV: 45, ARROW: 24}
HOMES_PER_TABLE = 10


@dataclass(frozen=True, slots=True)
class File:
    """So many megabytes of readings, made as they are sent."""

    media_type: str
    size_mb: int

    @property
    def homes(self) -> int:
        tables = self.size_mb * 1_000_000 / BYTES_PER_READING[self.media_type] / SLOTS / HOMES_PER_TABLE
        return HOMES_PER_TABLE * max(1, round(tables))

    def pieces(self) -> Iterator[bytes]:
        """The file's bytes."""
        if self.media_type == ARROW:
            yield from ArrowStream(_Tables(self.homes))  # type: ignore[arg-type]  what it asks of a table
            return
        for first in range(0, self.homes, HOMES_PER_TABLE):
            sink = pa.BufferOutputStream()
            pa.csv.write_csv(as_text(table(first, self.homes)), sink, pa.csv.WriteOptions(include_header=first == 0))
            yield sink.getvalue().to_pybytes()


class _Tables:
    """A long table of which only a part is in memory at a time."""

    def __init__(self, homes: int) -> None:
        self._homes = homes
        self.schema = table(0, homes).schema

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        for first in range(0, self._homes, HOMES_PER_TABLE):
            yield from table(first, self._homes).to_batches(max_chunksize=max_chunksize)


def table(first: int, homes: int) -> pa.Table:
    """The readings of ten homes."""
    places = np.repeat(np.arange(first, first + HOMES_PER_TABLE, dtype=np.int32), SLOTS)
    names = pa.array([f"home_{home}" for home in range(homes)])
    starts = int(START.timestamp()) + 900 * np.tile(np.arange(SLOTS), HOMES_PER_TABLE)
    return pa.table(
        {
            "series": pa.DictionaryArray.from_arrays(pa.array(np.zeros_like(places)), pa.array(["load_kw"])),
            "member_id": pa.DictionaryArray.from_arrays(pa.array(places), names),
            "start": pa.array(starts, pa.timestamp("s", tz="UTC")),
            "value": np.random.default_rng(first).gamma(2, 0.3, places.size).round(3),
        }
    )


class Memory:
    """The resident set of a process, in MB."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def reset(self) -> None:
        """Begin a new peak."""
        (self._folder / "clear_refs").write_text("5")

    def read(self, name: str) -> float:
        line = next(line for line in (self._folder / "status").read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024


def measure(file: File, client: httpx.Client, memory: Memory, name: str) -> list[str]:
    prepare(client, name, file.homes)
    memory.reset()
    before = memory.read("VmRSS")
    sent = 0

    def counted() -> Iterator[bytes]:
        nonlocal sent
        for piece in file.pieces():
            sent += len(piece)
            yield piece

    answer = client.post(f"/communities/{name}/readings", content=counted(), headers={"Content-Type": file.media_type})
    answer.raise_for_status()
    if answer.json()["stored"] != file.homes * SLOTS:
        raise RuntimeError(answer.text)
    peak, seconds = memory.read("VmHWM"), answer.elapsed.total_seconds()
    return [
        file.media_type,
        f"{sent / 1e6:,.0f}",
        f"{file.homes * SLOTS:,}",
        significant(peak),
        significant(peak - before),
        significant(file.homes * SLOTS / seconds),
    ]


def main() -> None:
    rounds_asked(__doc__ or "", 1)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as home:
        twin = Installation(Path(home), with_worker=False)
        twin.create_administrator()
        twin.start()
        try:
            with twin.client("root_admin") as client:
                client.timeout = httpx.Timeout(3600)
                memory = Memory(twin.family()[0])
                for size_mb in (1, *SIZES_MB):
                    for media_type in (CSV, ARROW):
                        name = f"file_{media_type.rpartition('.')[2].replace('/', '_')}_{size_mb}"
                        row = measure(File(media_type, size_mb), client, memory, name)
                        rows += [row] if size_mb > 1 else []
        finally:
            twin.stop()
    columns = ("file", "MB", "readings", "peak, MB", "above before, MB", "readings a second")
    report(Result("ingest_memory", columns, rows), "scripts/bench ingest_memory")


if __name__ == "__main__":
    main()
