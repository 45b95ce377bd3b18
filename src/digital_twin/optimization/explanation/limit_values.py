"""What a little more and a little less of each limit would change the objective by, exactly, and how far that holds.

The optimum as a function of one limit is convex and made of straight pieces (Bertsimas, Tsitsiklis 1997, Introduction
to Linear Optimization, section 5.2). Where plans are degenerate a dual lies anywhere between the slopes to the left and
to the right, so the model is solved again on either side. From afar, tangents are followed back to the limit as it is;
the slope is known once the tangent at the far point passes through the optimum here, for then the piece is straight in
between. Modes that the plan needs stay as they were chosen.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.optimization.blocks import constant_of, numbers_of
from digital_twin.optimization.compiled import Solution
from digital_twin.optimization.dispatch import Solved, stages_of
from digital_twin.optimization.explanation.sized_limits import SizedLimit, sized_limits
from digital_twin.optimization.linear_program import NoFeasiblePoint, OutOfTime
from digital_twin.optimization.model import Numbers
from digital_twin.optimization.modes import Start, modes_of
from digital_twin.optimization.plan import DispatchProblem, Weights

SAME = 1e-8
"""Relative to the objective: closer optima are one."""
WORTH_TELLING = 1e-6
"""Change of the objective per unit below which a limit does not bind."""
MOST_SOLVES = 40
_LOOKED_AT = (0.0625, 0.5)
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Side:
    """Each unit in one direction changes the objective by `per_unit`, for at least `reach` units; NaN is not known."""

    per_unit: float
    reach: float


UNTOLD = Side(float("nan"), 0.0)
"""Of a direction in which the plan would need other modes at once."""


@dataclass(frozen=True, slots=True)
class LimitValue:
    """A limit that matters; None on a side where no plan is left, or no room."""

    limit: str
    unit: str
    value: float
    intervals: tuple[int, ...]  # where the plan touches it at a price
    more: Side | None
    less: Side | None


def limit_values(problem: DispatchProblem, weights: Weights, solved: Solved) -> list[LimitValue]:
    """Every limit with a worth on either side, the one worth most first."""
    found: list[LimitValue] = []
    for limit in sized_limits(problem):
        curve = _Curve(problem, weights, solved, limit)
        more, less = curve.side(limit.most), curve.side(limit.least)
        if any(side is not None and abs(side.per_unit) > WORTH_TELLING for side in (more, less)):
            found.append(LimitValue(limit.name, limit.unit, limit.value, curve.touched(), more, less))
    return sorted(found, key=lambda one: -_relief(one))


def _relief(value: LimitValue) -> float:
    """By how much the better side betters the objective, at most one unit."""
    return max((-side.per_unit for side in (value.more, value.less) if side and side is not UNTOLD), default=0.0)


class _OtherModes(Exception):
    """The model has no plan of this size with the modes as they are, or none in time."""


class _Bent(Exception):
    """The bounds do not move in proportion, as where another limit takes over."""


class _Curve:
    """The optimum against the size of one limit, with a slope at each size that was solved."""

    def __init__(self, problem: DispatchProblem, weights: Weights, solved: Solved, limit: SizedLimit) -> None:
        self._limit, self._solved, self._weights = limit, solved, weights
        self._constant, self._modes = constant_of(problem, weights), modes_of(problem)
        self._stages = stages_of(problem, weights)
        self._may_break_between = any(isinstance(mode, Start) or mode.minimum_kw for mode in self._modes)
        self._numbers = numbers_of(problem)
        self._bound, self._reduced_costs = solved.solution.bound, solved.solution.reduced_costs
        self._tolerance = SAME * max(1.0, abs(self._bound))

    def side(self, end: float) -> Side | None:
        """The slope from the limit towards `end`, certified up to its reach."""
        here, size, is_possible = self._limit.value, end, False
        for _ in range(MOST_SOLVES):
            distance = size - here
            if abs(distance) <= 1e-6 * max(1.0, abs(here)):
                break
            try:
                optimum, slope, slope_here = self._at(size)
            except (NoFeasiblePoint, InvalidInput, _Bent):
                size = here + distance / 4
                continue
            except _OtherModes:
                size, is_possible = here + distance / 4, True
                continue
            is_possible = True
            if abs(self._bound + slope * distance - optimum) <= self._tolerance:
                if self._may_break_between and not self._keeps_modes_until(size):
                    size = here + distance / 4
                    continue
                return Side((optimum - self._bound) / abs(distance), abs(distance))
            size = self._where_tangents_meet(size, optimum, slope, slope_here)
        return UNTOLD if is_possible else None

    def _keeps_modes_until(self, size: float) -> bool:
        """Whether plans of some sizes between here and there do: powers with a minimum leave gaps."""
        here = self._limit.value
        try:
            for share in _LOOKED_AT:
                self._at(here + share * (size - here))
        except (NoFeasiblePoint, InvalidInput, _Bent, _OtherModes):
            return False
        return True

    def _where_tangents_meet(self, size: float, optimum: float, slope: float, slope_here: float) -> float:
        """Of here and of the far point; half-way where they are parallel or meet at an end."""
        here, bend = self._limit.value, slope_here - slope
        distance = size - here
        meeting = (optimum - slope * distance - self._bound) / bend if bend else 0.0
        share = meeting / distance
        return here + (share if 1e-3 < share < 0.999 else 0.5) * distance

    def _at(self, size: float) -> tuple[float, float, float]:
        """The optimum and its slope at this size, and a slope of the optimum here along the same bounds."""
        resized = self._limit.resized(size)
        direction = _difference(numbers_of(resized), self._numbers)
        distance = size - self._limit.value
        half_way = _difference(numbers_of(self._limit.resized(self._limit.value + distance / 2)), self._numbers)
        if not _is_half_of(half_way, direction):
            raise _Bent
        solution = self._solution(_moved(self._solved.numbers, self._numbers, direction))
        constant = constant_of(resized, self._weights) - self._constant
        return (
            solution.bound + constant,
            (_slope(solution.reduced_costs, direction) + constant) / distance,
            (_slope(self._reduced_costs, direction) + constant) / distance,
        )

    def _solution(self, numbers: Numbers) -> Solution:
        """One that keeps to the modes: by luck, or where ties are broken."""
        for stages in (self._stages[:1], self._stages):
            try:
                solution = self._solved.compiled.solve(numbers, stages, time_limit_s=_PATIENCE_S)
            except OutOfTime as error:
                raise _OtherModes from error
            if not any(mode.is_broken_by(solution.values) for mode in self._modes):
                return solution
        raise _OtherModes

    def touched(self) -> tuple[int, ...]:
        """Intervals in which a bound that moves with the limit has a price."""
        towards = self._limit.most if self._limit.most > self._limit.value else self._limit.least
        try:
            direction = _difference(numbers_of(self._limit.resized(towards)), self._numbers)
        except InvalidInput:
            return ()
        steps: set[int] = set()
        chosen, own = self._solved.numbers, self._numbers
        for changes, sign, mine, before in (
            (direction.upper, -1.0, chosen.upper, own.upper),
            (direction.lower, 1.0, chosen.lower, own.lower),
        ):
            for name, change in changes.items():
                reduced = self._reduced_costs.get(name)
                if reduced is not None and reduced.size > 1:
                    moves = (change != 0) & (mine[name] == before[name])  # not what modes have set
                    steps.update(np.flatnonzero(moves & (sign * reduced > WORTH_TELLING)).tolist())
        return tuple(sorted(steps))


def _difference(after: Numbers, before: Numbers) -> Numbers:
    """What changes of the bounds, by variable."""
    lower = {name: after.lower[name] - values for name, values in before.lower.items()}
    upper = {name: after.upper[name] - values for name, values in before.upper.items()}
    return Numbers(after.right_hand_sides, lower, upper)


def _is_half_of(half: Numbers, whole: Numbers) -> bool:
    pairs = [(half.lower, whole.lower), (half.upper, whole.upper)]
    return all(np.allclose(one[name], two[name] / 2, atol=1e-9) for one, two in pairs for name in two)


def _moved(chosen: Numbers, before: Numbers, direction: Numbers) -> Numbers:
    """The numbers with their bounds moved, but for those that modes have set."""

    def moved(bounds: dict[str, Array], originals: dict[str, Array], changes: dict[str, Array]) -> dict[str, Array]:
        return {
            name: np.where(values == originals.get(name, 0.0), values + changes.get(name, 0.0), values)
            for name, values in bounds.items()
        }

    return Numbers(
        direction.right_hand_sides,
        moved(chosen.lower, before.lower, direction.lower),
        moved(chosen.upper, before.upper, direction.upper),
    )


def _slope(reduced_costs: dict[str, Array], direction: Numbers) -> float:
    """By how much the objective changes along these bounds: each carries the reduced cost of its own sign."""
    slope = 0.0
    for name, change in direction.upper.items():
        if name in reduced_costs:
            slope += float(np.minimum(reduced_costs[name], 0.0) @ change)
    for name, change in direction.lower.items():
        if name in reduced_costs:
            slope += float(np.maximum(reduced_costs[name], 0.0) @ change)
    return slope
