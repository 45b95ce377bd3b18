"""How believable synthetic homes and skies are beside measured ones, and how fast communities of them are made."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pvlib

from benchmarks.households import (
    GRID,
    HOUSEHOLDS,
    PLACE,
    SWISS,
    coincidence,
    differences,
    figures,
    halves,
    measured_sky,
    metered_homes,
)
from benchmarks.measure import Result, milliseconds, report, rounds_asked, significant, take_turns
from benchmarks.skies import CHOSEN_ON, GOLDEN, TESTED_ON, drawn_share, measured_share, sky_differences
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import HomeSeries, Recipe, SyntheticCommunity

VIENNA = Place(48.2, 16.4, "Europe/Vienna")
YEAR = TimeGrid(datetime(2025, 1, 1, tzinfo=UTC), 35_040, 15)
HOMES, MANY = 40, 10_000
TEST_SEED = 7
CURVE = (2, 5, 10, 20, 50, 100, 200, 500)
COLUMNS = ("synthetic", "ours", "peer", "chance, or floor", "ours / chance, or floor")


def believable_homes() -> Iterator[list[str]]:
    """The half of the homes that nothing was chosen on: against ours, the standard profile, and the other half."""
    others, tested = halves(metered_homes())
    real = figures(tested)
    profile = standard_household_kw(local_clock(GRID, PLACE.timezone))
    scaled = others.mean(axis=1)[:, None] * profile / profile.mean()
    recipe = replace(SWISS, homes=len(tested), seed=TEST_SEED)
    made = np.stack([home.load_kw for home in SyntheticCommunity(recipe, measured_sky()).series()])
    found = [dict(differences(figures(load_kw), real)) for load_kw in (made, scaled, others)]
    yield from _rows("homes", *found)


def coincidence_text() -> str:
    """The curves of all metered homes and of as many synthetic ones, and the law of Rusck (1956) that fits each."""
    real = metered_homes()
    recipe = replace(SWISS, homes=len(real), seed=TEST_SEED)
    made = np.stack([home.load_kw for home in SyntheticCommunity(recipe, measured_sky()).series()])
    curves = [np.array([coincidence(load_kw, group) for group in CURVE]) for load_kw in (real, made)]
    texts = [", ".join(f"{one:.2f}" for one in curve) for curve in curves]
    limits = [rusck_limit(np.array(CURVE), curve) for curve in curves]
    groups = ", ".join(map(str, CURVE))
    return (
        f"Coincidence of the peaks of {groups} homes: measured {texts[0]}; synthetic {texts[1]}. "
        f"By g + (1 - g) / sqrt(n) (Rusck 1956) g is {limits[0]:.2f} and {limits[1]:.2f}."
    )


def rusck_limit(groups: Array, curve: Array) -> float:
    """Least squares for the coincidence of very many homes."""
    root = 1 / np.sqrt(groups)
    return float(((curve - root) @ (1 - root)) / ((1 - root) @ (1 - root)))


def believable_sky() -> Iterator[list[str]]:
    """The year that nothing was chosen on: against ours, the other years in random order, and the other years."""
    real, others = measured_share(TESTED_ON), measured_share(*CHOSEN_ON)
    shuffled = others.copy()
    shuffled[np.isfinite(others)] = np.random.default_rng(1).permutation(others[np.isfinite(others)])
    yield from _rows("sky", *(sky_differences(share, real) for share in (drawn_share(TEST_SEED), shuffled, others)))


def _rows(what: str, ours: dict[str, float], peer: dict[str, float], chance: dict[str, float]) -> Iterator[list[str]]:
    for name, one in ours.items():
        texts = [significant(of[name]) for of in (ours, peer, chance)]
        yield [f"{what}: {name}", *texts, significant(one / chance[name], 2)]


def speed(rounds: int) -> Iterator[list[str]]:
    """Processor time per home and year of quarters."""
    recipe = Recipe(HOMES, VIENNA, YEAR, 1)
    community = SyntheticCommunity(recipe)
    values = sum(np.count_nonzero(_filled(home)) for home in community.series()) * YEAR.steps

    def ours(number: int) -> float:
        made = SyntheticCommunity(replace(recipe, seed=number + 1), community.sky).series()
        return float(sum(home.net_load_kw.sum() for home in made))

    def naive(number: int) -> float:
        return float(sum(naive_home_kw((number + 1) * HOMES + home, community).sum() for home in range(HOMES // 20)))

    def floor(number: int) -> float:
        return float(np.random.default_rng(number + 1).standard_normal(values, dtype=np.float32).sum())

    contestants: dict[str, Callable[[int], object]] = {"ours": ours, "naive": naive, "floor": floor}
    timings = take_turns(contestants, rounds=rounds, clock=time.process_time)
    per_home = {"ours": HOMES, "naive": HOMES // 20, "floor": HOMES}
    cells = {name: timings.of(name) for name in contestants}
    scaled = {
        name: milliseconds(replace(one, low=one.low / per_home[name], median=one.median / per_home[name],
                                   high=one.high / per_home[name]))
        for name, one in cells.items()
    }  # fmt: skip
    yield [
        "ms a home and year",
        scaled["ours"],
        scaled["naive"],
        scaled["floor"],
        timings.ratio("ours", "floor").text(),
    ]


def _filled(home: HomeSeries) -> list[bool]:
    """Which of a home's series hold something."""
    has = home.home
    return [True, bool(has.vehicle), bool(has.heating), bool(has.roof), *3 * [bool(has.battery)]]


def naive_home_kw(seed: int, community: SyntheticCommunity) -> Array:
    """A home as one writes it first: appliances minute by minute, resampled by pandas, and PV by pvlib."""
    generator = np.random.default_rng(seed)
    minutes = 15 * YEAR.steps
    index = pd.date_range(YEAR.start, periods=minutes, freq="min")
    awake = np.where((index.hour >= 6) & (index.hour < 23), 1.3, 0.2)
    power = np.full(minutes, 0.1)
    for kw, lasts, a_day in ((0.15, 150, 3.2), (1.9, 5, 2.8), (1.6, 14, 0.6), (2.1, 26, 0.35), (2.3, 50, 0.2)):
        starts = generator.random(minutes) < awake * a_day / 1440
        running = np.cumsum(starts) - np.cumsum(np.concatenate([np.zeros(lasts, bool), starts[:-lasts]]))
        power += kw * (running > 0)
    load_kw = pd.Series(power, index).resample("15min").mean().to_numpy()
    sky = community.sky
    sun = pvlib.solarposition.get_solarposition(pd.DatetimeIndex(YEAR.starts, tz="UTC"), 48.2, 16.4)
    plane = pvlib.irradiance.get_total_irradiance(
        30, 180, sun["apparent_zenith"], sun["azimuth"], sky.dni_wm2, sky.ghi_wm2, sky.dhi_wm2
    )["poa_global"]
    cell_c = pvlib.temperature.faiman(plane, sky.temperature_c, sky.wind_speed_ms)
    return load_kw - np.asarray(pvlib.pvsystem.pvwatts_dc(plane, cell_c, 5.0, -0.004)).clip(0)


def whole_community() -> None:
    """Go through ten thousand homes' year in a process of its own; print processor seconds and peak memory."""
    started = time.process_time()
    total_kwh = sum(home.net_load_kw.sum() for home in SyntheticCommunity(Recipe(MANY, VIENNA, YEAR, 1)).series()) / 4
    seconds, kilobytes = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, kilobytes, total_kwh)


def measured_community() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.synthetic", "--whole-community"], capture_output=True, text=True, check=True
    )
    seconds, kilobytes, total_kwh = map(float, done.stdout.split())
    return (
        f"{MANY:,} homes, a year of quarters of an hour, one after the other: {significant(seconds)} core-seconds, "
        f"{significant(kilobytes / 2**20)} GiB at the peak, {significant(total_kwh / MANY)} kWh net a home."
    )


def main() -> None:
    if "--whole-community" in sys.argv:
        whole_community()
        return
    rounds = rounds_asked(__doc__ or "", 5)
    rows: list[list[str]] = []
    notes: list[str] = []
    if HOUSEHOLDS.exists():
        rows += believable_homes()
        notes.append(coincidence_text())
    if GOLDEN.exists():
        rows += believable_sky()
    rows += speed(rounds)
    notes += [measured_community(), "The clock is the processor's."]
    report(Result("synthetic", COLUMNS, rows, notes), "scripts/bench synthetic")


if __name__ == "__main__":
    main()
