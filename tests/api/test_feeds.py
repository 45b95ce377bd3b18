"""Feeds over HTTP: set up, looked at, taken away, and refused with a sentence that says what to do."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.in_memory import InMemoryApi, in_memory_api
from tests.builders import hours

from digital_twin.api.schemas.communities import GUIDE_COMMUNITY
from digital_twin.domain.feeds import FeedKind
from digital_twin.services.ports import FeedIssue, Outcome

PLACE = {"latitude": 48.21, "longitude": 16.37}
TERMS = {"factor": 1.03, "adder_per_kwh": 0.12, "vat": 0.2}
PLAIN = {"factor": 1.0, "adder_per_kwh": 0.0, "vat": 0.0}
HERE = "/communities/green_village/feeds"


@pytest.fixture
def here(api: Api, operator: httpx.Client) -> str:
    """The feeds of a community with a place."""
    return f"/communities/{api.community(operator, **PLACE)}/feeds"


def test_a_feed_is_set_up_listed_replaced_and_taken_away(operator: httpx.Client, here: str):
    assert answered(operator.get(here)) == {"feeds": []}
    weather = answered(operator.put(f"{here}/weather", json={}))
    assert (weather["kind"], weather["source"], weather["resolution_minutes"]) == ("weather", "open-meteo", 60)
    assert weather["issue"] is weather["last_attempt"] is weather["age_s"] is weather["zone"] is None
    assert (weather["quality"], weather["enabled"]) == ("missing", True)
    prices = answered(operator.put(f"{here}/prices", json={"zone": "10YAT-APG------L", "import_terms": TERMS}))
    assert prices["zone"] == {"name": "AT", "code": "10YAT-APG------L"}
    assert (prices["import_terms"], prices["export_terms"]) == (TERMS, PLAIN)
    carbon = answered(operator.put(f"{here}/carbon", json={"zone": "DE-LU", "basis": "life_cycle"}))
    assert (carbon["zone"]["code"], carbon["basis"]) == ("10Y1001A1001A82H", "life_cycle")
    assert [one["kind"] for one in answered(operator.get(here))["feeds"]] == ["weather", "prices", "carbon"]

    off = answered(operator.put(f"{here}/weather", json={"resolution_minutes": 15, "enabled": False}))
    assert (off["resolution_minutes"], off["enabled"]) == (15, False)
    answered(operator.delete(f"{here}/weather"), 204)
    assert "set one up with PUT .../feeds/weather" in refused(operator.get(f"{here}/weather"), 404)["detail"]
    refused(operator.delete(f"{here}/weather"), 404)
    assert [one["kind"] for one in answered(operator.get(here))["feeds"]] == ["prices", "carbon"]


def test_weather_without_a_place_is_refused_with_what_to_do(api: Api, operator: httpx.Client):
    community = api.community(operator)
    problem = refused(operator.put(f"/communities/{community}/feeds/weather", json={}), 422)
    assert f"give the community latitude and longitude first, with PUT /communities/{community}" in problem["detail"]


WRONG: dict[str, tuple[str, Any, str]] = {
    "no zone": ("prices", {}, "zone"),
    "an unknown zone": ("prices", {"zone": "Austria"}, "zone"),
    "a code with a slip": ("carbon", {"zone": "10YAT-APG------M"}, "zone"),
    "another source": ("prices", {"zone": "AT", "source": "nordpool"}, "source"),
    "an address": ("weather", {"url": "http://169.254.169.254/"}, "url"),
    "half an hour": ("weather", {"resolution_minutes": 30}, "resolution_minutes"),
    "a tax in per cent": ("prices", {"zone": "AT", "import_terms": {"vat": 20.0}}, "import_terms/vat"),
    "an unknown basis": ("carbon", {"zone": "AT", "basis": "marginal"}, "basis"),
    "a word for truth": ("weather", {"enabled": "yes"}, "enabled"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_feed_that_cannot_be_is_refused_where_it_is_wrong(operator: httpx.Client, here: str, case: str):
    kind, body, pointer = WRONG[case]
    refused(operator.put(f"{here}/{kind}", json=body), 422, pointer=f"/{pointer}")


def test_an_unknown_zone_is_answered_with_those_that_are_known(operator: httpx.Client, here: str):
    problem = refused(operator.put(f"{here}/prices", json={"zone": "Austria"}), 422)
    assert "AT, BA, BE" in str(problem["errors"])
    assert "Austria" not in str(problem)


def test_terms_and_a_tariff_are_not_both_applied(api: Api, operator: httpx.Client):
    price = {"kind": "dynamic", "markup_per_kwh": 0.1, "multiplier": 1.0}
    tariff = {"import_price": price, "export_price": {"kind": "flat", "per_kwh": 0.08}}
    path = f"/communities/{api.community(operator, tariff=tariff)}/feeds/prices"
    refused(operator.put(path, json={"zone": "AT", "import_terms": TERMS}), 422, pointer="/import_terms")
    answered(operator.put(path, json={"zone": "AT"}))


def test_there_are_three_kinds_of_feeds(operator: httpx.Client, here: str):
    refused(operator.get(f"{here}/tides"), 422)


# What a status tells


@pytest.fixture
async def told() -> AsyncGenerator[tuple[InMemoryApi, dict[str, str]], None]:
    """A community with a weather feed, and who may ask for it."""
    async with in_memory_api() as api:
        await api.create_administrator()
        headers = {"Authorization": f"Bearer {(await api.login())['access_token']}"}
        answered(await api.client.post("/communities", json={**GUIDE_COMMUNITY, **PLACE}, headers=headers), 201)
        answered(await api.client.put(f"{HERE}/weather", json={}, headers=headers))
        yield api, headers


async def test_a_status_tells_the_last_good_issue_and_what_went_wrong_since(told: tuple[InMemoryApi, dict[str, str]]):
    api, headers = told
    then = api.clock.now()
    async with api.twin.store.community("green_village") as tx:
        good = FeedIssue(
            FeedKind.WEATHER,
            "open-meteo",
            then,
            Outcome.STORED,
            None,
            then - hours(1),
            then - hours(12),
            then + hours(99),
        )
        await tx.feeds.add_issue(good)
    answer = answered(await api.client.get(f"{HERE}/weather", headers=headers))
    assert answer["issue"] == {
        "issued_at": "2026-03-02T11:00:00Z",
        "fetched_at": "2026-03-02T12:00:00Z",
        "start": "2026-03-02T00:00:00Z",
        "end": "2026-03-06T15:00:00Z",
    }
    assert (answer["quality"], answer["last_attempt"]["outcome"], answer["age_s"]) == ("estimated", "stored", 0)

    api.clock.advance(minutes=20)
    async with api.twin.store.community("green_village") as tx:
        failed = FeedIssue(
            FeedKind.WEATHER, "open-meteo", api.clock.now(), Outcome.REFUSED, "open-meteo answers in another unit"
        )
        await tx.feeds.add_issue(failed)
    later = answered(await api.client.get(f"{HERE}/weather", headers=headers))
    assert later["issue"] == answer["issue"]
    assert (later["quality"], later["age_s"]) == ("substituted", 1200)
    assert later["last_attempt"] == {
        "fetched_at": "2026-03-02T12:20:00Z",
        "outcome": "refused",
        "note": "open-meteo answers in another unit",
    }
