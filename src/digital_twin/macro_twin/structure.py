"""The twin's states by name, and how each number that a meter shows is made of them.

demand = habit + level + day waves + heating + cooling + remainder; generation = clear sky x (gain + cloud) + remainder;
net load = demand - generation + storage exchange; energy' = energy + step_hours x (charge efficiency x charge
- discharge / discharge efficiency).

The habit is what is usual in this slot of the local day on such a day of the week. It is carried from day to day and
enters through a state that is always 1. Level and waves say how this day departs from it, the remainder what this hour
does; they decay towards 0. Heating and cooling are kW per degree by time of day and walk at random.

Source: Young, Pedregal and Tych (1999), Journal of Forecasting 18, 369-394 (dynamic harmonic regression); Taylor
(2003), Journal of the Operational Research Society 54, 799-805 (days and kinds of days, exponentially smoothed).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array

Indices = NDArray[np.int64]

DAILY_PAIRS = 3

HEATING_BELOW_C, COOLING_ABOVE_C = 15.0, 20.0
"""Felt temperatures below and above which demand grows: of a utility's load in 2008 and 2009 (GEFCom2014) these
foretold the next day better than 16 and 22, 18 and 20, 15 and 18; Eurostat counts heating degree days below 15, too."""

DAY_KINDS = ("workday", "saturday", "sunday")
"""Days that are alike."""

OBSERVED = ("load_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")
"""Series that the twin reads."""
LOAD, PV, NET_LOAD, STORAGE_SOC = range(4)

ESTIMATED = ("demand_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")
"""What the twin says, in the order of `OBSERVED`; the energy is that at the start of the interval."""

DEPARTURES = (
    "demand_level_kw",
    *(f"demand_day_{wave}_{order}_kw" for order in range(1, DAILY_PAIRS + 1) for wave in ("cos", "sin")),
)
DEGREES = tuple(f"{use}{wave}_kw_per_degree" for use in ("heating", "cooling") for wave in ("", "_day_cos", "_day_sin"))
STATES = (
    *DEPARTURES,
    *DEGREES,
    "demand_habit",
    "demand_remainder_kw",
    "pv_gain_kw",
    "pv_cloud_kw",
    "pv_remainder_kw",
    "load_meter_bias",
    "pv_meter_bias",
    "storage_meter_bias",
    "storage_exchange_kw",
    "storage_energy_kwh",
)
"""The meter biases have variance 1: by how much the reporting meters together differ from their share, lastingly."""

DEPARTURE_TERMS, DEMAND_TERMS = len(DEPARTURES), len(DEPARTURES) + len(DEGREES)
(
    DEMAND_HABIT,
    DEMAND_REMAINDER,
    PV_GAIN,
    PV_CLOUD,
    PV_REMAINDER,
    LOAD_BIAS,
    PV_BIAS,
    STORAGE_BIAS,
    EXCHANGE,
    ENERGY,
) = range(DEMAND_TERMS, len(STATES))
SIZE = len(STATES)


@dataclass(frozen=True, slots=True)
class Plant:
    """What stands in the community, as it is planned."""

    num_prosumers: int
    pv_capacity_kw: float
    storage_capacity_kwh: float
    storage_power_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    timezone: str
    country: str | None = None  # whose public holidays are kept


@dataclass(frozen=True, slots=True)
class Metering:
    """Which meters a quantity has, and what part of the community they stand for."""

    ids: tuple[str, ...] = ()
    share: float = 1.0


def slots_of(grid: TimeGrid, zone: str, country: str | None = None) -> tuple[Array, Array]:
    """The slot of the local day of every interval, and whether it is a weekend's (1.0 or 0.0)."""  # (T,), (T,)
    slot, kind = calendar_of(grid, zone, country)
    return slot.astype(np.float64), (kind > 0).astype(np.float64)


def calendar_of(grid: TimeGrid, zone: str, country: str | None = None) -> tuple[Indices, Indices]:
    """The slot of the local day of every interval, and the number of its day in `DAY_KINDS`.

    A public holiday of the country is a Sunday.
    """  # (T,), (T,)
    clock = local_clock(grid, zone)
    kind = np.where(holidays_of(country, clock.day), DAY_KINDS.index("sunday"), np.maximum(clock.weekday - 4, 0))
    return np.floor(clock.hour * 60 / grid.step_minutes).astype(np.int64), kind


def day_waves(step_minutes: int) -> Array:
    """The waves at the middle of each slot of the day, cosine and sine of each order in turn."""  # (S, 2 DAILY_PAIRS)
    angle = 2 * np.pi * (np.arange(1440 // step_minutes) + 0.5) * step_minutes / 1440
    return np.stack([wave(order * angle) for order in range(1, DAILY_PAIRS + 1) for wave in (np.cos, np.sin)], axis=1)


def demand_features(slot: Indices, step_minutes: int, felt_c: Array) -> Array:
    """What the demand coefficients are multiplied with; no degrees where no temperature is known.

    Args:
        slot: of the local day, (T,)
        step_minutes: of the slots
        felt_c: temperature as buildings feel it, (T,)
    """  # (T, DEMAND_TERMS)
    # from a table of the whole day: an interval gets the same bits whatever grid it is asked with
    waves = day_waves(step_minutes)[slot]
    degrees = np.stack([np.fmax(HEATING_BELOW_C - felt_c, 0.0), np.fmax(felt_c - COOLING_ABOVE_C, 0.0)], axis=1)
    by_time = np.column_stack([np.ones(slot.size), waves[:, :2]])
    return np.column_stack([by_time[:, 0], waves, degrees[:, :1] * by_time, degrees[:, 1:] * by_time])
