"""The twin's states by name, and how each number that a meter shows is made of them.

demand = features @ demand coefficients + remainder; generation = clear sky x (gain + cloud) + remainder;
net load = demand - generation + storage exchange; energy' = energy + step_hours x (charge efficiency x charge
- discharge / discharge efficiency). The coefficients walk at random, everything else decays towards 0.

Source: Young, Pedregal and Tych (1999), Journal of Forecasting 18, 369-394 (dynamic harmonic regression).
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array

DAILY_PAIRS, WEEKEND_PAIRS = 6, 2

OBSERVED = ("load_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")
"""Series that the twin reads."""
LOAD, PV, NET_LOAD, STORAGE_SOC = range(4)

ESTIMATED = ("demand_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")
"""What the twin says, in the order of `OBSERVED`; the energy is that at the start of the interval."""

COEFFICIENTS = (
    "demand_level",
    *(f"demand_day_{wave}_{order}" for order in range(1, DAILY_PAIRS + 1) for wave in ("cos", "sin")),
    "demand_weekend_level",
    *(f"demand_weekend_{wave}_{order}" for order in range(1, WEEKEND_PAIRS + 1) for wave in ("cos", "sin")),
)
STATES = (
    *COEFFICIENTS,
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

DEMAND_TERMS = len(COEFFICIENTS)
DEMAND_REMAINDER, PV_GAIN, PV_CLOUD, PV_REMAINDER, LOAD_BIAS, PV_BIAS, STORAGE_BIAS, EXCHANGE, ENERGY = range(
    DEMAND_TERMS, len(STATES)
)
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


@dataclass(frozen=True, slots=True)
class Metering:
    """Which meters a quantity has, and what part of the community they stand for."""

    ids: tuple[str, ...] = ()
    share: float = 1.0


def slots_of(grid: TimeGrid, zone: str) -> tuple[Array, Array]:
    """The slot of the local day of every interval, and whether it lies on a weekend (1.0 or 0.0)."""  # (T,), (T,)
    clock = local_clock(grid, zone)
    return np.floor(clock.hour * 60 / grid.step_minutes), (clock.weekday >= 5).astype(np.float64)


def demand_features(grid: TimeGrid, zone: str) -> Array:
    """The regressors of demand in every interval."""  # (T, DEMAND_TERMS)
    slot, weekend = slots_of(grid, zone)
    # from a table of the whole day: an interval gets the same bits whatever grid it is asked with
    angle = 2 * np.pi * (np.arange(1440 // grid.step_minutes) + 0.5) * grid.step_minutes / 1440
    waves = np.stack([wave(order * angle) for order in range(1, DAILY_PAIRS + 1) for wave in (np.cos, np.sin)], axis=1)
    of_day = waves[slot.astype(np.int64)]
    return np.column_stack([np.ones(grid.steps), of_day, weekend, weekend[:, None] * of_day[:, : 2 * WEEKEND_PAIRS]])
