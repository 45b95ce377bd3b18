"""The numbers of a plan under risk, in units of the storage's power, of the interval and of the mean price."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.plan import PRICES, StochasticProblem
from digital_twin.optimization.stochastic.reach import Reach
from digital_twin.optimization.stochastic.recourse import Kinks

IDLE_PRICE = 1e-8
"""Of the mean price, for each kWh moved: all else equal, leave the storage alone."""


@dataclass(frozen=True, slots=True, eq=False)
class PeakRows:
    """Where a scenario's import may exceed the peak that is paid already: peak + net discharge >= at."""

    price: float
    scenario: NDArray[np.intp]  # (P,)
    interval: NDArray[np.intp]  # (P,)
    at: Array  # (P,)

    @classmethod
    def none(cls, _scenarios: int) -> Self:
        nothing = np.empty(0, dtype=np.intp)
        return cls(0.0, nothing, nothing, np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Everything the program is made of; `unit_cost` leads back to money."""

    charge: Array  # (2, T) least, most
    discharge: Array  # (2, T)
    soc: Array  # (2, T)
    initial: float
    charge_gain: float
    discharge_loss: float
    wear: float  # without the price of idle use
    end_value: float
    final_min: float
    level: Array  # (S,) cost without storage and excess
    slope: Array  # (S, T) of the cost in the net discharge
    cell: NDArray[np.intp]  # (K,) ascending
    at: Array  # (K,)
    rise: Array  # (K,)
    peak: PeakRows | None
    probabilities: Array  # (S,)
    tail_weight: float
    confidence: float
    unit_kw: float
    unit_cost: float

    @classmethod
    def of(cls, problem: StochasticProblem, reach: Reach, kinks: Kinks) -> Self:
        storage, hours = problem.expected.storage, problem.expected.outlook.grid.step_hours
        unit_kw = max(storage.power_kw, 1e-6)
        price = float(np.mean([np.abs(getattr(problem, name)).mean() for name in PRICES])) or 1.0
        steps = reach.soc_kwh.shape[1]
        soc = np.array([storage.least_kwh(steps, hours), np.full(steps, storage.capacity_kwh)])
        return cls(
            charge=reach.charge_kw / unit_kw,
            discharge=reach.discharge_kw / unit_kw,
            soc=soc / (hours * unit_kw),
            initial=storage.initial_kwh / (hours * unit_kw),
            charge_gain=storage.charge_efficiency,
            discharge_loss=1 / storage.discharge_efficiency,
            wear=storage.wear_per_kwh / price,
            end_value=storage.end_value_per_kwh / price,
            final_min=storage.final_min_kwh / (hours * unit_kw),
            level=kinks.level.sum(axis=1) / (unit_kw * price),
            slope=kinks.slope / price,
            cell=kinks.cell,
            at=kinks.at_kw / unit_kw,
            rise=kinks.rise / price,
            peak=_peak_rows(problem, reach, price),
            probabilities=problem.scenarios.probabilities,
            tail_weight=problem.risk.tail_weight,
            confidence=problem.risk.confidence,
            unit_kw=unit_kw,
            unit_cost=hours * unit_kw * price,
        )


def _peak_rows(problem: StochasticProblem, reach: Reach, price: float) -> PeakRows | None:
    peak = problem.expected.peak
    if peak is None or peak.per_kw == 0:
        return None
    hours, unit_kw = problem.expected.outlook.grid.step_hours, max(problem.expected.storage.power_kw, 1e-6)
    beyond_kw = problem.scenarios.load_kw - problem.scenarios.pv_kw - peak.so_far_kw
    at_least_kw = np.maximum((beyond_kw - reach.high_kw).max(axis=1), 0.0)  # reached in some interval, whatever is done
    scenario, interval = np.nonzero(beyond_kw - reach.low_kw > at_least_kw[:, None])
    at = beyond_kw[scenario, interval] / unit_kw
    return PeakRows(peak.per_kw / (hours * price), scenario, interval, at)


def summed(index: NDArray[np.intp], values: Array, size: int) -> Array:
    """The sum of the values of each index."""
    return np.bincount(index, values, size).astype(np.float64, copy=False)  # without values it counts in integers
