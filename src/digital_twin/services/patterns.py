"""What is typical of a community's homes and days, as its meters showed over the last weeks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, InvalidInput, NotAllowed, NotFound
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid, local_date, local_midnight
from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import Locality
from digital_twin.forecasting.patterns import DayPatterns, MemberPatterns, PatternSeries, day_patterns, member_patterns
from digital_twin.services.access import Grant
from digital_twin.services.countries import country_of
from digital_twin.services.history import KnownSeries, believed_readings, community_series, sound
from digital_twin.services.ports import Clock, ComputePool, Store, Transaction
from digital_twin.services.provenance import Provenance, fingerprint_of
from digital_twin.services.state_inputs import temperature_of

T = TypeVar("T")

NET, LOAD, GENERATION = "net_load_kw", "load_kw", "pv_kw"
LOOKED_AT = (NET, LOAD)
"""What the grid sees wherever that is metered: PV shows in nothing else."""

BESIDE_NET = (LOAD, GENERATION)
"""What tells of the use behind a meter of the net."""

SHORTEST_DAYS, USUAL_DAYS, LONGEST_DAYS = 21, 56, 400
MOST_VALUES = 8_000_000
"""Readings that one question may look at: 1,400 homes for eight weeks of quarters, which takes half a minute once."""

_KEPT = 64
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class PatternQuery:
    """So many whole days back; of one member, or of the community with all its members."""

    days: int = USUAL_DAYS
    member_id: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MemberMeter:
    """Whose readings of which series were looked at."""

    member_id: str
    series: str


@dataclass(frozen=True, slots=True, eq=False)
class PatternReport:
    """What was found; `members` is None where one member was asked about, `days` where the community's are too few."""

    as_of: datetime
    start: datetime
    end: datetime
    series: str | None
    days: DayPatterns | None
    meters: tuple[MemberMeter, ...]
    members: MemberPatterns | None
    provenance: Provenance


@dataclass(frozen=True, slots=True, eq=False)
class _Gathered:
    """Readings of the span."""

    locality: Locality
    whole: PatternSeries | None  # the community, or the one member
    meters: tuple[MemberMeter, ...]
    series: tuple[PatternSeries, ...]


class PatternService:
    """Use cases around load patterns."""

    def __init__(self, store: Store, clock: Clock, pool: ComputePool) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._found: OrderedDict[str, Any] = OrderedDict()

    async def report(self, grant: Grant, query: PatternQuery) -> PatternReport:
        """The patterns of the whole days before today, or before `as_of`; a member sees their own alone.

        Raises:
            InvalidInput: the span is too short, or holds more readings than one question may look at.
            NotAllowed: a member asks about another.
            NotFound: nothing is stored that could have a pattern.
            InsufficientData: nobody has enough days with few gaps.
        """
        member_id = _whose(grant, query)
        now = min(query.as_of or self._clock.now(), self._clock.now())
        community_id = str(grant.community_id)
        provenance = Provenance(now)
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            span = _span(query, community, now)
            gathered = await _gather(tx, community, member_id, span, provenance)
        members = None
        if member_id is None:
            members = await self._kept(member_patterns, gathered.series, gathered.locality)
        days = await self._days(gathered, must=member_id is not None or not any(members.meters if members else ()))
        name = None if gathered.whole is None else gathered.whole.name
        return PatternReport(now, *span, name, days, gathered.meters, members, provenance)

    async def _days(self, gathered: _Gathered, *, must: bool) -> DayPatterns | None:
        """Of the whole; None where its days are too few, unless it must be told."""
        if gathered.whole is None:
            if must:
                raise InsufficientData("no meter has enough days of readings with few gaps; ask for more days")
            return None
        try:
            return await self._kept(day_patterns, gathered.whole, gathered.locality)
        except InsufficientData:
            if must:
                raise
            return None

    async def _kept(self, find: Callable[..., T], asked: Any, locality: Locality) -> T:
        """What was found in the same readings before, else found now in a warm process."""
        series = cast("Sequence[PatternSeries]", asked if isinstance(asked, tuple) else (asked,))
        key = f"{find.__name__} {locality} {fingerprint_of(_numbers(series))}"
        if key not in self._found:
            self._found[key] = await self._pool.call(find, asked, locality, timeout_s=_TIMEOUT_S)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        self._found.move_to_end(key)
        return self._found[key]


def _whose(grant: Grant, query: PatternQuery) -> str | None:
    """Whose patterns are told: a member's own to a member."""
    if grant.member_id is None:
        return query.member_id
    if query.member_id not in (None, grant.member_id):
        raise NotAllowed("a member may see their own patterns, not those of others")
    return grant.member_id


def _span(query: PatternQuery, community: Community, now: datetime) -> tuple[datetime, datetime]:
    """Whole local days, the last of which is over."""
    if not SHORTEST_DAYS <= query.days <= LONGEST_DAYS:
        raise InvalidInput(f"days must be in {SHORTEST_DAYS}..{LONGEST_DAYS}, got {query.days}", field="days")
    zone = community.timezone or "UTC"
    today = local_date(now, zone)
    return local_midnight(today - timedelta(days=query.days), zone), local_midnight(today, zone)


async def _gather(
    tx: Transaction,
    community: Community,
    member_id: str | None,
    span: tuple[datetime, datetime],
    provenance: Provenance,
) -> _Gathered:
    """What was known of the span as of the provenance's instant; raises as `report`."""
    zone = community.timezone or "UTC"
    now = provenance.as_of
    keys = await _meters_of(tx, member_id, now)
    if member_id is not None and not keys:
        raise NotFound("no readings of net_load_kw or load_kw are stored of this member")
    own = None if member_id is not None else await _own_series(tx, community, span, now)
    if own is None and not keys:
        raise NotFound("no readings of net_load_kw or load_kw are stored; import some first")
    read = await believed_readings(tx, keys, *span, now)
    _check_size(read)
    heard = [sound(KnownSeries(one, "meter")).values for one in read]
    uses = await _uses(tx, heard, span, provenance)
    if own is not None:
        own = sound(own)
        provenance.sources[own.values.key.name] = own.source
        heard.append(own.values)
    warmth = await _temperatures(tx, {one.grid for one in heard}, provenance)
    series = [PatternSeries(one.key.name, one.grid, one.values, warmth[one.grid], uses.get(one.key)) for one in heard]
    provenance.cover(*span)
    whole = series[-1] if series and (own is not None or member_id is not None) else None
    meters = tuple(MemberMeter(str(one.key.member_id), one.key.name) for one in read)
    return _Gathered(Locality(zone, country_of(zone)), whole, meters, tuple(series[: len(read)]))


async def _meters_of(tx: Transaction, member_id: str | None, now: datetime) -> list[SeriesKey]:
    """One series of each who is a member now, or of the one: what the grid sees, else what is used."""
    present = {one.member_id for one in await tx.members.members() if one.left_at is None or one.left_at > now}
    chosen: dict[str, SeriesKey] = {}
    for series in await tx.readings.named(LOOKED_AT):
        key = series.key
        if key.asset_id is not None or key.member_id not in present or member_id not in (None, key.member_id):
            continue
        before = chosen.get(key.member_id)
        if before is None or LOOKED_AT.index(key.name) < LOOKED_AT.index(before.name):
            chosen[key.member_id] = key
    return [chosen[one] for one in sorted(chosen)]


async def _uses(
    tx: Transaction, meters: Sequence[SeriesValues], span: tuple[datetime, datetime], provenance: Provenance
) -> dict[SeriesKey, Array]:
    """What homes use whose meters tell the net: by their load, else with their generation, where it is known."""
    nets = {one.key.member_id: one for one in meters if one.key.name == NET}
    keys = [one.key for one in await tx.readings.named(BESIDE_NET) if one.key.member_id in nets]
    beside: dict[SeriesKey, list[SeriesValues]] = {}
    for one in await believed_readings(tx, keys, *span, provenance.as_of):
        net = nets[one.key.member_id]
        if one.grid == net.grid:
            beside.setdefault(net.key, []).append(sound(KnownSeries(one, "meter")).values)
    found = {key: _use(nets[key.member_id].values, known) for key, known in beside.items()}
    if found:
        provenance.notes.append(f"of {len(found)} homes devices were looked for in what is used, not in the net")
    return found


def _use(net_kw: Array, known: Sequence[SeriesValues]) -> Array:
    """The load where it is metered, else net and all generation together."""
    loads = [one.values for one in known if one.key.name == LOAD and one.key.asset_id is None]
    return loads[0] if loads else net_kw + sum(one.values for one in known if one.key.name == GENERATION)


async def _own_series(
    tx: Transaction, community: Community, span: tuple[datetime, datetime], now: datetime
) -> KnownSeries | None:
    for name in LOOKED_AT:
        known = await community_series(tx, community, name, *span, now)
        if known is not None:
            return known
    return None


def _check_size(read: Sequence[SeriesValues]) -> None:
    count = sum(one.grid.steps for one in read)
    if count > MOST_VALUES:
        raise InvalidInput(
            f"the span holds {count} readings of all meters, more than {MOST_VALUES}; ask for fewer days", field="days"
        )


async def _temperatures(tx: Transaction, grids: set[TimeGrid], provenance: Provenance) -> dict[TimeGrid, Array | None]:
    """Outdoors, on each grid of meters."""
    found = {grid: await temperature_of(tx, grid, provenance.as_of, provenance) for grid in grids}
    if not any(one is not None for one in found.values()):
        provenance.notes.append("no outdoor temperature is stored: answers to cold are not told")
    return found


def _numbers(series: Sequence[PatternSeries]) -> list[Any]:
    found: list[Any] = []
    for one in series:
        found += [one.name, one.grid.start.isoformat(), float(one.grid.step_minutes), one.values_kw, one.temperature_c]
    return found
