"""Readings over HTTP: in and out again, in every unit."""

import csv
import io

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.readings import HOUR, MONDAY, SINGLE, add_members, column, counts, read, send, send_csv, values_of


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
