"""The twin's filter over many steps: predict, read load, generation, net load and storage, keep the storage in bounds.

Beyond three standard deviations of the innovation the error of a reading is widened in proportion: a sum of few meters
moves the twin little when it jumps, the exact sum of all is followed whatever it does (boilers that a clock switches on
double it within one interval). The shocks of demand grow and shrink with what the innovations of well covered sums
show, through one factor on their variance.

Source: Mehra (1970), IEEE Transactions on Automatic Control 15, 175-184 (innovations and noise); Simon and Chia
(2002), IEEE Transactions on Aerospace and Electronic Systems 38, 128-136 (projection of a constrained state).
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.coverage import Indices
from digital_twin.macro_twin.kalman import couple_in_place, predict_in_place, spread_of, update_in_place
from digital_twin.macro_twin.storage import Policy
from digital_twin.macro_twin.structure import (
    DEMAND_REMAINDER,
    DEMAND_TERMS,
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
"""Of the squared innovation over its variance: three standard deviations."""

LARGEST_NIS = 25.0
"""What one reading may add to the running mean: otherwise one wrong sum would be all that it tells."""

SMALLEST_SCALE, LARGEST_SCALE = 0.1, 25.0
_QUANTITIES = len(OBSERVED)
_BIASES = (LOAD_BIAS, PV_BIAS, LOAD_BIAS, STORAGE_BIAS)
"""What lasts of the error of a sum, for each of `OBSERVED`."""

LOOSE = 30.0
"""Roofs that report already tell what is believed of the silent ones: the sky before the reading then counts for a
thirtieth, lest it be believed twice."""

NO_TRAIL = new_trail(0, SIZE, readings=_QUANTITIES, couplings=1, asked=_QUANTITIES)
"""For a filter that nobody will look back on."""


class Dynamics(NamedTuple):
    """The numbers of the transition, for one length of step."""

    decay: Array  # (n,)
    walk: Array  # (n,) variances added in each step whatever the load is
    demand_shock: float  # standard deviation of the remainder's shock, relative to the predicted load
    demand_floor_kw: float  # predicted load below which shocks shrink no further
    cloud_shock: float  # standard deviation of the cloud's shock, relative to the gain
    charge_hours: float  # step_hours x charge efficiency
    discharge_hours: float  # step_hours / discharge efficiency
    capacity_kwh: float
    adaptation: float  # of the logarithm of the noise scale, per unit of excess NIS
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


class Inputs(NamedTuple):
    """What is known of each step; the readings have one column each for `OBSERVED`."""

    hour: Indices  # (T,) of the local day
    features: Array  # (T, DEMAND_TERMS)
    clear_sky: Array  # (T,) output per kW of gain
    value: Array  # (T, 4) NaN is no reading
    share: Array  # (T, 4)
    noise: Array  # (T, 4) variances
    lasting: Array  # (T, 4) standard deviations


@compiled
def run_filter(
    mean: Array, covariance: Array, memory: Memory, dynamics: Dynamics, inputs: Inputs, trail: Trail
) -> tuple[Memory, Array, Array, Array]:
    """Advance mean and covariance in place; the memory after it, and of each step the estimates' means, their
    variances, and the running NIS. The trail, where it has room, keeps what smoothing needs."""
    steps = inputs.clear_sky.size
    estimates, variances, nis_track = np.empty((steps, _QUANTITIES)), np.empty((steps, _QUANTITIES)), np.empty(steps)
    design, product, noise = np.zeros((_QUANTITIES, SIZE)), np.zeros(SIZE), np.zeros(SIZE)
    row = np.zeros(SIZE)
    noise_scale, nis, count = memory.noise_scale, memory.nis, memory.nis_count
    stream_nis, stream_counts = memory.stream_nis.copy(), memory.stream_counts.copy()
    surplus_kw = memory.surplus_kw
    for t in range(steps):
        _fill_design(design, inputs.features[t], inputs.clear_sky[t])
        hours = _move_on(mean, covariance, design[LOAD], noise_scale, dynamics, noise)
        _loosen(covariance, noise, inputs.value[t], inputs.lasting[t, PV] ** 2, dynamics.feeder_doubt)
        hour, policy = inputs.hour[t], dynamics.policy
        in_hour = float(policy.response[hour]), float(policy.drift_kw[hour]), float(policy.shock_kw[hour])
        _follow_policy(mean, covariance, noise, design, surplus_kw, in_hour)
        for q in range(_QUANTITIES):
            if np.isnan(inputs.value[t, q]):
                continue
            for i in range(SIZE):
                row[i] = inputs.share[t, q] * design[q, i]
            row[_BIASES[q]] = inputs.lasting[t, q]
            innovation = inputs.value[t, q]
            for i in range(SIZE):
                innovation -= row[i] * mean[i]
            believed = spread_of(covariance, row, product)
            spread = believed + inputs.noise[t, q]
            surprise = innovation * innovation / spread
            count = min(count + 1.0, dynamics.memory_steps)
            nis += (min(surprise, LARGEST_NIS) - nis) / count
            stream_counts[q] = min(stream_counts[q] + 1.0, dynamics.memory_steps)
            stream_nis[q] += (min(surprise, LARGEST_NIS) - stream_nis[q]) / stream_counts[q]
            if q in (LOAD, NET_LOAD):
                change = (
                    dynamics.adaptation * (min(surprise, GATE) - 1.0) * inputs.share[t, q] * (believed / spread) ** 2
                )
                noise_scale = min(max(noise_scale * np.exp(change), SMALLEST_SCALE), LARGEST_SCALE)
            widened = believed + inputs.noise[t, q] * max(1.0, surprise / GATE)
            keep_reading(trail, (t, q), row, product, innovation, widened)
            update_in_place(mean, covariance, product, innovation, widened)
        shrunk = _keep_in_bounds(mean, covariance, dynamics.capacity_kwh)
        keep_belief(trail, t, mean, covariance, design)
        keep_moves(trail, t, hours, (ENERGY, shrunk))
        for q in range(_QUANTITIES):
            estimates[t, q] = 0.0
            for i in range(SIZE):
                estimates[t, q] += design[q, i] * mean[i]
            variances[t, q] = spread_of(covariance, design[q], product)
        nis_track[t] = nis if count > 0 else np.nan
        surplus_kw = estimates[t, PV] - estimates[t, LOAD]
    return Memory(noise_scale, nis, count, stream_nis, stream_counts, surplus_kw), estimates, variances, nis_track


@compiled
def _fill_design(design: Array, features: Array, clear_sky: float) -> None:
    """How the four quantities are made of the states."""
    for i in range(DEMAND_TERMS):
        design[LOAD, i] = features[i]
        design[NET_LOAD, i] = features[i]
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
    mean: Array, covariance: Array, load: Array, noise_scale: float, dynamics: Dynamics, noise: Array
) -> float:
    """One step of the transition: shocks in proportion to load and gain, losses by the direction of the exchange; the
    hours for which the exchange changed the energy."""
    predicted_kw = 0.0
    for i in range(DEMAND_TERMS):
        predicted_kw += load[i] * mean[i]
    for i in range(SIZE):
        noise[i] = dynamics.walk[i]
    shock = dynamics.demand_shock * max(predicted_kw, dynamics.demand_floor_kw)
    noise[DEMAND_REMAINDER] += noise_scale * shock * shock
    cloud = dynamics.cloud_shock * max(mean[PV_GAIN], 0.0)
    noise[PV_CLOUD] += cloud * cloud
    hours = dynamics.charge_hours if mean[EXCHANGE] >= 0 else dynamics.discharge_hours
    couple_in_place(mean, covariance, ENERGY, EXCHANGE, hours)
    predict_in_place(mean, covariance, dynamics.decay, noise)
    return hours


@compiled
def _loosen(covariance: Array, noise: Array, value: Array, silent: float, doubt: float) -> None:
    """Where roofs are read that leave this variance of the silent ones: forget what was believed of generation, and in
    doubt of the feeder what was believed of demand, which then takes all that the feeder tells."""
    if not np.isnan(value[PV]):
        covariance[PV_REMAINDER, PV_REMAINDER] += LOOSE * silent
        noise[PV_REMAINDER] += LOOSE * silent
        if not np.isnan(value[NET_LOAD]):
            covariance[DEMAND_REMAINDER, DEMAND_REMAINDER] += doubt * silent


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


@compiled
def _keep_in_bounds(mean: Array, covariance: Array, capacity_kwh: float) -> float:
    """Project the storage's energy into [0, capacity] and move what goes with it; between bounds nothing is less
    certain than the uniform distribution. By how much the energy's deviation was shrunk, 1 where it was not."""
    most = capacity_kwh * capacity_kwh / 12.0
    variance = covariance[ENERGY, ENERGY]
    shrunk = 1.0
    if variance > most:
        shrunk = np.sqrt(most / variance)
        for i in range(SIZE):
            covariance[max(i, ENERGY), min(i, ENERGY)] *= shrunk
        covariance[ENERGY, ENERGY] = most
        variance = most
    energy = mean[ENERGY]
    beyond = min(max(energy, 0.0), capacity_kwh) - energy
    if beyond != 0.0 and variance > 0.0:
        for i in range(SIZE):
            mean[i] += covariance[max(i, ENERGY), min(i, ENERGY)] / variance * beyond
    mean[ENERGY] = min(max(mean[ENERGY], 0.0), capacity_kwh)
    return shrunk
