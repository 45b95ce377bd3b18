"""What is asked in a terminal about plans that are kept: why, against what, in force, as a model."""

import json
import uuid
from pathlib import Path

import highspy
import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.serving import Installation

SITE = {
    "num_prosumers": 30, "timezone": "UTC", "total_pv_capacity_kw": 90, "total_storage_capacity_kwh": 100,
    "max_storage_power_kw": 40, "grid_import_limit_kw": 100, "grid_export_limit_kw": 30, "incentive_budget_daily": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


@pytest.fixture(scope="module")
def community(installation: Installation) -> str:
    community_id = f"hill_{uuid.uuid4().hex[:8]}"
    with installation.client("root_admin") as http:
        assert http.post("/communities", json={"community_id": community_id, **SITE}).status_code == 201
    return community_id


@pytest.fixture(scope="module")
def plan(line: CommandLine, community: str) -> dict[str, object]:
    """One for the next hours, as the API answers it."""
    return json.loads(line.output("dispatch", "--community", community, "--json"))


def test_a_plan_is_explained_in_sentences(line: CommandLine, community: str, plan: dict[str, object]):
    shown = line.output("explain", "--community", community, str(plan["result_id"]))
    assert "What holds it back" in shown
    assert "What it does, and why" in shown
    told = json.loads(line.output("explain", "--community", community, str(plan["result_id"]), "--json"))
    for action in told["actions"]:  # of the plan that is kept, whichever process explains it
        assert action["text"].partition(": a kWh")[0] in " ".join(shown.split())


def test_a_plan_under_risk_tells_what_may_come(line: CommandLine, community: str):
    made = json.loads(line.output("dispatch", "--community", community, "--risk", "0.5", "--json"))
    shown = " ".join(line.output("explain", "--community", community, made["result_id"]).split())
    assert "What may come The worst 10% of what may come are" in shown
    assert "A plan that looks at the mean alone" in shown


def test_a_trade_off_is_a_plan_a_row(line: CommandLine, community: str):
    shown = line.output("trade-off", "--community", community, "--against", "peak", "--points", "4")
    assert "Cost against peak" in shown
    assert "highest import, kW" in " ".join(shown.split())


def test_a_plan_is_put_in_force(line: CommandLine, community: str, plan: dict[str, object]):
    assert "no schedule is in force" in line.run("active", "--community", community).stderr
    assert str(plan["result_id"]) in line.output("apply", "--community", community, str(plan["result_id"]))
    assert str(plan["result_id"]) in line.output("active", "--community", community)


def test_the_model_of_a_plan_has_its_optimum(
    line: CommandLine, community: str, plan: dict[str, object], tmp_path: Path
):
    for form in ("lp", "mps"):
        file = tmp_path / f"plan.{form}"
        line.output("model", "--community", community, str(plan["result_id"]), "--output", str(file))
        highs = highspy.Highs()
        highs.setOptionValue("output_flag", False)
        assert highs.readModel(str(file)) == highspy.HighsStatus.kOk
        highs.run()
        assert highs.getInfo().objective_function_value == pytest.approx(plan["objective_value"], rel=1e-6)
    refused = line.run(
        "model", "--community", community, str(plan["result_id"]), "--output", str(tmp_path / "plan.txt")
    )
    assert ".lp or .mps" in refused.stderr
