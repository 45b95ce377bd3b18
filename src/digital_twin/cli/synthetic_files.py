"""A synthetic community as a folder of Parquet files: who is there, what they have, what their meters say."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from digital_twin.cli.registration import asset_document
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.sky import Sky
from digital_twin.simulation.synthetic import HomeSeries, SyntheticCommunity

_TIME = pa.timestamp("ms", "UTC")
_SERIES = pa.float64()
_READINGS = ("load_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")
_DEVICES = ("vehicle_kw", "heat_pump_kw", "charge_kw", "discharge_kw")
_WEATHER = ("temperature_c", "ghi_wm2", "dni_wm2", "dhi_wm2", "wind_speed_ms")
_FILES: dict[str, tuple[str, Any]] = {
    "members": ("who is there", {"member_id": pa.string()}),
    "assets": ("what they have", {"asset_id": pa.string(), "member_id": pa.string(), "kind": pa.string()}),
    "readings": (
        "what their meters say",
        {"time": _TIME, "member_id": pa.string()} | dict.fromkeys(_READINGS, _SERIES),
    ),
    "devices": (
        "what their devices take and give",
        {"time": _TIME, "member_id": pa.string()} | dict.fromkeys(_DEVICES, _SERIES),
    ),
    "sessions": (
        "when vehicles were plugged in",
        {"member_id": pa.string(), "arrival": _TIME, "departure": _TIME, "energy_kwh": _SERIES},
    ),
    "weather": ("the sky above them", {"time": _TIME} | dict.fromkeys(_WEATHER, _SERIES)),
}
_NUMBERS_OF_ASSETS = (
    "capacity_kw", "tilt_degrees", "azimuth_degrees", "capacity_kwh", "power_kw", "charge_efficiency",
    "discharge_efficiency", "minimum_power_kw", "electric_power_kw", "heat_capacity_kwh_per_c", "heat_loss_kw_per_c",
    "nominal_cop",
)  # fmt: skip


class Folder:
    """Files that grow home by home, a row group each, so that memory holds one home."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._paths = {name: path / f"{name}.parquet" for name in _FILES}
        self._writers = {
            name: pq.ParquetWriter(file, _schema(name), compression="zstd") for name, file in self._paths.items()
        }
        self._rows = dict.fromkeys(_FILES, 0)

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the files; those of a community that was not finished go away."""
        for name, writer in self._writers.items():
            writer.close()
            if kind is not None:
                self._paths[name].unlink()

    def contents(self) -> Iterator[tuple[str, str, int]]:
        """Each file, what it holds, and its rows."""
        return ((f"{name}.parquet", what, self._rows[name]) for name, (what, _) in _FILES.items())

    def write_registry(self, made: SyntheticCommunity) -> None:
        """Members, and a row with the numbers of each asset."""
        self._write("members", {"member_id": [home.member_id for home in made.homes]})
        documents = [asset_document(asset) for home in made.homes for asset in home.assets]
        rows = [{**document, **document["device"]} for document in documents]
        self._write("assets", {name: [row.get(name) for row in rows] for name in _schema("assets").names})

    def write_weather(self, sky: Sky) -> None:
        """The weather in the middle of the community."""
        self._write(
            "weather", {"time": _times(sky.grid)} | {name: np.round(getattr(sky, name), 3) for name in _WEATHER}
        )

    def write_home(self, grid: TimeGrid, series: HomeSeries) -> None:
        """A home's readings, devices and sessions; null where it lacks the device."""
        home = series.home
        head = {"time": _times(grid), "member_id": pa.repeat(home.member_id, grid.steps)}
        devices = {
            "vehicle_kw": series.vehicle_kw if home.vehicle else None,
            "heat_pump_kw": series.heat_pump_kw if home.heating else None,
            "charge_kw": series.charge_kw if home.battery else None,
            "discharge_kw": series.discharge_kw if home.battery else None,
        }
        readings = series.readings
        self._write("readings", head | {name: _to_the_watt(readings.get(name), grid) for name in _READINGS})
        if any(one is not None for one in devices.values()):
            self._write("devices", head | {name: _to_the_watt(one, grid) for name, one in devices.items()})
        if series.sessions:
            found = series.sessions
            columns = {"arrival": found.arrival, "departure": found.departure, "energy_kwh": found.energy_kwh.round(3)}
            self._write("sessions", {"member_id": pa.repeat(home.member_id, found.arrival.size), **columns})

    def _write(self, name: str, columns: dict[str, Any]) -> None:
        schema = _schema(name)
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
        table = pa.Table.from_arrays(arrays, schema=schema)
        self._writers[name].write_table(table)
        self._rows[name] += table.num_rows


def _schema(name: str) -> Any:
    numbers = dict.fromkeys(_NUMBERS_OF_ASSETS, _SERIES) if name == "assets" else {}
    return pa.schema({**_FILES[name][1], **numbers})


def _times(grid: TimeGrid) -> Any:
    return pa.array(grid.starts.astype("M8[ms]"), _TIME)


def _to_the_watt(values: Array | None, grid: TimeGrid) -> Any:
    return pa.nulls(grid.steps, _SERIES) if values is None else np.round(values, 3)
