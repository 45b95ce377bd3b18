"""The years that are drawn, and the base year that they are drawn from."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.studies import HOMES, NOW, base_year, numbers, study

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.simulation.base_year import DAYS, base_grid, filled_like, heating_degrees, heating_kw_per_degree
from digital_twin.simulation.known_year import KnownYear
from digital_twin.simulation.known_year import base_year as made_of
from digital_twin.simulation.monte_carlo import Study, simulate_runs, year_of
from digital_twin.simulation.outcomes import Outcomes
from digital_twin.simulation.place import Place
from digital_twin.simulation.sampling import draw
from digital_twin.simulation.scenario import changed


def reseeded(problem: Study, seed: int) -> Study:
    return replace(problem, terms=replace(problem.terms, seed=seed))


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
