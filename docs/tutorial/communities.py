"""The two communities of the tutorial: what a manager would enter, and their meters as files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

ROOFS_AND_BATTERIES: dict[str, Any] = {
    "community_id": "sierra_crest",
    "name": "Sierra Crest",
    "timezone": "America/Los_Angeles",
    "currency": "USD",
    "latitude": 34.1,
    "longitude": -117.5,
    "num_prosumers": 17,
    "total_pv_capacity_kw": 75.0,
    "total_storage_capacity_kwh": 108.8,
    "max_storage_power_kw": 85.0,
    "grid_import_limit_kw": 100.0,
    "grid_export_limit_kw": 60.0,
    "incentive_budget_daily": 5.0,
    "tariff": {
        "import_price": {
            "kind": "time_of_use",
            "default_per_kwh": 0.22,
            "windows": [{"per_kwh": 0.54, "start_hour": 16, "end_hour": 21}],
        },
        "export_price": {"kind": "flat", "per_kwh": 0.08},
    },
}

HOMES_WITH_NET_METERS: dict[str, Any] = {
    "community_id": "swiss_homes",
    "name": "537 Swiss homes",
    "timezone": "Europe/Zurich",
    "currency": "CHF",
    "latitude": 47.0,
    "longitude": 7.5,
    "num_prosumers": 537,
    "total_pv_capacity_kw": 0.0,
    "total_storage_capacity_kwh": 1000.0,
    "max_storage_power_kw": 400.0,
    "grid_import_limit_kw": 3000.0,
    "grid_export_limit_kw": 1000.0,
    "incentive_budget_daily": 100.0,
    "tariff": {
        "import_price": {
            "kind": "time_of_use",
            "default_per_kwh": 0.27,
            "windows": [{"per_kwh": 0.19, "start_hour": 22, "end_hour": 6}],
        },
        "export_price": {"kind": "flat", "per_kwh": 0.10},
    },
}

SUN_AND_STORAGE = [
    {
        "scenario_id": "more_sun",
        "name": "Half as much PV again",
        "parameter_changes": {"total_pv_capacity_kw": {"multiply": 1.5}},
        "economics": {"investment": 75_000, "lifetime_years": 25, "discount_rate": 0.03},
    },
    {
        "scenario_id": "more_storage",
        "name": "Twice the storage",
        "parameter_changes": {
            "total_storage_capacity_kwh": {"multiply": 2},
            "max_storage_power_kw": {"multiply": 2},
        },
        "economics": {"investment": 45_000, "lifetime_years": 15, "discount_rate": 0.03},
    },
]
FIRST_ROOFS = [
    {
        "scenario_id": "first_roofs",
        "name": "1,000 kW of PV",
        "parameter_changes": {"total_pv_capacity_kw": {"add": 1000}},
        "economics": {"investment": 1_100_000, "lifetime_years": 25, "discount_rate": 0.03},
    },
    {
        "scenario_id": "roofs_alone",
        "name": "The same without a battery",
        "parameter_changes": {
            "total_pv_capacity_kw": {"add": 1000},
            "total_storage_capacity_kwh": 0,
            "max_storage_power_kw": 0,
        },
        "economics": {"investment": 1_100_000, "lifetime_years": 25, "discount_rate": 0.03},
    },
]
WHAT_ENERGY_COSTS = [0.15] * 6 + [0.20] * 11 + [0.32] * 4 + [0.20] + [0.15] * 2


@dataclass(frozen=True, slots=True, eq=False)
class Community:
    """A community with the day on which the tutorial visits it."""

    fields: dict[str, Any]
    day: datetime  # its local midnight
    files: Callable[[Path, Path, datetime], dict[str, Path]]
    options: tuple[str, ...]  # of `digital-twin import`
    table: Callable[[Path], pd.DataFrame]  # of all homes
    sums_kw: Callable[[pd.DataFrame], pd.DataFrame]  # over the homes of a table, by instants of UTC
    demand: str  # the series that is known: load_kw or net_load_kw
    reporting: int
    scenarios: list[dict[str, Any]]
    marginal_cost_per_kwh: list[float] | None = None  # by the hours of the day

    @property
    def id(self) -> str:
        return str(self.fields["community_id"])

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.fields["timezone"])

    @property
    def tomorrow(self) -> datetime:
        return self.day + timedelta(days=1)


def _table_of_homes(data: Path) -> pd.DataFrame:
    return pd.read_parquet(data / "citylearn2022" / "meters.parquet")


def _files_of_rows(data: Path, folder: Path, day: datetime) -> dict[str, Path]:
    """Until the day; of the day what the first nine homes told at once; and what the others told later."""
    frame = _table_of_homes(data)
    frame = frame[frame["time"] < "2017-07-31"]  # the last day is not whole
    utc = (frame["time"] + pd.Timedelta(hours=8)).dt.tz_localize("UTC")
    today = (utc >= day) & (utc < day + timedelta(days=1))
    first = frame["building"] <= 9
    return _written(
        folder,
        "sierra_crest",
        {"history": frame[utc < day], "today": frame[today & first], "late": frame[today & ~first]},
    )


def _sums_of_rows(table: pd.DataFrame) -> pd.DataFrame:
    frame = table.groupby("time")[["load_kwh", "pv_kwh"]].sum()
    frame.index = (pd.DatetimeIndex(frame.index) + pd.Timedelta(hours=8)).tz_localize("UTC")
    frame.columns = ["load_kw", "pv_kw"]
    return frame.assign(net_load_kw=frame["load_kw"] - frame["pv_kw"])


def _wide_table(data: Path) -> pd.DataFrame:
    return pd.read_parquet(data / "ch_households537" / "meters_15min_wide.parquet")


def _files_of_columns(data: Path, folder: Path, day: datetime) -> dict[str, Path]:
    frame = _wide_table(data)
    local = frame["time_local"]
    midnight = pd.Timestamp(day).tz_localize(None)
    today = frame[(local >= midnight) & (local < midnight + pd.Timedelta(days=1))]
    homes = list(frame.columns[1:])
    first, others = homes[:215], homes[215:]
    return _written(
        folder,
        "swiss_homes",
        {"history": frame[local < midnight], "today": today[["time_local", *first]],
         "late": today[["time_local", *others]]},
    )  # fmt: skip


def _sums_of_columns(frame: pd.DataFrame) -> pd.DataFrame:
    index = pd.DatetimeIndex(frame["time_local"]).tz_localize("Europe/Zurich").tz_convert("UTC")
    net = frame.drop(columns="time_local").clip(lower=-5.0).sum(axis=1) * 4  # one value of -36 kWh is a glitch
    return pd.DataFrame({"net_load_kw": net.to_numpy()}, index=index)


def _written(folder: Path, name: str, frames: dict[str, pd.DataFrame]) -> dict[str, Path]:
    found = {part: folder / f"{name}_{part}.parquet" for part in frames}
    for part, path in found.items():
        frames[part].to_parquet(path, index=False)
    return found


SIERRA_CREST = Community(
    ROOFS_AND_BATTERIES,
    datetime(2017, 7, 25, tzinfo=ZoneInfo("America/Los_Angeles")),
    _files_of_rows,
    ("--timezone", "Etc/GMT+8", "--label", "start"),
    _table_of_homes,
    _sums_of_rows,
    "load_kw",
    9,
    SUN_AND_STORAGE,
)
SWISS_HOMES = Community(
    HOMES_WITH_NET_METERS,
    datetime(2018, 12, 4, tzinfo=ZoneInfo("Europe/Zurich")),
    _files_of_columns,
    ("--series", "net_load_kw", "--unit", "kWh"),
    _wide_table,
    _sums_of_columns,
    "net_load_kw",
    215,
    FIRST_ROOFS,
    WHAT_ENERGY_COSTS,
)
COMMUNITIES = (SIERRA_CREST, SWISS_HOMES)
