"""Homes that heat with a heat pump: a building that loses heat, hot water, and a compressor that keeps up with both.

C dT/dt = COP P + gains - UA (T - T_out), told by the heat that is owed to the rooms, C (set point - T).

Sources: COP and flow temperatures of Ruhnau, Hirth and Praktiknjo (2019), Scientific Data 6, 189; heat losses by age
rounded after the German single-family houses of TABULA (Loga, Stein and Diefenbach 2016, Energy and Buildings 132);
heat capacities and gains after ISO 13790:2008, tables 12 and G.8.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from digital_twin.domain.assets import HeatPump, check_range
from digital_twin.domain.time import local_clock
from digital_twin.domain.units import Array
from digital_twin.simulation.sky import Sky

_LOSS_KW_PER_M2_C, _AGES = (0.0026, 0.0019, 0.0013, 0.0008), (0.15, 0.2, 0.3, 0.35)
_CAPACITY_KWH_PER_M2_C = (0.046, 0.072)
"""Built before 1979 and mended since, before 1995, before 2010, later, and how many of those with heat pumps; medium to
heavy."""
_AREA_M2, _AREA_SPREAD = 140.0, 0.3
_SET_POINT_C, _SET_POINT_SPREAD_C = 21.0, 0.8
_SETS_BACK, _SETBACK_C, _NIGHT_HOURS = 0.4, 1.5, (22.0, 5.5)
_INNER_GAINS_KW_PER_M2, _GLASS_PER_M2 = 0.003, 0.035
_OVERSIZED, _LEAST_HEAT_KW = (1.0, 1.4), 3.0
_WINDOWS_OPEN_C = 4.0  # above the set point

_COP_AIR, _COP_GROUND = (6.08, -0.09, 0.0005), (10.29, -0.21, 0.0012)
_REAL_COP, _LEAST_LIFT_C, _MOST_LIFT_C = 0.85, 15.0, 80.0
_HEATING_FLOW = ((30.0, -0.5), (40.0, -1.0))  # floors, radiators: at 0 C outside, by degree
_HOT_WATER_FLOW_C = 50.0
_BRINE_C = 5.0
_RATED_AT_C, _RATED_FLOW_C = 2.0, 35.0

_GROUND_SOURCE, _RADIATORS_BY_AGE = 0.3, (0.9, 0.7, 0.3, 0.05)
_MODULATES, _LEAST_MODULATION, _CATCHES_UP_HOURS = 0.4, 0.35, 2.0
_BAND_KWH, _BAND_SPREAD = 1.8, 0.5
_PERSONS, _HOT_WATER_KWH_PER_PERSON = (0.2, 0.35, 0.2, 0.25), 1.6
"""Shares of one to four persons; 40 litres of 45 C each and day (VDI 2067 part 12)."""
_TANK_KWH_PER_PERSON, _NIGHT_TANKS = 2.0, 0.4
_FILLS_FROM, _FILLS_UNTIL = (0.5, 4.0), 5.5
_CLOCKS_DIFFER_HOURS = 1.0
_DRAWS_PER_DAY = 8.0
_DRAWS = (
    0.2, 0.1, 0.1, 0.1, 0.2, 0.7, 2.2, 2.8, 2.0, 1.2, 0.9, 0.9,
    1.0, 0.8, 0.7, 0.7, 0.8, 1.1, 1.7, 2.0, 1.6, 1.2, 0.7, 0.3,
)  # fmt: skip
"""Hot water by local hour, mean 1, after the mornings and evenings of Jordan and Vajen (2001), Solar Energy 69."""
_LOCKED_HOURS = ((11.5, 12.5), (16.25, 18.25), (21.25, 22.25))
"""When grid operators lock heat pumps on a tariff of their own: at most three times two hours a day."""
_MORE_WHERE_LOCKED = 24.0 / 20.0  # a day's heat in the hours that are left (VDI 4645)
_PART_MINUTES = 5.0


@dataclass(frozen=True, slots=True)
class Heating:
    """What differs between populations of homes with heat pumps."""

    locked: float = 0.3  # share that grid operators lock
    loss: float = 1.0  # of the median building, against its age's
    loss_spread: float = 0.2

    def __post_init__(self) -> None:
        check_range(self.locked, "locked", 0, 1)
        check_range(self.loss, "loss", 0, 10)
        check_range(self.loss_spread, "loss_spread", 0, 3)


class HeatedHome(NamedTuple):
    """A building and its heat pump."""

    electric_kw: float
    capacity_kwh_per_c: float
    loss_kw_per_c: float
    is_ground_source: bool
    flow_at_freezing_c: float
    flow_per_degree: float
    modulates: bool
    band_kwh: float  # of heat: owed before it starts, given ahead before it stops
    set_point_c: float
    setback_c: float  # so much less at night
    inner_gains_kw: float
    glass_m2: float
    hot_water_kwh_per_day: float
    tank_kwh: float
    fills_from: float  # local hour; negative: as soon as the tank is half empty
    is_locked: bool
    clock_ahead_hours: float  # of what the grid operator and the thermostat do at the usual hours

    @property
    def device(self) -> HeatPump:
        """As it is registered; its COP is that of +2 C outside and a flow of 35 C (EN 14511)."""
        rated = cop(self.is_ground_source, _RATED_FLOW_C, _RATED_AT_C)
        return HeatPump(self.electric_kw, self.capacity_kwh_per_c, self.loss_kw_per_c, rated)


def draw_heated_home(generator: np.random.Generator, heating: Heating, design_c: float) -> HeatedHome:
    """A building of some age with a heat pump that just carries it through the coldest day, hot water included."""
    age = int(generator.choice(4, p=_AGES))
    area = float(np.clip(_AREA_M2 * generator.lognormal(0.0, _AREA_SPREAD), 50.0, 400.0))
    loss = heating.loss * _LOSS_KW_PER_M2_C[age] * area * generator.lognormal(0.0, heating.loss_spread)
    persons = int(generator.choice(4, p=_PERSONS)) + 1
    is_ground_source = bool(generator.uniform() < _GROUND_SOURCE)
    flow, per_degree = _HEATING_FLOW[int(generator.uniform() < _RADIATORS_BY_AGE[age])]
    set_point = generator.normal(_SET_POINT_C, _SET_POINT_SPREAD_C)
    is_locked = bool(generator.uniform() < heating.locked)
    hot_water = persons * _HOT_WATER_KWH_PER_PERSON * generator.lognormal(0.0, 0.3)
    heat_kw = loss * (set_point - design_c) * generator.uniform(*_OVERSIZED) + hot_water / 24
    heat_kw = max(heat_kw * (_MORE_WHERE_LOCKED if is_locked else 1.0), _LEAST_HEAT_KW)
    return HeatedHome(
        electric_kw=heat_kw / cop(is_ground_source, flow + per_degree * design_c, design_c),
        capacity_kwh_per_c=area * generator.uniform(*_CAPACITY_KWH_PER_M2_C),
        loss_kw_per_c=loss,
        is_ground_source=is_ground_source,
        flow_at_freezing_c=flow,
        flow_per_degree=per_degree,
        modulates=bool(generator.uniform() < _MODULATES),
        band_kwh=_BAND_KWH * generator.lognormal(0.0, _BAND_SPREAD),
        set_point_c=set_point,
        setback_c=_SETBACK_C if generator.uniform() < _SETS_BACK else 0.0,
        inner_gains_kw=_INNER_GAINS_KW_PER_M2 * area,
        glass_m2=_GLASS_PER_M2 * area,
        hot_water_kwh_per_day=hot_water,
        tank_kwh=persons * _TANK_KWH_PER_PERSON,
        fills_from=generator.uniform(*_FILLS_FROM) if generator.uniform() < _NIGHT_TANKS else -1.0,
        is_locked=is_locked,
        clock_ahead_hours=generator.uniform(-_CLOCKS_DIFFER_HOURS, _CLOCKS_DIFFER_HOURS),
    )


@njit(cache=True)
def cop(is_ground_source: bool, flow_c: float, outside_c: float) -> float:
    """Heat over power at a flow temperature; the ground is as warm in every season."""
    constant, slope, bend = _COP_GROUND if is_ground_source else _COP_AIR
    lift = flow_c - (_BRINE_C if is_ground_source else outside_c)
    lift = min(max(lift, _LEAST_LIFT_C), _MOST_LIFT_C)  # beyond, the parabola turns
    return max(_REAL_COP * (constant + slope * lift + bend * lift * lift), 1.0)


class HeatingWeather(NamedTuple):
    """What all buildings of a community feel, step by step."""

    temperature_c: Array  # (T,)
    ghi_wm2: Array  # (T,)
    local_hour: Array  # (T,)


def heating_weather(sky: Sky) -> HeatingWeather:
    """The weather and the clock of a sky."""
    return HeatingWeather(sky.temperature_c, sky.ghi_wm2, local_clock(sky.grid, sky.place.timezone).hour)


def heat(
    generator: np.random.Generator, home: HeatedHome, weather: HeatingWeather, step_minutes: int
) -> tuple[Array, Array]:
    """Power of the heat pump (kW), and the rooms' temperature at the end of each interval (C)."""  # (T,), (T,)
    parts = int(np.ceil(step_minutes / _PART_MINUTES))
    return _heat(generator, home, weather, parts, step_minutes / 60 / parts)


@njit(cache=True)
def _heat(
    generator: np.random.Generator, home: HeatedHome, weather: HeatingWeather, parts: int, hours: float
) -> tuple[Array, Array]:
    electric, rooms = np.empty(weather.temperature_c.size), np.empty(weather.temperature_c.size)
    owed, missing = 0.0, generator.random() * 0.5 * home.tank_kwh
    until_draw = generator.standard_exponential()  # in draws that are expected until then
    warms, fills = False, False
    for step in range(electric.size):
        outside, hour = weather.temperature_c[step], weather.local_hour[step]
        room_cop = cop(home.is_ground_source, home.flow_at_freezing_c + home.flow_per_degree * outside, outside)
        water_cop = cop(home.is_ground_source, _HOT_WATER_FLOW_C, outside)
        gains = home.inner_gains_kw + home.glass_m2 * weather.ghi_wm2[step] / 1_000.0
        draws = _DRAWS[int(hour)] * _DRAWS_PER_DAY / 24.0 * hours
        usual_hour = (hour + home.clock_ahead_hours) % 24.0
        may_run = not (home.is_locked and _is_locked(usual_hour))
        is_night = usual_hour >= _NIGHT_HOURS[0] or usual_hour < _NIGHT_HOURS[1]
        setback = home.setback_c * home.capacity_kwh_per_c if is_night else 0.0
        used = 0.0
        for _ in range(parts):
            until_draw -= draws
            while until_draw <= 0:
                missing += home.hot_water_kwh_per_day / _DRAWS_PER_DAY * generator.standard_exponential()
                until_draw += generator.standard_exponential()
            fills = _goes_on_filling(home, fills, missing, hour)
            due = owed - setback
            warms = due > (-home.band_kwh if warms else home.band_kwh)
            loses = home.loss_kw_per_c * (home.set_point_c - owed / home.capacity_kwh_per_c - outside) - gains
            power, warmth = 0.0, 0.0
            if may_run and fills:
                power = home.electric_kw
                missing -= power * water_cop * hours
            elif may_run and warms:
                power = _warming_kw(home, loses, due, room_cop)
                warmth = power * room_cop
            owed = max(owed + (loses - warmth) * hours, -_WINDOWS_OPEN_C * home.capacity_kwh_per_c)
            used += power
        electric[step] = used / parts
        rooms[step] = home.set_point_c - owed / home.capacity_kwh_per_c
    return electric, rooms


@njit(cache=True, inline="always")
def _is_locked(hour: float) -> bool:
    locked = False
    for start, end in _LOCKED_HOURS:
        locked |= start <= hour < end
    return locked


@njit(cache=True, inline="always")
def _goes_on_filling(home: HeatedHome, fills: bool, missing: float, hour: float) -> bool:
    """Whether the tank is being heated: until it is full, at night or when too much is missing."""
    if fills:
        return missing > 0
    if home.fills_from < 0:
        return missing > 0.5 * home.tank_kwh
    return missing > home.tank_kwh or (home.fills_from <= hour < _FILLS_UNTIL and missing > 0.1 * home.tank_kwh)


@njit(cache=True, inline="always")
def _warming_kw(home: HeatedHome, loses: float, due: float, room_cop: float) -> float:
    """A compressor of one speed, or one that follows what the rooms lose and what is due to them."""
    if not home.modulates:
        return home.electric_kw
    wanted = (loses + due / _CATCHES_UP_HOURS) / room_cop
    return min(max(wanted, _LEAST_MODULATION * home.electric_kw), home.electric_kw)
