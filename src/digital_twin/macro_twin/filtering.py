"""The twin's filter over many steps: predict, read load, generation, net load and storage, keep the storage in bounds.

Beyond three standard deviations of the innovation the error of a reading is widened in proportion: a sum of few meters
moves the twin little when it jumps, the exact sum of all is followed whatever it does (boilers that a clock switches on
double it within one interval). The shocks of demand grow and shrink with what well covered sums show, through a factor
on their variance that follows how many innovations lie beyond 95 % of what was expected: errors of loads have heavy
tails, and a mean square would make most intervals too wide. A second factor, on those of level and waves, follows the
departures that were expected a day before.

Source: Mehra (1970), IEEE Transactions on Automatic Control 15, 175-184 (innovations and noise).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.bounds import Storage, keep_in_bounds
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.coverage import Indices
from digital_twin.macro_twin.habits import Habits, Tomorrow, departure_of, expect_tomorrow, habits_of
from digital_twin.macro_twin.kalman import couple_in_place, predict_in_place, spread_of, update_in_place
from digital_twin.macro_twin.storage import Policy
from digital_twin.macro_twin.structure import (
    DEMAND_HABIT,
    DEMAND_REMAINDER,
    DEMAND_TERMS,
    DEPARTURE_TERMS,
    ENERGY,
    EXCHANGE,
    LOAD,
    LOAD_BIAS,
    NET_LOAD,
    OBSERVED,
    PV,
    PV_BIAS,
    PV_CLOUD,
    PV_GAIN,
    PV_REMAINDER,
    SIZE,
    STORAGE_BIAS,
    STORAGE_SOC,
)
from digital_twin.macro_twin.trail import Trail, keep_belief, keep_moves, keep_reading, new_trail

GATE = 9.0
"""Of the squared innovation over its variance: three standard deviations. Beyond, the error that comes of few meters
is widened; a complete sum is followed whatever it does."""

LARGEST_NIS = 25.0
"""What one reading may add to the running mean: otherwise one wrong sum would be all that it tells."""

SURE, MISSED = 1.96**2, 0.05
"""Squared innovation over its variance that 95 % stay below, and the part that does not."""

SMALLEST_SCALE, LARGEST_SCALE = 0.01, 100.0
LARGEST_DAY_SCALE = 10.0
"""Beyond it what is expected of a day would leave nothing to the remainder."""

_QUANTITIES = len(OBSERVED)
_BIASES = (LOAD_BIAS, PV_BIAS, LOAD_BIAS, STORAGE_BIAS)
"""What lasts of the error of a sum, for each of `OBSERVED`."""

LOOSE, LEAK = 30.0, 0.1
"""Times the variance of what is expected of silent units. What those that report show is already in it: the sky before
then counts for a thirtieth, lest it be believed twice, and the energy that was reckoned from the exchange is forgotten
by and by."""

NO_TRAIL = new_trail(0, SIZE, readings=_QUANTITIES, couplings=1, asked=_QUANTITIES)
"""For a filter that nobody will look back on."""


class Dynamics(NamedTuple):
    """The numbers of the transition, for one length of step."""

    decay: Array  # (n,)
    walk: Array  # (n,) variances added in each step whatever the load is
    liveliness: Array  # (S,) kW, standard deviation of the remainder's shock by slot of the day
    day_kinds: Array  # (3, S) kW, by how much each of `DAY_KINDS` differs from what is usual
    tomorrow: Tomorrow
    habit_gain: float  # part of a departure that becomes habit
    cloud_shock: float  # standard deviation of the cloud's shock, relative to the gain
    charge_hours: float  # step_hours x charge efficiency
    discharge_hours: float  # step_hours / discharge efficiency
    capacity_kwh: float
    adaptation: float  # of the logarithm of the noise scale, for a reading that was missed
    day_adaptation: float  # the same of the day scale
    memory_steps: float  # over which the running mean of NIS is taken
    policy: Policy  # of the batteries
    feeder_doubt: float  # by how much less the feeder may move what is believed of silent roofs; 0 trusts it


class Memory(NamedTuple):
    """What the filter carries besides the states."""

    noise_scale: float
    nis: float
    nis_count: float
    stream_nis: Array  # (4,) the same of the readings of each of `OBSERVED`
    stream_counts: Array  # (4,) over how many readings, at most a week's
    surplus_kw: float  # generation less demand in the last step, NaN before the first
    day_scale: float
    habits: Habits


def memory_of(habit_kw: Array) -> Memory:
    """Before any reading."""
    nothing = np.zeros(_QUANTITIES)
    return Memory(1.0, 0.0, 0.0, nothing, nothing.copy(), np.nan, 1.0, habits_of(habit_kw))


class Outlook(NamedTuple):
    """What is known of each step beforehand."""

    features: Array  # (T, DEMAND_TERMS)
    slot: Indices  # (T,) of the local day
    kind: Indices  # (T,) of the local day, in `DAY_KINDS`
    clear_sky: Array  # (T,) output per kW of gain


class Inputs(NamedTuple):
    """What is known of each step; the readings have one column each for `OBSERVED`."""

    outlook: Outlook
    value: Array  # (T, 4) NaN is no reading
    share: Array  # (T, 4)
    noise: Array  # (T, 4) variances
    lasting: Array  # (T, 4) standard deviations
    exact: Array  # (4,) the part of the noise that a complete sum has


@compiled
def run_filter(
    mean: Array, covariance: Array, memory: Memory, dynamics: Dynamics, inputs: Inputs, trail: Trail
) -> tuple[Memory, Array, Array, Array]:
    """Advance mean and covariance in place; the memory after it, and of each step the estimates' means, their
    variances, and the running NIS. The trail, where it has room, keeps what smoothing needs."""
    outlook, steps = inputs.outlook, inputs.outlook.clear_sky.size
    estimates, variances, nis_track = np.empty((steps, _QUANTITIES)), np.empty((steps, _QUANTITIES)), np.empty(steps)
    design, product, noise = np.zeros((_QUANTITIES, SIZE)), np.zeros(SIZE), np.zeros(SIZE)
    row, surplus_kw = np.zeros(SIZE), memory.surplus_kw
    noise_scale, day_scale, nis, count = memory.noise_scale, memory.day_scale, memory.nis, memory.nis_count
    stream_nis, stream_counts = memory.stream_nis.copy(), memory.stream_counts.copy()
    storage = Storage(dynamics.capacity_kwh, dynamics.charge_hours, dynamics.discharge_hours)
    habits = Habits(memory.habits.usual.copy(), memory.habits.expected.copy(), memory.habits.spread.copy())
    for t in range(steps):
        slot = outlook.slot[t]
        usual = float(habits.usual[slot]) + float(dynamics.day_kinds[outlook.kind[t], slot])
        _fill_design(design, outlook.features[t], usual, outlook.clear_sky[t])
        hours = _move_on(mean, covariance, slot, (noise_scale * day_scale, noise_scale), dynamics, noise)
        before = spread_of(covariance, design[LOAD], product)
        _loosen(covariance, noise, inputs.value[t], inputs.lasting[t], dynamics.feeder_doubt)
        hour, policy = slot * 24 // habits.usual.size, dynamics.policy
        in_hour = float(policy.response[hour]), float(policy.drift_kw[hour]), float(policy.shock_kw[hour])
        _follow_policy(mean, covariance, noise, design, surplus_kw, in_hour)
        for q in range(_QUANTITIES):
            if np.isnan(inputs.value[t, q]):
                continue
            _ask(row, design[q], inputs.share[t, q], _BIASES[q], inputs.lasting[t, q])
            innovation = inputs.value[t, q] - _answer(row, mean)
            believed = spread_of(covariance, row, product)
            spread = believed + inputs.noise[t, q]
            surprise = innovation * innovation / spread
            nis, count = _averaged(nis, count, surprise, dynamics.memory_steps)
            stream_nis[q], stream_counts[q] = _averaged(
                stream_nis[q], stream_counts[q], surprise, dynamics.memory_steps
            )
            if q in (LOAD, NET_LOAD):
                told = inputs.share[t, q] * (believed / spread) ** 2
                noise_scale = _rescaled(noise_scale, dynamics.adaptation * told, surprise)
            few = max(inputs.noise[t, q] - inputs.exact[q], 0.0)
            widened = believed + inputs.exact[q] + few * max(1.0, surprise / GATE)
            keep_reading(trail, (t, q), row, product, innovation, widened)
            update_in_place(mean, covariance, product, innovation, widened)
        is_told = not (np.isnan(inputs.value[t, LOAD]) or np.isnan(inputs.value[t, NET_LOAD]))
        shrunk = keep_in_bounds(mean, covariance, storage, dynamics.walk[ENERGY] if is_told else 0.0)
        keep_belief(trail, t, mean, covariance, design)
        keep_moves(trail, t, hours, (ENERGY, shrunk))
        _estimate(mean, covariance, design, (estimates[t], variances[t]), product)
        if not (np.isnan(inputs.value[t, LOAD]) and np.isnan(inputs.value[t, NET_LOAD])):
            now = (slot, max(1.0 - variances[t, LOAD] / before, 0.0), noise_scale, day_scale)
            day_scale = _learn_day(mean, covariance, outlook.features[t], now, dynamics, habits)
        nis_track[t] = nis if count > 0 else np.nan
        surplus_kw = estimates[t, PV] - estimates[t, LOAD]
    after = Memory(noise_scale, nis, count, stream_nis, stream_counts, surplus_kw, day_scale, habits)
    return after, estimates, variances, nis_track


@compiled
def _estimate(mean: Array, covariance: Array, design: Array, found: tuple[Array, Array], product: Array) -> None:
    """Mean and variance of what the rows of the design ask for."""
    for q in range(design.shape[0]):
        found[0][q] = _answer(design[q], mean)
        found[1][q] = spread_of(covariance, design[q], product)


@compiled
def _ask(row: Array, design: Array, share: float, bias: int, lasting: float) -> None:
    """What a reading of a share of the whole is made of, with the part of its error that lasts."""
    for i in range(SIZE):
        row[i] = share * design[i]
    row[bias] = lasting


@compiled
def _answer(row: Array, mean: Array) -> float:
    answer = 0.0
    for i in range(SIZE):
        answer += row[i] * mean[i]
    return answer


@compiled
def _averaged(mean: float, count: float, surprise: float, longest: float) -> tuple[float, float]:
    """A running mean of surprises, and over how many it is taken, with one more."""
    count = min(count + 1.0, longest)
    return mean + (min(surprise, LARGEST_NIS) - mean) / count, count


@compiled
def _rescaled(scale: float, rate: float, surprise: float) -> float:
    """A factor on variances, after a squared innovation over its variance was seen."""
    change = rate * ((1.0 if surprise > SURE else 0.0) - MISSED)
    return min(max(scale * np.exp(change), SMALLEST_SCALE), LARGEST_SCALE)


@compiled
def _learn_day(
    mean: Array,
    covariance: Array,
    features: Array,
    now: tuple[int, float, float, float],
    dynamics: Dynamics,
    habits: Habits,
) -> float:
    """Compare with what was expected a day before, let a part become habit, expect anew; the day scale after that.

    Args:
        now: slot of the day, part of demand's variance that readings took away, noise scale and day scale
    """
    slot, told, noise_scale, day_scale = now
    departure = departure_of(mean, features, DEMAND_REMAINDER)
    if not np.isnan(habits.expected[slot]):
        surprise = (departure - habits.expected[slot]) ** 2 / habits.spread[slot]
        day_scale = _rescaled(day_scale, dynamics.day_adaptation * told * told, surprise)
        day_scale = min(max(day_scale, 1.0 / LARGEST_DAY_SCALE), LARGEST_DAY_SCALE)
    habits.usual[slot] += dynamics.habit_gain * told * departure
    habits.expected[slot], habits.spread[slot] = expect_tomorrow(
        mean, covariance, features, DEMAND_REMAINDER, dynamics.tomorrow, (noise_scale * day_scale, noise_scale)
    )
    return day_scale


@compiled
def _fill_design(design: Array, features: Array, usual: float, clear_sky: float) -> None:
    """How the four quantities are made of the states."""
    for i in range(DEMAND_TERMS):
        design[LOAD, i] = features[i]
        design[NET_LOAD, i] = features[i]
    design[LOAD, DEMAND_HABIT] = usual
    design[NET_LOAD, DEMAND_HABIT] = usual
    design[LOAD, DEMAND_REMAINDER] = 1.0
    design[NET_LOAD, DEMAND_REMAINDER] = 1.0
    design[PV, PV_GAIN] = clear_sky
    design[PV, PV_CLOUD] = clear_sky
    design[PV, PV_REMAINDER] = 1.0
    design[NET_LOAD, PV_GAIN] = -clear_sky
    design[NET_LOAD, PV_CLOUD] = -clear_sky
    design[NET_LOAD, PV_REMAINDER] = -1.0
    design[NET_LOAD, EXCHANGE] = 1.0
    design[STORAGE_SOC, ENERGY] = 1.0


@compiled
def _move_on(
    mean: Array, covariance: Array, slot: int, scales: tuple[float, float], dynamics: Dynamics, noise: Array
) -> float:
    """One step of the transition: shocks by the hour and in proportion to the gain, losses by the direction of the
    exchange; the hours for which the exchange changed the energy. The scales are those of `expect_tomorrow`."""
    for i in range(SIZE):
        noise[i] = dynamics.walk[i]
    for i in range(DEPARTURE_TERMS):
        noise[i] *= scales[0]
    noise[DEMAND_REMAINDER] += scales[1] * dynamics.liveliness[slot] ** 2
    cloud = dynamics.cloud_shock * max(mean[PV_GAIN], 0.0)
    noise[PV_CLOUD] += cloud * cloud
    hours = dynamics.charge_hours if mean[EXCHANGE] >= 0 else dynamics.discharge_hours
    couple_in_place(mean, covariance, ENERGY, EXCHANGE, hours)
    predict_in_place(mean, covariance, dynamics.decay, noise)
    return hours


@compiled
def _loosen(covariance: Array, noise: Array, value: Array, lasting: Array, doubt: float) -> None:
    """Where silent units are filled in: forget what was believed of generation, some of what was believed of the
    energy, and in doubt of the feeder what was believed of demand, which then takes all that the feeder tells."""
    if not np.isnan(value[PV]):
        silent = lasting[PV] ** 2
        covariance[PV_REMAINDER, PV_REMAINDER] += LOOSE * silent
        noise[PV_REMAINDER] += LOOSE * silent
        if not np.isnan(value[NET_LOAD]):
            covariance[DEMAND_REMAINDER, DEMAND_REMAINDER] += doubt * silent
    if not np.isnan(value[STORAGE_SOC]):
        covariance[ENERGY, ENERGY] += LEAK * lasting[STORAGE_SOC] ** 2


@compiled
def _follow_policy(
    mean: Array, covariance: Array, noise: Array, design: Array, surplus_kw: float, policy: tuple[float, float, float]
) -> None:
    """Let the batteries respond to the change of the surplus since the last step: to what is expected of it, and to its
    shocks."""
    response, drift_kw, shock_kw = policy
    if not np.isnan(surplus_kw):
        drift_kw -= response * surplus_kw
        for i in range(SIZE):
            drift_kw += response * (design[PV, i] - design[LOAD, i]) * mean[i]
    mean[EXCHANGE] += drift_kw
    covariance[EXCHANGE, EXCHANGE] += shock_kw * shock_kw
    for state in (DEMAND_REMAINDER, PV_CLOUD, PV_REMAINDER):
        by = response * (design[PV, state] - design[LOAD, state])
        covariance[EXCHANGE, state] += by * noise[state]
        covariance[EXCHANGE, EXCHANGE] += by * by * noise[state]
