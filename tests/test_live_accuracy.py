"""The accuracy of forecasts in service: each figure by its definition, and days that add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digital_twin.domain.units import Array
from digital_twin.forecasting.live_accuracy import DaySums, accuracy_of, judge_day

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def a_day(seed: int, steps: int = 24, known: int | None = None) -> tuple[Array, Array, Array, Array]:
    """What happened, mean, quantiles and the naive's."""
    generator = np.random.default_rng(seed)
    actual = generator.gamma(4, 3, steps)
    actual[steps if known is None else known :] = np.nan
    quantiles = np.sort(generator.gamma(4, 3, (steps, 7)), axis=1)
    return actual, quantiles.mean(axis=1), quantiles, np.sort(generator.gamma(4, 4, (steps, 7)), axis=1)


def judged(seed: int, *, known: int | None = None, has_naive: bool = True) -> DaySums | None:
    actual, mean, quantiles, naive = a_day(seed, known=known)
    return judge_day(actual, mean, quantiles, LEVELS, naive=naive if has_naive else None, has_nights=False)


def plain_loss(actual: Array, quantiles: Array) -> float:
    """One quantile after the other, as Koenker and Bassett have it."""
    total = 0.0
    for value, row in zip(actual, quantiles, strict=True):
        for level, quantile in zip(LEVELS, row, strict=True):
            total += level * (value - quantile) if value >= quantile else (1 - level) * (quantile - value)
    return total / (actual.size * len(LEVELS))


def test_a_days_figures_are_those_of_their_definitions() -> None:
    actual, mean, quantiles, naive = a_day(1)
    sums = judged(1)
    assert sums is not None
    found = accuracy_of([sums])
    assert found.days == 1
    assert found.pinball_loss_kw == pytest.approx(plain_loss(actual, quantiles))
    assert found.naive_pinball_loss_kw == pytest.approx(plain_loss(actual, naive))
    assert found.skill == pytest.approx(1 - plain_loss(actual, quantiles) / plain_loss(actual, naive))
    assert found.nmae == pytest.approx(np.abs(actual - mean).mean() / actual.mean())
    for level, (low, high) in {0.5: (2, 4), 0.8: (1, 5), 0.9: (0, 6)}.items():
        inside = [row[low] <= value <= row[high] for value, row in zip(actual, quantiles, strict=True)]
        assert found.coverage[level] == pytest.approx(np.mean(inside))


def test_days_add_up_to_what_their_intervals_are_together() -> None:
    days = [a_day(seed) for seed in range(5)]
    sums = [one for seed in range(5) if (one := judged(seed)) is not None]
    actual, mean, quantiles, naive = (np.concatenate(parts) for parts in zip(*days, strict=True))
    whole = judge_day(actual, mean, quantiles, LEVELS, naive=naive, has_nights=False)
    assert whole is not None
    found, expected = accuracy_of(sums), accuracy_of([whole])
    assert found.days == 5
    for name in ("pinball_loss_kw", "naive_pinball_loss_kw", "skill", "nmae"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))
    assert found.coverage == pytest.approx(expected.coverage)


def test_a_day_counts_when_nine_tenths_of_it_are_known() -> None:
    assert judged(1, known=21) is None
    sums = judged(1, known=22)
    assert sums is not None
    assert sums.intervals == 22
    actual, _, quantiles, _ = a_day(1)
    assert accuracy_of([sums]).pinball_loss_kw == pytest.approx(plain_loss(actual[:22], quantiles[:22]))


def test_the_skill_is_that_of_days_with_a_yardstick() -> None:
    both, alone = judged(1), judged(2, has_naive=False)
    assert both is not None
    assert alone is not None
    assert accuracy_of([both, alone]).skill == accuracy_of([both]).skill
    assert accuracy_of([alone]).skill is None
    assert accuracy_of([alone]).naive_pinball_loss_kw is None
    assert accuracy_of([both, alone]).pinball_loss_kw != accuracy_of([both]).pinball_loss_kw


def test_nothing_known_is_none_and_never_zero() -> None:
    nothing = accuracy_of([])
    assert nothing.days == 0
    assert {nothing.pinball_loss_kw, nothing.skill, nothing.nmae, *nothing.coverage.values()} == {None}
    dark = judge_day(np.zeros(24), np.zeros(24), np.zeros((24, 7)), LEVELS, naive=np.zeros((24, 7)), has_nights=True)
    assert dark is not None
    assert accuracy_of([dark]).nmae is None
    assert accuracy_of([dark]).skill is None
    assert set(accuracy_of([dark]).coverage.values()) == {None}


def test_nights_make_no_interval_look_better_but_what_shines_there_counts() -> None:
    actual = np.where(np.arange(24) % 24 < 12, 0.0, 10.0)
    quantiles = np.where(actual > 0, 5.0, 0.0)[:, None] * np.linspace(0.8, 1.2, 7)
    sums = judge_day(actual, actual, quantiles, LEVELS, naive=None, has_nights=True)
    assert sums is not None
    assert accuracy_of([sums]).coverage[0.9] == 0.0
    awake = judge_day(actual, actual, quantiles, LEVELS, naive=None, has_nights=False)
    assert awake is not None
    assert accuracy_of([awake]).coverage[0.9] == 0.5
    lamp = np.where(np.arange(24) == 3, 1.0, actual)
    missed = judge_day(lamp, lamp, quantiles, LEVELS, naive=None, has_nights=True)
    assert missed is not None
    assert missed.judged == 13


@given(st.integers(0, 1000), st.floats(0.1, 1e4))
def test_shares_do_not_depend_on_the_unit(seed: int, factor: float) -> None:
    actual, mean, quantiles, naive = a_day(seed)
    found = [
        judge_day(scale * actual, scale * mean, scale * quantiles, LEVELS, naive=scale * naive, has_nights=True)
        for scale in (1.0, factor)
    ]
    first, second = (accuracy_of([one]) for one in found if one is not None)
    assert first.skill == pytest.approx(second.skill)
    assert first.nmae == pytest.approx(second.nmae)
    assert second.pinball_loss_kw == pytest.approx(factor * (first.pinball_loss_kw or 0))
