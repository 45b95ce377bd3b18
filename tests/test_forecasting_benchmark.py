"""The benchmark asks each peer a question once, and again when anything is different."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import forecasting
from tests.histories import history
from tests.test_ensemble import training

SCRIPT = """
import pathlib, sys
import numpy as np
name, question, answer = sys.argv[1:]
with np.load(question) as given:
    judged, table, levels = int(given["judged"]), given["table"], given["levels"]
with open(pathlib.Path(__file__).with_name("asked"), "a") as asked:
    asked.write(name + "\\n")
if name == "lightgbm":
    raise SystemExit("it has no licence")
np.savez(answer, quantiles=np.repeat(table[-judged:, :, None], levels.size, axis=2))
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The names of peers, one line for each time that one was run; they say what happened."""
    script = tmp_path / "peers.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(forecasting, "PEERS_SCRIPT", script)
    monkeypatch.setattr(forecasting, "ANSWERS", tmp_path / "answers")
    return tmp_path / "asked"


def test_an_answer_is_kept_for_the_same_question_only(asked: Path) -> None:
    task = training(history(30))
    first = forecasting.ask_peers(task, 3, 14, ["prophet"])["Prophet alone"]
    again = forecasting.ask_peers(task, 3, 14, ["prophet"])["Prophet alone"]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:, :, 0], forecasting.question_of(task)["table"][-3:])
    assert asked.read_text().split() == ["prophet"]
    changed = task.history.values.copy()
    changed[100] += 1.0
    other = training(replace(task.history, values=changed))
    for question in ((other, 3, 14), (task, 4, 14), (task, 3, 7)):
        forecasting.ask_peers(*question, ["prophet"])
    assert asked.read_text().split() == ["prophet"] * 4
    forecasting.PEERS_SCRIPT.write_text(SCRIPT + "# asked in another way\n")
    forecasting.ask_peers(task, 3, 14, ["prophet"])
    assert asked.read_text().split() == ["prophet"] * 5


def test_who_cannot_answer_is_named_left_out_and_asked_again(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = training(history(30))
    for _ in range(2):
        assert list(forecasting.ask_peers(task, 3, 14, ["lightgbm", "prophet"])) == ["Prophet alone"]
    assert "LightGBM quantiles alone: left out, it has no licence" in capsys.readouterr().out
    assert asked.read_text().split() == ["lightgbm", "prophet", "lightgbm"]
