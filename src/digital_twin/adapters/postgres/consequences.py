"""What a batch leaves behind besides its readings: its undo, days whose sums are due, and what the state has to see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.binary import DateArray
from digital_twin.adapters.postgres.journal import Undo, changed_minutes
from digital_twin.adapters.postgres.series import Identity
from digital_twin.domain.readings import SUMMED_SERIES, TEMPERATURE
from digital_twin.domain.stretches import Indices


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that is being written."""

    id: int
    received_at: datetime
    assumed_delay: timedelta | None


_NOTE: LiteralString = (
    "insert into state_due (community, changed_from, changed_until) "
    "values (%(community)s, to_timestamp(%(first)s), to_timestamp(%(last)s))"
)
_NOTE_TEMPERATURE: LiteralString = (
    "insert into state_due (community, changed_from, changed_until) "
    "select %(community)s, greatest(to_timestamp(%(first)s), c.at), least(to_timestamp(%(last)s), s.observed_at) "
    "from state_snapshot s, lateral (select min(at) as at from state_checkpoint where community = s.community) c "
    "where s.community = %(community)s "
    "and greatest(to_timestamp(%(first)s), c.at) < least(to_timestamp(%(last)s), s.observed_at) and c.at is not null"
)
"""A temperature moves a state only where that has been already and can be again from a kept one; what lies further back
counts when the model is learned next, what lies ahead with the readings there."""


class Consequences:
    """Those of one batch, taken up portion by portion."""

    def __init__(
        self,
        connection: AsyncConnection[TupleRow],
        community: int,
        *,
        batch: Batch,
        series: Sequence[Identity],
        ids: Indices,
    ) -> None:
        self._connection = connection
        self._community = community
        self._batch = batch
        feeds_state = np.array([asset is None and name in SUMMED_SERIES for name, _, asset, _ in series], np.bool_)
        of_member = np.array([member is not None for _, member, _, _ in series], np.bool_)
        self._feeding, self._summed = ids[feeds_state], ids[feeds_state & of_member]
        self._temperature = ids[np.array([identity[:3] == (TEMPERATURE, None, None) for identity in series], np.bool_)]
        self._portions = 0
        self._changed: list[tuple[int, int]] = []
        self._warmed: list[tuple[int, int]] = []

    async def take(self, resolution: int, undo: Undo) -> None:
        """Take up what a portion changed."""
        await self._write_journal(resolution, undo)
        await self._mark_dirty(undo)
        for ids, spans in ((self._feeding, self._changed), (self._temperature, self._warmed)):
            span = changed_minutes(undo.where(np.isin(undo.series, ids)), resolution)
            if span is not None:
                spans.append(span)

    async def _write_journal(self, resolution: int, undo: Undo) -> None:
        entries = [
            (
                self._community, self._batch.id, _date(month), resolution, self._portions,
                self._batch.received_at, self._batch.assumed_delay,
                _date(int(part.day.min())), _date(int(part.day.max())), part.pack(),
            )
            for month, part in _by_month(undo)
        ]  # fmt: skip
        self._portions += 1
        for entry in entries:
            await self._connection.execute(
                "insert into journal (community, batch, month, resolution_minutes, part, received_at, assumed_delay, "
                "first_day, last_day, undo) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %b)",
                entry,
            )

    async def _mark_dirty(self, undo: Undo) -> None:
        days = np.unique(undo.day[np.isin(undo.series, self._summed)])
        if days.size:
            await self._connection.execute(
                "insert into dirty_day select %s, day from unnest(%b) day on conflict do nothing",
                (self._community, DateArray(days)),
            )

    async def tell(self) -> None:
        """Note the stretch that changed, for the state to be advanced; whoever listens hears it when this commits."""
        noted = 0
        stretches: list[tuple[LiteralString, list[tuple[int, int]]]] = [
            (_NOTE, self._changed),
            (_NOTE_TEMPERATURE, self._warmed),
        ]
        for insert, spans in stretches:
            if spans:
                first, last = min(span[0] for span in spans), max(span[1] for span in spans)
                values = {"community": self._community, "first": 60 * first, "last": 60 * last}
                noted += (await self._connection.execute(insert, values)).rowcount
        if not noted:
            return
        await self._connection.execute(
            "select pg_notify('state_due', community_id) from community where id = %s", (self._community,)
        )


def _by_month(undo: Undo) -> Iterable[tuple[int, Undo]]:
    """The changes of each month with its first day."""
    months = undo.day.astype("datetime64[D]").astype("datetime64[M]")
    for month in np.unique(months):
        yield int(month.astype("datetime64[D]").astype(np.int64)), undo.where(months == month)


def _date(day: int) -> date:
    return date.fromordinal(day + 719_163)  # 1970-01-01
