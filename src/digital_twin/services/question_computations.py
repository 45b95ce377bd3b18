"""What is computed again from the question of a kept plan; importing this module imports no numerical package."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from digital_twin.optimization.plan import DispatchProblem, Powers, Weights
    from digital_twin.services.computations import Comparison


def explain_question(
    problem: "DispatchProblem", weights: "Weights", powers: "Powers", place: tuple[str, str], time_limit_s: float
) -> dict[str, Any]:
    """Why the plan with these powers is as it is, as a document; `place` is its time zone and its currency."""
    from digital_twin.domain.time import time_zone
    from digital_twin.optimization.explanation.explain import explain_plan
    from digital_twin.services.explanation_document import explanation_document

    zone, currency = time_zone(place[0]), place[1]
    found = explain_plan(problem, weights, powers, zone=zone, currency=currency, time_limit_s=time_limit_s)
    return explanation_document(problem.outlook.grid, found)


def write_question(
    problem: "DispatchProblem", weights: "Weights", form: Literal["lp", "mps"], time_limit_s: float
) -> str:
    """The model as text."""
    from digital_twin.optimization.model_file import write_model

    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{form}"
        write_model(problem, weights, path, time_limit_s=time_limit_s)
        return path.read_text(encoding="utf-8")


def trade_question(
    problem: "DispatchProblem",
    against: Literal["emissions", "self_sufficiency", "peak"],
    points: int,
    time_limit_s: float,
) -> dict[str, Any]:
    """The trade-off of cost against another measure, as a document."""
    from digital_twin.optimization.pareto import trade_off
    from digital_twin.services.trade_off_document import trade_off_document

    return trade_off_document(trade_off(problem, against, points=points, time_limit_s=time_limit_s))


def point_and_compare(problem: "DispatchProblem", plan: dict[str, Any]) -> "Comparison":
    """The plan of a point, checked and accounted for again, and its baselines."""
    from digital_twin.optimization.accounting import account
    from digital_twin.optimization.check import violations
    from digital_twin.optimization.dispatch import PlanRefused
    from digital_twin.optimization.plan import OBJECTIVES
    from digital_twin.services.computations import compared
    from digital_twin.services.trade_off_document import powers_of

    schedule = account(problem, OBJECTIVES["minimize_cost"], *powers_of(plan))
    broken = violations(problem, schedule)
    if broken:
        raise PlanRefused(f"the plan failed the independent check of {', '.join(broken)}; please report the request")
    return compared(problem, schedule)
