"""The port `States` in memory: the history as one entry an interval, which is too plain to be wrong."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.errors import Conflict
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import Checkpoint, KnownState, Snapshot, StateDue, StateTrack, StateUpdate

ESTIMATES = 4


@dataclass(frozen=True, slots=True)
class Due:
    """One ingest that no state has seen yet."""

    changed_from: datetime
    changed_until: datetime


@dataclass(frozen=True, slots=True)
class _Interval:
    coverage: float
    nis: float
    reporting: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    told_after_h: float


@dataclass
class StateTables:
    """What a community keeps of its states."""

    due: dict[int, Due] = field(default_factory=dict[int, Due])
    noted: int = 0
    snapshot: Snapshot | None = None
    checkpoints: dict[datetime, bytes] = field(default_factory=dict[datetime, bytes])
    known: dict[datetime, KnownState] = field(default_factory=dict[datetime, KnownState])
    history: dict[datetime, _Interval] = field(default_factory=dict[datetime, _Interval])
    step_minutes: int | None = None

    def note(self, due: Due) -> None:
        """Somebody shall advance the state."""
        self.noted += 1
        self.due[self.noted] = due

    def note_temperature(self, due: Due) -> None:
        """The same where the state has been already, and can be again from one that is kept."""
        if self.snapshot is None or not self.checkpoints:
            return
        begin, end = max(due.changed_from, min(self.checkpoints)), min(due.changed_until, self.snapshot.observed_at)
        if begin < end:
            self.note(Due(begin, end))


class MemoryStates:
    """The port `States`; `everywhere` are the tables of all communities that the transaction sees."""

    def __init__(self, tables: StateTables, everywhere: dict[str, StateTables]) -> None:
        self._tables = tables
        self._everywhere = everywhere

    async def due(self) -> StateDue | None:
        rows = self._tables.due
        if not rows:
            return None
        begins, ends = [one.changed_from for one in rows.values()], [one.changed_until for one in rows.values()]
        return StateDue(tuple(sorted(rows)), min(begins), max(ends))

    async def settle(self, due: StateDue, until: datetime) -> None:
        for key in set(due.ids) & set(self._tables.due):
            one = self._tables.due.pop(key)
            if one.changed_until > until:
                self._tables.due[key] = Due(max(one.changed_from, until), one.changed_until)

    async def snapshot(self) -> Snapshot | None:
        return self._tables.snapshot

    async def checkpoint(self, at_most: datetime) -> Checkpoint | None:
        at = max((one for one in self._tables.checkpoints if one <= at_most), default=None)
        return None if at is None else Checkpoint(at, self._tables.checkpoints[at])

    async def save(self, update: StateUpdate) -> None:
        tables, track = self._tables, update.track
        if tables.snapshot is not None and tables.snapshot.version != update.snapshot.version - 1:
            raise Conflict("the state was advanced meanwhile; ask again", retry_after_s=1)
        tables.snapshot = update.snapshot
        kept = {
            at: state
            for at, state in tables.checkpoints.items()
            if update.forget_checkpoints_before <= at <= update.replaces_from
        }
        tables.checkpoints = kept | {one.at: one.state for one in update.checkpoints}
        if tables.step_minutes != track.grid.step_minutes:
            tables.history.clear()
        tables.step_minutes = track.grid.step_minutes
        for index in range(track.grid.steps):
            tables.history[track.grid.instant(index)] = _Interval(
                float(track.coverage[index]),
                float(track.nis[index]),
                int(track.reporting[index]),
                tuple(track.mean[index].tolist()),
                tuple(track.deviation[index].tolist()),
                float(track.told_after_h[index]),
            )
        tables.known[update.known.known_at] = update.known

    async def known(self, as_of: datetime) -> KnownState | None:
        at = max((one for one in self._tables.known if one <= as_of), default=None)
        return None if at is None else self._tables.known[at]

    async def track(self, start: datetime, end: datetime) -> StateTrack | None:
        step_minutes = self._tables.step_minutes
        if step_minutes is None:
            return None
        first = floor_to_step(start, step_minutes)
        last = floor_to_step(end - timedelta(microseconds=1), step_minutes) + timedelta(minutes=step_minutes)
        grid = TimeGrid.spanning(first, last, step_minutes)
        nothing = _Interval(np.nan, np.nan, 0, (np.nan,) * ESTIMATES, (np.nan,) * ESTIMATES, np.nan)
        found = [self._tables.history.get(grid.instant(index), nothing) for index in range(grid.steps)]
        return StateTrack(
            grid,
            np.array([one.coverage for one in found]),
            np.array([one.nis for one in found]),
            np.array([one.reporting for one in found]),
            np.array([one.mean for one in found]),
            np.array([one.deviation for one in found]),
            np.array([one.told_after_h for one in found]),
        )

    async def communities_due(self, now: datetime) -> list[str]:
        return sorted(
            name
            for name, tables in self._everywhere.items()
            if any(one.changed_from < now for one in tables.due.values())
        )
