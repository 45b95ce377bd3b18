"""Feeds: what a community asks of the outside, and how far the last answer carries."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np

from digital_twin.domain.bidding_zones import BiddingZone
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.generation_mix import EmissionBasis
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import TimeGrid, time_zone
from digital_twin.domain.units import Array

MARKET_STEP_MINUTES = 15
"""The European day-ahead market settles in quarters since October 2025; hourly prices are the same in all four."""

LONGEST_REPEAT_DAYS = 7


class FeedKind(StrEnum):
    """What a feed tells."""

    WEATHER = "weather"
    PRICES = "prices"
    CARBON = "carbon"


FED_SERIES = {
    FeedKind.WEATHER: ("temperature_c", "ghi_wm2", "dni_wm2", "dhi_wm2", "wind_speed_ms"),
    FeedKind.PRICES: ("import_price_per_kwh", "export_price_per_kwh"),
    FeedKind.CARBON: ("emission_factor_kg_per_kwh",),
}
"""The community's series that each feed writes."""

FEED_OF = {name: kind for kind, names in FED_SERIES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Place:
    """A place to within a kilometre: neighbours share one question, and no home is named."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "latitude", round(self.latitude, 2) + 0.0)
        object.__setattr__(self, "longitude", round(self.longitude, 2) + 0.0)


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What a contract makes of the spot price: (spot x factor + adder) x (1 + vat)."""

    factor: float = 1.0
    adder_per_kwh: float = 0.0
    vat: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("factor", -10.0, 10.0), ("adder_per_kwh", -10.0, 10.0), ("vat", 0.0, 1.0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInput(f"{name} must lie in {low:g}..{high:g}, got {value}", field=name)

    def price_of(self, spot_per_kwh: Array) -> Array:
        """The price that is paid, or earned."""
        return (spot_per_kwh * self.factor + self.adder_per_kwh) * (1 + self.vat)


PLAIN_TERMS = PriceTerms()


@dataclass(frozen=True, slots=True)
class WeatherFeed:
    """Forecast and past weather of the community's place."""

    resolution_minutes: int = 60
    enabled: bool = True

    def __post_init__(self) -> None:
        if self.resolution_minutes not in (15, 60):
            raise InvalidInput(
                f"resolution_minutes must be 15 or 60, got {self.resolution_minutes}", field="resolution_minutes"
            )

    @property
    def kind(self) -> FeedKind:
        return FeedKind.WEATHER


@dataclass(frozen=True, slots=True)
class PriceFeed:
    """Day-ahead prices of a bidding zone, made into the community's import and export price."""

    zone: BiddingZone
    import_terms: PriceTerms = field(default_factory=PriceTerms)
    export_terms: PriceTerms = field(default_factory=PriceTerms)
    enabled: bool = True

    @property
    def kind(self) -> FeedKind:
        return FeedKind.PRICES


@dataclass(frozen=True, slots=True)
class CarbonFeed:
    """The average emission factor of a bidding zone's generation."""

    zone: BiddingZone
    basis: EmissionBasis = EmissionBasis.DIRECT
    enabled: bool = True

    @property
    def kind(self) -> FeedKind:
        return FeedKind.CARBON


Feed = WeatherFeed | PriceFeed | CarbonFeed


def repeat_last_day(series: SeriesValues, until: datetime, zone: str) -> SeriesValues | None:
    """What lies ahead of the last value until `until`: the same local hours of the last day that has them.

    None where there is nothing to repeat, or nothing left to fill.
    """
    known = np.flatnonzero(np.isfinite(series.values))
    if not known.size:
        return None
    first = series.grid.instant(int(known[-1]) + 1)
    steps = int((until - first) / series.grid.step)
    if steps < 1:
        return None
    ahead = TimeGrid(first, steps, series.grid.step_minutes)
    values = np.array([_last_at_this_hour(series, ahead.instant(step), zone) for step in range(steps)])
    return SeriesValues(series.key, ahead, values) if np.isfinite(values).any() else None


def _last_at_this_hour(series: SeriesValues, instant: datetime, zone: str) -> float:
    local = instant.astimezone(time_zone(zone))
    for days in range(1, LONGEST_REPEAT_DAYS + 1):
        earlier = (local - timedelta(days=days)).astimezone(UTC)  # on the wall clock, then back
        place = round((earlier - series.grid.start) / series.grid.step)
        if 0 <= place < series.grid.steps and np.isfinite(series.values[place]):
            return float(series.values[place])
    return float("nan")
