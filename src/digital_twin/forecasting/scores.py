"""How good a forecast was."""

import numpy as np

from digital_twin.domain.units import Array


def pinball_loss(actual: Array, quantiles: Array, levels: tuple[float, ...]) -> float:
    """Mean pinball loss over steps and levels, in the unit of the series (Koenker and Bassett 1978)."""
    error = actual[:, None] - quantiles
    promised = np.asarray(levels)
    return float(np.nanmean(np.maximum(promised * error, (promised - 1) * error)))


def normalised_pinball_loss(actual: Array, quantiles: Array, levels: tuple[float, ...]) -> float:
    """Mean pinball loss as a fraction of the mean of the series."""
    return pinball_loss(actual, quantiles, levels) / float(np.nanmean(np.abs(actual)))


def root_mean_square_error(actual: Array, mean: Array) -> float:
    """In the unit of the series, over the known values."""
    return float(np.sqrt(np.nanmean((actual - mean) ** 2)))


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """Share of the known values inside the interval, 0..1."""
    known = np.isfinite(actual)
    return float(np.mean((actual[known] >= lower[known]) & (actual[known] <= upper[known])))
