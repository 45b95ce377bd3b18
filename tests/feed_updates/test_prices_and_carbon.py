"""Feeds of prices and carbon: by the terms and the mix, and those of the day before where none is out."""

import numpy as np
import pytest
from tests.builders import MONDAY, community, hours
from tests.feed_sources import Answer, SourceServer, as_xml, spot_per_mwh
from tests.feed_updates.fed import AUSTRIA, NOON, THERE, VIENNA, Fed, feeding, words

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.feeds import CarbonFeed, FeedKind, PriceFeed, PriceTerms
from digital_twin.domain.quality import Quality
from digital_twin.domain.tariff import DynamicPrice, FlatPrice, Tariff
from digital_twin.services.ports import Outcome


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
