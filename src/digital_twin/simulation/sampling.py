"""The uncertain inputs of a simulated year: weather, load and prices, each drawn for itself.

A draw depends on (seed, run) alone: every scenario meets the same years (common random numbers), whoever computes
them. The continuous inputs are points of randomised Sobol sequences, one scramble for each of a few groups of runs, so
that the spread of the groups' means is an honest standard error. Source: Owen (1997), Annals of Statistics 25;
L'Ecuyer and Lemieux (2002), Recent Advances in Randomized Quasi-Monte Carlo Methods.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from digital_twin.domain.units import Array
from digital_twin.simulation.base_year import DAYS
from digital_twin.simulation.outcomes import SCRAMBLES

_WEEKS_AWAY = 2
_BLOCK_DAYS = 5.0
"""Spells of weather last some days; a day comes from within two weeks of its season, on its own weekday."""

YIELD_DEVIATION = 0.045
"""Of the annual irradiation from year to year in Central Europe (Suri et al. 2007, PVGIS: 4 to 6 %)."""
TEMPERATURE_DEVIATION_C = 0.8
LOAD_DEVIATION, HOME_DEVIATION = 0.05, 0.15
IMPORT_PRICE_DEVIATION, EXPORT_PRICE_DEVIATION, VOLATILITY_DEVIATION = 0.10, 0.20, 0.25
PRICE_CORRELATION = 0.6
"""Assumed: what a household's contract may move in a year, feed-in more than retail, which is mostly charges."""

_INPUTS = ("yield", "temperature", "load", "import_price", "export_price", "volatility")
_SMALLEST = 2.0**-40


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One simulated year."""

    weather_days: NDArray[np.int64]  # (D,) the day of the base year whose sky and market each day has
    load_days: NDArray[np.int64]  # (D,) the day of the base year that people live
    yield_factor: float
    warmer_c: float
    load_factor: float
    home_factors: Array  # (N,)
    import_price_factor: float
    export_price_factor: float
    volatility: float  # 1: prices vary over the year as in the base year


def draw(seed: int, run: int, days: int, homes: int) -> Draw:
    """The inputs of a run."""
    z = _standard_normals(seed, run)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, run))))
    weather_days = _resampled_days(generator, days)
    load_days = _resampled_days(generator, days)
    import_z = z["import_price"]
    export_z = PRICE_CORRELATION * import_z + np.sqrt(1 - PRICE_CORRELATION**2) * z["export_price"]
    return Draw(
        weather_days,
        load_days,
        _lognormal(z["yield"], YIELD_DEVIATION),
        TEMPERATURE_DEVIATION_C * z["temperature"],
        _lognormal(z["load"], LOAD_DEVIATION),
        _home_factors(generator, homes),
        _lognormal(import_z, IMPORT_PRICE_DEVIATION),
        _lognormal(export_z, EXPORT_PRICE_DEVIATION),
        _lognormal(z["volatility"], VOLATILITY_DEVIATION),
    )


def _standard_normals(seed: int, run: int) -> dict[str, float]:
    place, scramble = divmod(run, SCRAMBLES)
    points = _sobol(seed, scramble, max(place, 1).bit_length() if place else 0)
    values = ndtri(np.clip(points[place], _SMALLEST, 1 - _SMALLEST))
    return {name: float(value) for name, value in zip(_INPUTS, values, strict=True)}


@lru_cache(maxsize=64)
def _sobol(seed: int, scramble: int, log2_points: int) -> Array:
    """The first 2^m points of a scrambled sequence; more points begin with the same ones."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, scramble, len(_INPUTS)))))
    return qmc.Sobol(len(_INPUTS), scramble=True, rng=generator).random_base2(log2_points)


def _resampled_days(generator: np.random.Generator, days: int) -> NDArray[np.int64]:
    """Blocks of consecutive days, each moved by whole weeks. Source: Politis and Romano (1994), block bootstrap."""
    begins = generator.random(days) < 1 / _BLOCK_DAYS
    begins[0] = True
    weeks = generator.integers(-_WEEKS_AWAY, _WEEKS_AWAY, endpoint=True, size=days)
    moved = weeks[np.maximum.accumulate(np.where(begins, np.arange(days), 0))]
    return (np.arange(days) + 7 * moved) % DAYS


def _home_factors(generator: np.random.Generator, homes: int) -> Array:
    """How much more or less each home uses than in the base year; the homes' own, in the mean 1."""
    if homes == 1:
        return np.ones(1)
    factors = np.exp(HOME_DEVIATION * generator.standard_normal(homes))
    return factors / factors.mean()


def _lognormal(z: float, deviation: float) -> float:
    """A factor with mean 1 and this standard deviation of its logarithm."""
    return float(np.exp(deviation * z - deviation**2 / 2))
