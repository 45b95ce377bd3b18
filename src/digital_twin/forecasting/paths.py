"""Sample paths of load and generation: what each interval may bring, strung together as errors hang together.

Each interval's values are equally likely points of its forecast, so that its distribution is the forecast's for any
number of paths; which path takes which is decided by the ranks of a Gaussian copula.

Source: Pinson et al. (2009), Wind Energy 12; ordering points by the ranks of a template: the Schaake shuffle, Clark,
Gangopadhyay, Hay, Rajagopalan and Wilby (2004), Journal of Hydrometeorology 5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.forecasting.dependence import FADING_HOURS, TYPICAL, Dependence
from digital_twin.forecasting.forecast import Forecast, least_of


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Equally likely courses of load and generation."""

    load_kw: Array  # (S, T)
    pv_kw: Array  # (S, T)

    @property
    def net_load_kw(self) -> Array:
        return self.load_kw - self.pv_kw


def sample_paths(load: Forecast, pv: Forecast, *, count: int, dependence: Dependence = TYPICAL, seed: int = 0) -> Paths:
    """So many paths; the same seed gives the same ones.

    Raises:
        InvalidInput: the forecasts are not on the same grid, or no path is wanted.
    """
    if load.grid != pv.grid:
        raise InvalidInput("load and generation must be forecast on the same grid", field="grid")
    if count < 1:
        raise InvalidInput(f"count must be at least 1, got {count}", field="count")
    scores = _scores(load.grid.steps, count, dependence, load.grid.step_hours, np.random.default_rng(seed))
    probabilities = (np.arange(count) + 0.5) / count
    ordered = [_ordered(values_at(one, probabilities), score) for one, score in zip((load, pv), scores, strict=True)]
    return Paths(*ordered)


def values_at(forecast: Forecast, probabilities: Array) -> Array:
    """Values at these probabilities, linear between the levels and beyond the outermost; only net load goes below 0."""
    # (T, P)
    levels = np.asarray(forecast.levels)
    upper = np.clip(np.searchsorted(levels, probabilities), 1, levels.size - 1)
    share = (probabilities - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    weight = np.zeros((levels.size, probabilities.size))
    place = np.arange(probabilities.size)
    weight[upper - 1, place], weight[upper, place] = 1 - share, share
    return np.maximum(forecast.quantiles @ weight, least_of(forecast.variable))


def _scores(
    steps: int, count: int, dependence: Dependence, step_hours: float, chance: np.random.Generator
) -> NDArray[np.float32]:
    """Normal scores of both variables along every path."""  # (2, T, S)
    scores = np.zeros((2, steps, count), dtype=np.float32)
    for hours, factor in zip(FADING_HOURS, dependence.factors().astype(np.float32), strict=True):
        kept = np.float32(np.exp(-step_hours / hours)) if hours else np.float32(0)
        component = chance.standard_normal((2, steps, count), dtype=np.float32)
        component[:, 1:] *= np.sqrt(1 - kept**2)
        if kept:
            for step in range(1, steps):
                component[:, step] += kept * component[:, step - 1]
        scores += np.tensordot(factor, component, axes=1)
    return scores


def _ordered(values: Array, scores: NDArray[np.float32]) -> Array:
    """Ascending values of each interval, handed to the paths by the rank of their scores."""  # (S, T)
    paths = np.empty(values.shape)
    np.put_along_axis(paths, np.argsort(scores, axis=1), values, axis=1)
    return paths.T
