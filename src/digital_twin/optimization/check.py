"""The independent check that every plan passes before anyone sees it: physics and limits recomputed in numpy."""

import numpy as np

from digital_twin.optimization.plan import DispatchProblem, Schedule

POWER_TOLERANCE_KW = 1e-5
"""Ten milliwatts; HiGHS keeps constraints to 1e-7, which powers of thousands of kW blur to 1e-6."""


def violations(problem: DispatchProblem, schedule: Schedule) -> list[str]:
    """What the plan breaks, in words; empty for a plan that may be carried out."""
    outlook, storage, limits = problem.outlook, problem.storage, problem.limits
    hours, power, tolerance = outlook.grid.step_hours, storage.power_kw, POWER_TOLERANCE_KW
    energy_tolerance = tolerance * max(1.0, hours * outlook.grid.steps)
    before_kwh = np.concatenate([[storage.initial_kwh], schedule.soc_kwh[:-1]])
    stored_kwh = hours * (
        schedule.charge_kw * storage.charge_efficiency - schedule.discharge_kw / storage.discharge_efficiency
    )
    supply_kw = (
        schedule.import_kw - schedule.export_kw + outlook.pv_kw - schedule.curtailed_kw
        + schedule.discharge_kw - schedule.charge_kw
    )  # fmt: skip
    net_kw = schedule.import_kw - schedule.export_kw
    broken = {
        "the energy balance": np.abs(supply_kw - outlook.load_kw).max() > tolerance,
        "the state of charge": np.abs(schedule.soc_kwh - before_kwh - stored_kwh).max() > energy_tolerance,
        "the storage capacity": _outside(schedule.soc_kwh, storage.capacity_kwh, energy_tolerance),
        "the storage power": _outside(schedule.charge_kw, power, tolerance)
        or _outside(schedule.discharge_kw, power, tolerance),
        "the final energy": schedule.soc_kwh[-1] < storage.final_min_kwh - energy_tolerance,
        "the available generation": _outside(schedule.curtailed_kw, outlook.pv_kw, tolerance),
        "grid_import_limit_kw": net_kw.max() > limits.import_kw + tolerance,
        "grid_export_limit_kw": (-net_kw).max() > limits.export_kw + tolerance,
        "charging while discharging": np.minimum(schedule.charge_kw, schedule.discharge_kw).max() > tolerance,
        "curtailment where there is none": not problem.curtailable and schedule.curtailed_kw.max() > tolerance,
        "finite numbers": not np.isfinite(schedule.objective_value),
    }
    return [name for name, is_broken in broken.items() if is_broken]


def _outside(values: np.ndarray, high: np.ndarray | float, tolerance: float) -> bool:  # type: ignore[type-arg]
    return bool((values < -tolerance).any() or (values > high + tolerance).any())
