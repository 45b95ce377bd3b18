"""Readings over HTTP: in counted exactly, refused by name, out as known, and closed to neighbours."""

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests import builders
from tests.api.application import EIGHT_NUMBERS, Api, answered, refused

from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.reading_parts import Delivery
from digital_twin.services.readings import IngestReport, ReadingService
from digital_twin.testing import FakeClock, MemoryStore

MONDAY = "2026-03-02T00:00:00Z"
HOUR = {"start": MONDAY, "end": "2026-03-02T01:00:00Z"}
CSV = {"Content-Type": "text/csv"}
SINGLE = 1e-6
"""Relative: readings are kept in single precision."""


def column(values: Sequence[float | None], name: str = "load_kw", **given: Any) -> dict[str, Any]:
    plain = {"name": name, "unit": "kW", "kind": "mean", "start": MONDAY, "resolution_minutes": 15}
    return {**plain, "values": list(values), **given}


def send(client: httpx.Client, community_id: str, *columns: dict[str, Any], key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    document = {"series": list(columns), **body}
    return answered(client.post(f"/communities/{community_id}/readings", json=document, headers=headers))


def send_csv(client: httpx.Client, community_id: str, text: str, **headers: str) -> httpx.Response:
    return client.post(f"/communities/{community_id}/readings", content=text.encode(), headers={**CSV, **headers})


def read(client: httpx.Client, community_id: str, series: str = "load_kw", **params: str) -> list[Any]:
    query = {"series": series, **HOUR, **params}
    return answered(client.get(f"/communities/{community_id}/readings", params=query))["series"]


def values_of(client: httpx.Client, community_id: str, series: str = "load_kw", **params: str) -> list[float | None]:
    [found] = read(client, community_id, series, **params)
    return found["values"]


def counts(receipt: Any) -> tuple[int, int, int, int, int, int]:
    """Received, stored, duplicate, corrected, superseded, rejected."""
    names = ("received", "stored", "duplicate", "corrected", "superseded", "rejected_count")
    return tuple(receipt[name] for name in names)  # type: ignore[return-value]


def add_members(client: httpx.Client, community_id: str, *members: str | dict[str, Any]) -> None:
    bodies = [{"member_id": one} if isinstance(one, str) else one for one in members]
    answered(client.post(f"/communities/{community_id}/members", json={"members": bodies}), 201)


# In and out


def test_columns_go_in_and_come_out(operator: httpx.Client, community: str):
    assert counts(send(operator, community, column([1.5, None, 3, 4]))) == (3, 3, 0, 0, 0, 0)
    [found] = read(operator, community)
    assert found["values"] == [1.5, None, 3, 4]
    assert (found["name"], found["unit"], found["kind"], found["start"]) == ("load_kw", "kW", "mean", MONDAY)
    assert found["resolution_minutes"] == 15
    assert found["quality"] == ["measured", "missing", "measured", "measured"]
    [summary] = answered(operator.get(f"/communities/{community}/series"))["series"]
    assert (summary["name"], summary["first_day"], summary["last_day"]) == ("load_kw", MONDAY, MONDAY)


def test_rows_go_in_one_by_one(operator: httpx.Client, community: str):
    add_members(operator, community, "home")
    rows = [
        {"series": "load_kw", "start": "2026-03-02T00:15:00Z", "value": 2.5},
        {"series": "load_kw", "start": "2026-03-02T01:30:00+01:00", "value": 3.5},
        {"series": "load_kw", "start": MONDAY, "value": 9, "member_id": "home"},
    ]
    body = {"readings": rows, "resolution_minutes": 15}
    assert counts(answered(operator.post(f"/communities/{community}/readings", json=body))) == (3, 3, 0, 0, 0, 0)
    assert values_of(operator, community) == [None, 2.5, 3.5, None]
    assert values_of(operator, community, member_id="home") == [9, None, None, None]


def test_what_comes_out_as_csv_goes_in_as_csv(api: Api, operator: httpx.Client):
    source, target = api.community(operator), api.community(operator)
    for community_id in (source, target):
        add_members(operator, community_id, "-home")
    pv = column([1, None, 0.3, 1e-7], "pv_kw", member_id="-home")
    send(operator, source, column([0.1, 1 / 3, 40.7, None]), pv)
    texts = []
    for member in ({}, {"member_id": "-home"}):
        params = {"series": "pv_kw" if member else "load_kw", **HOUR, **member}
        path = f"/communities/{source}/readings"
        response = operator.get(path, params=params, headers={"Accept": "text/csv"})
        assert response.headers["content-type"].startswith("text/csv")
        texts.append(response.text)
    assert not any(cell.startswith("-") for text in texts for row in csv.reader(io.StringIO(text)) for cell in row)
    for text in texts:
        assert counts(answered(send_csv(operator, target, text))) == (3, 3, 0, 0, 0, 0)
        assert counts(answered(send_csv(operator, source, text))) == (3, 0, 3, 0, 0, 0)
    for params in ({}, {"series": "pv_kw", "member_id": "-home"}):
        assert values_of(operator, target, **params) == values_of(operator, source, **params)


CONVERSIONS = [
    ("load_kw", "kW", "mean", 1.0),
    ("load_kw", "W", "mean", 1e-3),
    ("load_kw", "MW", "mean", 1e3),
    ("load_kw", "kW", "instant", 1.0),
    ("load_kw", "kWh", "energy", 4.0),
    ("load_kw", "Wh", "energy", 4e-3),
    ("load_kw", "MWh", "energy", 4e3),
    ("storage_soc_kwh", "kWh", "instant", 1.0),
    ("storage_soc_kwh", "Wh", "instant", 1e-3),
    ("import_price_per_kwh", "EUR/kWh", "mean", 1.0),
    ("import_price_per_kwh", "EUR/MWh", "mean", 1e-3),
    ("import_price_per_kwh", "currency/MWh", "mean", 1e-3),
    ("emission_factor_kg_per_kwh", "kg/kWh", "mean", 1.0),
    ("emission_factor_kg_per_kwh", "g/kWh", "mean", 1e-3),
    ("emission_factor_kg_per_kwh", "t/MWh", "mean", 1.0),
    ("temperature_c", "C", "instant", 1.0),
    ("ghi_wm2", "W/m2", "mean", 1.0),
    ("ghi_wm2", "kW/m2", "mean", 1e3),
    ("wind_speed_ms", "m/s", "mean", 1.0),
    ("wind_speed_ms", "km/h", "mean", 1 / 3.6),
]


@pytest.mark.parametrize(("name", "unit", "kind", "factor"), CONVERSIONS)
def test_every_unit_becomes_that_of_the_name(
    operator: httpx.Client, community: str, name: str, unit: str, kind: str, factor: float
):
    send(operator, community, column([1.0, 0.5], name, unit=unit, kind=kind))
    assert values_of(operator, community, name)[:2] == pytest.approx([factor, factor / 2], rel=SINGLE)


def test_kelvin_become_celsius(operator: httpx.Client, community: str):
    send(operator, community, column([273.15, 300], "temperature_c", unit="K", kind="instant"))
    assert values_of(operator, community, "temperature_c")[:2] == pytest.approx([0, 26.85], abs=1e-4)


def test_a_member_may_have_series_of_energy(operator: httpx.Client, community: str):
    add_members(operator, community, "home")
    send(operator, community, column([4.0], "heat_kwh", unit="kW", member_id="home"))
    send(operator, community, column([500.0], "cold_kwh", unit="Wh", kind="energy", member_id="home"))
    assert values_of(operator, community, "heat_kwh", member_id="home")[0] == 1
    assert values_of(operator, community, "cold_kwh", member_id="home")[0] == 0.5


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("load_kw", "kWh", "mean"),
        ("load_kw", "kW", "energy"),
        ("load_kw", "hp", "mean"),
        ("load_kw", "", "mean"),
        ("storage_soc_kwh", "kWh", "energy"),
        ("storage_soc_kwh", "kW", "mean"),
        ("temperature_c", "F", "instant"),
        ("import_price_per_kwh", "EUR", "mean"),
        ("emission_factor_kg_per_kwh", "EUR/kWh", "mean"),
    ],
)
def test_a_unit_that_does_not_fit_the_name_is_refused(
    operator: httpx.Client, community: str, name: str, unit: str, kind: str
):
    body = {"series": [column([1.0]), column([1.0], name, unit=unit, kind=kind)]}
    refused(operator.post(f"/communities/{community}/readings", json=body), 422, pointer="/series/1/unit")
    assert answered(operator.get(f"/communities/{community}/series"))["series"] == []


# Exactly once


def test_counts_add_up_for_new_same_changed_and_doubled_readings(operator: httpx.Client, community: str):
    assert counts(send(operator, community, column([1, 2, 3]))) == (3, 3, 0, 0, 0, 0)
    # same, changed, and new; a gap erases nothing
    assert counts(send(operator, community, column([1, 5, None, 4]))) == (3, 1, 1, 1, 0, 0)
    assert values_of(operator, community) == [1, 5, 3, 4]
    # within one batch the last value of a slot wins
    assert counts(send(operator, community, column([7.0]), column([8.0]), column([8.0]))) == (3, 0, 1, 1, 1, 0)
    assert values_of(operator, community)[0] == 8


def test_a_key_counts_once_and_for_one_body(operator: httpx.Client, community: str):
    first = send(operator, community, column([1, 2]), key="batch-1")
    send(operator, community, column([7]))
    response = operator.post(
        f"/communities/{community}/readings",
        json={"series": [column([1, 2])]},
        headers={"Idempotency-Key": "batch-1"},
    )
    assert answered(response) == {**first, "replayed": True}
    assert response.headers["idempotent-replayed"] == "true"
    assert values_of(operator, community)[:2] == [7, 2]
    other = operator.post(
        f"/communities/{community}/readings",
        json={"series": [column([9, 9])]},
        headers={"Idempotency-Key": "batch-1"},
    )
    refused(other, 422)
    assert values_of(operator, community)[:2] == [7, 2]


def test_a_key_of_another_account_or_community_is_another_key(api: Api, operator: httpx.Client, community: str):
    second = api.community(operator)
    gateway = api.key(operator, [community], "readings:write")
    colleague = api.member_of(community, "operator")
    assert send(operator, community, column([1]), key="k")["stored"] == 1
    assert send(operator, second, column([2]), key="k")["stored"] == 1
    assert send(colleague, community, column([3]), key="k")["corrected"] == 1
    assert send(gateway, community, column([1]), key="k")["replayed"]


def test_a_community_that_is_made_again_has_not_seen_the_keys_of_the_first(
    api: Api, operator: httpx.Client, community: str
):
    path, once, members = f"/communities/{community}", {"Idempotency-Key": "once"}, {"members": [{"member_id": "h1"}]}
    created = operator.get(path).json()
    answered(operator.post(f"{path}/members", json=members, headers=once), 201)
    send(operator, community, column([1]), key="once")
    answered(operator.delete(path), 204)
    eight = {name: created[name] for name in ("community_id", *EIGHT_NUMBERS)}
    answered(operator.post("/communities", json=eight), 201)
    again = operator.post(f"{path}/members", json=members, headers=once)
    answered(again, 201)
    assert "idempotent-replayed" not in again.headers
    assert send(operator, community, column([2], member_id="h1"), key="once")["stored"] == 1


async def test_a_key_that_is_forgotten_swallows_no_other_readings():
    store = MemoryStore()
    async with store.platform() as tx:
        await tx.communities.create(builders.community())
    service, grant = ReadingService(store, FakeClock()), Grant(Caller(7, "gateway", Role.API_USER), "solar_valley")

    async def record(value: float) -> IngestReport:
        readings = [builders.series("load_kw", [value])]
        return await service.record(grant, readings, Delivery("1", str(value).encode()))

    assert (await record(1)).receipt.stored == 1
    assert (await record(1)).receipt.replayed
    with pytest.raises(InvalidInput, match="another body"):
        await record(2)
    async with store.community("solar_valley") as tx:  # as happens a day later
        await tx.replays.release("readings solar_valley", "7:1")
    assert (await record(2)).receipt.corrected == 1


def test_a_correction_is_known_from_when_it_came(operator: httpx.Client, community: str):
    first = send(operator, community, column([1, 2]))
    second = send(operator, community, column([5, None, 3]))
    assert values_of(operator, community, as_of=first["received_at"]) == [1, 2, None, None]
    assert values_of(operator, community, as_of=second["received_at"]) == [5, 2, 3, None]
    before = (datetime.fromisoformat(first["received_at"]) - timedelta(microseconds=1)).isoformat()
    assert values_of(operator, community, as_of=before) == [None] * 4


def test_imported_history_counts_as_known_after_its_delay(operator: httpx.Client, community: str):
    send(operator, community, column([1, 2, 3, 4]), assumed_delay_minutes=60)
    assert values_of(operator, community, as_of="2026-03-02T01:29:59Z") == [1, None, None, None]
    assert values_of(operator, community, as_of="2026-03-02T01:30:00Z") == [1, 2, None, None]
    assert values_of(operator, community) == [1, 2, 3, 4]


def test_batches_at_once_are_counted_exactly(operator: httpx.Client, community: str):
    def one(number: int) -> Any:
        return send(operator, community, column([number, 1, None, number]), key=f"batch {number}")

    with ThreadPoolExecutor(6) as threads:
        receipts = list(threads.map(one, range(6)))
    totals = np.sum([counts(receipt) for receipt in receipts], axis=0).tolist()
    # slot 2 is stored once and then repeated; slots 1 and 4 are stored once and then corrected by five others
    assert totals == [18, 3, 5, 10, 0, 0]
    last = max(receipts, key=lambda receipt: receipt["received_at"])
    assert values_of(operator, community, as_of=last["received_at"]) == values_of(operator, community)
    assert len({receipt["received_at"] for receipt in receipts}) == 6


# What is refused


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


# Questions


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"series": "load_kw"}, 422),
        ({"series": "load_kw", **HOUR, "end": MONDAY}, 422),
        ({"series": "load_kw", **HOUR, "end": "2026-03-01T00:00:00Z"}, 422),
        ({"series": "load_kw", "start": "1970-01-01T00:00:00Z", "end": "2099-12-31T00:00:00Z"}, 422),
        ({"series": "", **HOUR}, 422),
        ({"series": ",", **HOUR}, 422),
        ({"series": "load", **HOUR}, 422),
        ({"series": "pv_kw", **HOUR}, 404),
        ({"series": "load_kw,pv_kw", **HOUR}, 404),
        ({"series": "load_kw", **HOUR, "member_id": "nobody"}, 404),
        ({"series": "load_kw", **HOUR, "asset_id": "nothing"}, 404),
        ({"series": "load_kw", **HOUR, "resolution": "7"}, 422),
        ({"series": "load_kw", **HOUR, "as_of": "2026-03-02"}, 422),
        ({"series": "load_kw", **HOUR, "unit": "kW"}, 422),
    ],
)
def test_a_question_without_an_answer_says_why(
    operator: httpx.Client, community: str, params: dict[str, str], status: int
):
    send(operator, community, column([1.0]))
    refused(operator.get(f"/communities/{community}/readings", params=params), status)


def test_spans_off_the_grid_are_answered_by_the_intervals_that_they_touch(operator: httpx.Client, community: str):
    send(operator, community, column([1, 2, 3, 4]))
    [found] = read(operator, community, start="2026-03-02T00:20:00Z", end="2026-03-02T00:31:00Z")
    assert (found["start"], found["values"]) == ("2026-03-02T00:15:00Z", [2, 3])


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [("15", [1, 2, 3, None]), ("30", [1.5, None]), ("60", [None]), ("5", [1] * 3 + [2] * 3 + [3] * 3 + [None] * 3)],
)
def test_another_resolution_averages_powers_and_invents_nothing(
    operator: httpx.Client, community: str, resolution: str, expected: list[float | None]
):
    send(operator, community, column([1, 2, 3, None]))
    [found] = read(operator, community, resolution=resolution)
    assert found["values"] == expected
    assert found["resolution_minutes"] == int(resolution)


def test_a_state_of_charge_is_taken_at_the_start_and_energies_are_summed(operator: httpx.Client, community: str):
    add_members(operator, community, "home")
    send(operator, community, column([1, 2, 3, 4], "storage_soc_kwh", unit="kWh", kind="instant"))
    send(operator, community, column([1, 2, 3, 4], "heat_kwh", unit="kWh", kind="energy", member_id="home"))
    assert values_of(operator, community, "storage_soc_kwh", resolution="30") == [1, 3]
    assert values_of(operator, community, "heat_kwh", resolution="30", member_id="home") == [3, 7]


def test_weeks_of_minutes_come_back(operator: httpx.Client, community: str):
    values = (np.arange(35_136) % 1000).astype(float).tolist()
    column_of_minutes = column(values, "load_kw", resolution_minutes=1)
    assert counts(send(operator, community, column_of_minutes)) == (35_136, 35_136, 0, 0, 0, 0)
    end = (datetime.fromisoformat(MONDAY) + timedelta(minutes=35_136)).isoformat()
    assert values_of(operator, community, end=end) == values


@pytest.mark.parametrize("params", [{"resolution": "1"}, {}])
def test_an_answer_has_a_largest_size_whatever_makes_it_large(
    operator: httpx.Client, community: str, params: dict[str, str]
):
    minutes = 15 if params else 1
    send(operator, community, *(column([1.0], name, resolution_minutes=minutes) for name in ("load_kw", "pv_kw")))
    query = {"series": "load_kw,pv_kw", "start": MONDAY, "end": "2027-03-02T00:00:00Z", **params}
    refused(operator.get(f"/communities/{community}/readings", params=query), 422, pointer="/end")
    query["end"] = "2026-03-09T00:00:00Z"
    assert {len(one["values"]) for one in read(operator, community, **query)} == {7 * 1440}


# The community's sum


def test_a_sum_counts_each_member_while_it_is_one_and_says_how_many_took_part(operator: httpx.Client, community: str):
    add_members(
        operator,
        community,
        "always",
        {"member_id": "joins", "joined_at": "2026-03-02T00:30:00Z"},
        {"member_id": "leaves", "left_at": "2026-03-02T00:45:00Z"},
        "silent",
    )
    for member, values in (("always", [1, 1, 1, None]), ("joins", [10] * 4), ("leaves", [100] * 4)):
        send(operator, community, column(values, member_id=member))
    [found] = read(operator, community)
    assert found["values"] == [101, 101, 111, 10]
    assert found["reporting"] == [2, 2, 3, 1]
    assert found["members"] == [3, 3, 4, 3]
    [coarse] = read(operator, community, resolution="30")
    assert (coarse["values"], coarse["reporting"], coarse["members"]) == ([101, 60.5], [2, 1], [3, 4])
    [fine] = read(operator, community, resolution="5")
    assert fine["reporting"] == [2] * 6 + [3] * 3 + [1] * 3


def test_a_series_of_the_community_wins_over_the_sum(operator: httpx.Client, community: str):
    add_members(operator, community, "home")
    send(operator, community, column([1] * 4, member_id="home"))
    send(operator, community, column([50] * 4))
    [found] = read(operator, community)
    assert (found["values"], found["reporting"]) == ([50] * 4, None)


def test_a_sum_of_the_past_is_that_of_the_past(operator: httpx.Client, community: str):
    add_members(operator, community, "a", "b")
    first = send(operator, community, column([1] * 4, member_id="a"))
    send(operator, community, column([2] * 4, member_id="b"), column([5], member_id="a"))
    assert values_of(operator, community) == [7, 3, 3, 3]
    [past] = read(operator, community, as_of=first["received_at"])
    assert (past["values"], past["reporting"]) == ([1] * 4, [1] * 4)


# A member's own view


@pytest.fixture(scope="module")
def street(api: Api, operator: httpx.Client) -> str:
    """Six homes; from the third quarter on only four of them report."""
    community_id = api.community(operator)
    path = f"/communities/{community_id}"
    homes = [f"home_{number}" for number in range(1, 7)]
    add_members(operator, community_id, *homes)
    owners = {"battery_1": "home_1", "battery_2": "home_2", "shared_battery": None}
    device = {"kind": "battery", "capacity_kwh": 10.0, "power_kw": 5.0}
    assets = [{"asset_id": name, "member_id": owner, "device": device} for name, owner in owners.items()]
    answered(operator.post(f"{path}/assets", json={"assets": assets}), 201)
    loads = [column([1, 1, 1, 1] if number < 4 else [1, 1], member_id=home) for number, home in enumerate(homes)]
    soc = {"name": "storage_soc_kwh", "unit": "kWh", "kind": "instant"}
    by_asset = [column([5.0], **soc, asset_id=name) for name in owners]
    send(operator, community_id, *loads, *by_asset, column([5.0], **soc, member_id="home_2", asset_id="battery_2"))
    return community_id


@pytest.fixture(scope="module")
def resident(api: Api, street: str) -> httpx.Client:
    """The one who lives in home 1."""
    return api.member_of(street, "viewer", member_id="home_1")


def test_a_member_reads_their_own_series_and_assets(resident: httpx.Client, street: str):
    assert values_of(resident, street, member_id="home_1") == [1, 1, 1, 1]
    assert values_of(resident, street, "storage_soc_kwh", asset_id="battery_1")[0] == 5
    assert values_of(resident, street, "storage_soc_kwh", asset_id="shared_battery")[0] == 5


@pytest.mark.parametrize(
    "params",
    [
        {"member_id": "home_2"},
        {"series": "storage_soc_kwh", "asset_id": "battery_2"},
        {"series": "storage_soc_kwh", "asset_id": "battery_2", "member_id": "home_2"},
        {"series": "storage_soc_kwh", "asset_id": "battery_2", "member_id": "home_1"},
        {"member_id": "nobody"},
        {"series": "storage_soc_kwh", "asset_id": "nothing"},
    ],
)
def test_a_member_reads_nothing_of_a_neighbour_however_it_is_asked_for(
    resident: httpx.Client, street: str, params: dict[str, str]
):
    query = {"series": "load_kw", **HOUR, **params}
    for accept in ("application/json", "text/csv"):
        response = resident.get(f"/communities/{street}/readings", params=query, headers={"Accept": accept})
        refused(response, 403)


def test_a_member_sees_sums_over_five_homes_or_more_at_every_resolution(resident: httpx.Client, street: str):
    assert values_of(resident, street) == [6, 6, None, None]
    assert values_of(resident, street, resolution="30") == [6, None]
    assert values_of(resident, street, resolution="60") == [None]
    assert values_of(resident, street, resolution="5") == [6] * 6 + [None] * 6
    csv_answer = resident.get(
        f"/communities/{street}/readings", params={"series": "load_kw", **HOUR}, headers={"Accept": "text/csv"}
    )
    assert len(csv_answer.text.splitlines()) == 3


def test_the_list_of_series_shows_a_member_no_neighbour(operator: httpx.Client, resident: httpx.Client, street: str):
    path = f"/communities/{street}/series"
    seen = answered(resident.get(path))["series"]
    assert {(one["member_id"], one["asset_id"]) for one in seen} == {
        ("home_1", None),
        (None, "battery_1"),
        (None, "shared_battery"),
    }
    assert len(answered(operator.get(path))["series"]) == 10


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "members"),
        ("GET", "assets"),
        ("GET", "memberships"),
        ("GET", "forecasting/models"),
        ("POST", "forecasting/generate"),
        ("POST", "optimization/dispatch"),
        ("GET", "optimization/results"),
        ("POST", "readings"),
    ],
)
def test_a_members_view_opens_nothing_else(resident: httpx.Client, street: str, method: str, path: str):
    refused(resident.request(method, f"/communities/{street}/{path}"), 403)
