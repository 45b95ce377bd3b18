"""How the errors of load and generation hang together: from one interval to the next, and with each other.

An error is told as a normal score: where in its own forecast distribution the truth fell, on the scale of a standard
normal variable. Scores are a sum of components that fade at different speeds, each with its own covariance of load and
generation (a linear model of coregionalisation), so that every fit is a valid Gaussian copula for any horizon.

Source: Pinson, Madsen, Nielsen, Papaefthymiou and Klockl (2009), From probabilistic forecasts to statistical scenarios
of short-term wind power production, Wind Energy 12; coregionalisation: Goulard and Voltz (1992), Mathematical Geology
24.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array

FADING_HOURS = (0.0, 3.0, 12.0, 48.0)
"""After so long a component has fallen to 1/e; 0 is what one interval does not share with the next."""

PRIOR_DAYS = 14.0
"""So many days of errors weigh as much as the prior."""

SMALLEST_WIDTH = 1e-6
"""Forecasts narrower than this share of the widest, such as those of generation by night, tell of no error."""

FEWEST_PAIRS = 48
REACH_HOURS = 24.0


@dataclass(frozen=True, slots=True, eq=False)
class Dependence:
    """Covariances of the normal scores of load and generation, component by component; their sum has ones on the
    diagonal."""

    covariances: Array  # (C, 2, 2), a component for each of FADING_HOURS

    @property
    def correlation(self) -> float:
        """That of load and generation in the same interval."""
        return float(self.covariances[:, 0, 1].sum())

    def factors(self) -> Array:
        """Matrices whose products with their transposes are the covariances."""  # (C, 2, 2)
        values, vectors = np.linalg.eigh(self.covariances)
        return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]

    def between(self, hours: Array) -> Array:
        """Correlation of scores that lie so many hours apart."""  # (..., 2, 2)
        return np.tensordot(_fading(np.abs(hours)), self.covariances, axes=1)


TYPICAL = Dependence(np.stack([np.diag(pair) for pair in ((0.2, 0.4), (0.6, 0.1), (0.1, 0.25), (0.1, 0.25))]))
"""Without past errors: scores of load and of generation fade as in day-ahead forecasts, and know nothing of each other.
Rounded means over the development days of the sets in `benchmarks/paths.py`."""


def normal_scores(actual: Array, quantiles: Array, levels: tuple[float, ...]) -> Array:
    """Where in its forecast distribution each value fell; NaN where it or an uncertain forecast is missing.

    The distribution is linear between the levels and beyond the outermost, as in `paths.values_at`.

    Args:
        actual: NaN where unknown.  # (...)
        quantiles: in order.  # (..., Q)
    """
    from scipy.special import ndtri

    promised = np.asarray(levels)
    width = quantiles[..., -1] - quantiles[..., 0]
    above = (quantiles < actual[..., None]).sum(axis=-1)
    upper = np.clip(above, 1, promised.size - 1)[..., None]
    low, high = (np.take_along_axis(quantiles, place, axis=-1)[..., 0] for place in (upper - 1, upper))
    start, end = promised[upper[..., 0] - 1], promised[upper[..., 0]]
    step = np.where(high > low, high - low, np.inf)
    tail = min(promised[0], 1 - promised[-1]) / 4
    probability = np.clip(start + (end - start) * (actual - low) / step, tail, 1 - tail)
    is_told = np.isfinite(actual) & (width > SMALLEST_WIDTH * max(float(np.nanmax(width, initial=0.0)), 1e-12))
    return np.where(is_told, ndtri(probability), np.nan)


def learn_dependence(load: Array, generation: Array, step_hours: float) -> Dependence:
    """The dependence of past errors, drawn towards the typical one by as much as they are few; typical where unknown.

    Args:
        load: normal scores of past forecasts, each of equal length, NaN where unknown.  # (D, T)
        generation: those of the same intervals.  # (D, T)
    """
    steps = min(load.shape[1], round(REACH_HOURS / step_hours))
    lags = np.unique(np.concatenate([np.arange(min(steps, 13)), np.linspace(0, steps - 1, 25).astype(np.int64)]))
    own = [_products(scores, scores, lags) for scores in (load, generation)]
    told = [place for place, (_, pairs) in enumerate(own) if pairs[0] >= FEWEST_PAIRS]
    if not told:
        return TYPICAL
    days = (np.isfinite(load) | np.isfinite(generation)).any(axis=1).sum() * load.shape[1] * step_hours / 24
    trust = days / (days + PRIOR_DAYS)
    shares = _fading(lags * step_hours)
    covariances = TYPICAL.covariances.copy()
    variances = [_fit_own(covariances[:, place, place], own[place], shares, trust) for place in told]
    forward, backward = _products(load, generation, lags), _products(generation, load, lags)
    pairs = forward[1] + backward[1]
    if len(told) == 2 and pairs[0] >= FEWEST_PAIRS:
        moment = (forward[0] * forward[1] + backward[0] * backward[1]) / np.maximum(pairs, 1)
        _fit_shared(covariances, trust * moment / np.sqrt(np.prod(variances)), pairs, shares)
    return Dependence(covariances)


def _fit_own(weights: Array, found: tuple[Array, Array], shares: Array, trust: float) -> float:
    """Move what each component has of a variable towards its products; their variance."""
    from scipy.optimize import nnls

    moment, pairs = found
    certainty = np.sqrt(pairs)
    fitted = nnls(shares * certainty[:, None], moment * certainty)[0]
    variance = max(float(fitted.sum()), 1e-12)
    weights += trust * (fitted / variance - weights)
    return variance


def _fit_shared(covariances: Array, moment: Array, pairs: Array, shares: Array) -> None:
    """Set what load and generation share of each component."""
    from scipy.optimize import lsq_linear

    certainty = np.sqrt(pairs)
    # within these bounds no component's matrix has a negative eigenvalue
    bound = np.sqrt(covariances[:, 0, 0] * covariances[:, 1, 1]) + 1e-12
    shared = lsq_linear(shares * certainty[:, None], moment * certainty, (-bound, bound)).x
    covariances[:, 0, 1] = covariances[:, 1, 0] = shared


def _fading(hours: Array) -> Array:
    """What of each component is left after so long."""  # (..., C)
    fading = np.asarray(FADING_HOURS)
    left = np.exp(-hours[..., None] / np.maximum(fading, 1e-9))
    return np.where((fading == 0) & (hours[..., None] == 0), 1.0, left)


def _products(one: Array, other: Array, lags: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[Array, Array]:
    """The mean product of scores so many steps apart, and of how many pairs it is."""
    steps = one.shape[1]
    means, counts = np.zeros(lags.size), np.zeros(lags.size)
    for place, lag in enumerate(lags):
        product = one[:, : steps - lag] * other[:, lag:]
        counts[place] = np.isfinite(product).sum()
        means[place] = np.nansum(product) / max(counts[place], 1.0)
    return means, counts
