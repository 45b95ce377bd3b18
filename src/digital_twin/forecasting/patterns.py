"""What is typical of homes and of days: shapes with names, what homes seem to have, and days that are unlike others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import Locality, PatternDays, pattern_days
from digital_twin.forecasting.pattern_detection import LOOKED_AT, Detected, Weights, detect_devices, shows_pv
from digital_twin.forecasting.pattern_features import ColdResponse, cold_response, features_of
from digital_twin.forecasting.pattern_groups import Groups, distinct_names, group
from digital_twin.forecasting.pattern_shapes import name_of, normalised, profiles
from digital_twin.forecasting.pattern_weights import WEIGHTS
from digital_twin.forecasting.unusual_days import UnusualDay, unusual_days

_PEAKED, _BY_LEVEL = ("pronounced", "mild"), ("high", "low")


@dataclass(frozen=True, slots=True, eq=False)
class PatternSeries:
    """Readings of one meter, or of the whole community, with the temperature outdoors where it is known."""

    name: str
    grid: TimeGrid
    values_kw: Array  # (T,) NaN where there is none
    temperature_c: Array | None = None  # (T,)
    load_kw: Array | None = None  # (T,) what is used, where `values_kw` is net of generation and both are known


@dataclass(frozen=True, slots=True, eq=False)
class MeterPattern:
    """What one meter shows."""

    shape: str
    workday_kw: Array  # (24,)
    day_off_kw: Array  # (24,)
    mean_kw: float
    base_share: float  # of the mean: what is always on
    peak_kw: float  # 99.5 of 100 readings are below
    peak_hour: int
    cold: ColdResponse | None
    devices: Mapping[str, Detected]
    days: int


@dataclass(frozen=True, slots=True, eq=False)
class NamedGroup:
    """Homes, or days, that are alike."""

    name: str
    count: int
    workday: Array  # (24,) in units of the mean
    day_off: Array  # (24,)


@dataclass(frozen=True, slots=True, eq=False)
class MemberPatterns:
    """What each meter shows, None where it has too few days; and the groups that they fall into."""

    meters: tuple[MeterPattern | None, ...]
    group_of: tuple[int | None, ...]
    groups: tuple[NamedGroup, ...]
    silhouette: float | None
    stability: float | None


@dataclass(frozen=True, slots=True, eq=False)
class DayPatterns:
    """The kinds of days of one series, which kind each day is, and the days unlike their kind."""

    pattern: MeterPattern
    kinds: tuple[NamedGroup, ...]
    day: tuple[date, ...]
    kind_of: tuple[int, ...]
    silhouette: float | None
    stability: float | None
    unusual: tuple[UnusualDay, ...]


def member_patterns(meters: Sequence[PatternSeries], locality: Locality) -> MemberPatterns:
    """Of all meters beside each other; one with too few days has no pattern, and keeps no other from having one."""
    found = [_days_or_none(meter, locality) for meter in meters]
    patterns = tuple(
        None if days is None else meter_pattern(days, _used_days(meter, locality))
        for meter, days in zip(meters, found, strict=True)
    )
    shapes = [np.concatenate(normalised(profiles(days))) for days in found if days is not None]
    if not shapes:
        return MemberPatterns(patterns, (None,) * len(patterns), (), None, None)
    groups = group(np.stack(shapes))
    label = iter(groups.label.tolist())
    group_of = tuple(None if days is None else next(label) for days in found)
    return MemberPatterns(patterns, group_of, _named_homes(groups), groups.silhouette, groups.stability)


def meter_pattern(days: PatternDays, used: PatternDays | None = None) -> MeterPattern:
    """What these days show; heat pumps, vehicles and the answer to cold are looked for in `used` where it is known."""
    features = features_of(days)
    workday, day_off = profiles(days)
    devices = detect_devices(features, _weights(60 // days.slots_an_hour), None if used is None else features_of(used))
    is_net = used is None and shows_pv(devices["pv"])
    return MeterPattern(
        shape=name_of(*normalised(np.stack([workday, day_off]))),
        workday_kw=workday,
        day_off_kw=day_off,
        mean_kw=float(days.kw.mean()),
        base_share=features["base"],
        peak_kw=float(np.quantile(days.kw, 0.995)),
        peak_hour=int(np.argmax(days.hourly_kw.mean(axis=0))),
        cold=cold_response(used or days, by_dark=is_net),
        devices=devices,
        days=len(days.day),
    )


def day_patterns(series: PatternSeries, locality: Locality) -> DayPatterns:
    """The days of one series. Raises InsufficientData when there are too few."""
    days = pattern_days(series.values_kw, series.grid, locality, series.temperature_c)
    shapes = normalised(days.hourly_kw)
    groups = group(shapes)
    return DayPatterns(
        pattern=meter_pattern(days, _used_days(series, locality)),
        kinds=_named_days(groups, days, shapes),
        day=tuple(days.day.astype("datetime64[D]").tolist()),
        kind_of=tuple(groups.label.tolist()),
        silhouette=groups.silhouette,
        stability=groups.stability,
        unusual=tuple(unusual_days(days)),
    )


def _days_or_none(meter: PatternSeries, locality: Locality) -> PatternDays | None:
    try:
        return pattern_days(meter.values_kw, meter.grid, locality, meter.temperature_c)
    except InsufficientData:
        return None


def _used_days(meter: PatternSeries, locality: Locality) -> PatternDays | None:
    """Days of what is used, where that is known beside the net."""
    if meter.load_kw is None:
        return None
    return _days_or_none(replace(meter, values_kw=meter.load_kw), locality)


def _named_homes(groups: Groups) -> tuple[NamedGroup, ...]:
    halves = groups.centres.reshape(-1, 2, 24)
    names = [name_of(workday, day_off) for workday, day_off in halves]
    names = distinct_names(names, halves.max(axis=(1, 2)), _PEAKED)
    return tuple(
        NamedGroup(name, int(count), workday, day_off)
        for name, count, (workday, day_off) in zip(names, groups.sizes, halves, strict=True)
    )


def _named_days(groups: Groups, days: PatternDays, shapes: Array) -> tuple[NamedGroup, ...]:
    """A kind has the shape of its workdays and of its days off; of one of these where it has no other."""
    names = [name_of(centre, centre) for centre in groups.centres]
    names = distinct_names(names, groups.centres.mean(axis=1), _BY_LEVEL)
    found: list[NamedGroup] = []
    for number, (name, count) in enumerate(zip(names, groups.sizes, strict=True)):
        halves = [shapes[(groups.label == number) & (days.is_off == off)] for off in (False, True)]
        workday, day_off = (rows.mean(axis=0) if len(rows) else groups.centres[number] for rows in halves)
        found.append(NamedGroup(name, int(count), workday, day_off))
    return tuple(found)


@cache
def _weights(step_minutes: int) -> dict[str, Weights]:
    return {device: Weights(*WEIGHTS[device, step_minutes]) for device in LOOKED_AT}
