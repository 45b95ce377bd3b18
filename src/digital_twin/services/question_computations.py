"""What is computed again from the question of a kept plan; importing this module imports no numerical package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from digital_twin.optimization.member_plan import MembersQuestion
    from digital_twin.optimization.plan import DispatchProblem, Powers, Weights
    from digital_twin.optimization.stochastic.plan import StochasticProblem
    from digital_twin.services.computations import Comparison
    from digital_twin.services.question_document import Kept


def explain_question(
    question: "Kept", plan: Mapping[str, Any], place: tuple[str, str], time_limit_s: float
) -> dict[str, Any]:
    """Why a plan is as it is, as a document.

    Args:
        plan: the document of its result.
        place: its time zone and its currency.
    """
    from digital_twin.optimization.member_plan import MembersQuestion
    from digital_twin.optimization.stochastic.plan import StochasticProblem
    from digital_twin.services.question_document import question_parts

    first, *others = question_parts(question)
    match first:
        case MembersQuestion():
            return _explain_members(first, others[0], plan, place)
        case StochasticProblem():
            return _explain_risk(first, plan, place, time_limit_s)
        case _:
            return _explain_community(first, others[0], plan, place, time_limit_s)


def _explain_community(
    problem: "DispatchProblem", weights: "Weights", plan: Mapping[str, Any], place: tuple[str, str], time_limit_s: float
) -> dict[str, Any]:
    from digital_twin.domain.time import time_zone
    from digital_twin.optimization.explanation.explain import explain_plan
    from digital_twin.services.explanation_document import explanation_document

    zone, currency = time_zone(place[0]), place[1]
    found = explain_plan(problem, weights, _powers_of(plan), zone=zone, currency=currency, time_limit_s=time_limit_s)
    return explanation_document(problem.outlook.grid, found)


def _explain_members(
    question: "MembersQuestion", member_ids: Sequence[str], plan: Mapping[str, Any], place: tuple[str, str]
) -> dict[str, Any]:
    import numpy as np

    from digital_twin.domain.time import time_zone
    from digital_twin.optimization.explanation.explain_groups import explain_members
    from digital_twin.optimization.explanation.member_values import CommunityUse
    from digital_twin.optimization.explanation.wording import Wording
    from digital_twin.services.explanation_document import members_explanation_document

    grid = question.fleet.grid
    use = CommunityUse(*(np.array(plan[name]) for name in ("import_kw", "export_kw", "value_per_kwh")))
    found = explain_members(question, use, Wording(grid, time_zone(place[0]), place[1]))
    return members_explanation_document(grid, found, member_ids)


def _explain_risk(
    problem: "StochasticProblem", plan: Mapping[str, Any], place: tuple[str, str], time_limit_s: float
) -> dict[str, Any]:
    from digital_twin.domain.time import time_zone
    from digital_twin.optimization.explanation.explain_groups import explain_risk
    from digital_twin.optimization.explanation.wording import Wording
    from digital_twin.services.explanation_document import risk_explanation_document

    grid = problem.expected.outlook.grid
    wording = Wording(grid, time_zone(place[0]), place[1])
    return risk_explanation_document(grid, explain_risk(problem, _powers_of(plan), wording, time_limit_s=time_limit_s))


def _powers_of(plan: Mapping[str, Any]) -> "Powers":
    """What a kept plan does: the question has other plans that are as good."""
    import numpy as np

    from digital_twin.optimization.plan import Powers

    charge, discharge, curtailed = (np.array(plan[name]) for name in ("charge_kw", "discharge_kw", "curtailed_kw"))
    devices = tuple((np.array(one["charge_kw"]), np.array(one["discharge_kw"])) for one in plan.get("devices", ()))
    return Powers(charge, discharge, curtailed, devices)


def write_question(question: "Kept", form: Literal["lp", "mps"], time_limit_s: float) -> str:
    """The model of a plan as text."""
    from digital_twin.optimization.member_plan import MembersQuestion
    from digital_twin.optimization.model_file import write_members_model, write_model, write_risk_model
    from digital_twin.optimization.stochastic.plan import StochasticProblem
    from digital_twin.services.question_document import question_parts

    first, *others = question_parts(question)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{form}"
        match first:
            case MembersQuestion():
                write_members_model(first.fleet, path)
            case StochasticProblem():
                write_risk_model(first, path, time_limit_s=time_limit_s)
            case _:
                write_model(first, others[0], path, time_limit_s=time_limit_s)
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
