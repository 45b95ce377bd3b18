"""The past of feeds is fetched as far as it counts, and known when it could have been."""

from datetime import date, timedelta

import numpy as np
from tests.builders import MONDAY, hours, series
from tests.feed_sources import Answer, SourceServer
from tests.feed_updates.fed import AUSTRIA, Fed, feeding, words

from digital_twin.domain.feeds import FeedKind, PriceFeed, WeatherFeed
from digital_twin.domain.quality import Quality


async def test_the_past_is_fetched_as_far_as_the_community_has_readings(with_past: Fed):
    first = MONDAY - timedelta(days=110)
    await with_past.record(series("load_kw", [1.0], start=first))
    await with_past.put(WeatherFeed())
    await with_past.update()
    asked = [
        (query["start_date"], query["end_date"]) for path, query in with_past.server.asked if path == "/v1/archive"
    ]
    assert asked == [("2025-11-12", "2026-02-11"), ("2026-02-12", "2026-02-23")]
    whole = await with_past.read("temperature_c", first, 24 * 110 + 12)
    assert np.isfinite(whole.values).all()
    assert words(await with_past.read("temperature_c", first, 24 * 100)) == {Quality.MEASURED}
    assert words(await with_past.read("temperature_c", MONDAY - timedelta(days=6), 24 * 6)) == {Quality.ESTIMATED}
    stored = (await with_past.status(FeedKind.WEATHER)).stored
    assert (stored.archived_from, stored.archived_until) == (date(2025, 11, 12), date(2026, 2, 24))


async def test_the_past_counts_as_known_an_hour_after_each_interval(with_past: Fed):
    """DEFINITIONS 15."""
    first = MONDAY - timedelta(days=30)
    await with_past.record(series("load_kw", [1.0], start=first))
    await with_past.put(WeatherFeed())
    await with_past.update()
    then = first + timedelta(days=10, hours=12)
    known = await with_past.read("temperature_c", then - hours(3), 4, as_of=then)
    np.testing.assert_array_equal(np.isfinite(known.values), [True, True, False, False])


async def test_a_forecast_does_not_undo_what_the_archive_told(with_past: Fed):
    await with_past.record(series("load_kw", [1.0], start=MONDAY - timedelta(days=30)))
    await with_past.put(WeatherFeed())
    await with_past.update()
    await with_past.later(minutes=66)
    assert words(await with_past.read("temperature_c", MONDAY - timedelta(days=7), 24)) == {Quality.MEASURED}


async def test_the_archive_follows_day_by_day_and_goes_back_when_older_readings_come(with_past: Fed):
    await with_past.record(series("load_kw", [1.0], start=MONDAY - timedelta(days=10)))
    await with_past.put(WeatherFeed())
    await with_past.update()
    await with_past.later(hours=24)
    assert with_past.server.asked[-1][1]["start_date"] == with_past.server.asked[-1][1]["end_date"] == "2026-02-24"
    await with_past.record(series("load_kw", [1.0], start=MONDAY - timedelta(days=20)))
    await with_past.later(hours=24)
    assert (with_past.server.asked[-1][1]["start_date"], with_past.server.asked[-1][1]["end_date"]) == (
        "2026-02-10",
        "2026-02-25",
    )


async def test_an_archive_that_fails_is_asked_again_and_the_forecast_stays(with_past: Fed):
    await with_past.record(series("load_kw", [1.0], start=MONDAY - timedelta(days=30)))
    await with_past.put(WeatherFeed())
    with_past.server.fault = lambda path, _query, answer: Answer(b"", status=500) if path == "/v1/archive" else answer
    await with_past.update()
    assert (await with_past.status(FeedKind.WEATHER)).quality is Quality.ESTIMATED
    with_past.server.fault = None
    await with_past.later(minutes=66)
    assert (await with_past.status(FeedKind.WEATHER)).stored.archived_until == date(2026, 2, 24)


async def test_history_of_prices_was_known_the_day_before(server: SourceServer):
    async with feeding(server, history_days=12) as fed:
        await fed.make()
        await fed.put(PriceFeed(AUSTRIA))
        await fed.update()
        evening = MONDAY - timedelta(days=10) + hours(18)
        tomorrow = evening + hours(5)  # midnight in central Europe
        known = await fed.read("import_price_per_kwh", tomorrow, 4, as_of=evening)
        assert np.isfinite(known.values).all()
        noon = evening - hours(6)
        assert not np.isfinite((await fed.read("import_price_per_kwh", tomorrow, 4, as_of=noon)).values).any()
