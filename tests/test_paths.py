"""Sample paths: each interval is as its forecast says, and the intervals hang together as past errors did."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks import paths as real
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from tests.builders import MONDAY

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.dependence import (
    FADING_HOURS,
    TYPICAL,
    Dependence,
    learn_dependence,
    normal_scores,
)
from digital_twin.forecasting.forecast import Forecast
from digital_twin.forecasting.net_load import combine_net_load
from digital_twin.forecasting.paths import sample_paths, values_at

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
FINE = tuple(np.arange(1, 200) / 200)


def normal_forecast(
    variable: str,
    mean: float,
    deviation: float,
    *,
    steps: int = 24,
    levels: tuple[float, ...] = FINE,
    minutes: int = 60,
) -> Forecast:
    quantiles = np.tile(mean + deviation * ndtri(levels), (steps, 1))
    return Forecast(variable, TimeGrid(MONDAY, steps, minutes), MONDAY, np.full(steps, mean), levels, quantiles, "x")


def related(load: tuple[float, ...], generation: tuple[float, ...], shared: tuple[float, ...]) -> Dependence:
    covariances = np.zeros((len(FADING_HOURS), 2, 2))
    covariances[:, 0, 0], covariances[:, 1, 1] = load, generation
    covariances[:, 0, 1] = covariances[:, 1, 0] = shared
    return Dependence(covariances)


STRONG = related((0.1, 0.3, 0.3, 0.3), (0.2, 0.2, 0.3, 0.3), (0.0, -0.2, -0.2, -0.2))


def simulated_scores(
    dependence: Dependence, days: int, steps: int, step_hours: float, seed: int
) -> tuple[Array, Array]:
    """Drawn from the whole covariance matrix by Cholesky, which shares nothing with the recursion of the paths."""
    times = np.arange(steps) * step_hours
    blocks = np.zeros((2, steps, 2, steps))
    for first, one in enumerate(times):
        for second, other in enumerate(times):
            for hours, covariance in zip(FADING_HOURS, dependence.covariances, strict=True):
                left = float(one == other) if hours == 0 else np.exp(-abs(one - other) / hours)
                blocks[:, first, :, second] += left * covariance
    root = np.linalg.cholesky(blocks.reshape(2 * steps, -1) + 1e-9 * np.eye(2 * steps))
    drawn = np.random.default_rng(seed).standard_normal((days, 2 * steps)) @ root.T
    load, generation = drawn.reshape(days, 2, steps).transpose(1, 0, 2)
    return load, generation


# Paths


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), steps=st.integers(1, 30))
def test_every_interval_of_the_paths_is_distributed_as_its_forecast(seed: int, count: int, steps: int) -> None:
    chance = np.random.default_rng(seed)
    grid = TimeGrid(MONDAY, steps, 15)
    load, pv = (
        Forecast(name, grid, MONDAY, np.zeros(steps), LEVELS, np.sort(chance.gamma(2, 5, (steps, len(LEVELS)))), "x")
        for name in ("load_kw", "pv_kw")
    )
    paths = sample_paths(load, pv, count=count, dependence=STRONG, seed=seed)
    for forecast, drawn in ((load, paths.load_kw), (pv, paths.pv_kw)):
        assert drawn.shape == (count, steps)
        for step in range(steps):
            points = (np.arange(count) + 0.5) / count
            inner = (points >= LEVELS[0]) & (points <= LEVELS[-1])
            expected = np.interp(points, LEVELS, forecast.quantiles[step])
            np.testing.assert_allclose(np.sort(drawn[:, step])[inner], expected[inner], rtol=1e-12)
    assert (paths.load_kw >= 0).all()
    np.testing.assert_array_equal(paths.net_load_kw, paths.load_kw - paths.pv_kw)


def test_paths_are_correlated_over_time_and_between_variables_as_told() -> None:
    load, pv = normal_forecast("load_kw", 100, 5, steps=32), normal_forecast("pv_kw", 100, 5, steps=32)
    count = 8_000
    paths = sample_paths(load, pv, count=count, dependence=STRONG, seed=3)
    found = np.corrcoef(np.concatenate([paths.load_kw, paths.pv_kw], axis=1).T)
    # correlations of that many draws have a standard error of at most 1 / sqrt(count)
    tolerance = 5 / np.sqrt(count)
    for first, second in ((0, 0), (0, 1), (0, 6), (5, 29)):
        apart = abs(first - second)
        left = [float(apart == 0), *(np.exp(-apart / hours) for hours in FADING_HOURS[1:])]
        expected = np.tensordot(left, STRONG.covariances, axes=1)
        assert found[first, second] == pytest.approx(expected[0, 0], abs=tolerance)
        assert found[first, 32 + second] == pytest.approx(expected[0, 1], abs=tolerance)
        assert found[32 + first, 32 + second] == pytest.approx(expected[1, 1], abs=tolerance)


def test_the_energy_of_a_day_is_as_uncertain_as_correlated_errors_make_it() -> None:
    """The variance of a sum, written out; independent errors would make it 2.9 times too small here."""
    load, pv = normal_forecast("load_kw", 100, 5), normal_forecast("pv_kw", 100, 5)
    apart = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
    between = STRONG.between(apart)
    variance = 25 * (between[..., 0, 0] + between[..., 1, 1] - 2 * between[..., 0, 1]).sum()
    energy = sample_paths(load, pv, count=8_000, dependence=STRONG, seed=1).net_load_kw.sum(axis=1)
    assert energy.std() == pytest.approx(np.sqrt(variance), rel=0.04)
    assert variance > 2.9**2 * 24 * 50


def test_the_same_seed_gives_the_same_paths() -> None:
    load, pv = normal_forecast("load_kw", 9, 2), normal_forecast("pv_kw", 5, 2)
    one, same, other = (sample_paths(load, pv, count=20, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.load_kw, same.load_kw)
    np.testing.assert_array_equal(one.pv_kw, same.pv_kw)
    assert not np.array_equal(one.load_kw, other.load_kw)


def test_the_night_stays_dark_on_every_path() -> None:
    load, pv = normal_forecast("load_kw", 9, 2), normal_forecast("pv_kw", 5, 2)
    dark = replace(pv, quantiles=np.where(np.arange(24)[:, None] < 6, 0.0, pv.quantiles))
    paths = sample_paths(load, dark, count=50)
    assert not paths.pv_kw[:, :6].any()
    assert paths.pv_kw[:, 6:].std() > 1


def test_forecasts_on_different_grids_have_no_paths_in_common() -> None:
    with pytest.raises(InvalidInput, match="same grid"):
        sample_paths(normal_forecast("load_kw", 9, 2), normal_forecast("pv_kw", 5, 2, steps=23), count=5)
    with pytest.raises(InvalidInput, match="at least 1"):
        sample_paths(normal_forecast("load_kw", 9, 2), normal_forecast("pv_kw", 5, 2), count=0)


# Net load


@pytest.mark.parametrize("shared", [-0.6, 0.0, 0.5, 0.9])
def test_net_load_of_normal_errors_has_the_variance_of_their_difference(shared: float) -> None:
    dependence = related((1, 0, 0, 0), (1, 0, 0, 0), (shared, 0, 0, 0))
    load, pv = normal_forecast("load_kw", 100, 4), normal_forecast("pv_kw", 60, 3)
    net = combine_net_load(load, pv, dependence=dependence)
    deviation = np.sqrt(16 + 9 - 2 * shared * 12)
    inner = slice(9, 190)  # from 5 to 95 %: the outermost points of the distributions are cut
    expected = 40 + deviation * ndtri(np.array(FINE[inner]))
    np.testing.assert_allclose(net.quantiles[0, inner], expected, atol=0.05 * deviation)
    np.testing.assert_allclose(net.mean, 40)


def test_quantiles_of_net_load_are_those_of_its_paths() -> None:
    chance = np.random.default_rng(8)
    grid = TimeGrid(MONDAY, 3, 60)
    load, pv = (
        Forecast(name, grid, MONDAY, np.zeros(3), LEVELS, np.sort(chance.gamma(2, 5, (3, len(LEVELS)))), "x")
        for name in ("load_kw", "pv_kw")
    )
    net = combine_net_load(load, pv, dependence=STRONG)
    count = 20_000
    drawn = sample_paths(load, pv, count=count, dependence=STRONG).net_load_kw
    inner = [place for place, level in enumerate(LEVELS) if 0.05 <= level <= 0.95]
    for place in inner:
        below = (drawn <= net.quantiles[:, place]).mean(axis=0)
        # of the draws, and of laying distributions out on 41 points
        np.testing.assert_allclose(below, LEVELS[place], atol=0.015)


# What is learned


def test_the_dependence_of_a_simulated_world_is_found_again() -> None:
    load, generation = simulated_scores(STRONG, 600, 24, 1.0, seed=2)
    found = learn_dependence(load, generation, 1.0)
    apart = np.array([0.0, 1.0, 3.0, 8.0, 16.0])
    # 600 days, of which slow components make single draws: 1 / sqrt(600), and the prior's 14 days
    np.testing.assert_allclose(found.between(apart), STRONG.between(apart), atol=0.1)
    assert found.correlation == pytest.approx(-0.6, abs=0.06)


def test_quarter_hours_and_hours_of_the_same_world_teach_the_same() -> None:
    fine = simulated_scores(STRONG, 200, 48, 0.5, seed=5)
    found = learn_dependence(*fine, 0.5)
    coarse = learn_dependence(fine[0][:, ::2], fine[1][:, ::2], 1.0)
    apart = np.array([1.0, 4.0, 12.0])
    np.testing.assert_allclose(found.between(apart), coarse.between(apart), atol=0.08)


def test_without_past_errors_the_typical_dependence_holds_and_few_move_it_little() -> None:
    nothing = np.full((5, 24), np.nan)
    assert learn_dependence(nothing, nothing, 1.0) is TYPICAL
    load, generation = simulated_scores(STRONG, 100, 24, 1.0, seed=6)
    few, many = (learn_dependence(load[:days], generation[:days], 1.0).correlation for days in (3, 100))
    assert 0 > few > many > -0.65
    assert abs(few) < 0.25


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), days=st.integers(3, 12), missing=st.floats(0, 0.7))
def test_whatever_is_learned_is_a_valid_correlation(seed: int, days: int, missing: float) -> None:
    chance = np.random.default_rng(seed)
    load = np.cumsum(chance.normal(size=(days, 24)), axis=1)
    generation = chance.choice([-1.0, 1.0]) * load + chance.normal(size=load.shape)
    load[chance.random(load.shape) < missing] = np.nan
    found = learn_dependence(load, generation, 1.0)
    assert np.linalg.eigvalsh(found.covariances).min() > -1e-9
    np.testing.assert_allclose(np.diagonal(found.covariances.sum(axis=0)), 1, atol=1e-9)


def test_a_value_on_a_quantile_has_the_normal_score_of_its_level() -> None:
    quantiles = np.sort(np.random.default_rng(1).gamma(2, 5, (len(LEVELS), len(LEVELS))))
    scores = normal_scores(np.diagonal(quantiles), quantiles, LEVELS)
    np.testing.assert_allclose(scores, ndtri(LEVELS), atol=1e-9)
    beyond = normal_scores(np.array([-1e9, 1e9, np.nan]), quantiles[:3], LEVELS)
    np.testing.assert_allclose(beyond[:2], [ndtri(0.0025), -ndtri(0.0025)])
    assert np.isnan(beyond[2])
    certain = np.concatenate([quantiles[:1], np.zeros((1, len(LEVELS)))])
    assert np.isnan(normal_scores(np.array([4.0, 0.0]), certain, LEVELS)).tolist() == [False, True]


def test_scores_of_values_drawn_from_their_forecast_are_standard_normal() -> None:
    forecast = normal_forecast("load_kw", 10, 2, levels=LEVELS)
    points = (np.arange(2_000) + 0.5) / 2_000
    values = values_at(forecast, points)
    scores = normal_scores(values.T, np.tile(forecast.quantiles, (2_000, 1, 1)), LEVELS)
    assert scores.mean() == pytest.approx(0, abs=1e-3)
    assert scores.std() == pytest.approx(1, abs=0.02)


# Real homes


@pytest.mark.skipif(not (real.DATA / "citylearn2022").is_dir(), reason="no ../shared/data/citylearn2022")
def test_paths_of_real_homes_are_nearer_to_what_came_than_paths_of_independent_errors() -> None:
    home = next(one for one in real.homes() if one.name.startswith("CityLearn"))
    days = real.issue(home, "development")
    learned = real.learned_from(days[:28])
    scores = {
        name: np.mean([real.judge(day, dependence, place) for place, day in enumerate(days[28:])], axis=0)
        for name, dependence in (("learned", learned), ("independent", real.INDEPENDENT))
    }
    pinball, energy, variogram, day_energy = scores["learned"][:4] / scores["independent"][:4]
    assert pinball < 1
    assert energy < 0.99
    assert variogram < 0.95
    assert day_energy < 0.99
    assert scores["learned"][5] > scores["independent"][5] + 0.2  # how often the day's energy is inside 90 %
