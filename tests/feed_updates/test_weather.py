"""Weather feeds: forecasts become the community's weather, and newer ones correct older."""

import json
from datetime import timedelta

import numpy as np
import pytest
from tests.builders import MONDAY, hours, series
from tests.feed_sources import Answer, as_json, radiation_wm2, temperature_c
from tests.feed_updates.fed import HERE, NOON, THERE, Fed, words

from digital_twin.domain.feeds import FED_SERIES, FeedKind, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.services.ports import Outcome


async def test_a_forecast_becomes_the_communitys_weather_and_is_estimated(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.update()
    ahead = await fed.read("temperature_c", NOON, 24)
    np.testing.assert_allclose(ahead.values, [temperature_c(NOON + hours(step)) for step in range(24)], rtol=1e-6)
    assert ahead.grid.step_minutes == 60
    ghi = await fed.read("ghi_wm2", NOON, 24)
    np.testing.assert_allclose(ghi.values, [radiation_wm2(NOON + hours(step + 1)) for step in range(24)], rtol=1e-6)
    for name in FED_SERIES[FeedKind.WEATHER]:
        assert words(await fed.read(name, NOON - hours(48), 96)) == {Quality.ESTIMATED}
    status = await fed.status(FeedKind.WEATHER)
    assert status.issue == status.attempt
    assert status.issue is not None
    assert (status.issue.source, status.issue.outcome) == ("open-meteo", Outcome.STORED)
    assert (status.issue.issued_at, status.issue.fetched_at, status.age_s) == (NOON, NOON, 0)
    assert status.quality is Quality.ESTIMATED


async def test_a_newer_issue_corrects_an_older_one_which_stays_known_as_of_its_time(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.update()
    first = await fed.read("temperature_c", NOON + hours(20), 4)

    def warmer(_path: str, _query: dict[str, str], answer: Answer) -> Answer:
        document = json.loads(answer.body)
        document["hourly"]["temperature_2m"] = [one + 3 for one in document["hourly"]["temperature_2m"]]
        return as_json(document)

    fed.server.fault = warmer
    await fed.later(minutes=66)
    newer = await fed.read("temperature_c", NOON + hours(20), 4)
    np.testing.assert_allclose(newer.values, first.values + 3, rtol=1e-6)
    then = await fed.read("temperature_c", NOON + hours(20), 4, as_of=NOON + timedelta(minutes=1))
    np.testing.assert_array_equal(then.values, first.values)


async def test_an_answer_that_two_communities_share_was_fetched_when_the_source_was_asked(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.update()
    await fed.make(THERE)
    fed.clock.advance(minutes=9)
    await fed.put(WeatherFeed(), THERE)
    await fed.update()
    assert len(fed.server.asked) == 1
    status = await fed.status(FeedKind.WEATHER, THERE)
    assert status.issue is not None
    assert (status.issue.fetched_at, status.age_s) == (NOON, 9 * 60)


async def test_quarters_are_asked_for_where_they_are_wanted(fed: Fed):
    await fed.put(WeatherFeed(resolution_minutes=15))
    await fed.update()
    assert (await fed.read("ghi_wm2", NOON, 1)).grid.step_minutes == 15
    assert "minutely_15" in fed.server.asked[0][1]


async def test_weather_keeps_the_resolution_that_the_communitys_series_has(fed: Fed):
    await fed.record(series("temperature_c", [5.0, 5.5], start=MONDAY, minutes=30))
    await fed.put(WeatherFeed())
    await fed.update()
    told = await fed.read("temperature_c", NOON, 2)
    expected = [
        temperature_c(NOON),
        temperature_c(NOON),
        temperature_c(NOON + hours(1)),
        temperature_c(NOON + hours(1)),
    ]
    np.testing.assert_allclose(told.values, expected, rtol=1e-6)


async def test_a_thermometer_of_the_community_is_believed_more_than_a_forecast(fed: Fed):
    await fed.record(series("temperature_c", [-3.25] * 10, start=MONDAY, minutes=60))
    await fed.put(WeatherFeed())
    await fed.update()
    told = await fed.read("temperature_c", MONDAY, 12)
    assert told.values[:10].tolist() == [-3.25] * 10
    assert told.values[10] == pytest.approx(temperature_c(MONDAY + hours(10)))


async def test_neighbours_ask_once(fed: Fed):
    await fed.make(THERE, latitude=48.2101, longitude=16.3699)
    for one in (HERE, THERE):
        await fed.put(WeatherFeed(), one)
    await fed.update()
    assert fed.server.paths() == ["/v1/forecast"]
    here, there = [await fed.read("ghi_wm2", NOON, 24, of=one) for one in (HERE, THERE)]
    np.testing.assert_array_equal(here.values, there.values)


async def test_nobody_is_asked_again_before_the_next_hour(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.update()
    await fed.later(minutes=59)
    assert len(fed.server.asked) == 1
    await fed.later(minutes=7)
    assert len(fed.server.asked) == 2
