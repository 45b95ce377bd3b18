"""Trained versions of forecasting models as they are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

KEPT_VERSIONS = 5
"""So many versions of each model for each variable are kept; a newer one takes the place of the oldest."""


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A model that was fitted for a variable of a community; it knows nothing that was received after `as_of`."""

    variable: str
    model: str
    run_id: str
    trained_at: datetime
    as_of: datetime
    data_start: datetime
    data_end: datetime
    data_sha256: str
    resolution_minutes: int
    code_version: str
    payload_format: int
    sha256: str
    scores: dict[str, Any]
    version: int = 0
    """Counts up from 1 for each variable and model; 0 until it is kept."""

    ensemble: dict[str, Any] | None = None
    """What its members are worth by its latest lesson, else as it was trained; None where it has no members."""

    taught_until: datetime | None = None
    """The `as_of` of its latest lesson; None while it has had none."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the days since its training taught a version; it knows nothing that was received after `as_of`."""

    variable: str
    model: str
    version: int
    as_of: datetime
    taught_at: datetime
    data_sha256: str
    code_version: str
    sha256: str
    ensemble: dict[str, Any] | None


class TrainedModels(Protocol):
    """Trained versions of the community that the transaction entered."""

    async def add(self, trained: TrainedVersion, payload: bytes) -> TrainedVersion:
        """Keep it under the next number and let go of the oldest beyond KEPT_VERSIONS.

        A Run adds one version of each variable and model: added again, the first stays.
        """
        ...

    async def all(self) -> list[TrainedVersion]:
        """By variable and model, the newest version first, each as its latest lesson left it."""
        ...

    async def newest(
        self, variable: str, model: str, *, payload_format: int, since: datetime, until: datetime
    ) -> tuple[TrainedVersion, bytes] | None:
        """The version of this format with the latest `as_of` in this stretch of time, both ends included."""
        ...

    async def add_lesson(self, lesson: Lesson, payload: bytes) -> bool:
        """Keep it as long as its version; False where there is one of that instant already, or no such version."""
        ...

    async def latest_lesson(self, trained: TrainedVersion, *, until: datetime) -> tuple[Lesson, bytes] | None:
        """The one of this version with the latest `as_of` up to this instant, itself included."""
        ...
