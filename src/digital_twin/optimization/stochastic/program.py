"""The linear program of a plan under risk, in units of the storage's power, of the interval and of the mean price.

    minimise slope'y subject to Ay >= limits,  y = (charge and discharge that are free, excess over each kink, peak of
    each scenario, loss beyond the threshold of each scenario, the threshold)

Source: Rockafellar, Uryasev 2000, Journal of Risk 2, 21-41 (the program of the conditional value at risk).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.plan import PRICES, StochasticProblem
from digital_twin.optimization.stochastic.reach import Reach
from digital_twin.optimization.stochastic.recourse import Kinks
from digital_twin.optimization.stochastic.rows import SIGNS, Rows, variables

IDLE_PRICE = 1e-8
"""Of the mean price, for each kWh moved: all else equal, leave the storage alone."""
FREE_WIDTH = 1e-9
"""Of what the storage's bounds leave, in units of the largest power; narrower is taken to be fixed."""
_WIDENED = 1e-3


@dataclass(frozen=True, slots=True)
class Units:
    """What 1 means in the program."""

    kw: float
    kwh: float
    per_kwh: float

    @classmethod
    def of(cls, problem: StochasticProblem) -> Self:
        kw = max(problem.expected.storage.power_kw, 1e-6)
        price = float(np.mean([np.abs(getattr(problem, name)).mean() for name in PRICES])) or 1.0
        return cls(kw, problem.expected.outlook.grid.step_hours * kw, price)

    @property
    def cost(self) -> float:
        return self.kwh * self.per_kwh


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """The storage in these units, and which of its charges and discharges its bounds leave free."""

    powers: Array  # (2, 2, T) of charge and discharge, least and most
    soc: Array  # (2, T)
    initial: float
    final_min: float
    gains: Array  # (2,) of the energy in store by a charge and by a discharge
    wear: float  # without the price of idle use
    end_value: float
    is_free: NDArray[np.bool_]  # (2, T)
    fixed_net: Array  # (T,) net discharge of the powers that are not free
    fixed_soc: Array  # (T,)

    @classmethod
    def of(cls, problem: StochasticProblem, reach: Reach, units: Units) -> Self:
        storage, steps = problem.expected.storage, reach.soc_kwh.shape[1]
        least_kwh = storage.least_kwh(steps, problem.expected.outlook.grid.step_hours)
        powers = np.array([reach.charge_kw, reach.discharge_kw]) / units.kw
        gains = np.array([storage.charge_efficiency, -1 / storage.discharge_efficiency])
        is_free = powers[:, 1] - powers[:, 0] > FREE_WIDTH
        fixed = np.where(is_free, 0.0, powers[:, 0])
        return cls(
            powers=powers,
            soc=np.array([least_kwh, np.full(steps, storage.capacity_kwh)]) / units.kwh,
            initial=storage.initial_kwh / units.kwh,
            final_min=storage.final_min_kwh / units.kwh,
            gains=gains,
            wear=storage.wear_per_kwh / units.per_kwh,
            end_value=storage.end_value_per_kwh / units.per_kwh,
            is_free=is_free,
            fixed_net=SIGNS @ fixed,
            fixed_soc=storage.initial_kwh / units.kwh + np.cumsum(gains @ fixed),
        )

    @property
    def free(self) -> tuple[Array, Array]:
        """Bounds of the free powers, charges first."""  # (F,)
        return self.powers[:, 0][self.is_free], self.powers[:, 1][self.is_free]

    @property
    def places(self) -> NDArray[np.intp]:
        """Of each interval's charge and discharge among the free powers; -1 where it is fixed."""  # (2, T)
        return np.where(self.is_free, np.cumsum(self.is_free).reshape(self.is_free.shape) - 1, -1)


@dataclass(frozen=True, eq=False)
class Program:
    """What the scenarios pay for each net discharge, beside the storage."""

    units: Units
    store: Store
    rows: Rows
    level: Array  # (S,) cost without storage and excess
    at: Array  # (K,) of each kink
    peak_at: Array  # (P,) where import may exceed what is paid already: peak + net discharge >= at
    probabilities: Array  # (S,)
    tail_weight: float
    confidence: float

    @classmethod
    def of(cls, problem: StochasticProblem, reach: Reach, kinks: Kinks) -> Self:
        units, risk, (scenarios, steps) = Units.of(problem), problem.risk, kinks.slope.shape
        store = Store.of(problem, reach, units)
        price = 0.0 if problem.expected.peak is None else problem.expected.peak.per_kw
        over_kw = _over_peak(problem, reach) if price > 0 else np.empty((0, steps))
        peak_cell = np.flatnonzero(np.isfinite(over_kw))
        rows = Rows(
            store.places,
            store.gains,
            kinks.slope / units.per_kwh,
            kinks.cell // steps,
            kinks.cell % steps,
            kinks.rise / units.per_kwh,
            peak_cell // steps,
            peak_cell % steps,
            price * units.kw / units.cost,
            (int(store.is_free.sum()), kinks.cell.size, len(over_kw), scenarios if risk.tail_weight > 0 else 0),
        )
        return cls(
            units,
            store,
            rows,
            kinks.level.sum(axis=1) * units.kwh / (units.kw * units.cost),
            kinks.at_kw / units.kw,
            over_kw.ravel()[peak_cell] / units.kw,
            problem.scenarios.probabilities,
            risk.tail_weight,
            risk.confidence,
        )

    def cost(self, y: Array) -> float:
        """What the program's point costs, in money."""
        level = (1 - self.tail_weight) * float(self.probabilities @ self._fixed_level)
        return self.units.cost * (float(self.slope @ y) + level)

    def soc_kwh(self, y: Array) -> Array:
        """The energy in store at the end of each interval."""
        powers = np.zeros(self.store.is_free.shape)
        powers[self.store.is_free] = variables(self.rows, y)[0]
        return self.units.kwh * (self.store.fixed_soc + np.cumsum(self.store.gains @ powers))

    @cached_property
    def _fixed_level(self) -> Array:
        """What scenarios pay beside the free powers and excesses."""  # (S,)
        return self.level + self.rows.slope @ self.store.fixed_net

    @cached_property
    def slope(self) -> Array:
        """The objective."""
        rows, chance, store = self.rows, self.probabilities, self.store
        mean = (1 - self.tail_weight) * chance
        _, _, peaks, tails = rows.counts
        x = np.multiply.outer(SIGNS, mean @ rows.slope) - store.gains[:, None] * store.end_value
        x += store.wear + IDLE_PRICE
        tail = self.tail_weight / (1 - self.confidence) * chance
        return np.concatenate(
            [
                x[store.is_free],
                rows.rise * mean[rows.kink_scenario],
                rows.peak_price * mean[:peaks],
                tail[:tails],
                [self.tail_weight][:tails],
            ]
        )

    @cached_property
    def limits(self) -> Array:
        """What Ay reaches at least."""
        store, rows = self.store, self.rows
        free, (low, high) = store.free, store.soc
        # an equality has no interior; the plan is brought back into its bounds, and the lower bound keeps to them
        high = np.where(high - low > FREE_WIDTH, high, low + _WIDENED)
        _, kinks, peaks, tails = rows.counts
        return np.concatenate(
            [
                free[0],
                -free[1],
                low - store.fixed_soc,
                store.fixed_soc - high,
                self.at - store.fixed_net[rows.kink_interval],
                np.zeros(kinks),
                self.peak_at - store.fixed_net[rows.peak_interval],
                np.zeros(peaks),
                self._fixed_level[:tails],
                np.zeros(tails),
            ]
        )

    @cached_property
    def weights(self) -> Array:
        """How much each row counts in the barrier: a scenario's cost and its peak are made of all intervals."""
        rows, chance, steps = self.rows, self.probabilities, self.rows.slope.shape[1]
        free, _, peaks, tails = rows.counts
        of_kink = chance[rows.kink_scenario]
        return np.concatenate(
            [
                np.ones(2 * free + 2 * steps),
                of_kink,
                of_kink,
                chance[rows.peak_scenario],
                steps * chance[:peaks],
                steps * chance[:tails],
                steps * chance[:tails],
            ]
        )


def _over_peak(problem: StochasticProblem, reach: Reach) -> Array:
    """Imports beyond the peak that is paid already, without the storage; NaN where another interval's is larger."""
    expected, scenarios = problem.expected, problem.scenarios
    assert expected.peak is not None
    beyond_kw = scenarios.load_kw - scenarios.pv_kw - expected.peak.so_far_kw
    at_least_kw = np.maximum((beyond_kw - reach.high_kw).max(axis=1), 0.0)  # reached in some interval, whatever is done
    return np.where(beyond_kw - reach.low_kw > at_least_kw[:, None], beyond_kw, np.nan)
