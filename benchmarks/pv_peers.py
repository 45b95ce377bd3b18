"""How others forecast generation: yesterday again, pvlib's PVWatts with a fitted roof, and LightGBM quantiles.

Each has the quantiles of its own errors and learns from the days that count alone.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd
import pvlib
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.pv_series import PlantSeries
from digital_twin.domain.units import Array

SEED = 0
TREES, FEW_TREES = 100, 60
FEWEST_OF_AN_HOUR = 30
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PeerTask:
    """Learn from some hours of a plant, forecast others."""

    plant: PlantSeries
    told: Flags  # (T,)
    asked: Flags  # (T,)
    levels: tuple[float, ...]

    @property
    def middles(self) -> pd.DatetimeIndex:
        grid = self.plant.grid
        return pd.DatetimeIndex(pd.to_datetime(grid.starts.astype(np.int64) + 1_800, unit="s", utc=True))

    @property
    def hour(self) -> Array:
        return self.middles.tz_convert(self.plant.site.timezone).hour.to_numpy()


def persistence(task: PeerTask) -> Array:
    """The day before, with the errors of each hour."""  # (asked, Q)
    values = task.plant.values
    before = pd.Series(values).shift(24).ffill().fillna(0.0).to_numpy()
    return _with_errors(task, before)


def fitted_pvwatts(task: PeerTask) -> Array:
    """Tilt and azimuth by Nelder and Mead, scale by least squares, with the errors of each hour."""  # (asked, Q)
    plant = task.plant
    sample = np.flatnonzero(task.told)[:: 7 if task.told.sum() > 2_000 else 1]

    def misfit(facing: Array) -> float:
        ideal = _pvlib_output(plant, task.middles[sample], sample, facing)
        scale = ideal @ plant.values[sample] / max(ideal @ ideal, 1e-9)
        return float(np.mean((plant.values[sample] - scale * ideal) ** 2))

    found = minimize(misfit, [20.0, 180.0], method="Nelder-Mead", options={"maxiter": 25}).x
    ideal = _pvlib_output(plant, task.middles, np.arange(plant.values.size), found)
    scale = ideal[task.told] @ plant.values[task.told] / (ideal[task.told] @ ideal[task.told])
    return _with_errors(task, np.minimum(scale * ideal, plant.values[task.told].max()))


def boosted_quantiles(task: PeerTask) -> Array:
    """LightGBM from weather, hour and season; without weather from the two days before, too."""  # (asked, Q)
    plant, local = task.plant, task.middles.tz_convert(task.plant.site.timezone)
    season = 2 * np.pi * local.day_of_year.to_numpy() / 365
    columns = [task.hour, np.sin(season), np.cos(season), *plant.weather.values()]
    if not plant.weather:
        columns += [pd.Series(plant.values).shift(24 * days).to_numpy() for days in (1, 2)]
    features = np.column_stack(columns)
    few = task.told.sum() < 2_000
    size = {"n_estimators": FEW_TREES, "num_leaves": 8, "min_child_samples": 15} if few else {
        "n_estimators": TREES, "num_leaves": 16, "min_child_samples": 25
    }  # fmt: skip
    quantiles = np.empty((int(task.asked.sum()), len(task.levels)))
    for column, level in enumerate(task.levels):
        model = lightgbm.LGBMRegressor(
            objective="quantile", alpha=level, learning_rate=0.08, n_jobs=1, verbose=-1, random_state=SEED, **size
        )
        model.fit(features[task.told], plant.values[task.told])
        quantiles[:, column] = model.predict(features[task.asked])
    return np.sort(np.maximum(quantiles, 0.0), axis=1)


def _with_errors(task: PeerTask, expected: Array) -> Array:
    """Expected output with the quantiles of the errors of its hour, all hours' where it has too few."""
    errors = task.plant.values - expected
    hour, quantiles = task.hour, np.zeros((24, len(task.levels)))
    for one in range(24):
        mine = task.told & (hour == one)
        quantiles[one] = np.quantile(errors[mine if mine.sum() >= FEWEST_OF_AN_HOUR else task.told], task.levels)
    return np.sort(np.maximum(expected[task.asked, None] + quantiles[hour[task.asked]], 0.0), axis=1)


def _pvlib_output(plant: PlantSeries, middles: pd.DatetimeIndex, chosen: Array, facing: Array) -> Array:
    sun = pvlib.solarposition.get_solarposition(middles, plant.site.latitude, plant.site.longitude)
    ghi_wm2 = plant.weather["ghi_wm2"][chosen]
    split = pvlib.irradiance.erbs(ghi_wm2, sun["zenith"].to_numpy(), middles)
    plane = pvlib.irradiance.get_total_irradiance(
        float(facing[0]),
        float(facing[1]),
        sun["apparent_zenith"].to_numpy(),
        sun["azimuth"].to_numpy(),
        np.clip(np.nan_to_num(np.asarray(split["dni"])), 0, 1_000),
        ghi_wm2,
        np.nan_to_num(np.asarray(split["dhi"])),
        dni_extra=np.asarray(pvlib.irradiance.get_extra_radiation(middles)),
        model="haydavies",
    )["poa_global"]
    lit = np.maximum(np.nan_to_num(np.asarray(plane)), 0.0)
    cell_c = pvlib.temperature.faiman(lit, plant.weather["temperature_c"][chosen], 2.0)
    return np.maximum(np.asarray(pvlib.pvsystem.pvwatts_dc(lit, cell_c, 1.0, -0.004)), 0.0)
