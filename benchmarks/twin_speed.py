"""The twin's filter: what one step costs beside five others, alone and for many communities, and a year of a thousand.

Everyone is given the same model and readings and comes to the same states: 20 states that decay, one of which takes
from another, and 5 readings a step. For many communities a third of the readings is missing, of each community others,
so that nobody may share a covariance among them. The clock is the processor's and counts every thread.
"""

import time
from collections.abc import Mapping

import numpy as np

from benchmarks.filter_peers import dynamax, dynamax_many, filterpy, numpy_many, numpy_textbook, simdkalman, statsmodels
from benchmarks.filter_task import READINGS, STATES, Run, Task
from benchmarks.measure import Result, Timings, report, rounds_asked, significant, take_turns
from digital_twin.domain.units import Array
from digital_twin.macro_twin.batch import run_many
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.kalman import couple_in_place, predict_in_place, spread_of, update_in_place

STEPS = 1_000
COMMUNITIES, STEPS_OF_MANY, MISSING = 64, 100, 1 / 3
YEAR_COMMUNITIES, YEAR_DAYS, STEPS_A_DAY = 1_000, 365, 96
AGREEMENT = 1e-6
"""Of the states; dynamax adds 1e-9 to what it divides by."""

TEXTBOOK = "numpy, textbook in Joseph's form"
SCALAR = "ours, the functions of the twin's own filter"
SKIPS_STEPS = "simdkalman, vectorised*"
"""It takes a step in which one reading is missing for a step without readings, and so comes to other states."""


def ours(task: Task) -> Run:
    """Of one community or of many."""
    start, steps = task.beliefs(), task.laid_out(task.readings)
    return lambda: run_many(start, steps).mean


def scalar_functions(task: Task) -> Run:
    """Those that `filtering.py` is made of, which stop at each reading to judge it."""
    moved = task.transition

    def run() -> Array:
        mean, covariance = np.zeros(STATES), np.eye(STATES)
        transition = moved.decay, moved.noise, float(moved.gain[0])
        _run(mean, covariance, transition, (task.design, task.error), task.readings[0])
        return mean[None]

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


def compare(what: str, task: Task, contestants: Mapping[str, Run], rounds: int) -> tuple[list[list[str]], Timings]:
    """A row for each, all times those of one step of one community."""
    answer = contestants[TEXTBOOK]()
    for name, run in contestants.items():
        if name == SKIPS_STEPS:
            continue
        np.testing.assert_allclose(run(), answer, atol=AGREEMENT, err_msg=name)
    timings = take_turns(
        {name: lambda _, run=run: run() for name, run in contestants.items()}, rounds=rounds, clock=time.process_time
    )
    passed = task.steps * task.communities
    rows = [
        [
            f"{what}: {name}",
            f"{1e6 * timings.of(name).median / passed:.3g} us",
            "1" if name == "ours" else timings.ratio(name, "ours").text(),
        ]
        for name in contestants
    ]
    return rows, timings


def alone(rounds: int) -> list[list[str]]:
    task = Task(STEPS)
    peers = {
        "ours": ours,
        SCALAR: scalar_functions,
        "dynamax (XLA)": dynamax,
        "statsmodels (Cython)": statsmodels,
        "simdkalman": simdkalman,
        TEXTBOOK: numpy_textbook,
        "filterpy": filterpy,
    }
    return compare("one community", task, {name: made(task) for name, made in peers.items()}, rounds)[0]


def many(rounds: int) -> list[list[str]]:
    task = Task(STEPS_OF_MANY, COMMUNITIES, MISSING)
    peers = {
        "ours": ours,
        "dynamax (XLA), vectorised": dynamax_many,
        SKIPS_STEPS: simdkalman,
        "numpy, vectorised": numpy_many,
        TEXTBOOK: numpy_textbook,
    }
    return compare(f"{COMMUNITIES} communities", task, {name: made(task) for name, made in peers.items()}, rounds)[0]


def a_year_of_a_thousand() -> list[str]:
    """A day of all communities after the other, as the twin would get them; drawing the readings is not counted."""
    task, generator = Task(STEPS_A_DAY, YEAR_COMMUNITIES, MISSING), np.random.default_rng(1)
    beliefs, seconds = task.beliefs(), 0.0
    for _ in range(YEAR_DAYS):
        readings = generator.normal(0, 2, task.readings.shape)
        readings[generator.random(readings.shape) < MISSING] = np.nan
        steps = task.laid_out(readings)
        started = time.process_time()
        beliefs = run_many(beliefs, steps)
        seconds += time.process_time() - started
    if not np.isfinite(beliefs.mean).all():
        raise ArithmeticError("a year of a thousand communities led to states that are not finite")
    passed = YEAR_COMMUNITIES * YEAR_DAYS * STEPS_A_DAY
    return [
        f"a year of {YEAR_COMMUNITIES:,} communities ({passed:,} steps), a day at a time",
        f"{significant(seconds)} core-s, {1e6 * seconds / passed:.3g} us a step",
        "",
    ]


def main() -> None:
    rounds = rounds_asked(__doc__.splitlines()[0], 15)
    rows = [*alone(rounds), *many(rounds), a_year_of_a_thousand()]
    notes = [
        f"Times of one step of one community: a prediction and the update with {READINGS} readings of {STATES} states, "
        f"in passes over {STEPS} steps alone and {STEPS_OF_MANY} of many. All agree on the states at the end within "
        f"{AGREEMENT:g}. Seeds 0 and 1.",
        "* It takes a step in which one reading is missing for a step without readings, and so does less.",
    ]
    report(Result("twin_speed", ["the twin's filter", "measured", "x ours"], rows, notes), "scripts/bench twin_speed")


if __name__ == "__main__":
    main()
