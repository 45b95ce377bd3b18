"""Readings that come one by one, gathered by series: what follows without a gap becomes one stretch of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import Flags
from digital_twin.domain.readings import Series, SeriesValues
from digital_twin.domain.time import EARLIEST, LATEST, TimeGrid, time_grid
from digital_twin.domain.units import Array

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ReadingRows:
    """Readings in the order they came in, as columns."""

    owner: Places  # (R,) which series each belongs to
    start_s: Places  # (R,) seconds since 1970
    values: Array  # (R,) NaN where there is none
    flags: Flags | None = None  # (R,)

    def chosen(self, places: Places) -> "ReadingRows":
        """The rows at these places."""
        flags = None if self.flags is None else self.flags[places]
        return ReadingRows(self.owner[places], self.start_s[places], self.values[places], flags)


@dataclass(frozen=True, slots=True, eq=False)
class GatheredRows:
    """Rows gathered by series, and where each came from."""

    readings: list[SeriesValues]
    _first: Places  # of each stretch, its place among the rows in order
    _order: Places | None  # of each row in order, its place among the rows as they came; None where they came in order

    def row(self, stretch: int, offset: int) -> int:
        """Which row a value of a stretch was."""
        place = int(self._first[stretch]) + offset
        return place if self._order is None else int(self._order[place])


def gather(series: Sequence[Series], rows: ReadingRows) -> GatheredRows:
    """The rows by series and time; of several for one slot the last one stays last.

    Raises:
        InvalidInput: a start outside 1970..2099 or on no multiple of its series' resolution, `row` says whose; or a
            resolution that no series may have.
    """
    if not rows.owner.size:
        return GatheredRows([], rows.owner, None)
    step_minutes = np.array([_checked_resolution(one.resolution_minutes) for one in series], dtype=np.int64)
    step_s = 60 * step_minutes[rows.owner]
    _check_starts(rows.start_s, step_s)
    slot = rows.start_s // step_s
    order = _order(rows.owner, slot)
    if order is not None:
        rows, slot = rows.chosen(order), slot[order]
    follows = (np.diff(slot) == 1) & (np.diff(rows.owner) == 0)
    first = np.flatnonzero(np.concatenate(([True], ~follows)))
    ends = np.append(first[1:], slot.size)
    found = [
        SeriesValues(
            series[owner].key,
            _grid(start_s, end - begin, series[owner].resolution_minutes),
            rows.values[begin:end],
            None if rows.flags is None else rows.flags[begin:end],
        )
        for owner, start_s, begin, end in zip(
            rows.owner[first].tolist(), rows.start_s[first].tolist(), first.tolist(), ends.tolist(), strict=True
        )
    ]
    return GatheredRows(found, first, order)


def _checked_resolution(minutes: int) -> int:
    return _grid(0, 1, minutes).step_minutes


@lru_cache(maxsize=4096)
def _grid(start_s: int, steps: int, step_minutes: int) -> TimeGrid:
    """Rows of many series begin and end together."""
    return time_grid(datetime.fromtimestamp(start_s, UTC), steps, step_minutes)


def _check_starts(start_s: Places, step_s: Places) -> None:
    outside = (start_s < EARLIEST.timestamp()) | (start_s >= LATEST.timestamp())
    if outside.any():
        raise InvalidInput("start must lie in 1970..2100", row=int(np.argmax(outside)))
    off_grid = start_s % step_s != 0
    if off_grid.any():
        row = int(np.argmax(off_grid))
        raise InvalidInput(f"start must be a multiple of {step_s[row] // 60} minutes", row=row)


def _order(owner: Places, slot: Places) -> Places | None:
    """By series, then by time, then as they came; None where they are in this order already."""
    same = owner[1:] == owner[:-1]
    if bool(np.all((owner[1:] > owner[:-1]) | (same & (slot[1:] >= slot[:-1])))):
        return None
    return np.lexsort((slot, owner))
