"""Why no plan exists: which limits are in each other's way, what relaxing each would take, and what comes closest.

All on the compiled model, within a budget of time: what is not known when it is over is left out, and that is said.
"""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.blocks import Shape, numbers_of
from digital_twin.optimization.explanation.conflict import Conflict, Kept, find_conflict
from digital_twin.optimization.explanation.elastic_program import FAR, Elastic, Loosened, least_excess
from digital_twin.optimization.explanation.relaxable import Limit, equipment_limits, relaxable_limits
from digital_twin.optimization.kept_models import compiled_model
from digital_twin.optimization.linear_program import NoFeasiblePoint, OutOfTime
from digital_twin.optimization.model import Numbers
from digital_twin.optimization.plan import DispatchProblem

SIGNIFICANT = 1e-6
_FLOWS = ("import_kw", "export_kw", "charge_kw", "discharge_kw", "soc_kwh", "curtailed_kw")


def explain_infeasible(problem: DispatchProblem, *, time_limit_s: float) -> Infeasible:
    """The error that names the limits in the way, as far as they are found in time.

    Each limit is relaxed alone: the least amount that suffices is reported. If none suffices alone, the smallest
    relaxation of all together is. The facts list `limits` as {limit, relax_by, unit, alone}, `conflict` as
    {limit, unit, value, start, end}, what is proved of it as `conflict_is`, and what comes closest as
    `least_violation`, which is no plan.
    """
    search = _Search(problem, time.monotonic() + time_limit_s)
    limits, conflict = relaxable_limits(problem), search.conflict()
    relaxed, is_alone = search.relaxations(limits, conflict), True
    if not relaxed:
        relaxed, is_alone = search.relaxation_together(limits), False
    facts: dict[str, Any] = {"limits": [_relaxed_document(*one, is_alone=is_alone) for one in relaxed]}
    if conflict is not None and relaxed:
        facts |= {"conflict": [_conflict_document(problem, one) for one in conflict.kept]}
        facts |= {"conflict_is": conflict.proof}
    closest = search.least_violation(limits) if relaxed else None
    if closest is not None:
        facts |= {"least_violation": closest}
    joined = " or " if is_alone else " and "
    return Infeasible(_sentence(joined.join(_words(*one) for one in relaxed), is_over=search.is_over), **facts)


def _sentence(words: str, *, is_over: bool) -> str:
    if words:
        start = f"no schedule respects every limit; it would take {words}"
        return f"{start}; the time was over before more was known" if is_over else start
    if is_over:
        return "no schedule respects every limit; the time was over before it was known what it would take"
    return "no schedule keeps to every limit and to the minimum powers of the devices"


def _words(limit: Limit, amount: float) -> str:
    direction, target = ("more", limit.value + amount) if limit.is_upper else ("less", limit.value - amount)
    return f"{amount:.6g} {limit.unit} {direction} of {limit.name} ({limit.value:.6g} -> {target:.6g})"


def _relaxed_document(limit: Limit, amount: float, *, is_alone: bool) -> dict[str, Any]:
    return {"limit": limit.name, "relax_by": round(amount, 6), "unit": limit.unit, "alone": is_alone}


def _conflict_document(problem: DispatchProblem, kept: Kept) -> dict[str, Any]:
    grid, limit = problem.outlook.grid, kept.limit
    inside = np.flatnonzero(limit.where)
    first, end = max(kept.first, int(inside[0])), min(kept.end, int(inside[-1]) + 1)
    return {
        "limit": limit.name,
        "unit": limit.unit,
        "value": limit.value,
        "start": _text(grid.instant(first)),
        "end": _text(grid.instant(end)),
    }


class _Search:
    """Questions about one problem without a plan, until the time is over."""

    def __init__(self, problem: DispatchProblem, deadline: float) -> None:
        self._problem = problem
        self._deadline = deadline
        self.is_over = False
        self._model = compiled_model(Shape.of(problem))
        numbers = numbers_of(problem)
        # as high as the import limit, which may be relaxed
        free = {name: np.full(1, FAR) for name in ("peak_kw", "billed_peak_kw") if name in numbers.upper}
        self._numbers = Numbers(numbers.right_hand_sides, numbers.lower, numbers.upper | free)

    def conflict(self) -> Conflict | None:
        """The limits that cannot be kept together, each in the shortest stretch in which it matters."""
        limits = [*equipment_limits(self._problem), *relaxable_limits(self._problem)]
        return find_conflict(limits, self._problem.outlook.grid.steps, lambda kept: self._has_plan(limits, kept))

    def relaxations(self, limits: list[Limit], conflict: Conflict | None) -> list[tuple[Limit, float]]:
        """The limits each of which suffices alone, and what of it: all of them are part of any conflict."""
        names = None if conflict is None else {kept.limit.name for kept in conflict.kept}
        tried = [limit for limit in limits if names is None or limit.name in names]
        excess = [(limit, self._excess([limit], each_interval=False)) for limit in tried]
        found = [(limit, float(one.by[0][0])) for limit, one in excess if one is not None]
        return [(limit, amount) for limit, amount in found if amount > SIGNIFICANT]

    def relaxation_together(self, limits: list[Limit]) -> list[tuple[Limit, float]]:
        """The smallest sum of uniform relaxations that admits a plan; nothing where none does."""
        found = self._excess(limits, each_interval=False)
        amounts = [] if found is None else [float(by[0]) for by in found.by]
        return [(limit, amount) for limit, amount in zip(limits, amounts, strict=False) if amount > SIGNIFICANT]

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

    def _excess(self, relaxed: list[Limit], *, each_interval: bool) -> Elastic | None:
        """None where these limits do not suffice, or the time does not."""
        loosened = [Loosened(self._columns(limit), limit.is_upper, each_interval=each_interval) for limit in relaxed]
        try:
            return least_excess(self._model.program(self._numbers, {}), loosened, time_limit_s=self._left_s())
        except NoFeasiblePoint:
            return None
        except OutOfTime:
            self.is_over = True
            return None

    def _columns(self, limit: Limit) -> Array:
        where = np.flatnonzero(limit.where)
        return np.concatenate([self._model.columns_of(name).start + where for name in limit.variables])

    def _has_plan(self, limits: list[Limit], kept: Iterable[Kept]) -> bool:
        lower, upper = dict(self._numbers.lower), dict(self._numbers.upper)
        stretches = list(kept)
        for limit in limits:
            holds = np.zeros(self._problem.outlook.grid.steps, dtype=bool)
            for one in stretches:
                if one.limit is limit:
                    holds[one.first : one.end] = True
            loose = (limit.where > 0) & ~holds
            for name in limit.variables:
                if limit.is_upper:
                    upper[name] = np.where(loose, FAR, upper[name])
                else:
                    lower[name] = np.where(loose, 0.0, lower[name])
        numbers = Numbers(self._numbers.right_hand_sides, lower, upper)
        try:
            self._model.solve(numbers, [{}], time_limit_s=self._left_s())
        except NoFeasiblePoint:
            return False
        except OutOfTime:
            self.is_over = True
            raise
        return True

    def _left_s(self) -> float:
        """Raises OutOfTime when nothing is left."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            self.is_over = True
            raise OutOfTime(0.0)
        return left_s


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
