"""Convex quadratic programs with a few convex quadratic limits, and their optimum.

    minimise  1/2 x'Px + q'x   subject to   Gx <= h   and   1/2 x'P_j x + a_j'x <= r_j

HiGHS takes no quadratic constraint, and the conic solvers that do are not among the dependencies. The problems here are
small and well scaled: 10 to 30 Newton steps (`interior_point.py`).
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.demand_response import Indices
from digital_twin.optimization.tariffs.interior_point import Forms, Numbers, Rows, steps_to_optimum
from digital_twin.optimization.tariffs.matrices import Matrix

ACCEPTABLE = 1e-7
"""What is good enough when rounding ends the steps: the answer is checked and priced exactly anyway."""


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticLimit:
    """1/2 x'Px + a'x <= r with P positive semidefinite."""

    curvature: Matrix  # (n, n)
    slope: Array  # (n,)
    limit: float


@dataclass(frozen=True, slots=True, eq=False)
class ConvexProgram:
    """The numbers of a program, scaled to be near one."""

    curvature: Matrix  # (n, n)
    slope: Array  # (n,)
    matrix: Matrix  # (m, n)
    limits: Array  # (m,)
    quadratic: tuple[QuadraticLimit, ...] = ()
    order: Indices | None = None  # (n,) variables such that those of one limit lie close together: the faster


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """A point that satisfies the optimality conditions to the tolerance."""

    x: Array  # (n,)
    prices: Array  # (m,) what one more unit of each linear limit lowers the objective by
    quadratic_prices: Array  # (j,)


def minimise(program: ConvexProgram, start: Array) -> Optimum | None:
    """The optimum; None where the steps do not converge, as when the limits contradict each other."""
    order = np.arange(start.size) if program.order is None else program.order
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    best, worst = steps_to_optimum(_numbers(program, order, place), start[order])
    linear = program.limits.size
    return Optimum(best.x[place], best.price[:linear], best.price[linear:]) if worst < ACCEPTABLE else None


def _numbers(program: ConvexProgram, order: Indices, place: Indices) -> Numbers:
    """The program with its variables in this order."""
    rows, columns, values = _entries(program.matrix)
    begin = np.searchsorted(rows, np.arange(program.limits.size + 1))
    forms = [_lower(program.curvature, place), *(_lower(one.curvature, place) for one in program.quadratic)]
    ends = np.cumsum([0, *(form[0].size for form in forms)])
    return Numbers(
        Rows(begin, place[columns], values),
        Forms(ends, *(np.concatenate(parts) for parts in zip(*forms, strict=True))),
        np.array([program.slope[order], *(one.slope[order] for one in program.quadratic)]),
        np.append(program.limits, [one.limit for one in program.quadratic]),
    )


def _entries(matrix: Matrix) -> tuple[Indices, Indices, Array]:
    """Row, column and value of everything that is not 0, row by row."""
    if isinstance(matrix, np.ndarray):
        rows, columns = np.nonzero(matrix)
        return rows, columns, matrix[rows, columns]
    found = sp.csr_array(matrix).tocoo()
    return found.row.astype(np.int64), found.col.astype(np.int64), np.asarray(found.data, dtype=np.float64)


def _lower(matrix: Matrix, place: Indices) -> tuple[Indices, Indices, Array]:
    """The entries at and below the diagonal when variables lie at these places."""
    rows, columns, values = _entries(matrix)
    rows, columns = place[rows], place[columns]
    below = rows >= columns
    return rows[below], columns[below], values[below]
