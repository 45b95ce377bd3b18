"""Long computations: asked for here, carried out by the worker, ended exactly once."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from digital_twin.domain.errors import Conflict, TwinError, Unavailable
from digital_twin.services.access import Grant
from digital_twin.services.ports import (
    Clock,
    EventFeed,
    ParallelMap,
    Run,
    RunState,
    Store,
    StoredResult,
    Transaction,
)
from digital_twin.services.schedule_document import new_result_id
from digital_twin.telemetry import RUN_DURATION, RUNS, get_logger

T = TypeVar("T")

EVENT = "run"
PROGRESS_STEPS = 20
"""So many times at most the progress of a Run is told live."""

SILENT_S = 10.0
"""A worker that has not been heard of for so long is taken for dead."""

LOOK_AGAIN_S = 2.0

CARRY_OUT_RUN = "carry_out_run"
"""The name of the jobs that stand for attempts."""

ADVANCE_STATE = "advance_state"
"""The name of the jobs that have a community's state take up what has come."""

FORECASTING, OPTIMIZATION, SIMULATION, INGEST = "forecasting", "optimization", "simulation", "ingest"
STATES = "states"
QUEUES = (FORECASTING, OPTIMIZATION, SIMULATION, INGEST, STATES)
"""Each may have workers of its own."""


class Superseded(Exception):
    """Another attempt has taken over, or the Run has ended: this one stops and writes nothing more."""


class RunService:
    """Use cases around Runs."""

    def __init__(self, store: Store, clock: Clock, feed: EventFeed) -> None:
        self._store = store
        self._clock = clock
        self._feed = feed

    async def community_of(self, run_id: str) -> str | None:
        """Where the right to a Run is looked up; None where there is no such Run."""
        async with self._store.platform() as tx:
            return await tx.run_queue.community_of(run_id)

    async def submit(self, grant: Grant, kind: str, request: dict[str, Any], *, queue: str) -> Run:
        """Keep a Run and its job together. What it asks for was checked before."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await self.add(tx, grant, kind, request, queue=queue)

    async def add(
        self,
        tx: Transaction,
        grant: Grant,
        kind: str,
        request: dict[str, Any],
        *,
        queue: str,
        inputs: Sequence[bytes] = (),
    ) -> Run:
        """The same in a transaction of the caller's, with what the Run is given besides its request."""
        now = self._clock.now()
        account_id = grant.caller.account_id
        wanted = Run(
            new_result_id(now), str(grant.community_id), kind, queue, RunState.QUEUED, request, account_id, now
        )
        run = await tx.runs.add(wanted, inputs)
        await tell(tx, run)
        return run

    async def add_own(
        self, tx: Transaction, community_id: str, kind: str, request: dict[str, Any], *, queue: str
    ) -> Run:
        """The same for a Run that the twin itself asks for."""
        now = self._clock.now()
        run = await tx.runs.add(Run(new_result_id(now), community_id, kind, queue, RunState.QUEUED, request, None, now))
        await tell(tx, run)
        return run

    async def get(self, grant: Grant, run_id: str) -> Run:
        """Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.runs.get(run_id)

    async def page(self, grant: Grant, *, before: str | None, limit: int) -> list[Run]:
        """A community's, newest first."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.runs.page(before=before, limit=limit)

    async def wait(self, run: Run, seconds: float) -> Run:
        """The Run when it has ended, or as it stands after so long."""
        deadline = time.monotonic() + seconds
        with self._feed.listen(run.community_id) as ear:
            while not run.state.has_ended and (left := deadline - time.monotonic()) > 0:
                await ear.wait(min(left, LOOK_AGAIN_S))
                async with self._store.community(run.community_id) as tx:
                    run = await tx.runs.get(run.run_id)
        return run

    async def cancel(self, grant: Grant, run_id: str) -> Run:
        """End it now; cancelled twice, it stays cancelled.

        Raises:
            NotFound: there is no such Run.
            Conflict: it has ended otherwise.
        """
        async with self._store.community(str(grant.community_id)) as tx:
            before = await tx.runs.get(run_id)
            ended = await tx.runs.cancel(run_id, at=self._clock.now())
            if ended.state is not RunState.CANCELLED:
                raise Conflict(f"the run has {ended.state} already")
            if before.state is not RunState.CANCELLED:
                await tell(tx, ended)
        if before.state is not RunState.CANCELLED:
            _count(ended)
        return ended


class RunningRun:
    """One attempt at a Run, as the use case sees it that carries it out."""

    def __init__(self, run: Run, store: Store, pool: ParallelMap) -> None:
        self._run = run
        self._store = store
        self._pool = pool
        self._parts = 0
        self._kept: dict[int, bytes] | None = None

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def community_id(self) -> str:
        return self._run.community_id

    @property
    def created_by(self) -> int | None:
        """The account that asked for it; None once it is gone."""
        return self._run.created_by

    @property
    def request(self) -> dict[str, Any]:
        return self._run.request

    async def inputs(self) -> list[bytes]:
        """What it was given besides its request."""
        async with self._store.community(self.community_id) as tx:
            return await tx.runs.inputs(self.run_id)

    async def map(
        self, function: Callable[..., bytes], arguments: Sequence[tuple[Any, ...]], *, timeout_s: float
    ) -> list[bytes]:
        """The results in the order of their arguments; what an earlier attempt has finished is not computed again.

        Called several times, it must be with the same arguments in every attempt.

        Raises:
            Superseded: this attempt is not the Run's newest any more.
            Unavailable: a part is late or its process died.
        """
        first = await self._begin(len(arguments))
        results = dict(self._kept or {})
        todo = [place for place in range(len(arguments)) if first + place not in results]
        computed = self._pool.map(function, [arguments[place] for place in todo], timeout_s=timeout_s)
        try:
            async for place, payload in computed:
                part = first + todo[place]
                await self._keep(part, payload)
                results[part] = payload
        finally:
            await computed.aclose()
        return [results[first + place] for place in range(len(arguments))]

    async def each(self, do: Callable[[T], Awaitable[bytes]], items: Sequence[T]) -> list[bytes]:
        """The same in this process, one after the other, for what reads or writes the store.

        What was done by an attempt that ended before it could keep the part is done again: it must bear that.
        """
        first = await self._begin(len(items))
        results = dict(self._kept or {})
        for part, item in enumerate(items, first):
            if part not in results:
                results[part] = await do(item)
                await self._keep(part, results[part])
        return [results[part] for part in range(first, first + len(items))]

    async def _begin(self, more: int) -> int:
        first = self._parts
        self._parts += more
        async with self._store.community(self.community_id) as tx:
            if await tx.runs.set_total(self.run_id, self._run.attempt, self._parts) is None:
                raise Superseded
            if self._kept is None:
                self._kept = await tx.runs.parts(self.run_id)
        return first

    async def _keep(self, part: int, payload: bytes) -> None:
        async with self._store.community(self.community_id) as tx:
            run = await tx.runs.keep_part(self.run_id, self._run.attempt, part, payload)
            if run is None:
                raise Superseded
            if PROGRESS_STEPS * run.done // run.total > PROGRESS_STEPS * (run.done - 1) // run.total:
                await tell(tx, run)


Keep = Callable[[Transaction], Awaitable[None]]
"""Writes what a Run came to where that is no result of the usual kind."""


@dataclass(frozen=True, slots=True)
class ResultBeside:
    """A result of the usual kind, and what is written beside it."""

    result: StoredResult
    keep: Keep


class RunWork(Protocol):
    """What carries out Runs of one kind."""

    async def carry_out(self, run: RunningRun) -> StoredResult | ResultBeside | Keep | None:
        """What is kept in the transaction in which the Run succeeds. A TwinError says why there can be nothing."""
        ...


class RunExecutor:
    """Carries out attempts, and takes up those whose worker is gone."""

    def __init__(self, store: Store, clock: Clock, pool: ParallelMap, work: Mapping[str, RunWork]) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._work = dict(work)

    async def execute(self, community_id: str, run_id: str, job_id: int) -> None:
        """The attempt that this job stands for, if it still does."""
        async with self._store.community(community_id) as tx:
            run = await tx.runs.claim(run_id, job_id, at=self._clock.now())
            if run is None:
                return
            await tell(tx, run)
        logger = get_logger().bind(run_id=run_id, kind=run.kind, attempt=run.attempt)
        try:
            result = await self._work[run.kind].carry_out(RunningRun(run, self._store, self._pool))
            await self._succeed(run, result)
        except Superseded:
            logger.info("run_superseded")
        except Unavailable as error:
            logger.warning("run_attempt_failed", error=error.message)
            await self._try_again(community_id, run_id, job_id, problem=problem_of(error))
        except TwinError as error:
            await self._fail(run, problem_of(error))
        except Exception as error:
            logger.error("run_attempt_failed", exc_info=error)
            await self._try_again(community_id, run_id, job_id, problem=_UNEXPECTED)

    async def hand_over(self, community_id: str, run_id: str, job_id: int) -> None:
        """The worker shuts down: another attempt goes on with what this one has finished."""
        await self._try_again(community_id, run_id, job_id, problem=_UNEXPECTED, is_failure=False)

    async def reap(self) -> None:
        """Take up the Runs whose worker has not been heard of."""
        async with self._store.platform() as tx:
            lost = await tx.run_queue.lost(SILENT_S)
        for community_id, run_id, job_id in lost:
            get_logger().warning("run_lost", run_id=run_id)
            await self._try_again(community_id, run_id, job_id, problem=_LOST)
            async with self._store.platform() as tx:
                await tx.run_queue.bury(job_id)

    async def _succeed(self, run: Run, outcome: StoredResult | ResultBeside | Keep | None) -> None:
        kept = (outcome.result, outcome.keep) if isinstance(outcome, ResultBeside) else (outcome,)
        result = next((one for one in kept if isinstance(one, StoredResult)), None)
        async with self._store.community(run.community_id) as tx:
            ended = await tx.runs.succeed(run.run_id, run.attempt, result, at=self._clock.now())
            if ended is None:
                raise Superseded
            for keep in kept:
                if callable(keep):
                    await keep(tx)
            await tell(tx, ended)
        _count(ended)

    async def _fail(self, run: Run, problem: dict[str, Any]) -> None:
        async with self._store.community(run.community_id) as tx:
            ended = await tx.runs.fail(run.run_id, run.attempt, problem, at=self._clock.now())
            if ended is not None:
                await tell(tx, ended)
        if ended is not None:
            _count(ended)

    async def _try_again(
        self, community_id: str, run_id: str, job_id: int, *, problem: dict[str, Any], is_failure: bool = True
    ) -> None:
        async with self._store.community(community_id) as tx:
            run = await tx.runs.try_again(run_id, job_id, is_failure=is_failure, problem=problem, at=self._clock.now())
            if run is not None:
                await tell(tx, run)
        if run is not None and run.state.has_ended:
            _count(run)


def problem_of(error: TwinError) -> dict[str, Any]:
    """The error as it is kept with a Run that failed."""
    return {"kind": error.kind, "message": error.message, "facts": error.facts}


_UNEXPECTED = {
    "kind": "error",
    "message": "something went wrong on our side; the run_id helps us to find it",
    "facts": {},
}
_LOST = {
    "kind": Unavailable.kind,
    "message": "the worker's process ended each time while it carried out this run; it may need more memory than there "
    "is: ask for less at once",
    "facts": {},
}


async def tell(tx: Transaction, run: Run) -> None:
    """Tell those who listen where the Run stands."""
    document = {"run_id": run.run_id, "kind": run.kind, "state": run.state, "done": run.done, "total": run.total}
    await tx.events.add(EVENT, document)


def _count(run: Run) -> None:
    RUNS.labels(run.kind, run.state).inc()
    if run.started_at is not None and run.finished_at is not None:
        RUN_DURATION.labels(run.kind).observe((run.finished_at - run.started_at).total_seconds())
