"""Why no plan exists: which limits are in each other's way, what relaxing each would take, and what comes closest.

All on the compiled model. The conflict is found by deletion (Chinneck, Dravnieks 1991, ORSA Journal on Computing 3,
157-168): a limit without which there is still no plan is left out, those that remain cannot be kept together, but any
but one of them can. Then each is confined to the shortest stretch of intervals in which it still conflicts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.blocks import Shape, numbers_of
from digital_twin.optimization.explanation.elastic_program import FAR, Elastic, Loosened, least_excess
from digital_twin.optimization.explanation.relaxable import Limit, equipment_limits, relaxable_limits
from digital_twin.optimization.kept_models import compiled_model
from digital_twin.optimization.linear_program import NoFeasiblePoint, OutOfTime
from digital_twin.optimization.model import Numbers
from digital_twin.optimization.plan import DispatchProblem

SIGNIFICANT = 1e-6
PATIENCE_S = 5.0
_FLOWS = ("import_kw", "export_kw", "charge_kw", "discharge_kw", "soc_kwh", "curtailed_kw")


def explain_infeasible(problem: DispatchProblem) -> Infeasible:
    """The error that names the limits in the way.

    Each limit is relaxed alone first: the least amount that suffices is reported. If none suffices alone, the
    smallest relaxation of all together is. The facts list `limits` as {limit, relax_by, unit, alone}, `conflict` as
    {limit, unit, value, start, end}, and what comes closest as `least_violation`, which is no plan.
    """
    search = _Search(problem)
    limits = relaxable_limits(problem)
    suffices: list[tuple[Limit, float]] = []
    for limit in limits:
        found = search.least_relaxation([limit])
        if found is not None and found[0] > SIGNIFICANT:
            suffices.append((limit, found[0]))
    facts = {"conflict": search.conflict(), "least_violation": search.least_violation(limits)}
    if suffices:
        words = " or ".join(_words(limit, amount) for limit, amount in suffices)
        return _infeasible(words, suffices, facts, alone=True)
    together = search.least_relaxation(limits) or [0.0] * len(limits)
    needed = [(limit, amount) for limit, amount in zip(limits, together, strict=True) if amount > SIGNIFICANT]
    if not needed:
        return Infeasible("no schedule keeps to every limit and to the minimum powers of the devices", limits=[])
    return _infeasible(" and ".join(_words(limit, amount) for limit, amount in needed), needed, facts, alone=False)


def _infeasible(words: str, relaxed: list[tuple[Limit, float]], facts: Mapping[str, Any], *, alone: bool) -> Infeasible:
    limits = [
        {"limit": limit.name, "relax_by": round(amount, 6), "unit": limit.unit, "alone": alone}
        for limit, amount in relaxed
    ]
    known = {name: fact for name, fact in facts.items() if fact}
    return Infeasible(f"no schedule respects every limit; it would take {words}", limits=limits, **known)


def _words(limit: Limit, amount: float) -> str:
    direction, target = ("more", limit.value + amount) if limit.is_upper else ("less", limit.value - amount)
    return f"{amount:.6g} {limit.unit} {direction} of {limit.name} ({limit.value:.6g} -> {target:.6g})"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A limit that is kept in the intervals [first, end) and nowhere else."""

    limit: Limit
    first: int
    end: int


class _Search:
    """Questions about one problem without a plan."""

    def __init__(self, problem: DispatchProblem) -> None:
        self._problem = problem
        self._model = compiled_model(Shape.of(problem))
        numbers = numbers_of(problem)
        # as high as the import limit, which may be relaxed
        free = {name: np.full(1, FAR) for name in ("peak_kw", "billed_peak_kw") if name in numbers.upper}
        self._numbers = Numbers(numbers.right_hand_sides, numbers.lower, numbers.upper | free)

    def least_relaxation(self, relaxed: list[Limit]) -> list[float] | None:
        """The smallest sum of uniform relaxations of these limits that admits a plan; None when none does."""
        found = self._excess(relaxed, each_interval=False)
        return None if found is None else [float(by[0]) for by in found.by]

    def _excess(self, relaxed: list[Limit], *, each_interval: bool) -> Elastic | None:
        loosened = [Loosened(self._columns(limit), limit.is_upper, each_interval=each_interval) for limit in relaxed]
        try:
            return least_excess(self._model.program(self._numbers, {}), loosened)
        except NoFeasiblePoint:
            return None

    def _columns(self, limit: Limit) -> Array:
        where = np.flatnonzero(limit.where)
        return np.concatenate([self._model.columns_of(name).start + where for name in limit.variables])

    def conflict(self) -> list[dict[str, Any]]:
        """The limits that cannot be kept together, each in the shortest stretch in which it matters."""
        steps = self._problem.outlook.grid.steps
        limits = [*equipment_limits(self._problem), *relaxable_limits(self._problem)]
        kept = {index: _Kept(limit, 0, steps) for index, limit in enumerate(limits)}
        if self._has_plan(limits, []):
            for index in list(kept):
                others = [one for place, one in kept.items() if place != index]
                if not self._has_plan(limits, others):
                    del kept[index]
            for index, one in kept.items():
                kept[index] = self._shortest(one, limits, [other for place, other in kept.items() if place != index])
            return [self._conflict_document(one) for one in kept.values()]
        return []

    def _shortest(self, kept: _Kept, limits: list[Limit], others: list[_Kept]) -> _Kept:
        """Its end as early, then its start as late as leaves the conflict: found by halving."""

        def conflicts(first: int, end: int) -> bool:
            return not self._has_plan(limits, [*others, _Kept(kept.limit, first, end)])

        end = _first_true(lambda end: conflicts(0, end), 1, kept.end)
        first = end - _first_true(lambda length: conflicts(end - length, end), 1, end)
        return _Kept(kept.limit, first, end)

    def _has_plan(self, limits: list[Limit], kept: list[_Kept]) -> bool:
        lower, upper = dict(self._numbers.lower), dict(self._numbers.upper)
        for limit in limits:
            holds = np.zeros(self._problem.outlook.grid.steps, dtype=bool)
            for one in kept:
                if one.limit is limit:
                    holds[one.first : one.end] = True
            loose = (limit.where > 0) & ~holds
            for name in limit.variables:
                if limit.is_upper:
                    upper[name] = np.where(loose, FAR, upper[name])
                else:
                    lower[name] = np.where(loose, 0.0, lower[name])
        try:
            self._model.solve(Numbers(self._numbers.right_hand_sides, lower, upper), [{}], time_limit_s=PATIENCE_S)
        except NoFeasiblePoint:
            return False
        except OutOfTime:
            return True
        return True

    def _conflict_document(self, kept: _Kept) -> dict[str, Any]:
        grid, limit = self._problem.outlook.grid, kept.limit
        inside = np.flatnonzero(limit.where)
        first, end = max(kept.first, int(inside[0])), min(kept.end, int(inside[-1]) + 1)
        return {
            "limit": limit.name,
            "unit": limit.unit,
            "value": limit.value,
            "start": _text(grid.instant(first)),
            "end": _text(grid.instant(end)),
        }

    def least_violation(self, limits: list[Limit]) -> dict[str, Any] | None:
        """What passes the limits by the fewest kWh in all: no plan, but it shows where it is too tight."""
        found = self._excess(limits, each_interval=True)
        if found is None:
            return None
        grid = self._problem.outlook.grid
        values = self._model.named(found.x)
        passed: list[dict[str, Any]] = []
        for limit, by in zip(limits, found.by, strict=True):
            at = np.flatnonzero(by > SIGNIFICANT)
            if at.size:
                steps = np.flatnonzero(limit.where)[at]
                passed.append(
                    {
                        "limit": limit.name,
                        "unit": limit.unit,
                        "most": round(float(by.max()), 6),
                        "intervals": int(at.size),
                        "first_interval": _text(grid.instant(int(steps[0]))),
                    }
                )
        return {"is_a_plan": False, "passes": passed} | {name: values[name].round(6).tolist() for name in _FLOWS}


def _first_true(test: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest whole number for which a monotone test holds; it holds for `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if test(middle) else (middle + 1, high)
    return high


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
