"""How a community's demand behaves, and what history teaches of its habits and of degrees.

What is usual in a slot of the day is a mean over days; the kinds of days differ from it by means that are pulled
towards 0 and smoothed, for there are few of each; the effect of degrees is a regression that is pulled towards 0. How
demand departs from all that is the subject of `departures.py`.

Source: Bunn and Vassilopoulos (1999), International Journal of Forecasting 15, 431-443 (seasonal means, shrunk).
"""

from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.departures import DayStart, Departures, learn_departures
from digital_twin.macro_twin.structure import DAY_KINDS, DEGREES, Indices

FIRST_DAYS = 7
"""Of the history, whose mean the habit starts from; from there on it is carried."""

PRIOR_DAYS, KIND_DAYS, SMOOTH_HOURS, LIVELY_HOURS = 0.2, 10.0, 2.0, 12.0
"""Imagined: days of the plan's habit; days on which a kind of day is like all; the width over which kinds are smoothed;
hours that are as lively as all."""

DEGREE_DEVIATION, DEGREE_WALK = 0.03, 0.0015
"""Of the mean load per degree: how much heating and cooling may take, and by how much that changes in a day."""

EFFECTIVE_HOURS = 6.0
"""Neighbouring intervals tell much the same: one independent look at degrees is counted for so many hours."""

FEWEST_DAYS = 3.0
"""Of readings, below which nothing is learned of memories."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """All that is known of demand before a reading."""

    scale_kw: float  # mean size of demand
    habit_kw: Array  # (S,) usual by slot of the day
    day_kinds_kw: Array  # (3, S) by how much each of `DAY_KINDS` differs from that
    degrees: Array  # (6,) kW per degree
    degrees_deviation: Array  # (6,)
    liveliness: Array  # (S,) shock of the remainder by slot, relative to its root mean square
    departures: Departures
    habit_deviation: float = 0.0  # how wrong the habit may be, as a part of it, for lack of meters


@dataclass(frozen=True, slots=True, eq=False)
class DemandHistory:
    """Demand as it was."""

    demand_kw: Array  # (T,) NaN where it is not known
    slot: Indices  # (T,) of the local day
    kind: Indices  # (T,) in `DAY_KINDS`
    degrees: Array  # (T, 6) what the coefficients of degrees are multiplied with
    step_minutes: int

    @property
    def slots(self) -> int:
        """Of a day."""
        return 1440 // self.step_minutes

    @property
    def step_hours(self) -> float:
        return self.step_minutes / 60


def expected_demand(slot: Indices, kind: Indices, expected_kw: Array, departures: Departures) -> Demand:
    """What is known of a demand that is expected like this over at least a week, and that has no history."""
    slots = int(slot.max()) + 1
    habit = _means(expected_kw, slot, slots)
    kinds = [_means(np.where(kind == one, expected_kw, np.nan), slot, slots) - habit for one in range(len(DAY_KINDS))]
    scale_kw = max(float(np.abs(expected_kw).mean()), 1e-3)
    size = np.maximum(np.abs(habit), 0.1 * scale_kw)
    return Demand(
        scale_kw=scale_kw,
        habit_kw=habit,
        day_kinds_kw=np.nan_to_num(np.stack(kinds)),
        degrees=np.zeros(len(DEGREES)),
        degrees_deviation=_degree_deviation(scale_kw),
        liveliness=size / float(np.sqrt(np.mean(size**2))),
        departures=departures.scaled(scale_kw),
    )


def learn_demand(prior: Demand, history: DemandHistory) -> Demand:
    """The demand that the history shows, near the prior where it is short."""
    known = np.isfinite(history.demand_kw)
    if not known.any():
        return prior
    scale_kw = max(float(np.abs(history.demand_kw[known]).mean()), 1e-3)
    degrees, degrees_deviation = _learn_degrees(history, scale_kw)
    rest = history.demand_kw - history.degrees @ degrees
    kinds = _learn_kinds(rest, history)
    rest -= kinds[history.kind, history.slot]
    learned = Demand(
        scale_kw=scale_kw,
        habit_kw=_learn_habit(prior, rest, history, scale_kw),
        day_kinds_kw=kinds,
        degrees=degrees,
        degrees_deviation=degrees_deviation,
        liveliness=_learn_liveliness(prior, rest, history),
        departures=prior.departures.scaled(scale_kw / prior.scale_kw),
    )
    if known.sum() * history.step_hours < 24 * FEWEST_DAYS:
        return learned
    start = DayStart(learned.habit_kw, learned.liveliness, learned.scale_kw)
    departures = learn_departures(start, rest, history.slot, history.step_minutes)
    return replace(learned, departures=departures)


def _means(values: Array, slot: Indices, slots: int) -> Array:
    """Of each slot; NaN where it was never seen."""  # (S,)
    known = np.isfinite(values)
    number = np.bincount(slot[known], minlength=slots)
    total = np.bincount(slot[known], values[known], slots)
    return np.divide(total, number, out=np.full(slots, np.nan), where=number > 0)


def _degree_deviation(scale_kw: float) -> Array:
    """How much of the load a degree may take, half as much of it by time of day."""  # (6,)
    return DEGREE_DEVIATION * scale_kw * np.array([1.0, 0.5, 0.5] * 2)


def _learn_degrees(history: DemandHistory, scale_kw: float) -> tuple[Array, Array]:
    """Coefficients and their deviations, from how days differ in the same slot."""  # (6,), (6,)
    known = np.isfinite(history.demand_kw)
    slot = history.slot[known]
    design = history.degrees[known]
    for column in range(design.shape[1]):
        design[:, column] -= _means(design[:, column], slot, history.slots)[slot]
    target = history.demand_kw[known] - _means(history.demand_kw[known], slot, history.slots)[slot]
    precision = np.diag(1 / _degree_deviation(scale_kw) ** 2)
    looks = min(history.step_hours / EFFECTIVE_HOURS, 1.0)
    degrees: Array = np.zeros(design.shape[1])
    normal = precision
    for _ in range(2):  # the error's variance with the first coefficients gives the second
        variance = max(float(np.var(target - design @ degrees)), (1e-3 * scale_kw) ** 2)
        normal = looks * design.T @ design / variance + precision
        degrees = np.linalg.solve(normal, looks * design.T @ target / variance).astype(np.float64)
    return degrees, np.sqrt(np.diag(np.linalg.inv(normal))).astype(np.float64)


def _learn_kinds(rest: Array, history: DemandHistory) -> Array:
    """By how much kinds of days differ from all days, whatever the week is like."""  # (3, S)
    weeks = max(rest.size // (7 * history.slots), 1)
    week = np.minimum(np.arange(rest.size) // (7 * history.slots), weeks - 1)
    level = _means(rest, week, weeks)
    deviation = rest - level[week]
    deviation -= _means(deviation, history.slot, history.slots)[history.slot]
    kinds = np.zeros((len(DAY_KINDS), history.slots))
    for kind in range(len(DAY_KINDS)):
        here = (history.kind == kind) & np.isfinite(deviation)
        number = np.bincount(history.slot[here], minlength=history.slots)
        total = np.bincount(history.slot[here], deviation[here], history.slots)
        kinds[kind] = _smooth(total / (number + KIND_DAYS), history.step_hours)
    return kinds


def _smooth(of_day: Array, step_hours: float) -> Array:
    """Means over neighbouring slots, across midnight."""
    reach = round(SMOOTH_HOURS / step_hours / 2)
    weight = np.hanning(2 * reach + 3)[1:-1]
    around = np.concatenate([of_day[-reach:], of_day, of_day[:reach]]) if reach else of_day
    return np.convolve(around, weight / weight.sum(), "valid").astype(np.float64)


def _learn_habit(prior: Demand, rest: Array, history: DemandHistory, scale_kw: float) -> Array:
    """The mean of the first days by slot, with the prior's shape where there are none."""  # (S,)
    first = int(np.argmax(np.isfinite(rest)))
    days = slice(first, first + FIRST_DAYS * history.slots)
    seen, slot = rest[days], history.slot[days]
    known = np.isfinite(seen)
    level = float(seen[known].mean())
    imagined = level + (prior.habit_kw - prior.habit_kw.mean()) * scale_kw / prior.scale_kw
    number = np.bincount(slot[known], minlength=history.slots)
    total = np.bincount(slot[known], seen[known], history.slots)
    return (total + PRIOR_DAYS * imagined) / (number + PRIOR_DAYS)


def _learn_liveliness(prior: Demand, rest: Array, history: DemandHistory) -> Array:
    """Root mean squares, by hour, of how a step differs from the same one a day before."""  # (S,)
    change = np.diff(rest, prepend=np.nan)
    differing = change[history.slots :] - change[: -history.slots]
    hour = history.slot[history.slots :] * history.step_minutes // 60
    known = np.isfinite(differing)
    if known.sum() * history.step_hours < 24 or not differing[known].any():
        return prior.liveliness
    squares = differing[known] ** 2
    squares = np.minimum(squares, 25 * squares.mean())
    imagined = LIVELY_HOURS / history.step_hours
    total = np.bincount(hour[known], squares, 24) + imagined * squares.mean()
    of_hour = total / (np.bincount(hour[known], minlength=24) + imagined)
    return np.repeat(np.sqrt(of_hour / of_hour.mean()), history.slots // 24)
