"""The limits that a plan may fail on, as bounds of the model's variables."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.device_blocks import prefix_of
from digital_twin.optimization.devices import Battery, ElectricVehicle, ShiftableLoad
from digital_twin.optimization.plan import DispatchProblem


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A bound of variables in some intervals that could be relaxed."""

    name: str
    unit: str
    value: float
    variables: tuple[str, ...]
    where: Array  # (T,) 1 where it holds
    is_upper: bool = True


def relaxable_limits(problem: DispatchProblem) -> list[Limit]:
    """What somebody could agree to; a limit that has a price is none."""
    steps = problem.outlook.grid.steps
    always, end = np.ones(steps), _at([steps - 1], steps)
    found: list[Limit] = []
    if problem.limits.beyond_per_kwh is None:
        found.append(Limit("grid_import_limit_kw", "kW", problem.limits.import_kw, ("import_kw",), always))
        found.append(Limit("grid_export_limit_kw", "kW", problem.limits.export_kw, ("export_kw",), always))
    found.append(Limit("final_soc_min_kwh", "kWh", problem.storage.final_min_kwh, ("soc_kwh",), end, is_upper=False))
    for index, device in enumerate(problem.devices):
        name, prefix = f"devices.{device.device_id}.", prefix_of(index)
        stored = (f"{prefix}soc_kwh",)
        match device:
            case Battery():
                final_kwh = device.storage.final_min_kwh
                found.append(Limit(f"{name}final_soc_min_kwh", "kWh", final_kwh, stored, end, is_upper=False))
            case ElectricVehicle():
                departures = _at([stay.end - 1 for stay in device.stays], steps)
                most_kwh = max((stay.departure_min_kwh for stay in device.stays), default=0.0)
                limit = f"{name}departure_soc_min_kwh"
                found.append(Limit(limit, "kWh", most_kwh, stored, departures, is_upper=False))
            case ShiftableLoad():
                window = _at(range(device.first, device.end), steps)
                found.append(Limit(f"{name}power_kw", "kW", device.power_kw, (f"{prefix}charge_kw",), window))
            case _:
                pass
    return [limit for limit in found if limit.where.any()]


def equipment_limits(problem: DispatchProblem) -> list[Limit]:
    """What only other equipment would change: it may be part of a conflict, but nobody is asked to relax it."""
    store, always = problem.storage, np.ones(problem.outlook.grid.steps)
    if not store.capacity_kwh or not store.power_kw:
        return []
    return [
        Limit("max_storage_power_kw", "kW", store.power_kw, ("charge_kw", "discharge_kw"), always),
        Limit("total_storage_capacity_kwh", "kWh", store.capacity_kwh, ("soc_kwh",), always),
    ]


def _at(steps: Iterable[int], size: int) -> Array:
    where = np.zeros(size)
    where[list(steps)] = 1.0
    return where
