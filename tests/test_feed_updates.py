"""Feeds brought up to date: real adapters, a server of this machine with every fault, and a store in memory."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.builders import MONDAY, community, hours, series
from tests.feed_sources import (
    TOKEN,
    Answer,
    SourceServer,
    acknowledgement,
    as_json,
    as_xml,
    radiation_wm2,
    spot_per_mwh,
    temperature_c,
)

from digital_twin.adapters.entsoe import entsoe
from digital_twin.adapters.open_meteo import OpenMeteo
from digital_twin.adapters.web_source import WebSource
from digital_twin.domain.bidding_zones import bidding_zone
from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.domain.feeds import FED_SERIES, CarbonFeed, Feed, FeedKind, PriceFeed, PriceTerms, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.tariff import DynamicPrice, FlatPrice, Tariff
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.feed_sources import FeedSources
from digital_twin.services.feed_updates import FeedUpdates
from digital_twin.services.feeds import FeedService, FeedStatus
from digital_twin.services.ports import Outcome
from digital_twin.telemetry import FEED_AGE, FEED_FETCHES
from digital_twin.testing import FakeClock, MemoryStore

HERE, THERE = "solar_valley", "wind_hill"
NOON = MONDAY + hours(12)
AUSTRIA = bidding_zone("AT")
VIENNA: dict[str, Any] = {"latitude": 48.2082, "longitude": 16.3721, "timezone": "Europe/Vienna"}
HASTY_S = 0.3
ALL_WORDS = set(Quality)


@dataclass
class Fed:
    """Communities whose feeds are kept up to date."""

    store: MemoryStore
    clock: FakeClock
    server: SourceServer
    updates: FeedUpdates
    service: FeedService

    async def make(self, community_id: str = HERE, **given: Any) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(community_id, **{**VIENNA, **given}))

    async def put(self, feed: Feed, community_id: str = HERE) -> FeedStatus:
        return await self.service.put(grant(community_id), feed)

    async def update(self) -> None:
        """A round now."""
        self.server.now = self.clock.now()
        await self.updates.update_due()

    async def later(self, **by: float) -> None:
        """A round after so much time."""
        self.clock.advance(**by)
        await self.update()

    async def status(self, kind: FeedKind, community_id: str = HERE) -> FeedStatus:
        return await self.service.get(grant(community_id), kind)

    async def read(
        self, name: str, start: datetime, length_hours: float, *, as_of: datetime | None = None, of: str = HERE
    ) -> SeriesValues:
        async with self.store.community(of) as tx:
            found = await tx.readings.read([SeriesKey(name)], start, start + hours(length_hours), as_of=as_of)
        return found[0]

    async def record(self, *told: SeriesValues) -> None:
        async with self.store.community(HERE) as tx:
            await tx.readings.record(told, key=f"uploaded {told[0].grid.start} {told[0].key}")


def grant(community_id: str) -> Grant:
    return Grant(Caller(1, "operator", Role.OPERATOR), community_id)


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer(NOON).serving() as made:
        yield made


@asynccontextmanager
async def feeding(
    server: SourceServer, *, token: str | None = TOKEN, history_days: int = 0
) -> AsyncGenerator[Fed, None]:
    clock = FakeClock(NOON)
    store = MemoryStore(clock)
    async with httpx.AsyncClient(trust_env=False) as client:
        webs = [
            WebSource(client, name, clock, deadline_s=HASTY_S, waits_s=(0.0,)) for name in ("open-meteo", "archive")
        ]
        weather = OpenMeteo(*webs, clock, addresses=(server.address, server.address), key=None)
        market = entsoe(client, clock, address=f"{server.address}/api", token=token)
        updates = FeedUpdates(store, clock, FeedSources(weather, market, market), history_days=history_days)
        yield Fed(store, clock, server, updates, FeedService(store, clock))


@pytest.fixture
async def fed(server: SourceServer) -> AsyncGenerator[Fed, None]:
    """A community whose past nobody asks for."""
    async with feeding(server) as made:
        await made.make()
        yield made


@pytest.fixture
async def with_past(server: SourceServer) -> AsyncGenerator[Fed, None]:
    """A community of which the last 120 days count."""
    async with feeding(server, history_days=120) as made:
        await made.make()
        yield made


def words(told: SeriesValues) -> set[Quality]:
    flags = np.zeros(told.grid.steps, dtype=np.uint8) if told.flags is None else told.flags
    return {Quality(int(one)) for one in flags[np.isfinite(told.values)]}


# Weather


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


# The past


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


# Prices


async def test_prices_follow_the_terms_and_unpublished_hours_those_of_the_day_before(fed: Fed):
    fed.clock.advance(hours=-4)  # eight in the morning: tomorrow is not out
    await fed.put(PriceFeed(AUSTRIA, PriceTerms(1.03, 0.12, 0.2), PriceTerms(0.95, -0.01)))
    await fed.update()
    midnight = MONDAY + hours(23)  # in Vienna
    buying, selling = [
        await fed.read(name, MONDAY, 24 + 23) for name in ("import_price_per_kwh", "export_price_per_kwh")
    ]
    spot = np.array([spot_per_mwh(buying.grid.instant(step)) / 1000 for step in range(23 * 4)])
    np.testing.assert_allclose(buying.values[: 23 * 4], (spot * 1.03 + 0.12) * 1.2, rtol=1e-5)
    np.testing.assert_allclose(selling.values[: 23 * 4], spot * 0.95 - 0.01, rtol=1e-4)
    assert words(await fed.read("import_price_per_kwh", MONDAY, 23)) == {Quality.MEASURED}
    assert words(await fed.read("import_price_per_kwh", midnight, 24)) == {Quality.ESTIMATED}
    np.testing.assert_array_equal(buying.values[24 * 4 : 46 * 4], buying.values[: 22 * 4])

    await fed.later(hours=5)  # they are out
    tomorrow = await fed.read("import_price_per_kwh", midnight, 23)
    assert words(tomorrow) == {Quality.MEASURED}
    expected = [(spot_per_mwh(midnight + hours(step / 4)) / 1000 * 1.03 + 0.12) * 1.2 for step in range(23 * 4)]
    np.testing.assert_allclose(tomorrow.values, expected, rtol=1e-5)


async def test_a_published_price_is_not_undone_by_an_estimate(fed: Fed):
    fed.clock.advance(hours=1)
    await fed.put(PriceFeed(AUSTRIA))
    await fed.update()
    before = await fed.read("import_price_per_kwh", MONDAY + hours(23), 24)
    assert words(before) == {Quality.MEASURED}

    def only_today(_path: str, query: dict[str, str], answer: Answer) -> Answer:
        second = answer.body.decode().split("<TimeSeries>")
        return as_xml("<TimeSeries>".join(second[:-2]) + "</Publication_MarketDocument>")

    fed.server.fault = only_today
    await fed.later(minutes=66)
    after = await fed.read("import_price_per_kwh", MONDAY + hours(23), 24)
    np.testing.assert_array_equal(after.values, before.values)
    assert words(after) == {Quality.MEASURED}


async def test_prices_in_another_currency_are_refused(server: SourceServer):
    async with feeding(server) as fed:
        await fed.make(currency="CHF")
        await fed.put(PriceFeed(AUSTRIA))
        await fed.update()
        status = await fed.status(FeedKind.PRICES)
    assert status.attempt is not None
    assert (status.attempt.outcome, status.quality) == (Outcome.REFUSED, Quality.MISSING)
    assert status.attempt.note == "the prices are in EUR, the community counts in CHF"


async def test_without_a_token_the_status_says_what_to_set(server: SourceServer):
    async with feeding(server, token=None) as fed:
        await fed.make()
        await fed.put(PriceFeed(AUSTRIA))
        await fed.update()
        status = await fed.status(FeedKind.PRICES)
    assert status.attempt is not None
    assert "set ENTSOE_API_TOKEN" in (status.attempt.note or "")


async def test_a_tariff_and_terms_are_not_both_applied(server: SourceServer):
    async with feeding(server) as fed:
        await fed.make(tariff=Tariff(DynamicPrice(0.1), FlatPrice(0.05)))
        with pytest.raises(InvalidInput, match="has a tariff, beside which import_price_per_kwh is the market price"):
            await fed.put(PriceFeed(AUSTRIA, PriceTerms(vat=0.2)))
        await fed.put(PriceFeed(AUSTRIA))
        await fed.make(THERE)
        await fed.put(PriceFeed(AUSTRIA, PriceTerms(vat=0.2)), THERE)
        async with fed.store.community(THERE) as tx:  # the tariff comes after the feed
            tariff = Tariff(DynamicPrice(0.1), FlatPrice(0.05))
            await tx.communities.replace(community(THERE, **VIENNA, tariff=tariff), expected_version=None)
        await fed.update()
        assert (await fed.status(FeedKind.PRICES)).quality is Quality.MEASURED
        refused = (await fed.status(FeedKind.PRICES, THERE)).attempt
    assert refused is not None
    assert refused.outcome is Outcome.REFUSED


# Carbon


async def test_the_factor_is_that_of_the_mix_and_then_that_of_the_day_before(fed: Fed):
    await fed.put(CarbonFeed(AUSTRIA))
    await fed.update()
    told = await fed.read("emission_factor_kg_per_kwh", MONDAY, 10)
    gas, other = 2000.0, np.array([1500 + 500 + 10 * 2 + 100 * (step // 4) for step in range(40)])
    np.testing.assert_allclose(told.values, gas * 0.370 / (gas + other), rtol=1e-6)
    assert words(told) == {Quality.MEASURED}
    ahead = await fed.read("emission_factor_kg_per_kwh", NOON, 48)
    assert words(ahead) == {Quality.ESTIMATED}
    assert np.isfinite(ahead.values).all()
    yesterday = await fed.read("emission_factor_kg_per_kwh", NOON - hours(24), 22)
    np.testing.assert_array_equal(ahead.values[: 22 * 4], yesterday.values)


# Faults: nothing that cannot be is kept, and what was known last stands in, flagged


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


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_changes_no_value_and_flags_all_that_lie_ahead(fed: Fed, fault: str):
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


# Setting up


async def test_weather_needs_a_place(server: SourceServer):
    async with feeding(server) as fed:
        await fed.make(latitude=None, longitude=None)
        with pytest.raises(
            InvalidInput, match="give the community latitude and longitude first, with PUT /communities"
        ):
            await fed.put(WeatherFeed())
        await fed.put(PriceFeed(AUSTRIA))  # a market needs none


async def test_a_place_that_is_taken_away_is_told_as_missing(fed: Fed):
    await fed.put(WeatherFeed())
    async with fed.store.community(HERE) as tx:
        await tx.communities.replace(community(HERE), expected_version=None)
    await fed.update()
    attempt = (await fed.status(FeedKind.WEATHER)).attempt
    assert attempt is not None
    assert "no latitude and longitude" in (attempt.note or "")
    assert fed.server.asked == []


async def test_a_feed_that_is_switched_off_asks_nothing(fed: Fed):
    await fed.put(WeatherFeed(enabled=False))
    await fed.update()
    assert fed.server.asked == []
    assert (await fed.status(FeedKind.WEATHER)).attempt is None


async def test_a_feed_that_is_removed_while_its_source_is_asked_stores_nothing(fed: Fed):
    await fed.put(WeatherFeed())

    class Removing:
        name = "open-meteo"

        async def forecast(self, *args: Any, **given: Any) -> Any:
            answer = await fed.updates._sources.weather.forecast(*args, **given)
            await fed.service.remove(grant(HERE), FeedKind.WEATHER)
            return answer

        archive = forecast

    sources = fed.updates._sources
    await FeedUpdates(fed.store, fed.clock, FeedSources(Removing(), sources.prices, sources.carbon)).update_due()
    async with fed.store.community(HERE) as tx:
        assert await tx.readings.series() == []
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) is None


async def test_what_was_removed_is_not_found_and_what_it_told_stays(fed: Fed):
    await fed.put(WeatherFeed())
    await fed.update()
    assert [one.stored.feed for one in await fed.service.all(grant(HERE))] == [WeatherFeed()]
    await fed.service.remove(grant(HERE), FeedKind.WEATHER)
    for ask in (fed.service.get, fed.service.remove):
        with pytest.raises(NotFound, match="no weather feed; set one up with PUT"):
            await ask(grant(HERE), FeedKind.WEATHER)
    assert np.isfinite((await fed.read("ghi_wm2", NOON, 24)).values).all()


async def test_attempts_and_ages_are_measured(fed: Fed):
    counted = FEED_FETCHES.labels(FeedKind.WEATHER, Outcome.STORED)
    before = counted._value.get()
    await fed.put(WeatherFeed())
    await fed.update()
    assert counted._value.get() == before + 1
    fed.server.fail(Answer(b"", status=500))
    await fed.later(minutes=66)
    await fed.updates.measure_age()
    assert FEED_AGE.labels(FeedKind.WEATHER)._value.get() == 66 * 60
    assert np.isnan(FEED_AGE.labels(FeedKind.CARBON)._value.get())
