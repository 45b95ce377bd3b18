"""How a community has done, over HTTP: against sums by hand, with gaps, under sharing, and what is refused."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import Api, answered, refused

START = datetime.fromisoformat("2026-03-02T00:00:00Z")
DAY = {"start": START.isoformat(), "end": (START + timedelta(days=1)).isoformat()}
TARIFF = {
    "import_price": {"kind": "time_of_use", "default_per_kwh": 0.20, "windows": [
        {"per_kwh": 0.40, "start_hour": 16, "end_hour": 24},
    ]},
    "export_price": {"kind": "flat", "per_kwh": 0.05},
}  # fmt: skip
LOAD = [10.0] * 24
SUN = [0.0] * 10 + [25.0] * 4 + [0.0] * 10
HELD = (
    [0.0] * 11 + [14.25, 28.5, 42.75, 57.0] + [57.0] * 2 + [57 - 10 / 0.95 * hour for hour in range(1, 6)] + [0.0] * 3
)
"""Of the beginning of each hour: the surplus of 15 kW of four hours, used from 16:00 on until it is gone."""


def upload(client: httpx.Client, community: str, name: str, values: Sequence[float | None], **more: Any) -> None:
    unit, kind = ("kWh", "instant") if name.endswith("kwh") else ("kW", "mean")
    series = {
        "name": name,
        "unit": unit,
        "kind": kind,
        "start": START.isoformat(),
        "resolution_minutes": 60,
        "values": list(values),
    }
    answered(client.post(f"/communities/{community}/readings", json={"series": [{**series, **more}]}))


def kpis(client: httpx.Client, community: str, status: int = 200, **query: Any) -> Any:
    response = client.get(f"/communities/{community}/kpis", params={**DAY, **query})
    return answered(response) if status == 200 else refused(response, status)


@pytest.fixture
def metered(api: Api, operator: httpx.Client) -> str:
    community = api.community(operator, tariff=TARIFF, timezone="UTC")
    for name, values in (("load_kw", LOAD), ("pv_kw", SUN), ("storage_soc_kwh", HELD)):
        upload(operator, community, name, values)
    return community


def test_a_day_by_hand(operator: httpx.Client, metered: str):
    found = kpis(operator, metered)
    given_kwh = 57 * 0.95
    assert (found["resolution_minutes"], found["known"]) == (60, 1)
    assert (found["load_kwh"], found["pv_kwh"]) == (240, 100)
    assert found["charged_kwh"] == pytest.approx(60)
    assert found["discharged_kwh"] == pytest.approx(given_kwh)
    assert found["import_kwh"] == pytest.approx(200 - given_kwh)
    assert found["export_kwh"] == pytest.approx(0, abs=1e-5)
    assert found["self_consumption"] == pytest.approx(1)
    assert found["self_sufficiency"] == pytest.approx(1 - (200 - given_kwh) / 240)
    assert found["cost"] == pytest.approx(120 * 0.20 + (80 - given_kwh) * 0.40)
    savings = found["savings"]
    assert savings["baselines"]["idle"]["cost"] == pytest.approx(120 * 0.20 + 80 * 0.40 - 60 * 0.05)
    # the rule gives to the afternoon at 0.20 what was kept for the evening at 0.40
    assert savings["cost_without_control"] == pytest.approx(100 * 0.20 + (80 - given_kwh + 20) * 0.40)
    assert savings["saved"] == pytest.approx(20 * 0.20)
    # the best plan also buys all of the evening at 0.20 beforehand
    bought_kwh = 80 / 0.95**2 - 60
    assert savings["perfect_cost"] == pytest.approx((120 + bought_kwh) * 0.20)
    idle = savings["baselines"]["idle"]
    assert idle["value_captured"] == pytest.approx(idle["saved"] / (idle["cost"] - savings["perfect_cost"]))
    assert 0 < savings["value_captured"] < 1
    assert found["provenance"]["sources"]["storage_soc_kwh"] == "community-level readings"


def test_the_dispatch_that_was_followed_captures_everything(operator: httpx.Client, metered: str):
    request = {
        "start_time": DAY["start"], "horizon_hours": 24, "resolution_minutes": 60, "load_kw": LOAD, "pv_kw": SUN,
        "current_soc_kwh": 0, "final_soc_min_kwh": 0,
    }  # fmt: skip
    plan = answered(operator.post(f"/communities/{metered}/optimization/dispatch", json=request))
    upload(operator, metered, "storage_soc_kwh", [0.0, *plan["soc_kwh"]])
    found = kpis(operator, metered)
    assert found["cost"] == pytest.approx(plan["cost"], abs=1e-4)
    assert found["savings"]["value_captured"] == pytest.approx(1, abs=1e-4)


def test_only_what_is_known_counts(operator: httpx.Client, metered: str):
    upload(operator, metered, "load_kw", [None, *LOAD[:5]], start=(START + timedelta(hours=24)).isoformat())
    upload(operator, metered, "pv_kw", [0.0] * 6, start=(START + timedelta(hours=24)).isoformat())
    upload(operator, metered, "storage_soc_kwh", [0.0] * 7, start=(START + timedelta(hours=24)).isoformat())
    found = kpis(operator, metered, end=(START + timedelta(hours=30)).isoformat())
    assert found["known"] == pytest.approx(29 / 30)
    assert found["load_kwh"] == 290
    before = kpis(operator, metered)
    assert found["cost"] == pytest.approx(before["cost"] + 50 * 0.20)


def test_as_of_knows_no_more_than_was_known(operator: httpx.Client, metered: str):
    problem = kpis(operator, metered, 409, as_of=DAY["start"])
    assert "load_kw" in problem["detail"]


def test_without_readings_of_the_storage_it_rested(api: Api, operator: httpx.Client):
    community = api.community(operator, tariff=TARIFF, timezone="UTC")
    for name, values in (("load_kw", LOAD), ("pv_kw", SUN)):
        upload(operator, community, name, values)
    found = kpis(operator, community)
    assert found["savings"]["baselines"]["idle"]["saved"] == pytest.approx(0)
    assert any("the storage rested" in one for one in found["provenance"]["assumptions"])


def test_of_a_net_meter_no_share_of_sun_or_load_is_told(api: Api, operator: httpx.Client):
    community = api.community(operator, tariff=TARIFF, timezone="UTC")
    upload(operator, community, "net_load_kw", [load - sun for load, sun in zip(LOAD, SUN, strict=True)])
    found = kpis(operator, community)
    assert (found["self_consumption"], found["self_sufficiency"]) == (None, None)
    assert (found["import_kwh"], found["export_kwh"]) == (200, 60)
    assert found["cost"] == pytest.approx(120 * 0.20 + 80 * 0.40 - 60 * 0.05)


def test_what_members_share_is_worth_its_gain(api: Api, operator: httpx.Client):
    community = api.community(operator, tariff=TARIFF, timezone="UTC", total_storage_capacity_kwh=0)
    members = [{"member_id": "with_sun"}, {"member_id": "without"}]
    answered(operator.post(f"/communities/{community}/members", json={"members": members}), 201)
    sharing = {"rule": "dynamic", "settlement_minutes": 60, "network_charge_per_kwh": 0.05}
    answered(operator.put(f"/communities/{community}/sharing", json=sharing))
    upload(operator, community, "load_kw", [4.0] * 24, member_id="with_sun")
    upload(operator, community, "pv_kw", SUN, member_id="with_sun")
    upload(operator, community, "load_kw", [6.0] * 24, member_id="without")
    found = kpis(operator, community)
    # at noon 21 kW are fed in by one, of which the other's 6 kW are shared
    assert found["import_kwh"] == pytest.approx(20 * 4 + 24 * 6)
    gain = 0.20 - 0.05 - 0.05
    assert found["cost"] == pytest.approx(12 * 10 * 0.20 + 4 * 6 * 0.20 + 80 * 0.40 - 4 * 21 * 0.05 - 4 * 6 * gain)
    assert found["self_consumption"] == pytest.approx(1 - 4 * 15 / 100)
    assert found["savings"]["perfect_cost"] == pytest.approx(found["cost"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"end": DAY["start"]}, "at least an hour before end"),
        ({"start": "2020-01-01T00:00:00Z"}, "at most 400 days"),
        ({"as_of": "2099-01-01T00:00:00Z"}, "not lie in the future"),
    ],
)
def test_a_span_that_cannot_be_is_refused(operator: httpx.Client, metered: str, query: dict[str, str], words: str):
    assert words in kpis(operator, metered, 422, **query)["detail"]


def test_a_time_without_readings_says_what_is_missing(operator: httpx.Client, community: str):
    assert "upload readings of load_kw, pv_kw" in kpis(operator, community, 409)["detail"]
