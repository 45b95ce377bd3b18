"""Forecasts that become worse: noticed soon, seldom without reason, and never by what happened later."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY, trained_version

from digital_twin.domain.units import Array
from digital_twin.forecasting.drift import EVIDENCE_NEEDED, evidence_of, find_change
from digital_twin.forecasting.live_accuracy import CONFIDENCE_LEVELS, DaySums
from digital_twin.services.forecast_drift import (
    LONGEST_MEMORY,
    NEW_NORMAL_DAYS,
    RECOVERY_DAYS,
    Day,
    Drift,
    follow,
    promised_loss,
)

YEARS, YEAR = 200, 365
DAY = timedelta(days=1)


def plain_evidence(losses: Array) -> list[float]:
    """By its definition: the sum over all days of what a bet begun there is worth now."""
    gains: list[float] = []
    for day in range(losses.size):
        rank = sum(earlier >= losses[day] for earlier in losses[: day + 1]) / (day + 1)
        gains.append(1 - rank + 0.25 / np.sqrt(rank))
    return [sum(float(np.prod(gains[first : day + 1])) for first in range(day + 1)) for day in range(losses.size)]


def test_the_evidence_is_the_sum_of_the_bets_begun_on_each_day() -> None:
    losses = np.round(np.random.default_rng(1).lognormal(0, 0.3, 40), 1)  # with ties
    np.testing.assert_allclose(evidence_of(losses), plain_evidence(losses), rtol=1e-12)


def test_a_bet_wins_nothing_on_average_while_days_are_exchangeable() -> None:
    """Over all orders of the same days the newest day's gain is at most 1, whatever the days are."""
    for count in (1, 2, 5, 60):
        ranks = np.arange(1, count + 1) / count
        assert np.mean(1 - ranks + 0.25 / np.sqrt(ranks)) <= 1


def test_alarms_without_a_change_are_as_seldom_as_promised() -> None:
    generator = np.random.default_rng(2)
    alarms = sum(find_change(generator.lognormal(0, 0.4, YEAR)) is not None for _ in range(YEARS))
    promised = YEAR / EVIDENCE_NEEDED
    assert 0 < alarms / YEARS <= promised  # the bound holds with room to spare: about one in ten years


@pytest.mark.parametrize(("known_days", "shift", "within"), [(60, 1.0, 21), (60, 2.0, 12), (200, 1.0, 16)])
def test_a_change_is_noticed_soon_and_dated_about_right(known_days: int, shift: float, within: int) -> None:
    """By as many standard deviations between days, in the median of many courses."""
    generator = np.random.default_rng(3)
    delays, errors = [], []
    for _ in range(60):
        usual = generator.normal(0, 1, known_days + 60)
        usual[known_days:] += shift
        found = find_change(np.exp(0.2 * usual))
        delays.append(np.inf if found is None else found.noticed + 1 - known_days)
        errors.append(np.inf if found is None else abs(found.since - known_days))
    assert np.median(delays) <= within
    assert np.median(errors) <= 4


def test_forecasts_that_become_better_raise_no_alarm() -> None:
    generator = np.random.default_rng(4)
    losses = np.concatenate([generator.lognormal(0, 0.2, 60), generator.lognormal(-1, 0.2, 60)])
    assert find_change(losses) is None


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(0, 59))
def test_evidence_is_finite_and_owes_nothing_to_later_days(losses: list[float], cut: int) -> None:
    known = np.array(losses)
    whole = evidence_of(known)
    assert np.isfinite(whole).all()
    assert (whole > 0).all()
    np.testing.assert_array_equal(evidence_of(known[: cut + 1]), whole[: cut + 1])


def test_days_that_are_all_alike_say_nothing() -> None:
    assert evidence_of(np.ones(400)).max() < 1


# What becomes of a community's record


def days_of(relative_losses: Array, first: datetime = MONDAY) -> list[Day]:
    return [
        (first + place * DAY, DaySums(24, 10.0 * loss, 10.0, 0.0, 0.0, dict.fromkeys(CONFIDENCE_LEVELS, 0), 24))
        for place, loss in enumerate(relative_losses.tolist())
    ]


def looked_at_daily(days: list[Day], *, promised: float | None = None, before: Drift | None = None) -> list[Drift]:
    """The record after each morning's look at the days so far."""
    drift, looks = before or Drift(), []
    for count in range(1, len(days) + 1):
        drift = follow(drift, days[:count], promised=promised, now=days[count - 1][0] + DAY)
        looks.append(Drift.from_document(drift.to_document()))
        assert looks[-1] == drift
    return looks


WORSE_FOR_A_MONTH = np.concatenate(
    [np.random.default_rng(5).normal(0.8, 0.05, 60), np.random.default_rng(6).normal(1.1, 0.05, 30)]
)


def test_forecasts_that_became_worse_are_told_with_how_much_and_since_when() -> None:
    looks = looked_at_daily(days_of(WORSE_FOR_A_MONTH))
    first = next(place for place, look in enumerate(looks) if look.is_degraded)
    assert 62 <= first <= 72
    alarm = looks[first]
    assert alarm.degraded_since is not None
    assert alarm.degraded_since == MONDAY + 60 * DAY
    assert alarm.relative_loss_before == pytest.approx(0.8, abs=0.02)
    assert alarm.relative_loss == pytest.approx(1.1, abs=0.05)
    assert all(look.is_degraded for look in looks[first:])


def test_an_alarm_is_over_when_forecasts_are_as_good_as_before() -> None:
    better = np.concatenate([WORSE_FOR_A_MONTH[:75], np.full(15, 0.8)])
    looks = looked_at_daily(days_of(better))
    recovered = [place for place in range(75, 90) if not looks[place].is_degraded]
    assert 75 + RECOVERY_DAYS // 2 <= recovered[0] <= 75 + RECOVERY_DAYS
    assert looks[-1].counted_from is not None
    assert looks[-1].counted_from > MONDAY + 60 * DAY, "what was worse is no yardstick"


def test_what_stays_worse_is_how_it_is_from_then_on() -> None:
    longer = np.concatenate([WORSE_FOR_A_MONTH, np.random.default_rng(7).normal(1.1, 0.05, 40)])
    looks = looked_at_daily(days_of(longer))
    first = next(place for place, look in enumerate(looks) if look.is_degraded)
    assert all(look.is_degraded for look in looks[first : first + NEW_NORMAL_DAYS - 1])
    assert not looks[first + NEW_NORMAL_DAYS].is_degraded
    assert not looks[-1].is_degraded


def test_no_worse_than_the_training_promised_is_not_degraded() -> None:
    days = days_of(WORSE_FOR_A_MONTH)
    assert not any(look.is_degraded for look in looked_at_daily(days, promised=1.3))
    assert looked_at_daily(days, promised=0.8)[-1].is_degraded


def test_days_without_a_yardstick_tell_nothing() -> None:
    days = days_of(WORSE_FOR_A_MONTH)
    blind = [(start, replace(sums, naive_loss_kw=None)) for start, sums in days]
    assert follow(Drift(), blind, promised=None, now=MONDAY) == Drift()
    some = [one if place % 2 else blind[place] for place, one in enumerate(days)]
    assert looked_at_daily(some)[-1].days == len(days) // 2


def test_what_was_a_year_ago_is_no_yardstick() -> None:
    drift = Drift(counted_from=MONDAY)
    days = days_of(np.full(400, 0.8))
    after = follow(drift, days, promised=None, now=MONDAY + LONGEST_MEMORY + DAY)
    assert after.counted_from is not None
    assert after.counted_from > MONDAY + 200 * DAY


def test_what_a_training_promised_is_that_of_the_newest_version_of_the_model_in_service() -> None:
    def version(number: int, loss: float, model: str = "ridge") -> object:
        scores = {"model": {"pinball_loss_kw": loss}, "seasonal_naive": {"pinball_loss_kw": 2.0}}
        return replace(trained_version(), model=model, version=number, scores=scores)

    kept = [version(2, 1.0, "other"), version(2, 1.5), version(1, 1.9)]
    assert promised_loss(kept, "load_kw", "ridge, trained version 2 of 2026-03-16T00:00Z") == 0.75  # type: ignore[arg-type]
    assert promised_loss(kept, "load_kw", "standard_load") is None  # type: ignore[arg-type]
    assert promised_loss(kept, "pv_kw", "ridge") is None  # type: ignore[arg-type]
