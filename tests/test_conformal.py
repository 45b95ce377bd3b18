"""Conformal intervals: what they promise holds on any stream, a change is followed, and few days narrow nothing."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digital_twin.domain.units import Array
from digital_twin.forecasting import conformal
from digital_twin.forecasting.conformal import Calibration, adaptive_shifts, calibrate
from digital_twin.forecasting.day_scale import day_scale

LEVELS = (0.025, 0.05, 0.1, 0.5, 0.9, 0.95, 0.975)
SLOTS = 24


def stream(days: int, *, seed: int = 0, scale: float = 1.0, skew: float = 0.0) -> Array:
    """Errors that a day's slots share in part, skewed or not."""
    generator = np.random.default_rng(seed)
    normal = 0.6 * generator.normal(0, 1, (days, 1)) + 0.8 * generator.normal(0, 1, (days, SLOTS))
    return scale * (normal + skew * (np.exp(normal) - 1.65))


def claims(days: int, width: float = 1.0, middle: float = 0.0) -> Array:
    """A normal distribution of this width for every cell."""
    normal = NormalDist()
    return np.tile(middle + width * np.array([normal.inv_cdf(level) for level in LEVELS]), (days, SLOTS, 1))


def held(actual: Array, predicted: Array, first: int) -> Array:
    """How often each interval held on every other day from `first` on, calibrated on the 56 days before it."""
    slots = np.arange(SLOTS)
    days = range(first, actual.shape[0], 2)
    inside = np.zeros(3)
    for day in days:
        learned = calibrate(actual[max(0, day - 56) : day], predicted[max(0, day - 56) : day], LEVELS)
        made = learned.apply(predicted[day], slots, LEVELS)
        for place in range(3):
            inside[place] += np.mean((actual[day] >= made[:, place]) & (actual[day] <= made[:, -1 - place]))
    return inside / len(days)


@settings(max_examples=6)
@given(
    seed=st.integers(0, 99),
    width=st.floats(0.3, 1.2),
    middle=st.floats(-1.5, 1.5),
    skew=st.floats(0, 0.5),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_intervals_hold_as_often_as_promised_whatever_was_claimed(
    seed: int, width: float, middle: float, skew: float, scale: float
) -> None:
    actual = stream(220, seed=seed, scale=scale, skew=skew)
    inside = held(actual, claims(220, scale * width, scale * middle), 60)
    # of 80 days whose slots share a third of their variance: three standard deviations are 4, 5 and 7 points
    np.testing.assert_array_less(np.abs(inside - (0.95, 0.9, 0.8)), (0.04, 0.05, 0.07))


def test_an_interval_that_is_far_too_wide_is_narrowed_but_with_caution() -> None:
    inside = held(stream(120), claims(120, 3.0), 60)
    assert 0.9 <= inside[1] < 0.985 < NormalDist().cdf(3 * 1.645)


def test_an_interval_that_was_right_is_left_about_as_it_is() -> None:
    learned = calibrate(stream(56), claims(56), LEVELS)
    assert np.abs(learned.shifts).max() < 0.25


def test_a_change_of_regime_is_followed_within_days() -> None:
    actual = np.concatenate([stream(60, seed=1), stream(80, seed=2, scale=2.5)])
    predicted = claims(140)
    on_the_first_day = held(actual[:61], predicted[:61], 60)
    a_week_later = held(actual[:81], predicted[:81], 67)
    much_later = held(actual, predicted, 90)
    assert on_the_first_day[1] < 0.8
    assert a_week_later[1] > 0.86
    assert much_later[1] == pytest.approx(0.9, abs=0.03)


def test_a_calm_spell_narrows_and_a_rough_one_widens_by_the_day_after_the_next() -> None:
    calm, rough = stream(60, seed=7), stream(60, seed=7)
    calm[-2:] *= 0.3
    rough[-2:] *= 3.0
    usual, calmer, rougher = (calibrate(one, claims(60), LEVELS).stretch for one in (stream(60, seed=7), calm, rough))
    assert calmer < 0.9 * usual
    assert rougher > 1.3 * usual


def gappy_days() -> tuple[Array, Array]:
    """Twenty days of six slots; one is not known at all, of some others a slot."""
    generator = np.random.default_rng(3)
    actual = generator.normal(0, 2, (20, 6))
    actual[4, 2:5] = np.nan
    actual[9] = np.nan
    predicted = np.sort(generator.normal(0, 1, (20, 6, len(LEVELS))), axis=2)
    predicted[13, 1] = np.nan
    return actual, predicted


def shifts_by_plain_loop(actual: Array, predicted: Array, width: Array, *, is_level_kept: bool) -> Array:
    """What `_follow` gives, one number after the other."""
    normal = NormalDist()
    spread = normal.inv_cdf(0.9) - normal.inv_cdf(0.1)
    density = [normal.pdf(normal.inv_cdf(level)) for level in LEVELS]
    middle = [(actual[d, s] - predicted[d, s, 3]) / width[d, s] for d, s in np.ndindex(20, 6)]
    known = [one for one in middle if np.isfinite(one)]
    step = conformal.LEARNING_RATE / spread * max(1.0, float(np.quantile(known, 0.9) - np.quantile(known, 0.1)))
    shifts = np.zeros((3, len(LEVELS)))
    for d in range(20):
        lacking = np.zeros((3, len(LEVELS)))
        for level_at, level in enumerate(LEVELS):
            of_part: dict[int, list[float]] = {0: [], 1: [], 2: []}
            for s in range(6):
                if np.isfinite(middle[6 * d + s]):
                    at = predicted[d, s, level_at] + shifts[s // 2, level_at] * width[d, s]
                    of_part[s // 2].append(level - float(actual[d, s] <= at + 1e-12))
            everything = [one for part in of_part.values() for one in part]
            for part, own in of_part.items():
                if everything:
                    lacking[part, level_at] += conformal.SHARED * float(np.mean(everything))
                if own:
                    lacking[part, level_at] += (1 - conformal.SHARED) * float(np.mean(own))
        for part in range(3):
            alike = sum(f * one for f, one in zip(density, lacking[part], strict=True)) / sum(f * f for f in density)
            for level_at, f in enumerate(density):
                shifts[part, level_at] += step * (lacking[part, level_at] / f - (alike if is_level_kept else 0.0))
    return shifts


def cautious_by_plain_loop(shifts: Array, days: int) -> Array:
    trust = days / (days + conformal.TRUSTED_DAYS)
    expected = np.empty_like(shifts)
    for part, level_at in np.ndindex(shifts.shape):
        of_all = shifts[part, 3]
        own = shifts[part, level_at] - of_all
        narrows = (own > 0 and level_at < 3) or (own < 0 and level_at > 3)
        expected[part, level_at] = trust * of_all + (trust * own if narrows else own)
    return expected


def widths_by_plain_loop(predicted: Array) -> Array:
    usual = [np.nanmean([predicted[d, s, 4] - predicted[d, s, 2] for d in range(20)]) for s in range(6)]
    least = conformal.LEAST_WIDTH * np.array(usual)
    return np.array([[max(predicted[d, s, 4] - predicted[d, s, 2], least[s]) for s in range(6)] for d in range(20)])


def test_shifts_of_a_rule_are_those_of_a_plain_loop_over_days_slots_and_levels() -> None:
    actual, predicted = gappy_days()
    width = widths_by_plain_loop(predicted)
    shifts = shifts_by_plain_loop(actual, predicted, width, is_level_kept=False)
    usual = [np.nanmean(predicted[:, s, 4] - predicted[:, s, 2]) for s in range(6)]
    expected = np.array([cautious_by_plain_loop(shifts, 19)[s // 2] * usual[s] for s in range(6)])
    np.testing.assert_allclose(adaptive_shifts(actual, predicted, LEVELS), expected, atol=1e-9)


def test_a_calibration_is_a_plain_loop_over_what_recent_days_stretch() -> None:
    actual, predicted = gappy_days()
    width = widths_by_plain_loop(predicted)
    bias, stretch = day_scale((actual - predicted[:, :, 3]) / width, 19 / (19 + conformal.TRUSTED_DAYS))
    moved = np.empty_like(predicted)
    for d, s, q in np.ndindex(predicted.shape):
        middle = predicted[d, s, 3]
        moved[d, s, q] = middle + bias[d] * width[d, s] + stretch[d] * (predicted[d, s, q] - middle)
    stretched = stretch[:-1, None] * width
    shifts = cautious_by_plain_loop(shifts_by_plain_loop(actual, moved, stretched, is_level_kept=True), 19)
    found = calibrate(actual, predicted, LEVELS)
    np.testing.assert_allclose(found.shifts, shifts, atol=1e-9)
    made = found.apply(predicted[0], np.arange(6), LEVELS)
    for s in range(6):
        middle = predicted[0, s, 3]
        by_hand = [
            middle
            + bias[-1] * width[0, s]
            + stretch[-1] * (predicted[0, s, q] - middle + shifts[s // 2, q] * width[0, s])
            for q in range(len(LEVELS))
        ]
        np.testing.assert_allclose(made[s], np.sort(by_hand), atol=1e-9)


@given(seed=st.integers(0, 999), days=st.integers(1, conformal.FEWEST_DAYS - 1), width=st.floats(0.1, 10))
def test_few_days_never_narrow_an_interval(seed: int, days: int, width: float) -> None:
    learned = calibrate(stream(days, seed=seed), claims(days, width), LEVELS)
    assert (learned.shifts[:, :3] <= 0).all()
    assert (learned.shifts[:, 3] == 0).all()
    assert (learned.shifts[:, 4:] >= 0).all()
    assert learned.bias == 0
    assert learned.stretch >= 1


def test_no_day_teaches_nothing() -> None:
    learned = calibrate(np.full((5, SLOTS), np.nan), claims(5), LEVELS)
    np.testing.assert_array_equal(learned.shifts, 0)
    assert (learned.bias, learned.stretch) == (0, 1)
    np.testing.assert_array_equal(learned.apply(claims(1)[0], np.arange(SLOTS), LEVELS), claims(1)[0])


def test_the_day_is_what_counts_however_many_slots_it_has() -> None:
    actual, predicted = stream(40, seed=5), claims(40)
    finer = calibrate(np.repeat(actual, 4, axis=1), np.repeat(predicted, 4, axis=1), LEVELS)
    np.testing.assert_allclose(finer.shifts, calibrate(actual, predicted, LEVELS).shifts)


@given(seed=st.integers(0, 999))
def test_shifted_quantiles_never_cross(seed: int) -> None:
    generator = np.random.default_rng(seed)
    predicted = np.sort(generator.normal(0, 1, (30, SLOTS, len(LEVELS))), axis=2)
    learned = calibrate(stream(30, seed=seed, scale=3), predicted, LEVELS)
    made = learned.apply(predicted[0], np.arange(SLOTS), LEVELS)
    assert (np.diff(made, axis=1) >= 0).all()


def test_what_is_claimed_to_be_certain_and_is_stays_so() -> None:
    constant = np.full((40, SLOTS), 7.0)
    learned = calibrate(constant, np.full((40, SLOTS, len(LEVELS)), 7.0), LEVELS)
    made = learned.apply(np.full((SLOTS, len(LEVELS)), 7.0), np.arange(SLOTS), LEVELS)
    np.testing.assert_allclose(made, 7.0, atol=1e-6)


def test_a_calibration_survives_as_arrays() -> None:
    learned = calibrate(stream(40, scale=2, seed=6), claims(40, middle=0.8), LEVELS)
    assert learned.bias < 0
    assert learned.stretch != 1
    arrays = learned.to_arrays()
    assert all(array.dtype.kind == "f" for array in arrays.values())
    again = Calibration.from_arrays(arrays)
    slots = np.arange(SLOTS)
    np.testing.assert_array_equal(again.apply(claims(1)[0], slots, LEVELS), learned.apply(claims(1)[0], slots, LEVELS))
