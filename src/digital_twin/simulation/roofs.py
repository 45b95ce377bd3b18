"""PV on the roofs of a community: where they look, what their inverters let through, and what the sky gives them.

Source: tilted irradiance by Hay and Davies (1980), cell temperature by Faiman (2008), losses and temperature
coefficient of PVWatts version 5 (Dobos 2014, NREL/TP-6A20-62641); the formulas of pvlib, one pass over the daylight.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from digital_twin.domain.assets import Photovoltaics
from digital_twin.domain.units import Array
from digital_twin.simulation.place import Place
from digital_twin.simulation.sky import Daylight, Sky, Spot, direct_and_diffuse, ghi_at

_CAPACITY_KW, _CAPACITY_SPREAD, _LEAST_KW, _MOST_KW = 8.0, 0.45, 1.5, 30.0
_TILT_DEGREES, _TILT_SPREAD_DEGREES, _LEAST_TILT, _MOST_TILT = 32.0, 12.0, 3.0, 65.0
_AZIMUTH_SPREAD_DEGREES, _MOST_OFF_DEGREES = 50.0, 120.0
"""Sizes are lognormal, tilts and azimuths normal; their centres and spreads are rounded after the German and Austrian
systems in Killinger et al. (2018), Solar Energy 173, and newer roofs, which are larger."""
_PANELS_PER_INVERTER = (1.0, 1.3)
"""Peak power of the panels over the inverter's, from fitting to generous (Burger and Rüther 2006, Solar Energy 80)."""

_SYSTEM_EFFICIENCY = 0.86
_TEMPERATURE_COEFFICIENT_PER_C = -0.004
_FAIMAN_U0, _FAIMAN_U1 = 25.0, 6.84
_ALBEDO = 0.25
_LOWEST_SUN = 0.01745


@dataclass(frozen=True, slots=True)
class Roof:
    """The PV of a home; the inverter lets so much through."""

    photovoltaics: Photovoltaics
    inverter_kw: float
    spot: Spot


def draw_roof(generator: np.random.Generator, place: Place, spot: Spot) -> Roof:
    """A roof that more or less faces the equator."""
    towards = 180.0 if place.latitude >= 0 else 0.0
    capacity = float(np.clip(_CAPACITY_KW * generator.lognormal(0.0, _CAPACITY_SPREAD), _LEAST_KW, _MOST_KW))
    tilt = float(np.clip(generator.normal(_TILT_DEGREES, _TILT_SPREAD_DEGREES), _LEAST_TILT, _MOST_TILT))
    off = float(np.clip(generator.normal(0.0, _AZIMUTH_SPREAD_DEGREES), -_MOST_OFF_DEGREES, _MOST_OFF_DEGREES))
    inverter = capacity / generator.uniform(*_PANELS_PER_INVERTER)
    return Roof(Photovoltaics(capacity, tilt, (towards + off) % 360), inverter, spot)


def roof_kw(sky: Sky, roof: Roof) -> Array:
    """Generation in each interval."""  # (T,)
    daylight, panels = sky.daylight, roof.photovoltaics
    tilt, azimuth = np.radians([panels.tilt_degrees, panels.azimuth_degrees])
    normal = np.array([np.sin(tilt) * np.sin(azimuth), np.sin(tilt) * np.cos(azimuth), np.cos(tilt)])
    output = np.zeros(sky.grid.steps)
    plane = _plane_wm2(daylight.sun, daylight.dni_extra_wm2, ghi_at(daylight, roof.spot), normal)
    output[daylight.steps] = _inverted_kw(sky, daylight, plane, roof)
    return output


@njit(cache=True)
def _plane_wm2(sun: Array, extra: Array, ghi: Array, normal: Array) -> Array:
    """Irradiance of the tilted plane: the beam, the sky's glow around the sun and elsewhere, and the ground's."""
    out = np.empty_like(ghi)
    sky_view, ground_view = (1 + normal[2]) / 2, (1 - normal[2]) / 2
    for step in range(ghi.size):
        up = sun[2, step]
        dni, dhi = direct_and_diffuse(up, extra[step], ghi[step])
        facing = max(normal[0] * sun[0, step] + normal[1] * sun[1, step] + normal[2] * up, 0.0)
        around = dni / extra[step]
        diffuse = dhi * (around * facing / max(up, _LOWEST_SUN) + (1 - around) * sky_view)
        out[step] = dni * facing + diffuse + _ALBEDO * ghi[step] * ground_view
    return out


def _inverted_kw(sky: Sky, daylight: Daylight, plane_wm2: Array, roof: Roof) -> Array:
    """What the inverter makes of it."""  # (D,)
    cooling = _FAIMAN_U0 + _FAIMAN_U1 * sky.wind_speed_ms[daylight.steps]
    warmer_c = sky.temperature_c[daylight.steps] + plane_wm2 / cooling - 25.0
    panels_kw = roof.photovoltaics.capacity_kw * _SYSTEM_EFFICIENCY / 1_000.0 * plane_wm2
    return np.clip(panels_kw * (1 + _TEMPERATURE_COEFFICIENT_PER_C * warmer_c), 0.0, roof.inverter_kw)
