"""What feeds tell is what forecasts and plans are made of, and their provenance says so."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.api.application import answered
from tests.api.in_memory import InMemoryApi, in_memory_api
from tests.builders import MONDAY, hours
from tests.feed_sources import TOKEN, Answer, SourceServer, as_json, spot_per_mwh

from digital_twin.adapters.feed_sources import SourceAddresses, open_sources
from digital_twin.api.schemas.communities import GUIDE_COMMUNITY
from digital_twin.services.feed_updates import FeedUpdates

NOON = MONDAY + hours(12)
HERE = "/communities/green_village"
AHEAD = {"start_time": "2026-03-02T12:15:00Z", "horizon_hours": 12}


@dataclass
class FedApi:
    """A community with feeds, asked over HTTP."""

    api: InMemoryApi
    headers: dict[str, str]
    server: SourceServer
    updates: FeedUpdates

    async def ask(self, method: str, path: str, body: Any, status: int = 200) -> Any:
        return answered(await self.api.client.request(method, path, json=body, headers=self.headers), status)

    async def update(self) -> None:
        self.server.now = self.api.clock.now()
        await self.updates.update_due()
        self.api.clock.advance(minutes=15)

    async def forecast(self, **given: Any) -> Any:
        return await self.ask("POST", f"{HERE}/forecasting/generate", {**AHEAD, **given})

    async def dispatch(self) -> Any:
        return await self.ask("POST", f"{HERE}/optimization/dispatch", {**AHEAD, "objective": "minimize_cost"})


@asynccontextmanager
async def fed_api(**given: Any) -> AsyncGenerator[FedApi, None]:
    with SourceServer(NOON).serving() as server:
        addresses = SourceAddresses(server.address, server.address, f"{server.address}/api", None, TOKEN)
        async with in_memory_api() as api, open_sources(addresses, api.clock) as sources:
            await api.create_administrator()
            headers = {"Authorization": f"Bearer {(await api.login())['access_token']}"}
            updates = FeedUpdates(api.twin.store, api.clock, sources, history_days=0)
            fed = FedApi(api, headers, server, updates)
            place = {"latitude": 48.21, "longitude": 16.37, "timezone": "Europe/Vienna"}
            await fed.ask("POST", "/communities", {**GUIDE_COMMUNITY, **place, **given}, 201)
            yield fed


def under_a_black_sky(_path: str, _query: dict[str, str], answer: Answer) -> Answer:
    document = json.loads(answer.body)
    for name in ("shortwave_radiation", "direct_normal_irradiance", "diffuse_radiation"):
        document["hourly"][name] = [0.0] * len(document["hourly"]["time"])
    return as_json(document)


async def test_generation_is_forecast_from_the_radiation_that_the_feed_foresees():
    async with fed_api() as fed:
        without = await fed.forecast()
        assert "ghi_wm2" not in without["provenance"]["sources"]
        await fed.ask("PUT", f"{HERE}/feeds/weather", {})
        fed.server.fault = under_a_black_sky
        await fed.update()
        dark = await fed.forecast()
        assert max(without["variables"]["pv_kw"]["mean"]) > 10
        assert max(dark["variables"]["pv_kw"]["mean"]) == 0
        told = "weather feed of open-meteo, issued at 2026-03-02T12:00:00Z"
        assert {dark["provenance"]["sources"][name] for name in ("ghi_wm2", "temperature_c", "wind_speed_ms")} == {told}


async def test_a_forecast_as_of_before_the_feed_knows_nothing_of_it():
    async with fed_api() as fed:
        await fed.ask("PUT", f"{HERE}/feeds/weather", {})
        await fed.update()
        before = await fed.forecast(as_of="2026-03-02T11:59:00Z")
        assert "ghi_wm2" not in before["provenance"]["sources"]


async def test_an_issue_that_stands_in_is_named_as_such():
    async with fed_api() as fed:
        await fed.ask("PUT", f"{HERE}/feeds/weather", {})
        await fed.update()
        fed.api.clock.advance(minutes=51)
        fed.headers |= {"Authorization": f"Bearer {(await fed.api.login())['access_token']}"}
        fed.server.fail(Answer(b"<html></html>", "text/html"))
        await fed.update()
        body = {"start_time": "2026-03-02T14:00:00Z", "horizon_hours": 4}
        sources = (await fed.forecast(**body))["provenance"]["sources"]
        assert sources["ghi_wm2"] == (
            "weather feed of open-meteo, issued at 2026-03-02T12:00:00Z, in place of one that failed at "
            "2026-03-02T13:06:00Z"
        )
        path = f"{HERE}/readings?series=ghi_wm2&start=2026-03-02T12:00:00Z&end=2026-03-02T16:00:00Z"
        [column] = (await fed.ask("GET", path, None))["series"]
        assert column["quality"] == ["estimated", *["substituted"] * 3]


async def test_a_plan_pays_the_price_that_the_feeds_terms_make():
    async with fed_api() as fed:
        terms = {"factor": 1.03, "adder_per_kwh": 0.12, "vat": 0.2}
        await fed.ask("PUT", f"{HERE}/feeds/prices", {"zone": "AT", "import_terms": terms})
        await fed.ask("PUT", f"{HERE}/feeds/carbon", {"zone": "AT"})
        await fed.update()
        plan = await fed.dispatch()
        sources, assumed = plan["provenance"]["sources"], plan["provenance"]["assumptions"]
        assert sources["import_price_per_kwh"] == "prices feed of entsoe, issued at 2026-03-02T12:00:00Z"
        assert sources["export_price_per_kwh"] == sources["import_price_per_kwh"]
        assert sources["emission_factor_kg_per_kwh"] == "carbon feed of entsoe, issued at 2026-03-02T12:00:00Z"
        assert not [one for one in assumed if "per kWh" in one or "kg/kWh" in one]
        spot = np.array([spot_per_mwh(NOON + hours(step / 4)) / 1000 for step in range(1, 49)])
        paid = 0.25 * np.array(plan["import_kw"]) @ ((spot * 1.03 + 0.12) * 1.2)
        earned = 0.25 * np.array(plan["export_kw"]) @ spot
        assert plan["cost"] == pytest.approx(paid - earned, rel=1e-4)


async def test_a_dynamic_tariff_follows_the_feeds_spot_price():
    price = {"kind": "dynamic", "markup_per_kwh": 0.1, "multiplier": 1.5}
    async with fed_api(tariff={"import_price": price, "export_price": {"kind": "flat", "per_kwh": 0.0}}) as fed:
        await fed.ask("PUT", f"{HERE}/feeds/prices", {"zone": "AT"})
        await fed.update()
        plan = await fed.dispatch()
        source = plan["provenance"]["sources"]["import_price_per_kwh"]
        assert source == (
            "dynamic tariff on import_price_per_kwh prices feed of entsoe, issued at 2026-03-02T12:00:00Z"
        )
        spot = np.array([spot_per_mwh(NOON + hours(step / 4)) / 1000 for step in range(1, 49)])
        assert plan["cost"] == pytest.approx(0.25 * np.array(plan["import_kw"]) @ (spot * 1.5 + 0.1), rel=1e-4)
