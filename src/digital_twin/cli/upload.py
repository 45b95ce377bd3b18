"""Sending a meter file to a community: members first, then readings in batches that may be sent again."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from digital_twin.cli.guesses import MeterFile
from digital_twin.client import TwinClient
from digital_twin.domain.readings import ASSUMED_DELAY, SeriesValues
from digital_twin.domain.time import TimeGrid

VALUES_PER_BATCH = 100_000
MEMBERS_PER_BATCH = 1_000
STEPS_PER_COLUMN = 30_000

Counts = dict[str, int]


def upload(
    client: TwinClient, community_id: str, file: MeterFile, path: Path, on_progress: Callable[[int], None]
) -> Counts:
    """Send everything; the counts of what became of it. A second run of the same file replays its batches."""
    known = {member["member_id"] for member in client.members(community_id)}
    new = [{"member_id": member} for member in file.members if member not in known]
    for first in range(0, len(new), MEMBERS_PER_BATCH):
        client.put_members(community_id, new[first : first + MEMBERS_PER_BATCH])
    fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    counts: Counts = {"members added": len(new)}
    for number, batch in enumerate(batches(file.columns)):
        answer = _record(client, community_id, batch, f"{fingerprint}-{number}")
        for name in ("received", "stored", "duplicate", "corrected", "superseded", "rejected_count"):
            counts[name] = counts.get(name, 0) + int(answer[name])
        on_progress(sum(one.values.size for one in batch))
    return counts


def _record(client: TwinClient, community_id: str, batch: Sequence[SeriesValues], key: str) -> dict[str, Any]:
    delay_minutes = int(ASSUMED_DELAY.total_seconds() // 60)
    return client.record(community_id, batch, assumed_delay_minutes=delay_minutes, idempotency_key=key)


def batches(columns: Sequence[SeriesValues]) -> Iterator[list[SeriesValues]]:
    """Columns, long ones cut, in batches of at most so many values."""
    batch: list[SeriesValues] = []
    size = 0
    for column in _pieces(columns):
        if batch and size + column.values.size > VALUES_PER_BATCH:
            yield batch
            batch, size = [], 0
        batch.append(column)
        size += column.values.size
    if batch:
        yield batch


def _pieces(columns: Sequence[SeriesValues]) -> Iterator[SeriesValues]:
    for column in columns:
        for first in range(0, column.grid.steps, STEPS_PER_COLUMN):
            values = column.values[first : first + STEPS_PER_COLUMN]
            yield SeriesValues(
                column.key, TimeGrid(column.grid.instant(first), values.size, column.grid.step_minutes), values
            )
