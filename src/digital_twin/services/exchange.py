"""Members with their own meters: what their registers will show, which a sharing rule needs to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.assets import Member
from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.sharing import Sharing, SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import MemberExchange
from digital_twin.services.history import believed_readings
from digital_twin.services.ports import Transaction
from digital_twin.services.prices import Prices
from digital_twin.services.provenance import Provenance

WEEK = timedelta(days=7)
MAX_WEEKS_BACK = 4


@dataclass(frozen=True, slots=True, eq=False)
class MemberSeries:
    """Load and generation of one member as a caller gives them."""

    member_id: str
    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """The members' registers without the community's storage, and the sums behind them."""

    registers: MemberExchange
    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)


async def member_exchange(
    tx: Transaction,
    community: Community,
    grid: TimeGrid,
    given: Sequence[MemberSeries],
    prices: Prices,
    provenance: Provenance,
) -> Exchange | None:
    """The exchange of a community whose members have meters of their own; None under a single meter.

    Raises:
        InvalidInput: `members` are given for a single meter, or do not fit the grid.
        InsufficientData: nothing is given and the members' readings of the last weeks do not cover the grid.
    """
    sharing = community.sharing
    if sharing.rule is SharingRule.SINGLE_METER:
        if given:
            raise InvalidInput("members need a sharing rule other than single_meter; PUT .../sharing", field="members")
        return None
    members = {member.member_id: member for member in await tx.members.members()}
    if len({one.member_id for one in given}) < len(given):
        raise InvalidInput("every member must be given once", field="members")
    series = list(given) or await _persisted(tx, members, grid, provenance)
    for one in series:
        if one.load_kw.shape != (grid.steps,) or one.pv_kw.shape != (grid.steps,):
            raise InvalidInput(f"every member's load_kw and pv_kw must have {grid.steps} values", field="members")
    load_kw = np.stack([one.load_kw for one in series])
    pv_kw = np.stack([one.pv_kw for one in series])
    net_kw = load_kw - pv_kw
    registers = MemberExchange(
        import_kw=np.maximum(net_kw, 0.0),
        export_kw=np.maximum(-net_kw, 0.0),
        gain_per_kwh=_gain(sharing, prices, provenance),
        rule=sharing.rule,
        settlement_minutes=sharing.settlement_minutes,
        coefficients=_coefficients(sharing.rule, series, members),
    )
    return Exchange(registers, load_kw.sum(axis=0), pv_kw.sum(axis=0))


def _gain(sharing: Sharing, prices: Prices, provenance: Provenance) -> Array:
    """What a shared kWh is worth; a premium follows the zonal price, which is also what dedicated withdrawal pays."""
    zonal = prices.zonal_price_per_kwh
    if zonal is None and sharing.premium is not None and sharing.is_shared:
        zonal = prices.export_price_per_kwh
        provenance.assume(
            "the zonal price of the sharing premium is the export price until zonal_price_per_kwh is given"
        )
    return sharing.gain_per_kwh(prices.import_price_per_kwh, prices.export_price_per_kwh, zonal)


def _coefficients(rule: SharingRule, series: Sequence[MemberSeries], members: dict[str, Member]) -> Array | None:
    if rule not in (SharingRule.STATIC, SharingRule.HYBRID):
        return None
    known = [members[one.member_id].sharing_coefficient if one.member_id in members else None for one in series]
    missing = [one.member_id for one, coefficient in zip(series, known, strict=True) if coefficient is None]
    if missing:
        raise InsufficientData(
            f"the sharing rule {rule} needs the sharing_coefficient of every member; {missing[0]!r} has none",
            missing=len(missing),
        )
    return np.array(known, dtype=np.float64)


async def _persisted(
    tx: Transaction, members: dict[str, Member], grid: TimeGrid, provenance: Provenance
) -> list[MemberSeries]:
    found = await members_of_last_weeks(tx, members, grid, provenance)
    if found:
        return found
    if not any(is_member(one, grid.start) for one in members.values()):
        raise InsufficientData("this sharing rule needs members; add them with POST .../members", needed=1, found=0)
    raise InsufficientData(
        "the sharing rule needs load_kw readings of members for these hours in one of the last "
        f"{MAX_WEEKS_BACK} weeks; upload them or give `members` in the request",
    )


async def members_of_last_weeks(
    tx: Transaction, members: dict[str, Member], grid: TimeGrid, provenance: Provenance
) -> list[MemberSeries]:
    """Each member of that time as in the same hours of the latest week that is wholly known: weekly persistence.

    Members without readings are left out, which the provenance tells; none at all where no week is known.
    """
    current = [one.member_id for one in members.values() if is_member(one, grid.start)]
    weeks_ahead = max(1, -(-(grid.end - provenance.as_of) // WEEK))
    for weeks in range(weeks_ahead, weeks_ahead + MAX_WEEKS_BACK if current else weeks_ahead):
        past = TimeGrid(grid.start - weeks * WEEK, grid.steps, grid.step_minutes)
        found = await _member_series(tx, current, past, provenance)
        if found:
            provenance.sources["members"] = f"their readings {weeks} week(s) before"
            provenance.assume(f"members behave as {weeks} week(s) before")
            return found
    return []


def is_member(member: Member, at: datetime) -> bool:
    """Whether the member had joined and not yet left."""
    return (member.joined_at is None or member.joined_at <= at) and (member.left_at is None or member.left_at > at)


async def _member_series(
    tx: Transaction, member_ids: Sequence[str], past: TimeGrid, provenance: Provenance
) -> list[MemberSeries]:
    keys = [SeriesKey(name, member_id) for member_id in member_ids for name in ("load_kw", "pv_kw")]
    found = await believed_readings(tx, keys, past.start, past.end, provenance.as_of)
    by_key: dict[SeriesKey, SeriesValues] = {series.key: resample(series, past) for series in found}
    complete: list[MemberSeries] = []
    for member_id in member_ids:
        load = by_key.get(SeriesKey("load_kw", member_id))
        pv = by_key.get(SeriesKey("pv_kw", member_id))
        if load is None or not np.isfinite(load.values).all():
            continue
        pv_kw = pv.values if pv is not None and np.isfinite(pv.values).all() else np.zeros(past.steps)
        complete.append(MemberSeries(member_id, load.values, pv_kw))
    if complete and len(complete) < len(member_ids):
        provenance.notes.append(
            f"{len(member_ids) - len(complete)} of {len(member_ids)} members lack readings: left out"
        )
    return complete
