"""What a storage may hold at the end of each interval: what can be reached, and from where later bounds can be kept."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetProblem, Whole

_EMPTY = 1e-7
_NAMED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """Bounds of the energy, exact for each interval alone; empty where low lies above high."""

    low: Array  # (C, T)
    high: Array  # (C, T)
    rise: Array  # (C, T) at most, by charging
    fall: Array  # (C, T) at most, by discharging

    @classmethod
    def of(cls, bounds: tuple[Array, Array], rates: tuple[Array, Array], drawn: Array, initial: Array) -> "Tube":
        """From bounds of the energy and how much it rises and falls at most, below 0 where it must do the other."""
        (low, high), (rise, fall) = (bounds[0].copy(), bounds[1].copy()), (rates[0].copy(), rates[1].copy())
        _narrow((low, high), (rise, fall), drawn, initial)
        return cls(low, high, rise, fall)

    def powers(self, stored: Array, taken: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Least charge and discharge and most, of which never both are above 0."""  # (C, T) each
        charge, discharge = np.maximum(self.rise, 0.0) / stored, np.maximum(self.fall, 0.0) / taken
        least = np.maximum(-self.fall, 0.0) / stored, np.maximum(-self.rise, 0.0) / taken
        return (np.minimum(least[0], charge), np.minimum(least[1], discharge)), (charge, discharge)


def close(problem: FleetProblem, tube: Tube, kind: Whole, count: Array) -> Tube:
    """The tube without what rounding alone has opened.

    Args:
        kind: of each storage, as alike ones have one row of the tube; and how many there are of each.

    Raises:
        Infeasible: a storage has no course at all, whatever the others do; the facts name up to ten of them.
    """
    missing = tube.low - tube.high
    size = np.maximum(np.abs(tube.high).max(axis=1, initial=0.0), 1.0)[:, None]
    empty = np.flatnonzero((missing > _EMPTY * size).any(axis=1))
    if empty.size:
        raise _without_course(problem, missing / count[:, None], np.isin(kind, empty).nonzero()[0], kind)
    return Tube(tube.low, np.maximum(tube.low, tube.high), tube.rise, tube.fall)


def _without_course(problem: FleetProblem, missing_kwh: Array, rows: Whole, kind: Whole) -> Infeasible:
    limits = []
    for row in rows[:_NAMED].tolist():
        step = int(np.argmax(missing_kwh[kind[row]]))
        limits.append({
            "limit": "stored_kwh", "member": int(problem.storages.member[row]), "storage": row,
            "relax_by": round(float(missing_kwh[kind[row], step]), 6), "unit": "kWh", "alone": True,
            "at": problem.grid.instant(step + 1).isoformat(),
        })  # fmt: skip
    told = limits[0]
    others = f", and {rows.size - 1} other storages have none either" if rows.size > 1 else ""
    return Infeasible(
        f"storage {told['storage']} of member {told['member']} has no course within its bounds: around {told['at']} "
        f"{told['relax_by']:.6g} kWh are missing{others}; ask for less energy there, or give it more power, more time "
        "or more at the start",
        limits=limits,
    )


@njit(cache=True, error_model="numpy")
def _narrow(bounds: tuple[Array, Array], rates: tuple[Array, Array], drawn: Array, initial: Array) -> None:
    """Bounds of the energy to what later ones allow and earlier ones reach, then rates to what lies between them."""
    (low, high), (rise, fall) = bounds, rates
    steps = low.shape[1]
    for unit in range(low.shape[0]):
        for step in range(steps - 2, -1, -1):
            after = step + 1
            low[unit, step] = max(low[unit, step], low[unit, after] + drawn[unit, after] - rise[unit, after])
            high[unit, step] = min(high[unit, step], high[unit, after] + drawn[unit, after] + fall[unit, after])
        least = most = initial[unit]
        for step in range(steps):
            low[unit, step] = max(low[unit, step], least - drawn[unit, step] - fall[unit, step])
            high[unit, step] = min(high[unit, step], most - drawn[unit, step] + rise[unit, step])
            rise[unit, step] = min(rise[unit, step], high[unit, step] - least + drawn[unit, step])
            fall[unit, step] = min(fall[unit, step], most - low[unit, step] - drawn[unit, step])
            least, most = low[unit, step], high[unit, step]
