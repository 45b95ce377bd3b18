"""The demo's community: a hundred synthetic homes with a year of quarter-hours, whose meters do not all report yet."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import SyntheticCommunity, synthetic_community

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
LATE_HOURS = (0, 0, 0, 5, 11)
"""How far behind the meters of five homes in a row are: in reality, too, not all have reported."""

EFFICIENCY = 0.95


class DemoCommunity:
    """Everything that the demo tells the twin; the same instant has the same value in every run of a year."""

    def __init__(self, now: datetime) -> None:
        self._end = floor_to_step(now, RESOLUTION_MINUTES)
        self._start = floor_to_step(self._end - HISTORY, 1440)
        self._made = self._draw()

    def _draw(self) -> SyntheticCommunity:
        """Whole calendar years, so that what is drawn does not depend on the day."""
        first, after = (datetime(year, 1, 1, tzinfo=UTC) for year in (self._start.year, self._end.year + 1))
        place = Place(COMMUNITY["latitude"], COMMUNITY["longitude"], COMMUNITY["timezone"])
        return synthetic_community(
            np.random.default_rng(SEED),
            TimeGrid.spanning(first, after, RESOLUTION_MINUTES),
            place,
            homes=COMMUNITY["num_prosumers"],
            pv_capacity_kw=COMMUNITY["total_pv_capacity_kw"],
        )

    @property
    def members(self) -> list[dict[str, Any]]:
        """As `POST .../members` takes them."""
        return [{"member_id": _member_id(number), "name": f"Home {number + 1}"} for number in self._numbers]

    @property
    def assets(self) -> list[dict[str, Any]]:
        """The roofs, as `POST .../assets` takes them."""
        return [
            {
                "asset_id": f"{_member_id(number)}_pv",
                "member_id": _member_id(number),
                "device": {
                    "kind": "pv",
                    "capacity_kw": round(roof.photovoltaics.capacity_kw, 3),
                    "tilt_degrees": round(roof.photovoltaics.tilt_degrees, 1),
                    "azimuth_degrees": round(roof.photovoltaics.azimuth_degrees, 1),
                },
            }
            for number, roof in enumerate(self._made.roofs)
            if roof is not None
        ]

    def readings(self, known_until: Mapping[str, datetime]) -> list[SeriesValues]:
        """What the twin does not know: of each member, and under no name of the community, from this day on."""
        found: list[SeriesValues] = []
        for number in self._numbers:
            member_id = _member_id(number)
            start = known_until.get(member_id, self._start)
            end = self._end - timedelta(hours=LATE_HOURS[number % len(LATE_HOURS)])
            if end > start:
                found.append(self._series("load_kw", member_id, self._made.load_kw[number], start, end))
                if self._made.roofs[number] is not None:
                    found.append(self._series("pv_kw", member_id, self._made.pv_kw[number], start, end))
        surplus_kw = (self._made.pv_kw - self._made.load_kw).sum(axis=0)
        start = known_until.get("", self._start)
        return [*found, self._series("storage_soc_kwh", None, _followed(surplus_kw), start, self._end)]

    @property
    def _numbers(self) -> range:
        return range(len(self._made.roofs))

    def _series(self, name: str, member_id: str | None, values: Array, start: datetime, end: datetime) -> SeriesValues:
        grid = TimeGrid.spanning(start, end, RESOLUTION_MINUTES)
        first = (start - self._made.grid.start) // self._made.grid.step
        return SeriesValues(SeriesKey(name, member_id), grid, np.round(values[first : first + grid.steps], 3))


def _member_id(number: int) -> str:
    return f"home_{number + 1:03d}"


def _followed(surplus_kw: Array) -> Array:
    """The community's storage, which charges what is left over and discharges what is missing."""  # (T,)
    capacity_kwh, limit_kw = COMMUNITY["total_storage_capacity_kwh"], COMMUNITY["max_storage_power_kw"]
    hours = RESOLUTION_MINUTES / 60
    energy_kwh, followed = capacity_kwh / 2, np.empty(surplus_kw.size)
    for step, power_kw in enumerate(np.clip(surplus_kw, -limit_kw, limit_kw).tolist()):
        change_kwh = hours * (power_kw * EFFICIENCY if power_kw > 0 else power_kw / EFFICIENCY)
        energy_kwh = min(max(energy_kwh + change_kwh, 0.0), capacity_kwh)
        followed[step] = energy_kwh
    return followed
