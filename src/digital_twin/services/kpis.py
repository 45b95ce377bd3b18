"""How a community has done: what it used of its own sun, what that cost, and what its storage has earned.

Powers of the storage follow from what it held; curtailed generation is not metered, and counts as never there.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.optimization.devices import Storage
from digital_twin.optimization.plan import GridLimits, MemberExchange, Outlook
from digital_twin.optimization.value_captured import Course, Performance
from digital_twin.services.access import Grant
from digital_twin.services.computations import performance_of
from digital_twin.services.exchange import MemberSeries, is_member, member_exchange
from digital_twin.services.history import HISTORY_DAYS, believed_readings, community_series, sound
from digital_twin.services.ports import Clock, ComputePool, Store, Transaction
from digital_twin.services.prices import PriceRequest, Prices, prices_of
from digital_twin.services.provenance import Provenance, instant_text

DEFAULT_SPAN = timedelta(days=7)
LONGEST_SPAN = timedelta(days=HISTORY_DAYS)
FINEST_STEP_MINUTES = 15
LEAST_KNOWN_OF_A_MEMBER = 0.9
MOST_REGISTER_VALUES = 5_000_000
"""Of all members under a sharing rule: some 1,700 of them over a month of quarters of an hour."""

HELD = "storage_soc_kwh"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KpiRequest:
    """Which time, in whole hours: by default the last seven days."""

    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """What is known of a time, NaN where it is not."""

    grid: TimeGrid
    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)
    held_kwh: Array  # (T + 1,)
    members: tuple[MemberSeries, ...] = ()
    is_net: bool = False  # load and generation are the two directions of the net load

    @property
    def known(self) -> Mask:
        """Where load, generation and both ends of what is stored are known."""  # (T,)
        return np.isfinite(self.load_kw + self.pv_kw + self.held_kwh[:-1] + self.held_kwh[1:])


class KpiService:
    """The use case of looking back."""

    def __init__(self, store: Store, clock: Clock, pool: ComputePool, *, timeout_s: float) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._timeout_s = timeout_s

    async def kpis(self, grant: Grant, request: KpiRequest) -> dict[str, Any]:
        """What happened in this time, and what it is worth beside doing nothing clever and the best plan.

        Raises:
            InvalidInput: an empty or too long span, or one with too many members' registers.
            InsufficientData: no interval whose load, generation and storage are known, or a dynamic tariff without
                prices.
            Unavailable: the comparison took longer than OPTIMIZATION_TIMEOUT_MINUTES.
        """
        now = self._clock.now()
        start, end = _span(request, now)
        provenance = Provenance(request.as_of or now)
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            past = await _past(tx, community, start, end, provenance)
            prices = await prices_of(tx, community, past.grid, PriceRequest(), provenance)
            exchange = await member_exchange(tx, community, past.grid, past.members, prices, provenance)
        courses = list(_courses(community, past, prices, None if exchange is None else exchange.registers))
        if not courses:
            raise InsufficientData(
                "in this time there is no interval whose load, generation and stored energy are all known; ask for "
                "another time, or upload readings of load_kw, pv_kw and storage_soc_kwh",
            )
        found = await self._pool.call(performance_of, courses, self._timeout_s, timeout_s=self._timeout_s + 5)
        provenance.cover(courses[0].outlook.grid.start, courses[-1].outlook.grid.end)
        _explain(community, past, found, provenance)
        return _document(past, found, provenance)


def _span(request: KpiRequest, now: datetime) -> tuple[datetime, datetime]:
    if request.as_of is not None and request.as_of > now:
        raise InvalidInput("as_of must not lie in the future", field="as_of")
    end = floor_to_step(request.end or request.as_of or now, 60)
    start = floor_to_step(request.start or end - DEFAULT_SPAN, 60)
    if not start < end:
        raise InvalidInput("start must lie at least an hour before end", field="start")
    if end - start > LONGEST_SPAN:
        raise InvalidInput(f"the span must be at most {LONGEST_SPAN.days} days", field="start")
    return start, end


async def _past(tx: Transaction, community: Community, start: datetime, end: datetime, provenance: Provenance) -> _Past:
    if community.sharing.rule is not SharingRule.SINGLE_METER:
        return await _past_of_members(tx, community, start, end, provenance)
    names = ("load_kw", "pv_kw", "net_load_kw", HELD)
    found = {name: await _series(tx, community, name, start, end, provenance) for name in names}
    step = max([FINEST_STEP_MINUTES, *(one.grid.step_minutes for one in found.values() if one is not None)])
    grid = TimeGrid.spanning(start, end, step)
    held = _held(community, found[HELD], grid, provenance)
    load, pv, net = (_on(grid, found[name]) for name in ("load_kw", "pv_kw", "net_load_kw"))
    if found["load_kw"] is None and found["net_load_kw"] is not None:
        return _Past(grid, np.maximum(net, 0.0), np.maximum(-net, 0.0), held, is_net=True)
    if found["pv_kw"] is None and community.total_pv_capacity_kw == 0:
        pv = np.zeros(grid.steps)
    return _Past(grid, load, pv, held)


def _on(grid: TimeGrid, found: SeriesValues | None) -> Array:
    return np.full(grid.steps, np.nan) if found is None else resample(found, grid).values


async def _series(
    tx: Transaction, community: Community, name: str, start: datetime, end: datetime, provenance: Provenance
) -> SeriesValues | None:
    # what the storage holds at the end is told by the first reading after it
    after = timedelta(hours=1) if name == HELD else timedelta(0)
    known = await community_series(tx, community, name, start, end + after, provenance.as_of)
    if known is None:
        return None
    known = known if name == HELD else sound(known)
    provenance.sources[name] = known.source
    return known.values


def _held(community: Community, found: SeriesValues | None, grid: TimeGrid, provenance: Provenance) -> Array:
    """What is stored where each interval begins and at the end of the last."""  # (T + 1,)
    if found is None:
        if community.total_storage_capacity_kwh > 0:
            provenance.assume("the storage rested, until storage_soc_kwh readings tell what it held")
        return np.zeros(grid.steps + 1)
    return np.maximum(resample(found, replace(grid, steps=grid.steps + 1)).values, 0.0)


async def _past_of_members(
    tx: Transaction, community: Community, start: datetime, end: datetime, provenance: Provenance
) -> _Past:
    """Members with meters of their own; those of whom less than nine tenths are known are left out."""
    ids = [one.member_id for one in await tx.members.members() if is_member(one, start)]
    grid = TimeGrid.spanning(start, end, FINEST_STEP_MINUTES)
    if len(ids) * grid.steps > MOST_REGISTER_VALUES:
        days = max(1, int(MOST_REGISTER_VALUES / len(ids) * grid.step_hours / 24))
        raise InvalidInput(f"of {len(ids)} members with meters of their own ask for at most {days} days", field="start")
    keys = [SeriesKey(name, member_id) for member_id in ids for name in ("load_kw", "pv_kw")]
    readings = await believed_readings(tx, keys, start, end, provenance.as_of)
    grid = TimeGrid.spanning(start, end, max([FINEST_STEP_MINUTES, *(one.grid.step_minutes for one in readings)]))
    by_key = {one.key: resample(one, grid).values for one in readings}
    members: list[MemberSeries] = []
    for member_id in ids:
        load = by_key.get(SeriesKey("load_kw", member_id))
        if load is not None and np.isfinite(load).mean() >= LEAST_KNOWN_OF_A_MEMBER:
            pv = by_key.get(SeriesKey("pv_kw", member_id))
            members.append(MemberSeries(member_id, load, np.zeros(grid.steps) if pv is None else pv))
    if not members:
        raise InsufficientData("the sharing rule needs members' readings of load_kw of this time; upload them")
    if len(members) < len(ids):
        provenance.notes.append(f"{len(ids) - len(members)} of {len(ids)} members lack readings: left out")
    provenance.sources |= {"load_kw": f"readings of {len(members)} members", "pv_kw": "the same members' readings"}
    held = _held(community, await _series(tx, community, HELD, start, end, provenance), grid, provenance)
    load_kw = np.sum([one.load_kw for one in members], axis=0)
    return _Past(grid, load_kw, np.sum([one.pv_kw for one in members], axis=0), held, tuple(members))


def _courses(community: Community, past: _Past, prices: Prices, registers: MemberExchange | None) -> Iterator[Course]:
    """The stretches without gaps; under a sharing rule each is a whole number of settlement intervals."""
    minutes = past.grid.step_minutes if registers is None else registers.settlement_minutes
    block = max(1, minutes // past.grid.step_minutes)
    settled = past.known[: past.grid.steps // block * block].reshape(-1, block).all(axis=1)
    edges = np.flatnonzero(np.diff(settled, prepend=False, append=False)) * block
    storage = Storage(
        community.total_storage_capacity_kwh,
        community.max_storage_power_kw,
        community.charge_efficiency,
        community.discharge_efficiency,
        initial_kwh=0.0,
        final_min_kwh=0.0,
    )
    limits = GridLimits(community.grid_import_limit_kw, community.grid_export_limit_kw)
    for first, end in edges.reshape(-1, 2).tolist():
        part = slice(first, end)
        outlook = Outlook(
            TimeGrid(past.grid.instant(first), end - first, past.grid.step_minutes),
            past.load_kw[part],
            past.pv_kw[part],
            prices.import_price_per_kwh[part],
            prices.export_price_per_kwh[part],
            prices.emission_factor_kg_per_kwh[part],
        )
        yield Course(outlook, storage, limits, past.held_kwh[first : end + 1], _between(registers, part))


def _between(registers: MemberExchange | None, part: slice) -> MemberExchange | None:
    if registers is None:
        return None
    return replace(
        registers,
        import_kw=registers.import_kw[:, part],
        export_kw=registers.export_kw[:, part],
        gain_per_kwh=registers.gain_per_kwh[part],
    )


def _explain(community: Community, past: _Past, found: Performance, provenance: Provenance) -> None:
    """What the figures leave out."""
    if past.is_net:
        provenance.notes.append(
            "only the net load is metered: load and generation are what was drawn and fed in, and no share of either "
            "is told"
        )
    if community.tariff is not None and community.tariff.capacity_charge is not None:
        provenance.notes.append("the capacity charge is not in the costs: it is a billing period's, not this time's")
    if found.perfect_cost is None:
        provenance.notes.append("the best plan was not found in time: ask for a shorter span")
    if any(one.value_captured is not None for one in found.baselines.values()):
        provenance.assume(
            "what a baseline leaves in the storage more or less is worth the mean price of an import, less what "
            "discharging loses"
        )


def _document(past: _Past, found: Performance, provenance: Provenance) -> dict[str, Any]:
    rule = found.baselines["self_consumption_rule"]
    return {
        "start": instant_text(past.grid.start),
        "end": instant_text(past.grid.end),
        "resolution_minutes": past.grid.step_minutes,
        "known": found.hours / past.grid.hours,
        "load_kwh": found.load_kwh,
        "pv_kwh": found.pv_kwh,
        "import_kwh": found.import_kwh,
        "export_kwh": found.export_kwh,
        "charged_kwh": found.charged_kwh,
        "discharged_kwh": found.discharged_kwh,
        "self_consumption": None if past.is_net else found.self_consumption,
        "self_sufficiency": None if past.is_net else found.self_sufficiency,
        "peak_kw": found.peak_kw,
        "cost": found.cost,
        "emissions_kg": found.emissions_kg,
        "savings": {
            "baseline": "self_consumption_rule",
            "cost_without_control": rule.cost,
            "saved": rule.saved,
            "value_captured": rule.value_captured,
            "perfect_cost": found.perfect_cost,
            "baselines": {name: asdict(one) for name, one in found.baselines.items()},
        },
        "provenance": provenance.to_document(),
    }
