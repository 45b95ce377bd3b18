"""Runs and events as every store keeps them: one newest attempt, one end, nothing half."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import MONDAY, community

from digital_twin.domain.errors import NotFound
from digital_twin.services.ports import MAX_FAILURES, Run, RunState, Store, StoredResult
from digital_twin.services.schedule_document import new_result_id

HERE = "solar_valley"
PROBLEM: dict[str, Any] = {"kind": "error", "message": "it broke", "facts": {}}


async def added(store: Store, *, inputs: tuple[bytes, ...] = ()) -> Run:
    """A new Run of the community, which is made where it is not there."""
    async with store.platform() as tx:
        if not await tx.communities.page(account_id=None, after=None, limit=1):
            await tx.communities.create(community())
    wanted = Run(new_result_id(MONDAY), HERE, "training", "forecasting", RunState.QUEUED, {"a": [1.5]}, None, MONDAY)
    async with store.community(HERE) as tx:
        return await tx.runs.add(wanted, inputs)


async def claimed(store: Store, run: Run) -> Run:
    """The attempt that the Run's present job stands for."""
    async with store.community(HERE) as tx:
        attempt = await tx.runs.claim(run.run_id, run.job_id or 0, at=MONDAY)
    assert attempt is not None
    return attempt


async def get(store: Store, run: Run) -> Run:
    async with store.community(HERE) as tx:
        return await tx.runs.get(run.run_id)


async def test_a_run_comes_back_as_it_was_added_with_its_job(store: Store):
    run = await added(store, inputs=(b"\x00one", b"two"))
    assert run.job_id is not None
    assert (run.state, run.request, run.community_id, run.attempt) == (RunState.QUEUED, {"a": [1.5]}, HERE, 0)
    assert await get(store, run) == run
    async with store.community(HERE) as tx:
        assert await tx.runs.inputs(run.run_id) == [b"\x00one", b"two"]
        with pytest.raises(NotFound):
            await tx.runs.get(new_result_id(MONDAY))
    async with store.platform() as tx:
        assert await tx.run_queue.community_of(run.run_id) == HERE
        assert await tx.run_queue.community_of(new_result_id(MONDAY)) is None


async def test_runs_are_paged_newest_first(store: Store):
    runs = [await added(store) for _ in range(3)]
    ids = sorted((run.run_id for run in runs), reverse=True)
    async with store.community(HERE) as tx:
        newest = await tx.runs.page(before=None, limit=2)
        older = await tx.runs.page(before=newest[-1].run_id, limit=2)
    assert [run.run_id for run in newest + older] == ids


async def test_an_attempt_is_begun_once_and_by_its_own_job(store: Store):
    run = await added(store)
    attempt = await claimed(store, run)
    assert (attempt.state, attempt.attempt, attempt.started_at) == (RunState.RUNNING, 1, MONDAY)
    async with store.community(HERE) as tx:
        assert await tx.runs.claim(run.run_id, run.job_id or 0, at=MONDAY) is None
        assert await tx.runs.claim(run.run_id, -1, at=MONDAY) is None


async def test_parts_are_kept_once_and_counted(store: Store):
    attempt = await claimed(store, await added(store))
    async with store.community(HERE) as tx:
        await tx.runs.set_total(attempt.run_id, 1, 3)
        for part, payload in ((2, b"c"), (0, b"\x00a"), (2, b"other")):
            kept = await tx.runs.keep_part(attempt.run_id, 1, part, payload)
        assert kept is not None
        assert (kept.done, kept.total) == (2, 3)
        assert await tx.runs.parts(attempt.run_id) == {0: b"\x00a", 2: b"c"}


async def test_an_attempt_that_was_replaced_writes_nothing_more(store: Store):
    first = await claimed(store, await added(store))
    async with store.community(HERE) as tx:
        again = await tx.runs.try_again(first.run_id, first.job_id or 0, is_failure=True, problem=PROBLEM, at=MONDAY)
    assert again is not None
    assert (again.state, again.failures) == (RunState.QUEUED, 1)
    assert again.job_id != first.job_id
    second = await claimed(store, again)
    assert second.attempt == 2
    result = StoredResult(first.run_id, "training", MONDAY, {})
    async with store.community(HERE) as tx:
        assert await tx.runs.set_total(first.run_id, 1, 9) is None
        assert await tx.runs.keep_part(first.run_id, 1, 0, b"late") is None
        assert await tx.runs.fail(first.run_id, 1, PROBLEM, at=MONDAY) is None
        assert await tx.runs.succeed(first.run_id, 1, result, at=MONDAY) is None
        assert (
            await tx.runs.try_again(first.run_id, first.job_id or 0, is_failure=True, problem=PROBLEM, at=MONDAY)
            is None
        )
        assert await tx.runs.parts(first.run_id) == {}
        with pytest.raises(NotFound):
            await tx.results.get(first.run_id, ("training",))
    assert await get(store, first) == second


async def test_a_run_succeeds_together_with_its_result_and_leaves_nothing_behind(store: Store):
    attempt = await claimed(store, await added(store, inputs=(b"given",)))
    result = StoredResult(attempt.run_id, "training", MONDAY, {"skill": 0.5})
    later = MONDAY + timedelta(minutes=1)
    async with store.community(HERE) as tx:
        await tx.runs.keep_part(attempt.run_id, 1, 0, b"a")
        ended = await tx.runs.succeed(attempt.run_id, 1, result, at=later)
    assert ended is not None
    assert (ended.state, ended.finished_at, ended.result_id) == (RunState.SUCCEEDED, later, attempt.run_id)
    async with store.community(HERE) as tx:
        assert (await tx.results.get(attempt.run_id, ("training",))).document == {"skill": 0.5}
        assert await tx.runs.parts(attempt.run_id) == {}
        assert await tx.runs.inputs(attempt.run_id) == []
        assert await tx.runs.cancel(attempt.run_id, at=later) == ended


async def test_a_run_fails_after_so_many_failures_and_not_by_being_handed_over(store: Store):
    run = await added(store)
    for _ in range(5):
        attempt = await claimed(store, run)
        async with store.community(HERE) as tx:
            handed = await tx.runs.try_again(
                run.run_id, attempt.job_id or 0, is_failure=False, problem=PROBLEM, at=MONDAY
            )
        assert handed is not None
        run = handed
    for failures in range(1, MAX_FAILURES + 1):
        attempt = await claimed(store, run)
        async with store.community(HERE) as tx:
            failed = await tx.runs.try_again(
                run.run_id, attempt.job_id or 0, is_failure=True, problem=PROBLEM, at=MONDAY
            )
        assert failed is not None
        run = failed
        assert run.failures == failures
    assert (run.state, run.problem, run.finished_at) == (RunState.FAILED, PROBLEM, MONDAY)


async def test_a_cancelled_run_is_over_for_who_works_on_it(store: Store):
    attempt = await claimed(store, await added(store))
    async with store.community(HERE) as tx:
        ended = await tx.runs.cancel(attempt.run_id, at=MONDAY)
        assert await tx.runs.keep_part(attempt.run_id, 1, 0, b"late") is None
        assert await tx.runs.cancel(attempt.run_id, at=MONDAY + timedelta(hours=1)) == ended
    assert ended.state is RunState.CANCELLED


async def test_a_run_that_waits_is_cancelled_before_anybody_begins_it(store: Store):
    run = await added(store)
    async with store.community(HERE) as tx:
        await tx.runs.cancel(run.run_id, at=MONDAY)
        assert await tx.runs.claim(run.run_id, run.job_id or 0, at=MONDAY) is None


async def test_a_run_whose_job_is_gone_is_lost(store: Store):
    run = await added(store)
    async with store.platform() as tx:
        assert await tx.run_queue.lost(0.0) == []
    async with store.community(HERE) as tx:
        again = await tx.runs.try_again(run.run_id, run.job_id or 0, is_failure=False, problem=PROBLEM, at=MONDAY)
    assert again is not None
    await _lose(store, again.job_id or 0)
    async with store.platform() as tx:
        assert await tx.run_queue.lost(0.0) == [(HERE, run.run_id, again.job_id)]


async def _lose(store: Store, job_id: int) -> None:
    """As who cleans the queue by hand would."""
    pool = getattr(store, "_pool", None)
    if pool is None:
        async with store.platform() as tx:
            await tx.run_queue.bury(job_id)
        return
    async with pool.connection() as connection:
        await connection.execute("delete from procrastinate_jobs where id = %s", (job_id,))


async def test_events_come_in_order_after_the_one_that_was_seen_last(store: Store):
    await added(store)
    async with store.community(HERE) as tx:
        start = await tx.events.latest_id()
        for number in range(3):
            await tx.events.add("state", {"number": number})
    async with store.community(HERE) as tx:
        events = await tx.events.after(start, limit=2)
        rest = await tx.events.after(events[-1].event_id, limit=9)
        assert await tx.events.latest_id() == rest[-1].event_id
    assert [event.document["number"] for event in events + rest] == [0, 1, 2]


async def test_a_failed_transaction_tells_nothing(store: Store):
    run = await added(store)
    async with store.community(HERE) as tx:
        start = await tx.events.latest_id()
    with suppress(ZeroDivisionError):
        async with store.community(HERE) as tx:
            await tx.events.add("run", {})
            await tx.runs.add(replace(run, run_id=new_result_id(MONDAY)))
            raise ZeroDivisionError
    async with store.community(HERE) as tx:
        assert await tx.events.after(start, limit=9) == []
        assert [one.run_id for one in await tx.runs.page(before=None, limit=9)] == [run.run_id]


async def test_two_who_cancel_at_once_end_it_once(store: Store):
    run = await added(store)

    async def cancel(minutes: int) -> Run:
        async with store.community(HERE) as tx:
            return await tx.runs.cancel(run.run_id, at=MONDAY + timedelta(minutes=minutes))

    first, second = await asyncio.gather(cancel(1), cancel(2))
    assert first == second
