"""How good forecasts were, and how sure that is when whole days, not their hours, are what may be drawn again."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array

RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the interval that it lies in with 95 % confidence."""

    value: float
    low: float
    high: float


def pinball_losses(actual: Array, quantiles: Array, levels: tuple[float, ...]) -> Array:
    """The loss of every quantile, in the unit of the series; NaN where nothing was measured.

    Source: Koenker and Bassett (1978), Regression Quantiles.

    Args:
        actual: what happened.  # (...)
        quantiles: what was forecast.  # (..., Q)
    """  # -> (..., Q)
    error = actual[..., None] - quantiles
    promised = np.asarray(levels)
    return np.maximum(promised * error, (promised - 1) * error)


def pinball_loss(actual: Array, quantiles: Array, levels: tuple[float, ...]) -> float:
    """Mean pinball loss over steps and levels, in the unit of the series."""
    return float(np.nanmean(pinball_losses(actual, quantiles, levels)))


def root_mean_square_error(actual: Array, mean: Array) -> float:
    """In the unit of the series, over the known values."""
    return float(np.sqrt(np.nanmean((actual - mean) ** 2)))


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """Share of the known values inside the interval, 0..1."""
    known = np.isfinite(actual)
    return float(np.mean((actual[known] >= lower[known]) & (actual[known] <= upper[known])))


def coverage_of_days(actual: Array, lower: Array, upper: Array, generator: np.random.Generator) -> Estimate:
    """Share of the known values inside the interval, sure to the degree that the days agree on it.

    Args:
        actual: by day and slot, NaN where unknown; the bounds likewise.  # (D, S)
    """
    known = np.isfinite(actual)
    inside = known & (actual >= lower) & (actual <= upper)
    return ratio_of_days(inside.sum(axis=1), known.sum(axis=1), generator)


def ratio_of_days(numerator: Array, denominator: Array, generator: np.random.Generator) -> Estimate:
    """The ratio of two sums over the same days, with the interval of a bootstrap that draws days (a paired one).

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, sections 8.6 and 13.3.

    Args:
        numerator: such as the loss of each day.  # (D,)
        denominator: such as another model's loss on the same day.  # (D,)
    """
    drawn = generator.integers(0, numerator.size, (RESAMPLES, numerator.size))
    ratios = numerator[drawn].sum(axis=1) / denominator[drawn].sum(axis=1)
    low, high = np.quantile(ratios, (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2))
    return Estimate(float(numerator.sum() / denominator.sum()), float(low), float(high))
