"""A rehearsal of silence: the twin learns from the first two thirds of the history and is tried on the last, in which
some of the roofs and batteries that reported are taken to be silent.

It tells two things that no reading tells later: how large the errors of what is expected of silent units are, and
whether the feeder may correct what is expected of silent roofs. A feeder whose net load the model of demand explains
does; one with other generation behind it would lead astray, and then moves demand alone.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.coverage import Mask
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.state import TwinState, advance, read_plant, start_state
from digital_twin.macro_twin.structure import PV, STORAGE_SOC, Metering, slots_of
from digital_twin.macro_twin.units import widen

FEWEST_DAYS, FEWEST_UNITS, FEWEST_STEPS = 12.0, 3, 96
CASTS, REPORTING = 2, 0.3
"""How often it is rehearsed, and the part of the units that report."""

DOUBTS = (0.0, 1.0, 30.0)
LEAST_ERROR, LARGEST_ERROR = {PV: 0.5, STORAGE_SOC: 1.0}, 4.0
"""Of the variance found over that expected; its root is used, since two weeks tell half of it, and nothing of energy,
whose errors last for days, that would make it surer."""


def calibrate_rehearsed(prior: TwinModel, metering: tuple[Metering, ...], readings: TwinReadings) -> TwinModel:
    """The model of the whole history, with what the rehearsal tells of silent units."""
    model, grid = calibrate(prior, metering, readings), readings.grid
    tried = [index for index in (PV, STORAGE_SOC) if _can_be_tried(readings, index)]
    if grid.hours < 24 * FEWEST_DAYS or not tried:
        return model
    first = grid.steps * 2 // 3
    earlier, later = _part(readings, 0, first), _part(readings, first, grid.steps)
    rehearsed = calibrate(prior, metering, earlier)
    patterns = list(model.patterns)
    for index in tried:
        place = (PV, STORAGE_SOC).index(index)
        patterns[place] = widen(patterns[place], _error(rehearsed, later, index))
    doubt = 0.0
    if PV in tried:
        state = advance(start_state(rehearsed, grid.start), rehearsed, earlier).state
        doubt = min(DOUBTS, key=lambda one: _pv_error(_doubting(rehearsed, one), state, later))
    return replace(_doubting(model, doubt), patterns=(patterns[0], patterns[1]))


def _can_be_tried(readings: TwinReadings, index: int) -> bool:
    meters = readings.meters[index]
    is_silent = not np.isfinite(readings.own[:, index]).any()
    return is_silent and meters.shape[1] >= FEWEST_UNITS and int(np.isfinite(meters).all(axis=1).sum()) >= FEWEST_STEPS


def _part(readings: TwinReadings, first: int, last: int) -> TwinReadings:
    grid = TimeGrid(readings.grid.instant(first), last - first, readings.grid.step_minutes)
    meters = tuple(np.ascontiguousarray(one[first:last]) for one in readings.meters)
    temperature_c = None if readings.temperature_c is None else readings.temperature_c[first:last]
    return TwinReadings(grid, readings.own[first:last], meters, readings.clear_sky[first:last], temperature_c)


def _doubting(model: TwinModel, doubt: float) -> TwinModel:
    return replace(model, dynamics=model.dynamics._replace(feeder_doubt=doubt))


def _casts(units: int) -> Iterator[Mask]:
    """Who reports."""
    golden = (np.sqrt(5) - 1) / 2
    for cast in range(CASTS):
        place = np.argsort((np.arange(units) * golden + cast / CASTS) % 1)
        yield np.isin(np.arange(units), place[: max(1, round(REPORTING * units))])


def _silenced(readings: TwinReadings, index: int, reports: Mask) -> tuple[TwinReadings, Array]:
    """The readings without some units, and the sum of all, NaN where not all reported."""
    meters = list(readings.meters)
    truth = meters[index].sum(axis=1)
    meters[index] = np.where(reports, meters[index], np.nan)
    return replace(readings, meters=tuple(meters)), truth


def _error(model: TwinModel, readings: TwinReadings, index: int) -> float:
    """The variance of errors over that which was expected."""
    slot, _ = slots_of(readings.grid, model.plant.timezone)
    hour = (slot * readings.grid.step_minutes // 60).astype(np.int64)
    found, expected = 0.0, 0.0
    for reports in _casts(readings.meters[index].shape[1]):
        shown, truth = _silenced(readings, index, reports)
        reading = read_plant(model, shown, shown.own, hour)[(PV, STORAGE_SOC).index(index)]
        known = np.isfinite(truth) & np.isfinite(reading.value)
        found += float(((reading.value - reading.share * truth)[known] ** 2).sum())
        expected += float((reading.noise + reading.lasting**2)[known].sum())
    ratio = found / expected if expected > 0 and found > 0 else 1.0
    return float(np.sqrt(np.clip(ratio, LEAST_ERROR[index], LARGEST_ERROR)))


def _pv_error(model: TwinModel, state: TwinState, readings: TwinReadings) -> float:
    """Mean squared error of the generation."""
    squares = 0.0
    for reports in _casts(readings.meters[PV].shape[1]):
        shown, truth = _silenced(readings, PV, reports)
        squares += float(np.nanmean((advance(state, model, shown).track.mean[:, PV] - truth) ** 2))
    return squares
