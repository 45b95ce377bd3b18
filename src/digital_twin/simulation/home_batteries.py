"""Batteries of homes with PV, which take what is left over and give what is missing."""

import numpy as np
from numba import njit

from digital_twin.domain.assets import Battery, Photovoltaics
from digital_twin.domain.units import Array

_KWH_PER_KW_OF_PV, _SIZE_SPREAD = 1.0, 0.3
_LEAST_KWH, _MOST_KWH = 4.0, 20.0
_KW_PER_KWH = 0.5
"""After the German home storage systems in Figgener et al. (2022), arXiv 2203.06762: about as many kWh as the roof has
kW, half as many kW."""
_RANGE_OF_EFFICIENCY = (0.93, 0.97)
_FULL_AT_FIRST = 0.5


def draw_battery(generator: np.random.Generator, panels: Photovoltaics) -> Battery:
    """A battery that fits the roof."""
    wanted = panels.capacity_kw * _KWH_PER_KW_OF_PV * generator.lognormal(0.0, _SIZE_SPREAD)
    capacity = float(np.clip(wanted, _LEAST_KWH, _MOST_KWH))
    efficiency = generator.uniform(*_RANGE_OF_EFFICIENCY)
    return Battery(capacity, _KW_PER_KWH * capacity, efficiency, efficiency)


def follow_surplus(battery: Battery, surplus_kw: Array, step_hours: float) -> tuple[Array, Array, Array]:
    """What it charges and discharges (kW), and what it holds at the start of each interval (kWh)."""  # (T,) each
    return _follow(
        surplus_kw,
        step_hours,
        battery.capacity_kwh,
        battery.power_kw,
        battery.charge_efficiency,
        battery.discharge_efficiency,
    )


@njit(cache=True)
def _follow(
    surplus: Array, hours: float, capacity: float, power: float, charging: float, discharging: float
) -> tuple[Array, Array, Array]:
    charge, discharge, held = np.zeros_like(surplus), np.zeros_like(surplus), np.empty_like(surplus)
    soc = _FULL_AT_FIRST * capacity
    for step in range(surplus.size):
        held[step] = soc
        if surplus[step] > 0:
            charge[step] = min(surplus[step], power, (capacity - soc) / (charging * hours))
            soc = min(soc + hours * charging * charge[step], capacity)
        else:
            discharge[step] = min(-surplus[step], power, soc * discharging / hours)
            soc = max(soc - hours * discharge[step] / discharging, 0.0)
    return charge, discharge, held
