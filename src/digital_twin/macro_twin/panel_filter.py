"""A panel followed over readings: the driver by the sum of those that report, then each meter by what is its own.

Two halves of the reporting meters, drawn anew in each step, see the same driver: what they differ by beyond their own
errors tells how far errors of meters go together (their design effect), whatever the driver does.

Source: Kish (1965), Survey Sampling, section 8.2 (design effect); Mehra (1970), IEEE Transactions on Automatic Control
15, 175-184 (innovations and noise).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.bounds import TICK, unless_trace
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.panel import FAST, LASTING, NEWS, Driver, Indices, Panel, PanelMemory, Whole

GATE = 9.0
"""Of the squared innovation over its variance: beyond three standard deviations the error is widened in proportion."""

DOUBTED = 10.0
"""Standard deviations of what a meter is expected to show, beyond which a reading is doubted."""

ALIKE = 2.0
"""By this factor at most a doubted reading may be larger than the one that it repeats."""

FARTHEST = 10.0
"""Of the highest reading: beyond so many none counts, however often it is repeated."""

LARGEST_SURPRISE, LARGEST_CHANGE = 25.0, 16.0
"""What one sum may count for the design effect and for the driver's noise, in units of its variance."""

SMALLEST_SCALE, LARGEST_SCALE, SMALLEST_EFFECT = 0.1, 100.0, 0.5
FEW = 20.0
"""So many meters make a sum half as trustworthy, for learning about noise, as very many do."""

ADAPTATION_DAYS, EFFECT_DAYS = 0.36, 2.9
"""Time constants of the driver's noise and of the design effect."""


def believed(readings: Array, limits: Array) -> Array:
    """The readings without those that the meter cannot have meant, told by its limits alone."""  # (T, M)
    side, shown = np.zeros((2, readings.shape[1])), np.zeros((2, readings.shape[1]))
    counted = readings.copy()
    for row in counted:
        _doubt(row, limits, limits, side, shown)
    return counted


def follow(panel: Panel, memory: PanelMemory, readings: Array, kind: Indices, step: Indices) -> Whole:
    """Move the memory on, in place, over readings; those that the meter cannot have meant count as missing.

    Args:
        readings: one column a meter, NaN where it is silent, (T, M)
        kind: the slot of the local day, counted on by a day on weekends, (T,)
        step: the number of each step since 1970, (T,)
    """
    known = _known_of(panel)
    mean, variance, share, surprise, reporting = _follow(np.ascontiguousarray(readings), kind, step, known, memory)
    unmetered = panel.unmetered_variance[kind % panel.slots]
    return Whole(
        mean=mean,
        variance=variance.sum(axis=1) + unmetered,
        lasting=variance[:, 1] + unmetered,
        share=panel.metered_share * share,
        surprise=surprise,
        reporting=reporting,
    )


def moved_on(panel: Panel, memory: PanelMemory) -> PanelMemory:
    """What is believed one step later, before any reading."""
    following = memory.copy()
    _move_on(following, _known_of(panel))
    return following


class _Known(NamedTuple):
    """What was learned, for the compiled functions."""

    profile: Array
    share: Array
    spread: Array
    parts: Array
    fast_decay: Array
    lasting_decay: float
    driver: Driver
    limits: Array
    unmetered: float  # how much of the community has no meter, relative to what has


def _known_of(panel: Panel) -> _Known:
    return _Known(
        panel.profile, panel.share, panel.spread, panel.parts, panel.fast_decay, panel.lasting_decay, panel.driver,
        panel.limits, (1 - panel.metered_share) / panel.metered_share,
    )  # fmt: skip


_TOTAL, _ERROR, _IN_FAST, _IN_SLOW, _SHARE, _COUNT = range(6)
"""Of the reporting meters of each half: their sum beyond what is known of each, its variance, what becomes of the two
drivers in it, the meters' share and their number."""


@compiled
def _follow(
    readings: Array, kind: Indices, step: Indices, known: _Known, memory: PanelMemory
) -> tuple[Array, Array, Array, Array, Indices]:
    steps, a_day = readings.shape[0], known.share.shape[0]
    mean, variance, share = np.empty(steps), np.empty((steps, 2)), np.empty(steps)
    surprise, reporting = np.full(steps, np.nan), np.zeros(steps, dtype=np.int64)
    halves = np.empty((2, 6))
    for t in range(steps):
        _move_on(memory, known)
        counted = readings[t].copy()
        _doubt(counted, _limits(kind[t], known, memory), known.limits, memory.side, memory.shown)
        _sum_reporting(counted, kind[t], step[t], known, memory, halves)
        both = halves[0] + halves[1]
        share[t], reporting[t] = both[_SHARE], int(both[_COUNT])
        if both[_IN_FAST] > 0 and both[_ERROR] > 0:
            _learn_effect(halves, memory.noise, a_day)
            surprise[t] = _move_driver(both, memory, a_day)
        mean[t], variance[t, 0], variance[t, 1] = _complete(counted, kind[t], known, memory)
    return mean, variance, share, surprise, reporting


@compiled
def _move_on(memory: PanelMemory, known: _Known) -> None:
    """One step of driver and meters; a line in the last value of the slow driver becomes one in its new value."""
    state, driver, parts = memory.driver, known.driver, known.parts
    before, variance = state[1], state[3]
    state[0] = unless_trace(driver.fast_decay * state[0], TICK)
    state[1] = unless_trace(driver.slow_decay * state[1], TICK)
    state[2] += (1 - driver.fast_decay**2) * (driver.fast_variance * memory.noise[0] - state[2])
    state[3] += (1 - driver.slow_decay**2) * (driver.slow_variance - state[3])
    state[4] = unless_trace(driver.fast_decay * driver.slow_decay * state[4], TICK * TICK)
    kept = variance * driver.slow_decay / state[3] if state[3] > 0 else 1.0
    rest, shift = max(variance - kept**2 * state[3], 0.0), before - kept * state[1]
    lasting = known.lasting_decay
    for i in range(memory.fast.size):
        fast, slope = known.fast_decay[i], memory.slope[i]
        memory.fast[i] = unless_trace(fast * memory.fast[i], TICK)
        memory.fast_variance[i] += (1 - fast**2) * (parts[FAST, i] - memory.fast_variance[i])
        memory.level[i] = unless_trace(lasting * (memory.level[i] + slope * shift), TICK)
        remembered = lasting**2 * (memory.lasting_variance[i] + slope**2 * rest)
        memory.lasting_variance[i] = remembered + (1 - lasting**2) * parts[LASTING, i]
        memory.slope[i] = unless_trace(lasting * kept * slope, TICK)


@compiled
def _limits(kind: int, known: _Known, memory: PanelMemory) -> Array:
    """Of each meter's next reading: what it ever held, and what it may show now."""  # (2, M)
    slot = kind % known.share.shape[0]
    scale, state = known.driver.scale[slot], memory.driver
    limits = known.limits.copy()
    for i in range(limits.shape[1]):
        spread, moved = known.spread[slot, i], known.share[slot, i] * scale
        expected = known.profile[kind, i] + spread * (memory.fast[i] + memory.level[i] + memory.slope[i] * state[1])
        expected += moved * (state[0] + state[1])
        variance = spread**2 * (memory.fast_variance[i] + memory.lasting_variance[i] + known.parts[NEWS, i])
        variance += moved**2 * (state[2] + state[3])
        apart = DOUBTED * np.sqrt(variance)
        limits[0, i] = max(limits[0, i], expected - apart)
        limits[1, i] = min(limits[1, i], expected + apart)
    return limits


@compiled
def _doubt(readings: Array, limits: Array, held: Array, side: Array, shown: Array) -> None:
    """Strike readings out, in place, that the meter cannot have meant.

    Wrong readings come singly: outside of its limits a reading counts where the last that counted was outside on the
    same side and much the same, or where enough were before it, one after the other: one, and one more for each
    doubling of the most that the meter ever held. None counts that is so far off that another unit must be meant.

    Args:
        limits: of these readings, (2, M)
        held: the same of any reading of the meter, (2, M)
    """
    for i in range(readings.size):
        value = readings[i]
        if np.isnan(value):
            continue
        lowest, highest = limits[0, i], limits[1, i]
        largest = max(highest, -lowest)
        now = 1.0 if value > highest else (-1.0 if value < lowest else 0.0)
        is_alike = abs(value) <= max(ALIKE * abs(shown[0, i]), largest)
        in_a_row = abs(side[0, i]) + 1.0 if is_alike and now * side[0, i] > 0 else abs(now)
        is_as_before = now == side[1, i] and abs(value) <= max(ALIKE * abs(shown[1, i]), largest)
        counts = now == 0.0 or is_as_before or in_a_row > _repeats(abs(value), max(held[1, i], -held[0, i]))
        if abs(value) > FARTHEST * largest or (value < 0 and lowest >= 0):
            counts = False
        side[0, i], shown[0, i] = now * in_a_row, value
        if counts:
            side[1, i], shown[1, i] = now, value
        else:
            readings[i] = np.nan


@compiled
def _repeats(size: float, held: float) -> float:
    """How many readings in a row must have been as doubtful before one of this size is believed."""
    return 1.0 + np.floor(np.log2(size / held)) if size > held > 0 else 1.0


@compiled
def _sum_reporting(readings: Array, kind: int, step: int, known: _Known, memory: PanelMemory, halves: Array) -> None:
    """In the order of the meters, so that the same readings give the same bits."""
    slot = kind % known.share.shape[0]
    scale = known.driver.scale[slot]
    halves[:] = 0.0
    for i in range(readings.size):
        if np.isnan(readings[i]):
            continue
        share, spread = known.share[slot, i], known.spread[slot, i]
        own = memory.fast_variance[i] + memory.lasting_variance[i] + known.parts[NEWS, i]
        half = _half_of(step, i)
        halves[half, _TOTAL] += readings[i] - known.profile[kind, i] - spread * (memory.fast[i] + memory.level[i])
        halves[half, _ERROR] += spread**2 * own
        halves[half, _IN_FAST] += share * scale
        halves[half, _IN_SLOW] += share * scale + spread * memory.slope[i]
        halves[half, _SHARE] += share
        halves[half, _COUNT] += 1.0


@compiled
def _half_of(step: int, meter: int) -> int:
    """0 or 1, as good as drawn for each step and meter, and always the same."""
    mixed = (step * 2654435761 + meter * 2246822519) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return (mixed >> 13) & 1


@compiled
def _learn_effect(halves: Array, noise: Array, a_day: int) -> None:
    """The design effect from what two halves differ by that see the same driver."""
    if min(halves[0, _IN_FAST], halves[1, _IN_FAST]) <= 0:
        return
    ratio = halves[0, _IN_FAST] / halves[1, _IN_FAST]
    apart = halves[0, _TOTAL] - ratio * halves[1, _TOTAL]
    expected = halves[0, _ERROR] + ratio**2 * halves[1, _ERROR]
    if expected <= 0:
        return
    rate = min((halves[0, _COUNT] + halves[1, _COUNT]) / FEW, 1.0) / (EFFECT_DAYS * a_day)
    found = min(apart**2 / expected, LARGEST_SURPRISE)
    noise[1] = max(noise[1] + rate * (found - noise[1]), SMALLEST_EFFECT)


@compiled
def _move_driver(both: Array, memory: PanelMemory, a_day: int) -> float:
    """Update the driver and its noise by the sum of those that report; the sum's surprise."""
    state, noise = memory.driver, memory.noise
    in_fast, in_slow = both[_IN_FAST], both[_IN_SLOW]
    with_fast = in_fast * state[2] + in_slow * state[4]
    with_slow = in_fast * state[4] + in_slow * state[3]
    known, error = in_fast * with_fast + in_slow * with_slow, noise[1] * both[_ERROR]
    innovation = both[_TOTAL] - in_fast * state[0] - in_slow * state[1]
    surprise: float = innovation**2 / (known + error)
    trust = both[_COUNT] / (both[_COUNT] + FEW)
    change = trust / (ADAPTATION_DAYS * a_day) * (min(surprise, LARGEST_CHANGE) - 1.0) * known / (known + error)
    noise[0] = min(max(noise[0] * np.exp(change), SMALLEST_SCALE), LARGEST_SCALE)
    spread = known + error * max(1.0, surprise / GATE)
    state[0] += with_fast / spread * innovation
    state[1] += with_slow / spread * innovation
    state[2] -= with_fast**2 / spread
    state[3] -= with_slow**2 / spread
    state[4] -= with_fast * with_slow / spread
    return surprise


@compiled
def _complete(readings: Array, kind: int, known: _Known, memory: PanelMemory) -> tuple[float, float, float]:
    """The whole with its variance, new and lasting; what is left of each reading, given the slow driver, moves the
    meter's own parts."""
    slot = kind % known.share.shape[0]
    scale, state = known.driver.scale[slot], memory.driver
    mean, own, lasting = 0.0, 0.0, 0.0
    in_fast = in_slow = known.unmetered * scale
    for i in range(readings.size):
        moved, spread = known.share[slot, i] * scale, known.spread[slot, i]
        on_slow = moved + spread * memory.slope[i]
        usual = known.profile[kind, i]
        expected = usual + spread * (memory.fast[i] + memory.level[i]) + moved * state[0] + on_slow * state[1]
        variance = memory.fast_variance[i] + memory.lasting_variance[i] + known.parts[NEWS, i]
        mean += known.unmetered * (usual + moved * (state[0] + state[1]))
        if np.isnan(readings[i]):
            mean += expected
            own += spread**2 * (variance - memory.lasting_variance[i])
            lasting += spread**2 * memory.lasting_variance[i]
            in_fast += moved
            in_slow += on_slow
            continue
        mean += readings[i]
        if spread <= 0:
            continue
        left, turned = (readings[i] - expected) / spread, on_slow / spread
        variance += (moved / spread) ** 2 * state[2]
        to_fast, to_lasting = memory.fast_variance[i] / variance, memory.lasting_variance[i] / variance
        memory.fast[i] += to_fast * left
        memory.level[i] += to_lasting * (left + turned * state[1])
        memory.slope[i] -= to_lasting * turned
        memory.fast_variance[i] *= 1 - to_fast
        memory.lasting_variance[i] *= 1 - to_lasting
    slow = in_slow**2 * state[3]
    common = max(in_fast**2 * state[2] + slow + 2 * in_fast * in_slow * state[4], 0.0)
    return mean, memory.noise[1] * own + max(common - slow, 0.0), memory.noise[1] * lasting + min(slow, common)
