"""The plants that forecasts of generation are judged on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import ForecastTask, History, Site
from digital_twin.forecasting.pv_faults import solar_days

DATA = Path(__file__).parents[2] / "shared" / "data"
DARK_DAY = 0.02
_GOLDEN = Site(39.7406, -105.1775, "Etc/GMT+7", 1, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class PlantSeries:
    """Hours of a plant from one solar midnight on; a forecast is issued at each midnight of the period."""

    name: str
    site: Site
    grid: TimeGrid
    values: Array  # (T,) NaN where nothing was measured
    weather: Mapping[str, Array]  # each (T,), of the very hours; empty where there is none

    @property
    def capacity_kw(self) -> float:
        """The one that scores are told in: the highest output but for outliers."""
        return float(np.nanquantile(self.values, 0.999))

    def history(self, first: int, end: int) -> History:
        grid = TimeGrid(self.grid.instant(first), end - first, self.grid.step_minutes)
        return History(grid, self.values[first:end], {name: one[first:end] for name, one in self.weather.items()})

    def task(self, first: int, end: int, origin: int) -> ForecastTask:
        """The day from `origin` on, asked with readings from `first` until `end`."""
        day = TimeGrid(self.grid.instant(origin), 24, 60)
        future = {name: one[origin : origin + 24] for name, one in self.weather.items()}
        return ForecastTask("pv_kw", day, day.start, self.site, self.history(first, end), future)

    def place_of(self, day: datetime) -> int:
        return round((day - self.grid.start).total_seconds() / 3_600)

    def counted(self) -> Array:
        """Which hours count: not those of days that generated nearly nothing, such as under snow."""  # (T,)
        day = solar_days(self.site, self.grid)
        made = np.bincount(day - day[0], weights=np.nan_to_num(self.values))
        return np.isfinite(self.values) & (made >= DARK_DAY * np.quantile(made, 0.9))[day - day[0]]


def pvdaq(capacity_until: datetime) -> PlantSeries | None:
    """One roof in Golden, Colorado; its capacity is the highest output until then.

    The satellite tells irradiance at instants, of which the mean of an hour is made by the trapezoid rule.
    """
    folder = DATA / "pvdaq_system50"
    if not folder.is_dir():
        return None
    frame = pd.read_parquet(folder / "ac_power_15min.parquet").set_index("time").ac_power_w.tz_convert("UTC") / 1_000
    hours = frame.resample("h").mean().where(frame.resample("h").count() == 4).clip(lower=0)
    sky = pd.read_parquet(folder / "nsrdb_psm3_30min.parquet").set_index("time").tz_convert("UTC")
    hours = hours[: sky.index[-1]]
    means = ((sky + 2 * sky.shift(-1) + sky.shift(-2)) / 4).ffill().reindex(hours.index)
    grid = TimeGrid(hours.index[0].to_pydatetime().astimezone(UTC), len(hours), 60)
    known_kw = hours[: pd.Timestamp(capacity_until) - pd.Timedelta(hours=1)]
    site = Site(_GOLDEN.latitude, _GOLDEN.longitude, _GOLDEN.timezone, 1, float(known_kw.max()))
    weather = {"ghi_wm2": means.ghi.to_numpy(np.float64), "temperature_c": means.temp_air.to_numpy(np.float64)}
    return PlantSeries("PVDAQ system 50", site, grid, hours.to_numpy(np.float64), weather)


def citylearn() -> PlantSeries | None:
    """17 homes in Fontana, California, on a clock that is kept through the year; its weather is of another year."""
    folder = DATA / "citylearn2022"
    if not folder.is_dir():
        return None
    hours = pd.read_parquet(folder / "meters.parquet").groupby("time").pv_kwh.sum()
    index = pd.DatetimeIndex(hours.index)
    hours = hours.set_axis((index if index.tz is None else index.tz_localize(None)) + pd.Timedelta(hours=8)).asfreq("h")
    capacity_kw = float(pd.read_parquet(folder / "buildings.parquet").pv_kw.sum())
    grid = TimeGrid(hours.index[0].to_pydatetime().replace(tzinfo=UTC), len(hours), 60)
    site = Site(34.1, -117.4, "Etc/GMT+8", 17, capacity_kw)
    return PlantSeries("CityLearn, 17 homes", site, grid, hours.to_numpy(np.float64), {})
