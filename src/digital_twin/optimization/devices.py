"""What can be planned besides the connection: batteries, vehicles, heated buildings and loads that can wait.

Windows are intervals [first, end) counted from the start of the horizon. Powers hold on the AC side.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.assets import check_efficiency
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import check_identifier
from digital_twin.domain.units import Array

DEFAULT_DISCOMFORT_PER_C_HOUR = 10.0
"""Far above what warmth costs: a degree held for an hour takes a few tenths of a kWh, a degree gained a few kWh."""


_COP_OF_LIFT, _RATED_LIFT_C = (6.08, -0.09, 0.0005), 33.0
"""Air to water at a flow of 35 C; the rated point is +2 C outside (EN 14511)."""


def air_source_cop(nominal_cop: float, outdoor_c: Array) -> Array:
    """The COP at these outdoor temperatures of a heat pump whose nominal one holds at +2 C.

    Source: Ruhnau, Hirth and Praktiknjo 2019, Scientific Data 6, 189, equation 6; never below direct heating.
    """
    lift_c = np.clip(35.0 - outdoor_c, 15.0, 80.0)
    constant, slope, bend = _COP_OF_LIFT
    rated = constant + slope * _RATED_LIFT_C + bend * _RATED_LIFT_C**2
    return np.maximum(nominal_cop * (constant + slope * lift_c + bend * lift_c**2) / rated, 1.0)


def check_series(values: Array, name: str, size: int, *, low: float) -> None:
    """Raises InvalidInput unless there are `size` finite values of at least `low`."""
    if values.shape != (size,):
        raise InvalidInput(f"{name} must have {size} values, got {values.size}", field=name)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= low)))
    if wrong.size:
        rule = f"finite and >= {low:g}" if np.isfinite(low) else "finite"
        raise InvalidInput(f"{name} must be {rule}, interval {int(wrong[0])} is not", field=f"{name}.{int(wrong[0])}")


def check_number(value: float, name: str, high: float) -> None:
    """Raises InvalidInput unless the value is finite and in 0..high."""
    if not 0 <= value <= high or value == np.inf:
        raise InvalidInput(f"{name} must lie in 0..{high:g}, got {value}", field=name)


@dataclass(frozen=True, slots=True)
class Storage:
    """A battery, or all batteries of the community as one; power limits hold on the AC side.

    The reserve is kept from when it can first be reached. Energy left at the end beyond `final_min_kwh` is worth
    `end_value_per_kwh`, which lowers the cost.
    """

    capacity_kwh: float
    power_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    initial_kwh: float
    final_min_kwh: float
    wear_per_kwh: float = 0.0  # per kWh charged and per kWh discharged
    reserve_kwh: float = 0.0
    end_value_per_kwh: float = 0.0

    def __post_init__(self) -> None:
        check_efficiency(self.charge_efficiency, "charge_efficiency")
        check_efficiency(self.discharge_efficiency, "discharge_efficiency")
        for name in ("capacity_kwh", "power_kw", "wear_per_kwh", "end_value_per_kwh"):
            check_number(getattr(self, name), name, np.inf)
        for name in ("initial_kwh", "final_min_kwh", "reserve_kwh"):
            check_number(getattr(self, name), name, self.capacity_kwh)

    def least_kwh(self, steps: int, step_hours: float) -> Array:
        """The reserve, or what full power can have charged by then; the final energy at the end."""  # (T,)
        charged_kwh = np.arange(1, steps + 1) * step_hours * self.charge_efficiency * self.power_kw
        least = np.minimum(self.reserve_kwh, self.initial_kwh + charged_kwh)
        least[-1] = max(least[-1], self.final_min_kwh)
        return least


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery with numbers of its own beside the community's storage."""

    device_id: str
    storage: Storage

    def __post_init__(self) -> None:
        check_identifier(self.device_id, "device_id")


@dataclass(frozen=True, slots=True)
class Stay:
    """A vehicle is at its charging point in the intervals [first, end); energies are at the battery.

    An unknown state of charge is an `arrival_kwh` of 0: what is charged then suffices whatever it was.
    """

    first: int
    end: int
    arrival_kwh: float
    departure_min_kwh: float


@dataclass(frozen=True, slots=True)
class ElectricVehicle:
    """A vehicle at a charging point, whose power is 0 or at least the minimum; it gives back where V2G is allowed."""

    device_id: str
    capacity_kwh: float
    power_kw: float
    stays: tuple[Stay, ...]
    minimum_power_kw: float = 1.38  # 6 A on one phase; IEC 61851-1
    charge_efficiency: float = 0.9
    discharge_efficiency: float = 0.9
    vehicle_to_grid: bool = False
    wear_per_kwh: float = 0.0

    def __post_init__(self) -> None:
        check_identifier(self.device_id, "device_id")
        check_efficiency(self.charge_efficiency, "charge_efficiency")
        check_efficiency(self.discharge_efficiency, "discharge_efficiency")
        for name in ("capacity_kwh", "power_kw", "wear_per_kwh"):
            check_number(getattr(self, name), name, np.inf)
        check_number(self.minimum_power_kw, "minimum_power_kw", self.power_kw)
        for stay in self.stays:
            check_number(stay.arrival_kwh, "arrival_kwh", self.capacity_kwh)
            check_number(stay.departure_min_kwh, "departure_min_kwh", self.capacity_kwh)
        for before, after in zip(self.stays, self.stays[1:], strict=False):
            if after.first <= before.end:
                raise InvalidInput("between two stays a vehicle must be away for an interval", field="stays")


@dataclass(frozen=True, slots=True, eq=False)
class HeatPump:
    """A heat pump with its building: C dT/dt = COP P + gains - UA (T - T_out).

    Each degree outside of the comfort band costs `discomfort_per_c_hour` an hour in the objective, whatever it is:
    a cold start takes longer, it is not infeasible.
    """

    device_id: str
    power_kw: float  # electric
    heat_capacity_kwh_per_c: float
    heat_loss_kw_per_c: float
    initial_c: float
    cop: Array  # (T,)
    outdoor_c: Array  # (T,)
    gains_kw: Array  # (T,)
    comfort_min_c: Array  # (T,) at the end of each interval
    comfort_max_c: Array  # (T,)
    discomfort_per_c_hour: float = DEFAULT_DISCOMFORT_PER_C_HOUR

    def __post_init__(self) -> None:
        check_identifier(self.device_id, "device_id")
        for name in ("power_kw", "heat_loss_kw_per_c", "discomfort_per_c_hour"):
            check_number(getattr(self, name), name, np.inf)
        if not 0 < self.heat_capacity_kwh_per_c < np.inf:
            raise InvalidInput(
                f"heat_capacity_kwh_per_c must be above 0, got {self.heat_capacity_kwh_per_c}",
                field="heat_capacity_kwh_per_c",
            )
        if not -50 <= self.initial_c <= 100:
            raise InvalidInput(f"initial_c must lie in -50..100, got {self.initial_c}", field="initial_c")
        check_series(self.cop, "cop", self.cop.size, low=0.0)
        for name in ("outdoor_c", "gains_kw", "comfort_min_c", "comfort_max_c"):
            check_series(getattr(self, name), name, self.cop.size, low=-np.inf)
        if (self.comfort_min_c > self.comfort_max_c).any():
            raise InvalidInput("comfort_min_c must not be above comfort_max_c", field="comfort_min_c")

    def kept_share(self, step_hours: float) -> float:
        """What is left after an interval of a difference to the equilibrium: exp(-UA h / C)."""
        return float(np.exp(-self.heat_loss_kw_per_c * step_hours / self.heat_capacity_kwh_per_c))

    def warming_c_per_kw(self, step_hours: float) -> float:
        """By how much one kW of heat raises the temperature by the end of an interval."""
        lost = self.heat_loss_kw_per_c * step_hours / self.heat_capacity_kwh_per_c
        # without losses the quotient is 1; of the tiniest ones it cannot be computed
        return step_hours / self.heat_capacity_kwh_per_c * (-float(np.expm1(-lost)) / lost if lost > 1e-12 else 1.0)


@dataclass(frozen=True, slots=True)
class ShiftableLoad:
    """Takes its energy at any time in [first, end), at power 0 or between minimum and maximum.

    With a minimum equal to the maximum it is on or off: its energy then comes in whole blocks.
    """

    device_id: str
    energy_kwh: float
    power_kw: float
    first: int
    end: int
    minimum_power_kw: float = 0.0

    def __post_init__(self) -> None:
        check_identifier(self.device_id, "device_id")
        check_number(self.energy_kwh, "energy_kwh", np.inf)
        check_number(self.power_kw, "power_kw", np.inf)
        check_number(self.minimum_power_kw, "minimum_power_kw", self.power_kw)


@dataclass(frozen=True, slots=True)
class ShiftableRun:
    """Runs its profile once, uninterrupted, within [first, end)."""

    device_id: str
    profile_kw: tuple[float, ...]
    first: int
    end: int

    def __post_init__(self) -> None:
        check_identifier(self.device_id, "device_id")
        check_series(np.array(self.profile_kw, dtype=np.float64), "profile_kw", len(self.profile_kw), low=0.0)
        if not 1 <= len(self.profile_kw) <= self.end - self.first:
            raise InvalidInput("profile_kw must fit into its window", field="profile_kw")


Device = Battery | ElectricVehicle | HeatPump | ShiftableLoad | ShiftableRun


@dataclass(frozen=True, slots=True, eq=False)
class DeviceUse:
    """What a device does, and what follows from that; NaN where a vehicle is away."""

    device_id: str
    charge_kw: Array  # (T,) what it takes
    discharge_kw: Array  # (T,) what it gives back
    soc_kwh: Array | None = None  # (T,) at the end of each interval
    temperature_c: Array | None = None  # (T,) at the end of each interval


def check_devices(devices: Iterable[Device], steps: int, step_hours: float) -> None:
    """Raises InvalidInput for two of one name, for a window or series that does not fit, for part of a block."""
    seen: set[str] = set()
    for device in devices:
        if device.device_id in seen:
            raise InvalidInput(f"device_id {device.device_id!r} is given twice", field="devices")
        seen.add(device.device_id)
        for first, end in _windows(device):
            if not 0 <= first < end <= steps:
                raise InvalidInput(
                    f"the window of {device.device_id!r} must lie within the horizon, got intervals {first} to {end}",
                    field="devices",
                )
        if isinstance(device, HeatPump):
            check_series(device.cop, "cop", steps, low=0.0)
        if isinstance(device, ShiftableLoad) and 0 < device.minimum_power_kw == device.power_kw:
            blocks = device.energy_kwh / (device.power_kw * step_hours)
            if abs(blocks - round(blocks)) > 1e-9 * max(1.0, blocks):
                raise InvalidInput(
                    f"energy_kwh of {device.device_id!r} must be whole intervals at {device.power_kw:g} kW, "
                    f"got {blocks:g}",
                    field="devices",
                )


def _windows(device: Device) -> list[tuple[int, int]]:
    if isinstance(device, ElectricVehicle):
        return [(stay.first, stay.end) for stay in device.stays]
    if isinstance(device, ShiftableLoad | ShiftableRun):
        return [(device.first, device.end)]
    return []
