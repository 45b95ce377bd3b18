"""Boosting: its trees are LightGBM's, it sees nothing before its time, and it learns what the ridge cannot."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import lightgbm
import numpy as np
import pytest
from tests.histories import VIENNA, history, task

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting import trees
from digital_twin.forecasting.boosting import LEARNED_LEVELS, PARAMETERS, between_levels, boosting
from digital_twin.forecasting.features import FeatureInputs, lags_of
from digital_twin.forecasting.forecast import ForecastTask, History
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.local_days import reaches_of
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.scores import pinball_loss
from digital_twin.forecasting.tree_features import month_spread, tree_features
from digital_twin.forecasting.trees import Trees, compile_trees, read_trees
from digital_twin.testing import check_forecaster

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


def learn(past: History) -> TrainingTask:
    return TrainingTask("load_kw", VIENNA, past, past.grid.end)


# Trees


def test_trees_as_arrays_say_what_lightgbm_says() -> None:
    generator = np.random.default_rng(1)
    rows, noise = generator.normal(0, 1, (2000, 7)), generator.normal(0, 1, 2000)
    targets = [rows[:, 0] * rows[:, 1] + noise, np.full(2000, 3.0), np.abs(rows[:, 2]) * noise]
    grown = [
        lightgbm.train(PARAMETERS | {"alpha": alpha}, lightgbm.Dataset(rows, target, params=PARAMETERS), 20)
        for alpha, target in zip((0.1, 0.5, 0.9), targets, strict=True)
    ]
    trees = read_trees([one.model_to_string() for one in grown])
    asked = np.vstack([generator.normal(0, 2, (500, 7)), rows[:50]])
    expected = np.column_stack([np.asarray(one.predict(asked)) for one in grown])
    assert expected[:, 0].std() > 0.1
    np.testing.assert_allclose(trees.predict(asked), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(Trees.from_arrays(trees.to_arrays()).predict(asked), trees.predict(asked))


def test_what_is_compiled_ahead_is_what_a_forecast_runs() -> None:
    compile_trees()
    walk = vars(trees)["_walk"]
    compiled = list(walk.signatures)
    past = history(40)
    boosting.fit(learn(past)).predict(task(past), LEVELS)
    assert walk.signatures == compiled


def test_levels_that_were_not_learned_are_those_of_a_normal_distribution_where_errors_are_normal() -> None:
    normal = NormalDist(3.0, 2.0)
    learned = np.array([normal.inv_cdf(level) for level in LEARNED_LEVELS])
    for level in (0.005, 0.025, 0.05, 0.3, 0.5, 0.77, 0.995):
        assert (learned @ between_levels((level,)))[0] == pytest.approx(normal.inv_cdf(level))


# The forecaster


def test_boosting_does_what_every_forecaster_must() -> None:
    check_forecaster(boosting)


def test_with_less_than_three_weeks_it_says_how_much_it_needs() -> None:
    with pytest.raises(InsufficientData) as caught:
        boosting.fit(learn(history(20)))
    assert caught.value.facts["needed"] > caught.value.facts["found"] == 20


def test_what_trees_are_told_of_a_day_was_known_before() -> None:
    table = np.random.default_rng(3).normal(10, 1, (60, 24))
    days = np.arange(60)
    for reach in reaches_of((1, 2, 8)):
        inputs = FeatureInputs(days, table, days % 7, np.zeros(60, bool), days % 366 + 1, {})
        changed = table.copy()
        changed[50 - reach.back + 1 :] = 99
        changed[50 - reach.back, 13 if reach.whole > reach.back else 24 :] = 99
        before, after = (
            tree_features(one, lags_of(one.table, reach, table[0]), reach, month_spread(one.table, reach.whole, 0.1))[
                50, 12
            ]
            for one in (inputs, replace(inputs, table=changed))
        )
        np.testing.assert_array_equal(before, after)


def test_no_value_from_after_the_training_instant_changes_what_was_learned() -> None:
    past = history(40)
    as_of = past.grid.end - timedelta(days=5)
    later = replace(
        past, values=np.where(past.grid.starts < np.datetime64(as_of.replace(tzinfo=None)), past.values, 7e4)
    )
    known, beyond = (boosting.fit(TrainingTask("load_kw", VIENNA, one, as_of)).to_arrays() for one in (past, later))
    assert known.keys() == beyond.keys()
    for name, array in known.items():
        np.testing.assert_array_equal(array, beyond[name])


@pytest.mark.parametrize("issued_at", [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
def test_the_days_on_which_the_clock_changes_are_forecast_like_others(issued_at: datetime) -> None:
    past = history(60, end=issued_at)
    asked = ForecastTask("load_kw", TimeGrid(issued_at, 25, 60), issued_at, VIENNA, past, None)
    made = boosting.fit(learn(past)).predict(asked, LEVELS)
    assert np.isfinite(made.quantiles).all()
    assert np.abs(np.diff(made.mean)).max() < 25


def moody(days: int) -> History:
    """Above 25 degrees and on working days alone something is switched on: no sum of lags, days and hinges."""
    past = history(days)
    clock = local_clock(past.grid, VIENNA.timezone)
    warmth = np.repeat(np.random.default_rng(2).uniform(10, 40, days), 24)
    extra = 30.0 * ((warmth > 25) & (clock.weekday < 5) & (clock.hour >= 12))
    return History(past.grid, past.values + extra, {"temperature_c": warmth})


def test_it_learns_what_works_only_together_and_the_ridge_does_not() -> None:
    whole, losses = moody(160), {"ridge": 0.0, "boosting": 0.0}
    first = 140 * 24
    known = History(
        TimeGrid(whole.grid.start, first, 60),
        whole.values[:first],
        {"temperature_c": whole.weather["temperature_c"][:first]},
    )
    fits = {"ridge": ridge.fit(learn(known)), "boosting": boosting.fit(learn(known))}
    for start in range(first, whole.grid.steps, 24):
        past = History(
            TimeGrid(whole.grid.start, start, 60),
            whole.values[:start],
            {name: one[:start] for name, one in whole.weather.items()},
        )
        ahead = {name: one[start : start + 24] for name, one in whole.weather.items()}
        asked = replace(task(past), future_weather=ahead)
        for name, fitted in fits.items():
            assert fitted.suits(asked)
            made = fitted.predict(asked, LEVELS)
            losses[name] += pinball_loss(whole.values[start : start + 24], made.quantiles, LEVELS)
    assert losses["boosting"] < 0.93 * losses["ridge"]


def test_a_fit_with_weather_answers_only_where_the_weather_is_foreseen() -> None:
    past = moody(40)
    fitted, asked = boosting.fit(learn(past)), task(past)
    assert not fitted.suits(asked)
    assert fitted.suits(replace(asked, future_weather={"temperature_c": np.full(24, 20.0)}))
    assert not fitted.suits(replace(asked, future_weather={"temperature_c": np.full(24, np.nan)}))
    assert not fitted.suits(replace(task(past, steps=24 * 5), future_weather={"temperature_c": np.full(120, 20.0)}))


def test_forecasts_follow_the_size_of_the_load() -> None:
    past = history(60)
    grown = replace(past, values=4 * past.values)
    small, large = (boosting.fit(learn(one)).predict(task(one), LEVELS) for one in (past, grown))
    np.testing.assert_allclose(large.quantiles, 4 * small.quantiles, rtol=0.02)
