"""A community's state as it is kept: the newest, those to start from again, what was known when, and the history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array


@dataclass(frozen=True, slots=True)
class StateDue:
    """Ingests that no state has seen yet, and the stretch of time that they changed."""

    ids: tuple[int, ...]
    changed_from: datetime
    changed_until: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest state with the model that it moves on with."""

    version: int
    setup: str  # names plan, place and meters that the model was made for
    observed_at: datetime
    calibrated_until: datetime
    calibrated_days: float
    model: bytes
    state: bytes
    consistency: dict[str, Any]  # how honest its errors are

    @property
    def learned_from(self) -> datetime:
        """Where the history begins that the model was learned from."""
        return self.calibrated_until - timedelta(days=self.calibrated_days)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state at a UTC midnight."""

    at: datetime
    state: bytes


@dataclass(frozen=True, slots=True)
class KnownState:
    """What was answered from an instant on."""

    known_at: datetime
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class StateTrack:
    """The history on a grid; NaN, and 0 reporting, where there is none. The four estimates are the last axis."""

    grid: TimeGrid
    coverage: Array  # (T,)
    nis: Array  # (T,)
    reporting: NDArray[np.int64]  # (T,)
    mean: Array  # (T, 4)
    deviation: Array  # (T, 4)
    told_after_h: Array  # (T,) from the end of the interval to the first estimate of it


@dataclass(frozen=True, slots=True, eq=False)
class StateUpdate:
    """What one advance found; `replaces_from` is where it took up, and everything kept after that is replaced."""

    snapshot: Snapshot
    is_new_model: bool  # otherwise the kept one stays as it is
    replaces_from: datetime
    checkpoints: Sequence[Checkpoint]
    track: StateTrack
    known: KnownState
    forget_checkpoints_before: datetime


class States(Protocol):
    """States of the community that the transaction entered."""

    async def due(self) -> StateDue | None:
        """What no state has seen yet."""
        ...

    async def settle(self, due: StateDue, until: datetime) -> None:
        """Strike out what was seen up to this instant; what was changed beyond it stays due from there on."""
        ...

    async def snapshot(self) -> Snapshot | None: ...

    async def checkpoint(self, at_most: datetime) -> Checkpoint | None:
        """The last kept state that is not later."""
        ...

    async def save(self, update: StateUpdate) -> None:
        """Keep it; a history of another resolution is forgotten.

        Raises Conflict when another advance came first: the snapshot's version must be one more than the kept one's.
        """
        ...

    async def known(self, as_of: datetime) -> KnownState | None:
        """The last answer that was known then."""
        ...

    async def track(self, start: datetime, end: datetime) -> StateTrack | None:
        """The history over [start, end) at its own resolution; None before there is any."""
        ...

    async def communities_due(self, now: datetime) -> list[str]:
        """Communities in which something that lies before `now` is due, by id; for platform scope."""
        ...
