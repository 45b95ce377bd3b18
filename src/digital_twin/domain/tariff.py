"""What energy costs: import and feed-in prices over time, and a charge on the peak."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import LocalClock
from digital_twin.domain.units import Array

MAX_PRICE_PER_KWH = 1_000.0
"""No price is higher in any market that settles in a common currency; higher ones are unit mistakes."""

ALL_WEEK = frozenset(range(7))


def _check_price(price: float, field: str) -> None:
    if not (np.isfinite(price) and abs(price) <= MAX_PRICE_PER_KWH):
        raise InvalidInput(
            f"{field} must lie in -{MAX_PRICE_PER_KWH:g}..{MAX_PRICE_PER_KWH:g}, got {price}", field=field
        )


@dataclass(frozen=True, slots=True)
class FlatPrice:
    """The same price at all times."""

    per_kwh: float

    def __post_init__(self) -> None:
        _check_price(self.per_kwh, "per_kwh")


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A price on some weekdays (Monday 0) from one local hour to another; an end before the start wraps midnight."""

    per_kwh: float
    start_hour: float
    end_hour: float
    weekdays: frozenset[int] = ALL_WEEK

    def __post_init__(self) -> None:
        _check_price(self.per_kwh, "per_kwh")
        for name, hour in (("start_hour", self.start_hour), ("end_hour", self.end_hour)):
            if not 0 <= hour <= 24:
                raise InvalidInput(f"{name} must lie in 0..24, got {hour}", field=name)
        if not self.weekdays or not self.weekdays <= ALL_WEEK:
            raise InvalidInput("weekdays must be some of 0 (Monday) to 6 (Sunday)", field="weekdays")

    def covers(self, clock: LocalClock) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each interval starts inside the window."""  # (T,)
        after, before = clock.hour >= self.start_hour, clock.hour < self.end_hour
        inside = after & before if self.start_hour <= self.end_hour else after | before
        return inside & np.isin(clock.weekday, sorted(self.weekdays))


@dataclass(frozen=True, slots=True)
class TimeOfUsePrice:
    """A price that depends on the local hour and weekday; the first window that holds wins."""

    default_per_kwh: float
    windows: tuple[TimeWindow, ...]

    def __post_init__(self) -> None:
        _check_price(self.default_per_kwh, "default_per_kwh")


@dataclass(frozen=True, slots=True)
class DynamicPrice:
    """A price that follows a market: market x multiplier + markup."""

    markup_per_kwh: float = 0.0
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        _check_price(self.markup_per_kwh, "markup_per_kwh")
        if not 0 <= self.multiplier <= 100:
            raise InvalidInput(f"multiplier must lie in 0..100, got {self.multiplier}", field="multiplier")


Price = FlatPrice | TimeOfUsePrice | DynamicPrice


class BillingPeriod(StrEnum):
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class CapacityCharge:
    """A charge on the highest import of a billing period; the peak already reached costs nothing more."""

    per_kw: float
    period: BillingPeriod = BillingPeriod.MONTH
    peak_so_far_kw: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("per_kw", self.per_kw), ("peak_so_far_kw", self.peak_so_far_kw)):
            if not (np.isfinite(value) and value >= 0):
                raise InvalidInput(f"{name} must be >= 0, got {value}", field=name)


@dataclass(frozen=True, slots=True)
class Tariff:
    """Import price, feed-in price and, where there is one, a capacity charge."""

    import_price: Price
    export_price: Price
    capacity_charge: CapacityCharge | None = None


DEFAULT_TARIFF = Tariff(import_price=FlatPrice(0.30), export_price=FlatPrice(0.08))
"""Assumed until a community names its own; near the EU household average of 2024 (Eurostat nrg_pc_204: 0.29 per kWh)
and a small-plant feed-in tariff (Germany, EEG 2023: 0.08 per kWh)."""


def price_path(price: Price, clock: LocalClock, market_per_kwh: Array | None = None) -> Array:
    """Price of each interval.

    Args:
        market_per_kwh: the market price a dynamic tariff follows.  # (T,)

    Raises:
        InsufficientData: a dynamic tariff without a market price for every interval.
    """  # -> (T,)
    steps = clock.hour.size
    match price:
        case FlatPrice(per_kwh=per_kwh):
            return np.full(steps, per_kwh)
        case TimeOfUsePrice(default_per_kwh=default, windows=windows):
            conditions = [window.covers(clock) for window in windows]
            return (
                np.select(conditions, [window.per_kwh for window in windows], default)
                if windows
                else np.full(steps, default)
            )
        case DynamicPrice(markup_per_kwh=markup, multiplier=multiplier):
            known = 0 if market_per_kwh is None else int(np.isfinite(market_per_kwh).sum())
            if market_per_kwh is None or known < steps:
                raise InsufficientData(
                    f"a dynamic tariff needs the market price of all {steps} intervals, found {known}; "
                    "upload import_price_per_kwh readings or give the prices in the request",
                    needed=steps,
                    found=known,
                )
            return market_per_kwh * multiplier + markup
