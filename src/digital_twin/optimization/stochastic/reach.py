"""Within which bounds the storage can be used at all."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.plan import DispatchProblem, Storage
from digital_twin.optimization.stochastic.plan import StochasticProblem


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """Bounds of charge, discharge and state of charge; every state within can be reached and led on to the end."""

    charge_kw: Array  # (2, T) least, most
    discharge_kw: Array  # (2, T)
    soc_kwh: Array  # (2, T) at the end of each interval

    @classmethod
    def of(cls, problem: DispatchProblem, charge_kw: Array, discharge_kw: Array) -> "Reach | None":
        """What these powers can reach; None where they miss a bound of the storage's energy."""
        stored = _stored(problem.storage, problem.outlook.grid.step_hours, charge_kw, discharge_kw)
        soc = _tube(problem, stored)
        return None if soc is None else cls(charge_kw, discharge_kw, soc)

    def stored_kwh(self, storage: Storage, hours: float) -> Array:
        """The least and the most energy that each interval adds."""
        return _stored(storage, hours, self.charge_kw, self.discharge_kw)

    @property
    def low_kw(self) -> Array:
        """The least net discharge."""
        return self.discharge_kw[0] - self.charge_kw[1]

    @property
    def high_kw(self) -> Array:
        return self.discharge_kw[1] - self.charge_kw[0]


def reach_of(problem: StochasticProblem) -> tuple[Reach | None, bool]:
    """The reach that keeps limits without a price on the expected course and, if that is possible, in every scenario.

    None where not even the expected course can keep them. The flag tells whether some scenario cannot.
    """
    expected, scenarios = problem.expected, problem.scenarios
    outlook = expected.outlook
    if expected.limits.beyond_per_kwh is not None:
        free = np.full(outlook.grid.steps, np.inf)
        return _reach(expected, -free, free), False
    low, high = _limits_on(expected, outlook.load_kw[None], outlook.pv_kw[None])
    least, most = _limits_on(expected, scenarios.load_kw, scenarios.pv_kw)
    everywhere = _reach(expected, np.maximum(low, least), np.minimum(high, most))
    return (everywhere, False) if everywhere is not None else (_reach(expected, low, high), True)


def _limits_on(problem: DispatchProblem, load_kw: Array, pv_kw: Array) -> tuple[Array, Array]:
    """The net discharges with which all these courses keep the limits of the grid."""
    unavoidable_kw = load_kw if problem.curtailable else load_kw - pv_kw
    low = (load_kw - pv_kw).max(axis=0) - problem.limits.import_kw
    return low, unavoidable_kw.min(axis=0) + problem.limits.export_kw


def _reach(problem: DispatchProblem, low_kw: Array, high_kw: Array) -> Reach | None:
    """One direction in each interval, so that bounds of the net discharge are bounds of charge and discharge."""
    power = problem.storage.power_kw
    charge = np.array([np.maximum(-high_kw, 0.0), np.clip(-low_kw, 0.0, power)])
    discharge = np.array([np.maximum(low_kw, 0.0), np.clip(high_kw, 0.0, power)])
    rounding = 1e-9 * max(1.0, power)
    if (charge[0] > charge[1] + rounding).any() or (discharge[0] > discharge[1] + rounding).any():
        return None
    charge[0], discharge[0] = np.minimum(charge[0], charge[1]), np.minimum(discharge[0], discharge[1])
    return Reach.of(problem, charge, discharge)


def _stored(storage: Storage, hours: float, charge_kw: Array, discharge_kw: Array) -> Array:
    return hours * (charge_kw * storage.charge_efficiency - discharge_kw[::-1] / storage.discharge_efficiency)


def _tube(problem: DispatchProblem, stored_kwh: Array) -> Array | None:
    """The states of charge from which the rest of the horizon is feasible, and that can be reached."""
    storage, steps = problem.storage, stored_kwh.shape[1]
    soc = np.array([storage.least_kwh(steps, problem.outlook.grid.step_hours), np.full(steps, storage.capacity_kwh)])
    rounding = 1e-9 * max(1.0, storage.capacity_kwh)
    for step in range(steps - 2, -1, -1):
        soc[0, step] = max(soc[0, step], soc[0, step + 1] - stored_kwh[1, step + 1])
        soc[1, step] = min(soc[1, step], soc[1, step + 1] - stored_kwh[0, step + 1])
    before = np.full(2, storage.initial_kwh)
    for step in range(steps):
        soc[0, step] = max(soc[0, step], before[0] + stored_kwh[0, step])
        soc[1, step] = min(soc[1, step], before[1] + stored_kwh[1, step])
        if soc[0, step] > soc[1, step] + rounding:
            return None
        soc[0, step] = min(soc[0, step], soc[1, step])
        before = soc[:, step]
    return soc
