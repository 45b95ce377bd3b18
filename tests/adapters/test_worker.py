"""A worker on a real database and real processes: what crashes, hangs or is cancelled harms nobody else."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from tests.builders import community
from tests.databases import DatabaseServer

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.compute import WarmPool
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.events import PostgresEventFeed
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.adapters.queue import Job, JobWorker
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.ports import PAUSES_S, Run, RunState, StoredResult
from digital_twin.services.runs import CARRY_OUT_RUN, RunExecutor, RunningRun, RunService

HERE = "solar_valley"
PATIENCE_S = 300.0


def crash(number: int) -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def leave(number: int) -> bytes:
    os._exit(3)


def hang(number: int) -> bytes:
    while True:
        pass


def break_down(number: int) -> bytes:
    raise ZeroDivisionError


def square(number: int) -> bytes:
    return str(number**2).encode()


def square_slowly(number: int) -> bytes:
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    return square(number)


FUNCTIONS: dict[str, Callable[[int], bytes]] = {
    function.__name__: function for function in (crash, leave, hang, break_down, square, square_slowly)
}


class Work:
    """Calls the function that the request names for each of its numbers."""

    async def carry_out(self, run: RunningRun) -> StoredResult:
        parts = [(number,) for number in range(run.request["count"])]
        results = await run.map(FUNCTIONS[run.request["function"]], parts, timeout_s=run.request["timeout_s"])
        document = {"results": [int(one) for one in results]}
        return StoredResult(run.run_id, "test", SystemClock().now(), document)


@dataclass
class Twin:
    """A community, its Runs, and workers that come and go."""

    address: str
    store: PostgresStore
    pool: WarmPool
    runs: RunService
    grant: Grant

    async def submit(self, function: str, *, count: int = 1, timeout_s: float = 30.0) -> Run:
        request: dict[str, Any] = {"function": function, "count": count, "timeout_s": timeout_s}
        return await self.runs.submit(self.grant, "test", request, queue="simulation")

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[RunExecutor, None]:
        """A worker until the block ends, which hands over what it has begun."""
        executor = RunExecutor(self.store, SystemClock(), self.pool, {"test": Work()})

        async def carry_out(job: Job) -> None:
            ids = job.arguments["community_id"], job.arguments["run_id"], job.job_id
            try:
                await executor.execute(*ids)
            except asyncio.CancelledError:
                if job.is_handed_over():
                    await executor.hand_over(*ids)
                raise

        jobs = JobWorker(self.address, ["simulation"], concurrency=3)
        jobs.register(CARRY_OUT_RUN, carry_out)
        stop = asyncio.Event()
        async with jobs.open():
            working = asyncio.create_task(jobs.run(stop))
            yield executor
            stop.set()
            await working

    async def ended(self, run: Run) -> Run:
        async with asyncio.timeout(PATIENCE_S):
            while not run.state.has_ended:
                run = await self.runs.wait(run, 5)
        return run

    async def begun(self, run: Run, *, parts: int = 0) -> Run:
        """The Run when so many parts of it are done."""
        async with asyncio.timeout(PATIENCE_S):
            while run.state is RunState.QUEUED or run.done < parts:
                await asyncio.sleep(0.02)
                run = await self.runs.get(self.grant, run.run_id)
        return run

    async def result(self, run: Run) -> list[int]:
        async with self.store.community(HERE) as tx:
            return (await tx.results.get(run.run_id, ("test",))).document["results"]


@pytest.fixture(scope="module")
async def pool() -> AsyncGenerator[WarmPool, None]:
    made = WarmPool(2)
    yield made
    made.close()


@pytest.fixture
async def twin(embedded_server: DatabaseServer, pool: WarmPool) -> AsyncGenerator[Twin, None]:
    async with embedded_server.database() as address, open_pool(address, size=6) as connections:
        store = PostgresStore(connections)
        async with store.platform() as tx:
            account = await tx.accounts.create(
                username="ada", email="ada@example.org", password_hash="x", role="operator", requested_role=None
            )
            await tx.communities.create(community())
        feed = PostgresEventFeed(address)
        listening = asyncio.create_task(feed.run())
        grant = Grant(Caller(account.account_id, "ada", Role.OPERATOR), HERE)
        yield Twin(address, store, pool, RunService(store, SystemClock(), feed), grant)
        listening.cancel()
        await asyncio.wait([listening])


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digital_twin.adapters.postgres.runs.PAUSES_S", (0, 0))


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("poison", ["crash", "leave", "break_down"])
async def test_a_run_that_breaks_its_process_fails_after_three_attempts_and_others_go_on(twin: Twin, poison: str):
    async with twin.worker():
        bad, good = await twin.submit(poison), await twin.submit("square", count=20)
        bad, good = await twin.ended(bad), await twin.ended(good)
    assert (bad.state, bad.failures) == (RunState.FAILED, 3)
    assert bad.problem is not None
    assert good.state is RunState.SUCCEEDED
    assert await twin.result(good) == [number**2 for number in range(20)]


@pytest.mark.usefixtures("no_pauses")
async def test_a_run_that_hangs_is_stopped_and_fails_after_three_attempts(twin: Twin):
    async with twin.worker():
        bad = await twin.ended(await twin.submit("hang", timeout_s=0.3))
        good = await twin.ended(await twin.submit("square"))
    assert (bad.state, bad.failures) == (RunState.FAILED, 3)
    assert bad.problem is not None
    assert bad.problem["kind"] == "unavailable"
    assert good.state is RunState.SUCCEEDED


async def test_the_attempt_after_a_failure_is_made_later(twin: Twin):
    run = await twin.submit("square")
    for pause_s in PAUSES_S:
        async with twin.store.community(HERE) as tx:
            job_id = run.job_id or 0
            again = await tx.runs.try_again(run.run_id, job_id, is_failure=True, problem={}, at=SystemClock().now())
        assert again is not None
        run = again
        async with await psycopg.AsyncConnection.connect(twin.address) as connection:
            cursor = await connection.execute(
                "select scheduled_at > now() + make_interval(secs => %s) - interval '1 s' from procrastinate_jobs "
                "where id = %s",
                (pause_s, run.job_id),
            )
            assert await cursor.fetchone() == (True,)


async def test_a_cancelled_run_frees_its_process(twin: Twin):
    async with twin.worker():
        hanging = [await twin.submit("hang", timeout_s=600) for _ in range(3)]  # more than there are processes
        for run in hanging:
            await twin.begun(run)
        for run in hanging:
            assert (await twin.runs.cancel(twin.grant, run.run_id)).state is RunState.CANCELLED
        good = await twin.ended(await twin.submit("square", count=5))
    assert good.state is RunState.SUCCEEDED
    assert [(await twin.runs.get(twin.grant, run.run_id)).state for run in hanging] == [RunState.CANCELLED] * 3


async def test_a_worker_that_is_told_to_end_hands_over_and_the_next_one_goes_on(twin: Twin):
    run = await twin.submit("square_slowly", count=12)
    async with twin.worker():
        before = await twin.begun(run, parts=2)
    waiting = await twin.runs.get(twin.grant, run.run_id)
    assert (waiting.state, waiting.failures) == (RunState.QUEUED, 0)
    assert waiting.done >= before.done
    async with twin.worker():
        ended = await twin.ended(waiting)
    assert (ended.state, ended.attempt, ended.done) == (RunState.SUCCEEDED, 2, 12)
    assert await twin.result(ended) == [number**2 for number in range(12)]


async def test_jobs_of_one_name_wait_once(twin: Twin):
    jobs, carried_out = JobWorker(twin.address, ["states"], concurrency=3), list[str]()
    gate, stop = asyncio.Event(), asyncio.Event()

    async def carry_out(job: Job) -> None:
        carried_out.append(job.arguments["community_id"])
        await gate.wait()

    jobs.register("advance", carry_out)
    async with jobs.open(), asyncio.timeout(PATIENCE_S):
        working = asyncio.create_task(jobs.run(stop))
        await jobs.defer_once("advance", "states", "a", community_id="a")
        await until(lambda: carried_out == ["a"])
        for name in ("a", "a", "a", "b"):  # of the first, one waits for its turn
            await jobs.defer_once("advance", "states", name, community_id=name)
        await until(lambda: sorted(carried_out) == ["a", "b"])
        gate.set()
        await until(lambda: len(carried_out) == 3)
        stop.set()
        await working
    assert sorted(carried_out) == ["a", "a", "b"]


async def test_a_job_whose_worker_is_gone_holds_up_no_other(twin: Twin):
    jobs, carried_out, stop = JobWorker(twin.address, ["states"], concurrency=3), list[str](), asyncio.Event()

    async def carry_out(job: Job) -> None:
        carried_out.append(job.arguments["community_id"])

    jobs.register("advance", carry_out)
    async with jobs.open(), asyncio.timeout(PATIENCE_S):
        await jobs.defer_once("advance", "states", "a", community_id="a")
        await begun_by_one_that_is_gone(twin.address)
        await jobs.defer_once("advance", "states", "a", community_id="a")
        await jobs.defer_once("advance", "states", "b", community_id="b")
        working = asyncio.create_task(jobs.run(stop))
        await until(lambda: carried_out == ["b"])
        while carried_out != ["b", "a"]:  # while the database has just started, nobody is taken for gone
            await jobs.bury_lost("advance")
            await asyncio.sleep(0.1)
        stop.set()
        await working


async def begun_by_one_that_is_gone(address: str) -> None:
    """As a worker leaves its job that was killed in the middle of it, when the traces of itself are cleared away."""
    async with await psycopg.AsyncConnection.connect(address) as connection:
        await connection.execute("update procrastinate_jobs set status = 'doing'")


async def until(claim: Callable[[], bool]) -> None:
    """Look again and again: what is looked at tells nobody that it has changed."""
    while not claim():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
