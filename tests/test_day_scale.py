"""How the last days scale the next one: by plain arithmetic, with nothing of a day known before it has ended."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digital_twin.domain.units import Array
from digital_twin.forecasting import day_scale as module
from digital_twin.forecasting.day_scale import day_scale

SLOTS = 24


def errors_of(days: int, *, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.4, (days, SLOTS))


def test_bias_and_stretch_are_those_of_a_plain_loop() -> None:
    errors = errors_of(12, seed=1)
    errors[5:] += 0.5
    errors[3] = np.nan
    errors[7, :10] = np.nan
    found = day_scale(errors, 0.6)

    def mean_before(day: int, of_days: dict[int, float], half_life: float, usual: float) -> float:
        weight = {before: 0.5 ** ((day - 1 - before) / half_life) for before in of_days if before < day}
        total = sum(weight[before] * of_days[before] for before in weight)
        return (total + module.USUAL_DAYS * usual) / (sum(weight.values()) + module.USUAL_DAYS)

    known = [day for day in range(12) if day != 3]
    middles = {day: float(np.nanmedian(errors[day])) for day in known}
    bias: list[float] = []
    for day in range(13):
        lately = mean_before(day, middles, module.BIAS_HALF_LIFE_DAYS, 0.0)
        bias.append(0.6 * math.copysign(max(abs(lately) - module.USUAL_BIAS, 0.0), lately))
    sizes = {day: float(np.nanmean(np.abs(errors[day] - bias[day]))) for day in known}
    usual = sum(sizes.values()) / len(sizes)
    for day in range(13):
        ratio = mean_before(day, sizes, module.STRETCH_HALF_LIFE_DAYS, usual) / usual
        factor = ratio**module.STRETCH_POWER
        assert found.bias[day] == pytest.approx(bias[day])
        assert found.stretch[day] == pytest.approx(factor if factor >= 1 else 1 - 0.6 * (1 - factor))


@given(day=st.integers(0, 14), seed=st.integers(0, 99))
def test_of_a_day_nothing_moves_its_own_bias_or_those_before(day: int, seed: int) -> None:
    errors = errors_of(15, seed=seed)
    changed = errors.copy()
    changed[day:] += 2.0
    one, other = day_scale(errors, 1.0), day_scale(changed, 1.0)
    np.testing.assert_array_equal(one.bias[: day + 1], other.bias[: day + 1])


@given(factor=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_stretch_tells_of_days_beside_each_other_not_of_how_large_all_errors_are(factor: float, seed: int) -> None:
    errors = 0.05 * errors_of(20, seed=seed)  # too small for a bias, whatever the factor
    small = day_scale(errors, 1.0).stretch
    np.testing.assert_allclose(day_scale(min(factor, 1.0) * errors, 1.0).stretch, small, rtol=1e-9)


def test_a_bias_within_the_usual_is_left_alone_and_a_large_one_is_not() -> None:
    assert not day_scale(np.full((30, SLOTS), 0.9 * module.USUAL_BIAS), 1.0).bias.any()
    bias = day_scale(np.full((60, SLOTS), -1.0), 1.0).bias[-1]
    assert -1 + module.USUAL_BIAS < bias < -0.6


def test_days_without_errors_or_readings_are_as_usual() -> None:
    for errors in (np.zeros((5, SLOTS)), np.full((5, SLOTS), np.nan), np.empty((0, SLOTS))):
        found = day_scale(errors, 1.0)
        np.testing.assert_array_equal(found.bias, 0)
        np.testing.assert_array_equal(found.stretch, 1)
        assert found.stretch.size == errors.shape[0] + 1
