"""Why a plan is as it is: what its limits are worth on either side, and what it does when for which prices."""

from dataclasses import dataclass
from datetime import tzinfo

from digital_twin.domain.errors import Unavailable
from digital_twin.optimization.dispatch import solve_model
from digital_twin.optimization.explanation.infeasible import explain_infeasible
from digital_twin.optimization.explanation.limit_values import LimitValue, limit_values
from digital_twin.optimization.explanation.reasons import Action, actions_of, powers_of
from digital_twin.optimization.explanation.wording import Wording, action_text, limit_text, objective_unit
from digital_twin.optimization.linear_program import NoFeasiblePoint, OutOfTime
from digital_twin.optimization.plan import DispatchProblem, Powers, Weights


@dataclass(frozen=True, slots=True)
class Explanation:
    """Numbers, each with its sentence."""

    unit: str  # of the objective
    limits: tuple[tuple[LimitValue, str], ...]
    actions: tuple[tuple[Action, str], ...]
    notes: tuple[str, ...]


MODES_STAY = "directions and starts that need a choice stay as the plan chose them"


def explain_plan(
    problem: DispatchProblem,
    weights: Weights,
    powers: Powers | None = None,
    *,
    zone: tzinfo,
    currency: str,
    time_limit_s: float = 60.0,
) -> Explanation:
    """The explanation of the optimal plan: of the one with these powers, where several are as good.

    Raises:
        Infeasible: there is no plan; the error itself is the explanation.
        Unavailable: the model was not solved in time.
    """
    try:
        solved = solve_model(problem, weights, time_limit_s=time_limit_s)
    except NoFeasiblePoint as error:
        raise explain_infeasible(problem, time_limit_s=time_limit_s) from error
    except OutOfTime as error:
        raise Unavailable("the plan was not explained in time; ask for a shorter horizon", retry_after_s=5) from error
    wording = Wording(problem.outlook.grid, zone, objective_unit(weights, currency))
    limits = tuple((one, limit_text(one, wording)) for one in limit_values(problem, weights, solved))
    powers = powers_of(problem, solved.solution.values) if powers is None else powers
    actions = actions_of(problem, weights, solved, powers)
    texts = tuple((one, action_text(one, wording)) for one in actions)
    notes = (MODES_STAY,) if solved.has_modes else ()
    return Explanation(wording.unit, limits, texts, notes)
