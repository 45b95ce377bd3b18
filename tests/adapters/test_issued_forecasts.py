"""Issued forecasts as every store keeps them: once a day, as they were said, and looked after by one at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, community, hours, issued_forecast, series

from digital_twin.domain.errors import NotFound
from digital_twin.domain.time import floor_to_step
from digital_twin.services.ports import KEPT_FORECASTS, ForecastCare, IssuedForecast, Store

HERE, THERE = "solar_valley", "wind_hill"
DAY = timedelta(days=1)
CARE = ForecastCare(MONDAY + hours(3), MONDAY + DAY, MONDAY + hours(3), {"load_kw": {"since": None}})


@pytest.fixture
async def kept(store: Store) -> Store:
    """A store with two communities."""
    async with store.platform() as tx:
        for name in (HERE, THERE):
            await tx.communities.create(community(name))
    return store


async def add(store: Store, issued: IssuedForecast) -> bool:
    async with store.community(HERE) as tx:
        return await tx.issued_forecasts.add(issued)


async def all_of(store: Store, community_id: str = HERE) -> list[IssuedForecast]:
    async with store.community(community_id) as tx:
        return await tx.issued_forecasts.between(MONDAY - 2 * KEPT_FORECASTS, MONDAY + 2 * KEPT_FORECASTS)


def same(one: IssuedForecast, other: IssuedForecast) -> bool:
    names = ("variable", "start", "issued_at", "resolution_minutes", "model", "levels")
    arrays = ("mean", "quantiles", "naive_quantiles")
    return all(getattr(one, name) == getattr(other, name) for name in names) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


async def test_a_forecast_comes_back_as_it_was_issued(kept: Store):
    issued = replace(issued_forecast(MONDAY), mean=np.random.default_rng(1).random(24).astype(np.float32))
    assert await add(kept, issued)
    found = await all_of(kept)
    assert len(found) == 1
    assert same(found[0], issued)
    assert found[0].quantiles.dtype == np.float32
    without = issued_forecast(MONDAY, variable="pv_kw", has_naive=False)
    await add(kept, without)
    assert (await all_of(kept))[1].naive_quantiles is None


async def test_a_day_is_issued_once(kept: Store):
    first = issued_forecast(MONDAY)
    assert await add(kept, first)
    assert not await add(kept, issued_forecast(MONDAY, level_kw=99.0))
    assert [same(one, first) for one in await all_of(kept)] == [True]


async def test_forecasts_come_by_variable_and_day_within_the_stretch(kept: Store):
    for day in (2, 0, 1):
        for variable in ("pv_kw", "load_kw"):
            await add(kept, issued_forecast(MONDAY + day * DAY, variable=variable))
    async with kept.community(HERE) as tx:
        found = await tx.issued_forecasts.between(MONDAY, MONDAY + 2 * DAY)
    expected = [(name, MONDAY + day * DAY) for name in ("load_kw", "pv_kw") for day in (0, 1)]
    assert [(one.variable, one.start) for one in found] == expected


async def test_what_is_older_than_it_is_kept_goes_with_the_next_of_its_variable(kept: Store):
    await add(kept, issued_forecast(MONDAY))
    await add(kept, issued_forecast(MONDAY, variable="pv_kw"))
    await add(kept, issued_forecast(MONDAY + KEPT_FORECASTS))
    assert len(await all_of(kept)) == 3
    await add(kept, issued_forecast(MONDAY + KEPT_FORECASTS + DAY))
    assert [(one.variable, one.start - MONDAY) for one in await all_of(kept)] == [
        ("load_kw", KEPT_FORECASTS),
        ("load_kw", KEPT_FORECASTS + DAY),
        ("pv_kw", timedelta()),
    ]


async def test_of_two_who_looked_at_the_same_time_one_keeps_what_was_found(kept: Store):
    async with kept.community(HERE) as tx:
        assert await tx.issued_forecasts.care() is None
        assert await tx.issued_forecasts.keep_care(CARE)
        assert not await tx.issued_forecasts.keep_care(CARE)
        found = await tx.issued_forecasts.care()
    assert found == replace(CARE, version=1)
    later = replace(found, next_look_at=MONDAY + DAY, drift={})
    async with kept.community(HERE) as tx:
        assert await tx.issued_forecasts.keep_care(later)
        assert not await tx.issued_forecasts.keep_care(replace(later, next_look_at=MONDAY))
        assert await tx.issued_forecasts.care() == replace(later, version=2)


async def test_those_are_due_that_were_never_looked_at_or_whose_time_has_come(kept: Store):
    async with kept.community(HERE) as tx:
        await tx.issued_forecasts.keep_care(CARE)

    async def due(after: float) -> list[str]:
        async with kept.platform() as tx:
            return await tx.issued_forecasts.due(MONDAY + hours(after))

    assert await due(2.9) == [THERE]
    assert await due(3) == [HERE, THERE]


async def test_who_lacked_history_is_due_when_some_has_come(kept: Store):
    async def due(community_id: str = HERE) -> bool:
        async with kept.platform() as tx:
            return community_id in await tx.issued_forecasts.due(CARE.next_look_at - hours(1))

    async def record(days_ago: float, key: str) -> datetime:
        async with kept.community(HERE) as tx:
            newest = await tx.readings.newest()
        start = floor_to_step(newest or datetime.now(UTC), 60) - days_ago * DAY
        async with kept.community(HERE) as tx:
            recorded = await tx.readings.record([series("load_kw", [1.0], start=start, minutes=60)], key=key)
        return recorded.received_at

    now = await record(0, "today")
    for name in (HERE, THERE):
        async with kept.community(name) as tx:
            await tx.issued_forecasts.keep_care(replace(CARE, lacked_history_at=now - DAY))
    assert not await due(), "readings of today are no history"
    came = await record(30, "history")
    assert await due()
    assert not await due(THERE)
    async with kept.community(HERE) as tx:
        found = await tx.issued_forecasts.care()
        assert found == replace(CARE, lacked_history_at=now - DAY, version=1)
        assert await tx.issued_forecasts.history_came(now)
        assert not await tx.issued_forecasts.history_came(came)
        await tx.issued_forecasts.keep_care(replace(found, lacked_history_at=came))
    assert not await due()
    await record(40, "more of it")
    assert await due()
    async with kept.community(HERE) as tx:
        await tx.issued_forecasts.keep_care(replace(found, version=2, lacked_history_at=None))
    assert not await due()


async def test_a_community_sees_its_own_forecasts_and_takes_them_along(kept: Store):
    await add(kept, issued_forecast(MONDAY))
    async with kept.community(HERE) as tx:
        await tx.issued_forecasts.keep_care(CARE)
    assert await all_of(kept, THERE) == []
    async with kept.community(THERE) as tx:
        assert await tx.issued_forecasts.care() is None
    async with kept.community(HERE) as tx:
        await tx.communities.delete(HERE, expected_version=None)
    with pytest.raises(NotFound):
        await add(kept, issued_forecast(MONDAY))
    async with kept.platform() as tx:
        await tx.communities.create(community(HERE))
    assert await all_of(kept) == []
    async with kept.community(HERE) as tx:
        assert await tx.issued_forecasts.care() is None
