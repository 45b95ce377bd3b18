"""What stands behind a member's meter."""

from dataclasses import dataclass
from datetime import datetime

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import check_identifier

MAX_POWER_KW = 1e6
MAX_ENERGY_KWH = 1e7


def check_range(value: float, field: str, low: float, high: float) -> None:
    """Raises InvalidInput unless low <= value <= high; NaN and infinity never are."""
    if not low <= value <= high:
        raise InvalidInput(f"{field} must lie in {low:g}..{high:g}, got {value}", field=field)


@dataclass(frozen=True, slots=True)
class Photovoltaics:
    """A PV system; tilt from the horizontal, azimuth clockwise from north."""

    capacity_kw: float
    tilt_degrees: float = 30.0
    azimuth_degrees: float = 180.0

    def __post_init__(self) -> None:
        check_range(self.capacity_kw, "capacity_kw", 0, MAX_POWER_KW)
        check_range(self.tilt_degrees, "tilt_degrees", 0, 90)
        check_range(self.azimuth_degrees, "azimuth_degrees", 0, 360)


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery; power limits hold on the AC side, efficiencies are one way."""

    capacity_kwh: float
    power_kw: float
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95

    def __post_init__(self) -> None:
        check_range(self.capacity_kwh, "capacity_kwh", 0, MAX_ENERGY_KWH)
        check_range(self.power_kw, "power_kw", 0, MAX_POWER_KW)
        check_efficiency(self.charge_efficiency, "charge_efficiency")
        check_efficiency(self.discharge_efficiency, "discharge_efficiency")


@dataclass(frozen=True, slots=True)
class EvCharger:
    """A charging point; power is 0 or at least the minimum (6 A on one phase: 1.38 kW; IEC 61851-1)."""

    power_kw: float
    minimum_power_kw: float = 1.38

    def __post_init__(self) -> None:
        check_range(self.power_kw, "power_kw", 0, MAX_POWER_KW)
        check_range(self.minimum_power_kw, "minimum_power_kw", 0, self.power_kw)


@dataclass(frozen=True, slots=True)
class HeatPump:
    """A heat pump with its building: C dT/dt = COP(T_out) P + gains - UA (T - T_out)."""

    electric_power_kw: float
    heat_capacity_kwh_per_c: float
    heat_loss_kw_per_c: float
    nominal_cop: float = 3.0

    def __post_init__(self) -> None:
        check_range(self.electric_power_kw, "electric_power_kw", 0, MAX_POWER_KW)
        check_range(self.heat_capacity_kwh_per_c, "heat_capacity_kwh_per_c", 0, 1e6)
        check_range(self.heat_loss_kw_per_c, "heat_loss_kw_per_c", 0, 1e6)
        check_range(self.nominal_cop, "nominal_cop", 1, 10)


@dataclass(frozen=True, slots=True)
class Fuse:
    """The limit of a connection point, both ways."""

    limit_kw: float

    def __post_init__(self) -> None:
        check_range(self.limit_kw, "limit_kw", 0, MAX_POWER_KW)


AssetDevice = Photovoltaics | Battery | EvCharger | HeatPump | Fuse


@dataclass(frozen=True, slots=True)
class Asset:
    """A device of a member, or of the community itself when `member_id` is None."""

    asset_id: str
    device: AssetDevice
    member_id: str | None = None

    def __post_init__(self) -> None:
        check_identifier(self.asset_id, "asset_id")
        if self.member_id is not None:
            check_identifier(self.member_id, "member_id")


@dataclass(frozen=True, slots=True)
class Member:
    """A household or firm of the community from `joined_at` until `left_at`, both optional."""

    member_id: str
    name: str = ""
    joined_at: datetime | None = None
    left_at: datetime | None = None
    sharing_coefficient: float | None = None

    def __post_init__(self) -> None:
        check_identifier(self.member_id, "member_id")
        if self.joined_at and self.left_at and self.left_at <= self.joined_at:
            raise InvalidInput("left_at must be after joined_at", field="left_at")
        if self.sharing_coefficient is not None:
            check_range(self.sharing_coefficient, "sharing_coefficient", 0, 1)


def check_efficiency(value: float, field: str) -> None:
    """Raises InvalidInput unless 0 < value <= 1."""
    if not 0 < value <= 1:
        raise InvalidInput(f"{field} must be in (0, 1], got {value}", field=field)
