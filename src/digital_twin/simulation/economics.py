"""What an investment is worth: cash flows, net present value, payback.

Source: Short, Packey and Holt (1995), A Manual for the Economic Evaluation of Energy Efficiency and Renewable Energy
Technologies, NREL/TP-462-5173, sections 3.1 (net present value) and 3.6 (payback).
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.assets import check_range
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array

MAX_LIFETIME_YEARS = 60


@dataclass(frozen=True, slots=True)
class Investment:
    """Money spent now, what it costs to run, and how long it lasts; the rate is real, per year."""

    amount: float
    lifetime_years: int
    discount_rate: float
    annual_operation_cost: float = 0.0

    def __post_init__(self) -> None:
        check_range(self.amount, "economics.investment", 0, 1e12)
        check_range(self.lifetime_years, "economics.lifetime_years", 1, MAX_LIFETIME_YEARS)
        if self.lifetime_years != int(self.lifetime_years):
            raise InvalidInput("lifetime_years must be a whole number", field="economics.lifetime_years")
        check_range(self.discount_rate, "economics.discount_rate", 0, 1)
        check_range(self.annual_operation_cost, "economics.annual_operation_cost", 0, 1e12)

    def cash_flows(self, annual_saving: float) -> Array:
        """What flows at the end of each year, the investment first."""  # (1 + lifetime_years,)
        flows = np.full(self.lifetime_years + 1, annual_saving - self.annual_operation_cost)
        flows[0] = -self.amount
        return flows

    @property
    def annuity_years(self) -> float:
        """What one unit at the end of each year of the lifetime is worth now."""
        if self.discount_rate == 0:
            return float(self.lifetime_years)
        return float(-np.expm1(-self.lifetime_years * np.log1p(self.discount_rate)) / self.discount_rate)

    def net_present_value(self, annual_saving: Array | float) -> Array:
        """The worth of each of the savings, less what is spent."""
        return (np.asarray(annual_saving) - self.annual_operation_cost) * self.annuity_years - self.amount

    def payback_years(self, annual_saving: float) -> float | None:
        """When the savings have paid the investment back, if they do within its lifetime."""
        return first_return(self.cash_flows(annual_saving))

    def discounted_payback_years(self, annual_saving: float) -> float | None:
        """The same with every flow at its present worth."""
        return first_return(discounted(self.cash_flows(annual_saving), self.discount_rate))


def discounted(flows: Array, rate: float) -> Array:
    """Flows at the end of years 0, 1, ... at their present worth."""
    return flows / (1 + rate) ** np.arange(flows.size)


def first_return(flows: Array) -> float | None:
    """Years until the sum of the flows is back at 0, each year's flow spread evenly over it; None if never."""
    total = np.cumsum(flows)
    if total[0] >= 0:
        return 0.0
    returned = np.flatnonzero(total >= 0)
    if returned.size == 0:
        return None
    year = int(returned[0])
    return float(year - 1 - total[year - 1] / flows[year])
