"""What a batch changed, packed: enough to read the past again exactly.

An entry covers the rows of one batch, one month and one resolution. For each row it keeps which slots were written
first, which were corrected, and the corrected slots' values and flags before.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.quality import Flags
from digital_twin.domain.series_days import DayRows, Indices, Mask, Slots

_HEAD = struct.Struct("<IIHI")


@dataclass(frozen=True, slots=True, eq=False)
class Undo:
    """The rows a batch changed."""

    day: Indices  # (R,)
    series: Indices  # (R,)
    first: Mask  # (R, S)
    corrected: Mask  # (R, S)
    before: Slots  # (R, S), NaN but where corrected
    flags_before: Flags | None = None  # (R, S), 0 but where corrected; None where all were measured

    @classmethod
    def of(cls, parts: Sequence["Undo"]) -> "Undo":
        """Several parts as one."""
        flags = None
        if any(part.flags_before is not None for part in parts):
            flags = np.concatenate(
                [
                    np.zeros(part.first.shape, np.uint8) if part.flags_before is None else part.flags_before
                    for part in parts
                ]
            )
        return cls(
            np.concatenate([part.day for part in parts]),
            np.concatenate([part.series for part in parts]),
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.corrected for part in parts]),
            np.concatenate([part.before for part in parts]),
            flags,
        )

    @property
    def changes_flags(self) -> bool:
        """Whether a corrected value had another flag than measured before."""
        return self.flags_before is not None

    def where(self, chosen: Mask) -> "Undo":
        """The chosen rows."""
        if chosen.all():
            return self
        flags = None if self.flags_before is None else self.flags_before[chosen]
        return Undo(
            self.day[chosen],
            self.series[chosen],
            self.first[chosen],
            self.corrected[chosen],
            self.before[chosen],
            flags,
        )

    def pack(self) -> bytes:
        """As bytes; the masks of a usual batch compress to almost nothing."""
        slots = self.first.shape[1]
        previous = np.ascontiguousarray(self.before[self.corrected], dtype="<f4")
        parts = [
            np.diff(self.day, prepend=0).astype("<i4").tobytes(),
            np.diff(self.series, prepend=0).astype("<i4").tobytes(),
            np.packbits(self.first, axis=1).tobytes(),
            np.packbits(self.corrected, axis=1).tobytes(),
        ]
        packed = zlib.compress(b"".join(parts), 1)
        flags = b"" if self.flags_before is None else zlib.compress(self.flags_before[self.corrected].tobytes(), 1)
        return _HEAD.pack(self.day.size, previous.size, slots, len(packed)) + packed + previous.tobytes() + flags

    @classmethod
    def unpack(cls, data: bytes) -> "Undo":
        """The undo of `pack`'s bytes."""
        rows, corrections, slots, length = _HEAD.unpack_from(data)
        body = zlib.decompress(data[_HEAD.size : _HEAD.size + length])
        width = -(-slots // 8)
        day = np.cumsum(np.frombuffer(body, "<i4", rows)).astype(np.int64)
        series = np.cumsum(np.frombuffer(body, "<i4", rows, 4 * rows)).astype(np.int64)
        masks = np.frombuffer(body, np.uint8, 2 * rows * width, 8 * rows).reshape(2, rows, width)
        first, corrected = np.unpackbits(masks, axis=2, count=slots).view(np.bool_)
        before = np.full((rows, slots), np.nan, dtype=np.float32)
        before[corrected] = np.frombuffer(data, "<f4", corrections, _HEAD.size + length)
        flags = None
        if end := data[_HEAD.size + length + 4 * corrections :]:
            flags = np.zeros((rows, slots), dtype=np.uint8)
            flags[corrected] = np.frombuffer(zlib.decompress(end), np.uint8)
        return cls(day, series, first, corrected, before, flags)


def row_keys(day: Indices, series: Indices) -> Indices:
    """One sortable number for each (day, series)."""
    return (day << 32) | series


def undo_rows(rows: DayRows, keys: Indices, undo: Undo, forget_first: Mask) -> None:
    """Take a batch back from rows that are sorted by key, in place; their flags must be there if it changed any.

    Args:
        keys: the rows' keys, ascending.  # (R,)
        forget_first: first writes that were not known yet at the instant asked for.  # as undo.first
    """
    wanted = row_keys(undo.day, undo.series)
    place = np.searchsorted(keys, wanted)
    place[place == keys.size] = 0
    hit = keys[place] == wanted
    corrected, forgotten = undo.corrected[hit], forget_first[hit]
    target = rows.slots[place[hit]]
    target[corrected] = undo.before[hit][corrected]
    target[forgotten] = np.nan
    rows.slots[place[hit]] = target
    if rows.flags is not None:
        flags = rows.flags[place[hit]]
        flags[corrected] = 0 if undo.flags_before is None else undo.flags_before[hit][corrected]
        flags[forgotten] = 0
        rows.flags[place[hit]] = flags


def changed_minutes(undo: Undo, resolution: int) -> tuple[int, int] | None:
    """From which minute since 1970 until which something changed; None where nothing did."""
    if not undo.day.size:
        return None
    edges: list[int] = []
    for day in (int(undo.day.min()), int(undo.day.max())):
        of_day = undo.day == day
        slots = np.flatnonzero((undo.first[of_day] | undo.corrected[of_day]).any(axis=0))
        edges += [1440 * day + int(slots[0]) * resolution, 1440 * day + (int(slots[-1]) + 1) * resolution]
    return edges[0], edges[-1]
