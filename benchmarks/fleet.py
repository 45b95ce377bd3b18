"""Plans of fleets, eight kinds from 10 to 10,000 storages: how many meet the gap, in how long, in how much memory.

The seeds are other than those the method's few constants were chosen on (seed 0 of a generator like this one). HiGHS
solves the same linear program by its interior point without crossover, the fastest way it has; it is given as many
fleets of 1,000 as `--rounds` allows at one for ten rounds. Times are those of the processor, on one thread.
"""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from scipy.sparse import csc_matrix
from tests.fleets import KINDS, fleet, large_program

from benchmarks.measure import Result, Spread, report, rounds_asked, significant
from digital_twin.optimization.fleet.check import violations
from digital_twin.optimization.fleet.dispatch import plan_fleet
from digital_twin.optimization.fleet.plan import FleetPlan, FleetProblem

FIRST_SEED = 100
TOLERANCE = 1e-4
SEEDS = {10: 1.0, 100: 1.0, 1_000: 0.25, 10_000: 0.1}
"""Of each size, as a part of the rounds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one plan."""

    passed: bool
    iterations: int
    seconds: float


def ours(problem: FleetProblem) -> tuple[FleetPlan, float]:
    started = time.process_time()
    plan = plan_fleet(problem)
    return plan, time.process_time() - started


def highs_interior_point(problem: FleetProblem) -> tuple[float, float]:
    """The optimum and the time of the solver alone."""
    large = large_program(problem)
    program, matrix = highspy.HighsLp(), csc_matrix(large.matrix)
    program.num_col_, program.num_row_ = large.cost.size, large.row_lower.size
    program.col_cost_, program.col_lower_, program.col_upper_ = large.cost, large.lower, large.upper
    program.row_lower_, program.row_upper_ = large.row_lower, large.row_upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_, program.a_matrix_.index_ = matrix.indptr, matrix.indices
    program.a_matrix_.value_ = matrix.data
    solver = highspy.Highs()
    for option, value in {"output_flag": False, "threads": 1, "solver": "ipm", "run_crossover": "off"}.items():
        solver.setOptionValue(option, value)
    solver.passModel(program)
    started = time.process_time()
    solver.run()
    seconds = time.process_time() - started
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS ended with {solver.getModelStatus()}")
    return solver.getInfo().objective_function_value + large.constant, seconds


def outcome(problem: FleetProblem) -> Outcome:
    plan, seconds = ours(problem)
    return Outcome(plan.gap <= TOLERANCE and not violations(problem, plan), plan.iterations, seconds)


def row(label: str, outcomes: Sequence[Outcome]) -> list[str]:
    iterations = [each.iterations for each in outcomes]
    seconds = np.array([each.seconds for each in outcomes])
    return [
        label,
        f"{sum(each.passed for each in outcomes)} of {len(outcomes)}",
        f"{np.median(iterations):.0f} ({max(iterations)})",
        f"{significant(float(np.median(seconds)))} ({significant(float(seconds.max()))})",
    ]


def against_highs(rounds: int) -> tuple[Spread, Spread]:
    """How many times as long HiGHS takes for 1,000 storages, and how long; both agree on the optimum."""
    ratios, times = [], []
    for seed in range(rounds):
        problem = fleet("base", 1_000, FIRST_SEED + seed)
        plan, seconds = ours(problem)
        optimum, solver_seconds = highs_interior_point(problem)
        if not plan.lower_bound - 1e-6 * abs(optimum) <= optimum <= plan.cost + 1e-6 * abs(optimum):
            raise RuntimeError(f"HiGHS finds {optimum}, we {plan.lower_bound} to {plan.cost}")
        ratios.append(solver_seconds / seconds)
        times.append(solver_seconds)
    return Spread.of(np.array(ratios)), Spread.of(np.array(times))


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 20)
    outcome(fleet("base", 10, 0, steps=96))  # compiles
    rows = []
    for members, part in SEEDS.items():
        seeds = max(1, round(rounds * part))
        rows += [
            row(f"{members:,}, {kind}", [outcome(fleet(kind, members, FIRST_SEED + seed)) for seed in range(seeds)])
            for kind in KINDS
        ]
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio, seconds = against_highs(max(1, rounds // 10))
    notes = [
        f"HiGHS's interior point takes {ratio.text()} times as long for 1,000 storages of the base kind "
        f"({seconds.text()} core-seconds).",
        f"All of it, fleets of 10,000 with their drawing included, took {megabytes:,.0f} MB at most.",
    ]
    columns = ("storages, kind", f"gap <= {TOLERANCE:g}", "iterations: median (max)", "core-seconds: median (max)")
    report(Result("fleet", columns, rows, notes), "scripts/bench fleet")


if __name__ == "__main__":
    main()
