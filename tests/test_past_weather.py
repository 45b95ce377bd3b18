"""Models learn from the weather that was foreseen when a day began, where that is known."""

from datetime import timedelta

import numpy as np
from tests.builders import MONDAY, community, series

from digital_twin.domain.readings import SeriesKey
from digital_twin.services.past_weather import as_foreseen
from digital_twin.testing import FakeClock, MemoryStore

NAME = "temperature_c"
DAY = timedelta(days=1)


async def test_what_was_foreseen_stands_where_it_was_known_before_the_day_began():
    clock = FakeClock(MONDAY - timedelta(hours=2))
    store, wanted = MemoryStore(clock), community()
    async with store.platform() as tx:
        await tx.communities.create(wanted)
    # Monday was foreseen before it began, Tuesday only at its noon; both turned out otherwise
    for hours, start, value, key in ((0, MONDAY, 5.0, "a"), (38, MONDAY + DAY, 6.0, "b")):
        clock.advance(hours=hours)
        async with store.community(wanted.community_id) as tx:
            await tx.readings.record([series(NAME, [value] * 96, start=start)], key=key)
    clock.advance(days=2)
    async with store.community(wanted.community_id) as tx:
        await tx.readings.record([series(NAME, [9.0] * 192, start=MONDAY)], key="c")
        now = clock.now()
        (known,) = await tx.readings.read([SeriesKey(NAME)], MONDAY, MONDAY + 2 * DAY, as_of=now)
        assert (known.values == 9.0).all()
        foreseen = await as_foreseen(tx, {NAME: known}, now)
    np.testing.assert_array_equal(foreseen[NAME].values, [5.0] * 96 + [9.0] * 96)
    assert foreseen[NAME].grid == known.grid


async def test_without_weather_nothing_is_asked():
    store = MemoryStore(FakeClock(MONDAY))
    async with store.platform() as tx:
        await tx.communities.create(community())
    async with store.community(community().community_id) as tx:
        assert await as_foreseen(tx, {}, MONDAY) == {}
