"""What to do: a dispatch plan from what is known, checked, priced against doing nothing clever, and kept."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.forecasting.paths import Paths
from digital_twin.optimization.devices import Device, Storage
from digital_twin.optimization.plan import (
    OBJECTIVES,
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Weights,
)
from digital_twin.optimization.stochastic.plan import StochasticProblem
from digital_twin.services.access import Grant
from digital_twin.services.computations import Comparison, plan_and_compare, plan_risk_and_compare, water_value_at
from digital_twin.services.exchange import MemberSeries, member_exchange
from digital_twin.services.forecasts import CommunityForecast, ForecastRequest, ForecastService, GatheredHistory
from digital_twin.services.history import believed_readings
from digital_twin.services.planned_devices import DeviceRequest, devices_on
from digital_twin.services.planned_risk import RiskRequest, check_risk, risk_document, under_risk
from digital_twin.services.planning_horizon import known_at, planned_grid
from digital_twin.services.ports import Clock, ComputePool, Store, StoredResult, Transaction
from digital_twin.services.prices import PriceRequest, Prices, prices_of
from digital_twin.services.provenance import Provenance
from digital_twin.services.question_document import QUESTION, question_beside, question_document
from digital_twin.services.schedule_document import KIND, new_result_id, schedule_document
from digital_twin.telemetry import DISPATCH_DURATION

HOURS_AHEAD = 24.0
"""How far beyond the horizon the worth of what is left in the storage is looked for."""
FRESH_STATE_OF_CHARGE = timedelta(hours=2)
KINDS = (KIND, "member_dispatch", "tariff")
"""What is listed together: the results of optimization."""


@dataclass(frozen=True, slots=True, eq=False)
class DispatchRequest:
    """What a caller fixes; everything left out comes from readings, forecast, tariff and documented priors."""

    objective: str | None
    weights: Weights | None
    start: datetime | None
    horizon_hours: float
    resolution_minutes: int
    load_kw: Array | None = None
    pv_kw: Array | None = None
    prices: PriceRequest = field(default_factory=PriceRequest)
    current_soc_kwh: float | None = None
    final_soc_min_kwh: float | None = None
    peak_price_per_kw: float | None = None
    battery_wear_per_kwh: float = 0.0
    storage_reserve_kwh: float = 0.0
    end_value_per_kwh: float | Literal["water_value"] | None = None
    grid_limit_price_per_kwh: float | None = None
    devices: tuple[DeviceRequest, ...] = ()
    members: tuple[MemberSeries, ...] = ()
    risk: RiskRequest | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A question with where its numbers come from."""

    problem: DispatchProblem
    weights: Weights
    objective: str
    provenance: Provenance
    paths: Paths | None = None


class ScheduleService:
    """Use cases around schedules."""

    def __init__(
        self, store: Store, clock: Clock, pool: ComputePool, forecasts: ForecastService, *, timeout_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._forecasts = forecasts
        self._timeout_s = timeout_s

    async def dispatch(self, grant: Grant, request: DispatchRequest) -> StoredResult:
        """The optimal plan, kept as a result.

        Raises:
            Infeasible: no plan respects the limits, which it names.
            InvalidInput: arrays that do not fit the grid, or a state of charge beyond the capacity.
            InsufficientData: a dynamic tariff without prices, or a sharing rule without members' readings.
            Unavailable: not even a plan without a solver within OPTIMIZATION_TIMEOUT_MINUTES.
        """
        community_id = str(grant.community_id)
        prepared = await self.prepare(community_id, request)
        problem: DispatchProblem | StochasticProblem = prepared.problem
        if request.risk is not None:
            given = (request.load_kw, request.pv_kw)
            problem = under_risk(problem, request.risk, prepared.paths, given=given, provenance=prepared.provenance)
        started = time.perf_counter()
        comparison = await self._compared(problem, prepared.weights)
        DISPATCH_DURATION.labels(comparison.schedule.status).observe(time.perf_counter() - started)
        result = self._result(prepared, comparison, request.risk)
        beside = question_beside(problem, prepared.weights)
        async with self._store.community(community_id) as tx:
            await tx.results.add(result)
            if beside is not None:
                await tx.plan_questions.add(result.result_id, beside)
            await tx.events.add("schedule", {"result_id": result.result_id, "objective": prepared.objective})
        return result

    async def results(self, grant: Grant, *, kind: str | None, before: str | None, limit: int) -> list[StoredResult]:
        """Newest first."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.results.page(kinds=KINDS if kind is None else (kind,), before=before, limit=limit)

    async def result(self, grant: Grant, result_id: str) -> StoredResult:
        """Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.results.get(result_id, KINDS)

    async def prepare(self, community_id: str, request: DispatchRequest) -> Prepared:
        """The question that a request asks, with everything that it leaves out. Raises as `dispatch`."""
        if request.end_value_per_kwh != "water_value":
            return await self._prepare(community_id, request)
        valued, provenance = await self._with_water_value(community_id, request)
        prepared = await self._prepare(community_id, valued)
        prepared.provenance.join(provenance)
        return prepared

    async def _compared(self, problem: DispatchProblem | StochasticProblem, weights: Weights) -> Comparison:
        # the process is given a little longer than the solver, which then still answers with its best plan
        longest_s = self._timeout_s + 5
        if isinstance(problem, StochasticProblem):
            return await self._pool.call(plan_risk_and_compare, problem, self._timeout_s, timeout_s=longest_s)
        return await self._pool.call(plan_and_compare, problem, weights, self._timeout_s, timeout_s=longest_s)

    async def _with_water_value(
        self, community_id: str, request: DispatchRequest
    ) -> tuple[DispatchRequest, Provenance]:
        """The request with the worth of a stored kWh at its end, from a plan that sees a day more."""
        _refuse_arrays(request)
        hours = request.horizon_hours
        longer = replace(
            request,
            horizon_hours=hours + HOURS_AHEAD,
            end_value_per_kwh=None,
            final_soc_min_kwh=None,
            devices=(),
            risk=None,
        )
        prepared = await self._prepare(community_id, longer)
        step = round(hours * 60 / request.resolution_minutes) - 1
        value = await self._pool.call(
            water_value_at, prepared.problem, step, self._timeout_s, timeout_s=self._timeout_s + 5
        )
        prepared.provenance.sources["end_value_per_kwh"] = (
            f"{value:.4f}, the worth of a stored kWh in a plan of {HOURS_AHEAD:g} hours more"
        )
        start = prepared.problem.outlook.grid.start
        return replace(request, start=request.start or start, end_value_per_kwh=value), prepared.provenance

    async def _prepare(self, community_id: str, request: DispatchRequest) -> Prepared:
        now = self._clock.now()
        grid = planned_grid(request.start, request.horizon_hours, request.resolution_minutes, now)
        provenance, paths = Provenance(known_at(request.as_of, request.start, now)), None
        if request.risk is not None:
            given = (request.load_kw, request.pv_kw)
            check_risk(request.objective, has_weights=request.weights is not None, given=given, steps=grid.steps)
        forecast_request = ForecastRequest(grid, ("load_kw", "pv_kw"), as_of=provenance.as_of)
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            prices = await prices_of(tx, community, grid, request.prices, provenance)
            initial_kwh = await _state_of_charge(tx, community, request, provenance)
            devices = await devices_on(tx, grid, request.devices, provenance)
            exchange = await member_exchange(tx, community, grid, request.members, prices, provenance)
            if exchange is not None:
                _refuse_sums(community, request)
            needs_forecast = exchange is None and (request.load_kw is None or request.pv_kw is None)
            gathered = await self._forecasts.gather(tx, community, forecast_request) if needs_forecast else None
        if exchange is not None:
            load_kw, pv_kw, curtailable = exchange.load_kw, exchange.pv_kw, False
        elif gathered is not None:
            forecast, paths = await self._forecast(gathered, forecast_request, request.risk)
            load_kw, pv_kw, curtailable = _expected(forecast, request)
            provenance.join(forecast.provenance)
        else:
            assert request.load_kw is not None
            assert request.pv_kw is not None
            load_kw, pv_kw, curtailable = request.load_kw, request.pv_kw, True
        provenance.sources |= {
            name: "the request" for name in ("load_kw", "pv_kw") if getattr(request, name) is not None
        }
        problem = DispatchProblem(
            _outlook(grid, load_kw, pv_kw, prices),
            _storage(community, request, initial_kwh),
            GridLimits(
                community.grid_import_limit_kw, community.grid_export_limit_kw, request.grid_limit_price_per_kwh
            ),
            peak_charge(community, request.peak_price_per_kw),
            exchange.registers if exchange is not None else None,
            curtailable,
            devices,
        )
        _fingerprint(provenance, problem, paths)
        weights, name = _weights(request)
        return Prepared(problem, weights, name, provenance, paths)

    async def _forecast(
        self, gathered: GatheredHistory, request: ForecastRequest, risk: RiskRequest | None
    ) -> tuple[CommunityForecast, Paths | None]:
        if risk is None:
            return await self._forecasts.compute(gathered, request), None
        return await self._forecasts.sample_paths(gathered, request, count=risk.scenarios, seed=risk.seed)

    def _result(self, prepared: Prepared, comparison: Comparison, risk: RiskRequest | None) -> StoredResult:
        schedule = comparison.schedule
        provenance = prepared.provenance
        provenance.solver = schedule.solver
        provenance.notes.extend(schedule.notes)
        result_id = new_result_id(self._clock.now())
        document = schedule_document(prepared.problem, prepared.objective, comparison)
        if risk is None:
            document[QUESTION] = question_document(prepared.problem, prepared.weights)
        elif comparison.risk is not None:
            document["risk"] = risk_document(risk, comparison.risk)
        document |= {"result_id": result_id, "provenance": provenance.to_document()}
        return StoredResult(result_id, KIND, self._clock.now(), document)


def _outlook(grid: TimeGrid, load_kw: Array, pv_kw: Array, prices: Prices) -> Outlook:
    return Outlook(
        grid,
        load_kw,
        pv_kw,
        prices.import_price_per_kwh,
        prices.export_price_per_kwh,
        prices.emission_factor_kg_per_kwh,
    )


def _refuse_arrays(request: DispatchRequest) -> None:
    """Arrays end with the horizon; the worth of what is left there lies beyond."""
    prices = request.prices
    arrays = {
        "load_kw": request.load_kw,
        "pv_kw": request.pv_kw,
        "members": request.members or None,
        "import_price_per_kwh": prices.import_price_per_kwh,
        "export_price_per_kwh": prices.export_price_per_kwh,
        "emission_factor_kg_per_kwh": prices.emission_factor_kg_per_kwh,
        "zonal_price_per_kwh": prices.zonal_price_per_kwh,
    }
    for name, given in arrays.items():
        if given is not None and not isinstance(given, float | int):
            raise InvalidInput(
                f"the water value comes from a plan of {HOURS_AHEAD:g} hours more, of which {name} says nothing; "
                "leave it out, or give end_value_per_kwh as a number",
                field="end_value_per_kwh",
            )


def _refuse_sums(community: Community, request: DispatchRequest) -> None:
    """Members' registers cannot be told from the sums of all."""
    for name in ("load_kw", "pv_kw"):
        if getattr(request, name) is not None:
            raise InvalidInput(
                f"under the sharing rule {community.sharing.rule} load and generation are those of `members`; "
                f"leave {name} out",
                field=name,
            )


async def _state_of_charge(
    tx: Transaction, community: Community, request: DispatchRequest, provenance: Provenance
) -> float:
    capacity_kwh = community.total_storage_capacity_kwh
    if request.current_soc_kwh is not None:
        if request.current_soc_kwh > capacity_kwh:
            raise InvalidInput(
                f"current_soc_kwh must be at most the storage capacity of {capacity_kwh:g} kWh, "
                f"got {request.current_soc_kwh:g}",
                field="current_soc_kwh",
            )
        return request.current_soc_kwh
    known = await latest_state_of_charge(tx, provenance.as_of)
    if known is not None:
        provenance.sources["current_soc_kwh"] = "latest storage_soc_kwh reading"
        return min(known, capacity_kwh)
    if capacity_kwh > 0:
        provenance.assume("the storage is half full until storage_soc_kwh readings of the last 2 hours tell")
    return capacity_kwh / 2


async def latest_state_of_charge(tx: Transaction, as_of: datetime) -> float | None:
    """What readings of the last 2 hours say that the storage holds."""
    since = floor_to_step(as_of - FRESH_STATE_OF_CHARGE, 60)
    found = await believed_readings(tx, [SeriesKey("storage_soc_kwh")], since, as_of, as_of)
    values = found[0].values if found else np.empty(0)
    finite = np.flatnonzero(np.isfinite(values))
    return float(values[finite[-1]]) if finite.size else None


def _expected(forecast: CommunityForecast, request: DispatchRequest) -> tuple[Array, Array, bool]:
    """Expected load and generation, and whether the latter may be curtailed: not where it is a mere estimate."""
    load_kw = request.load_kw if request.load_kw is not None else forecast.variables["load_kw"].mean
    pv_kw = request.pv_kw if request.pv_kw is not None else forecast.variables["pv_kw"].mean
    curtailable = request.pv_kw is not None or not forecast.is_net_metered
    return np.maximum(load_kw, 0.0), np.maximum(pv_kw, 0.0), curtailable


def _storage(community: Community, request: DispatchRequest, initial_kwh: float) -> Storage:
    """Without another word the storage ends as full as it began; what has a worth at the end may be used up."""
    end_value = request.end_value_per_kwh
    assert end_value != "water_value", "its worth is looked for first"
    final_min_kwh = request.final_soc_min_kwh
    if final_min_kwh is None:
        final_min_kwh = initial_kwh if end_value is None else 0.0
    if request.storage_reserve_kwh > community.total_storage_capacity_kwh:
        raise InvalidInput(
            f"storage_reserve_kwh must be at most the storage capacity of "
            f"{community.total_storage_capacity_kwh:g} kWh, got {request.storage_reserve_kwh:g}",
            field="storage_reserve_kwh",
        )
    if final_min_kwh > community.total_storage_capacity_kwh:
        raise InvalidInput(
            f"final_soc_min_kwh must be at most the storage capacity of "
            f"{community.total_storage_capacity_kwh:g} kWh, got {final_min_kwh:g}",
            field="final_soc_min_kwh",
        )
    return Storage(
        capacity_kwh=community.total_storage_capacity_kwh,
        power_kw=community.max_storage_power_kw,
        charge_efficiency=community.charge_efficiency,
        discharge_efficiency=community.discharge_efficiency,
        initial_kwh=initial_kwh,
        final_min_kwh=final_min_kwh,
        wear_per_kwh=request.battery_wear_per_kwh,
        reserve_kwh=request.storage_reserve_kwh,
        end_value_per_kwh=end_value or 0.0,
    )


def peak_charge(community: Community, price_per_kw: float | None) -> PeakCharge | None:
    """At the given price, or the tariff's."""
    charge = community.tariff.capacity_charge if community.tariff else None
    so_far_kw = charge.peak_so_far_kw if charge else 0.0
    if price_per_kw is not None:
        return PeakCharge(price_per_kw, so_far_kw)
    return PeakCharge(charge.per_kw, so_far_kw) if charge else None


def _weights(request: DispatchRequest) -> tuple[Weights, str]:
    if request.weights is not None:
        return request.weights, "weights"
    objective = request.objective or "minimize_cost"
    return OBJECTIVES[objective], objective


def _fingerprint(provenance: Provenance, problem: DispatchProblem, paths: Paths | None) -> None:
    outlook, storage = problem.outlook, problem.storage
    exchange: list[Array] = []
    if isinstance(problem.exchange, MemberExchange):
        exchange = [problem.exchange.import_kw, problem.exchange.export_kw, problem.exchange.gain_per_kwh]
    provenance.fingerprint(
        [
            outlook.grid.start.isoformat(),
            str(outlook.grid.step_minutes),
            outlook.load_kw,
            outlook.pv_kw,
            outlook.import_price_per_kwh,
            outlook.export_price_per_kwh,
            outlook.emission_factor_kg_per_kwh,
            repr(storage),
            repr(problem.limits),
            repr(problem.peak),
            *_numbers_of(problem.devices),
            *exchange,
            *([] if paths is None else [paths.load_kw, paths.pv_kw]),
        ]
    )


def _numbers_of(devices: Sequence[Device]) -> list[Array | str]:
    """Every number of the devices: arrays as they are, for their text is cut short."""
    values = [getattr(device, one.name) for device in devices for one in fields(device)]
    return [value if isinstance(value, np.ndarray) else repr(value) for value in values]
