"""Kept plans over HTTP: explained, as a model for other solvers, as CSV; and what is told when there is none."""

import csv
import io
from pathlib import Path
from typing import Any

import highspy
import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.test_planned_devices import BATTERY, CAR, DAY, PUMP, WARMTH, WASHER
from tests.api.test_schedules import CASE_1, CASE_1_COMMUNITY, dispatch

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


def test_what_was_planned_under_risk_has_no_question_to_explain(operator: httpx.Client, village: str):
    body = {"start_time": CASE_1["start_time"], "horizon_hours": 2, "risk": {"cvar_weight": 0.5, "scenarios": 10}}
    plan = dispatch(operator, village, body)
    problem = refused(operator.get(f"{result_path(village, plan['result_id'])}/explanation"), 422)
    assert "no question was kept" in problem["detail"]


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
    response = operator.get(f"{result_path(village, plan['result_id'])}/model", params={"format": form})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    path = tmp_path / f"model.{form}"
    path.write_text(response.text)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(path))
    highs.run()
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
