"""What was done with a storage, held against doing nothing clever and against knowing everything beforehand.

All are compared for the same load, generation and terminal energy: the best plan ends with what was left in truth, and
what a baseline leaves more or less is worth the mean price of an import, less what discharging loses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.errors import InvalidInput, Unavailable
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import ENERGY_TOLERANCE_KWH, account
from digital_twin.optimization.baseline import idle, self_consumption_rule
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.foresight import plan_with_foresight
from digital_twin.optimization.plan import (
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    Schedule,
    Storage,
    Weights,
)

LEAST_TO_GAIN = 0.01
"""Where even the best plan saves less than a cent there is no share of it to speak of."""

_COST = Weights(cost=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What happened in a stretch of time without gaps; the storage's own initial and final energy do not count.

    Raises:
        InvalidInput: `held_kwh` is not one longer than the grid.
    """

    outlook: Outlook
    storage: Storage
    limits: GridLimits
    held_kwh: Array  # (T + 1,) in the storage where each interval begins, and at the end of the last
    exchange: MemberExchange | None = None

    def __post_init__(self) -> None:
        steps = self.outlook.grid.steps
        if self.held_kwh.shape != (steps + 1,):
            raise InvalidInput(f"held_kwh must have {steps + 1} values, got {self.held_kwh.size}", field="held_kwh")


@dataclass(frozen=True, slots=True)
class Compared:
    """What a baseline costs, and which share of the way from it to the best plan was gone."""

    cost: float
    saved: float
    value_captured: float | None


@dataclass(frozen=True, slots=True)
class Performance:
    """The sums over all courses."""

    hours: float
    load_kwh: float
    pv_kwh: float
    import_kwh: float
    export_kwh: float
    charged_kwh: float
    discharged_kwh: float
    self_consumption: float
    self_sufficiency: float
    peak_kw: float
    cost: float  # of energy
    emissions_kg: float
    baselines: dict[str, Compared]
    perfect_cost: float | None  # None: not found in time


def performance(courses: Sequence[Course], *, time_limit_s: float = np.inf) -> Performance:
    """What these courses came to, beside the baselines and the best plan of each.

    Raises:
        InvalidInput: no course at all.
    """
    if not courses:
        raise InvalidInput("there must be at least one course")
    measured, baselines, best = [], {"self_consumption_rule": 0.0, "idle": 0.0, "no_assets": 0.0}, 0.0
    for course in courses:
        problem, left_kwh = _problem(course), float(course.held_kwh[-1])
        measured.append(_carried_out(problem, course.held_kwh))
        left_worth = problem.storage.end_value_per_kwh * left_kwh
        baselines["self_consumption_rule"] += self_consumption_rule(problem).cost + left_worth
        baselines["idle"] += idle(problem).cost + left_worth
        baselines["no_assets"] += _without_assets(problem)
        best += _best_cost(problem, left_kwh, time_limit_s)
    return _summed(courses, measured, baselines, best if np.isfinite(best) else None)


def _problem(course: Course) -> DispatchProblem:
    """The question that the course answers: with its first energy, and no limit that it passed itself."""
    outlook, held = course.outlook, course.held_kwh
    charge_kw, discharge_kw = _powers(course.storage, held, outlook.grid.step_hours)
    unmoved_kw = outlook.load_kw - outlook.pv_kw
    seen_kw = np.concatenate([unmoved_kw, unmoved_kw + charge_kw - discharge_kw])
    worth = max(0.0, float(outlook.import_price_per_kwh.mean()) * course.storage.discharge_efficiency)
    storage = replace(
        course.storage,
        capacity_kwh=max(course.storage.capacity_kwh, float(held.max())),
        power_kw=max(course.storage.power_kw, float(np.maximum(charge_kw, discharge_kw).max())),
        initial_kwh=float(held[0]),
        final_min_kwh=0.0,
        reserve_kwh=0.0,
        end_value_per_kwh=worth,
    )
    limits = GridLimits(
        max(course.limits.import_kw, float(seen_kw.max())), max(course.limits.export_kw, float(-seen_kw.min()))
    )
    return DispatchProblem(outlook, storage, limits, exchange=course.exchange, curtailable=False)


def _powers(storage: Storage, held_kwh: Array, step_hours: float) -> tuple[Array, Array]:
    """What must have been charged and discharged, so that the storage held this."""
    added_kwh = np.diff(held_kwh)
    charge_kw = np.maximum(added_kwh, 0.0) / (step_hours * storage.charge_efficiency)
    return charge_kw, np.maximum(-added_kwh, 0.0) * storage.discharge_efficiency / step_hours


def _carried_out(problem: DispatchProblem, held_kwh: Array) -> Schedule:
    powers = _powers(problem.storage, held_kwh, problem.outlook.grid.step_hours)
    problem = replace(problem, storage=replace(problem.storage, end_value_per_kwh=0.0))
    return account(problem, _COST, *powers, np.zeros(problem.outlook.grid.steps))


def _without_assets(problem: DispatchProblem) -> float:
    """Every kWh of the load is bought."""
    outlook = problem.outlook
    return outlook.grid.step_hours * float(outlook.import_price_per_kwh @ outlook.load_kw)


def _best_cost(problem: DispatchProblem, left_kwh: float, time_limit_s: float) -> float:
    """Of the cheapest plan that ends with what was left; infinite if none was found in time."""
    aimed = replace(problem, storage=replace(problem.storage, final_min_kwh=left_kwh, end_value_per_kwh=0.0))
    try:
        return plan_with_foresight(aimed, _COST).cost
    except InvalidInput:  # sharing between members, or prices at which burning energy pays
        try:
            return plan_dispatch(aimed, _COST, time_limit_s=time_limit_s).cost
        except Unavailable:
            return np.inf


def _summed(
    courses: Sequence[Course], measured: Sequence[Schedule], baselines: dict[str, float], best: float | None
) -> Performance:
    hours = np.array([course.outlook.grid.step_hours for course in courses])
    load_kwh = hours * [course.outlook.load_kw.sum() for course in courses]
    pv_kwh = hours * [course.outlook.pv_kw.sum() for course in courses]
    cost = sum(one.cost for one in measured)

    def energy(name: str) -> float:
        return float(hours @ [getattr(one, name).sum() for one in measured])

    return Performance(
        hours=sum(course.outlook.grid.hours for course in courses),
        load_kwh=float(load_kwh.sum()),
        pv_kwh=float(pv_kwh.sum()),
        import_kwh=energy("import_kw"),
        export_kwh=energy("export_kw"),
        charged_kwh=energy("charge_kw"),
        discharged_kwh=energy("discharge_kw"),
        self_consumption=_weighted([one.self_consumption for one in measured], pv_kwh),
        self_sufficiency=_weighted([one.self_sufficiency for one in measured], load_kwh),
        peak_kw=max(one.peak_kw for one in measured),
        cost=cost,
        emissions_kg=sum(one.emissions_kg for one in measured),
        baselines={name: _compared(name, baseline, cost, best) for name, baseline in baselines.items()},
        perfect_cost=best,
    )


def _weighted(shares: Sequence[float], energy_kwh: Array) -> float:
    """1 where there is nothing to have a share of."""
    total = float(energy_kwh.sum())
    return 1.0 if total <= ENERGY_TOLERANCE_KWH else float(np.array(shares) @ energy_kwh) / total


def _compared(name: str, baseline: float, cost: float, best: float | None) -> Compared:
    """A share of the way is told for what the storage did alone: most of what no assets cost is the sun's."""
    to_gain = 0.0 if best is None or name == "no_assets" else baseline - best
    captured = (baseline - cost) / to_gain if to_gain >= LEAST_TO_GAIN else None
    return Compared(baseline, baseline - cost, captured)
