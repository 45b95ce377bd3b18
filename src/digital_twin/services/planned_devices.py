"""The devices of a dispatch as a caller names them, with times of the clock, put on the grid of the plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.devices import (
    Battery,
    Device,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    ShiftableRun,
    Stay,
    air_source_cop,
)
from digital_twin.services.ports import Transaction
from digital_twin.services.prices import spread
from digital_twin.services.provenance import Provenance
from digital_twin.services.state_inputs import temperature_of

LEAST_KNOWN_TEMPERATURES = 0.9
"""Outdoor temperatures with more gaps than a tenth do not count."""


@dataclass(frozen=True, slots=True)
class StayRequest:
    """When a vehicle is there, from now on unless `arrival` says otherwise, and what it needs when it leaves."""

    departure: datetime
    departure_soc_min_kwh: float
    arrival: datetime | None = None
    arrival_soc_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class VehicleRequest:
    """A vehicle whose stays are still times of the clock; it is a member's in plans at the level of members."""

    vehicle: ElectricVehicle
    stays: tuple[StayRequest, ...]
    member_id: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeatPumpRequest:
    """A heat pump; the outdoor temperature comes from readings and feeds unless it is given."""

    device_id: str
    power_kw: float
    heat_capacity_kwh_per_c: float
    heat_loss_kw_per_c: float
    initial_c: float
    comfort_min_c: Array | float
    comfort_max_c: Array | float
    nominal_cop: float
    gains_kw: Array | float
    outdoor_c: Array | float | None
    discomfort_per_c_hour: float


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A load that can wait: energy that may come in portions, or a profile that runs once."""

    device_id: str
    earliest_start: datetime | None
    latest_end: datetime | None
    energy_kwh: float = 0.0
    power_kw: float = 0.0
    minimum_power_kw: float = 0.0
    profile_kw: tuple[float, ...] = ()


DeviceRequest = Battery | VehicleRequest | HeatPumpRequest | LoadRequest


async def devices_on(
    tx: Transaction, grid: TimeGrid, requests: Sequence[DeviceRequest], provenance: Provenance
) -> tuple[Device, ...]:
    """The devices on the grid of the plan.

    Raises:
        InvalidInput: a window that holds no whole interval, or an array that does not fit the grid.
        InsufficientData: a heat pump without outdoor temperatures.
    """
    return tuple([await _device_on(tx, grid, request, provenance) for request in requests])


async def _device_on(tx: Transaction, grid: TimeGrid, request: DeviceRequest, provenance: Provenance) -> Device:
    match request:
        case Battery():
            return request
        case VehicleRequest():
            return vehicle_on(grid, request, provenance)
        case HeatPumpRequest():
            return await _heat_pump_on(tx, grid, request, provenance)
        case LoadRequest():
            return _load_on(grid, request)


def vehicle_on(grid: TimeGrid, request: VehicleRequest, provenance: Provenance) -> ElectricVehicle:
    """The vehicle with its stays on the grid. Raises InvalidInput for a stay that holds no whole interval."""
    vehicle = request.vehicle
    stays: list[Stay] = []
    for stay in request.stays:
        if stay.departure <= grid.start or (stay.arrival is not None and stay.arrival >= grid.end):
            continue
        if stay.arrival_soc_kwh is None:
            provenance.assume(
                f"what is stored in {vehicle.device_id} is unknown: it counts as empty, so that it suffices"
            )
        first, end = _window(grid, vehicle.device_id, stay.arrival, stay.departure)
        stays.append(Stay(first, end, stay.arrival_soc_kwh or 0.0, _needed_kwh(grid, vehicle, stay)))
    return replace(vehicle, stays=tuple(stays))


def _needed_kwh(grid: TimeGrid, vehicle: ElectricVehicle, stay: StayRequest) -> float:
    """What must be stored by departure, or by the end of the horizon so that full power can still do the rest."""
    hours_after = max(0.0, (stay.departure - grid.end) / timedelta(hours=1))
    return max(0.0, stay.departure_soc_min_kwh - hours_after * vehicle.charge_efficiency * vehicle.power_kw)


async def _heat_pump_on(tx: Transaction, grid: TimeGrid, request: HeatPumpRequest, provenance: Provenance) -> HeatPump:
    if request.outdoor_c is None:
        outdoor_c = await _outdoor_c(tx, grid, provenance)
    else:
        outdoor_c = spread(request.outdoor_c, grid, "outdoor_c")
    return HeatPump(
        device_id=request.device_id,
        power_kw=request.power_kw,
        heat_capacity_kwh_per_c=request.heat_capacity_kwh_per_c,
        heat_loss_kw_per_c=request.heat_loss_kw_per_c,
        initial_c=request.initial_c,
        cop=air_source_cop(request.nominal_cop, outdoor_c),
        outdoor_c=outdoor_c,
        gains_kw=spread(request.gains_kw, grid, "gains_kw"),
        comfort_min_c=spread(request.comfort_min_c, grid, "comfort_min_c"),
        comfort_max_c=spread(request.comfort_max_c, grid, "comfort_max_c"),
        discomfort_per_c_hour=request.discomfort_per_c_hour,
    )


async def _outdoor_c(tx: Transaction, grid: TimeGrid, provenance: Provenance) -> Array:
    found = await temperature_of(tx, grid, provenance.as_of, provenance)
    known = np.zeros(grid.steps, dtype=bool) if found is None else np.isfinite(found)
    if found is None or known.mean() < LEAST_KNOWN_TEMPERATURES:
        raise InsufficientData(
            "a heat pump needs the outdoor temperature of the horizon; connect a weather feed, upload temperature_c "
            "or give outdoor_c",
            missing=int((~known).sum()),
        )
    steps = np.arange(grid.steps)
    return np.interp(steps, steps[known], found[known])


def _load_on(grid: TimeGrid, request: LoadRequest) -> ShiftableLoad | ShiftableRun:
    first, end = _window(grid, request.device_id, request.earliest_start, request.latest_end)
    if request.profile_kw:
        return ShiftableRun(request.device_id, request.profile_kw, first, end)
    return ShiftableLoad(request.device_id, request.energy_kwh, request.power_kw, first, end, request.minimum_power_kw)


def _window(grid: TimeGrid, device_id: str, begin: datetime | None, until: datetime | None) -> tuple[int, int]:
    """The whole intervals within, cut to the horizon."""
    step = timedelta(minutes=grid.step_minutes)
    first = 0 if begin is None else max(0, -((grid.start - begin) // step))
    end = grid.steps if until is None else min(grid.steps, (until - grid.start) // step)
    if first >= end:
        raise InvalidInput(
            f"the window of {device_id!r} holds no whole interval of {grid.step_minutes} minutes of the horizon",
            field="devices",
        )
    return first, end
