"""What each member should do: a plan for all batteries and vehicles behind the community's one connection."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, InvalidInput, TwinError
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetMembers, FleetProblem
from digital_twin.optimization.member_plan import MembersAnswer, MembersQuestion
from digital_twin.optimization.member_rules import MemberPrices
from digital_twin.optimization.plan import DEFAULT_CARBON_PRICE_PER_KG, GridLimits
from digital_twin.services.access import Grant
from digital_twin.services.computations import plan_for_members
from digital_twin.services.fleet_document import KIND, fleet_document, member_plans
from digital_twin.services.fleet_errors import named_error
from digital_twin.services.fleet_request import MemberDispatch, dispatch_kept, kept_dispatch
from digital_twin.services.forecasts import ForecastRequest, ForecastService
from digital_twin.services.member_outlook import (
    MEMBERS_A_PART,
    Expected,
    Totals,
    agreed_outlook,
    expected_of,
)
from digital_twin.services.member_storages import NamedStorages, PlannedStorages, fuses_of, roofs_of, storages_of
from digital_twin.services.planning_horizon import known_at, planned_grid
from digital_twin.services.ports import Clock, ComputePool, Run, Store, StoredResult, Transaction
from digital_twin.services.prices import Prices, prices_of
from digital_twin.services.provenance import Provenance
from digital_twin.services.question_document import question_bytes
from digital_twin.services.runs import OPTIMIZATION, ResultBeside, RunningRun, RunService
from digital_twin.services.schedule_document import new_result_id
from digital_twin.services.schedules import peak_charge
from digital_twin.telemetry import MEMBER_DISPATCH_DURATION

MOST_AT_ONCE = 300
"""Members that are planned while the caller waits; more become a Run."""

LONGER_S = 60.0
"""Beyond the solver's time, for what is done with its plan."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What was read of the community, before anything of its members' days."""

    community: Community
    grid: TimeGrid
    member_ids: tuple[str, ...]
    storages: NamedStorages
    fuses_kw: Array  # (N + 1,)
    roofs_kw: Array  # (N,)
    prices: Prices
    provenance: Provenance

    @property
    def zone(self) -> str:
        return self.community.timezone or "UTC"

    @property
    def parts(self) -> list[tuple[str, ...]]:
        """The members, so many at a time."""
        return [
            self.member_ids[first : first + MEMBERS_A_PART] for first in range(0, len(self.member_ids), MEMBERS_A_PART)
        ]


class FleetScheduleService:
    """Use cases around plans at the level of members."""

    def __init__(
        self, store: Store, clock: Clock, pool: ComputePool, forecasts: ForecastService, runs: RunService, *,
        timeout_s: float,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._pool = pool
        self._forecasts = forecasts
        self._runs = runs
        self._timeout_s = timeout_s

    async def dispatch(self, grant: Grant, request: MemberDispatch, *, as_run: bool = False) -> StoredResult | Run:
        """The plan, kept as a result with a plan for each member; of many members, or if wanted, a Run that makes it.

        Raises:
            Infeasible: no plan respects the limits, or a member cannot keep its own; both are named.
            InsufficientData: there are no members, or nothing of them can be planned.
            InvalidInput: the sharing rule makes energy inside the community cost something, or a vehicle is nobody's.
            Unavailable: no plan in time.
        """
        community_id = str(grant.community_id)
        known = await self._known(community_id, request, await self._members(community_id, request))
        if as_run or len(known.member_ids) > MOST_AT_ONCE:
            decided = replace(request, start=known.grid.start, as_of=known.provenance.as_of)
            return await self._runs.submit(grant, KIND, dispatch_kept(decided), queue=OPTIMIZATION)
        parts = [await self._expected(community_id, known, part) for part in known.parts]
        question = await self._question(community_id, request, known, Expected.joined(parts))
        started = time.perf_counter()
        try:
            payload = await self._pool.call(
                plan_for_members, question, self._timeout_s, timeout_s=self._timeout_s + LONGER_S
            )
        except TwinError as error:
            raise named_error(error, known.member_ids, known.storages.names) from error
        answer = MembersAnswer.from_bytes(payload)
        MEMBER_DISPATCH_DURATION.labels(answer.facts["status"]).observe(time.perf_counter() - started)
        result = self._result(new_result_id(self._clock.now()), request, known, question, answer)
        kept = await asyncio.to_thread(question_bytes, question, known.member_ids)
        async with self._store.community(community_id) as tx:
            await tx.results.add(result)
            await tx.plan_questions.add(result.result_id, kept)
            await tx.member_plans.add(result.result_id, member_plans(known.member_ids, answer))
            await tx.events.add("schedule", {"result_id": result.result_id, "objective": request.objective})
        return result

    async def carry_out(self, run: RunningRun) -> ResultBeside:
        """Who the members are, their days part by part, then the plan, then what it means for each.

        All attempts are about the members of the first, whose parts would otherwise be taken for those of others.
        """
        request = kept_dispatch(run.request)

        async def members(_: None) -> bytes:
            return json.dumps(await self._members(run.community_id, request)).encode()

        [member_ids] = await run.each(members, [None])
        known = await self._known(run.community_id, request, json.loads(member_ids))

        async def expect(part: tuple[str, ...]) -> bytes:
            return await self._expected(run.community_id, known, part)

        parts = await run.each(expect, known.parts)
        question = await self._question(run.community_id, request, known, Expected.joined(parts))
        started = time.perf_counter()
        try:
            payloads = await run.map(
                plan_for_members, [(question, self._timeout_s)], timeout_s=self._timeout_s + LONGER_S
            )
        except TwinError as error:
            raise named_error(error, known.member_ids, known.storages.names) from error
        answer = MembersAnswer.from_bytes(payloads[0])
        MEMBER_DISPATCH_DURATION.labels(answer.facts["status"]).observe(time.perf_counter() - started)
        result = self._result(run.run_id, request, known, question, answer)
        kept = await asyncio.to_thread(question_bytes, question, known.member_ids)

        async def keep(tx: Transaction) -> None:
            await tx.plan_questions.add(result.result_id, kept)
            await tx.member_plans.add(result.result_id, member_plans(known.member_ids, answer))
            await tx.events.add("schedule", {"result_id": result.result_id, "objective": request.objective})

        return ResultBeside(result, keep)

    async def _members(self, community_id: str, request: MemberDispatch) -> tuple[str, ...]:
        grid = self._grid(request)
        async with self._store.community(community_id) as tx:
            return _present(await tx.members.members(), grid.start)

    def _grid(self, request: MemberDispatch) -> TimeGrid:
        return planned_grid(request.start, request.horizon_hours, request.resolution_minutes, self._clock.now())

    async def _known(self, community_id: str, request: MemberDispatch, member_ids: Sequence[str]) -> _Known:
        now, grid = self._clock.now(), self._grid(request)
        provenance = Provenance(known_at(request.as_of, request.start, now))
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            _check_sharing(community, grid)
            place: dict[str | None, int] = {member_id: row for row, member_id in enumerate(member_ids)}
            place[None] = len(member_ids)
            assets = await tx.members.assets()
            _note_changes(await tx.members.members(), grid, provenance)
            wanted = PlannedStorages(assets, request.vehicles, request.battery_wear_per_kwh, request.end_value_per_kwh)
            storages = await storages_of(tx, grid, place, wanted, provenance)
            prices = await prices_of(tx, community, grid, request.prices, provenance)
        _note_assets(community, assets, provenance)
        return _Known(
            community,
            grid,
            tuple(member_ids),
            storages,
            fuses_of(assets, place),
            roofs_of(assets, place),
            prices,
            provenance,
        )

    async def _expected(self, community_id: str, known: _Known, part: Sequence[str]) -> bytes:
        async with self._store.community(community_id) as tx:
            expected = await expected_of(tx, part, known.grid, known.zone, known.provenance.as_of)
        return expected.to_bytes()

    async def _question(
        self, community_id: str, request: MemberDispatch, known: _Known, expected: Expected
    ) -> MembersQuestion:
        totals = await self._totals(community_id, request, known)
        return await asyncio.to_thread(_question, request, known, expected, totals)

    async def _totals(self, community_id: str, request: MemberDispatch, known: _Known) -> Totals:
        """The community's own forecast, or what the caller knows."""
        community, provenance = known.community, known.provenance
        asked = ForecastRequest(known.grid, ("load_kw", "pv_kw"), as_of=provenance.as_of)
        load_kw, pv_kw, is_net = request.load_kw, request.pv_kw, False
        if load_kw is None or pv_kw is None:
            async with self._store.community(community_id) as tx:
                gathered = await self._forecasts.gather(tx, community, asked)
            forecast = await self._forecasts.compute(gathered, asked)
            provenance.join(forecast.provenance)
            is_net = forecast.is_net_metered
            load_kw = np.maximum(forecast.variables["load_kw"].mean, 0.0) if load_kw is None else load_kw
            pv_kw = np.maximum(forecast.variables["pv_kw"].mean, 0.0) if pv_kw is None else pv_kw
        provenance.sources |= {
            name: "the request" for name in ("load_kw", "pv_kw") if getattr(request, name) is not None
        }
        return Totals(load_kw, pv_kw, community.num_prosumers, community.total_pv_capacity_kw, is_net)

    def _result(
        self, result_id: str, request: MemberDispatch, known: _Known, question: MembersQuestion, answer: MembersAnswer
    ) -> StoredResult:
        provenance = known.provenance
        provenance.solver = answer.facts["solver"]
        provenance.notes.extend(answer.facts["notes"])
        document: dict[str, Any] = fleet_document(request.objective, question, answer)
        document |= {"result_id": result_id, "provenance": provenance.to_document()}
        return StoredResult(result_id, KIND, self._clock.now(), document)


def _present(members: Sequence[Member], at: datetime) -> tuple[str, ...]:
    """Who is a member then. Raises InsufficientData for nobody."""
    found = tuple(
        one.member_id
        for one in members
        if (one.joined_at is None or one.joined_at <= at) and (one.left_at is None or one.left_at > at)
    )
    if not found:
        raise InsufficientData(
            "a plan at the level of members needs members; add them with POST .../members", needed=1, found=0
        )
    return found


def _note_changes(members: Sequence[Member], grid: TimeGrid, provenance: Provenance) -> None:
    """Of who joins or leaves before the end."""
    instants = [at for one in members for at in (one.joined_at, one.left_at) if at is not None]
    changes = sum(grid.start < at < grid.end for at in instants)
    if changes:
        provenance.notes.append(
            f"members are planned as they are at the start; {changes} joining or leaving before the end are not "
            "regarded: ask for a shorter horizon, and again after them"
        )


def _check_sharing(community: Community, grid: TimeGrid) -> None:
    """Raises InvalidInput unless energy inside the community costs nothing: then only is the plan the best."""
    sharing = community.sharing
    if sharing.rule is SharingRule.SINGLE_METER:
        return
    if sharing.rule is not SharingRule.DYNAMIC or sharing.network_charge_per_kwh or sharing.premium is not None:
        raise InvalidInput(
            "a plan at the level of members is the best where energy inside the community costs nothing: behind a "
            f"single meter, or shared dynamically without network charge and premium; the rule is {sharing.rule}",
            field="level",
        )
    if sharing.settlement_minutes > grid.step_minutes:
        raise InvalidInput(
            f"resolution_minutes must not be finer than the settlement of {sharing.settlement_minutes} minutes",
            field="resolution_minutes",
        )


def _note_assets(community: Community, assets: Sequence[Asset], provenance: Provenance) -> None:
    provenance.sources["storages"] = "registered batteries, and the vehicles of the request"
    if community.total_storage_capacity_kwh:
        provenance.notes.append(
            f"the community's total of {community.total_storage_capacity_kwh:g} kWh of storage is not planned beside "
            "the registered batteries"
        )


def _question(request: MemberDispatch, known: _Known, expected: Expected, totals: Totals) -> MembersQuestion:
    prices, community = known.prices, known.community
    outlook = agreed_outlook(expected, totals, known.roofs_kw, known.provenance)
    fuses_kw = known.fuses_kw[:, None]
    load_kw = np.minimum(outlook.load_kw, fuses_kw + outlook.pv_kw)
    lowered = int((load_kw < outlook.load_kw).any(axis=1).sum())
    if lowered:
        known.provenance.assume(f"{lowered} members use no more than their fuse lets in")
    carbon = DEFAULT_CARBON_PRICE_PER_KG if request.objective == "maximize_welfare" else 0.0
    damage_per_kwh = carbon * prices.emission_factor_kg_per_kwh
    agreed = community.sharing.sharing_price_per_kwh
    between = (prices.import_price_per_kwh + prices.export_price_per_kwh) / 2
    if agreed is None:
        known.provenance.assume("members pay each other half way between the import and the export price")
    fleet = FleetProblem(
        known.grid,
        FleetMembers(load_kw, outlook.pv_kw, outlook.curtailable, known.fuses_kw, known.fuses_kw),
        known.storages.storages,
        prices.import_price_per_kwh + damage_per_kwh,
        prices.export_price_per_kwh + damage_per_kwh,
        GridLimits(community.grid_import_limit_kw, community.grid_export_limit_kw, request.grid_limit_price_per_kwh),
        peak_charge(community, request.peak_price_per_kw),
    )
    paid = MemberPrices(
        prices.import_price_per_kwh,
        prices.export_price_per_kwh,
        between if agreed is None else np.full(known.grid.steps, agreed),
    )
    factor = prices.emission_factor_kg_per_kwh
    question = MembersQuestion(fleet, paid, factor, known.storages.vehicles, len(known.member_ids))
    _fingerprint(known.provenance, question)
    return question


def _fingerprint(provenance: Provenance, question: MembersQuestion) -> None:
    fleet, parts = question.fleet, [question.fleet.members, question.fleet.storages, question.prices]
    numbers: list[Any] = [fleet.grid.start.isoformat(), str(fleet.grid.step_minutes)]
    for part in parts:
        numbers += [getattr(part, name) for name in part.__slots__]
    numbers += [fleet.import_price_per_kwh, repr(fleet.limits), repr(fleet.peak)]
    provenance.fingerprint(numbers)
