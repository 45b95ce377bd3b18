"""Scores: losses are those of the definition, and an interval over days is as wide as days disagree."""

import numpy as np
import pytest

from digital_twin.forecasting.scores import coverage_of_days, pinball_loss, pinball_losses, ratio_of_days


def test_losses_of_cells_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(1)
    actual, quantiles, levels = generator.normal(0, 1, (4, 5)), generator.normal(0, 1, (4, 5, 3)), (0.1, 0.5, 0.9)
    actual[2, 3] = np.nan
    found = pinball_losses(actual, quantiles, levels)
    for day, slot in np.ndindex(4, 5):
        for place, level in enumerate(levels):
            above = actual[day, slot] - quantiles[day, slot, place]
            expected = level * above if above >= 0 else (1 - level) * -above
            np.testing.assert_allclose(found[day, slot, place], expected)
    assert pinball_loss(actual, quantiles, levels) == pytest.approx(np.nanmean(found))


def test_an_interval_over_days_that_agree_is_narrow_and_one_over_days_that_do_not_is_wide() -> None:
    ours, theirs = np.full(40, 0.8), np.full(40, 1.0)
    alike = ratio_of_days(ours, theirs, np.random.default_rng(0))
    assert (alike.low, alike.value, alike.high) == pytest.approx((0.8, 0.8, 0.8))
    spread = np.random.default_rng(2).normal(0.8, 0.2, 40)
    found = ratio_of_days(spread, theirs, np.random.default_rng(0))
    error = spread.std() / np.sqrt(40)
    assert found.low == pytest.approx(spread.mean() - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(spread.mean() + 1.96 * error, abs=0.3 * error)


def test_days_that_are_harder_for_both_do_not_blur_their_ratio() -> None:
    hard = np.random.default_rng(3).lognormal(0, 1, 60)
    found = ratio_of_days(0.9 * hard, hard, np.random.default_rng(0))
    assert found.high - found.low < 1e-9


def test_coverage_over_days_counts_values_and_is_as_unsure_as_days_are_few() -> None:
    actual = np.zeros((10, 24))
    actual[:3] = 5
    actual[4, 12:] = np.nan
    found = coverage_of_days(actual, -np.ones((10, 24)), np.ones((10, 24)), np.random.default_rng(0))
    assert found.value == pytest.approx((6 * 24 + 12) / (9 * 24 + 12))
    assert found.high - found.low > 0.4
