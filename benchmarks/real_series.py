"""The real series that forecasts are judged on, each cut into history, development and test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import Site

DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True, eq=False)
class RealSeries:
    """A variable of one place; the last days are the test period, as many before them are for development."""

    name: str
    variable: str
    site: Site
    grid: TimeGrid
    values: Array  # (T,)
    test_days: int

    def origins(self, period: str) -> list[int]:
        """The intervals at which forecasts are issued: each local midnight of the period, for the day that follows."""
        zone = ZoneInfo(self.site.timezone)
        last_day = self.grid.end.astimezone(zone).date()
        skipped = 0 if period == "test" else self.test_days
        found: list[int] = []
        for back in range(self.test_days + skipped, skipped, -1):
            day = last_day - timedelta(days=back)
            midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
            found.append(round((midnight - self.grid.start).total_seconds() / 60 / self.grid.step_minutes))
        return found


def all_series() -> list[RealSeries]:
    """Those whose data are there."""
    makers: dict[str, Callable[[Path], list[RealSeries]]] = {
        "gefcom2014_load": _gefcom,
        "citylearn2022": _citylearn,
        "ch_households537": _swiss_households,
        "openstef_grid": _openstef,
        "pvdaq_system50": _pvdaq,
    }
    return [series for folder, make in makers.items() if (DATA / folder).is_dir() for series in make(DATA / folder)]


def _gefcom(folder: Path) -> list[RealSeries]:
    """A utility's hourly load; labels are the hour's end. No zone is told and no clock change is in it: read as UTC."""
    frame = pd.read_parquet(folder / "load_temperature.parquet", columns=["time", "load_mw"]).dropna()
    load = pd.Series(frame.load_mw.to_numpy(), frame.time - pd.Timedelta(hours=1))
    site = Site(42.4, -71.1, "UTC", 1_000, 0.0)
    return [_whole_days("GEFCom2014 load", "load_kw", site, load["2008":], 60, 56)]


def _citylearn(folder: Path) -> list[RealSeries]:
    """17 homes in Fontana, California, on a clock that is kept through the year."""
    frame = pd.read_parquet(folder / "meters.parquet").groupby("time")[["load_kwh", "pv_kwh"]].sum()
    capacity_kw = float(pd.read_parquet(folder / "buildings.parquet").pv_kw.sum())
    site = Site(34.1, -117.4, "UTC", 17, capacity_kw)
    load = _whole_days("CityLearn, load of 17 homes", "load_kw", site, frame.load_kwh, 60, 56)
    there = replace(site, timezone="Etc/GMT+8")
    generation = frame.pv_kwh.set_axis(frame.index + pd.Timedelta(hours=8))
    return [load, _whole_days("CityLearn, PV of 17 homes", "pv_kw", there, generation, 60, 56)]


def _swiss_households(folder: Path) -> list[RealSeries]:
    """537 homes over seven weeks of winter time; net meters whose rare feed-in is noise here."""
    frame = pd.read_parquet(folder / "meters_15min_wide.parquet").set_index("time_local")
    load = frame.clip(lower=0).sum(axis=1) * 4
    site = Site(47.4, 8.5, "Etc/GMT-1", 537, 0.0)
    load.index -= pd.Timedelta(hours=1)
    return [_whole_days("Swiss homes, load of 537", "load_kw", site, load, 15, 10)]


def _openstef(folder: Path) -> list[RealSeries]:
    """Four Dutch feeders in MW with generation behind them: net load."""
    frame = pd.read_parquet(folder / "feeders_15min.parquet", columns=["pid", "time_utc", "load"])
    site = Site(52.1, 5.3, "Europe/Amsterdam", 1_000, 0.0)
    return [
        _whole_days(f"OpenSTEF feeder {pid}", "net_load_kw", site, part.set_index("time_utc").load, 15, 28)
        for pid, part in frame.groupby("pid")
    ]


def _pvdaq(folder: Path) -> list[RealSeries]:
    """One roof in Golden, Colorado."""
    frame = pd.read_parquet(folder / "ac_power_15min.parquet")
    power = pd.Series(frame.ac_power_w.to_numpy() / 1_000, frame.time)
    site = Site(39.74, -105.18, "Etc/GMT+7", 1, float(np.nanmax(power[:"2012"])))
    return [_whole_days("PVDAQ system 50", "pv_kw", site, power["2012":], 15, 90)]


def _whole_days(
    name: str, variable: str, site: Site, series: pd.Series, step_minutes: int, test_days: int
) -> RealSeries:
    """The series on a regular grid that ends at a local midnight; NaN where nothing was measured."""
    index = pd.DatetimeIndex(series.index)
    index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    regular = series.set_axis(index).asfreq(f"{step_minutes}min")
    first = regular.first_valid_index()
    end = (regular.last_valid_index() + pd.Timedelta(minutes=step_minutes)).tz_convert(site.timezone).normalize()
    regular = regular[first : (end - pd.Timedelta(minutes=step_minutes)).tz_convert("UTC")]
    grid = TimeGrid(first.to_pydatetime(), len(regular), step_minutes)
    return RealSeries(name, variable, site, grid, regular.to_numpy(dtype=np.float64), test_days)
