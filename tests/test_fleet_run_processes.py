"""Plans for members in real processes: whichever is killed, late or cancelled, one Run ends and nothing is half."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, community
from tests.e2e.serving import busiest, is_running

from digital_twin.adapters.compute import WarmPool
from digital_twin.domain.assets import Asset, Battery, Member
from digital_twin.domain.errors import NotFound
from digital_twin.services import fleet_schedules
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.computations import compile_members
from digital_twin.services.fleet_document import KIND
from digital_twin.services.fleet_request import MemberDispatch
from digital_twin.services.fleet_schedules import FleetScheduleService
from digital_twin.services.forecasts import ForecastService
from digital_twin.services.ports import MAX_FAILURES, Run, RunState
from digital_twin.services.prices import PriceRequest
from digital_twin.services.runs import RunExecutor, RunService
from digital_twin.testing import FakeClock, MemoryStore

HERE, HOMES, STEPS = "solar_valley", 5, 672
GRANT = Grant(Caller(1, "ada", Role.OPERATOR), HERE)
STOPPED_S = 60.0
"""A process that nobody needs is killed at once; a crowded machine takes longer."""


class Twin:
    """Members with a battery each, and a Run that plans a week of quarters of an hour in the process `pid`."""

    def __init__(self, pool: WarmPool, pid: int) -> None:
        clock = FakeClock(MONDAY + timedelta(days=1))
        self.pid = pid
        self.store = MemoryStore(clock)
        self.runs = RunService(self.store, clock, self.store.feed)
        forecasts = ForecastService(self.store, clock, pool)
        self._service = FleetScheduleService(self.store, clock, pool, forecasts, self.runs, timeout_s=600)
        self._executor = RunExecutor(self.store, clock, pool, {KIND: self._service})

    async def submitted(self) -> Run:
        async with self.store.platform() as tx:
            await tx.communities.create(community(num_prosumers=HOMES))
        async with self.store.community(HERE) as tx:
            await tx.members.put_members([Member(f"home_{number}") for number in range(HOMES)])
            await tx.members.put_assets(
                [Asset(f"b_{number}", Battery(8.0 + number, 4.0), f"home_{number}") for number in range(HOMES)]
            )
        hours = np.arange(STEPS) / 4
        prices = PriceRequest(0.25 + 0.1 * np.sin(hours / 4), 0.05)
        load_kw = 5.0 + np.sin(hours / 3)
        wanted = MemberDispatch("minimize_cost", MONDAY, STEPS / 4, 15, load_kw, np.zeros(STEPS), prices)
        run = await self._service.dispatch(GRANT, wanted, as_run=True)
        assert isinstance(run, Run)
        return run

    async def attempt(self, run: Run) -> None:
        now = await self.runs.get(GRANT, run.run_id)
        await self._executor.execute(HERE, run.run_id, now.job_id or 0)

    async def kept(self, run: Run) -> tuple[int, int]:
        """How many results and members' plans the Run has left."""
        async with self.store.community(HERE) as tx:
            plans = len(await tx.member_plans.page(run.run_id, after=None, limit=99))
            try:
                await tx.results.get(run.run_id, (KIND,))
            except NotFound:
                return 0, plans
            return 1, plans


@asynccontextmanager
async def real_twin() -> AsyncGenerator[Twin, None]:
    pool = WarmPool(1)
    try:
        await pool.call(compile_members, timeout_s=600)
        yield Twin(pool, await pool.call(os.getpid, timeout_s=60))
    finally:
        pool.close()


async def test_a_process_that_is_killed_while_it_plans_leaves_nothing_and_another_makes_the_plan():
    async with real_twin() as twin:
        run = await twin.submitted()
        attempt = asyncio.create_task(twin.attempt(run))
        os.kill(await asyncio.to_thread(busiest, [twin.pid]), signal.SIGKILL)
        await attempt
        run = await twin.runs.get(GRANT, run.run_id)
        assert (run.state, run.done, run.failures) == (RunState.QUEUED, 2, 1)
        assert await twin.kept(run) == (0, 0)
        await twin.attempt(run)
        run = await twin.runs.get(GRANT, run.run_id)
        assert (run.state, run.attempt, run.done) == (RunState.SUCCEEDED, 2, 3)
        assert await twin.kept(run) == (1, HOMES)


async def test_a_plan_that_is_cancelled_stops_its_process_and_keeps_nothing():
    async with real_twin() as twin:
        run = await twin.submitted()
        attempt = asyncio.create_task(twin.attempt(run))
        await asyncio.to_thread(busiest, [twin.pid])
        await twin.runs.cancel(GRANT, run.run_id)
        attempt.cancel()  # as the queue does
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait_for(asyncio.to_thread(_to_its_end, twin.pid), STOPPED_S)
        assert (await twin.runs.get(GRANT, run.run_id)).state is RunState.CANCELLED
        assert await twin.kept(run) == (0, 0)


async def test_a_plan_that_is_always_late_ends_in_one_failed_run_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleet_schedules, "LONGER_S", 0.05 - 600)
    async with real_twin() as twin:
        run = await twin.submitted()
        for _ in range(MAX_FAILURES):
            await twin.attempt(run)
        run = await twin.runs.get(GRANT, run.run_id)
        assert (run.state, run.failures) == (RunState.FAILED, MAX_FAILURES)
        assert run.problem is not None
        assert "ask for a shorter horizon" in run.problem["message"]
        assert await twin.kept(run) == (0, 0)


def _to_its_end(pid: int) -> None:
    while is_running(pid):
        threading.Event().wait(0.05)
