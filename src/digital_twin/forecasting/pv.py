"""Generation by physics: PVWatts on a clear sky, times what clouds leave.

Source: PVWatts version 5 (Dobos 2014, NREL/TP-6A20-62641): 14 % losses, -0.4 %/K; clear sky by Haurwitz (1945); diffuse
share by Erbs (1982); tilted irradiance by Hay and Davies (1980); cell temperature by Faiman (2008). All through pvlib.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.local_days import Indices, cells_of

Weather = Mapping[str, Array]

SYSTEM_EFFICIENCY = 0.86
TEMPERATURE_COEFFICIENT_PER_C = -0.004
DEFAULT_TEMPERATURE_C, DEFAULT_WIND_MS = 15.0, 2.0
DEFAULT_TILT_DEGREES = 30.0
FITTING_DAYS, CLOUD_DAYS = 14.0, 60
DAYLIGHT_SHARE = 0.02
SMALLEST_AGREEMENT = 0.85

PRIOR_CLOUDINESS = ((0.0, 0.05), (0.05, 0.12), (0.25, 0.36), (0.5, 0.67), (0.75, 0.88), (0.95, 1.0), (1.0, 1.03))
"""Quantiles (level, clear-sky share) of generation without data: mean 0.62, so that a south roof in Vienna yields about
1,100 kWh per kW a year, the long-term figure of PVGIS 5 for that place."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """Tilt from the horizontal, azimuth clockwise from north, and output per kW of rated capacity."""

    tilt_degrees: float
    azimuth_degrees: float
    scale: float = SYSTEM_EFFICIENCY


def default_orientation(site: Site) -> Orientation:
    """Towards the equator."""
    return Orientation(DEFAULT_TILT_DEGREES, 180.0 if site.latitude >= 0 else 0.0)


def photovoltaics(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """Clear-sky or weather-driven generation; the orientation and the cloudiness are learned from two weeks on."""
    site, history = task.site, task.history
    assumptions: list[str] = []
    orientation = default_orientation(site)
    capacity_kw = site.pv_capacity_kw
    learned = history if history is not None and history.days >= FITTING_DAYS else None
    if learned is not None:
        orientation, agreement = fit_orientation(site, learned)
        if agreement < SMALLEST_AGREEMENT:
            return _as_seen(task, learned, levels)
        capacity_kw = max(capacity_kw, float(np.nanmax(learned.values)))
    else:
        assumptions.append(
            f"generation is {capacity_kw:g} kW of PV at {orientation.tilt_degrees:g} degrees facing "
            f"{'south' if orientation.azimuth_degrees == 180 else 'north'}"
        )
    weather = task.future_weather or {}
    if "ghi_wm2" in weather:
        expected = rated_output(site, task.grid, orientation, weather) * site.pv_capacity_kw
        share = _weather_error(site, learned, orientation, levels)
    else:
        expected = rated_output(site, task.grid, orientation, {}) * site.pv_capacity_kw
        share = _learned_cloudiness(task, learned, orientation, levels)
        if learned is None:
            assumptions.append("clouds leave a typical share of the clear-sky generation")
    mean_share, quantile_share = share
    quantiles = np.clip(expected[:, None] * quantile_share, 0.0, capacity_kw)
    mean = np.clip(expected * mean_share, 0.0, capacity_kw)
    return Prediction(mean, np.sort(quantiles, axis=1), tuple(assumptions))


def rated_output(site: Site, grid: TimeGrid, orientation: Orientation, weather: Weather) -> Array:
    """Output per kW of rated capacity in each interval, at its middle; exactly 0 at night."""  # (T,)
    import pandas as pd
    import pvlib

    middles = pd.DatetimeIndex(grid.starts, tz="UTC") + pd.Timedelta(minutes=grid.step_minutes / 2)
    sun = pvlib.solarposition.get_solarposition(middles, site.latitude, site.longitude)
    zenith = np.asarray(sun["apparent_zenith"])
    given = weather.get("ghi_wm2")
    ghi = given if given is not None else pvlib.clearsky.haurwitz(sun["apparent_zenith"])["ghi"]
    ghi = np.where(zenith < 90, np.asarray(ghi), 0.0)
    split = pvlib.irradiance.erbs(ghi, np.asarray(sun["zenith"]), middles)
    plane = pvlib.irradiance.get_total_irradiance(
        orientation.tilt_degrees,
        orientation.azimuth_degrees,
        zenith,
        np.asarray(sun["azimuth"]),
        np.clip(np.nan_to_num(split["dni"]), 0.0, 1_000.0),
        ghi,
        np.nan_to_num(split["dhi"]),
        dni_extra=np.asarray(pvlib.irradiance.get_extra_radiation(middles)),
        model="haydavies",
    )["poa_global"]
    plane = np.clip(np.nan_to_num(np.asarray(plane)), 0.0, None)
    air_c = weather.get("temperature_c", np.full(grid.steps, DEFAULT_TEMPERATURE_C))
    wind_ms = weather.get("wind_speed_ms", np.full(grid.steps, DEFAULT_WIND_MS))
    cell_c = pvlib.temperature.faiman(plane, air_c, np.maximum(wind_ms, 0.5))  # type: ignore[arg-type]  pvlib takes arrays, too
    output = orientation.scale * plane / 1_000.0 * (1 + TEMPERATURE_COEFFICIENT_PER_C * (cell_c - 25.0))
    return np.where(zenith < 90, np.clip(output, 0.0, 1.0), 0.0)


def fit_orientation(site: Site, history: History) -> tuple[Orientation, float]:
    """The orientation whose clear sky best fits the highest output of each time of day, and how well (correlation).

    Without measured weather only cloudless moments tell the orientation: of each slot of the day the highest of the
    last month stands for them.
    """
    recent = _last_days(history, 30)
    best, agreement = default_orientation(site), -1.0
    cells = cells_of(recent.grid, "UTC")
    seen = _highest_by_slot(recent.values, cells.slot, cells.slots)
    for tilt in (10.0, 30.0, 50.0):
        for turn in (-90.0, -45.0, 0.0, 45.0, 90.0):
            candidate = Orientation(tilt, (default_orientation(site).azimuth_degrees + turn) % 360, 1.0)
            clear = _highest_by_slot(rated_output(site, recent.grid, candidate, {}), cells.slot, cells.slots)
            known = np.isfinite(seen) & np.isfinite(clear)
            fit = _correlation(seen[known], clear[known])
            if fit > agreement:
                share = float(seen[known] @ clear[known] / max(clear[known] @ clear[known], 1e-9))
                scale = share / max(site.pv_capacity_kw, 1e-9)
                best, agreement = Orientation(tilt, candidate.azimuth_degrees, scale), fit
    return best, agreement


def _correlation(one: Array, other: Array) -> float:
    if one.size < 3 or one.std() == 0 or other.std() == 0:
        return -1.0
    return float(np.corrcoef(one, other)[0, 1])


def _highest_by_slot(values: Array, slot: Indices, slots: int) -> Array:
    highest = np.full(slots, -np.inf)
    known = np.isfinite(values)
    np.maximum.at(highest, slot[known], values[known])
    return np.where(np.isfinite(highest), highest, np.nan)


def _last_days(history: History, days: int) -> History:
    steps = min(history.grid.steps, days * 24 * 60 // history.grid.step_minutes)
    first = history.grid.steps - steps
    grid = TimeGrid(history.grid.instant(first), steps, history.grid.step_minutes)
    return History(grid, history.values[first:], {name: values[first:] for name, values in history.weather.items()})


Shares = tuple[Array, Array]
"""Mean (T,) or scalar, and quantiles (T, Q) or (Q,), of generation as a share of what the model expects."""


def _learned_cloudiness(
    task: ForecastTask, history: History | None, orientation: Orientation, levels: tuple[float, ...]
) -> Shares:
    """Shares of the clear sky by time of day over the last two months, or the prior."""
    if history is None:
        known_levels, shares = np.array(PRIOR_CLOUDINESS).T
        quantiles = np.interp(levels, known_levels, shares)
        return np.array(np.trapezoid(shares, known_levels)), quantiles[None, :]
    recent = _last_days(history, CLOUD_DAYS)
    clear = rated_output(task.site, recent.grid, orientation, {}) * task.site.pv_capacity_kw
    part = _day_part(task.site, recent.grid)
    target_part = _day_part(task.site, task.grid)
    mean, quantiles = np.zeros(task.grid.steps), np.zeros((task.grid.steps, len(levels)))
    for one in range(3):
        shares = _shares(recent.values, clear, part == one)
        mean[target_part == one] = shares.mean()
        quantiles[target_part == one] = np.quantile(shares, levels)
    return mean, quantiles


def _shares(actual: Array, expected: Array, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Array:
    daylight = np.isfinite(actual) & (expected > DAYLIGHT_SHARE * max(float(expected.max()), 1e-9))
    usable = daylight & chosen if (daylight & chosen).sum() >= 30 else daylight
    return np.clip(actual[usable] / expected[usable], 0.0, 1.5) if usable.any() else np.ones(1)


def _day_part(site: Site, grid: TimeGrid) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Morning, noon and afternoon by the sun."""
    hours = (grid.starts.astype(np.int64) / 3600 + site.longitude / 15) % 24
    return np.digitize(hours, (10.0, 14.0))


def _weather_error(site: Site, history: History | None, orientation: Orientation, levels: tuple[float, ...]) -> Shares:
    """How far generation was from what the weather made expected; a guess before there is history."""
    if history is None or "ghi_wm2" not in history.weather:
        return np.array(1.0), np.interp(levels, (0.0, 0.5, 1.0), (0.4, 1.0, 1.4))[None, :]
    recent = _last_days(history, CLOUD_DAYS)
    expected = rated_output(site, recent.grid, orientation, recent.weather) * site.pv_capacity_kw
    shares = _shares(recent.values, np.nan_to_num(expected), np.ones(recent.grid.steps, dtype=np.bool_))
    return np.array(shares.mean()), np.quantile(shares, levels)[None, :]


def _as_seen(task: ForecastTask, history: History, levels: tuple[float, ...]) -> Prediction:
    """The distribution of each time of day over the last two months: for data that no clear sky at the place fits."""
    recent = _last_days(history, CLOUD_DAYS)
    cells, targets = cells_of(recent.grid, "UTC"), cells_of(task.grid, "UTC")
    mean, quantiles = np.zeros(cells.slots), np.zeros((cells.slots, len(levels)))
    for slot in range(cells.slots):
        values = recent.values[(cells.slot == slot) & np.isfinite(recent.values)]
        if values.size:
            mean[slot], quantiles[slot] = max(values.mean(), 0.0), np.maximum(np.quantile(values, levels), 0.0)
    note = "generation follows the last weeks: the readings do not fit the sun at the place given"
    return Prediction(mean[targets.slot], quantiles[targets.slot], (note,))
