"""Dispatch over HTTP: what a plan knows of readings, tariffs, members and meters."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused
from tests.api.dispatching import CASE_1, CASE_1_COMMUNITY, EXACT, MONDAY, check_physics, dispatch

# What was known when


def test_a_plan_for_the_past_sees_what_was_known_then_and_no_later(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    _record(operator, community_id, "storage_soc_kwh", start - timedelta(minutes=15), [300.0, 777.0], unit="kWh")
    _record(operator, community_id, "import_price_per_kwh", start, [0.5] * 4, unit="currency/kWh")
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "horizon_hours": 1})
    assert plan["provenance"]["as_of"] == "2026-03-10T12:00:00Z"
    # known at noon: the state of charge of 11:45 (as an instant), not that of noon, and no price of the hour after it
    assert _initial_kwh(plan) == pytest.approx(300, abs=1e-3)
    assert plan["import_price_per_kwh"] == [0.3] * 4
    later = (start + timedelta(hours=1)).isoformat()
    hindsight = {"start_time": start.isoformat(), "horizon_hours": 1, "as_of": later}
    assert dispatch(operator, community_id, hindsight)["import_price_per_kwh"] == [0.5] * 4


def test_a_state_of_charge_is_believed_for_two_hours(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    _record(operator, community_id, "storage_soc_kwh", start - timedelta(hours=3), [300.0], unit="kWh")
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "horizon_hours": 1})
    assert _initial_kwh(plan) == pytest.approx(500, abs=1e-3)
    assert any("half full" in sentence for sentence in plan["provenance"]["assumptions"])


def _record(
    client: httpx.Client, community_id: str, name: str, start: datetime, values: list[float], **column: str
) -> None:
    """Quarters that became known when they ended."""
    series = {"name": name, "start": start.isoformat(), "resolution_minutes": 15, "values": values, **column}
    body = {"assumed_delay_minutes": 0, "series": [series]}
    answered(client.post(f"/communities/{community_id}/readings", json=body))


def _initial_kwh(plan: Any) -> float:
    hours = plan["resolution_minutes"] / 60
    return plan["soc_kwh"][0] - hours * (0.95 * plan["charge_kw"][0] - plan["discharge_kw"][0] / 0.95)


# Tariffs on the local clock


@pytest.mark.parametrize(
    ("midnight", "hours"), [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25), ("2026-06-09T22:00:00Z", 24)]
)
def test_an_evening_price_holds_in_the_local_evening_of_short_and_long_days(
    api: Api, operator: httpx.Client, midnight: str, hours: int
):
    tariff = {
        "import_price": {
            "kind": "time_of_use",
            "default_per_kwh": 0.2,
            "windows": [{"per_kwh": 0.4, "start_hour": 17, "end_hour": 21}],
        },
        "export_price": {"kind": "flat", "per_kwh": 0.05},
    }
    community_id = api.community(operator, timezone="Europe/Vienna", tariff=tariff)
    plan = dispatch(operator, community_id, {"start_time": midnight, "horizon_hours": hours, "resolution_minutes": 60})
    # the evening lies four to eight hours before the next local midnight, however long the day was
    assert plan["import_price_per_kwh"] == [0.2] * (hours - 7) + [0.4] * 4 + [0.2] * 3


def test_a_dynamic_tariff_without_market_prices_says_what_it_needs(api: Api, operator: httpx.Client):
    tariff = {"import_price": {"kind": "dynamic", "markup_per_kwh": 0.1}, "export_price": {"kind": "dynamic"}}
    community_id = api.community(operator, tariff=tariff)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    body = {"start_time": start.isoformat(), "horizon_hours": 1, "as_of": (start + timedelta(hours=2)).isoformat()}
    problem = dispatch(operator, community_id, body, 409)
    assert problem["type"] == "/problems/insufficient-data"
    assert (problem["needed"], problem["found"]) == (4, 0)
    _record(operator, community_id, "import_price_per_kwh", start, [100.0, 50, -20, 0], unit="EUR/MWh")
    plan = dispatch(operator, community_id, body)
    assert plan["import_price_per_kwh"] == pytest.approx([0.2, 0.15, 0.08, 0.1])
    assert plan["export_price_per_kwh"] == pytest.approx([0.1, 0.05, -0.02, 0])


CASE_3_MEMBERS = [
    {"member_id": "A", "load_kw": [4.0, 4, 4, 4], "pv_kw": [20.0, 20, 0, 12]},
    {"member_id": "B", "load_kw": [4.0, 24, 12, 0], "pv_kw": [0.0] * 4},
    {"member_id": "C", "load_kw": [4.0, 8, 8, 16], "pv_kw": [0.0] * 4},
]
"""The sharing case: kWh per quarter as mean powers."""


# Sharing


@pytest.mark.parametrize(
    ("rule", "cost", "shared"),
    [("none", 5.40, 0), ("dynamic", 4.28, 8), ("static", 4.42, 7), ("hybrid", 4.28, 8), ("single_meter", 3.48, None)],
)
def test_members_share_by_the_rule_of_their_community(
    api: Api, operator: httpx.Client, rule: str, cost: float, shared: float | None
):
    community_id = api.community(operator, total_storage_capacity_kwh=0.0)
    path = f"/communities/{community_id}"
    coefficients = {"A": 0.0, "B": 0.5, "C": 0.5}
    members = [{"member_id": name, "sharing_coefficient": share} for name, share in coefficients.items()]
    answered(operator.post(f"{path}/members", json={"members": members}), 201)
    sharing = {"rule": rule, "sharing_price_per_kwh": 0.10, "network_charge_per_kwh": 0.10}
    answered(operator.put(f"{path}/sharing", json=sharing))
    request: dict[str, Any] = {
        "start_time": MONDAY,
        "horizon_hours": 1,
        "import_price_per_kwh": 0.30,
        "export_price_per_kwh": 0.06,
    }
    if rule == "single_meter":
        loads, generation = ([one[name] for one in CASE_3_MEMBERS] for name in ("load_kw", "pv_kw"))
        request |= {"load_kw": np.sum(loads, axis=0).tolist(), "pv_kw": np.sum(generation, axis=0).tolist()}
    else:
        request["members"] = CASE_3_MEMBERS
    plan = dispatch(operator, community_id, request)
    assert plan["cost"] == pytest.approx(cost, abs=EXACT)
    if shared is not None:
        assert sum(plan["shared_kwh"]) == pytest.approx(shared, abs=EXACT)
    if rule == "dynamic":
        assert plan["self_consumption"] == pytest.approx(11 / 13, abs=EXACT)
        assert plan["self_sufficiency"] == pytest.approx(11 / 23, abs=EXACT)


@pytest.mark.parametrize(("zonal_price", "cost"), [(0.150, 4.20), (None, 4.10)])
def test_an_italian_premium_follows_the_zonal_price(
    api: Api, operator: httpx.Client, zonal_price: float | None, cost: float
):
    community_id = api.community(operator, total_storage_capacity_kwh=0.0)
    sharing = {"rule": "dynamic", "settlement_minutes": 60, "premium": {"regional_per_mwh": 10.0}}
    answered(operator.put(f"/communities/{community_id}/sharing", json=sharing))
    prices: dict[str, Any] = {"import_price_per_kwh": 0.30, "export_price_per_kwh": 0.06}
    if zonal_price is not None:
        prices["zonal_price_per_kwh"] = zonal_price
    plan = dispatch(
        operator, community_id, {"start_time": MONDAY, "horizon_hours": 1, "members": CASE_3_MEMBERS, **prices}
    )
    assert plan["cost"] == pytest.approx(cost, abs=EXACT)
    assumed = any("zonal price" in sentence for sentence in plan["provenance"]["assumptions"])
    assert assumed is (zonal_price is None)


def test_sums_beside_members_are_refused_rather_than_dropped(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    answered(operator.put(f"/communities/{community_id}/sharing", json={"rule": "dynamic"}))
    body: dict[str, Any] = {"start_time": MONDAY, "horizon_hours": 1, "members": CASE_3_MEMBERS, "load_kw": [1.0] * 4}
    response = operator.post(f"/communities/{community_id}/optimization/dispatch", json=body)
    refused(response, 422, pointer="/load_kw")
    twice = {**body, "members": [CASE_3_MEMBERS[0]] * 2}
    response = operator.post(f"/communities/{community_id}/optimization/dispatch", json=twice)
    refused(response, 422, pointer="/members")


def test_fixed_shares_need_the_coefficient_of_every_member(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    answered(operator.put(f"/communities/{community_id}/sharing", json={"rule": "static"}))
    body = {"start_time": MONDAY, "horizon_hours": 1, "members": CASE_3_MEMBERS}
    assert "sharing_coefficient" in dispatch(operator, community_id, body, 409)["detail"]


def test_members_who_have_left_take_no_part_in_the_plan(api: Api, operator: httpx.Client):
    community_id = api.community(operator, total_storage_capacity_kwh=0.0)
    path = f"/communities/{community_id}"
    start = datetime(2026, 3, 10, tzinfo=UTC)
    members = [{"member_id": "stays"}, {"member_id": "leaves", "left_at": "2026-03-09T00:00:00Z"}]
    answered(operator.post(f"{path}/members", json={"members": members}), 201)
    answered(operator.put(f"{path}/sharing", json={"rule": "dynamic"}))
    week_before = (start - timedelta(days=7)).isoformat()
    column = {"name": "load_kw", "unit": "kW", "start": week_before, "resolution_minutes": 15, "values": [3.0] * 4}
    series = [{**column, "member_id": one["member_id"]} for one in members]
    answered(operator.post(f"{path}/readings", json={"series": series, "assumed_delay_minutes": 60}))
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "horizon_hours": 1})
    assert plan["load_kw"] == pytest.approx([3.0] * 4)
    assert "members behave as 1 week(s) before" in plan["provenance"]["assumptions"]


# What meters tell


def test_behind_net_meters_nothing_is_curtailed(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    start = datetime(2026, 3, 16, tzinfo=UTC)
    hours = np.arange(10 * 96) / 4 % 24
    net_kw = (20 - 45 * np.exp(-(((hours - 12) / 2) ** 2))).tolist()
    _record(operator, community_id, "net_load_kw", start - timedelta(days=10), net_kw, unit="kW")
    plan = dispatch(operator, community_id, {"start_time": start.isoformat(), "current_soc_kwh": 20})
    assert plan["curtailed_kw"] == pytest.approx([0] * 96, abs=1e-9)
    assert np.subtract(plan["load_kw"], plan["pv_kw"]) == pytest.approx(np.array(net_kw[:96]), abs=0.01)
    assert any("not metered apart" in sentence for sentence in plan["provenance"]["assumptions"])
    assert not any("standard" in sentence for sentence in plan["provenance"]["assumptions"])
    check_physics(plan, capacity_kwh=100, power_kw=40, efficiencies=(0.9, 0.8), initial_kwh=20)


def test_a_few_reporting_members_stand_for_all(api: Api, operator: httpx.Client):
    community_id = api.community(operator, num_prosumers=100)
    path = f"/communities/{community_id}"
    start = datetime(2026, 3, 16, tzinfo=UTC)
    answered(operator.post(f"{path}/members", json={"members": [{"member_id": "a"}, {"member_id": "b"}]}), 201)
    for member in ("a", "b"):
        past = start - timedelta(days=10)
        _record(operator, community_id, "load_kw", past, [2.0] * 960, unit="kW", member_id=member)
    plan = dispatch(operator, community_id, {"start_time": start.isoformat()})
    assert plan["load_kw"] == pytest.approx([200] * 96, rel=1e-6)
    assert plan["provenance"]["sources"]["load_kw"] == "sum over 2 of 100 prosumers, scaled by 100/2"


def test_a_peak_that_was_paid_for_costs_nothing_more(api: Api, operator: httpx.Client):
    def cost(peak_so_far_kw: float) -> float:
        charge = {"per_kw": 10.0, "peak_so_far_kw": peak_so_far_kw}
        flat = {"kind": "flat", "per_kwh": 0.05}
        tariff = {"import_price": flat, "export_price": flat, "capacity_charge": charge}
        community_id = api.community(operator, **CASE_1_COMMUNITY, tariff=tariff)
        return dispatch(operator, community_id, CASE_1)["cost"]

    # 100 kW is the limit of the connection: with it paid for, the plan is that without a charge
    assert cost(100) == pytest.approx(18.36, abs=EXACT)
    assert cost(0) > cost(50) > cost(100)
