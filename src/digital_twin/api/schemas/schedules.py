"""Dispatch requests, schedules and lists of results."""

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.devices import (
    DEVICE_EXAMPLES,
    MOST_DEVICES,
    MOST_VEHICLES,
    DeviceUseAnswer,
    PlannedDeviceBody,
    PlannedVehicleBody,
    device_requests,
)
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
    Provenance,
    array_of,
    array_or_number,
)
from digital_twin.api.schemas.risk import RiskAnswer, RiskBody
from digital_twin.domain.errors import InvalidInput
from digital_twin.optimization.plan import Weights
from digital_twin.services.exchange import MemberSeries
from digital_twin.services.fleet_request import MemberDispatch
from digital_twin.services.planned_devices import VehicleRequest
from digital_twin.services.ports import StoredResult
from digital_twin.services.prices import PriceRequest
from digital_twin.services.schedules import DispatchRequest

MAX_HORIZON_HOURS = 24 * 14
MAX_STEPS = MAX_HORIZON_HOURS * 4

Objective = Literal[
    "minimize_cost", "maximize_welfare", "minimize_emissions", "minimize_peak", "maximize_self_consumption"
]
Powers = Annotated[list[PowerKw], Field(min_length=1, max_length=MAX_STEPS)]
Prices = Annotated[list[PricePerKwh], Field(min_length=1, max_length=MAX_STEPS)]
Factors = Annotated[list[Annotated[float, Field(ge=0, le=10)]], Field(min_length=1, max_length=MAX_STEPS)]
Weight = Annotated[float, Field(ge=0, le=1e6)]


class WeightsBody(Body):
    """The weighted sum to minimise: money, kg of CO2, peak kW, and kWh exported or curtailed."""

    cost: Weight = 0.0
    emissions: Weight = 0.0
    peak: Weight = 0.0
    exported: Weight = 0.0

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not any((self.cost, self.emissions, self.peak, self.exported)):
            raise InvalidValue("at least one weight must be above 0")
        return self

    def to_domain(self) -> Weights:
        return Weights(self.cost, self.emissions, self.peak, self.exported)


class MemberSeriesBody(Body):
    member_id: Identifier
    load_kw: Powers
    pv_kw: Powers


class DispatchBody(Body):
    """What to plan. What is left out comes from readings, forecast, tariff and documented priors."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"objective": "minimize_cost", "horizon_hours": 24, "start_time": "2026-03-02T00:00:00Z"},
                {"horizon_hours": 24, "start_time": "2026-03-02T00:00:00Z", "devices": DEVICE_EXAMPLES},
                {"start_time": "2026-03-02T00:00:00Z", "risk": {"cvar_weight": 0.5, "scenarios": 100}},
                {"start_time": "2026-03-02T00:00:00Z", "horizon_hours": 24, "level": "member"},
            ]
        }
    )

    objective: Objective | None = None
    weights: WeightsBody | None = None
    start_time: Instant | None = None
    horizon_hours: Annotated[float, Field(gt=0, le=MAX_HORIZON_HOURS)] = 24.0
    resolution_minutes: Literal[5, 10, 15, 30, 60] = 15
    load_kw: Powers | None = None
    pv_kw: Powers | None = None
    import_price_per_kwh: Prices | PricePerKwh | None = None
    export_price_per_kwh: Prices | PricePerKwh | None = None
    emission_factor_kg_per_kwh: Factors | Annotated[float, Field(ge=0, le=10)] | None = None
    zonal_price_per_kwh: Prices | PricePerKwh | None = Field(
        default=None, description="What a sharing premium follows; the export price unless given"
    )
    current_soc_kwh: EnergyKwh | None = None
    final_soc_min_kwh: EnergyKwh | None = None
    peak_price_per_kw: Annotated[float, Field(ge=0, le=1e6)] | None = None
    battery_wear_per_kwh: Annotated[float, Field(ge=0, le=100)] = 0.0
    storage_reserve_kwh: EnergyKwh = 0.0
    end_value_per_kwh: Annotated[float, Field(ge=0, le=1e3)] | Literal["water_value"] | None = Field(
        default=None,
        description="Of energy left in the storage at the end; `water_value`: what the day after would pay for it",
    )
    grid_limit_price_per_kwh: Annotated[float, Field(ge=0, le=1e3)] | None = Field(
        default=None, description="What each kWh beyond the limits of the connection costs; hard limits unless given"
    )
    devices: Annotated[list[PlannedDeviceBody], Field(max_length=MOST_VEHICLES)] = Field(
        default_factory=list[PlannedDeviceBody]
    )
    members: Annotated[list[MemberSeriesBody], Field(max_length=1000)] = Field(default_factory=list[MemberSeriesBody])
    risk: RiskBody | None = Field(default=None, description="Plan for what may come, not for the expected course alone")
    level: Literal["community", "member"] = Field(
        default="community", description="`member`: every member's own registered battery, and vehicles of theirs"
    )
    as_of: Instant | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.objective is not None and self.weights is not None:
            raise InvalidValue("give objective or weights, not both")
        steps = self.horizon_hours * 60 / self.resolution_minutes
        if steps != int(steps) or not 1 <= steps <= MAX_STEPS:
            raise InvalidValue(f"horizon_hours must be 1 to {MAX_STEPS} whole intervals of resolution_minutes")
        return self

    def _check_lengths(self) -> None:
        steps = round(self.horizon_hours * 60 / self.resolution_minutes)
        arrays = {name: getattr(self, name) for name in DispatchBody.model_fields if name not in ("members", "devices")}
        for index, one in enumerate(self.members):
            arrays |= {f"members.{index}.load_kw": one.load_kw, f"members.{index}.pv_kw": one.pv_kw}
        for field, values in arrays.items():
            if isinstance(values, list) and len(values) != steps:
                name = field.rpartition(".")[2]
                raise InvalidInput(f"{name} must have one value for each of the {steps} intervals", field=field)

    def to_domain(self) -> DispatchRequest:
        """Raises InvalidInput naming the array that has another length than the horizon, or a member's vehicle."""
        self._check_lengths()
        self._check_devices()
        return DispatchRequest(
            objective=self.objective,
            weights=None if self.weights is None else self.weights.to_domain(),
            start=self.start_time,
            horizon_hours=self.horizon_hours,
            resolution_minutes=self.resolution_minutes,
            load_kw=array_of(self.load_kw),
            pv_kw=array_of(self.pv_kw),
            prices=self._prices(),
            current_soc_kwh=self.current_soc_kwh,
            final_soc_min_kwh=self.final_soc_min_kwh,
            peak_price_per_kw=self.peak_price_per_kw,
            battery_wear_per_kwh=self.battery_wear_per_kwh,
            storage_reserve_kwh=self.storage_reserve_kwh,
            end_value_per_kwh=self.end_value_per_kwh,
            grid_limit_price_per_kwh=self.grid_limit_price_per_kwh,
            devices=device_requests(self.devices),
            members=tuple(
                MemberSeries(one.member_id, np.array(one.load_kw), np.array(one.pv_kw)) for one in self.members
            ),
            risk=None if self.risk is None else self.risk.to_domain(),
            as_of=self.as_of,
        )

    def to_member_dispatch(self) -> MemberDispatch:
        """Raises InvalidInput naming what is no part of a plan at the level of members."""
        self._check_lengths()
        for name in sorted(self.model_fields_set & set(COMMUNITY_ALONE)):
            if getattr(self, name) not in (None, [], type(self).model_fields[name].default):
                raise InvalidInput(f"a plan at the level of members has no {name}: {COMMUNITY_ALONE[name]}", field=name)
        if self.end_value_per_kwh == "water_value":
            raise InvalidInput(
                "at the level of members end_value_per_kwh is a number; the water value is that of one storage",
                field="end_value_per_kwh",
            )
        objective = self.objective or "minimize_cost"
        if objective not in ("minimize_cost", "maximize_welfare"):
            raise InvalidInput(
                f"members are planned for minimize_cost or maximize_welfare, got {objective}", field="objective"
            )
        vehicles = [one for one in device_requests(self.devices) if isinstance(one, VehicleRequest)]
        if len(vehicles) < len(self.devices):
            raise InvalidInput(
                "at the level of members devices are vehicles; batteries are those of POST .../assets", field="devices"
            )
        return MemberDispatch(
            objective=objective,
            start=self.start_time,
            horizon_hours=self.horizon_hours,
            resolution_minutes=self.resolution_minutes,
            load_kw=array_of(self.load_kw),
            pv_kw=array_of(self.pv_kw),
            prices=self._prices(),
            peak_price_per_kw=self.peak_price_per_kw,
            battery_wear_per_kwh=self.battery_wear_per_kwh,
            end_value_per_kwh=self.end_value_per_kwh,
            grid_limit_price_per_kwh=self.grid_limit_price_per_kwh,
            vehicles=tuple(vehicles),
            as_of=self.as_of,
        )

    def _prices(self) -> PriceRequest:
        return PriceRequest(
            array_or_number(self.import_price_per_kwh),
            array_or_number(self.export_price_per_kwh),
            array_or_number(self.emission_factor_kg_per_kwh),
            array_or_number(self.zonal_price_per_kwh),
        )

    def _check_devices(self) -> None:
        if len(self.devices) > MOST_DEVICES:
            raise InvalidInput(
                f"a plan at the level of the community has at most {MOST_DEVICES} devices; level: member has more",
                field="devices",
            )
        for place, one in enumerate(self.devices):
            if isinstance(one, PlannedVehicleBody) and one.member_id is not None:
                raise InvalidInput(
                    "whose a vehicle is counts at the level of members alone; ask for level: member, or leave it out",
                    field=f"devices.{place}.member_id",
                )


COMMUNITY_ALONE = {
    "weights": "choose an objective",
    "members": "their loads are forecast from their own readings",
    "risk": "it is made for the expected course",
    "zonal_price_per_kwh": "no premium is paid there",
    "current_soc_kwh": "what is stored is told by readings of storage_soc_kwh of each battery",
    "final_soc_min_kwh": "each battery ends as full as it began unless end_value_per_kwh is given",
    "storage_reserve_kwh": "a reserve of the community's storage is nobody's",
}
"""What belongs to the level of the community, and what stands in its place."""


class BaselineCost(Answer):
    """What a baseline costs, and what the plan saves against it."""

    cost: float
    saved: float


class Savings(Answer):
    """Against the plain self-consumption rule; absent where that breaks a limit. `idle` stands beside it."""

    baseline: Literal["self_consumption_rule"]
    cost_without_control: float | None = None
    saved: float | None = None
    baselines: dict[str, BaselineCost]


class BindingLimitAnswer(Answer):
    """A limit that holds the plan back, and what one more unit of it is worth in the objective."""

    limit: str
    intervals: int
    first_interval: Instant | None
    value_per_unit: float


class ScheduleAnswer(Answer):
    """A certified plan: powers are means over the interval, the state of charge stands at its end."""

    result_id: str
    kind: Literal["dispatch"]
    objective: str
    status: Literal["optimal", "feasible"] = Field(
        description="`feasible`: no worse than `gap` says, perhaps not the best"
    )
    objective_value: float
    gap: float
    start: Instant
    resolution_minutes: int
    load_kw: list[float]
    pv_kw: list[float]
    import_price_per_kwh: list[float]
    export_price_per_kwh: list[float]
    charge_kw: list[float]
    discharge_kw: list[float]
    soc_kwh: list[float]
    import_kw: list[float]
    export_kw: list[float]
    curtailed_kw: list[float]
    shared_kwh: list[float] | None = None
    cost: float
    emissions_kg: float
    peak_kw: float
    self_consumption: float
    self_sufficiency: float
    beyond_limits_kwh: float | None = Field(default=None, description="Only where the limits have a price")
    discomfort_c_hours: float | None = Field(default=None, description="Degrees outside of comfort bands, times hours")
    water_value_per_kwh: list[float] | None = Field(
        default=None, description="What one more stored kWh at the end of each interval lowers the objective by"
    )
    devices: list[DeviceUseAnswer] | None = None
    risk: RiskAnswer | None = None
    savings: Savings
    binding: list[BindingLimitAnswer]
    provenance: Provenance


class ResultSummary(Answer):
    """A stored plan in a list."""

    result_id: str
    kind: Literal["dispatch", "member_dispatch"]
    created_at: Instant
    objective: str
    start: Instant
    cost: float


class TariffSummary(Answer):
    """A stored tariff in a list."""

    result_id: str
    kind: Literal["tariff"]
    created_at: Instant
    start: Instant
    welfare_change: float
    incentives_paid: float
    revenue: float


def summary_of(stored: StoredResult) -> ResultSummary | TariffSummary:
    """What a list shows of a result."""
    document: dict[str, Any] = stored.document
    if stored.kind == "tariff":
        return TariffSummary(
            result_id=stored.result_id,
            kind="tariff",
            created_at=stored.created_at,
            start=document["start"],
            welfare_change=document["welfare"]["change"],
            incentives_paid=document["incentives_paid"],
            revenue=document["revenue"],
        )
    return ResultSummary(
        result_id=stored.result_id,
        kind="member_dispatch" if stored.kind == "member_dispatch" else "dispatch",
        created_at=stored.created_at,
        objective=document["objective"],
        start=document["start"],
        cost=document["cost"],
    )


class ResultPage(Page):
    """Results, newest first."""

    results: list[Annotated[ResultSummary | TariffSummary, Field(discriminator="kind")]]


class ResultQuery(Body):
    """Which results to list."""

    model_config = ConfigDict(strict=False, extra="forbid")

    kind: Literal["dispatch", "member_dispatch", "tariff"] | None = None
    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None
