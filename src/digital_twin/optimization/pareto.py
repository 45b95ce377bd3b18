"""Cost against emissions, self-sufficiency or peak: plans that are better in one than any that is as good in the other.

The cheapest plan for each cap on the other measure (epsilon constraint; Haimes, Lasdon, Wismer 1971, IEEE Transactions
on Systems, Man, and Cybernetics 1, 296-297): one row more in the compiled model, whose limit alone changes from point
to point, so that the simplex method starts from the basis before. Both ends are lexicographic optima, hence exact; the
others lie evenly along the curve, but for the few that told its course: they are moved to where these are.
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
from digital_twin.optimization.compiled import CompiledModel, array_of
from digital_twin.optimization.dispatch import PlanRefused, left_s, schedule_of, solve_model, stages_of
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
ENDS_NOT_FOUND = "the ends of the trade-off were not found in time; ask for a shorter horizon"
_COST = Weights(cost=1.0)
_WITH_PEAK = Weights(cost=1.0, peak=1.0)
"""Whose model has a peak."""


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
    weights = _WITH_PEAK if against == "peak" else _COST
    try:
        cheapest, least = (solve_model(problem, weights, time_limit_s=_left(deadline), stages=one) for one in stages)
    except NoFeasiblePoint as error:
        raise explain_infeasible(problem, time_limit_s=left_s(deadline)) from error
    except OutOfTime as error:
        raise Unavailable(ENDS_NOT_FOUND, retry_after_s=5) from error
    if not (cheapest.is_certain and least.is_certain):
        raise Unavailable(ENDS_NOT_FOUND, retry_after_s=5)
    ends = [_point(problem, measure, one.solution.values, None) for one in (cheapest, least)]
    capped = _Capped(problem, measure, cheapest.compiled)
    found = [_point(problem, measure, *plan) for plan in _between(capped, ends, points, deadline)]
    return TradeOff(tuple(_undominated([*ends, *found])), measure.unit)


@dataclass(frozen=True, slots=True, eq=False)
class _Relaxed:
    """The optimum within a cap of the model without its modes."""

    cap: float
    cost: float
    values: dict[str, Array]
    price: float


_Plan = tuple[dict[str, Array], float | None]
"""The values of the model's variables, and the price of the cap."""


def _stages(problem: DispatchProblem, measure: Measure) -> tuple[list[Prices], list[Prices]]:
    """Of the cheapest plan and of the one with the least; comfort has its price in both."""
    cost, idle = stages_of(problem, _COST)
    comfort = {name: values for name, values in cost.items() if name.endswith(("too_cold_c", "too_warm_c"))}
    return [cost, measure.prices, idle], [{**measure.prices, **comfort}, cost, idle]


def _between(capped: "_Capped", ends: list[TradeOffPoint], points: int, deadline: float) -> list[_Plan]:
    """What lies between the ends, as far as there is time.

    One sweep from the least of the measure, for the course of the curve, and one back to it take far fewer pivots than
    caps in any other order.
    """
    if ends[0].measure - ends[1].measure <= SAME * max(1.0, abs(ends[0].measure)):
        return []
    found: list[_Plan] = []
    with suppress(OutOfTime):
        measures = np.linspace(ends[0].measure, ends[1].measure, COARSE)
        coarse = [capped.relaxed(cap, _left(deadline)) for cap in measures[-2:0:-1]][::-1]
        along = _along(measures, [_value(ends[0]), *(one.cost for one in coarse), _value(ends[1])])
        wanted = np.linspace(0.0, along[-1], points)[1:-1]
        known = dict(zip(_nearest(wanted, along[1:-1]), coarse, strict=True)) if wanted.size else {}
        caps = np.interp(wanted, along, measures)
        for number, cap in enumerate(caps):
            relaxed = known.get(number) or capped.relaxed(cap, _left(deadline))
            found.append(capped.cheapest(relaxed, _left(deadline)))
    return found


def _along(measures: Array, costs: list[float]) -> Array:
    """How far along the curve these points lie, in units of its extent in each direction."""
    costs[-1] = max(costs)  # the least of the measure may cost what no curve of the relaxed model tells
    spans = measures[0] - measures[-1], max(costs[-1] - costs[0], 1e-12)
    lengths = np.hypot(np.diff(measures) / spans[0], np.diff(costs) / spans[1])
    return np.concatenate([[0.0], np.cumsum(lengths)])


def _nearest(wanted: Array, known: Array) -> list[int]:
    """Which of the wanted places each of the known ones is nearest to."""
    return np.abs(wanted - known[:, None]).argmin(axis=1).tolist()


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _value(point: TradeOffPoint) -> float:
    """The cost, and what lost comfort counts for."""
    return point.schedule.objective_value


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
    """The compiled model with one more row: the measure is at most the cap. It starts where that one has ended."""

    def __init__(self, problem: DispatchProblem, measure: Measure, compiled: CompiledModel) -> None:
        self._measure, self._compiled = measure, compiled
        self._numbers, self._modes = numbers_of(problem), modes_of(problem)
        self._stages = stages_of(problem, _COST)
        self._constant = constant_of(problem, _COST)
        self._cap = np.inf
        self._entries = compiled.cost_of(measure.prices)
        program = compiled.program(self._numbers, self._stages[0])
        self._row = program.row_lower.size
        self._highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
            self._highs.setOptionValue(option, value)
        self._highs.passModel(program.to_highs())
        columns = self._entries.nonzero()[0].astype(np.int32)
        self._highs.addRow(-highspy.kHighsInf, highspy.kHighsInf, columns.size, columns, self._entries[columns])
        self._highs.setBasis(compiled.basis(more_rows=1))

    def program(self, numbers: Numbers, prices: Prices) -> LinearProgram:
        program = self._compiled.program(numbers, prices)
        return replace(
            program,
            matrix=sp.csc_array(sp.vstack([program.matrix, sp.csr_array(self._entries[None])])),
            row_lower=np.append(program.row_lower, -highspy.kHighsInf),
            row_upper=np.append(program.row_upper, self._cap - self._measure.constant),
        )

    def columns_of(self, name: str) -> slice:
        return self._compiled.columns_of(name)

    def named(self, x: Array) -> dict[str, Array]:
        return self._compiled.named(x)

    def relaxed(self, cap: float, time_limit_s: float) -> _Relaxed:
        """Raises OutOfTime."""
        self._highs.changeRowBounds(self._row, -highspy.kHighsInf, cap - self._measure.constant)
        self._highs.setOptionValue("time_limit", time_limit_s + self._highs.getRunTime())
        if not run(self._highs):
            raise OutOfTime(-np.inf)
        cost = float(self._highs.getObjectiveValue()) + self._constant
        return _Relaxed(cap, cost, *self._values(self._highs))

    def cheapest(self, relaxed: _Relaxed, time_limit_s: float) -> _Plan:
        """The cheapest plan within the cap of the relaxed one. Raises OutOfTime."""
        if not any(mode.is_broken_by(relaxed.values) for mode in self._modes):
            return relaxed.values, relaxed.price
        self._cap, until = relaxed.cap, time.monotonic() + time_limit_s
        chosen = choose_modes(self, self._numbers, self._stages, self._modes, relaxed.values, time_limit_s=time_limit_s)
        if not chosen.is_certain:
            raise OutOfTime(chosen.bound)
        again = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("time_limit", _left(until))):
            again.setOptionValue(option, value)
        again.passModel(self.program(chosen.numbers, self._stages[0]).to_highs())
        try:
            is_optimal = run(again)
        except NoFeasiblePoint as error:
            raise PlanRefused("the modes of a plan could not be carried out; please report the request") from error
        if not is_optimal:
            raise OutOfTime(chosen.bound)
        return self._values(again)[0], None

    def _values(self, highs: highspy.Highs) -> tuple[dict[str, Array], float]:
        solution = highs.getSolution()
        return self.named(array_of(solution.col_value)), -float(solution.row_dual[self._row])
