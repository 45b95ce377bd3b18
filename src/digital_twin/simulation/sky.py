"""One moving sky over a community: temperature, radiation that fits it, and what each roof makes of both.

Source: sun by the NREL algorithm, clear sky by Haurwitz (1945), diffuse share by Erbs (1982), tilted irradiance by Hay
and Davies (1980), cell temperature by Faiman (2008), losses and temperature coefficient of PVWatts version 5 (Dobos
2014, NREL/TP-6A20-62641); all through pvlib.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from digital_twin.domain.assets import Photovoltaics
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.place import Place

_SYSTEM_EFFICIENCY = 0.86
_TEMPERATURE_COEFFICIENT_PER_C = -0.004
_WIND_MS = 2.0
_LONGEST_PASSAGE_MINUTES = 6.0
"""A cloud at 10 m/s crosses a village of 3.6 km in this time, so that no two roofs see it together."""

_SPELL_HOURS, _SPELL_SWING = 30.0, 1.9
_CLOUD_HOURS, _CLOUD_SWING = 0.8, 1.0
_LEAST_SHARE, _MOST_SHARE = 0.10, 1.05
_BRIGHTNESS, _SUMMER_BRIGHTNESS = 0.2, 0.55
"""Slow spells of weather and fast clouds in the logit of the clear-sky share; chosen so that a south roof in Vienna
yields about 1,100 kWh per kW a year (PVGIS 5) and three times as much in June as in December."""

_EQUATOR_C, _COOLING_PER_DEGREE, _SWING_PER_DEGREE = 27.0, 0.33, 0.215
"""A straight line in latitude through Vienna's normals: 11 C in the mean, 10 C less in January and more in July."""
_ANOMALY_HOURS, _ANOMALY_C = 72.0, 3.3
_CLEAR_SUMMER_C, _CLEAR_WINTER_C = 1.6, -1.2
_CLEAR_DAY_SWING_C, _DULL_DAY_SWING_C = 6.0, 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """The sun and the clouds above the middle of the community; arrays span the grid."""

    grid: TimeGrid
    place: Place
    temperature_c: Array  # (T,)
    ghi_wm2: Array  # (T,)
    zenith_degrees: Array  # (T,)
    azimuth_degrees: Array  # (T,)
    dni_extra_wm2: Array  # (T,) beyond the atmosphere
    clear_ghi_wm2: Array  # (T,)
    beam_share: Array  # (T,) of dni_extra_wm2
    diffuse_share: Array  # (T,) of clear_ghi_wm2


def moving_sky(generator: np.random.Generator, grid: TimeGrid, place: Place) -> Sky:
    """Weather of the grid: sunny spells are warm in summer and cold in winter, and nights after them are clear."""
    import pandas as pd
    import pvlib

    middles = pd.DatetimeIndex(
        pd.to_datetime(grid.starts.astype(np.int64) + 30 * grid.step_minutes, unit="s", utc=True)
    )
    sun = pvlib.solarposition.get_solarposition(middles, place.latitude, place.longitude)
    zenith = np.asarray(sun["apparent_zenith"], dtype=np.float64)
    clear = np.nan_to_num(np.asarray(pvlib.clearsky.haurwitz(sun["apparent_zenith"])["ghi"]))
    summer = _summer(grid, place)
    spell = _wandering(generator, grid, _SPELL_HOURS)
    cloud = _wandering(generator, grid, _CLOUD_HOURS)
    level = _BRIGHTNESS + _SUMMER_BRIGHTNESS * summer + _SPELL_SWING * spell + _CLOUD_SWING * cloud
    ghi = clear * (_LEAST_SHARE + (_MOST_SHARE - _LEAST_SHARE) / (1 + np.exp(-level)))
    split = pvlib.irradiance.erbs(ghi, np.asarray(sun["zenith"]), middles)
    extra = np.asarray(pvlib.irradiance.get_extra_radiation(middles), dtype=np.float64)
    is_day = zenith < 90
    return Sky(
        grid,
        place,
        _temperature(generator, grid, place, spell),
        ghi,
        zenith,
        np.asarray(sun["azimuth"], dtype=np.float64),
        extra,
        clear,
        np.where(is_day, np.clip(np.nan_to_num(np.asarray(split["dni"])), 0.0, 1_000.0) / extra, 0.0),
        np.divide(np.nan_to_num(np.asarray(split["dhi"])), clear, out=np.zeros_like(clear), where=clear > 0),
    )


def roof_kw(sky: Sky, roof: Photovoltaics, passage: float) -> Array:
    """Generation of a roof.

    Args:
        passage: where the roof lies between the first that a cloud reaches (0) and the last (1).
    """  # -> (T,)
    import pvlib

    day = np.flatnonzero(sky.clear_ghi_wm2 > 0)
    clear, extra = sky.clear_ghi_wm2[day], sky.dni_extra_wm2[day]
    delay = passage * _LONGEST_PASSAGE_MINUTES / sky.grid.step_minutes
    dni = extra * _later(sky.beam_share, delay)[day]
    dhi = clear * _later(sky.diffuse_share, delay)[day]
    zenith = sky.zenith_degrees[day]
    plane = pvlib.irradiance.get_total_irradiance(
        roof.tilt_degrees,
        roof.azimuth_degrees,
        zenith,
        sky.azimuth_degrees[day],
        dni,
        dhi + dni * np.maximum(np.cos(np.radians(zenith)), 0.0),
        dhi,
        dni_extra=extra,
        model="haydavies",
    )["poa_global"]
    plane = np.clip(np.nan_to_num(np.asarray(plane)), 0.0, None)
    cell_c = np.asarray(pvlib.temperature.faiman(plane, sky.temperature_c[day], _WIND_MS))
    warm = 1 + _TEMPERATURE_COEFFICIENT_PER_C * (cell_c - 25.0)
    output = np.zeros(sky.grid.steps)
    output[day] = roof.capacity_kw * np.clip(_SYSTEM_EFFICIENCY * plane / 1_000.0 * warm, 0.0, 1.0)
    return output


def _later(share: Array, delay: float) -> Array:
    """The series as seen `delay` steps later, between 0 and many; the first value stands for those before it."""
    position = np.maximum(np.arange(share.size) - delay, 0.0)
    before = position.astype(np.int64)
    after = np.minimum(before + 1, share.size - 1)
    part = position - before
    return (1 - part) * share[before] + part * share[after]


def _summer(grid: TimeGrid, place: Place) -> Array:
    """+1 in the warmest week of the year, -1 in the coldest."""  # (T,)
    year_day = (grid.starts.astype(np.int64) / 86_400) % 365.25
    return -np.cos(2 * np.pi * (year_day - 20) / 365.25) * (1 if place.latitude >= 0 else -1)


def _temperature(generator: np.random.Generator, grid: TimeGrid, place: Place, spell: Array) -> Array:
    latitude = abs(place.latitude)
    summer = _summer(grid, place)
    solar_hour = (grid.starts.astype(np.int64) / 3_600 + place.longitude / 15) % 24
    clearness = 1 / (1 + np.exp(-_SPELL_SWING * spell))
    day_swing_c = _DULL_DAY_SWING_C + (_CLEAR_DAY_SWING_C - _DULL_DAY_SWING_C) * clearness
    spell_c = np.where(summer > 0, _CLEAR_SUMMER_C * summer, -_CLEAR_WINTER_C * summer) * spell
    return (
        _EQUATOR_C
        - _COOLING_PER_DEGREE * latitude
        + _SWING_PER_DEGREE * latitude * summer
        + day_swing_c * np.sin(2 * np.pi * (solar_hour - 9) / 24)
        + spell_c
        + _ANOMALY_C * _wandering(generator, grid, _ANOMALY_HOURS)
    )


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
