"""The macro twin: what one step of its filter costs beside three others, and how far its estimates lie from the truth.

Speed: one prediction and one update with 5 readings of 20 states, everyone on the same model and readings, and on one
answer. Accuracy: the load of 17 metered homes while some of their meters are silent, as a ratio to the error of N/n
scaling (the sum of those who report, times all over those). The twin learns from the first 90 days and is judged on
the rest of the year; nothing was chosen on these days.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.measure import Result, Timings, report, rounds_asked, significant, take_turns
from benchmarks.real_series import DATA
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.kalman import (
    Transition,
    couple_in_place,
    predict_in_place,
    spread_of,
    update_in_place,
)
from digital_twin.macro_twin.model import TwinModel, prior_model
from digital_twin.macro_twin.state import advance, start_state
from digital_twin.macro_twin.structure import LOAD, demand_features
from digital_twin.macro_twin.textbook import textbook_predict, textbook_update

STATES, SENSORS, STEPS = 20, 5, 400
HISTORY_DAYS = 90
MISSING = (0.3, 0.5, 0.6, 0.9)
DRAWS = 5
START = pd.Timestamp("2016-08-01 08:00", tz="UTC").to_pydatetime()
CITYLEARN = DATA / "citylearn2022" / "meters.parquet"

Filter = Callable[[], Array]


class Task:
    """A model of the twin's kind, with readings from it: states that decay, one that takes from another."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.transition = Transition(
            decay=generator.uniform(0.8, 1.0, STATES),
            noise=generator.uniform(0.01, 0.1, STATES),
            target=np.array([STATES - 1]),
            source=np.array([STATES - 2]),
            gain=np.array([0.25]),
        )
        self.design = generator.normal(0, 1, (SENSORS, STATES))
        self.error = generator.uniform(0.05, 0.5, SENSORS)
        self.readings = generator.normal(0, 2, (STEPS, SENSORS))


def ours(task: Task) -> Filter:
    """Compiled, one scalar reading after the other."""
    moved = task.transition

    def run() -> Array:
        mean, covariance = np.zeros(STATES), np.eye(STATES)
        _run(
            mean, covariance, (moved.decay, moved.noise, float(moved.gain[0])), (task.design, task.error), task.readings
        )
        return mean

    return run


@compiled
def _run(
    mean: Array, covariance: Array, moved: tuple[Array, Array, float], read: tuple[Array, Array], readings: Array
) -> None:
    decay, noise, gain = moved
    design, error = read
    product = np.empty(mean.size)
    for step in range(readings.shape[0]):
        couple_in_place(mean, covariance, mean.size - 1, mean.size - 2, gain)
        predict_in_place(mean, covariance, decay, noise)
        for sensor in range(readings.shape[1]):
            spread = spread_of(covariance, design[sensor], product) + error[sensor]
            innovation = readings[step, sensor]
            for i in range(mean.size):
                innovation -= design[sensor, i] * mean[i]
            update_in_place(mean, covariance, product, innovation, spread)


def numpy_textbook(task: Task) -> Filter:
    matrix, noise, error = task.transition.matrix(), np.diag(task.transition.noise), np.diag(task.error)

    def run() -> Array:
        mean, covariance = np.zeros(STATES), np.eye(STATES)
        for readings in task.readings:
            mean, covariance = textbook_predict(mean, covariance, matrix, noise)
            mean, covariance = textbook_update(mean, covariance, task.design, readings, error)
        return mean

    return run


def filterpy(task: Task) -> Filter:
    from filterpy.kalman import KalmanFilter

    def run() -> Array:
        peer = KalmanFilter(dim_x=STATES, dim_z=SENSORS)
        peer.x, peer.P = np.zeros((STATES, 1)), np.eye(STATES)
        peer.F, peer.Q = task.transition.matrix(), np.diag(task.transition.noise)
        peer.H, peer.R = task.design, np.diag(task.error)
        for readings in task.readings:
            peer.predict()
            peer.update(readings[:, None])
        return peer.x.ravel()

    return run


def statsmodels(task: Task) -> Filter:
    """Its compiled filter, told not to take the covariance for settled, and to keep the filtered states alone."""
    from statsmodels.tsa.statespace.kalman_filter import (
        MEMORY_NO_FORECAST,
        MEMORY_NO_GAIN,
        MEMORY_NO_LIKELIHOOD,
        MEMORY_NO_PREDICTED,
        MEMORY_NO_SMOOTHING,
        MEMORY_NO_STD_FORECAST,
        KalmanFilter,
    )

    matrix = task.transition.matrix()

    def run() -> Array:
        peer = KalmanFilter(k_endog=SENSORS, k_states=STATES)
        peer.bind(np.asfortranarray(task.readings.T))
        peer["design"], peer["obs_cov"] = task.design, np.diag(task.error)
        peer["transition"], peer["selection"] = matrix, np.eye(STATES)
        peer["state_cov"] = np.diag(task.transition.noise)
        # it begins with the prediction for the first step
        peer.initialize_known(np.zeros(STATES), matrix @ matrix.T + np.diag(task.transition.noise))
        peer.tolerance = 0
        peer.set_conserve_memory(
            MEMORY_NO_FORECAST
            | MEMORY_NO_PREDICTED
            | MEMORY_NO_LIKELIHOOD
            | MEMORY_NO_GAIN
            | MEMORY_NO_SMOOTHING
            | MEMORY_NO_STD_FORECAST
        )
        return peer.filter().filtered_state[:, -1]

    return run


def speed(rounds: int) -> tuple[list[list[str]], list[str]]:
    task = Task()
    filters = {
        "ours": ours(task),
        "statsmodels (Cython)": statsmodels(task),
        "numpy, textbook in Joseph's form": numpy_textbook(task),
        "filterpy": filterpy(task),
    }
    answer = numpy_textbook(task)()
    for name, run in filters.items():
        np.testing.assert_allclose(run(), answer, atol=1e-8, err_msg=name)
    timings: Timings = take_turns(
        {name: lambda _, run=run: run() for name, run in filters.items()}, rounds=rounds, clock=time.process_time
    )
    rows = [
        [
            f"one step, {STATES} states, {SENSORS} readings: {name}",
            f"{1e6 * timings.of(name).median / STEPS:.3g} us",
            timings.ratio(name, "ours").text() if name != "ours" else "1",
        ]
        for name in filters
    ]
    return rows, [f"All agree on the states after {STEPS} steps within 1e-8; the clock is the processor's."]


def accuracy() -> tuple[list[list[str]], list[str]]:
    if not CITYLEARN.exists():
        return [], ["The accuracy rows need the CityLearn data, which are not there."]
    frame = pd.read_parquet(CITYLEARN).pivot(index="time", columns="building", values="load_kwh")
    load_kw = frame.loc["2016-08-01":].to_numpy()
    load_kw = load_kw[: len(load_kw) // 24 * 24]
    first, homes = HISTORY_DAYS * 24, load_kw.shape[1]
    model = _learned(load_kw[:first], homes)
    state = advance(start_state(model, START), model, _readings(0, load_kw[:first])).state
    truth = load_kw[first:].sum(axis=1)
    rows: list[list[str]] = []
    for kind in ("at random", "always the same"):
        for missing in MISSING:
            scores = []
            for draw in range(DRAWS):
                reports = _reports(np.random.default_rng(draw), truth.size, homes, missing, kind)
                shown = np.where(reports, load_kw[first:], np.nan)
                track = advance(state, model, _readings(first, shown)).track
                error = track.mean[:, LOAD] - truth
                surprise = error / track.deviation[:, LOAD]
                plain = _rms(_scaled(shown) - truth)
                scores.append((_rms(error) / plain, np.mean(np.abs(surprise) < 1.96), track.nis[-1]))
            ratio, held, nis = np.mean(scores, axis=0)
            rows.append(
                [
                    f"17 homes, {missing:.0%} missing, {kind}: error / that of N/n",
                    f"95 % interval held {100 * held:.0f} %, NIS {significant(nis)}",
                    significant(ratio),
                ]
            )
    return rows, [f"Accuracy: means over {DRAWS} draws of who is silent, {truth.size} hours each."]


def _learned(load_kw: Array, homes: int) -> TwinModel:
    plant = Plant(homes, 0.0, 0.0, 0.0, 0.95, 0.95, "Etc/GMT+8")
    week = TimeGrid(START, 7 * 24, 60)
    expected_kw = homes * standard_household_kw(local_clock(week, plant.timezone))
    prior = prior_model(plant, 60, demand_features(week, plant.timezone), expected_kw)
    metering = (Metering(tuple(f"home_{one}" for one in range(homes))), *[Metering()] * (len(OBSERVED) - 1))
    return calibrate(prior, metering, _readings(0, load_kw))


def _readings(first: int, load_kw: Array) -> TwinReadings:
    steps = len(load_kw)
    grid = TimeGrid(START + first * pd.Timedelta(hours=1).to_pytimedelta(), steps, 60)
    nobody = [np.empty((steps, 0))] * (len(OBSERVED) - 1)
    return TwinReadings(
        grid, np.full((steps, len(OBSERVED)), np.nan), (np.ascontiguousarray(load_kw), *nobody), np.zeros(steps)
    )


def _reports(generator: np.random.Generator, steps: int, homes: int, missing: float, kind: str) -> Array:
    if kind == "at random":
        return generator.random((steps, homes)) >= missing
    return np.tile(generator.permutation(homes) >= round(missing * homes), (steps, 1))


def _scaled(shown: Array) -> Array:
    """N/n times the sum of those who report; where nobody does, the last value."""
    number = np.isfinite(shown).sum(axis=1)
    scaled = np.where(number > 0, shown.shape[1] / np.maximum(number, 1) * np.nansum(shown, axis=1), np.nan)
    return pd.Series(scaled).ffill().bfill().to_numpy()


def _rms(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def main() -> None:
    rounds = rounds_asked(__doc__.splitlines()[0], 25)
    fast, fast_notes = speed(rounds)
    near, near_notes = accuracy()
    columns = ["macro twin", "measured", "ratio"]
    report(Result("macro_twin", columns, [*fast, *near], [*fast_notes, *near_notes]), "scripts/bench macro_twin")


if __name__ == "__main__":
    main()
