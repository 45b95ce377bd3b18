"""What a use of the devices means: energy, temperature, wear and discomfort, and how they run by themselves.

Plain numpy, no solver; nothing here is shared with the model or with the check.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
    Storage,
)


def stored_kwh(storage: Storage, charge_kw: Array, discharge_kw: Array, step_hours: float) -> Array:
    """The energy at the end of each interval."""  # (T,)
    added_kw = charge_kw * storage.charge_efficiency - discharge_kw / storage.discharge_efficiency
    # rounding leaves -1e-13; anything larger that is clipped here fails the independent check
    soc_kwh = storage.initial_kwh + step_hours * added_kw.cumsum()
    return np.minimum(np.maximum(soc_kwh, 0.0), storage.capacity_kwh)


def use_of(device: Device, charge_kw: Array, discharge_kw: Array, step_hours: float) -> DeviceUse:
    """These powers of a device, with what follows from them."""
    use = DeviceUse(device.device_id, charge_kw, discharge_kw)
    match device:
        case Battery():
            return replace(use, soc_kwh=stored_kwh(device.storage, charge_kw, discharge_kw, step_hours))
        case ElectricVehicle():
            return replace(use, soc_kwh=_vehicle_kwh(device, charge_kw, discharge_kw, step_hours))
        case HeatPump():
            return replace(use, temperature_c=_temperature_c(device, charge_kw, step_hours))
        case _:
            return use


def _vehicle_kwh(vehicle: ElectricVehicle, charge_kw: Array, discharge_kw: Array, step_hours: float) -> Array:
    added_kwh = step_hours * (charge_kw * vehicle.charge_efficiency - discharge_kw / vehicle.discharge_efficiency)
    soc_kwh = np.full(charge_kw.size, np.nan)
    for stay in vehicle.stays:
        there = slice(stay.first, stay.end)
        soc_kwh[there] = np.clip(stay.arrival_kwh + np.cumsum(added_kwh[there]), 0.0, vehicle.capacity_kwh)
    return soc_kwh


def _temperature_c(pump: HeatPump, power_kw: Array, step_hours: float) -> Array:
    """The building follows its heat balance exactly: it decays towards the temperature that each power would hold."""
    kept, warming = pump.kept_share(step_hours), pump.warming_c_per_kw(step_hours)
    temperature = np.empty(power_kw.size)
    before = pump.initial_c
    for step in range(power_kw.size):
        heat_kw = pump.cop[step] * power_kw[step] + pump.gains_kw[step]
        before = temperature[step] = kept * before + (1 - kept) * pump.outdoor_c[step] + warming * heat_kw
    return temperature


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """What devices cost beyond the energy they take, and what they leave their users to bear."""

    cost: float = 0.0
    discomfort_c_hours: float = 0.0
    discomfort_cost: float = 0.0
    consumed_kwh: float = 0.0  # by all but batteries, less what vehicles give back


def figures_of(devices: Iterable[Device], uses: Iterable[DeviceUse], step_hours: float) -> DeviceFigures:
    """The sums over the devices."""
    cost = discomfort_c_hours = discomfort_cost = consumed_kwh = 0.0
    for device, use in zip(devices, uses, strict=True):
        moved_kwh = step_hours * float(use.charge_kw.sum() + use.discharge_kw.sum())
        match device:
            case Battery():
                assert use.soc_kwh is not None
                cost += storage_cost(device.storage, use.soc_kwh, moved_kwh)
                continue
            case ElectricVehicle():
                cost += device.wear_per_kwh * moved_kwh
            case HeatPump():
                outside = _discomfort_c_hours(device, use, step_hours)
                discomfort_c_hours += outside
                discomfort_cost += device.discomfort_per_c_hour * outside
            case _:
                pass
        consumed_kwh += step_hours * float(use.charge_kw.sum() - use.discharge_kw.sum())
    return DeviceFigures(cost, discomfort_c_hours, discomfort_cost, consumed_kwh)


def storage_cost(storage: Storage, soc_kwh: Array, moved_kwh: float) -> float:
    """Wear, less what the energy is worth that is left at the end beyond what must be."""
    left_kwh = float(soc_kwh[-1]) - storage.final_min_kwh
    return storage.wear_per_kwh * moved_kwh - storage.end_value_per_kwh * left_kwh


def _discomfort_c_hours(pump: HeatPump, use: DeviceUse, step_hours: float) -> float:
    assert use.temperature_c is not None
    too_cold, too_warm = pump.comfort_min_c - use.temperature_c, use.temperature_c - pump.comfort_max_c
    return step_hours * float(np.maximum(too_cold, 0.0).sum() + np.maximum(too_warm, 0.0).sum())


def uncontrolled(device: Device, steps: int, step_hours: float) -> DeviceUse:
    """How a device runs by itself: a battery rests, all else is served as soon as it may be."""
    power = np.zeros(steps)
    match device:
        case Battery():
            pass
        case ElectricVehicle():
            power = _charged_on_arrival(device, steps, step_hours)
        case HeatPump():
            power = _thermostat(device, step_hours)
        case ShiftableLoad():
            power = _as_soon_as_possible(device, steps, step_hours)
        case ShiftableRun():
            power[device.first : device.first + len(device.profile_kw)] = device.profile_kw
    return use_of(device, power, np.zeros(steps), step_hours)


def _charged_on_arrival(vehicle: ElectricVehicle, steps: int, step_hours: float) -> Array:
    """Full power until the departure energy is reached, the rest at no less than the minimum."""
    power = np.zeros(steps)
    for stay in vehicle.stays:
        missing_kwh = max(0.0, stay.departure_min_kwh - stay.arrival_kwh)
        for step in range(stay.first, stay.end):
            if missing_kwh <= 0:
                break
            needed_kw = missing_kwh / (vehicle.charge_efficiency * step_hours)
            power[step] = min(max(needed_kw, vehicle.minimum_power_kw), vehicle.power_kw)
            missing_kwh -= step_hours * vehicle.charge_efficiency * power[step]
    return power


def _thermostat(pump: HeatPump, step_hours: float) -> Array:
    """Just the power that reaches the lower end of the comfort band, as far as it suffices."""
    kept, warming = pump.kept_share(step_hours), pump.warming_c_per_kw(step_hours)
    power = np.zeros(pump.cop.size)
    before = pump.initial_c
    for step in range(power.size):
        unheated = kept * before + (1 - kept) * pump.outdoor_c[step] + warming * pump.gains_kw[step]
        per_kw = warming * pump.cop[step]
        if per_kw > 0:
            power[step] = np.clip((pump.comfort_min_c[step] - unheated) / per_kw, 0.0, pump.power_kw)
        before = unheated + per_kw * power[step]
    return power


def _as_soon_as_possible(load: ShiftableLoad, steps: int, step_hours: float) -> Array:
    """Full power from the start; the last portion is made no less than the minimum at the cost of the one before."""
    power = np.zeros(steps)
    left_kw = load.energy_kwh / step_hours
    for step in range(load.first, load.end):
        power[step] = min(left_kw, load.power_kw)
        left_kw -= power[step]
        if 0 < power[step] < load.minimum_power_kw and step > load.first:
            power[step - 1] -= load.minimum_power_kw - power[step]
            power[step] = load.minimum_power_kw
    return power
