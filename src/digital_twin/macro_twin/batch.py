"""The filter for many communities in one call, each with its own belief, model, readings and gaps.

The steps are those of `kalman.py`, one scalar reading after the other. Both triangles of a covariance are held, in rows
that fill vectors: a reading subtracts g g' with g = P h / sqrt(spread), so that the two stay equal to the bit. A gap
costs nothing. Nothing is shared between communities, and the belief is all that a step hands on: what becomes of one
depends neither on the others nor on where the time axis is cut.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.lanes import (
    LANES,
    aligned_zeros,
    every,
    load,
    minus_product,
    padded,
    plus,
    plus_product,
    store,
    times,
    total,
)

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """What is believed of the states of each community."""

    mean: Array  # (N, n)
    covariance: Array  # (N, n, n) lower triangles, zeros above


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What is known of each step of each community; what is alike for many may be a broadcast view."""

    decay: Array  # (N, T, n)
    noise: Array  # (N, T, n) variances
    target: Indices  # (C,) couplings, as in `kalman.Transition`
    source: Indices  # (C,)
    gain: Array  # (N, T, C)
    design: Array  # (N, T, M, n)
    value: Array  # (N, T, M) NaN is no reading
    error: Array  # (N, T, M) variances


class _Told(NamedTuple):
    """Numbers of steps of communities, one set after the other; a stride of 0 where all have the same."""

    numbers: Array
    of_community: int
    of_step: int


class _Work(NamedTuple):
    """One community's belief and the current step, in rows of W numbers, W a multiple of the lanes."""

    mean: Array  # (W)
    covariance: Array  # (n, W) both triangles
    decay: Array  # (W)
    design: Array  # (M, W)
    product: Array  # (W)


def run_many(start: Beliefs, steps: Steps) -> Beliefs:
    """The beliefs after all steps, each of them a prediction and the update with its readings.

    Raises:
        InvalidInput: a shape does not fit the others.
    """
    communities, length, readings = steps.value.shape
    states = start.mean.shape[1]
    shapes = {"decay": (states,), "noise": (states,), "gain": steps.target.shape, "design": (readings, states)}
    for name, shape in (shapes | {"error": (readings,)}).items():
        if (found := getattr(steps, name).shape) != (communities, length, *shape):
            raise InvalidInput(f"{name} must have the shape {(communities, length, *shape)}, got {found}", field=name)
    width = padded(states)
    work = _Work(*(aligned_zeros(rows * width) for rows in (1, states, 1, readings, 1)))
    mean, covariance = np.array(start.mean, order="C"), np.array(start.covariance, order="C")
    moves = _told(steps.decay), _told(steps.noise), _told(steps.gain)
    seen = _told(steps.design), _told(steps.value), _told(steps.error)
    _run_all(length, (mean, covariance), (steps.target, steps.source), moves, seen, work)
    return Beliefs(mean, covariance)


def _told(array: Array) -> _Told:
    """A broadcast axis is taken in once."""
    kept = array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides[:2])]
    numbers = np.ascontiguousarray(kept, dtype=np.float64)
    set_size = int(np.prod(array.shape[2:]))
    of_community = 0 if array.strides[0] == 0 else numbers.shape[1] * set_size
    return _Told(numbers.ravel(), of_community, 0 if array.strides[1] == 0 else set_size)


@compiled
def _run_all(
    length: int,
    beliefs: tuple[Array, Array],
    couplings: tuple[Indices, Indices],
    moves: tuple[_Told, _Told, _Told],
    seen: tuple[_Told, _Told, _Told],
    work: _Work,
) -> None:
    """Advance means and covariances in place."""
    means, covariances = beliefs
    for one in range(means.shape[0]):
        _take_in(means[one], covariances[one], work.mean, work.covariance)
        _run_one(one, length, couplings, moves, seen, work)
        _give_back(means[one], covariances[one], work.mean, work.covariance)


@compiled
def _run_one(
    one: int,
    length: int,
    couplings: tuple[Indices, Indices],
    moves: tuple[_Told, _Told, _Told],
    seen: tuple[_Told, _Told, _Told],
    work: _Work,
) -> None:
    # arrays are named outside of the loops: to reach into a tuple is to count references
    mean, covariance, decay, rows, product = work
    targets, sources = couplings
    decays, noises, gains = moves[0].numbers, moves[1].numbers, moves[2].numbers
    designs, values, errors = seen[0].numbers, seen[1].numbers, seen[2].numbers
    readings, states = rows.size // mean.size, covariance.size // mean.size
    for step in range(length):
        gain = _place(moves[2], one, step)
        for coupling in range(targets.size):
            _couple(mean, covariance, targets[coupling], sources[coupling], gains[gain + coupling])
        _lay(decays, _place(moves[0], one, step), decay, states)
        _predict(mean, covariance, decay, noises, _place(moves[1], one, step))
        if step == 0 or seen[0].of_step != 0:
            _lay(designs, _place(seen[0], one, step), rows, states)
        value, error = _place(seen[1], one, step), _place(seen[2], one, step)
        for reading in range(readings):
            if not np.isnan(values[value + reading]):
                row = reading * mean.size
                _multiply(covariance, rows, row, product)
                believed, expected = _meet(rows, row, product, mean)
                spread = max(believed, 0.0) + errors[error + reading]
                _absorb(mean, covariance, product, values[value + reading] - expected, spread)


@compiled
def _place(told: _Told, community: int, step: int) -> int:
    return community * told.of_community + step * told.of_step


@compiled
def _take_in(mean: Array, covariance: Array, wide_mean: Array, wide: Array) -> None:
    width = wide_mean.size
    for row in range(mean.size):
        wide_mean[row] = mean[row]
        for column in range(row + 1):
            wide[row * width + column] = covariance[row, column]
            wide[column * width + row] = covariance[row, column]


@compiled
def _give_back(mean: Array, covariance: Array, wide_mean: Array, wide: Array) -> None:
    for row in range(mean.size):
        mean[row] = wide_mean[row]
        for column in range(row + 1):
            covariance[row, column] = wide[row * wide_mean.size + column]


@compiled
def _lay(numbers: Array, begin: int, rows: Array, length: int) -> None:
    """Lay out rows of this length with what fills up their vectors."""
    width = -(-length // LANES) * LANES
    for row in range(rows.size // width):
        for column in range(length):
            rows[row * width + column] = numbers[begin + row * length + column]


@compiled
def _predict(mean: Array, covariance: Array, decay: Array, noise: Array, begin: int) -> None:
    width = mean.size
    for block in range(0, width, LANES):
        store(mean, block, times(load(mean, block), load(decay, block)))
    for row in range(covariance.size // width):
        own = every(decay[row])
        for block in range(0, width, LANES):
            place = row * width + block
            store(covariance, place, times(load(covariance, place), times(own, load(decay, block))))
        covariance[row * width + row] += noise[begin + row]


@compiled
def _couple(mean: Array, covariance: Array, target: int, source: int, gain: float) -> None:
    """Add `gain` times one state to another: to its row, and its column from the row."""
    width = mean.size
    mean[target] += gain * mean[source]
    to, of, taken = target * width, source * width, every(gain)
    for block in range(0, width, LANES):
        row = plus_product(load(covariance, to + block), taken, load(covariance, of + block))
        store(covariance, to + block, row)
    variance = covariance[to + target] + gain * covariance[to + source]
    for row in range(covariance.size // width):
        covariance[row * width + target] = covariance[to + row]
    covariance[to + target] = variance


@compiled
def _multiply(covariance: Array, rows: Array, begin: int, product: Array) -> None:
    """covariance @ design row, in two sums that do not wait for each other."""
    width = product.size
    states = covariance.size // width
    for block in range(0, width, LANES):
        even, odd = every(0.0), every(0.0)
        for state in range(0, states - 1, 2):
            place = state * width + block
            even = plus_product(even, every(rows[begin + state]), load(covariance, place))
            odd = plus_product(odd, every(rows[begin + state + 1]), load(covariance, place + width))
        if states % 2 == 1:
            last = states - 1
            even = plus_product(even, every(rows[begin + last]), load(covariance, last * width + block))
        store(product, block, plus(even, odd))


@compiled
def _meet(rows: Array, begin: int, product: Array, mean: Array) -> tuple[float, float]:
    """The variance that is believed of a reading without its error, and what it is expected to be."""
    believed, expected = every(0.0), every(0.0)
    for block in range(0, mean.size, LANES):
        design = load(rows, begin + block)
        believed = plus_product(believed, design, load(product, block))
        expected = plus_product(expected, design, load(mean, block))
    return total(believed), total(expected)


@compiled
def _absorb(mean: Array, covariance: Array, product: Array, innovation: float, spread: float) -> None:
    deviation = np.sqrt(spread)
    shrink, surprise = every(1.0 / deviation), every(innovation / deviation)
    width = mean.size
    for block in range(0, width, LANES):
        share = times(load(product, block), shrink)
        store(product, block, share)
        store(mean, block, plus_product(load(mean, block), share, surprise))
    for block in range(0, width, LANES):
        share = load(product, block)
        for state in range(covariance.size // width):
            place = state * width + block
            store(covariance, place, minus_product(load(covariance, place), every(product[state]), share))
