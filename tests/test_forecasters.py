"""Every model keeps to the protocol, those of plug-ins, too, and what does not is told so."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.histories import VIENNA, history, task

from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.ensemble import Ensemble
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Arrays, TrainingTask
from digital_twin.forecasting.registry import MODELS, find_forecaster, list_models
from digital_twin.testing import check_forecaster

PLUG_IN = Path(__file__).parents[1] / "docs" / "how-to" / "write-a-forecaster.md"


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"ensemble"}))
def test_every_model_keeps_to_the_protocol(name: str) -> None:
    forecaster = find_forecaster(name)
    check_forecaster(forecaster, variable=MODELS[name].variables[0], days=max(50, round(1.2 * forecaster.needed_days)))


def test_an_ensemble_keeps_to_the_protocol() -> None:
    members = {name: find_forecaster(name) for name in ("ridge", "seasonal_naive")}
    check_forecaster(Ensemble(members))


@dataclass(frozen=True)
class Flawed:
    """A model with one fault."""

    fault: str
    needed_days: float = 1.0

    def fit(self, task: TrainingTask) -> "Flawed":
        return self

    def from_arrays(self, arrays: Arrays) -> "Flawed":
        return Flawed("crosses") if self.fault == "forgets" else self

    def to_arrays(self) -> Arrays:
        return {"one": np.array([object()])} if self.fault == "pickles" else {}

    def suits(self, task: ForecastTask) -> bool:
        return self.fault != "refuses"

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        steps = task.grid.steps + (self.fault == "is too long")
        mean = np.full(steps, np.nan if self.fault == "is not finite" else 1.0)
        spread = np.array(levels)[::-1] if self.fault == "crosses" else np.array(levels)
        if self.fault == "depends on the levels":
            spread = np.arange(len(levels))
        if self.fault == "plays dice":
            spread = spread + np.random.default_rng().random()
        return Prediction(mean, np.ones((steps, 1)) + spread)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("forgets", "kept as arrays"),
        ("pickles", "pickle"),
        ("refuses", "must suit"),
        ("is too long", "values"),
        ("is not finite", "not finite"),
        ("crosses", "cross"),
        ("depends on the levels", "other levels"),
        ("plays dice", "asked twice"),
    ],
)
def test_a_model_with_a_fault_is_told_so(fault: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_forecaster(Flawed(fault))


def test_a_model_without_a_fault_passes() -> None:
    check_forecaster(Flawed("none"))


# Plug-ins


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the how-to page, as if it were installed."""
    page = PLUG_IN.read_text()
    (tmp_path / "our_forecasts.py").write_text(page.split("```python\n")[1].split("```")[0])
    declared = tomllib.loads(page.split("```toml\n")[1].split("```")[0])["project"]["entry-points"]
    (name, where) = declared["digital_twin.forecasters"].popitem()
    folder = tmp_path / "our_forecasts-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: our-forecasts\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[digital_twin.forecasters]\n{name} = {where}\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("our_forecasts", None)


@pytest.mark.usefixtures("plug_in")
def test_the_plug_in_of_the_how_to_page_is_found_checked_and_forecasts() -> None:
    found = {one.name: one for one in list_models()}["yesterday"]
    assert (found.reference, found.where) == ("our-forecasts", "our_forecasts:yesterday")
    check_forecaster(find_forecaster("yesterday"))
    past = history(30)
    made = make_forecast(task(past), model="yesterday")
    np.testing.assert_allclose(made.mean, past.values[-24:])


# What serving imports


def test_asking_every_model_imports_no_framework_that_it_was_trained_with(tmp_path: Path) -> None:
    past = history(30)
    learned = TrainingTask("load_kw", VIENNA, past, past.grid.end)
    for name in ("boosting", "lstm", "prophet"):
        np.savez(tmp_path / f"{name}.npz", allow_pickle=False, **find_forecaster(name).fit(learned).to_arrays())
    program = f"""
import sys
from pathlib import Path
import numpy as np
from digital_twin.forecasting import auto, model_bytes
from digital_twin.forecasting.registry import MODELS, find_forecaster
from tests.histories import history, task
for name in MODELS:
    find_forecaster(name)
for path in sorted(Path({str(tmp_path)!r}).glob("*.npz")):
    with np.load(path, allow_pickle=False) as kept:
        made = find_forecaster(path.stem).from_arrays(dict(kept)).predict(task(history(30)), (0.1, 0.9))
    assert np.isfinite(made.quantiles).all(), path.stem
found = {{"jax", "equinox", "optax", "lightgbm", "prophet", "cmdstanpy", "sklearn"}} & set(sys.modules)
sys.exit(f"imported {{found}}" if found else 0)
"""
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[1], check=True)
