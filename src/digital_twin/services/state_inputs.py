"""What the state is estimated from: who meters what in a community, and their readings on the twin's grid."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.assets import Battery, Member, Photovoltaics
from digital_twin.domain.community import Community
from digital_twin.domain.member_sum import MemberSpan
from digital_twin.domain.readings import TEMPERATURE, Series, SeriesKey, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.services.forecast_inputs import site_of
from digital_twin.services.history import believed_readings, source_of
from digital_twin.services.ports import Transaction
from digital_twin.services.provenance import Provenance
from digital_twin.services.twin_steps import TwinSetting

FINEST_STEP_MINUTES = 15
"""The twin's step, unless a series is coarser: then all are brought to the coarsest."""

LONGEST_WINDOW_DAYS, SHORTEST_WINDOW_DAYS = 63, 8
VALUES_AT_ONCE = 8_000_000
"""A calibration reads nine weeks, or less where so many values would be more; never less than eight days."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """A community's setting with the series behind it."""

    setting: TwinSetting
    own: tuple[bool, ...]  # whether the community has a series of its own, for each of OBSERVED
    members: dict[str, Member]
    homes: int

    @property
    def fingerprint(self) -> str:
        """Names all that a model is made for: another one needs another model."""
        return hashlib.sha256(repr((self.setting, self.own)).encode()).hexdigest()

    def without_meters(self) -> "Instruments":
        """Where nothing has been read yet."""
        nobody = replace(self.setting, metering=(Metering(),) * len(OBSERVED))
        return replace(self, setting=nobody, own=(False,) * len(OBSERVED))

    @property
    def window(self) -> timedelta:
        """How much history a calibration reads."""
        meters = sum(len(one.ids) for one in self.setting.metering) + sum(self.own)
        a_day = max(meters, 1) * 1440 // self.setting.step_minutes
        days = min(max(VALUES_AT_ONCE // a_day, SHORTEST_WINDOW_DAYS), LONGEST_WINDOW_DAYS)
        return timedelta(days=days)

    @property
    def keys(self) -> list[SeriesKey]:
        """All series that are read."""
        own = [SeriesKey(name) for name, is_there in zip(OBSERVED, self.own, strict=True) if is_there]
        of_meters = zip(OBSERVED, self.setting.metering, strict=True)
        return own + [SeriesKey(name, member) for name, metering in of_meters for member in metering.ids]


async def heard_of(tx: Transaction, instruments: Instruments, as_of: datetime) -> frozenset[SeriesKey]:
    """The series that had told anything by then: who has a meter today may have had none."""
    named = [one.key for one in await tx.readings.named(OBSERVED) if one.key.asset_id is None]
    found = await believed_readings(tx, named, as_of - instruments.window, as_of, as_of)
    return frozenset(one.key for one in found if np.isfinite(one.values).any())


async def instruments_of(
    tx: Transaction,
    community: Community,
    at: datetime,
    provenance: Provenance,
    *,
    heard: frozenset[SeriesKey] | None = None,
) -> Instruments:
    """Who meters what at this instant, with all series that there are or those that were `heard`.

    A member's net meter counts where the member has no load meter: the two would tell the same twice. Prosumers that
    are no members, and members without a load or net meter, are taken to be like those with one; members without a
    generation or storage series are taken to have what is registered of them, relative to those with one.
    """
    series = [one for one in await tx.readings.named(OBSERVED) if one.key.asset_id is None]
    series = [one for one in series if heard is None or one.key in heard]
    members = {one.member_id: one for one in await tx.members.members()}
    current = [name for name, one in members.items() if _is_member(one, at)]
    homes = max(community.num_prosumers, len(current), 1)
    of = {name: _owners(series, name, current) for name in OBSERVED}
    of["net_load_kw"] = [name for name in of["net_load_kw"] if name not in of["load_kw"]]
    assets = await tx.members.assets()
    roofs = _capacities((a.member_id, a.device.capacity_kw) for a in assets if isinstance(a.device, Photovoltaics))
    stores = _capacities((a.member_id, a.device.capacity_kwh) for a in assets if isinstance(a.device, Battery))
    shares = {
        "load_kw": len(of["load_kw"]) / homes,
        "net_load_kw": len(of["net_load_kw"]) / homes,
        "pv_kw": len(current) / homes * _told_part(roofs, of["pv_kw"], current),
        "storage_soc_kwh": len(current) / homes * _told_part(stores, of["storage_soc_kwh"], current),
    }
    metering = tuple(Metering(tuple(of[name]), shares[name] if of[name] else 1.0) for name in OBSERVED)
    used = [one for one in series if one.key.member_id is None or one.key.member_id in of[one.key.name]]
    step_minutes = max([FINEST_STEP_MINUTES, *(one.resolution_minutes for one in used)])
    site = site_of(community, provenance)
    setting = TwinSetting(_plant(community, site.country), site, step_minutes, metering)
    own = tuple(any(one.key == SeriesKey(name) for one in series) for name in OBSERVED)
    return Instruments(setting, own, members, homes)


async def readings_of(
    tx: Transaction, instruments: Instruments, grid: TimeGrid, as_of: datetime | None
) -> tuple[Array, tuple[Array, ...]]:
    """The community's own series (T, 4) and those of the meters of each quantity (T, M), NaN where there is none."""
    found = {one.key: one for one in await believed_readings(tx, instruments.keys, grid.start, grid.end, as_of)}
    starts_s = grid.starts.astype(np.int64)
    spans = {name: MemberSpan(one.joined_at, one.left_at) for name, one in instruments.members.items()}
    own = np.full((grid.steps, len(OBSERVED)), np.nan)
    meters: list[Array] = []
    for index, (name, metering) in enumerate(zip(OBSERVED, instruments.setting.metering, strict=True)):
        if (series := found.get(SeriesKey(name))) is not None:
            own[:, index] = _on(series, grid)
        matrix = np.full((grid.steps, len(metering.ids)), np.nan)
        for column, member_id in enumerate(metering.ids):
            if (series := found.get(SeriesKey(name, member_id))) is not None:
                matrix[:, column] = np.where(spans[member_id].covers(starts_s), _on(series, grid), np.nan)
        meters.append(matrix)
    return own, tuple(meters)


async def temperature_of(
    tx: Transaction, grid: TimeGrid, as_of: datetime | None, provenance: Provenance
) -> Array | None:
    """The community's outdoor temperature, measured or forecast, NaN where there is none; None without any."""  # (T,)
    for series in await believed_readings(tx, [SeriesKey(TEMPERATURE)], grid.start, grid.end, as_of):
        if np.isfinite(temperature_c := _on(series, grid)).any():
            provenance.sources[TEMPERATURE] = await source_of(tx, TEMPERATURE, provenance.as_of)
            return temperature_c
    return None


def describe(instruments: Instruments, provenance: Provenance) -> None:
    """Where each quantity comes from, and what is assumed where nothing tells."""
    setting, homes = instruments.setting, instruments.homes
    for name, has_own, metering in zip(OBSERVED, instruments.own, setting.metering, strict=True):
        told = ["community-level readings"] if has_own else []
        if metering.ids:
            told.append(f"{len(metering.ids)} meters of {homes} prosumers")
        if told:
            provenance.sources[name] = ", else ".join(told)
    for name, metering in zip(OBSERVED, setting.metering, strict=True):
        if metering.ids and metering.share < 1 and name not in ("pv_kw", "storage_soc_kwh"):
            provenance.assume(f"prosumers without {name} readings are like the {len(metering.ids)} with them")
        elif metering.ids and metering.share < 1:
            provenance.assume(
                f"members without {name} readings have what is registered of them, other prosumers are like the members"
            )
    told_of = set(provenance.sources)
    plant = setting.plant
    if not told_of & {"load_kw", "net_load_kw"}:
        provenance.assume(
            f"demand is the standard household profile (BDEW H0) x {plant.num_prosumers} prosumers "
            "until load_kw or net_load_kw readings come"
        )
    if plant.pv_capacity_kw > 0 and "pv_kw" not in told_of:
        provenance.assume(
            f"generation is that of {plant.pv_capacity_kw:g} kW of PV, of which clouds leave a typical share, "
            "until pv_kw readings come"
        )
    if plant.storage_capacity_kwh > 0 and "storage_soc_kwh" not in told_of:
        provenance.assume("the storage is anywhere between empty and full until storage_soc_kwh readings come")


def trim(grid: TimeGrid, own: Array, meters: Sequence[Array]) -> tuple[TimeGrid, Array, tuple[Array, ...]] | None:
    """Without the empty stretches before the first and after the last reading; None without any."""
    known = np.isfinite(own).any(axis=1)
    for matrix in meters:
        known |= np.isfinite(matrix).any(axis=1)
    places = np.flatnonzero(known)
    if not places.size:
        return None
    first, last = int(places[0]), int(places[-1]) + 1
    shorter = TimeGrid(grid.instant(first), last - first, grid.step_minutes)
    return shorter, own[first:last], tuple(matrix[first:last] for matrix in meters)


def _plant(community: Community, country: str | None) -> Plant:
    return Plant(
        community.num_prosumers,
        community.total_pv_capacity_kw,
        community.total_storage_capacity_kwh,
        community.max_storage_power_kw,
        community.charge_efficiency,
        community.discharge_efficiency,
        community.timezone or "UTC",
        country,
    )


def _owners(series: Iterable[Series], name: str, current: Sequence[str]) -> list[str]:
    owners = {one.key.member_id for one in series if one.key.name == name}
    return [member_id for member_id in sorted(current) if member_id in owners]


def _capacities(of_assets: Iterable[tuple[str | None, float]]) -> dict[str, float]:
    """What each member has registered."""
    found: dict[str, float] = {}
    for member_id, capacity in of_assets:
        if member_id is not None:
            found[member_id] = found.get(member_id, 0.0) + capacity
    return found


def _told_part(capacities: dict[str, float], owners: Sequence[str], current: Sequence[str]) -> float:
    """Of the members' registered capacity, what belongs to those with a series; all of it unless each of them has
    registered some."""
    told = [capacities.get(member_id, 0.0) for member_id in owners]
    if not all(told):
        return 1.0
    everyone = sum(capacities.get(member_id, 0.0) for member_id in current)
    return sum(told) / everyone if everyone > 0 else 1.0


def _is_member(member: Member, at: datetime) -> bool:
    return (member.joined_at is None or member.joined_at < at) and (member.left_at is None or at <= member.left_at)


def _on(series: SeriesValues, grid: TimeGrid) -> Array:
    return series.values if series.grid == grid else resample(series, grid).values
