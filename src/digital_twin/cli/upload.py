"""Sending a meter file to a community: members first, then readings in batches that may be sent again."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from digital_twin.cli.meter_files.guesses import MeterFile
from digital_twin.client import TwinClient
from digital_twin.domain.errors import Unavailable
from digital_twin.domain.readings import ASSUMED_DELAY, SeriesValues
from digital_twin.domain.time import TimeGrid

VALUES_PER_BATCH = 100_000
MEMBERS_PER_BATCH = 1_000
STEPS_PER_COLUMN = 30_000
TRIES = 6
LONGEST_WAIT_S = 30.0
"""Each wait is twice the one before: half a minute in all, in which a server may be started again."""
REASONS_NAMED = 5

Counts = dict[str, int]


def upload(
    client: TwinClient, community_id: str, file: MeterFile, on_progress: Callable[[int], None]
) -> tuple[Counts, list[str]]:
    """Send everything; the counts of what became of it, and why readings were refused."""
    known = {member["member_id"] for member in client.members(community_id)} if file.members else set[str]()
    new = [{"member_id": member} for member in file.members if member not in known]
    for first in range(0, len(new), MEMBERS_PER_BATCH):
        client.put_members(community_id, new[first : first + MEMBERS_PER_BATCH])
    counts, reasons = send_readings(client, community_id, file.columns, on_progress)
    return {"members added": len(new)} | counts, reasons


def send_readings(
    client: TwinClient, community_id: str, columns: Iterable[SeriesValues], on_progress: Callable[[int], None]
) -> tuple[Counts, list[str]]:
    """Send readings in batches; the counts of what became of them, and why some were refused."""
    counts: Counts = {}
    reasons: dict[str, None] = {}
    run = uuid.uuid4().hex  # a new one each time: a second import counts its readings as duplicates
    for number, batch in enumerate(batches(columns)):
        answer = _record(client, community_id, batch, f"import-{run}-{number}")
        for name in ("received", "stored", "duplicate", "corrected", "superseded"):
            counts[name] = counts.get(name, 0) + int(answer[name])
        counts["rejected"] = counts.get("rejected", 0) + int(answer["rejected_count"])
        reasons |= dict.fromkeys(one["reason"] for one in answer["rejected"])
        on_progress(sum(one.values.size for one in batch))
    return counts, list(reasons)[:REASONS_NAMED]


def _record(client: TwinClient, community_id: str, batch: Sequence[SeriesValues], key: str) -> dict[str, Any]:
    """Sent again where no answer came: by its key the server stores it once."""
    delay_minutes = int(ASSUMED_DELAY.total_seconds() // 60)
    for attempt in range(1, TRIES + 1):
        try:
            return client.record(
                community_id, batch, assumed_delay_minutes=delay_minutes, idempotency_key=key, lenient=True
            )
        except Unavailable as error:
            if attempt == TRIES:
                raise
            asked_s = float(error.facts.get("retry_after_s", 1))
            time.sleep(min(LONGEST_WAIT_S, max(asked_s, 2.0 ** (attempt - 1))))
    raise AssertionError("unreachable")


def batches(columns: Iterable[SeriesValues]) -> Iterator[list[SeriesValues]]:
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


def _pieces(columns: Iterable[SeriesValues]) -> Iterator[SeriesValues]:
    """Columns in pieces that hold at least one reading."""
    for column in columns:
        for first in range(0, column.grid.steps, STEPS_PER_COLUMN):
            values = column.values[first : first + STEPS_PER_COLUMN]
            grid = TimeGrid(column.grid.instant(first), values.size, column.grid.step_minutes)
            flags = None if column.flags is None else column.flags[first : first + STEPS_PER_COLUMN]
            if (values == values).any():
                yield SeriesValues(column.key, grid, values, flags)
