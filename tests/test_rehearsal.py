"""The rehearsal of silence: what it tells of feeders and of errors, and that it needs enough history."""

from dataclasses import replace

import numpy as np
import pytest
from tests.twins import START, metering, plant, prior, readings

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.rehearsal import calibrate_rehearsed
from digital_twin.macro_twin.state import advance, start_state
from digital_twin.macro_twin.structure import NET_LOAD, PV

DAYS, LEARNED, ROOFS = 42, 28, 10
HOUR = (np.arange(DAYS * 24) % 24).astype(np.int64)
SKY = np.maximum(np.sin((HOUR - 6) / 12 * np.pi), 0.0)


def community(stray_kw: float, seed: int = 0) -> tuple[TwinReadings, Array]:
    """Roofs of one facing under clouds of their own, and a feeder with so much lively generation that nobody knows of;
    what their meters show, and the generation of the roofs."""
    generator = np.random.default_rng(seed)
    size = generator.uniform(3, 8, ROOFS)
    pv_kw = size * SKY[:, None] * generator.uniform(0.2, 1.0, (HOUR.size, ROOFS))
    load_kw = 30 + 10 * np.sin((HOUR - 12) / 12 * np.pi) + generator.normal(0, 0.5, HOUR.size)
    stray = stray_kw * generator.uniform(0, 1, HOUR.size).round() * (SKY > 0)
    grid = TimeGrid(START, HOUR.size, 60)
    net_load_kw = load_kw - pv_kw.sum(axis=1) - stray
    return readings(grid, clear_sky=SKY, pv_kw=pv_kw, net_load_kw=net_load_kw), pv_kw.sum(axis=1)


def learn(told: TwinReadings) -> TwinModel:
    return calibrate_rehearsed(prior(plant(60, pv_kw=60.0)), metering(pv_kw=ROOFS), part(told, 0, LEARNED))


def part(told: TwinReadings, first_day: int, last_day: int) -> TwinReadings:
    cut = slice(first_day * 24, last_day * 24)
    grid = TimeGrid(told.grid.instant(cut.start), cut.stop - cut.start, 60)
    return TwinReadings(grid, told.own[cut], tuple(one[cut].copy() for one in told.meters), told.clear_sky[cut])


def error_with_three_roofs(model: TwinModel, told: TwinReadings, truth: Array) -> float:
    state = advance(start_state(model, START), model, part(told, 0, LEARNED)).state
    later = part(told, LEARNED, DAYS)
    later.meters[PV][:, 3:] = np.nan
    estimate = advance(state, model, later).track.mean[:, PV]
    return float(np.sqrt(np.mean((estimate - truth[LEARNED * 24 :]) ** 2)))


def test_a_feeder_that_the_demand_explains_corrects_what_roofs_are_expected_to_generate() -> None:
    told, truth = community(stray_kw=0.0)
    model = learn(told)
    own = told.own.copy()
    own[:, NET_LOAD] = np.nan
    without = replace(told, own=own)
    assert error_with_three_roofs(model, told, truth) < 0.7 * error_with_three_roofs(model, without, truth)


@pytest.mark.parametrize("stray_kw", [20.0, 100.0])
def test_a_feeder_with_unknown_generation_behind_it_does_not_lead_astray(stray_kw: float) -> None:
    told, truth = community(stray_kw)
    model = learn(told)
    own = told.own.copy()
    own[:, NET_LOAD] = np.nan
    without = replace(told, own=own)
    assert error_with_three_roofs(model, told, truth) < 1.05 * error_with_three_roofs(model, without, truth)


def test_a_short_history_is_not_rehearsed() -> None:
    told, _ = community(0.0)
    short = part(told, 0, 8)
    of, meters = prior(plant(60, pv_kw=60.0)), metering(pv_kw=ROOFS)
    assert calibrate_rehearsed(of, meters, short).to_bytes() == calibrate(of, meters, short).to_bytes()


def test_errors_of_silent_roofs_are_as_large_as_they_are_said_to_be() -> None:
    told, truth = community(0.0, seed=3)
    model = learn(told)
    own = told.own.copy()
    own[:, NET_LOAD] = np.nan
    later = part(replace(told, own=own), LEARNED, DAYS)
    later.meters[PV][:, 3:] = np.nan
    state = advance(start_state(model, START), model, part(told, 0, LEARNED)).state
    track = advance(state, model, later).track
    by_day = later.clear_sky > 0.1
    error = np.abs(track.mean[:, PV] - truth[LEARNED * 24 :])[by_day]
    assert 0.88 < np.mean(error < 1.96 * track.deviation[by_day, PV]) < 0.99
