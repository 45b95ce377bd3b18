"""Synthetic communities: believable beside metered homes, one sky, and the same again from the same seed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
import pytest
from benchmarks.households import (
    GRID,
    HOUSEHOLDS,
    PLACE,
    SWISS,
    differences,
    figures,
    halves,
    measured_sky,
    metered_homes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digital_twin.domain.assets import Battery
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.simulation import homes as kernels
from digital_twin.simulation.homes import Habits, calendar_of, home_load_kw
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import HomeSeries, Recipe, Shares, SyntheticCommunity

VIENNA = Place(48.2, 16.4, "Europe/Vienna")
YEAR = TimeGrid(datetime(2025, 1, 1, tzinfo=UTC), 35_040, 15)
DAYS = TimeGrid(datetime(2025, 3, 29, tzinfo=UTC), 4 * 96, 15)
"""One of them has 23 hours."""
HOMES = 60
ALL, NONE = Shares(1.0, 1.0, 1.0, 1.0), Shares(0.0, 0.0, 0.0, 0.0)
Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def village() -> list[HomeSeries]:
    return list(SyntheticCommunity(Recipe(HOMES, VIENNA, YEAR, 11)).series())


def values_of(home: HomeSeries) -> Values:
    return np.stack(
        [
            home.appliances_kw, home.vehicle_kw, home.heat_pump_kw, home.pv_kw,
            home.charge_kw, home.discharge_kw, home.soc_kwh,
        ]
    )  # fmt: skip


# Beside metered homes


def test_synthetic_homes_differ_from_metered_ones_little_more_than_these_among_themselves() -> None:
    if not HOUSEHOLDS.exists():
        pytest.skip("the meters of 537 Swiss households are not there")
    others, tested = halves(metered_homes())
    recipe = replace(SWISS, homes=len(tested), seed=7)
    made = np.stack([home.load_kw for home in SyntheticCommunity(recipe, measured_sky()).series()])
    real = figures(tested)
    chance = dict(differences(figures(others), real))
    # what the chosen half itself differs by, three times, or a sixth; the shape of the day is the utilities' own
    allowed = {name: max(3 * one, 1 / 6) for name, one in chance.items()} | {"shape of the day": 0.25}
    found = dict(differences(figures(made), real))
    assert not {name: one for name, one in found.items() if one > allowed[name]}


def test_the_figures_tell_copies_of_a_profile_from_homes() -> None:
    homes = list(SyntheticCommunity(Recipe(30, PLACE, GRID, 3, NONE)).series())
    load_kw = np.stack([home.load_kw for home in homes])
    copies = load_kw.mean(axis=0) * np.linspace(0.5, 1.5, 30)[:, None]
    same = dict(differences(figures(load_kw), figures(load_kw)))
    assert all(one == 0 for one in same.values())
    found = dict(differences(figures(copies), figures(load_kw)))
    assert found["coincidence of peaks"] > 0.5
    assert found["peak, kW"] > 0.5
    assert figures(copies).coincidence == pytest.approx(1.0)


def test_a_home_peaks_at_four_to_eight_kilowatts_and_many_together_far_below() -> None:
    homes = SyntheticCommunity(Recipe(HOMES, VIENNA, YEAR, 11, NONE)).series()
    load_kw = np.stack([home.load_kw for home in homes])
    peak = load_kw.max(axis=1)
    assert 4 < np.median(peak) < 8
    assert np.mean((peak > 3.5) & (peak < 10.5)) > 0.9
    assert load_kw.sum(axis=0).max() / HOMES < 2.0
    annual_kwh = load_kw.mean(axis=1) * 8_760
    assert 2_800 < annual_kwh.mean() < 4_000
    assert annual_kwh.std() / annual_kwh.mean() > 0.25


def test_many_homes_together_follow_the_standard_profile() -> None:
    """BDEW H0, which was measured on hundreds of German homes and stands in another package."""
    homes = SyntheticCommunity(Recipe(150, VIENNA, YEAR, 3, NONE)).series()
    together = np.sum([home.load_kw for home in homes], axis=0).reshape(-1, 4).mean(axis=1)
    clock = local_clock(YEAR, VIENNA.timezone)
    standard = standard_household_kw(clock).reshape(-1, 4).mean(axis=1)
    assert np.corrcoef(together, standard)[0, 1] > 0.88
    difference = together / together.mean() - standard / standard.mean()
    assert np.abs(difference).mean() < 0.17
    by_month = [one[: 364 * 24].reshape(13, -1).mean(axis=1) / one.mean() for one in (together, standard)]
    assert np.abs(by_month[0] - by_month[1]).max() < 0.1


def test_people_live_by_the_local_clock_before_and_after_it_changes() -> None:
    grid = TimeGrid(datetime(2025, 3, 2, tzinfo=UTC), 96 * 56, 15)
    total = np.sum([home.load_kw for home in SyntheticCommunity(Recipe(40, VIENNA, grid, 2, NONE)).series()], axis=0)
    clock = local_clock(grid, VIENNA.timezone)
    offset = np.round(clock.hour - (grid.starts.astype(np.int64) / 3_600) % 24) % 24

    def evening(rows: NDArray[np.bool_]) -> float:
        late = rows & (clock.hour >= 15) & (clock.hour < 23)
        return float(np.average(clock.hour[late], weights=total[late]))

    assert set(offset) == {1.0, 2.0}
    assert abs(evening(offset == 1) - evening(offset == 2)) < 0.25


def test_on_journeys_a_home_uses_little_for_days() -> None:
    homes = [home.load_kw for home in SyntheticCommunity(Recipe(HOMES, VIENNA, YEAR, 11, NONE)).series()]
    days_kwh = np.stack(homes).reshape(HOMES, 365, 96).sum(axis=2) / 4
    is_quiet = days_kwh < 0.45 * np.median(days_kwh, axis=1, keepdims=True)
    assert 0.02 < is_quiet.mean() < 0.12  # three journeys of six days are a twentieth of a year
    assert (is_quiet[:, 1:] & is_quiet[:, :-1]).sum() > 0.6 * is_quiet.sum()


# The same again


@given(st.integers(0, 2**63), st.integers(1, 6), st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_a_home_is_the_same_bits_from_its_seed_alone(seed: int, homes: int, one: int) -> None:
    recipe = Recipe(6, VIENNA, DAYS, seed, ALL)
    alone = next(SyntheticCommunity(recipe).series(one, one + 1))
    among_others = list(SyntheticCommunity(replace(recipe, homes=one + homes)).series())[one]
    np.testing.assert_array_equal(values_of(alone), values_of(among_others))
    assert alone.home == among_others.home
    assert alone.sessions is not None
    assert among_others.sessions is not None
    np.testing.assert_array_equal(alone.sessions.energy_kwh, among_others.sessions.energy_kwh)


def test_of_a_million_homes_only_those_are_made_that_are_asked_for() -> None:
    homes = SyntheticCommunity(Recipe(1_000_000, VIENNA, DAYS, 5, ALL)).series(999_990)
    assert [home.home.number for home in islice(homes, 2)] == [999_990, 999_991]


def test_another_seed_is_another_community() -> None:
    one, other = (next(SyntheticCommunity(Recipe(1, VIENNA, DAYS, seed, ALL)).series()) for seed in (5, 6))
    for number, (first, second) in enumerate(zip(values_of(one), values_of(other), strict=True)):
        assert not np.array_equal(first, second), number


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_what_a_home_has_it_keeps_when_a_share_grows(shares: list[float], more: float) -> None:
    grown = [share + more * (1 - share) for share in shares]
    few, many = (SyntheticCommunity(Recipe(20, VIENNA, DAYS, 1, Shares(*given))).homes for given in (shares, grown))
    for before, after in zip(few, many, strict=True):
        for name in ("roof", "battery", "vehicle", "heating"):
            assert getattr(before, name) in (None, getattr(after, name))


def test_a_homes_load_does_not_depend_on_what_else_it_has() -> None:
    plain, full = (next(SyntheticCommunity(Recipe(1, VIENNA, DAYS, 5, shares)).series()) for shares in (NONE, ALL))
    np.testing.assert_array_equal(plain.appliances_kw, full.appliances_kw)
    assert (values_of(plain)[1:] == 0).all()
    assert plain.home.assets == []
    assert len(full.home.assets) == 4


def test_the_hourly_series_of_a_home_is_the_mean_of_its_quarters() -> None:
    quarters, hours = DAYS, TimeGrid(DAYS.start, DAYS.steps // 4, 60)
    calendars = [calendar_of(grid, "Europe/Vienna", 48.2, np.full(grid.steps, 5.0)) for grid in (quarters, hours)]
    habits = Habits(boiler=1.0, night_heating=1.0)
    fine, coarse = (home_load_kw(np.random.default_rng(3), calendar, habits) for calendar in calendars)
    np.testing.assert_allclose(fine.reshape(-1, 4).mean(axis=1), coarse, rtol=1e-9)


def test_compiled_homes_are_those_of_plain_python() -> None:
    rates = np.tile(np.array([0.2, 1.5, 0.7]), 56)
    appliances = np.array([[2.0, 20.0, 6.0], [0.1, 100.0, 2.0], [1.0, 5.0, 0.0]])
    meals = np.array([[7.0, 1.0, 20.0, 0.9], [18.0, 2.0, 40.0, 0.5]])
    midnights = 1440.0 * np.arange(7)
    calls: tuple[tuple[Any, tuple[object, ...]], ...] = (
        (kernels._switch_by_chance, (appliances, rates, 15.0, 10.0)),
        (kernels._keep_meals, (meals, midnights, 15.0, 10.0)),
        (kernels._keep_timer, (2.5, midnights + 1_320, np.full(7, 90.0), 15.0)),
        (kernels._cycle_fridge, (10_080.0, 15.0, 10.0)),
    )
    for kernel, arguments in calls:
        compiled, plain = np.zeros(672), np.zeros(672)
        kernel(np.random.default_rng(1), *arguments, compiled)
        kernel.py_func(np.random.default_rng(1), *arguments, plain)
        assert compiled.sum() > 0
        np.testing.assert_allclose(compiled, plain, rtol=1e-12)


# Balances and ranges


@given(
    st.integers(0, 2**32),
    st.sampled_from(["Europe/Vienna", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "UTC"]),
    st.floats(-80, 80),
    st.integers(0, 366 * 24),
    st.sampled_from([1, 5, 15, 30, 60]),
)
@settings(max_examples=20, deadline=None)
def test_energy_balances_and_nothing_is_missing_anywhere_on_earth(
    seed: int, zone: str, latitude: float, hours: int, minutes: int
) -> None:
    first = datetime(2019, 12, 31, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes)
    grid = TimeGrid(first, 60 * 60 // minutes, minutes)
    for made in SyntheticCommunity(Recipe(2, Place(latitude, 70.0, zone), grid, seed, ALL)).series():
        values = values_of(made)
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        bought, sold = np.maximum(made.net_load_kw, 0), np.maximum(-made.net_load_kw, 0)
        used = made.appliances_kw + made.vehicle_kw + made.heat_pump_kw + made.charge_kw + sold
        np.testing.assert_allclose(bought + made.pv_kw + made.discharge_kw, used, rtol=0, atol=1e-12 * used.max())
        assert made.home.roof is not None
        assert made.home.battery is not None
        assert (made.pv_kw <= made.home.roof.inverter_kw).all()
        follows_its_battery(made, made.home.battery, grid.step_hours)


def follows_its_battery(made: HomeSeries, battery: Battery, hours: float) -> None:
    """DEFINITIONS 1: what it holds follows from what goes in and out; it never works against the meter."""
    change = hours * (battery.charge_efficiency * made.charge_kw - made.discharge_kw / battery.discharge_efficiency)
    np.testing.assert_allclose(np.diff(made.soc_kwh), change[:-1], atol=1e-9)
    assert ((made.soc_kwh >= 0) & (made.soc_kwh <= battery.capacity_kwh)).all()
    assert (np.maximum(made.charge_kw, made.discharge_kw) <= battery.power_kw).all()
    surplus = made.pv_kw - made.load_kw
    assert (made.charge_kw <= np.maximum(surplus, 0)).all()
    assert (made.discharge_kw <= np.maximum(-surplus, 0)).all()


def test_a_year_of_a_village_uses_and_yields_what_such_villages_do(village: list[HomeSeries]) -> None:
    def mean_kwh(of: Callable[[HomeSeries], Values], having: str) -> float:
        return float(np.mean([of(home).sum() / 4 for home in village if getattr(home.home, having)]))

    assert 1_800 < mean_kwh(lambda home: home.vehicle_kw, "vehicle") < 3_800  # 13,500 km at 0.2 kWh
    assert 2_500 < mean_kwh(lambda home: home.heat_pump_kw, "heating") < 7_000
    capacity_kw = sum(home.home.roof.photovoltaics.capacity_kw for home in village if home.home.roof)
    assert 850 < sum(home.pv_kw.sum() for home in village) / 4 / capacity_kw < 1_150
    cycles = mean_kwh(lambda home: home.discharge_kw, "battery") / np.mean(
        [home.home.battery.capacity_kwh for home in village if home.home.battery]
    )
    assert 120 < cycles < 300  # Figgener et al. 2022: about 200 full cycles a year


def test_homes_have_the_devices_of_their_shares() -> None:
    shares = Shares(0.4, 0.5, 0.2, 0.25)
    homes = SyntheticCommunity(Recipe(2_000, VIENNA, DAYS, 4, shares)).homes
    deviation = 3 * 0.5 / np.sqrt(2_000)
    for name, share in (("roof", 0.4), ("battery", 0.2), ("vehicle", 0.2), ("heating", 0.25)):
        assert np.mean([getattr(home, name) is not None for home in homes]) == pytest.approx(share, abs=deviation)
    assert all(home.roof for home in homes if home.battery)
    identifiers = [asset.asset_id for home in homes for asset in home.assets]
    assert len(set(identifiers)) == len(identifiers)


def test_no_sun_is_told_apart_from_mistakes() -> None:
    pole = Recipe(1, Place(89.0, 0.0, "UTC"), TimeGrid(YEAR.start, 96, 15), 1, ALL)
    assert (next(SyntheticCommunity(pole).series()).pv_kw == 0).all()
    mistakes: tuple[Callable[[], object], ...] = (
        lambda: Recipe(0, VIENNA, YEAR, 1),
        lambda: Recipe(1, VIENNA, YEAR, -1),
        lambda: Recipe(1, VIENNA, TimeGrid(YEAR.start, 4, 120), 1),
        lambda: Shares(pv=1.1),
        lambda: Shares(heat_pump=float("nan")),
        lambda: Habits(boiler=2.0),
    )
    for mistake in mistakes:
        with pytest.raises(InvalidInput):
            mistake()
