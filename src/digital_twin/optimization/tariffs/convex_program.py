"""A primal-dual interior-point method for convex quadratic programs with a few convex quadratic constraints.

    minimise  1/2 x'Px + q'x   subject to   Gx <= h   and   1/2 x'P_j x + a_j'x <= r_j

HiGHS takes no quadratic constraint, and the conic solvers that do are not among the dependencies. The problems here are
small and well scaled: 15 to 30 Newton steps.

Source: Mehrotra 1992, SIAM J. Optim. 2, 575-601 (predictor, corrector); Boyd, Vandenberghe 2004, Convex Optimization,
section 11.7 (residuals of nonlinear constraints).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import get_lapack_funcs
from scipy.sparse.linalg import splu

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.matrices import Matrix, matrices_for

TOLERANCE = 1e-10
"""Of residuals and of the gap, for a program whose numbers are near one."""
MOST_STEPS, BOLD_STEPS = 150, 30
ACCEPTABLE = 1e-7
"""What is good enough when rounding ends the steps: the answer is checked and priced exactly anyway."""
_TO_BOUNDARY = 0.995
_DIVERGED = 1e12
_FACTOR, _SOLVE = get_lapack_funcs(("getrf", "getrs"), dtype=np.float64)


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

    def objective(self, x: Array) -> float:
        return float(0.5 * x @ (self.curvature @ x) + self.slope @ x)


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """A point that satisfies the optimality conditions to the tolerance."""

    x: Array  # (n,)
    prices: Array  # (m,) what one more unit of each linear limit lowers the objective by
    quadratic_prices: Array  # (j,)


def minimise(program: ConvexProgram, start: Array) -> Optimum | None:
    """The optimum; None where the steps do not converge, as when the limits contradict each other."""
    numbers = _Numbers.of(program)
    point = best = _first_point(numbers, start)
    least = np.inf
    for number in range(MOST_STEPS):
        at = _Residuals.at(numbers, point)
        if at.largest < least:
            best, least = point, at.largest
        if at.largest < TOLERANCE:
            break
        try:
            solve = _factor(at.hessian, at.jacobian, point.price / point.slack)
        except RuntimeError:  # singular: the prices of contradicting limits grow without bound
            break
        step = _corrected(at, point, solve) if number < BOLD_STEPS else _centred(at, point, solve)
        point = point.moved(_TO_BOUNDARY * _reach(point, step), step)
        if not np.isfinite(point.x).all() or point.price.max() > _DIVERGED:
            break
    linear = program.limits.size
    return Optimum(best.x, best.price[:linear], best.price[linear:]) if least < ACCEPTABLE else None


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """The program in plain or sparse arrays, whichever is faster."""

    program: ConvexProgram
    curvature: Any  # (n, n)
    matrix: Any  # (m, n)
    bends: tuple[Any, ...]  # (n, n) each
    slopes: Array  # (j, n)
    limits: Array  # (m + j,)

    @classmethod
    def of(cls, program: ConvexProgram) -> "_Numbers":
        kind = matrices_for(program.slope.size)
        bends = tuple(kind.of(one.curvature) for one in program.quadratic)
        curvature, matrix = kind.of(program.curvature), kind.of(program.matrix)
        slopes = np.array([one.slope for one in program.quadratic]).reshape(len(bends), program.slope.size)
        limits = np.concatenate([program.limits, [one.limit for one in program.quadratic]])
        return cls(program, curvature, matrix, bends, slopes, limits)

    def passed(self, x: Array) -> Array:
        """How far each limit is passed; below 0 where it is kept."""
        bent = [0.5 * x @ (bend @ x) for bend in self.bends]
        return np.concatenate([self.matrix @ x, bent + self.slopes @ x]) - self.limits

    def jacobian(self, x: Array) -> Any:
        if not self.bends:
            return self.matrix
        gradients = np.array([bend @ x for bend in self.bends]) + self.slopes
        if isinstance(self.matrix, np.ndarray):
            return np.vstack([self.matrix, gradients])
        return sp.csr_array(sp.vstack([self.matrix, sp.csr_array(gradients)]))

    def hessian(self, price: Array) -> Any:
        made = self.curvature
        for bend, weight in zip(self.bends, price[self.program.limits.size :], strict=True):
            made = made + weight * bend
        return made


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    x: Array  # (n,)
    slack: Array  # (m + j,)
    price: Array  # (m + j,)

    def moved(self, by: float, step: "_Point") -> "_Point":
        return _Point(self.x + by * step.x, self.slack + by * step.slack, self.price + by * step.price)


@dataclass(frozen=True, slots=True, eq=False)
class _Residuals:
    """What is still wrong with a point."""

    hessian: Any
    jacobian: Any
    dual: Array
    primal: Array
    gap: float

    @classmethod
    def at(cls, numbers: _Numbers, point: _Point) -> "_Residuals":
        jacobian = numbers.jacobian(point.x)
        dual = numbers.curvature @ point.x + numbers.program.slope + jacobian.T @ point.price
        primal = numbers.passed(point.x) + point.slack
        gap = float(point.slack @ point.price) / point.slack.size
        return cls(numbers.hessian(point.price), jacobian, dual, primal, gap)

    @property
    def largest(self) -> float:
        return max(float(np.abs(self.dual).max()), float(np.abs(self.primal).max()), self.gap)


def _first_point(numbers: _Numbers, start: Array) -> _Point:
    slack = np.maximum(-numbers.passed(start), 0.1)
    return _Point(start, slack, np.full(slack.size, 0.1))


def _factor(hessian: Any, jacobian: Any, weights: Array) -> Callable[[Array], Array]:
    """Solves with the condensed matrix of a Newton step."""
    if isinstance(hessian, np.ndarray):
        # not Cholesky: close to the optimum rounding makes the smallest eigenvalues negative
        factor, pivots, fault = _FACTOR(hessian + (jacobian.T * weights) @ jacobian)
        if fault:
            raise RuntimeError("singular")
        return lambda right: _SOLVE(factor, pivots, right)[0]
    return splu(sp.csc_array(hessian + jacobian.T @ sp.diags_array(weights) @ jacobian)).solve


def _direction(at: _Residuals, point: _Point, solve: Callable[[Array], Array], complementarity: Array) -> _Point:
    """The Newton step that mends the residuals and brings slack x price to `complementarity` less than now."""
    weighted = (point.price * at.primal - complementarity) / point.slack
    dx = solve(-at.dual - at.jacobian.T @ weighted)
    ds = -at.primal - at.jacobian @ dx
    return _Point(dx, ds, -(complementarity + point.price * ds) / point.slack)


def _corrected(at: _Residuals, point: _Point, solve: Callable[[Array], Array]) -> _Point:
    """Mehrotra's step: as far to the centre as the boldest step suggests, with its curvature corrected."""
    ahead = _direction(at, point, solve, point.slack * point.price)
    reach = _reach(point, ahead)
    left = float((point.slack + reach * ahead.slack) @ (point.price + reach * ahead.price)) / point.slack.size
    centre = max(at.gap * (left / at.gap) ** 3, TOLERANCE / 10)
    return _direction(at, point, solve, point.slack * point.price + ahead.slack * ahead.price - centre)


def _centred(at: _Residuals, point: _Point, solve: Callable[[Array], Array]) -> _Point:
    """The plain step towards the central path: slower, and the one that does not go around in circles."""
    return _direction(at, point, solve, point.slack * point.price - max(at.gap / 5, TOLERANCE / 10))


def _reach(point: _Point, step: _Point) -> float:
    """The longest step up to 1 that keeps slacks and prices above 0."""
    values, steps = np.concatenate([point.slack, point.price]), np.concatenate([step.slack, step.price])
    falling = steps < 0
    return float(min(1.0, (-values[falling] / steps[falling]).min(initial=np.inf)))
