"""The same truth in the many forms in which meter files come."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

WATTS = {"kW": 1.0, "W": 1e3, "MW": 1e-3}
WATT_HOURS = {"kWh": 1.0, "Wh": 1e3, "MWh": 1e-3}


@dataclass(frozen=True)
class Truth:
    """Mean powers of members on a grid."""

    grid: TimeGrid
    load_kw: dict[str, Array]  # member: (T,)


def truth(start: datetime, days: int, step_minutes: int, members: int, seed: int = 0) -> Truth:
    """Loads in whole watt-quarters, so that every unit can carry them."""
    grid = TimeGrid(start, days * 1440 // step_minutes, step_minutes)
    random = np.random.default_rng(seed)
    loads = {f"home_{number}": random.integers(1, 5_000, grid.steps) / 1e3 for number in range(1, members + 1)}
    return Truth(grid, loads)


def in_unit(load_kw: Array, unit: str, step_hours: float) -> Array:
    return load_kw * WATTS[unit] if unit in WATTS else load_kw * WATT_HOURS[unit] * step_hours


def stamps(grid: TimeGrid, zone: str, label: str) -> pd.Series:
    """The stamps on the wall clock of a zone, without saying which zone."""
    shift = timedelta(minutes=grid.step_minutes if label == "end" else 0)
    utc = pd.Series(pd.to_datetime(grid.starts, utc=True)) + shift
    return utc.dt.tz_convert(zone).dt.tz_localize(None)


def wide(truth: Truth, times: pd.Series, unit: str) -> pd.DataFrame:
    loads = {member: in_unit(load, unit, truth.grid.step_hours) for member, load in truth.load_kw.items()}
    return pd.DataFrame({"time": times, **loads})


def long(truth: Truth, times: pd.Series, unit: str) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"member_id": member, "time": times, f"load [{unit}]": in_unit(load, unit, truth.grid.step_hours)})
        for member, load in truth.load_kw.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _german(table: pd.DataFrame, path: Path) -> None:
    dotted = table.assign(time=table["time"].dt.strftime("%d.%m.%Y %H:%M"))
    dotted.to_csv(path.with_suffix(".csv"), sep=";", decimal=",", index=False, encoding="utf-8-sig")


def _american(table: pd.DataFrame, path: Path) -> None:
    slashed = table.assign(time=table["time"].dt.strftime("%m/%d/%Y %I:%M %p"))
    slashed.to_csv(path.with_suffix(".csv"), index=False)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda table, path: table.to_csv(path.with_suffix(".csv"), index=False),
    "german csv": _german,
    "american csv": _american,
    "tsv": lambda table, path: table.to_csv(path.with_suffix(".tsv"), sep="\t", index=False),
    "parquet": lambda table, path: table.to_parquet(path.with_suffix(".parquet")),
    "xlsx": lambda table, path: table.to_excel(path.with_suffix(".xlsx"), index=False),
}


def write(table: pd.DataFrame, form: str, folder: Path) -> Path:
    """The file that holds the table in that form."""
    path = folder / "meters"
    WRITERS[form](table, path)
    return next(one for one in folder.iterdir() if one.stem == "meters")
