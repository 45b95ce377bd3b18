"""The linear program of a plan under risk, and its Newton system by the structure of its scenarios.

    minimise slope'y subject to Ay >= b,  y = (charge and discharge that are free, excess over each kink, peak of each
    scenario, loss beyond the threshold of each scenario, the threshold)

Excesses, peaks and losses leave the Newton system one by one, scenario by scenario; what remains is dense in the free
charges and discharges. An iteration takes O(S T + S T^2) operations, the latter in one matrix product.

Source: Rockafellar, Uryasev 2000, Journal of Risk 2, 21-41 (the program of the conditional value at risk).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.stochastic.matrix import Factor
from digital_twin.optimization.stochastic.numbers import IDLE_PRICE, Numbers, PeakRows, summed

FREE_WIDTH = 1e-9
"""Of what the storage's bounds leave, in units of the largest power; narrower is taken to be fixed."""
_WIDENED = 1e-3
Solve = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Free:
    """The charges and discharges that the bounds leave free."""

    low: Array  # (F,)
    high: Array  # (F,)
    interval: NDArray[np.intp]  # (F,)
    sign: Array  # (F,) of the net discharge
    gain: Array  # (F,) of the energy in store
    fixed_net: Array  # (T,)
    fixed_soc: Array  # (T,)
    places: NDArray[np.intp]  # (2, T) of the charge and the discharge of each interval among these; -1 where fixed
    gains: Array  # (2,) of a charge and a discharge

    @classmethod
    def of(cls, numbers: Numbers) -> "Free":
        steps = numbers.charge.shape[1]
        low, high = np.hstack([numbers.charge, numbers.discharge])
        sign = np.repeat([-1.0, 1.0], steps)
        gains = np.array([numbers.charge_gain, -numbers.discharge_loss])
        gain = np.repeat(gains, steps)
        free = high - low > FREE_WIDTH
        fixed = np.where(free, 0.0, low)
        stored = (gain * fixed).reshape(2, steps).sum(axis=0)
        net = (sign * fixed).reshape(2, steps).sum(axis=0)
        interval, sign, gain = np.flatnonzero(free) % steps, sign[free], gain[free]
        return cls(
            low[free],
            high[free],
            interval,
            sign,
            gain,
            net,
            numbers.initial + np.cumsum(stored),
            np.where(free, np.cumsum(free) - 1, -1).reshape(2, steps),
            gains,
        )

    def net(self, x: Array) -> Array:
        """The part of the net discharge that is free."""
        return summed(self.interval, self.sign * x, self.fixed_net.size)

    def soc(self, x: Array) -> Array:
        return np.cumsum(summed(self.interval, self.gain * x, self.fixed_net.size))

    def pulled(self, by_net: Array, by_soc: Array) -> Array:
        """The transposed of both."""
        later = np.cumsum(by_soc[::-1])[::-1]
        return self.sign * by_net[self.interval] + self.gain * later[self.interval]


class Program:
    """The program of these numbers, in their units."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.free = Free.of(numbers)
        scenarios, steps = numbers.slope.shape
        self.kink_interval = numbers.cell % steps
        self.kink_scenario = numbers.cell // steps
        self.peak = numbers.peak if numbers.peak is not None else PeakRows.none(scenarios)
        self.peaks = scenarios if numbers.peak is not None else 0
        self.tails = scenarios if numbers.tail_weight > 0 else 0
        free, kinks = self.free.low.size, numbers.cell.size
        self._y = _slices([free, kinks, self.peaks, self.tails, min(self.tails, 1)])
        rows = [free, free, steps, steps, kinks, kinks, self.peak.at.size, self.peaks, self.tails, self.tails]
        self._rows = _slices(rows)
        chance = numbers.probabilities
        ones, of_kink = np.ones(2 * free + 2 * steps), chance[self.kink_scenario]
        # a scenario's cost and its peak are made of all intervals
        of_scenario = [steps * chance] * (2 if self.tails else 0)
        of_peak = [chance[self.peak.scenario], steps * chance] if self.peaks else []
        self.weights = np.concatenate([ones, of_kink, of_kink, *of_peak, *of_scenario])
        self.slope = self._objective()
        self.limits = self._limits()
        level = numbers.level + numbers.slope @ self.free.fixed_net
        self._level = (1 - numbers.tail_weight) * float(chance @ level)

    def cost(self, y: Array) -> float:
        """What the program's point costs, in money."""
        return self.numbers.unit_cost * (float(self.slope @ y) + self._level)

    def parts(self, y: Array) -> list[Array]:
        """Free powers, excesses, peaks, losses, and the threshold where losses count."""
        return [y[one] for one in self._y]

    def row_parts(self, rows: Array) -> list[Array]:
        return [rows[one] for one in self._rows]

    def times(self, y: Array) -> Array:
        """Ay."""
        numbers, (x, excess, peak, loss, threshold) = self.numbers, self.parts(y)
        net, soc = self.free.net(x), self.free.soc(x)
        rows = [x, -x, soc, -soc, excess + net[self.kink_interval], excess]
        if self.peaks:
            rows += [peak[self.peak.scenario] + net[self.peak.interval], peak]
        if self.tails:
            cost = numbers.slope @ net + self.by_scenario(numbers.rise * excess)
            if self.peaks:
                cost += self.peak.price * peak
            rows += [loss + threshold - cost, loss]
        return np.concatenate(rows)

    def transposed(self, price: Array) -> Array:
        """A'p."""
        numbers = self.numbers
        low, high, soc_low, soc_high, kink, excess, over, peak, tail, loss = self.row_parts(price)
        by_net = summed(self.kink_interval, kink, numbers.slope.shape[1])
        of_excess = kink + excess
        of_peak = peak
        if self.peaks:
            by_net += summed(self.peak.interval, over, by_net.size)
            of_peak = peak + summed(self.peak.scenario, over, self.peaks)
        threshold = np.empty(0)
        if self.tails:
            by_net -= tail @ numbers.slope
            of_excess = of_excess - numbers.rise * tail[self.kink_scenario]
            of_peak = of_peak - self.peak.price * tail if self.peaks else of_peak
            threshold = np.array([tail.sum()])
        x = low - high + self.free.pulled(by_net, soc_low - soc_high)
        return np.concatenate([x, of_excess, of_peak, tail + loss, threshold])

    def factor(self, weight: Array) -> Solve:
        """Solves (A' diag(weight) A) y = right, and gives Ay beside y.

        The rows of the scenarios' losses, small differences of large costs, come from their prices: were they made
        from y, rounding would undo the feasibility of the prices near the optimum.

        Raises:
            LinAlgError: rounding leaves nothing to be solved.
        """
        return _Newton(self, self.row_parts(weight)).solve

    def _objective(self) -> Array:
        numbers = self.numbers
        mean = (1 - numbers.tail_weight) * numbers.probabilities
        of_soc = np.zeros(numbers.slope.shape[1])
        of_soc[-1] = -numbers.end_value
        x = numbers.wear + IDLE_PRICE + self.free.pulled(mean @ numbers.slope, of_soc)
        tail = numbers.tail_weight / (1 - numbers.confidence) * numbers.probabilities
        return np.concatenate(
            [
                x,
                numbers.rise * mean[self.kink_scenario],
                self.peak.price * mean[: self.peaks],
                tail[: self.tails],
                [numbers.tail_weight][: self.tails],
            ]
        )

    def _limits(self) -> Array:
        """b."""
        numbers, free = self.numbers, self.free
        low, high = numbers.soc
        # an equality has no interior; the plan is brought back into its bounds, and the lower bound keeps to them
        high = np.where(high - low > FREE_WIDTH, high, low + _WIDENED)
        level = numbers.level + numbers.slope @ free.fixed_net
        return np.concatenate(
            [
                free.low,
                -free.high,
                low - free.fixed_soc,
                free.fixed_soc - high,
                numbers.at - free.fixed_net[self.kink_interval],
                np.zeros(numbers.at.size),
                self.peak.at - free.fixed_net[self.peak.interval],
                np.zeros(self.peaks),
                level[: self.tails],
                np.zeros(self.tails),
            ]
        )

    def by_scenario(self, of_kinks: Array) -> Array:
        return summed(self.kink_scenario, of_kinks, self.numbers.level.size)


class _Newton:
    """The condensed matrix of one iteration, factored."""

    def __init__(self, program: Program, weight: list[Array]) -> None:
        self._program, numbers = program, program.numbers
        low, high, soc_low, soc_high, kink, excess, over, peak, tail, loss = weight
        scenarios, steps = numbers.slope.shape
        self._excess = kink + excess
        self._kink, self._rise = kink / self._excess, numbers.rise / self._excess
        self._over = np.zeros((0, steps))
        diagonal = summed(program.kink_interval, self._kink * excess, steps)
        matrix = np.zeros((steps, steps))
        if program.peaks:
            self._over = np.zeros((scenarios, steps))
            self._over[program.peak.scenario, program.peak.interval] = over
            self._peak = self._over.sum(axis=1) + peak
            diagonal += self._over.sum(axis=0)
            matrix -= self._over.T @ (self._over / self._peak[:, None])
        if program.tails:
            self._tail, self._loss = tail, loss
            matrix += self._of_tail(tail)
        matrix.flat[:: steps + 1] += diagonal
        free = program.free
        stored = np.cumsum((soc_low + soc_high)[::-1])[::-1]
        self._factor = Factor.of(matrix, stored, free.places, free.gains, low + high)

    def _of_tail(self, tail: Array) -> Array:
        """What the scenarios' losses add: the spread of their marginal costs around the one of the threshold."""
        program, numbers = self._program, self._program.numbers
        scenarios, steps = numbers.slope.shape
        share = summed(numbers.cell, numbers.rise * self._kink, scenarios * steps)
        marginal = numbers.slope - share.reshape(scenarios, steps)
        spread = 1 / tail + 1 / self._loss + program.by_scenario(numbers.rise * self._rise)
        if program.peaks:
            marginal = marginal - program.peak.price * self._over / self._peak[:, None]
            spread += program.peak.price**2 / self._peak
        self._narrow = 1 / spread
        self._narrow_sum = float(self._narrow.sum())
        self._marginal_of_threshold = self._narrow @ marginal / self._narrow_sum
        self._marginal = marginal - self._marginal_of_threshold
        return self._marginal.T @ (self._marginal * self._narrow[:, None])

    def solve(self, right: Array) -> tuple[Array, Array]:
        program, numbers, free = self._program, self._program.numbers, self._program.free
        x, excess, peak, loss, threshold = program.parts(right)
        by_net = -summed(program.kink_interval, self._kink * excess, numbers.slope.shape[1])
        if program.peaks:
            by_net -= (peak / self._peak) @ self._over
        if not program.tails:
            moved = self._moved(x, by_net)
            y = np.concatenate([moved, *self._without_tail(free.net(moved), excess, peak)])
            return y, program.times(y)
        own = loss / self._loss - program.by_scenario(self._rise * excess)
        if program.peaks:
            own -= program.peak.price * peak / self._peak
        # without the storage the threshold moves so that the prices of the losses add up
        at_rest = (threshold[0] - own @ self._narrow) / self._narrow_sum
        own += at_rest
        by_net += (own * self._narrow) @ self._marginal + self._marginal_of_threshold * threshold[0]
        moved = self._moved(x, by_net)
        net = free.net(moved)
        price = (own - self._marginal @ net) * self._narrow
        excess = excess + numbers.rise * price[program.kink_scenario]
        peak = peak + program.peak.price * price if program.peaks else peak
        shift = at_rest + self._marginal_of_threshold @ net
        y = np.concatenate([moved, *self._without_tail(net, excess, peak), (loss - price) / self._loss, [shift]])
        rows = program.times(y)
        program.row_parts(rows)[-2][:] = price / self._tail
        return y, rows

    def _moved(self, x: Array, by_net: Array) -> Array:
        free = self._program.free
        return self._factor.solve(x + free.sign * by_net[free.interval])

    def _without_tail(self, net: Array, excess: Array, peak: Array) -> tuple[Array, Array]:
        moved = excess / self._excess - self._kink * net[self._program.kink_interval]
        return moved, (peak - self._over @ net) / self._peak if self._program.peaks else peak


def _slices(sizes: list[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
