"""The elasticity of a community's demand: given, learned from its readings and past prices, or the literature's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.resampling import resample
from digital_twin.domain.tariff import DynamicPrice
from digital_twin.domain.time import TimeGrid, floor_to_step, local_clock
from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.demand_response import SHORT_RUN_ELASTICITY, Elasticity
from digital_twin.optimization.tariffs.learned_elasticity import LearnedElasticity, PastDemand
from digital_twin.services.history import HISTORY_DAYS, community_series, sound
from digital_twin.services.ports import Transaction
from digital_twin.services.prices import MARKET_SERIES
from digital_twin.services.provenance import Provenance

LEAST_KNOWN_TEMPERATURES = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class KnownElasticity:
    """An elasticity with where it comes from."""

    elasticity: Elasticity
    source: str
    learned: LearnedElasticity | None = None

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "own": self.elasticity.own, "cross": self.elasticity.cross, "source": self.source,
        }  # fmt: skip
        if self.learned is not None:
            own_error, cross_error = self.learned.standard_errors
            document |= {"own_standard_error": own_error, "cross_standard_error": cross_error}
            document |= {"days": self.learned.days, "rests_on": self.learned.rests_on}
        return document


def known_elasticity(told: LearnedElasticity | str, provenance: Provenance) -> KnownElasticity:
    """What was learned, or the literature's value with why nothing was."""
    if isinstance(told, str):
        provenance.assume(
            f"demand has the short-run elasticity {SHORT_RUN_ELASTICITY} (Labandeira, Labeaga, Lopez-Otero 2017) "
            f"until elasticity is given or can be learned; there are {told}"
        )
        return KnownElasticity(Elasticity(), "literature")
    own_error, cross_error = told.standard_errors
    elasticity = told.elasticity
    provenance.sources["elasticity"] = (
        f"learned: own {elasticity.own:.3f} ± {own_error:.3f}, cross {elasticity.cross:.3f} ± {cross_error:.3f} "
        f"from {told.rests_on}"
    )
    return KnownElasticity(elasticity, "readings", told)


async def past_demand(tx: Transaction, community: Community, before: datetime, as_of: datetime) -> PastDemand | str:
    """Hours of demand with the prices that were paid, or in words what is missing."""
    tariff = community.tariff
    if tariff is not None and not isinstance(tariff.import_price, DynamicPrice):
        return "prices that follow the clock alone, which cannot be told from habit"
    end = floor_to_step(min(before, as_of), 60)
    hours = TimeGrid(end - timedelta(days=HISTORY_DAYS), 24 * HISTORY_DAYS, 60)
    price = await _hourly(tx, community, MARKET_SERIES, hours, as_of)
    if price is None:
        return f"no readings of past {MARKET_SERIES}"
    load_kw = await _hourly(tx, community, "load_kw", hours, as_of)
    if load_kw is None:
        return "no readings of load_kw"
    if tariff is not None and isinstance(tariff.import_price, DynamicPrice):
        price = price * tariff.import_price.multiplier + tariff.import_price.markup_per_kwh
    celsius = await _hourly(tx, community, "temperature_c", hours, as_of)
    paid = np.isfinite(load_kw) & np.isfinite(price)
    if celsius is not None and np.isfinite(celsius[paid]).sum() < LEAST_KNOWN_TEMPERATURES * paid.sum():
        celsius = None
    return PastDemand(load_kw, price, celsius, local_clock(hours, community.timezone or "UTC"))


async def _hourly(tx: Transaction, community: Community, name: str, hours: TimeGrid, as_of: datetime) -> Array | None:
    known = await community_series(tx, community, name, hours.start, hours.end, as_of)
    return None if known is None else resample(sound(known).values, hours).values
