"""What the macro twin expects of a community whose own series is complete: one step ahead, and a day ahead.

Each series is cut into learn, develop and test; the table looks at test alone, and nothing was chosen on it. The twin
is calibrated anew every week on the nine weeks before, as the product does, and predicts every step, and the 24 hours
that follow every sixth one, from nothing that was measured later. Beside it in the same run: the last value, the
seasonal naives of a day and a week, and the ridge forecaster of `forecasting/`, refitted for every forecast. Where a
temperature was measured it stands in for its forecast, for the twin and for the ridge alike.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from benchmarks.measure import Result, report
from benchmarks.real_series import DATA
from benchmarks.twin_data import MeteredCommunity, californian_homes, swiss_homes
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting import ForecastTask, History, Site
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.felt import feel
from digital_twin.macro_twin.model import TwinModel, prior_model
from digital_twin.macro_twin.prediction import predict_ahead
from digital_twin.macro_twin.state import TwinState, advance, start_state
from digital_twin.macro_twin.structure import LOAD, NET_LOAD

WINDOW_DAYS, REFIT_DAYS, ORIGIN_HOURS, RIDGE_DAYS = 63, 7, 6, 400
SURE = 1.96
TEMPERATURE = "temperature_c"


@dataclass(frozen=True, slots=True, eq=False)
class CommunitySeries:
    """A community's own series, whole, with the temperature where it was measured."""

    name: str
    quantity: int
    homes: int
    timezone: str
    grid: TimeGrid
    values_kw: Array  # (T,)
    temperature_c: Array | None  # (T,)
    learn_days: int
    develop_days: int

    @property
    def a_day(self) -> int:
        return 1440 // self.grid.step_minutes

    def part(self, name: str) -> slice:
        """The steps of `develop` or `test`."""
        learned = self.learn_days * self.a_day
        developed = learned + self.develop_days * self.a_day
        return slice(learned, developed) if name == "develop" else slice(developed, self.grid.steps)

    def span(self, first: int, last: int) -> TimeGrid:
        return TimeGrid(self.grid.instant(first), last - first, self.grid.step_minutes)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Of the steps of a part, and of the day after each origin in it."""

    one: Array  # (T, 2) mean and deviation one step ahead
    origins: np.ndarray[tuple[int], np.dtype[np.int64]]  # (O,) steps
    day: Array  # (O, a day, 2)


def whole_homes(community: MeteredCommunity) -> CommunitySeries:
    """The sum of all homes."""
    return CommunitySeries(
        community.name, LOAD, community.load_kw.shape[1], community.timezone, community.grid,
        community.load_kw.sum(axis=1), None, community.learn_days, community.develop_days,
    )  # fmt: skip


def feeders() -> list[CommunitySeries]:
    """Four Dutch feeders, net of what is generated behind them."""
    frame = pd.read_parquet(
        DATA / "openstef_grid" / "feeders_15min.parquet", columns=["pid", "time_utc", "load", "temp"]
    )
    return [_dutch(f"feeder {pid}", part.set_index("time_utc"), "load", "temp") for pid, part in frame.groupby("pid")]


def substations() -> list[CommunitySeries]:
    """Nine Dutch substations with much wind and sun behind them; a tenth is never in use. Labels are interval ends."""
    frame = pd.read_parquet(
        DATA / "openstef_grid" / "substations_15min.parquet", columns=["station", "time_utc", "total_substation"]
    )
    frame["time_utc"] -= pd.Timedelta(minutes=15)
    return [
        _dutch(f"substation {name}", part.set_index("time_utc"), "total_substation", None)
        for name, part in frame.groupby("station")
        if part.total_substation.abs().max() > 0.1
    ]


def _dutch(name: str, frame: pd.DataFrame, column: str, temperature: str | None) -> CommunitySeries:
    regular = frame.asfreq("15min")
    local = pd.DatetimeIndex(regular.index).tz_convert("Europe/Amsterdam")
    midnight = int(np.flatnonzero((local.hour == 0) & (local.minute == 0))[0])
    grid = TimeGrid(local.to_pydatetime()[midnight], len(regular) - midnight, 15)
    outside = None if temperature is None else np.asarray(regular[temperature], dtype=np.float64)[midnight:]
    values_kw = 1_000 * np.asarray(regular[column], dtype=np.float64)[midnight:]
    return CommunitySeries(name, NET_LOAD, 5_000, "Europe/Amsterdam", grid, values_kw, outside, 45, 15)


def utility(*, with_temperature: bool) -> CommunitySeries:
    """A utility's load (GEFCom2014) from 2008 on, with the mean of 25 weather stations or without. Labels are ends."""
    frame = pd.read_parquet(DATA / "gefcom2014_load" / "load_temperature.parquet")
    frame = frame.set_index(frame.time - pd.Timedelta(hours=1))["2008":]
    temperature_c = (frame[[f"w{station}" for station in range(1, 26)]].mean(axis=1).to_numpy() - 32) / 1.8
    return CommunitySeries(
        f"GEFCom2014 {'with' if with_temperature else 'without'} temperature", LOAD, 150_000, "Etc/GMT+5",
        TimeGrid(datetime(2008, 1, 1, 5, tzinfo=UTC), len(frame), 60),
        1_000 * frame.load_mw.to_numpy(dtype=np.float64), temperature_c if with_temperature else None, 366, 365,
    )  # fmt: skip


def one_home() -> CommunitySeries:
    """A home (EMHASS), for what it is worth: the twin is made for many."""
    frame = pd.read_parquet(DATA / "emhass_home" / "home_30min.parquet")
    load = frame.set_index(pd.DatetimeIndex(frame.time_utc)).load_w.asfreq("30min")["2024-02-28 23:00":] / 1_000
    grid = TimeGrid(load.index[0].to_pydatetime(), len(load), 30)
    return CommunitySeries("one home (EMHASS)", LOAD, 1, "Europe/Paris", grid, load.to_numpy(np.float64), None, 60, 60)


def all_series() -> list[CommunitySeries]:
    """Those whose data are there."""
    makers: dict[str, Callable[[], list[CommunitySeries]]] = {
        "ch_households537": lambda: [whole_homes(swiss_homes())],
        "citylearn2022": lambda: [whole_homes(californian_homes())],
        "gefcom2014_load": lambda: [utility(with_temperature=True), utility(with_temperature=False)],
        "openstef_grid": lambda: [*feeders(), *substations()],
        "emhass_home": lambda: [one_home()],
    }
    return [one for folder, make in makers.items() if (DATA / folder).is_dir() for one in make()]


def predict(series: CommunitySeries, part: slice) -> Predictions:
    """By the twin, calibrated anew every week."""
    every = ORIGIN_HOURS * 60 // series.grid.step_minutes
    origins = np.arange(part.start, part.stop - series.a_day + 1, every)
    one, day = np.full((part.stop - part.start, 2), np.nan), np.full((origins.size, series.a_day, 2), np.nan)
    for first in range(part.start, part.stop, REFIT_DAYS * series.a_day):
        begin, last = max(0, first - WINDOW_DAYS * series.a_day), min(first + REFIT_DAYS * series.a_day, part.stop)
        model = calibrated(series, begin, first)
        state = advance(start_state(model, series.grid.instant(begin)), model, readings(series, begin, first)).state
        for step in range(first, last):
            if (step - part.start) % every == 0 and step + series.a_day <= part.stop:
                day[(step - part.start) // every] = ahead(series, model, state, step, series.a_day)
            one[step - part.start] = ahead(series, model, state, step, 1)[0]
            state = advance(state, model, readings(series, step, step + 1)).state
    return Predictions(one, origins, day)


def calibrated(series: CommunitySeries, first: int, last: int) -> TwinModel:
    plant = Plant(series.homes, 0.0, 0.0, 0.0, 0.95, 0.95, series.timezone)
    week = TimeGrid(series.grid.instant(first), 7 * series.a_day, series.grid.step_minutes)
    expected_kw = series.homes * standard_household_kw(local_clock(week, plant.timezone))
    return calibrate(
        prior_model(plant, week, expected_kw), (Metering(),) * len(OBSERVED), readings(series, first, last)
    )


def readings(series: CommunitySeries, first: int, last: int) -> TwinReadings:
    own = np.full((last - first, len(OBSERVED)), np.nan)
    own[:, series.quantity] = series.values_kw[first:last]
    outside = None if series.temperature_c is None else series.temperature_c[first:last]
    nobody = (np.empty((last - first, 0)),) * len(OBSERVED)
    return TwinReadings(series.span(first, last), own, nobody, np.zeros(last - first), outside)


def ahead(series: CommunitySeries, model: TwinModel, state: TwinState, first: int, steps: int) -> Array:
    """Mean and deviation of the next steps."""  # (steps, 2)
    grid = series.span(first, first + steps)
    outside = None if series.temperature_c is None else series.temperature_c[first : first + steps]
    felt_c = feel(outside, steps, before_c=state.felt_c, step_hours=grid.step_hours)
    predicted = predict_ahead(state, model, model.outlook(grid, np.zeros(steps), felt_c))
    return np.column_stack([predicted.mean[:, series.quantity], predicted.deviation[:, series.quantity]])


def ridge(series: CommunitySeries, origins: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    """Its forecasts of the day after each origin."""  # (O, a day)
    site = Site(50.0, 5.0, series.timezone, series.homes, 0.0)
    found = np.empty((origins.size, series.a_day))
    outside = series.temperature_c
    for row, origin in enumerate(origins.tolist()):
        first, last = max(0, origin - RIDGE_DAYS * series.a_day), origin + series.a_day
        known = {} if outside is None else {TEMPERATURE: outside[first:origin]}
        ahead = None if outside is None else {TEMPERATURE: outside[origin:last]}
        past = History(series.span(first, origin), series.values_kw[first:origin], known)
        target = series.span(origin, last)
        task = ForecastTask(OBSERVED[series.quantity], target, target.start, site, past, ahead)
        found[row] = make_forecast(task, model="ridge", levels=(0.5,)).mean
    return found


@dataclass(frozen=True, slots=True)
class Scores:
    """Ratios of root mean square errors, and consistency; of four quarters the least and the greatest."""

    one: float
    one_peer: str
    day: float
    ridge: float
    nis: tuple[float, float, float]
    covered: tuple[float, float, float]
    covered_day: tuple[float, float, float]


def judge(series: CommunitySeries, part: slice, every_ridge: int) -> Scores:
    values, a_day = series.values_kw, series.a_day
    found = predict(series, part)
    truth = values[part]
    peers = {"last value": 1, "day": a_day, "week": 7 * a_day}
    errors = {name: rms(truth - values[part.start - lag : part.stop - lag]) for name, lag in peers.items()}
    best = min(errors, key=lambda name: errors[name])
    steps = found.origins[:, None] + np.arange(a_day)
    ahead = values[steps]
    seasonal = min(rms(ahead - values[steps - a_day]), rms(ahead - values[steps - 7 * a_day]))
    some = slice(None, None, every_ridge)
    of_ridge = rms(ahead[some] - ridge(series, found.origins[some]))
    surprise = (truth - found.one[:, 0]) / found.one[:, 1]
    surprise_day = (ahead - found.day[:, :, 0]) / found.day[:, :, 1]
    return Scores(
        one=rms(truth - found.one[:, 0]) / errors[best],
        one_peer=best,
        day=rms(ahead - found.day[:, :, 0]) / seasonal,
        ridge=rms(ahead[some] - found.day[some, :, 0]) / of_ridge,
        nis=by_quarter(surprise**2),
        covered=by_quarter(np.where(np.isfinite(surprise), np.abs(surprise) < SURE, np.nan)),
        covered_day=by_quarter(np.where(np.isfinite(surprise_day), np.abs(surprise_day) < SURE, np.nan)),
    )


def rms(errors: Array) -> float:
    return float(np.sqrt(np.nanmean(errors**2)))


def by_quarter(values: Array) -> tuple[float, float, float]:
    """The mean, and the least and the greatest mean of a quarter."""
    quarters = [float(np.nanmean(one)) for one in np.array_split(values, 4)]
    return float(np.nanmean(values)), min(quarters), max(quarters)


def row_of(series: CommunitySeries, scores: Scores) -> list[str]:
    def span(three: tuple[float, float, float], digits: int, factor: float = 1.0) -> str:
        mean, low, high = (f"{factor * one:.{digits}f}" for one in three)
        return f"{mean} ({low} to {high})"

    return [
        series.name,
        f"{scores.one:.3f} ({scores.one_peer})",
        f"{scores.day:.3f}",
        f"{scores.ridge:.3f}",
        span(scores.nis, 2),
        span(scores.covered, 1, 100),
        span(scores.covered_day, 1, 100),
    ]


COLUMNS = (
    "series",
    "one step: RMSE / best of three",
    "24 h: / best seasonal naive",
    "24 h: / ridge",
    "NIS (quarters)",
    "95 % held: one step",
    "24 h",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--part", choices=("develop", "test"), default="test")
    parser.add_argument("--only", nargs="*", default=[], help="words of the names of the series wanted")
    parser.add_argument("--every-ridge", type=int, default=1, help="ask the ridge at every so many origins")
    given = parser.parse_args()
    rows: list[list[str]] = []
    for series in all_series():
        if given.only and not any(word.lower() in series.name.lower() for word in given.only):
            continue
        rows.append(row_of(series, judge(series, series.part(given.part), given.every_ridge)))
        print(" | ".join(rows[-1]), flush=True)
    if rows and given.part == "test" and not given.only:
        report(Result("twin_prediction", COLUMNS, rows), "scripts/bench twin_prediction")


if __name__ == "__main__":
    main()
