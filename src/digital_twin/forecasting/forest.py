"""Quantiles by a forest: a case is distributed as the past cases that fall into the same leaves.

Compiled and kept as plain arrays, so that neither learning nor asking needs a library. Source: quantile forests by
Meinshausen (2006), JMLR 7; extremely randomised trees by Geurts, Ernst and Wehenkel (2006), Machine Learning 63.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecaster import Arrays

TREES = 60
SEED = 1
_LEAF = -1

Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees whose nodes lie one after the other; a leaf's cases are a stretch of `cases`."""

    targets: Array  # (N,) ascending
    roots: Numbers  # (trees,)
    feature: Numbers  # (nodes,) -1 in a leaf
    threshold: Array  # (nodes,)
    begin: Numbers  # (nodes,) the node on the left, the one on the right follows; in a leaf its first case
    end: Numbers  # (nodes,) in a leaf the end of its cases
    cases: NDArray[np.uint16]  # (trees x N,)

    def quantiles(self, features: Array, levels: tuple[float, ...]) -> tuple[Array, Array]:
        """Mean and quantiles of each row."""  # (T,), (T, Q)
        return _ask(
            np.ascontiguousarray(features),
            np.asarray(levels),
            self.targets,
            (self.roots, self.feature, self.threshold, self.begin, self.end, self.cases),
        )

    def to_arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in self.__slots__}


def grow_forest(features: Array, targets: Array, *, fewest: int, tried: int) -> Forest:
    """Learn from up to 65,536 cases; no leaf has fewer than `fewest`, each split is the best of `tried` random ones."""
    order = np.argsort(targets, kind="stable")
    rows, ordered = np.ascontiguousarray(features[order]), np.ascontiguousarray(targets[order])
    generator = np.random.default_rng(SEED)
    return Forest(ordered, *_grow(rows, ordered, TREES, fewest, tried, generator))


def compile_forest() -> None:
    """Learn and ask once, so that the first caller does not wait for the compilation."""
    few = np.arange(2.0 * 8)
    grow_forest(few[:, None], few, fewest=8, tried=1).quantiles(few[:2, None], (0.5,))


@njit(cache=True)
def _grow(rows, targets, trees, fewest, tried, generator):  # type: ignore[no-untyped-def]
    count = targets.size
    room = trees * (2 * (count // fewest) + 1)
    feature, threshold = np.full(room, _LEAF, np.int32), np.zeros(room)
    begin, end = np.zeros(room, np.int32), np.zeros(room, np.int32)
    cases = np.empty(trees * count, np.uint16)
    roots = np.empty(trees, np.int32)
    nodes = 0
    for tree in range(trees):
        roots[tree] = nodes
        first = tree * count
        for case in range(count):
            cases[first + case] = case
        begin[nodes], end[nodes] = first, first + count
        grown, nodes = nodes, nodes + 1
        while grown < nodes:
            low, high = begin[grown], end[grown]
            chosen, at = _split(rows, targets, cases[low:high], fewest, tried, generator)
            if chosen != _LEAF:
                middle = low + _part(rows, cases[low:high], chosen, at)
                feature[grown], threshold[grown], begin[grown], end[grown] = chosen, at, nodes, 0
                begin[nodes], end[nodes] = low, middle
                begin[nodes + 1], end[nodes + 1] = middle, high
                nodes += 2
            grown += 1
    return roots, feature[:nodes].copy(), threshold[:nodes].copy(), begin[:nodes].copy(), end[:nodes].copy(), cases


@njit(cache=True)
def _split(rows, targets, cases, fewest, tried, generator):  # type: ignore[no-untyped-def]
    """The best of some random splits by what is left of the variance; -1 where none leaves enough on both sides."""
    chosen, at, best = _LEAF, 0.0, -np.inf
    if cases.size < 2 * fewest:
        return chosen, at
    for _ in range(tried):
        column = int(generator.random() * rows.shape[1])
        low, high = np.inf, -np.inf
        for case in cases:
            low, high = min(low, rows[case, column]), max(high, rows[case, column])
        if not high > low:
            continue
        threshold = low + generator.random() * (high - low)
        left, sum_left, total = 0, 0.0, 0.0
        for case in cases:
            total += targets[case]
            if rows[case, column] <= threshold:
                left += 1
                sum_left += targets[case]
        right = cases.size - left
        if left < fewest or right < fewest:
            continue
        explained = sum_left**2 / left + (total - sum_left) ** 2 / right
        if explained > best:
            chosen, at, best = column, threshold, explained
    return chosen, at


@njit(cache=True)
def _part(rows, cases, column, threshold):  # type: ignore[no-untyped-def]
    """Move the cases up to the threshold to the front, and say how many these are."""
    low, high = 0, cases.size
    while low < high:
        if rows[cases[low], column] <= threshold:
            low += 1
        else:
            high -= 1
            cases[low], cases[high] = cases[high], cases[low]
    return low


@njit(cache=True)
def _ask(rows, levels, targets, forest):  # type: ignore[no-untyped-def]
    roots, feature, threshold, begin, end, cases = forest
    mean, quantiles = np.empty(rows.shape[0]), np.empty((rows.shape[0], levels.size))
    weight = np.empty(targets.size)
    for row in range(rows.shape[0]):
        weight[:] = 0.0
        for root in roots:
            node = root
            while feature[node] != _LEAF:
                is_right = rows[row, feature[node]] > threshold[node]
                node = begin[node] + 1 if is_right else begin[node]
            share = 1.0 / (roots.size * (end[node] - begin[node]))
            for place in range(begin[node], end[node]):
                weight[cases[place]] += share
        mean[row] = (weight * targets).sum()
        _read_off(weight, targets, levels, quantiles[row])
    return mean, quantiles


@njit(cache=True)
def _read_off(weight, targets, levels, quantiles):  # type: ignore[no-untyped-def]
    """Weighted quantiles, linear between the middles of the cases' shares."""
    level, below, last_middle, last = 0, 0.0, 0.0, -1
    for case in range(targets.size):
        if weight[case] == 0.0:
            continue
        middle = below + weight[case] / 2
        while level < levels.size and levels[level] <= middle:
            if last < 0:
                quantiles[level] = targets[case]
            else:
                share = (levels[level] - last_middle) / (middle - last_middle)
                quantiles[level] = targets[last] + share * (targets[case] - targets[last])
            level += 1
        below += weight[case]
        last_middle, last = middle, case
    for rest in range(level, levels.size):
        quantiles[rest] = targets[last]
