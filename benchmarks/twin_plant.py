"""Generation and storage while few inverters and batteries report: the twin beside scaling up what they show.

The community's net load is metered at the transformer, and of its roofs and batteries some report, always the same.
The twin learns from six weeks in which all did and is judged on the two that follow. Two ways to scale up: by
nameplate, and by each unit's part of the sum in those six weeks. Demand is then net load plus generation less what the
batteries took, from the last change of their energy. The floor is the twin's own way of filling in, learned from the
days that it is judged on.

Settings were chosen on communities of other seeds, on the first half of the Californian year and on the first two weeks
after the substations' history; the table alone looks at what is judged here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from benchmarks.measure import Result, report, rounds_asked, significant
from benchmarks.real_series import DATA
from digital_twin.domain.assets import Battery
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.forecasting.pv import default_orientation
from digital_twin.forecasting.solar import rated_output
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.coverage import Mask
from digital_twin.macro_twin.model import TwinModel, prior_model
from digital_twin.macro_twin.rehearsal import calibrate_rehearsed
from digital_twin.macro_twin.state import advance, read_plant, start_state
from digital_twin.macro_twin.structure import LOAD, NET_LOAD, PV, STORAGE_SOC, slots_of
from digital_twin.simulation.home_batteries import follow_surplus
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, SyntheticCommunity

HISTORY_DAYS, JUDGED_DAYS = 42, 14
INVERTERS, BATTERIES = 0.2, 0.3
"""Parts that report."""

DRAWS = 3
EFFICIENCY = 0.95
VIENNA = Place(48.2, 16.4, "Europe/Vienna")
CITYLEARN, SUBSTATIONS = DATA / "citylearn2022", DATA / "openstef_grid" / "substations_15min.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class PlantedCommunity:
    """All that its meters would say; the energy is that at the start of each interval."""

    name: str
    site: Site
    grid: TimeGrid
    net_load_kw: Array  # (T,)
    pv_kw: Array  # (T, R)
    pv_capacity_kw: Array  # (R,)
    soc_kwh: Array  # (T, B)
    soc_capacity_kwh: Array  # (B,)
    storage_power_kw: float
    exchange_kw: Array  # (T,) what all batteries take

    @property
    def truth(self) -> Array:
        """In the order of `ESTIMATED`."""  # (T, 4)
        pv_kw = self.pv_kw.sum(axis=1)
        demand_kw = self.net_load_kw + pv_kw - self.exchange_kw
        return np.stack([demand_kw, pv_kw, self.net_load_kw, self.soc_kwh.sum(axis=1)], axis=1)

    def days(self, first: int, last: int) -> "PlantedCommunity":
        """These days of it."""
        a_day = 1440 // self.grid.step_minutes
        part = slice(first * a_day, last * a_day)
        grid = TimeGrid(self.grid.instant(part.start), part.stop - part.start, self.grid.step_minutes)
        cut = {name: getattr(self, name)[part] for name in ("net_load_kw", "pv_kw", "soc_kwh", "exchange_kw")}
        return replace(self, grid=grid, **cut)


def synthetic(seed: int, homes: int, month: int) -> PlantedCommunity:
    """Roofs and batteries of a recipe, eight weeks from the first of a month."""
    grid = TimeGrid(datetime(2025, month, 1, tzinfo=UTC), (HISTORY_DAYS + JUDGED_DAYS) * 96, 15)
    community = SyntheticCommunity(Recipe(homes, VIENNA, grid, seed))
    series = list(community.series())
    roofs, stored = [one for one in series if one.home.roof], [one for one in series if one.home.battery]
    batteries = [one.home.battery for one in stored if one.home.battery]
    return PlantedCommunity(
        name=f"{homes} synthetic homes, seed {seed}, {grid.start:%B} on",
        site=Site(VIENNA.latitude, VIENNA.longitude, VIENNA.timezone, homes, community.pv_capacity_kw),
        grid=grid,
        net_load_kw=np.sum([one.net_load_kw for one in series], axis=0),
        pv_kw=np.stack([one.pv_kw for one in roofs], axis=1),
        pv_capacity_kw=np.array([one.home.roof.photovoltaics.capacity_kw for one in roofs if one.home.roof]),
        soc_kwh=np.stack([one.soc_kwh for one in stored], axis=1),
        soc_capacity_kwh=np.array([battery.capacity_kwh for battery in batteries]),
        storage_power_kw=sum(battery.power_kw for battery in batteries),
        exchange_kw=np.sum([one.charge_kw - one.discharge_kw for one in stored], axis=0),
    )


def californian(first_day: int) -> PlantedCommunity:
    """17 metered homes with PV from a day of their year on; their batteries follow the surplus."""
    homes = pd.read_parquet(CITYLEARN / "buildings.parquet")
    frame = pd.read_parquet(CITYLEARN / "meters.parquet")
    pv_kw, load_kw = (
        frame.pivot(index="time", columns="building", values=name)["2016-08-01":].to_numpy(dtype=np.float64)
        for name in ("pv_kwh", "load_kwh")
    )
    days = len(pv_kw) // 24
    batteries = [
        Battery(kwh, kw, EFFICIENCY, EFFICIENCY)
        for kwh, kw in homes[["battery_kwh", "battery_kw"]].to_numpy(np.float64)
    ]
    followed = [
        follow_surplus(battery, pv_kw[:, home] - load_kw[:, home], 1.0) for home, battery in enumerate(batteries)
    ]
    exchange_kw = np.sum([charge - discharge for charge, discharge, _ in followed], axis=0)
    soc_kwh = np.stack([held for _, _, held in followed], axis=1)
    capacity_kw = homes.pv_kw.to_numpy(np.float64)
    whole = PlantedCommunity(
        name=f"17 homes in California, day {first_day + HISTORY_DAYS} on",
        site=Site(34.1, -117.4, "Etc/GMT+8", 17, float(capacity_kw.sum())),
        grid=TimeGrid(datetime(2016, 8, 1, 8, tzinfo=UTC), len(pv_kw), 60),
        net_load_kw=load_kw.sum(axis=1) - pv_kw.sum(axis=1) + exchange_kw,
        pv_kw=pv_kw,
        pv_capacity_kw=capacity_kw,
        soc_kwh=soc_kwh,
        soc_capacity_kwh=homes.battery_kwh.to_numpy(np.float64),
        storage_power_kw=float(homes.battery_kw.sum()),
        exchange_kw=exchange_kw,
    )
    return whole.days(first_day, min(first_day + HISTORY_DAYS + JUDGED_DAYS, days))


def dutch(first_day: int, judged_days: int) -> PlantedCommunity:
    """The solar parts of three Dutch substations without storage; that of a fourth runs at night and is left out."""
    frame = pd.read_parquet(SUBSTATIONS)
    parts = ("total_solar_part", "total_wind_part", "total_substation")
    tables = [frame.pivot(index="time_utc", columns="station", values=name)[["HFDP", "OWD", "WHF"]] for name in parts]
    solar, wind, whole_kw = (1e3 * one.to_numpy(dtype=np.float64) for one in tables)
    pv_kw, without_wind = np.maximum(-solar, 0.0), whole_kw - wind
    capacity_kw = pv_kw[: 45 * 96].max(axis=0)
    nothing = np.zeros((len(pv_kw), 0))
    whole = PlantedCommunity(
        name=f"3 Dutch substations, day {first_day + HISTORY_DAYS} on",
        site=Site(52.1, 5.3, "Europe/Amsterdam", 10_000, float(capacity_kw.sum())),
        grid=TimeGrid(datetime(2021, 7, 31, 0, 15, tzinfo=UTC), len(pv_kw), 15),
        net_load_kw=without_wind.sum(axis=1),
        pv_kw=pv_kw,
        pv_capacity_kw=capacity_kw,
        soc_kwh=nothing,
        soc_capacity_kwh=np.zeros(0),
        storage_power_kw=0.0,
        exchange_kw=np.zeros(len(pv_kw)),
    )
    return whole.days(first_day, first_day + HISTORY_DAYS + judged_days)


DEVELOP: tuple[Callable[[], PlantedCommunity], ...] = (
    lambda: synthetic(1, 60, 4),
    lambda: synthetic(2, 150, 7),
    lambda: synthetic(3, 150, 1),
    lambda: synthetic(4, 300, 9),
    lambda: californian(0),
    lambda: californian(56),
    lambda: californian(112),
    lambda: dutch(3, 15),
)
JUDGED: tuple[Callable[[], PlantedCommunity], ...] = (
    lambda: synthetic(11, 60, 5),
    lambda: synthetic(12, 150, 2),
    lambda: synthetic(13, 150, 6),
    lambda: synthetic(14, 300, 10),
    lambda: synthetic(15, 300, 7),
    lambda: californian(180),
    lambda: californian(236),
    lambda: californian(292),
    lambda: dutch(18, 32),
)


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Of the judged days, in the order of `ESTIMATED`."""

    mean: Array  # (T, 4)
    deviation: Array  # (T, 4)


def reporters(seed: int, units: int, part: float) -> Mask:
    """Who reports; at least one, where there is any."""  # (units,)
    chosen = np.zeros(units, dtype=np.bool_)
    chosen[np.random.default_rng(seed).permutation(units)[: max(1, round(part * units))]] = True
    return chosen


def twin_estimates(community: PlantedCommunity, roofs: Mask, batteries: Mask) -> Estimates:
    """By the twin: six weeks in which all report, and then those of the masks."""
    grid, first = community.grid, HISTORY_DAYS * 1440 // community.grid.step_minutes
    history = _readings(community, slice(0, first))
    model = calibrate_rehearsed(_prior(community), _metering(community), history)
    state = advance(start_state(model, grid.start), model, history).state
    shown = _silenced(_readings(community, slice(first, grid.steps)), roofs, batteries)
    track = advance(state, model, shown).track
    return Estimates(track.mean, track.deviation)


def floor(community: PlantedCommunity, roofs: Mask, batteries: Mask) -> Array:
    """Generation and energy filled in by what the judged days themselves tell, beside NaN."""  # (T, 4)
    first = HISTORY_DAYS * 1440 // community.grid.step_minutes
    judged = _readings(community, slice(first, community.grid.steps))
    model = calibrate(_prior(community), _metering(community), judged)
    shown = _silenced(judged, roofs, batteries)
    slot, _ = slots_of(judged.grid, community.site.timezone)
    hour = (slot * judged.grid.step_minutes // 60).astype(np.int64)
    filled = np.full(judged.own.shape, np.nan)
    filled[:, PV], filled[:, STORAGE_SOC] = (one.value for one in read_plant(model, shown, shown.own, hour))
    return filled


def _prior(community: PlantedCommunity) -> TwinModel:
    site, grid = community.site, community.grid
    plant = Plant(
        site.num_prosumers,
        float(community.pv_capacity_kw.sum()),
        float(community.soc_capacity_kwh.sum()),
        community.storage_power_kw,
        EFFICIENCY,
        EFFICIENCY,
        site.timezone,
    )
    week = TimeGrid(grid.start, 7 * 1440 // grid.step_minutes, grid.step_minutes)
    expected_kw = site.num_prosumers * standard_household_kw(local_clock(week, site.timezone))
    return prior_model(plant, week, expected_kw)


def _metering(community: PlantedCommunity) -> tuple[Metering, ...]:
    metering = [Metering()] * len(OBSERVED)
    metering[PV] = Metering(tuple(f"roof_{one}" for one in range(community.pv_capacity_kw.size)))
    metering[STORAGE_SOC] = Metering(tuple(f"battery_{one}" for one in range(community.soc_capacity_kwh.size)))
    return tuple(metering)


def _readings(community: PlantedCommunity, part: slice) -> TwinReadings:
    """All that is metered: the net load at the transformer, every roof and every battery."""
    grid = TimeGrid(community.grid.instant(part.start), part.stop - part.start, community.grid.step_minutes)
    own = np.full((grid.steps, len(OBSERVED)), np.nan)
    own[:, NET_LOAD] = community.net_load_kw[part]
    meters = [np.empty((grid.steps, 0))] * len(OBSERVED)
    meters[PV], meters[STORAGE_SOC] = (np.ascontiguousarray(one[part]) for one in (community.pv_kw, community.soc_kwh))
    site = community.site
    sky = rated_output(site, community.grid, default_orientation(site), {})[part]
    return TwinReadings(grid, own, tuple(meters), sky)


def _silenced(readings: TwinReadings, roofs: Mask, batteries: Mask) -> TwinReadings:
    meters = list(readings.meters)
    meters[PV] = np.where(roofs, meters[PV], np.nan)
    meters[STORAGE_SOC] = np.where(batteries, meters[STORAGE_SOC], np.nan)
    return replace(readings, meters=tuple(meters))


def scaled_up(community: PlantedCommunity, pv_parts: Array, soc_parts: Array, roofs: Mask, batteries: Mask) -> Array:
    """What the reporters show over their part of the whole, in the order of `ESTIMATED`."""  # (T, 4)
    pv_kw = community.pv_kw[:, roofs].sum(axis=1) * pv_parts.sum() / pv_parts[roofs].sum()
    soc_kwh = np.zeros(community.grid.steps)
    if batteries.any():
        soc_kwh = community.soc_kwh[:, batteries].sum(axis=1) * soc_parts.sum() / soc_parts[batteries].sum()
    change_kw = np.diff(soc_kwh, prepend=soc_kwh[:1]) / community.grid.step_hours
    taken_kw = np.where(change_kw > 0, change_kw / EFFICIENCY, change_kw * EFFICIENCY)
    demand_kw = community.net_load_kw + pv_kw - taken_kw
    first = HISTORY_DAYS * 1440 // community.grid.step_minutes
    return np.stack([demand_kw, pv_kw, community.net_load_kw, soc_kwh], axis=1)[first:]


QUANTITIES = (LOAD, PV, STORAGE_SOC)


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Errors of each quantity in the order of `QUANTITIES`, over all draws of who reports."""

    twin: Array  # (3,) root mean squares
    nameplate: Array  # (3,)
    share: Array  # (3,)
    floor: Array  # (3,) NaN for demand
    held: Array  # (3,) part of the truth inside the 95 % interval, where the interval is not a point


def score(community: PlantedCommunity, draws: int = DRAWS) -> Score:
    """Means over draws."""
    first = HISTORY_DAYS * 1440 // community.grid.step_minutes
    truth = community.truth[first:]
    of_history = community.pv_kw[:first].sum(axis=0), community.soc_kwh[:first].sum(axis=0)
    squares, held = np.zeros((4, 3)), np.zeros(3)
    for draw in range(draws):
        roofs = reporters(2 * draw, community.pv_capacity_kw.size, INVERTERS)
        batteries = reporters(2 * draw + 1, community.soc_capacity_kwh.size, BATTERIES)
        twin = twin_estimates(community, roofs, batteries)
        contestants = (
            twin.mean,
            scaled_up(community, community.pv_capacity_kw, community.soc_capacity_kwh, roofs, batteries),
            scaled_up(community, *of_history, roofs, batteries),
            floor(community, roofs, batteries),
        )
        for place, mean in enumerate(contestants):
            squares[place] += np.mean((mean - truth)[:, QUANTITIES] ** 2, axis=0) / draws
        unsure = twin.deviation > 1e-3 * np.abs(truth).mean(axis=0)
        inside = np.abs(twin.mean - truth) < 1.96 * twin.deviation
        held += [np.mean(inside[unsure[:, q], q]) / draws if unsure[:, q].any() else np.nan for q in QUANTITIES]
    twin_error, nameplate, share, lowest = np.sqrt(squares)
    return Score(twin_error, nameplate, share, lowest, held)


def table() -> Iterator[list[str]]:
    worst: list[Array] = []
    for make in JUDGED:
        try:
            community = make()
        except FileNotFoundError as error:
            print(f"skipped, {error.filename} is not there")
            continue
        found = score(community)
        has = np.array([not community.name.startswith("3 Dutch"), True, community.soc_capacity_kwh.size > 0])
        best = np.where(has, np.minimum(found.nameplate, found.share), np.nan)
        worst.append(found.twin / best)
        yield [
            community.name,
            *(_ratios(found.twin[q], found.nameplate[q], found.share[q]) if has[q] else "" for q in range(3)),
            " / ".join(significant(found.floor[q] / best[q], 2) if has[q] else "-" for q in (1, 2)),
            " / ".join(f"{100 * found.held[q]:.0f} %" if has[q] else "-" for q in range(3)),
        ]
    ratios = np.array(worst)
    middle, most = np.nanmedian(ratios, axis=0), np.nanmax(ratios, axis=0)
    yield [
        "against the better of the two ways: median and worst",
        *(f"{significant(middle[q], 2)}, {significant(most[q], 2)}" for q in range(3)),
        "",
        "",
    ]


def _ratios(twin: float, nameplate: float, share: float) -> str:
    return f"{significant(twin / nameplate, 2)} / {significant(twin / share, 2)}"


def main() -> None:
    rounds_asked((__doc__ or "").splitlines()[0], 1)
    columns = (
        "community", "demand: twin / scaling up by nameplate, by share", "generation", "stored energy",
        "floor: generation / energy", "95 % interval held: demand / generation / energy",
    )  # fmt: skip
    notes = [
        f"Root mean square errors over {DRAWS} draws of who reports: {INVERTERS:.0%} of the inverters and "
        f"{BATTERIES:.0%} of the batteries, at least one. Seeds of draws 0 to {2 * DRAWS - 1}.",
    ]
    report(Result("twin_plant", columns, list(table()), notes), "scripts/bench twin_plant")


if __name__ == "__main__":
    main()
