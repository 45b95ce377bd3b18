"""Cost against emissions, self-sufficiency or peak: plans that are better in one than any that is as good in the other.

The cheapest plan for each cap on the other measure (epsilon constraint; Haimes, Lasdon, Wismer 1971, IEEE Transactions
on Systems, Man, and Cybernetics 1, 296-297): one row more in the compiled model, whose limit alone changes from point
to point, so that the simplex method starts from the basis before. Both ends are lexicographic optima, hence exact; the
others lie evenly along the curve.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.errors import Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.blocks import constant_of, numbers_of
from digital_twin.optimization.check import violations
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.dispatch import PlanRefused, Solved, left_s, schedule_of, solve_model, stages_of
from digital_twin.optimization.explanation.infeasible import explain_infeasible
from digital_twin.optimization.linear_program import LinearProgram, NoFeasiblePoint, OutOfTime, run
from digital_twin.optimization.model import Numbers, Prices
from digital_twin.optimization.modes import choose_modes, modes_of
from digital_twin.optimization.plan import DispatchProblem, Schedule, Weights
from digital_twin.optimization.traded_measures import Measure, measure_of

Traded = Literal["emissions", "self_sufficiency", "peak"]
COARSE = 8
"""Caps whose costs tell the course of the curve."""
SAME = 1e-6
"""Relative: points closer than this in either measure are one."""
_COST = Weights(cost=1.0)
_WITH_PEAK = Weights(cost=1.0, peak=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class TradeOffPoint:
    """The cheapest plan with no more than `measure`: kg, kWh taken from the grid, or kW."""

    schedule: Schedule
    measure: float
    price_per_unit: float | None  # what one unit less would cost; None at the ends


@dataclass(frozen=True, slots=True, eq=False)
class TradeOff:
    """From the cheapest plan to the one with the least of the measure."""

    points: tuple[TradeOffPoint, ...]
    unit: str


def trade_off(problem: DispatchProblem, against: Traded, *, points: int, time_limit_s: float = 60.0) -> TradeOff:
    """Up to `points` plans that no other dominates, evenly spread.

    Raises:
        Infeasible: no plan respects the limits.
        Unavailable: not both ends were found in time.
    """
    deadline = time.monotonic() + time_limit_s
    measure = measure_of(problem, against)
    stages = _stages(problem, measure)
    try:
        cheapest, least = (solve_model(problem, _WITH_PEAK, time_limit_s=_left(deadline), stages=one) for one in stages)
    except NoFeasiblePoint as error:
        raise explain_infeasible(problem, time_limit_s=left_s(deadline)) from error
    except OutOfTime as error:
        raise Unavailable("the ends of the trade-off were not found in time", retry_after_s=5) from error
    ends = [_point(problem, measure, one.solution.values, None) for one in (cheapest, least)]
    found = _between(_Capped(problem, measure, cheapest), ends, points, deadline)
    return TradeOff(tuple(_undominated(found)), measure.unit)


def _stages(problem: DispatchProblem, measure: Measure) -> tuple[list[Prices], list[Prices]]:
    """Of the cheapest plan and of the one with the least; comfort has its price in both."""
    cost, idle = stages_of(problem, _COST)
    comfort = {name: values for name, values in cost.items() if name.endswith(("too_cold_c", "too_warm_c"))}
    return [cost, measure.prices, idle], [{**measure.prices, **comfort}, cost, idle]


def _between(capped: "_Capped", ends: list[TradeOffPoint], points: int, deadline: float) -> list[TradeOffPoint]:
    """The ends and what lies between; in time order of the caps, as far as there is time."""
    if ends[0].measure - ends[1].measure <= SAME * max(1.0, abs(ends[0].measure)):
        return ends[:1]
    found: list[TradeOffPoint] = []
    with suppress(OutOfTime):
        caps = _spread_caps(capped, ends, points, deadline)[::-1]
        found.extend(capped.cheapest(cap, _left(deadline)) for cap in caps)
    return [*ends, *found]


def _spread_caps(capped: "_Capped", ends: list[TradeOffPoint], points: int, deadline: float) -> Array:
    """Caps whose points lie evenly along the curve, as far as a few costs tell its course; those of the ends left out.

    One sweep there and one back take far fewer pivots than caps in any other order.
    """
    measures = np.linspace(ends[0].measure, ends[1].measure, COARSE)
    between = [capped.lowest_cost(cap, _left(deadline)) for cap in measures[1:-1]]
    # the least of the measure may cost what no curve of the relaxed model tells
    costs = np.array([_value(ends[0]), *between, max(_value(ends[1]), *between)])
    spans = measures[0] - measures[-1], max(costs[-1] - costs[0], 1e-12)
    lengths = np.hypot(np.diff(measures) / spans[0], np.diff(costs) / spans[1])
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.linspace(0.0, along[-1], points)[1:-1]
    return np.interp(wanted, along, measures)


def _value(point: TradeOffPoint) -> float:
    """The cost, and what lost comfort counts for."""
    return point.schedule.objective_value


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _undominated(found: list[TradeOffPoint]) -> list[TradeOffPoint]:
    """Without the points that another beats or equals in both."""
    kept: list[TradeOffPoint] = []
    for point in sorted(found, key=lambda one: (_value(one), one.measure)):
        if not kept or point.measure < kept[-1].measure - SAME * max(1.0, abs(kept[-1].measure)):
            kept.append(point)
    return kept


def _point(problem: DispatchProblem, measure: Measure, values: dict[str, Array], price: float | None) -> TradeOffPoint:
    schedule = schedule_of(problem, _COST, values)
    broken = violations(problem, schedule)
    if broken:
        raise PlanRefused(f"a plan failed the independent check of {', '.join(broken)}; please report the request")
    return TradeOffPoint(replace(schedule, solver="HiGHS simplex"), measure.of(values), price)


class _Capped:
    """The compiled model with one more row: the measure is at most the cap."""

    def __init__(self, problem: DispatchProblem, measure: Measure, cheapest: Solved) -> None:
        self._problem, self._measure = problem, measure
        self._compiled: CompiledModel = cheapest.compiled
        self._numbers, self._modes = numbers_of(problem), modes_of(problem)
        self._stages = stages_of(problem, _COST)
        self._constant = constant_of(problem, _COST)
        self._cap = np.inf
        program = self.program(self._numbers, self._stages[0])
        self._row = program.row_lower.size - 1
        self._highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
            self._highs.setOptionValue(option, value)
        self._highs.passModel(program.to_highs())

    def program(self, numbers: Numbers, prices: Prices) -> LinearProgram:
        program = self._compiled.program(numbers, prices)
        row = np.zeros((1, program.cost.size))
        for name, values in self._measure.prices.items():
            row[0, self._compiled.columns_of(name)] = values
        return replace(
            program,
            matrix=sp.csc_array(sp.vstack([program.matrix, sp.csr_array(row)])),
            row_lower=np.append(program.row_lower, -highspy.kHighsInf),
            row_upper=np.append(program.row_upper, self._cap - self._measure.constant),
        )

    def columns_of(self, name: str) -> slice:
        return self._compiled.columns_of(name)

    def named(self, x: Array) -> dict[str, Array]:
        return self._compiled.named(x)

    def lowest_cost(self, cap: float, time_limit_s: float) -> float:
        """Of the model without its modes. Raises OutOfTime."""
        self._cap = cap
        self._highs.changeRowBounds(self._row, -highspy.kHighsInf, cap - self._measure.constant)
        self._highs.setOptionValue("time_limit", time_limit_s + self._highs.getRunTime())
        if not run(self._highs):
            raise OutOfTime(-np.inf)
        return float(self._highs.getInfo().objective_function_value) + self._constant

    def cheapest(self, cap: float, time_limit_s: float) -> TradeOffPoint:
        """The cheapest plan within the cap. Raises OutOfTime."""
        self.lowest_cost(cap, time_limit_s)
        values, price = self._values(self._highs)
        if any(mode.is_broken_by(values) for mode in self._modes):
            chosen = choose_modes(self, self._numbers, self._stages, self._modes, values, time_limit_s=time_limit_s)
            if not chosen.is_certain:
                raise OutOfTime(chosen.bound)
            again = highspy.Highs()
            again.setOptionValue("output_flag", False)
            again.passModel(self.program(chosen.numbers, self._stages[0]).to_highs())
            run(again)
            values, price = self._values(again)[0], None
        return _point(self._problem, self._measure, values, price)

    def _values(self, highs: highspy.Highs) -> tuple[dict[str, Array], float]:
        solution = highs.getSolution()
        return self.named(np.asarray(solution.col_value)), -float(solution.row_dual[self._row])
