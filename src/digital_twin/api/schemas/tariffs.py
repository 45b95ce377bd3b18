"""Requests for tariffs, and the tariffs that answer them."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from digital_twin.api.schemas.model import (
    Answer,
    Body,
    Instant,
    InvalidValue,
    PricePerKwh,
    Provenance,
    array_of,
    array_or_number,
)
from digital_twin.api.schemas.schedules import (
    MAX_HORIZON_HOURS,
    MAX_STEPS,
    BindingLimitAnswer,
    Factors,
    Powers,
    Prices,
)
from digital_twin.domain.errors import InvalidInput
from digital_twin.optimization.tariffs.demand_response import Elasticity
from digital_twin.optimization.tariffs.plan import WelfareWeights
from digital_twin.services.prices import PriceRequest
from digital_twin.services.tariffs import HOURLY, FeedInRule, TariffRequest

Money = Annotated[float, Field(ge=0, le=1e9)]
Hours = Annotated[list[Annotated[float, Field(ge=0, lt=24)]], Field(min_length=1, max_length=96)]
OwnElasticity = Annotated[float, Field(ge=-10, le=0)]


class PriceBounds(Body):
    """No price below `low`, none above `high`."""

    low: PricePerKwh
    high: PricePerKwh


class ElasticityBody(Body):
    """Answer of demand to its own price, and to all other prices of the local day together."""

    own: OwnElasticity
    cross: Annotated[float, Field(ge=-10, le=10)] = 0.0


class WelfareWeightsBody(Body):
    """How much each part of welfare counts; the margin at least half as much as the surplus of consumers."""

    consumer_surplus: Annotated[float, Field(ge=0, le=1e3)] = 1.0
    operator_margin: Annotated[float, Field(ge=0, le=1e3)] = 1.0
    pv_receipts: Annotated[float, Field(ge=0, le=1e3)] = 1.0
    carbon_damage: Annotated[float, Field(ge=0, le=1e3)] = 1.0

    def to_domain(self) -> WelfareWeights:
        return WelfareWeights(self.consumer_surplus, self.operator_margin, self.pv_receipts, self.carbon_damage)


class TariffBody(Body):
    """What to design. What is left out comes from readings, forecast, tariff and documented priors."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "start_time": "2026-03-02T00:00:00Z",
                    "horizon_hours": 24,
                    "blocks": [0, 6, 10, 16, 21],
                    "price_bounds": {"low": 0.1, "high": 0.5},
                    "elasticity": -0.2,
                    "incentive_budget": 20,
                }
            ]
        }
    )

    start_time: Instant | None = None
    horizon_hours: Annotated[float, Field(gt=0, le=MAX_HORIZON_HOURS)] = 24.0
    resolution_minutes: Literal[5, 10, 15, 30, 60] = 15
    blocks: Annotated[int, Field(ge=1, le=MAX_STEPS)] | Hours | None = Field(
        default=None,
        description="Local hours at which a new price begins, each day, such as [0, 6, 17, 21]; or a number of equal "
        "parts of the horizon with a price each. A price for every local hour unless given",
    )
    price_bounds: PriceBounds | None = None
    max_price_step_per_kwh: Annotated[float, Field(ge=0, le=1e3)] | None = Field(
        default=None, description="The most by which prices of blocks that follow each other may differ"
    )
    price_unit_per_kwh: Annotated[float, Field(gt=0, le=1e3)] | None = Field(
        default=None, description="Prices are whole multiples of it, such as 0.01 for cents"
    )
    no_member_worse_off: bool = Field(
        default=False,
        description="What each member with readings uses at present must not cost more than it does",
    )
    elasticity: OwnElasticity | ElasticityBody | None = Field(
        default=None,
        description="Learned from readings and past prices unless given, where both vary; else the literature's",
    )
    revenue_floor: Annotated[float, Field(ge=-1e9, le=1e9)] | None = Field(
        default=None, description="What members must at least pay for their demand over the horizon"
    )
    incentive_budget: Money | None = Field(
        default=None, description="For discounts on each local day; the community's incentive_budget_daily unless given"
    )
    already_spent_today: Money = Field(default=0.0, description="Of the budget of the local day of start_time")
    weights: WelfareWeightsBody | None = None
    load_kw: Powers | None = Field(default=None, description="Demand at the present import price")
    pv_kw: Powers | None = None
    reference_price_per_kwh: Prices | PricePerKwh | None = Field(
        default=None, description="The present import price, that of the community's tariff unless given"
    )
    export_price_per_kwh: Prices | PricePerKwh | None = Field(default=None, description="The present feed-in price")
    marginal_cost_per_kwh: Prices | PricePerKwh | None = Field(
        default=None, description="What one more kWh of demand costs the operator"
    )
    emission_factor_kg_per_kwh: Factors | Annotated[float, Field(ge=0, le=10)] | None = None
    carbon_price_per_kg: Annotated[float, Field(ge=0, le=100)] | None = None
    feed_in_rule: Literal["zero_operator_surplus", "present_tariff"] = Field(
        default="zero_operator_surplus",
        description="`zero_operator_surplus` pays for PV what it saves, the marginal cost; a mere transfer",
    )
    as_of: Instant | None = None

    @model_validator(mode="after")
    def _whole_intervals(self) -> Self:
        steps = self.horizon_hours * 60 / self.resolution_minutes
        if steps != int(steps) or not 1 <= steps <= MAX_STEPS:
            raise InvalidValue(f"horizon_hours must be 1 to {MAX_STEPS} whole intervals of resolution_minutes")
        return self

    def _check_lengths(self) -> None:
        steps = round(self.horizon_hours * 60 / self.resolution_minutes)
        for name in TariffBody.model_fields:
            values = getattr(self, name)
            if name != "blocks" and isinstance(values, list) and len(values) != steps:  # type: ignore[arg-type]
                raise InvalidInput(f"{name} must have one value for each of the {steps} intervals", field=name)

    def to_domain(self) -> TariffRequest:
        """Raises InvalidInput naming the array that has another length than the horizon, or the number out of place."""
        self._check_lengths()
        blocks = self.blocks
        return TariffRequest(
            start=self.start_time,
            horizon_hours=self.horizon_hours,
            resolution_minutes=self.resolution_minutes,
            blocks=HOURLY if blocks is None else tuple(blocks) if isinstance(blocks, list) else blocks,
            price_bounds=None if self.price_bounds is None else (self.price_bounds.low, self.price_bounds.high),
            max_step_per_kwh=self.max_price_step_per_kwh,
            price_unit_per_kwh=self.price_unit_per_kwh,
            no_member_worse_off=self.no_member_worse_off,
            elasticity=_elasticity(self.elasticity),
            revenue_floor=self.revenue_floor,
            incentive_budget=self.incentive_budget,
            already_spent_today=self.already_spent_today,
            weights=WelfareWeights() if self.weights is None else self.weights.to_domain(),
            load_kw=array_of(self.load_kw),
            pv_kw=array_of(self.pv_kw),
            prices=PriceRequest(
                array_or_number(self.reference_price_per_kwh),
                array_or_number(self.export_price_per_kwh),
                array_or_number(self.emission_factor_kg_per_kwh),
            ),
            marginal_cost_per_kwh=array_or_number(self.marginal_cost_per_kwh),
            carbon_price_per_kg=self.carbon_price_per_kg,
            feed_in_rule=FeedInRule(self.feed_in_rule),
            as_of=self.as_of,
        )


def _elasticity(given: float | ElasticityBody | None) -> Elasticity | None:
    if given is None:
        return None
    return Elasticity(given.own, given.cross) if isinstance(given, ElasticityBody) else Elasticity(given)


class PriceBlock(Answer):
    """A stretch of one price."""

    start: Instant
    end: Instant
    import_price_per_kwh: float


class ElasticityAnswer(Answer):
    """The elasticity that was gone by; with its standard errors and what it rests on where it was learned."""

    own: float
    cross: float
    source: Literal["request", "readings", "literature"]
    own_standard_error: float | None = None
    cross_standard_error: float | None = None
    days: int | None = None
    rests_on: str | None = None


class WelfareChange(Answer):
    """Against the present tariff; `change` is surplus + margin + receipts - damage, weighted."""

    change: float
    consumer_surplus: float
    operator_margin: float
    pv_receipts: float
    carbon_damage: float


class TariffDay(Answer):
    """A local day, as far as it lies within the horizon."""

    start: Instant
    energy_before_kwh: float
    energy_after_kwh: float
    incentive_budget: float
    incentives_paid: float
    budget_shadow_price: float


class PresentTariff(Answer):
    """What the present tariff does with the same load."""

    import_price_per_kwh: list[float]
    export_price_per_kwh: list[float]
    revenue: float
    operator_margin: float
    pv_receipts: float
    carbon_damage: float


class MemberChange(Answer):
    """What a member pays for its load, and what it gains."""

    member_id: str
    bill_before: float
    bill_after: float
    surplus_change: float


class TariffDistribution(Answer):
    """Who gains. Sums are over the members whose loads are known, or the community where none is."""

    basis: Literal["members", "community"]
    members_total: int
    members_known: int
    bill_before: float
    bill_after: float
    surplus_change: float
    gains: float | None = None
    losses: float | None = None
    share_better_off: float | None = None
    surplus_change_deciles: dict[str, float] | None = Field(default=None, description="From ten known members on")
    members: list[MemberChange] | None = None


class TariffAnswer(Answer):
    """A certified tariff: no local day spends more than its budget, evaluated on the demand after response."""

    result_id: str
    kind: Literal["tariff"]
    status: Literal["optimal", "feasible"] = Field(description="`feasible`: perhaps not the best")
    gap: float | None = Field(default=None, description="How much of the bill better prices could add to welfare")
    start: Instant
    resolution_minutes: int
    import_price_per_kwh: list[float]
    export_price_per_kwh: list[float]
    demand_before_kw: list[float]
    demand_after_kw: list[float]
    demand_before_low_kw: list[float] | None = Field(default=None, description="Bands hold with 80 % probability")
    demand_before_high_kw: list[float] | None = None
    demand_after_low_kw: list[float] | None = None
    demand_after_high_kw: list[float] | None = None
    elasticity: ElasticityAnswer | None = Field(default=None, description="Not in tariffs of earlier versions")
    marginal_cost_per_kwh: list[float]
    blocks: list[PriceBlock]
    welfare: WelfareChange
    incentives_paid: float
    revenue: float
    budget_shadow_price: float = Field(description="Welfare per unit more of budget on the day where it is worth most")
    days: list[TariffDay]
    present_tariff: PresentTariff
    distribution: TariffDistribution
    slopes_distortion: float
    binding: list[BindingLimitAnswer]
    provenance: Provenance
