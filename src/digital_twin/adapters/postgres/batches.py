"""A batch of readings merged into the store, slot by slot, with exact counts, its undo and its consequences.

Every write of a community's readings happens under one advisory lock, so that batches are ordered, counts are exact
and no two writers deadlock. A batch is stamped after it got the lock: stamps of a community only grow.
"""

from collections.abc import AsyncIterable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.consequences import Batch, Consequences
from digital_twin.adapters.postgres.locks import hold_community
from digital_twin.adapters.postgres.merging import DayRowMerger
from digital_twin.adapters.postgres.open_days import open_from
from digital_twin.adapters.postgres.series import SeriesTable
from digital_twin.adapters.postgres.spool import Spool
from digital_twin.domain.readings import Receipt, SeriesValues
from digital_twin.domain.series_days import to_day_rows

_COUNTS = "received, stored, duplicate, corrected, superseded"
_PATIENCE = "10min"
"""How long the next part of a batch may take."""


class BatchWriter:
    """Writes batches of one community, each in the caller's transaction."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int, spool_folder: Path | None = None) -> None:
        self._connection = connection
        self._community = community
        self._spool_folder = spool_folder
        self._series = SeriesTable(connection, community)

    async def record_parts(
        self, parts: AsyncIterable[Sequence[SeriesValues]], *, key: str, assumed_delay: timedelta | None
    ) -> Receipt:
        with Spool(self._spool_folder) as told:
            async for part in parts:
                if not told.is_empty and (earlier := await self._wait_for_more(key)):
                    return earlier
                told.add(part)
            await hold_community(self._connection, self._community)
            return await self._earlier(key) or await self._merge(told, key, assumed_delay)

    async def _wait_for_more(self, key: str) -> Receipt | None:
        """Keep the transaction, which holds nothing yet, from idling out; the receipt if the key turns out known."""
        await self._connection.execute(
            "select set_config('idle_in_transaction_session_timeout', %s, true)", (_PATIENCE,)
        )
        return await self._earlier(key)

    async def _earlier(self, key: str) -> Receipt | None:
        cursor = await self._connection.execute(
            f"select {_COUNTS}, received_at from batch where community = %s and key = %s", (self._community, key)
        )
        row = await cursor.fetchone()
        return None if row is None else Receipt(*row, replayed=True)

    async def _merge(self, told: Spool, key: str, assumed_delay: timedelta | None) -> Receipt:
        binary.register(self._connection.adapters)
        first_open = await open_from(self._connection, self._community)
        merger = DayRowMerger(self._connection, self._community, first_open)
        ids = await self._series.ids(told.series)
        async with self._connection.pipeline():
            batch = await self._stamp(key, assumed_delay)
            consequences = Consequences(self._connection, self._community, batch=batch, series=told.series, ids=ids)
            received = stored = corrected = superseded = 0
            for resolution, portion in told.portions():
                rows, counts = to_day_rows(portion.owned_by(ids), resolution)
                undo = await merger.merge(rows)
                await consequences.take(resolution, undo)
                received += counts.received
                superseded += counts.superseded
                stored += int(np.count_nonzero(undo.first))
                corrected += int(np.count_nonzero(undo.corrected))
            await consequences.tell()
            receipt = (received, stored, received - stored - corrected - superseded, corrected, superseded)
            await self._connection.execute(
                f"update batch set ({_COUNTS}) = (%s, %s, %s, %s, %s) where id = %s", (*receipt, batch.id)
            )
        return Receipt(*receipt, received_at=batch.received_at)

    async def _stamp(self, key: str, assumed_delay: timedelta | None) -> Batch:
        """The batch with its instant; its counts follow when they are known."""
        cursor = await self._connection.execute(
            f"insert into batch (community, key, {_COUNTS}, received_at) select %s, %s, 0, 0, 0, 0, 0, "
            "greatest(clock_timestamp(), "
            "  (select max(received_at) from batch where community = %s) + interval '1 microsecond') "
            "returning id, received_at",
            (self._community, key, self._community),
        )
        row = await cursor.fetchone()
        assert row is not None
        return Batch(int(row[0]), row[1], assumed_delay)
