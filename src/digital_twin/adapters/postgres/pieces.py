"""Days of many slots are stored in pieces: a row is written anew with each reading it gets, so it must stay small.

One more reading in a row of 1,440 slots costs 3.3 kB of write-ahead log, in a row of 288 slots 0.1 kB: the larger one
is compressed and moved out of its page as a whole (docs/reference/benchmarks.md, Live readings).
"""

from dataclasses import dataclass, replace
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray

from digital_twin.adapters.postgres.binary import DateArray, Float4Array, Int4Array
from digital_twin.adapters.postgres.journal import row_keys
from digital_twin.domain.series_days import DayRows, Indices, Mask, Slots

MOST_SLOTS = 288
"""Five minutes and coarser make one row a day."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where rows lie, and how they are named in SQL.

    Tables of pieces inherit from those of whole days, so that what is deleted there goes from here, too; hence `only`.
    """

    open: LiteralString
    closed: LiteralString
    columns: LiteralString
    keys: LiteralString
    """A table of wanted rows, in order: k."""

    @property
    def match(self) -> LiteralString:
        """Whether a row t of a table is a wanted one."""
        same_piece = " and t.piece = k.piece" if self is PIECES else ""
        return "t.community = %(community)s and t.day = k.day and t.series = k.series" + same_piece


WHOLE = Layout(
    "reading_open", "reading_closed", "day, series", "unnest(%(day)b, %(series)b) with ordinality k(day, series, i)"
)
PIECES = Layout(
    "reading_open_piece",
    "reading_closed_piece",
    "day, series, piece",
    "unnest(%(day)b, %(series)b, %(piece)b) with ordinality k(day, series, piece, i)",
)


def pieces_of(slots_per_day: int) -> int:
    """In how many rows of equal size a day is stored."""
    return -(-slots_per_day // MOST_SLOTS)


def layout_of(slots_per_day: int) -> Layout:
    return WHOLE if pieces_of(slots_per_day) == 1 else PIECES


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Some of the pieces that rows are stored in."""

    rows: DayRows
    row: Indices  # (P,) the place of each in the rows
    number: Indices  # (P,) which piece of the day it is

    @classmethod
    def told_in(cls, rows: DayRows) -> "Pieces":
        """Those that hold any reading."""
        row, number = np.nonzero(_by_piece(~np.isnan(rows.slots)).any(axis=2))
        return cls(rows, row, number)

    def where(self, chosen: Mask) -> "Pieces":
        """The chosen pieces."""
        return replace(self, row=self.row[chosen], number=self.number[chosen])

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Their part of values of all slots."""  # (R, S) -> (P, S / pieces a day)
        part: NDArray[Any] = _by_piece(values)[self.row, self.number]
        return part

    def put(self, values: Slots, chosen: Indices, part: Slots) -> None:
        """Put the chosen ones' part of the values in place."""
        _by_piece(values)[self.row[chosen], self.number[chosen]] = part

    def keys(self, community: int) -> dict[str, Any]:
        """The parameters of their keys."""
        return {
            "community": community,
            "day": DateArray(self.rows.day[self.row]),
            "series": Int4Array(self.rows.series[self.row]),
            "piece": Int4Array(self.number),
        }

    def slots(self, values: Slots) -> dict[str, Any]:
        """The parameters of their slots: one array, of which each row takes its part."""
        part = self.of(values)
        return {"slots": Float4Array(part), "width": part.shape[1]}


def _by_piece(values: NDArray[Any]) -> NDArray[Any]:
    """The same values by row and piece."""
    rows, slots = values.shape
    pieces = pieces_of(slots)
    return values.reshape(rows, pieces, slots // pieces)


def joined(rows: DayRows, pieces: int) -> DayRows:
    """Whole days of pieces, which are numbered day * pieces + piece in place of days; in order of (day, series)."""
    day, piece = np.divmod(rows.day, pieces)
    keys, row = np.unique(row_keys(day, rows.series), return_inverse=True)
    width = rows.slots.shape[1]
    slots = np.full((keys.size, pieces, width), np.nan, dtype=np.float32)
    slots[row, piece] = rows.slots
    return DayRows(keys >> 32, keys & 0xFFFFFFFF, slots.reshape(keys.size, pieces * width))
