"""Runs and events in memory. Jobs are numbers: who holds a job's number may carry it out."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from digital_twin.domain.errors import NotFound
from digital_twin.services.ports import MAX_FAILURES, Clock, Event, Run, RunState, StoredResult


@dataclass
class RunTables:
    """One community's."""

    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    inputs: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict[str, dict[int, bytes]])
    results: dict[str, StoredResult] = field(default_factory=dict[str, StoredResult])
    events: list[Event] = field(default_factory=list[Event])


@dataclass
class JobTable:
    """Jobs of all communities that have not been carried out."""

    jobs: set[int] = field(default_factory=set[int])
    last: int = 0

    def defer(self) -> int:
        self.last += 1
        self.jobs.add(self.last)
        return self.last


class MemoryRuns:
    """The port `Runs`."""

    def __init__(self, tables: RunTables, jobs: JobTable) -> None:
        self._tables = tables
        self._jobs = jobs

    async def add(self, run: Run, inputs: Sequence[bytes] = ()) -> Run:
        self._tables.inputs[run.run_id] = list(inputs)
        return self._put(replace(run, job_id=self._jobs.defer()))

    async def get(self, run_id: str) -> Run:
        if run_id not in self._tables.runs:
            raise NotFound(f"there is no run {run_id}")
        return self._tables.runs[run_id]

    async def page(self, *, before: str | None, limit: int) -> list[Run]:
        newest_first = sorted(self._tables.runs.values(), key=lambda one: one.run_id, reverse=True)
        return [one for one in newest_first if before is None or one.run_id < before][:limit]

    async def inputs(self, run_id: str) -> list[bytes]:
        return list(self._tables.inputs.get(run_id, ()))

    async def claim(self, run_id: str, job_id: int, *, at: datetime) -> Run | None:
        run = self._tables.runs.get(run_id)
        if run is None or run.job_id != job_id or run.state is not RunState.QUEUED:
            return None
        return self._put(replace(run, state=RunState.RUNNING, attempt=run.attempt + 1, started_at=run.started_at or at))

    async def set_total(self, run_id: str, attempt: int, total: int) -> Run | None:
        run = self._newest(run_id, attempt)
        return None if run is None else self._put(replace(run, total=total))

    async def parts(self, run_id: str) -> dict[int, bytes]:
        return dict(sorted(self._tables.parts.get(run_id, {}).items()))

    async def keep_part(self, run_id: str, attempt: int, part: int, payload: bytes) -> Run | None:
        run = self._newest(run_id, attempt)
        kept = self._tables.parts.setdefault(run_id, {})
        if run is None or part in kept:
            return run
        kept[part] = payload
        return self._put(replace(run, done=run.done + 1))

    async def succeed(self, run_id: str, attempt: int, result: StoredResult | None, *, at: datetime) -> Run | None:
        run = self._newest(run_id, attempt)
        if run is None:
            return None
        if result is not None:
            self._tables.results[result.result_id] = result
        result_id = None if result is None else result.result_id
        return self._end(replace(run, state=RunState.SUCCEEDED, finished_at=at, result_id=result_id))

    async def fail(self, run_id: str, attempt: int, problem: dict[str, Any], *, at: datetime) -> Run | None:
        run = self._newest(run_id, attempt)
        return None if run is None else self._end(replace(run, state=RunState.FAILED, finished_at=at, problem=problem))

    async def cancel(self, run_id: str, *, at: datetime) -> Run:
        run = await self.get(run_id)
        return run if run.state.has_ended else self._end(replace(run, state=RunState.CANCELLED, finished_at=at))

    async def try_again(
        self, run_id: str, job_id: int, *, is_failure: bool, problem: dict[str, Any], at: datetime
    ) -> Run | None:
        run = self._tables.runs.get(run_id)
        if run is None or run.job_id != job_id or run.state.has_ended:
            return None
        failures = run.failures + is_failure
        if failures >= MAX_FAILURES:
            return self._end(replace(run, state=RunState.FAILED, failures=failures, problem=problem, finished_at=at))
        return self._put(replace(run, state=RunState.QUEUED, failures=failures, job_id=self._jobs.defer()))

    def _newest(self, run_id: str, attempt: int) -> Run | None:
        run = self._tables.runs.get(run_id)
        return run if run is not None and run.attempt == attempt and run.state is RunState.RUNNING else None

    def _end(self, run: Run) -> Run:
        self._tables.parts.pop(run.run_id, None)
        self._tables.inputs.pop(run.run_id, None)
        if run.job_id is not None:
            self._jobs.jobs.discard(run.job_id)
        return self._put(run)

    def _put(self, run: Run) -> Run:
        self._tables.runs[run.run_id] = run
        return run


class MemoryRunQueue:
    """The port `RunQueue`; a job is lost when it was buried."""

    def __init__(self, communities: Sequence[RunTables], jobs: JobTable) -> None:
        self._communities = communities
        self._jobs = jobs

    async def community_of(self, run_id: str) -> str | None:
        found = [one.runs[run_id].community_id for one in self._communities if run_id in one.runs]
        return found[0] if found else None

    async def lost(self, silent_s: float) -> list[tuple[str, str, int]]:
        runs = [run for one in self._communities for run in one.runs.values() if not run.state.has_ended]
        return [
            (run.community_id, run.run_id, run.job_id)
            for run in runs
            if run.job_id is not None and run.job_id not in self._jobs.jobs
        ]

    async def bury(self, job_id: int) -> None:
        self._jobs.jobs.discard(job_id)


class MemoryEvents:
    """The port `Events`; forgets nothing."""

    def __init__(self, tables: RunTables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def add(self, kind: str, document: dict[str, Any]) -> None:
        self._tables.events.append(Event(len(self._tables.events) + 1, kind, self._clock.now(), document))

    async def after(self, event_id: int, *, limit: int) -> list[Event]:
        return [one for one in self._tables.events if one.event_id > event_id][:limit]

    async def latest_id(self) -> int:
        return len(self._tables.events)


class MemoryEar:
    """The port `Listening`."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self.heard.wait(), timeout_s)
        except TimeoutError:
            return
        self.heard.clear()


class MemoryFeed:
    """The port `EventFeed`: every transaction that ends well may have told something."""

    def __init__(self) -> None:
        self._ears: set[MemoryEar] = set()

    @contextmanager
    def listen(self, community_id: str) -> Generator[MemoryEar, None, None]:
        ear = MemoryEar()
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    def hear(self) -> None:
        """Wake everyone who listens."""
        for ear in self._ears:
            ear.heard.set()
