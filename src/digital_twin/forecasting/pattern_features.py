"""What a meter's days show, as numbers with names: when, how much, how restless, how cold, in which plateaus."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import PatternDays

LEAST_KW = 0.02
"""Less in the mean than this is no consumption: shares are then of this."""

_HOURS = {"night": (0, 5), "morning": (6, 9), "midday": (11, 15), "evening": (17, 21), "late": (22, 24)}
_LAGS_HOURS = {"quarter": 0.25, "half_hour": 0.5, "hour": 1, "two_hours": 2, "day": 24}
_NIGHT = slice(1, 6)
_STEP_KW, _STEP_SHARE = 0.5, 0.3
_PLATEAU_KW, _PLATEAU_HOURS, _PLATEAU_SPREAD_KW = 2.6, 1.0, 0.8
_EVENING_AND_NIGHT = np.array([hour >= 17 or hour < 6 for hour in range(24)])
_SUNNY = slice(10, 15)
_DARK = np.array([hour >= 18 or hour < 6 for hour in range(24)])
_LEAST_TEMPERATURES, _LEAST_SPREAD_C = 14, 1.5
_BENDS_C = np.arange(8.0, 20.0, 1.0)


@dataclass(frozen=True, slots=True)
class ColdResponse:
    """How consumption answers to cold below a bend, and with how much of its variation from day to day."""

    kw_per_c: float  # more per degree colder
    bend_c: float
    share: float  # of the variance of days, 0..1


def features_of(days: PatternDays) -> dict[str, float]:
    """All features by name; NaN where they cannot be known: finer than the readings, or without temperatures."""
    used = np.maximum(days.kw, 0.0)
    mean = max(float(used.mean()), LEAST_KW)
    found = {"level": float(np.log(mean)), "peak": float(np.log(np.quantile(used, 0.995) + LEAST_KW))}
    found["base"] = float(np.median(np.quantile(used, 0.05, axis=1)) / mean)
    found["weekend"] = _log_ratio(_mean_or(used[days.is_off], mean), _mean_or(used[~days.is_off], mean))
    hourly = np.maximum(days.hourly_kw, 0.0).mean(axis=0)
    for name, (start, end) in _HOURS.items():
        found[name] = float(np.log(hourly[start:end].mean() / mean + 0.05))
    found |= _memory(used, days.slots_an_hour)
    found |= _restlessness(used, mean, days.slots_an_hour)
    found |= _plateaus(days)
    found |= _sunshine(days)
    found |= _cold(days, mean)
    return found


def _memory(used: Array, slots_an_hour: int) -> dict[str, float]:
    """Correlation of what is used with what is used so much later."""
    row = used.ravel() - used.mean()
    power = float((row * row).mean())
    found: dict[str, float] = {}
    for name, hours in _LAGS_HOURS.items():
        lag = int(hours * slots_an_hour)
        found[f"after_{name}"] = np.nan if lag == 0 else _ratio(float((row[:-lag] * row[lag:]).mean()), power)
    night = used[:, _slots(_NIGHT, slots_an_hour)]
    night = night - night.mean(axis=1, keepdims=True)
    lag = max(slots_an_hour // 2, 1)
    found["night_memory"] = _ratio(float((night[:, :-lag] * night[:, lag:]).mean()), float((night * night).mean()))
    found["same_each_day"] = _ratio(float(used.mean(axis=0).var()), float(used.var()))
    return found


def _restlessness(used: Array, mean: float, slots_an_hour: int) -> dict[str, float]:
    """How much and how fast the power goes up and down, by day and by night."""
    night = used[:, _slots(_NIGHT, slots_an_hour)]
    spectrum = np.abs(np.fft.rfft(used.ravel() - used.mean())) ** 2
    cycles_an_hour = np.fft.rfftfreq(used.size, 1 / slots_an_hour)
    fast = _ratio(float(spectrum[cycles_an_hour > 0.5].sum()), float(spectrum[1:].sum()))
    steps = np.diff(used.ravel())
    rises = np.flatnonzero(steps > max(_STEP_KW, _STEP_SHARE * mean)) + 1
    by_hour = np.bincount(rises % used.shape[1] // slots_an_hour, minlength=24)
    return {
        "night_steps": float(np.log(np.abs(np.diff(night, axis=1)).mean() / mean + 0.01)),
        "within_two_hours": float(np.log(fast + 1e-3)) if slots_an_hour > 1 else np.nan,
        "rises_spread": _spread(by_hour),
        "night_rises": float(np.log(by_hour[:6].sum() / len(used) + 0.05)),
        "dark_rises": float(np.log(by_hour[_DARK].sum() / len(used) + 0.05)),
        "dark_spread": _spread(by_hour[_DARK]),
        "night_over_3_kw": float((night > 3.0).mean()),
    }


def _spread(by_hour: NDArray[np.int64]) -> float:
    """Entropy of where they fall, large where no hour is preferred."""
    share = (by_hour + 0.5) / (by_hour + 0.5).sum()
    return float(-(share * np.log(share)).sum())


def _plateaus(days: PatternDays) -> dict[str, float]:
    """Powers of vehicles: far above the day's level, held for an hour or longer."""
    slots_an_hour = days.slots_an_hour
    above = days.kw - np.quantile(days.kw, 0.3, axis=1, keepdims=True)
    width = max(int(_PLATEAU_HOURS * slots_an_hour), 2)
    windows = np.lib.stride_tricks.sliding_window_view(above.ravel(), width)
    lowest, highest = windows.min(axis=1), windows.max(axis=1)
    starts = np.flatnonzero((lowest > _PLATEAU_KW) & (highest - lowest < _PLATEAU_SPREAD_KW + 0.1 * lowest))
    within = np.unique((starts[:, None] + np.arange(width)).ravel())
    if not within.size:
        return {
            "plateau_hours": float(np.log(0.1)),
            "plateau_days": 0.0,
            "plateau_kw": float(np.log(_PLATEAU_KW)),
            "plateau_longest": 0.0,
            "plateau_evening": 0.5,
        }
    hour = within % days.kw.shape[1] // slots_an_hour
    ends = np.flatnonzero(np.diff(within) > 1)
    lengths = np.diff(np.concatenate([[-1], ends, [within.size - 1]]))
    return {
        "plateau_hours": float(np.log(7 * within.size / slots_an_hour / len(days.kw) + 0.1)),
        "plateau_days": np.unique(within // days.kw.shape[1]).size / len(days.kw),
        "plateau_kw": float(np.log(np.median(above.ravel()[within]))),
        "plateau_longest": float(np.log(np.quantile(lengths, 0.9) / slots_an_hour)),
        "plateau_evening": float(_EVENING_AND_NIGHT[hour].mean()),
    }


def _sunshine(days: PatternDays) -> dict[str, float]:
    """What generation behind the meter does: feeding in, and a midday far below morning and evening on some days."""
    hourly = days.hourly_kw
    size = max(float(np.abs(hourly).mean()), LEAST_KW)
    midday, shoulders = hourly[:, _SUNNY].mean(axis=1), hourly[:, [6, 7, 8, 18, 19, 20]].mean(axis=1)
    fed_in = float(np.maximum(-days.kw, 0.0).sum() / max(np.abs(days.kw).sum(), LEAST_KW))
    return {
        "fed_in": float(np.log(fed_in + 1e-3)),
        "midday_dip": float(((midday - shoulders) / size).mean()),
        "midday_dip_deep": float(np.quantile((midday - shoulders) / size, 0.1)),
        "midday_zeros": float((hourly[:, _SUNNY] <= 0.01).mean() - (hourly[:, :5] <= 0.01).mean()),
    }


def _cold(days: PatternDays, mean: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for where, by_dark in (("", False), ("_by_dark", True)):
        response = cold_response(days, by_dark=by_dark)
        found[f"colder{where}"] = np.nan if response is None else response.kw_per_c / mean
        found[f"cold_share{where}"] = np.nan if response is None else response.share
    return found


def cold_response(days: PatternDays, *, by_dark: bool = False) -> ColdResponse | None:
    """Least squares of the days' mean on degrees below a bend, which is the one that explains most.

    A net meter shows more on dull days, which in summer are the cold ones. `by_dark` looks at the dark hours alone, and
    compares days with the same noon, for a battery hands the sun on to the evening.

    None where temperatures are not known of enough days, or hardly differ.
    """
    known = np.isfinite(days.temperature_c)
    shown = days.hourly_kw[known][:, _DARK] if by_dark else days.kw[known]
    warmth, used = days.temperature_c[known], np.maximum(shown, 0.0).mean(axis=1)
    if known.sum() < _LEAST_TEMPERATURES or warmth.std() < _LEAST_SPREAD_C:
        return None
    others = [np.ones_like(warmth), days.is_off[known].astype(np.float64)]
    if by_dark:
        others.append(days.hourly_kw[known, _SUNNY].mean(axis=1))
    plain = _unexplained(np.column_stack(others), used)[1]
    best = ColdResponse(0.0, float(_BENDS_C[-1]), 0.0)
    for bend in _BENDS_C:
        cold = np.maximum(bend - warmth, 0.0)
        if cold.std() < 0.5:
            continue
        slopes, left = _unexplained(np.column_stack([*others, cold]), used)
        share = 1 - _ratio(left, plain) if plain > 0 else 0.0
        if share > best.share:
            best = ColdResponse(float(slopes[-1]), float(bend), share)
    return best


def _unexplained(columns: Array, target: Array) -> tuple[Array, float]:
    slopes = np.asarray(np.linalg.lstsq(columns, target, rcond=None)[0], dtype=np.float64)
    return slopes, float(((target - columns @ slopes) ** 2).sum())


def _slots(hours: slice, slots_an_hour: int) -> slice:
    return slice(hours.start * slots_an_hour, hours.stop * slots_an_hour)


def _ratio(numerator: float, denominator: float) -> float:
    """0 where nothing varies."""
    return numerator / denominator if denominator > 1e-12 else 0.0


def _log_ratio(numerator: float, denominator: float) -> float:
    return float(np.log((numerator + LEAST_KW) / (denominator + LEAST_KW)))


def _mean_or(values: Array, otherwise: float) -> float:
    return float(values.mean()) if values.size else otherwise
