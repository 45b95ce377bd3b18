"""Accuracy, issued forecasts and backtests over HTTP: the whole way from a Run to its result, and to the client."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import EIGHT_NUMBERS, Api, answered, refused
from tests.api.in_memory import InMemoryApi, in_memory_api
from tests.api.test_forecasts import DAY, START, days_of_load, record
from tests.builders import issued_forecast

from digital_twin.client import Tokens, TwinClient
from digital_twin.domain import errors

AT_ONCE = {"Prefer": "wait=60"}
LOAD = {"variables": ["load_kw"], "models": ["ridge"], "days": 7, "as_of": DAY["start_time"]}


def ended(client: httpx.Client, run: Any) -> Any:
    while run["state"] in ("queued", "running"):
        run = answered(client.get(run["links"]["self"], headers=AT_ONCE))
    return run


def backtest(client: httpx.Client, community_id: str, **body: Any) -> Any:
    """The Run of a backtest when it has ended."""
    path = f"/communities/{community_id}/forecasting/backtest"
    return ended(client, answered(client.post(path, json={**LOAD, **body}, headers=AT_ONCE), 202))


@pytest.fixture
def metered(operator: httpx.Client, community: str) -> str:
    """A community that meters its load by the hour."""
    record(operator, community, days_of_load(40, minutes=60), minutes=60)
    return community


def test_a_model_is_held_against_the_seasonal_naive_on_past_days(operator: httpx.Client, metered: str):
    run = backtest(operator, metered)
    assert (run["kind"], run["state"], run["progress"]) == ("backtest", "succeeded", {"done": 2, "total": 2})
    result = answered(operator.get(run["links"]["result"]))
    assert (result["result_id"], result["days"], result["refit_days"]) == (run["run_id"], 7, 7)
    load = result["variables"]["load_kw"]
    assert sorted(load["models"]) == ["ridge", "seasonal_naive"]
    ridge, naive = load["models"]["ridge"], load["models"]["seasonal_naive"]
    assert ridge["days"] == naive["days"] == 7
    ratio = ridge["naive_ratio"]
    assert ratio["value"] == pytest.approx(sum(load["by_day"]["ridge"]) / sum(load["by_day"]["seasonal_naive"]))
    assert ratio["low"] <= ratio["value"] <= ratio["high"] < 1, "noise around a wave is best met by its mean"
    assert naive["naive_ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert 0.7 < ridge["coverage_90"] <= 1
    first = (START - timedelta(days=7)).date()
    assert load["by_day"]["day"] == [(first + timedelta(days=day)).isoformat() for day in range(7)]
    by_hour = load["by_hour"]["ridge"]
    assert len(by_hour) == 24
    assert sum(by_hour) / 24 == pytest.approx(ridge["pinball_loss_kw"])


def test_a_backtest_sees_nothing_that_was_received_later(operator: httpx.Client, metered: str):
    first = answered(operator.get(backtest(operator, metered)["links"]["result"]))
    record(operator, metered, [5e3] * 24, end=START - timedelta(days=3), minutes=60, delay_minutes=None)
    again = answered(operator.get(backtest(operator, metered)["links"]["result"]))
    assert again["variables"] == first["variables"]
    assert again["provenance"] == first["provenance"]
    now = answered(operator.get(backtest(operator, metered, as_of=None)["links"]["result"]))
    assert now["provenance"] != first["provenance"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"models": ["crystal_ball"]}, "/model"),
        ({"models": ["pvwatts"]}, "/models"),
        ({"models": []}, "/models"),
        ({"days": 57}, "/days"),
        ({"days": 1}, "/days"),
        ({"refit_days": 0}, "/refit_days"),
        ({"variables": ["price"]}, "/variables/0"),
        ({"as_of": "2999-01-01T00:00:00Z"}, "/as_of"),
    ],
)
def test_what_cannot_be_backtested_is_refused_before_there_is_a_run(
    operator: httpx.Client, metered: str, body: Any, pointer: str
):
    path = f"/communities/{metered}/forecasting/backtest"
    refused(operator.post(path, json={**LOAD, **body}), 422, pointer=pointer)
    assert answered(operator.get("/runs", params={"community_id": metered}))["runs"] == []


def test_too_little_history_says_what_is_needed(operator: httpx.Client, metered: str):
    path = f"/communities/{metered}/forecasting/backtest"
    short = refused(operator.post(path, json={**LOAD, "days": 28}), 409)
    assert (short["needed"], short["found"]) == (21, 12)
    assert "ask for fewer days" in short["detail"]
    sunny = refused(operator.post(path, json={**LOAD, "variables": ["load_kw", "pv_kw"]}), 409)
    assert sunny["found"] == 0
    everything = {**LOAD, "variables": None}
    assert (
        ended(operator, answered(operator.post(path, json=everything, headers=AT_ONCE), 202))["progress"]["total"] == 2
    )


def test_a_result_that_is_not_there_is_not_found(operator: httpx.Client, metered: str):
    for result_id in ("nothing", "0190a5b8-7c3d-7000-8000-000000000000"):
        refused(operator.get(f"/communities/{metered}/forecasting/backtest/{result_id}"), 404)


def test_before_anything_was_issued_nothing_is_told(operator: httpx.Client, community: str):
    accuracy = answered(operator.get(f"/communities/{community}/forecasting/accuracy"))
    assert accuracy["variables"] == {}
    assert accuracy["timezone"] == "UTC"
    assert answered(operator.get(f"/communities/{community}/forecasting/issued"))["forecasts"] == []
    assert answered(operator.get(f"/communities/{community}/forecasting/models"))["drift"] == {}


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"variable": "price"}, "/variable"),
        ({"start": "2026-03-02T00:00:00"}, "/start"),
        ({"start": "2024-01-01T00:00:00Z"}, "/start"),
        ({"day": "2026-03-02"}, "/day"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    operator: httpx.Client, community: str, params: dict[str, str], pointer: str
):
    for what in ("accuracy", "issued"):
        refused(operator.get(f"/communities/{community}/forecasting/{what}", params=params), 422, pointer=pointer)


async def signed_in(api: InMemoryApi) -> dict[str, str]:
    """What an administrator's request carries now."""
    return {"Authorization": f"Bearer {(await api.login())['access_token']}"}


async def test_what_was_issued_is_told_with_how_good_it_was():
    async with in_memory_api(registration="open") as api:
        await api.create_administrator()
        body = {"community_id": "here", **EIGHT_NUMBERS, "timezone": "UTC"}
        created = await api.client.post("/communities", json=body, headers=await signed_in(api))
        assert created.status_code == 201
        midnight = api.clock.now().replace(hour=0)
        start = midnight - timedelta(days=10)
        column = {"name": "load_kw", "unit": "kW", "start": start.isoformat(), "resolution_minutes": 60}
        readings = {"series": [{**column, "values": days_of_load(11, minutes=60)}], "assumed_delay_minutes": 0}
        await api.twin.forecast_care.look_after("here")  # nothing is known yet
        api.clock.advance(days=1)
        path = "/communities/here/readings"
        assert (await api.client.post(path, json=readings, headers=await signed_in(api))).is_success
        async with api.twin.store.community("here") as tx:
            await tx.issued_forecasts.add(issued_forecast(midnight, level_kw=60.0))
        await api.twin.forecast_care.look_after("here")
        headers = await signed_in(api)
        there = "/communities/here/forecasting"
        accuracy = (await api.client.get(f"{there}/accuracy", headers=headers)).json()
        load = accuracy["variables"]["load_kw"]
        assert load["days"] == 1
        assert load["by_day"]["day"] == [str(midnight.date()), str(midnight.date() + timedelta(days=1))]
        assert load["by_day"]["nmae"][0] == pytest.approx(load["nmae"])
        assert load["by_day"]["nmae"][1] is None
        assert load["skill"] == pytest.approx(1 - load["pinball_loss_kw"] / load["naive_pinball_loss_kw"])
        issued = (await api.client.get(f"{there}/issued", headers=headers, params={"variable": "load_kw"})).json()
        first, second = issued["forecasts"]
        assert first["actual"] == pytest.approx(days_of_load(11, minutes=60)[-24:])
        assert second["actual"] == [None] * 24
        assert first["issued_at"] == first["start"]
        drift = (await api.client.get(f"{there}/models", headers=headers)).json()["drift"]
        assert (drift["load_kw"]["is_degraded"], drift["load_kw"]["days"]) == (False, 1)


@pytest.fixture
def client(api: Api, operator: httpx.Client) -> Iterator[TwinClient]:
    access = operator.headers["Authorization"].removeprefix("Bearer ")
    with TwinClient(api.url, tokens=Tokens(access, "none")) as made:
        yield made


def test_the_client_backtests_and_asks_how_good_forecasts_were(client: TwinClient, metered: str):
    run = client.wait_for(client.backtest(metered, ["seasonal_naive"], days=3, as_of=START))
    result = client.backtest_result(metered, run["run_id"])
    assert list(result["variables"]["load_kw"]["models"]) == ["seasonal_naive"]
    now = datetime.now(UTC)
    assert client.forecast_accuracy(metered, start=now - timedelta(days=3), end=now)["variables"] == {}
    assert client.issued_forecasts(metered, variable="load_kw")["forecasts"] == []
    with pytest.raises(errors.InvalidInput):
        client.backtest(metered, ["crystal_ball"])
