"""What physics misses, learned from a plant's own history: its performance of late, blurred weather, and the rest.

The rest is told by a forest. It looks at sun, season and weather around only where that was better on days held back;
otherwise at what is expected and how clear it is. Weather that makes nothing better is not used at all.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.evidence import is_better
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.forest import Forest, grow_forest
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.pv_calibration import LEVELS, SunCalibration, calibrate_by_sun
from digital_twin.forecasting.pv_conditions import BRIEF_COLUMNS, Conditions
from digital_twin.forecasting.pv_faults import Flags
from digital_twin.forecasting.scores import pinball_losses

HALF_LIFE_DAYS, PRIOR_DAYS = 30.0, 10.0
"""Soiling and snow come within days, degradation in years; a mean over weeks follows both without chasing clouds."""
PENALTY_DAYS = 2.0
HUBER = 1.345
BLOCK_DAYS, FOLDS = 5, 4
"""Days held back together, as a spell of weather must not be on both sides; and in how many turns all are."""
TWILIGHT_SHARE = 0.03
MOST_CASES = 12_000
FEWEST_IN_LEAF, TRIED_SHARE = 8, 0.5
FEWEST_IN_BRIEF_LEAF = 16


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """What was learned; in shares of what a clear sky would yield."""

    performance: float
    blur: Array  # (3,) of `Conditions.neighbours`
    forest: Forest
    calibration: SunCalibration
    is_full: bool

    def to_arrays(self) -> Arrays:
        own = {"performance": np.array(self.performance), "blur": self.blur, "is_full": np.array(self.is_full)}
        return {**own, **self.forest.to_arrays(), **self.calibration.to_arrays()}

    def predict(self, conditions: Conditions, position: Array, ceiling_kw: float) -> tuple[Array, Array]:
        """Mean and quantiles at `LEVELS`, by daylight."""  # (T,), (T, Q)
        expected_kw = _corrected(conditions, self.performance, self.blur, ceiling_kw)
        columns = conditions.columns(expected_kw / ceiling_kw)
        missed, quantiles = self.forest.quantiles(columns if self.is_full else columns[:, :BRIEF_COLUMNS], LEVELS)
        calibrated = self.calibration.apply(quantiles, position)
        scale_kw = _scale_kw(conditions, ceiling_kw)
        return expected_kw + scale_kw * missed, expected_kw[:, None] + scale_kw[:, None] * calibrated


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Intervals by daylight that can be learned from."""

    actual_kw: Array  # (N,)
    day: Indices  # (N,) ascending
    position: Array  # (N,)
    conditions: Conditions
    ceiling_kw: float


def learn_residual(cases: Cases) -> Residual | None:
    """Learn, and judge on days held back; None where these were forecast no worse by sun and season alone."""
    performance, latest = performance_by_day(cases.day, cases.actual_kw, cases.conditions.expected_kw)
    blur = _blur(cases, performance)
    expected_kw = _corrected(cases.conditions, performance, blur, cases.ceiling_kw)
    scale_kw = _scale_kw(cases.conditions, cases.ceiling_kw)
    missed, share = (cases.actual_kw - expected_kw) / scale_kw, cases.actual_kw / scale_kw
    full = cases.conditions.columns(expected_kw / cases.ceiling_kw)
    brief, blind = full[:, :BRIEF_COLUMNS], cases.conditions.without_weather()
    by_full = _held_back(full, missed, cases.day, FEWEST_IN_LEAF)
    by_brief = _held_back(brief, missed, cases.day, FEWEST_IN_BRIEF_LEAF)
    without = _held_back(blind, share, cases.day, FEWEST_IN_BRIEF_LEAF)
    losses = [_daily_loss(missed, one, cases.day) for one in (by_brief, by_full)]
    is_full = is_better(losses[1], losses[0])
    if not is_better(losses[is_full], _daily_loss(share, without, cases.day)):
        return None
    days = np.unique(cases.day).size
    calibration = calibrate_by_sun(missed, by_full if is_full else by_brief, cases.position, days=days, rated=1.0)
    forest = _grown(full, missed, FEWEST_IN_LEAF) if is_full else _grown(brief, missed, FEWEST_IN_BRIEF_LEAF)
    return Residual(latest, blur, forest, calibration, is_full)


def residual_from(arrays: Arrays) -> Residual:
    """What `to_arrays` gave, again."""
    return Residual(
        float(arrays["performance"]),
        arrays["blur"],
        Forest(**{name: arrays[name] for name in Forest.__slots__}),
        SunCalibration(arrays["shifts"], float(arrays["least_width"]), float(arrays["widening"])),
        bool(arrays["is_full"]),
    )


def thinned(usable: Flags) -> Indices:
    """The intervals of at most so many cases, evenly spread."""
    found = np.flatnonzero(usable)
    return found[:: -(-found.size // MOST_CASES)] if found.size else found


def performance_by_day(day: Indices, actual_kw: Array, expected_kw: Array) -> tuple[Array, float]:
    """What was generated as a share of what was expected, over the days before each; and after the last."""  # (N,)
    days, number = np.unique(day, return_inverse=True)
    made, could = np.bincount(number, weights=actual_kw), np.bincount(number, weights=expected_kw)
    usual = max(float(could.mean()), 1e-9)
    fade = 0.5 ** (np.diff(days, prepend=days[0]) / HALF_LIFE_DAYS)
    before = np.empty(days.size)
    made_so_far, could_so_far = 0.0, 0.0
    for one in range(days.size):
        made_so_far, could_so_far = made_so_far * fade[one], could_so_far * fade[one]
        before[one] = (made_so_far + PRIOR_DAYS * usual) / (could_so_far + PRIOR_DAYS * usual)
        made_so_far, could_so_far = made_so_far + made[one], could_so_far + could[one]
    return before[number], float((made_so_far + PRIOR_DAYS * usual) / (could_so_far + PRIOR_DAYS * usual))


def _blur(cases: Cases, performance: Array) -> Array:
    """How much the weather around counts: least squares, once reweighted, with a penalty worth a few days."""  # (3,)
    around = cases.conditions.neighbours()
    missed = cases.actual_kw - performance * cases.conditions.expected_kw
    spread = around.std(axis=0) + 1e-9 * cases.ceiling_kw
    scaled, weight = around / spread, np.ones(missed.size)
    penalty = PENALTY_DAYS * missed.size / np.unique(cases.day).size
    found = np.zeros(spread.size)
    for _ in range(2):
        gram = scaled.T @ (scaled * weight[:, None]) + penalty * np.eye(spread.size)
        found = np.linalg.solve(gram, scaled.T @ (weight * missed))
        away = np.abs(missed - scaled @ found)
        weight = np.minimum(1.0, HUBER * 1.4826 * max(float(np.median(away)), 1e-9) / np.maximum(away, 1e-9))
    return found / spread


def _corrected(conditions: Conditions, performance: Array | float, blur: Array, ceiling_kw: float) -> Array:
    return np.clip(performance * conditions.expected_kw + conditions.neighbours() @ blur, 0.0, ceiling_kw)


def _scale_kw(conditions: Conditions, ceiling_kw: float) -> Array:
    """Errors grow with the light that there could be: what one season taught then fits the next, too."""
    return conditions.bright_kw + TWILIGHT_SHARE * ceiling_kw


def _held_back(columns: Array, targets: Array, day: Indices, fewest: int) -> Array:
    """Quantiles of each case by a forest that did not see its block of days."""  # (N, Q)
    quantiles = np.zeros((targets.size, len(LEVELS)))
    part = (day - day[0]) // BLOCK_DAYS % FOLDS
    for held in range(FOLDS):
        told, asked = part != held, part == held
        if told.any() and asked.any():
            quantiles[asked] = _grown(columns[told], targets[told], fewest).quantiles(columns[asked], LEVELS)[1]
    return quantiles


def _grown(columns: Array, targets: Array, fewest: int) -> Forest:
    return grow_forest(columns, targets, fewest=fewest, tried=max(2, round(TRIED_SHARE * columns.shape[1])))


def _daily_loss(missed: Array, quantiles: Array, day: Indices) -> Array:
    """Summed over each day."""  # (D,)
    loss = pinball_losses(missed, quantiles, LEVELS).mean(axis=1)
    return np.bincount(np.unique(day, return_inverse=True)[1], weights=loss).astype(np.float64)
