"""The shape of a day in hours, and its name in words that a person would use."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import PatternDays
from digital_twin.forecasting.pattern_features import LEAST_KW

_PARTS = (("night", 22, 29), ("morning", 5, 10), ("midday", 10, 15), ("afternoon", 15, 17), ("evening", 17, 22))
_FLAT, _DIP, _DIP_BESIDE_NIGHT, _NIGHT_HEAVY, _OFFICE, _OFFICE_AT_REST = 0.12, 0.6, 0.9, 1.35, 1.25, 0.75


def profiles(days: PatternDays) -> Array:
    """Mean workday and mean day off, hour by hour; one stands for the other where there is none."""  # (2, 24) kW
    hourly = days.hourly_kw
    kinds = [hourly[~days.is_off], hourly[days.is_off]]
    return np.stack([(rows if len(rows) else hourly).mean(axis=0) for rows in kinds])


def normalised(shape_kw: Array) -> Array:
    """In units of its mean size, smoothed over neighbouring hours: 1 is the home's own mean."""  # as `shape_kw`
    smooth = 0.25 * np.roll(shape_kw, 1, axis=-1) + 0.5 * shape_kw + 0.25 * np.roll(shape_kw, -1, axis=-1)
    return smooth / max(float(np.abs(shape_kw).mean()), LEAST_KW)


def name_of(workday: Array, day_off: Array) -> str:
    """The first that holds of: midday solar dip, flat base load, night heating, daytime office, else when it peaks.

    Args:
        workday: hour by hour, normalised.
        day_off: the same.
    """
    day = (5 * workday + 2 * day_off) / 7
    size = max(float(np.abs(day).mean()), 1e-9)
    midday, shoulders = day[10:15].mean(), day[[6, 7, 8, 18, 19, 20]].mean()
    if midday < 0 or (midday < _DIP * shoulders and midday < _DIP_BESIDE_NIGHT * day[:5].mean()):
        return "midday solar dip"
    if day.std() < _FLAT * size:
        return "flat base load"
    if day[:5].mean() > _NIGHT_HEAVY * day[8:22].mean():
        return "night heating"
    at_work, at_rest = workday[8:17].mean(), day_off[8:17].mean()
    if at_work > _OFFICE * workday[17:23].mean() and at_rest < _OFFICE_AT_REST * at_work:
        return "daytime office"
    return f"{_part_of_peak(day)} peak"


def _part_of_peak(day: Array) -> str:
    hour = int(np.argmax(np.convolve(np.concatenate([day[-1:], day, day[:1]]), np.ones(3), mode="valid")))
    for part, start, end in _PARTS:
        if start <= hour < end or start <= hour + 24 < end:
            return part
    raise AssertionError(f"no part of the day holds hour {hour}")
