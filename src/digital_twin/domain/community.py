"""The energy community: the few numbers that plan it, and the rule by which it shares."""

from dataclasses import dataclass, field

from digital_twin.domain.assets import MAX_ENERGY_KWH, MAX_POWER_KW, check_efficiency, check_range
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import check_identifier
from digital_twin.domain.sharing import Sharing
from digital_twin.domain.tariff import Tariff
from digital_twin.domain.time import time_zone

MAX_PROSUMERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Community:
    """The guide's eight numbers and what refines them; None means not given, and a documented prior stands in."""

    community_id: str
    num_prosumers: int
    total_pv_capacity_kw: float
    total_storage_capacity_kwh: float
    max_storage_power_kw: float
    grid_import_limit_kw: float
    grid_export_limit_kw: float
    incentive_budget_daily: float
    name: str | None = None
    timezone: str | None = None
    currency: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    tariff: Tariff | None = None
    emission_factor_kg_per_kwh: float | None = None
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95
    sharing: Sharing = field(default_factory=Sharing)

    def __post_init__(self) -> None:
        check_identifier(self.community_id, "community_id")
        if not 1 <= self.num_prosumers <= MAX_PROSUMERS:
            raise InvalidInput(
                f"num_prosumers must lie in 1..{MAX_PROSUMERS}, got {self.num_prosumers}", field="num_prosumers"
            )
        for name in ("total_pv_capacity_kw", "max_storage_power_kw", "grid_import_limit_kw", "grid_export_limit_kw"):
            check_range(getattr(self, name), name, 0, MAX_POWER_KW)
        check_range(self.total_storage_capacity_kwh, "total_storage_capacity_kwh", 0, MAX_ENERGY_KWH)
        check_range(self.incentive_budget_daily, "incentive_budget_daily", 0, 1e9)
        check_efficiency(self.charge_efficiency, "charge_efficiency")
        check_efficiency(self.discharge_efficiency, "discharge_efficiency")
        self._check_place()

    def _check_place(self) -> None:
        if self.timezone is not None:
            time_zone(self.timezone)
        if (self.latitude is None) != (self.longitude is None):
            raise InvalidInput("latitude and longitude must be given together", field="latitude")
        if self.latitude is not None and self.longitude is not None:
            check_range(self.latitude, "latitude", -90, 90)
            check_range(self.longitude, "longitude", -180, 180)
        if self.emission_factor_kg_per_kwh is not None:
            check_range(self.emission_factor_kg_per_kwh, "emission_factor_kg_per_kwh", 0, 10)
        if self.currency is not None and not (len(self.currency) == 3 and self.currency.isalpha()):
            raise InvalidInput("currency must be an ISO 4217 code such as EUR", field="currency")
