"""The independent check that every plan passes before anyone sees it: physics and limits recomputed in numpy."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.device_check import device_violations
from digital_twin.optimization.devices import Storage
from digital_twin.optimization.plan import DispatchProblem, Schedule

POWER_TOLERANCE_KW = 1e-5
"""Ten milliwatts; HiGHS keeps constraints to 1e-7, which powers of thousands of kW blur to 1e-6."""


def violations(problem: DispatchProblem, schedule: Schedule) -> list[str]:
    """What the plan breaks, in words; empty for a plan that may be carried out."""
    outlook = problem.outlook
    hours, tolerance = outlook.grid.step_hours, POWER_TOLERANCE_KW
    energy_tolerance = tolerance * max(1.0, hours * outlook.grid.steps)
    supply_kw = (
        schedule.import_kw - schedule.export_kw + outlook.pv_kw - schedule.curtailed_kw
        + schedule.discharge_kw - schedule.charge_kw
    )  # fmt: skip
    for use in schedule.devices:
        supply_kw = supply_kw + use.discharge_kw - use.charge_kw
    net_kw = schedule.import_kw - schedule.export_kw
    is_hard = problem.limits.beyond_per_kwh is None
    broken = {
        "the energy balance": np.abs(supply_kw - outlook.load_kw).max() > tolerance,
        "the available generation": _outside(schedule.curtailed_kw, outlook.pv_kw, tolerance),
        "grid_import_limit_kw": is_hard and net_kw.max() > problem.limits.import_kw + tolerance,
        "grid_export_limit_kw": is_hard and (-net_kw).max() > problem.limits.export_kw + tolerance,
        "curtailment where there is none": not problem.curtailable and schedule.curtailed_kw.max() > tolerance,
        "finite numbers": not np.isfinite(schedule.objective_value),
        "the devices": [use.device_id for use in schedule.devices] != [one.device_id for one in problem.devices],
    } | _storage(problem, schedule, hours, tolerance, energy_tolerance)
    found = [name for name, is_broken in broken.items() if is_broken]
    for device, use in zip(problem.devices, schedule.devices, strict=False):
        found += device_violations(
            device, use, step_hours=hours, power_tolerance_kw=tolerance, energy_tolerance_kwh=energy_tolerance
        )
    return found


def _storage(
    problem: DispatchProblem, schedule: Schedule, hours: float, tolerance: float, energy_tolerance: float
) -> dict[str, bool | np.bool_]:
    storage = problem.storage
    before_kwh = np.concatenate([[storage.initial_kwh], schedule.soc_kwh[:-1]])
    stored_kwh = hours * (
        schedule.charge_kw * storage.charge_efficiency - schedule.discharge_kw / storage.discharge_efficiency
    )
    return {
        "the state of charge": np.abs(schedule.soc_kwh - before_kwh - stored_kwh).max() > energy_tolerance,
        "the storage capacity": _outside(schedule.soc_kwh, storage.capacity_kwh, energy_tolerance),
        "the storage power": _outside(schedule.charge_kw, storage.power_kw, tolerance)
        or _outside(schedule.discharge_kw, storage.power_kw, tolerance),
        "the reserve": storage.reserve_kwh > 0
        and _is_below_reserve(storage, schedule.soc_kwh, hours, energy_tolerance),
        "the final energy": schedule.soc_kwh[-1] < storage.final_min_kwh - energy_tolerance,
        "charging while discharging": np.minimum(schedule.charge_kw, schedule.discharge_kw).max() > tolerance,
    }


def _is_below_reserve(storage: Storage, soc_kwh: Array, hours: float, energy_tolerance: float) -> bool:
    """Where it could have been kept: a storage that begins below it has to be charged first."""
    most_kwh = storage.power_kw * storage.charge_efficiency * hours
    could_have_kwh = storage.initial_kwh + most_kwh * (1 + np.arange(soc_kwh.size))
    return bool((soc_kwh < np.minimum(storage.reserve_kwh, could_have_kwh) - energy_tolerance).any())


def _outside(values: Array, high: Array | float, tolerance: float) -> bool:
    return bool(values.min() < -tolerance or (values - high).max() > tolerance)
