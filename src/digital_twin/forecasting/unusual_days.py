"""Days that differ from their own kind: same sort of day, same season, as warm; and how they differ, in words."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import PatternDays, Truths
from digital_twin.forecasting.pattern_features import LEAST_KW, cold_response

FAR = 5.0
"""Robust deviations from which on a day is unusual: one of several hundred in a series of independent days."""

_SEASON_DAYS = 42
_LEAST_ALIKE = 4
_LEAST_SCALE = 0.1  # of the mean size
_SPARED_QUANTILE = 0.9
_TWICE, _MORE, _HALF, _HARDLY = 1.8, 1.25, 0.6, 0.15
_EVENING, _MORNING, _NIGHT = slice(17, 22), slice(6, 9), slice(0, 5)
_PEAK = 1.25


@dataclass(frozen=True, slots=True)
class UnusualDay:
    """A day that differs from those of its kind."""

    day: date
    distance: float  # robust deviations, at least FAR
    because: str
    kw: tuple[float, ...]  # (24,)
    usual_kw: tuple[float, ...]  # (24,)


def unusual_days(days: PatternDays, most: int = 20) -> list[UnusualDay]:
    """The farthest first; none of a kind of which there are too few."""
    hourly = days.hourly_kw
    usual = _usual(days, hourly)
    known = np.isfinite(usual).all(axis=1)
    if known.sum() < _LEAST_ALIKE:
        return []
    distance = np.zeros(len(hourly))
    distance[known] = _distances(hourly[known] - usual[known], float(np.abs(hourly).mean()))
    farthest = [one for one in np.argsort(-distance, kind="stable")[:most] if distance[one] >= FAR]
    return [
        UnusualDay(
            days.day[one].astype("datetime64[D]").item(),
            round(float(distance[one]), 1),
            _words(hourly[one], usual[one]),
            tuple(hourly[one].tolist()),
            tuple(usual[one].tolist()),
        )
        for one in farthest
    ]


def _usual(days: PatternDays, hourly: Array) -> Array:
    """Hour by hour the median of the other days of the kind within six weeks, moved by what the cold asks for."""
    cold = _cold_kw(days)
    usual = np.full(hourly.shape, np.nan)
    for one in range(len(hourly)):
        alike = (days.is_off == days.is_off[one]) & (np.abs(days.day - days.day[one]) <= _SEASON_DAYS)
        alike[one] = False
        if alike.sum() >= _LEAST_ALIKE:
            usual[one] = np.median(hourly[alike] + (cold[one] - cold[alike])[:, None], axis=0)
    return usual


def _cold_kw(days: PatternDays) -> Array:
    """What the cold of each day adds to its mean; 0 where that is not known."""  # (D,)
    response = cold_response(days)
    if response is None or response.kw_per_c <= 0:
        return np.zeros(len(days.day))
    degrees = np.maximum(response.bend_c - days.temperature_c, 0.0)
    return response.kw_per_c * np.where(np.isfinite(degrees), degrees, np.nanmedian(degrees))


def _distances(apart: Array, size: float) -> Array:
    """How far each day is, in robust deviations of how far days are."""  # (D,)
    scale = np.maximum(1.4826 * np.median(np.abs(apart), axis=0), _LEAST_SCALE * max(size, LEAST_KW))
    in_hours = np.sqrt(np.mean((apart / scale) ** 2, axis=1))
    centre = np.median(in_hours)
    ordinary = np.abs(in_hours - centre)[in_hours <= np.quantile(in_hours, _SPARED_QUANTILE)]
    return (in_hours - centre) / max(1.4826 * float(np.median(ordinary)), 0.25)


def _words(day: Array, usual: Array) -> str:
    """What a person would say first."""
    size = max(float(np.abs(usual).mean()), LEAST_KW)
    if np.abs(day).mean() < _HARDLY * size:
        return "hardly any consumption all day"
    run = _longest_run(np.abs(day - usual) > 0.5 * size)
    if run is None or run[1] - run[0] >= 20:
        return f"{_times(float(day.mean()), float(usual.mean()), size)} all day"
    start, end = run
    for name, part in (("evening", _EVENING), ("morning", _MORNING)):
        is_usual = usual[part].mean() > _PEAK * usual.mean()
        if is_usual and day[part].mean() < _HALF * usual[part].mean() and part.start - 2 <= start < part.stop:
            return f"no {name} peak"
    told = _times(float(day[start:end].mean()), float(usual[start:end].mean()), size)
    return f"{told} from {start:02d}:00 to {end:02d}:00"


def _times(level: float, usual: float, size: float) -> str:
    if usual < 0.2 * size:
        return "far more than usual" if level > usual else "far less than usual"
    ratio = level / usual
    if ratio >= 2.5:
        return f"{ratio:.0f} times the usual level"
    if ratio >= _TWICE:
        return "twice the usual level"
    if ratio >= _MORE:
        return "more than usual"
    if ratio <= _HARDLY:
        return "hardly any consumption" if level >= 0 else "much fed in"
    if ratio <= _HALF:
        return "half the usual level or less"
    return "another course than usual" if ratio > 0.9 else "less than usual"


def _longest_run(flags: Truths) -> tuple[int, int] | None:
    """The longest stretch of True as [start, end); None without any."""
    if not flags.any():
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])
