"""Where the sun stands.

Source: the Astronomical Almanac's formulas as in Michalsky (1988), Solar Energy 40(3), good to 0.01 degrees from 1950
to 2050; refraction as in Reda and Andreas (2004), NREL/TP-560-34302; solar constant by Gueymard (2018).
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site

SOLAR_CONSTANT_WM2 = 1_361.1
_NOON_OF_2000 = 946_728_000.0
_DAY_SECONDS = 86_400.0
_RADIUS_DEGREES = 0.26667


@dataclass(frozen=True, slots=True, eq=False)
class Sun:
    """The way to the sun as it is seen from a place, at K instants."""

    east: Array  # (K,) unit vector
    north: Array  # (K,)
    up: Array  # (K,) sine of the height that is seen: refraction lifts the sun
    true_up: Array  # (K,) without refraction
    extra_wm2: Array  # (K,) on a plane that faces the sun above the air

    @property
    def is_up(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return self.up > 0


def sun_at(site: Site, seconds: Array) -> Sun:
    """The sun over a site at these instants, in seconds since 1970."""
    days = (seconds - _NOON_OF_2000) / _DAY_SECONDS
    anomaly = np.radians((357.528 + 0.985_600_3 * days) % 360)
    longitude = np.radians(280.460 + 0.985_647_4 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 0.000_000_4 * days)
    ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    sin_declination = np.sin(obliquity) * np.sin(longitude)
    cos_declination = np.sqrt(1 - sin_declination**2)
    hours = (seconds % _DAY_SECONDS) / 3_600
    sidereal_hours = 6.697_375 + 0.065_709_824_2 * days + hours
    hour_angle = np.radians((15 * sidereal_hours + site.longitude) % 360) - ascension

    sin_latitude, cos_latitude = np.sin(np.radians(site.latitude)), np.cos(np.radians(site.latitude))
    true_up = sin_latitude * sin_declination + cos_latitude * cos_declination * np.cos(hour_angle)
    east = -cos_declination * np.sin(hour_angle)
    north = cos_latitude * sin_declination - sin_latitude * cos_declination * np.cos(hour_angle)
    up = _lifted(true_up)
    level = np.sqrt((1 - up**2) / np.maximum(1 - true_up**2, 1e-12))
    distance = 1.000_14 - 0.016_71 * np.cos(anomaly) - 0.000_14 * np.cos(2 * anomaly)
    return Sun(east * level, north * level, up, true_up, SOLAR_CONSTANT_WM2 / distance**2)


def _lifted(true_up: Array) -> Array:
    """The sine of the height that is seen, at 1010 hPa and 12 degrees."""
    height = np.degrees(np.arcsin(np.clip(true_up, -1.0, 1.0)))
    seen = np.maximum(height, -_RADIUS_DEGREES - 0.5667)
    lift = 1.000_6 * 1.02 / (60 * np.tan(np.radians(seen + 10.3 / (seen + 5.11))))
    return np.sin(np.radians(np.where(height >= seen, height + lift, height)))
