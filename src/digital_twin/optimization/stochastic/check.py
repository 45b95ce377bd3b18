"""The independent check of what a plan under risk says of its scenarios: physics and bills recomputed."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.check import POWER_TOLERANCE_KW
from digital_twin.optimization.plan import Schedule
from digital_twin.optimization.stochastic.plan import Outcomes, StochasticProblem

_BILL_TOLERANCE = 1e-9
"""Relative: sums of the same products in another order."""


def scenario_violations(problem: StochasticProblem, schedule: Schedule, outcomes: Outcomes) -> list[str]:
    """What the outcomes break, in words; empty where every scenario is as it must be."""
    scenarios, tolerance = problem.scenarios, POWER_TOLERANCE_KW
    supply_kw = (
        outcomes.import_kw - outcomes.export_kw + scenarios.pv_kw - outcomes.curtailed_kw
        + schedule.discharge_kw - schedule.charge_kw
    )  # fmt: skip
    most_kw = scenarios.pv_kw if problem.expected.curtailable else np.zeros_like(scenarios.pv_kw)
    bills = _bills(problem, schedule, outcomes)
    differs = np.abs(bills - outcomes.cost) > _BILL_TOLERANCE * (1 + np.abs(bills).max())
    broken = {
        "the energy balance of scenarios": np.abs(supply_kw - scenarios.load_kw).max() > tolerance,
        "the generation of scenarios": (outcomes.curtailed_kw < -tolerance).any()
        or (outcomes.curtailed_kw > most_kw + tolerance).any(),
        "importing while exporting": np.minimum(outcomes.import_kw, outcomes.export_kw).max() > tolerance,
        "the bills of scenarios": bool(differs.any()),
    }
    return [name for name, is_broken in broken.items() if is_broken]


def _bills(problem: StochasticProblem, schedule: Schedule, outcomes: Outcomes) -> Array:
    expected = problem.expected
    hours, limits, peak, storage = expected.outlook.grid.step_hours, expected.limits, expected.peak, expected.storage
    imported, exported = hours * outcomes.import_kw, hours * outcomes.export_kw
    bought = np.einsum("st,st->s", imported, problem.import_price_per_kwh)
    sold = np.einsum("st,st->s", exported, problem.export_price_per_kwh)
    beyond = np.clip(imported - hours * limits.import_kw, 0, None) + np.clip(
        exported - hours * limits.export_kw, 0, None
    )
    bills = bought - sold + problem.excess_price_per_kwh * beyond.sum(axis=1)
    bills += hours * storage.wear_per_kwh * float(schedule.charge_kw.sum() + schedule.discharge_kw.sum())
    bills -= storage.end_value_per_kwh * float(schedule.soc_kwh[-1] - storage.final_min_kwh)
    if peak is not None:
        bills += peak.per_kw * np.clip(outcomes.import_kw.max(axis=1) - peak.so_far_kw, 0, None)
    return bills
