"""The load of single homes: appliances that are switched on by habit and by chance, in continuous time.

A home's draws do not depend on the resolution, so that its hourly series is the mean of its quarters.

Source: switching by chance after Richardson, Thomson, Infield and Clifford (2010), Energy and Buildings 42.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from digital_twin.domain.assets import check_range
from digital_twin.domain.time import TimeGrid, floor_to_step, local_clock
from digital_twin.domain.units import Array

_AWAKE = (
    # how much of a day's switching happens in each local hour, in the mean 1; workdays, then weekends
    (
        0.1, 0.05, 0.05, 0.05, 0.05, 0.1, 1.4, 1.9, 1.7, 1.5, 1.3, 0.9,
        0.6, 1.5, 1.4, 1.2, 1.0, 0.9, 0.9, 0.9, 2.0, 2.2, 1.2, 0.6,
    ),
    (
        0.3, 0.1, 0.05, 0.05, 0.05, 0.1, 0.2, 0.4, 1.9, 2.5, 2.2, 1.8,
        1.2, 1.7, 1.6, 1.5, 1.2, 1.2, 1.1, 0.9, 1.8, 2.0, 1.2, 0.7,
    ),
)  # fmt: skip
"""What the BDEW household profile H0 (1999) leaves when cooking and all that never rests are taken out of it."""

_BY_CHANCE = (
    # kW, minutes, times a day; their spread is lognormal
    (0.15, 150.0, 5.1),  # lights and screens
    (1.9, 5.0, 4.5),  # kettle, coffee, toaster, hair dryer
    (1.6, 14.0, 1.0),  # iron, vacuum cleaner, microwave
    (2.1, 26.0, 0.55),  # washing machine, while it heats
    (2.3, 50.0, 0.32),  # tumble dryer
    (1.9, 28.0, 0.65),  # dishwasher, while it heats
)
_HEATER = (1.6, 90.0, 1.0)
_SPREAD_OF_POWER, _SPREAD_OF_MINUTES = 0.33, 0.45

_MEALS = (
    # local hour, kW of hob and oven, minutes, chance on a day
    (7.1, 1.3, 9.0, 0.5),
    (12.3, 1.7, 28.0, 0.4),
    (18.7, 1.8, 32.0, 0.6),
)
_SECOND_OVEN_CHANCE, _SECOND_OVEN_KW = 0.12, 2.0
_COOKS_WITH_GAS = 0.15
_HABIT_SPREAD_HOURS, _DAILY_SPREAD_MINUTES = 1.0, 15.0
_BOILER_KW, _BOILER_MINUTES = (1.5, 3.5), (40.0, 90.0)
_NIGHT_HEATING_KW, _NIGHT_HEATING_HOURS = (4.0, 12.0), 8.0
_HAS_HEATER, _HEATS_BELOW_C, _FULLY_AT_C = 0.12, 14.0, 0.0
_FRIDGE_KW, _FRIDGE_MINUTES = 0.09, (14.0, 42.0)
_MORE_IN_WINTER = 0.2  # as H0 has it
_JOURNEYS_A_YEAR, _JOURNEY_DAYS = 3.0, 5.0
_SWITCHED_ON_AT, _TIMER_SPREAD = (22.0, 29.0), 0.3
"""All chosen so that a home without heat pump uses about 3,300 kWh a year in the mean and has its 15-minute peak at 4
to 8 kW; compared with metered homes in `benchmarks/synthetic.py`."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What differs between populations; as it stands, Central Europe's homes that do not heat by electricity."""

    liveliness: float = 1.0  # in the mean: how often things are switched on
    liveliness_spread: float = 0.5
    standby_kw: float = 0.065  # of the median home
    standby_spread: float = 0.4
    boiler: float = 0.12  # share of homes with hot water by the clock at night
    night_heating: float = 0.0  # share of homes whose storage heaters are charged at night

    def __post_init__(self) -> None:
        for name in ("liveliness", "liveliness_spread", "standby_kw", "standby_spread"):
            check_range(getattr(self, name), name, 0, 10)
        for name in ("boiler", "night_heating"):
            check_range(getattr(self, name), name, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """What decides when people switch: hour by hour, from the whole hour at or before the grid's start."""

    grid: TimeGrid
    lead_minutes: float  # from that hour to the grid's start
    local_hour: NDArray[np.int64]  # (H,)
    is_weekend: NDArray[np.int64]  # (H,)
    cold: Array  # (H,) 0 when nobody heats .. 1
    season: Array  # (H,) mean 1, more in the cold months
    midnights: Array  # (D,) local midnights in minutes after that hour
    day: NDArray[np.int64]  # (H,) which of the local days
    is_weekend_day: NDArray[np.int64]  # (D,)
    mean_c: Array  # (D,) of the local day


def calendar_of(grid: TimeGrid, zone: str, latitude: float, temperature_c: Array) -> Calendar:
    """The calendar of a grid and its weather."""
    first = floor_to_step(grid.start, 60)
    hours = -int((first - grid.end).total_seconds() // 3600)
    clock = local_clock(TimeGrid(first, hours, 60), zone)
    changes = np.flatnonzero(np.diff(clock.day, prepend=clock.day[0] - 1))
    lead = (grid.start - first).total_seconds() / 60
    step_of_hour = np.clip((np.arange(hours) * 60 - lead) // grid.step_minutes, 0, grid.steps - 1).astype(np.int64)
    hourly_c = temperature_c[step_of_hour]
    winter = np.cos(2 * np.pi * (clock.day_of_year - 20) / 365.25) * (1 if latitude >= 0 else -1)
    return Calendar(
        grid,
        lead,
        clock.hour.astype(np.int64),
        (clock.weekday >= 5).astype(np.int64),
        _coldness(hourly_c),
        1 + _MORE_IN_WINTER * winter,
        60.0 * (changes - clock.hour[changes]),
        clock.day - clock.day[0],
        (clock.weekday[changes] >= 5).astype(np.int64),
        np.add.reduceat(hourly_c, changes) / np.diff(changes, append=hours),
    )


def _coldness(temperature_c: Array) -> Array:
    return np.clip((_HEATS_BELOW_C - temperature_c) / (_HEATS_BELOW_C - _FULLY_AT_C), 0.0, 1.0)


def home_load_kw(generator: np.random.Generator, calendar: Calendar, habits: Habits = Habits()) -> Array:
    """Mean power of one home in each interval, without heat pump and vehicle; a home is its generator."""  # (T,)
    spread = habits.liveliness_spread
    liveliness = habits.liveliness * generator.lognormal(-(spread**2) / 2, spread)
    shift_hours = int(np.round(generator.normal(0, 1.0)))
    appliances = _appliances(generator, liveliness)
    meals = _meals(generator, liveliness)
    timers = _timers(generator, habits)
    standby_kw = habits.standby_kw * generator.lognormal(0.0, habits.standby_spread)
    is_there = _presence(generator, calendar.midnights.size)
    minutes = np.zeros(calendar.grid.steps)
    rates = np.roll(np.array(_AWAKE), shift_hours, axis=1)[calendar.is_weekend, calendar.local_hour]
    rates *= calendar.season * is_there[calendar.day]
    step, lead = float(calendar.grid.step_minutes), calendar.lead_minutes
    _switch_by_chance(generator, appliances[:-1], rates, step, lead, minutes)
    _switch_by_chance(generator, appliances[-1:], rates * calendar.cold, step, lead, minutes)
    _keep_meals(generator, meals, calendar.midnights[is_there > 0], step, lead, minutes)
    for (hour, kw, lasts, has), share in zip(timers, (is_there, _coldness(calendar.mean_c)), strict=True):
        if has:
            _keep_timer(generator, kw, calendar.midnights + 60.0 * hour - lead, lasts * share, step, minutes)
    _cycle_fridge(generator, 60.0 * rates.size, step, lead, minutes)
    return standby_kw + minutes / step


def _presence(generator: np.random.Generator, days: int) -> Array:
    """1 on days at home, 0 on journeys."""  # (D,)
    is_there = np.ones(days)
    for first in np.flatnonzero(generator.uniform(size=days) < _JOURNEYS_A_YEAR / 365):
        is_there[first : first + 1 + generator.geometric(1 / _JOURNEY_DAYS)] = 0.0
    return is_there


def _appliances(generator: np.random.Generator, liveliness: float) -> Array:
    """Those that are switched on by chance, the heater last: kW, minutes, times a day."""  # (A, 3)
    appliances = np.array([*_BY_CHANCE, _HEATER])
    appliances[:, 0] *= generator.lognormal(0.0, _SPREAD_OF_POWER, len(appliances))
    appliances[:-1, 2] *= liveliness * generator.lognormal(-0.08, 0.4, len(_BY_CHANCE))
    appliances[-1, 2] *= generator.uniform() < _HAS_HEATER
    return appliances


def _meals(generator: np.random.Generator, liveliness: float) -> Array:
    meals = np.array(_MEALS)
    meals[:, 0] += generator.normal(0, _HABIT_SPREAD_HOURS, len(_MEALS))
    meals[:, 1] *= generator.lognormal(0.0, _SPREAD_OF_POWER) * (generator.uniform() >= _COOKS_WITH_GAS)
    meals[:, 3] = np.clip(meals[:, 3] * liveliness**0.5 * generator.lognormal(0.0, 0.3, len(_MEALS)), 0.0, 0.97)
    return meals


def _timers(generator: np.random.Generator, habits: Habits) -> Array:
    """Boiler and storage heaters: local hour, kW, minutes of a day (of a cold one), whether it is there."""  # (2, 4)
    hours = generator.uniform(*_SWITCHED_ON_AT, 2)
    is_there = generator.uniform(size=2) < (habits.boiler, habits.night_heating)
    kw = generator.uniform(*_BOILER_KW), generator.uniform(*_NIGHT_HEATING_KW)
    minutes = generator.uniform(*_BOILER_MINUTES), 60.0 * _NIGHT_HEATING_HOURS * generator.uniform(0.7, 1.2)
    return np.stack([hours, kw, minutes, is_there], axis=1)


@njit(cache=True)
def _switch_by_chance(
    generator: np.random.Generator, appliances: Array, rates: Array, step: float, lead: float, out: Array
) -> None:
    """A Poisson process for each appliance, thinned from its highest rate. Source: Lewis and Shedler (1979)."""
    highest = rates.max()
    if highest <= 0:
        return
    end = 60.0 * rates.size
    for one in range(appliances.shape[0]):
        kw, mean_minutes, per_day = appliances[one]
        if per_day <= 0:
            continue
        at = 0.0
        while True:
            at += generator.exponential(1440.0 / (per_day * highest))
            if at >= end:
                break
            if generator.random() * highest < rates[int(at / 60.0)]:
                lasts = mean_minutes * np.exp(_SPREAD_OF_MINUTES * generator.standard_normal())
                run(at - lead, lasts, kw, step, out)


@njit(cache=True)
def _keep_meals(
    generator: np.random.Generator, meals: Array, midnights: Array, step: float, lead: float, out: Array
) -> None:
    """Cooking near the home's own hours, not every day; sometimes with the oven as well."""
    for midnight in midnights:
        for meal in range(meals.shape[0]):
            hour, kw, minutes, chance = meals[meal]
            at = midnight + 60.0 * hour + _DAILY_SPREAD_MINUTES * generator.standard_normal()
            lasts = minutes * np.exp(_SPREAD_OF_MINUTES * generator.standard_normal())
            cooks, bakes = generator.random() < chance, generator.random() < _SECOND_OVEN_CHANCE
            if cooks:
                run(at - lead, lasts, kw, step, out)
            if cooks and bakes and kw > 0 and minutes > 10:
                run(at - lead, 1.3 * lasts, _SECOND_OVEN_KW, step, out)


@njit(cache=True)
def _keep_timer(
    generator: np.random.Generator, kw: float, starts: Array, minutes: Array, step: float, out: Array
) -> None:
    """What is charged at night, by the clock, as long as was used by day."""
    for day in range(starts.size):
        run(starts[day], minutes[day] * np.exp(_TIMER_SPREAD * generator.standard_normal()), kw, step, out)


@njit(cache=True)
def _cycle_fridge(generator: np.random.Generator, end: float, step: float, lead: float, out: Array) -> None:
    on, cycle = _FRIDGE_MINUTES
    at = -generator.random() * cycle
    while at < end:
        run(at - lead, on, _FRIDGE_KW, step, out)
        at += cycle * (0.8 + 0.4 * generator.random())


@njit(cache=True)
def run(start: float, lasts: float, kw: float, step: float, out: Array) -> None:
    """Add kW x minutes of [start, start + lasts) to the steps that it touches."""
    end = start + lasts
    first = max(int(np.floor(start / step)), 0)
    last = min(int(np.floor(end / step)), out.size - 1)
    for index in range(first, last + 1):
        overlap = min(end, (index + 1) * step) - max(start, index * step)
        if overlap > 0:
            out[index] += kw * overlap
