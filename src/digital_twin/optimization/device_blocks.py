"""The devices of the dispatch model in CVXPY: one function per kind, with its numbers and its prices beside it.

The variables of device 0 are called `device_0.charge_kw` and so on. Efficiencies, thermal properties and profiles are
in the matrix; windows, stays and energies are bounds and right-hand sides. How far a kW warms follows the weather: it
is in the matrix as a parameter.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.devices import (
    Battery,
    Device,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    ShiftableRun,
    Storage,
)
from digital_twin.optimization.model import Model, Numbers


@dataclass(frozen=True, slots=True)
class StorageShape:
    """Of a battery, or of a vehicle that comes and goes."""

    charge_efficiency: float
    discharge_efficiency: float
    comes_and_goes: bool = False


@dataclass(frozen=True, slots=True)
class HeatShape:
    """What is left of a temperature difference after an interval."""

    kept_share: float


@dataclass(frozen=True, slots=True)
class LoadShape:
    """Of a load that may come in any portions."""


@dataclass(frozen=True, slots=True)
class RunShape:
    """Of a load that runs its profile once."""

    profile_kw: tuple[float, ...]


DeviceShape = StorageShape | HeatShape | LoadShape | RunShape


def prefix_of(index: int) -> str:
    """What the names of a device's variables begin with."""
    return f"device_{index}."


def device_shape(device: Device, step_hours: float) -> DeviceShape:
    """What of a device stands in the matrix."""
    match device:
        case Battery():
            return StorageShape(device.storage.charge_efficiency, device.storage.discharge_efficiency)
        case ElectricVehicle():
            return StorageShape(device.charge_efficiency, device.discharge_efficiency, comes_and_goes=True)
        case HeatPump():
            return HeatShape(device.kept_share(step_hours))
        case ShiftableLoad():
            return LoadShape()
        case ShiftableRun():
            return RunShape(device.profile_kw)


def add_device(model: Model, index: int, shape: DeviceShape) -> None:
    """The variables and physics of a device, and what it takes and gives."""
    prefix = prefix_of(index)
    match shape:
        case StorageShape():
            storage(model, prefix, shape)
        case HeatShape():
            _heat_pump(model, prefix, shape)
        case LoadShape():
            _load(model, prefix)
        case RunShape():
            _run(model, prefix, shape)


def storage(model: Model, prefix: str, shape: StorageShape) -> None:
    """soc' = soc + h (eta_c charge - discharge / eta_d) + arriving - leaving; power on the AC side."""
    steps, hours = model.steps, model.step_hours
    charge, discharge = model.variable(f"{prefix}charge_kw", steps), model.variable(f"{prefix}discharge_kw", steps)
    soc = model.variable(f"{prefix}soc_kwh", steps)
    added = hours * (shape.charge_efficiency * charge - (1 / shape.discharge_efficiency) * discharge)
    if shape.comes_and_goes:
        added = added - model.variable(f"{prefix}leaving_kwh", steps)
        arriving = model.parameter(f"{prefix}arriving_kwh", steps)
        model.equate(soc - (_shifted(steps) @ soc) - added, arriving)
    else:
        model.equate(soc[:1] - added[:1], model.parameter(f"{prefix}initial_kwh", 1))
        if steps > 1:
            model.constraints.append(soc[1:] - soc[:-1] - added[1:] == 0)
    model.connect(charge, discharge)


def _heat_pump(model: Model, prefix: str, shape: HeatShape) -> None:
    """T' = k T + (1 - k) T_out + w (COP P + gains), exact for powers that are constant in an interval."""
    steps = model.steps
    power = model.variable(f"{prefix}charge_kw", steps)
    temperature = model.variable(f"{prefix}within_c", steps) + (
        model.variable(f"{prefix}too_warm_c", steps) - model.variable(f"{prefix}too_cold_c", steps)
    )
    drift = model.parameter(f"{prefix}drift_c", steps)
    kept = shape.kept_share * _shifted(steps)
    warming = cp.multiply(model.parameter(f"{prefix}warming_c_per_kw", steps), power)
    model.equate(temperature - kept @ temperature - warming, drift)
    model.connect(power)


def _load(model: Model, prefix: str) -> None:
    power = model.variable(f"{prefix}charge_kw", model.steps)
    model.equate(model.parameter(f"{prefix}energy_kwh", 1), model.step_hours * cp.sum(power))
    model.connect(power)


def _run(model: Model, prefix: str, shape: RunShape) -> None:
    start = model.variable(f"{prefix}start", model.steps)
    model.equate(model.parameter(f"{prefix}runs", 1), cp.sum(start))
    model.connect(run_powers(shape.profile_kw, model.steps) @ start)


def run_powers(profile_kw: tuple[float, ...], steps: int) -> sp.csr_array:
    """The powers of a run in the rows, for each interval that it may start in."""  # (T, T)
    powers = sp.csr_array((steps, steps))
    for offset, power in enumerate(profile_kw[:steps]):
        powers = powers + power * sp.eye_array(steps, k=-offset)
    return sp.csr_array(powers)


def _shifted(steps: int) -> sp.csr_array:
    """Takes each interval to the one before it, and the first to 0."""
    return sp.csr_array(sp.eye_array(steps, k=-1))


def storage_numbers(store: Storage, prefix: str, steps: int, step_hours: float) -> Numbers:
    """Bounds and the first energy of a battery."""
    ones = np.ones(steps)
    return Numbers(
        {f"{prefix}initial_kwh": np.array([store.initial_kwh])},
        {f"{prefix}soc_kwh": store.least_kwh(steps, step_hours)},
        {
            f"{prefix}charge_kw": store.power_kw * ones,
            f"{prefix}discharge_kw": store.power_kw * ones,
            f"{prefix}soc_kwh": store.capacity_kwh * ones,
        },
    )


def device_numbers(index: int, device: Device, steps: int, step_hours: float) -> Numbers:
    """Bounds and right-hand sides of a device."""
    prefix = prefix_of(index)
    match device:
        case Battery():
            return storage_numbers(device.storage, prefix, steps, step_hours)
        case ElectricVehicle():
            return _vehicle_numbers(device, prefix, steps)
        case HeatPump():
            return _heat_pump_numbers(device, prefix, step_hours)
        case ShiftableLoad():
            return Numbers(
                {f"{prefix}energy_kwh": np.array([device.energy_kwh])},
                {},
                {f"{prefix}charge_kw": device.power_kw * _within(device.first, device.end, steps)},
            )
        case ShiftableRun():
            last_start = device.end - len(device.profile_kw) + 1
            return Numbers(
                {f"{prefix}runs": np.ones(1)}, {}, {f"{prefix}start": _within(device.first, last_start, steps)}
            )


def _vehicle_numbers(vehicle: ElectricVehicle, prefix: str, steps: int) -> Numbers:
    present, arriving, leaving, least = (np.zeros(steps) for _ in range(4))
    for stay in vehicle.stays:
        present[stay.first : stay.end] = 1.0
        arriving[stay.first] = stay.arrival_kwh
        least[stay.end - 1] = stay.departure_min_kwh
        if stay.end < steps:
            leaving[stay.end] = vehicle.capacity_kwh
    return Numbers(
        {f"{prefix}arriving_kwh": arriving},
        {f"{prefix}soc_kwh": least},
        {
            f"{prefix}charge_kw": vehicle.power_kw * present,
            f"{prefix}discharge_kw": vehicle.power_kw * present * vehicle.vehicle_to_grid,
            f"{prefix}soc_kwh": vehicle.capacity_kwh * present,
            f"{prefix}leaving_kwh": leaving,
        },
    )


def _heat_pump_numbers(pump: HeatPump, prefix: str, step_hours: float) -> Numbers:
    kept, warming = pump.kept_share(step_hours), pump.warming_c_per_kw(step_hours)
    per_kw = warming * pump.cop
    drift = (1 - kept) * pump.outdoor_c + warming * pump.gains_kw
    drift[0] += kept * pump.initial_c
    coldest, warmest = (_course(kept, drift + per_kw * power) for power in (0.0, pump.power_kw))
    return Numbers(
        {f"{prefix}drift_c": drift, f"{prefix}warming_c_per_kw": per_kw},
        {f"{prefix}within_c": pump.comfort_min_c},
        {
            f"{prefix}charge_kw": np.full(pump.cop.size, pump.power_kw),
            f"{prefix}within_c": pump.comfort_max_c,
            f"{prefix}too_cold_c": np.maximum(pump.comfort_min_c - coldest, 0.0),
            f"{prefix}too_warm_c": np.maximum(warmest - pump.comfort_max_c, 0.0),
        },
    )


def _course(kept: float, added: Array) -> Array:
    """x' = k x + a, from 0."""
    course = np.empty_like(added)
    value = 0.0
    for step, change in enumerate(added):
        value = course[step] = kept * value + change
    return course


def _within(first: int, end: int, steps: int) -> Array:
    return np.where((np.arange(steps) >= first) & (np.arange(steps) < end), 1.0, 0.0)


def device_prices(
    device: Device, prefix: str, taking: Array, giving: Array, *, cost: float, step_hours: float
) -> dict[str, Array]:
    """What the variables of a device cost.

    Args:
        taking: what a kW taken in an interval costs where it is a register of its own.
        giving: the same of a kW given back.
        cost: the weight of money.
    """
    steps = taking.size
    match device:
        case Battery():
            return storage_prices(device.storage, prefix, taking, giving, cost=cost, step_hours=step_hours)
        case ElectricVehicle():
            wear = step_hours * cost * device.wear_per_kwh
            return {f"{prefix}charge_kw": taking + wear, f"{prefix}discharge_kw": giving + wear}
        case HeatPump():
            discomfort = np.full(steps, step_hours * device.discomfort_per_c_hour)
            return {f"{prefix}charge_kw": taking, f"{prefix}too_cold_c": discomfort, f"{prefix}too_warm_c": discomfort}
        case ShiftableLoad():
            return {f"{prefix}charge_kw": taking}
        case ShiftableRun():
            return {f"{prefix}start": run_powers(device.profile_kw, steps).T @ taking}


def storage_prices(
    store: Storage, prefix: str, taking: Array, giving: Array, *, cost: float, step_hours: float
) -> dict[str, Array]:
    """The same of a battery: wear, and less what is left at the end."""
    wear = step_hours * cost * store.wear_per_kwh
    end_value = np.zeros(taking.size)
    end_value[-1] = -cost * store.end_value_per_kwh
    return {f"{prefix}charge_kw": taking + wear, f"{prefix}discharge_kw": giving + wear, f"{prefix}soc_kwh": end_value}


def device_powers(index: int, device: Device, values: dict[str, Array]) -> tuple[Array, Array]:
    """What a device takes and gives in a solution."""
    prefix = prefix_of(index)
    if isinstance(device, ShiftableRun):
        start = values[f"{prefix}start"]
        return run_powers(device.profile_kw, start.size) @ start, np.zeros(start.size)
    taken = np.clip(values[f"{prefix}charge_kw"], 0.0, None)
    given = values.get(f"{prefix}discharge_kw")
    return taken, np.zeros(taken.size) if given is None else np.clip(given, 0.0, None)
