"""Readings over HTTP that cannot be believed or understood are refused by name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import answered, refused
from tests.api.readings import MONDAY, column, counts, send, send_csv, values_of

UNBELIEVABLE = {"series": [column([1, -5, 2e6, 4]), column([500.0], "temperature_c", unit="C")]}
PLACES = [
    ("load_kw", "2026-03-02T00:15:00Z", "/series/0/values/1"),
    ("load_kw", "2026-03-02T00:30:00Z", "/series/0/values/2"),
    ("temperature_c", MONDAY, "/series/1/values/0"),
]


def test_one_reading_that_nobody_believes_keeps_all_of_a_body_out_and_is_named(operator: httpx.Client, community: str):
    response = operator.post(f"/communities/{community}/readings", json=UNBELIEVABLE)
    problem = refused(response, 422)
    assert [(one["series"], one["start"].replace("+00:00", "Z"), one["pointer"]) for one in problem["errors"]] == PLACES
    assert all("must lie in" in one["detail"] for one in problem["errors"])
    assert problem["rejected_count"] == 3
    assert "preference-applied" not in response.headers
    assert answered(operator.get(f"/communities/{community}/series"))["series"] == []


@pytest.mark.parametrize("prefer", ["handling=lenient", 'wait=5, handling="lenient"', "Handling = Lenient; x"])
def test_who_asks_for_it_has_the_others_kept(operator: httpx.Client, community: str, prefer: str):
    response = operator.post(f"/communities/{community}/readings", json=UNBELIEVABLE, headers={"Prefer": prefer})
    receipt = answered(response)
    assert response.headers["preference-applied"] == "handling=lenient"
    assert counts(receipt) == (2, 2, 0, 0, 0, 3)
    assert [(one["series"], one["start"], one["position"]) for one in receipt["rejected"]] == PLACES
    assert all("must lie in" in one["reason"] for one in receipt["rejected"])
    assert values_of(operator, community) == [1, None, None, 4]


def test_of_very_many_refused_readings_the_first_thousand_are_named(operator: httpx.Client, community: str):
    body = {"series": [column([-1.0] * 700), column([-1.0] * 700, "pv_kw")]}
    problem = refused(operator.post(f"/communities/{community}/readings", json=body), 422)
    assert (len(problem["errors"]), problem["rejected_count"]) == (1000, 1400)
    assert problem["errors"][-1]["pointer"] == "/series/1/values/299"


def test_a_batch_that_is_sent_again_has_its_refused_readings_named_again(operator: httpx.Client, community: str):
    path, headers = f"/communities/{community}/readings", {"Prefer": "handling=lenient", "Idempotency-Key": "once"}
    first = answered(operator.post(path, json=UNBELIEVABLE, headers=headers))
    assert answered(operator.post(path, json=UNBELIEVABLE, headers=headers)) == {**first, "replayed": True}


def test_prices_of_tomorrow_are_welcome_and_those_of_in_two_years_are_not(operator: httpx.Client, community: str):
    for days, expected in ((1, (1, 1, 0, 0, 0, 0)), (800, (0, 0, 0, 0, 0, 1))):
        start = (datetime.now(UTC) + timedelta(days=days)).replace(minute=0, second=0, microsecond=0).isoformat()
        price = column([0.2], "import_price_per_kwh", unit="EUR/kWh", start=start)
        body, lenient = {"series": [price]}, {"Prefer": "handling=lenient"}
        receipt = answered(operator.post(f"/communities/{community}/readings", json=body, headers=lenient))
        assert counts(receipt) == expected
    assert "370 days ahead" in receipt["rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "load"}, "/series/0/name"),
        ({"name": "heat_kwh"}, "/series/0/name"),
        ({"name": "Load_kW"}, "/series/0/name"),
        ({"start": "2026-03-02T00:07:00Z"}, "/series/0/values/0"),
        ({"start": "2026-03-02T00:00:00"}, "/series/0/start"),
        ({"resolution_minutes": 7}, "/series/0/resolution_minutes"),
        ({"resolution_minutes": 0}, "/series/0/resolution_minutes"),
        ({"resolution_minutes": 1440}, "/series/0/resolution_minutes"),
        ({"values": []}, "/series/0/values"),
        ({"values": ["1"]}, "/series/0/values/0"),
        ({"values": [True]}, "/series/0/values/0"),
        ({"values": [1e13]}, "/series/0/values/0"),
        ({"values": [1.0] * 35_137}, "/series/0/values"),
        ({"kind": "sum"}, "/series/0/kind"),
        ({"member_id": "a b"}, "/series/0/member_id"),
        ({"quality": "good"}, "/series/0/quality"),
    ],
)
def test_a_column_that_breaks_a_rule_is_pointed_at(
    operator: httpx.Client, community: str, change: dict[str, Any], pointer: str
):
    body = {"series": [{**column([1.0]), **change}]}
    refused(operator.post(f"/communities/{community}/readings", json=body), 422, pointer=pointer)


@pytest.mark.parametrize("owner", [{"member_id": "nobody"}, {"asset_id": "nothing"}])
def test_a_series_of_an_unknown_owner_is_refused_whole(operator: httpx.Client, community: str, owner: dict[str, str]):
    body = {"series": [column([1.0]), column([1.0], **owner)]}
    problem = refused(operator.post(f"/communities/{community}/readings", json=body), 422)
    assert "add it with POST" in problem["detail"]
    assert answered(operator.get(f"/communities/{community}/series"))["series"] == []


def test_another_interval_than_before_is_refused(operator: httpx.Client, community: str):
    send(operator, community, column([1.0]))
    body = {"series": [column([1.0], resolution_minutes=60)]}
    problem = refused(operator.post(f"/communities/{community}/readings", json=body), 422)
    assert "every 15 minutes" in problem["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"series": []}', b'{"series": [{"values": [NaN]}]}', b"\xff"]
)
def test_a_body_that_is_no_readings_is_refused(operator: httpx.Client, community: str, body: bytes):
    headers = {"Content-Type": "application/json"}
    refused(operator.post(f"/communities/{community}/readings", content=body, headers=headers), 422)


def test_another_content_type_is_415(operator: httpx.Client, community: str):
    for content_type in ("application/xml", "", "text/plain"):
        headers = {"Content-Type": content_type}
        refused(operator.post(f"/communities/{community}/readings", content=b"x", headers=headers), 415)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "series,start\n",
        "series,start,value,colour\n",
        "series,start,value,value\nload_kw,2026-03-02T00:00:00Z,1,2\n",
        "series,start,value\nload_kw,2026-03-02T00:00:00Z,1,5\n",
        "series,start,value\nload_kw,2026-03-02T00:00:00Z,one\n",
        "series,start,value\nload_kw,yesterday,1\n",
        "series,start,value\nload_kw,2026-03-02T00:00:00,1\n",
        "series,start,value\nload_kw,2026-03-02T00:07:00Z,1\n",
        "series,start,value\nload_kw\n",
        "series,start,value\n=cmd,2026-03-02T00:00:00Z,1\n",
        'series,start,value\n"load_kw,2026-03-02T00:00:00Z,1\n',
        "series,start,value,resolution_minutes\nload_kw,2026-03-02T00:00:00Z,1,quarter\n",
        "series;start;value\nload_kw;2026-03-02T00:00:00Z;1\n",
    ],
)
def test_a_csv_that_cannot_be_read_whole_stores_nothing(operator: httpx.Client, community: str, text: str):
    refused(send_csv(operator, community, text), 422)
    assert answered(operator.get(f"/communities/{community}/series"))["series"] == []


def test_a_csv_of_a_spreadsheet_with_gaps_is_understood(operator: httpx.Client, community: str):
    text = (
        "\ufeffvalue,start,series\r\n1.5,2026-03-02 00:00:00+00:00,load_kw\r\n,2026-03-02T00:15Z,load_kw\r\n"
        "inf,2026-03-02T00:30:00Z,load_kw\r\n1e300,2026-03-02T00:45:00Z,load_kw\r\n"
    )
    refused(send_csv(operator, community, text), 422, pointer="/line 4")
    receipt = answered(send_csv(operator, community, text, Prefer="handling=lenient"))
    assert counts(receipt) == (1, 1, 0, 0, 0, 2)
    assert [one["position"] for one in receipt["rejected"]] == ["/line 4", "/line 5"]
    assert values_of(operator, community) == [1.5, None, None, None]
