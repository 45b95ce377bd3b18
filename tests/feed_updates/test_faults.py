"""Faults of sources: nothing that cannot be is kept, and what was known last stands in, flagged."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.builders import MONDAY, hours
from tests.feed_sources import Answer, acknowledgement, as_json, as_xml
from tests.feed_updates.fed import AUSTRIA, HASTY_S, NOON, PATIENT_S, Fed, words

from digital_twin.domain.feeds import FED_SERIES, FeedKind, PriceFeed, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.services.ports import Outcome


def weather_with(**hourly: Any) -> Any:
    def fault(_path: str, _query: dict[str, str], answer: Answer) -> Answer:
        document = json.loads(answer.body)
        document["hourly"] |= {name: change(document["hourly"][name]) for name, change in hourly.items()}
        return Answer(json.dumps(document).encode())

    return fault


FAULTS: dict[str, tuple[Any, Outcome]] = {
    "NaN": (weather_with(temperature_2m=lambda told: [float("nan"), *told[1:]]), Outcome.REFUSED),
    "-999": (weather_with(temperature_2m=lambda told: [*told[:-1], -999.0]), Outcome.REFUSED),
    "negative radiation": (weather_with(diffuse_radiation=lambda told: [-999.0] * len(told)), Outcome.REFUSED),
    "a storm of 500 m/s": (weather_with(wind_speed_10m=lambda told: [500.0] * len(told)), Outcome.REFUSED),
    "nothing but null": (weather_with(temperature_2m=lambda told: [None] * len(told)), Outcome.REFUSED),
    "HTML": (Answer(b"<html></html>", "text/html"), Outcome.REFUSED),
    "a redirect": (Answer(b"", status=302, headers={"Location": "http://169.254.169.254/"}), Outcome.REFUSED),
    "a huge body": (Answer(b"x" * 17 * 2**20), Outcome.REFUSED),
    "500": (Answer(b"", status=500), Outcome.UNAVAILABLE),
    "429": (Answer(b"", status=429, headers={"Retry-After": "1800"}), Outcome.UNAVAILABLE),
    "30 s": (Answer(b"{}", pause_s=30), Outcome.UNAVAILABLE),
    "broken off": (lambda _path, _query, answer: Answer(answer.body, cut=100), Outcome.UNAVAILABLE),
}


@pytest.mark.parametrize(
    ("fault", "deadline_s"), [(name, HASTY_S if name == "30 s" else PATIENT_S) for name in FAULTS], ids=FAULTS
)
async def test_a_fault_changes_no_value_and_flags_all_that_lie_ahead(fed: Fed, fault: str, deadline_s: float):
    await fed.put(WeatherFeed())
    await fed.update()
    names = FED_SERIES[FeedKind.WEATHER]
    before = {name: await fed.read(name, NOON - hours(48), 24 * 8) for name in names}
    what, outcome = FAULTS[fault]
    if isinstance(what, Answer):
        fed.server.fail(what)
    else:
        fed.server.fault = what
    await fed.later(minutes=66)
    fed.server.closing.set()
    for name in names:
        after = await fed.read(name, NOON - hours(48), 24 * 8)
        np.testing.assert_array_equal(after.values, before[name].values)
        assert words(await fed.read(name, NOON + hours(1), 24 * 5)) == {Quality.SUBSTITUTED}
        assert words(await fed.read(name, NOON - hours(48), 24)) == {Quality.ESTIMATED}
    status = await fed.status(FeedKind.WEATHER)
    assert status.attempt is not None
    assert status.issue is not None
    assert (status.attempt.outcome, status.quality) == (outcome, Quality.SUBSTITUTED)
    assert status.attempt.note
    assert (status.issue.fetched_at, status.age_s) == (NOON, 66 * 60)
    assert status.stored.failures == 1

    fed.server.closing.clear()
    fed.server.fault = None
    await fed.later(minutes=66)
    assert words(await fed.read("temperature_c", NOON + hours(3), 24)) == {Quality.ESTIMATED}
    assert (await fed.status(FeedKind.WEATHER)).stored.failures == 0


@pytest.mark.parametrize("said", ["\x00", "\ud800", "\x1b[2J", "x" * 10_000])
async def test_what_a_source_says_of_itself_is_told_legibly(fed: Fed, said: str):
    await fed.put(WeatherFeed())
    fed.server.fail(as_json({"error": True, "reason": f"because {said} of this"}))
    await fed.update()
    attempt = (await fed.status(FeedKind.WEATHER)).attempt
    assert attempt is not None
    assert (attempt.note or "").startswith("open-meteo refuses the question: because ")
    assert (attempt.note or "").isprintable()
    assert len(attempt.note or "") <= 400


async def test_a_source_that_stays_down_is_asked_ever_more_rarely(fed: Fed):
    await fed.put(WeatherFeed())
    fed.server.fail(Answer(b"<html></html>", "text/html"))
    waits: list[float] = []
    for _ in range(8):
        await fed.update()
        status = await fed.status(FeedKind.WEATHER)
        waits.append((status.stored.next_fetch_at - fed.clock.now()).total_seconds() / 60)
        fed.clock.advance(minutes=waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert status.quality is Quality.MISSING


async def test_a_source_that_says_when_is_not_asked_before(fed: Fed):
    await fed.put(WeatherFeed())
    fed.server.fail(Answer(b"", status=429, headers={"Retry-After": "1800"}))
    await fed.update()
    fed.server.fault = None
    await fed.later(minutes=29)
    assert len(fed.server.asked) == 1
    await fed.later(minutes=1)
    assert len(fed.server.asked) == 2


async def test_known_prices_stay_measured_and_the_rest_is_filled_while_the_market_is_silent(fed: Fed):
    await fed.put(PriceFeed(AUSTRIA))
    await fed.update()
    assert words(await fed.read("import_price_per_kwh", MONDAY + hours(23), 24)) == {Quality.MEASURED}
    fed.server.fail(Answer(b"", status=503))
    await fed.later(hours=24)
    ahead = await fed.read("import_price_per_kwh", NOON + hours(24), 48)
    assert np.isfinite(ahead.values).all()
    assert words(await fed.read("import_price_per_kwh", NOON + hours(24), 11)) == {Quality.MEASURED}
    assert words(await fed.read("import_price_per_kwh", MONDAY + hours(47), 24)) == {Quality.SUBSTITUTED}


async def test_a_market_that_has_published_nothing_is_no_failure(fed: Fed):
    await fed.put(PriceFeed(AUSTRIA))
    fed.server.fail(as_xml(acknowledgement("No matching data found for Data item ENERGY_PRICES [12.1.D]")))
    await fed.update()
    status = await fed.status(FeedKind.PRICES)
    assert status.attempt is not None
    assert (status.attempt.outcome, status.stored.failures) == (Outcome.EMPTY, 0)
    assert status.stored.next_fetch_at == NOON + timedelta(minutes=15)


async def test_one_broken_feed_keeps_no_other_from_its_source(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.put(PriceFeed(AUSTRIA))
    fed.server.fault = lambda path, _query, answer: Answer(b"", status=500) if path == "/v1/forecast" else answer
    await fed.update()
    assert (await fed.status(FeedKind.PRICES)).quality is Quality.MEASURED
    assert (await fed.status(FeedKind.WEATHER)).quality is Quality.MISSING
