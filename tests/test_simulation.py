"""Simulation: the kernel beside its slow twin, balances, limits, common random numbers, and money by closed forms."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import community
from tests.simulation_twin import slow_totals, slow_year

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.sharing import Sharing, SharingPremium, SharingRule
from digital_twin.domain.tariff import CapacityCharge
from digital_twin.domain.time import TimeGrid
from digital_twin.simulation.base_year import (
    DAYS,
    BaseYear,
    base_grid,
    filled_like,
    heating_degrees,
    heating_kw_per_degree,
)
from digital_twin.simulation.economics import Investment, discounted
from digital_twin.simulation.kernel import Profiles, simulate_year
from digital_twin.simulation.known_year import KnownYear
from digital_twin.simulation.known_year import base_year as made_of
from digital_twin.simulation.kpis import cost_difference, kpi_values, member_effects, ranking, risk_of
from digital_twin.simulation.monte_carlo import Study, simulate_runs, site_of, year_of
from digital_twin.simulation.outcomes import TOTALS, Outcomes, estimate
from digital_twin.simulation.place import Place
from digital_twin.simulation.sampling import draw
from digital_twin.simulation.scenario import PARAMETERS, Policy, Scenario, Setting, changed, setting_of
from digital_twin.simulation.terms import Terms

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ROUNDING = 1e-9  # sums of 35,000 numbers in another order
ALL_RULES = list(SharingRule)
HOMES = 6


def base_year(homes: int = HOMES, *, minutes: int = 60, seed: int = 1, **given: Any) -> BaseYear:
    """Spiky homes, sun that differs from day to day, prices that rise in the evening, cold in winter."""
    generator = np.random.default_rng(seed)
    grid = base_grid(NOW, minutes)
    hour, day = (np.arange(grid.steps) * minutes / 60) % 24, np.arange(grid.steps) * minutes // 1440
    load = generator.gamma(0.8, 0.6, (grid.steps, homes)) * (1 + (hour > 17))[:, None]
    brightness = generator.beta(2, 1.5, DAYS)[day] * (1 - 0.6 * np.cos(2 * np.pi * (day + 60) / 365))
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * brightness
    shares = generator.uniform(0, 1, homes) * (generator.random(homes) < 0.7) + 0.01
    fields: dict[str, Any] = {
        "load_kw": load.astype(np.float32),
        "pv_share": (sun[:, None] * shares / shares.sum()).astype(np.float32),
        "heating_degrees": np.maximum(15 - generator.normal(8, 6, DAYS), 0),
        "import_price_per_kwh": 0.2 + 0.15 * (hour > 16) * (hour < 21) + 0.02 * generator.standard_normal(grid.steps),
        "export_price_per_kwh": 0.07 + 0.01 * generator.standard_normal(grid.steps),
        "emission_factor_kg_per_kwh": 0.2 + 0.1 * (hour < 8),
        "coefficients": np.full(homes, 0.9 / homes),
    }
    return BaseYear(grid, **{**fields, **given})


def numbers(**given: Any) -> Setting:
    fields: dict[str, Any] = {
        "num_prosumers": float(HOMES),
        "total_pv_capacity_kw": 12.0,
        "total_storage_capacity_kwh": 15.0,
        "max_storage_power_kw": 5.0,
        "grid_import_limit_kw": 100.0,
        "grid_export_limit_kw": 100.0,
        "charge_efficiency": 0.95,
        "discharge_efficiency": 0.9,
        "sharing_rule": SharingRule.SINGLE_METER,
    }
    return Setting(**{**fields, **given})


def study(*some: Setting, base: BaseYear | None = None, sharing: Sharing | None = None, **given: Any) -> Study:
    fields: dict[str, Any] = {"num_prosumers": float(HOMES), "days": 28, "seed": 3} | given
    periods = np.arange(fields["days"]) // 30
    terms = Terms(some, sharing or Sharing(SharingRule.DYNAMIC), billing_period=periods, **fields)
    return Study(base or base_year(), terms)


def reseeded(problem: Study, seed: int) -> Study:
    return replace(problem, terms=replace(problem.terms, seed=seed))


def profiles_of(base: BaseYear) -> Profiles:
    paths = np.stack([base.import_price_per_kwh, base.export_price_per_kwh, base.emission_factor_kg_per_kwh], axis=1)
    return Profiles(base.load_kw, base.pv_share, paths, base.steps_per_day)


# the kernel


@pytest.mark.parametrize("rule", ALL_RULES)
@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize("premium", [None, SharingPremium(refund_per_mwh=10)])
def test_the_kernel_adds_up_like_its_slow_twin(rule: SharingRule, minutes: int, premium: SharingPremium | None) -> None:
    base = base_year(minutes=minutes)
    sharing = Sharing(rule, 60, 0.12, 0.03, premium)
    setting = numbers(sharing_rule=rule, grid_export_limit_kw=4.0)
    problem = study(setting, base=base, sharing=sharing, days=40)
    drawn, site = draw(5, 2, 40, HOMES), site_of(problem, setting)
    year = year_of(base, setting, drawn, heating_kw_per_degree(base.load_kw, base.heating_degrees), 1.0)
    totals, bills = simulate_year(profiles_of(base), year, site)
    expected, expected_bills = slow_totals(slow_year(profiles_of(base), year, site), site, sharing)
    found: dict[str, float] = dict(zip(TOTALS, totals.tolist(), strict=True))
    assert found.pop("peak_import_kw") * minutes / 60 == pytest.approx(expected.pop("peak_import_kwh"))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING)
    assert expected["curtailed_kwh"] > 0
    np.testing.assert_allclose(bills, expected_bills, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_bills_add_up_to_the_cost_of_all(rule: SharingRule) -> None:
    outcomes = simulate_runs(study(numbers(sharing_rule=rule), sharing=Sharing(rule, 60, 0.1, 0.05)), 0, 3)
    np.testing.assert_allclose(outcomes.bills[0].sum(axis=1), outcomes.of("cost")[0], rtol=ROUNDING)


@settings(max_examples=40, deadline=None)
@given(
    rule=st.sampled_from(ALL_RULES),
    pv=st.floats(0, 60),
    capacity=st.floats(0, 80),
    power=st.floats(0, 30),
    limits=st.tuples(st.floats(0, 30), st.floats(0, 30)),
    efficiencies=st.tuples(st.floats(0.5, 1), st.floats(0.5, 1)),
    run=st.integers(0, 500),
)
def test_energy_is_neither_made_nor_lost_and_limits_hold(
    rule: SharingRule,
    pv: float,
    capacity: float,
    power: float,
    limits: tuple[float, float],
    efficiencies: tuple[float, float],
    run: int,
) -> None:
    setting = numbers(
        sharing_rule=rule,
        total_pv_capacity_kw=pv,
        total_storage_capacity_kwh=capacity,
        max_storage_power_kw=power,
        grid_import_limit_kw=limits[0],
        grid_export_limit_kw=limits[1],
        charge_efficiency=efficiencies[0],
        discharge_efficiency=efficiencies[1],
    )
    outcomes = simulate_runs(study(setting, base=BASE), run, 1)
    year = dict(zip(TOTALS, outcomes.totals[0, 0].tolist(), strict=True))
    in_and_out = year["imported_kwh"] + year["generation_kwh"] - year["curtailed_kwh"] - year["exported_kwh"]
    assert in_and_out == pytest.approx(year["load_kwh"] + year["charged_kwh"] - year["discharged_kwh"], abs=1e-6)
    stored = efficiencies[0] * year["charged_kwh"] - year["discharged_kwh"] / efficiencies[1]
    assert year["final_soc_kwh"] == pytest.approx(stored, abs=1e-6)
    assert -1e-9 <= year["final_soc_kwh"] <= capacity + 1e-9
    assert year["beyond_export_limit_kwh"] <= 1e-9
    assert (year["beyond_import_limit_kwh"] > 1e-9) == (year["peak_import_kw"] > limits[0] + 1e-9)
    assert 0 <= year["curtailed_kwh"] <= year["generation_kwh"] + 1e-9
    assert year["shared_kwh"] <= min(year["imported_kwh"], year["exported_kwh"]) + 1e-9
    shares = kpi_values(outcomes, 0)
    assert -1e-9 <= shares["self_consumption"][0] <= 1 + 1e-9
    # without a fixed share of its own the storage buys what it charges, and may import more than the load
    least = -1.0 if rule is SharingRule.STATIC else 0.0
    assert least - 1e-9 <= shares["self_sufficiency"][0] <= 1 + 1e-9


BASE = base_year()


def test_where_nothing_may_be_curtailed_the_excess_is_told() -> None:
    setting = numbers(grid_export_limit_kw=1.0, total_pv_capacity_kw=40.0)
    free = simulate_runs(study(setting), 0, 1)
    bound = simulate_runs(study(setting, base=base_year(is_curtailable=False)), 0, 1)
    assert bound.of("curtailed_kwh")[0, 0] == 0
    assert bound.of("beyond_export_limit_kwh")[0, 0] == pytest.approx(free.of("curtailed_kwh")[0, 0])


@pytest.mark.parametrize("rule", ALL_RULES)
def test_more_pv_never_means_more_import(rule: SharingRule) -> None:
    some = [numbers(sharing_rule=rule, total_pv_capacity_kw=float(size)) for size in (0, 3, 8, 15, 40)]
    left = simulate_runs(study(*some, days=364), 0, 3).of("left_import_kwh")
    assert (np.diff(left, axis=0) <= 1e-9).all()


def test_an_idle_storage_is_no_storage() -> None:
    idle = numbers(policy=Policy.IDLE)
    none = numbers(total_storage_capacity_kwh=0.0)
    outcomes = simulate_runs(study(idle, none), 0, 2)
    np.testing.assert_array_equal(outcomes.totals[0], outcomes.totals[1])
    assert (outcomes.of("charged_kwh") == 0).all()


def test_twice_the_prosumers_use_twice_the_energy_of_the_same_sun() -> None:
    outcomes = simulate_runs(study(numbers(), numbers(num_prosumers=2.0 * HOMES)), 0, 2)
    np.testing.assert_allclose(outcomes.of("load_kwh")[1], 2 * outcomes.of("load_kwh")[0])
    np.testing.assert_allclose(outcomes.of("generation_kwh")[1], outcomes.of("generation_kwh")[0])


def test_sharing_among_copies_of_homes_is_sharing_among_homes() -> None:
    base = base_year()
    copies = replace(
        base,
        load_kw=np.repeat(base.load_kw, 2, axis=1),
        pv_share=np.repeat(base.pv_share, 2, axis=1) / 2,
        coefficients=np.repeat(base.coefficients, 2) / 2 if base.coefficients is not None else None,
    )
    for rule in ALL_RULES:
        setting = numbers(sharing_rule=rule, num_prosumers=2.0 * HOMES)
        weighted, listed = study(setting, base=base), study(setting, base=copies, num_prosumers=2.0 * HOMES)
        drawn = draw(1, 0, 28, 1)
        found: list[np.ndarray] = []
        for one in (weighted, listed):
            homes = one.base.homes
            same = replace(drawn, home_factors=np.ones(homes))
            year = year_of(one.base, setting, same, np.zeros(homes), site_of(one, setting).homes_per_profile)
            found.append(simulate_year(profiles_of(one.base), year, site_of(one, setting))[0])
        np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-9)  # profiles are float32


def test_one_meter_is_worth_what_all_behind_it_are() -> None:
    setting = numbers()
    many, one = study(setting), study(setting, base=base_year().as_one())
    drawn = replace(draw(1, 0, 28, HOMES), home_factors=np.ones(HOMES))
    found = []
    for each in (many, one):
        same = replace(drawn, home_factors=np.ones(each.base.homes))
        year = year_of(each.base, setting, same, np.zeros(each.base.homes), 1.0)
        found.append(simulate_year(profiles_of(each.base), year, site_of(each, setting))[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6)


def test_the_capacity_charge_counts_each_billing_period_beyond_its_peak_so_far() -> None:
    setting = numbers()
    plain = simulate_runs(study(setting, days=60), 0, 1)
    charged = simulate_runs(study(setting, days=60, capacity_charge=CapacityCharge(10.0, peak_so_far_kw=1e4)), 0, 1)
    none_so_far = simulate_runs(study(setting, days=60, capacity_charge=CapacityCharge(10.0)), 0, 1)
    second = charged.of("cost")[0, 0] - plain.of("cost")[0, 0]
    both = none_so_far.of("cost")[0, 0] - plain.of("cost")[0, 0]
    highest = 10 * plain.of("peak_import_kw")[0, 0]
    assert 0 < second <= highest
    assert highest <= both <= 2 * highest
    assert both == pytest.approx(highest + min(second, both - second))


# draws


def test_a_run_is_the_same_in_any_part_of_the_work() -> None:
    problem = study(numbers(), numbers(total_pv_capacity_kw=30.0))
    whole = simulate_runs(problem, 0, 7)
    parts = Outcomes.joined([simulate_runs(problem, 0, 3), simulate_runs(problem, 3, 1), simulate_runs(problem, 4, 3)])
    np.testing.assert_array_equal(whole.totals, parts.totals)
    np.testing.assert_array_equal(whole.bills, parts.bills)
    other = simulate_runs(reseeded(problem, 4), 0, 7)
    assert not np.array_equal(whole.totals, other.totals)


def test_what_else_is_compared_changes_no_scenario() -> None:
    alone = simulate_runs(study(numbers(total_pv_capacity_kw=30.0)), 0, 3)
    beside = simulate_runs(study(numbers(), numbers(total_pv_capacity_kw=30.0)), 0, 3)
    np.testing.assert_array_equal(alone.totals[0], beside.totals[1])


def test_a_difference_on_the_same_years_varies_far_less_than_on_different_ones() -> None:
    problem = study(numbers(), numbers(total_storage_capacity_kwh=30.0), days=364)
    cost = simulate_runs(problem, 0, 40).of("cost")
    independent = simulate_runs(reseeded(problem, 99), 0, 40).of("cost")
    assert (cost[1] - cost[0]).var() < (cost[1] - independent[0]).var() / 50


def test_randomised_sobol_points_beat_plain_ones() -> None:
    problem = study(numbers(), days=364, base=base_year(1))
    means = [simulate_runs(reseeded(problem, seed), 0, 80).of("cost")[0].mean() for seed in range(12)]
    every = simulate_runs(problem, 0, 300).of("cost")[0]
    assert np.var(means, ddof=1) < every.var(ddof=1) / 80 / 2


def test_days_come_from_their_season_and_weekday_and_keep_their_neighbours() -> None:
    drawn = draw(1, 4, 364, 1)
    for days in (drawn.weather_days, drawn.load_days):
        away = (days - np.arange(364) + 182) % 364 - 182
        assert set(np.unique(away)) <= {-14, -7, 0, 7, 14}
        assert 0.6 < np.mean(np.diff(days) % 364 == 1) < 0.95
    assert (drawn.weather_days != drawn.load_days).any()


def test_a_longer_year_begins_like_a_shorter_one_and_leap_years_are_whole() -> None:
    assert draw(1, 0, 366, 1).weather_days.size == 366
    assert (draw(1, 0, 366, 1).weather_days < DAYS).all()
    assert simulate_runs(study(numbers(), days=366), 0, 1).runs == 1


def test_factors_have_the_mean_one() -> None:
    some = [draw(7, run, 7, 3) for run in range(640)]
    for name, deviation in (("yield_factor", 0.045), ("load_factor", 0.05), ("import_price_factor", 0.1)):
        values = np.array([getattr(one, name) for one in some])
        assert abs(values.mean() - 1) < 0.01
        assert values.std() == pytest.approx(deviation, rel=0.15)
    assert np.corrcoef([one.import_price_factor for one in some], [one.export_price_factor for one in some])[0, 1] > 0.4
    assert abs(np.corrcoef([one.yield_factor for one in some], [one.load_factor for one in some])[0, 1]) < 0.15


def test_load_follows_the_weather_where_it_did_in_the_base_year() -> None:
    base = base_year()
    heated = replace(
        base, load_kw=(base.load_kw + 0.2 * np.repeat(base.heating_degrees, 24)[:, None]).astype(np.float32)
    )
    per_degree = heating_kw_per_degree(heated.load_kw, heated.heating_degrees)
    np.testing.assert_allclose(per_degree, 0.2, atol=0.05)
    outcomes = simulate_runs(study(numbers(total_pv_capacity_kw=0.0), base=heated, days=364), 0, 60)
    load = outcomes.of("load_kwh")[0]
    drawn = [draw(3, run, 364, HOMES) for run in range(60)]
    degrees = [
        (heated.heating_degrees[one.weather_days] - one.warmer_c * (heated.heating_degrees[one.weather_days] > 0)).sum()
        for one in drawn
    ]
    assert np.corrcoef(load / [one.load_factor for one in drawn], degrees)[0, 1] > 0.7


def test_a_fixed_price_does_not_vary_and_a_scaled_one_does() -> None:
    base = base_year()
    fixed = changed(numbers(), {"import_price_per_kwh": 0.25, "export_price_per_kwh": {"multiply": 0}})
    year = year_of(base, fixed, draw(1, 3, 28, HOMES), np.zeros(HOMES), 1.0)
    assert year.import_price == (0.25, 0.0)
    assert year.export_price == (0.0, 0.0)
    outcomes = simulate_runs(study(fixed), 0, 4)
    np.testing.assert_allclose(outcomes.of("cost")[0], 0.25 * outcomes.of("imported_kwh")[0])


# the base year


def test_the_base_year_is_whole_weeks_of_utc_days_whatever_the_clock_does() -> None:
    for minutes in (15, 60):
        grid = base_grid(NOW, minutes)
        assert grid.end == datetime(2026, 3, 2, tzinfo=UTC)
        assert grid.hours == DAYS * 24
        assert grid.start.weekday() == grid.end.weekday()


def test_what_is_known_stays_and_gaps_are_filled_at_its_level() -> None:
    synthetic = np.array([1.0, 2, 3, 4])
    filled = filled_like(np.array([2.0, np.nan, 6.0, np.nan]), synthetic)
    np.testing.assert_allclose(filled, [2, 4, 6, 8])
    np.testing.assert_array_equal(filled_like(np.full(4, np.nan), synthetic), synthetic)
    np.testing.assert_array_equal(filled_like(np.array([0.0, np.nan]), np.array([0.0, 3.0])), [0, 3])


def test_heating_degrees_are_those_of_the_days_mean() -> None:
    np.testing.assert_allclose(heating_degrees(np.array([0.0, 10, 30, 20]), 2), [10, 0])


def test_a_base_year_with_holes_or_of_other_length_is_refused() -> None:
    base = base_year()
    holes = base.load_kw.copy()
    holes[5, 0] = np.nan
    with pytest.raises(InvalidInput, match="finite"):
        replace(base, load_kw=holes)
    with pytest.raises(InvalidInput, match="364 days"):
        replace(base, grid=TimeGrid(base.grid.start, 24, 60))


GRID = base_grid(NOW, 60)


def known(**given: Any) -> KnownYear:
    """A community of ten of which nothing is known."""
    flat = np.ones(GRID.steps)
    fields: dict[str, Any] = {
        "grid": GRID, "place": Place(48.2, 16.4, "UTC"), "num_prosumers": 10, "pv_capacity_kw": 30.0, "profiles": 1,
        "annual_kwh_per_home": 3_600.0, "load_kw": None, "pv_kw": None, "net_load_kw": None, "temperature_c": None,
        "import_price_per_kwh": 0.3 * flat, "export_price_per_kwh": 0.08 * flat,
        "emission_factor_kg_per_kwh": 0.2 * flat,
    }  # fmt: skip
    return KnownYear(**{**fields, **given})


def column(values: Any) -> np.ndarray:
    return np.broadcast_to(np.asarray(values, dtype=np.float32), GRID.steps)[:, None].copy()


def test_an_unknown_community_uses_what_homes_use() -> None:
    base = made_of(known())
    assert base.load_kw.shape == (GRID.steps, 1)
    assert base.load_kw.mean() * 8_760 == pytest.approx(36_000, rel=1e-4)
    assert 900 < base.pv_share.mean() * 8_760 < 1_250
    many = made_of(known(num_prosumers=5_000))
    assert many.load_kw.mean() * 8_760 == pytest.approx(5_000 * 3_600, rel=1e-4)


def test_synthetic_homes_of_their_own_stand_for_all() -> None:
    base = made_of(known(profiles=8))
    assert base.homes == 8
    assert base.homes_per_profile * base.load_kw.sum(axis=1).mean() * 8_760 == pytest.approx(36_000, rel=1e-4)
    np.testing.assert_allclose(made_of(known(profiles=8)).load_kw, base.load_kw)


def test_half_a_known_year_sets_the_level_of_the_other_half() -> None:
    half = np.where(np.arange(GRID.steps) < GRID.steps // 2, 20.0, np.nan)
    base = made_of(known(load_kw=column(half), pv_kw=column(half / 10)))
    assert (base.load_kw[: GRID.steps // 2] == 20).all()
    assert (base.load_kw[GRID.steps // 2 :] > 0).all()
    assert base.load_kw[GRID.steps // 2 :].mean() == pytest.approx(20, rel=0.2)
    np.testing.assert_allclose(base.pv_share[: GRID.steps // 2], 2 / 30, rtol=1e-6)


def test_net_meters_leave_the_load_to_be_what_the_sun_does_not_explain() -> None:
    base = made_of(known(net_load_kw=np.full(GRID.steps, 5.0)))
    np.testing.assert_allclose(base.load_kw, 5 + 30 * base.pv_share, rtol=1e-5)
    assert not base.is_curtailable


def test_members_keep_their_own_load_and_sun() -> None:
    load = np.hstack([column(1.0), column(2.0)])
    pv = np.hstack([column(np.nan), column(3.0)])
    base = made_of(known(profiles=2, num_prosumers=4, load_kw=load, pv_kw=pv, coefficients=np.array([0.5, 0.5])))
    assert base.homes_per_profile == 2
    np.testing.assert_array_equal(base.load_kw, load)
    assert (base.pv_share[:, 0] == 0).all()
    np.testing.assert_allclose(30 * base.pv_share[:, 1], 2 * 3.0, rtol=1e-6)  # two homes like it


def test_measured_temperatures_count_and_others_follow_their_level() -> None:
    cold = made_of(known(temperature_c=np.where(np.arange(GRID.steps) < 24 * 50, -10.0, np.nan)))
    assert (cold.heating_degrees[:50] == 25).all()
    assert cold.heating_degrees.sum() > made_of(known()).heating_degrees.sum()


# scenarios


def test_changes_are_values_factors_or_additions() -> None:
    present = setting_of(community(num_prosumers=10, total_pv_capacity_kw=50))
    setting = changed(
        present,
        {
            "total_pv_capacity_kw": {"multiply": 1.5},
            "total_storage_capacity_kwh": {"add": 100},
            "num_prosumers": 12,
            "sharing_rule": "dynamic",
        },
    )
    assert (setting.total_pv_capacity_kw, setting.num_prosumers) == (75, 12)
    assert setting.total_storage_capacity_kwh == present.total_storage_capacity_kwh + 100
    assert setting.sharing_rule is SharingRule.DYNAMIC


def test_an_unknown_parameter_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        changed(numbers(), {"pv": 3})
    assert all(name in caught.value.message for name in PARAMETERS)
    assert caught.value.facts["field"] == "parameter_changes.pv"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("total_pv_capacity_kw", -1),
        ("total_pv_capacity_kw", float("nan")),
        ("total_pv_capacity_kw", True),
        ("total_pv_capacity_kw", "10"),
        ("total_pv_capacity_kw", {"multiply": 2, "add": 1}),
        ("total_pv_capacity_kw", {"divide": 2}),
        ("total_pv_capacity_kw", {"multiply": -2}),
        ("total_pv_capacity_kw", [1]),
        ("num_prosumers", 2.5),
        ("num_prosumers", 0),
        ("charge_efficiency", 1.2),
        ("load_kw", 5),
        ("load_kw", {"multiply": -1}),
        ("sharing_rule", "all"),
        ("sharing_rule", {"multiply": 2}),
        ("import_price_per_kwh", 1e6),
    ],
)
def test_a_change_that_is_none_names_its_parameter(name: str, change: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        changed(numbers(), {name: change})
    assert caught.value.facts["field"] == f"parameter_changes.{name}"


def test_a_scenario_keeps_the_communitys_other_numbers() -> None:
    home = community()
    setting = Scenario("more_sun", {"total_pv_capacity_kw": 900}, policy=Policy.IDLE).setting(home)
    assert setting == replace(setting_of(home), total_pv_capacity_kw=900, policy=Policy.IDLE)


def test_fixed_shares_are_needed_by_the_rules_that_use_them() -> None:
    with pytest.raises(InsufficientData, match="sharing_coefficient"):
        study(numbers(sharing_rule=SharingRule.STATIC), base=base_year(coefficients=None))


# figures


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = [one.low <= 5 <= one.high for one in (estimate(generator.normal(5, 2, 40)) for _ in range(600))]
    assert 0.92 < np.mean(covered) < 0.98


def test_the_worst_twentieth_is_counted_exactly() -> None:
    cost = np.arange(1.0, 101)
    risk = risk_of(cost)
    assert risk.var_95 == 96
    assert risk.cvar_95 == pytest.approx(98)  # mean of 96 .. 100
    assert risk_of(np.arange(1.0, 31)).cvar_95 == pytest.approx((30 + 0.5 * 29) / 1.5)
    assert risk_of(np.array([3.0, 4.0])).cvar_95 == 4


def outcomes_of(*costs: list[float]) -> Outcomes:
    totals = np.zeros((len(costs), len(costs[0]), len(TOTALS)))
    totals[:, :, TOTALS.index("cost")] = costs
    return Outcomes(totals, np.zeros((len(costs), len(costs[0]), 1)))


def test_scenarios_are_ranked_by_mean_cost_with_what_is_certain() -> None:
    outcomes = outcomes_of([10.0, 12, 11, 13], [9.0, 11, 10, 12], [9.5, 10.5, 10.4, 11.6])
    ranks = ranking(outcomes, [0, 1, 2])
    assert [one.scenario for one in ranks] == [1, 2, 0] or [one.scenario for one in ranks] == [2, 1, 0]
    assert ranks[-1].confidence is None
    assert ranks[-1].share_best == 0
    assert sum(one.share_best for one in ranks) == 1
    difference = cost_difference(outcomes, 1, 0)
    assert (difference.estimate.mean, difference.share_cheaper) == (-1, 1)
    assert all(one.mean_cost <= other.mean_cost for one, other in pairwise(ranks))


def test_winners_and_losers_are_counted_and_grouped_by_at_least_five() -> None:
    before, after = np.full(20, 100.0), np.concatenate([np.full(5, 120.0), np.full(5, 100.0), np.full(10, 70.0)])
    effects = member_effects(before, after)
    assert effects is not None
    assert (effects.better_off, effects.worse_off, effects.unchanged) == (10, 5, 5)
    assert [group.homes for group in effects.groups] == [5, 5, 5, 5]
    assert [group.mean_saved for group in effects.groups] == [-20, 0, 30, 30]
    assert member_effects(before[:9], after[:9]) is None
    deciles = member_effects(np.arange(80.0), np.zeros(80))
    assert deciles is not None
    assert len(deciles.groups) == 10


# money


@given(
    amount=st.floats(0, 1e6),
    years=st.integers(1, 40),
    rate=st.floats(0, 0.3),
    running=st.floats(0, 1e4),
    saving=st.floats(-1e4, 1e5),
)
def test_the_net_present_value_is_the_sum_of_discounted_flows(
    amount: float, years: int, rate: float, running: float, saving: float
) -> None:
    investment = Investment(amount, years, rate, running)
    flows = investment.cash_flows(saving)
    assert flows.size == years + 1
    by_hand = sum(flow / (1 + rate) ** year for year, flow in enumerate(flows))
    assert investment.net_present_value(saving) == pytest.approx(by_hand, rel=1e-9, abs=1e-4)


def test_a_textbook_investment() -> None:
    investment = Investment(1_000.0, 10, 0.05)
    assert investment.net_present_value(150.0) == pytest.approx(158.2602, abs=1e-4)  # 150 x 7.721735 - 1000
    assert investment.payback_years(150.0) == pytest.approx(1_000 / 150)
    # ln(1 / (1 - 1000 x 0.05 / 150)) / ln(1.05) = 8.31 falls into the ninth year, whose flow is spread evenly
    assert investment.discounted_payback_years(150.0) == pytest.approx(8.31, abs=0.02)
    assert investment.payback_years(99.0) is None
    assert Investment(0.0, 5, 0.1).payback_years(1.0) == 0
    assert discounted(np.array([1.0, 1.05]), 0.05) == pytest.approx([1, 1])


@pytest.mark.parametrize("fields", [(-1, 10, 0.1), (1, 0, 0.1), (1, 10, -0.1), (1, 10, 2), (float("nan"), 1, 0)])
def test_an_investment_without_sense_is_refused(fields: tuple[float, int, float]) -> None:
    with pytest.raises(InvalidInput, match="economics"):
        Investment(*fields)
