"""Many readings at once: taken in durably now, stored by a Run."""

import io
import json
import secrets
from collections.abc import AsyncIterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.errors import Conflict, InvalidInput
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, Replay, Run, Store, StoredResult, Transaction
from digital_twin.services.reading_parts import PLAIN, Delivery, ReadingPart, Sieve, count_readings
from digital_twin.services.runs import INGEST, RunningRun, RunService

KIND = "import"
VALUES_AT_ONCE = 100_000
MAX_VALUES = 10_000_000
"""Readings of one import, which are in memory while it is taken in."""

_COUNTS = ("received", "stored", "duplicate", "corrected", "superseded")


class ImportService:
    """Imports as Runs. What cannot be stored at all is refused at once, the rest is stored part by part."""

    def __init__(self, store: Store, clock: Clock, runs: RunService) -> None:
        self._store = store
        self._clock = clock
        self._runs = runs

    async def submit(self, grant: Grant, parts: AsyncIterable[ReadingPart], delivery: Delivery = PLAIN) -> Run:
        """Keep the readings and a Run that stores them; the same key and body give the same Run.

        Raises:
            InvalidInput: a reading cannot be believed and the delivery is not lenient, a series has another resolution
                than before or an unknown member, or the key was used with another body.
        """
        sieve = Sieve(self._clock.now(), lenient=delivery.lenient)
        kept: list[SeriesValues] = []
        values = 0
        async for part in sieve.believable(parts):
            kept += part
            values += sum(series.values.size for series in part)
            if values > MAX_VALUES:
                raise InvalidInput(
                    f"a Run stores at most {MAX_VALUES} readings; leave out Prefer: respond-async to store more at once"
                )
        inputs = [encode(part) for part in _parts(kept)]
        request = {
            "assumed_delay_s": None if delivery.assumed_delay is None else delivery.assumed_delay.total_seconds(),
            "rejected": [one.as_document() for one in sieve.refused],
            "rejected_count": sieve.refused_count,
        }
        scope, key = f"imports {grant.community_id}", f"{grant.caller.account_id}:{delivery.idempotency_key}"
        async with self._store.community(str(grant.community_id)) as tx:
            if delivery.idempotency_key and not await tx.replays.claim(scope, key, delivery.fingerprint):
                return await _earlier(tx, scope, key, delivery.fingerprint)
            # without values: they store nothing, but make sure that the series can take those that follow
            await tx.readings.record([_without_values(one) for one in kept], key=f"import {secrets.token_urlsafe(16)}")
            run = await self._runs.add(tx, grant, KIND, request, queue=INGEST, inputs=inputs)
            if delivery.idempotency_key:
                await tx.replays.finish(scope, key, Replay(delivery.fingerprint, 202, {}, run.run_id.encode()))
        return run

    async def carry_out(self, run: RunningRun) -> StoredResult:
        """Store part after part, each exactly once."""
        inputs = await run.inputs()
        delay_s = run.request["assumed_delay_s"]
        assumed_delay = None if delay_s is None else timedelta(seconds=delay_s)

        async def store(part: int) -> bytes:
            async with self._store.community(run.community_id) as tx:
                receipt = await tx.readings.record(
                    decode(inputs[part]), key=f"run {run.run_id} {part}", assumed_delay=assumed_delay
                )
            count_readings(receipt, 0)
            return json.dumps([*(getattr(receipt, name) for name in _COUNTS), receipt.received_at.isoformat()]).encode()

        done = [json.loads(payload) for payload in await run.each(store, range(len(inputs)))]
        document = {name: sum(counts[place] for counts in done) for place, name in enumerate(_COUNTS)}
        document |= {
            "received_at": max((counts[-1] for counts in done), default=self._clock.now().isoformat()),
            "rejected": run.request["rejected"],
            "rejected_count": run.request["rejected_count"],
        }
        return StoredResult(run.run_id, KIND, self._clock.now(), document)

    async def result(self, grant: Grant, import_id: str) -> StoredResult:
        """What became of an import. Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.results.get(import_id, (KIND,))


async def _earlier(tx: Transaction, scope: str, key: str, fingerprint: bytes) -> Run:
    """The Run that the key was given."""
    earlier = await tx.replays.find(scope, key)
    if earlier is None or not earlier.status:
        raise Conflict("a request with this Idempotency-Key is still being worked on; ask again soon", retry_after_s=1)
    if earlier.fingerprint != fingerprint:
        raise InvalidInput("this Idempotency-Key was used with another body; use a new key")
    return await tx.runs.get(earlier.body.decode())


def _without_values(series: SeriesValues) -> SeriesValues:
    grid = replace(series.grid, steps=1)
    return SeriesValues(series.key, grid, np.array([np.nan]))


def _parts(readings: Sequence[SeriesValues]) -> Iterator[list[SeriesValues]]:
    """The readings in parts of so many values; a series is never split."""
    part: list[SeriesValues] = []
    size = 0
    for series in readings:
        if part and size + series.values.size > VALUES_AT_ONCE:
            yield part
            part, size = [], 0
        part.append(series)
        size += series.values.size
    if part:
        yield part


def encode(readings: Sequence[SeriesValues]) -> bytes:
    """Readings as bytes: names and grids as JSON, values and, where one was told, qualities behind one another."""
    heads = [
        {
            "key": asdict(one.key),
            "start": one.grid.start.isoformat(),
            "steps": one.grid.steps,
            "step_minutes": one.grid.step_minutes,
        }
        for one in readings
    ]
    arrays = {
        "head": np.frombuffer(json.dumps(heads).encode(), np.uint8),
        "values": np.concatenate([one.values for one in readings]),
    }
    if any(one.flags is not None for one in readings):
        told = [np.zeros(one.grid.steps, np.uint8) if one.flags is None else one.flags for one in readings]
        arrays["flags"] = np.concatenate(told)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def decode(payload: bytes) -> list[SeriesValues]:
    """The readings that `encode` made bytes of."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as packed:
        heads, values = json.loads(packed["head"].tobytes()), packed["values"]
        flags = packed.get("flags")
    ends = np.cumsum([head["steps"] for head in heads])
    own_flags = [None] * len(heads) if flags is None else np.split(flags, ends[:-1])
    return [
        SeriesValues(
            SeriesKey(**head["key"]),
            TimeGrid(datetime.fromisoformat(head["start"]), head["steps"], head["step_minutes"]),
            own,
            told,
        )
        for head, own, told in zip(heads, np.split(values, ends[:-1]), own_flags, strict=True)
    ]
