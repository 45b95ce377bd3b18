"""A plan for members whose process is always late: one Run ends, and nothing is half."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, community

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


@pytest.fixture
def pool() -> Iterator[WarmPool]:
    made = WarmPool(1)
    yield made
    made.close()


async def fill(store: MemoryStore) -> None:
    """Members with a battery each."""
    async with store.platform() as tx:
        await tx.communities.create(community(num_prosumers=HOMES))
    async with store.community(HERE) as tx:
        await tx.members.put_members([Member(f"home_{number}") for number in range(HOMES)])
        batteries = [Asset(f"b_{number}", Battery(8.0 + number, 4.0), f"home_{number}") for number in range(HOMES)]
        await tx.members.put_assets(batteries)


def a_week() -> MemberDispatch:
    hours = np.arange(STEPS) / 4
    prices = PriceRequest(0.25 + 0.1 * np.sin(hours / 4), 0.05)
    load_kw = 5.0 + np.sin(hours / 3)
    return MemberDispatch("minimize_cost", MONDAY, STEPS / 4, 15, load_kw, np.zeros(STEPS), prices)


async def test_a_plan_that_is_always_late_ends_in_one_failed_run_that_says_what_to_do(
    pool: WarmPool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fleet_schedules, "LONGER_S", 0.05 - 600)
    await pool.call(compile_members, timeout_s=600)
    clock = FakeClock(MONDAY + timedelta(days=1))
    store = MemoryStore(clock)
    await fill(store)
    runs = RunService(store, clock, store.feed)
    plans = FleetScheduleService(store, clock, pool, ForecastService(store, clock, pool), runs, timeout_s=600)
    executor = RunExecutor(store, clock, pool, {KIND: plans})
    run = await plans.dispatch(GRANT, a_week(), as_run=True)
    assert isinstance(run, Run)
    for _ in range(MAX_FAILURES):
        run = await runs.get(GRANT, run.run_id)
        await executor.execute(HERE, run.run_id, run.job_id or 0)
    run = await runs.get(GRANT, run.run_id)
    assert (run.state, run.failures) == (RunState.FAILED, MAX_FAILURES)
    assert run.problem is not None
    assert "ask for a shorter horizon" in run.problem["message"]
    async with store.community(HERE) as tx:
        assert not await tx.member_plans.page(run.run_id, after=None, limit=1)
        with pytest.raises(NotFound):
            await tx.results.get(run.run_id, (KIND,))
