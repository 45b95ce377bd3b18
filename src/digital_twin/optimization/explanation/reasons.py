"""What a plan does when, and the two prices that decide it.

The reduced cost of charging is its price less what the energy is worth later (the water value, times the efficiency),
so both are read off the duals of the model: whatever moves the price of a kWh on site, such as peaks, sharing and
limits, is in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.blocks import prices_of
from digital_twin.optimization.compiled import Mask
from digital_twin.optimization.device_blocks import device_powers, prefix_of
from digital_twin.optimization.devices import Battery, Device, ElectricVehicle, HeatPump, ShiftableLoad, ShiftableRun
from digital_twin.optimization.dispatch import Solved
from digital_twin.optimization.plan import DispatchProblem, Powers, Weights

Deed = Literal["charges", "discharges", "takes", "curtails"]
SMALLEST_KW = 1e-4


@dataclass(frozen=True, slots=True)
class Action:
    """One stretch of intervals [first, end) in which something is done.

    `price` is what a kWh taken costs, or given saves, in the objective; `worth` what the energy is worth otherwise: in
    the storage, or for what may wait the mean price over its window. None where the model has no single price.
    """

    device_id: str | None  # None: the community's own
    deed: Deed
    first: int
    end: int
    energy_kwh: float
    price: float | None
    worth: float | None
    is_full_power: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Store:
    """What of a storage the reasons rest on."""

    device_id: str | None
    prefix: str
    powers: tuple[Array, Array]
    charge_efficiency: float
    discharge_efficiency: float
    end_value: float


def powers_of(problem: DispatchProblem, values: dict[str, Array]) -> Powers:
    """Those of a solution."""
    devices = tuple(device_powers(index, device, values) for index, device in enumerate(problem.devices))
    return Powers(values["charge_kw"], values["discharge_kw"], values["curtailed_kw"], devices)


def actions_of(problem: DispatchProblem, weights: Weights, solved: Solved, powers: Powers) -> list[Action]:
    """In the order of time; prices that go with one best plan go with all."""
    stores = _stores(problem, weights, powers)
    found = [action for store in stores for action in _of_storage(problem, solved, store)]
    price = price_on_site(problem, weights, solved)
    for index, device in enumerate(problem.devices):
        if isinstance(device, HeatPump | ShiftableLoad | ShiftableRun):
            found += _of_load(problem, powers.devices[index][0], device, price)
    found += _of_curtailment(problem, powers.curtailed_kw, price)
    return sorted(found, key=lambda one: (one.first, one.device_id or "", one.deed))


def storage_uses(problem: DispatchProblem, powers: Powers) -> list[Action]:
    """What the community's storage does when, without a reason: under risk no single price decides it."""
    hours, most_kw = problem.outlook.grid.step_hours, problem.storage.power_kw
    found: list[Action] = []
    uses: tuple[tuple[Deed, Array], ...] = (("charges", powers.charge_kw), ("discharges", powers.discharge_kw))
    for deed, used in uses:
        for first, end in _stretches(used > SMALLEST_KW):
            at = used[first:end]
            is_full = bool((at >= most_kw - SMALLEST_KW).all())
            found.append(Action(None, deed, first, end, hours * float(at.sum()), None, None, is_full))
    return sorted(found, key=lambda one: one.first)


def price_on_site(problem: DispatchProblem, weights: Weights, solved: Solved) -> Array:
    """What one more kWh of load would add to the objective in each interval: the dual of the balance."""  # (T,)
    costs = prices_of(problem, weights)["export_kw"]
    return (solved.solution.reduced_costs["export_kw"] - costs) / problem.outlook.grid.step_hours


def _stores(problem: DispatchProblem, weights: Weights, powers: Powers) -> Iterator[_Store]:
    store, used = problem.storage, (powers.charge_kw, powers.discharge_kw)
    value = weights.cost * store.end_value_per_kwh
    yield _Store(None, "", used, store.charge_efficiency, store.discharge_efficiency, value)
    for index, device in enumerate(problem.devices):
        prefix, used = prefix_of(index), powers.devices[index]
        if isinstance(device, Battery):
            store = device.storage
            value = weights.cost * store.end_value_per_kwh
            yield _Store(device.device_id, prefix, used, store.charge_efficiency, store.discharge_efficiency, value)
        elif isinstance(device, ElectricVehicle):
            yield _Store(device.device_id, prefix, used, device.charge_efficiency, device.discharge_efficiency, 0.0)


def _of_storage(problem: DispatchProblem, solved: Solved, store: _Store) -> Iterator[Action]:
    hours, reduced = problem.outlook.grid.step_hours, solved.solution.reduced_costs
    stored_worth = np.cumsum(reduced[f"{store.prefix}soc_kwh"][::-1])[::-1] + store.end_value
    worths: tuple[tuple[Deed, str, Array, float], ...] = (
        ("charges", f"{store.prefix}charge_kw", stored_worth * store.charge_efficiency, 1.0),
        ("discharges", f"{store.prefix}discharge_kw", stored_worth / store.discharge_efficiency, -1.0),
    )
    for (deed, name, worth, sign), powers in zip(worths, store.powers, strict=True):
        upper = solved.numbers.upper[name]
        price = worth + sign * reduced[name] / hours
        for first, end in _stretches(powers > SMALLEST_KW):
            at = slice(first, end)
            share = powers[at] / powers[at].sum()
            yield Action(
                store.device_id,
                deed,
                first,
                end,
                hours * float(powers[at].sum()),
                float(share @ price[at]),
                float(share @ worth[at]),
                is_full_power=bool((powers[at] >= upper[at] - SMALLEST_KW).all()),
            )


def _of_load(problem: DispatchProblem, powers: Array, device: Device, price: Array) -> Iterator[Action]:
    hours = problem.outlook.grid.step_hours
    window = slice(None) if isinstance(device, HeatPump) else slice(device.first, device.end)  # type: ignore[union-attr]
    has_price = problem.exchange is None
    for first, end in _stretches(powers > SMALLEST_KW):
        at = slice(first, end)
        paid = float(powers[at] @ price[at] / powers[at].sum())
        usual = float(price[window].mean())
        energy_kwh = hours * float(powers[at].sum())
        yield Action(
            device.device_id,
            "takes",
            first,
            end,
            energy_kwh,
            paid if has_price else None,
            usual if has_price else None,
        )


def _of_curtailment(problem: DispatchProblem, powers: Array, price: Array) -> Iterator[Action]:
    hours = problem.outlook.grid.step_hours
    for first, end in _stretches(powers > SMALLEST_KW):
        at = slice(first, end)
        energy_kwh = hours * float(powers[at].sum())
        yield Action(None, "curtails", first, end, energy_kwh, float(price[at].mean()), None)


def _stretches(flags: Mask) -> Sequence[tuple[int, int]]:
    """Start and end of each stretch of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
