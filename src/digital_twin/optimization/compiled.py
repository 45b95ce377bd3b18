"""A model canonicalised once and solved many times on one HiGHS that keeps its basis.

CVXPY turns the model's constraints into row limits on Ax that are affine in the parameters, and so are the few entries
of A that move from call to call. That map is taken out as a sparse matrix; bounds and prices are written straight into
the columns of their variable. A new call then costs one sparse product and a warm simplex run instead of a
canonicalisation and a cold one.

Lexicographic objectives are solved exactly on the optimal face: after a stage, every column with a reduced cost and
every row with a dual is held where it is, which by complementary slackness leaves exactly the optimal plans of the
stages so far (Ehrgott 2005, Multicriteria Optimization, section 5.1). Where that is one plan, the later stages are
skipped. One thread only: never share an instance.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.linear_program import LinearProgram, OutOfTime, run
from digital_twin.optimization.model import Model, Numbers, Prices

FACE_TOLERANCE = 1e-9
"""Reduced costs and duals below this, relative to the largest price, count as zero."""
FEASIBILITY_TOLERANCE = 1e-7
"""To which HiGHS keeps constraints."""

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Of the columns and of the rows."""

    lower: Array  # (n,)
    upper: Array  # (n,)
    row_lower: Array  # (m,)
    row_upper: Array  # (m,)

    def held_at(self, optimum: "_Optimum", columns: Mask, rows: Mask) -> "Limits":
        """With these columns and rows held where the optimum has them."""
        x, activity = optimum.x, array_of(optimum.found.row_value)
        return Limits(
            np.where(columns, x, self.lower),
            np.where(columns, x, self.upper),
            np.where(rows, activity, self.row_lower),
            np.where(rows, activity, self.row_upper),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """All plans that are as good by every stage: whatever keeps to these limits, and one of them."""

    x: Array  # (n,)
    limits: Limits


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The optimal values and, of the first stage, what each bound is worth and the cost that its duals prove."""

    values: dict[str, Array]
    reduced_costs: dict[str, Array]
    bound: float
    seconds: float
    ties_are_broken: bool = True
    face: Face | None = None  # None where it is a single plan, or unknown


@dataclass(frozen=True, slots=True, eq=False)
class _Optimum:
    """What the solver found, as arrays; of its rows only where they are asked for."""

    x: Array  # (n,)
    reduced: Array  # (n,)
    duals: Array  # (m,)
    found: highspy.HighsSolution


class CompiledModel:
    """One model shape on one persistent solver."""

    def __init__(self, model: Model) -> None:
        everything = sum(cp.sum(variable) for variable in model.variables.values())
        problem = cp.Problem(cp.Minimize(everything), model.constraints)
        for parameter in model.parameters.values():
            parameter.value = np.ones(parameter.shape)
        data: dict[str, Any] = problem.get_problem_data(cp.HIGHS, solver_opts={})[0]
        program = data["param_prob"]
        self._size = int(program.x.size)
        self._theta = np.zeros(program.total_param_size + 1)
        self._theta[-1] = 1.0
        self._parameter_slices = {
            name: _slice(program.param_id_to_col[parameter.id], parameter)
            for name, parameter in model.parameters.items()
        }
        self._variable_slices = {
            name: _slice(program.var_id_to_col[variable.id], variable) for name, variable in model.variables.items()
        }
        self._read_rows(program, data)
        self._highs = self._load()

    def _read_rows(self, program: Any, data: dict[str, Any]) -> None:
        """The map to the right-hand sides, the last column of CVXPY's stacked [A b], and to what varies before it."""
        reduced = program.reduced_A
        reduced.cache(False)
        stacked = sp.csr_array(reduced.reduced_mat)
        rows, starts = reduced.problem_data_index[0], reduced.problem_data_index[1]
        first = starts[-2]
        self._rows = int(data["A"].shape[0])
        self._equalities = int(data["dims"].zero)
        self._limit_rows = rows[first:]
        self._limit_map = stacked[first:]
        matrix = sp.csc_array(data["A"])
        matrix.sort_indices()
        self._set_matrix(matrix)
        self._inequalities = matrix[self._equalities :].tocoo()
        varying = np.flatnonzero(np.diff(stacked[:first, :-1].indptr))
        self._entry_map = -stacked[varying]  # CVXPY keeps b - Ax
        self._entry_rows, self._entry_columns = rows[varying], np.searchsorted(starts, varying, side="right") - 1
        places = np.repeat(np.arange(self._size), np.diff(matrix.indptr)) * self._rows + matrix.indices
        self._entries = np.searchsorted(places, self._entry_columns * self._rows + self._entry_rows)

    def _set_matrix(self, matrix: sp.csc_array) -> None:
        """And its transpose, which is asked for with each bound."""
        self._matrix, self._transposed = matrix, sp.csr_array(matrix.T)

    def _load(self) -> highspy.Highs:
        columns, rows = np.zeros(self._size), np.zeros(self._rows)
        highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
            highs.setOptionValue(option, value)
        highs.passModel(LinearProgram(columns, columns, columns, self._matrix, rows, rows).to_highs())
        self._in_solver = Limits(columns, columns, rows, rows)
        self._cost_in_solver = columns
        return highs

    def program(self, numbers: Numbers, prices: Prices) -> LinearProgram:
        """The problem of these numbers and prices."""
        limits = self._limits(numbers)
        return LinearProgram(
            self.cost_of(prices), limits.lower, limits.upper, self._matrix, limits.row_lower, limits.row_upper
        )

    def columns_of(self, name: str) -> slice:
        """Where a variable stands."""
        return self._variable_slices[name]

    def solve(self, numbers: Numbers, stages: Sequence[Prices], *, time_limit_s: float) -> Solution:
        """Minimise the first stage's prices, then the next among the optimal plans, and so on.

        Raises:
            NoFeasiblePoint: the constraints contradict each other.
            OutOfTime: the first stage has no optimum within the time limit.
        """
        began_s = self._highs.getRunTime()
        self._highs.setOptionValue("time_limit", float(time_limit_s) + began_s)
        program = self.program(numbers, stages[0])
        limits = Limits(program.lower, program.upper, program.row_lower, program.row_upper)
        optimum = self._stage(program.cost, limits)
        if optimum is None:
            raise OutOfTime(program.bound(array_of(self._highs.getSolution().row_dual), self._transposed))
        bound, reduced_costs = program.bound(optimum.duals, self._transposed), self.named(optimum.reduced)
        cost, face = program.cost, None
        for prices in (*stages[1:], None):
            tolerance = FACE_TOLERANCE * max(1e-6, np.abs(cost).max(initial=0.0))
            held, binding = np.abs(optimum.reduced) > tolerance, np.abs(optimum.duals) > tolerance
            if self._is_only_optimum(limits, held, binding):
                break
            limits = limits.held_at(optimum, held, binding)
            if prices is None:
                face = Face(optimum.x, limits)
                break
            cost = self.cost_of(prices)
            better = self._stage(cost, limits)
            if better is None:
                return Solution(self.named(optimum.x), reduced_costs, bound, time_limit_s, ties_are_broken=False)
            optimum = better
        seconds = self._highs.getRunTime() - began_s
        return Solution(self.named(optimum.x), reduced_costs, bound, seconds, face=face)

    def basis(self, *, more_rows: int) -> highspy.HighsBasis:
        """Where the simplex method has ended, for a program with further rows, none of which binds."""
        basis = self._highs.getBasis()
        basis.row_status = [*basis.row_status, *[highspy.HighsBasisStatus.kBasic] * more_rows]
        return basis

    def keeps_to(self, limits: Limits, x: Array) -> bool:
        """Whether a point is feasible as exactly as the solver's own."""
        rows, tolerance = self._matrix @ x, FEASIBILITY_TOLERANCE
        return bool(
            (x >= limits.lower - tolerance).all()
            and (x <= limits.upper + tolerance).all()
            and (rows >= limits.row_lower - tolerance).all()
            and (rows <= limits.row_upper + tolerance).all()
        )

    def within_rows(self, face: Face, moving: Collection[str]) -> tuple[Array, Array]:
        """Bounds within which each of these variables may move alone or together, all others resting where they are.

        Balances are the caller's; an inequality that holds several of them leaves none of them free.
        """
        x, limits = face.x, face.limits
        lower, upper = limits.lower.copy(), limits.upper.copy()
        rows = self._inequalities
        if not rows.nnz:
            return lower, upper
        moves = np.zeros(self._size, dtype=bool)
        for name in moving:
            moves[self._variable_slices[name]] = True
        kept = moves[rows.col]
        row, column, entry = rows.row[kept], rows.col[kept], rows.data[kept]
        limit = limits.row_upper[self._equalities :]
        slack = np.maximum(limit - (self._matrix @ x)[self._equalities :], 0.0)
        is_held = (limits.row_lower[self._equalities :] == limit) | (np.bincount(row, minlength=limit.size) > 1)
        room = np.where(is_held, 0.0, slack)[row] / entry
        np.minimum.at(upper, column, np.where((entry > 0) | is_held[row], x[column] + np.maximum(room, 0.0), np.inf))
        np.maximum.at(lower, column, np.where((entry < 0) | is_held[row], x[column] + np.minimum(room, 0.0), -np.inf))
        return lower, upper

    def _stage(self, cost: Array, limits: Limits) -> "_Optimum | None":
        """The optimum of these costs within these limits; None when the time is over."""
        self._set(cost, limits)
        if not run(self._highs):
            return None
        found = self._highs.getSolution()
        return _Optimum(array_of(found.col_value), array_of(found.col_dual), array_of(found.row_dual), found)

    def _set(self, cost: Array, limits: Limits) -> None:
        """Tell the solver what is other than before: what it is not told, it need not look at again."""
        known = self._in_solver
        at = _where(cost != self._cost_in_solver)
        if at.size:
            self._highs.changeColsCost(at.size, at, cost[at])
        at = _where((limits.lower != known.lower) | (limits.upper != known.upper))
        if at.size:
            self._highs.changeColsBounds(at.size, at, limits.lower[at], limits.upper[at])
        at = _where((limits.row_lower != known.row_lower) | (limits.row_upper != known.row_upper))
        if at.size:
            self._highs.changeRowsBounds(at.size, at, limits.row_lower[at], limits.row_upper[at])  # type: ignore[attr-defined]
        self._cost_in_solver, self._in_solver = cost, limits

    def _is_only_optimum(self, limits: Limits, held: Mask, binding: Mask) -> bool:
        """Whether nothing that is out of the basis can leave its bound without a price, so that no tie is left.

        Args:
            held: columns with a reduced cost.
            binding: rows with a dual.
        """
        status, basic = self._highs.getBasicVariables()  # type: ignore[attr-defined]
        if status != highspy.HighsStatus.kOk:
            return False
        settled = np.concatenate([held, binding])
        settled[np.where(basic >= 0, basic, self._size - 1 - basic)] = True
        loose = np.flatnonzero(~settled)
        if not loose.size:
            return True
        columns, rows = loose[loose < self._size], loose[loose >= self._size] - self._size
        is_fixed = (limits.lower == limits.upper)[columns], (limits.row_lower == limits.row_upper)[rows]
        return bool(is_fixed[0].all() and is_fixed[1].all())

    def _limits(self, numbers: Numbers) -> Limits:
        for name, where in self._parameter_slices.items():
            self._theta[where] = numbers.right_hand_sides[name]
        if self._entries.size:
            self._change_entries(self._entry_map @ self._theta)
        lower, upper = np.zeros(self._size), np.full(self._size, highspy.kHighsInf)
        for bounds, given in ((lower, numbers.lower), (upper, numbers.upper)):
            for name, values in given.items():
                if name in self._variable_slices:
                    bounds[self._variable_slices[name]] = values
        row_upper = np.zeros(self._rows)
        row_upper[self._limit_rows] = self._limit_map @ self._theta
        row_lower = row_upper.copy()
        row_lower[self._equalities :] = -highspy.kHighsInf
        return Limits(lower, upper, row_lower, row_upper)

    def _change_entries(self, values: Array) -> None:
        """Of the matrix, here and in the solver."""
        changed = np.flatnonzero(values != self._matrix.data[self._entries])
        if not changed.size:
            return
        for at in changed.tolist():
            self._highs.changeCoeff(int(self._entry_rows[at]), int(self._entry_columns[at]), values[at])
        matrix = self._matrix.copy()
        matrix.data[self._entries] = values
        self._set_matrix(matrix)

    def cost_of(self, prices: Prices) -> Array:
        """What a unit of each column costs at these prices of variables."""  # (n,)
        cost = np.zeros(self._size)
        for name, values in prices.items():
            cost[self._variable_slices[name]] = values
        return cost

    def named(self, x: Array) -> dict[str, Array]:
        """The values of the columns by variable."""
        return {name: x[where] for name, where in self._variable_slices.items()}


def _slice(start: int, symbol: cp.Variable | cp.Parameter) -> slice:
    return slice(start, start + symbol.size)


def _where(differs: Mask) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return differs.nonzero()[0].astype(np.int32)


def array_of(values: Sequence[float]) -> Array:
    """What HiGHS hands over as a list, in a fifth of the time of `asarray`."""
    return np.fromiter(values, np.float64, len(values))
