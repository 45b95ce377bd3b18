"""Ridge systems in tridiagonal form, against dense algebra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digital_twin.domain.units import Array
from digital_twin.forecasting.tridiagonal import forms_of, reduce_to_tridiagonal, solve_tridiagonal

ROUNDING = 1e-9
"""Far above that of matrices whose largest and smallest values, with the shift, lie six powers of ten apart."""


def reduced(gram: Array) -> tuple[Array, Array, Array]:
    size = gram.shape[0]
    diagonal, beside, basis = np.empty(size), np.empty(size), np.empty((size, size))
    reduce_to_tridiagonal(gram.copy(), diagonal, beside, basis)
    return diagonal, beside, basis


def gram_of(size: int, rank: int, silent: int, seed: int) -> Array:
    """Of so many rows, with some features that are always 0."""
    rows = np.random.default_rng(seed).normal(0, 1, (rank, size))
    rows[:, np.random.default_rng(seed + 1).permutation(size)[:silent]] = 0
    return rows.T @ rows


grams = st.builds(gram_of, st.integers(1, 20), st.integers(0, 25), st.integers(0, 12), st.integers(0, 1000))


@given(gram=grams)
@settings(deadline=None, max_examples=60)
def test_the_form_is_the_matrix_seen_along_orthogonal_axes(gram: Array) -> None:
    diagonal, beside, basis = reduced(gram)
    form = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(gram.shape[0]), atol=ROUNDING)
    np.testing.assert_allclose(basis @ form @ basis.T, gram, atol=ROUNDING * max(1, np.abs(gram).max()))


@given(gram=grams, shift=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_solutions_and_forms_are_those_of_the_dense_system(gram: Array, shift: float, seed: int) -> None:
    size = gram.shape[0]
    generator = np.random.default_rng(seed)
    columns, target = generator.normal(0, 1, (size, 7)), generator.normal(0, 1, size)
    diagonal, beside, basis = reduced(gram)
    turned, turned_target = np.ascontiguousarray(basis.T @ columns), basis.T @ target
    with_target, with_self = np.empty(7), np.empty(7)
    forms_of(turned, turned_target, diagonal + shift, beside, with_target, with_self)
    dense = np.linalg.inv(gram + shift * np.eye(size))
    scale = max(1.0, 1 / shift)
    np.testing.assert_allclose(with_target, columns.T @ dense @ target, rtol=ROUNDING, atol=ROUNDING * scale)
    np.testing.assert_allclose(with_self, np.diag(columns.T @ dense @ columns), rtol=ROUNDING, atol=ROUNDING * scale)
    solution = basis @ solve_tridiagonal(turned_target, diagonal + shift, beside)
    np.testing.assert_allclose(solution, dense @ target, rtol=ROUNDING, atol=ROUNDING * scale)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_numbers_too_small_to_square_are_no_reason_to_divide_by_nothing(size: int) -> None:
    gram = np.full((size, size), 1e-170)
    diagonal, beside, basis = reduced(gram)
    assert np.isfinite([*diagonal, *beside]).all()
    np.testing.assert_allclose(basis.T @ basis, np.eye(size), atol=ROUNDING)
