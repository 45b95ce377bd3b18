"""The filter for many communities at once, each with its own belief, model, readings and gaps.

Eight communities lie side by side, one in each lane of a vector, and go through the same steps of the same filter as
`kalman.py`, one scalar reading after the other on one triangle. A lane without a reading is left as it is, to the bit:
what becomes of a community depends neither on its neighbours nor on where the time axis is cut.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.lanes import (
    LANES,
    every,
    load,
    minus_product,
    not_negative,
    over,
    plus_product,
    store,
    times,
    where_number,
)

STEPS_AT_ONCE = 256
"""So many are laid out side by side before they are run: they stay in the processor's cache."""

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Lanes = Any


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """What is believed of the states of each community."""

    mean: Array  # (N, n)
    covariance: Array  # (N, n, n) lower triangles, zeros above


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What is known of each step of each community; what is alike for many may be a broadcast view."""

    decay: Array  # (N, n)
    noise: Array  # (N, T, n) variances
    target: Indices  # (C,) couplings, as in `kalman.Transition`
    source: Indices  # (C,)
    gain: Array  # (N, T, C)
    design: Array  # (N, T, M, n)
    value: Array  # (N, T, M) NaN is no reading
    error: Array  # (N, T, M) variances


class _Eight(NamedTuple):
    """Eight communities and some of their steps, flattened, the lane as the last axis of everything."""

    mean: Array  # (n)
    covariance: Array  # (n (n + 1) / 2) the rows of the lower triangle one after the other
    decay: Array  # (n)
    noise: Array  # (T or 1, n)
    gain: Array  # (T or 1, C)
    design: Array  # (T or 1, M, n)
    value: Array  # (T, M)
    error: Array  # (T, M)
    is_used: Flags  # (T or 1, M, n) whether the design of any lane has something there; without lanes
    target: Indices  # (C)
    source: Indices  # (C)


def run_many(start: Beliefs, steps: Steps) -> Beliefs:
    """The beliefs after all steps, each of them a prediction and the update with its readings.

    Raises:
        InvalidInput: a shape does not fit the others.
    """
    _check(start, steps)
    communities, length, readings = steps.value.shape
    states = start.mean.shape[1]
    rows, columns = np.tril_indices(states)
    mean, covariance = np.empty_like(start.mean), np.zeros_like(start.covariance)
    for first in range(0, communities, LANES):
        group = slice(first, min(first + LANES, communities))
        believed = _side_by_side(start.mean[group]), _side_by_side(start.covariance[group][:, rows, columns])
        for begin in range(0, length, STEPS_AT_ONCE):
            span = slice(begin, min(begin + STEPS_AT_ONCE, length))
            _run(_eight(steps, group, span, believed), span.stop - begin, readings)
        count = group.stop - first
        mean[group] = believed[0].reshape(states, LANES).T[:count]
        covariance[group, rows, columns] = believed[1].reshape(rows.size, LANES).T[:count]
    return Beliefs(mean, covariance)


def _check(start: Beliefs, steps: Steps) -> None:
    communities, states = start.mean.shape
    length, readings = steps.value.shape[1:]
    expected = {
        "decay": (communities, states),
        "noise": (communities, length, states),
        "gain": (communities, length, steps.target.size),
        "design": (communities, length, readings, states),
        "value": (communities, length, readings),
        "error": (communities, length, readings),
    }
    for name, shape in expected.items():
        found = getattr(steps, name).shape
        if found != shape:
            raise InvalidInput(f"{name} must have the shape {shape}, got {found}", field=name)


def _eight(steps: Steps, group: slice, span: slice, believed: tuple[Array, Array]) -> _Eight:
    def laid_out(array: Array) -> Array:
        is_constant = array.strides[1] == 0
        return _side_by_side(array[group, :1] if is_constant else array[group, span])

    design = laid_out(steps.design)
    return _Eight(
        *believed,
        decay=_side_by_side(steps.decay[group]),
        noise=laid_out(steps.noise),
        gain=laid_out(steps.gain),
        design=design,
        value=_side_by_side(steps.value[group, span]),
        error=_side_by_side(steps.error[group, span]),
        is_used=np.asarray(design.reshape(-1, LANES).any(axis=1)),
        target=steps.target,
        source=steps.source,
    )


def _side_by_side(array: Array) -> Array:
    """The first axis, of at most eight communities, as the last and filled up with the last of them; flattened."""
    filled = array[np.minimum(np.arange(LANES), array.shape[0] - 1)]
    return np.ascontiguousarray(np.moveaxis(filled, 0, -1), dtype=np.float64).ravel()


@compiled
def _run(eight: _Eight, length: int, readings: int) -> None:
    """Advance mean and covariance in place."""
    states = eight.decay.size
    product = np.zeros(states)
    for step in range(length):
        own = step if eight.noise.size == length * states else 0
        for one in range(eight.target.size):
            place = one + (step * eight.target.size if eight.gain.size == length * eight.target.size * LANES else 0)
            _couple(eight.mean, eight.covariance, eight.target[one], eight.source[one], load(eight.gain, LANES * place))
        _predict(eight, own * states)
        for reading in range(readings):
            row = reading * states
            if eight.design.size == length * readings * states:
                row += step * readings * states
            _update(eight, step * readings + reading, row, product)


@compiled
def _place(one: int, other: int) -> int:
    """Where the covariance of two states begins."""
    row, column = max(one, other), min(one, other)
    return LANES * (row * (row + 1) // 2 + column)


@compiled
def _couple(mean: Array, covariance: Array, target: int, source: int, gain: Lanes) -> None:
    to, of = LANES * target, LANES * source
    store(mean, to, plus_product(load(mean, to), gain, load(mean, of)))
    variance = load(covariance, _place(source, source))
    cross = load(covariance, _place(target, source))
    for other in range(mean.size // LANES):
        if other != target:
            to, of = _place(target, other), _place(source, other)
            store(covariance, to, plus_product(load(covariance, to), gain, load(covariance, of)))
    both = plus_product(times(every(2.0), cross), gain, variance)
    to = _place(target, target)
    store(covariance, to, plus_product(load(covariance, to), gain, both))


@compiled
def _predict(eight: _Eight, noise: int) -> None:
    mean, covariance, decay = eight.mean, eight.covariance, eight.decay
    for row in range(0, mean.size, LANES):
        kept = load(decay, row)
        store(mean, row, times(load(mean, row), kept))
        begin = _place(row // LANES, 0)
        for column in range(0, row, LANES):
            both = times(kept, load(decay, column))
            store(covariance, begin + column, times(load(covariance, begin + column), both))
        fresh = plus_product(load(eight.noise, noise + row), times(kept, kept), load(covariance, begin + row))
        store(covariance, begin + row, fresh)


@compiled
def _update(eight: _Eight, reading: int, row: int, product: Array) -> None:
    mean, covariance, design = eight.mean, eight.covariance, eight.design
    value = load(eight.value, LANES * reading)
    _multiply(eight, row, product)
    spread, innovation = every(0.0), value
    for i in range(0, mean.size, LANES):
        spread = plus_product(spread, load(design, row + i), load(product, i))
        innovation = minus_product(innovation, load(design, row + i), load(mean, i))
    spread = plus_product(load(eight.error, LANES * reading), every(1.0), not_negative(spread))
    certainty, innovation = where_number(value, over(every(1.0), spread)), where_number(value, innovation)
    for i in range(0, mean.size, LANES):
        gain = times(load(product, i), certainty)
        store(mean, i, plus_product(load(mean, i), gain, innovation))
        begin = _place(i // LANES, 0)
        for j in range(0, i + LANES, LANES):
            store(covariance, begin + j, minus_product(load(covariance, begin + j), gain, load(product, j)))


@compiled
def _multiply(eight: _Eight, row: int, product: Array) -> None:
    """covariance @ design row"""
    covariance, design = eight.covariance, eight.design
    for i in range(0, product.size, LANES):
        own, begin = load(design, row + i), _place(i // LANES, 0)
        sum_ = every(0.0)
        if eight.is_used[(row + i) // LANES]:
            sum_ = times(load(covariance, begin + i), own)
            for j in range(0, i, LANES):
                cross = load(covariance, begin + j)
                sum_ = plus_product(sum_, cross, load(design, row + j))
                store(product, j, plus_product(load(product, j), cross, own))
        else:
            for j in range(0, i, LANES):
                if eight.is_used[(row + j) // LANES]:
                    sum_ = plus_product(sum_, load(covariance, begin + j), load(design, row + j))
        store(product, i, sum_)
