"""One year of a community in one pass: profiles assembled, storage, limits, registers, sharing and bills.

Energy in kWh per step inside; nothing of shape (T, N) is made. Homes are the innermost loop. Its slow twin, made of the
domain's own words, stands in `tests/simulation_twin.py`.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.simulation.outcomes import TOTALS

ONE_METER, OWN_METERS, SHARED = 0, 1, 2
"""All behind one meter with the storage; each with its own and a part of the storage behind it; or sharing, where the
storage has a meter of its own."""

(
    _COST, _EMISSIONS, _LOAD, _GENERATION, _CURTAILED, _IMPORT, _EXPORT, _SHARED, _LEFT_IMPORT, _LEFT_PV,
    _CHARGED, _DISCHARGED, _FINAL, _PEAK, _BEYOND_IMPORT, _BEYOND_EXPORT,
) = range(len(TOTALS))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """What every run of a community has in common, one row per step of the base year."""

    load_kw: NDArray[np.float32]  # (T, N)
    pv_share: NDArray[np.float32]  # (T, N)
    paths: Array  # (T, 3) import price, export price, emission factor
    steps_per_day: int


@dataclass(frozen=True, slots=True, eq=False)
class Year:
    """What is drawn or changed: days of the base year, and straight lines through its values."""

    weather_days: NDArray[np.int64]  # (D,)
    load_days: NDArray[np.int64]  # (D,)
    degrees_added: Array  # (D,) heating degrees of the weather beyond those of the day lived
    load_factor: Array  # (N,)
    load_kw_per_degree: Array  # (N,)
    load_added_kw: float  # of each home
    pv_kw: float  # per unit of pv_share
    import_price: tuple[float, float]  # constant, factor
    export_price: tuple[float, float]
    emission_factor: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The rules and devices of the year."""

    mode: int
    homes_per_profile: float
    settlement_steps: int
    coefficients: Array  # (N,) fixed shares of the exports, 0 where there are none
    is_dynamic: bool  # whether what fixed shares leave is given in proportion
    network_charge_per_kwh: float
    sharing_price_per_kwh: float  # NaN: the export price
    premium_per_mwh: tuple[float, float, float]  # base, cap, further; NaN: none
    capacity_kwh: float
    power_kw: float
    storage_share: Array  # (N,) of the storage behind each home's meter
    charge_efficiency: float
    discharge_efficiency: float
    import_limit_kw: float
    export_limit_kw: float
    is_curtailable: bool
    peak_per_kw: float
    peak_so_far_kw: float
    billing_period: NDArray[np.int64]  # (D,) from 0 on


def simulate_year(profiles: Profiles, year: Year, site: Site) -> tuple[Array, Array]:
    """The year's `TOTALS`, and what each home and, last, the storage's or the common meter pays."""  # (K,), (N + 1,)
    points = np.zeros((_ROWS, profiles.load_kw.shape[1] + 1))
    points[_WEIGHT] = site.homes_per_profile
    points[_WEIGHT, -1] = 1.0
    points[_USE, :-1], points[_PER_DEGREE, :-1] = year.load_factor, year.load_kw_per_degree
    points[_COEFFICIENT, :-1], points[_SHARE, :-1] = site.coefficients, site.storage_share
    points[_SHARE, -1] = 1.0
    days = np.stack([year.weather_days, year.load_days, site.billing_period], axis=1)
    numbers = np.array(
        [
            site.mode, 24.0 / profiles.steps_per_day, year.load_added_kw, year.pv_kw,
            *year.import_price, *year.export_price, *year.emission_factor,
            site.settlement_steps, site.is_dynamic, site.network_charge_per_kwh, site.sharing_price_per_kwh,
            *site.premium_per_mwh, site.capacity_kwh, site.power_kw,
            site.charge_efficiency, site.discharge_efficiency, site.import_limit_kw, site.export_limit_kw,
            site.is_curtailable, site.peak_per_kw, site.peak_so_far_kw,
        ],
        dtype=np.float64,
    )  # fmt: skip
    totals = _year(profiles.load_kw, profiles.pv_share, profiles.paths, (days, year.degrees_added), numbers, points)
    return totals[: len(TOTALS)], points[_BILL]


(
    _MODE, _HOURS, _ADDED, _PV_KW, _BUY_0, _BUY_1, _SELL_0, _SELL_1, _FACTOR_0, _FACTOR_1,
    _SETTLEMENT, _IS_DYNAMIC, _NETWORK, _SHARING_PRICE, _BASE, _CAP, _FURTHER, _CAPACITY, _POWER,
    _CHARGE_EFFICIENCY, _DISCHARGE_EFFICIENCY, _IMPORT_LIMIT, _EXPORT_LIMIT, _IS_CURTAILABLE, _PER_KW, _SO_FAR,
) = range(26)  # fmt: skip
"""The kernel's numbers."""

(
    _WEIGHT, _USE, _PER_DEGREE, _COEFFICIENT, _SHARE, _IN, _OUT, _BLOCK_IN, _BLOCK_OUT, _RECEIVED, _SOC, _BILL, _ROWS,
) = range(13)  # fmt: skip
"""A row of each for all connection points; the last point is the storage's or the common meter."""

_PV, _CUT, _BUY, _SELL, _FACTOR, _PREMIUM = range(len(TOTALS), len(TOTALS) + 6)
"""Behind the totals: sums over the settlement interval so far."""

_FAST = {"reassoc", "contract"}


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _year(
    loads: NDArray[np.float32],
    suns: NDArray[np.float32],
    paths: Array,
    calendar: tuple[NDArray[np.int64], Array],
    numbers: Array,
    points: Array,
) -> Array:
    days, degrees = calendar
    hours = numbers[_HOURS]
    per_day, settlement = round(24.0 / hours), int(numbers[_SETTLEMENT])
    totals = np.zeros(len(TOTALS) + 6)
    peaks_kw = np.zeros(days[-1, 2] + 1)
    peaks_kw[0] = numbers[_SO_FAR]
    for day in range(days.shape[0]):
        sky, lived, period = days[day, 0] * per_day, days[day, 1] * per_day, days[day, 2]
        for step in range(per_day):
            pv, net = _assemble(loads[lived + step], suns[sky + step], degrees[day], numbers, points, totals)
            if numbers[_MODE] == ONE_METER:
                _store_behind_one(net, numbers, points, totals)
            elif numbers[_MODE] == OWN_METERS:
                _store_behind_each(numbers, points, totals)
            else:
                last = points.shape[1] - 1
                points[_IN, last], points[_OUT, last] = _follow(-net, last, numbers, points, totals)
            net_kw = _limit(pv, numbers, points, totals) / hours
            peaks_kw[period] = max(peaks_kw[period], net_kw)
            totals[_PEAK] = max(totals[_PEAK], net_kw)
            _record(paths[sky + step], numbers, points, totals)
            if (step + 1) % settlement == 0:
                _settle(numbers, points, totals)
    totals[_COST] += numbers[_PER_KW] * (peaks_kw.sum() - numbers[_SO_FAR])
    totals[_FINAL] = (points[_WEIGHT] * points[_SOC]).sum()
    return totals


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _assemble(
    loads: NDArray[np.float32],
    suns: NDArray[np.float32],
    degrees: float,
    numbers: Array,
    points: Array,
    totals: Array,
) -> tuple[float, float]:
    """Each home's imports and exports without storage; generation and net load of all."""
    hours, added, pv_kw = numbers[_HOURS], numbers[_ADDED], numbers[_PV_KW]
    load = pv = 0.0
    for home in range(loads.size):
        use_kw = points[_USE, home] * loads[home] + points[_PER_DEGREE, home] * degrees + added
        use, sun = hours * max(use_kw, 0.0), hours * pv_kw * suns[home]
        load += use
        pv += sun
        points[_IN, home] = max(use - sun, 0.0)
        points[_OUT, home] = max(sun - use, 0.0)
    load *= points[_WEIGHT, 0]
    pv *= points[_WEIGHT, 0]
    totals[_LOAD] += load
    totals[_GENERATION] += pv
    totals[_PV] += pv
    return pv, load - pv


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _follow(surplus: float, point: int, numbers: Array, points: Array, totals: Array) -> tuple[float, float]:
    """What the storage of a connection point takes and gives by the self-consumption rule."""
    share, soc = points[_SHARE, point], points[_SOC, point]
    most = share * numbers[_POWER] * numbers[_HOURS]
    into = out = 0.0
    if surplus > 0:
        room = max(share * numbers[_CAPACITY] - soc, 0.0) / numbers[_CHARGE_EFFICIENCY]
        into = min(surplus, most, room)
    else:
        out = min(-surplus, most, soc * numbers[_DISCHARGE_EFFICIENCY])
    points[_SOC, point] = soc + numbers[_CHARGE_EFFICIENCY] * into - out / numbers[_DISCHARGE_EFFICIENCY]
    totals[_CHARGED] += points[_WEIGHT, point] * into
    totals[_DISCHARGED] += points[_WEIGHT, point] * out
    return into, out


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _store_behind_one(net: float, numbers: Array, points: Array, totals: Array) -> None:
    last = points.shape[1] - 1
    into, out = _follow(-net, last, numbers, points, totals)
    points[_IN, :last] = 0.0
    points[_OUT, :last] = 0.0
    points[_IN, last] = max(net + into - out, 0.0)
    points[_OUT, last] = max(out - into - net, 0.0)


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _store_behind_each(numbers: Array, points: Array, totals: Array) -> None:
    for home in range(points.shape[1] - 1):
        into, out = _follow(points[_OUT, home] - points[_IN, home], home, numbers, points, totals)
        points[_OUT, home] -= into
        points[_IN, home] -= out


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _limit(pv: float, numbers: Array, points: Array, totals: Array) -> float:
    """Curtail what the connection to the grid may not carry; what it carries then, exports below 0."""
    drawn = fed = 0.0
    for point in range(points.shape[1]):
        drawn += points[_WEIGHT, point] * points[_IN, point]
        fed += points[_WEIGHT, point] * points[_OUT, point]
    net = drawn - fed
    over = -net - numbers[_EXPORT_LIMIT] * numbers[_HOURS]
    if over > 0 and numbers[_IS_CURTAILABLE] > 0:
        cut = min(over, pv, fed)
        points[_OUT] *= 1.0 - cut / fed
        totals[_CUT] += cut
        totals[_CURTAILED] += cut
        net += cut
        over -= cut
    totals[_BEYOND_EXPORT] += max(over, 0.0)
    totals[_BEYOND_IMPORT] += max(net - numbers[_IMPORT_LIMIT] * numbers[_HOURS], 0.0)
    return net


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _record(path: Array, numbers: Array, points: Array, totals: Array) -> None:
    """The registers of the step, at the step's prices."""
    buy = numbers[_BUY_0] + numbers[_BUY_1] * path[0]
    sell = numbers[_SELL_0] + numbers[_SELL_1] * path[1]
    drawn = fed = 0.0
    for point in range(points.shape[1]):
        imported, exported = points[_IN, point], points[_OUT, point]
        points[_BILL, point] += buy * imported - sell * exported
        points[_BLOCK_IN, point] += imported
        points[_BLOCK_OUT, point] += exported
        drawn += points[_WEIGHT, point] * imported
        fed += points[_WEIGHT, point] * exported
    totals[_IMPORT] += drawn
    totals[_EXPORT] += fed
    totals[_COST] += buy * drawn - sell * fed
    totals[_BUY] += buy
    totals[_SELL] += sell
    totals[_FACTOR] += numbers[_FACTOR_0] + numbers[_FACTOR_1] * path[2]
    tip = min(numbers[_CAP], numbers[_BASE] + max(0.0, 180.0 - 1e3 * sell))
    totals[_PREMIUM] += (tip + numbers[_FURTHER]) / 1e3


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _settle(numbers: Array, points: Array, totals: Array) -> None:
    """Share the settlement interval's exports, credit them, and begin the next interval."""
    drawn = fed = shared = 0.0
    for point in range(points.shape[1]):
        drawn += points[_WEIGHT, point] * points[_BLOCK_IN, point]
        fed += points[_WEIGHT, point] * points[_BLOCK_OUT, point]
    per_step = 1.0 / numbers[_SETTLEMENT]
    if numbers[_MODE] == SHARED:
        shared = _allocate(drawn, fed, numbers, points)
        buy, sell = totals[_BUY] * per_step, totals[_SELL] * per_step
        if np.isnan(numbers[_BASE]):
            price = sell if np.isnan(numbers[_SHARING_PRICE]) else numbers[_SHARING_PRICE]
            saved, given = buy - price - numbers[_NETWORK], shared / fed if fed > 0 else 0.0
            for point in range(points.shape[1]):
                earned = given * points[_BLOCK_OUT, point] * (price - sell)
                points[_BILL, point] -= points[_RECEIVED, point] * saved + earned
            totals[_COST] -= shared * (buy - numbers[_NETWORK] - sell)
        else:
            totals[_COST] -= shared * totals[_PREMIUM] * per_step
    totals[_SHARED] += shared
    totals[_LEFT_IMPORT] += drawn - shared
    totals[_LEFT_PV] += min(fed - shared, totals[_PV] - totals[_CUT])
    totals[_EMISSIONS] += totals[_FACTOR] * per_step * (drawn - shared)
    points[_BLOCK_IN] = 0.0
    points[_BLOCK_OUT] = 0.0
    totals[_PV:] = 0.0


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _allocate(drawn: float, fed: float, numbers: Array, points: Array) -> float:
    """Fixed shares first, then what is left in proportion to what is still imported; the energy shared by all."""
    fixed = 0.0
    for point in range(points.shape[1]):
        share = points[_COEFFICIENT, point] / points[_WEIGHT, point]
        points[_RECEIVED, point] = min(points[_BLOCK_IN, point], share * fed)
        fixed += points[_WEIGHT, point] * points[_RECEIVED, point]
    if numbers[_IS_DYNAMIC] == 0 or drawn <= fixed:
        return fixed
    part = min(fed - fixed, drawn - fixed) / (drawn - fixed)
    for point in range(points.shape[1]):
        points[_RECEIVED, point] += part * (points[_BLOCK_IN, point] - points[_RECEIVED, point])
    return fixed + part * (drawn - fixed)
