"""What to charge: the tariff that maximises welfare, from what is known, distributed over members, and kept."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import DEFAULT_CARBON_PRICE_PER_KG, GridLimits, Outlook
from digital_twin.optimization.tariffs.demand_response import (
    Elasticity,
    blocks_of_hours,
    demand_response,
    equal_blocks,
)
from digital_twin.optimization.tariffs.learned_elasticity import PastDemand
from digital_twin.optimization.tariffs.plan import (
    PriceCalendar,
    Supply,
    TariffLimits,
    TariffProblem,
    WelfareWeights,
)
from digital_twin.services.access import Grant
from digital_twin.services.computations import design_and_distribute, learned_elasticity
from digital_twin.services.exchange import members_of_last_weeks
from digital_twin.services.forecasts import ForecastRequest, ForecastService
from digital_twin.services.history import community_series
from digital_twin.services.known_elasticity import KnownElasticity, known_elasticity, past_demand
from digital_twin.services.planning_horizon import known_at, planned_grid
from digital_twin.services.ports import Clock, ComputePool, Store, StoredResult, Transaction
from digital_twin.services.prices import MARKET_SERIES, PriceRequest, Prices, prices_of, spread
from digital_twin.services.provenance import Provenance
from digital_twin.services.schedule_document import new_result_id
from digital_twin.services.tariff_document import BAND, KIND, KnownDemand, KnownMembers, tariff_document
from digital_twin.telemetry import TARIFF_DURATION

HOURLY = tuple(float(hour) for hour in range(24))
"""A new price at every full hour of the local clock, unless the request says otherwise."""

LOWEST_SHARE, HIGHEST_SHARE = 0.5, 1.5
"""Of the lowest and the highest present price: as far as the linear answer of demand is believed."""


class FeedInRule(StrEnum):
    """How the feed-in price is set; with PV that does not answer to prices it moves money and nothing else."""

    ZERO_OPERATOR_SURPLUS = "zero_operator_surplus"
    PRESENT_TARIFF = "present_tariff"


@dataclass(frozen=True, slots=True, eq=False)
class TariffRequest:
    """What a caller fixes; everything left out comes from readings, forecast, tariff and documented priors."""

    start: datetime | None
    horizon_hours: float
    resolution_minutes: int
    blocks: int | tuple[float, ...] = HOURLY
    price_bounds: tuple[float, float] | None = None
    max_step_per_kwh: float | None = None
    price_unit_per_kwh: float | None = None
    no_member_worse_off: bool = False
    elasticity: Elasticity | None = None
    revenue_floor: float | None = None
    incentive_budget: float | None = None
    already_spent_today: float = 0.0
    weights: WelfareWeights = field(default_factory=WelfareWeights)
    load_kw: Array | None = None
    pv_kw: Array | None = None
    prices: PriceRequest = field(default_factory=PriceRequest)
    marginal_cost_per_kwh: Array | float | None = None
    carbon_price_per_kg: float | None = None
    feed_in_rule: FeedInRule = FeedInRule.ZERO_OPERATOR_SURPLUS
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Gathered:
    """What was known at one instant."""

    community: Community
    prices: Prices
    market_per_kwh: Array | None
    load_kw: Array
    pv_kw: Array
    members: KnownMembers
    past: PastDemand | str | None
    load_band_kw: Array | None  # (T, 2) where load is forecast


class TariffService:
    """Use cases around the design of tariffs."""

    def __init__(
        self, store: Store, clock: Clock, pool: ComputePool, forecasts: ForecastService, *, timeout_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._forecasts = forecasts
        self._timeout_s = timeout_s

    async def design(self, grant: Grant, request: TariffRequest) -> StoredResult:
        """The tariff that maximises welfare, kept as a result.

        Raises:
            Infeasible: no prices respect the limits, which it names.
            InvalidInput: numbers that do not fit the grid, or weights without an inner maximum.
            InsufficientData: a dynamic tariff without market prices, or members to protect without readings.
            Unavailable: no answer in time.
        """
        community_id, now = str(grant.community_id), self._clock.now()
        grid = planned_grid(request.start, request.horizon_hours, request.resolution_minutes, now)
        provenance = Provenance(known_at(request.as_of, request.start, now))
        gathered = await self._gather(community_id, grid, request, provenance)
        known = await self._elasticity(gathered, request, provenance)
        problem = _problem(gathered, grid, request, provenance, known.elasticity)
        _fingerprint(provenance, problem)
        started = time.perf_counter()
        loads = gathered.members.load_kw
        design, shares = await self._pool.call(design_and_distribute, problem, loads, timeout_s=self._timeout_s)
        TARIFF_DURATION.labels(design.status).observe(time.perf_counter() - started)
        provenance.solver = design.solver
        provenance.notes.extend(design.notes)
        result_id = new_result_id(self._clock.now())
        demand = KnownDemand(known, gathered.load_band_kw)
        document = tariff_document(problem, design, demand, gathered.members, shares)
        document |= {"result_id": result_id, "provenance": provenance.to_document()}
        result = StoredResult(result_id, KIND, self._clock.now(), document)
        async with self._store.community(community_id) as tx:
            await tx.results.add(result)
        return result

    async def _elasticity(self, gathered: _Gathered, request: TariffRequest, provenance: Provenance) -> KnownElasticity:
        if request.elasticity is not None:
            return KnownElasticity(request.elasticity, "request")
        past = gathered.past
        if isinstance(past, PastDemand):
            past = await self._pool.call(learned_elasticity, past, timeout_s=self._timeout_s)
        assert past is not None
        return known_elasticity(past, provenance)

    async def _gather(
        self, community_id: str, grid: TimeGrid, request: TariffRequest, provenance: Provenance
    ) -> _Gathered:
        asked = ForecastRequest(grid, ("load_kw", "pv_kw"), as_of=provenance.as_of)
        needs_forecast = request.load_kw is None or request.pv_kw is None
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            prices = await prices_of(tx, community, grid, request.prices, provenance)
            market = await _market(tx, community, grid, provenance)
            found = await members_of_last_weeks(
                tx, {member.member_id: member for member in await tx.members.members()}, grid, provenance
            )
            past = None
            if request.elasticity is None:
                past = await past_demand(tx, community, grid.start, provenance.as_of)
            history = await self._forecasts.gather(tx, community, asked) if needs_forecast else None
        known = {name: given for name in ("load_kw", "pv_kw") if (given := getattr(request, name)) is not None}
        band = None
        if history is not None:
            forecast = await self._forecasts.compute(history, asked)
            provenance.join(forecast.provenance)
            known = {name: np.maximum(made.mean, 0.0) for name, made in forecast.variables.items()} | known
            if request.load_kw is None:
                band = np.maximum(np.stack(forecast.variables["load_kw"].interval(BAND), axis=1), 0.0)
        for name in ("load_kw", "pv_kw"):
            if getattr(request, name) is not None:
                provenance.sources[name] = "the request"
        members = KnownMembers(
            total=community.num_prosumers,
            member_ids=tuple(one.member_id for one in found),
            load_kw=np.stack([one.load_kw for one in found])
            if found
            else spread(known["load_kw"], grid, "load_kw")[None],
        )
        return _Gathered(community, prices, market, known["load_kw"], known["pv_kw"], members, past, band)


async def _market(tx: Transaction, community: Community, grid: TimeGrid, provenance: Provenance) -> Array | None:
    """The market price where it is known beside a tariff; without a tariff these readings are the retail price."""
    if community.tariff is None:
        return None
    known = await community_series(tx, community, MARKET_SERIES, grid.start, grid.end, provenance.as_of)
    values = None if known is None else resample(known.values, grid).values
    return values if values is not None and np.isfinite(values).all() else None


def _problem(
    gathered: _Gathered, grid: TimeGrid, request: TariffRequest, provenance: Provenance, elasticity: Elasticity
) -> TariffProblem:
    community, prices = gathered.community, gathered.prices
    outlook = Outlook(
        grid,
        gathered.load_kw,
        gathered.pv_kw,
        prices.import_price_per_kwh,
        prices.export_price_per_kwh,
        prices.emission_factor_kg_per_kwh,
    )
    clock = local_clock(grid, community.timezone or "UTC")
    day = np.unique(clock.day, return_inverse=True)[1].astype(np.int64)
    blocks = request.blocks
    block = equal_blocks(grid.steps, blocks) if isinstance(blocks, int) else blocks_of_hours(blocks, clock)
    response = demand_response(outlook.load_kw, outlook.import_price_per_kwh, elasticity, day)
    limits = _limits(gathered, int(day.max()) + 1, request, provenance)
    supply = _supply(gathered, outlook, request, provenance)
    return TariffProblem(outlook, supply, PriceCalendar(block, day), response, limits, request.weights)


def _limits(gathered: _Gathered, days: int, request: TariffRequest, provenance: Provenance) -> TariffLimits:
    community, reference = gathered.community, gathered.prices.import_price_per_kwh
    if request.price_bounds is not None:
        low, high = request.price_bounds
    else:
        low, high = LOWEST_SHARE * float(reference.min()), HIGHEST_SHARE * float(reference.max())
        provenance.assume(f"prices stay within {low:g}..{high:g} per kWh until price_bounds are given")
    daily = community.incentive_budget_daily if request.incentive_budget is None else request.incentive_budget
    budget = np.full(days, float(daily))
    budget[0] = max(0.0, budget[0] - request.already_spent_today)
    grid = GridLimits(community.grid_import_limit_kw, community.grid_export_limit_kw)
    return TariffLimits(
        low,
        high,
        budget,
        grid,
        request.revenue_floor,
        request.max_step_per_kwh,
        request.price_unit_per_kwh,
        _protected(gathered) if request.no_member_worse_off else None,
    )


def _protected(gathered: _Gathered) -> Array:
    """The loads of members who must not lose. Raises InsufficientData where no member's load is known."""
    if not gathered.members.member_ids:
        raise InsufficientData(
            "no_member_worse_off needs load_kw readings of members for these hours in one of the last weeks; "
            "upload them or leave it out",
            needed=1,
            found=0,
        )
    return gathered.members.load_kw


def _supply(gathered: _Gathered, outlook: Outlook, request: TariffRequest, provenance: Provenance) -> Supply:
    """What energy costs the operator; the feed-in price by its rule.

    Where nothing better is known, one more kWh costs what the community pays for it at its connection: the import price
    where it buys, the export price that is forgone where PV covers the load.
    """
    if request.marginal_cost_per_kwh is not None:
        cost = spread(request.marginal_cost_per_kwh, outlook.grid, "marginal_cost_per_kwh")
        provenance.sources["marginal_cost_per_kwh"] = "the request"
    elif gathered.market_per_kwh is not None:
        cost = gathered.market_per_kwh
        provenance.sources["marginal_cost_per_kwh"] = f"{MARKET_SERIES} readings of the market"
    else:
        buys = outlook.load_kw > outlook.pv_kw
        cost = np.where(buys, outlook.import_price_per_kwh, outlook.export_price_per_kwh)
        provenance.assume(
            "one more kWh costs the operator the present import price where the community buys and the present export "
            "price where its PV covers the load, until marginal_cost_per_kwh or market prices are given"
        )
    carbon_price = request.carbon_price_per_kg
    if carbon_price is None:
        carbon_price = DEFAULT_CARBON_PRICE_PER_KG
        provenance.assume(
            f"a kg of CO2 does damage of {carbon_price:g} (EIB 2020, for 2025) until carbon_price_per_kg is given"
        )
    zero_surplus = request.feed_in_rule is FeedInRule.ZERO_OPERATOR_SURPLUS
    return Supply(cost, cost if zero_surplus else outlook.export_price_per_kwh, carbon_price)


def _fingerprint(provenance: Provenance, problem: TariffProblem) -> None:
    outlook, supply, limits = problem.outlook, problem.supply, problem.limits
    parts = [
        outlook.grid.start.isoformat(),
        str(outlook.grid.step_minutes),
        outlook.load_kw,
        outlook.pv_kw,
        outlook.import_price_per_kwh,
        outlook.export_price_per_kwh,
        outlook.emission_factor_kg_per_kwh,
        supply.marginal_cost_per_kwh,
        supply.feed_in_price_per_kwh,
        supply.carbon_price_per_kg,
        np.asarray(problem.response.slopes.toarray()),
        problem.calendar.block,
        limits.incentive_budget,
        repr((limits.low_per_kwh, limits.high_per_kwh, limits.revenue_floor, limits.max_step_per_kwh, limits.grid)),
        repr(limits.price_unit_per_kwh),
        limits.protected_load_kw,
        repr(problem.weights),
    ]
    provenance.fingerprint(parts)
