"""Risk in a dispatch: which courses are planned for, and what is told of them."""

from dataclasses import dataclass
from typing import Any

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.forecasting.paths import Paths
from digital_twin.optimization.plan import DispatchProblem
from digital_twin.optimization.stochastic.plan import Risk, Scenarios, StochasticProblem
from digital_twin.services.computations import RISK_LEVELS, RiskOutlook
from digital_twin.services.provenance import Provenance

MOST_STEPS = 672
"""A week of quarters of an hour: the work of a plan under risk grows with their cube."""


@dataclass(frozen=True, slots=True)
class RiskRequest:
    """How much the worst outcomes count, and how many sample paths of the forecast stand for what may come."""

    cvar_weight: float = 0.5
    confidence: float = 0.9
    scenarios: int = 100
    seed: int = 0


def check_risk(objective: str | None, *, has_weights: bool, given: tuple[Array | None, ...], steps: int) -> None:
    """Raises InvalidInput for a dispatch that cannot be planned under risk."""
    if has_weights or objective not in (None, "minimize_cost"):
        raise InvalidInput("under risk it is the cost that is minimised; leave weights out", field="risk")
    if all(values is not None for values in given):
        raise InvalidInput("risk is that of the forecast; leave load_kw or pv_kw out", field="risk")
    if steps > MOST_STEPS:
        raise InvalidInput(f"under risk a horizon has at most {MOST_STEPS} intervals, got {steps}", field="risk")


def under_risk(
    problem: DispatchProblem,
    request: RiskRequest,
    paths: Paths | None,
    *,
    given: tuple[Array | None, Array | None],
    provenance: Provenance,
) -> StochasticProblem:
    """The question for these paths; load or generation that the caller gave are the same in each of them.

    Raises:
        InvalidInput: members share energy, which no path of the sums tells, or there are devices.
    """
    if paths is None:
        raise InvalidInput("risk can be planned for behind a single meter only; leave it out", field="risk")
    both = [
        sampled if fixed is None else fixed[None].repeat(request.scenarios, axis=0)
        for sampled, fixed in zip((paths.load_kw, paths.pv_kw), given, strict=True)
    ]
    provenance.sources["scenarios"] = f"{request.scenarios} sample paths of the forecast, seed {request.seed}"
    return StochasticProblem(problem, Scenarios(*both), Risk(request.cvar_weight, request.confidence))


def risk_document(request: RiskRequest, outlook: RiskOutlook) -> dict[str, Any]:
    """What the plan costs and risks over all scenarios."""
    figures = outlook.figures
    return {
        "cvar_weight": request.cvar_weight,
        "confidence": request.confidence,
        "scenarios": request.scenarios,
        "seed": request.seed,
        "expected_cost": figures.expected_cost,
        "cvar": figures.cvar,
        "cost_quantiles": dict(zip(_names(), outlook.cost_quantiles.tolist(), strict=True)),
        "import_kw_quantiles": dict(zip(_names(), outlook.import_kw_quantiles.tolist(), strict=True)),
        "violation_chance": {
            "grid_import_limit_kw": figures.import_violation_chance,
            "grid_export_limit_kw": figures.export_violation_chance,
            "either": figures.violation_chance,
        },
        "expected_beyond_limits_kwh": figures.expected_excess_kwh,
        "expected_beyond_limits_cost": figures.expected_excess_cost,
        "beyond_limits_price_per_kwh": outlook.beyond_limits_price_per_kwh,
        "value_of_planning_for_risk": outlook.value_of_stochastic_solution,
    }


def _names() -> list[str]:
    return [f"{level:g}" for level in RISK_LEVELS]
