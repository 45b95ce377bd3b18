"""How a community's demand has answered to its prices: an estimate with its standard error, or why there is none.

    log load = habits + weather + season + w (x - mean of the day) + b (mean of the day) + noise,   x = log price

Habits are a level for each local hour of working days and of other days, so that a price which follows the clock alone
cannot be told from habit, and nothing is learned from it. What demand does to a price of its own hour relative to the
day's is w, to a dearer day b; with n hours in a day own and cross elasticity follow from w = own - cross / (n - 1) and
b = own + cross. Errors of one week are taken to be related in any way, those of different weeks not to be.

What this cannot see: whatever moves price and load together beside weather, season and habits is taken for an answer.
One community is too small to move a market's price.

Source: Mundlak 1978, Econometrica 46, 69-85 (within and between); Liang, Zeger 1986, Biometrika 73, 13-22 (errors by
cluster); Cameron, Miller 2015, J. Hum. Resour. 50, 317-372, section VI (few clusters: t with one less than there are).
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import LocalClock
from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.demand_response import Elasticity, Indices

FEWEST_WEEKS = 8
MOST_UNCERTAIN = 0.1
"""Standard error from which on the readings say less than the literature does."""
CONTRADICTED = 2.0
"""Standard errors beyond which a number is not 0: an own elasticity above it shows that something else moved price and
demand; a cross elasticity within them is taken to be 0."""
LEAST_PRICE_SHARE = 0.1
"""Of the median price: what lies below is so near to nothing that its logarithm means nothing."""
HEATED_BELOW_C, COOLED_ABOVE_C = 15.0, 22.0
HARMONICS_FROM_DAYS = 180
YEAR_DAYS, WEEK_DAYS = 365.25, 7
LEAST_OWN_VARIATION = 0.02
"""Standard deviation of the logarithm of prices beside habits: below, prices follow the clock."""


@dataclass(frozen=True, slots=True, eq=False)
class PastDemand:
    """Hours of readings with the prices that were paid; NaN where either is not known."""

    load_kw: Array  # (H,)
    price_per_kwh: Array  # (H,)
    temperature_c: Array | None  # (H,)
    clock: LocalClock


@dataclass(frozen=True, slots=True, eq=False)
class LearnedElasticity:
    """An elasticity with the covariance of its errors, and what it rests on."""

    elasticity: Elasticity
    covariance: Array  # (2, 2) of own and cross
    days: int
    rests_on: str

    @property
    def standard_errors(self) -> tuple[float, float]:
        own, cross = np.sqrt(self.covariance.diagonal())
        return float(own), float(cross)


def learn_elasticity(past: PastDemand) -> LearnedElasticity | str:
    """The elasticity, or in words why the readings tell none."""
    known = _known_hours(past)
    weeks = np.unique(past.clock.day[known] // WEEK_DAYS)
    if weeks.size < FEWEST_WEEKS:
        return f"readings with prices of {weeks.size} weeks, of at least {FEWEST_WEEKS} that it takes"
    habits = _habits(past, known)
    prices, demand = np.log(past.price_per_kwh[known]), np.log(past.load_kw[known])
    day = np.unique(past.clock.day[known], return_inverse=True)[1]
    of_day = (np.bincount(day, prices) / np.bincount(day))[day]
    terms = _without(habits, np.stack([prices - of_day, of_day], axis=1))
    if terms.std(axis=0).min() < LEAST_OWN_VARIATION:
        return "prices that follow the hour and the season alone, which cannot be told from habit"
    beside, week = _without(habits, demand[:, None])[:, 0], past.clock.day[known] // WEEK_DAYS
    found, covariance = _least_squares(terms, beside, week)
    own, cross, errors = _own_and_cross(found, covariance, float(np.bincount(day).mean()))
    is_told_apart = abs(cross) > CONTRADICTED * np.sqrt(errors[1, 1])
    if not is_told_apart:
        [own], [[variance]] = _least_squares(terms.sum(axis=1, keepdims=True), beside, week)
        own, cross, errors = float(own), 0.0, np.diag([variance, errors[1, 1]])
    error = float(np.sqrt(errors[0, 0]))
    if error > MOST_UNCERTAIN:
        return f"an own elasticity of {own:.3f} with the standard error {error:.3f}, too wide to go by"
    if own > CONTRADICTED * error:
        return f"an own elasticity of {own:.3f} ± {error:.3f}: something else moves price and demand together"
    days, weather = int(day.max()) + 1, "" if past.temperature_c is None else ", temperature"
    return LearnedElasticity(
        Elasticity(min(own, 0.0), float(np.clip(cross, -1.0, 1.0))),
        errors,
        days,
        f"{int(known.sum())} hours of {days} days with their prices, beside habits{weather} and season"
        + ("" if is_told_apart else "; a cross elasticity is within its error"),
    )


def answer_error_kw(learned: LearnedElasticity, load_kw: Array, relative_price_change: Array, day: Indices) -> Array:
    """The standard error of what demand does at this change of prices, by that of the elasticity."""  # (T,)
    count = np.bincount(day)[day]
    others = (np.bincount(day, relative_price_change)[day] - relative_price_change) / np.maximum(1, count - 1)
    by_own, by_cross = load_kw * relative_price_change, load_kw * others
    variance = (
        learned.covariance[0, 0] * by_own**2
        + 2 * learned.covariance[0, 1] * by_own * by_cross
        + learned.covariance[1, 1] * by_cross**2
    )
    return np.sqrt(np.maximum(variance, 0.0))


def _known_hours(past: PastDemand) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    known = np.isfinite(past.load_kw) & (past.load_kw > 0) & np.isfinite(past.price_per_kwh)
    if known.any():
        known &= past.price_per_kwh > LEAST_PRICE_SHARE * float(np.median(past.price_per_kwh[known]))
    return known if past.temperature_c is None else known & np.isfinite(past.temperature_c)


def _habits(past: PastDemand, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Array:
    """Levels of hours of working and other days, degrees of heating and cooling, the season."""  # (H, C)
    clock = past.clock
    cell = clock.hour.astype(np.int64) + 24 * (clock.weekday >= 5)
    columns = [np.eye(48)[cell[known]]]
    if past.temperature_c is not None:
        celsius = past.temperature_c[known]
        columns.append(np.stack([np.maximum(HEATED_BELOW_C - celsius, 0), np.maximum(celsius - COOLED_ABOVE_C, 0)], 1))
    day = clock.day[known].astype(np.float64)
    columns.append(((day - day.mean()) / max(float(np.ptp(day)), 1.0))[:, None])
    if float(np.ptp(day)) >= HARMONICS_FROM_DAYS:
        turn = 2 * np.pi * day / YEAR_DAYS
        columns.append(np.stack([np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn)], 1))
    return np.concatenate(columns, axis=1)


def _without(habits: Array, values: Array) -> Array:
    """What habits do not explain (Frisch, Waugh, Lovell)."""
    return values - habits @ np.linalg.lstsq(habits, values, rcond=None)[0]


def _least_squares(terms: Array, demand: Array, week: Indices) -> tuple[Array, Array]:
    """Coefficients, and their covariance by weeks; its standard errors are those of a t with one less than weeks."""
    inverse = np.linalg.inv(terms.T @ terms)
    found = inverse @ terms.T @ demand
    scores = terms * (demand - terms @ found)[:, None]
    of_week = np.unique(week, return_inverse=True)[1]
    count = int(of_week.max()) + 1
    summed = np.zeros((count, found.size))
    np.add.at(summed, of_week, scores)
    return found, count / (count - 1) * inverse @ (summed.T @ summed) @ inverse


def _own_and_cross(found: Array, covariance: Array, hours_of_day: float) -> tuple[float, float, Array]:
    """From the answers to prices within and between days."""
    share = (hours_of_day - 1) / hours_of_day
    by = np.array([[share, 1 - share], [-share, share]])
    own, cross = by @ found
    return float(own), float(cross), by @ covariance @ by.T
