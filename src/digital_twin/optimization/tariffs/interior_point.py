"""The steps of a primal-dual interior-point method for convex programs with many linear and a few quadratic limits.

A Newton step condenses slacks and prices of linear limits into the Hessian, each limit among its own variables alone.
Gradients of quadratic limits touch many variables: they stay out and border the system, one row for each.

Source: Mehrotra 1992, SIAM J. Optim. 2, 575-601 (predictor, corrector); Boyd, Vandenberghe 2004, Convex Optimization,
section 11.7 (residuals of nonlinear constraints).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.demand_response import Indices
from digital_twin.optimization.tariffs.skyline import FAST, Skyline, add, dot, factorise, largest, skyline_of, solve

TOLERANCE = 1e-10
"""Of residuals and of the gap, for a program whose numbers are near one."""
MOST_STEPS, BOLD_STEPS = 150, 30
_TO_BOUNDARY = 0.995
_DIVERGED = 1e12


class Rows(NamedTuple):
    """Linear limits, row by row."""

    begin: Indices  # (m + 1,)
    column: Indices
    value: Array


class Forms(NamedTuple):
    """The lower triangles of symmetric matrices, one after the other: the objective's, then those of limits."""

    begin: Indices  # (j + 2,)
    row: Indices
    column: Indices
    value: Array


class Numbers(NamedTuple):
    """1/2 x'Px + q'x over Gx <= h and 1/2 x'P_j x + a_j'x <= r_j."""

    rows: Rows
    forms: Forms
    slopes: Array  # (j + 1, n) q, then a_j
    limits: Array  # (m + j,) h, then r_j


class Point(NamedTuple):
    """A point, or a step from one."""

    x: Array  # (n,)
    slack: Array  # (m + j,)
    price: Array  # (m + j,)


class _Residuals(NamedTuple):
    """What is still wrong with a point."""

    gradients: Array  # (j + 1, n) of the objective, then of quadratic limits
    dual: Array  # (n,)
    primal: Array  # (m + j,)


class _System(NamedTuple):
    """The matrix of a Newton step in factors."""

    skyline: Skyline
    hessian: Array
    border: Skyline
    corner: Array
    spread: Array  # (j, n) the inverse Hessian times each gradient of a quadratic limit


@njit(cache=True, error_model="numpy", fastmath=FAST)
def steps_to_optimum(numbers: Numbers, start: Array) -> tuple[Point, float]:
    """The best point that the steps find, and the largest residual there."""
    size, limits = start.size, numbers.limits.size
    many = limits - numbers.rows.begin.size + 1
    system = _empty_system(numbers, size, many)
    at = _Residuals(np.empty((many + 1, size)), np.empty(size), np.empty(limits))
    point, step = _point(size, limits), _point(size, limits)
    add(point.x, 1.0, start)
    point.price[:] = 0.1
    _evaluate(numbers, point, at)
    for limit in range(limits):
        point.slack[limit] = max(-at.primal[limit], 0.1)
    best, least, target = _point(size, limits), np.inf, np.empty(limits)
    for number in range(MOST_STEPS):
        gap = dot(point.slack, point.price) / limits
        wrong = max(_evaluate(numbers, point, at), gap)
        if wrong < least:
            least = wrong
            _take(best, 0.0, 1.0, point)
        if not wrong >= TOLERANCE or largest(point.price) > _DIVERGED:
            break
        _factorise(numbers, point, at, system)
        for limit in range(limits):
            target[limit] = point.slack[limit] * point.price[limit]
        if number < BOLD_STEPS:
            _direction(numbers, point, at, system, target, step)
            centre = _centre_of(point, step, gap)
            for limit in range(limits):
                target[limit] += step.slack[limit] * step.price[limit] - centre
        else:
            for limit in range(limits):
                target[limit] -= max(gap / 5, TOLERANCE / 10)
        _direction(numbers, point, at, system, target, step)
        _take(point, 1.0, _TO_BOUNDARY * _reach(point, step), step)
    return best, least


@njit(cache=True)
def _point(size: int, limits: int) -> Point:
    return Point(np.zeros(size), np.zeros(limits), np.zeros(limits))


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _take(point: Point, kept: float, by: float, step: Point) -> None:
    """Move the point by a share of a step, from where it is or, with nothing kept, from the origin."""
    for column in range(point.x.size):
        point.x[column] = kept * point.x[column] + by * step.x[column]
    for limit in range(point.slack.size):
        point.slack[limit] = kept * point.slack[limit] + by * step.slack[limit]
        point.price[limit] = kept * point.price[limit] + by * step.price[limit]


@njit(cache=True)
def _empty_system(numbers: Numbers, size: int, many: int) -> _System:
    """A layout in which every limit and every form finds its variables."""
    rows, forms = numbers.rows, numbers.forms
    first = np.arange(size)
    for row in range(rows.begin.size - 1):
        leftmost = size
        for entry in range(rows.begin[row], rows.begin[row + 1]):
            leftmost = min(leftmost, rows.column[entry])
        for entry in range(rows.begin[row], rows.begin[row + 1]):
            first[rows.column[entry]] = min(first[rows.column[entry]], leftmost)
    for entry in range(forms.row.size):
        first[forms.row[entry]] = min(first[forms.row[entry]], forms.column[entry])
    skyline, border = skyline_of(first), skyline_of(np.zeros(many, dtype=np.int64))
    hessian, corner = np.empty(skyline.diagonal[-1] + 1), np.empty(many * (many + 1) // 2)
    return _System(skyline, hessian, border, corner, np.empty((many, size)))


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _evaluate(numbers: Numbers, point: Point, at: _Residuals) -> float:
    """Fill in the residuals; the largest of them."""
    rows, forms, x, linear = numbers.rows, numbers.forms, point.x, numbers.rows.begin.size - 1
    at.gradients[:] = 0.0
    for form in range(numbers.slopes.shape[0]):
        gradient = at.gradients[form]
        for entry in range(forms.begin[form], forms.begin[form + 1]):
            row, column, value = forms.row[entry], forms.column[entry], forms.value[entry]
            gradient[row] += value * x[column]
            if row != column:
                gradient[column] += value * x[row]
        if form:
            limit = linear + form - 1
            bent = dot(gradient, x) / 2 + dot(numbers.slopes[form], x)
            at.primal[limit] = bent - numbers.limits[limit] + point.slack[limit]
        add(gradient, 1.0, numbers.slopes[form])
    for row in range(linear):
        total = 0.0
        for entry in range(rows.begin[row], rows.begin[row + 1]):
            total += rows.value[entry] * x[rows.column[entry]]
        at.primal[row] = total - numbers.limits[row] + point.slack[row]
    at.dual[:] = 0.0
    _add_transposed(rows, point.price, at.dual)
    for form in range(at.gradients.shape[0]):
        add(at.dual, point.price[linear + form - 1] if form else 1.0, at.gradients[form])
    return max(largest(at.dual), largest(at.primal))


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _add_transposed(rows: Rows, weights: Array, into: Array) -> None:
    """Add the gradients of linear limits, each times its weight."""
    for row in range(rows.begin.size - 1):
        for entry in range(rows.begin[row], rows.begin[row + 1]):
            into[rows.column[entry]] += weights[row] * rows.value[entry]


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _factorise(numbers: Numbers, point: Point, at: _Residuals, system: _System) -> None:
    """The Hessian with linear limits condensed into it; the border of quadratic ones, eliminated last."""
    rows, forms, linear = numbers.rows, numbers.forms, numbers.rows.begin.size - 1
    diagonal, hessian = system.skyline.diagonal, system.hessian
    hessian[:] = 0.0
    for form in range(numbers.slopes.shape[0]):
        weight = point.price[linear + form - 1] if form else 1.0
        for entry in range(forms.begin[form], forms.begin[form + 1]):
            row = forms.row[entry]
            hessian[diagonal[row] - row + forms.column[entry]] += weight * forms.value[entry]
    for row in range(linear):
        weight = point.price[row] / point.slack[row]
        for entry in range(rows.begin[row], rows.begin[row + 1]):
            column, weighted = rows.column[entry], weight * rows.value[entry]
            own = diagonal[column] - column
            for other in range(rows.begin[row], rows.begin[row + 1]):
                if rows.column[other] <= column:
                    hessian[own + rows.column[other]] += weighted * rows.value[other]
    factorise(system.skyline, hessian)
    for form in range(system.spread.shape[0]):
        system.spread[form, :] = 0.0
        add(system.spread[form], 1.0, at.gradients[form + 1])
        solve(system.skyline, hessian, system.spread[form])
        own = system.border.diagonal[form] - form
        for other in range(form + 1):
            system.corner[own + other] = dot(at.gradients[other + 1], system.spread[form])
        system.corner[own + form] += point.slack[linear + form] / point.price[linear + form]
    factorise(system.border, system.corner)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _direction(
    numbers: Numbers, point: Point, at: _Residuals, system: _System, complementarity: Array, step: Point
) -> None:
    """The Newton step that mends the residuals and brings slack x price to `complementarity` less than now."""
    rows, linear, x = numbers.rows, numbers.rows.begin.size - 1, step.x
    x[:] = 0.0
    for row in range(linear):
        step.price[row] = (point.price[row] * at.primal[row] - complementarity[row]) / point.slack[row]
    _add_transposed(rows, step.price, x)
    for column in range(x.size):
        x[column] = -at.dual[column] - x[column]
    solve(system.skyline, system.hessian, x)
    bordering = step.price[linear:]
    for form in range(bordering.size):
        limit = linear + form
        bordering[form] = at.primal[limit] - complementarity[limit] / point.price[limit]
        bordering[form] += dot(at.gradients[form + 1], x)
    solve(system.border, system.corner, bordering)
    for form in range(bordering.size):
        add(x, -bordering[form], system.spread[form])
    for row in range(linear):
        total = at.primal[row]
        for entry in range(rows.begin[row], rows.begin[row + 1]):
            total += rows.value[entry] * x[rows.column[entry]]
        step.slack[row] = -total
        step.price[row] = -(complementarity[row] - point.price[row] * total) / point.slack[row]
    for form in range(bordering.size):
        step.slack[linear + form] = -at.primal[linear + form] - dot(at.gradients[form + 1], x)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _centre_of(point: Point, ahead: Point, gap: float) -> float:
    """How far to the centre: as the boldest step suggests."""
    reach = _reach(point, ahead)
    left = 0.0
    for limit in range(point.slack.size):
        slack, price = point.slack[limit] + reach * ahead.slack[limit], point.price[limit] + reach * ahead.price[limit]
        left += slack * price
    left /= point.slack.size
    return max(gap * (left / gap) * (left / gap) * (left / gap), TOLERANCE / 10)


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _reach(point: Point, step: Point) -> float:
    """The longest step up to 1 that keeps slacks and prices above 0."""
    reach = 1.0
    for limit in range(point.slack.size):
        if step.slack[limit] < 0:
            reach = min(reach, -point.slack[limit] / step.slack[limit])
        if step.price[limit] < 0:
            reach = min(reach, -point.price[limit] / step.price[limit])
    return reach
