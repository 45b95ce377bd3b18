"""The community's side of a fleet: its connection, generation that may be curtailed, and the highest import.

Its variables, T of each kind one after the other, are import, import beyond the limit, export, export beyond the limit,
generation used, and with a peak charge how far an interval stays below the peak, and the peak itself. Its rows are the
balance of each interval, (supply) = load, and with a peak charge import + stays below - peak = peak so far.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import bmat, csc_matrix, hstack, identity

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetProblem
from digital_twin.optimization.fleet.presolve import StandardFleet

HARD = 20.0
"""Price beyond hard limits, as a multiple of the highest price: whoever could stay within them for less, does."""


@dataclass(frozen=True, eq=False)
class GridSide:
    """The community's connection; powers in kW, costs for a kW over an interval."""

    load_kw: Array  # (T,) less generation that cannot be curtailed and what storages inject at least
    pv_kw: Array  # (T,) that can be curtailed
    import_cost: Array  # (T,)
    export_gain: Array  # (T,)
    beyond_cost: float
    import_limit_kw: float
    export_limit_kw: float
    peak_cost: float  # of a kW
    peak_so_far_kw: float
    largest_kw: float  # nothing is ever larger
    retail_cost: float  # of the load at import prices, which gaps are held against

    @property
    def with_peak(self) -> bool:
        return self.peak_cost > 0

    @cached_property
    def room(self) -> Array:
        """Upper bounds of the variables; the lower ones are 0."""
        steps, most = self.load_kw.size, self.largest_kw
        limits = [
            (limit, most) if limit < most else (most, 0.0) for limit in (self.import_limit_kw, self.export_limit_kw)
        ]
        room = np.concatenate([np.repeat(limits, steps), self.pv_kw])
        if self.with_peak:
            room = np.concatenate([room, np.full(steps + 1, most + self.peak_so_far_kw)])
        return np.where(room < 1e-9 * most, 0.0, room)

    @cached_property
    def cost(self) -> Array:
        beyond, zero = self.beyond_cost, np.zeros(self.load_kw.size)
        costs = [self.import_cost, self.import_cost + beyond, -self.export_gain, beyond - self.export_gain, zero]
        return np.concatenate([*costs, zero, [self.peak_cost]] if self.with_peak else costs)

    @cached_property
    def right_side(self) -> Array:
        if not self.with_peak:
            return self.load_kw
        return np.concatenate([self.load_kw, np.full(self.load_kw.size, self.peak_so_far_kw)])

    @cached_property
    def rows(self) -> csc_matrix:
        """What each variable adds to each row."""
        steps = identity(self.load_kw.size)
        supply = [steps, steps, -steps, -steps, steps]
        if not self.with_peak:
            return csc_matrix(hstack(supply))
        peak = csc_matrix(np.full((self.load_kw.size, 1), -1.0))
        return csc_matrix(bmat([[*supply, None, None], [steps, steps, None, None, None, steps, peak]]))

    def priced(self, prices: Array) -> Array:
        """What the variables are worth at prices of the rows."""
        return np.asarray(self.rows.T @ prices)

    def normal_matrix(self, spread: Array) -> Array:
        """Rows times spread times rows, transposed."""
        steps = self.load_kw.size
        each = spread[: 5 * steps].reshape(5, steps)
        balance = np.diag(each.sum(axis=0))
        if not self.with_peak:
            return balance
        bought = each[:2].sum(axis=0)
        peak = np.diag(bought + spread[5 * steps : -1]) + spread[-1]
        return np.block([[balance, np.diag(bought)], [np.diag(bought), peak]])

    def bounded(self, prices: Array) -> tuple[Array, float]:
        """Prices nearest to these at which the connection's answer is finite, and the least it costs then.

        With the units' best answers to the same prices that is a lower bound of every plan.
        """
        steps = self.load_kw.size
        balance, peak = prices[:steps], np.zeros(steps)
        if self.with_peak:
            peak = np.minimum(prices[steps:], 0.0)
            peak = peak * min(1.0, self.peak_cost / max(-peak.sum(), 1e-300))
        beyond_import, beyond_export = (
            self.beyond_cost if limit < self.largest_kw else 0.0
            for limit in (self.import_limit_kw, self.export_limit_kw)
        )
        highest = self.import_cost + beyond_import - peak
        balance = np.clip(balance, np.minimum(self.export_gain - beyond_export, highest), highest)
        bounded = np.concatenate([balance, peak]) if self.with_peak else balance
        reduced = self.cost - self.priced(bounded)
        # what the choice of prices keeps at 0 or above is below it by rounding only
        reduced[(reduced < 0) & (reduced > -1e-14 * (np.abs(self.cost) + np.abs(self.cost).max()))] = 0.0
        return bounded, float(np.minimum(reduced, 0.0) @ self.room + bounded @ self.right_side)

    def recourse(self, injection_kw: Array, *, at_most_kw: Array | None = None) -> "Recourse":
        """The cheapest use of the connection for what the units inject.

        Args:
            at_most_kw: what may be curtailed, if less than all that can be.  # (T,)
        """
        lowest = self.load_kw - injection_kw - self.pv_kw
        highest = lowest + (self.pv_kw if at_most_kw is None else np.minimum(at_most_kw, self.pv_kw))
        net = self._cheapest(lowest, highest)
        if self.with_peak and (net > np.maximum(lowest, 0.0)).any():
            net = self._below_peak(net, lowest)
        bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
        beyond = np.maximum(bought - self.import_limit_kw, 0.0) + np.maximum(sold - self.export_limit_kw, 0.0)
        return Recourse(bought, sold, np.maximum(net - lowest, 0.0), beyond, float(self._costs(net)))

    def _cheapest(self, lowest: Array, highest: Array) -> Array:
        """The net import of least cost, without a peak charge, between all generation used and all of it curtailed."""
        kinks = [0.0, self.import_limit_kw, -self.export_limit_kw]
        candidates = np.array([lowest, highest, *(np.full(lowest.size, kink) for kink in kinks)])
        net = np.clip(candidates, lowest, highest)
        return net[np.argmin(self._energy_costs(net), axis=0), np.arange(lowest.size)]

    def _below_peak(self, net: Array, lowest: Array) -> Array:
        """Where generation is curtailed to import more: only up to the peak that costs least in all."""
        kinks = [0.0, self.import_limit_kw, self.peak_so_far_kw]
        peaks = np.maximum(np.unique(np.concatenate([net, lowest, kinks])), 0.0)
        below = np.minimum(net, np.maximum(peaks[:, None], lowest))
        return below[np.argmin(self._costs(below))]

    def _costs(self, net: Array) -> Array:
        """Of courses of net import, with the peak charge."""  # (..., T) to (...)
        peak = np.maximum(net.max(axis=-1) - self.peak_so_far_kw, 0.0)
        return self._energy_costs(net).sum(axis=-1) + self.peak_cost * peak

    def _energy_costs(self, net: Array) -> Array:
        bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
        beyond = np.maximum(bought - self.import_limit_kw, 0.0) + np.maximum(sold - self.export_limit_kw, 0.0)
        return self.import_cost * bought - self.export_gain * sold + self.beyond_cost * beyond


@dataclass(frozen=True, slots=True, eq=False)
class Recourse:
    """What the community's connection does, and its cost."""

    import_kw: Array  # (T,)
    export_kw: Array  # (T,)
    curtailed_kw: Array  # (T,)
    beyond_limits_kw: Array  # (T,)
    cost: float


def grid_side(problem: FleetProblem, standard: StandardFleet) -> GridSide:
    """The community's side, with what storages inject in any case and without what fuses do not let out."""
    hours, members = problem.grid.step_hours, problem.members
    free = members.curtailable
    load_kw = members.load_kw.sum(axis=0)
    fixed_kw = members.pv_kw[~free].sum(axis=0)
    prices = [problem.import_price_per_kwh, problem.export_price_per_kwh, problem.storages.end_value_per_kwh]
    beyond = problem.limits.beyond_per_kwh
    if beyond is None:
        per_kw = problem.peak.per_kw if problem.peak else 0.0
        beyond = HARD * max(*(float(np.abs(each).max(initial=0.0)) for each in prices), 1e-3) + per_kw / hours
    pv_kw = (members.pv_kw - standard.spilled_kw)[free].sum(axis=0)
    net_kw = load_kw - fixed_kw - standard.fixed_injection_kw
    powers = problem.storages.charge_max_kw.max(axis=1) + problem.storages.discharge_max_kw.max(axis=1)
    return GridSide(
        net_kw,
        pv_kw,
        hours * problem.import_price_per_kwh,
        hours * problem.export_price_per_kwh,
        hours * beyond,
        problem.limits.import_kw,
        problem.limits.export_kw,
        problem.peak.per_kw if problem.peak else 0.0,
        problem.peak.so_far_kw if problem.peak else 0.0,
        3 * float(np.abs(net_kw).max() + pv_kw.max() + powers.sum()) + 1,
        problem.retail_cost,
    )
