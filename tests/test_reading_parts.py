"""Batches on their way in: what cannot be believed is named, and the rest goes through whole or not at all."""

import math
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import builders
from tests.builders import MONDAY, series

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesValues, are_plain, check_readings
from digital_twin.services import imports
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.reading_parts import Delivery, ReadingPart, Sieve
from digital_twin.services.readings import ReadingQuery, ReadingService
from digital_twin.services.runs import RunService
from digital_twin.testing import FakeClock, MemoryStore

NOW = MONDAY + timedelta(days=30)
VALUES = st.sampled_from([1.0, -1.0, 1e7, math.inf, -math.inf, math.nan])
SOME_SERIES = st.builds(
    lambda name, values, start: series(name, values, start=start),
    st.sampled_from(["load_kw", "net_load_kw", "temperature_c", "import_price_per_kwh"]),
    st.lists(VALUES, min_size=1, max_size=4),
    st.sampled_from([MONDAY, datetime(1980, 1, 6, tzinfo=MONDAY.tzinfo), NOW - timedelta(minutes=15), NOW]),
)


async def parts_of(*parts: list[SeriesValues]) -> AsyncIterator[ReadingPart]:
    for number, part in enumerate(parts):
        yield ReadingPart(part, lambda index, offset, number=number: f"part.{number}.{index}.{offset}")


@given(st.lists(SOME_SERIES, max_size=4))
def test_one_look_finds_nothing_wrong_only_where_a_close_look_finds_nothing(readings: list[SeriesValues]) -> None:
    if are_plain(readings, NOW):
        assert not any(check_readings(one, NOW)[1] for one in readings)


async def test_a_lenient_sieve_lets_all_others_through_and_says_where_each_stood() -> None:
    sieve = Sieve(NOW, lenient=True)
    parts = parts_of([series("load_kw", [1, -1])], [series("load_kw", [1]), series("pv_kw", [2, 3, -1])])
    kept = [[one.values.tolist() for one in part] async for part in sieve.believable(parts)]
    np.testing.assert_equal(kept, [[[1, math.nan]], [[1], [2, 3, math.nan]]])
    assert [one.position for one in sieve.refused] == ["/part/0/0/1", "/part/1/1/2"]
    assert sieve.refused_count == 2


async def test_a_strict_sieve_lets_no_more_through_and_names_all_that_it_refuses() -> None:
    parts = parts_of([series("load_kw", [1])], [series("load_kw", [-1])], [series("load_kw", [1, -2])])
    believable = Sieve(NOW, lenient=False).believable(parts)
    assert len(await anext(believable)) == 1
    with pytest.raises(InvalidInput, match="2 readings were refused") as refused:
        await anext(believable)
    assert [one["pointer"] for one in refused.value.facts["errors"]] == ["/part/1/0/0", "/part/2/0/1"]


@pytest.fixture
async def service() -> ReadingService:
    store = MemoryStore()
    async with store.platform() as tx:
        await tx.communities.create(builders.community())
    return ReadingService(store, FakeClock())


GRANT = Grant(Caller(7, "gateway", Role.API_USER), "solar_valley")
LAST_YEAR = MONDAY - timedelta(days=364)
HALF_A_YEAR = ReadingQuery(("load_kw", "pv_kw"), LAST_YEAR, LAST_YEAR + timedelta(days=180))


async def test_a_refused_reading_in_the_last_part_keeps_the_first_parts_out(service: ReadingService) -> None:
    with pytest.raises(InvalidInput):
        await service.record_parts(GRANT, parts_of([series("load_kw", [1])], [series("load_kw", [-1])]))
    assert await service.series(GRANT) == []
    lenient = Delivery(lenient=True)
    report = await service.record_parts(
        GRANT, parts_of([series("load_kw", [1])], [series("load_kw", [2, -1])]), lenient
    )
    receipt = report.receipt
    assert (receipt.received, receipt.stored, receipt.superseded, report.rejected_count) == (2, 1, 1, 1)


async def test_a_long_answer_stays_as_known_when_it_began_whatever_comes_meanwhile(service: ReadingService) -> None:
    last = LAST_YEAR + timedelta(days=179)
    both = [series(name, [1.0], start=start) for name in HALF_A_YEAR.names for start in (LAST_YEAR, last)]
    await service.record(GRANT, both)
    spans = service.read_spans(GRANT, HALF_A_YEAR)
    first = await anext(spans)
    await service.record(GRANT, [series("load_kw", [9.0, 9.0], start=last)])
    later = [span async for span in spans]
    assert first[0].readings.grid.start == LAST_YEAR
    assert later[-1][0].readings.grid.end == HALF_A_YEAR.end
    for answer, grids in zip(first, zip(*later, strict=True), strict=True):
        values = np.concatenate([answer.readings.values, *(one.readings.values for one in grids)])
        assert values.size == 180 * 96
        assert np.flatnonzero(~np.isnan(values)).tolist() == [0, 179 * 96]
        assert np.nansum(values) == 2


@pytest.mark.parametrize("minutes", [None, 60, 5])
async def test_spans_put_together_are_the_whole_answer(service: ReadingService, minutes: int | None) -> None:
    query = ReadingQuery(
        ("load_kw", "pv_kw"),
        LAST_YEAR + timedelta(hours=5, minutes=20),
        LAST_YEAR + timedelta(days=179, hours=3),
        resolution_minutes=minutes,
    )
    rng = np.random.default_rng(0)
    days = range(0, 180, 10)
    await service.record(
        GRANT,
        [
            series(name, rng.random(96).round(3), start=LAST_YEAR + timedelta(days=day))
            for name in query.names
            for day in days
        ],
    )
    whole = await service.read(GRANT, query)
    spans = [span async for span in service.read_spans(GRANT, query)]
    assert len(spans) > 1
    for number, answer in enumerate(whole):
        pieces = [span[number].readings for span in spans]
        np.testing.assert_array_equal(np.concatenate([one.values for one in pieces]), answer.readings.values)
        assert pieces[0].grid.start == answer.readings.grid.start


async def test_a_run_takes_no_more_than_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_VALUES", 3)
    store = MemoryStore()
    async with store.platform() as tx:
        await tx.communities.create(builders.community())
    service = imports.ImportService(store, FakeClock(), RunService(store, FakeClock(), store.feed))
    enough = [series("load_kw", [1.0, 2.0], start=LAST_YEAR)]
    with pytest.raises(InvalidInput, match="a Run stores at most 3 readings"):
        await service.submit(GRANT, parts_of(enough, enough))
    assert (await service.submit(GRANT, parts_of(enough))).kind == "import"
