"""One sky over a community: the sun, clouds that pass over it, and temperature and wind that fit them.

Source: sun by the NREL algorithm and clear sky by Haurwitz (1945) through pvlib; diffuse share by Erbs (1982); changes
of clouds at two places are correlated by exp(-2 distance / (cloud speed x duration)): Lave and Kleissl (2013), Solar
Energy 91.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import log_ndtr

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.place import Place

SIDE_KM = 2.0
"""Homes lie in a square of this side; clouds are drawn at the corners of its meshes and shared out between them."""
_CORNERS = 4

_SPELL_HOURS, _SPELL_SWING = 30.0, 2.1
_CLOUD_HOURS, _CLOUD_SWING = 0.8, 1.5
_PUFF_HOURS, _PUFF_SWING = 0.1, 0.95
_CLOUD_SPEED_KMH = 29.0  # 8 m/s
_LEAST_SHARE, _MOST_SHARE = 0.10, 1.05
_SUMMER_BRIGHTNESS = 0.55
"""Slow spells of weather, clouds and puffs in the logit of the clear-sky share, as large as in two years of Golden,
Colorado (`benchmarks/synthetic.py`)."""
BRIGHTNESS = 0.2
"""Of the mean sky, in the same logit: a south roof in Vienna yields about 1,100 kWh per kW a year (PVGIS 5), three to
four times as much in June as in December."""

_LOWEST_SUN, _MOST_DNI_WM2 = 0.065, 1_000.0
"""Below the sine of 3.7 degrees all light counts as diffuse; no sunbeam is stronger at the ground."""

_EQUATOR_C, _COOLING_PER_DEGREE, _SWING_PER_DEGREE = 27.0, 0.33, 0.215
"""A straight line in latitude through Vienna's normals: 11 C in the mean, 10 C less in January and more in July."""
_DESIGN_BELOW_C = 12.7
"""Heating is designed for so much less than January's mean: -12 C in Vienna (EN 12831, national annex)."""
_ANOMALY_HOURS, _ANOMALY_C = 72.0, 3.3
_CLEAR_SUMMER_C, _CLEAR_WINTER_C = 1.6, -1.6
_CLEAR_DAY_SWING_C, _DULL_DAY_SWING_C = 6.0, 1.5

_WIND_HOURS, _MEAN_WIND_MS, _DAY_WIND, _WIND_UNDER_CLOUDS = 12.0, 3.0, 0.25, 0.35
"""Rayleigh distributed (Weibull of shape 2: Justus et al. 1978, Journal of Applied Meteorology 17); brisker by day and
under clouds."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a home lies, from the middle of the community."""

    east_km: float
    north_km: float


MIDDLE = Spot(0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Daylight:
    """The steps with sun: its direction, what it sends, and the clouds at each corner of the meshes."""

    steps: NDArray[np.int64]  # (D,) of the grid
    sun: Array  # (3, D) unit vector: east, north, up
    clear_ghi_wm2: Array  # (D,)
    dni_extra_wm2: Array  # (D,) beyond the atmosphere
    level: Array  # (D,) spells of weather, in the logit of the clear-sky share
    clouds: Array  # (_CORNERS^2, D)
    puffs: Array  # (_CORNERS^2, D)


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """The weather in the middle of the community, and the daylight from which that of any spot follows."""

    grid: TimeGrid
    place: Place
    temperature_c: Array  # (T,)
    wind_speed_ms: Array  # (T,)
    ghi_wm2: Array  # (T,)
    dni_wm2: Array  # (T,)
    dhi_wm2: Array  # (T,)
    clear_ghi_wm2: Array  # (T,)
    daylight: Daylight


def moving_sky(generator: np.random.Generator, grid: TimeGrid, place: Place, brightness: float = BRIGHTNESS) -> Sky:
    """Weather of the grid: sunny spells are warm in summer and cold in winter, and nights after them are clear.

    Args:
        brightness: mean logit of the clear-sky share; 0.2 in Vienna, 1.5 where it is as sunny as in Colorado.
    """
    summer = _summer(grid, place)
    spell = _wandering(generator, grid, _SPELL_HOURS)
    level = brightness + _SUMMER_BRIGHTNESS * summer + _SPELL_SWING * spell
    daylight = _daylight(generator, grid, place, level)
    ghi, dni, dhi, clear = _spread(grid, daylight)
    temperature_c, wind_speed_ms = _temperature(generator, grid, place, spell), _wind(generator, grid, place, spell)
    return Sky(grid, place, temperature_c, wind_speed_ms, ghi, dni, dhi, clear, daylight)


def design_temperature_c(place: Place) -> float:
    """What heating is designed for."""
    return _EQUATOR_C - (_COOLING_PER_DEGREE + _SWING_PER_DEGREE) * abs(place.latitude) - _DESIGN_BELOW_C


def _spread(grid: TimeGrid, daylight: Daylight) -> Array:
    """Global, direct, diffuse and clear-sky irradiance of the whole grid."""  # (4, T)
    ghi = ghi_at(daylight, MIDDLE)
    found = np.zeros((4, grid.steps))
    found[:, daylight.steps] = (ghi, *_split(daylight.sun[2], daylight.dni_extra_wm2, ghi), daylight.clear_ghi_wm2)
    return found


def ghi_at(daylight: Daylight, spot: Spot) -> Array:
    """Global horizontal irradiance at a spot, step by step of the daylight."""  # (D,)
    corners, weights = _shares_of_corners(spot)
    return _ghi(daylight.level, daylight.clear_ghi_wm2, daylight.clouds, daylight.puffs, corners, weights)


@njit(cache=True)
def _ghi(level: Array, clear: Array, clouds: Array, puffs: Array, corners: NDArray[np.int64], weights: Array) -> Array:
    out = np.empty_like(level)
    for step in range(level.size):
        logit = level[step]
        for one in range(corners.size):
            logit += weights[0, one] * clouds[corners[one], step] + weights[1, one] * puffs[corners[one], step]
        out[step] = clear[step] * (_LEAST_SHARE + (_MOST_SHARE - _LEAST_SHARE) / (1 + np.exp(-logit)))
    return out


@njit(cache=True)
def _split(up: Array, extra: Array, ghi: Array) -> tuple[Array, Array]:
    dni, dhi = np.empty_like(ghi), np.empty_like(ghi)
    for step in range(ghi.size):
        dni[step], dhi[step] = direct_and_diffuse(up[step], extra[step], ghi[step])
    return dni, dhi


@njit(cache=True, inline="always")
def direct_and_diffuse(up: float, extra: float, ghi: float) -> tuple[float, float]:
    """Direct normal and diffuse horizontal irradiance of a global one, by the sine of the sun's height."""
    if up < _LOWEST_SUN:
        return 0.0, ghi
    kt = min(ghi / (extra * up), 1.0)
    if kt <= 0.22:
        share = 1.0 - 0.09 * kt
    elif kt <= 0.8:
        share = 0.9511 + kt * (-0.1604 + kt * (4.388 + kt * (-16.638 + kt * 12.336)))
    else:
        share = 0.165
    dni = min((1.0 - share) * ghi / up, _MOST_DNI_WM2)
    return dni, ghi - dni * up


def _daylight(generator: np.random.Generator, grid: TimeGrid, place: Place, level: Array) -> Daylight:
    import pandas as pd
    import pvlib

    middles = pd.to_datetime(grid.starts.astype(np.int64) + 30 * grid.step_minutes, unit="s", utc=True)
    middles = pd.DatetimeIndex(middles)
    angles = pvlib.solarposition.get_solarposition(middles, place.latitude, place.longitude)
    clear = np.nan_to_num(np.asarray(pvlib.clearsky.haurwitz(angles["apparent_zenith"])["ghi"]))
    extra = np.asarray(pvlib.irradiance.get_extra_radiation(middles), dtype=np.float64)
    zenith, azimuth = np.radians(np.asarray(angles[["apparent_zenith", "azimuth"]], dtype=np.float64).T)
    steps = np.flatnonzero(clear > 0)
    sun = np.stack([np.sin(zenith) * np.sin(azimuth), np.sin(zenith) * np.cos(azimuth), np.cos(zenith)])
    clouds = _CLOUD_SWING * _passing(generator, grid, _CLOUD_HOURS)[:, steps]
    puffs = _PUFF_SWING * _passing(generator, grid, _PUFF_HOURS)[:, steps]
    return Daylight(steps, np.ascontiguousarray(sun[:, steps]), clear[steps], extra[steps], level[steps], clouds, puffs)


def _passing(generator: np.random.Generator, grid: TimeGrid, memory_hours: float) -> Array:
    """Clouds of one size at each corner, of unit variance, correlated in time and space."""  # (_CORNERS^2, T)
    alone = np.stack([_wandering(generator, grid, memory_hours) for _ in range(_CORNERS**2)])
    return np.linalg.cholesky(_correlation(memory_hours)) @ alone * _left_in_the_mean(grid.step_hours / memory_hours)


def _correlation(memory_hours: float) -> Array:
    """Of clouds that stay so long, between the corners."""  # (_CORNERS^2, _CORNERS^2)
    along = np.linspace(-SIDE_KM / 2, SIDE_KM / 2, _CORNERS)
    east, north = (one.ravel() for one in np.meshgrid(along, along))
    distance_km = np.hypot(east[:, None] - east, north[:, None] - north)
    return np.exp(-2 * distance_km / (_CLOUD_SPEED_KMH * memory_hours))


def _left_in_the_mean(steps_of_memory: float) -> float:
    """Deviation of the mean over a step of a process of unit variance (Ornstein and Uhlenbeck)."""
    left = steps_of_memory - 1 + np.exp(-steps_of_memory)
    return float(np.sqrt(2 * left) / steps_of_memory)


def _shares_of_corners(spot: Spot) -> tuple[NDArray[np.int64], Array]:
    """The corners round a spot and their weights for clouds and puffs, which keep unit variance."""  # (4,), (2, 4)
    mesh_km = SIDE_KM / (_CORNERS - 1)
    position = np.clip((np.array([spot.north_km, spot.east_km]) + SIDE_KM / 2) / mesh_km, 0.0, _CORNERS - 1)
    first = np.minimum(position.astype(np.int64), _CORNERS - 2)
    (up, right), (row, column) = position - first, first
    corners = row * _CORNERS + column + np.array([0, 1, _CORNERS, _CORNERS + 1])
    plain = np.array([(1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right])
    weights = [
        plain / np.sqrt(plain @ _correlation(hours)[np.ix_(corners, corners)] @ plain)
        for hours in (_CLOUD_HOURS, _PUFF_HOURS)
    ]
    return corners, np.stack(weights)


def _summer(grid: TimeGrid, place: Place) -> Array:
    """+1 in the warmest week of the year, -1 in the coldest."""  # (T,)
    year_day = (grid.starts.astype(np.int64) / 86_400) % 365.25
    return -np.cos(2 * np.pi * (year_day - 20) / 365.25) * (1 if place.latitude >= 0 else -1)


def _solar_hour(grid: TimeGrid, place: Place) -> Array:
    return (grid.starts.astype(np.int64) / 3_600 + place.longitude / 15) % 24


def _temperature(generator: np.random.Generator, grid: TimeGrid, place: Place, spell: Array) -> Array:
    latitude = abs(place.latitude)
    summer = _summer(grid, place)
    clearness = 1 / (1 + np.exp(-_SPELL_SWING * spell))
    day_swing_c = _DULL_DAY_SWING_C + (_CLEAR_DAY_SWING_C - _DULL_DAY_SWING_C) * clearness
    spell_c = np.where(summer > 0, _CLEAR_SUMMER_C * summer, -_CLEAR_WINTER_C * summer) * spell
    return (
        _EQUATOR_C
        - _COOLING_PER_DEGREE * latitude
        + _SWING_PER_DEGREE * latitude * summer
        + day_swing_c * np.sin(2 * np.pi * (_solar_hour(grid, place) - 9) / 24)
        + spell_c
        + _ANOMALY_C * _wandering(generator, grid, _ANOMALY_HOURS)
    )


def _wind(generator: np.random.Generator, grid: TimeGrid, place: Place, spell: Array) -> Array:
    own = _wandering(generator, grid, _WIND_HOURS)
    normal = np.sqrt(1 - _WIND_UNDER_CLOUDS**2) * own - _WIND_UNDER_CLOUDS * spell
    rayleigh = np.sqrt(-4 / np.pi * log_ndtr(-normal))  # of mean 1
    return _MEAN_WIND_MS * rayleigh * (1 + _DAY_WIND * np.sin(2 * np.pi * (_solar_hour(grid, place) - 9) / 24))


def _wandering(generator: np.random.Generator, grid: TimeGrid, memory_hours: float) -> Array:
    """A stationary first-order process of unit variance."""  # (T,)
    memory = float(np.exp(-grid.step_hours / memory_hours))
    return _autoregressive(generator.standard_normal(grid.steps), memory)


@njit(cache=True)
def _autoregressive(shocks: Array, memory: float) -> Array:
    out = np.empty_like(shocks)
    scale = np.sqrt(1 - memory**2)
    out[0] = shocks[0]
    for step in range(1, shocks.size):
        out[step] = memory * out[step - 1] + scale * shocks[step]
    return out
