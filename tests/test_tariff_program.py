"""The interior point of tariffs: factors against dense ones, optima by their conditions, contradictions told."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.convex_program import ConvexProgram, QuadraticLimit, minimise
from digital_twin.optimization.tariffs.skyline import factorise, skyline_of, solve

SAME = 1e-7
"""Of numbers near one: what a residual of the solver's tolerance may move them by, with some curvature to spare."""


def semidefinite(draw: np.random.Generator, size: int) -> Array:
    root = draw.normal(size=(size, size)) * (draw.random((size, size)) < 0.4)
    return root @ root.T + 0.1 * np.eye(size)


def program(seed: int) -> tuple[ConvexProgram, Array]:
    """Bounds, rows that couple neighbours, and two bowls around the origin, some of which hold the optimum back."""
    draw = np.random.default_rng(seed)
    size = int(draw.integers(2, 12))
    steps = np.eye(size)[1:] - np.eye(size)[:-1]
    matrix = np.vstack([np.eye(size), -np.eye(size), steps, -steps])
    limits = np.concatenate([np.full(2 * size, 2.0), draw.uniform(0.1, 1, 2 * (size - 1))])
    bowls = tuple(QuadraticLimit(semidefinite(draw, size), draw.normal(size=size) / 10, 1.0) for _ in range(2))
    made = ConvexProgram(semidefinite(draw, size), 3 * draw.normal(size=size), matrix, limits, bowls)
    return made, draw.uniform(-1, 1, size)


@pytest.mark.parametrize("seed", range(10))
def test_factors_of_a_skyline_solve_what_the_dense_matrix_does(seed: int) -> None:
    draw = np.random.default_rng(seed)
    size = int(draw.integers(1, 15))
    first = np.minimum(np.arange(size), draw.integers(0, size, size))
    kept = np.arange(size) >= first[:, None]
    lower = np.tril(draw.normal(size=(size, size))) * kept
    matrix = lower + np.tril(lower, -1).T
    matrix += np.diag(np.abs(matrix).sum(axis=1) + 0.1)
    skyline = skyline_of(first)
    values = matrix[np.tril(kept)]
    right = draw.normal(size=size)
    expected = np.linalg.solve(matrix, right)
    factorise(skyline, values)
    solve(skyline, values, right)
    np.testing.assert_allclose(right, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_an_optimum_meets_its_conditions(seed: int) -> None:
    asked, start = program(seed)
    found = minimise(asked, start)
    assert found is not None
    x, prices, bent = found.x, found.prices, found.quadratic_prices
    gradients = [one.curvature @ x + one.slope for one in asked.quadratic]
    pull = asked.curvature @ x + asked.slope + asked.matrix.T @ prices
    pull += sum(price * gradient for price, gradient in zip(bent, gradients, strict=True))
    np.testing.assert_allclose(pull, 0.0, atol=SAME)
    room = asked.limits - asked.matrix @ x
    bent_room = np.array([one.limit - x @ (one.curvature @ x) / 2 - one.slope @ x for one in asked.quadratic])
    for left, price in ((room, prices), (bent_room, bent)):
        assert (left >= -SAME).all()
        assert (price >= 0).all()
        np.testing.assert_allclose(left * price, 0.0, atol=SAME)


def test_neither_the_order_nor_the_kind_of_matrix_moves_the_optimum() -> None:
    asked, start = program(4)
    plain = minimise(asked, start)
    assert plain is not None
    turned = replace(
        asked,
        order=np.random.default_rng(0).permutation(start.size),
        curvature=sp.csr_array(asked.curvature),
        matrix=sp.csr_array(asked.matrix),
    )
    other = minimise(turned, start)
    assert other is not None
    np.testing.assert_allclose(other.x, plain.x, atol=SAME)
    np.testing.assert_allclose(other.prices, plain.prices, atol=SAME)


@pytest.mark.parametrize("start", [np.zeros(2), np.full(2, np.nan)])
def test_what_contradicts_itself_has_no_optimum(start: Array) -> None:
    matrix = np.array([[1.0, 1.0], [-1.0, -1.0]])
    assert minimise(ConvexProgram(np.eye(2), np.ones(2), matrix, np.array([-1.0, -1.0])), start) is None
