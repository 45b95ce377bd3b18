"""The demo's community: a hundred synthetic homes with a year of quarter-hours, whose meters do not all report yet.

Some have a roof, an electric vehicle or a heat pump; all share a storage.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.cli.registration import asset_document
from digital_twin.domain.assets import Asset, Photovoltaics
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import HomeSeries, Recipe, Shares, SyntheticCommunity

COMMUNITY_ID = "green_village"
COMMUNITY: dict[str, Any] = {
    "community_id": COMMUNITY_ID,
    "name": "Green Village",
    "timezone": "Europe/Vienna",
    "currency": "EUR",
    "latitude": 48.2,
    "longitude": 16.4,
    "num_prosumers": 100,
    "total_pv_capacity_kw": 500.0,
    "total_storage_capacity_kwh": 1000.0,
    "max_storage_power_kw": 200.0,
    "grid_import_limit_kw": 800.0,
    "grid_export_limit_kw": 300.0,
    "incentive_budget_daily": 20.0,
    "tariff": {
        "import_price": {
            "kind": "time_of_use",
            "default_per_kwh": 0.28,
            "windows": [
                {"per_kwh": 0.22, "start_hour": 22, "end_hour": 6},
                {"per_kwh": 0.38, "start_hour": 17, "end_hour": 21},
            ],
        },
        "export_price": {"kind": "flat", "per_kwh": 0.07},
    },
}

HISTORY = timedelta(days=365)
RESOLUTION_MINUTES = 15
SEED = 2026
SHARES = Shares(pv=0.6, battery=0.0, vehicle=0.25, heat_pump=0.25)
LATE_HOURS = (0, 0, 0, 5, 11)
"""How far behind the meters of five homes in a row are: in reality, too, not all have reported."""

EFFICIENCY = 0.95


class DemoCommunity:
    """Everything that the demo tells the twin; the same instant has the same value in every run of a year."""

    def __init__(self, now: datetime) -> None:
        self._end = floor_to_step(now, RESOLUTION_MINUTES)
        self._start = floor_to_step(self._end - HISTORY, 1440)
        self._made = SyntheticCommunity(self._recipe())
        self._resized = COMMUNITY["total_pv_capacity_kw"] / self._made.pv_capacity_kw  # roofs, to add up to it
        self._homes = [self._rounded(home) for home in self._made.series()]

    def _recipe(self) -> Recipe:
        """Whole calendar years, so that what is drawn does not depend on the day."""
        first, after = (datetime(year, 1, 1, tzinfo=UTC) for year in (self._start.year, self._end.year + 1))
        place = Place(COMMUNITY["latitude"], COMMUNITY["longitude"], COMMUNITY["timezone"])
        grid = TimeGrid.spanning(first, after, RESOLUTION_MINUTES)
        return Recipe(COMMUNITY["num_prosumers"], place, grid, SEED, SHARES)

    def _rounded(self, home: HomeSeries) -> tuple[Array, Array]:
        """Load and generation in watts at the finest."""
        return np.round(home.load_kw, 3), np.round(self._resized * home.pv_kw, 3)

    @property
    def members(self) -> list[dict[str, Any]]:
        """As `POST .../members` takes them."""
        return [{"member_id": home.member_id, "name": f"Home {home.number + 1}"} for home in self._made.homes]

    @property
    def assets(self) -> list[dict[str, Any]]:
        """As `POST .../assets` takes them."""
        return [asset_document(self._resize(asset)) for home in self._made.homes for asset in home.assets]

    def _resize(self, asset: Asset) -> Asset:
        device = asset.device
        if not isinstance(device, Photovoltaics):
            return asset
        return replace(asset, device=replace(device, capacity_kw=self._resized * device.capacity_kw))

    def readings(self, known_until: Mapping[str, datetime]) -> list[SeriesValues]:
        """What the twin does not know: of each member, and under no name of the community, from this day on."""
        found: list[SeriesValues] = []
        surplus_kw = np.zeros(self._made.recipe.grid.steps)
        for home, (load_kw, pv_kw) in zip(self._made.homes, self._homes, strict=True):
            surplus_kw += pv_kw - load_kw
            start = known_until.get(home.member_id, self._start)
            end = self._end - timedelta(hours=LATE_HOURS[home.number % len(LATE_HOURS)])
            if end > start:
                found.append(self._series("load_kw", home.member_id, load_kw, start, end))
                if home.roof:
                    found.append(self._series("pv_kw", home.member_id, pv_kw, start, end))
        start = known_until.get("", self._start)
        of_all = {"storage_soc_kwh": _followed(surplus_kw), "temperature_c": np.round(self._made.sky.temperature_c, 2)}
        return found + [self._series(name, None, values, start, self._end) for name, values in of_all.items()]

    def _series(self, name: str, member_id: str | None, values: Array, start: datetime, end: datetime) -> SeriesValues:
        grid = TimeGrid.spanning(start, end, RESOLUTION_MINUTES)
        first = (start - self._made.recipe.grid.start) // grid.step
        return SeriesValues(SeriesKey(name, member_id), grid, values[first : first + grid.steps])


def _followed(surplus_kw: Array) -> Array:
    """What the storage holds as intervals start: it charges what is left over and gives what is missing."""  # (T,)
    capacity_kwh, limit_kw = COMMUNITY["total_storage_capacity_kwh"], COMMUNITY["max_storage_power_kw"]
    hours = RESOLUTION_MINUTES / 60
    energy_kwh, followed = capacity_kwh / 2, np.empty(surplus_kw.size)
    for step, power_kw in enumerate(np.clip(surplus_kw, -limit_kw, limit_kw).tolist()):
        followed[step] = energy_kwh
        change_kwh = hours * (power_kw * EFFICIENCY if power_kw > 0 else power_kw / EFFICIENCY)
        energy_kwh = min(max(energy_kwh + change_kwh, 0.0), capacity_kwh)
    return np.round(followed, 3)
