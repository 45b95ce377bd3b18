"""What load forecasts cost: all members of one community.

Seconds are those of the processor, one thread. The community has a year of hours, or seven weeks of quarters.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np

from benchmarks.forecasting import recent
from benchmarks.measure import Result, Spread, report, rounds_asked
from benchmarks.real_series import RealSeries, all_series
from digital_twin.domain.time import TimeGrid
from digital_twin.forecasting import ForecastTask
from digital_twin.forecasting.ensemble import LEVELS, ensemble
from digital_twin.forecasting.forecaster import FittedForecaster, Forecaster, TrainingTask, first_steps

PREDICTIONS = 20


def seconds_of(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def tomorrow(task: TrainingTask) -> ForecastTask:
    """The question at the end of its history; the weather foreseen is that of the last day."""
    history = task.history
    steps = task.steps_a_day
    grid = TimeGrid(history.grid.end, steps, history.grid.step_minutes)
    foreseen = {name: one[-steps:] for name, one in history.weather.items()}
    return ForecastTask(task.variable, grid, grid.start, task.site, history, foreseen or None)


def a_day_before(task: TrainingTask) -> TrainingTask:
    history = first_steps(task.history, task.history.grid.steps - task.steps_a_day)
    return replace(task, history=history, as_of=task.as_of - timedelta(days=1))


def predict_s(fitted: FittedForecaster, task: TrainingTask) -> float:
    asked = tomorrow(task)
    return seconds_of(lambda: [fitted.predict(asked, LEVELS) for _ in range(PREDICTIONS)]) / PREDICTIONS


def of_member(forecaster: Forecaster, task: TrainingTask, rounds: int) -> list[str]:
    """Fit and predict of one model."""
    fitted = forecaster.fit(task)
    predict_s(fitted, task)
    fits = [seconds_of(lambda: forecaster.fit(task)) for _ in range(rounds)]
    return [_seconds(fits), "", _milliseconds([predict_s(fitted, task) for _ in range(rounds)])]


def of_ensemble(task: TrainingTask, rounds: int) -> list[str]:
    """Everything: each member twice, what they are worth, the daily update and a forecast."""
    yesterday = a_day_before(task)
    fitted = ensemble.fit(yesterday)
    updated = fitted.update(task)
    predict_s(updated, task)
    fits = [seconds_of(lambda: ensemble.fit(yesterday)) for _ in range(rounds)]
    updates = [seconds_of(lambda: fitted.update(task)) for _ in range(rounds)]
    return [_seconds(fits), _milliseconds(updates), _milliseconds([predict_s(updated, task) for _ in range(rounds)])]


def rows_of(series: RealSeries, rounds: int) -> list[list[str]]:
    task = recent(series.task("test"))
    rows = [[series.name, "ensemble", *of_ensemble(task, rounds)]]
    rows += [[series.name, name, *of_member(one, task, rounds)] for name, one in ensemble.members.items()]
    return rows


def _seconds(found: list[float]) -> str:
    return Spread.of(np.array(found)).text()


def _milliseconds(found: list[float]) -> str:
    return Spread.of(1e3 * np.array(found)).text()


def main() -> None:
    rounds = rounds_asked((__doc__ or "").splitlines()[0], 3)
    wanted = [one for one in all_series() if one.name.startswith(("CityLearn", "Switzerland"))]
    if not wanted:
        print("skipped: no data in ../shared/data")
        return
    rows = [row for series in wanted for row in rows_of(series, rounds)]
    columns = ("series", "model", "fit, CPU s", "update by a day, CPU ms", "forecast of a day, CPU ms")
    report(Result("forecasting_speed", columns, rows, [f"Rounds: {rounds}."]), "scripts/bench forecasting")


if __name__ == "__main__":
    main()
