"""What a simulation knows of a community: its last year of readings, its prices, and what stands in for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.assets import Member, Photovoltaics
from digital_twin.domain.community import Community
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.tariff import BillingPeriod
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.priors import ANNUAL_KWH_PER_HOME
from digital_twin.services.forecast_inputs import site_of
from digital_twin.services.history import believed_readings, community_series
from digital_twin.services.ports import Transaction
from digital_twin.services.prices import PriceRequest, prices_of
from digital_twin.services.provenance import Provenance
from digital_twin.simulation.base_year import DAYS, base_grid
from digital_twin.simulation.known_year import MOST_HOMES, KnownYear
from digital_twin.simulation.place import Place
from digital_twin.simulation.scenario import Setting
from digital_twin.simulation.terms import Terms, has_fixed_shares

FINEST_STEP_MINUTES = 15
MOST_PROFILES = 300
"""Members beyond so many are represented by a sample."""

_NATIVE = ("load_kw", "pv_kw", "net_load_kw")


@dataclass(frozen=True, slots=True, eq=False)
class _Profiles:
    """Columns of load and generation, and the members they belong to."""

    load_kw: NDArray[np.float32]  # (T, N)
    pv_kw: NDArray[np.float32]  # (T, N)
    coefficients: Array | None  # (N,)


async def known_year(
    tx: Transaction, community: Community, settings: Sequence[Setting], provenance: Provenance
) -> KnownYear:
    """Everything that was known as of the provenance's instant.

    Raises:
        InsufficientData: a dynamic tariff without last year's market prices.
    """
    site = site_of(community, provenance)
    has_own_meters = any(setting.sharing_rule is not SharingRule.SINGLE_METER for setting in settings)
    window = base_grid(provenance.as_of, 60)
    native = {name: await _series(tx, community, name, window, provenance) for name in (*_NATIVE, "temperature_c")}
    grid = base_grid(provenance.as_of, _step_minutes([native[name] for name in _NATIVE]))
    members = await _member_profiles(tx, grid, provenance) if has_own_meters else None
    own = {name: None if found is None else resample(found, grid).values for name, found in native.items()}
    net = own["net_load_kw"] if own["load_kw"] is None and not has_own_meters else None
    if has_own_meters:
        load, pv, count = _of_members(community, members, provenance)
    else:
        load, pv, count = _column(own["load_kw"]), _column(own["pv_kw"]), 1
    _explain(community, own, net, grid, provenance, is_by_member=has_own_meters)
    _note_sharing(community, settings, provenance)
    prices = await prices_of(tx, community, grid, PriceRequest(), provenance)
    return KnownYear(
        grid,
        Place(site.latitude, site.longitude, site.timezone),
        community.num_prosumers,
        community.total_pv_capacity_kw,
        count,
        ANNUAL_KWH_PER_HOME,
        load,
        pv,
        net,
        own["temperature_c"],
        prices.import_price_per_kwh,
        prices.export_price_per_kwh,
        prices.emission_factor_kg_per_kwh,
        None if members is None else members.coefficients,
    )


def terms_of(community: Community, settings: Sequence[Setting], known: KnownYear, *, days: int, seed: int) -> Terms:
    """What is asked, from the end of the known year on."""
    charge = community.tariff.capacity_charge if community.tariff else None
    period = BillingPeriod.MONTH if charge is None else charge.period
    return Terms(
        tuple(settings),
        community.sharing,
        float(community.num_prosumers),
        days,
        seed,
        _billing_periods(known.grid, period, days),
        charge,
    )


def _billing_periods(base: TimeGrid, period: BillingPeriod, days: int) -> NDArray[np.int64]:
    """The number of the billing period that each simulated day belongs to, by UTC days."""  # (days,)
    dates = np.datetime64(base.end.date()) + np.arange(days)
    units = {BillingPeriod.DAY: "D", BillingPeriod.MONTH: "M", BillingPeriod.YEAR: "Y"}
    numbers = dates.astype(f"datetime64[{units[period]}]").astype(np.int64)
    return numbers - numbers[0]


async def _series(
    tx: Transaction, community: Community, name: str, window: TimeGrid, provenance: Provenance
) -> SeriesValues | None:
    known = await community_series(tx, community, name, window.start, window.end, provenance.as_of)
    if known is None:
        return None
    provenance.sources[name] = known.source
    return known.values


def _step_minutes(found: Sequence[SeriesValues | None]) -> int:
    """The coarsest resolution of the readings, but none that would be finer than a quarter of an hour."""
    return max([FINEST_STEP_MINUTES, *(series.grid.step_minutes for series in found if series is not None)])


def _column(values: Array | None) -> NDArray[np.float32] | None:
    return None if values is None else values.astype(np.float32)[:, None]


def _of_members(
    community: Community, members: _Profiles | None, provenance: Provenance
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, int]:
    """Load and generation by home, and how many homes: the members with readings, or synthetic ones."""
    if members is not None:
        count = members.load_kw.shape[1]
        if count < community.num_prosumers:
            provenance.assume(f"{count} members with readings stand for {community.num_prosumers} prosumers")
        return members.load_kw, members.pv_kw, count
    count = max(2, min(community.num_prosumers, MOST_HOMES))
    provenance.assume(f"no member has readings: {count} synthetic homes stand for {community.num_prosumers} prosumers")
    return None, None, count


def _explain(
    community: Community,
    own: dict[str, Array | None],
    net: Array | None,
    grid: TimeGrid,
    provenance: Provenance,
    *,
    is_by_member: bool,
) -> None:
    """Name what stands in for readings that are not there."""
    provenance.cover(*_window(grid, [own[name] for name in _NATIVE]))
    for name, words in (("load_kw", "synthetic homes"), ("pv_kw", "synthetic roofs under a synthetic sky")):
        values = net if name == "load_kw" and net is not None else own[name]
        covered = 0.0 if values is None or is_by_member else float(np.isfinite(values).mean())
        if name == "pv_kw" and community.total_pv_capacity_kw == 0:
            continue
        if is_by_member or covered == 0:
            provenance.assume(f"{name} that no reading tells is that of {words}")
        elif covered < 1:
            provenance.assume(
                f"{name} is known for {100 * covered:.0f} % of the last {DAYS} days; "
                f"the rest is that of {words} at the level of what is known"
            )
    if own["load_kw"] is None and net is None:
        provenance.assume(f"homes without readings use {ANNUAL_KWH_PER_HOME:.0f} kWh a year each")
    if net is not None:
        provenance.assume("load is what net_load_kw and the estimated generation leave; nothing is curtailed")
    if own["temperature_c"] is None:
        provenance.assume("the temperature is synthetic")
    provenance.assume(
        "the storage follows its policy, is empty at first, and stands "
        "behind the common meter, behind the members' meters (sharing_rule none), or has a meter of its own",
        "irradiation varies by 4.5 % from year to year, temperature by 0.8 C, the habits of all by 5 %, of one home by "
        "15 %, import prices by 10 %, feed-in prices by 20 %, their swings by 25 %; days come from within two weeks of "
        "their season",
    )


def _note_sharing(community: Community, settings: Sequence[Setting], provenance: Provenance) -> None:
    rules = {setting.sharing_rule for setting in settings}
    if community.sharing.premium is not None and rules - {SharingRule.SINGLE_METER, SharingRule.NONE}:
        provenance.assume("the zonal price of the sharing premium is the export price")
    if any(has_fixed_shares(one.sharing_rule) and one.total_storage_capacity_kwh > 0 for one in settings):
        provenance.notes.append("the storage has no fixed share: under static rules it buys what it charges")


def _window(grid: TimeGrid, found: Sequence[Array | None]) -> tuple[datetime | None, datetime | None]:
    known = [np.flatnonzero(np.isfinite(values)) for values in found if values is not None]
    known = [one for one in known if one.size]
    if not known:
        return None, None
    return grid.instant(int(min(one[0] for one in known))), grid.instant(int(max(one[-1] for one in known)) + 1)


async def _member_profiles(tx: Transaction, grid: TimeGrid, provenance: Provenance) -> _Profiles | None:
    """The members of that time who have load readings; a sample of them where there are very many."""
    members = {one.member_id: one for one in await tx.members.members() if _is_member(one, provenance)}
    keys = [SeriesKey(name, member_id) for member_id in members for name in ("load_kw", "pv_kw")]
    if not keys:
        return None
    found = await believed_readings(tx, keys, grid.start, grid.end, provenance.as_of)
    by_key = {series.key: resample(series, grid).values.astype(np.float32) for series in found}
    metered = [one for one in members if np.isfinite(by_key.get(SeriesKey("load_kw", one), np.array([np.nan]))).any()]
    if not metered:
        return None
    if len(metered) > MOST_PROFILES:
        chosen = np.linspace(0, len(metered) - 1, MOST_PROFILES).round().astype(np.int64)
        metered = [metered[place] for place in chosen]
        provenance.notes.append(f"a sample of {MOST_PROFILES} members with readings is simulated")
    provenance.sources["members"] = f"load_kw readings of {len(metered)} members"
    roofs = await _roofs(tx)
    nothing = np.full(grid.steps, np.nan, dtype=np.float32)
    load = np.stack([by_key[SeriesKey("load_kw", one)] for one in metered], axis=1)
    pv = np.stack([by_key.get(SeriesKey("pv_kw", one), nothing) for one in metered], axis=1)
    _note_roofs(metered, pv, roofs, provenance)
    shares = [members[one].sharing_coefficient for one in metered]
    coefficients = None if None in shares else np.array(shares, dtype=np.float64)
    return _Profiles(load, pv, coefficients)


async def _roofs(tx: Transaction) -> set[str]:
    """Members with a PV system of their own in the register."""
    assets = await tx.members.assets()
    return {one.member_id for one in assets if one.member_id and isinstance(one.device, Photovoltaics)}


def _note_roofs(metered: Sequence[str], pv_kw: NDArray[np.float32], roofs: set[str], provenance: Provenance) -> None:
    silent = [one for place, one in enumerate(metered) if not np.isfinite(pv_kw[:, place]).any()]
    unread = sum(one in roofs for one in silent)
    if unread and len(silent) < len(metered):
        provenance.notes.append(f"{unread} members have PV but no pv_kw readings: their generation is left out")


def _is_member(member: Member, provenance: Provenance) -> bool:
    at = provenance.as_of
    return (member.joined_at is None or member.joined_at <= at) and (member.left_at is None or member.left_at > at)
