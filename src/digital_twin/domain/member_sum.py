"""The sum over members: each counts while it is a member, and coverage says how many did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.quality import Quality
from digital_twin.domain.series_days import DAY_MINUTES, DayRows, Indices, Mask, Slots
from digital_twin.domain.units import Array, SeriesKind, canonical_unit


@dataclass(frozen=True, slots=True)
class MemberSpan:
    """From joining, inclusive, until leaving; open where None."""

    joined_at: datetime | None = None
    left_at: datetime | None = None

    @property
    def is_whole(self) -> bool:
        return self.joined_at is None and self.left_at is None

    def covers(self, starts_s: Indices) -> Mask:
        """Whether intervals starting at these seconds since 1970 count."""
        covered = np.ones(starts_s.shape, dtype=np.bool_)
        if self.joined_at is not None:
            covered &= starts_s >= self.joined_at.timestamp()
        if self.left_at is not None:
            covered &= starts_s < self.left_at.timestamp()
        return covered


class Membership:
    """How many members there are at any time."""

    def __init__(self, spans: Mapping[MemberSpan, int]) -> None:
        """From how many members have each span."""
        self._always = sum(count for span, count in spans.items() if span.joined_at is None)
        self._joined_s, self._joined = _counted((span.joined_at, count) for span, count in spans.items())
        self._left_s, self._left = _counted((span.left_at, count) for span, count in spans.items())

    def at(self, starts_s: Indices) -> NDArray[np.int64]:
        """Members in intervals starting at these seconds since 1970."""  # as starts_s
        joined = self._joined[np.searchsorted(self._joined_s, starts_s, side="right")]
        left = self._left[np.searchsorted(self._left_s, starts_s, side="right")]
        members: NDArray[np.int64] = self._always + joined - left
        return members


@dataclass(frozen=True, slots=True)
class MemberSeries:
    """The series that add up: whose each is, at what common resolution, and how many members there are."""

    span_of: Mapping[int, MemberSpan]
    resolution_minutes: int
    membership: Membership


@dataclass(frozen=True, slots=True, eq=False)
class DaySums:
    """Sums by day: NaN where nobody reported."""

    days: Indices  # (D,)
    resolution_minutes: int
    total: Array  # (D, S)
    reporting: NDArray[np.int64]  # (D, S)
    members: NDArray[np.int64]  # (D, S)

    @classmethod
    def of(cls, parts: Sequence["DaySums"]) -> "DaySums":
        """Sums of one resolution, one part after the other."""
        days, total, reporting, members = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("days", "total", "reporting", "members")
        )
        return cls(days, parts[0].resolution_minutes, total, reporting, members)

    def without(self, days: Indices) -> "DaySums":
        """Without the sums of these days."""
        kept = ~np.isin(self.days, days)
        return replace(
            self,
            days=self.days[kept],
            total=self.total[kept],
            reporting=self.reporting[kept],
            members=self.members[kept],
        )

    def only(self, chosen: Mask) -> "DaySums":
        """The chosen slots, as if nobody reported in the others."""
        return replace(self, total=np.where(chosen, self.total, np.nan), reporting=np.where(chosen, self.reporting, 0))


def sum_over_members(name: str, series: MemberSeries, rows: Mapping[int, DayRows], days: Indices) -> DaySums:
    """The sum of rows (by resolution) on the given ascending days.

    A coarse slot of a finer series needs all its fine slots: means average, instants take the first. What its source
    suspects is left out, as if it had not come.
    """
    resolution = series.resolution_minutes
    slots = DAY_MINUTES // resolution
    total, reporting = np.zeros((days.size, slots)), np.zeros((days.size, slots), dtype=np.int64)
    kind = canonical_unit(name)[1]
    for fine, part in rows.items():
        place = np.minimum(np.searchsorted(days, part.day), days.size - 1)
        wanted = days[place] == part.day
        part, place = part.where(wanted), place[wanted]
        values = _coarser(_believed(part), resolution // fine, kind)
        values[~_counts(series, part, slots)] = np.nan
        known = ~np.isnan(values)
        found, begins = np.unique(place, return_index=True)  # rows are in the order of their days
        if found.size:
            total[found] += np.add.reduceat(np.where(known, values, 0.0), begins)
            reporting[found] += np.add.reduceat(known, begins, dtype=np.int64)
    total[reporting == 0] = np.nan
    return DaySums(days, resolution, total, reporting, series.membership.at(slot_starts_s(days, slots)))


def with_kept(name: str, sums: DaySums, kept: DaySums) -> DaySums:
    """The sums with kept ones, of the same resolution or a finer one, in place of their own.

    Nothing is kept where nobody reports; a coarse slot needs all its fine ones.
    """
    factor = sums.resolution_minutes // kept.resolution_minutes
    total = _coarser(kept.total, factor, canonical_unit(name)[1])
    shape = (kept.days.size, total.shape[1], factor)
    reporting = kept.reporting.reshape(shape).min(axis=2)
    members = kept.members.reshape(shape)[:, :, 0]
    place = np.minimum(np.searchsorted(sums.days, kept.days), sums.days.size - 1)
    row, slot = np.nonzero((reporting > 0) & (sums.days[place] == kept.days)[:, None])
    target = place[row], slot
    after = DaySums(sums.days, sums.resolution_minutes, sums.total.copy(), sums.reporting.copy(), sums.members.copy())
    after.total[target], after.reporting[target] = total[row, slot], reporting[row, slot]
    after.members[target] = members[row, slot]
    return after


def _believed(rows: DayRows) -> Slots:
    """The slots without what their sources suspect."""  # (R, S)
    return rows.slots if rows.flags is None else np.where(rows.flags == Quality.SUSPECT, np.float32(np.nan), rows.slots)


def _coarser(slots: Slots | Array, factor: int, kind: SeriesKind) -> Array:
    blocks = slots.astype(np.float64).reshape(slots.shape[0], slots.shape[1] // factor, factor)
    if kind is SeriesKind.INSTANT:
        return blocks[:, :, 0].copy()
    return blocks.sum(axis=2) if kind is SeriesKind.ENERGY else blocks.mean(axis=2)


def _counts(series: MemberSeries, rows: DayRows, slots: int) -> Mask:
    """Whether each slot lies in its member's time."""
    counts = np.ones((rows.size, slots), dtype=np.bool_)
    partial = [series_id for series_id, span in series.span_of.items() if not span.is_whole]
    for index in np.flatnonzero(np.isin(rows.series, partial)):
        span = series.span_of[int(rows.series[index])]
        counts[index] = span.covers(slot_starts_s(rows.day[index : index + 1], slots)[0])
    return counts


def slot_starts_s(days: Indices, slots: int) -> Indices:
    """When the slots of days begin, in seconds since 1970."""  # (D, S)
    return 86_400 * days[:, None] + np.arange(slots) * (86_400 // slots)


def _counted(dates: Iterable[tuple[datetime | None, int]]) -> tuple[Array, NDArray[np.int64]]:
    """The dates in order in seconds since 1970, and how many members there are before, between and after them."""
    known = sorted((date.timestamp(), count) for date, count in dates if date is not None)
    seconds = np.array([second for second, _ in known])
    return seconds, np.concatenate([[0], np.cumsum([count for _, count in known])]).astype(np.int64)
