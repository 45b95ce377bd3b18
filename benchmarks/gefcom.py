"""How good a forecast of a whole month is: the load track of the Global Energy Forecasting Competition 2014.

Task t is month t - 3 of 2011, issued as the month begins, without any weather forecast; its score is the mean pinball
loss over 99 quantiles, beside the official leaderboard's. Temperature is told by 25 stations; which of them count is
chosen from what lies before each month. Choices of models and constants are made on 2009 and 2010.

Source: Hong, Pinson, Fan, Zareipour, Troccoli and Hyndman (2016), International Journal of Forecasting 32; the
stations: Hong, Wang and White (2015), Weather station selection for electric load forecasting, the same 31.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from benchmarks.measure import Result, report, significant
from benchmarks.real_series import DATA
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import ForecastTask, History, Site
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.naive import seasonal_naive
from digital_twin.forecasting.past_years import season_columns
from digital_twin.forecasting.scenarios import scenarios
from digital_twin.forecasting.scores import coverage, pinball_loss

FOLDER = DATA / "gefcom2014_load"
SITE = Site(42.4, -71.1, "UTC", 1_000, 0.0, "US")
"""No zone is told and no clock change is in the data: read as UTC."""

LEVELS = tuple((np.arange(1, 100) / 100).tolist())
RANKS = (1, 2, 3, 5, 10)
JUDGED_HOURS = range(1, 24, 3)
MOST_STATIONS = 12
LEAST_GAIN = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Load and the temperature of every station, hour by hour."""

    start: datetime
    load: Array  # (T,) NaN until the end of 2004
    stations_c: Array  # (T, W)

    def until(self, month: datetime) -> int:
        """How many hours lie before it."""
        return round((month - self.start).total_seconds() / 3600)


@dataclass(frozen=True, slots=True)
class Scored:
    """One month."""

    month: datetime
    loss: float
    naive_loss: float
    inside: float
    seconds: tuple[float, float, float]  # CPU of choosing stations, of the fit, of the forecast


def read_track() -> Track:
    """Labels are the hour's end."""
    frame = pd.read_parquet(FOLDER / "load_temperature.parquet")
    start = (frame.time.iloc[0] - pd.Timedelta(hours=1)).to_pydatetime().replace(tzinfo=UTC)
    stations = frame[[name for name in frame if name.startswith("w")]].to_numpy(dtype=np.float64)
    return Track(start, frame.load_mw.to_numpy(dtype=np.float64), (stations - 32) / 1.8)


def choose_stations(load: Array, stations_c: Array) -> list[int]:
    """Stations whose mean temperature explains the load best, one after the other; one may be taken twice."""
    days = load.size // 24
    table = load.reshape(days, 24)
    day = np.arange(days)
    known = np.isfinite(table).all(axis=1)
    calendar = np.column_stack([day[:, None] % 7 == np.arange(7), season_columns(day, 2), day / 365.25])[known]
    hourly = stations_c.reshape(days, 24, -1)
    yesterday = np.concatenate([hourly[:1], hourly[:-1]]).mean(axis=1)
    chosen: list[int] = []
    best = np.inf
    while len(chosen) < MOST_STATIONS:
        errors = np.empty(hourly.shape[2])
        for station in range(errors.size):
            now, before = hourly[known][:, :, [*chosen, station]].mean(axis=2), yesterday[known][:, [*chosen, station]]
            errors[station] = _unexplained(table[known], calendar, now, before.mean(axis=1))
        if errors.min() > (1 - LEAST_GAIN) * best:
            break
        best = float(errors.min())
        chosen.append(int(errors.argmin()))
    return chosen


def _unexplained(table: Array, calendar: Array, now_c: Array, yesterday_c: Array) -> float:
    """The error of cubic temperature and calendar, over some hours of the day."""
    total = 0.0
    for hour in JUDGED_HOURS:
        bent = [
            ((temperature - 15) / 10) ** power for temperature in (now_c[:, hour], yesterday_c) for power in (1, 2, 3)
        ]
        columns = np.column_stack([calendar, *bent])
        gram = columns.T @ columns + 1e-6 * np.eye(columns.shape[1])
        total += float(((table[:, hour] - columns @ np.linalg.solve(gram, columns.T @ table[:, hour])) ** 2).sum())
    return total**0.5


def judge(track: Track, month: datetime) -> Scored:
    """A forecast of the month from what was known as it began."""
    known, end = track.until(month), track.until(_next_month(month))
    clock = [time.process_time()]
    stations = choose_stations(track.load[:known], track.stations_c[:known])
    temperature_c = track.stations_c[:known, stations].mean(axis=1)
    history = History(TimeGrid(track.start, known, 60), track.load[:known], {"temperature_c": temperature_c})
    clock.append(time.process_time())
    fitted = scenarios.fit(TrainingTask("load_kw", SITE, history, month))
    clock.append(time.process_time())
    task = ForecastTask("load_kw", TimeGrid(month, end - known, 60), month, SITE, history, None)
    made = fitted.predict(task, LEVELS)
    clock.append(time.process_time())
    actual = track.load[known:end]
    naive = seasonal_naive.fit(TrainingTask("load_kw", SITE, history, month)).predict(task, LEVELS)
    return Scored(
        month,
        pinball_loss(actual, made.quantiles, LEVELS),
        pinball_loss(actual, naive.quantiles, LEVELS),
        coverage(actual, made.quantiles[:, 4], made.quantiles[:, 94]),
        tuple(np.diff(clock)),
    )


def _next_month(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def official() -> "pd.DataFrame":
    """Losses by task (rows) and rank (columns)."""
    return pd.read_csv(FOLDER / "leaderboard_top20_by_task.csv", index_col=0)


def rows_of(scored: list[Scored]) -> list[list[str]]:
    board = official()[[str(rank) for rank in RANKS]]
    losses = np.array([[one.loss, one.naive_loss, *board.loc[one.month.month + 3]] for one in scored])
    rows: list[list[str]] = []
    for one, found in zip(scored, losses, strict=True):
        label = f"{one.month.month + 3} ({one.month:%B %Y})"
        rows.append([label, *(significant(value) for value in found), significant(100 * one.inside)])
    mean = [significant(value) for value in losses.mean(axis=0)]
    rows.append(["mean", *mean, significant(100 * float(np.mean([one.inside for one in scored])))])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Months ahead on the load track of GEFCom2014.")
    parser.add_argument(
        "--years", type=int, nargs="*", default=[], help="whole years of development instead of the tasks"
    )
    given = parser.parse_args()
    if not FOLDER.is_dir():
        print("skipped: no data in ../shared/data")
        return
    track = read_track()
    if given.years:
        months = [datetime(year, month, 1, tzinfo=UTC) for year in given.years for month in range(1, 13)]
        scored = [judge(track, month) for month in months]
        for one in scored:
            print(f"{one.month:%Y-%m}  {one.loss:.3f}  naive {one.naive_loss:.3f}  inside 90 % {100 * one.inside:.0f}")
        print(f"mean {np.mean([one.loss for one in scored]):.3f}", np.median([one.seconds for one in scored], axis=0))
        return
    scored = [judge(track, datetime(2011, month, 1, tzinfo=UTC)) for month in range(1, 7)]
    columns = ("task", "ours", "seasonal naive", *(f"rank {rank} of the task" for rank in RANKS), "inside 90 %")
    station, fit, forecast = np.median([one.seconds for one in scored], axis=0)
    note = (
        f"CPU seconds of a month, median: {station:.1f} to choose the stations, {fit:.1f} for the fit, "
        f"{forecast:.1f} for the forecast."
    )
    report(Result("gefcom", columns, rows_of(scored), (note,)), "scripts/bench gefcom")


if __name__ == "__main__":
    main()
