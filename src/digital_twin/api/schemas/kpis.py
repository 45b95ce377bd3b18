"""How a community has done, as it is asked for and answered."""

from typing import Literal

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import Answer, Body, Instant, Provenance
from digital_twin.services.kpis import KpiRequest

CAPTURED = (
    "Share of the way from this baseline's cost to the best plan's that was gone: 1 is the best that anybody who knew "
    "everything beforehand could have done, below 0 is worse than the baseline; null where there was nothing to gain, "
    "or the best plan is not known"
)


class KpiQuery(Body):
    """Which time; begun hours do not count."""

    model_config = ConfigDict(strict=False, extra="forbid")

    start: Instant | None = Field(default=None, description="Seven days before `end` unless told")
    end: Instant | None = Field(default=None, description="Now unless told; at most 400 days after `start`")
    as_of: Instant | None = Field(default=None, description="Only what was known then is used")

    def to_domain(self) -> KpiRequest:
        return KpiRequest(self.start, self.end, self.as_of)


class BaselineAnswer(Answer):
    """What would have been paid without a plan for the storage, or without it and any generation."""

    cost: float
    saved: float
    value_captured: float | None = Field(description=CAPTURED)


class KpiSavings(Answer):
    """Against the plain self-consumption rule; `idle` storage and `no_assets` stand beside it."""

    baseline: Literal["self_consumption_rule"]
    cost_without_control: float
    saved: float
    value_captured: float | None = Field(description=CAPTURED)
    perfect_cost: float | None = Field(description="Of the best plan with the same load, generation and final energy")
    baselines: dict[str, BaselineAnswer]


class KpiAnswer(Answer):
    """Sums over all intervals whose load, generation and stored energy are known."""

    start: Instant
    end: Instant
    resolution_minutes: int
    known: float = Field(description="Share of the time that the figures are about")
    load_kwh: float
    pv_kwh: float
    import_kwh: float
    export_kwh: float
    charged_kwh: float
    discharged_kwh: float
    self_consumption: float | None = Field(description="Null where only the net load is metered")
    self_sufficiency: float | None = Field(description="Null where only the net load is metered")
    peak_kw: float = Field(description="Highest import")
    cost: float = Field(description="Of energy: what was bought less what was sold and the worth of sharing")
    emissions_kg: float = Field(description="Of what was bought, without credit for what was sold")
    savings: KpiSavings
    provenance: Provenance
