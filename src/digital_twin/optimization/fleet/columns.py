"""The best mixture of courses found so far, group by group: an upper bound that no single course gives.

Every course that a group of units could take is a column; a mixture of columns is a course, too, because the possible
courses are convex. HiGHS keeps its basis from one mixture to the next.

Source: Dantzig and Wolfe (1960), Operations Research 8.
"""

from dataclasses import dataclass

import highspy
import numpy as np
from scipy.sparse import csc_array, csc_matrix, vstack

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.grid import GridSide
from digital_twin.optimization.linear_program import LinearProgram, NoFeasiblePoint, run

MOST_GROUPS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """One course of every group: at given prices, or as an iterate had it."""

    injection_kw: Array  # (G, T)
    cost: Array  # (G,)
    source: Array  # (U, T) the courses of stored energy, or (T,) the prices to which they are the best answers


class ColumnMaster:
    """Mixes columns at the least cost."""

    def __init__(self, grid: GridSide, groups: int) -> None:
        self._grid = grid
        self._groups = groups
        self._solver = highspy.Highs()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        self._solver.setOptionValue("solver", "simplex")
        self._solver.passModel(self._without_columns().to_highs())
        self.blocks: list[Columns] = []

    def _without_columns(self) -> LinearProgram:
        grid, size = self._grid, self._grid.cost.size
        right = np.concatenate([grid.right_side, np.ones(self._groups)])
        matrix = csc_array(vstack([grid.rows, csc_matrix((self._groups, size))]))
        return LinearProgram(grid.cost, np.zeros(size), grid.room, matrix, right, right)

    def add(self, columns: Columns) -> None:
        """One more course of every group."""
        steps, rows = columns.injection_kw.shape[1], self._grid.right_side.size
        indices = np.empty((self._groups, steps + 1), dtype=np.int32)
        indices[:, :steps] = np.arange(steps)
        indices[:, steps] = rows + np.arange(self._groups)
        values = np.column_stack([columns.injection_kw, np.ones(self._groups)])
        starts = np.arange(self._groups, dtype=np.int32) * (steps + 1)
        self._solver.addCols(
            self._groups, columns.cost, np.zeros(self._groups), np.full(self._groups, highspy.kHighsInf), values.size,
            starts, indices.ravel(), values.ravel(),
        )  # fmt: skip
        self.blocks.append(columns)

    def mix(self) -> tuple[Array, Array] | None:
        """Weights (K, G) of the K courses of each group, and prices of the rows; None if the solver gave up."""
        try:
            run(self._solver)
        except (NoFeasiblePoint, RuntimeError):  # lost in rounding: there is always a mixture
            return None
        solution = self._solver.getSolution()
        weights = np.array(solution.col_value[self._grid.cost.size :]).reshape(len(self.blocks), self._groups)
        weights = np.maximum(weights, 0.0)
        return weights / weights.sum(axis=0), np.array(solution.row_dual[: self._grid.right_side.size])

    def cost_of(self, weights: Array) -> tuple[Array, float]:
        """The injection (T,) of a mixture, and the units' part of its cost."""
        injection = np.einsum("kg,kgt->t", weights, np.array([block.injection_kw for block in self.blocks]))
        return injection, float((weights * np.array([block.cost for block in self.blocks])).sum())
