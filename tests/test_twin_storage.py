"""What the twin knows of batteries: how they follow the surplus, and what their energy tells of it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.twins import START, metering, plant, prior, readings

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import calibrate
from digital_twin.macro_twin.state import advance, start_state
from digital_twin.macro_twin.storage import exchange_of, learn_policy
from digital_twin.macro_twin.structure import LOAD
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, SyntheticCommunity

DAYS = 42
HOUR = (np.arange(DAYS * 24) % 24).astype(np.int64)


def followed(surplus_kw: Array, response: Array, keep: float, shock_kw: float) -> Array:
    """An exchange that follows the surplus by the model's own equation."""
    generator, exchange = np.random.default_rng(2), np.zeros(surplus_kw.size)
    for step in range(1, surplus_kw.size):
        change = surplus_kw[step] - surplus_kw[step - 1]
        exchange[step] = keep * exchange[step - 1] + response[HOUR[step]] * change + shock_kw * generator.normal()
    return exchange


def test_the_response_to_the_surplus_is_found_hour_by_hour() -> None:
    surplus = np.random.default_rng(1).normal(0, 10, DAYS * 24)
    response = np.where((np.arange(24) >= 6) & (np.arange(24) < 18), 0.7, 0.2)
    found = learn_policy(followed(surplus, response, 0.5, 1.0), surplus, HOUR, 1.0)
    assert found is not None
    keep, policy = found
    assert keep == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(policy.response, response, atol=0.1)
    np.testing.assert_allclose(policy.shock_kw, 1.0, rtol=0.3)


def test_without_readings_no_policy_is_learned() -> None:
    nothing = np.full(DAYS * 24, np.nan)
    assert learn_policy(nothing, np.ones(DAYS * 24), HOUR, 1.0) is None
    assert learn_policy(np.zeros(DAYS * 24), np.ones(DAYS * 24), HOUR, 1.0) is None


def test_what_batteries_took_is_read_off_their_energy() -> None:
    exchange = np.random.default_rng(3).normal(0, 5, 50)
    soc = 100 + np.cumsum(np.concatenate([[0.0], np.where(exchange > 0, 0.9 * exchange, exchange / 0.8)]))
    np.testing.assert_allclose(exchange_of(soc, 0.9, 1 / 0.8)[:-1], exchange)
    assert np.isnan(exchange_of(soc, 0.9, 1 / 0.8)[-1])


def test_demand_is_told_from_batteries_that_swallow_the_surplus() -> None:
    grid = TimeGrid(START, DAYS * 96, 15)
    homes = list(SyntheticCommunity(Recipe(40, Place(48.2, 16.4, "UTC"), grid, seed=5)).series())
    load, pv, net = (
        np.sum([getattr(one, name) for one in homes], axis=0) for name in ("load_kw", "pv_kw", "net_load_kw")
    )
    held = np.sum([one.soc_kwh for one in homes], axis=0)
    capacity_kwh = sum(one.home.battery.capacity_kwh for one in homes if one.home.battery)
    series = {"pv_kw": pv, "net_load_kw": net, "storage_soc_kwh": held}
    of = plant(40, pv_kw=float(pv.max()), storage_kwh=capacity_kwh)
    of = replace(of, charge_efficiency=0.95, discharge_efficiency=0.95)
    first, sky = 35 * 96, (pv > 0) * 1.0
    told = [
        readings(
            TimeGrid(grid.instant(part.start), part.stop - part.start, 15),
            clear_sky=sky[part],
            **{name: one[part] for name, one in series.items()},
        )
        for part in (slice(0, first), slice(first, grid.steps))
    ]
    model = calibrate(prior(of, 15), metering(), told[0])
    state = advance(start_state(model, START), model, told[0]).state
    error = advance(state, model, told[1]).track.mean[:, LOAD] - load[first:]
    exchange = net - load + pv
    # whoever takes the batteries to go on as in the quarter of an hour before
    as_before = net + pv - np.append(0.0, exchange[:-1]) - load
    assert np.mean(error**2) < 0.8**2 * np.mean(as_before[first:] ** 2)
