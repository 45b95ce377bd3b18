"""Members' registered batteries and the vehicles of a request, as a fleet's storages and fuses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.assets import Asset, Battery, Fuse, Photovoltaics
from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.optimization.devices import ElectricVehicle
from digital_twin.optimization.fleet.plan import FleetStorages
from digital_twin.services.history import believed_readings
from digital_twin.services.planned_devices import VehicleRequest, vehicle_on
from digital_twin.services.ports import Transaction
from digital_twin.services.provenance import Provenance

FRESH = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class PlannedStorages:
    """What is registered, what the request adds, and what holds for all batteries."""

    assets: Sequence[Asset]
    vehicles: Sequence[VehicleRequest]
    wear_per_kwh: float = 0.0
    end_value_per_kwh: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NamedStorages:
    """Storages, and what they are called."""

    storages: FleetStorages
    names: tuple[str, ...]  # (B,)
    vehicles: np.ndarray  # (B,) which of them are vehicles


@dataclass(frozen=True, slots=True)
class _Row:
    """One storage's numbers; series are (T,)."""

    member: int
    name: str
    charge_max_kw: Array
    discharge_max_kw: Array
    lowest_kwh: Array
    highest_kwh: Array
    driven_kwh: Array
    initial_kwh: float
    charge_efficiency: float
    discharge_efficiency: float
    wear_per_kwh: float
    end_value_per_kwh: float


async def storages_of(
    tx: Transaction,
    grid: TimeGrid,
    place: Mapping[str | None, int],
    wanted: PlannedStorages,
    provenance: Provenance,
) -> NamedStorages:
    """One row for each battery of a member or of the community itself, and for each vehicle.

    Args:
        place: the row of each member, and of the community itself as None.

    Raises:
        InsufficientData: there is neither a battery nor a vehicle.
        InvalidInput: a vehicle names no member, or has the name of another storage.
    """
    batteries = [one for one in wanted.assets if isinstance(one.device, Battery) and one.member_id in place]
    known = await _states_of_charge(tx, batteries, provenance.as_of)
    if len(known) < len(batteries):
        provenance.assume(
            f"{len(batteries) - len(known)} of {len(batteries)} batteries are half full until storage_soc_kwh readings "
            "of the last 2 hours tell"
        )
    rows = [_battery(grid, place[one.member_id], one, known.get(one.asset_id), wanted) for one in batteries]
    rows += [_vehicle(grid, place, one, provenance) for one in wanted.vehicles]
    if not rows:
        raise InsufficientData(
            "no member has a battery or a vehicle to plan; register batteries with POST .../assets, give vehicles as "
            "devices, or plan at the level of the community",
            found=0,
            needed=1,
        )
    if wanted.vehicles:
        provenance.assume("a vehicle's power may lie below its minimum: members' plans have no on and off")
    is_vehicle = np.arange(len(rows)) >= len(batteries)
    return NamedStorages(_stacked(rows), _names(rows), is_vehicle)


def _names(rows: Sequence[_Row]) -> tuple[str, ...]:
    """What the storages are called. Raises InvalidInput for two of one name."""
    names = tuple(one.name for one in rows)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidInput(
            f"device_id {twice[0]!r} is given twice, or is that of a registered battery; choose another",
            field="devices",
        )
    return names


def fuses_of(assets: Sequence[Asset], place: Mapping[str | None, int]) -> Array:
    """Of each row of the fleet; infinite without one, of several the weakest."""  # (N,)
    fuses = np.full(len(place), np.inf)
    for asset in assets:
        if isinstance(asset.device, Fuse) and asset.member_id is not None and asset.member_id in place:
            row = place[asset.member_id]
            fuses[row] = min(fuses[row], asset.device.limit_kw)
    return fuses


def roofs_of(assets: Sequence[Asset], place: Mapping[str | None, int]) -> Array:
    """The capacity of each member's PV, in the order of the members."""  # (N,)
    roofs = np.zeros(len(place))
    for asset in assets:
        if isinstance(asset.device, Photovoltaics) and asset.member_id is not None and asset.member_id in place:
            roofs[place[asset.member_id]] += asset.device.capacity_kw
    return np.delete(roofs, place[None])


async def _states_of_charge(tx: Transaction, batteries: Sequence[Asset], as_of: datetime) -> dict[str, float]:
    """By asset, from a meter of its own or of the member that has no other battery."""
    of_member: dict[str | None, list[Asset]] = {}
    for one in batteries:
        of_member.setdefault(one.member_id, []).append(one)
    wanted: dict[SeriesKey, Asset] = {}
    for series in await tx.readings.named(["storage_soc_kwh"]):
        own = of_member.get(series.key.member_id, [])
        for asset in own:
            if series.key.asset_id == asset.asset_id or (series.key.asset_id is None and len(own) == 1):
                wanted[series.key] = asset
    since = floor_to_step(as_of - FRESH, 60)
    found: dict[str, float] = {}
    for series in await believed_readings(tx, list(wanted), since, as_of, as_of):
        finite = series.values[np.isfinite(series.values)]
        if finite.size:
            found[wanted[series.key].asset_id] = float(finite[-1])
    return found


def _battery(grid: TimeGrid, row: int, asset: Asset, stored_kwh: float | None, wanted: PlannedStorages) -> _Row:
    """Without another word it ends as full as it began; what has a worth at the end may be used up."""
    battery = asset.device
    assert isinstance(battery, Battery)
    initial_kwh = battery.capacity_kwh / 2 if stored_kwh is None else min(stored_kwh, battery.capacity_kwh)
    constant, lowest = np.ones(grid.steps), np.zeros(grid.steps)
    if wanted.end_value_per_kwh is None:
        lowest[-1] = initial_kwh
    return _Row(
        row,
        asset.asset_id,
        battery.power_kw * constant,
        battery.power_kw * constant,
        lowest,
        battery.capacity_kwh * constant,
        np.zeros(grid.steps),
        initial_kwh,
        battery.charge_efficiency,
        battery.discharge_efficiency,
        wanted.wear_per_kwh,
        wanted.end_value_per_kwh or 0.0,
    )


def _vehicle(grid: TimeGrid, place: Mapping[str | None, int], request: VehicleRequest, provenance: Provenance) -> _Row:
    """Between two stays it drives what the one ends with beyond the other's beginning."""
    name = request.vehicle.device_id
    if request.member_id is None or request.member_id not in place:
        raise InvalidInput(
            f"the vehicle {name!r} must name the member_id of who is a member at that time, got {request.member_id!r}",
            field="devices",
        )
    vehicle = vehicle_on(grid, request, provenance)
    there, lowest, driven = np.zeros(grid.steps), np.zeros(grid.steps), np.zeros(grid.steps)
    stored_kwh = vehicle.stays[0].arrival_kwh if vehicle.stays else 0.0
    initial_kwh = stored_kwh
    for number, stay in enumerate(vehicle.stays):
        there[stay.first : stay.end] = 1.0
        lowest[stay.end - 1] = stay.departure_min_kwh
        if number:
            _drive(vehicle, number, stored_kwh, driven)
        stored_kwh = max(stay.departure_min_kwh, stay.arrival_kwh)
    return _Row(
        place[request.member_id],
        name,
        vehicle.power_kw * there,
        vehicle.power_kw * there * vehicle.vehicle_to_grid,
        lowest,
        np.full(grid.steps, vehicle.capacity_kwh),
        driven,
        initial_kwh,
        vehicle.charge_efficiency,
        vehicle.discharge_efficiency,
        vehicle.wear_per_kwh,
        0.0,
    )


def _drive(vehicle: ElectricVehicle, number: int, stored_kwh: float, driven: Array) -> None:
    """Just before a stay begins, what it has less than the earlier one ended with; nothing where it has more."""
    before, stay = vehicle.stays[number - 1], vehicle.stays[number]
    if stay.first == before.end:
        raise InvalidInput(
            f"{vehicle.device_id!r} must be away for an interval of the plan between two stays", field="devices"
        )
    driven[stay.first - 1] = max(0.0, stored_kwh - stay.arrival_kwh)


def _stacked(rows: Sequence[_Row]) -> FleetStorages:
    names = ("charge_max_kw", "discharge_max_kw", "lowest_kwh", "highest_kwh", "driven_kwh")
    numbers = ("initial_kwh", "charge_efficiency", "discharge_efficiency", "wear_per_kwh", "end_value_per_kwh")
    return FleetStorages(
        np.array([one.member for one in rows], dtype=np.int64),
        **{name: np.stack([getattr(one, name) for one in rows]) for name in names},
        **{name: np.array([float(getattr(one, name)) for one in rows]) for name in numbers},
    )
