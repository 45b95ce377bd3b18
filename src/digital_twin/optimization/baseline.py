"""What the site would do without a plan: the yardsticks of every saving."""

import numpy as np

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import ENERGY_TOLERANCE_KWH, account
from digital_twin.optimization.check import violations
from digital_twin.optimization.device_accounting import uncontrolled, use_of
from digital_twin.optimization.devices import Battery, DeviceUse, Storage
from digital_twin.optimization.plan import DispatchProblem, Schedule, Weights

_COST = Weights(cost=1.0)


def idle(problem: DispatchProblem) -> Schedule:
    """The storage rests and devices run by themselves; generation beyond the export limit is curtailed where it may be.

    Raises:
        Infeasible: the site breaks a limit when the storage rests.
    """
    rest = np.zeros(problem.outlook.grid.steps)
    return _checked(problem, rest, rest, _by_themselves(problem))


def self_consumption_rule(problem: DispatchProblem, reserve_kwh: float | None = None) -> Schedule:
    """Surplus charges, deficit discharges down to the reserve: what a hybrid inverter does by itself.

    The storage comes first, then one battery after the other; all other devices run by themselves. The reserve
    defaults to the plan's final energy. Energy that would be left over at the end beyond it is not charged in the
    first place (the latest first), so that rule and plan end alike, unless what is left has a worth.

    Raises:
        Infeasible: the site breaks a limit under the rule.
    """
    hours = problem.outlook.grid.step_hours
    devices = list(_by_themselves(problem))
    surplus_kw = problem.outlook.pv_kw - problem.outlook.load_kw
    surplus_kw = surplus_kw - sum((use.charge_kw for use in devices), start=np.zeros_like(surplus_kw))
    charge, discharge = _rule(problem.storage, surplus_kw, hours, reserve_kwh)
    surplus_kw = surplus_kw - charge + discharge
    for index, device in enumerate(problem.devices):
        if isinstance(device, Battery):
            powers = _rule(device.storage, surplus_kw, hours, None)
            devices[index] = use_of(device, *powers, hours)
            surplus_kw = surplus_kw - powers[0] + powers[1]
    return _checked(problem, charge, discharge, tuple(devices))


def _by_themselves(problem: DispatchProblem) -> tuple[DeviceUse, ...]:
    grid = problem.outlook.grid
    return tuple(uncontrolled(device, grid.steps, grid.step_hours) for device in problem.devices)


def _rule(storage: Storage, surplus_kw: Array, hours: float, reserve_kwh: float | None) -> tuple[Array, Array]:
    reserve = max(storage.final_min_kwh, storage.reserve_kwh) if reserve_kwh is None else reserve_kwh
    charge, discharge = np.zeros_like(surplus_kw), np.zeros_like(surplus_kw)
    soc = storage.initial_kwh
    for step, surplus in enumerate(surplus_kw):
        if surplus > 0:
            room = max(0.0, storage.capacity_kwh - soc) / (storage.charge_efficiency * hours)
            charge[step] = min(surplus, storage.power_kw, room)
        else:
            spare = max(0.0, soc - reserve) * storage.discharge_efficiency / hours
            discharge[step] = min(-surplus, storage.power_kw, spare)
        soc += hours * (charge[step] * storage.charge_efficiency - discharge[step] / storage.discharge_efficiency)
    if storage.end_value_per_kwh > 0:
        return charge, discharge
    return _without_left_over(charge, hours * storage.charge_efficiency, soc - storage.final_min_kwh), discharge


def _without_left_over(charge_kw: Array, stored_per_kw: float, left_over_kwh: float) -> Array:
    kept = charge_kw.copy()
    for step in range(kept.size - 1, -1, -1):
        if left_over_kwh <= ENERGY_TOLERANCE_KWH:
            break
        removed = min(kept[step], left_over_kwh / stored_per_kw)
        kept[step] -= removed
        left_over_kwh -= removed * stored_per_kw
    return kept


def _checked(
    problem: DispatchProblem, charge_kw: Array, discharge_kw: Array, devices: tuple[DeviceUse, ...]
) -> Schedule:
    outlook = problem.outlook
    export_kw = outlook.pv_kw - outlook.load_kw + discharge_kw - charge_kw
    for use in devices:
        export_kw = export_kw + use.discharge_kw - use.charge_kw
    beyond = np.clip(export_kw - problem.limits.export_kw, 0.0, outlook.pv_kw)
    curtailed = beyond if problem.curtailable else np.zeros_like(beyond)
    schedule = account(problem, _COST, charge_kw, discharge_kw, curtailed, devices)
    broken = violations(problem, schedule)
    if broken:
        raise Infeasible(f"without a plan the site breaks {', '.join(broken)}", limits=broken)
    return schedule
