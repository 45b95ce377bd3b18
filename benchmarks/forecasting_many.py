"""What the forecasts of a thousand communities cost each day: fitted anew on 90 days of hours, and asked for the next.

Each is the real load of a place with chance of its own; seconds are those of the processor, one thread, counted up from
as many as are measured. Beside them stands what a plain numpy solution of the same regressions takes, one penalty and
no errors, its features given; and peers, who time themselves.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.environments import python_of
from benchmarks.forecasting import APART, PEERS, question_of
from benchmarks.forecasting_speed import a_day_before, tomorrow
from benchmarks.measure import Result, Spread, report, rounds_asked, significant, take_turns
from benchmarks.real_series import all_series
from digital_twin.domain.units import Array
from digital_twin.forecasting import History
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.boosting import boosting
from digital_twin.forecasting.ensemble import LEVELS, Ensemble, ensemble
from digital_twin.forecasting.feature_inputs import inputs_of, known_weather
from digital_twin.forecasting.features import design_features, lags_of, load_features
from digital_twin.forecasting.forecaster import TrainingTask, last_days
from digital_twin.forecasting.naive import residual_quantiles
from digital_twin.forecasting.registry import DEFAULT_LEVELS
from digital_twin.forecasting.regression import BACKTEST_DAYS, REFIT_DAYS

COMMUNITIES, DAYS, GOAL_S = 1_000, 90, 15
OURS = "fitted in the asking, as auto does (ridge_conformal)"
TAUGHT = "ensemble without LSTM and Prophet, taught by the day and asked"
BOOSTING = "boosting alone, fitted anew and asked"
FLOOR = "numpy: the same regressions, solved"
QUICK_PEERS = ("lightgbm", "skforecast_lightgbm", "statsforecast")
PENALTY = 2.5


def communities(task: TrainingTask, count: int) -> list[TrainingTask]:
    """As many with the same weather and a load of their own; for forecasts that begin with the next day."""
    history = last_days(task.history, DAYS)
    generator = np.random.default_rng(0)
    level = np.nanmean(history.values)
    loads = [history.values + generator.normal(0, 0.1 * level, history.grid.steps) for _ in range(count)]
    return [
        replace(task, history=History(history.grid, one, history.weather), back=(1,), at_midnights=True)
        for one in loads
    ]


def regressions_of(task: TrainingTask) -> list[tuple[Array, Array]]:
    """The design and the target of every regression that a calibrated fit solves."""
    inputs = inputs_of(task.history, task.site, known_weather(task.history))
    design = design_features(inputs)
    until = inputs.table.shape[0]
    found: list[tuple[Array, Array]] = []
    for reach in task.reaches:
        features = load_features(inputs, lags_of(inputs.table, reach, design.usual), design)
        target = np.nan_to_num(inputs.table.T[:, :, None], nan=float(np.nanmean(inputs.table)))
        refits = range(until - BACKTEST_DAYS, until, REFIT_DAYS) if reach.whole == reach.back else ()
        found += [(features[:, :end], target[:, :end]) for end in (until, *refits)]
    return found


def solve_plainly(regressions: Sequence[tuple[Array, Array]]) -> None:
    for design, target in regressions:
        turned = design.transpose(0, 2, 1)
        slopes = np.linalg.solve(turned @ design + PENALTY * np.eye(design.shape[2]), turned @ target)
        residual_quantiles((target - design @ slopes)[:, :, 0].T, DEFAULT_LEVELS)


def measured(task: TrainingTask, rounds: int) -> dict[str, Spread]:
    """Seconds of one community, by way of forecasting it."""
    tasks = communities(task, rounds + 1)
    regressions = regressions_of(tasks[0])
    small = Ensemble({name: one for name, one in ensemble.members.items() if name not in ("lstm", "prophet")})
    yesterday = small.fit(a_day_before(tasks[0]))

    def of(work: Callable[[TrainingTask], object]) -> Callable[[int], object]:
        return lambda number: work(tasks[number + 1])

    timings = take_turns(
        {
            OURS: of(lambda one: make_forecast(tomorrow(one), model="auto", levels=LEVELS)),
            TAUGHT: of(lambda one: yesterday.update(one).predict(tomorrow(one), LEVELS)),
            BOOSTING: of(lambda one: boosting.fit(one).predict(tomorrow(one), LEVELS)),
            FLOOR: lambda _: solve_plainly(regressions),
        },
        rounds=rounds,
        clock=time.process_time,
    )
    return {name: timings.of(name) for name in timings.seconds} | peers_of(tasks[0])


def peers_of(task: TrainingTask) -> dict[str, Spread]:
    """What they say that one fit and the forecast of the last day took; only those that are installed."""
    found: dict[str, Spread] = {}
    asked = question_of(task) | {"judged": np.array(3), "refit_days": np.array(1), "levels": np.array(LEVELS)}
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "question.npz", Path(folder) / "answer.npz"
        np.savez(question, allow_pickle=False, **asked)
        for name in QUICK_PEERS:
            title, has_own_environment = PEERS[name]
            python = python_of(APART) if has_own_environment else Path(sys.executable)
            if not python.exists():
                continue
            script = Path(__file__).with_name("forecasting_peers.py")
            subprocess.run([python, "-P", script, name, question, answer], check=True, capture_output=True)
            with np.load(answer) as given:
                found[title] = Spread.of(given["fit_s"] + given["predict_s"])
    return found


def rows_of(place: str, spreads: dict[str, Spread]) -> list[list[str]]:
    ours = spreads[OURS].median
    in_all = {
        name: Spread(*(COMMUNITIES * one for one in (of.low, of.median, of.high))) for name, of in spreads.items()
    }
    return [[place, name, of.text(), significant(spreads[name].median / ours)] for name, of in in_all.items()]


def main() -> None:
    rounds = rounds_asked((__doc__ or "").splitlines()[0], 20)
    wanted = [one for one in all_series() if one.name in ("CityLearn, 17 homes", "OpenSTEF feeder 307")]
    if not wanted:
        print("skipped: no data in ../shared/data")
        return
    rows: list[list[str]] = []
    for series in wanted:
        weather = f"{len(series.weather)} kinds of weather" if series.weather else "no weather"
        rows += rows_of(f"{series.name}, {weather}", measured(series.task("test"), rounds))
    columns = ("load", f"{COMMUNITIES:,} communities, {DAYS} days of hours each", "CPU s", "x ours")
    notes = [f"Counted up from {rounds} communities. The goal is {GOAL_S} s, without LSTM and Prophet."]
    report(Result("forecasting_many", columns, rows, notes), "scripts/bench forecasting")


if __name__ == "__main__":
    main()
