"""Journal entries of several batches as one: for each slot who wrote it first, and every correction with its batch.

Nothing is lost: each change keeps the instant at which it was received, so that the past is read as exactly as from the
entries themselves. Neighbouring rows were mostly written by the same batches; their difference compresses to nothing.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from digital_twin.adapters.postgres.journal import Undo, row_keys
from digital_twin.domain.series_days import DayRows, Indices, Mask

MAX_BATCHES = 2**16 - 1
_HEAD = struct.Struct("<HIII")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_DELAY = -1

_CORRECTION = np.dtype([("batch", "<u2"), ("row", "<u4"), ("slot", "<u2"), ("before", "<f4"), ("flag_before", "u1")])


def microseconds(instant: datetime) -> int:
    """Since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(since_1970_us: int) -> datetime:
    """The instant so many microseconds after 1970."""
    return _EPOCH + int(since_1970_us) * _MICROSECOND


@dataclass(frozen=True, slots=True, eq=False)
class MergedUndo:
    """What batches changed in rows of one resolution."""

    day: Indices  # (R,)
    series: Indices  # (R,), rows in the order of (day, series)
    received_us: Indices  # (B,) since 1970, ascending
    delay_us: Indices  # (B,) assumed delay of imported history, -1 where there is none
    first: NDArray[np.uint16]  # (R, S) 1 + the batch that wrote the slot first, 0 for none of these
    corrections: NDArray[np.void]  # (C,) in the order of their batches

    @classmethod
    def of_batch(cls, undo: Undo, received_at: datetime, assumed_delay: timedelta | None) -> "MergedUndo":
        """What one batch changed."""
        row, slot = np.nonzero(undo.corrected)
        corrections = np.zeros(row.size, _CORRECTION)
        corrections["row"], corrections["slot"], corrections["before"] = row, slot, undo.before[row, slot]
        if undo.flags_before is not None:
            corrections["flag_before"] = undo.flags_before[row, slot]
        delay = _NO_DELAY if assumed_delay is None else assumed_delay // _MICROSECOND
        merged = cls(
            undo.day,
            undo.series,
            np.array([microseconds(received_at)]),
            np.array([delay]),
            undo.first.astype(np.uint16),
            corrections,
        )
        in_order = np.argsort(row_keys(undo.day, undo.series), kind="stable")
        return merged.rows_at(in_order)

    @classmethod
    def of(cls, parts: Sequence["MergedUndo"]) -> "MergedUndo":
        """Parts that follow one another in time as one; at most `MAX_BATCHES` batches."""
        keys, place = np.unique(
            np.concatenate([row_keys(part.day, part.series) for part in parts]), return_inverse=True
        )
        first = np.zeros((keys.size, parts[0].first.shape[1]), dtype=np.uint16)
        corrections: list[NDArray[np.void]] = []
        batches = rows = 0
        for part in parts:
            own = place[rows : rows + part.day.size]
            first[own] += np.where(part.first > 0, part.first + np.uint16(batches), np.uint16(0))
            moved = part.corrections.copy()
            moved["row"] = own[moved["row"]]
            moved["batch"] += batches
            corrections.append(moved)
            batches, rows = batches + part.received_us.size, rows + part.day.size
        return cls(
            keys >> 32,
            keys & 0xFFFFFFFF,
            np.concatenate([part.received_us for part in parts]),
            np.concatenate([part.delay_us for part in parts]),
            first,
            np.concatenate(corrections),
        )

    @property
    def cells(self) -> int:
        """Slots that its rows have."""
        return self.first.size

    @property
    def changes(self) -> int:
        """First writes and corrections."""
        return int(np.count_nonzero(self.first)) + self.corrections.size

    @property
    def changes_flags(self) -> bool:
        """Whether a value had another flag than measured before."""
        return bool(self.corrections["flag_before"].any())

    def rows_at(self, chosen: Indices) -> "MergedUndo":
        """The chosen rows in the order given, with the batches that changed them."""
        new_place = np.full(self.day.size, -1, dtype=np.int64)
        new_place[chosen] = np.arange(chosen.size)
        corrections = self.corrections[new_place[self.corrections["row"]] >= 0]
        corrections["row"] = new_place[corrections["row"]]
        return MergedUndo(
            self.day[chosen], self.series[chosen], self.received_us, self.delay_us, self.first[chosen], corrections
        )._without_idle_batches()

    def where(self, chosen: Mask) -> "MergedUndo":
        """The chosen rows."""
        return self if chosen.all() else self.rows_at(np.flatnonzero(chosen))

    def since(self, known_from: datetime) -> "MergedUndo":
        """Without the changes received before this instant."""
        late = self.received_us >= microseconds(known_from)
        is_late = np.concatenate([[False], late])
        kept = MergedUndo(
            self.day,
            self.series,
            self.received_us,
            self.delay_us,
            np.where(is_late[self.first], self.first, np.uint16(0)),
            self.corrections[late[self.corrections["batch"]]],
        )
        changed: Mask = (kept.first > 0).max(axis=1)
        changed[kept.corrections["row"]] = True
        return kept.rows_at(np.flatnonzero(changed))

    def _without_idle_batches(self) -> "MergedUndo":
        used = np.zeros(self.received_us.size + 1, dtype=np.bool_)
        used[self.first.ravel()] = True
        used[self.corrections["batch"].astype(np.int64) + 1] = True
        if used[1:].all():
            return self
        number = np.concatenate([[0], np.cumsum(used[1:])]).astype(np.uint16)
        corrections = self.corrections.copy()
        corrections["batch"] = number[corrections["batch"].astype(np.int64) + 1] - 1
        return MergedUndo(
            self.day,
            self.series,
            self.received_us[used[1:]],
            self.delay_us[used[1:]],
            number[self.first],
            corrections,
        )

    def take_back(self, rows: DayRows, keys: Indices, as_of: datetime) -> None:
        """Take back what was not known yet from rows that are sorted by key, in place; their flags must be there if it
        changed any."""
        place = np.minimum(np.searchsorted(keys, row_keys(self.day, self.series)), keys.size - 1)
        hit = keys[place] == row_keys(self.day, self.series)
        is_later = self.received_us > microseconds(as_of)
        wanted = self.corrections[hit[self.corrections["row"]] & is_later[self.corrections["batch"]]][::-1]
        corrected = place[wanted["row"]], wanted["slot"]
        rows.slots[corrected] = wanted["before"]  # of several the last one stays, which is the oldest
        row, slot = np.nonzero(self._not_known_yet(hit, is_later, as_of, rows.slots.shape[1]))
        forgotten = place[hit][row], slot
        rows.slots[forgotten] = np.nan
        if rows.flags is not None:
            rows.flags[corrected] = wanted["flag_before"]
            rows.flags[forgotten] = 0

    def _not_known_yet(self, hit: Mask, is_later: Mask, as_of: datetime, slots: int) -> Mask:
        """First writes of later batches; of imported history those that ended less than the delay before."""
        first = self.first[hit]
        unknown = np.concatenate([[False], is_later])[first]
        delay_us = np.concatenate([[_NO_DELAY], self.delay_us])[first]
        ends_us = 86_400_000_000 * self.day[hit][:, None] + 86_400_000_000 // slots * (1 + np.arange(slots))
        return unknown & ((delay_us == _NO_DELAY) | (ends_us + delay_us > microseconds(as_of)))

    def pack(self) -> bytes:
        """As bytes."""
        parts = [
            np.diff(self.day, prepend=0).astype("<i4"),
            np.diff(self.series, prepend=0).astype("<i4"),
            np.diff(self.received_us, prepend=0).astype("<i8"),
            self.delay_us.astype("<i8"),
            np.diff(self.first, axis=0, prepend=np.uint16(0)).astype("<u2"),
            self.corrections,
        ]
        head = _HEAD.pack(self.first.shape[1], self.day.size, self.received_us.size, self.corrections.size)
        return head + zlib.compress(b"".join(part.tobytes() for part in parts), 1)

    @classmethod
    def unpack(cls, data: bytes) -> "MergedUndo":
        """The entry of `pack`'s bytes."""
        slots, rows, batches, corrections = _HEAD.unpack_from(data)
        body = zlib.decompress(data[_HEAD.size :])
        offset = 0

        def take(dtype: str, count: int) -> NDArray[np.int64]:
            nonlocal offset
            found = np.frombuffer(body, dtype, count, offset)
            offset += found.nbytes
            return found

        day, series = (np.cumsum(take("<i4", rows), dtype=np.int64) for _ in range(2))
        received_us, delay_us = np.cumsum(take("<i8", batches), dtype=np.int64), take("<i8", batches)
        first = np.cumsum(take("<u2", rows * slots).reshape(rows, slots), axis=0, dtype=np.uint16)
        return cls(
            day, series, received_us, delay_us, first, np.frombuffer(body, _CORRECTION, corrections, offset).copy()
        )
