"""Prices and generation as ENTSO-E documents them, and what only looks like it."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY, hours
from tests.feed_sources import (
    TOKEN,
    Answer,
    SourceServer,
    acknowledgement,
    as_xml,
    generation_mw,
    generation_series,
    load_document,
    period,
    point,
    publication,
    spot_per_mwh,
)

from digital_twin.adapters.entsoe import Entsoe, entsoe
from digital_twin.adapters.entsoe_documents import expand_curve, read_document
from digital_twin.domain.bidding_zones import bidding_zone
from digital_twin.domain.errors import InsufficientData, InvalidInput, NotAllowed, TwinError
from digital_twin.services.ports import MixAnswer, PriceAnswer
from digital_twin.testing import FakeClock

AUSTRIA = bidding_zone("AT")
NOON = MONDAY + hours(12)
LOCAL_MIDNIGHT = MONDAY - hours(1)  # in Brussels
TWO_DAYS_LATER = LOCAL_MIDNIGHT + hours(48)


@pytest.fixture
def server() -> Iterator[SourceServer]:
    """A server at which the prices of tomorrow are out."""
    with SourceServer(NOON).serving() as made:
        yield made


@asynccontextmanager
async def source(server: SourceServer, token: str | None = TOKEN) -> AsyncGenerator[Entsoe, None]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield entsoe(client, FakeClock(NOON), address=f"{server.address}/api", token=token)


async def day_ahead(
    server: SourceServer, start: datetime = LOCAL_MIDNIGHT, end: datetime = TWO_DAYS_LATER
) -> PriceAnswer:
    async with source(server) as prices:
        return await prices.day_ahead(AUSTRIA, start, end)


async def generation(server: SourceServer) -> MixAnswer:
    async with source(server) as mix:
        return await mix.generation(AUSTRIA, MONDAY - hours(24), NOON)


def text_replaced(server: SourceServer, old: str, new: str) -> None:
    def fault(_path: str, _query: dict[str, str], answer: Answer) -> Answer:
        assert old in answer.body.decode()
        return as_xml(answer.body.decode().replace(old, new))

    server.fault = fault


# Prices


async def test_prices_of_the_coupled_auction_come_per_kilowatt_hour(server: SourceServer):
    told = await day_ahead(server)
    assert (told.grid.start, told.grid.steps, told.grid.step_minutes) == (LOCAL_MIDNIGHT, 2 * 96, 15)
    expected = [spot_per_mwh(told.grid.instant(step)) / 1000 for step in range(told.grid.steps)]
    np.testing.assert_allclose(told.spot_per_kwh, expected)
    assert min(expected) < 0  # which a price may be
    assert (told.currency, told.issued_at) == ("EUR", NOON)
    path, asked = server.asked[0]
    assert path == "/api"
    assert asked == {
        "documentType": "A44",
        "contract_MarketAgreement.type": "A01",
        "in_Domain": "10YAT-APG------L",
        "out_Domain": "10YAT-APG------L",
        "periodStart": "202603012300",
        "periodEnd": "202603032300",
        "securityToken": TOKEN,
    }


@pytest.mark.parametrize(
    ("day", "length"), [(datetime(2026, 3, 29, tzinfo=UTC), 23), (datetime(2025, 10, 26, tzinfo=UTC), 25)]
)
async def test_a_day_of_23_or_25_hours_has_as_many(server: SourceServer, day: datetime, length: int):
    server.now = day + hours(12)
    start = day - hours(1) if length == 23 else day - hours(2)
    told = await day_ahead(server, start, start + hours(length))
    assert (told.grid.start, told.grid.steps) == (start, 4 * length)
    assert np.isfinite(told.spot_per_kwh).all()


async def test_before_they_are_out_there_are_none(server: SourceServer):
    server.now = MONDAY + hours(8)
    told = await day_ahead(server)
    assert told.grid.end == LOCAL_MIDNIGHT + hours(24)
    with pytest.raises(InsufficientData, match="nothing for this time and zone yet"):
        await day_ahead(server, LOCAL_MIDNIGHT + hours(24), LOCAL_MIDNIGHT + hours(48))


async def test_an_auction_beside_the_coupled_one_is_no_price(server: SourceServer):
    text_replaced(server, ">1</classificationSequence", ">3</classificationSequence")
    with pytest.raises(InsufficientData, match="no day-ahead prices"):
        await day_ahead(server)


def market(*periods: str, curve: str = "A03", said: str = "") -> Answer:
    code = AUSTRIA.code
    return as_xml(
        publication(
            f"<TimeSeries><in_Domain.mRID codingScheme='A01'>{code}</in_Domain.mRID>"
            f"<currency_Unit.name>EUR</currency_Unit.name><price_Measure_Unit.name>MWH</price_Measure_Unit.name>{said}"
            f"<curveType>{curve}</curveType>{''.join(periods)}</TimeSeries>",
            NOON,
        )
    )


def priced(start: datetime, length: int, resolution: str, **points: float) -> str:
    told = "".join(point(int(place[1:]), "price.amount", value) for place, value in points.items())
    return period(start, start + hours(length), resolution, told)


async def test_repeated_points_that_are_left_out_carry_to_the_end_of_the_period(server: SourceServer):
    """DEFINITIONS 14."""
    server.fail(market(priced(MONDAY, 4, "PT60M", p1=40.0, p3=80.0)))
    told = await day_ahead(server)
    np.testing.assert_allclose(told.spot_per_kwh, np.repeat([0.04, 0.04, 0.08, 0.08], 4))


async def test_points_left_out_between_blocks_of_fixed_size_are_unknown(server: SourceServer):
    server.fail(market(priced(MONDAY, 3, "PT60M", p1=40.0, p3=80.0), curve="A01"))
    told = await day_ahead(server)
    np.testing.assert_array_equal(np.isnan(told.spot_per_kwh), np.repeat([False, True, False], 4))


async def test_a_curve_that_begins_late_is_unknown_before(server: SourceServer):
    server.fail(market(priced(MONDAY, 3, "PT60M", p2=40.0)))
    told = await day_ahead(server)
    np.testing.assert_array_equal(np.isnan(told.spot_per_kwh), np.repeat([True, False, False], 4))


async def test_periods_of_several_resolutions_meet_and_the_finer_counts(server: SourceServer):
    server.fail(
        market(
            priced(MONDAY + hours(1), 1, "PT30M", p1=50.0, p2=60.0),
            priced(MONDAY, 3, "PT60M", p1=10.0),
            priced(MONDAY + hours(4), 1, "PT15M", p1=70.0, p4=90.0),
        )
    )
    told = await day_ahead(server)
    hour = [0.01, 0.05, 0.05, 0.06, 0.06, 0.01, np.nan, 0.07, 0.07, 0.07, 0.09]
    np.testing.assert_allclose(told.spot_per_kwh, np.repeat(hour, [4, 1, 1, 1, 1, 4, 4, 1, 1, 1, 1]))


# Generation


async def test_generation_is_told_by_kind_and_what_storage_takes_is_none(server: SourceServer):
    told = await generation(server)
    assert set(told.mix.generation_kw) == {"gas", "solar", "reservoir", "wind_onshore"}
    grid = told.mix.grid
    assert (grid.start, grid.end, grid.step_minutes) == (MONDAY - hours(24), NOON - hours(2), 15)
    for kind, code in (("gas", "B04"), ("solar", "B16"), ("reservoir", "B12"), ("wind_onshore", "B19")):
        expected = [1000 * generation_mw(code, grid.instant(step)) for step in range(grid.steps)]
        np.testing.assert_array_equal(told.mix.generation_kw[kind], expected)
    assert server.asked[0][1]["processType"] == "A16"


async def test_a_kind_that_tells_less_is_unknown_for_the_rest(server: SourceServer):
    query = {"in_Domain": AUSTRIA.code}
    gas = period(MONDAY, MONDAY + hours(2), "PT60M", point(1, "quantity", 5.0))
    wind = period(MONDAY + hours(1), MONDAY + hours(2), "PT60M", point(1, "quantity", 7.0))
    unknown = period(MONDAY, MONDAY + hours(2), "PT60M", point(1, "quantity", 9.0))
    parts = (("B04", gas), ("B19", wind), ("B99", unknown))
    server.fail(as_xml(load_document("".join(generation_series("inBiddingZone", *one, query) for one in parts), NOON)))
    told = (await generation(server)).mix.generation_kw
    assert set(told) == {"gas", "wind_onshore"}
    np.testing.assert_array_equal(told["gas"], [5000.0] * 8)
    np.testing.assert_array_equal(told["wind_onshore"], [np.nan] * 4 + [7000.0] * 4)


# What is no answer


async def test_without_a_token_nobody_is_asked(server: SourceServer):
    async with source(server, token=None) as prices:
        with pytest.raises(NotAllowed, match="set ENTSOE_API_TOKEN"):
            await prices.day_ahead(AUSTRIA, MONDAY, NOON)
    assert server.asked == []


async def test_a_wrong_token_is_told_as_one_without_repeating_it(server: SourceServer):
    async with source(server, token="another-token") as prices:
        with pytest.raises(NotAllowed, match="refuses the key or token") as refusal:
            await prices.day_ahead(AUSTRIA, MONDAY, NOON)
    assert "another-token" not in refusal.value.message


async def test_a_refused_question_is_told_with_its_reason_and_without_the_token(server: SourceServer):
    server.fail(as_xml(acknowledgement(f"Invalid query attributes or parameters: {TOKEN}."), status=400))
    with pytest.raises(InvalidInput, match="Invalid query attributes or parameters") as refusal:
        await day_ahead(server)
    assert TOKEN not in refusal.value.message


REPLACED = {
    "another zone": ("10YAT-APG------L</in_Domain", "10YBE----------2</in_Domain", "asked for '10YAT-APG------L'"),
    "another unit": ("MWH</price_Measure", "KWH</price_Measure", "'KWH', asked for 'MWH'"),
    "another type": ("<type>A44</type>", "<type>A65</type>", "another document"),
    "two currencies": ("EUR</currency", "PLNEUR</currency", "several currencies, or in none"),
    "another curve": ("<curveType>A03", "<curveType>A02", "curves of type 'A02'"),
    "another step": ("PT15M", "P1D", "steps of 'P1D'"),
    "no number": ("<price.amount>", "<price.amount>NaN", "without position and price.amount"),
    "infinity": (
        "<position>1</position>",
        "<position>1</position><price.amount>1e999</price.amount>",
        "price.amount that is no number",
    ),
    "position nought": ("<position>1</position>", "<position>0</position>", "do not ascend"),
    "a position twice": ("<position>3</position>", "<position>1</position>", "do not ascend"),
    "too many positions": ("<position>95</position>", "<position>97</position>", r"within 1\.\.96"),
    "no time": ("2026-03-02T23:00Z</end>", "tomorrow</end>", "'tomorrow' for a time"),
    "a naive time": ("2026-03-02T23:00Z</end>", "2026-03-02T23:00</end>", "must carry a time zone"),
    "an end before its start": ("2026-03-02T23:00Z</end>", "2026-02-02T23:00Z</end>", "end must be"),
    "a period of ages": ("2026-03-02T23:00Z</end>", "2099-03-02T23:00Z</end>", "period of years"),
}


@pytest.mark.parametrize("fault", REPLACED)
async def test_what_is_not_what_was_asked_is_refused(server: SourceServer, fault: str):
    old, new, sentence = REPLACED[fault]
    text_replaced(server, old, new)
    with pytest.raises(InvalidInput, match=sentence):
        await day_ahead(server)


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;">]>
<Publication_MarketDocument><type>&lol2;</type></Publication_MarketDocument>"""


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(b"<html>Bad gateway</html>", "text/html"), "text/html, not XML"),
        (Answer(b"PK\x03\x04", "application/zip"), "application/zip, not XML"),
        (Answer(b"<html><body>Maintenance</body></html>", "text/xml"), "another document"),
        (Answer(b"{}", "text/xml"), "no whole XML document"),
        (as_xml(BOMB), "no whole XML document"),
        (Answer(b"<a>" * 100_000, "text/xml"), "no whole XML document"),
        (as_xml(publication("<TimeSeries/>", NOON)), "asked for"),
        (market(), "no period"),
        (market(period(MONDAY, NOON, "PT60M", "")), "do not ascend"),
        (market("<Period><resolution>PT60M</resolution></Period>"), "no timeInterval"),
        (market(*(priced(MONDAY + hours(late), 1, "PT60M", p1=1.0) for late in (0, 12_000))), "years apart"),
    ],
)
async def test_what_is_no_answer_is_refused(server: SourceServer, answer: Answer, sentence: str):
    server.fail(answer)
    with pytest.raises(InvalidInput, match=sentence):
        await day_ahead(server)


async def test_a_document_from_the_future_was_issued_now(server: SourceServer):
    server.now = NOON + timedelta(minutes=5)
    assert (await day_ahead(server)).issued_at == NOON


# Curves


@given(st.lists(st.sampled_from([-1.0, 0.0, 2.5, 7.0]), min_size=1, max_size=100))
def test_what_a_writer_of_variable_blocks_leaves_out_is_found_again(values: list[float]):
    points = [(place + 1, value) for place, value in enumerate(values) if place == 0 or value != values[place - 1]]
    np.testing.assert_array_equal(expand_curve(points, len(values), "A03"), values)


@given(st.sets(st.integers(1, 60), min_size=1), st.sampled_from(["A01", "A03"]), st.data())
def test_a_curve_is_what_going_through_it_step_by_step_gives(positions: set[int], curve: str, data: st.DataObject):
    points = [(position, data.draw(st.floats(-1e3, 1e3))) for position in sorted(positions)]
    told, latest, expected = dict(points), np.nan, []
    for position in range(1, 61):
        latest = told.get(position, latest if curve == "A03" else np.nan)
        expected.append(latest)
    np.testing.assert_array_equal(expand_curve(points, 60, curve), expected)


@given(st.binary(max_size=200), st.sampled_from([b"", b"<Publication_MarketDocument>", b"<?xml version='1.0'?>"]))
def test_no_bytes_make_the_reader_fail_otherwise_than_with_a_sentence(body: bytes, head: bytes):
    with pytest.raises(TwinError):
        read_document(head + body, root="Publication_MarketDocument", document_type="A44", value="price.amount")
