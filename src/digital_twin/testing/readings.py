"""Readings as a log of writes, replayed for each question: too slow for work, too plain to be wrong.

It is the oracle that the real store is compared with, so it shares no code with it: no days, no masks, no journal.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

import numpy as np

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import (
    SUMMED_SERIES,
    TEMPERATURE,
    Receipt,
    Series,
    SeriesKey,
    SeriesSummary,
    SeriesValues,
)
from digital_twin.domain.retention import Retention, not_kept
from digital_twin.domain.series_days import shortest_decimals
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import SeriesKind
from digital_twin.services.ports import Clock, CommunitySum
from digital_twin.testing.states import Due, StateTables

_TICK = timedelta(microseconds=1)
_LONG_OVER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Write:
    """One value that changed a slot, and when it counts as known."""

    value: float
    flag: int
    known_at: datetime

    @property
    def reading(self) -> "_Reading":
        return self.value, self.flag


_Reading = tuple[float, int]
"""A value and its flag."""
_NOTHING: _Reading = np.nan, 0


@dataclass(frozen=True, slots=True)
class KeptSum:
    """A sum of which readings were removed."""

    kept_at: datetime
    step_minutes: int
    total: float
    reporting: int
    members: int


@dataclass
class ReadingLog:
    """Everything a community was ever told."""

    resolutions: dict[SeriesKey, int] = field(default_factory=dict[SeriesKey, int])
    writes: dict[tuple[SeriesKey, datetime], list[_Write]] = field(
        default_factory=dict[tuple[SeriesKey, datetime], list[_Write]]
    )
    receipts: dict[str, Receipt] = field(default_factory=dict[str, Receipt])
    retention: Retention = field(default_factory=Retention)
    known_from: datetime | None = None
    history_at: datetime | None = None
    """When readings of days that had been over for a week came last."""

    kept: dict[tuple[str, datetime], KeptSum] = field(default_factory=dict[tuple[str, datetime], KeptSum])


class MemoryReadings:
    """The port `Readings`."""

    def __init__(
        self,
        log: ReadingLog,
        members: Mapping[str, Member],
        assets: Mapping[str, Asset],
        clock: Clock,
        states: StateTables,
    ) -> None:
        self._log = log
        self._members = members
        self._assets = assets
        self._clock = clock
        self._states = states

    async def record(
        self, readings: Sequence[SeriesValues], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        if key in self._log.receipts:
            return replace(self._log.receipts[key], replayed=True)
        resolutions = dict(self._log.resolutions)
        for one in readings:
            self._check(one.key, one.grid.step_minutes, resolutions)
            resolutions[one.key] = one.grid.step_minutes
        self._log.resolutions = resolutions
        received_at = self._stamp()
        told: dict[tuple[SeriesKey, datetime], list[_Reading]] = defaultdict(list)
        for one in readings:
            for index in np.flatnonzero(~np.isnan(one.values)):
                flag = 0 if one.flags is None else int(one.flags[index])
                reading = float(np.float32(one.values[index])) + 0.0, flag
                told[one.key, one.grid.instant(int(index))].append(reading)
        counts = Counter[str]()
        changed: list[tuple[SeriesKey, Due]] = []
        for (series, start), tellings in told.items():
            for reading in tellings[:-1]:
                counts["duplicate" if reading == tellings[-1] else "superseded"] += 1
            outcome = self._write(series, start, tellings[-1], received_at, assumed_delay)
            counts[outcome] += 1
            if outcome != "duplicate":
                changed.append((series, Due(start, start + timedelta(minutes=resolutions[series]))))
        if any(due.changed_from.date() < received_at.date() - _LONG_OVER for _, due in changed):
            self._log.history_at = received_at
        self._tell_states(changed)
        outcomes = (counts[name] for name in ("stored", "duplicate", "corrected", "superseded"))
        receipt = Receipt(counts.total(), *outcomes, received_at=received_at)
        self._log.receipts[key] = receipt
        return receipt

    def _tell_states(self, changed: Sequence[tuple[SeriesKey, Due]]) -> None:
        read = [due for series, due in changed if series.asset_id is None and series.name in SUMMED_SERIES]
        if read:
            self._states.note(_around(read))
        warmed = [due for series, due in changed if series == SeriesKey(TEMPERATURE)]
        if warmed:
            self._states.note_temperature(_around(warmed))

    async def record_parts(
        self, parts: AsyncIterable[Sequence[SeriesValues]], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        whole = [one async for part in parts for one in part]
        return await self.record(whole, key=key, assumed_delay=assumed_delay)

    async def refusals(self, wanted: Sequence[tuple[SeriesKey, int]]) -> dict[tuple[SeriesKey, int], str]:
        resolutions, refused = dict(self._log.resolutions), dict[tuple[SeriesKey, int], str]()
        for key, resolution in wanted:
            try:
                self._check(key, resolution, resolutions)
            except InvalidInput as error:
                refused[key, resolution] = error.message
            resolutions.setdefault(key, resolution)
        return refused

    def _check(self, key: SeriesKey, resolution: int, resolutions: Mapping[SeriesKey, int]) -> None:
        known = resolutions.get(key, resolution)
        if known != resolution:
            raise InvalidInput(
                f"{key.name} is stored every {known} minutes, got readings every {resolution}",
                field="resolution_minutes",
            )
        if key.member_id is not None and key.member_id not in self._members:
            raise InvalidInput(f"member_id {key.member_id!r} is not in this community", field="member_id")
        if key.asset_id is not None and key.asset_id not in self._assets:
            raise InvalidInput(f"asset_id {key.asset_id!r} is not in this community", field="asset_id")

    def _stamp(self) -> datetime:
        latest = max((receipt.received_at for receipt in self._log.receipts.values()), default=None)
        now = self._clock.now()
        return now if latest is None else max(now, latest + _TICK)

    def _write(
        self, series: SeriesKey, start: datetime, reading: _Reading, received_at: datetime, delay: timedelta | None
    ) -> str:
        writes = self._log.writes.setdefault((series, start), [])
        if writes and writes[-1].reading == reading:
            return "duplicate"
        known_at = received_at
        if not writes and delay is not None:
            known_at = min(received_at, start + timedelta(minutes=self._log.resolutions[series]) + delay)
        writes.append(_Write(*reading, known_at))
        return "corrected" if len(writes) > 1 else "stored"

    def _reading(self, series: SeriesKey, start: datetime, as_of: datetime | None) -> _Reading:
        writes = self._log.writes.get((series, start), [])
        known = [one.reading for one in writes if as_of is None or one.known_at <= as_of]
        return known[-1] if known else _NOTHING

    async def named(self, names: Sequence[str]) -> list[Series]:
        return [
            Series(key, step) for key, step in sorted(self._log.resolutions.items(), key=_order) if key.name in names
        ]

    async def newest(self) -> datetime | None:
        return max((receipt.received_at for receipt in self._log.receipts.values()), default=None)

    async def series(self) -> list[SeriesSummary]:
        starts: dict[SeriesKey, list[datetime]] = defaultdict(list)
        for series, start in self._log.writes:
            starts[series].append(start)
        return [
            SeriesSummary(
                Series(key, self._log.resolutions[key]), _midnight(min(starts[key])), _midnight(max(starts[key]))
            )
            for key in sorted(starts, key=lambda key: _order((key, 0)))
        ]

    async def read(
        self, keys: Sequence[SeriesKey], start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> list[SeriesValues]:
        self._check_as_of(as_of)
        answers: list[SeriesValues] = []
        for key in keys:
            if key in self._log.resolutions:
                grid = _covering(start, end, self._log.resolutions[key])
                known = [self._reading(key, grid.instant(index), as_of) for index in range(grid.steps)]
                values = shortest_decimals(np.array([value for value, _ in known], dtype=np.float32))
                flags = np.array([flag for _, flag in known], dtype=np.uint8)
                answers.append(SeriesValues(key, grid, values, flags if flags.any() else None))
        return answers

    async def community_sum(
        self, name: str, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> CommunitySum | None:
        parts = [
            Series(key, resolution)
            for key, resolution in self._log.resolutions.items()
            if key.name == name and key.member_id is not None and key.asset_id is None
        ]
        steps = [part.resolution_minutes for part in parts]
        steps += [one.step_minutes for (kept, _), one in self._log.kept.items() if kept == name]
        if not steps:
            return None
        self._check_as_of(as_of)
        grid = _covering(start, end, max(steps))
        total, reporting, members = np.full(grid.steps, np.nan), np.zeros(grid.steps, int), np.zeros(grid.steps, int)
        for index in range(grid.steps):
            at = grid.instant(index)
            present = {name for name, member in self._members.items() if _is_member(member, at)}
            values = [self._over(part, at, grid, as_of) for part in parts if part.key.member_id in present]
            known = [value for value in values if not np.isnan(value)]
            members[index], reporting[index] = len(present), len(known)
            total[index] = sum(known) if known else np.nan
            kept = self._log.kept.get((name, at))
            if kept is not None and kept.step_minutes == grid.step_minutes and (as_of is None or kept.kept_at <= as_of):
                total[index], reporting[index], members[index] = kept.total, kept.reporting, kept.members
        return CommunitySum(grid, total, reporting, members)

    def _check_as_of(self, as_of: datetime | None) -> None:
        if as_of is not None and self._log.known_from is not None and as_of < self._log.known_from:
            raise not_kept(self._log.known_from)

    def step_of(self, key: SeriesKey) -> timedelta:
        return timedelta(minutes=self._log.resolutions[key])

    def takes_part(self, key: SeriesKey, grid: TimeGrid) -> bool:
        """Whether a member's series adds to the sum of the grid's first interval."""
        is_present = _is_member(self._members[key.member_id or ""], grid.start)
        value = self._over(Series(key, self._log.resolutions[key]), grid.start, grid, None)
        return is_present and not np.isnan(value)

    def _over(self, part: Series, at: datetime, grid: TimeGrid, as_of: datetime | None) -> float:
        """The value of a finer series over one interval of the grid."""
        step = timedelta(minutes=part.resolution_minutes)
        pieces = grid.step_minutes // part.resolution_minutes
        told = [self._reading(part.key, at + index * step, as_of) for index in range(pieces)]
        values = [np.nan if flag == Quality.SUSPECT else value for value, flag in told]
        if pieces == 1 or part.kind is SeriesKind.INSTANT:
            return values[0]
        return sum(values) if part.kind is SeriesKind.ENERGY else sum(values) / pieces


def _order(item: tuple[SeriesKey, int]) -> tuple[str, str, str]:
    key = item[0]
    return key.name, key.member_id or "", key.asset_id or ""


def _is_member(member: Member, at: datetime) -> bool:
    joined = member.joined_at is None or member.joined_at <= at
    return joined and (member.left_at is None or at < member.left_at)


def _covering(start: datetime, end: datetime, resolution: int) -> TimeGrid:
    first, last = floor_to_step(start, resolution), floor_to_step(end - _TICK, resolution)
    return TimeGrid.spanning(first, last + timedelta(minutes=resolution), resolution)


def _midnight(instant: datetime) -> datetime:
    return datetime.combine(instant.date(), time(), UTC)


def _around(stretches: Sequence[Due]) -> Due:
    return Due(min(one.changed_from for one in stretches), max(one.changed_until for one in stretches))
