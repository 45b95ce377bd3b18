"""Long computations as they are kept: each carried out by a job, each ending exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from digital_twin.services.ports.communities import StoredResult

MAX_FAILURES = 3
"""So often an attempt may fail, or take its process along, before the Run has failed."""

PAUSES_S = (2, 15)
"""So long after the first failure and after the second the next attempt is made: what is away comes back meanwhile."""


class RunState(StrEnum):
    """Where a Run stands; the last three are for good."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Run:
    """A long computation. Each attempt to carry it out has a job of its own; only the newest attempt may write."""

    run_id: str
    community_id: str
    kind: str
    queue: str
    state: RunState
    request: dict[str, Any]
    created_by: int | None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    failures: int = 0
    job_id: int | None = None
    done: int = 0
    total: int = 0
    result_id: str | None = None
    problem: dict[str, Any] | None = None


class Runs(Protocol):
    """Runs of the community that the transaction entered.

    What an attempt writes counts only while it is the Run's newest: None says that it no longer is.
    """

    async def add(self, run: Run, inputs: Sequence[bytes] = ()) -> Run:
        """Keep it together with its first job, and with what it was given besides its request."""
        ...

    async def get(self, run_id: str) -> Run:
        """Raises NotFound."""
        ...

    async def page(self, *, before: str | None, limit: int) -> list[Run]:
        """Newest first; `before` is the id that the last page ended with."""
        ...

    async def inputs(self, run_id: str) -> list[bytes]: ...

    async def claim(self, run_id: str, job_id: int, *, at: datetime) -> Run | None:
        """Begin the attempt that this job stands for; None where it is another's or the Run has ended."""
        ...

    async def set_total(self, run_id: str, attempt: int, total: int) -> Run | None: ...

    async def parts(self, run_id: str) -> dict[int, bytes]:
        """What has been finished, by any attempt."""
        ...

    async def keep_part(self, run_id: str, attempt: int, part: int, payload: bytes) -> Run | None:
        """Keep a finished part, once; the Run as it stands then."""
        ...

    async def succeed(self, run_id: str, attempt: int, result: StoredResult | None, *, at: datetime) -> Run | None:
        """End it well, with its result in the same transaction."""
        ...

    async def fail(self, run_id: str, attempt: int, problem: dict[str, Any], *, at: datetime) -> Run | None: ...

    async def cancel(self, run_id: str, *, at: datetime) -> Run:
        """End it now; who works on it is told to stop. One that has ended stays as it is. Raises NotFound."""
        ...

    async def try_again(
        self, run_id: str, job_id: int, *, is_failure: bool, problem: dict[str, Any], at: datetime
    ) -> Run | None:
        """A new attempt with a new job in place of this one; after too many failures the Run fails with the problem.

        None where the job is not the Run's any more.
        """
        ...


class RunQueue(Protocol):
    """What is asked across communities."""

    async def community_of(self, run_id: str) -> str | None:
        """The community that a Run belongs to; None where there is no such Run."""
        ...

    async def lost(self, silent_s: float) -> list[tuple[str, str, int]]:
        """Community, Run and job of Runs whose worker has not been heard of for so long, or whose job is gone."""
        ...

    async def bury(self, job_id: int) -> None:
        """The job of a worker that is gone has failed."""
        ...
