"""The page on checking a plan: its own lines find the plan's value."""

import re
from pathlib import Path

import httpx
import pytest
from tests.api.application import Api, answered
from tests.api.dispatching import CASE_1, CASE_1_COMMUNITY, dispatch

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "check-a-plan.md"


def test_the_pages_lines_find_the_optimum_of_the_plan(
    api: Api,
    operator: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    village = api.community(operator, **CASE_1_COMMUNITY)
    plan = dispatch(operator, village, CASE_1)
    path = f"/communities/{village}/optimization/results/{plan['result_id']}"
    [address] = re.findall(r"\$RESULT(/\S+)\"", PAGE.read_text())
    response = operator.get(path + address)
    monkeypatch.chdir(tmp_path)
    Path("model.lp").write_text(response.text)
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})  # noqa: S102  the page's own lines
    value = float(capsys.readouterr().out.strip().splitlines()[-1])
    assert value == pytest.approx(answered(operator.get(path))["objective_value"], abs=1e-6)
