"""The state taken apart: losses against sampling, remainders against what meters show."""

from datetime import timedelta
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.twins import START, lively_homes, metering, plant, prior, readings

from digital_twin.domain.time import TimeGrid
from digital_twin.macro_twin.calibration import calibrate
from digital_twin.macro_twin.parts import losses_of, parts_of
from digital_twin.macro_twin.state import advance, start_state

NORMAL = np.array([NormalDist().inv_cdf((one + 0.5) / 20_000) for one in range(20_000)])
"""As a standard normal distribution is drawn in 20,000 equally likely steps."""


@given(exchange_kw=st.floats(-20, 20), deviation_kw=st.floats(0.01, 20))
def test_losses_are_those_of_sampled_exchanges(exchange_kw: float, deviation_kw: float) -> None:
    drawn = exchange_kw + deviation_kw * NORMAL
    lost = np.where(drawn > 0, 0.1 * drawn, -0.25 * drawn)
    found = losses_of(exchange_kw, deviation_kw, 0.9, 0.8)
    scale = abs(exchange_kw) + deviation_kw
    assert found.mean == pytest.approx(lost.mean(), abs=2e-3 * scale)
    assert found.deviation == pytest.approx(lost.std(), abs=4e-3 * scale)


def test_a_certain_exchange_loses_a_certain_share() -> None:
    assert losses_of(10.0, 0.0, 0.9, 0.8).mean == pytest.approx(1.0)
    assert losses_of(-8.0, 0.0, 0.9, 0.8).mean == pytest.approx(2.0)
    assert losses_of(10.0, 1e-6, 0.9, 0.8).mean == pytest.approx(1.0)


def test_the_unmetered_remainder_is_what_no_meter_shows() -> None:
    homes = lively_homes(20, 22)
    model, state = homes.learn(21 * 24)
    silent = np.arange(20) < 8
    step = homes.between(21 * 24, 21 * 24 + 1, np.where(silent, 0.0, 1.0)[None, :])
    after = advance(state, model, step).state
    remainder = parts_of(after, model, step)["unmetered_demand_kw"]
    shown = float(homes.load_kw[21 * 24, ~silent].sum())
    assert remainder.mean + shown == pytest.approx(after.estimate[0])
    assert remainder.deviation == after.deviation[0]
    truth = float(homes.load_kw[21 * 24, silent].sum())
    assert abs(remainder.mean - truth) < 4 * remainder.deviation


def test_where_all_is_metered_nothing_remains() -> None:
    homes = lively_homes(6, 22)
    model, state = homes.learn(21 * 24)
    step = homes.between(21 * 24, 21 * 24 + 1)
    remainder = parts_of(advance(state, model, step).state, model, step)["unmetered_demand_kw"]
    assert remainder.mean == pytest.approx(0, abs=1e-2)


def test_a_storage_that_charges_is_said_to_and_its_losses_close_the_balance() -> None:
    grid = TimeGrid(START, 24 * 10, 60)
    charging = np.tile([0.0] * 6 + [5.0] * 6 + [0.0] * 6 + [-5.0] * 6, 10)
    stored_kwh = 10.0 + np.concatenate([[0.0], np.cumsum(np.where(charging > 0, 0.9 * charging, charging / 0.8))])
    stored_kwh = stored_kwh[:-1] - np.linspace(0, (stored_kwh[-1] - stored_kwh[0]), grid.steps)
    load_kw = np.full(grid.steps, 20.0)
    of_all = readings(grid, load_kw=load_kw, net_load_kw=load_kw + charging, storage_soc_kwh=stored_kwh)
    model = calibrate(prior(plant(10, storage_kwh=60.0)), metering(), of_all)
    until = 24 * 9 + 9  # in the middle of a charge
    first = readings(
        TimeGrid(START, until, 60),
        load_kw=load_kw[:until],
        net_load_kw=(load_kw + charging)[:until],
        storage_soc_kwh=stored_kwh[:until],
    )
    after = advance(start_state(model, START), model, first).state
    assert after.instant == START + timedelta(hours=until)
    parts = parts_of(after, model, first)
    assert parts["net_charge_kw"].mean == pytest.approx(5.0, abs=0.5)
    assert parts["storage_losses_kw"].mean == pytest.approx(0.5, abs=0.1)
    assert parts["unmetered_demand_kw"].mean == pytest.approx(0, abs=0.1)
