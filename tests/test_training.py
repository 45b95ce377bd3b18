"""Training: a fitted model says what a new fit would say, sees nothing that came later, and survives as bytes."""

import io
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY
from tests.histories import VIENNA, history, pv_history, task

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.ensemble import Ensemble
from digital_twin.forecasting.forecast import ForecastTask, History
from digital_twin.forecasting.forecaster import TrainingTask, first_steps
from digital_twin.forecasting.held_out import HELD_OUT_DAYS, Scores, held_out_from, judge, require_history, task_at
from digital_twin.forecasting.model_bytes import from_bytes, to_bytes
from digital_twin.forecasting.naive import residual_quantiles, seasonal_naive
from digital_twin.forecasting.registry import DEFAULT_LEVELS, find_forecaster, require_learning
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.scores import coverage, pinball_loss
from digital_twin.forecasting.solar import Orientation
from digital_twin.forecasting.training import STALE_AFTER, FittedModel, fit, suits

HISTORIES = {"load_kw": history(70), "pv_kw": pv_history(40, Orientation(30, 180))}
CASES = [("ridge", "load_kw"), ("ridge_conformal", "load_kw"), ("ridge_conformal", "pv_kw"), ("pvwatts", "pv_kw")]
LEVELS = (0.025, 0.05, 0.33, 0.5, 0.95, 0.975)


LEARNING = ("ridge", "ridge_conformal", "pvwatts")


def training(variable: str = "load_kw", past: History | None = None) -> TrainingTask:
    known = past or HISTORIES[variable]
    return TrainingTask(variable, VIENNA, known, known.grid.end)


def with_weather(days: int) -> History:
    """A load that follows the temperature."""
    past = history(days, weather=True)
    return replace(past, values=past.values + 2 * past.weather["temperature_c"])


def warm_task(past: History) -> ForecastTask:
    asked = task(past)
    usual = {name: np.full(asked.grid.steps, known.mean()) for name, known in past.weather.items()}
    return replace(asked, future_weather=usual | {"temperature_c": np.linspace(-5, 25, asked.grid.steps)})


# A fitted model and a new fit


@pytest.mark.parametrize(("model", "variable"), CASES)
def test_a_fitted_model_and_a_new_fit_on_the_same_history_give_the_same_numbers(model: str, variable: str) -> None:
    wanted = training(variable)
    kept, _ = from_bytes(to_bytes(fit(model, wanted), judge(model, wanted)))
    asked = task(HISTORIES[variable], variable=variable, steps=30)
    anew = make_forecast(asked, model=model, levels=LEVELS)
    later = make_forecast(asked, model=model, levels=LEVELS, fitted=kept)
    assert later.was_fitted_before
    assert not anew.was_fitted_before
    np.testing.assert_array_equal(later.mean, anew.mean)
    np.testing.assert_array_equal(later.quantiles, anew.quantiles)


def test_a_fitted_model_follows_the_temperature_that_is_foreseen() -> None:
    past = with_weather(70)
    wanted = training(past=past)
    kept, _ = from_bytes(to_bytes(fit("ridge_conformal", wanted), judge("ridge_conformal", wanted)))
    asked = warm_task(past)
    anew = make_forecast(asked, model="ridge_conformal")
    later = make_forecast(asked, model="ridge_conformal", fitted=kept)
    without = make_forecast(task(past), model="ridge_conformal", fitted=kept)
    assert later.was_fitted_before
    assert not without.was_fitted_before
    np.testing.assert_array_equal(later.quantiles, anew.quantiles)
    assert np.abs(later.mean - without.mean).max() > 5


def test_a_model_that_is_a_week_old_forecasts_from_the_latest_readings() -> None:
    calm = history(70)
    wandering = np.repeat(np.cumsum(np.random.default_rng(6).normal(0, 10, 70)), 24)
    past = replace(calm, values=calm.values + 100 + wandering)
    old = fit("ridge", training(past=first_steps(past, 63 * 24)))
    moved = replace(past, values=np.where(np.arange(past.grid.steps) >= 63 * 24, past.values + 30, past.values))
    before, after = (make_forecast(task(one), model="ridge", fitted=old) for one in (past, moved))
    assert before.was_fitted_before
    assert (after.mean - before.mean).mean() > 15
    assert np.abs(before.mean - make_forecast(task(past), model="ridge").mean).mean() < 5


# What a fitted model suits


def test_a_fitted_model_serves_only_what_it_was_fitted_for() -> None:
    past = history(70)
    model, asked = fit("ridge_conformal", training(past=past)), task(past)
    assert suits(model, asked)
    assert not suits(model, replace(asked, variable="net_load_kw"))
    assert not suits(model, replace(asked, site=replace(VIENNA, num_prosumers=101)))
    assert not suits(model, replace(asked, history=None))
    assert not suits(model, task(past, steps=24 * 4))
    assert not suits(model, warm_task(with_weather(70)))
    assert not suits(model, task(history(70, minutes=30)))
    assert not suits(model, task(history(20)))


def test_a_fitted_model_is_neither_from_the_future_nor_stale() -> None:
    past = history(70)
    model = fit("ridge", training(past=first_steps(past, 40 * 24)))
    for days, is_good in ((39, False), (40, True), (40 + STALE_AFTER.days, True), (41 + STALE_AFTER.days, False)):
        assert suits(model, task(first_steps(past, days * 24))) is is_good


def test_what_a_fitted_model_does_not_suit_is_fitted_anew() -> None:
    past = history(70)
    model, far = fit("ridge", training(past=past)), task(past, steps=24 * 6)
    made = make_forecast(far, model="ridge", fitted=model)
    assert not made.was_fitted_before
    np.testing.assert_array_equal(made.mean, make_forecast(far, model="ridge").mean)
    other = make_forecast(task(past), model="ridge_conformal", fitted=model)
    assert not other.was_fitted_before


# Nothing is seen before its time


def fingerprint(model: str, wanted: TrainingTask) -> bytes:
    return to_bytes(fit(model, wanted), judge(model, wanted))


@pytest.mark.parametrize(("model", "variable"), CASES)
@settings(max_examples=2)
@given(later=st.lists(st.floats(0, 1e5), min_size=30, max_size=30), cut=st.integers(0, 23))
def test_no_value_from_after_the_training_instant_changes_anything(
    model: str, variable: str, later: list[float], cut: int
) -> None:
    past = HISTORIES[variable]
    as_of = past.grid.end - timedelta(hours=cut)
    known = TrainingTask(variable, VIENNA, past, as_of)
    grid = TimeGrid(past.grid.start, past.grid.steps + len(later), past.grid.step_minutes)
    values = np.concatenate([past.values, later])
    values[known.history.grid.steps : past.grid.steps] = 7e4
    beyond = TrainingTask(variable, VIENNA, History(grid, values, {}), as_of)
    assert fingerprint(model, beyond) == fingerprint(model, known)


def test_a_day_held_out_is_forecast_without_being_seen() -> None:
    wanted = training()
    origin = held_out_from(wanted) + 5 * 24
    changed = wanted.history.values.copy()
    changed[origin:] = 1e4
    other = replace(wanted, history=replace(wanted.history, values=changed))
    one, same = (make_forecast(task_at(each, origin), model="ridge") for each in (wanted, other))
    np.testing.assert_array_equal(one.quantiles, same.quantiles)
    first = first_steps(wanted.history, held_out_from(wanted))
    assert task_at(wanted, held_out_from(wanted)).history is not None
    assert first.grid.end == task_at(wanted, held_out_from(wanted)).issued_at


# Scores


def test_the_scores_are_those_of_forecasts_made_by_hand() -> None:
    wanted = training(past=history(60, seed=3))
    scores = judge("ridge", wanted)
    past, first = wanted.history, (60 - HELD_OUT_DAYS) * 24
    weeks = [fit("ridge", training(past=first_steps(past, first + 7 * 24 * week))) for week in (0, 1)]
    losses: dict[str, list[float]] = {"ridge": [], "seasonal_naive": []}
    inside: list[float] = []
    squares: list[float] = []
    for origin in range(first, 60 * 24, 24):
        actual = past.values[origin : origin + 24]
        asked, model = task(first_steps(past, origin)), weeks[(origin - first) // (7 * 24)]
        for name, found in losses.items():
            made = make_forecast(asked, model=name, fitted=model)
            found.append(pinball_loss(actual, made.quantiles, DEFAULT_LEVELS))
            if name == "ridge":
                inside.append(coverage(actual, *made.interval(0.9)))
                squares.append(float(((actual - made.mean) ** 2).mean()))
    assert scores.days == len(squares) == HELD_OUT_DAYS
    assert scores.model.pinball_loss_kw == pytest.approx(np.mean(losses["ridge"]))
    assert scores.seasonal_naive.pinball_loss_kw == pytest.approx(np.mean(losses["seasonal_naive"]))
    assert scores.model.rmse_kw == pytest.approx(np.sqrt(np.mean(squares)))
    assert scores.model.coverage_90 == pytest.approx(np.mean(inside))
    assert (scores.start, scores.end) == (MONDAY - timedelta(days=HELD_OUT_DAYS), MONDAY)
    assert scores.model.pinball_loss_kw < scores.seasonal_naive.pinball_loss_kw


@pytest.mark.parametrize("model", ["ridge", "ensemble"])
def test_a_model_is_judged_with_the_weather_as_it_was_foreseen(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if model == "ensemble":
        quick = Ensemble({"ridge": ridge, "seasonal_naive": seasonal_naive})
        monkeypatch.setattr("digital_twin.forecasting.ensemble.ensemble", quick)
    past = with_weather(70)
    scores = judge(model, training(past=past))
    blind = judge(model, training(past=replace(past, weather={})))
    assert scores.days == blind.days == HELD_OUT_DAYS
    assert scores.model.pinball_loss_kw < 0.95 * blind.model.pinball_loss_kw
    assert scores.seasonal_naive == blind.seasonal_naive
    wrong = {name: np.roll(one, 24 * 9) for name, one in past.weather.items()}
    foreseen = {
        name: np.where(np.arange(past.grid.steps) >= 56 * 24, wrong[name], one) for name, one in past.weather.items()
    }
    badly = judge(model, training(past=replace(past, weather=foreseen)))
    assert badly.model.pinball_loss_kw > 1.1 * scores.model.pinball_loss_kw, "what was foreseen counts, not what came"


def test_a_day_whose_weather_was_not_foreseen_does_not_count() -> None:
    past = with_weather(70)
    begins = held_out_from(training(past=past))

    def without(days: list[int]) -> History:
        weather = {name: one.copy() for name, one in past.weather.items()}
        for day in days:
            weather["temperature_c"][begins + 24 * day + 5] = np.nan
        return replace(past, weather=weather)

    some = judge("ridge", training(past=without([3, 9])))
    assert some.days == HELD_OUT_DAYS - 2
    most = judge("ridge", training(past=without(list(range(2, 12)))))
    assert most == judge("ridge", training(past=replace(past, weather={})))
    assert most.days == HELD_OUT_DAYS


def test_weather_after_a_day_changes_nothing_of_how_it_is_forecast() -> None:
    past = with_weather(70)
    origin = held_out_from(training(past=past)) + 24 * 4
    changed = {
        name: np.where(np.arange(past.grid.steps) >= origin + 24, 99.0, one) for name, one in past.weather.items()
    }
    one, other = (
        make_forecast(task_at(training(past=each), origin), model="ridge")
        for each in (past, replace(past, weather=changed))
    )
    np.testing.assert_array_equal(one.quantiles, other.quantiles)


def test_days_without_readings_are_not_scored_and_nights_do_not_count_as_covered() -> None:
    past = pv_history(40, Orientation(30, 180))
    values = past.values.copy()
    values[-5 * 96 : -3 * 96] = np.nan
    scores = judge("pvwatts", training("pv_kw", replace(past, values=values)))
    assert scores.days == HELD_OUT_DAYS - 2
    assert scores.model.coverage_90 is not None
    assert scores.model.coverage_90 < 1
    dark = judge("ridge", training("pv_kw", replace(past, values=np.zeros(past.grid.steps))))
    assert dark.model.coverage_90 is None
    assert dark.model.rmse_kw == 0


@pytest.mark.parametrize("model", LEARNING)
def test_too_little_history_says_how_much_is_needed(model: str) -> None:
    variable = "pv_kw" if model == "pvwatts" else "load_kw"
    needed = int(find_forecaster(model).needed_days) + HELD_OUT_DAYS
    require_history(model, training(variable, history(needed)))
    for days in (1, HELD_OUT_DAYS, needed - 1):
        with pytest.raises(InsufficientData, match="to learn from") as caught:
            judge(model, training(variable, history(days)))
        assert caught.value.facts == {"needed": needed, "found": days}
    with pytest.raises(InsufficientData):
        TrainingTask(variable, VIENNA, history(needed), MONDAY - timedelta(days=100))


def test_a_history_whose_last_days_are_mostly_missing_cannot_judge() -> None:
    past = history(90)
    values = past.values.copy()
    values[-12 * 24 : -24] = np.nan
    with pytest.raises(InsufficientData, match="at least 7 have readings"):
        judge("ridge", training(past=replace(past, values=values)))


def test_what_does_not_learn_is_not_trained() -> None:
    with pytest.raises(InvalidInput, match=r"models that are trained are ridge, .*, pvwatts"):
        require_learning(["ridge", "seasonal_naive"])
    with pytest.raises(InvalidInput, match="no such model"):
        require_learning(["oracle"])


# Bytes


@pytest.fixture(scope="module")
def kept() -> tuple[FittedModel, Scores, bytes]:
    past = with_weather(60)
    wanted = training(past=past)
    model, scores = fit("ridge_conformal", wanted), judge("ridge_conformal", wanted)
    return model, scores, to_bytes(model, scores)


def test_a_model_comes_back_from_its_bytes_whole(kept: tuple[FittedModel, Scores, bytes]) -> None:
    model, scores, payload = kept
    again, found = from_bytes(payload)
    assert found == scores
    assert (again.site, again.as_of, again.model) == (model.site, model.as_of, model.model)
    assert again.fitted.suits(warm_task(with_weather(60)))
    assert to_bytes(again, found) == payload


def test_bytes_that_are_damaged_or_foreign_are_refused(kept: tuple[FittedModel, Scores, bytes]) -> None:
    payload = kept[2]
    for wrong in (b"", b"not a model", payload[: len(payload) // 2], payload[1000:]):
        with pytest.raises(InvalidInput, match="damaged"):
            from_bytes(wrong)
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(b'{"format": 999}', dtype=np.uint8))
    with pytest.raises(InvalidInput, match="format 999"):
        from_bytes(buffer.getvalue())


def test_bytes_never_bring_objects_along() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(InvalidInput, match="damaged"):
        from_bytes(buffer.getvalue())


@given(
    st.lists(st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), min_size=24, max_size=24), min_size=1, max_size=20)
)
def test_residual_quantiles_are_those_of_the_slots_around(rows: list[list[float | None]]) -> None:
    residuals = np.array(rows, dtype=np.float64)
    found = residual_quantiles(residuals, LEVELS)
    everything = residuals[np.isfinite(residuals)]
    for slot in range(24):
        around = residuals[:, [(slot + step) % 24 for step in (-1, 0, 1)]]
        near = around[np.isfinite(around)]
        pool = near if near.size >= 10 else everything
        wanted = np.quantile(pool, LEVELS) if pool.size else np.zeros(len(LEVELS))
        np.testing.assert_allclose(found[slot], wanted, atol=1e-9)
