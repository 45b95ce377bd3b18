"""Boosted trees as arrays, walked by compiled code.

They are learned by LightGBM (Ke et al., 2017) and need it no more once they are read from what it learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecaster import Arrays

Whole = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Sums of trees, one sum per output; a child below 0 is the leaf -1 - child."""

    feature: Whole  # (N,) that each node looks at
    threshold: Array  # (N,) up to which a value goes left
    left: Whole  # (N,)
    right: Whole  # (N,)
    value: Array  # (L,) of every leaf
    root: Whole  # (R,) the node that each tree begins with, or its only leaf
    output: Whole  # (R,) the sum that each tree belongs to

    def predict(self, rows: Array) -> Array:
        """The sums for each row of features, all of them finite."""  # (T, Q)
        sums = np.zeros((rows.shape[0], int(self.output[-1]) + 1))
        nodes = (self.feature, self.threshold, self.left, self.right, self.value)
        _walk(np.ascontiguousarray(rows), nodes, self.root, self.output, sums)
        return sums

    def to_arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Trees":
        return cls(*(arrays[name] for name in _NAMES))


_NAMES = ("feature", "threshold", "left", "right", "value", "root", "output")


def read_trees(models: Sequence[str]) -> Trees:
    """Of LightGBM models in its text format, one for each output; trees without missing values and categories."""
    texts = [(output, text) for output, model in enumerate(models) for text in model.split("\nTree=")[1:]]
    read = [dict(line.split("=", 1) for line in text.splitlines() if "=" in line) for _, text in texts]
    features = [_whole(tree.get("split_feature", "")) for tree in read]
    values = [_real(tree["leaf_value"]) for tree in read]
    node = np.cumsum([0, *(one.size for one in features)])
    leaf = np.cumsum([0, *(one.size for one in values)])
    left, right = (
        np.concatenate(
            [_moved(_whole(tree.get(side, "")), *firsts) for tree, *firsts in zip(read, node, leaf, strict=False)]
        )
        for side in ("left_child", "right_child")
    )
    roots = [first if one.size else -1 - only for one, first, only in zip(features, node, leaf, strict=False)]
    return Trees(
        np.concatenate(features),
        np.concatenate([_real(tree.get("threshold", "")) for tree in read]),
        left,
        right,
        np.concatenate(values),
        np.array(roots, dtype=np.int32),
        np.array([output for output, _ in texts], dtype=np.int32),
    )


def compile_trees() -> None:
    """Ask one tree of one node once, so that the first caller does not wait for the compilation."""
    whole, real = partial(np.array, dtype=np.int32), partial(np.array, dtype=np.float64)
    only = Trees(whole([0]), real([0]), whole([-1]), whole([-2]), real([0, 1]), whole([0]), whole([0]))
    only.predict(np.zeros((1, 1)))


def _moved(child: Whole, first_node: int, first_leaf: int) -> Whole:
    """The children of one tree by their places among those of all trees."""
    return np.where(child < 0, child - first_leaf, child + first_node).astype(np.int32)


def _whole(text: str) -> Whole:
    return np.array(text.split(), dtype=np.int32)


def _real(text: str) -> Array:
    return np.array(text.split(), dtype=np.float64)


@njit(cache=True)
def _walk(
    rows: Array, nodes: tuple[Whole, Array, Whole, Whole, Array], root: Whole, output: Whole, sums: Array
) -> None:
    """Tree by tree, so that each is looked at while it is at hand."""
    feature, threshold, left, right, value = nodes
    for tree in range(root.size):
        for row in range(rows.shape[0]):
            node = root[tree]
            while node >= 0:
                node = left[node] if rows[row, feature[node]] <= threshold[node] else right[node]
            sums[row, output[tree]] += value[-1 - node]
