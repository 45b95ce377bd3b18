"""Readings that come one by one, gathered by series: what follows without a gap becomes one stretch of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import Flags
from digital_twin.domain.readings import Rejection, Series, SeriesValues
from digital_twin.domain.time import EARLIEST, LATEST, TimeGrid, floor_to_step, time_grid
from digital_twin.domain.units import Array

Places = NDArray[np.int64]

_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999, which have a name."""


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
    misplaced: Sequence[tuple[int, Rejection]] = ()
    """Rows whose start no interval has, with why; devices with wrong clocks send them."""

    def row(self, stretch: int, offset: int) -> int:
        """Which row a value of a stretch was."""
        place = int(self._first[stretch]) + offset
        return place if self._order is None else int(self._order[place])


def gather(series: Sequence[Series], rows: ReadingRows) -> GatheredRows:
    """The rows by series and time; of several for one slot the last one stays last.

    Raises:
        InvalidInput: a resolution that no series may have.
    """
    if not rows.owner.size:
        return GatheredRows([], rows.owner, None)
    step_minutes = np.array([_checked_resolution(one.resolution_minutes) for one in series], dtype=np.int64)
    step_s = 60 * step_minutes[rows.owner]
    outside = (rows.start_s < EARLIEST.timestamp()) | (rows.start_s >= LATEST.timestamp())
    is_misplaced = outside | (rows.start_s % step_s != 0)
    if not is_misplaced.any():
        return GatheredRows(*_stretches(series, rows, step_s))
    kept = np.flatnonzero(~is_misplaced)
    readings, first, order = _stretches(series, rows.chosen(kept), step_s[kept])
    told = np.flatnonzero(is_misplaced & ~np.isnan(rows.values)).tolist()
    misplaced = [(row, _rejection(series, rows, row)) for row in told]
    return GatheredRows(readings, first, kept if order is None else kept[order], misplaced)


def _stretches(
    series: Sequence[Series], rows: ReadingRows, step_s: Places
) -> tuple[list[SeriesValues], Places, Places | None]:
    """Rows that start with an interval by series and time; the first row of each stretch, and the order of the rows."""
    if not rows.owner.size:
        return [], rows.owner, None
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
    return found, first, order


def _checked_resolution(minutes: int) -> int:
    return _grid(0, 1, minutes).step_minutes


@lru_cache(maxsize=4096)
def _grid(start_s: int, steps: int, step_minutes: int) -> TimeGrid:
    """Rows of many series begin and end together."""
    return time_grid(datetime.fromtimestamp(start_s, UTC), steps, step_minutes)


def _rejection(series: Sequence[Series], rows: ReadingRows, row: int) -> Rejection:
    owner, start_s = series[rows.owner[row]], int(rows.start_s[row])
    start = EARLIEST + timedelta(seconds=min(max(start_s, _FIRST_S), _LAST_S))
    return Rejection(owner.key, start, why_misplaced(start, owner.resolution_minutes))


def why_misplaced(start: datetime, step_minutes: int) -> str:
    """Why no interval starts then."""
    if not EARLIEST <= start < LATEST:
        return "start must lie in 1970..2100; look at the device's clock"
    meant = floor_to_step(start, step_minutes)
    return (
        f"start must be a multiple of {step_minutes} minutes; the interval that holds it starts at {meant.isoformat()}"
    )


def _order(owner: Places, slot: Places) -> Places | None:
    """By series, then by time, then as they came; None where they are in this order already."""
    same = owner[1:] == owner[:-1]
    if bool(np.all((owner[1:] > owner[:-1]) | (same & (slot[1:] >= slot[:-1])))):
        return None
    return np.lexsort((slot, owner))
