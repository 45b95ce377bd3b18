"""How well sample paths of net load hang together on real homes, against paths whose errors know nothing of each other.

A forecast of load and one of generation are issued at each local midnight; how their errors hang together is learned
from the earlier days of the period alone. Everyone has the same marginal distributions; only their connection differs.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from benchmarks.measure import Result, report, significant, take_turns
from benchmarks.real_series import DATA
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import Forecast, ForecastTask, History, Site
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.dependence import FADING_HOURS, TYPICAL, Dependence, learn_dependence, normal_scores
from digital_twin.forecasting.net_load import combine_net_load
from digital_twin.forecasting.paths import sample_paths
from digital_twin.forecasting.scores import pinball_loss

HISTORY_DAYS = 120
TEST_DAYS = 56
FIRST_JUDGED = 14
PATHS = 200
LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
RESAMPLES = 2_000
INDEPENDENT = Dependence(np.eye(2) * (np.arange(len(FADING_HOURS)) == 0)[:, None, None])
APART = "typical, load and generation apart"
LEARNED = "learned from earlier days"
CONTESTANTS = ("independent", APART, LEARNED)


@dataclass(frozen=True, slots=True, eq=False)
class Home:
    """Load and generation of the same place."""

    name: str
    site: Site
    grid: TimeGrid
    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)


@dataclass(frozen=True, slots=True, eq=False)
class IssuedDay:
    """What was forecast for a day, and what came."""

    load: Forecast
    pv: Forecast
    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)


def homes() -> list[Home]:
    """Those whose data are there."""
    found: list[Home] = []
    if (folder := DATA / "citylearn2022").is_dir():
        frame = pd.read_parquet(folder / "meters.parquet").groupby("time")[["load_kwh", "pv_kwh"]].sum()
        capacity_kw = float(pd.read_parquet(folder / "buildings.parquet").pv_kw.sum())
        frame.index = pd.DatetimeIndex(frame.index).tz_localize("Etc/GMT+8").tz_convert("UTC")
        site = Site(34.1, -117.4, "Etc/GMT+8", 17, capacity_kw)
        found.append(_whole_days("CityLearn, 17 homes", site, frame.load_kwh, frame.pv_kwh, 60))
    if (folder := DATA / "emhass_home").is_dir():
        frame = pd.read_parquet(folder / "home_30min.parquet").set_index("time_utc") / 1_000
        site = Site(45.0, 6.0, "Europe/Paris", 1, float(frame.pv_w.max()))
        found.append(_whole_days("emhass, one home", site, frame.load_w, frame.pv_w.fillna(0.0), 30))
    return found


def _whole_days(name: str, site: Site, load: "pd.Series[float]", pv: "pd.Series[float]", step_minutes: int) -> Home:
    """Both on one grid that starts and ends at a local midnight."""
    frame = pd.DataFrame({"load": load, "pv": pv}).asfreq(f"{step_minutes}min")
    local = pd.DatetimeIndex(frame.index).tz_convert(site.timezone)
    frame = frame[(local >= local[0].ceil("D")) & (local < local[-1].floor("D"))]
    start = frame.index[0].to_pydatetime()
    values = frame.to_numpy(dtype=np.float64).T
    return Home(name, site, TimeGrid(start, len(frame), step_minutes), *values)


def issue(home: Home, period: str) -> list[IssuedDay]:
    """A forecast at each local midnight of the period for the 24 hours that follow."""
    a_day = 1440 // home.grid.step_minutes
    skipped = 0 if period == "test" else TEST_DAYS
    issued: list[IssuedDay] = []
    for back in range(TEST_DAYS + skipped, skipped, -1):
        origin = home.grid.steps - back * a_day
        first = max(0, origin - HISTORY_DAYS * a_day)
        past = TimeGrid(home.grid.instant(first), origin - first, home.grid.step_minutes)
        target = TimeGrid(home.grid.instant(origin), a_day, home.grid.step_minutes)
        day = slice(origin, origin + a_day)
        made = [
            make_forecast(
                ForecastTask(name, target, target.start, home.site, History(past, values[first:origin], {}), None),
                model=model,
                levels=LEVELS,
            )
            for name, values, model in (
                ("load_kw", home.load_kw, "ridge_conformal"),
                ("pv_kw", home.pv_kw, "pvwatts"),
            )
        ]
        if np.isfinite(home.load_kw[day]).all() and np.isfinite(home.pv_kw[day]).all():
            issued.append(IssuedDay(made[0], made[1], home.load_kw[day], home.pv_kw[day]))
    return issued


def learned_from(days: list[IssuedDay]) -> Dependence:
    """How the errors of these days hung together."""
    load = np.stack([normal_scores(day.load_kw, day.load.quantiles, LEVELS) for day in days])
    pv = np.stack([normal_scores(day.pv_kw, day.pv.quantiles, LEVELS) for day in days])
    return learn_dependence(load, pv, days[0].load.grid.step_hours)


def judge(day: IssuedDay, dependence: Dependence, seed: int) -> tuple[float, ...]:
    """Pinball loss of net load; of its paths energy score, variogram score and error of the day's energy (CRPS); how
    much of the net load fell inside 90 %, and whether energy and peak did."""
    paths = sample_paths(day.load, day.pv, count=PATHS, dependence=dependence, seed=seed)
    together = combine_net_load(day.load, day.pv, dependence=dependence)
    net, actual = paths.net_load_kw, day.load_kw - day.pv_kw
    steps = day.load.grid.step_hours
    energy, energy_now = steps * net.sum(axis=1), steps * actual.sum()
    peak, peak_now = net.max(axis=1), actual.max()
    low, high = together.interval(0.9)
    return (
        pinball_loss(actual, together.quantiles, LEVELS),
        energy_score(net, actual),
        variogram_score(net, actual),
        energy_score(energy[:, None], np.array([energy_now])),
        float(((low <= actual) & (actual <= high)).mean()),
        float(np.quantile(energy, 0.05) <= energy_now <= np.quantile(energy, 0.95)),
        float(np.quantile(peak, 0.05) <= peak_now <= np.quantile(peak, 0.95)),
    )


def energy_score(paths: Array, actual: Array) -> float:
    """Gneiting and Raftery (2007), equation 22; of one dimension it is the CRPS."""
    apart = np.linalg.norm(paths[:, None] - paths[None], axis=2).sum() / (len(paths) * (len(paths) - 1))
    return float(np.linalg.norm(paths - actual, axis=1).mean() - apart / 2)


def variogram_score(paths: Array, actual: Array) -> float:
    """Scheuerer and Hamill (2015), of order 1/2, every pair of intervals alike."""
    expected = np.sqrt(np.abs(paths[:, :, None] - paths[:, None, :])).mean(axis=0)
    return float(((np.sqrt(np.abs(actual[:, None] - actual[None])) - expected) ** 2).mean())


def rows_of(home: Home, period: str) -> list[list[str]]:
    days = issue(home, period)
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in CONTESTANTS}
    for place in range(FIRST_JUDGED, len(days)):
        day = days[place]
        ways = (INDEPENDENT, TYPICAL, learned_from(days[:place]))
        for name, dependence in zip(CONTESTANTS, ways, strict=True):
            scores[name].append(judge(day, dependence, place))
    table = {name: np.array(found) for name, found in scores.items()}
    rows: list[list[str]] = []
    for name, found in table.items():
        ratios = [_ratio(found[:, column], table["independent"][:, column]) for column in range(4)]
        inside = [significant(100 * found[:, column].mean()) for column in (4, 5, 6)]
        rows.append([home.name, name, f"{len(found)}", *ratios, *inside])
    return rows


def _ratio(loss: Array, reference: Array) -> str:
    days = np.random.default_rng(0).integers(0, loss.size, (RESAMPLES, loss.size))
    low, high = np.quantile(loss[days].mean(axis=1) / reference[days].mean(axis=1), (0.05, 0.95))
    return f"{loss.mean() / reference.mean():.3f} ({low:.3f} to {high:.3f})"


def cpu_milliseconds(steps: int, count: int) -> float:
    """Of so many paths of quarter-hours, the median of some runs."""
    grid = TimeGrid(datetime(2026, 3, 2, tzinfo=UTC), steps, 15)
    quantiles = np.tile(10 + np.asarray(LEVELS), (steps, 1))
    load, pv = (
        Forecast(name, grid, grid.start, np.full(steps, 10.5), LEVELS, quantiles, "x") for name in ("load_kw", "pv_kw")
    )
    timings = take_turns(
        {"paths": lambda seed: sample_paths(load, pv, count=count, seed=seed + 1)}, rounds=20, clock=time.process_time
    )
    return 1e3 * timings.of("paths").median


def main() -> None:
    parser = argparse.ArgumentParser(description="Sample paths on real homes against independent errors.")
    parser.add_argument("--period", choices=("test", "development"), default="test")
    given = parser.parse_args()
    rows = [row for home in homes() for row in rows_of(home, given.period)]
    columns = (
        "homes",
        "errors hang together as",
        "days",
        "pinball of net load",
        "energy score",
        "variogram score",
        "CRPS of the day's energy",
        "net load inside 90 %",
        "day's energy inside 90 %",
        "peak inside 90 %",
    )
    note = (
        "Scores are ratios to those of independent errors, with the 90 % interval of resampled days. 500 paths of "
        f"quarter-hours take {cpu_milliseconds(96, 500):.0f} ms of CPU for a day, "
        f"{cpu_milliseconds(192, 500):.0f} ms for two."
    )
    if not rows:
        print("skipped: no data in ../shared/data")
    elif given.period == "test":
        report(Result("paths", columns, rows, (note,)), "scripts/bench paths")
    else:
        for row in rows:
            print(" | ".join(row))


if __name__ == "__main__":
    main()
