"""A year of hours in one pass: the dynamic programme against HiGHS on the same question.

Each round is another year: every day has a sun, a load and prices of its own. HiGHS gets the compiled program of the
planner, whose canonicalisation is not counted, and starts from nothing, as one does who asks once.
"""

import time
from functools import cache

import numpy as np
from tests.builders import MONDAY
from tests.cases import hump

from benchmarks.measure import Result, milliseconds, report, rounds_asked, take_turns
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import OBJECTIVES, DispatchProblem, GridLimits, Outlook, Storage
from digital_twin.optimization.blocks import Shape, build, numbers_of, prices_of
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.foresight import plan_with_foresight
from digital_twin.optimization.linear_program import run

HOURS = 8760
COST = OBJECTIVES["minimize_cost"]
TOLERANCE = 1e-7
OURS = "ours: planned, checked, accounted"


@cache
def year(number: int) -> DispatchProblem:
    """The compared community (`tests/cases.py`) with a year's variety."""
    generator = np.random.default_rng(abs(number))
    hour = np.arange(HOURS) % 24 + 0.5
    day = np.arange(HOURS) // 24
    sun, use, level = (generator.uniform(*span, HOURS // 24)[day] for span in ((0.1, 1), (0.8, 1.2), (0.6, 1.4)))
    load = use * (260 + 160 * hump(hour, 7.5, 1.6) + 420 * hump(hour, 19.2, 2.3)) + generator.normal(0, 20, HOURS)
    pv = sun * np.clip(720 * hump(hour, 12.8, 2.9) - 6, 0, None)
    price = level * (0.16 + 0.06 * hump(hour, 8, 1.5) + 0.14 * hump(hour, 19, 2)) + generator.normal(0, 0.01, HOURS)
    outlook = Outlook(
        TimeGrid(MONDAY, HOURS, 60), np.maximum(load, 0), pv, np.maximum(price, 0.09), np.full(HOURS, 0.08),
        np.full(HOURS, 0.3),
    )  # fmt: skip
    return DispatchProblem(outlook, Storage(1000, 200, 0.95, 0.95, 500, 500), GridLimits(1200, 1200))


class WithHighs:
    """The simplex method from nothing, with presolve."""

    def __init__(self) -> None:
        self._model = CompiledModel(build(Shape.of(year(0), COST)))

    def __call__(self, number: int) -> float:
        import highspy

        problem = year(number)
        highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("solver", "simplex")):
            highs.setOptionValue(option, value)
        highs.passModel(self._model.program(numbers_of(problem), prices_of(problem, COST)).to_highs())
        assert run(highs)
        return float(highs.getInfo().objective_function_value)


def ours(number: int) -> float:
    return plan_with_foresight(year(number), COST).cost


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 7)
    highs = WithHighs()
    for number in range(-1, rounds):
        year(number)
    found, known = ours(0), highs(0)
    if abs(found - known) > TOLERANCE * abs(known):
        raise RuntimeError(f"ours finds {found}, HiGHS {known}")
    timings = take_turns({OURS: ours, "HiGHS simplex": highs}, rounds=rounds, clock=time.process_time)
    rows = [
        [name, milliseconds(timings.of(name)), "1" if name == OURS else timings.ratio(name, OURS).text()]
        for name in timings.seconds
    ]
    notes = [f"Both agree within {TOLERANCE:g} of the cost of {known:,.2f}; the processor's clock, one thread."]
    report(Result("year", ("a year, T=8,760", "ms: median (quartiles)", "x ours"), rows, notes), "scripts/bench year")


if __name__ == "__main__":
    main()
