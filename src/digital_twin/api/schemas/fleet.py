"""Plans at the level of members: of all, page by page of each, and of one."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_DIGITS, Answer, Body, Cursor, Instant, Page, Provenance
from digital_twin.services.fleet_plans import MemberPlanReport
from digital_twin.services.ports import PLAN_COLUMNS, MemberPlan, StoredResult


class MemberSavings(Answer):
    """Against everyone's own self-consumption rule, which knows neither prices nor the others."""

    baseline: Literal["self_consumption_rule"]
    cost_without_control: float
    saved: float
    baseline_breaks: list[str] = Field(description="Limits that these rules would break, if any")


class Fairness(Answer):
    """How far apart members are in what each saves against their own rule."""

    saved_quantiles: dict[str, float]
    worse_off_members: int
    members_with_storage: int
    mean_saved_with_storage: float | None = None
    mean_saved_without_storage: float | None = None
    shared_by_nobody: float = Field(
        description="Saved by those who are no members, of the peak charge, and beyond limits that have a price"
    )


class MemberScheduleAnswer(Answer):
    """A certified plan of every member's storage, as it is for all; powers are means over the interval."""

    result_id: str
    kind: Literal["member_dispatch"]
    objective: str
    status: Literal["optimal", "feasible"]
    objective_value: float
    lower_bound: float = Field(description="No plan costs less")
    gap: float = Field(description="Between both, relative to the cost")
    iterations: int
    start: Instant
    resolution_minutes: int
    members: int
    storages: int
    vehicles: int
    load_kw: list[float]
    pv_kw: list[float]
    charge_kw: list[float]
    discharge_kw: list[float]
    soc_kwh: list[float]
    curtailed_kw: list[float]
    import_kw: list[float]
    export_kw: list[float]
    value_per_kwh: list[float] = Field(description="Of one more kWh within the community")
    charging_members: list[int]
    discharging_members: list[int]
    import_price_per_kwh: list[float]
    export_price_per_kwh: list[float]
    rule_import_kw: list[float] = Field(description="Under everyone's own rule")
    rule_export_kw: list[float]
    cost: float
    emissions_kg: float
    peak_kw: float
    savings: MemberSavings
    fairness: Fairness
    provenance: Provenance


class MemberPlanAnswer(Answer):
    """One member's part of a plan; `saved` is against their own self-consumption rule."""

    member_id: str
    cost: float
    saved: float
    load_kw: list[float]
    pv_kw: list[float]
    charge_kw: list[float]
    discharge_kw: list[float]
    soc_kwh: list[float]
    curtailed_kw: list[float]

    @classmethod
    def from_plan(cls, plan: MemberPlan) -> "MemberPlanAnswer":
        return cls(member_id=plan.member_id, cost=plan.cost, saved=plan.saved, **_columns(plan))


class MemberPlanPage(Page):
    """Some members' plans, by member id."""

    result_id: str
    start: Instant
    resolution_minutes: int
    members: list[MemberPlanAnswer]

    @classmethod
    def from_plans(cls, result: StoredResult, plans: list[MemberPlan], following: str | None) -> "MemberPlanPage":
        return cls(
            result_id=result.result_id,
            start=result.document["start"],
            resolution_minutes=result.document["resolution_minutes"],
            members=[MemberPlanAnswer.from_plan(one) for one in plans],
            next=following,
        )


class OwnPlanAnswer(MemberPlanAnswer):
    """One member's plan, with the prices that it rests on."""

    result_id: str
    start: Instant
    resolution_minutes: int
    import_price_per_kwh: list[float]
    export_price_per_kwh: list[float]

    @classmethod
    def from_report(cls, report: MemberPlanReport) -> "OwnPlanAnswer":
        names = ("result_id", "start", "resolution_minutes", "import_price_per_kwh", "export_price_per_kwh")
        plan = report.plan
        return cls(
            member_id=plan.member_id,
            cost=plan.cost,
            saved=plan.saved,
            **_columns(plan),
            **{name: report.result.document[name] for name in names},
        )


class MemberPlanQuery(Body):
    """Which part of the members; CSV and Parquet have all of them."""

    model_config = ConfigDict(strict=False, extra="forbid")

    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=200)] = 50
    cursor: Cursor | None = None


class OwnPlanQuery(Body):
    """Of which result; the newest that has a plan for the member unless it is named."""

    model_config = ConfigDict(strict=False, extra="forbid")

    result_id: Annotated[str, Field(max_length=36)] | None = None


def _columns(plan: MemberPlan) -> dict[str, Any]:
    return {name: values.tolist() for name, values in zip(PLAN_COLUMNS, plan.powers, strict=True)}
