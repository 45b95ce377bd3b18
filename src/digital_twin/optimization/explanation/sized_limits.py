"""The limits of a question that have a size, and the same question with one of them larger or smaller."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from digital_twin.optimization.devices import (
    Battery,
    Device,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    Storage,
)
from digital_twin.optimization.plan import DispatchProblem, GridLimits

Resize = Callable[[float], DispatchProblem]


@dataclass(frozen=True, slots=True)
class SizedLimit:
    """A limit by the name it has in a request; `resized` is the question with another size of it."""

    name: str
    unit: str
    value: float
    least: float
    most: float
    resized: Resize


def sized_limits(problem: DispatchProblem) -> list[SizedLimit]:
    """Of the connection, the community's storage and each device by name."""
    found = list(_of_connection(problem))
    store = problem.storage
    if store.capacity_kwh > 0 and store.power_kw > 0:
        names = ("max_storage_power_kw", "total_storage_capacity_kwh", "final_soc_min_kwh", "storage_reserve_kwh")
        found += _of_storage(store, names, lambda changed: replace(problem, storage=changed))
    for index, device in enumerate(problem.devices):
        found += _of_device(problem, index, device)
    return found


def _of_connection(problem: DispatchProblem) -> Iterator[SizedLimit]:
    limits = problem.limits

    def with_limits(changed: GridLimits) -> DispatchProblem:
        return replace(problem, limits=changed)

    yield _doubling("grid_import_limit_kw", limits.import_kw, lambda kw: with_limits(replace(limits, import_kw=kw)))
    yield _doubling("grid_export_limit_kw", limits.export_kw, lambda kw: with_limits(replace(limits, export_kw=kw)))


def _of_storage(
    store: Storage, names: tuple[str, str, str, str], with_storage: Callable[[Storage], DispatchProblem]
) -> Iterator[SizedLimit]:
    power, capacity, final, reserve = names
    held_kwh = max(store.initial_kwh, store.final_min_kwh, store.reserve_kwh)
    yield _doubling(power, store.power_kw, lambda kw: with_storage(replace(store, power_kw=kw)))
    yield SizedLimit(
        capacity,
        "kWh",
        store.capacity_kwh,
        held_kwh,
        2 * store.capacity_kwh,
        lambda kwh: with_storage(replace(store, capacity_kwh=kwh)),
    )
    yield _within(final, store.final_min_kwh, store.capacity_kwh, lambda kwh: with_storage(_ending(store, kwh)))
    if store.reserve_kwh > 0:
        yield _within(
            reserve, store.reserve_kwh, store.capacity_kwh, lambda kwh: with_storage(replace(store, reserve_kwh=kwh))
        )


def _ending(store: Storage, final_min_kwh: float) -> Storage:
    return replace(store, final_min_kwh=final_min_kwh)


def _of_device(problem: DispatchProblem, index: int, device: Device) -> Iterator[SizedLimit]:
    name = f"devices.{device.device_id}."

    def with_device(changed: Device) -> DispatchProblem:
        devices = (*problem.devices[:index], changed, *problem.devices[index + 1 :])
        return replace(problem, devices=devices)

    match device:
        case Battery():
            names = (f"{name}power_kw", f"{name}capacity_kwh", f"{name}final_soc_min_kwh", f"{name}reserve_kwh")
            yield from _of_storage(device.storage, names, lambda store: with_device(replace(device, storage=store)))
        case ElectricVehicle():
            yield _doubling(f"{name}power_kw", device.power_kw, lambda kw: with_device(_charging_at(device, kw)))
            if device.stays:
                needed_kwh = max(stay.departure_min_kwh for stay in device.stays)
                yield _within(
                    f"{name}departure_soc_min_kwh",
                    needed_kwh,
                    device.capacity_kwh,
                    lambda kwh: with_device(_departing_with(device, kwh - needed_kwh)),
                )
        case HeatPump() | ShiftableLoad():
            yield _doubling(f"{name}power_kw", device.power_kw, lambda kw: with_device(_powered(device, kw)))
        case _:
            pass


def _charging_at(vehicle: ElectricVehicle, power_kw: float) -> ElectricVehicle:
    return replace(vehicle, power_kw=power_kw, minimum_power_kw=min(vehicle.minimum_power_kw, power_kw))


def _departing_with(vehicle: ElectricVehicle, more_kwh: float) -> ElectricVehicle:
    """Each departure with so much more, where one asks for anything; within what fits in."""
    stays = tuple(
        replace(stay, departure_min_kwh=min(max(0.0, stay.departure_min_kwh + more_kwh), vehicle.capacity_kwh))
        for stay in vehicle.stays
    )
    return replace(vehicle, stays=stays)


def _powered(device: HeatPump | ShiftableLoad, power_kw: float) -> HeatPump | ShiftableLoad:
    return replace(device, power_kw=power_kw)


def _doubling(name: str, value: float, resized: Resize) -> SizedLimit:
    return SizedLimit(name, "kW", value, 0.0, 2 * value, resized)


def _within(name: str, value: float, most: float, resized: Resize) -> SizedLimit:
    return SizedLimit(name, "kWh", value, 0.0, most, resized)
