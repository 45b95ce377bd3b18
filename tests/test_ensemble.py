"""The ensemble: its members are weighted by what they lost, nobody's failure is everyone's, and nothing looks ahead."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY
from tests.histories import VIENNA, history

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.conformal import DAY_PARTS, calibrate, day_parts
from digital_twin.forecasting.ensemble import LEVELS, Ensemble, FittedEnsemble
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction
from digital_twin.forecasting.forecaster import Arrays, FittedForecaster, Rule, TrainingTask, first_steps
from digital_twin.forecasting.naive import seasonal_naive
from digital_twin.forecasting.past_days import ask_days, whole_days
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.scores import pinball_losses
from digital_twin.forecasting.training import FittedModel
from digital_twin.forecasting.weights import GROUPS, combine, learn_weights, level_groups

ENSEMBLE = Ensemble({"ridge": ridge, "naive": seasonal_naive})


def training(past: History, variable: str = "load_kw") -> TrainingTask:
    return TrainingTask(variable, VIENNA, past, past.grid.end)


def asked_after(past: History, *, steps: int = 24, variable: str = "load_kw") -> ForecastTask:
    grid = TimeGrid(past.grid.end, steps, past.grid.step_minutes)
    return ForecastTask(variable, grid, grid.start, VIENNA, past, None)


def yesterday_times(factor: float, width: float) -> Rule:
    """A member that says so much of yesterday, with a spread of its own."""

    def rule(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        assert task.history is not None
        day = task.history.values[-24:]
        mean = factor * np.resize(day, task.grid.steps)
        normal = NormalDist()
        return Prediction(mean, mean[:, None] + width * np.array([normal.inv_cdf(level) for level in levels]))

    return Rule(rule)


@dataclass(frozen=True)
class Broken:
    """A member that cannot learn, for whatever reason."""

    error: Exception
    needed_days: float = 0.0

    def fit(self, task: TrainingTask) -> FittedForecaster:
        raise self.error

    def from_arrays(self, arrays: Arrays) -> FittedForecaster:
        raise self.error


# Weights


def claims(middle: Array, width: float) -> Array:
    normal = NormalDist()
    return middle[..., None] + width * np.array([normal.inv_cdf(level) for level in LEVELS])


def test_the_best_member_counts_most_and_equal_ones_count_alike() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(50, 10, (40, 24))
    actual = truth + generator.normal(0, 1, truth.shape)
    good, bad = claims(truth, 1), claims(truth + generator.normal(0, 8, truth.shape), 8)
    weights = learn_weights(actual, np.stack([good, bad, bad]), LEVELS)
    assert weights.shape == (DAY_PARTS, len(GROUPS), 3)
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    assert (weights[:, :, 0] > 0.95).all()
    np.testing.assert_allclose(weights[:, :, 1], weights[:, :, 2], rtol=1e-6)


def test_the_average_loses_less_than_by_any_of_many_other_weights_but_for_what_holds_it_back() -> None:
    generator = np.random.default_rng(4)
    truth = generator.normal(50, 10, (60, 24))
    actual = truth + generator.normal(0, 1, truth.shape)
    shared = generator.normal(0, 3, truth.shape)
    members = np.stack(
        [claims(truth + shared, 2), claims(truth - shared + generator.normal(0, 1, truth.shape), 2), claims(truth, 9)]
    )
    parts = day_parts(24)

    def lost(weights: Array) -> float:
        recency = 0.5 ** (np.arange(60)[::-1] / 14)
        return float(
            np.einsum("d,dsq->", recency, pinball_losses(actual, combine(members, weights, parts, LEVELS), LEVELS))
        )

    found = lost(learn_weights(actual, members, LEVELS))
    for some in generator.dirichlet(np.ones(3), 200):
        assert found < 1.05 * lost(np.broadcast_to(some, (DAY_PARTS, len(GROUPS), 3)))


@settings(max_examples=5)
@given(scale=st.sampled_from([1e-3, 1e3, 1e6]), seed=st.integers(0, 99))
def test_weights_do_not_depend_on_the_unit(scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    actual = generator.normal(5, 2, (20, 24))
    members = np.stack([claims(actual + generator.normal(0, noise, actual.shape), noise) for noise in (1, 2)])
    np.testing.assert_allclose(
        learn_weights(scale * actual, scale * members, LEVELS), learn_weights(actual, members, LEVELS), rtol=1e-6
    )


def test_too_few_days_weigh_all_members_alike() -> None:
    actual = np.full((9, 24), np.nan)
    actual[:2] = 1.0
    members = np.stack([claims(np.full((9, 24), middle), 1) for middle in (1.0, 50.0)])
    np.testing.assert_array_equal(learn_weights(actual, members, LEVELS), 0.5)


def test_an_average_of_quantiles_is_that_of_each_part_of_the_day_and_group_of_levels() -> None:
    generator = np.random.default_rng(1)
    members, weights = generator.normal(0, 1, (2, 24, len(LEVELS))), generator.dirichlet((1, 1), (DAY_PARTS, 3))
    found = combine(members, weights, day_parts(24), LEVELS)
    for slot in range(24):
        for place, level in enumerate(LEVELS):
            group = 0 if level <= 0.2 else 1 if level < 0.8 else 2
            expected = sum(weights[slot // 8, group, m] * members[m, slot, place] for m in range(2))
            assert found[slot, place] == pytest.approx(expected)
    assert GROUPS[level_groups(LEVELS)[LEVELS.index(0.5)]] == "middle"


# Past days


def test_whole_days_are_those_of_the_clock_on_the_wall() -> None:
    zone = ZoneInfo("Europe/Vienna")
    grid = TimeGrid(datetime(2026, 3, 26, 10, tzinfo=UTC), 24 * 6, 60)
    found = whole_days(grid, "Europe/Vienna")
    begins = [datetime(2026, 3, day, tzinfo=zone) for day in (27, 28, 29, 30, 31)]
    ends = [*begins[1:], datetime(2026, 4, 1, tzinfo=zone)]
    assert [grid.instant(int(step)) for step in found.first] == begins
    assert [grid.instant(int(step)) for step in found.last] == ends
    assert (found.last - found.first).tolist() == [24, 24, 23, 24, 24]
    assert whole_days(TimeGrid(begins[0], 24, 60), "Europe/Vienna").day.size == 1
    assert whole_days(TimeGrid(begins[0], 23, 60), "Europe/Vienna").day.size == 0


def test_a_past_day_is_asked_for_as_it_was_at_its_beginning() -> None:
    past = history(60)
    task = training(past)
    days = whole_days(past.grid, VIENNA.timezone).latest(10)
    fitted = ridge.fit(training(first_steps(past, int(days.first[0]))))
    found = ask_days(fitted, task, days, LEVELS)
    for row in (0, 6):
        first = int(days.first[row])
        by_hand = fitted.predict(asked_after(first_steps(past, first)), LEVELS)
        np.testing.assert_array_equal(found[row], by_hand.quantiles)
    changed = past.values.copy()
    changed[int(days.first[6]) :] = 1e3
    np.testing.assert_array_equal(
        ask_days(fitted, training(replace(past, values=changed)), days, LEVELS)[:7], found[:7]
    )


@pytest.mark.parametrize("variable", ["load_kw", "net_load_kw"])
def test_a_past_day_is_answered_as_production_would_have_answered(variable: str) -> None:
    near_zero = replace(history(60), values=np.maximum(history(60).values - 55, 0))
    task = training(near_zero, variable)
    day = whole_days(near_zero.grid, VIENNA.timezone).latest(1)
    known = first_steps(near_zero, int(day.first[0]))
    model = FittedModel("ridge", variable, VIENNA, 60, known.grid.end, ridge.fit(training(known, variable)))
    asked = asked_after(known, variable=variable)
    assert model.fitted.predict(asked, LEVELS).quantiles.min() < 0
    served = make_forecast(asked, model="ridge", levels=LEVELS, fitted=model).quantiles
    np.testing.assert_array_equal(ask_days(model.fitted, task, day, LEVELS)[0], served)
    assert (served.min() < 0) == (variable == "net_load_kw")


# The ensemble


@pytest.fixture(scope="module")
def fitted() -> FittedEnsemble:
    return ENSEMBLE.fit(training(history(70)))


def test_a_forecast_is_the_weighted_average_of_the_members_shifted(fitted: FittedEnsemble) -> None:
    task = asked_after(history(70), steps=30)
    made = fitted.predict(task, LEVELS)
    slots = (np.arange(30) + 1) % 24  # Monday 0:00 UTC is 1:00 in Vienna
    said = [member.predict(task, LEVELS) for member in fitted.members.values()]
    groups = level_groups(LEVELS)
    average = np.empty((30, len(LEVELS)))
    for step, slot in enumerate(slots):
        for place in range(len(LEVELS)):
            of_members = fitted.weights[slot // 8, groups[place]]
            average[step, place] = sum(w * one.quantiles[step, place] for w, one in zip(of_members, said, strict=True))
    np.testing.assert_allclose(made.quantiles, fitted.calibration.apply(np.sort(average, axis=1), slots, LEVELS))
    assert np.abs(made.mean - made.quantiles[:, 7]).max() < 3
    assert any("ridge" in line and "naive" in line for line in made.assumptions)


def test_what_members_are_judged_by_they_had_not_learned(fitted: FittedEnsemble) -> None:
    past = history(70)
    days = whole_days(past.grid, VIENNA.timezone)
    held_out = days.latest(fitted.past.day.size)
    np.testing.assert_array_equal(held_out.day, fitted.past.day)
    earlier = ridge.fit(training(first_steps(past, int(held_out.first[0]))))
    expected = ask_days(earlier, training(past), held_out, LEVELS)
    np.testing.assert_allclose(fitted.past.members[0], expected, rtol=1e-6)
    average = combine(fitted.past.members.astype(np.float64), fitted.weights, day_parts(24), LEVELS)
    again = calibrate(fitted.past.actual, np.sort(average, axis=2), LEVELS)
    np.testing.assert_allclose(fitted.calibration.shifts, again.shifts)


def test_levels_between_those_of_the_members_lie_between_them(fitted: FittedEnsemble) -> None:
    task = asked_after(history(70))
    made = fitted.predict(task, LEVELS).quantiles
    other = fitted.predict(task, (0.001, 0.07, 0.25, 0.9, 0.999)).quantiles
    np.testing.assert_array_equal(other[:, 0], made[:, 0])
    assert ((other[:, 1] >= made[:, 2]) & (other[:, 1] <= made[:, 3])).all()
    assert ((other[:, 2] >= made[:, 4]) & (other[:, 2] <= made[:, 5])).all()
    np.testing.assert_allclose(other[:, 3], made[:, 11])
    np.testing.assert_array_equal(other[:, 4], made[:, -1])


def test_days_that_have_passed_are_learned_without_fitting_again() -> None:
    past = history(76)
    old = ENSEMBLE.fit(training(first_steps(past, 70 * 24)))
    at_once = old.update(training(past))
    by_day = old
    for day in range(71, 77):
        by_day = by_day.update(training(first_steps(past, day * 24)))
    assert at_once.past.day[-1] == old.past.day[-1] + 6
    np.testing.assert_array_equal(at_once.weights, by_day.weights)
    np.testing.assert_array_equal(at_once.calibration.shifts, by_day.calibration.shifts)
    assert at_once.members is old.members
    assert at_once.update(training(past)) is at_once
    new = whole_days(past.grid, VIENNA.timezone).since(old.learned_until)
    said = ask_days(old.members["ridge"], training(past), new, LEVELS)
    assert new.day.size == 5  # of the day that began before the fit the members had learned an hour
    np.testing.assert_allclose(at_once.past.members[0, -5:], said, rtol=1e-6)


def test_a_lesson_makes_the_fit_forecast_like_the_one_that_was_updated() -> None:
    past = history(76)
    old = ENSEMBLE.fit(training(first_steps(past, 70 * 24)))
    updated = old.update(training(past))
    lesson = {name: array.copy() for name, array in updated.lesson().items()}
    taught = ENSEMBLE.from_arrays(old.to_arrays()).after(lesson)
    one, other, before = (each.predict(asked_after(past), LEVELS) for each in (taught, updated, old))
    np.testing.assert_array_equal(one.quantiles, other.quantiles)
    np.testing.assert_array_equal(one.mean, other.mean)
    assert one.assumptions == other.assumptions
    assert not np.array_equal(one.quantiles, before.quantiles)
    assert sum(array.nbytes for array in lesson.values()) < 4_000
    np.testing.assert_array_equal(taught.update(training(past)).weights, updated.weights)


def test_an_ensemble_that_was_wrong_of_late_widens() -> None:
    past = history(90)
    rough = past.values + np.random.default_rng(2).normal(0, 15, past.grid.steps) * (
        np.arange(past.grid.steps) >= 76 * 24
    )
    changed = replace(past, values=np.abs(rough))
    old = ENSEMBLE.fit(training(first_steps(changed, 76 * 24)))
    task = asked_after(changed)

    def width(one: FittedEnsemble) -> float:
        made = one.predict(task, (0.05, 0.95)).quantiles
        return float((made[:, 1] - made[:, 0]).mean())

    assert width(old.update(training(changed))) > 1.3 * width(old)


def test_no_value_from_after_the_instant_changes_a_fit_or_an_update() -> None:
    past = history(70)
    as_of = past.grid.end - timedelta(hours=5)
    changed = past.values.copy()
    changed[-5:] = 1e4
    one, other = (
        ENSEMBLE.fit(TrainingTask("load_kw", VIENNA, replace(past, values=values), as_of))
        for values in (past.values, changed)
    )
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name])


def test_a_day_that_members_learned_some_hours_of_teaches_nothing_about_them() -> None:
    past = history(70)
    in_the_morning = first_steps(past, 68 * 24 + 9)
    fitted = ENSEMBLE.fit(training(in_the_morning))
    partly = int(whole_days(past.grid, VIENNA.timezone).latest(2).day[0])
    assert partly not in fitted.update(training(past)).past.day
    assert partly + 1 in fitted.update(training(past)).past.day


def test_an_ensemble_survives_as_arrays(fitted: FittedEnsemble) -> None:
    arrays = fitted.to_arrays()
    assert all(array.dtype.kind in "fiub" for array in arrays.values())
    again = ENSEMBLE.from_arrays(arrays)
    task = asked_after(history(70))
    one, other = fitted.predict(task, LEVELS), again.predict(task, LEVELS)
    np.testing.assert_array_equal(one.quantiles, other.quantiles)
    np.testing.assert_array_equal(one.mean, other.mean)
    assert one.assumptions == other.assumptions
    assert list(again.members) == ["ridge", "naive"]


# What may go wrong


@pytest.mark.parametrize(
    "error", [InsufficientData("it needs 400 days of readings"), ZeroDivisionError("no"), np.linalg.LinAlgError("x")]
)
def test_a_member_that_fails_is_left_out_and_named(error: Exception) -> None:
    both = Ensemble({"ridge": ridge, "lame": Broken(error)})
    fitted = both.fit(training(history(70)))
    alone = Ensemble({"ridge": ridge}).fit(training(history(70)))
    task = asked_after(history(70))
    made = fitted.predict(task, LEVELS)
    assert any(line.startswith("lame was left out") and str(error) in line for line in made.assumptions)
    np.testing.assert_array_equal(made.quantiles, alone.predict(task, LEVELS).quantiles)
    again = both.from_arrays(fitted.to_arrays())
    assert again.left_out == fitted.left_out


def test_a_member_that_falls_silent_leaves_its_share_to_the_others() -> None:
    def silent(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        raise InsufficientData("it is asleep")

    fitted = Ensemble({"near": yesterday_times(1, 4), "far": yesterday_times(1.1, 4)}).fit(training(history(70)))
    quiet = replace(fitted, members={**fitted.members, "far": Rule(silent)})
    task = asked_after(history(70))
    made = quiet.predict(task, LEVELS)
    assert any("far was left out: it is asleep" in line for line in made.assumptions)
    near = fitted.members["near"].predict(task, LEVELS).quantiles
    slots = (np.arange(24) + 1) % 24
    np.testing.assert_allclose(made.quantiles, np.maximum(fitted.calibration.apply(near, slots, LEVELS), 0))
    with pytest.raises(InsufficientData, match="no member"):
        replace(fitted, members=dict.fromkeys(fitted.members, Rule(silent))).predict(task, LEVELS)


def test_with_no_member_left_there_is_too_little() -> None:
    with pytest.raises(InsufficientData, match=r"no member.*it needs a year"):
        Ensemble({"lame": Broken(InsufficientData("it needs a year"))}).fit(training(history(70)))


def test_three_days_are_too_few_and_thirty_are_enough() -> None:
    with pytest.raises(InsufficientData, match="days of readings") as caught:
        ENSEMBLE.fit(training(history(3)))
    assert caught.value.facts == {"needed": ENSEMBLE.needed_days, "found": 2}
    fitted = ENSEMBLE.fit(training(history(30)))
    assert list(fitted.members) == ["ridge", "naive"]  # the ridge needs 21 of 29 whole days, which leaves 8
    assert fitted.past.day.size == 8
    assert np.isfinite(fitted.predict(asked_after(history(30)), LEVELS).quantiles).all()


def zeros(values: Array) -> Array:
    return np.zeros_like(values)


def constant(values: Array) -> Array:
    return np.full_like(values, 12.5)


def with_gaps(values: Array) -> Array:
    gappy = values.copy()
    gappy[40 * 24 : 47 * 24] = np.nan
    gappy[60 * 24 + 5 : 60 * 24 + 9] = np.nan
    gappy[-30:] = np.nan
    return gappy


@pytest.mark.parametrize("shape", [zeros, constant, with_gaps])
def test_odd_series_are_forecast_by_finite_quantiles_in_order(shape: Callable[[Array], Array]) -> None:
    past = history(70)
    odd = replace(past, values=shape(past.values))
    fitted = ENSEMBLE.fit(training(odd))
    made = fitted.update(training(odd)).predict(asked_after(odd, steps=48), LEVELS)
    assert np.isfinite(made.quantiles).all()
    assert np.isfinite(made.mean).all()
    assert (np.diff(made.quantiles, axis=1) >= 0).all()
    assert (made.quantiles >= 0).all()
    if shape is not with_gaps:
        np.testing.assert_allclose(made.quantiles, np.nanmax(odd.values), atol=1e-6)


@pytest.mark.parametrize("end", [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
@pytest.mark.parametrize("minutes", [15, 60])
def test_days_on_which_the_clock_changes_are_learned_and_forecast(end: datetime, minutes: int) -> None:
    past = history(60, end=end + timedelta(days=3), minutes=minutes)
    steps = 1440 // minutes
    before = first_steps(past, 57 * steps)
    fitted = ENSEMBLE.fit(training(before)).update(training(past))
    assert fitted.past.day.size >= 21
    made = fitted.predict(asked_after(past, steps=25 * 60 // minutes), LEVELS)
    assert np.isfinite(made.quantiles).all()


def test_net_load_may_be_negative_and_load_may_not() -> None:
    past = replace(history(60), values=history(60).values - 45)
    made = ENSEMBLE.fit(training(past, "net_load_kw")).predict(asked_after(past, variable="net_load_kw"), LEVELS)
    assert (made.quantiles < 0).any()
    cut = replace(past, values=np.maximum(past.values, 0))
    made = ENSEMBLE.fit(training(cut)).predict(asked_after(cut), LEVELS)
    assert (made.quantiles >= 0).all()
    assert (made.mean >= 0).all()


def test_the_last_day_known_is_sunday() -> None:
    """What the tests above take for granted of `history`."""
    assert history(3).grid.end == MONDAY
