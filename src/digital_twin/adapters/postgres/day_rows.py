"""Rows of days out of the store, as they are now or were known at an instant."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import Int4Array
from digital_twin.adapters.postgres.flags import FlagTable
from digital_twin.adapters.postgres.journal import Undo, row_keys, undo_rows
from digital_twin.adapters.postgres.journal_table import Entry, JournalTable
from digital_twin.adapters.postgres.locks import share_community
from digital_twin.adapters.postgres.merged_journal import MergedUndo
from digital_twin.adapters.postgres.pieces import joined, layout_of, pieces_of
from digital_twin.adapters.postgres.series import KnownSeries
from digital_twin.domain.retention import not_kept
from digital_twin.domain.series_days import DAY_MINUTES, DayRows, Indices, Mask

FEW_SERIES = 64
"""So many are looked up row by row: the key begins with the day, and a day's rows of all series are many more."""

_ALL_OF_DAYS = (
    "select (day - date '1970-01-01') * %(pieces)s + {piece} as day, series, slots from only {table} "
    "where community = %(community)s "
    "and series = any(%(ids)b) and day between date '1970-01-01' + %(first)s and date '1970-01-01' + %(last)s"
)
_EACH_ROW = (  # the offset keeps the planner from turning the look-ups into a scan of all days
    "select k.day * %(pieces)s + t.piece as day, k.series, t.slots "
    "from (select day, series from generate_series(%(first)s::int, %(last)s::int) day, unnest(%(ids)b) series) k "
    "cross join lateral (select slots, {piece} as piece from only {table} t where t.community = %(community)s "
    "and t.day = date '1970-01-01' + k.day and t.series = k.series offset 0) t"
)


class DayRowReader:
    """Reads rows of one community."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community
        self._flags = FlagTable(connection, community)
        self._journal = JournalTable(connection, community)

    async def rows(
        self, series: Sequence[KnownSeries], start: datetime, end: datetime, as_of: datetime | None
    ) -> dict[int, DayRows]:
        """Rows by resolution, sorted by (day, series), of the days that [start, end) touches."""
        first, last = day_of(start), day_of(end - timedelta(microseconds=1))
        found: dict[int, DayRows] = {}
        in_past = as_of is not None and await self.changed_since(as_of)
        for resolution in {one.resolution for one in series}:
            ids = np.array([one.id for one in series if one.resolution == resolution], dtype=np.int64)
            rows = await self._fetch_days(ids, first, last, resolution)
            if in_past and as_of is not None:
                rows = await self._forget(rows, resolution, first, last, as_of)
            found[resolution] = rows
        return found

    async def changed_since(self, as_of: datetime) -> bool:
        """Whether any batch came after the instant. Waits for one that is being written: it may be stamped before.

        Raises:
            InvalidInput: what was known then is not kept any more.
        """
        await share_community(self._connection, self._community)
        cursor = await self._connection.execute(
            "select exists (select from batch where community = %s and received_at > %s), "
            "(select known_from from keeping where community = %s)",
            (self._community, as_of, self._community),
        )
        row = await cursor.fetchone()
        assert row is not None
        is_past, known_from = row
        if known_from is not None and as_of < known_from:
            raise not_kept(known_from)
        return bool(is_past)

    async def days_changed_since(self, as_of: datetime, start: datetime, end: datetime) -> Indices:
        """The days of [start, end) that later batches tell something of, and perhaps some between them."""
        first, last = day_of(start), day_of(end - timedelta(microseconds=1))
        spans = await self._journal.spans_later_than(as_of, first, last)
        days = [np.arange(max(begin, first), min(end_day, last) + 1) for begin, end_day in spans]
        return np.unique(np.concatenate(days)) if days else np.empty(0, dtype=np.int64)

    async def rows_of_days(
        self, series: Sequence[KnownSeries], days: Indices, as_of: datetime | None = None
    ) -> dict[int, DayRows]:
        """Rows by resolution of whole days, for the roll-up."""
        start = datetime.fromtimestamp(int(days.min()) * 86_400, UTC)
        end = datetime.fromtimestamp((int(days.max()) + 1) * 86_400, UTC)
        return await self.rows(series, start, end, as_of)

    async def _fetch_days(self, ids: Indices, first: int, last: int, resolution: int) -> DayRows:
        binary.register(self._connection.adapters)
        part = _EACH_ROW if ids.size <= FEW_SERIES else _ALL_OF_DAYS
        slots_per_day = DAY_MINUTES // resolution
        pieces, layout = pieces_of(slots_per_day), layout_of(slots_per_day)
        piece = "piece" if pieces > 1 else "0"
        both = " union all ".join(part.format(table=table, piece=piece) for table in (layout.open, layout.closed))
        values = {
            "community": self._community, "ids": Int4Array(ids), "first": first, "last": last, "pieces": pieces,
        }  # fmt: skip
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(day), ''::bytea), ''), "
            "coalesce(string_agg(int4send(series), ''::bytea), ''), "
            "coalesce(string_agg(array_send(slots), ''::bytea), ''), "
            "exists (select from reading_flag where community = %(community)s "
            "  and day between date '1970-01-01' + %(first)s and date '1970-01-01' + %(last)s) "
            f"from ({both}) found",
            values,
            binary=True,
        )
        row = await cursor.fetchone()
        assert row is not None
        numbers, series = binary.read_int4(row[0]), binary.read_int4(row[1])
        rows = joined(DayRows(numbers, series, binary.read_slots(row[2], slots_per_day // pieces)), pieces)
        may_have_flags = bool(row[3]) and rows.size
        return replace(rows, flags=await self._flags.fetch(rows)) if may_have_flags else rows

    async def _forget(self, rows: DayRows, resolution: int, first: int, last: int, as_of: datetime) -> DayRows:
        """Take back, newest first, what was not known yet. Rows were read before the journal, which is safe:
        taking back a change that is not in the rows changes nothing."""
        keys = row_keys(rows.day, rows.series)
        for entry in await self._journal.later_than(as_of, resolution, first, last):
            if keys.size:
                rows = _without(rows, keys, entry, resolution, as_of)
        return rows


def _without(rows: DayRows, keys: Indices, entry: Entry, resolution: int, as_of: datetime) -> DayRows:
    """Rows without what the entry tells and was not known yet; they are changed in place."""
    undo = entry.told()
    if rows.flags is None and undo.changes_flags:
        rows = replace(rows, flags=np.zeros(rows.slots.shape, dtype=np.uint8))
    if isinstance(undo, MergedUndo):
        undo.take_back(rows, keys, as_of)
    else:
        undo_rows(rows, keys, undo, _not_known_yet(undo, resolution, entry.assumed_delay, as_of))
    return rows


def _not_known_yet(undo: Undo, resolution: int, assumed_delay: timedelta | None, as_of: datetime) -> Mask:
    """First writes of a batch that came later; of imported history those that ended less than the delay before."""
    if assumed_delay is None:
        return undo.first
    ends_s = 86_400 * undo.day[:, None] + 60 * resolution * (1 + np.arange(undo.first.shape[1]))
    return undo.first & (ends_s + assumed_delay.total_seconds() > as_of.timestamp())


def day_of(instant: datetime) -> int:
    """The UTC day of an instant, since 1970-01-01."""
    return int(instant.timestamp() // 86_400)
