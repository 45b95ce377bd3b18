"""Forecasts that learn from what a community's own issued forecasts missed, on the days before and since midnight."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from tests.builders import MONDAY, community, hours, series

from digital_twin.domain.assets import Member
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.net_load import combine_net_load
from digital_twin.forecasting.paths import Paths, values_at
from digital_twin.services.forecasts import CommunityForecast, ForecastRequest, ForecastService
from digital_twin.services.past_errors import FEWEST_DAYS, ErrorMemory
from digital_twin.services.ports import IssuedForecast
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

HERE = "solar_valley"
DAY = timedelta(days=1)
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
USUAL = {"load_kw": 60.0, "pv_kw": 40.0, "net_load_kw": 20.0}
DEVIATION_KW = 5.0
DAYS = 40
A_LITTLE = 0.06
"""What coverage may miss after so many days, which are drawn towards errors that are unrelated."""

TODAY = TimeGrid(MONDAY, 24, 60)


def issued(variable: str, midnight: datetime, steps: int = 24) -> IssuedForecast:
    """As usual, give or take a normal error."""
    quantiles = np.tile(USUAL[variable] + DEVIATION_KW * ndtri(LEVELS), (steps, 1)).astype(np.float32)
    mean = np.full(steps, USUAL[variable], dtype=np.float32)
    return IssuedForecast(variable, midnight, midnight, 60, "x", LEVELS, mean, quantiles, None)


def drawn(days: int, correlation: float, seed: int) -> tuple[Array, Array]:
    """Load and generation of the same hours, whose errors are related."""
    one, other = np.random.default_rng(seed).standard_normal((2, 24 * days))
    other = correlation * one + np.sqrt(1 - correlation**2) * other
    return USUAL["load_kw"] + DEVIATION_KW * one, USUAL["pv_kw"] + DEVIATION_KW * other


class World:
    """A community in memory with meters and the forecasts that were issued for it."""

    def __init__(self) -> None:
        self.clock = FakeClock(MONDAY)
        self.store = MemoryStore(self.clock)
        self.forecasts = ForecastService(self.store, self.clock, InProcessPool())
        self._keys = iter(range(10_000))

    async def open(self, days: int = DAYS, *, issued_days: int | None = None, **readings: Array) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(HERE))
        for name, values in readings.items():
            await self.record(name, values, start=MONDAY - days * DAY)
        for back in range(1, (days if issued_days is None else issued_days) + 1):
            await self.issue(MONDAY - back * DAY, *readings)

    async def record(self, name: str, values: Array, *, start: datetime, is_late: bool = False) -> None:
        async with self.store.community(HERE) as tx:
            one = series(name, values.tolist(), start=start, minutes=60)
            await tx.readings.record([one], key=str(next(self._keys)), assumed_delay=None if is_late else timedelta())

    async def issue(self, midnight: datetime, *variables: str) -> None:
        async with self.store.community(HERE) as tx:
            for name in variables:
                await tx.issued_forecasts.add(issued(name, midnight))

    async def forecast(
        self, grid: TimeGrid = TODAY, *, model: str = "ridge_conformal", as_of: datetime | None = None
    ) -> CommunityForecast:
        request = ForecastRequest(grid, model=model, as_of=as_of)
        async with self.store.community(HERE) as tx:
            gathered = await self.forecasts.gather(tx, community(HERE), request)
        return await self.forecasts.compute(gathered, request)

    async def sample(
        self, grid: TimeGrid = TODAY, *, count: int, seed: int = 0, model: str = "ridge_conformal"
    ) -> tuple[CommunityForecast, Paths]:
        request = ForecastRequest(grid, ("load_kw", "pv_kw"), model=model)
        async with self.store.community(HERE) as tx:
            gathered = await self.forecasts.gather(tx, community(HERE), request)
        return await self.forecasts.sample_paths(gathered, request, count=count, seed=seed)


@pytest.fixture
def world() -> World:
    return World()


def net_of(forecast: CommunityForecast) -> Array:
    return forecast.variables["net_load_kw"].quantiles


# How load and generation hang together


@pytest.mark.parametrize("correlation", [-0.5, 0.5])
async def test_net_load_holds_what_it_promises_where_errors_are_related(world: World, correlation: float) -> None:
    load, pv = drawn(DAYS, correlation, seed=1)
    await world.open(load_kw=load, pv_kw=pv)
    learned = await world.forecast()
    apart = combine_net_load(learned.variables["load_kw"], learned.variables["pv_kw"])
    one, other = np.random.default_rng(2).multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 4_000).T
    actual = values_at(learned.variables["load_kw"], ndtr(one)) - values_at(learned.variables["pv_kw"], ndtr(other))

    def inside(quantiles: Array) -> float:
        return float(((actual >= quantiles[:, :1]) & (actual <= quantiles[:, -1:])).mean())

    assert abs(inside(net_of(learned)) - 0.9) < A_LITTLE < abs(inside(apart.quantiles) - 0.9)
    width = (net_of(learned)[:, -1] - net_of(learned)[:, 0]).mean()
    width_apart = (apart.quantiles[:, -1] - apart.quantiles[:, 0]).mean()
    assert (width > 1.1 * width_apart) == (correlation < 0)
    assert learned.provenance.sources["net_load_kw"] == "load_kw less pv_kw, whose errors were related on 40 days"


async def test_too_few_days_tell_nothing_and_the_answer_says_so(world: World) -> None:
    load, pv = drawn(DAYS, 0.9, seed=1)
    await world.open(load_kw=load, pv_kw=pv, issued_days=FEWEST_DAYS - 1)
    found = await world.forecast()
    apart = combine_net_load(found.variables["load_kw"], found.variables["pv_kw"])
    # of fewer levels than the service has: their tails are cut
    np.testing.assert_allclose(net_of(found)[:, 2:5], apart.quantiles[:, 2:5], atol=0.1 * DEVIATION_KW)
    assert (
        "errors of load and generation are unrelated until there are 14 days of issued forecasts with readings of both"
        in found.provenance.assumptions
    )
    await world.issue(MONDAY - FEWEST_DAYS * DAY, "load_kw", "pv_kw")
    world.clock.advance(days=1)
    tomorrow = TimeGrid(MONDAY + DAY, 24, 60)
    assert "on 14 days" in (await world.forecast(tomorrow)).provenance.sources["net_load_kw"]


async def test_what_was_not_known_when_the_day_began_teaches_nothing(world: World) -> None:
    load, pv = drawn(DAYS, -0.8, seed=1)
    await world.open(load_kw=load, pv_kw=pv)
    before = net_of(await world.forecast())
    again = World()
    await again.open(load_kw=load, pv_kw=pv)
    again.clock.advance(hours=1)
    await again.record("load_kw", np.full(24 * 20, 300.0), start=MONDAY - 20 * DAY, is_late=True)
    await again.record("pv_kw", np.full(1, 300.0), start=MONDAY)
    await again.issue(MONDAY, "load_kw", "pv_kw")
    np.testing.assert_array_equal(net_of(await again.forecast(as_of=MONDAY)), before)


async def test_what_is_learned_is_read_once_a_day(world: World) -> None:
    load, pv = drawn(DAYS, -0.8, seed=1)
    await world.open(load_kw=load, pv_kw=pv, issued_days=30)
    first = net_of(await world.forecast())
    for back in range(31, 41):
        await world.issue(MONDAY - back * DAY, "load_kw", "pv_kw")
    np.testing.assert_array_equal(net_of(await world.forecast()), first)
    fresh = ForecastService(world.store, world.clock, InProcessPool())
    world.forecasts = fresh
    assert (net_of(await world.forecast()) != first).any()


async def test_a_community_that_has_grown_is_read_anew(world: World) -> None:
    load, pv = drawn(DAYS, -0.8, seed=1)
    await world.open(issued_days=0)
    async with world.store.community(HERE) as tx:
        await tx.members.put_members([Member("home")])
        first = MONDAY - DAYS * DAY
        homes = [
            series(name, values.tolist(), member="home", start=first, minutes=60)
            for name, values in (("load_kw", load), ("pv_kw", pv))
        ]
        await tx.readings.record(homes, key="homes", assumed_delay=timedelta())
    for back in range(1, DAYS + 1):
        await world.issue(MONDAY - back * DAY, "load_kw", "pv_kw")
    memory = ErrorMemory()
    async with world.store.community(HERE) as tx:
        one, same, grown = [await memory.before(tx, community(HERE, num_prosumers=n), MONDAY) for n in (1, 1, 2)]
    assert one is same
    yesterday = MONDAY - DAY
    assert (grown.days["load_kw"][yesterday] > one.days["load_kw"][yesterday]).all()


# Later in the day


async def morning(world: World, *, off_kw: float = 10.0, until: int = 12) -> None:
    """Today is off from its forecast by so much, until the clock shows this hour."""
    load, pv = drawn(DAYS, 0.0, seed=3)
    slow = np.repeat(np.random.default_rng(4).normal(0, DEVIATION_KW, DAYS), 24)  # whole days are high or low
    await world.open(load_kw=USUAL["load_kw"] + slow + 0.3 * (load - USUAL["load_kw"]), pv_kw=pv)
    await world.issue(MONDAY, "load_kw", "pv_kw", "net_load_kw")
    await world.record("load_kw", np.full(until, USUAL["load_kw"] + off_kw), start=MONDAY)
    world.clock.advance(hours=until)


async def test_at_noon_a_forecast_follows_what_the_morning_was_off(world: World) -> None:
    noon = TimeGrid(MONDAY + hours(12), 12, 60)
    await morning(world)
    led = (await world.forecast(noon, model="auto")).variables["load_kw"]
    usual = (await world.forecast(noon)).variables["load_kw"]  # who asks for a model has its own answer
    assert usual.model == led.model == "ridge_conformal"
    assert led.mean[0] > usual.mean[0] + 3
    assert (led.quantiles[0, -1] - led.quantiles[0, 0]) < 0.8 * (usual.quantiles[0, -1] - usual.quantiles[0, 0])
    assert "of what load_kw was off since the day began" in led.assumptions[-1]
    lower = World()
    await morning(lower, off_kw=-10.0)
    assert (await lower.forecast(noon, model="auto")).variables["load_kw"].mean[0] < usual.mean[0] - 3


async def test_the_day_so_far_ends_with_what_was_known(world: World) -> None:
    noon = TimeGrid(MONDAY + hours(12), 12, 60)
    await morning(world)
    before = await world.forecast(noon, model="auto")
    world.clock.advance(hours=6)
    await world.record("load_kw", np.full(6, 500.0), start=MONDAY + hours(12))
    await world.record("load_kw", np.full(6, 5.0), start=MONDAY + hours(3), is_late=True)
    world.forecasts = ForecastService(world.store, world.clock, InProcessPool())
    again = await world.forecast(noon, model="auto", as_of=MONDAY + hours(12))
    for name, forecast in before.variables.items():
        np.testing.assert_array_equal(forecast.quantiles, again.variables[name].quantiles)
    np.testing.assert_array_equal(
        (await world.forecast(noon, model="auto", as_of=MONDAY + hours(12.5))).variables["load_kw"].mean,
        before.variables["load_kw"].mean,
    )


async def test_at_midnight_nothing_has_come_of_the_day(world: World) -> None:
    await morning(world)
    midnight = await world.forecast(model="auto", as_of=MONDAY)
    assert not any("since the day began" in one for one in midnight.provenance.assumptions)


async def test_without_a_forecast_of_the_day_none_is_led_on(world: World) -> None:
    load, pv = drawn(DAYS, 0.0, seed=3)
    await world.open(load_kw=load, pv_kw=pv)
    await world.record("load_kw", np.full(12, 90.0), start=MONDAY)
    world.clock.advance(hours=12)
    found = await world.forecast(TimeGrid(MONDAY + hours(12), 12, 60), model="auto")
    assert not any("since the day began" in one for one in found.provenance.assumptions)


# Paths for a planner


@pytest.mark.parametrize("correlation", [-0.8, 0.8])
async def test_paths_are_distributed_as_forecast_and_related_as_errors_were(world: World, correlation: float) -> None:
    load, pv = drawn(DAYS, correlation, seed=1)
    await world.open(load_kw=load, pv_kw=pv)
    forecast, paths = await world.sample(count=400)
    assert set(forecast.variables) == {"load_kw", "pv_kw"}
    assert paths.load_kw.shape == paths.pv_kw.shape == (400, 24)
    for name, drawn_kw in (("load_kw", paths.load_kw), ("pv_kw", paths.pv_kw)):
        said = forecast.variables[name]
        np.testing.assert_allclose(
            np.quantile(drawn_kw, said.levels, axis=0).T, said.quantiles, atol=0.05 * DEVIATION_KW
        )
    apart = (one - one.mean(axis=0) for one in (paths.load_kw, paths.pv_kw))
    found = np.corrcoef(*(one.ravel() for one in apart))[0, 1]
    assert np.sign(found) == np.sign(correlation)
    assert 0.4 < abs(found) < 0.8
    assert "net_load_kw" in forecast.provenance.sources


async def test_the_same_seed_gives_the_same_paths(world: World) -> None:
    load, pv = drawn(DAYS, 0.0, seed=1)
    await world.open(load_kw=load, pv_kw=pv)
    one, same, other = [(await world.sample(count=20, seed=seed))[1].net_load_kw for seed in (7, 7, 8)]
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


async def test_behind_net_meters_paths_are_those_of_the_net_load(world: World) -> None:
    load, pv = drawn(DAYS, 0.0, seed=1)
    await world.open(net_load_kw=load - pv - 30)
    forecast, paths = await world.sample(count=400, model="auto")
    assert forecast.is_net_metered
    assert set(forecast.variables) == {"load_kw", "pv_kw"}
    assert min(paths.load_kw.min(), paths.pv_kw.min()) >= 0
    net = (await world.forecast(model="auto")).variables["net_load_kw"]
    found = np.quantile(paths.net_load_kw, net.levels, axis=0).T
    np.testing.assert_allclose(found, net.quantiles, atol=0.05 * DEVIATION_KW)
