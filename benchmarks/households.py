"""What tells how believable homes are: figures of many homes' quarter-hours, and how far two sets of homes differ."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.heat_pumps import Heating
from digital_twin.simulation.homes import Habits
from digital_twin.simulation.place import Place
from digital_twin.simulation.sky import Sky, moving_sky
from digital_twin.simulation.streams import Purpose, stream
from digital_twin.simulation.synthetic import Recipe, Shares

HOUSEHOLDS = Path(__file__).parents[2] / "shared" / "data" / "ch_households537"
PLACE = Place(47.4, 8.5, "Europe/Zurich")
GRID = TimeGrid(datetime(2018, 10, 28, 23, tzinfo=UTC), 49 * 96, 15)
"""29 October to 16 December, all of it winter time."""

SWISS = Recipe(
    260,
    PLACE,
    GRID,
    1,
    Shares(pv=0.0, battery=0.0, vehicle=0.0, heat_pump=0.71),
    Habits(
        liveliness=1.85,
        liveliness_spread=0.97,
        standby_kw=0.066,
        standby_spread=1.4,
        boiler=0.98,
        night_heating=0.125,
    ),
    Heating(locked=0.39, loss=1.41, loss_spread=0.38),
)
"""The homes of a survey about heating by electricity; chosen by `benchmarks/synthetic_fit.py` on half of them."""

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
LAGS = {"15 min": 1, "1 h": 4, "24 h": 96, "168 h": 672}
GROUPS = (2, 5, 10, 20, 50, 100, 200)
DRAWS = 40
LARGEST_KW, LEAST_MEAN_KW = 60.0, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """Quantiles over homes of what each shows (rows LEVELS), and what they show together."""

    quantiles: dict[str, Array]  # of means, peaks, ratios: compared by their logarithm
    correlations: dict[str, Array]  # after each of LAGS
    coincidence: Array  # (G,) peak of the sum of n homes over the sum of their peaks, n of GROUPS
    shape: Array  # (48,) mean of homes, each in units of its own mean: hours of workdays, of weekends
    duration: Array  # (20,) load over mean, highest first, median of homes


def metered_homes() -> Array:
    """Homes that are all there, neither feed in nor are as large as a firm."""  # (N, T) kW
    energies = pd.read_parquet(HOUSEHOLDS / "meters_15min_wide.parquet").drop(columns="time_local")
    load_kw = 4 * energies.to_numpy(dtype=np.float64).T
    is_whole = np.isfinite(load_kw).all(axis=1) & (load_kw >= -0.01).all(axis=1)
    return load_kw[is_whole & (load_kw.max(axis=1) < LARGEST_KW) & (load_kw.mean(axis=1) > LEAST_MEAN_KW)]


def halves(load_kw: Array) -> tuple[Array, Array]:
    """Every other home: those that parameters are chosen on, and those that they are tested on."""
    return load_kw[::2], load_kw[1::2]


def measured_sky() -> Sky:
    """A drawn sky with the temperatures of those weeks; two have gaps of unknown place and are stretched."""
    measured = pd.read_parquet(HOUSEHOLDS / "weather_hourly_unstamped.parquet", columns=["TEMP", "WEEK"])
    hours = np.arange(168) / 168
    weeks = [
        np.interp(hours, np.arange(len(week)) / len(week), (week.TEMP.to_numpy() - 32) / 1.8)
        for number, week in measured.groupby("WEEK")
        if number != 43  # a single hour
    ]
    drawn = moving_sky(stream(0, Purpose.SKY), GRID, PLACE)
    return replace(drawn, temperature_c=np.repeat(np.concatenate(weeks), 4))


def figures(load_kw: Array) -> Figures:
    """Of homes over whole weeks of quarter-hours from a Monday on."""
    mean, peak = load_kw.mean(axis=1), load_kw.max(axis=1)
    by_day = load_kw.reshape(len(load_kw), -1, 96)
    days = by_day.mean(axis=2)
    seen = {
        "energy, kWh a week": 168 * mean,
        "peak, kW": peak,
        "load factor": mean / peak,
        "deviation / mean": load_kw.std(axis=1) / mean,
        "deviation of days / mean": days.std(axis=1) / mean,
    }
    hours = (by_day / mean[:, None, None]).reshape(len(load_kw), -1, 24, 4).mean(axis=(0, 3))
    is_weekend = np.arange(len(hours)) % 7 >= 5
    levels = 1 - (np.arange(20) + 0.5) / 20
    return Figures(
        {name: np.quantile(values, LEVELS) for name, values in seen.items()},
        {name: np.quantile(_correlation_after(lag, load_kw), LEVELS) for name, lag in LAGS.items()},
        np.array([coincidence(load_kw, group) for group in GROUPS if group < len(load_kw)]),
        np.concatenate([hours[~is_weekend].mean(axis=0), hours[is_weekend].mean(axis=0)]),
        np.median(np.quantile(load_kw, levels, axis=1) / mean, axis=1),
    )


def differences(found: Figures, real: Figures) -> Iterator[tuple[str, float]]:
    """How far each figure is from the real one: typical factor less one, or typical distance."""
    for name, values in real.quantiles.items():
        yield name, float(np.expm1(np.abs(np.log(found.quantiles[name] / values)).mean()))
    for name, values in real.correlations.items():
        yield f"correlation after {name}", float(np.abs(found.correlations[name] - values).mean())
    groups = min(len(found.coincidence), len(real.coincidence))
    coincidence = found.coincidence[:groups] / real.coincidence[:groups]
    yield "coincidence of peaks", float(np.expm1(np.abs(np.log(coincidence)).mean()))
    yield "shape of the day", float(np.abs(found.shape - real.shape).mean())
    yield "duration curve", float(np.abs(found.duration - real.duration).mean())


def _correlation_after(steps: int, load_kw: Array) -> Array:
    """Of each home."""  # (N,)
    from_mean = load_kw - load_kw.mean(axis=1, keepdims=True)
    return (from_mean[:, :-steps] * from_mean[:, steps:]).mean(axis=1) / from_mean.var(axis=1)


def coincidence(load_kw: Array, group: int) -> float:
    """Peak of the sum of so many homes over the sum of their peaks, in the mean of random groups."""
    generator = np.random.default_rng(group)
    some = (generator.choice(len(load_kw), group, replace=False) for _ in range(DRAWS))
    return float(np.mean([load_kw[homes].sum(axis=0).max() / load_kw[homes].max(axis=1).sum() for homes in some]))
