"""Prices and emission factors of each interval: from the request, the tariff, readings, or documented priors."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.resampling import resample
from digital_twin.domain.tariff import DEFAULT_TARIFF, DynamicPrice, Price, price_path
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.services.history import OWN_READINGS, KnownSeries, community_series
from digital_twin.services.ports import Transaction
from digital_twin.services.provenance import Provenance

DEFAULT_EMISSION_FACTOR_KG_PER_KWH = 0.21
"""Greenhouse-gas intensity of electricity in the EU-27 in 2023 (European Environment Agency, 2024)."""

LEAST_KNOWN_FACTORS = 0.9
"""Emission factors with more gaps than a tenth do not count."""

MARKET_SERIES, EXPORT_SERIES = "import_price_per_kwh", "export_price_per_kwh"
ZONAL_PRICE = "zonal_price_per_kwh"
THE_TARIFF = "the tariff"


@dataclass(frozen=True, slots=True, eq=False)
class PriceRequest:
    """Prices that a caller fixes: an array over the grid or one number."""

    import_price_per_kwh: Array | float | None = None
    export_price_per_kwh: Array | float | None = None
    emission_factor_kg_per_kwh: Array | float | None = None
    zonal_price_per_kwh: Array | float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What energy costs and emits in each interval."""

    import_price_per_kwh: Array  # (T,)
    export_price_per_kwh: Array  # (T,)
    emission_factor_kg_per_kwh: Array  # (T,)
    zonal_price_per_kwh: Array | None  # (T,) only where the caller gives it


async def prices_of(
    tx: Transaction, community: Community, grid: TimeGrid, request: PriceRequest, provenance: Provenance
) -> Prices:
    """Prices on the grid.

    Raises:
        InvalidInput: an array of another length than the grid.
        InsufficientData: a dynamic tariff without a market price for every interval.
    """
    tariff = community.tariff or DEFAULT_TARIFF
    buying = await _price(
        tx, community, grid, MARKET_SERIES, tariff.import_price, request.import_price_per_kwh, provenance
    )
    selling = await _price(
        tx, community, grid, EXPORT_SERIES, tariff.export_price, request.export_price_per_kwh, provenance
    )
    if community.tariff is None:
        defaults = {MARKET_SERIES: "costs 0.30 per kWh", EXPORT_SERIES: "earns 0.08 per kWh when fed in"}
        assumed = [words for name, words in defaults.items() if provenance.sources[name] == THE_TARIFF]
        if assumed:
            provenance.assume(f"energy {' and '.join(assumed)} until a tariff is given")
    factor = await _emission_factor(tx, community, grid, request.emission_factor_kg_per_kwh, provenance)
    zonal = None if request.zonal_price_per_kwh is None else spread(request.zonal_price_per_kwh, grid, ZONAL_PRICE)
    return Prices(buying, selling, factor, zonal)


async def _price(  # noqa: PLR0913
    tx: Transaction,
    community: Community,
    grid: TimeGrid,
    name: str,
    price: Price,
    given: Array | float | None,
    provenance: Provenance,
) -> Array:
    if given is not None:
        provenance.sources[name] = "the request"
        return spread(given, grid, name)
    uploaded = await _uploaded(tx, community, grid, name, provenance)
    if isinstance(price, DynamicPrice):
        market = uploaded if name == MARKET_SERIES else await _uploaded(tx, community, grid, MARKET_SERIES, provenance)
        provenance.sources[name] = f"dynamic tariff on {MARKET_SERIES} {_told_by(market)}"
        values = None if market is None else market.values.values
        return price_path(price, local_clock(grid, community.timezone or "UTC"), values)
    if uploaded is not None and np.isfinite(uploaded.values.values).all() and community.tariff is None:
        provenance.sources[name] = _told_by(uploaded)
        return uploaded.values.values
    provenance.sources[name] = THE_TARIFF
    return price_path(price, local_clock(grid, community.timezone or "UTC"))


async def _emission_factor(
    tx: Transaction, community: Community, grid: TimeGrid, given: Array | float | None, provenance: Provenance
) -> Array:
    name = "emission_factor_kg_per_kwh"
    if given is not None:
        provenance.sources[name] = "the request"
        return spread(given, grid, name)
    uploaded = await _uploaded(tx, community, grid, name, provenance)
    known = 0.0 if uploaded is None else float(np.isfinite(uploaded.values.values).mean())
    if uploaded is not None and known >= LEAST_KNOWN_FACTORS:
        provenance.sources[name] = _told_by(uploaded)
        if known < 1:
            provenance.assume(f"where {name} is not known ({100 * (1 - known):.1f} %) it is its mean")
        return _mean_in_gaps(uploaded.values.values)
    if community.emission_factor_kg_per_kwh is not None:
        return np.full(grid.steps, community.emission_factor_kg_per_kwh)
    provenance.assume(
        f"the grid emits {DEFAULT_EMISSION_FACTOR_KG_PER_KWH} kg/kWh (EU-27, 2023) until a factor is given"
    )
    return np.full(grid.steps, DEFAULT_EMISSION_FACTOR_KG_PER_KWH)


async def _uploaded(
    tx: Transaction, community: Community, grid: TimeGrid, name: str, provenance: Provenance
) -> KnownSeries | None:
    known = await community_series(tx, community, name, grid.start, grid.end, provenance.as_of)
    return None if known is None else KnownSeries(resample(known.values, grid), known.source)


def _told_by(known: KnownSeries | None) -> str:
    return "readings" if known is None or known.source == OWN_READINGS else known.source


def _mean_in_gaps(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nanmean(values))


def spread(given: Array | float, grid: TimeGrid, name: str) -> Array:
    """One number for all intervals, or an array of exactly their number. Raises InvalidInput otherwise."""
    values = np.asarray(given, dtype=np.float64)
    if values.ndim == 0:
        return np.full(grid.steps, float(values))
    if values.shape != (grid.steps,):
        raise InvalidInput(
            f"{name} must have one value for each of the {grid.steps} intervals, got {values.size}", field=name
        )
    return values
