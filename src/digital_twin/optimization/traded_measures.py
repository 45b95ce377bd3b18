"""What cost is traded against, as a linear function of the model's variables: emissions, grid energy, peak."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.units import Array
from digital_twin.optimization.device_blocks import device_prices, prefix_of
from digital_twin.optimization.model import Prices
from digital_twin.optimization.plan import DispatchProblem


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """As a plan reports it: emissions count imports without credit for exports, less what is shared."""

    prices: Prices
    constant: float
    unit: str

    def of(self, values: dict[str, Array]) -> float:
        """The measure of these values of the variables."""
        return self.constant + float(sum(price @ values[name] for name, price in self.prices.items()))


def measure_of(problem: DispatchProblem, against: Literal["emissions", "self_sufficiency", "peak"]) -> Measure:
    """Self-sufficiency is told by the energy from the grid: the less, the higher it is."""
    if against == "peak":
        return Measure({"peak_kw": np.ones(1)}, 0.0, "kW")
    outlook = problem.outlook
    if against == "emissions":
        return _imports(problem, outlook.emission_factor_kg_per_kwh, "kg")
    return _imports(problem, np.ones(outlook.grid.steps), "kWh")


def _imports(problem: DispatchProblem, factor: Array, unit: str) -> Measure:
    """Imported energy times a factor, which holds for whole settlement intervals."""
    hours, exchange = problem.outlook.grid.step_hours, problem.exchange
    if exchange is None:
        prices = {"import_kw": hours * factor}
        if problem.limits.beyond_per_kwh is not None:
            prices["import_beyond_kw"] = hours * factor
        return Measure(prices, 0.0, unit)
    settled = factor.reshape(-1, problem.settlement_steps).mean(axis=1)
    taking = hours * np.repeat(settled, problem.settlement_steps)
    none = np.zeros_like(taking)
    prices = {"charge_kw": taking}
    for index, device in enumerate(problem.devices):
        prefix = prefix_of(index)
        costs = device_prices(device, prefix, taking, none, cost=0.0, step_hours=hours)
        prices |= {name: costs[name] for name in (f"{prefix}charge_kw", f"{prefix}start") if name in costs}
    if exchange.rule is SharingRule.STATIC:
        prices |= {f"received_{member}_kwh": -settled for member in range(exchange.import_kw.shape[0])}
    elif exchange.rule is not SharingRule.NONE:
        prices["shared_kwh"] = -settled
    return Measure(prices, float(taking @ exchange.import_kw.sum(axis=0)), unit)
