"""The devices of a dispatch: batteries, vehicles, heat pumps and loads that can wait."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from digital_twin.api.schemas.members import Efficiency
from digital_twin.api.schemas.model import (
    Answer,
    Body,
    EnergyKwh,
    Identifier,
    Instant,
    InvalidValue,
    PowerKw,
    array_or_number,
)
from digital_twin.optimization.devices import (
    DEFAULT_DISCOMFORT_PER_C_HOUR,
    Battery,
    ElectricVehicle,
    Storage,
)
from digital_twin.services.planned_devices import (
    DeviceRequest,
    HeatPumpRequest,
    LoadRequest,
    StayRequest,
    VehicleRequest,
)

MOST_DEVICES, MOST_STAYS, MOST_PORTIONS = 50, 20, 1344
"""Beyond, a community is planned at the level of its members."""

MOST_VEHICLES = 10_000
"""Of members, in one plan for all of them."""

Wear = Annotated[float, Field(ge=0, le=100, description="Per kWh charged and per kWh discharged")]
TemperatureC = Annotated[float, Field(ge=-60, le=100)]
Temperatures = Annotated[list[TemperatureC], Field(min_length=1, max_length=MOST_PORTIONS)]
Gains = Annotated[list[PowerKw], Field(min_length=1, max_length=MOST_PORTIONS)]


class PlannedBatteryBody(Body):
    """A battery beside the community's storage."""

    kind: Literal["battery"]
    device_id: Identifier
    capacity_kwh: EnergyKwh
    power_kw: PowerKw
    charge_efficiency: Efficiency = 0.95
    discharge_efficiency: Efficiency = 0.95
    current_soc_kwh: EnergyKwh
    final_soc_min_kwh: EnergyKwh | None = Field(
        default=None, description="What is left at the end at least; as much as now unless an end value is given"
    )
    reserve_kwh: EnergyKwh = 0.0
    wear_per_kwh: Wear = 0.0
    end_value_per_kwh: Annotated[float, Field(ge=0, le=1e3)] = 0.0

    def to_domain(self) -> Battery:
        least_kwh = 0.0 if self.end_value_per_kwh else self.current_soc_kwh
        return Battery(
            self.device_id,
            Storage(
                capacity_kwh=self.capacity_kwh,
                power_kw=self.power_kw,
                charge_efficiency=self.charge_efficiency,
                discharge_efficiency=self.discharge_efficiency,
                initial_kwh=self.current_soc_kwh,
                final_min_kwh=least_kwh if self.final_soc_min_kwh is None else self.final_soc_min_kwh,
                wear_per_kwh=self.wear_per_kwh,
                reserve_kwh=self.reserve_kwh,
                end_value_per_kwh=self.end_value_per_kwh,
            ),
        )


class StayBody(Body):
    """A vehicle is there from `arrival` (default: now) to `departure`; energies are those of its battery."""

    arrival: Instant | None = None
    departure: Instant
    arrival_soc_kwh: EnergyKwh | None = Field(default=None, description="Unknown unless given: it counts as empty")
    departure_soc_min_kwh: EnergyKwh

    @model_validator(mode="after")
    def _leaves_after_it_came(self) -> Self:
        if self.arrival is not None and self.departure <= self.arrival:
            raise InvalidValue("departure must be after arrival")
        return self

    def to_domain(self) -> StayRequest:
        return StayRequest(self.departure, self.departure_soc_min_kwh, self.arrival, self.arrival_soc_kwh)


class PlannedVehicleBody(Body):
    """An electric vehicle; its power is 0 or at least the minimum, and back to the grid only with V2G."""

    kind: Literal["ev"]
    device_id: Identifier
    capacity_kwh: EnergyKwh
    power_kw: PowerKw
    minimum_power_kw: PowerKw = Field(default=1.38, description="6 A on one phase")
    charge_efficiency: Efficiency = 0.9
    discharge_efficiency: Efficiency = 0.9
    vehicle_to_grid: bool = False
    wear_per_kwh: Wear = 0.0
    member_id: Identifier | None = Field(default=None, description="Whose it is, in plans at the level of members")
    stays: Annotated[list[StayBody], Field(min_length=1, max_length=MOST_STAYS)]

    def to_domain(self) -> VehicleRequest:
        numbers = self.model_dump(exclude={"kind", "stays", "member_id"})
        stays = tuple(stay.to_domain() for stay in self.stays)
        return VehicleRequest(ElectricVehicle(**numbers, stays=()), stays, self.member_id)


class PlannedHeatPumpBody(Body):
    """A heat pump with its building; outside of the comfort band each degree and hour has a price, no ban."""

    kind: Literal["heat_pump"]
    device_id: Identifier
    electric_power_kw: PowerKw
    heat_capacity_kwh_per_c: Annotated[float, Field(gt=0, le=1e6)]
    heat_loss_kw_per_c: Annotated[float, Field(ge=0, le=1e6)]
    nominal_cop: Annotated[float, Field(ge=1, le=10, description="At +2 C outside; it follows the temperature")] = 3.0
    current_temperature_c: Annotated[float, Field(ge=-50, le=100)]
    comfort_min_c: Temperatures | TemperatureC = 20.0
    comfort_max_c: Temperatures | TemperatureC = 23.0
    outdoor_c: Temperatures | TemperatureC | None = None
    gains_kw: Gains | PowerKw = 0.0
    discomfort_per_c_hour: Annotated[float, Field(ge=0, le=1e6)] = DEFAULT_DISCOMFORT_PER_C_HOUR

    def to_domain(self) -> HeatPumpRequest:
        outdoor_c = array_or_number(self.outdoor_c)
        comfort_min_c, comfort_max_c = array_or_number(self.comfort_min_c), array_or_number(self.comfort_max_c)
        gains_kw = array_or_number(self.gains_kw)
        assert comfort_min_c is not None
        assert comfort_max_c is not None
        assert gains_kw is not None
        return HeatPumpRequest(
            device_id=self.device_id,
            power_kw=self.electric_power_kw,
            heat_capacity_kwh_per_c=self.heat_capacity_kwh_per_c,
            heat_loss_kw_per_c=self.heat_loss_kw_per_c,
            initial_c=self.current_temperature_c,
            comfort_min_c=comfort_min_c,
            comfort_max_c=comfort_max_c,
            nominal_cop=self.nominal_cop,
            gains_kw=gains_kw,
            outdoor_c=outdoor_c,
            discomfort_per_c_hour=self.discomfort_per_c_hour,
        )


class PlannedLoadBody(Body):
    """A load that can wait: `energy_kwh` at up to `power_kw`, or a `profile_kw` that runs once in one piece."""

    kind: Literal["shiftable_load"]
    device_id: Identifier
    earliest_start: Instant | None = None
    latest_end: Instant | None = None
    energy_kwh: EnergyKwh | None = None
    power_kw: PowerKw | None = None
    minimum_power_kw: PowerKw = Field(default=0.0, description="As high as power_kw: on or off")
    profile_kw: Annotated[list[PowerKw], Field(min_length=1, max_length=MOST_PORTIONS)] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        has_energy = self.energy_kwh is not None and self.power_kw is not None
        if (self.profile_kw is not None) == has_energy or (self.energy_kwh is None) != (self.power_kw is None):
            raise InvalidValue("give either energy_kwh and power_kw, or profile_kw")
        return self

    def to_domain(self) -> LoadRequest:
        return LoadRequest(
            self.device_id,
            self.earliest_start,
            self.latest_end,
            self.energy_kwh or 0.0,
            self.power_kw or 0.0,
            self.minimum_power_kw,
            tuple(self.profile_kw or ()),
        )


PlannedDeviceBody = Annotated[
    PlannedBatteryBody | PlannedVehicleBody | PlannedHeatPumpBody | PlannedLoadBody, Field(discriminator="kind")
]
DEVICE_EXAMPLES: list[JsonValue] = [
    {
        "kind": "ev",
        "device_id": "car",
        "capacity_kwh": 60.0,
        "power_kw": 11.0,
        "stays": [{"departure": "2026-03-02T07:00:00Z", "departure_soc_min_kwh": 40.0, "arrival_soc_kwh": 20.0}],
    }
]


def device_requests(bodies: list[PlannedDeviceBody]) -> tuple[DeviceRequest, ...]:
    """The devices as the service takes them."""
    return tuple(body.to_domain() for body in bodies)


class DeviceUseAnswer(Answer):
    """What a device does; `soc_kwh` is null while a vehicle is away."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=True, ser_json_inf_nan="null")

    device_id: str
    charge_kw: list[float] = Field(description="What it takes")
    discharge_kw: list[float] = Field(description="What it gives back")
    soc_kwh: list[float | None] | None = None
    temperature_c: list[float] | None = None
