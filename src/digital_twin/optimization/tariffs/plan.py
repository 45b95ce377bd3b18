"""The question of a tariff design and its answer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import BindingLimit, GridLimits, Outlook
from digital_twin.optimization.tariffs.demand_response import DemandResponse, Indices

NARROWEST_BOUNDS = 1e-6
"""Relative to the higher bound: closer ones leave nothing to design."""


@dataclass(frozen=True, slots=True)
class WelfareWeights:
    """How much each part of welfare counts.

    Raises:
        InvalidInput: a negative weight, or more than twice as much weight on consumers as on the operator: then
            welfare is convex in prices, and the best tariff would be an extreme one.
    """

    consumer_surplus: float = 1.0
    operator_margin: float = 1.0
    pv_receipts: float = 1.0
    carbon_damage: float = 1.0

    def __post_init__(self) -> None:
        for name in ("consumer_surplus", "operator_margin", "pv_receipts", "carbon_damage"):
            value = getattr(self, name)
            if not 0 <= value <= 1e6:
                raise InvalidInput(f"weights.{name} must lie in 0..1e6, got {value}", field=f"weights.{name}")
        if self.operator_margin < self.consumer_surplus / 2:
            raise InvalidInput(
                "weights.operator_margin must be at least half of weights.consumer_surplus, got "
                f"{self.operator_margin:g} and {self.consumer_surplus:g}: below, welfare has no inner maximum",
                field="weights.operator_margin",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """What the operator pays for energy and what an emitted kg costs everyone."""

    marginal_cost_per_kwh: Array  # (T,) of one more kWh of demand
    feed_in_price_per_kwh: Array  # (T,) to be paid to the owners of PV: set by a rule, a mere transfer
    carbon_price_per_kg: float


@dataclass(frozen=True, slots=True, eq=False)
class PriceCalendar:
    """Which price block and which local calendar day each interval belongs to; both count from 0 without gaps."""

    block: Indices  # (T,)
    day: Indices  # (T,)

    @property
    def blocks(self) -> int:
        return int(self.block.max()) + 1

    @property
    def days(self) -> int:
        return int(self.day.max()) + 1


@dataclass(frozen=True, slots=True, eq=False)
class TariffLimits:
    """What the prices must respect.

    Raises:
        InvalidInput: bounds the wrong way round or the same, a negative budget, step or unit, a number that is not
            finite.
    """

    low_per_kwh: float
    high_per_kwh: float
    incentive_budget: Array  # (D,) what may still be spent on each local day; infinity where nothing limits it
    grid: GridLimits
    revenue_floor: float | None = None
    max_step_per_kwh: float | None = None
    price_unit_per_kwh: float | None = None
    """Prices are whole multiples of it."""
    protected_load_kw: Array | None = None  # (N, T): what it costs must not rise for any of them

    def __post_init__(self) -> None:
        low, high = self.low_per_kwh, self.high_per_kwh
        if not (np.isfinite([low, high]).all() and high - low > NARROWEST_BOUNDS * max(abs(low), abs(high))):
            raise InvalidInput(
                f"price_bounds.low must be below price_bounds.high, got {low:g} and {high:g}", field="price_bounds"
            )
        if not (self.incentive_budget >= 0).all():
            raise InvalidInput("incentive_budget must be >= 0", field="incentive_budget")
        if self.revenue_floor is not None and not np.isfinite(self.revenue_floor):
            raise InvalidInput("revenue_floor must be finite", field="revenue_floor")
        unit = self.price_unit_per_kwh
        if unit is not None and not 0 < unit <= high - low:
            raise InvalidInput(
                f"price_unit_per_kwh must be above 0 and no more than price_bounds are apart, got {unit:g}",
                field="price_unit_per_kwh",
            )
        if self.max_step_per_kwh is not None and not 0 <= self.max_step_per_kwh < np.inf:
            raise InvalidInput("max_price_step_per_kwh must be >= 0", field="max_price_step_per_kwh")


@dataclass(frozen=True, slots=True, eq=False)
class TariffProblem:
    """One tariff to design; the import and export prices of the outlook are those of the present tariff.

    Raises:
        InvalidInput: an array of another length than the horizon, a number that is not finite.
    """

    outlook: Outlook
    supply: Supply
    calendar: PriceCalendar
    response: DemandResponse
    limits: TariffLimits
    weights: WelfareWeights

    def __post_init__(self) -> None:
        steps = self.outlook.grid.steps
        for name in ("marginal_cost_per_kwh", "feed_in_price_per_kwh"):
            values: Array = getattr(self.supply, name)
            if values.shape != (steps,) or not np.isfinite(values).all():
                raise InvalidInput(f"{name} must have {steps} finite values", field=name)
        if not 0 <= self.supply.carbon_price_per_kg < np.inf:
            raise InvalidInput("carbon_price_per_kg must be >= 0", field="carbon_price_per_kg")
        if self.calendar.block.shape != (steps,) or self.calendar.day.shape != (steps,):
            raise InvalidInput(f"every one of the {steps} intervals must have its block and its day", field="blocks")
        if self.limits.incentive_budget.shape != (self.calendar.days,):
            raise InvalidInput(f"each of the {self.calendar.days} local days must have its budget")
        protected = self.limits.protected_load_kw
        if protected is not None and (protected.ndim != 2 or protected.shape[1] != steps or not (protected >= 0).all()):
            raise InvalidInput(f"loads of members must have {steps} values >= 0 each", field="no_member_worse_off")


@dataclass(frozen=True, slots=True)
class Welfare:
    """Consumer surplus, PV owners' receipts, operator's margin and carbon damage, in currency.

    Of consumer surplus only the change between two tariffs has a meaning.
    """

    consumer_surplus: float
    pv_receipts: float
    operator_margin: float
    carbon_damage: float

    def weighted(self, weights: WelfareWeights) -> float:
        return (
            weights.consumer_surplus * self.consumer_surplus
            + weights.pv_receipts * self.pv_receipts
            + weights.operator_margin * self.operator_margin
            - weights.carbon_damage * self.carbon_damage
        )


@dataclass(frozen=True, slots=True, eq=False)
class TariffFigures:
    """What a price path does, evaluated exactly."""

    import_price_per_kwh: Array  # (T,)
    demand_kw: Array  # (T,)
    change: Welfare  # against the present tariff
    before: Welfare
    revenue: float
    revenue_before: float
    incentives_paid: Array  # (D,)
    energy_kwh: Array  # (D,)
    energy_before_kwh: Array  # (D,)


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Prices as a method found them, before they are brought inside the budget and checked."""

    price_per_kwh: Array  # (K,)
    budget_price: Array  # (D,) weighted welfare per unit of currency more to spend
    bound: float  # on the weighted change of welfare of any tariff
    solver: str
    binding: tuple[BindingLimit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TariffDesign:
    """The prices that passed the independent check, with what they do and what holds them back."""

    figures: TariffFigures
    welfare_change: float  # weighted
    budget_shadow_price: Array  # (D,) weighted welfare per unit of currency more to spend
    gap: float  # how much better prices could be at most, relative to the bill at stake
    status: Literal["optimal", "feasible"]
    solver: str
    binding: tuple[BindingLimit, ...] = ()
    notes: tuple[str, ...] = ()
