"""Plans for members as Runs: the same as at once, nothing half done, and what was asked is kept as it was."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.builders import MONDAY, community

from digital_twin.domain.assets import Asset, Battery, Member
from digital_twin.domain.errors import NotFound, Unavailable
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization.devices import ElectricVehicle
from digital_twin.services import fleet_schedules
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.computations import plan_for_members
from digital_twin.services.fleet_document import KIND
from digital_twin.services.fleet_request import MemberDispatch, dispatch_kept, kept_dispatch
from digital_twin.services.fleet_schedules import FleetScheduleService
from digital_twin.services.forecasts import ForecastService
from digital_twin.services.planned_devices import StayRequest, VehicleRequest
from digital_twin.services.ports import MAX_FAILURES, Run, RunState, StoredResult
from digital_twin.services.prices import PriceRequest
from digital_twin.services.runs import RunExecutor, RunService
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

HERE = "solar_valley"
GRANT = Grant(Caller(1, "ada", Role.OPERATOR), HERE)
HOURS = 6
WANTED = MemberDispatch(
    "minimize_cost", MONDAY, float(HOURS), 60, np.full(HOURS, 5.0), np.zeros(HOURS),
    PriceRequest(np.array([0.1, 0.1, 0.1, 0.5, 0.5, 0.5]), 0.05),
)  # fmt: skip


class FailingPool(InProcessPool):
    """Processes of which the first so many that plan for members die."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    async def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, timeout_s: float
    ) -> AsyncGenerator[tuple[int, Any], None]:
        if function is plan_for_members and self.deaths:
            self.deaths -= 1
            raise Unavailable("its process died")
        async for one in super().map(function, arguments, timeout_s=timeout_s):
            yield one


class Twin:
    """Five members, each with a battery, and their Runs."""

    def __init__(self, deaths: int = 0) -> None:
        clock, pool = FakeClock(MONDAY + timedelta(days=1)), FailingPool(deaths)
        self.store = MemoryStore(clock)
        self.runs = RunService(self.store, clock, self.store.feed)
        forecasts = ForecastService(self.store, clock, pool)
        self.service = FleetScheduleService(self.store, clock, pool, forecasts, self.runs, timeout_s=60)
        self.executor = RunExecutor(self.store, clock, pool, {KIND: self.service})

    async def dispatch(self, *, as_run: bool = False) -> StoredResult | Run:
        async with self.store.platform() as tx:
            await tx.communities.create(community(num_prosumers=5))
        async with self.store.community(HERE) as tx:
            await tx.members.put_members([Member(f"home_{number}") for number in range(5)])
            await tx.members.put_assets(
                [Asset(f"b_{number}", Battery(8.0 + number, 4.0), f"home_{number}") for number in range(5)]
            )
        return await self.service.dispatch(GRANT, WANTED, as_run=as_run)

    async def attempt(self, run: Run) -> Run:
        now = await self.runs.get(GRANT, run.run_id)
        await self.executor.execute(HERE, run.run_id, now.job_id or 0)
        return await self.runs.get(GRANT, run.run_id)

    async def kept(self, result_id: str) -> tuple[int, int]:
        """How many results and members' plans there are of this id."""
        async with self.store.community(HERE) as tx:
            plans = len(await tx.member_plans.page(result_id, after=None, limit=99))
            try:
                await tx.results.get(result_id, (KIND,))
            except NotFound:
                return 0, plans
            return 1, plans


async def a_run(twin: Twin) -> Run:
    made = await twin.dispatch(as_run=True)
    assert isinstance(made, Run)
    return made


async def test_a_run_comes_to_what_is_answered_at_once():
    at_once = await Twin().dispatch()
    twin = Twin()
    run = await twin.attempt(await a_run(twin))
    assert isinstance(at_once, StoredResult)
    assert (run.state, run.done, run.total) == (RunState.SUCCEEDED, 3, 3)
    async with twin.store.community(HERE) as tx:
        made = (await tx.results.get(run.run_id, (KIND,))).document
    for name in ("cost", "charge_kw", "savings", "fairness"):
        assert made[name] == at_once.document[name]
    assert await twin.kept(run.run_id) == (1, 5)


async def test_a_process_that_dies_leaves_nothing_and_the_next_attempt_goes_on():
    twin = Twin(deaths=1)
    run = await twin.attempt(await a_run(twin))
    assert (run.state, run.done, run.failures) == (RunState.QUEUED, 2, 1)
    assert await twin.kept(run.run_id) == (0, 0)
    run = await twin.attempt(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert await twin.kept(run.run_id) == (1, 5)


async def test_a_process_that_always_dies_ends_in_one_failed_run_without_a_result():
    twin = Twin(deaths=99)
    run = await a_run(twin)
    for _ in range(MAX_FAILURES + 2):
        run = await twin.attempt(run)
    assert (run.state, run.failures) == (RunState.FAILED, MAX_FAILURES)
    assert await twin.kept(run.run_id) == (0, 0)


async def test_all_attempts_are_about_the_members_of_the_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleet_schedules, "MEMBERS_A_PART", 2)
    twin = Twin(deaths=1)
    run = await a_run(twin)
    past = TimeGrid(MONDAY - timedelta(days=3), 72, 60)
    uses = {f"home_{number}": 1.0 + number for number in range(5)}
    async with twin.store.community(HERE) as tx:
        told = [SeriesValues(SeriesKey("load_kw", one), past, np.full(72, load_kw)) for one, load_kw in uses.items()]
        await tx.readings.record(told, key="readings", assumed_delay=timedelta(0))
    run = await twin.attempt(run)
    async with twin.store.community(HERE) as tx:
        await tx.members.put_members([Member("home_0", left_at=MONDAY - timedelta(days=1)), Member("home_2b")])
    run = await twin.attempt(run)
    assert run.state is RunState.SUCCEEDED
    async with twin.store.community(HERE) as tx:
        plans = await tx.member_plans.page(run.run_id, after=None, limit=99)
    assert {one.member_id: float(one.powers[0, 0]) for one in plans} == pytest.approx(
        {one: 5.0 * load_kw / sum(uses.values()) for one, load_kw in uses.items()}
    )


async def test_a_run_that_is_cancelled_meanwhile_keeps_nothing():
    twin = Twin()
    run = await a_run(twin)
    job = (await twin.runs.get(GRANT, run.run_id)).job_id or 0
    await twin.runs.cancel(GRANT, run.run_id)
    await twin.executor.execute(HERE, run.run_id, job)
    assert (await twin.runs.get(GRANT, run.run_id)).state is RunState.CANCELLED
    assert await twin.kept(run.run_id) == (0, 0)


async def test_many_members_become_a_run_by_themselves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleet_schedules, "MOST_AT_ONCE", 4)
    assert isinstance(await Twin().dispatch(), Run)


def test_what_was_asked_is_kept_whole():
    stay = StayRequest(MONDAY + timedelta(hours=7), 30.0, MONDAY, None)
    vehicle = VehicleRequest(ElectricVehicle("car", 40.0, 11.0, ()), (stay,), "home_1")
    asked = MemberDispatch(
        "maximize_welfare", MONDAY, 24.0, 15, np.arange(96.0), None, PriceRequest(0.3, np.full(96, 0.1)), 4.0, 0.02,
        0.1, 1.5, (vehicle,), datetime(2026, 3, 1, 12, tzinfo=UTC),
    )  # fmt: skip
    again = kept_dispatch(json.loads(json.dumps(dispatch_kept(asked))))
    for one in fields(MemberDispatch):
        if one.name not in ("load_kw", "prices"):
            assert getattr(again, one.name) == getattr(asked, one.name)
    assert again.load_kw is not None
    assert np.array_equal(again.load_kw, np.arange(96.0))
    assert again.prices.import_price_per_kwh == 0.3
    assert np.array_equal(np.asarray(again.prices.export_price_per_kwh), np.full(96, 0.1))
