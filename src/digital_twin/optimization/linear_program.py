"""The numbers of a linear program, and the bound that any prices of its rows prove."""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array


@dataclass(frozen=True, slots=True, eq=False)
class LinearProgram:
    """Minimise cost x with row and column bounds; some columns may have to be whole."""

    cost: Array  # (n,)
    lower: Array  # (n,)
    upper: Array  # (n,)
    matrix: sp.csc_array  # (m, n)
    row_lower: Array  # (m,)
    row_upper: Array  # (m,)
    whole: Array | None = None  # (n,) 1 where a column is whole

    def bound(self, row_duals: Array, transposed: sp.csr_array | None = None) -> float:
        """No point costs less, whatever the duals are: weak duality over columns that are bounded on both sides.

        The transposed matrix is made where it is not given, which takes longer than all else here.

        Source: Boyd, Vandenberghe 2004, Convex Optimization, section 5.1.3.
        """
        sides = np.where(row_duals > 0, self.row_lower, self.row_upper)
        is_used = np.isfinite(row_duals) & np.isfinite(sides)
        duals = np.where(is_used, row_duals, 0.0)
        reduced = self.cost - (self.matrix.T if transposed is None else transposed) @ duals
        bounds = np.where(reduced > 0, self.lower, self.upper)
        return float(np.where(is_used, sides, 0.0) @ duals + bounds @ reduced)

    def to_highs(self) -> highspy.HighsLp:
        """The same as the solver takes it."""
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.cost.size, self.row_lower.size
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = self.cost, self.lower, self.upper
        lp.row_lower_, lp.row_upper_ = self.row_lower, self.row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        matrix: Any = self.matrix
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
        if self.whole is not None:
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(one)] for one in self.whole]
        return lp


class NoFeasiblePoint(Exception):
    """The constraints contradict each other."""


class OutOfTime(Exception):
    """The time was over before an answer was found; no plan costs less than `bound`."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound


_ENDS = (
    highspy.HighsModelStatus.kOptimal,
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
    highspy.HighsModelStatus.kTimeLimit,
)


def run(highs: highspy.Highs) -> bool:
    """Whether it ran to its end; False when the time was over.

    Raises:
        NoFeasiblePoint: the constraints contradict each other.
    """
    if highs.run() == highspy.HighsStatus.kError:
        # HiGHS refuses our one thread where others in this process have started its shared ones in another number
        highspy.Highs.resetGlobalScheduler(True)
        highs.run()
    status = highs.getModelStatus()
    if status not in _ENDS:
        highs.clearSolver()  # a start from an old basis may get lost in rounding, one from nothing seldom does
        highs.run()
        status = highs.getModelStatus()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        raise NoFeasiblePoint
    if status == highspy.HighsModelStatus.kTimeLimit:
        return False
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS ended with {highs.modelStatusToString(status)}")
    return True
