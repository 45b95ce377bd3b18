"""One community's filter on rows that fill vectors: its mean and both triangles of its covariance, W numbers a row.

W is the number of states, filled up to whole vectors; what fills up is 0 and stays 0. A reading subtracts g g' with
g = P h / sqrt(spread), whose two triangles are equal to the bit, and so stay those of P. Every pass over the covariance
multiplies it, on the way, with the design row that comes next: P h for the reading after it costs no pass of its own.
"""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.lanes import (
    LANES,
    every,
    load,
    load_every,
    minus_product,
    plus,
    plus_product,
    store,
    times,
    total,
)


@compiled
def take_in(mean: Array, covariance: Array, wide_mean: Array, wide: Array) -> None:
    width = wide_mean.size
    for row in range(mean.size):
        wide_mean[row] = mean[row]
        for column in range(row + 1):
            wide[row * width + column] = covariance[row, column]
            wide[column * width + row] = covariance[row, column]


@compiled
def give_back(mean: Array, covariance: Array, wide_mean: Array, wide: Array) -> None:
    for row in range(mean.size):
        mean[row] = wide_mean[row]
        for column in range(row + 1):
            covariance[row, column] = wide[row * wide_mean.size + column]


@compiled
def lay_out(numbers: Array, begin: int, rows: Array, shape: tuple[int, int]) -> None:
    """Lay out so many rows of such a length with what fills up their vectors."""
    count, length = shape
    width = -(-length // LANES) * LANES
    for row in range(count):
        for column in range(length):
            rows[row * width + column] = numbers[begin + row * length + column]


@compiled
def couple_in_rows(mean: Array, covariance: Array, target: int, source: int, gain: float) -> None:
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
def multiply_all(numbers: Array, by: Array) -> None:
    for block in range(0, numbers.size, LANES):
        store(numbers, block, times(load(numbers, block), load(by, block)))


@compiled
def predict_in_rows(covariance: Array, decay: Array, noise: Array, rows: Array, begin: int, product: Array) -> None:
    """One step without couplings; the first design row is multiplied with what is stored, on the way."""
    width = product.size
    states = covariance.size // width
    for block in range(0, width, LANES):
        kept = load(decay, block)
        even, odd = times(load(noise, block), load(rows, begin + block)), every(0.0)
        for state in range(0, states - 1, 2):
            place = state * width + block
            one = times(load(covariance, place), times(load_every(decay, state), kept))
            other = times(load(covariance, place + width), times(load_every(decay, state + 1), kept))
            store(covariance, place, one)
            store(covariance, place + width, other)
            even = plus_product(even, load_every(rows, begin + state), one)
            odd = plus_product(odd, load_every(rows, begin + state + 1), other)
        if states % 2 == 1:
            place = (states - 1) * width + block
            one = times(load(covariance, place), times(load_every(decay, states - 1), kept))
            store(covariance, place, one)
            even = plus_product(even, load_every(rows, begin + states - 1), one)
        store(product, block, plus(even, odd))


@compiled
def add_noise(covariance: Array, noise: Array) -> None:
    width = noise.size
    for state in range(covariance.size // width):
        covariance[state * width + state] += noise[state]


@compiled
def expect(rows: Array, begin: int, product: Array, mean: Array) -> tuple[float, float]:
    """The variance that is believed of a reading without its error, and what it is expected to be."""
    believed, expected = every(0.0), every(0.0)
    for block in range(0, mean.size, LANES):
        design = load(rows, begin + block)
        believed = plus_product(believed, design, load(product, block))
        expected = plus_product(expected, design, load(mean, block))
    return total(believed), total(expected)


@compiled
def share_out(mean: Array, product: Array, share: Array, innovation: float, spread: float) -> None:
    """Move the mean; what the reading takes from the covariance is the square of `share`."""
    deviation = np.sqrt(spread)
    shrink, surprise = every(1.0 / deviation), every(innovation / deviation)
    for block in range(0, mean.size, LANES):
        taken = times(load(product, block), shrink)
        store(share, block, taken)
        store(mean, block, plus_product(load(mean, block), taken, surprise))


@compiled
def subtract_in_rows(covariance: Array, share: Array, rows: Array, begin: int, product: Array) -> None:
    """The square of `share`; the next design row is multiplied with what is left, on the way."""
    width = product.size
    states = covariance.size // width
    for block in range(0, width, LANES):
        own = load(share, block)
        even, odd = every(0.0), every(0.0)  # two sums that do not wait for each other
        for state in range(0, states - 1, 2):
            place = state * width + block
            one = minus_product(load(covariance, place), load_every(share, state), own)
            other = minus_product(load(covariance, place + width), load_every(share, state + 1), own)
            store(covariance, place, one)
            store(covariance, place + width, other)
            even = plus_product(even, load_every(rows, begin + state), one)
            odd = plus_product(odd, load_every(rows, begin + state + 1), other)
        if states % 2 == 1:
            place = (states - 1) * width + block
            one = minus_product(load(covariance, place), load_every(share, states - 1), own)
            store(covariance, place, one)
            even = plus_product(even, load_every(rows, begin + states - 1), one)
        store(product, block, plus(even, odd))
