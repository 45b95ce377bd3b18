"""The model itself, in a form that other solvers read: CPLEX LP or free MPS by the ending of the path."""

from pathlib import Path

import highspy
import numpy as np

from digital_twin.domain.errors import InvalidInput, Unavailable
from digital_twin.optimization.blocks import constant_of, prices_of
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.dispatch import solve_model
from digital_twin.optimization.explanation.infeasible import explain_infeasible
from digital_twin.optimization.fleet.plan import FleetProblem
from digital_twin.optimization.fleet.whole_program import whole_program
from digital_twin.optimization.linear_program import LinearProgram, NoFeasiblePoint, OutOfTime
from digital_twin.optimization.plan import DispatchProblem, Weights
from digital_twin.optimization.stochastic.extensive import Prepared, column_names
from digital_twin.optimization.stochastic.plan import StochasticProblem
from digital_twin.optimization.stochastic.reach import reach_of

MOST_MEMBERS = 500
"""Of more members the model would be a file of hundreds of megabytes, which no general solver finishes."""
MOST_CELLS = 60_000
"""Scenarios times intervals: the same."""


def write_model(problem: DispatchProblem, weights: Weights, path: Path, *, time_limit_s: float = 60.0) -> None:
    """The linear program whose optimum is the plan's objective. Where the plan needs modes, they are bounds.

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
    _write(program, constant_of(problem, weights), _column_names(solved.compiled, program.cost.size), path)


def write_risk_model(problem: StochasticProblem, path: Path, *, time_limit_s: float = 60.0) -> None:
    """The extensive form: what every scenario does is written out.

    Raises:
        InvalidInput: it is too large for a file.
        Infeasible: not even the expected course keeps the limits.
    """
    cells = problem.scenarios.load_kw.size
    if cells > MOST_CELLS:
        raise InvalidInput(
            f"a model is written for at most {MOST_CELLS:,} scenarios times intervals, this plan has {cells:,}; make "
            "one with fewer scenarios or a shorter horizon",
            field="result_id",
        )
    reach, _ = reach_of(problem)
    if reach is None:
        raise explain_infeasible(problem.expected, time_limit_s=time_limit_s)
    prepared = Prepared.of(problem, reach)
    _write(prepared.program, prepared.constant, column_names(problem), path)


def write_members_model(problem: FleetProblem, path: Path) -> None:
    """The whole program of all members. Raises InvalidInput for more than a file holds."""
    members = problem.members.load_kw.shape[0]
    if members > MOST_MEMBERS:
        raise InvalidInput(
            f"a model is written for at most {MOST_MEMBERS} members, this plan has {members:,}: the file would be too "
            "large for a solver that knows nothing of its structure",
            field="result_id",
        )
    _write(*whole_program(problem), path)


def _write(program: LinearProgram, constant: float, column_names: list[str], path: Path) -> None:
    model = program.to_highs()
    model.offset_ = constant
    model.col_names_ = column_names
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
