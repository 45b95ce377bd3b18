"""The backtest: every day is forecast by what its morning knew, as production would have, and scored by the books."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.histories import VIENNA, history
from tests.test_ensemble import ENSEMBLE, asked_after, training, yesterday_times

from digital_twin.domain.errors import InsufficientData
from digital_twin.forecasting.backtest import Backtest, backtest
from digital_twin.forecasting.ensemble import LEVELS
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Arrays, FittedForecaster, TrainingTask, first_steps
from digital_twin.forecasting.past_days import whole_days
from digital_twin.forecasting.regression import ridge


@dataclass(frozen=True)
class Diary:
    """A model that writes down when it was fitted and updated, and says what it knew last."""

    fits: list[int] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)
    needed_days: float = 0.0

    def fit(self, task: TrainingTask) -> FittedForecaster:
        self.fits.append(task.history.grid.steps)
        return self

    def update(self, task: TrainingTask) -> FittedForecaster:
        self.updates.append(task.history.grid.steps)
        return self

    def lesson(self) -> Arrays:
        return {}

    def after(self, lesson: Arrays) -> FittedForecaster:
        return self

    def suits(self, task: ForecastTask) -> bool:
        return True

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        assert task.history is not None
        assert task.history.grid.end == task.grid.start == task.issued_at
        last = np.full(task.grid.steps, task.history.values[-1])
        return Prediction(last, np.tile(last[:, None], (1, len(levels))))

    def to_arrays(self) -> Arrays:
        return {}

    def from_arrays(self, arrays: Arrays) -> FittedForecaster:
        return self


def test_a_model_is_fitted_anew_after_so_many_days_and_updated_on_the_others() -> None:
    past, diary = history(60), Diary()
    made = backtest(training(past), {"diary": diary}, days=8, refit_days=3)
    begins = whole_days(past.grid, VIENNA.timezone).latest(8).first.tolist()
    assert diary.fits == [begins[0], begins[3], begins[6]]
    assert diary.updates == [begins[place] for place in (1, 2, 4, 5, 7)]
    for row, first in enumerate(begins):
        np.testing.assert_array_equal(made.quantiles["diary"][row], past.values[first - 1])
        np.testing.assert_array_equal(made.actual[row], past.values[first : first + 24])


def test_each_day_is_what_production_would_have_said() -> None:
    past = history(80)
    made = backtest(training(past), {"ensemble": ENSEMBLE, "ridge": ridge}, days=4, refit_days=3)
    begins = whole_days(past.grid, VIENNA.timezone).latest(4).first.tolist()
    fitted = ENSEMBLE.fit(training(first_steps(past, begins[0])))
    known = first_steps(past, begins[1])
    by_hand = fitted.update(training(known)).predict(asked_after(known), LEVELS)
    np.testing.assert_array_equal(made.quantiles["ensemble"][1], by_hand.quantiles)
    last = first_steps(past, begins[3])
    np.testing.assert_array_equal(
        made.quantiles["ridge"][3], ridge.fit(training(last)).predict(asked_after(last), LEVELS).quantiles
    )


def test_no_day_sees_itself_or_what_comes_after() -> None:
    past = history(60)
    changed = past.values.copy()
    begins = whole_days(past.grid, VIENNA.timezone).latest(4).first.tolist()
    changed[begins[2] :] = 1e4
    one, other = (
        backtest(training(replace(past, values=values)), {"ensemble": ENSEMBLE}, days=4, refit_days=2)
        for values in (past.values, changed)
    )
    np.testing.assert_array_equal(one.quantiles["ensemble"][:3], other.quantiles["ensemble"][:3])
    assert (one.quantiles["ensemble"][3] != other.quantiles["ensemble"][3]).any()


@pytest.fixture(scope="module")
def judged() -> Backtest:
    generator = np.random.default_rng(0)
    actual = np.abs(generator.normal(10, 2, (12, 24)))
    actual[3] = np.nan
    actual[4, 2:9] = np.nan
    offsets = np.linspace(-4, 4, len(LEVELS))
    good = np.where(np.isnan(actual), 10, actual)[:, :, None] + generator.normal(0, 1, (12, 24, 1)) + offsets
    poor = 10 + 2 * offsets + np.zeros((12, 24, 1))
    poor[7] = np.nan
    return Backtest(np.arange(12), actual, {"good": good, "poor": poor})


def test_scores_are_those_of_a_plain_loop(judged: Backtest) -> None:
    inner = [place for place, level in enumerate(LEVELS) if 0.025 <= level <= 0.975]
    losses: dict[int, list[float]] = {day: [] for day in range(12)}
    inside: list[bool] = []
    size: list[float] = []
    for day, slot in np.ndindex(12, 24):
        value, said = judged.actual[day, slot], judged.quantiles["poor"][day, slot]
        if np.isnan(value) or np.isnan(said[0]):
            continue
        size.append(abs(value))
        inside.append(said[LEVELS.index(0.05)] <= value <= said[LEVELS.index(0.95)])
        losses[day] += [max(LEVELS[q] * (value - said[q]), (LEVELS[q] - 1) * (value - said[q])) for q in inner]
    daily = judged.daily_loss("poor")
    for day in range(12):
        np.testing.assert_allclose(daily[day], np.mean(losses[day]) if losses[day] else np.nan)
    everything = [one for found in losses.values() for one in found]
    assert judged.relative_loss("poor") == pytest.approx(np.mean(everything) / np.mean(size))
    covered = judged.coverage("poor", 0.9, np.random.default_rng(0))
    assert covered.value == pytest.approx(np.mean(inside))
    assert covered.low <= covered.value <= covered.high


def test_models_are_compared_on_the_days_that_both_forecast(judged: Backtest) -> None:
    ours, theirs = judged.daily_loss("good"), judged.daily_loss("poor")
    both = [day for day in range(12) if day not in (3, 7)]
    found = judged.loss_ratio("good", "poor", np.random.default_rng(0))
    assert found.value == pytest.approx(ours[both].sum() / theirs[both].sum())
    assert found.low < found.value < found.high < 1


def test_without_days_before_those_to_be_judged_there_is_no_backtest() -> None:
    past = history(5)
    with pytest.raises(InsufficientData, match="before the days"):
        backtest(replace(training(past), site=replace(VIENNA, timezone="UTC")), {"near": yesterday_times(1, 1)}, days=5)
