"""A forecast made later in the day, led on by what the forecast of its beginning has missed so far.

Errors persist. Told as normal scores, those of the hours to come are normal given those of the hours that have passed,
with the mean and the spread that the fading of errors leaves: a Gaussian copula, conditioned. How much of that is
believed is what came true of it on earlier days at the same hour.

Source: the conditional normal distribution, Rasmussen and Williams (2006), Gaussian Processes for Machine Learning,
equation A.6; the copula as in `dependence.py`.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.dependence import Dependence
from digital_twin.forecasting.forecast import Forecast
from digital_twin.forecasting.local_days import Indices

REACH_HOURS = 12.0
"""So far beyond the last known interval a forecast is led on."""

JUDGED_HOURS = 6.0
"""The hours after it on earlier days tell how much came true."""

PRIOR_TRUST, TRUSTED_DAYS = 0.5, 10.0
"""What is believed without earlier days, and how many of these weigh as much. On the development days of seven real
loads believing nothing without them lost 2 % at noon; half as many, or a prior of a quarter, changed at most 1 %."""

_NUGGET = 1e-6
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class DaySoFar:
    """Normal scores of the forecast that a day began with, and of those of earlier days."""

    start: datetime
    step_minutes: int
    scores: Array  # (S,) NaN where unknown or yet to come
    earlier: Array  # (D, S) NaN where unknown

    def middles(self, places: Indices) -> Array:
        """So many hours after the day's beginning the middles of its intervals lie."""
        return (places.astype(np.float64) + 0.5) * self.step_minutes / 60


def lead_on(forecast: Forecast, day: DaySoFar, dependence: Dependence) -> Forecast:
    """The forecast given what is known of the day; unchanged where nothing is, and beyond REACH_HOURS."""
    known, grid = np.flatnonzero(np.isfinite(day.scores)), forecast.grid
    now = float(known[-1] + 1) * day.step_minutes / 60 if known.size else np.inf
    begins = (grid.start - day.start).total_seconds() / 3_600
    ahead = np.arange(grid.steps, dtype=np.float64) * grid.step_hours + begins + grid.step_hours / 2
    is_near = (ahead > now) & (ahead < now + REACH_HOURS)
    if not is_near.any():
        return forecast
    own = _Fading(dependence, int(forecast.variable == "pv_kw"))
    trust = _trust(day, known, own)
    weights, explained = own.conditioned(day.middles(known), ahead)
    rescored = _rescored(forecast, trust * (weights @ day.scores[known]), np.sqrt(1 - trust**2 * explained))
    quantiles = np.where(is_near[:, None], rescored, forecast.quantiles)
    moved = forecast.mean + (quantiles - forecast.quantiles) @ _probabilities(forecast.levels)
    low = -np.inf if forecast.variable.startswith("net_") else 0.0
    note = f"of what {forecast.variable} was off since the day began {100 * trust:.0f} % is taken to persist"
    return replace(
        forecast, mean=np.maximum(moved, low), quantiles=quantiles, assumptions=(*forecast.assumptions, note)
    )


@dataclass(frozen=True, slots=True)
class _Fading:
    """How errors of one variable fade."""

    dependence: Dependence
    place: int

    def conditioned(self, told: Array, ahead: Array) -> tuple[Array, Array]:
        """How much the score of each hour told counts for that of each ahead, and how much of its variance they
        explain."""
        # (T, K), (T,)
        among = self._between(told[:, None] - told[None, :])
        across = self._between(ahead[:, None] - told[None, :])
        weights = np.linalg.solve(among + _NUGGET * np.eye(told.size), across.T).T.astype(np.float64)
        return weights, np.clip((weights * across).sum(axis=1), 0.0, 1 - _NUGGET)

    def _between(self, hours: Array) -> Array:
        return self.dependence.between(hours)[..., self.place, self.place]


def _trust(day: DaySoFar, known: Indices, fading: _Fading) -> float:
    """The share of what was expected at the same hour of earlier days that came true, 0..1."""
    first = int(known[-1]) + 1
    last = min(first + round(JUDGED_HOURS * 60 / day.step_minutes), day.scores.size)
    weights, _ = fading.conditioned(day.middles(known), day.middles(np.arange(first, last)))
    expected = np.nan_to_num(day.earlier[:, known]) @ weights.T  # (D, J)
    came = day.earlier[:, first:last]
    is_known = np.isfinite(came)
    agreed = np.where(is_known, expected * came, 0.0).sum()
    total = np.where(is_known, expected**2, 0.0).sum()
    if total < _SMALLEST:
        return PRIOR_TRUST
    days = is_known.any(axis=1).sum()
    share = days / (days + TRUSTED_DAYS)
    return float(np.clip(share * agreed / total + (1 - share) * PRIOR_TRUST, 0.0, 1.0))


def _rescored(forecast: Forecast, expected: Array, spread: Array) -> Array:
    """The forecast's values where a normal score of that mean and spread puts its levels, linear between them."""
    # (T, Q)
    from scipy.special import ndtr, ndtri

    levels, quantiles = np.asarray(forecast.levels), forecast.quantiles
    probability = ndtr(expected[:, None] + spread[:, None] * ndtri(levels))
    upper = np.clip(np.searchsorted(levels, probability), 1, levels.size - 1)
    share = (probability - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    low, high = (np.take_along_axis(quantiles, place, axis=1) for place in (upper - 1, upper))
    values = np.maximum.accumulate(low + share * (high - low), axis=1)  # whatever rounding does
    return values if forecast.variable.startswith("net_") else np.maximum(values, 0.0)


def _probabilities(levels: tuple[float, ...]) -> Array:
    """The probability nearest to each level."""  # (Q,)
    bounds = np.concatenate([[0.0], (np.array(levels[1:]) + np.array(levels[:-1])) / 2, [1.0]])
    return np.diff(bounds)
