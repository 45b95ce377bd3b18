"""Day-ahead load forecasts on real series: the ensemble, its members and peers, asked the same of the same days.

A forecast is issued at each local midnight for the day that begins, from the 400 days before it, with the weather that
was foreseen where a set holds it. What is fitted is fitted anew every two weeks; the ensemble learns daily what its
members are worth. Constants are chosen on the development period, which lies before the test period.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.environments import lock_of, prepare_environment, python_of
from benchmarks.measure import Result, report, significant
from benchmarks.real_series import RealSeries, all_series
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import ForecastTask, History, Prediction
from digital_twin.forecasting.backtest import Backtest, backtest
from digital_twin.forecasting.conformal import Calibration
from digital_twin.forecasting.ensemble import LEVELS, Ensemble, FittedEnsemble, ensemble
from digital_twin.forecasting.forecaster import Arrays, FittedForecaster, Forecaster, TrainingTask
from digital_twin.forecasting.local_days import to_local_days
from digital_twin.forecasting.scores import Estimate

HISTORY_DAYS = 400
REFIT_DAYS = 14
OURS, RAW = "ensemble", "ensemble, not calibrated"
APART = "forecasting"
"""The environment of the peers whose versions of other packages are not ours."""

PEERS_SCRIPT = Path(__file__).with_name("forecasting_peers.py")
ANSWERS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digital-twin" / "forecasting_peers"
"""What peers said before; some take minutes for a series."""

PEERS = {
    "prophet": ("Prophet alone", False),
    "lightgbm": ("LightGBM quantiles alone", False),
    "skforecast_knn": ("skforecast, neighbours (as EMHASS)", True),
    "skforecast_lightgbm": ("skforecast, LightGBM, conformal", True),
    "statsforecast": ("statsforecast, MSTL and AutoETS", True),
    "openstef": ("OpenSTEF, linear quantiles", True),
}
"""Their names in the table, and whether their versions of other packages need an environment of their own."""


@dataclass(frozen=True)
class Shared:
    """A member that is fitted once for everyone who asks for the same."""

    forecaster: Forecaster
    fits: dict[tuple[datetime, datetime], FittedForecaster | Exception] = field(default_factory=dict)

    @property
    def needed_days(self) -> float:
        return self.forecaster.needed_days

    def fit(self, task: TrainingTask) -> FittedForecaster:
        key = (task.history.grid.start, task.as_of)
        if key not in self.fits:
            try:
                self.fits[key] = self.forecaster.fit(task)
            except Exception as error:  # it is for the ensemble to leave it out
                self.fits[key] = error
        found = self.fits[key]
        if isinstance(found, Exception):
            raise found
        return found

    def from_arrays(self, arrays: Arrays) -> FittedForecaster:
        return self.forecaster.from_arrays(arrays)


@dataclass(frozen=True, slots=True)
class FittedRaw:
    """A fitted ensemble whose average is left as it is."""

    fitted: FittedEnsemble

    def suits(self, task: ForecastTask) -> bool:
        return self.fitted.suits(task)

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        learned = self.fitted.calibration
        none = Calibration(np.zeros_like(learned.shifts), learned.least_width)
        return replace(self.fitted, calibration=none).predict(task, levels)

    def update(self, task: TrainingTask) -> "FittedRaw":
        return FittedRaw(self.fitted.update(task))

    def lesson(self) -> Arrays:
        return self.fitted.lesson()

    def after(self, lesson: Arrays) -> "FittedRaw":
        return FittedRaw(self.fitted.after(lesson))

    def to_arrays(self) -> Arrays:
        return self.fitted.to_arrays()


@dataclass(frozen=True, slots=True)
class Raw:
    """An ensemble that is weighted but not calibrated."""

    ensemble: Ensemble

    @property
    def needed_days(self) -> float:
        return self.ensemble.needed_days

    def fit(self, task: TrainingTask) -> FittedForecaster:
        return FittedRaw(self.ensemble.fit(task))

    def from_arrays(self, arrays: Arrays) -> FittedForecaster:
        return FittedRaw(self.ensemble.from_arrays(arrays))


def ours(task: TrainingTask, days: int, refit_days: int) -> Backtest:
    """The ensemble with and without calibration, and each member that can be asked alone."""
    members = {name: Shared(one) for name, one in ensemble.members.items()}
    together = Ensemble(members)
    made = backtest(task, {OURS: together, RAW: Raw(together)}, days=days, refit_days=refit_days)
    said = dict(made.quantiles)
    for name, member in members.items():
        if not any(isinstance(one, Exception) for one in member.fits.values()):
            said |= backtest(task, {name: member}, days=days, refit_days=refit_days).quantiles
    return Backtest(made.day, made.actual, said)


def recent(task: TrainingTask) -> TrainingTask:
    """The task with no more history than the product reads, and all the days to be judged."""
    history = task.history
    first = max(0, history.grid.steps - (HISTORY_DAYS * 1440) // history.grid.step_minutes)
    grid = TimeGrid(history.grid.instant(first), history.grid.steps - first, history.grid.step_minutes)
    weather = {name: one[first:] for name, one in history.weather.items()}
    return replace(task, history=History(grid, history.values[first:], weather))


def ask_peers(task: TrainingTask, judged: int, refit_days: int, names: Iterable[str]) -> dict[str, Array]:
    """What they say of the last days, asked once of each question; who cannot is named on the screen and left out."""
    numbers = {"judged": judged, "refit_days": refit_days, "levels": LEVELS}
    question = question_of(task) | {key: np.array(value) for key, value in numbers.items()}
    found: dict[str, Array] = {}
    for name in names:
        kept = ANSWERS / f"{name}-{_digest(name, question)}.npz"
        if kept.exists() or _ask(name, question, kept):
            with np.load(kept) as given:
                found[PEERS[name][0]] = given["quantiles"]
    return found


def _digest(name: str, question: dict[str, Array]) -> str:
    """Of all that an answer follows from: the question, how it is put, and whose versions are asked."""
    _, has_own_environment = PEERS[name]
    versions = lock_of(APART).read_bytes() if has_own_environment else version(name).encode()
    parts = [versions, PEERS_SCRIPT.read_bytes(), *(question[key].tobytes() for key in sorted(question))]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:20]


def _ask(name: str, question: dict[str, Array], kept: Path) -> bool:
    """Have a peer answer, and keep what it says; whether it could."""
    title, has_own_environment = PEERS[name]
    python = python_of(APART) if has_own_environment else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "question.npz", Path(folder) / "answer.npz"
        np.savez(asked, allow_pickle=False, **question)
        command = [python, "-P", PEERS_SCRIPT, name, asked, answer]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        if ended.returncode:
            print(f"{title}: left out, {ended.stderr.strip().splitlines()[-1]}", flush=True)
            return False
        ANSWERS.mkdir(parents=True, exist_ok=True)
        shutil.copy(answer, kept.with_suffix(".part"))
        kept.with_suffix(".part").replace(kept)
    return True


def question_of(task: TrainingTask) -> dict[str, Array]:
    """The history as a table of whole local days without gaps, which is how peers take it."""
    history, zone = task.history, task.site.timezone
    days = to_local_days(history.values, history.grid, zone, until_day=0)
    columns = {f"weather_{name}": one for name, one in history.weather.items()}
    tables = {
        name: _filled(to_local_days(one, history.grid, zone, until_day=0).table)
        for name, one in {"table": history.values, **columns}.items()
    }
    return tables | {"first_day": np.array(days.first_day), "weather": np.array(list(history.weather), dtype=str)}


def _filled(table: Array) -> Array:
    whole = pd.Series(table.ravel()).interpolate(limit_direction="both")
    return whole.to_numpy(dtype=np.float64).reshape(table.shape)


def rows_of(series: RealSeries, judged: Backtest) -> list[list[str]]:
    """The table's rows of one series, the ensemble first."""
    rows: list[list[str]] = []
    for name in judged.quantiles:
        ratio = judged.loss_ratio(OURS, name, np.random.default_rng(0))
        covered = [judged.coverage(name, level, np.random.default_rng(0)) for level in (0.9, 0.95)]
        rows.append(
            [
                series.name,
                name,
                str(int(np.isfinite(judged.daily_loss(name)).sum())),
                significant(100 * judged.relative_loss(name)),
                "" if name == OURS else _interval(ratio, 1, 3),
                *(_interval(one, 100, 1) for one in covered),
            ]
        )
    return rows


def _interval(estimate: Estimate, scale: float, decimals: int) -> str:
    value, low, high = (f"{scale * one:.{decimals}f}" for one in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def judge(series: RealSeries, period: str, refit_days: int, peers: Sequence[str]) -> Backtest:
    """Everyone on the days of one series."""
    task = recent(series.task(period))
    made = ours(task, series.test_days, refit_days)
    return replace(made, quantiles={**made.quantiles, **ask_peers(task, series.test_days, refit_days, peers)})


def main() -> None:
    parser = argparse.ArgumentParser(description="Load forecasts on real series: ours beside peers.")
    parser.add_argument("--period", choices=("test", "development"), default="test")
    parser.add_argument("--only", nargs="*", default=[], help="words of the names of the series wanted")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS, help="which of them; all by default")
    parser.add_argument("--refit-days", type=int, default=REFIT_DAYS)
    given = parser.parse_args()
    wanted = [one for one in all_series() if not given.only or any(word in one.name for word in given.only)]
    if not wanted:
        print("skipped: no data in ../shared/data")
        return
    if any(PEERS[name][1] for name in given.peers):
        prepare_environment(APART)
    rows: list[list[str]] = []
    for series in wanted:
        added = rows_of(series, judge(series, given.period, given.refit_days, given.peers))
        rows.extend(added)
        for row in added:
            print(" | ".join(row), flush=True)
    columns = ("series", "model", "days", "npin, %", "ensemble / it (95 %)", "inside 90 % (95 %)", "inside 95 % (95 %)")
    if given.period == "test" and not given.only:
        report(Result("forecasting", columns, rows), "scripts/bench forecasting")


if __name__ == "__main__":
    main()
