"""Tariffs over HTTP: the worked case, eight numbers, budgets by local day, members, refusals, stored results."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused

EXACT = 1e-3
"""Of money, kW and kWh in the worked case."""

MONDAY = "2026-03-02T00:00:00Z"
CASE_2 = {
    "start_time": MONDAY,
    "horizon_hours": 2,
    "resolution_minutes": 60,
    "blocks": 2,
    "load_kw": [100.0, 200],
    "pv_kw": [0.0, 0],
    "reference_price_per_kwh": 0.30,
    "marginal_cost_per_kwh": [0.10, 0.36],
    "elasticity": {"own": -0.3, "cross": 0.0},
    "price_bounds": {"low": 0.05, "high": 0.50},
    "incentive_budget": 11,
    "carbon_price_per_kg": 0,
}


def design(client: httpx.Client, community_id: str, body: dict[str, Any], status: int = 200) -> Any:
    response = client.post(f"/communities/{community_id}/optimization/tariff", json=body)
    return answered(response, status) if status < 400 else refused(response, status)


# The worked case


def test_case_2_over_http(operator: httpx.Client, community: str):
    tariff = design(operator, community, CASE_2)
    assert tariff["import_price_per_kwh"] == pytest.approx([0.20, 0.36], abs=EXACT)
    assert tariff["demand_after_kw"] == pytest.approx([110, 188], abs=EXACT)
    assert tariff["demand_before_kw"] == [100, 200]
    assert 11 - EXACT < tariff["incentives_paid"] <= 11
    assert tariff["revenue"] == pytest.approx(89.68, abs=EXACT)
    welfare = tariff["welfare"]
    assert welfare["consumer_surplus"] == pytest.approx(-1.14, abs=EXACT)
    assert welfare["operator_margin"] == pytest.approx(3.00, abs=EXACT)
    assert welfare["change"] == pytest.approx(1.86, abs=EXACT)
    assert (welfare["pv_receipts"], welfare["carbon_damage"]) == (0, 0)
    assert tariff["budget_shadow_price"] == pytest.approx(1 / 12, abs=EXACT)
    assert tariff["status"] == "optimal"
    assert [one["limit"] for one in tariff["binding"]] == ["incentive_budget"]
    assert tariff["present_tariff"]["revenue"] == pytest.approx(90)
    assert [one["import_price_per_kwh"] for one in tariff["blocks"]] == tariff["import_price_per_kwh"]
    assert tariff["provenance"]["sources"]["load_kw"] == "the request"


@pytest.mark.parametrize(("budget", "prices", "change"), [(1e6, [0.10, 0.36], 2.36), (0, [0.30, 0.36], 0.36)])
def test_case_2_with_another_budget(
    operator: httpx.Client, community: str, budget: float, prices: list[float], change: float
):
    tariff = design(operator, community, {**CASE_2, "incentive_budget": budget})
    assert tariff["import_price_per_kwh"] == pytest.approx(prices, abs=EXACT)
    assert tariff["welfare"]["change"] == pytest.approx(change, abs=EXACT)
    assert tariff["incentives_paid"] == pytest.approx(0 if budget == 0 else 24, abs=EXACT)


def test_what_was_spent_today_is_not_spent_again(operator: httpx.Client, community: str):
    spent = design(operator, community, {**CASE_2, "incentive_budget": 15, "already_spent_today": 4})
    assert spent["import_price_per_kwh"] == pytest.approx([0.20, 0.36], abs=EXACT)
    assert spent["days"][0]["incentive_budget"] == pytest.approx(11)
    over = design(operator, community, {**CASE_2, "already_spent_today": 12})
    assert over["incentives_paid"] == 0


def test_the_budget_is_the_communitys_unless_given(api: Api, operator: httpx.Client):
    community_id = api.community(operator, incentive_budget_daily=11.0)
    body = {name: value for name, value in CASE_2.items() if name != "incentive_budget"}
    assert design(operator, community_id, body)["import_price_per_kwh"] == pytest.approx([0.20, 0.36], abs=EXACT)


# Eight numbers


def test_eight_numbers_are_enough_and_every_prior_is_listed(operator: httpx.Client, community: str):
    tariff = design(operator, community, {})
    assert len(tariff["import_price_per_kwh"]) == len(tariff["demand_after_kw"]) == 96
    assert tariff["incentives_paid"] <= 200  # two local days at most
    assert all(day["incentives_paid"] <= 100 for day in tariff["days"])
    assert tariff["welfare"]["change"] >= 0
    assumptions = " / ".join(tariff["provenance"]["assumptions"])
    for word in ("-0.126", "0.30", "0.21", "price_bounds", "marginal_cost_per_kwh", "0.165"):
        assert word in assumptions, assumptions
    assert tariff["distribution"]["basis"] == "community"
    assert (tariff["distribution"]["members_known"], tariff["distribution"]["members_total"]) == (0, 100)
    assert "share_better_off" not in tariff["distribution"]
    parts = tariff["welfare"]
    total = parts["consumer_surplus"] + parts["operator_margin"] + parts["pv_receipts"] - parts["carbon_damage"]
    assert parts["change"] == pytest.approx(total, abs=1e-6)


def test_a_flat_tariff_and_steps_between_blocks(operator: httpx.Client, community: str):
    start = {"start_time": "2026-06-01T00:00:00Z"}
    flat = design(operator, community, {**start, "max_price_step_per_kwh": 0})
    assert len(set(flat["import_price_per_kwh"])) == 1
    assert len(flat["blocks"]) == 1
    gentle = design(operator, community, {**start, "max_price_step_per_kwh": 0.01, "blocks": [0, 8, 12, 18]})
    prices = [one["import_price_per_kwh"] for one in gentle["blocks"]]
    assert 1 < len(prices) <= 4
    assert all(abs(after - before) < 0.01 + 1e-6 for before, after in pairwise(prices))


def test_a_negative_marginal_cost_is_passed_on(operator: httpx.Client, community: str):
    body = {**CASE_2, "marginal_cost_per_kwh": [-0.2, 0.3], "price_bounds": {"low": -0.1, "high": 0.5}}
    tariff = design(operator, community, {**body, "incentive_budget": 1000})
    assert tariff["import_price_per_kwh"] == pytest.approx([-0.1, 0.3], abs=EXACT)


def test_pv_is_paid_what_it_saves_or_as_at_present(operator: httpx.Client, community: str):
    body = {**CASE_2, "pv_kw": [10.0, 0], "export_price_per_kwh": 0.08}
    paid = design(operator, community, body)
    assert paid["export_price_per_kwh"] == [0.10, 0.36]
    assert paid["welfare"]["pv_receipts"] == pytest.approx(0.2)
    kept = design(operator, community, {**body, "feed_in_rule": "present_tariff"})
    assert kept["export_price_per_kwh"] == [0.08, 0.08]
    assert kept["welfare"]["pv_receipts"] == 0
    assert kept["import_price_per_kwh"] == pytest.approx(paid["import_price_per_kwh"])
    assert kept["welfare"]["change"] == pytest.approx(paid["welfare"]["change"])


# Local days


@pytest.mark.parametrize(
    ("midnight", "hours"), [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25), ("2026-06-09T22:00:00Z", 24)]
)
def test_each_local_day_has_its_budget_however_long_it_is(api: Api, operator: httpx.Client, midnight: str, hours: int):
    community_id = api.community(operator, timezone="Europe/Vienna")
    steps = hours + 24
    body = {
        "start_time": midnight,
        "horizon_hours": steps,
        "resolution_minutes": 60,
        "blocks": [0, 6, 12, 18],
        "load_kw": [50.0] * steps,
        "pv_kw": [0.0] * steps,
        "marginal_cost_per_kwh": [0.1] * steps,
        "incentive_budget": 3,
        "carbon_price_per_kg": 0,
    }
    tariff = design(operator, community_id, body)
    assert [day["energy_before_kwh"] for day in tariff["days"]] == [50 * hours, 50 * 24]
    for day in tariff["days"]:
        assert 3 - 0.01 < day["incentives_paid"] <= 3
    assert tariff["incentives_paid"] == pytest.approx(6, abs=0.02)


# Members


def test_members_with_readings_learn_what_the_tariff_means_for_them(api: Api, operator: httpx.Client):
    community_id = api.community(operator, num_prosumers=3)
    path, start = f"/communities/{community_id}", datetime(2026, 3, 10, tzinfo=UTC)
    members = [{"member_id": name} for name in ("night", "evening", "silent")]
    answered(operator.post(f"{path}/members", json={"members": members}), 201)
    column = {
        "name": "load_kw", "unit": "kW", "start": (start - timedelta(days=7)).isoformat(), "resolution_minutes": 60,
    }  # fmt: skip
    series = [
        {**column, "member_id": "night", "values": [80.0, 20]},
        {**column, "member_id": "evening", "values": [20.0, 180]},
    ]
    answered(operator.post(f"{path}/readings", json={"series": series, "assumed_delay_minutes": 60}))
    tariff = design(operator, community_id, {**CASE_2, "start_time": start.isoformat()})
    shares = tariff["distribution"]
    assert (shares["basis"], shares["members_known"], shares["members_total"]) == ("members", 2, 3)
    changes = {one["member_id"]: one["surplus_change"] for one in shares["members"]}
    assert changes == pytest.approx({"night": 84 * 0.10 - 19.4 * 0.06, "evening": 21 * 0.10 - 174.6 * 0.06}, abs=EXACT)
    assert (shares["gains"], shares["losses"]) == pytest.approx((7.236, 8.376), abs=EXACT)
    assert shares["share_better_off"] == 0.5
    assert "surplus_change_deciles" not in shares
    assert any("1 of 3 members lack readings" in note for note in tariff["provenance"]["notes"])


# What was known when


def test_the_market_is_the_marginal_cost_of_a_community_with_a_tariff(api: Api, operator: httpx.Client):
    tariff = {"import_price": {"kind": "flat", "per_kwh": 0.3}, "export_price": {"kind": "flat", "per_kwh": 0.05}}
    community_id = api.community(operator, tariff=tariff)
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    series = {
        "name": "import_price_per_kwh", "unit": "EUR/MWh", "start": start.isoformat(), "resolution_minutes": 60,
        "values": [100.0, 360],
    }  # fmt: skip
    body = {"assumed_delay_minutes": 0, "series": [series]}
    answered(operator.post(f"/communities/{community_id}/readings", json=body))
    request = {
        name: value
        for name, value in CASE_2.items()
        if name not in ("marginal_cost_per_kwh", "reference_price_per_kwh")
    }
    request |= {"start_time": start.isoformat(), "as_of": (start + timedelta(hours=3)).isoformat()}
    found = design(operator, community_id, request)
    assert found["marginal_cost_per_kwh"] == pytest.approx([0.10, 0.36])
    assert found["import_price_per_kwh"] == pytest.approx([0.20, 0.36], abs=EXACT)
    # at noon these prices were not known yet
    early = design(operator, community_id, {**request, "as_of": start.isoformat()})
    assert early["marginal_cost_per_kwh"] == [0.3, 0.3]


# Refusals


def test_limits_in_conflict_are_named(operator: httpx.Client, community: str):
    problem = design(operator, community, {**CASE_2, "revenue_floor": 130}, 422)
    assert problem["type"] == "/problems/infeasible"
    assert "revenue_floor" in problem["detail"]
    limits = {one["limit"]: one for one in problem["limits"]}
    assert limits["revenue_floor"]["relax_by"] == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"load_kw": [1.0]}, "/load_kw"),
        ({"marginal_cost_per_kwh": [0.1] * 3}, "/marginal_cost_per_kwh"),
        ({"reference_price_per_kwh": 0.0}, "/reference_price_per_kwh"),
        ({"price_bounds": {"low": 0.5, "high": 0.1}}, "/price_bounds"),
        ({"weights": {"operator_margin": 0.4}}, "/weights/operator_margin"),
        ({"blocks": 3}, "/blocks"),
        ({"blocks": [6, 6]}, "/blocks"),
        ({"as_of": "2099-01-01T00:00:00Z"}, "/as_of"),
    ],
)
def test_a_value_that_breaks_a_rule_is_pointed_at(operator: httpx.Client, community: str, change: Any, pointer: str):
    response = operator.post(f"/communities/{community}/optimization/tariff", json={**CASE_2, **change})
    refused(response, 422, pointer=pointer)


@pytest.mark.parametrize(
    "change", [{"elasticity": 0.2}, {"blocks": []}, {"colour": "red"}, {"horizon_hours": 0.3}, {"incentive_budget": -1}]
)
def test_what_no_tariff_can_be_is_refused(operator: httpx.Client, community: str, change: Any):
    design(operator, community, {**CASE_2, **change}, 422)


# Results


def test_a_tariff_is_kept_among_the_results(api: Api, operator: httpx.Client):
    community_id = api.community(operator)
    path = f"/communities/{community_id}/optimization"
    tariff = design(operator, community_id, CASE_2)
    plan = {"start_time": MONDAY, "horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
    answered(operator.post(f"{path}/dispatch", json=plan))
    assert answered(operator.get(f"{path}/results/{tariff['result_id']}")) == tariff
    kinds = [one["kind"] for one in answered(operator.get(f"{path}/results"))["results"]]
    assert kinds == ["dispatch", "tariff"]
    [kept] = answered(operator.get(f"{path}/results", params={"kind": "tariff"}))["results"]
    assert kept["welfare_change"] == pytest.approx(1.86, abs=EXACT)


# Elasticity, units, members who must not lose


def test_elasticity_is_learned_where_readings_and_prices_vary(api: Api, operator: httpx.Client):
    dynamic = {"kind": "dynamic", "markup_per_kwh": 0.1}
    tariff = {"import_price": dynamic, "export_price": {"kind": "flat", "per_kwh": 0.05}}
    community_id = api.community(operator, tariff=tariff)
    draw, hours = np.random.default_rng(1), 24 * 84
    start = datetime(2026, 3, 2, tzinfo=UTC) - timedelta(hours=hours)
    price = 0.3 * np.exp(draw.normal(0, 0.25, hours))
    habit = 50 + 20 * np.sin(np.arange(hours) / 24 * 2 * np.pi)
    load = habit * (price / 0.3) ** -0.3 * np.exp(draw.normal(0, 0.03, hours))
    column = {"start": start.isoformat(), "resolution_minutes": 60}
    series = [
        {**column, "name": "load_kw", "unit": "kW", "values": load.tolist()},
        {**column, "name": "import_price_per_kwh", "unit": "EUR/kWh", "values": (price - 0.1).tolist()},
    ]
    answered(
        operator.post(f"/communities/{community_id}/readings", json={"series": series, "assumed_delay_minutes": 0})
    )
    body = {
        "start_time": "2026-03-02T00:00:00Z",
        "horizon_hours": 24,
        "resolution_minutes": 60,
        "reference_price_per_kwh": 0.3,
        "pv_kw": [0.0] * 24,
        "marginal_cost_per_kwh": [0.2, 0.4] * 12,
    }
    found = design(operator, community_id, body)
    elasticity = found["elasticity"]
    assert elasticity["source"] == "readings"
    assert elasticity["own"] == pytest.approx(-0.3, abs=3 * elasticity["own_standard_error"])
    assert 0 < elasticity["own_standard_error"] < 0.03
    assert elasticity["days"] == 84
    assert "learned: own -0.3" in found["provenance"]["sources"]["elasticity"]
    for when in ("before", "after"):
        low, mid, high = (found[f"demand_{when}{part}_kw"] for part in ("_low", "", "_high"))
        assert all(a <= b <= c for a, b, c in zip(low, mid, high, strict=True))
    given = design(operator, community_id, {**body, "elasticity": -0.2})
    assert given["elasticity"] == {"own": -0.2, "cross": 0.0, "source": "request"}


def test_a_clock_tariff_teaches_no_elasticity_and_says_so(api: Api, operator: httpx.Client):
    tariff = {"import_price": {"kind": "flat", "per_kwh": 0.3}, "export_price": {"kind": "flat", "per_kwh": 0.05}}
    found = design(operator, api.community(operator, tariff=tariff), {})
    assert found["elasticity"]["source"] == "literature"
    assert any("cannot be told from habit" in one for one in found["provenance"]["assumptions"])


def test_prices_in_whole_cents_stay_inside_the_budget(operator: httpx.Client, community: str):
    tariff = design(operator, community, {**CASE_2, "incentive_budget": 10.5, "price_unit_per_kwh": 0.01})
    assert tariff["import_price_per_kwh"] == [0.21, 0.36]
    assert tariff["incentives_paid"] == pytest.approx(0.09 * 109)
    assert tariff["status"] == "feasible"
    assert tariff["gap"] > 0


def test_no_member_pays_more_for_what_it_uses_at_present(api: Api, operator: httpx.Client):
    community_id = api.community(operator, num_prosumers=2)
    refused(
        operator.post(f"/communities/{community_id}/optimization/tariff", json={**CASE_2, "no_member_worse_off": True}),
        409,
    )
    path, start = f"/communities/{community_id}", datetime(2026, 3, 10, tzinfo=UTC)
    answered(
        operator.post(f"{path}/members", json={"members": [{"member_id": "night"}, {"member_id": "evening"}]}), 201
    )
    column = {
        "name": "load_kw", "unit": "kW", "start": (start - timedelta(days=7)).isoformat(), "resolution_minutes": 60,
    }  # fmt: skip
    series = [
        {**column, "member_id": "night", "values": [80.0, 20]},
        {**column, "member_id": "evening", "values": [20.0, 180]},
    ]
    answered(operator.post(f"{path}/readings", json={"series": series, "assumed_delay_minutes": 60}))
    body = {**CASE_2, "start_time": start.isoformat()}
    free, kept = (design(operator, community_id, {**body, "no_member_worse_off": one}) for one in (False, True))
    assert min(one["surplus_change"] for one in free["distribution"]["members"]) < -1
    assert min(one["surplus_change"] for one in kept["distribution"]["members"]) >= -EXACT
    assert 0 < kept["welfare"]["change"] < free["welfare"]["change"]
    assert "no_member_worse_off" in [one["limit"] for one in kept["binding"]]
