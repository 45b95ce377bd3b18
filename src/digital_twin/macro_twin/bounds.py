"""What can be: a storage between empty and full that gives no more than it holds, and nothing smaller than a tick.

Source: Simon and Chia (2002), IEEE Transactions on Aerospace and Electronic Systems 38, 128-136 (projection of a
constrained state).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.kalman import spread_of
from digital_twin.macro_twin.structure import ENERGY, EXCHANGE, SIZE

TICK = 1e-12
"""Of kilowatts, kilowatt-hours, kilowatts per degree, and of what is relative: far below what any meter tells."""


class Storage(NamedTuple):
    """All batteries of a community."""

    capacity_kwh: float
    charge_hours: float  # step_hours x charge efficiency
    discharge_hours: float  # step_hours / discharge efficiency


@compiled
def keep_in_bounds(mean: Array, covariance: Array, storage: Storage, error: float) -> float:
    """Bring the states in place to what can be; by how much the energy's deviation was shrunk, 1 where it was not.

    Args:
        error: variance of the energy beside what the exchange makes of it, where readings tell the exchange; else 0
    """
    shrunk = _keep_energy(mean, covariance, storage.capacity_kwh)
    _keep_exchange(mean, covariance, storage, error)
    _forget_traces(mean, covariance)
    return shrunk


@compiled
def _keep_energy(mean: Array, covariance: Array, capacity_kwh: float) -> float:
    """Project the storage's energy into [0, capacity] and move what goes with it; between bounds nothing is less
    certain than the uniform distribution. By how much the energy's deviation was shrunk, 1 where it was not."""
    most = capacity_kwh * capacity_kwh / 12.0
    variance = covariance[ENERGY, ENERGY]
    shrunk = 1.0
    if variance > most:
        shrunk = np.sqrt(most / variance)
        for i in range(SIZE):
            covariance[max(i, ENERGY), min(i, ENERGY)] *= shrunk
        covariance[ENERGY, ENERGY] = most
        variance = most
    energy = mean[ENERGY]
    beyond = min(max(energy, 0.0), capacity_kwh) - energy
    if beyond != 0.0 and variance > 0.0:
        for i in range(SIZE):
            mean[i] += covariance[max(i, ENERGY), min(i, ENERGY)] / variance * beyond
    mean[ENERGY] = min(max(mean[ENERGY], 0.0), capacity_kwh)
    return shrunk


@compiled
def _keep_exchange(mean: Array, covariance: Array, storage: Storage, error: float) -> None:
    """Let the storage give no more in the step than it holds, nor take more than fits in: project the energy at the
    end of the step into [0, capacity]. What readings tell of the exchange is overruled only within the error."""
    most = storage.capacity_kwh
    hours = storage.charge_hours if mean[EXCHANGE] >= 0 else storage.discharge_hours
    after = mean[ENERGY] + hours * mean[EXCHANGE]
    beyond = min(max(after, 0.0), most) - after
    if beyond == 0.0:
        return
    row, product = np.zeros(SIZE), np.empty(SIZE)
    row[ENERGY], row[EXCHANGE] = 1.0, hours
    spread = spread_of(covariance, row, product) + error
    if spread > 0.0:
        for i in range(SIZE):
            mean[i] += product[i] / spread * beyond
    mean[ENERGY] = min(max(mean[ENERGY], 0.0), most)
    if error == 0.0:
        least, largest = -mean[ENERGY] / storage.discharge_hours, (most - mean[ENERGY]) / storage.charge_hours
        mean[EXCHANGE] = min(max(mean[EXCHANGE], least), largest)


@compiled
def _forget_traces(mean: Array, covariance: Array) -> None:
    """What has decayed below the tick is nothing, lest months of silence leave numbers that are slow to reckon with."""
    for i in range(SIZE):
        mean[i] = unless_trace(mean[i], TICK)
        for j in range(i):
            covariance[i, j] = unless_trace(covariance[i, j], TICK * TICK)


@compiled
def unless_trace(value: float, tick: float) -> float:
    """The value, or 0 where it is smaller than the tick."""
    return 0.0 if abs(value) < tick else value
