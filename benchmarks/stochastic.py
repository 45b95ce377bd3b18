"""A day's storage schedule for many courses of load and sun: ours against HiGHS on the same program written out.

Each round is another day and other scenarios; HiGHS gets the program ready made, so that it has nothing to do but to
solve. Ours is everything from the scenarios to the certified plan, and beside it the whole answer of the product:
checked in every scenario, with its figures and what planning for the mean would have cost. For the largest number of
scenarios HiGHS is not asked.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.dispatch_peers import day
from benchmarks.measure import Result, milliseconds, report, rounds_asked, take_turns
from digital_twin.optimization.plan import PeakCharge
from digital_twin.optimization.stochastic.dispatch import certified_use, plan_under_risk
from digital_twin.optimization.stochastic.extensive import Extensive, Prepared
from digital_twin.optimization.stochastic.plan import Risk, Scenarios, StochasticProblem
from digital_twin.optimization.stochastic.reach import reach_of

OURS, ANSWER = "ours: certified", "ours: checked, told, with its worth over the mean"
HIGHS, CROSSOVER = "HiGHS, interior point without crossover", "HiGHS, as it chooses"
FADING_STEPS = 8.0
LOAD_ERROR, SUN_ERROR = 0.12, 0.35
TOLERANCE = 1e-5
"""Relative: HiGHS stops at 1e-7 of its own residuals, which a sum over scenarios blurs."""
SIZES = {"S=50": 50, "S=50, peak charge": 50, "S=200": 200, "S=500": 500, "S=500, peak charge": 500}
LARGEST_FOR_HIGHS = 200


@cache
def problem_of(size: str, number: int) -> StochasticProblem:
    """Paths whose errors fade over two hours, around the day that the peers plan."""
    base, count = day(number), SIZES[size]
    if "peak" in size:
        base = replace(base, peak=PeakCharge(2.0, 300.0))
    generator = np.random.default_rng(1000 + number)
    steps = np.arange(base.outlook.grid.steps)
    related = np.linalg.cholesky(np.exp(-np.abs(steps[:, None] - steps[None]) / FADING_STEPS))
    load, sun = (generator.standard_normal((count, steps.size)) @ related.T for _ in range(2))
    load_kw = np.maximum(base.outlook.load_kw * (1 + LOAD_ERROR * load), 0.0)
    pv_kw = base.outlook.pv_kw * np.clip(1 + SUN_ERROR * sun, 0.0, 1.4)
    return StochasticProblem(base, Scenarios(load_kw, pv_kw), Risk(0.5, 0.9))


@cache
def prepared(size: str, number: int) -> Prepared:
    problem = problem_of(size, number)
    reach, _ = reach_of(problem)
    assert reach is not None
    return Prepared.of(problem, reach)


def by_highs(size: str, number: int, **options: str) -> Extensive:
    found = prepared(size, number).solve(time_limit_s=600, **options)
    assert found is not None
    return found


def contestants(size: str) -> dict[str, Callable[[int], float]]:
    found: dict[str, Callable[[int], float]] = {
        OURS: lambda number: certified_use(problem_of(size, number)).objective,
        ANSWER: lambda number: plan_under_risk(problem_of(size, number)).figures.objective_value,
    }
    if SIZES[size] > LARGEST_FOR_HIGHS:
        return found
    return found | {
        HIGHS: lambda number: by_highs(size, number, solver="ipm", run_crossover="off").objective,
        CROSSOVER: lambda number: by_highs(size, number).objective,
    }


def rows_of(size: str, rounds: int) -> list[list[str]]:
    solvers = contestants(size)
    for number in range(-1, rounds):
        problem_of(size, number)
        if HIGHS in solvers:
            prepared(size, number)
    found = {name: solve(0) for name, solve in solvers.items()}
    for name, objective in found.items():
        if abs(objective - found[OURS]) > TOLERANCE * abs(found[OURS]):
            raise RuntimeError(f"{name} finds {objective}, not {found[OURS]}")
    timings = take_turns(solvers, rounds=rounds, clock=time.process_time)
    return [
        [size, name, milliseconds(timings.of(name)), "1" if name == OURS else timings.ratio(name, OURS).text()]
        for name in solvers
    ]


def main() -> None:
    rounds = rounds_asked((__doc__ or "").splitlines()[0], 12)
    rows = [row for size in SIZES for row in rows_of(size, rounds)]
    gaps = [plan_under_risk(problem_of(size, number)).schedule.gap for size in SIZES for number in range(rounds)]
    notes = [
        f"All agree on the objective of day 0 within {TOLERANCE:g}; the largest certified gap is {max(gaps):.1g}.",
        "The clock is the processor's, one thread.",
    ]
    report(Result("stochastic", ("storage under risk, T=96", "", "ms: median (quartiles)", "x ours"), rows, notes),
           "scripts/bench stochastic")  # fmt: skip


if __name__ == "__main__":
    main()
