"""Vehicles, heat pumps and batteries of synthetic homes: what they need, when they need it, and their physics."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digital_twin.domain.assets import Battery, EvCharger
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.simulation import heat_pumps, home_batteries, vehicles
from digital_twin.simulation.heat_pumps import HeatedHome, Heating, HeatingWeather, cop, draw_heated_home, heat
from digital_twin.simulation.home_batteries import follow_surplus
from digital_twin.simulation.homes import Calendar, calendar_of
from digital_twin.simulation.place import Place
from digital_twin.simulation.sky import design_temperature_c
from digital_twin.simulation.vehicles import CHARGE_EFFICIENCY, ChargingSessions, Vehicle, charge_at_home, draw_vehicle

YEAR = TimeGrid(datetime(2025, 1, 1, tzinfo=UTC), 35_040, 15)
VIENNA = "Europe/Vienna"


def calendar(grid: TimeGrid = YEAR, temperature_c: float = 10.0) -> Calendar:
    return calendar_of(grid, VIENNA, 48.2, np.full(grid.steps, temperature_c))


@pytest.fixture(scope="module")
def fleet() -> list[tuple[Vehicle, Array, ChargingSessions]]:
    found = []
    for seed in range(150):
        vehicle = draw_vehicle(np.random.default_rng(seed))
        found.append((vehicle, *charge_at_home(np.random.default_rng(1_000 + seed), calendar(), vehicle)))
    return found


# Vehicles


def test_the_socket_gives_what_the_sessions_take(fleet: list[tuple[Vehicle, Array, ChargingSessions]]) -> None:
    end = np.datetime64(int(YEAR.end.timestamp()), "s")
    for vehicle, charge_kw, sessions in fleet:
        hours = sessions.energy_kwh / (CHARGE_EFFICIENCY * vehicle.charger.power_kw)
        left_hours = (end - sessions.arrival) / np.timedelta64(3_600, "s")
        taken = np.minimum(hours, left_hours).sum() * vehicle.charger.power_kw
        assert charge_kw.sum() / 4 == pytest.approx(taken, rel=1e-6)
        assert (charge_kw <= vehicle.charger.power_kw + 1e-9).all()


def test_sessions_follow_each_other_and_are_long_enough(fleet: list[tuple[Vehicle, Array, ChargingSessions]]) -> None:
    for vehicle, _, sessions in fleet:
        stay_hours = (sessions.departure - sessions.arrival) / np.timedelta64(3_600, "s")
        most_kwh = CHARGE_EFFICIENCY * vehicle.charger.power_kw * stay_hours
        assert (sessions.arrival[1:] >= sessions.departure[:-1]).all()
        assert (sessions.energy_kwh > 0).all()
        assert (sessions.energy_kwh <= most_kwh + 0.01).all()
        assert (sessions.energy_kwh <= vehicle.battery_kwh).all()


def test_vehicles_are_driven_and_plugged_in_as_surveys_say(
    fleet: list[tuple[Vehicle, Array, ChargingSessions]],
) -> None:
    kwh = np.array([charge_kw.sum() / 4 for _, charge_kw, _ in fleet])
    assert kwh.mean() == pytest.approx(13_500 * 0.2, rel=0.2)
    a_week = np.array([sessions.energy_kwh.size / 52 for _, _, sessions in fleet])
    assert 2.0 <= a_week.mean() <= 3.3  # Electric Nation: 2 to 3 times
    assert a_week.std() > 0.8
    arrivals = np.concatenate([sessions.arrival for _, _, sessions in fleet]).astype(np.int64) / 3_600 % 24
    assert np.median(arrivals) == pytest.approx(16.5, abs=1.2)  # 17:30 to 18:00 on the wall
    total = np.sum([charge_kw for _, charge_kw, _ in fleet], axis=0)
    clock = local_clock(YEAR, VIENNA)
    by_hour = np.array([total[clock.hour.astype(int) == hour].mean() for hour in range(24)])
    assert 16 <= np.argmax(by_hour) <= 20
    assert by_hour[3:6].max() < 0.25 * by_hour.max()


def test_many_vehicles_peak_far_below_their_chargers(fleet: list[tuple[Vehicle, Array, ChargingSessions]]) -> None:
    total = np.sum([charge_kw for _, charge_kw, _ in fleet], axis=0)
    installed = sum(vehicle.charger.power_kw for vehicle, _, _ in fleet)
    assert 0.1 < total.max() / installed < 0.4
    kinds = {(vehicle.charger.power_kw, vehicle.charger.minimum_power_kw) for vehicle, _, _ in fleet}
    assert kinds == {(3.7, 1.38), (7.4, 1.38), (11.0, 4.14)}


def test_cold_days_take_more_and_commuters_drive_on_workdays() -> None:
    vehicle = Vehicle(EvCharger(11.0), 80.0, 0.18, 10.0, commutes=True, plugs_in_below=1.0)
    cold, mild = (
        charge_at_home(np.random.default_rng(2), calendar(temperature_c=temperature), vehicle)[0].sum()
        for temperature in (-5.0, 20.0)
    )
    assert cold / mild == pytest.approx(1 + 0.5 * 25 / 35, rel=0.02)
    charge_kw, _ = charge_at_home(np.random.default_rng(2), calendar(), vehicle)
    clock = local_clock(YEAR, VIENNA)
    workdays = clock.weekday < 5
    assert charge_kw[workdays].mean() > 1.1 * charge_kw[~workdays].mean()


def test_sessions_do_not_depend_on_the_resolution() -> None:
    vehicle = draw_vehicle(np.random.default_rng(3))
    grids = [TimeGrid(datetime(2025, 10, 20, tzinfo=UTC), 14 * 1440 // minutes, minutes) for minutes in (1, 15, 60)]
    charged, sessions = zip(
        *(charge_at_home(np.random.default_rng(4), calendar(grid), vehicle) for grid in grids), strict=True
    )
    np.testing.assert_allclose(charged[0].reshape(-1, 60).mean(axis=1), charged[2], atol=1e-9)
    np.testing.assert_allclose(charged[1].reshape(-1, 4).mean(axis=1), charged[2], atol=1e-9)
    np.testing.assert_array_equal(sessions[0].arrival, sessions[2].arrival)


def test_compiled_sessions_are_those_of_plain_python() -> None:
    generator = np.random.default_rng(5)
    midnights = 1440.0 * np.arange(60)
    leaves = midnights + generator.uniform(300, 700, 60)
    days = (generator.random(60) < 0.7, leaves, leaves + 400.0, generator.uniform(1, 60, 60))
    limits = np.array([50.0, 3.7, 0.6, 40.0])
    compiled, plain = vehicles._sessions(*days, limits, 86_400.0), vehicles._sessions.py_func(*days, limits, 86_400.0)
    np.testing.assert_allclose(compiled, plain, rtol=1e-12)
    assert compiled.shape[1] > 5


# Heat pumps


def weather(grid: TimeGrid, temperature_c: float | Array, ghi_wm2: float = 0.0) -> HeatingWeather:
    hours = local_clock(grid, VIENNA).hour
    return HeatingWeather(np.broadcast_to(temperature_c, grid.steps).copy(), np.full(grid.steps, ghi_wm2), hours)


def homes(count: int, locked: float = 0.3) -> list[HeatedHome]:
    return [draw_heated_home(np.random.default_rng(seed), Heating(locked=locked), -12.0) for seed in range(count)]


def test_the_cop_is_that_of_the_published_curves() -> None:
    # Ruhnau et al. (2019), table 1, times 0.85, by hand
    assert cop(False, 35.0, 0.0) == pytest.approx(0.85 * (6.08 - 0.09 * 35 + 0.0005 * 35**2))
    assert cop(True, 50.0, -10.0) == pytest.approx(0.85 * (10.29 - 0.21 * 45 + 0.0012 * 45**2))
    for is_ground_source in (False, True):
        falling = [cop(is_ground_source, flow, -10.0) for flow in range(0, 200, 5)]
        assert sorted(falling, reverse=True) == falling
        assert falling[-1] >= 1.0


def test_in_steady_cold_a_heat_pump_gives_what_the_building_loses() -> None:
    grid = TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), 28 * 96, 15)
    for home in homes(20):
        plain = home._replace(hot_water_kwh_per_day=0.0, setback_c=0.0, is_locked=False)
        power_kw, rooms_c = heat(np.random.default_rng(1), plain, weather(grid, 0.0), 15)
        loses_kw = home.loss_kw_per_c * rooms_c.mean() - home.inner_gains_kw
        heating_cop = cop(home.is_ground_source, home.flow_at_freezing_c, 0.0)
        stored_kwh = home.capacity_kwh_per_c * (rooms_c[-1] - home.set_point_c)
        given_kwh = power_kw.sum() / 4 * heating_cop
        assert given_kwh == pytest.approx(loses_kw * grid.hours + stored_kwh, rel=0.02, abs=2 * home.band_kwh)


def test_rooms_stay_near_their_set_point_in_winter_and_nothing_heats_in_a_heat_wave() -> None:
    grid = TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), 14 * 96, 15)
    for home in homes(40, locked=1.0):
        power_kw, rooms_c = heat(np.random.default_rng(1), home, weather(grid, -5.0), 15)
        assert (power_kw <= home.electric_kw + 1e-9).all()
        assert (power_kw >= 0).all()
        assert rooms_c.mean() == pytest.approx(home.set_point_c, abs=1.8)
        assert rooms_c.min() > home.set_point_c - 4
        warm_kw, warm_c = heat(np.random.default_rng(1), home, weather(grid, 24.0, 300.0), 15)
        assert warm_kw.sum() / 4 / 14 < home.hot_water_kwh_per_day
        assert warm_c.max() <= home.set_point_c + 4 + 1e-9


def test_a_home_of_the_far_north_is_warm_on_its_coldest_days() -> None:
    design_c = design_temperature_c(Place(66.0, 25.0, "Europe/Helsinki"))
    assert design_c < -20
    grid = TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), 14 * 96, 15)
    for seed in range(20):
        home = draw_heated_home(np.random.default_rng(seed), Heating(locked=0.0), design_c)
        _, rooms_c = heat(np.random.default_rng(1), home, weather(grid, design_c + 4), 15)
        assert rooms_c.min() > home.set_point_c - 4


def test_locked_heat_pumps_stand_still_and_make_up_for_it() -> None:
    grid = TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), 28 * 96, 15)
    home = homes(1)[0]._replace(is_locked=True, clock_ahead_hours=0.0)
    locked_kw, _ = heat(np.random.default_rng(1), home, weather(grid, 0.0), 15)
    free_kw, _ = heat(np.random.default_rng(1), home._replace(is_locked=False), weather(grid, 0.0), 15)
    hour = local_clock(grid, VIENNA).hour
    assert (locked_kw[(hour >= 16.25) & (hour < 18.25)] == 0).all()
    assert locked_kw.sum() == pytest.approx(free_kw.sum(), rel=0.05)


def test_hot_water_takes_what_is_drawn() -> None:
    grid = TimeGrid(datetime(2025, 7, 1, tzinfo=UTC), 60 * 96, 15)
    for home in homes(10):
        power_kw, _ = heat(np.random.default_rng(1), home, weather(grid, 24.0), 15)
        given_kwh = power_kw.sum() / 4 * cop(home.is_ground_source, 50.0, 24.0)
        deviation = home.hot_water_kwh_per_day * np.sqrt(60 / 8) * np.sqrt(2)
        assert given_kwh == pytest.approx(60 * home.hot_water_kwh_per_day, abs=3 * deviation + 1.5 * home.tank_kwh)


def test_set_back_homes_heat_most_in_the_morning() -> None:
    grid = TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), 28 * 96, 15)
    total = np.sum([heat(np.random.default_rng(1), home, weather(grid, 2.0), 15)[0] for home in homes(60)], axis=0)
    hour = local_clock(grid, VIENNA).hour
    by_hour = np.array([total[hour.astype(int) == one].mean() for one in range(24)])
    assert by_hour[5:9].max() > 1.15 * by_hour.mean()


@pytest.mark.parametrize("modulates", [True, False])
def test_compiled_heating_is_that_of_plain_python(modulates: bool) -> None:
    grid = TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), 2 * 96, 15)
    home = homes(1)[0]._replace(modulates=modulates, is_locked=True)
    air = weather(grid, 5 * np.sin(np.arange(grid.steps) / 15), 80.0)
    compiled = heat_pumps._heat(np.random.default_rng(1), home, air, 3, 1 / 12)
    plain = heat_pumps._heat.py_func(np.random.default_rng(1), home, air, 3, 1 / 12)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


# Batteries


@given(
    st.lists(st.floats(-20, 20), min_size=1, max_size=50), st.floats(0.5, 20), st.floats(0.5, 10), st.floats(0.5, 1.0)
)
@settings(max_examples=80, deadline=None)
def test_a_battery_takes_all_that_it_can_and_no_more(
    surplus_kw: list[float], capacity_kwh: float, power_kw: float, efficiency: float
) -> None:
    battery = Battery(capacity_kwh, power_kw, efficiency, efficiency)
    surplus: NDArray[np.float64] = np.array(surplus_kw)
    charge, discharge, soc = follow_surplus(battery, surplus, 0.25)
    plain = home_batteries._follow.py_func(surplus, 0.25, capacity_kwh, power_kw, efficiency, efficiency)
    for one, other in zip((charge, discharge, soc), plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert soc[0] == capacity_kwh / 2
    after = soc + 0.25 * (efficiency * charge - discharge / efficiency)
    np.testing.assert_allclose(soc[1:], after[:-1], atol=1e-9)
    left, lacking = np.maximum(surplus - charge, 0), np.maximum(-surplus - discharge, 0)
    stopped_charging = (left < 1e-9) | (charge > power_kw - 1e-9) | (after > capacity_kwh - 1e-9)
    stopped_giving = (lacking < 1e-9) | (discharge > power_kw - 1e-9) | (after < 1e-9)
    assert stopped_charging.all()
    assert stopped_giving.all()
