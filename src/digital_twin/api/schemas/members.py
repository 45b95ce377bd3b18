"""Members and assets as bodies."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.model import (
    Answer,
    Body,
    EnergyKwh,
    Fraction,
    Identifier,
    Instant,
    InvalidValue,
    PowerKw,
    Text,
)
from digital_twin.domain.assets import (
    Asset,
    AssetDevice,
    Battery,
    EvCharger,
    Fuse,
    HeatPump,
    Member,
    Photovoltaics,
)
from digital_twin.domain.errors import InvalidInput

MAX_AT_ONCE = 10_000
Checked = TypeVar("Checked", "MemberBody", "AssetBody")
Efficiency = Annotated[float, Field(gt=0, le=1)]


class MemberBody(Body):
    member_id: Identifier
    name: Text = ""
    joined_at: Instant | None = None
    left_at: Instant | None = None
    sharing_coefficient: Fraction | None = None

    def to_domain(self) -> Member:
        return Member(self.member_id, self.name, self.joined_at, self.left_at, self.sharing_coefficient)

    @model_validator(mode="after")
    def _fits_the_domain(self) -> Self:
        return _checked(self)

    @classmethod
    def from_domain(cls, member: Member) -> Self:
        return cls(
            member_id=member.member_id,
            name=member.name,
            joined_at=member.joined_at,
            left_at=member.left_at,
            sharing_coefficient=member.sharing_coefficient,
        )


class MembersBody(Body):
    """Members to add or replace."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"members": [{"member_id": "home_1"}]}]})

    members: Annotated[list[MemberBody], Field(min_length=1, max_length=MAX_AT_ONCE)]


class PhotovoltaicsBody(Body):
    kind: Literal["pv"] = "pv"
    capacity_kw: PowerKw
    tilt_degrees: Annotated[float, Field(ge=0, le=90)] = 30.0
    azimuth_degrees: Annotated[float, Field(ge=0, le=360)] = 180.0


class BatteryBody(Body):
    kind: Literal["battery"] = "battery"
    capacity_kwh: EnergyKwh
    power_kw: PowerKw
    charge_efficiency: Efficiency = 0.95
    discharge_efficiency: Efficiency = 0.95


class EvChargerBody(Body):
    kind: Literal["ev_charger"] = "ev_charger"
    power_kw: PowerKw
    minimum_power_kw: PowerKw = 1.38


class HeatPumpBody(Body):
    kind: Literal["heat_pump"] = "heat_pump"
    electric_power_kw: PowerKw
    heat_capacity_kwh_per_c: Annotated[float, Field(ge=0, le=1e6)]
    heat_loss_kw_per_c: Annotated[float, Field(ge=0, le=1e6)]
    nominal_cop: Annotated[float, Field(ge=1, le=10)] = 3.0


class FuseBody(Body):
    kind: Literal["fuse"] = "fuse"
    limit_kw: PowerKw


DeviceBody = Annotated[
    PhotovoltaicsBody | BatteryBody | EvChargerBody | HeatPumpBody | FuseBody, Field(discriminator="kind")
]
_DEVICES: dict[type[Body], type[AssetDevice]] = {
    PhotovoltaicsBody: Photovoltaics,
    BatteryBody: Battery,
    EvChargerBody: EvCharger,
    HeatPumpBody: HeatPump,
    FuseBody: Fuse,
}
_BODIES: dict[type[AssetDevice], Any] = {device: body for body, device in _DEVICES.items()}


class AssetBody(Body):
    asset_id: Identifier
    member_id: Identifier | None = None
    device: DeviceBody

    def to_domain(self) -> Asset:
        device = _DEVICES[type(self.device)](**self.device.model_dump(exclude={"kind"}))
        return Asset(self.asset_id, device, self.member_id)

    @model_validator(mode="after")
    def _fits_the_domain(self) -> Self:
        return _checked(self)

    @classmethod
    def from_domain(cls, asset: Asset) -> Self:
        body = _BODIES[type(asset.device)]
        fields = {name: getattr(asset.device, name) for name in body.model_fields if name != "kind"}
        return cls(asset_id=asset.asset_id, member_id=asset.member_id, device=body(**fields))


class AssetsBody(Body):
    """Assets to add or replace."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "assets": [
                        {"asset_id": "roof_1", "member_id": None, "device": {"kind": "pv", "capacity_kw": 5.0}},
                        {
                            "asset_id": "battery_1",
                            "member_id": None,
                            "device": {"kind": "battery", "capacity_kwh": 10.0, "power_kw": 5.0},
                        },
                    ]
                }
            ]
        }
    )

    assets: Annotated[list[AssetBody], Field(min_length=1, max_length=MAX_AT_ONCE)]


class PutAnswer(Answer):
    """How many were sent and how many of them are new."""

    received: int
    created: int


class MembersAnswer(Answer):
    members: list[MemberBody]


class AssetsAnswer(Answer):
    assets: list[AssetBody]


def _checked(body: "Checked") -> "Checked":
    try:
        body.to_domain()
    except InvalidInput as error:
        raise InvalidValue(error.message.partition(", got")[0]) from error
    return body
