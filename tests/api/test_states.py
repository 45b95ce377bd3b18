"""States over HTTP: there at once, current with the readings, as known at any instant, for those who may see them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused

from digital_twin.client import Tokens, TwinClient

START = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = ["demand_kw", "pv_kw", "net_load_kw", "storage_soc_kwh"]
DAYS = 6
HOURS = np.arange(24 * DAYS)
CHANCE = np.random.default_rng(0).normal(size=HOURS.size)
LOAD = (50 + 20 * np.sin(2 * np.pi * (HOURS - 9) / 24) + 2 * CHANCE).round(3)
PV = (300 * np.maximum(np.sin((HOURS % 24 - 6) / 12 * np.pi), 0)).round(3)


def state(client: httpx.Client, community: str, **query: Any) -> Any:
    return answered(client.get(f"/communities/{community}/state", params=query))


def history(client: httpx.Client, community: str, start: datetime, end: datetime) -> Any:
    query = {"start": start.isoformat(), "end": end.isoformat()}
    return answered(client.get(f"/communities/{community}/state/history", params=query))


def column(name: str, values: Any, *, member_id: str | None = None, start: datetime = START) -> dict[str, Any]:
    unit, kind = ("kWh", "instant") if name.endswith("_kwh") else ("kW", "mean")
    return {
        "name": name, "unit": unit, "kind": kind, "member_id": member_id, "start": start.isoformat(),
        "resolution_minutes": 60, "values": list(values),
    }  # fmt: skip


def record(client: httpx.Client, community: str, *columns: dict[str, Any]) -> None:
    body = {"series": list(columns), "assumed_delay_minutes": 0}
    answered(client.post(f"/communities/{community}/readings", json=body))


def test_the_guides_community_has_a_state_right_after_it_was_made(operator: httpx.Client, community: str):
    found = state(operator, community)
    assert list(found["states"]) == NAMES
    assert found["observed_at"] is None
    assert found["nis"] is None
    assert found["data_age_s"] is None
    assert found["coverage"] == 0
    assert all(one["sd"] >= 0 for one in found["states"].values())
    assert found["states"]["demand_kw"]["sd"] > 0
    assert len(found["provenance"]["assumptions"]) >= 4


def test_the_state_follows_the_readings_and_its_history_shows_them(operator: httpx.Client, community: str):
    record(operator, community, column("load_kw", LOAD), column("pv_kw", PV), column("storage_soc_kwh", [400.0] * 144))
    found = state(operator, community)
    end = START + timedelta(days=DAYS)
    assert found["observed_at"] == end.isoformat().replace("+00:00", "Z")
    assert found["data_age_s"] == pytest.approx((datetime.now(UTC) - end).total_seconds(), abs=60)
    assert found["states"]["demand_kw"]["mean"] == pytest.approx(LOAD[-1], abs=0.2)
    assert found["states"]["storage_soc_kwh"]["mean"] == pytest.approx(400, abs=2)
    assert found["coverage"] == 1
    assert found["parts"]["unmetered_demand_kw"]["mean"] == pytest.approx(0, abs=0.2)
    assert abs(found["parts"]["net_charge_kw"]["mean"]) < 50, "the stored energy rests"
    assert found["parts"]["storage_losses_kw"]["mean"] >= 0
    past = history(operator, community, START + timedelta(days=5), end + timedelta(hours=2))
    assert past["resolution_minutes"] == 60
    assert past["start"] == "2026-03-07T00:00:00Z"
    np.testing.assert_allclose(past["states"]["demand_kw"]["mean"][:24], LOAD[-24:], atol=0.2)
    np.testing.assert_allclose(past["states"]["pv_kw"]["mean"][:24], PV[-24:], atol=1.0)
    assert past["states"]["net_load_kw"]["sd"][24:] == [None, None]
    assert past["coverage"] == [1] * 24 + [None] * 2
    record(operator, community, column("load_kw", [91.0], start=end - timedelta(hours=1)))
    assert state(operator, community)["states"]["demand_kw"]["mean"] == pytest.approx(91, abs=0.5)


def test_a_state_as_of_an_instant_knows_nothing_later(operator: httpx.Client, community: str):
    record(operator, community, column("load_kw", LOAD))
    then = state(operator, community, as_of="2026-03-05T12:30:00Z")
    assert then["observed_at"] == "2026-03-05T12:00:00Z"
    assert then["data_age_s"] == 1800
    assert then["states"]["demand_kw"]["mean"] == pytest.approx(LOAD[3 * 24 + 11], abs=0.2)
    record(operator, community, column("load_kw", [1.0] * 24, start=START + timedelta(days=4)))
    assert state(operator, community, as_of="2026-03-05T12:30:00Z")["states"] == then["states"]
    before = state(operator, community, as_of="2026-03-01T00:00:00Z")
    assert before["observed_at"] is None


def test_a_clear_sky_of_the_wrong_place_does_not_spoil_what_meters_show(api: Api, operator: httpx.Client):
    community = api.community(operator, latitude=-33.9, longitude=151.2, timezone="Australia/Sydney")
    record(operator, community, column("pv_kw", PV))
    past = history(operator, community, START + timedelta(days=4), START + timedelta(days=DAYS))
    np.testing.assert_allclose(past["states"]["pv_kw"]["mean"], PV[-48:], atol=2.0)


@pytest.mark.parametrize(
    "query",
    [
        {"start": "2026-03-02T00:00:00Z"},
        {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T00:00:00Z"},
        {"start": "2026-03-02T00:00:00Z", "end": "2028-03-02T00:00:00Z"},
        {"start": "2026-03-02T00:00:00", "end": "2026-03-03T00:00:00Z"},
        {"start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z", "resolution": "15"},
    ],
)
def test_a_span_that_makes_no_sense_is_refused(operator: httpx.Client, community: str, query: dict[str, str]):
    refused(operator.get(f"/communities/{community}/state/history", params=query), 422)


def test_the_past_is_told_with_hindsight_too(operator: httpx.Client, community: str):
    lost = [None if 100 <= hour < 104 else value for hour, value in enumerate(LOAD)]
    record(operator, community, column("load_kw", lost))
    query = {"start": "2026-03-06T00:00:00Z", "end": "2026-03-06T12:00:00Z"}
    path = f"/communities/{community}/state/history"
    told = answered(operator.get(path, params=query))
    found = answered(operator.get(path, params=query | {"hindsight": "true"}))
    assert found["start"] == told["start"]
    before, after = (np.array(one["states"]["demand_kw"]["sd"]) for one in (told, found))
    assert (after[4:8] < before[4:8]).all()
    assert answered(operator.get(path, params=query | {"hindsight": "false"})) == told
    refused(operator.get(path, params=query | {"hindsight": "yes"}), 422)
    early = query | {"start": "2025-06-01T00:00:00Z", "hindsight": "true"}
    problem = refused(operator.get(path, params=early), 422, pointer="/start")
    assert "ask from there on" in problem["detail"]


@pytest.mark.parametrize(
    "query",
    [
        {"as_of": "2099-01-01T00:00:00Z"},
        {"as_of": "1970-01-01T00:00:00Z"},
        {"as_of": "now"},
        {"at": "2026-03-02T00:00:00Z"},
    ],
)
def test_an_instant_that_cannot_be_known_is_refused(operator: httpx.Client, community: str, query: dict[str, str]):
    refused(operator.get(f"/communities/{community}/state", params=query), 422)
    refused(operator.get(f"/communities/{community}/state/prediction", params=query), 422)


def test_a_home_sees_the_state_of_five_homes_and_not_of_four(api: Api, operator: httpx.Client):
    for count, status in ((4, 403), (5, 200)):
        community = api.community(operator, num_prosumers=10)
        members = [{"member_id": f"home_{one}"} for one in range(count)]
        answered(operator.post(f"/communities/{community}/members", json={"members": members}), 201)
        record(operator, community, *(column("load_kw", LOAD, member_id=one["member_id"]) for one in members))
        home = api.member_of(community, "viewer", member_id="home_0")
        assert home.get(f"/communities/{community}/state").status_code == status
        shown = history(home, community, START, START + timedelta(hours=2))["coverage"]
        assert (shown == [None, None]) is (status == 403)
        assert state(operator, community)["coverage"] == pytest.approx(count / 10)


def test_the_prediction_goes_on_where_the_state_ends(operator: httpx.Client, community: str):
    record(operator, community, column("load_kw", LOAD), column("pv_kw", PV))
    found = answered(operator.get(f"/communities/{community}/state/prediction", params={"hours": 12}))
    assert list(found["states"]) == NAMES
    assert found["observed_at"] == "2026-03-08T00:00:00Z"
    end = datetime.fromisoformat(found["start"]) + timedelta(hours=len(found["states"]["pv_kw"]["mean"]))
    assert timedelta(hours=11) <= end - datetime.now(UTC) <= timedelta(hours=12)
    for one in found["states"].values():
        assert all(
            lower <= mean <= upper for lower, mean, upper in zip(one["lower"], one["mean"], one["upper"], strict=True)
        )
    hours = [(datetime.fromisoformat(found["start"]) + timedelta(hours=one)).hour for one in range(24)]
    pv = dict(zip(hours, found["states"]["pv_kw"]["mean"][:24], strict=True))
    assert min(pv[9], pv[11], pv[13]) > 1 > max(pv[22], pv[0], pv[2]), "wherever in the year we are"


def test_a_prediction_as_of_an_instant_knows_nothing_later(operator: httpx.Client, community: str):
    record(operator, community, column("load_kw", LOAD))
    path, query = f"/communities/{community}/state/prediction", {"hours": 6, "as_of": "2026-03-05T12:30:00Z"}
    then = answered(operator.get(path, params=query))
    assert (then["as_of"], then["observed_at"]) == ("2026-03-05T12:30:00Z", "2026-03-05T12:00:00Z")
    assert len(then["states"]["demand_kw"]["mean"]) == 6
    record(operator, community, column("load_kw", [1.0] * 24, start=START + timedelta(days=4)))
    assert answered(operator.get(path, params=query))["states"] == then["states"]


@pytest.mark.parametrize("hours", ["0", "169", "1.5", "soon"])
def test_a_prediction_spans_an_hour_to_a_week(operator: httpx.Client, community: str, hours: str):
    refused(operator.get(f"/communities/{community}/state/prediction", params={"hours": hours}), 422)


def test_meters_are_told_page_by_page_the_most_helpful_first(api: Api, operator: httpx.Client):
    community = api.community(operator, num_prosumers=6)
    members = [{"member_id": f"home_{one}"} for one in range(6)]
    answered(operator.post(f"/communities/{community}/members", json={"members": members}), 201)
    columns = [column("load_kw", LOAD * (1 + one), member_id=f"home_{one}") for one in range(6)]
    for one in columns[4:]:
        one["values"] = one["values"][:-3]
    record(operator, community, *columns)
    path = f"/communities/{community}/state/meters"
    first = answered(operator.get(path, params={"limit": 2}))
    assert first["counts"] == {"silent": 2, "reporting": 4}
    assert [one["member_id"] for one in first["meters"]] == ["home_5", "home_4"]
    assert first["meters"][0]["sd_fall_kw"] > 0
    assert first["meters"][0]["since"] == "2026-03-07T21:00:00Z"
    rest = answered(operator.get(path, params={"cursor": first["next"]}))
    assert [one["condition"] for one in rest["meters"]] == ["reporting"] * 4
    assert rest["next"] is None
    refused(operator.get(path, params={"cursor": "none"}), 422)
    home = api.member_of(community, "viewer", member_id="home_0")
    refused(home.get(path), 403)


def test_the_client_reads_states(api: Api, operator: httpx.Client, community: str):
    record(operator, community, column("load_kw", LOAD))
    token = operator.headers["Authorization"].removeprefix("Bearer ")
    with TwinClient(api.url, tokens=Tokens(token, "")) as client:
        assert client.state(community)["coverage"] == 1
        assert client.state(community, as_of=START)["coverage"] == 0
        assert len(client.state_history(community, START, START + timedelta(hours=3))["nis"]) == 3
        seen = client.state_history(community, START, START + timedelta(hours=3), hindsight=True)
        assert seen["coverage"] == [1, 1, 1]
        assert len(client.state_prediction(community, hours=2)["states"]["demand_kw"]["mean"]) >= 2
        assert client.state_prediction(community, hours=2, as_of=START)["observed_at"] is None
        assert client.state_meters(community, limit=1)["meters"] == []
