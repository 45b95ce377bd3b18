"""A trade-off of thirty points against stock CVXPY: rebuilt for each point, and with its cap as a parameter.

The compared day at 15 minutes; each round is another day. Ours is everything from the problem to the points: both ends
as lexicographic optima, points spread along the curve, each one checked and accounted for. The peers are
given the ends and solve the points at evenly spaced caps, no more; their model has no peak, sharing or devices.
"""

import time
from collections.abc import Callable

import cvxpy as cp
import numpy as np

from benchmarks.dispatch_peers import day
from benchmarks.measure import Result, Timings, milliseconds, report, rounds_asked, take_turns
from digital_twin.domain.units import Array
from digital_twin.optimization import DispatchProblem
from digital_twin.optimization.pareto import trade_off

POINTS = 30
OURS = "ours: ends found, spread, checked"
REBUILT, PARAMETER = "CVXPY, rebuilt for each point", "CVXPY, the cap a parameter"

Solve = Callable[[int], list[float]]
"""The costs of the points of a day, the cheapest first."""


def ours(number: int) -> list[float]:
    return [point.schedule.cost for point in trade_off(day(number), "emissions", points=POINTS).points]


def caps(number: int) -> Array:
    """Evenly spaced between the ends, which the peers are given."""
    ends = trade_off(day(number), "emissions", points=2).points
    return np.linspace(ends[0].measure, ends[1].measure, POINTS)


class WithCvxpy:
    """The day's program as CVXPY's manual would write it, with a cap on emissions."""

    def __init__(self, problem: DispatchProblem) -> None:
        outlook, store, limits = problem.outlook, problem.storage, problem.limits
        steps, hours = outlook.grid.steps, outlook.grid.step_hours
        self._cap = cp.Parameter()
        charge = cp.Variable(steps, bounds=[0, store.power_kw])
        discharge = cp.Variable(steps, bounds=[0, store.power_kw])
        soc = cp.Variable(steps, bounds=[0, store.capacity_kwh])
        imported = cp.Variable(steps, bounds=[0, limits.import_kw])
        exported = cp.Variable(steps, bounds=[0, limits.export_kw])
        curtailed = cp.Variable(steps, bounds=[0, outlook.pv_kw])
        stored = hours * (store.charge_efficiency * charge - discharge / store.discharge_efficiency)
        cost = hours * (outlook.import_price_per_kwh @ imported - outlook.export_price_per_kwh @ exported)
        self._problem = cp.Problem(
            cp.Minimize(cost),
            [
                imported - exported + discharge - charge - curtailed == outlook.load_kw - outlook.pv_kw,
                soc[0] == store.initial_kwh + stored[0],
                soc[1:] == soc[:-1] + stored[1:],
                soc[-1] >= store.final_min_kwh,
                hours * (outlook.emission_factor_kg_per_kwh @ imported) <= self._cap,
            ],
        )

    def cheapest(self, cap: float) -> float:
        self._cap.value = cap * (1 + 1e-9)
        return float(self._problem.solve(cp.HIGHS, threads=1))  # type: ignore[arg-type]


def rebuilt(number: int, given: dict[int, Array]) -> list[float]:
    return [WithCvxpy(day(number)).cheapest(cap) for cap in given[number]]


def with_parameter(number: int, given: dict[int, Array]) -> list[float]:
    model = WithCvxpy(day(number))
    return [model.cheapest(cap) for cap in given[number]]


def table(rounds: int) -> Result:
    """Interleaved, on the processor's clock; the ends must agree."""
    given = {number: caps(number) for number in range(-1, rounds + 1)}
    solvers: dict[str, Solve] = {
        OURS: ours,
        REBUILT: lambda number: rebuilt(number, given),
        PARAMETER: lambda number: with_parameter(number, given),
    }
    timings: Timings = take_turns(dict(solvers), rounds=rounds, warm_up=1, clock=time.process_time)
    reference = {name: solve(1) for name, solve in solvers.items()}
    rows = [
        [
            name,
            milliseconds(timings.of(name)),
            "1" if name == OURS else timings.ratio(name, OURS).text(),
            f"{max(abs(reference[name][end] / reference[OURS][end] - 1) for end in (0, -1)):.0e}",
        ]
        for name in solvers
    ]
    columns = (f"cost against emissions, T=96, {POINTS} points", "ms: median (quartiles)", "x ours", "ends differ by")
    note = f"Of {rounds} days; ours returned {len(reference[OURS])} points. The clock is the processor's."
    return Result("pareto", columns, rows, [note])


def main() -> None:
    report(table(rounds_asked((__doc__ or "").splitlines()[0], 5)), "scripts/bench pareto")


if __name__ == "__main__":
    main()
