"""The filter for many communities in one call, each with its own belief, model, readings and gaps.

The steps are those of `kalman.py`, one scalar reading after the other, on the rows of `rows.py`. A gap costs nothing.
Nothing is shared between communities, and the belief is all that a step hands on: what becomes of one depends neither
on the others nor on where the time axis is cut.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.lanes import aligned_zeros, padded
from digital_twin.macro_twin.rows import (
    add_noise,
    couple_in_rows,
    expect,
    give_back,
    lay_out,
    multiply_all,
    predict_in_rows,
    share_out,
    subtract_in_rows,
    take_in,
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
    noise: Array  # (W)
    design: Array  # (M + 1, W) the last row is of no reading
    product: Array  # (W) covariance @ design row of the reading that comes next
    share: Array  # (W) what the last reading takes from the covariance is its square


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
    work = _Work(*(aligned_zeros(rows * width) for rows in (1, states, 1, 1, readings + 1, 1, 1)))
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
        take_in(means[one], covariances[one], work.mean, work.covariance)
        _run_one(one, length, couplings, moves, seen, work)
        give_back(means[one], covariances[one], work.mean, work.covariance)


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
    mean, covariance, decay, noise, rows, product, share = work
    targets, sources = couplings
    decays, decay_at, decay_by = _begin(moves[0], one)
    noises, noise_at, noise_by = _begin(moves[1], one)
    gains, gain_at, gain_by = _begin(moves[2], one)
    designs, design_at, design_by = _begin(seen[0], one)
    values, value_at, value_by = _begin(seen[1], one)
    errors, error_at, error_by = _begin(seen[2], one)
    width, states = mean.size, covariance.size // mean.size
    readings = rows.size // width - 1
    for step in range(length):
        for coupling in range(targets.size):
            couple_in_rows(mean, covariance, targets[coupling], sources[coupling], gains[gain_at + coupling])
        lay_out(decays, decay_at, decay, (1, states))
        lay_out(noises, noise_at, noise, (1, states))
        if step == 0 or design_by != 0:
            lay_out(designs, design_at, rows, (readings, states))
        reading = _next_reading(values, value_at, 0, readings)
        multiply_all(mean, decay)
        predict_in_rows(covariance, decay, noise, rows, reading * width, product)
        add_noise(covariance, noise)
        while reading < readings:
            believed, expected = expect(rows, reading * width, product, mean)
            spread = max(believed, 0.0) + errors[error_at + reading]
            share_out(mean, product, share, values[value_at + reading] - expected, spread)
            reading = _next_reading(values, value_at, reading + 1, readings)
            subtract_in_rows(covariance, share, rows, reading * width, product)
        decay_at, noise_at, gain_at = decay_at + decay_by, noise_at + noise_by, gain_at + gain_by
        design_at, value_at, error_at = design_at + design_by, value_at + value_by, error_at + error_by


@compiled
def _begin(told: _Told, community: int) -> tuple[Array, int, int]:
    """The numbers, where those of the community begin, and how far it is from step to step."""
    return told.numbers, community * told.of_community, told.of_step


@compiled
def _next_reading(values: Array, begin: int, first: int, readings: int) -> int:
    """The first that is no gap, from this one on; the number of all where none is left."""
    reading = first
    while reading < readings and np.isnan(values[begin + reading]):
        reading += 1
    return reading
