"""The rows Ay of the program of a plan under risk, in compiled sweeps over intervals, scenarios and their kinks."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from digital_twin.domain.units import Array

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Liberties of rounding alone: the compiler may not assume that no NaN occurs."""
SIGNS = (-1.0, 1.0)
"""Of the net discharge in a charge and in a discharge."""


class Rows(NamedTuple):
    """What the rows Ay of the program are made of."""

    places: NDArray[np.intp]  # (2, T) of each interval's charge and discharge among the free powers; -1 where fixed
    gains: Array  # (2,) of the energy in store by a charge and by a discharge
    slope: Array  # (S, T) of the cost in the net discharge
    kink_scenario: NDArray[np.intp]  # (K,) ascending
    kink_interval: NDArray[np.intp]  # (K,)
    rise: Array  # (K,)
    peak_scenario: NDArray[np.intp]  # (P,) ascending
    peak_interval: NDArray[np.intp]  # (P,)
    peak_price: float
    counts: tuple[int, int, int, int]  # free powers, kinks, peaks, losses; the latter two 0 where they do not count


@njit(cache=True, error_model="numpy")
def variables(rows: Rows, y: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Free powers, excesses, peaks, losses, and the threshold where losses count."""
    free, kinks, peaks, tails = rows.counts
    excess, peak, loss = free + kinks, free + kinks + peaks, free + kinks + peaks + tails
    return y[:free], y[free:excess], y[excess:peak], y[peak:loss], y[loss:]


@njit(cache=True, error_model="numpy")
def row_parts(rows: Rows, values: Array) -> tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]:
    """Bounds of powers (low, high) and of energy in store; kinks, excesses; import over peaks, peaks; losses (2)."""
    free, kinks, peaks, tails = rows.counts
    steps, overs = rows.places.shape[1], rows.peak_scenario.size
    soc, kink = 2 * free, 2 * free + 2 * steps
    over = kink + 2 * kinks
    tail = over + overs + peaks
    return (
        values[:free], values[free:soc], values[soc : soc + steps], values[soc + steps : kink],
        values[kink : kink + kinks], values[kink + kinks : over], values[over : over + overs],
        values[over + overs : tail], values[tail : tail + tails], values[tail + tails :],
    )  # fmt: skip


@njit(cache=True, error_model="numpy", fastmath=FAST)
def net_discharge(rows: Rows, x: Array) -> Array:
    """What these free powers add to the net discharge."""  # (T,)
    net = np.zeros(rows.places.shape[1])
    for kind in range(2):
        for step in range(net.size):
            place = rows.places[kind, step]
            if place >= 0:
                net[step] += SIGNS[kind] * x[place]
    return net


@njit(cache=True, error_model="numpy", fastmath=FAST)
def costs(rows: Rows, net: Array, excess: Array, peak: Array) -> Array:
    """What each scenario pays for a net discharge, its excesses and its peak."""  # (S,)
    paid = np.empty(rows.slope.shape[0])
    for scenario in range(paid.size):
        slope, total = rows.slope[scenario], 0.0
        for step in range(net.size):
            total += slope[step] * net[step]
        paid[scenario] = total
    for kink in range(excess.size):
        paid[rows.kink_scenario[kink]] += rows.rise[kink] * excess[kink]
    for scenario in range(peak.size):
        paid[scenario] += rows.peak_price * peak[scenario]
    return paid


@njit(cache=True, error_model="numpy", fastmath=FAST)
def times(rows: Rows, y: Array) -> Array:
    """Ay."""
    x, excess, peak, loss, threshold = variables(rows, y)
    steps = rows.places.shape[1]
    made = np.empty(2 * (x.size + steps + excess.size + loss.size) + rows.peak_scenario.size + peak.size)
    low, high, soc_low, soc_high, kink, above, over, above_peak, tail, above_loss = row_parts(rows, made)
    net, stored = net_discharge(rows, x), 0.0
    for place in range(x.size):
        low[place], high[place] = x[place], -x[place]
    for step in range(steps):
        for kind in range(2):
            place = rows.places[kind, step]
            if place >= 0:
                stored += rows.gains[kind] * x[place]
        soc_low[step], soc_high[step] = stored, -stored
    for number in range(kink.size):
        kink[number] = excess[number] + net[rows.kink_interval[number]]
        above[number] = excess[number]
    for number in range(over.size):
        over[number] = peak[rows.peak_scenario[number]] + net[rows.peak_interval[number]]
    for scenario in range(peak.size):
        above_peak[scenario] = peak[scenario]
    if tail.size:
        paid = costs(rows, net, excess, peak)
        for scenario in range(tail.size):
            tail[scenario] = loss[scenario] + threshold[0] - paid[scenario]
            above_loss[scenario] = loss[scenario]
    return made


@njit(cache=True, error_model="numpy", fastmath=FAST)
def transposed(rows: Rows, price: Array) -> Array:
    """A'p."""
    kink, above, over, above_peak, tail, above_loss = row_parts(rows, price)[4:]
    made = np.empty(rows.counts[0] + kink.size + above_peak.size + tail.size + min(1, tail.size))
    x, excess, peak, loss, threshold = variables(rows, made)
    by_net = np.zeros(rows.places.shape[1])
    for number in range(kink.size):
        by_net[rows.kink_interval[number]] += kink[number]
        excess[number] = kink[number] + above[number]
    for scenario in range(peak.size):
        peak[scenario] = above_peak[scenario]
    for number in range(over.size):
        by_net[rows.peak_interval[number]] += over[number]
        peak[rows.peak_scenario[number]] += over[number]
    if tail.size:
        threshold[0] = 0.0
        for scenario in range(tail.size):
            threshold[0] += tail[scenario]
            loss[scenario] = tail[scenario] + above_loss[scenario]
            for step in range(by_net.size):
                by_net[step] -= tail[scenario] * rows.slope[scenario, step]
        for number in range(kink.size):
            excess[number] -= rows.rise[number] * tail[rows.kink_scenario[number]]
        for scenario in range(peak.size):
            peak[scenario] -= rows.peak_price * tail[scenario]
    _pull(rows, by_net, price, x)
    return made


@njit(cache=True, error_model="numpy", fastmath=FAST)
def _pull(rows: Rows, by_net: Array, price: Array, x: Array) -> None:
    """What the prices of net discharges and of the storage's bounds ask of its free powers."""
    low, high, soc_low, soc_high = row_parts(rows, price)[:4]
    later = 0.0
    for step in range(by_net.size - 1, -1, -1):
        later += soc_low[step] - soc_high[step]
        for kind in range(2):
            place = rows.places[kind, step]
            if place >= 0:
                x[place] = low[place] - high[place] + SIGNS[kind] * by_net[step] + rows.gains[kind] * later
