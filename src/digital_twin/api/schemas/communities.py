"""Communities, tariffs and sharing rules as bodies."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.model import (
    PLAIN_DIGITS,
    Answer,
    Body,
    Cursor,
    EnergyKwh,
    Identifier,
    Instant,
    InvalidValue,
    Page,
    PowerKw,
    PricePerKwh,
    Text,
)
from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.sharing import Sharing, SharingPremium, SharingRule
from digital_twin.domain.tariff import (
    BillingPeriod,
    CapacityCharge,
    DynamicPrice,
    FlatPrice,
    Price,
    Tariff,
    TimeOfUsePrice,
    TimeWindow,
)
from digital_twin.services.ports import StoredCommunity

GUIDE_COMMUNITY: dict[str, Any] = {
    "community_id": "green_village",
    "num_prosumers": 100,
    "total_pv_capacity_kw": 500.0,
    "total_storage_capacity_kwh": 1000.0,
    "max_storage_power_kw": 200.0,
    "grid_import_limit_kw": 800.0,
    "grid_export_limit_kw": 300.0,
    "incentive_budget_daily": 100.0,
}


class FlatPriceBody(Body):
    kind: Literal["flat"]
    per_kwh: PricePerKwh

    def to_domain(self) -> Price:
        return FlatPrice(self.per_kwh)


class TimeWindowBody(Body):
    per_kwh: PricePerKwh
    start_hour: Annotated[float, Field(ge=0, le=24)]
    end_hour: Annotated[float, Field(ge=0, le=24)]
    weekdays: Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(min_length=1, max_length=7)] = Field(
        default_factory=lambda: list(range(7))
    )


class TimeOfUsePriceBody(Body):
    kind: Literal["time_of_use"]
    default_per_kwh: PricePerKwh
    windows: Annotated[list[TimeWindowBody], Field(max_length=48)]

    def to_domain(self) -> Price:
        windows = tuple(
            TimeWindow(window.per_kwh, window.start_hour, window.end_hour, frozenset(window.weekdays))
            for window in self.windows
        )
        return TimeOfUsePrice(self.default_per_kwh, windows)


class DynamicPriceBody(Body):
    kind: Literal["dynamic"]
    markup_per_kwh: PricePerKwh = 0.0
    multiplier: Annotated[float, Field(ge=0, le=100)] = 1.0

    def to_domain(self) -> Price:
        return DynamicPrice(self.markup_per_kwh, self.multiplier)


PriceBody = Annotated[FlatPriceBody | TimeOfUsePriceBody | DynamicPriceBody, Field(discriminator="kind")]


class CapacityChargeBody(Body):
    per_kw: Annotated[float, Field(ge=0, le=1e6)]
    period: Literal["day", "month", "year"] = "month"
    peak_so_far_kw: PowerKw = 0.0


class TariffBody(Body):
    """What energy costs: flat, time of use or dynamic, and perhaps a charge on the peak."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "import_price": {
                        "kind": "time_of_use",
                        "default_per_kwh": 0.22,
                        "windows": [{"per_kwh": 0.38, "start_hour": 17, "end_hour": 21}],
                    },
                    "export_price": {"kind": "flat", "per_kwh": 0.08},
                }
            ]
        }
    )

    import_price: PriceBody
    export_price: PriceBody
    capacity_charge: CapacityChargeBody | None = None

    def to_domain(self) -> Tariff:
        charge = self.capacity_charge
        return Tariff(
            self.import_price.to_domain(),
            self.export_price.to_domain(),
            None
            if charge is None
            else CapacityCharge(charge.per_kw, BillingPeriod(charge.period), charge.peak_so_far_kw),
        )

    @classmethod
    def from_domain(cls, tariff: Tariff) -> Self:
        charge = tariff.capacity_charge
        return cls(
            import_price=_price_body(tariff.import_price),
            export_price=_price_body(tariff.export_price),
            capacity_charge=None
            if charge is None
            else CapacityChargeBody(
                per_kw=charge.per_kw, period=charge.period.value, peak_so_far_kw=charge.peak_so_far_kw
            ),
        )


def _price_body(price: Price) -> FlatPriceBody | TimeOfUsePriceBody | DynamicPriceBody:
    match price:
        case FlatPrice(per_kwh=per_kwh):
            return FlatPriceBody(kind="flat", per_kwh=per_kwh)
        case DynamicPrice(markup_per_kwh=markup, multiplier=multiplier):
            return DynamicPriceBody(kind="dynamic", markup_per_kwh=markup, multiplier=multiplier)
        case TimeOfUsePrice(default_per_kwh=default, windows=windows):
            bodies = [
                TimeWindowBody(
                    per_kwh=window.per_kwh,
                    start_hour=window.start_hour,
                    end_hour=window.end_hour,
                    weekdays=sorted(window.weekdays),
                )
                for window in windows
            ]
            return TimeOfUsePriceBody(kind="time_of_use", default_per_kwh=default, windows=bodies)


class SharingPremiumBody(Body):
    """The Italian premium, in currency per MWh."""

    base_per_mwh: Annotated[float, Field(ge=0, le=1e4)] = 80.0
    cap_per_mwh: Annotated[float, Field(ge=0, le=1e4)] = 120.0
    regional_per_mwh: Annotated[float, Field(ge=0, le=1e4)] = 0.0
    refund_per_mwh: Annotated[float, Field(ge=0, le=1e4)] = 0.0


class SharingBody(Body):
    """How members share energy. Prices of the `premium` replace those of the sharing price and network charge."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"rule": "dynamic", "sharing_price_per_kwh": 0.10, "network_charge_per_kwh": 0.05}]
        }
    )

    rule: Literal["single_meter", "none", "dynamic", "static", "hybrid"] = "single_meter"
    settlement_minutes: Literal[15, 30, 60] = 15
    sharing_price_per_kwh: Annotated[float, Field(ge=-10, le=10)] | None = None
    network_charge_per_kwh: Annotated[float, Field(ge=0, le=10)] = 0.0
    premium: SharingPremiumBody | None = None

    def to_domain(self) -> Sharing:
        return Sharing(
            SharingRule(self.rule),
            self.settlement_minutes,
            self.sharing_price_per_kwh,
            self.network_charge_per_kwh,
            None if self.premium is None else SharingPremium(**self.premium.model_dump()),
        )

    @classmethod
    def from_domain(cls, sharing: Sharing) -> Self:
        premium = sharing.premium
        return cls.model_validate(
            {
                "rule": sharing.rule.value,
                "settlement_minutes": sharing.settlement_minutes,
                "sharing_price_per_kwh": sharing.sharing_price_per_kwh,
                "network_charge_per_kwh": sharing.network_charge_per_kwh,
                "premium": None
                if premium is None
                else {name: getattr(premium, name) for name in SharingPremiumBody.model_fields},
            }
        )


class CommunityBody(Body):
    """The eight numbers of a community, and what refines them."""

    model_config = ConfigDict(json_schema_extra={"examples": [GUIDE_COMMUNITY]})

    community_id: Identifier
    num_prosumers: Annotated[int, Field(ge=1, le=1_000_000)]
    total_pv_capacity_kw: PowerKw
    total_storage_capacity_kwh: EnergyKwh
    max_storage_power_kw: PowerKw
    grid_import_limit_kw: PowerKw
    grid_export_limit_kw: PowerKw
    incentive_budget_daily: Annotated[float, Field(ge=0, le=1e9)]
    name: Text | None = None
    timezone: Annotated[str, Field(max_length=64, examples=["Europe/Vienna"])] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    tariff: TariffBody | None = None
    emission_factor_kg_per_kwh: Annotated[float, Field(ge=0, le=10)] | None = None
    charge_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.95
    discharge_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.95

    @model_validator(mode="after")
    def _fits_the_domain(self) -> Self:
        try:
            self.to_domain()
        except InvalidInput as error:
            raise InvalidValue(error.message.partition(", got")[0]) from error
        return self

    def to_domain(self) -> Community:
        fields = {name: getattr(self, name) for name in CommunityBody.model_fields if name != "tariff"}
        return Community(**fields, tariff=None if self.tariff is None else self.tariff.to_domain())


class CommunityChange(CommunityBody):
    """The same as it was read: what the twin sets itself may stand there unchanged."""

    sharing: SharingBody | None = Field(default=None, description="As it is; PUT .../sharing changes it")
    created_at: Instant | None = Field(default=None, description="As it is; it never changes")

    def check_unchanged(self, stored: StoredCommunity) -> None:
        """Raises InvalidInput where what cannot be changed here is not as it is stored."""
        if self.sharing is not None and self.sharing.to_domain() != stored.community.sharing:
            raise InvalidInput(
                "sharing is changed by PUT .../sharing; leave it out here, or as it was read", field="sharing"
            )
        if self.created_at is not None and self.created_at != stored.created_at:
            raise InvalidInput("created_at cannot change; leave it out, or as it was read", field="created_at")


class CommunityAnswer(Answer):
    """A community as stored; the ETag header names its version."""

    community_id: Identifier
    num_prosumers: int
    total_pv_capacity_kw: float
    total_storage_capacity_kwh: float
    max_storage_power_kw: float
    grid_import_limit_kw: float
    grid_export_limit_kw: float
    incentive_budget_daily: float
    name: str | None
    timezone: str | None
    currency: str | None
    latitude: float | None
    longitude: float | None
    tariff: TariffBody | None
    emission_factor_kg_per_kwh: float | None
    charge_efficiency: float
    discharge_efficiency: float
    sharing: SharingBody
    created_at: Instant

    @classmethod
    def from_stored(cls, stored: StoredCommunity) -> Self:
        community = stored.community
        plain = {
            name: getattr(community, name)
            for name in cls.model_fields
            if name not in ("tariff", "sharing", "created_at")
        }
        return cls(
            **plain,
            tariff=None if community.tariff is None else TariffBody.from_domain(community.tariff),
            sharing=SharingBody.from_domain(community.sharing),
            created_at=stored.created_at,
        )


class CommunityPage(Page):
    """Communities in the order of their ids."""

    communities: list[CommunityAnswer]


class PageQuery(Body):
    """Which page of a list."""

    model_config = ConfigDict(strict=False, extra="forbid")

    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None
