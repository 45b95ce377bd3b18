"""A fleet in standard form: one unit for each kind of storage, every bound as tight as the energy allows.

Identical storages become one unit that is so many times as large. Their plans are equal therefore, each an equal share
of the unit's: what a fleet of equals can do is what the one large storage can do, as the possible courses are convex.
Bounds of the energy are its tube, and bounds of the powers follow from that; what has no choice left takes no part.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.connections import Connections, connections
from digital_twin.optimization.fleet.plan import FleetProblem, FleetStorages, Whole
from digital_twin.optimization.fleet.tube import Tube, close
from digital_twin.optimization.fleet.units import SURPLUS, Units

FIXED = 1e-9
"""Room below it, as a part of the storage's capacity, is none."""


@dataclass(frozen=True, slots=True, eq=False)
class StandardFleet:
    """Units that have a choice, and how every storage follows from them."""

    units: Units
    end_value: Array  # (U,) per kWh left
    least: Array  # (4, C, T) charge, discharge, stored energy and charge from surplus of all kinds of storages
    kind: Whole  # (B,) of each storage
    count: Array  # (C,) storages of each kind
    with_choice: Whole  # (U,) the kinds that are units
    spilled_kw: Array  # (N, T) generation that fuses do not let out
    fixed_cost: float  # of wear at the least powers, less the worth of the energy left there

    @property
    def fixed_injection_kw(self) -> Array:
        """Of all storages at their least powers."""  # (T,)
        return (self.least[1] - self.least[0]).sum(axis=0)

    def of_storages(self, above: Array) -> Array:
        """Charge, discharge, energy and charge from surplus of every storage, from the units' above the least."""
        values = self.least.copy()
        values[:, self.with_choice] += above
        return (values / self.count[:, None])[:, self.kind]


def standard_fleet(problem: FleetProblem) -> StandardFleet:
    """The fleet in standard form.

    Raises:
        Infeasible: a storage cannot keep its bounds, or a member its fuse, whatever the others do.
        InvalidInput: several storages compete behind one fuse.
    """
    storages, hours, own = problem.storages, problem.grid.step_hours, connections(problem)
    first, kind, count = _kinds(storages, own)
    scale = count[:, None]
    stored, taken = storages.charge_efficiency[first] * hours, hours / storages.discharge_efficiency[first]
    drawn, initial = storages.driven_kwh[first] * scale, storages.initial_kwh[first] * count
    bounds = storages.lowest_kwh[first] * scale, storages.highest_kwh[first] * scale
    tube = close(problem, Tube.of(bounds, _rates(own, first, scale, (stored, taken)), drawn, initial), kind, count)
    low, high = tube.powers(stored[:, None], taken[:, None])
    surplus = own.surplus_kw[first] * scale
    least = np.array([low[0] - np.minimum(low[0], surplus), low[1], tube.low, np.minimum(low[0], surplus)])
    most = np.array([high[0] - np.minimum(high[0], surplus), high[1], tube.high, np.minimum(high[0], surplus)])
    room = np.swapaxes(most - least, 0, 1)
    size = np.maximum(bounds[1].max(axis=1, initial=0.0), 1e-3 * count)
    room[room <= FIXED * size[:, None, None]] = 0.0
    chosen = np.flatnonzero(room[:, :2].any(axis=(1, 2)) | room[:, SURPLUS].any(axis=1))
    room = np.ascontiguousarray(room[chosen] if room[chosen, SURPLUS].any() else room[chosen, :SURPLUS])
    drawn = drawn + np.diff(tube.low, axis=1, prepend=initial[:, None]) - _stored(least, stored, taken)
    wear, end_value = storages.wear_per_kwh[first] * hours, storages.end_value_per_kwh[first]
    weight = 0.5 * room[:, :2].mean(axis=2).sum(axis=1) + room[:, 2].max(axis=1, initial=0.0) / (8 * hours)
    return StandardFleet(
        Units(room, np.ascontiguousarray(drawn[chosen]), stored[chosen], taken[chosen], wear[chosen], weight),
        end_value[chosen],
        least,
        kind,
        count,
        chosen,
        own.spilled_kw,
        float(wear @ (least[0] + least[1] + least[3]).sum(axis=1) - end_value @ tube.low[:, -1]),
    )


def _rates(own: Connections, first: Whole, scale: Array, efficiency: tuple[Array, Array]) -> tuple[Array, Array]:
    """How much the energy rises and falls in an interval at most; below 0 where it must do the other."""
    stored, taken = efficiency[0][:, None] * scale, efficiency[1][:, None] * scale
    rise = np.where(
        own.discharge_min_kw[first] > 0, -taken * own.discharge_min_kw[first], stored * own.charge_max_kw[first]
    )
    fall = np.where(
        own.charge_min_kw[first] > 0, -stored * own.charge_min_kw[first], taken * own.discharge_max_kw[first]
    )
    return rise, fall


def _stored(least: Array, stored: Array, taken: Array) -> Array:
    """What the least powers add to the energy."""
    return stored[:, None] * (least[0] + least[3]) - taken[:, None] * least[1]


def _kinds(storages: FleetStorages, own: Connections) -> tuple[Whole, Whole, Array]:
    """The first storage of every kind, the kind of each storage, and how many there are of each."""
    columns = [
        own.charge_max_kw, own.discharge_max_kw, own.charge_min_kw, own.discharge_min_kw, own.surplus_kw,
        storages.lowest_kwh, storages.highest_kwh, storages.driven_kwh,
    ]  # fmt: skip
    numbers = np.column_stack([
        storages.initial_kwh, storages.charge_efficiency, storages.discharge_efficiency, storages.wear_per_kwh,
        storages.end_value_per_kwh,
    ])  # fmt: skip
    _, like, alike = np.unique(numbers, axis=0, return_inverse=True, return_counts=True)
    kinds: dict[tuple[int, bytes], int] = {}
    first: list[int] = []
    kind = np.empty(storages.member.size, dtype=np.int64)
    for row in range(storages.member.size):
        is_one_of_many = alike[like[row]] > 1
        courses = b"".join(column[row].tobytes() for column in columns) if is_one_of_many else b""
        kind[row] = kinds.setdefault((int(like[row]), courses), len(kinds))
        if kind[row] == len(first):
            first.append(row)
    return np.array(first, dtype=np.int64), kind, np.bincount(kind, minlength=len(first)).astype(np.float64)
