"""Carrying out Runs, on a store in memory: what is tried again, what is given up, what is never computed twice."""

from collections.abc import Callable

import pytest
from tests.builders import community

from digital_twin.domain.errors import InsufficientData, Unavailable
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.ports import MAX_FAILURES, Run, RunState, StoredResult, Transaction
from digital_twin.services.runs import Keep, RunExecutor, RunningRun, RunService, Superseded
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

HERE = "solar_valley"
GRANT = Grant(Caller(1, "ada", Role.OPERATOR), HERE)

computed: list[int] = []


def square(number: int) -> bytes:
    computed.append(number)
    return str(number**2).encode()


class Work:
    """Squares numbers, and does what the test says before each attempt ends."""

    def __init__(self, *before_the_end: Callable[[], None]) -> None:
        self._before_the_end = list(before_the_end)
        self.attempts = 0

    async def carry_out(self, run: RunningRun) -> StoredResult:
        self.attempts += 1
        squares = await run.map(square, [(number,) for number in run.request["numbers"]], timeout_s=10)
        if self._before_the_end:
            self._before_the_end.pop(0)()
        more = await run.map(square, [(10,)], timeout_s=10)
        return StoredResult(run.run_id, "squares", FakeClock().now(), {"squares": [int(one) for one in squares + more]})


class Twin:
    """A community, and Runs of the kind `squares` in it."""

    def __init__(self, work: Work) -> None:
        clock = FakeClock()
        self.store = MemoryStore(clock)
        self.runs = RunService(self.store, clock, self.store.feed)
        self.executor = RunExecutor(self.store, clock, InProcessPool(), {"squares": work})

    async def submit(self, kind: str = "squares") -> Run:
        async with self.store.platform() as tx:
            await tx.communities.create(community())
        computed.clear()
        return await self.runs.submit(GRANT, kind, {"numbers": [1, 2, 3]}, queue="forecasting")

    async def attempt(self, run: Run) -> Run:
        """Carry out the Run's present job."""
        now = await self.runs.get(GRANT, run.run_id)
        await self.executor.execute(HERE, run.run_id, now.job_id or 0)
        return await self.runs.get(GRANT, run.run_id)


def fail(error: Exception) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


async def test_a_run_ends_with_its_result_and_its_progress():
    twin = Twin(Work())
    run = await twin.attempt(await twin.submit())
    assert (run.state, run.done, run.total, run.attempt) == (RunState.SUCCEEDED, 4, 4, 1)
    async with twin.store.community(HERE) as tx:
        assert (await tx.results.get(run.run_id, ("squares",))).document == {"squares": [1, 4, 9, 100]}
        told = [event.document["state"] for event in await tx.events.after(0, limit=99)]
    assert told[0] == "queued"
    assert told[-1] == "succeeded"


@pytest.mark.parametrize("error", [Unavailable("its process died"), ZeroDivisionError("a mistake of ours")])
async def test_what_may_pass_is_tried_again_and_goes_on_where_it_was(error: Exception):
    twin = Twin(Work(fail(error)))
    run = await twin.attempt(await twin.submit())
    assert (run.state, run.failures) == (RunState.QUEUED, 1)
    run = await twin.attempt(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert computed == [1, 2, 3, 10]


async def test_what_is_wrong_with_the_question_is_not_tried_again():
    twin = Twin(Work(fail(InsufficientData("21 days are needed", needed=21, found=3))))
    run = await twin.attempt(await twin.submit())
    assert run.state is RunState.FAILED
    assert run.problem == {
        "kind": "insufficient-data",
        "message": "21 days are needed",
        "facts": {"needed": 21, "found": 3},
    }


async def test_a_run_that_always_fails_is_given_up():
    work = Work(*[fail(ZeroDivisionError())] * 9)
    twin = Twin(work)
    run = await twin.submit()
    for _ in range(9):
        run = await twin.attempt(run)
    assert (run.state, run.failures, work.attempts) == (RunState.FAILED, MAX_FAILURES, MAX_FAILURES)
    assert run.problem is not None
    assert "ZeroDivision" not in str(run.problem)


async def test_a_kind_that_nobody_carries_out_is_given_up():
    twin = Twin(Work())
    run = await twin.submit("unheard-of")
    for _ in range(MAX_FAILURES):
        run = await twin.attempt(run)
    assert run.state is RunState.FAILED


async def test_a_job_that_comes_twice_is_carried_out_once():
    work = Work()
    twin = Twin(work)
    run = await twin.submit()
    first = run.job_id or 0
    await twin.attempt(run)
    await twin.executor.execute(HERE, run.run_id, first)
    assert work.attempts == 1


async def test_an_attempt_that_was_overtaken_leaves_the_new_ones_alone():
    twin = Twin(Work())
    run = await twin.submit()
    late: list[RunningRun] = []

    class Slow(Work):
        async def carry_out(self, run: RunningRun) -> StoredResult:
            late.append(run)
            await twin.executor.hand_over(HERE, run.run_id, (await twin.runs.get(GRANT, run.run_id)).job_id or 0)
            return await super().carry_out(run)

    executor = RunExecutor(twin.store, FakeClock(), InProcessPool(), {"squares": Slow()})
    await executor.execute(HERE, run.run_id, run.job_id or 0)
    waiting = await twin.runs.get(GRANT, run.run_id)
    assert (waiting.state, waiting.failures) == (RunState.QUEUED, 0)
    assert (await twin.attempt(run)).state is RunState.SUCCEEDED
    with pytest.raises(Superseded):
        await late[0].map(square, [(1,)], timeout_s=10)


async def test_a_cancelled_run_stays_cancelled_whatever_its_worker_does():
    twin = Twin(Work())
    run = await twin.submit()

    class Cancelled(Work):
        async def carry_out(self, run: RunningRun) -> StoredResult:
            await twin.runs.cancel(GRANT, run.run_id)
            return await super().carry_out(run)

    executor = RunExecutor(twin.store, FakeClock(), InProcessPool(), {"squares": Cancelled()})
    await executor.execute(HERE, run.run_id, run.job_id or 0)
    ended = await twin.runs.get(GRANT, run.run_id)
    assert ended.state is RunState.CANCELLED
    assert computed == []


@pytest.mark.parametrize("is_overtaken", [False, True])
async def test_what_a_run_keeps_itself_is_there_when_it_has_succeeded_and_not_before(is_overtaken: bool):
    twin = Twin(Work())
    run = await twin.submit()
    states: list[RunState] = []

    class Keeping:
        async def carry_out(self, run: RunningRun) -> Keep:
            async def keep(tx: Transaction) -> None:
                states.append((await tx.runs.get(run.run_id)).state)

            if is_overtaken:
                await twin.executor.hand_over(HERE, run.run_id, (await twin.runs.get(GRANT, run.run_id)).job_id or 0)
            return keep

    executor = RunExecutor(twin.store, FakeClock(), InProcessPool(), {"squares": Keeping()})
    await executor.execute(HERE, run.run_id, run.job_id or 0)
    assert states == ([] if is_overtaken else [RunState.SUCCEEDED])


async def test_a_run_whose_worker_is_gone_is_taken_up_again():
    twin = Twin(Work())
    run = await twin.submit()
    async with twin.store.community(HERE) as tx:
        await tx.runs.claim(run.run_id, run.job_id or 0, at=FakeClock().now())
    async with twin.store.platform() as tx:
        await tx.run_queue.bury(run.job_id or 0)
    await twin.executor.reap()
    again = await twin.runs.get(GRANT, run.run_id)
    assert (again.state, again.failures) == (RunState.QUEUED, 1)
    assert (await twin.attempt(again)).state is RunState.SUCCEEDED
    await twin.executor.reap()
    assert (await twin.runs.get(GRANT, run.run_id)).state is RunState.SUCCEEDED


async def test_who_waits_for_a_run_gets_it_when_it_has_ended_or_as_it_stands():
    twin = Twin(Work())
    run = await twin.submit()
    assert (await twin.runs.wait(run, 0.01)).state is RunState.QUEUED
    ended = await twin.attempt(run)
    assert await twin.runs.wait(run, 10) == ended


async def test_what_is_done_in_the_worker_itself_is_done_once_too():
    done: list[str] = []

    class Steps:
        async def carry_out(self, run: RunningRun) -> StoredResult | None:
            async def do(name: str) -> bytes:
                if name == "c" and "again" not in done:
                    done.append("again")
                    raise Unavailable("the database was away")
                done.append(name)
                return name.encode()

            assert await run.each(do, ["a", "b", "c"]) == [b"a", b"b", b"c"]
            return None

    clock = FakeClock()
    twin = Twin(Work())
    twin.executor = RunExecutor(twin.store, clock, InProcessPool(), {"squares": Steps()})
    run = await twin.submit()
    await twin.attempt(run)
    ended = await twin.attempt(run)
    assert (ended.state, ended.result_id) == (RunState.SUCCEEDED, None)
    assert done == ["a", "b", "again", "c"]
