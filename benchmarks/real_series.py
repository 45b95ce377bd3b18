"""The real series that load forecasts are judged on, each cut into history, development and test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import History, Site
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.past_days import whole_days

DATA = Path(__file__).parents[2] / "shared" / "data"
MOST_FILLED = 8
JOULES_PER_HOUR = 3_600


@dataclass(frozen=True, slots=True, eq=False)
class RealSeries:
    """A load of one place; the last days are the test period, as many before them are for development."""

    name: str
    variable: str
    site: Site
    grid: TimeGrid
    values: Array  # (T,)
    test_days: int
    weather: Mapping[str, Array]  # each (T,), as it was foreseen; none where a set has none of its own time

    def task(self, period: str) -> TrainingTask:
        """All of it until the end of the period, whose days are the last `test_days`."""
        days = whole_days(self.grid, self.site.timezone)
        skipped = 0 if period == "test" else self.test_days
        end = self.grid.instant(int(days.last[-1 - skipped]))
        return TrainingTask(self.variable, self.site, History(self.grid, self.values, self.weather), end)


def all_series() -> list[RealSeries]:
    """Those whose data are there."""
    makers: dict[str, Callable[[Path], list[RealSeries]]] = {
        "citylearn2022": _citylearn,
        "openstef_grid": _openstef,
        "ch_households537": _swiss_households,
        "emhass_home": _emhass,
    }
    return [series for folder, make in makers.items() if (DATA / folder).is_dir() for series in make(DATA / folder)]


def _citylearn(folder: Path) -> list[RealSeries]:
    """17 homes in Fontana, California, on a clock that is kept through the year; its weather is of another year."""
    load = pd.read_parquet(folder / "meters.parquet").groupby("time").load_kwh.sum()
    site = Site(34.1, -117.4, "UTC", 17, 0.0)
    return [_whole_days("CityLearn, 17 homes", "load_kw", site, load, 60, 56)]


def _swiss_households(folder: Path) -> list[RealSeries]:
    """537 homes over seven weeks of winter time; net meters whose rare feed-in is noise here."""
    frame = pd.read_parquet(folder / "meters_15min_wide.parquet").set_index("time_local")
    load = frame.clip(lower=0).sum(axis=1) * 4
    site = Site(47.4, 8.5, "Etc/GMT-1", 537, 0.0)
    load.index -= pd.Timedelta(hours=1)
    return [_whole_days("Switzerland, 537 homes", "load_kw", site, load, 15, 10)]


def _emhass(folder: Path) -> list[RealSeries]:
    """One home in France."""
    frame = pd.read_parquet(folder / "home_30min.parquet").set_index("time_utc")
    return [_whole_days("EMHASS, one home", "load_kw", Site(45, 6, "Europe/Paris", 1, 0.0), frame.load_w / 1e3, 30, 56)]


def _openstef(folder: Path) -> list[RealSeries]:
    """Four Dutch feeders in MW with generation behind them, by the hour, with the weather that was forecast."""
    frame = pd.read_parquet(folder / "feeders_15min.parquet")
    site = Site(52.1, 5.3, "Europe/Amsterdam", 1_000, 0.0, "NL")
    found: list[RealSeries] = []
    for pid, part in frame.groupby("pid"):
        hourly = part.set_index("time_utc").astype(np.float64).resample("60min").mean()
        one = _whole_days(f"OpenSTEF feeder {pid}", "net_load_kw", site, hourly.load, 60, 28)
        weather = {
            "temperature_c": hourly.temp,
            "ghi_wm2": hourly.radiation / JOULES_PER_HOUR,
            "wind_speed_ms": hourly.windspeed_100m,
        }
        found.append(replace(one, weather={name: _beside(one.grid, column) for name, column in weather.items()}))
    return found


def _beside(grid: TimeGrid, column: "pd.Series[float]") -> Array:
    """A column on the grid of the load, short gaps filled."""
    index = pd.DatetimeIndex(grid.starts).tz_localize("UTC")
    return column.reindex(index).interpolate(limit=MOST_FILLED).to_numpy(dtype=np.float64)


def _whole_days(
    name: str, variable: str, site: Site, series: "pd.Series[float]", step_minutes: int, test_days: int
) -> RealSeries:
    """The series on a regular grid that ends at a local midnight; NaN where nothing was measured."""
    index = pd.DatetimeIndex(series.index)
    index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    regular = series.set_axis(index).asfreq(f"{step_minutes}min")
    first = regular.first_valid_index()
    end = (regular.index[-1] + pd.Timedelta(minutes=step_minutes)).tz_convert(site.timezone).normalize()
    regular = regular[first : (end - pd.Timedelta(minutes=step_minutes)).tz_convert("UTC")]
    grid = TimeGrid(first.to_pydatetime(), len(regular), step_minutes)
    return RealSeries(name, variable, site, grid, regular.to_numpy(dtype=np.float64), test_days, {})
