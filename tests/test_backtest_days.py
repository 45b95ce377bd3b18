"""Backtests by day: what each model came to, as bytes and back, beside the seasonal naive on the same days."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.builders import MONDAY
from tests.histories import VIENNA, history

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.backtest import Backtest
from digital_twin.forecasting.backtest_days import (
    CONFIDENCE_LEVELS,
    BacktestDays,
    backtest_days,
    days_of,
    loss_by_hour,
    score_of,
)
from digital_twin.forecasting.ensemble import LEVELS
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.past_days import tasks_of, whole_days
from digital_twin.forecasting.scores import pinball_loss
from digital_twin.services.computations import backtest_model

PAST = replace(history(40), values=history(40).values + 100)  # never so low that a forecast would be cut off at 0
TASK = TrainingTask("load_kw", VIENNA, PAST, PAST.grid.end)
DAYS = 5


def same(one: BacktestDays, other: BacktestDays) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in one.__slots__)


def a_backtest(days: int = 6, slots: int = 48) -> Backtest:
    """Of a model and a naive one, with a day that nobody measured and one that the model could not say."""
    generator = np.random.default_rng(3)
    actual = generator.gamma(4, 3, (days, slots))
    actual[1] = np.nan
    said = {name: np.sort(generator.gamma(4, 3, (days, slots, len(LEVELS))), axis=2) for name in ("ours", "naive")}
    said["ours"][2] = np.nan
    return Backtest(np.arange(20000, 20000 + days), actual, said)


def test_each_day_is_what_production_would_have_said_at_its_midnight() -> None:
    found = backtest_days("seasonal_naive", TASK, days=DAYS, refit_days=7)
    asked = list(tasks_of(TASK, whole_days(PAST.grid, VIENNA.timezone).latest(DAYS)))
    assert found.day.size == DAYS
    for place, task in enumerate(asked):
        forecast = make_forecast(task, model="seasonal_naive", levels=LEVELS)
        first = round((task.grid.start - PAST.grid.start) / timedelta(minutes=PAST.grid.step_minutes))
        actual = PAST.values[first : first + task.grid.steps]
        expected = pinball_loss(actual, forecast.quantiles[:, 1:-1], LEVELS[1:-1])
        assert found.loss_kw[place] == pytest.approx(expected)
        low, high = forecast.interval(0.9)
        assert found.inside[place, 1] == ((low <= actual) & (actual <= high)).sum()


def test_the_part_of_a_run_is_the_same_as_bytes() -> None:
    found = backtest_days("seasonal_naive", TASK, days=DAYS, refit_days=2)
    assert same(BacktestDays.from_bytes(backtest_model("seasonal_naive", TASK, DAYS, 2)), found)


def test_what_was_not_said_or_not_measured_counts_nowhere() -> None:
    found = a_backtest()
    ours, naive = days_of(found, "ours"), days_of(found, "naive")
    assert list(np.isnan(ours.loss_kw)) == [False, True, True, False, False, False]
    score = score_of(ours, naive)
    kept = [0, 3, 4, 5]
    assert score.days == 4
    quantiles, actual = found.quantiles["ours"][kept], found.actual[kept]
    assert score.pinball_loss_kw == pytest.approx(pinball_loss(actual, quantiles[:, :, 1:-1], LEVELS[1:-1]))
    assert score.relative_loss == pytest.approx((score.pinball_loss_kw or 0) / actual.mean())
    for level in CONFIDENCE_LEVELS:
        low, high = LEVELS.index(round(0.5 - level / 2, 3)), LEVELS.index(round(0.5 + level / 2, 3))
        inside = (actual >= quantiles[:, :, low]) & (actual <= quantiles[:, :, high])
        assert score.coverage[level] == pytest.approx(inside.mean())
    ratio = score.naive_ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(ours.loss_kw[kept].sum() / naive.loss_kw[kept].sum())
    assert ratio.low < ratio.value < ratio.high
    assert score_of(ours, naive) == score, "the bootstrap draws the same days each time"


def test_the_loss_of_an_hour_is_the_mean_over_the_days_that_tell_it() -> None:
    found = a_backtest()
    ours = days_of(found, "ours")
    kept = [0, 3, 4, 5]
    for hour, loss in enumerate(loss_by_hour(ours)):
        two = slice(2 * hour, 2 * hour + 2)  # half-hours
        quantiles, actual = found.quantiles["ours"][kept, two], found.actual[kept, two]
        assert loss == pytest.approx(pinball_loss(actual, quantiles[:, :, 1:-1], LEVELS[1:-1]))
    assert np.nanmean(ours.hour_loss_kw) == pytest.approx(np.nanmean(ours.loss_kw))
    found.actual[:, :2] = np.nan
    assert loss_by_hour(days_of(found, "ours"))[0] is None


def test_a_model_beside_itself_is_exactly_as_good() -> None:
    naive = days_of(a_backtest(), "naive")
    ratio = score_of(naive, naive).naive_ratio
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == (1, 1, 1)


def test_nothing_to_compare_is_none() -> None:
    found = a_backtest(days=3)
    score = score_of(days_of(found, "ours"), days_of(found, "naive"))
    assert (score.days, score.naive_ratio) == (1, None)
    silent = Backtest(found.day, np.full_like(found.actual, np.nan), found.quantiles)
    nothing = score_of(days_of(silent, "ours"), days_of(silent, "naive"))
    assert (nothing.days, nothing.pinball_loss_kw, nothing.relative_loss) == (0, None, None)
    assert set(nothing.coverage.values()) == {None}


def test_what_cannot_be_backtested_says_so() -> None:
    with pytest.raises(InvalidInput):
        backtest_days("crystal_ball", TASK, days=DAYS, refit_days=7)
    short = TrainingTask("load_kw", VIENNA, history(2), MONDAY + timedelta(days=400))
    with pytest.raises(InsufficientData):
        backtest_days("ridge", short, days=40, refit_days=7)
