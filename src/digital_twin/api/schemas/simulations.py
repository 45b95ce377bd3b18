"""Scenarios, and what they come to."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from digital_twin.api.schemas.model import Answer, Body, Identifier, Instant, InvalidValue, Provenance, Text
from digital_twin.api.schemas.runs import LEFT_OUT_WHEN_NONE
from digital_twin.services.simulations import MAX_RUNS, SimulationRequest
from digital_twin.simulation.economics import MAX_LIFETIME_YEARS, Investment
from digital_twin.simulation.scenario import PARAMETERS, Policy, Scenario

MAX_DAYS = 366
MAX_SCENARIOS = 20
DEFAULT_RUNS = 100

Number = Annotated[float, Field(ge=-1e7, le=1e7)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]
Runs = Annotated[int, Field(ge=2, le=MAX_RUNS)]
Precision = Annotated[float, Field(ge=0.0005, le=0.5)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
PolicyName = Literal["self_consumption_rule", "idle"]


class MultiplyBody(Body):
    """So many times what the community has."""

    multiply: Number


class AddBody(Body):
    """So much more than the community has."""

    add: Number


Changes = Annotated[
    dict[
        ParameterName, Number | MultiplyBody | AddBody | Literal["single_meter", "none", "dynamic", "static", "hybrid"]
    ],
    Field(
        max_length=len(PARAMETERS),
        description='Parameter and its new value, `{"multiply": x}` or `{"add": x}`. Parameters: '
        + ", ".join(f"`{name}`" for name in PARAMETERS),
    ),
]


class EconomicsBody(Body):
    """Money spent at the beginning, to be saved back; the rate is real, per year."""

    investment: Annotated[float, Field(ge=0, le=1e12)]
    lifetime_years: Annotated[int, Field(ge=1, le=MAX_LIFETIME_YEARS)]
    discount_rate: Annotated[float, Field(ge=0, le=1)]
    annual_operation_cost: Annotated[float, Field(ge=0, le=1e12)] = 0.0

    def to_domain(self) -> Investment:
        return Investment(self.investment, self.lifetime_years, self.discount_rate, self.annual_operation_cost)


class ScenarioBody(Body):
    """What is different in a scenario."""

    scenario_id: Identifier
    name: Text = ""
    description: Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")] = ""
    parameter_changes: Changes = Field(default_factory=dict)
    policy: PolicyName = Field(default="self_consumption_rule", description="What the storage does")
    economics: EconomicsBody | None = None

    def to_scenario(self) -> Scenario:
        changes = {
            name: change.model_dump() if isinstance(change, Body) else change
            for name, change in self.parameter_changes.items()
        }
        return Scenario(
            self.scenario_id,
            changes,
            self.name,
            self.description,
            Policy(self.policy),
            None if self.economics is None else self.economics.to_domain(),
        )


class HowMany(Body):
    """How many simulated years there are, of how many days."""

    simulation_duration_days: Days = 365
    monte_carlo_runs: Runs | None = Field(default=None, description=f"{DEFAULT_RUNS} unless target_precision is given")
    target_precision: Precision | None = Field(
        default=None, description="Half the confidence interval of the mean cost, as a share of it, to be reached"
    )
    seed: Seed | None = Field(
        default=None, description="The same seed draws the same years; drawn and told if left out"
    )
    as_of: Instant | None = None

    @model_validator(mode="after")
    def _one_way_to_say_how_many(self) -> Self:
        if self.monte_carlo_runs is not None and self.target_precision is not None:
            raise InvalidValue("give monte_carlo_runs or target_precision, not both")
        return self

    def of(self, *scenarios: Scenario, is_comparison: bool) -> SimulationRequest:
        """The request for these scenarios."""
        runs = self.monte_carlo_runs
        if runs is None and self.target_precision is None:
            runs = DEFAULT_RUNS
        return SimulationRequest(
            scenarios, self.simulation_duration_days, runs, self.target_precision, self.seed, self.as_of, is_comparison
        )


class RunScenarioBody(ScenarioBody, HowMany):
    """One scenario, beside the community as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scenario_id": "more_sun",
                    "name": "Half as much PV again",
                    "description": "What would 250 kW more on our roofs change?",
                    "parameter_changes": {"total_pv_capacity_kw": {"multiply": 1.5}},
                    "simulation_duration_days": 30,
                    "monte_carlo_runs": 20,
                    "seed": 1,
                }
            ]
        }
    )

    def to_domain(self) -> SimulationRequest:
        return self.of(self.to_scenario(), is_comparison=False)


class RunMultipleBody(HowMany):
    """Scenarios on the same simulated years, beside each other and the community as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scenarios": [
                        {"scenario_id": "more_sun", "parameter_changes": {"total_pv_capacity_kw": 750}},
                        {
                            "scenario_id": "more_storage",
                            "parameter_changes": {
                                "total_storage_capacity_kwh": {"add": 500},
                                "max_storage_power_kw": {"multiply": 1.5},
                            },
                        },
                    ],
                    "simulation_duration_days": 30,
                    "monte_carlo_runs": 20,
                    "seed": 1,
                }
            ]
        }
    )

    scenarios: Annotated[list[ScenarioBody], Field(min_length=1, max_length=MAX_SCENARIOS)]

    def to_domain(self) -> SimulationRequest:
        return self.of(*(one.to_scenario() for one in self.scenarios), is_comparison=True)


class IntervalAnswer(Answer):
    """A mean over the simulated years, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


class KpiAnswer(IntervalAnswer):
    """The quantiles say how the figure differs from year to year."""

    quantiles: dict[str, float]


class KpisAnswer(Answer):
    """Sums over the simulated days; shares are 0..1."""

    cost: KpiAnswer
    emissions_kg: KpiAnswer
    self_consumption: KpiAnswer
    self_sufficiency: KpiAnswer
    peak_import_kw: KpiAnswer
    imported_kwh: KpiAnswer
    exported_kwh: KpiAnswer
    curtailed_kwh: KpiAnswer
    shared_kwh: KpiAnswer
    load_kwh: KpiAnswer
    generation_kwh: KpiAnswer
    charged_kwh: KpiAnswer
    discharged_kwh: KpiAnswer
    beyond_import_limit_kwh: KpiAnswer
    beyond_export_limit_kwh: KpiAnswer


class EconomicsAnswer(Answer):
    """What the investment is worth against the community as it is; a payback is there if it comes in the lifetime."""

    investment: float
    lifetime_years: int
    discount_rate: float
    annual_operation_cost: float
    annual_saving: IntervalAnswer
    net_present_value: KpiAnswer
    cash_flows: list[float]
    discounted_cash_flows: list[float]
    payback_years: float | None = LEFT_OUT_WHEN_NONE
    discounted_payback_years: float | None = LEFT_OUT_WHEN_NONE


class RiskAnswer(Answer):
    """The cost that one year in twenty exceeds, and the mean of those years."""

    var_95: float
    cvar_95: float


class DifferenceAnswer(Answer):
    """Cost less that of the other on the same years: below 0 it saves; and the share of years in which it does."""

    cost_difference: IntervalAnswer
    share_cheaper: float


class ReferenceAnswer(DifferenceAnswer):
    """Against the community as it is."""

    reference: Literal["as_is"]


class MemberGroupAnswer(Answer):
    """Members who gain alike."""

    homes: int
    mean_saved: float
    mean_bill_before: float


class MembersAnswer(Answer):
    """Who wins and who loses; deciles from those who lose most, or fewer groups so that five homes are in each."""

    better_off: int
    worse_off: int
    unchanged: int
    groups: list[MemberGroupAnswer]


class ScenarioAnswer(Answer):
    """What a scenario comes to."""

    result_id: str | None = LEFT_OUT_WHEN_NONE
    scenario_id: str
    name: str
    description: str
    policy: PolicyName
    parameter_changes: dict[str, Any]
    start: Instant
    simulation_duration_days: int
    resolution_minutes: int
    kpis: KpisAnswer
    economics: EconomicsAnswer | None = LEFT_OUT_WHEN_NONE
    risk: RiskAnswer
    members: MembersAnswer | None = LEFT_OUT_WHEN_NONE
    comparison: ReferenceAnswer
    runs: int
    precision: float
    seed: int
    provenance: Provenance


class RankAnswer(Answer):
    """A place, the cheapest first; how sure it is that it costs less in the mean than the next."""

    scenario_id: str
    mean_cost: float
    share_best: float
    confidence: float | None = LEFT_OUT_WHEN_NONE


class PairAnswer(DifferenceAnswer):
    """Two scenarios, the cheaper first."""

    scenario_id: str
    other: str


class ComparisonAnswer(Answer):
    """All scenarios and the community as it is."""

    reference: Literal["as_is"]
    ranking: list[RankAnswer]
    differences: list[PairAnswer]


class ScenariosAnswer(Answer):
    """Scenarios beside each other."""

    result_id: str
    scenarios: list[ScenarioAnswer]
    comparison: ComparisonAnswer
    provenance: Provenance
