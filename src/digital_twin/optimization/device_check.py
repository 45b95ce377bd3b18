"""The independent check of what devices do: their physics and limits recomputed in numpy, step by step."""

from math import exp

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.devices import (
    Battery,
    Device,
    DeviceUse,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    ShiftableRun,
)

TEMPERATURE_TOLERANCE_C = 1e-4
LEAST_LOSS = 1e-9
"""Of the difference to the outside in an interval; less is nothing against the tolerance."""


def device_violations(
    device: Device, use: DeviceUse, *, step_hours: float, power_tolerance_kw: float, energy_tolerance_kwh: float
) -> list[str]:
    """What the use of a device breaks, in words that name it."""
    charge, discharge = use.charge_kw, use.discharge_kw
    broken = {
        "power below 0": bool((charge < -power_tolerance_kw).any() or (discharge < -power_tolerance_kw).any()),
        "charging while discharging": bool(np.minimum(charge, discharge).max() > power_tolerance_kw),
    }
    match device:
        case Battery():
            broken |= _battery(device, use, step_hours, power_tolerance_kw, energy_tolerance_kwh)
        case ElectricVehicle():
            broken |= _vehicle(device, use, step_hours, power_tolerance_kw, energy_tolerance_kwh)
        case HeatPump():
            broken |= _heat_pump(device, use, step_hours, power_tolerance_kw)
        case ShiftableLoad():
            broken |= _load(device, charge, step_hours, power_tolerance_kw, energy_tolerance_kwh)
        case ShiftableRun():
            broken["the profile"] = not _is_one_run(device, charge, power_tolerance_kw)
    if not isinstance(device, Battery | ElectricVehicle):
        broken["giving back"] = bool(discharge.max() > power_tolerance_kw)
    return [f"{name} of {device.device_id}" for name, is_broken in broken.items() if is_broken]


def _battery(
    battery: Battery, use: DeviceUse, step_hours: float, power_tolerance_kw: float, energy_tolerance_kwh: float
) -> dict[str, bool]:
    storage, soc_kwh = battery.storage, use.soc_kwh
    if soc_kwh is None:
        return {"the state of charge": True}
    is_wrong = is_outside = False
    before, could_have = storage.initial_kwh, storage.initial_kwh
    for step, after in enumerate(soc_kwh):
        added_kw = (
            use.charge_kw[step] * storage.charge_efficiency - use.discharge_kw[step] / storage.discharge_efficiency
        )
        is_wrong |= not abs(after - before - step_hours * added_kw) <= energy_tolerance_kwh
        could_have += step_hours * storage.charge_efficiency * storage.power_kw
        least = min(storage.reserve_kwh, could_have) - energy_tolerance_kwh
        is_outside |= not least <= after <= storage.capacity_kwh + energy_tolerance_kwh
        before = after
    return {
        "the state of charge": is_wrong,
        "the capacity or the reserve": is_outside,
        "the final energy": bool(soc_kwh[-1] < storage.final_min_kwh - energy_tolerance_kwh),
        "the power": max(use.charge_kw.max(), use.discharge_kw.max()) > storage.power_kw + power_tolerance_kw,
    }


def _vehicle(
    vehicle: ElectricVehicle, use: DeviceUse, step_hours: float, power_tolerance_kw: float, energy_tolerance_kwh: float
) -> dict[str, bool]:
    if use.soc_kwh is None:
        return {"the state of charge": True}
    away = np.ones(use.charge_kw.size, dtype=bool)
    is_wrong = is_outside = is_short = False
    for stay in vehicle.stays:
        energy = stay.arrival_kwh
        for step in range(stay.first, stay.end):
            away[step] = False
            charged, given = use.charge_kw[step], use.discharge_kw[step]
            energy += step_hours * (charged * vehicle.charge_efficiency - given / vehicle.discharge_efficiency)
            is_wrong |= not abs(use.soc_kwh[step] - energy) <= energy_tolerance_kwh
            is_outside |= not -energy_tolerance_kwh <= energy <= vehicle.capacity_kwh + energy_tolerance_kwh
        is_short |= energy < stay.departure_min_kwh - energy_tolerance_kwh
    powers = np.concatenate([use.charge_kw, use.discharge_kw])
    return {
        "the state of charge": is_wrong,
        "the capacity": is_outside,
        "the departure energy": is_short,
        "power while away": bool((use.charge_kw + use.discharge_kw)[away].max(initial=0.0) > power_tolerance_kw),
        "the power": bool(powers.max() > vehicle.power_kw + power_tolerance_kw),
        "the minimum power": _is_between(powers, vehicle.minimum_power_kw, power_tolerance_kw),
        "giving back": not vehicle.vehicle_to_grid and bool(use.discharge_kw.max() > power_tolerance_kw),
    }


def _heat_pump(pump: HeatPump, use: DeviceUse, step_hours: float, power_tolerance_kw: float) -> dict[str, bool]:
    """The temperature falls or rises exponentially towards where heat and losses balance; linearly without losses."""
    if use.temperature_c is None:
        return {"the temperature": True}
    is_wrong = False
    before = pump.initial_c
    for step, after in enumerate(use.temperature_c):
        heat_kw = float(pump.cop[step] * use.charge_kw[step] + pump.gains_kw[step])
        lost = step_hours * pump.heat_loss_kw_per_c / pump.heat_capacity_kwh_per_c
        if lost > LEAST_LOSS:
            balanced = pump.outdoor_c[step] + heat_kw / pump.heat_loss_kw_per_c
            expected = balanced + (before - balanced) * exp(-lost)
        else:
            expected = before + step_hours * heat_kw / pump.heat_capacity_kwh_per_c
        is_wrong |= not abs(after - expected) <= TEMPERATURE_TOLERANCE_C
        before = after
    return {
        "the temperature": is_wrong,
        "the power": bool(use.charge_kw.max() > pump.power_kw + power_tolerance_kw),
    }


def _load(
    load: ShiftableLoad, power_kw: Array, step_hours: float, power_tolerance_kw: float, energy_tolerance_kwh: float
) -> dict[str, bool]:
    outside = np.concatenate([power_kw[: load.first], power_kw[load.end :]])
    return {
        "the energy": abs(step_hours * float(power_kw.sum()) - load.energy_kwh) > energy_tolerance_kwh,
        "the window": bool(outside.max(initial=0.0) > power_tolerance_kw),
        "the power": bool(power_kw.max() > load.power_kw + power_tolerance_kw),
        "the minimum power": _is_between(power_kw, load.minimum_power_kw, power_tolerance_kw),
    }


def _is_between(powers: Array, minimum_kw: float, tolerance_kw: float) -> bool:
    return bool(((powers > tolerance_kw) & (powers < minimum_kw - tolerance_kw)).any())


def _is_one_run(run: ShiftableRun, power_kw: Array, tolerance_kw: float) -> bool:
    profile = np.array(run.profile_kw)
    for start in range(run.first, run.end - profile.size + 1):
        expected = np.zeros(power_kw.size)
        expected[start : start + profile.size] = profile
        if np.abs(power_kw - expected).max() <= tolerance_kw:
            return True
    return False
