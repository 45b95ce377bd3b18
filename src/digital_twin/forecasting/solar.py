"""What a roof yields under a given sky, by physics alone.

Source: PVWatts version 5 (Dobos 2014, NREL/TP-6A20-62641): 14 % losses, -0.4 %/K; clear sky by Haurwitz (1945); diffuse
share by Erbs (1982); tilted irradiance by Hay and Davies (1980); cell temperature by Faiman (2008). All through pvlib.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site

Weather = Mapping[str, Array]

SYSTEM_EFFICIENCY = 0.86
TEMPERATURE_COEFFICIENT_PER_C = -0.004
DEFAULT_TEMPERATURE_C, DEFAULT_WIND_MS = 15.0, 2.0
LONGEST_STEP_MINUTES = 15
"""Longer intervals are the mean of several instants: the sun moves, and rises and sets within them."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """Tilt from the horizontal, azimuth clockwise from north, and output per kW of rated capacity."""

    tilt_degrees: float
    azimuth_degrees: float
    scale: float = SYSTEM_EFFICIENCY


class Sky:
    """Sun and irradiance over grids of one step; made once, asked for many orientations.

    Clear unless `ghi_wm2` is given.
    """

    def __init__(self, site: Site, grids: Sequence[TimeGrid], weather: Weather) -> None:
        import pandas as pd
        import pvlib

        step_minutes = grids[0].step_minutes
        self._parts = -(-step_minutes // LONGEST_STEP_MINUTES)
        begins = np.concatenate([grid.starts.astype(np.int64) for grid in grids])
        starts = begins[:, None] + (np.arange(self._parts) + 0.5) * 60 * step_minutes / self._parts
        instants = pd.DatetimeIndex(pd.to_datetime(starts.ravel(), unit="s", utc=True))
        sun = pvlib.solarposition.get_solarposition(instants, site.latitude, site.longitude)
        self._zenith, self._azimuth = np.asarray(sun["apparent_zenith"]), np.asarray(sun["azimuth"])
        clear = np.nan_to_num(np.asarray(pvlib.clearsky.haurwitz(sun["apparent_zenith"])["ghi"]))
        self._is_day = self._zenith < 90
        self._ghi = (
            np.where(self._is_day, self._like_the_sun(weather["ghi_wm2"], clear), 0.0)
            if "ghi_wm2" in weather
            else clear
        )
        split = pvlib.irradiance.erbs(self._ghi, np.asarray(sun["zenith"]), instants)
        self._dni = np.clip(np.nan_to_num(np.asarray(split["dni"])), 0.0, 1_000.0)
        self._dhi = np.nan_to_num(np.asarray(split["dhi"]))
        self._dni_extra = np.asarray(pvlib.irradiance.get_extra_radiation(instants))
        self._air_c = self._spread(weather.get("temperature_c"), DEFAULT_TEMPERATURE_C)
        self._wind_ms = np.maximum(self._spread(weather.get("wind_speed_ms"), DEFAULT_WIND_MS), 0.5)

    def _like_the_sun(self, mean: Array, clear: Array) -> Array:
        """The interval's mean, spread over its parts as a clear sky would be."""
        parts = clear.reshape(-1, self._parts)
        share = np.divide(parts, parts.mean(axis=1, keepdims=True), out=np.ones_like(parts), where=parts > 0)
        return (share * mean[:, None]).ravel()

    def _spread(self, values: Array | None, default: float) -> Any:
        return np.full(self._zenith.size, default) if values is None else np.repeat(values, self._parts)

    def output(self, orientation: Orientation) -> Array:
        """Output per kW of rated capacity, the mean over each interval; exactly 0 at night."""  # (T,)
        import pvlib

        plane = pvlib.irradiance.get_total_irradiance(
            orientation.tilt_degrees,
            orientation.azimuth_degrees,
            self._zenith,
            self._azimuth,
            self._dni,
            self._ghi,
            self._dhi,
            dni_extra=self._dni_extra,
            model="haydavies",
        )["poa_global"]
        plane = np.clip(np.nan_to_num(np.asarray(plane)), 0.0, None)
        cell_c = np.asarray(pvlib.temperature.faiman(plane, self._air_c, self._wind_ms))
        output = orientation.scale * plane / 1_000.0 * (1 + TEMPERATURE_COEFFICIENT_PER_C * (cell_c - 25.0))
        return np.where(self._is_day, np.clip(output, 0.0, 1.0), 0.0).reshape(-1, self._parts).mean(axis=1)


def rated_output(site: Site, grid: TimeGrid, orientation: Orientation, weather: Weather) -> Array:
    """Output per kW of rated capacity in each interval; exactly 0 at night."""  # (T,)
    return Sky(site, [grid], weather).output(orientation)


def position_in_day(site: Site, grid: TimeGrid) -> Array:
    """Where the middle of each interval stands between sunrise (-1) and sunset (1); beyond them at night.

    Source: declination and sunset hour angle by Cooper (1969), without the equation of time.
    """  # (T,)
    seconds = grid.starts.astype(np.int64) + 30 * grid.step_minutes
    hour_angle = ((seconds / 3_600 + site.longitude / 15) % 24 - 12) * np.pi / 12
    day = (seconds / 86_400) % 365.25
    declination = np.radians(23.45) * np.sin(2 * np.pi * (285 + day) / 365.25)
    sunset = np.arccos(np.clip(-np.tan(np.radians(site.latitude)) * np.tan(declination), -0.999, 0.999))
    return hour_angle / sunset
