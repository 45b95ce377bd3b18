"""The model itself, in a form that other solvers read."""

from pathlib import Path

import highspy
import numpy as np

from digital_twin.domain.errors import Unavailable
from digital_twin.optimization.blocks import constant_of, prices_of
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.dispatch import solve_model
from digital_twin.optimization.explanation.infeasible import explain_infeasible
from digital_twin.optimization.linear_program import NoFeasiblePoint, OutOfTime
from digital_twin.optimization.plan import DispatchProblem, Weights


def write_model(problem: DispatchProblem, weights: Weights, path: Path, *, time_limit_s: float = 60.0) -> None:
    """The linear program whose optimum is the plan's objective, as CPLEX LP or free MPS by the ending of the path.

    Where the plan needs modes, they are bounds as the plan chose them.

    Raises:
        Infeasible: there is no plan.
        Unavailable: the modes were not found in time.
    """
    try:
        solved = solve_model(problem, weights, time_limit_s=time_limit_s)
    except NoFeasiblePoint as error:
        raise explain_infeasible(problem, time_limit_s=time_limit_s) from error
    except OutOfTime as error:
        raise Unavailable("the model was not solved in time; ask for a shorter horizon", retry_after_s=5) from error
    program = solved.compiled.program(solved.numbers, prices_of(problem, weights))
    model = program.to_highs()
    model.offset_ = constant_of(problem, weights)
    model.col_names_ = _column_names(solved.compiled, program.cost.size)
    model.row_names_ = [f"row_{index}" for index in range(program.row_lower.size)]
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.passModel(model)
    highs.writeModel(str(path))


def _column_names(compiled: CompiledModel, size: int) -> list[str]:
    """`import_kw_17` is the import of the interval of that number."""
    names = [""] * size
    for name, places in compiled.named(np.arange(size, dtype=np.float64)).items():
        for index, place in enumerate(places):
            names[int(place)] = f"{name}_{index}"
    return names
