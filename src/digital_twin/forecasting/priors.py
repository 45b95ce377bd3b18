"""A community without data: the standard household, as many times as there are prosumers.

Source: BDEW standard load profile H0 (1999), hourly means in W for a household of 1000 kWh a year, with the official
dynamisation polynomial; annual use of a European household 3,600 kWh (Eurostat, household electricity per dwelling,
2022). Deviation of N homes from the expected: sqrt(a^2 + b^2 / N), a = 0.2 and b = 0.56, fitted to the error of the
weekly naive forecast over groups of 1 to 537 metered Swiss homes (59.5 % of the mean for one, 20.1 % for 537). Before
any reading the annual use itself is uncertain: the averages of European countries lie between about half and twice
the European one, taken as two standard deviations of its logarithm.
"""

from statistics import NormalDist

import numpy as np

from digital_twin.domain.time import LocalClock, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Rule

ANNUAL_KWH_PER_HOME = 3_600.0
COMMON_DEVIATION, SINGLE_HOME_DEVIATION = 0.20, 0.56
UNKNOWN_LEVEL_DEVIATION = 0.35
SCALING_DAYS = 2.0

_SUMMER = (135, 257)  # 15 May to 14 September
_WINTER = (305, 79)  # 1 November to 20 March
_PROFILES_W = {
    # season: workday, Saturday, Sunday
    "winter": (
        (58, 43, 40, 39, 39, 47, 90, 129, 134, 123, 116, 118, 131, 130, 115, 105, 105, 129, 166, 187, 168, 141, 117, 86),
        (67, 53, 42, 40, 38, 40, 53, 82, 120, 142, 148, 155, 167, 166, 153, 144, 145, 180, 209, 210, 172, 134, 122, 104),
        (78, 56, 45, 41, 39, 39, 41, 50, 89, 138, 174, 203, 207, 173, 136, 117, 107, 126, 156, 176, 160, 136, 115, 85),
    ),
    "summer": (
        (74, 55, 50, 47, 49, 59, 98, 130, 142, 144, 139, 142, 158, 153, 132, 119, 115, 122, 142, 165, 167, 158, 145, 112),
        (83, 64, 52, 50, 50, 52, 64, 93, 128, 156, 165, 171, 182, 176, 157, 148, 145, 149, 166, 180, 173, 154, 149, 125),
        (90, 67, 54, 51, 50, 49, 51, 69, 112, 160, 187, 206, 209, 175, 144, 124, 108, 110, 127, 152, 159, 151, 140, 108),
    ),
    "transition": (
        (67, 49, 44, 43, 44, 53, 93, 130, 137, 136, 132, 133, 150, 146, 127, 113, 106, 116, 145, 172, 168, 156, 136, 100),
        (73, 56, 46, 44, 43, 45, 59, 93, 130, 150, 163, 172, 181, 177, 161, 149, 147, 159, 183, 198, 180, 147, 139, 117),
        (84, 62, 49, 44, 43, 43, 46, 66, 111, 160, 185, 205, 208, 169, 136, 121, 107, 112, 138, 161, 155, 144, 128, 94),
    ),
}  # fmt: skip


def predict_standard_load(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """The standard profile times the number of prosumers, at the level of the readings once there are two days."""
    site = task.site
    mean = site.num_prosumers * standard_household_kw(local_clock(task.grid, site.timezone))
    assumptions = [
        f"load is the standard household profile (BDEW H0) x {site.num_prosumers} prosumers "
        f"at {ANNUAL_KWH_PER_HOME:.0f} kWh a year each"
    ]
    deviation = float(np.hypot(COMMON_DEVIATION, SINGLE_HOME_DEVIATION / np.sqrt(site.num_prosumers)))
    if task.history is None or task.history.days < SCALING_DAYS:
        deviation = float(np.hypot(deviation, UNKNOWN_LEVEL_DEVIATION))
    else:
        expected = site.num_prosumers * standard_household_kw(local_clock(task.history.grid, site.timezone))
        known = np.isfinite(task.history.values)
        level = float(np.clip(task.history.values[known].sum() / expected[known].sum(), 0.05, 20.0))
        mean = level * mean
        assumptions = [f"load follows the standard household profile (BDEW H0) at {level:.2f} times its usual level"]
    return Prediction(mean, lognormal_quantiles(mean, deviation, levels), tuple(assumptions))


def standard_household_kw(clock: LocalClock) -> Array:
    """Expected load of one household."""  # (T,)
    season = np.select(
        [
            (clock.day_of_year >= _SUMMER[0]) & (clock.day_of_year <= _SUMMER[1]),
            (clock.day_of_year >= _WINTER[0]) | (clock.day_of_year <= _WINTER[1]),
        ],
        [1, 0],
        2,
    )
    table = np.array([_PROFILES_W["winter"], _PROFILES_W["summer"], _PROFILES_W["transition"]], dtype=np.float64)
    day_type = np.clip(clock.weekday - 4, 0, 2)
    # hourly means become a smooth curve: interpolated between the middles of the hours
    position = clock.hour - 0.5
    before = np.floor(position).astype(np.int64)
    share = position - before
    profile_w = (1 - share) * table[season, day_type, before % 24] + share * table[season, day_type, (before + 1) % 24]
    return profile_w / 1e3 * (ANNUAL_KWH_PER_HOME / 1e3) * _dynamisation(clock.day_of_year)


def _dynamisation(day_of_year: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    """The seasonal factor of H0 (BDEW 1999)."""
    return np.asarray(np.polyval([-3.92e-10, 3.20e-7, -7.02e-5, 2.10e-3, 1.24], day_of_year), dtype=np.float64)


def lognormal_quantiles(mean: Array, deviation: float, levels: tuple[float, ...]) -> Array:
    """Quantiles of a positive quantity with this mean and relative standard deviation."""  # (T, Q)
    sigma = np.sqrt(np.log1p(deviation**2))
    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    return mean[:, None] * np.exp(sigma * z - sigma**2 / 2)


standard_load = Rule(predict_standard_load)
