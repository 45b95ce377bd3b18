"""Electric vehicles: when they are away, what they need when they come home, and how they charge if nobody controls it.

Sources: distances after Mobilität in Deutschland 2017 (about 13,500 km a year); drivers who plug in every time and
drivers who wait until the battery is low, together 2 to 3 times a week, after Electric Nation in Gonzalez Venegas,
Petit and Perez (2021), "Plug-in behavior of electric vehicles users"; consumption and its rise in the cold after Yuksel
and Michalek (2015), Environmental Science & Technology 49.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from digital_twin.domain.assets import EvCharger
from digital_twin.domain.units import Array
from digital_twin.simulation.homes import Calendar, run

CHARGE_EFFICIENCY = 0.9
"""From the socket into the battery; Kostopoulos et al. (2020), Energy Reports 6, lost 12 to 15 %, newer cars less."""

_CHARGERS, _CHARGER_SHARES = (EvCharger(3.7, 1.38), EvCharger(7.4, 1.38), EvCharger(11.0, 4.14)), (0.25, 0.15, 0.6)
"""One phase of 16 and 32 A, three of 16 A, at least 6 A (IEC 61851-1); the shares are ours."""
_BATTERY_KWH = (40.0, 85.0)
_KWH_PER_KM, _CONSUMPTION_SPREAD = 0.18, 0.15
_MORE_WHEN_COLD, _MILD_C, _COLDEST_C = 0.5, 20.0, -15.0
_KM, _KM_SPREAD_OF_HOMES, _KM_SPREAD_OF_DAYS = 35.0, 0.4, 0.85
_COMMUTES = 0.6
_USED = ((0.85, 0.6), (0.55, 0.6))
_LEAVES = (((7.5, 0.8), (10.8, 2.0)), ((10.0, 2.0), (10.8, 2.0)))
_RETURNS = (((17.3, 1.6), (17.0, 2.8)), ((15.5, 2.5), (17.0, 2.8)))
"""By whether it commutes, then by workday and weekend: chance, local hours and their deviations; ours, so that the year
has the survey's kilometres and most come home in the early evening."""
_LEAST_AWAY_HOURS, _LATEST_HOUR = 0.5, 23.9
_ALWAYS_PLUGS_IN, _PLUGS_IN_BELOW = 0.35, (0.3, 0.8)
_LEAST_CHARGE = 0.1
"""Longer journeys are charged on the way."""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A car that is charged at home."""

    charger: EvCharger
    battery_kwh: float
    kwh_per_km: float  # in mild weather
    daily_km: float  # median of the days on which it is used
    commutes: bool
    plugs_in_below: float  # share of the battery; 1: every time it comes home


@dataclass(frozen=True, slots=True, eq=False)
class ChargingSessions:
    """When a vehicle was plugged in, and what its battery took until it left: what a control has to keep."""

    arrival: NDArray[np.datetime64]  # (S,) UTC
    departure: NDArray[np.datetime64]  # (S,) UTC
    energy_kwh: Array  # (S,) at the battery


class _Days(NamedTuple):
    """What a vehicle does on each local day; minutes count from the calendar's whole hour."""

    is_used: NDArray[np.bool_]  # (D,)
    leaves: Array  # (D,)
    returns: Array  # (D,)
    needs_kwh: Array  # (D,)


def draw_vehicle(generator: np.random.Generator) -> Vehicle:
    """A vehicle and the habits of its driver."""
    charger = _CHARGERS[generator.choice(len(_CHARGERS), p=_CHARGER_SHARES)]
    always = generator.uniform() < _ALWAYS_PLUGS_IN
    return Vehicle(
        charger,
        generator.uniform(*_BATTERY_KWH),
        _KWH_PER_KM * generator.lognormal(0.0, _CONSUMPTION_SPREAD),
        _KM * generator.lognormal(0.0, _KM_SPREAD_OF_HOMES),
        bool(generator.uniform() < _COMMUTES),
        1.0 if always else generator.uniform(*_PLUGS_IN_BELOW),
    )


def charge_at_home(
    generator: np.random.Generator, calendar: Calendar, vehicle: Vehicle
) -> tuple[Array, ChargingSessions]:
    """Power of charging at once and at full power in each interval, and the sessions."""  # (T,) kW
    days = _days(generator, calendar, vehicle)
    first_soc = generator.uniform(0.5, 1.0) * vehicle.battery_kwh
    limits = np.array([vehicle.battery_kwh, vehicle.charger.power_kw, vehicle.plugs_in_below, first_soc])
    sessions = _sessions(*days, limits, calendar.midnights[-1] + 24 * 60.0)
    sessions = sessions[:, sessions[0] < calendar.lead_minutes + 60 * calendar.grid.hours]
    minutes = np.zeros(calendar.grid.steps)
    _charge(sessions, vehicle.charger.power_kw, float(calendar.grid.step_minutes), calendar.lead_minutes, minutes)
    start = np.datetime64(int(calendar.grid.start.timestamp()), "s")
    arrival, departure = (start + np.round(60 * (one - calendar.lead_minutes)).astype("m8[s]") for one in sessions[:2])
    return minutes / calendar.grid.step_minutes, ChargingSessions(arrival, departure, sessions[2])


def _days(generator: np.random.Generator, calendar: Calendar, vehicle: Vehicle) -> _Days:
    days = calendar.midnights.size
    kind = calendar.is_weekend_day
    group = 0 if vehicle.commutes else 1
    leaves, returns = (
        centre[kind] + deviation[kind] * generator.standard_normal(days)
        for centre, deviation in (np.array(table[group]).T for table in (_LEAVES, _RETURNS))
    )
    leaves = np.clip(leaves, 4.0, 20.0)
    returns = np.clip(returns, leaves + _LEAST_AWAY_HOURS, _LATEST_HOUR)
    km = vehicle.daily_km * generator.lognormal(0.0, _KM_SPREAD_OF_DAYS, days)
    cold = np.clip((_MILD_C - calendar.mean_c) / (_MILD_C - _COLDEST_C), 0.0, 1.0)
    return _Days(
        generator.uniform(size=days) < np.array(_USED[group])[kind],
        calendar.midnights + 60 * leaves,
        calendar.midnights + 60 * returns,
        km * vehicle.kwh_per_km * (1 + _MORE_WHEN_COLD * cold),
    )


@njit(cache=True)
def _sessions(
    is_used: NDArray[np.bool_], leaves: Array, returns: Array, needs: Array, limits: Array, end: float
) -> Array:
    """Arrival and departure in minutes, and the energy that the battery takes between them."""  # (3, S)
    battery, power, plugs_in_below, soc = limits
    found = np.empty((3, is_used.size))
    count = 0
    for day in range(is_used.size):
        if not is_used[day]:
            continue
        soc = max(soc - needs[day], _LEAST_CHARGE * battery)
        if soc >= plugs_in_below * battery:
            continue
        departure = end
        for later in range(day + 1, is_used.size):
            if is_used[later]:
                departure = leaves[later]
                break
        taken = min(battery - soc, CHARGE_EFFICIENCY * power * (departure - returns[day]) / 60.0)
        soc += taken
        found[:, count] = returns[day], departure, taken
        count += 1
    return found[:, :count]


@njit(cache=True)
def _charge(sessions: Array, kw: float, step: float, lead: float, out: Array) -> None:
    for one in range(sessions.shape[1]):
        run(sessions[0, one] - lead, sessions[2, one] / (CHARGE_EFFICIENCY * kw) * 60.0, kw, step, out)
