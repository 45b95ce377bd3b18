"""Synthetic communities: homes whose peaks do not coincide, and roofs under one moving sky.

Every home switches appliances on by chance, more often when people are at home and awake, so that a single home is
spiky and the sum of many is smooth. The sun is computed, its clouds are drawn. The same generator gives the same
community.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import LocalClock, TimeGrid, local_clock
from digital_twin.domain.units import Array

_HABITS = {
    # how much of an average hour's switching happens in each hour of the local day
    False: (
        0.35, 0.25, 0.2, 0.2, 0.2, 0.35, 0.9, 1.3, 1.1, 0.9, 0.9, 1.1,
        1.3, 1.1, 0.9, 0.9, 1.1, 1.6, 2.2, 2.3, 2.0, 1.5, 1.0, 0.6,
    ),
    True: (
        0.5, 0.35, 0.25, 0.2, 0.2, 0.25, 0.4, 0.8, 1.3, 1.6, 1.7, 1.7,
        1.7, 1.4, 1.2, 1.2, 1.3, 1.6, 1.9, 2.0, 1.8, 1.4, 1.0, 0.7,
    ),
}  # fmt: skip
"""Shape after the BDEW household profile H0 (1999); False on workdays, True at weekends."""

_APPLIANCES = (
    # power kW, minutes, times a day
    (2.0, 30, 1.1),  # cooking
    (1.9, 60, 0.5),  # washing and drying
    (1.8, 15, 2.0),  # kettle, iron, hair dryer
    (0.15, 180, 2.2),  # screens and lights
)
"""Mean powers, durations and frequencies, chosen so that a home uses about 3,400 kWh a year with its base load; the
switching by chance follows Richardson, Thomson, Infield and Clifford (2010), Energy and Buildings 42."""

_BASE_KW = (0.08, 0.35)
_SEASONAL_SWING = 0.18
_CLOUD_MEMORY_HOURS = 6.0
_SYSTEM_EFFICIENCY = 0.86


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sun is seen from and which clock people live by."""

    latitude: float
    longitude: float
    timezone: str


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticCommunity:
    """Loads of every home and the generation of all roofs together."""

    grid: TimeGrid
    load_kw: Array  # (N, T)
    pv_kw: Array  # (T,)


def synthetic_community(
    generator: np.random.Generator, grid: TimeGrid, place: Place, *, homes: int, pv_capacity_kw: float
) -> SyntheticCommunity:
    """A community of `homes` under one sky."""
    clock = local_clock(grid, place.timezone)
    load_kw = np.stack([_home(generator, grid, clock) for _ in range(homes)])
    pv_kw = pv_capacity_kw * _SYSTEM_EFFICIENCY * _clear_sky(grid, place) * _sky(generator, grid)
    return SyntheticCommunity(grid, load_kw, pv_kw)


def _home(generator: np.random.Generator, grid: TimeGrid, clock: LocalClock) -> Array:
    """Base load, and appliances that are switched on by chance."""  # (T,)
    habits = np.array([_HABITS[False], _HABITS[True]])
    activity = habits[(clock.weekday >= 5).astype(np.int64), clock.hour.astype(np.int64)]
    season = 1 + _SEASONAL_SWING * np.cos(2 * np.pi * (clock.day_of_year - 15) / 365.25)
    liveliness = generator.lognormal(-0.1, 0.45)
    load_kw = np.full(grid.steps, generator.uniform(*_BASE_KW))
    for power_kw, minutes, times_a_day in _APPLIANCES:
        expected = times_a_day / 24 * grid.step_hours * liveliness * activity * season
        starts = generator.poisson(expected).astype(np.float64) * power_kw * generator.uniform(0.6, 1.3)
        length = max(1, round(minutes / grid.step_minutes))
        share = min(1.0, minutes / grid.step_minutes)
        load_kw += share * np.convolve(starts, np.ones(length))[: grid.steps]
    return load_kw


def _clear_sky(grid: TimeGrid, place: Place) -> Array:
    """Output of a roof at 30 degrees towards the equator under a clear sky, per kW.

    Source: solar position by Cooper (1969), clear-sky radiation by Haurwitz (1945).
    """  # (T,)
    middle_s = grid.starts.astype(np.int64) + 30 * grid.step_minutes
    day = (middle_s // 86_400).astype("datetime64[D]")
    day_of_year = (day - day.astype("datetime64[Y]")).astype(np.int64) + 1
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day_of_year) / 365)
    hour_angle = np.radians(15 * (middle_s / 3600 % 24 - 12) + place.longitude)
    latitude, tilt = np.radians(place.latitude), np.radians(30.0)
    elevation = _cosine_of_incidence(latitude, declination, hour_angle)
    on_roof = _cosine_of_incidence(latitude - np.sign(place.latitude) * tilt, declination, hour_angle)
    horizontal_wm2 = 1098 * elevation * np.exp(-0.057 / np.maximum(elevation, 0.02))
    beam = np.minimum(np.divide(on_roof, elevation, out=np.zeros_like(elevation), where=elevation > 0.02), 4.0)
    return np.clip(horizontal_wm2 * (0.85 * beam + 0.15) / 1000, 0.0, 1.0) * (elevation > 0)


def _cosine_of_incidence(latitude: float, declination: Array, hour_angle: Array) -> Array:
    cosine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    return np.maximum(cosine, 0.0)


def _sky(generator: np.random.Generator, grid: TimeGrid) -> Array:
    """The share of the clear sky that clouds leave: a slow first-order process with clear and overcast ends."""
    memory = np.exp(-grid.step_hours / _CLOUD_MEMORY_HOURS)
    shocks = generator.standard_normal(grid.steps) * np.sqrt(1 - memory**2)
    level = np.empty(grid.steps)
    state = generator.standard_normal()
    for step, shock in enumerate(shocks):
        state = memory * state + shock
        level[step] = state
    return 0.15 + 0.85 / (1 + np.exp(-(1.6 * level + 0.1)))
