"""The twin's track of past steps, estimated with what was read after them, too.

The structural states are smoothed (`smoothing.py`). A panel of meters is asked twice, with time going forwards and
backwards: its parts are processes that look the same either way. What it says of a step from later readings is added to
what it said from earlier ones, less what the readings of the step alone say, which both know.

Source: Fraser and Potter (1969), IEEE Transactions on Automatic Control 14, 387-390 (two filters make a smoother).
"""

from dataclasses import replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings
from digital_twin.macro_twin.compiled import compiled
from digital_twin.macro_twin.coverage import believed_own
from digital_twin.macro_twin.kalman import spread_of
from digital_twin.macro_twin.model import PANELS, TwinModel
from digital_twin.macro_twin.panel import NEWS, Indices, Panel, PanelMemory, Whole
from digital_twin.macro_twin.panel_filter import follow
from digital_twin.macro_twin.smoothing import smooth
from digital_twin.macro_twin.state import (
    Track,
    TwinState,
    advance,
    not_negative,
    panel_steps,
    take_from_panels,
)
from digital_twin.macro_twin.structure import ENERGY, EXCHANGE, OBSERVED, SIZE, STORAGE_SOC
from digital_twin.macro_twin.trail import new_trail

Moments = tuple[Array, Array]
"""Means and variances of the whole in each step."""


def smoothed_track(state: TwinState, model: TwinModel, readings: TwinReadings, *, lag: int | None = None) -> Track:
    """What `advance` estimates for each step, with the readings of the next `lag` steps, or of all that follow.

    Never less certain than what was estimated then; the last step stays as it was.
    """
    trail = new_trail(readings.grid.steps, SIZE, readings=len(OBSERVED), couplings=1, asked=len(OBSERVED))
    track = advance(state, model, readings, trail).track
    moments = smooth(trail, model.dynamics.decay, (np.array([ENERGY]), np.array([EXCHANGE])), lag=lag)
    estimates, variances = _answers(trail.design, moments.mean, moments.covariance)
    kind, step = panel_steps(readings.grid, model.plant.timezone, model.plant.country)
    wholes: dict[int, Whole] = {}
    for quantity, panel, memory in zip(PANELS, model.panels, state.panels, strict=True):
        if panel is not None and memory is not None:
            meters = readings.meters[quantity]
            wholes[quantity] = look_back_on_panel(panel, memory, meters, (kind, step), lag=lag)
    take_from_panels(estimates, variances, wholes, believed_own(readings.own, model.groups), model)
    estimates = not_negative(estimates)
    estimates[:, STORAGE_SOC] = np.minimum(estimates[:, STORAGE_SOC], model.plant.storage_capacity_kwh)
    return replace(track, mean=estimates, deviation=np.minimum(np.sqrt(variances), track.deviation))


def look_back_on_panel(
    panel: Panel, memory: PanelMemory, readings: Array, steps: tuple[Indices, Indices], *, lag: int | None = None
) -> Whole:
    """What a panel says of the whole from the readings before each step and those of the next `lag`, or all that
    follow.

    Args:
        panel: the meters
        memory: before the readings; it stays as it is
        readings: one column a meter, NaN where it is silent, (T, M)
        steps: kind and number of each step, as `follow` takes them
        lag: in steps; without one all later readings count
    """
    whole = follow(panel, memory.copy(), readings, *steps)
    alone = np.minimum(_known_to_no_other_step(panel, readings, steps[0], float(memory.noise[1])), whole.variance)
    later_mean, later_variance = _from_later(panel, readings, steps, len(readings) if lag is None else lag)
    now_mean, now_variance = _from_later(panel, readings, steps, 0)
    before, later, now = (one - alone for one in (whole.variance, later_variance, now_variance))
    is_open = np.minimum(np.minimum(before, later), now) > 0  # where all report nothing is left to be known
    later, now = np.where(is_open, later, 1.0), np.where(is_open, now, 1.0)
    gained = np.where(is_open, np.maximum(1 / later - 1 / now, 0.0), 0.0)
    after = before / (1 + before * gained)
    moved = after * ((later_mean - whole.mean) / later - (now_mean - whole.mean) / now)
    return replace(
        whole,
        mean=whole.mean + np.where(is_open, moved, 0.0),
        variance=np.where(gained > 0, alone + after, whole.variance),
    )


def _known_to_no_other_step(panel: Panel, readings: Array, kind: Indices, effect: float) -> Array:
    """Variance of what homes without a meter use, and of the news of silent ones."""  # (T,)
    slot = kind % panel.slots
    news = panel.spread**2 * panel.parts[NEWS]
    return panel.unmetered_variance[slot] + effect * (news[slot] * np.isnan(readings)).sum(axis=1)


def _from_later(panel: Panel, readings: Array, steps: tuple[Indices, Indices], lag: int) -> Moments:
    """What the readings of each step and of the next `lag` say, with time going backwards and nothing known before."""
    length = len(readings)
    kind, step = steps
    if lag >= length - 1:
        turned = follow(panel, PanelMemory.at_rest(panel), readings[::-1], kind[::-1].copy(), step[::-1].copy())
        return turned.mean[::-1], turned.variance[::-1]
    mean, variance = np.empty(length), np.empty(length)
    for first in range(length):
        ahead = slice(first, first + lag + 1)
        turned = follow(
            panel, PanelMemory.at_rest(panel), readings[ahead][::-1], kind[ahead][::-1].copy(), step[ahead][::-1].copy()
        )
        mean[first], variance[first] = turned.mean[-1], turned.variance[-1]
    return mean, variance


@compiled
def _answers(design: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """Means and variances of what is asked of each step."""
    steps, asked, states = design.shape
    estimates, variances = np.zeros((steps, asked)), np.empty((steps, asked))
    product = np.empty(states)
    for step in range(steps):
        for one in range(asked):
            for i in range(states):
                estimates[step, one] += design[step, one, i] * mean[step, i]
            variances[step, one] = spread_of(covariance[step], design[step, one], product)
    return estimates, variances
