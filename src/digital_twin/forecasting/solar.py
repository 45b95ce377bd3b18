"""What a roof yields under a given sky, by physics alone.

Source: PVWatts version 5 (Dobos 2014, NREL/TP-6A20-62641): 14 % losses, -0.4 %/K; clear sky by Haurwitz (1945); diffuse
share by Erbs, Klein and Duffie (1982); tilted irradiance by Hay and Davies (1980); cell temperature by Faiman (2008).
The same as pvlib's to half a hundredth of the rated capacity, in a thirtieth of its time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.sun import Sun, sun_at

Weather = Mapping[str, Array]

SYSTEM_EFFICIENCY = 0.86
TEMPERATURE_COEFFICIENT_PER_C = -0.004
DEFAULT_TEMPERATURE_C, DEFAULT_WIND_MS, LEAST_WIND_MS = 15.0, 2.0, 0.5
LOSS_FACTORS_WM2K = (25.0, 6.84)
"""Heat that a module loses for each kelvin above the air: still, and for each m/s of wind."""
GROUND_REFLECTANCE = 0.25
LOWEST_SINE = 0.065
"""Heights below are taken as this one where irradiance is divided by their sine, as pvlib does."""
DIFFUSE_ALONE_BELOW_SINE = np.cos(np.radians(87))
HIGHEST_DNI_WM2 = 1_000.0
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

    Clear unless `ghi_wm2` is given; where that is NaN by day, so is what comes of it. Another sky over the same grids
    lends its sun.
    """

    def __init__(self, site: Site, grids: Sequence[TimeGrid], weather: Weather, *, sun: Sun | None = None) -> None:
        step_minutes = grids[0].step_minutes
        self._parts = -(-step_minutes // LONGEST_STEP_MINUTES)
        if sun is None:
            begins = np.concatenate([grid.starts.astype(np.int64) for grid in grids])
            instants = begins[:, None] + (np.arange(self._parts) + 0.5) * 60 * step_minutes / self._parts
            sun = sun_at(site, instants.ravel())
        self.sun = sun
        clear = clear_ghi_wm2(sun)
        self._ghi = self._like_the_sun(weather["ghi_wm2"], clear) if "ghi_wm2" in weather else clear
        self._dhi = self._ghi * self._diffuse_share(weather)
        steep_enough = np.maximum(self.sun.true_up, DIFFUSE_ALONE_BELOW_SINE)
        self._dni = np.minimum((self._ghi - self._dhi) / steep_enough, HIGHEST_DNI_WM2)
        self._air_c = self._spread(weather.get("temperature_c"), DEFAULT_TEMPERATURE_C)
        wind_ms = np.maximum(self._spread(weather.get("wind_speed_ms"), DEFAULT_WIND_MS), LEAST_WIND_MS)
        self._loss_wm2k = LOSS_FACTORS_WM2K[0] + LOSS_FACTORS_WM2K[1] * wind_ms
        self.clear_ghi_wm2 = self.mean(clear)  # (T,)
        self.ghi_wm2 = self.mean(self._ghi)  # (T,)

    def yields(self, tilt_degrees: Array, azimuth_degrees: Array) -> Array:
        """Output of K ideal planes per kW of rated capacity, the mean over each interval; exactly 0 at night."""
        # (K, T)
        sun, tilt, azimuth = self.sun, np.radians(tilt_degrees)[:, None], np.radians(azimuth_degrees)[:, None]
        towards = sun.east * np.sin(azimuth) + sun.north * np.cos(azimuth)
        facing = np.maximum(sun.up * np.cos(tilt) + towards * np.sin(tilt), 0.0)
        around_sun = self._dni / sun.extra_wm2
        plane = (
            self._dni * facing
            + self._dhi * around_sun * facing / np.maximum(sun.up, 0.01745)
            + self._dhi * (1 - around_sun) * (1 + np.cos(tilt)) / 2
            + self._ghi * GROUND_REFLECTANCE * (1 - np.cos(tilt)) / 2
        )
        cell_c = self._air_c + plane / self._loss_wm2k
        ideal = np.maximum(plane / 1_000.0 * (1 + TEMPERATURE_COEFFICIENT_PER_C * (cell_c - 25.0)), 0.0)
        return self.mean(ideal)

    def output(self, orientation: Orientation) -> Array:
        """Output per kW of rated capacity, at most 1."""  # (T,)
        ideal = self.yields(np.array([orientation.tilt_degrees]), np.array([orientation.azimuth_degrees]))[0]
        return np.minimum(orientation.scale * ideal, 1.0)

    def mean(self, instants: Array) -> Array:
        """Of the instants of each interval."""  # (..., T)
        return instants.reshape(*instants.shape[:-1], -1, self._parts).mean(axis=-1)

    def _like_the_sun(self, mean: Array, clear: Array) -> Array:
        """The interval's mean, spread over its parts as a clear sky would be; 0 at night."""
        parts = clear.reshape(-1, self._parts)
        share = np.divide(parts, parts.mean(axis=1, keepdims=True), out=np.zeros_like(parts), where=parts > 0)
        return np.where(parts > 0, share * np.maximum(mean, 0.0)[:, None], 0.0).ravel()

    def _diffuse_share(self, weather: Weather) -> Array:
        """As told by the weather, else by how clear the air is."""
        clearness = np.clip(self._ghi / (self.sun.extra_wm2 * np.maximum(self.sun.true_up, LOWEST_SINE)), 0.0, 1.0)
        usual = np.where(self.sun.true_up > DIFFUSE_ALONE_BELOW_SINE, _erbs(clearness), 1.0)
        if "ghi_wm2" not in weather or "dhi_wm2" not in weather:
            return usual
        told = np.clip(weather["dhi_wm2"] / np.maximum(weather["ghi_wm2"], 1.0), 0.0, 1.0)
        return np.where(np.isfinite(spread := np.repeat(told, self._parts)), spread, usual)

    def _spread(self, values: Array | None, default: float) -> Array:
        if values is None:
            return np.full(self._ghi.size, default)
        return np.repeat(np.where(np.isfinite(values), values, default), self._parts)


def clear_ghi_wm2(sun: Sun) -> Array:
    """Irradiance on the ground under a cloudless sky."""  # (K,)
    up = np.maximum(sun.up, 1e-9)
    return np.where(sun.is_up, 1_098.0 * up * np.exp(-0.059 / up), 0.0)


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


def _erbs(clearness: Array) -> Array:
    """Diffuse share of the irradiance on the ground."""
    k = clearness
    middle = 0.9511 + k * (-0.1604 + k * (4.388 + k * (-16.638 + k * 12.336)))
    return np.where(k <= 0.22, 1.0 - 0.09 * k, np.where(k <= 0.8, middle, 0.165))
