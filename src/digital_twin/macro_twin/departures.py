"""How far and for how long demand departs from habit, and how fast a departure becomes habit: learned from likelihood.

The numbers are those that make the history likely one step ahead and a day ahead alike: the next quarter of an hour
says little about tomorrow.

Source: Varin, Reid and Firth (2011), Statistica Sinica 21, 5-42 (composite likelihood); Taylor and Letham (2018), The
American Statistician 72, 37-45 (penalised memories).
"""

from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.habits import PARTS, REMAINDER, Tomorrow, departure_of, expect_tomorrow, tomorrow_of
from digital_twin.macro_twin.kalman import predict_in_place, spread_of, update_in_place
from digital_twin.macro_twin.simplex import minimise
from digital_twin.macro_twin.structure import DAILY_PAIRS, DEPARTURE_TERMS, Indices, day_waves

WAVE_HOURS = 72.0
"""For how long a day's shape is another one."""

TYPICAL = np.log([0.10, 24.0, 0.03, 0.08, 1.0])
LEAST, MOST = np.log([1e-3, 3.0, 1e-3, 5e-3, 0.1]), np.log([3.0, 400.0, 1.0, 3.0, 24.0])
TYPICAL_GAIN, LEAST_GAIN, MOST_GAIN = -2.0, -5.0, 1.0
"""Logarithms of level, its hours, wave, remainder and its hours, loads relative to the mean; and the gain's logit."""

DEVIATION, EVALUATIONS = 1.5, 90
"""How far each may lie from what is typical, and how often the likelihood is asked."""

FARTHEST = 16.0
"""Squared error over its variance beyond which it counts by its logarithm alone."""


@dataclass(frozen=True, slots=True)
class Departures:
    """How demand departs from what is usual: standard deviations in the long run, memories, and what becomes habit."""

    level_kw: float
    level_hours: float
    wave_kw: float
    remainder_kw: float
    remainder_hours: float
    habit_gain: float

    def scaled(self, factor: float) -> "Departures":
        """Of a demand that is so many times as large."""
        return replace(
            self,
            level_kw=factor * self.level_kw,
            wave_kw=factor * self.wave_kw,
            remainder_kw=factor * self.remainder_kw,
        )

    def motion(self, step_hours: float) -> tuple[Array, Array]:
        """Of the parts of a departure in one step: decay, and variance that comes to each in the mean."""  # (PARTS,)
        hours = np.array([self.level_hours, *[WAVE_HOURS] * (DEPARTURE_TERMS - 1), self.remainder_hours])
        waves = [self.wave_kw / order for order in range(1, DAILY_PAIRS + 1) for _ in range(2)]
        deviation = np.array([self.level_kw, *waves, self.remainder_kw])
        decay = np.exp(-step_hours / hours)
        return decay, (1 - decay**2) * deviation**2


@dataclass(frozen=True, slots=True, eq=False)
class DayStart:
    """What is known of the slots of a day before their departures are looked at."""

    habit_kw: Array  # (S,)
    liveliness: Array  # (S,)
    scale_kw: float


def learn_departures(start: DayStart, rest: Array, slot: Indices, step_minutes: int) -> Departures:
    """The departures that make the history likeliest.

    Args:
        rest: demand without degrees and kinds of days, NaN where it is not known, (T,)
        slot: of the local day, (T,)
    """
    slots, step_hours = 1440 // step_minutes, step_minutes / 60
    weights = np.column_stack([np.ones(slots), day_waves(step_minutes)])

    def improbability(point: Array) -> float:
        inside = np.clip(point, least, most)
        departures = _departures(inside, start.scale_kw)
        decay, noise = departures.motion(step_hours)
        tomorrow = tomorrow_of(decay, noise, slots)
        likelihood = log_likelihood(
            rest, slot, (weights, start.liveliness, start.habit_kw), (decay, noise), tomorrow,
            departures.habit_gain,
        )  # fmt: skip
        return 0.5 * float(np.sum(((inside - typical) / DEVIATION) ** 2)) - likelihood

    typical = np.append(TYPICAL, TYPICAL_GAIN)
    least, most = np.append(LEAST, LEAST_GAIN), np.append(MOST, MOST_GAIN)
    best = minimise(improbability, typical, step=0.7, evaluations=EVALUATIONS)
    return _departures(np.clip(best, least, most), start.scale_kw)


def _departures(point: Array, scale_kw: float) -> Departures:
    level, level_hours, wave, remainder, remainder_hours = np.exp(point[:-1]).tolist()
    gain = 1 / (1 + float(np.exp(-point[-1])))
    return Departures(level, level_hours, wave, remainder, remainder_hours, gain).scaled(scale_kw)


@compiled
def log_likelihood(
    rest: Array,
    slot: Indices,
    of_slot: tuple[Array, Array, Array],
    motion: tuple[Array, Array],
    tomorrow: Tomorrow,
    habit_gain: float,
) -> float:
    """Of demand without degrees and kinds of days, one step ahead and one day ahead.

    Args:
        of_slot: weights of level and waves, liveliness, habit at the start
        motion: decay and noise of the parts of a departure
    """
    (weights, liveliness, start), (decay, noise) = of_slot, motion
    usual, expected, spread = start.copy(), np.full(start.size, np.nan), np.zeros(start.size)
    mean, covariance, row, product = np.zeros(PARTS), np.zeros((PARTS, PARTS)), np.ones(PARTS), np.empty(PARTS)
    shaken = noise.copy()
    for part in range(PARTS):
        covariance[part, part] = noise[part] / (1 - decay[part] ** 2)
    likelihood = 0.0
    for t in range(rest.size):
        s = slot[t]
        row[:DEPARTURE_TERMS] = weights[s]
        shaken[REMAINDER] = noise[REMAINDER] * liveliness[s] ** 2
        predict_in_place(mean, covariance, decay, shaken)
        if np.isnan(rest[t]):
            continue
        departure = rest[t] - usual[s]
        innovation, variance = departure - departure_of(mean, row, REMAINDER), spread_of(covariance, row, product)
        likelihood += _log_density(innovation, variance)
        if not np.isnan(expected[s]):
            likelihood += _log_density(departure - float(expected[s]), float(spread[s]))
        update_in_place(mean, covariance, product, innovation, variance)
        usual[s] += habit_gain * departure
        expected[s], spread[s] = expect_tomorrow(mean, covariance, row, REMAINDER, tomorrow, (1.0, 1.0))
    return likelihood


@compiled
def _log_density(error: float, variance: float) -> float:
    """Normal, with heavier tails far out."""
    squared = error * error / variance
    if squared > FARTHEST:
        squared = FARTHEST * (1.0 + np.log(squared / FARTHEST))
    return -0.5 * (np.log(variance) + squared)
