"""Kept plans over HTTP: explained, as a model for other solvers, as CSV; and what is told when there is none."""

import csv
import io
from pathlib import Path
from typing import Any

import highspy
import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.dispatching import CASE_1, CASE_1_COMMUNITY, dispatch
from tests.api.test_planned_devices import BATTERY, CAR, DAY, PUMP, WARMTH, WASHER

UNKNOWN = "00000000-0000-0000-0000-000000000000"
MEMBERS = [
    {"member_id": "home_1", "load_kw": [20.0, 40, 60, 90], "pv_kw": [0.0, 0, 0, 0]},
    {"member_id": "home_2", "load_kw": [0.0, 0, 0, 0], "pv_kw": [80.0, 40, 0, 0]},
]


@pytest.fixture(scope="module")
def village(api: Api, operator: httpx.Client) -> str:
    return api.community(operator, **CASE_1_COMMUNITY)


def result_path(community_id: str, result_id: str) -> str:
    return f"/communities/{community_id}/optimization/results/{result_id}"


def optimum(client: httpx.Client, path: str, folder: Path, form: str) -> highspy.Highs:
    """The model of a plan as another program reads and solves it."""
    response = client.get(f"{path}/model", params={"format": form})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    file = folder / f"model.{form}"
    file.write_text(response.text)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(file))
    highs.run()
    return highs


def test_a_plan_is_explained_in_numbers_and_words(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, CASE_1)
    found = answered(operator.get(f"{result_path(village, plan['result_id'])}/explanation"))
    assert (found["result_id"], found["objective"], found["unit"]) == (plan["result_id"], "minimize_cost", "EUR")
    power = next(one for one in found["limits"] if one["limit"] == "max_storage_power_kw")
    assert power["more"] == {
        "is_possible": True,
        "objective_per_unit": pytest.approx(-0.141),
        "holds_for": pytest.approx(10),
    }
    assert power["text"].startswith("The storage power of 40 kW holds the plan back in 3 intervals, first at 00:00")
    assert [one["action"] for one in found["actions"]] == ["charges", "discharges"]
    assert found["actions"][0]["end"] == "2026-03-02T01:00:00Z"
    assert found["actions"][0]["price_per_kwh"] < found["actions"][0]["worth_per_kwh"]


def test_a_plan_with_devices_is_explained_from_what_was_kept(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, {**DAY, "devices": [CAR, WARMTH, BATTERY, PUMP, WASHER]})
    found = answered(operator.get(f"{result_path(village, plan['result_id'])}/explanation"))
    assert {one.get("device_id") for one in found["actions"]} >= {"car", "warmth", "pump", "washer"}
    assert "devices.car.departure_soc_min_kwh" in [one["limit"] for one in found["limits"]]


def test_a_plan_under_sharing_is_explained_and_names_no_member(api: Api, operator: httpx.Client):
    community = api.community(operator, **CASE_1_COMMUNITY)
    answered(operator.put(f"/communities/{community}/sharing", json={"rule": "dynamic"}))
    body = {name: value for name, value in CASE_1.items() if name not in ("load_kw", "pv_kw")}
    plan = dispatch(operator, community, {**body, "members": MEMBERS})
    found = answered(operator.get(f"{result_path(community, plan['result_id'])}/explanation"))
    assert found["limits"]
    assert "home_" not in str(found)


def test_a_plan_under_fixed_shares_is_explained_until_a_member_is_erased(
    api: Api, operator: httpx.Client, tmp_path: Path
):
    community = api.community(operator, **CASE_1_COMMUNITY)
    names = [{"member_id": one["member_id"], "sharing_coefficient": 0.5} for one in MEMBERS]
    answered(operator.post(f"/communities/{community}/members", json={"members": names}), 201)
    answered(operator.put(f"/communities/{community}/sharing", json={"rule": "static"}))
    body = {name: value for name, value in CASE_1.items() if name not in ("load_kw", "pv_kw")}
    plan = dispatch(operator, community, {**body, "members": MEMBERS})
    path = result_path(community, plan["result_id"])
    found = answered(operator.get(f"{path}/explanation"))
    assert found["limits"]
    assert optimum(operator, path, tmp_path, "lp").getObjectiveValue() == pytest.approx(
        plan["objective_value"], abs=1e-6
    )
    home = api.member_of(community, "viewer", member_id="home_1")
    for part in ("explanation", "model"):
        refused(home.get(f"{path}/{part}"), 403)
    answered(operator.delete(f"/communities/{community}/members/home_1"))
    assert refused(operator.get(f"{path}/explanation"), 422)["detail"].startswith("the question of this plan is not")


def test_a_plan_under_risk_tells_its_worst_scenarios_and_what_hedging_costs(
    operator: httpx.Client, village: str, tmp_path: Path
):
    risk = {"cvar_weight": 0.6, "confidence": 0.8, "scenarios": 20}
    body = {"start_time": CASE_1["start_time"], "horizon_hours": 24, "resolution_minutes": 60, "risk": risk}
    plan = dispatch(operator, village, body)
    path = result_path(village, plan["result_id"])
    found = answered(operator.get(f"{path}/explanation"))
    tail, hedging = found["risk"]["tail"], found["risk"]["hedging"]
    assert len(tail["scenarios"]) == 4
    worst = [one["cost"] for one in tail["scenarios"]]
    assert sum(worst) / 4 == pytest.approx(plan["risk"]["cvar"])
    assert tail["mean_cost"] == pytest.approx(plan["risk"]["expected_cost"])
    assert min(hedging["mean_cost"], hedging["tail_saving"]) >= 0
    assert tail["text"].startswith("The worst 20% of what may come are 4 of 20 scenarios, which cost")
    for one in found["limits"]:
        [side] = [one[name] for name in ("more", "less") if name in one]
        weighed = 0.4 * side["mean_per_unit"] + 0.6 * side["tail_per_unit"]
        assert side["objective_per_unit"] == pytest.approx(weighed)
    for form in ("lp", "mps"):
        assert optimum(operator, path, tmp_path, form).getObjectiveValue() == pytest.approx(
            plan["objective_value"], rel=1e-6
        )


@pytest.mark.parametrize("part", ["explanation", "model"])
def test_an_unknown_plan_is_not_found(operator: httpx.Client, village: str, part: str):
    refused(operator.get(f"{result_path(village, UNKNOWN)}/{part}"), 404)
    refused(operator.get(f"{result_path(village, 'nonsense')}/{part}"), 404)


@pytest.mark.parametrize("form", ["lp", "mps"])
@pytest.mark.parametrize("change", [{}, {"peak_price_per_kw": 0.5}, {"end_value_per_kwh": 0.2}])
def test_another_reading_of_the_model_has_the_optimum_of_the_plan(
    operator: httpx.Client, village: str, tmp_path: Path, form: str, change: dict[str, Any]
):
    plan = dispatch(operator, village, {**CASE_1, **change})
    highs = optimum(operator, result_path(village, plan["result_id"]), tmp_path, form)
    assert highs.getObjectiveValue() == pytest.approx(plan["objective_value"], abs=1e-6)
    charge = [highs.getColByName(f"charge_kw_{step}")[1] for step in range(4)]
    assert [highs.getSolution().col_value[column] for column in charge] == pytest.approx(plan["charge_kw"], abs=1e-6)


def test_a_model_is_written_in_known_forms_alone(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, CASE_1)
    refused(operator.get(f"{result_path(village, plan['result_id'])}/model", params={"format": "xlsx"}), 422)


def test_a_plan_as_csv_has_a_row_for_each_interval(operator: httpx.Client, village: str):
    plan = dispatch(operator, village, CASE_1)
    response = operator.get(result_path(village, plan["result_id"]), headers={"Accept": "text/csv"})
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["start"] for row in rows][:2] == ["2026-03-02T00:00:00Z", "2026-03-02T00:30:00Z"]
    assert rows[-1]["end"] == "2026-03-02T02:00:00Z"
    for name in ("charge_kw", "discharge_kw", "soc_kwh", "import_kw", "import_price_per_kwh"):
        assert [float(row[name]) for row in rows] == plan[name]


def test_without_a_plan_the_problem_tells_the_conflict_and_what_comes_closest(operator: httpx.Client, village: str):
    problem = dispatch(operator, village, {**CASE_1, "load_kw": [20.0, 40, 60, 190]}, status=422)
    assert problem["type"] == "/problems/infeasible"
    assert [one["limit"] for one in problem["limits"]] == ["grid_import_limit_kw"]
    assert {one["limit"] for one in problem["conflict"]} == {"max_storage_power_kw", "grid_import_limit_kw"}
    assert {(one["start"], one["end"]) for one in problem["conflict"]} == {
        ("2026-03-02T01:30:00Z", "2026-03-02T02:00:00Z")
    }
    assert problem["conflict_is"] == "smallest"
    closest = problem["least_violation"]
    assert closest["is_a_plan"] is False
    assert closest["passes"][0]["most"] == pytest.approx(50)
    assert closest["import_kw"][3] == pytest.approx(150)
