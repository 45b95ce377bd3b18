"""Scenarios over HTTP: the real application, a real worker, and what a community's own numbers must come to."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused

from digital_twin.client import Tokens, TwinClient
from digital_twin.domain.errors import InvalidInput

QUICK: dict[str, Any] = {"simulation_duration_days": 7, "monte_carlo_runs": 12, "seed": 5}
WAIT = {"Prefer": "wait=20"}
END = datetime(2026, 3, 2, tzinfo=UTC)


def simulated(client: httpx.Client, community: str, kind: str = "run-scenario", **body: Any) -> dict[str, Any]:
    """The result of a Run that must succeed."""
    path = f"/communities/{community}/simulation/{kind}"
    response = client.post(path, json={**QUICK, **body}, headers=WAIT)
    run = answered(response, 202)
    assert response.headers["location"] == f"/runs/{run['run_id']}"
    while run["state"] in ("queued", "running"):
        run = answered(client.get(f"/runs/{run['run_id']}", headers=WAIT))
    assert run["state"] == "succeeded", run
    assert run["links"]["result"] == f"/communities/{community}/simulation/results/{run['run_id']}"
    assert run["progress"]["done"] == run["progress"]["total"] > 0
    return answered(client.get(run["links"]["result"]))


@pytest.fixture(scope="module")
def owner(api: Api) -> httpx.Client:
    return api.account("operator")


def test_the_eight_field_community_answers_from_documented_priors(api: Api, owner: httpx.Client):
    community = api.community(owner)
    found = simulated(owner, community, scenario_id="more_sun", parameter_changes={"total_pv_capacity_kw": 1000})
    assert found["scenario_id"] == "more_sun"
    assert (found["runs"], found["seed"], found["simulation_duration_days"]) == (12, 5, 7)
    for kpi in found["kpis"].values():
        assert kpi["low"] <= kpi["mean"] <= kpi["high"]
        levels = [kpi["quantiles"][level] for level in ("0.05", "0.25", "0.5", "0.75", "0.95")]
        assert all(low <= high for low, high in pairwise(levels))
    assert found["risk"]["cvar_95"] >= found["risk"]["var_95"] >= found["kpis"]["cost"]["quantiles"]["0.5"]
    assert found["comparison"]["reference"] == "as_is"
    assert found["comparison"]["cost_difference"]["mean"] < 0
    assert any("synthetic" in sentence for sentence in found["provenance"]["assumptions"])
    assert found["kpis"]["beyond_export_limit_kwh"]["mean"] == 0
    assert "economics" not in found
    assert "members" not in found


def test_the_same_seed_gives_the_same_answer_and_a_drawn_seed_is_told(api: Api, owner: httpx.Client):
    community = api.community(owner)
    as_of = "2026-03-02T00:00:00Z"
    first = simulated(owner, community, scenario_id="s", as_of=as_of)
    again = simulated(owner, community, scenario_id="s", as_of=as_of)
    assert first["kpis"] == again["kpis"]
    drawn = simulated(owner, community, scenario_id="s", seed=None, as_of=as_of)
    repeated = simulated(owner, community, scenario_id="s", seed=drawn["seed"], as_of=as_of)
    assert drawn["kpis"] == repeated["kpis"] != first["kpis"]


def test_scenarios_are_compared_on_the_same_years(api: Api, owner: httpx.Client):
    community = api.community(owner)
    scenarios: list[dict[str, Any]] = [
        {"scenario_id": "nothing", "parameter_changes": {}},
        {"scenario_id": "no_sun", "parameter_changes": {"total_pv_capacity_kw": 0}},
        {"scenario_id": "dearer", "parameter_changes": {"import_price_per_kwh": {"add": 0.1}}},
    ]
    found = simulated(owner, community, "run-multiple", scenarios=scenarios)
    assert [one["scenario_id"] for one in found["scenarios"]] == ["nothing", "no_sun", "dearer"]
    nothing, _, dearer = found["scenarios"]
    assert nothing["comparison"]["cost_difference"] == {"mean": 0, "low": 0, "high": 0}
    more = dearer["comparison"]["cost_difference"]["mean"]
    assert more == pytest.approx(0.1 * dearer["kpis"]["imported_kwh"]["mean"])
    ranking = found["comparison"]["ranking"]
    assert {ranking[0]["scenario_id"], ranking[1]["scenario_id"]} == {"as_is", "nothing"}
    assert "confidence" not in ranking[-1]
    assert all(one["mean_cost"] <= other["mean_cost"] for one, other in pairwise(ranking))
    assert len(found["comparison"]["differences"]) == 6
    alone = simulated(owner, community, as_of=found["provenance"]["as_of"], **scenarios[1])
    assert alone["kpis"] == found["scenarios"][1]["kpis"]


def upload(client: httpx.Client, community: str, name: str, values: np.ndarray, *, member: str | None = None) -> None:
    """Hourly readings up to END."""
    start = END - timedelta(hours=values.size)
    column: dict[str, Any] = {
        "name": name, "unit": "kW", "kind": "mean",
        "start": start.isoformat(), "resolution_minutes": 60, "values": values.tolist(),
    }  # fmt: skip
    if member is not None:
        column["member_id"] = member
    answered(client.post(f"/communities/{community}/readings", json={"series": [column], "assumed_delay_minutes": 0}))


def test_a_known_year_is_what_is_simulated(api: Api, owner: httpx.Client):
    community = api.community(owner, total_storage_capacity_kwh=0.0, total_pv_capacity_kw=100.0)
    hours = np.arange(364 * 24)
    load = np.full(hours.size, 40.0)
    pv = np.where((hours % 24 >= 9) & (hours % 24 < 15), 50.0, 0.0)
    upload(owner, community, "load_kw", load)
    upload(owner, community, "pv_kw", pv)
    as_of = END.isoformat()
    found = simulated(owner, community, scenario_id="s", simulation_duration_days=28, monte_carlo_runs=100, as_of=as_of)
    kpis = found["kpis"]
    assert found["resolution_minutes"] == 60
    assert found["start"] == "2026-03-02T00:00:00Z"
    assert kpis["load_kwh"]["low"] <= 40 * 28 * 24 <= kpis["load_kwh"]["high"]
    assert kpis["generation_kwh"]["low"] <= 50 * 28 * 6 <= kpis["generation_kwh"]["high"]
    assert found["provenance"]["sources"]["load_kw"] == "community-level readings"
    assert found["provenance"]["data_end"] == "2026-03-02T00:00:00Z"
    assert not any("load_kw that" in sentence for sentence in found["provenance"]["assumptions"])
    # and what was not known then counts for nothing
    before = (END - timedelta(days=364)).isoformat()
    earlier = simulated(owner, community, scenario_id="s", as_of=before)
    assert earlier["provenance"]["data_start"] is None


def test_net_meters_are_not_curtailed(api: Api, owner: httpx.Client):
    community = api.community(owner, grid_export_limit_kw=1.0, total_storage_capacity_kwh=0.0)
    upload(owner, community, "net_load_kw", np.tile([30.0] * 12 + [-200.0] * 12, 364))
    found = simulated(owner, community, scenario_id="s", as_of=END.isoformat())
    assert found["kpis"]["curtailed_kwh"]["mean"] == 0
    assert found["kpis"]["beyond_export_limit_kwh"]["mean"] > 0


@pytest.fixture(scope="module")
def shared(api: Api, owner: httpx.Client) -> str:
    """Twelve homes with meters of their own; the first four have PV; everything is shared dynamically."""
    community = api.community(owner, num_prosumers=12, total_pv_capacity_kw=40.0, total_storage_capacity_kwh=0.0)
    members = [{"member_id": f"home_{number}"} for number in range(12)]
    answered(owner.post(f"/communities/{community}/members", json={"members": members}), 201)
    hours = np.arange(60 * 24)
    for number, member in enumerate(members):
        upload(owner, community, "load_kw", 0.5 + 0.1 * (hours % (5 + number) == 0), member=member["member_id"])
        if number < 4:
            sun = np.where((hours % 24 >= 9) & (hours % 24 < 15), 6.0, 0.0)
            upload(owner, community, "pv_kw", sun, member=member["member_id"])
    answered(owner.put(f"/communities/{community}/sharing", json={"rule": "none"}))
    return community


def test_sharing_pays_those_who_can_take_part(owner: httpx.Client, shared: str):
    rule = {"sharing_rule": "dynamic"}
    found = simulated(owner, shared, scenario_id="share", parameter_changes=rule, as_of=END.isoformat())
    members = found["members"]
    assert sum(group["homes"] for group in members["groups"]) == 12
    assert all(group["homes"] >= 5 for group in members["groups"])
    assert members["worse_off"] == 0
    assert members["better_off"] > 0
    saved = sum(group["homes"] * group["mean_saved"] for group in members["groups"])
    assert saved == pytest.approx(-found["comparison"]["cost_difference"]["mean"], rel=1e-6)
    assert found["kpis"]["shared_kwh"]["mean"] > 0
    assert found["provenance"]["sources"]["members"] == "load_kw readings of 12 members"


def test_fixed_shares_need_coefficients(owner: httpx.Client, shared: str):
    body = {**QUICK, "scenario_id": "s", "parameter_changes": {"sharing_rule": "static"}}
    problem = refused(owner.post(f"/communities/{shared}/simulation/run-scenario", json=body), 409)
    assert "sharing_coefficient" in problem["detail"]


def test_fixed_shares_are_simulated_where_members_have_them(api: Api, owner: httpx.Client):
    community = api.community(owner, num_prosumers=2, total_pv_capacity_kw=20.0)
    members: list[dict[str, Any]] = [{"member_id": f"home_{one}", "sharing_coefficient": 0.5} for one in range(2)]
    answered(owner.post(f"/communities/{community}/members", json={"members": members}), 201)
    for member in members:
        upload(owner, community, "load_kw", np.full(48, 1.0), member=member["member_id"])
    scenarios = [{"scenario_id": rule, "parameter_changes": {"sharing_rule": rule}} for rule in ("static", "hybrid")]
    found = simulated(owner, community, "run-multiple", scenarios=scenarios, as_of=END.isoformat())
    static, hybrid = (one["kpis"]["shared_kwh"]["mean"] for one in found["scenarios"])
    assert 0 < static < hybrid
    assert any("no fixed share" in note for note in found["provenance"]["notes"])


def test_an_investment_is_judged_by_what_it_saves(api: Api, owner: httpx.Client):
    community = api.community(owner)
    money = {"investment": 100_000.0, "lifetime_years": 20, "discount_rate": 0.03, "annual_operation_cost": 500.0}
    found = simulated(
        owner,
        community,
        scenario_id="s",
        parameter_changes={"total_pv_capacity_kw": {"add": 100}},
        simulation_duration_days=365,
        economics=money,
    )
    economics = found["economics"]
    saving = economics["annual_saving"]["mean"]
    assert saving == pytest.approx(-found["comparison"]["cost_difference"]["mean"] * 365.25 / 365)
    by_hand = -100_000 + sum((saving - 500) / 1.03**year for year in range(1, 21))
    assert economics["net_present_value"]["mean"] == pytest.approx(by_hand)
    assert sum(economics["discounted_cash_flows"]) == pytest.approx(by_hand)
    assert len(economics["cash_flows"]) == 21


def test_precision_is_reached_or_the_runs_are_used_up(api: Api, owner: httpx.Client):
    community = api.community(owner)
    found = simulated(owner, community, scenario_id="s", monte_carlo_runs=None, target_precision=0.05)
    assert found["precision"] <= 0.05
    assert found["runs"] in (40, 80, 160, 320, 640)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"parameter_changes": {"pv": 1}}, "/parameter_changes/pv"),
        ({"parameter_changes": {"num_prosumers": 0}}, "/parameter_changes/num_prosumers"),
        ({"simulation_duration_days": 367}, "/simulation_duration_days"),
        ({"simulation_duration_days": 0}, "/simulation_duration_days"),
        ({"monte_carlo_runs": 1}, "/monte_carlo_runs"),
        ({"policy": "optimal"}, "/policy"),
        ({"seed": -1}, "/seed"),
        ({"colour": "green"}, "/colour"),
        ({"scenario_id": "as_is"}, "/scenario_id"),
        ({"as_of": "2100-01-01T00:00:00Z"}, "/as_of"),
        (
            {"economics": {"investment": 1, "lifetime_years": 10, "discount_rate": 0.1}},
            "/simulation_duration_days",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    api: Api, owner: httpx.Client, community_of_owner: str, body: dict[str, Any], pointer: str
):
    path = f"/communities/{community_of_owner}/simulation/run-scenario"
    refused(owner.post(path, json={**QUICK, "scenario_id": "s", **body}), 422, pointer=pointer)


@pytest.fixture(scope="module")
def community_of_owner(api: Api, owner: httpx.Client) -> str:
    return api.community(owner)


def test_both_ways_to_say_how_many_and_too_much_work_are_refused(owner: httpx.Client, community_of_owner: str):
    path = f"/communities/{community_of_owner}/simulation/"
    both = {**QUICK, "scenario_id": "s", "target_precision": 0.1}
    refused(owner.post(path + "run-scenario", json=both), 422)
    many = [{"scenario_id": f"s{number}", "parameter_changes": {"sharing_rule": "dynamic"}} for number in range(20)]
    body = {"scenarios": many, "simulation_duration_days": 366, "monte_carlo_runs": 10_000}
    refused(owner.post(path + "run-multiple", json=body), 422, pointer="/monte_carlo_runs")
    twice = {**QUICK, "scenarios": [{"scenario_id": "s"}, {"scenario_id": "s"}]}
    refused(owner.post(path + "run-multiple", json=twice), 422, pointer="/scenarios/1/scenario_id")
    wrong = {**QUICK, "scenarios": [{"scenario_id": "s"}, {"scenario_id": "t", "parameter_changes": {"x": 1}}]}
    refused(owner.post(path + "run-multiple", json=wrong), 422, pointer="/scenarios/1/parameter_changes/x")


def test_results_of_other_kinds_are_no_simulations(owner: httpx.Client, community_of_owner: str):
    body = {"start_time": "2026-03-02T00:00:00Z", "horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
    plan = answered(owner.post(f"/communities/{community_of_owner}/optimization/dispatch", json=body))["result_id"]
    for result_id in (plan, "none", "00000000-0000-0000-0000-000000000000"):
        refused(owner.get(f"/communities/{community_of_owner}/simulation/results/{result_id}"), 404)


def test_the_client_asks_waits_and_reads(api: Api, owner: httpx.Client, community_of_owner: str):
    token = owner.headers["authorization"].removeprefix("Bearer ")
    with TwinClient(api.url, tokens=Tokens(token, "none")) as client:
        seen: list[int] = []
        run = client.run_multiple(community_of_owner, [{"scenario_id": "s"}], **QUICK)
        done = client.wait_for(run, lambda now: seen.append(now["progress"]["done"]))
        assert client.simulation_result(community_of_owner, done["run_id"])["scenarios"][0]["scenario_id"] == "s"
        assert seen
        run = client.wait_for(client.run_scenario(community_of_owner, scenario_id="t", **QUICK))
        assert client.simulation_result(community_of_owner, run["run_id"])["scenario_id"] == "t"
        with pytest.raises(InvalidInput, match="known are"):
            client.run_scenario(community_of_owner, scenario_id="t", parameter_changes={"x": 1})
