"""Plain or sparse matrices behind the same words: small programs are built and solved several times faster in plain
ones, large ones fit into memory in sparse ones alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

Matrix = Any
"""`np.ndarray` or `scipy.sparse.csr_array`, whose operators `@ + - * .T .sum .diagonal` and rows are the same."""

PLAIN_UP_TO = 300
"""Variables."""


@dataclass(frozen=True, slots=True)
class Matrices:
    """How matrices of one kind are made."""

    of: Callable[[Any], Matrix]
    zeros: Callable[[tuple[int, int]], Matrix]
    eye: Callable[[int], Matrix]
    diagonal: Callable[[Any], Matrix]
    beside: Callable[[list[Matrix]], Matrix]
    above: Callable[[list[Matrix]], Matrix]
    along_diagonal: Callable[[list[Matrix]], Matrix]


def _plain(matrix: Matrix) -> Matrix:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix, dtype=np.float64)


def _along_diagonal(blocks: list[Matrix]) -> Matrix:
    rows, columns = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    made, row, column = np.zeros((rows, columns)), 0, 0
    for block in blocks:
        made[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return made


PLAIN = Matrices(
    of=_plain,
    zeros=np.zeros,
    eye=np.eye,
    diagonal=np.diag,
    beside=np.hstack,
    above=np.vstack,
    along_diagonal=_along_diagonal,
)
SPARSE = Matrices(
    of=sp.csr_array,
    zeros=sp.csr_array,
    eye=lambda size: sp.csr_array(sp.eye_array(size)),
    diagonal=lambda values: sp.csr_array(sp.diags_array(values)),
    beside=lambda blocks: sp.csr_array(sp.hstack(blocks)),
    above=lambda blocks: sp.csr_array(sp.vstack(blocks)),
    along_diagonal=lambda blocks: sp.csr_array(sp.block_diag(blocks)),
)


def matrices_for(variables: int) -> Matrices:
    """The kind that suits a program of so many variables."""
    return PLAIN if variables <= PLAIN_UP_TO else SPARSE
