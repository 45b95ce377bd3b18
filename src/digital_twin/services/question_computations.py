"""What is computed again from the question of a kept plan; importing this module imports no numerical package."""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from digital_twin.optimization.plan import DispatchProblem, Weights


def explain_question(
    problem: "DispatchProblem", weights: "Weights", zone: str, currency: str, time_limit_s: float
) -> dict[str, Any]:
    """Why the best plan is as it is, as a document."""
    from digital_twin.domain.time import time_zone
    from digital_twin.optimization.explain import explain_plan
    from digital_twin.services.explanation_document import explanation_document

    found = explain_plan(problem, weights, zone=time_zone(zone), currency=currency, time_limit_s=time_limit_s)
    return explanation_document(problem.outlook.grid, found)


def write_question(
    problem: "DispatchProblem", weights: "Weights", form: Literal["lp", "mps"], time_limit_s: float
) -> str:
    """The model as text."""
    from digital_twin.optimization.model_file import model_text

    return model_text(problem, weights, form, time_limit_s=time_limit_s)
