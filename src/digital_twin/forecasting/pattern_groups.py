"""Groups of shapes that are alike: how many there are is told by the silhouette, how firm they are by resampling."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array

MOST_GROUPS = 8
LEAST_SILHOUETTE = 0.12
"""With less, shapes pass into each other without a border: they are one group."""

_LEAST_SHAPES_PER_GROUP = 3
_LARGEST_SAMPLE = 1_000
_STARTS, _RESAMPLES, _RESAMPLED_SHARE = 8, 10, 0.8

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The largest group is the first."""

    label: Labels  # (N,)
    centres: Array  # (G, K)
    silhouette: float | None  # mean over shapes, -1..1; None for one group
    stability: float | None  # adjusted Rand index of groups found again in part of the shapes; None for one group

    @property
    def sizes(self) -> Labels:
        return np.bincount(self.label, minlength=len(self.centres))


def group(shapes: Array, most: int = MOST_GROUPS) -> Groups:
    """K-means with as many groups as make the silhouette largest; the same in whatever order shapes come."""
    order = np.lexsort(shapes.T[::-1])
    ordered = shapes[order]
    found = _best(ordered, most)
    if found is None:
        return Groups(np.zeros(len(shapes), dtype=np.int64), shapes.mean(axis=0, keepdims=True), None, None)
    by_size = _largest_first(found[0])
    label = np.empty_like(by_size)
    label[order] = by_size
    centres = np.stack([shapes[label == number].mean(axis=0) for number in range(int(label.max()) + 1)])
    return Groups(label, centres, found[1], _stability(ordered, by_size, len(centres)))


def distinct_names(names: Sequence[str], sizes: Array, words: tuple[str, str]) -> list[str]:
    """Names that tell groups apart: of two of one name the larger by size gets the first word; more are numbered."""
    counts = Counter(names)
    found = list(names)
    for name in (name for name, count in counts.items() if count > 1):
        alike = sorted((one for one, other in enumerate(names) if other == name), key=lambda one: -float(sizes[one]))
        endings = words if len(alike) == len(words) else [str(number + 1) for number in range(len(alike))]
        for one, ending in zip(alike, endings, strict=True):
            found[one] = f"{name}, {ending}"
    return found


def _best(shapes: Array, most: int) -> tuple[Labels, float] | None:
    """The labels with the largest silhouette; None where no number of groups reaches the least."""
    from sklearn.metrics import silhouette_score

    best: tuple[Labels, float] | None = None
    different = len(np.unique(shapes, axis=0))
    for count in range(2, min(most, len(shapes) // _LEAST_SHAPES_PER_GROUP, different - 1) + 1):
        label = _k_means(shapes, count)
        if len(np.unique(label)) < 2:
            continue
        sample = min(len(shapes), _LARGEST_SAMPLE)
        silhouette = float(silhouette_score(shapes, label, sample_size=sample, random_state=0))
        if silhouette >= LEAST_SILHOUETTE and (best is None or silhouette > best[1]):
            best = label, silhouette
    return best


def _k_means(shapes: Array, count: int) -> Labels:
    from sklearn.cluster import KMeans

    starts = cast(Any, _STARTS)  # whose type is told wrongly
    return KMeans(count, n_init=starts, random_state=0).fit_predict(shapes).astype(np.int64)


def _largest_first(label: Labels) -> Labels:
    order = np.argsort(-np.bincount(label), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[label].astype(np.int64)


def _stability(shapes: Array, label: Labels, count: int) -> float:
    """Mean over draws of most of the shapes, grouped anew."""
    from sklearn.metrics import adjusted_rand_score

    generator = np.random.default_rng(0)
    drawn = max(round(_RESAMPLED_SHARE * len(shapes)), count)
    scores = []
    for _ in range(_RESAMPLES):
        part = np.sort(generator.choice(len(shapes), drawn, replace=False))
        scores.append(adjusted_rand_score(label[part], _k_means(shapes[part], count)))
    return float(np.mean(scores))
