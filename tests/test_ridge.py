"""A line for each slot of the day: its solution, its penalty, and what its features may know."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.builders import MONDAY
from tests.histories import VIENNA, history, task

from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting import slot_regression
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.features import FeatureDesign, FeatureInputs, lags_of, load_features
from digital_twin.forecasting.forecast import ForecastTask, History
from digital_twin.forecasting.forecaster import BACK_DAYS, TrainingTask
from digital_twin.forecasting.local_days import Reach, days_back, reaches, reaches_of, to_local_days
from digital_twin.forecasting.registry import DEFAULT_LEVELS
from digital_twin.forecasting.regression import calibrated_ridge
from digital_twin.forecasting.slot_regression import HALF_LIFE_DAYS, NEIGHBOURS, PENALTIES, fit_slots, predict_slots


def test_ridge_is_the_solution_of_its_normal_equations() -> None:
    """All rows of a slot and its neighbours stacked, solved as one least-squares problem with the penalty as rows."""
    generator = np.random.default_rng(1)
    features, table = generator.normal(3, 2, (7, 50, 6)), generator.normal(0, 1, (50, 7))
    table[7, 2] = np.nan
    fitted = fit_slots(features, table, until=50, penalties=(3.0,))
    known = np.isfinite(table.T)
    weight = np.where(known, 0.5 ** (np.arange(50)[::-1] / HALF_LIFE_DAYS), 0)
    mean = np.average(np.nan_to_num(table.T), axis=1, weights=weight)
    centred = features - np.average(features, axis=1, weights=np.repeat(weight[:, :, None], 6, axis=2))[:, None]
    spread = np.average(centred**2, axis=1, weights=np.repeat(weight[:, :, None], 6, axis=2))
    x = centred / np.sqrt(spread.mean(axis=0))
    y = np.nan_to_num(table.T - mean[:, None])
    shares = {0: 1.0, 1: NEIGHBOURS[0], -1: NEIGHBOURS[0], 2: NEIGHBOURS[1], -2: NEIGHBOURS[1]}
    for slot in range(7):
        root = [np.sqrt(share * weight[(slot + by) % 7]) for by, share in shares.items()]
        rows = [x[(slot + by) % 7] * one[:, None] for by, one in zip(shares, root, strict=True)]
        targets = [y[(slot + by) % 7] * one for by, one in zip(shares, root, strict=True)]
        penalty = np.sqrt(3.0 * sum(shares.values())) * np.eye(6)
        slopes = np.linalg.lstsq(np.vstack([*rows, penalty]), np.concatenate([*targets, np.zeros(6)]))[0]
        np.testing.assert_allclose(fitted.coefficients[slot], [*slopes, mean[slot]], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(predict_slots(fitted, features)[slot], x[slot] @ slopes + mean[slot], rtol=1e-7)


def test_leave_one_out_residuals_are_those_of_refits_without_the_day() -> None:
    """Where neighbours are alike, leaving a day out leaves it out of them, too."""
    generator = np.random.default_rng(2)
    features, table = generator.normal(0, 1, (1, 40, 3)), generator.normal(0, 1, (40, 1))
    fitted = fit_slots(features.repeat(6, axis=0), table.repeat(6, axis=1), until=40, penalties=(4.0,))
    x = np.column_stack([(features[0] - fitted.center[0]) / fitted.scale, np.ones(40)])
    weight = 0.5 ** (np.arange(40)[::-1] / HALF_LIFE_DAYS)
    for day in (0, 13, 39):
        kept = np.arange(40) != day
        gram = x[kept].T @ (x[kept] * weight[kept, None]) + np.diag([4.0, 4.0, 4.0, 0.0])
        without = np.linalg.solve(gram, x[kept].T @ (weight[kept] * table[kept, 0]))
        assert fitted.residuals[0, day] == pytest.approx(table[day, 0] - x[day] @ without)


def test_the_penalty_is_the_one_with_which_days_left_out_are_forecast_best() -> None:
    generator = np.random.default_rng(4)
    features = generator.normal(0, 1, (24, 60, 30))
    noise, tied = generator.normal(0, 1, (60, 24)), features[:, :, 0].T
    weight = 0.5 ** (np.arange(60)[::-1] / HALF_LIFE_DAYS)
    for table, is_strict in ((noise, True), (tied, False)):
        losses = {
            penalty: (weight * np.abs(fit_slots(features, table, until=60, penalties=(penalty,)).residuals)).sum()
            for penalty in PENALTIES
        }
        best = min(losses, key=losses.__getitem__)
        assert (best == max(PENALTIES)) is is_strict
        chosen, alone = fit_slots(features, table, until=60), fit_slots(features, table, until=60, penalties=(best,))
        np.testing.assert_array_equal(chosen.coefficients, alone.coefficients)


def test_all_histories_run_the_same_compiled_code() -> None:
    """Another layout of memory would be compiled anew when it is first met, for seconds."""
    for past in (history(60), history(23), replace(history(40), values=np.where(np.arange(960) < 30, np.nan, 1.0))):
        make_forecast(task(past), model="ridge_conformal")
    for name in ("_center_and_scale", "_sums", "_under_penalties"):
        assert len(vars(slot_regression)[name].signatures) == 1


@pytest.mark.parametrize("hour", [0, 10])
def test_a_forecast_fits_no_more_than_it_asks_and_says_the_same(hour: int) -> None:
    past = history(60, end=MONDAY + timedelta(hours=hour - 1))  # which is so many hours after midnight in Vienna
    prepared = calibrated_ridge.fit(TrainingTask("load_kw", VIENNA, past, past.grid.end))
    np.testing.assert_array_equal(
        make_forecast(task(past), model="ridge_conformal").quantiles,
        prepared.predict(task(past), DEFAULT_LEVELS).quantiles,
    )


def test_what_is_asked_at_midnights_alone_knows_whole_days() -> None:
    past = history(60, end=MONDAY - timedelta(hours=1))
    learned = TrainingTask("load_kw", VIENNA, past, past.grid.end, at_midnights=True)
    assert set(calibrated_ridge.fit(learned).slots) == {Reach(days, days) for days in BACK_DAYS}


def test_an_hour_that_was_never_seen_is_forecast_like_the_others() -> None:
    past = history(60)
    hour = local_clock(past.grid, VIENNA.timezone).hour
    made = make_forecast(task(replace(past, values=np.where(hour == 5, np.nan, past.values))), model="ridge")
    at_five = made.mean[local_clock(made.grid, VIENNA.timezone).hour == 5]
    assert np.abs(at_five - past.values.mean()).max() < 15


def features_of(inputs: FeatureInputs, reach: Reach) -> np.ndarray:
    usual = np.full(inputs.table.shape[1], 10.0)
    return load_features(inputs, lags_of(inputs.table, reach, usual), FeatureDesign(usual, False, {}, {}))


def test_features_for_a_day_do_not_see_that_day() -> None:
    generator = np.random.default_rng(3)
    table = generator.normal(10, 1, (60, 24))
    days = np.arange(60)
    for reach in reaches_of((1, 2, 8)):
        inputs = FeatureInputs(days, table, days % 7, np.zeros(60, bool), days % 366 + 1, {})
        before = features_of(inputs, reach)
        changed = table.copy()
        changed[50 - reach.back + 1 :] = 99
        changed[50 - reach.back, 13 if reach.whole > reach.back else 24 :] = 99  # what comes after the last known cell
        after = features_of(replace(inputs, table=changed), reach)
        np.testing.assert_array_equal(before[12, 50], after[12, 50])


def test_features_follow_what_was_known_last() -> None:
    """The last cell that a forecast may know changes its features: nothing known is thrown away by a day."""
    table = np.random.default_rng(3).normal(10, 1, (60, 24))
    days = np.arange(60)
    inputs = FeatureInputs(days, table, days % 7, np.zeros(60, bool), days % 366 + 1, {})
    for reach in reaches_of((1, 2)):
        day, slot = (50 - reach.back, 12) if reach.whole > reach.back else (50 - reach.back, 23)
        changed = table.copy()
        changed[day, slot] += 5
        moved = features_of(replace(inputs, table=changed), reach) - features_of(inputs, reach)
        assert np.abs(moved[12, 50]).max() > 0.1


@pytest.mark.parametrize("issued", [0, 1, 13, 23])
def test_what_a_forecast_reaches_back_to_is_known_when_it_is_made(issued: int) -> None:
    known = (100, issued - 1) if issued else (99, 23)
    targets = to_cells(datetime(1970, 1, 1, issued, tzinfo=UTC) + timedelta(days=100), 72)
    found = np.zeros(72, dtype=int)
    for reach, chosen in reaches(targets, known):
        found += chosen
        day, slot = targets.day[chosen], targets.slot[chosen]
        is_over = lambda past, upto: (past < known[0]) | ((past == known[0]) & (upto <= known[1]))  # noqa: E731
        assert is_over(day - reach.back, slot).all()
        assert not (is_over(day - reach.back + 1, slot) & (reach.back > 1)).any()
        assert is_over(day - reach.whole, 23).all()
        assert not (is_over(day - reach.whole + 1, 23) & (reach.whole > 1)).any()
        assert reach in reaches_of((reach.back,))
    assert (found == 1).all()


def test_targets_take_lags_from_days_that_are_over() -> None:
    grid = TimeGrid(MONDAY, 48, 60)
    table = to_local_days(np.arange(48.0), grid, "UTC", until_day=0)
    assert table.table.shape == (2, 24)
    day, slot = table.last_known
    cells = to_cells(MONDAY + timedelta(days=2), 30)
    assert days_back(cells, (day, slot)).tolist() == [1] * 24 + [2] * 6
    assert days_back(cells, (day, 11)).tolist() == [1] * 12 + [2] * 12 + [2] * 6


def to_cells(start: datetime, steps: int):
    from digital_twin.forecasting.local_days import cells_of

    return cells_of(TimeGrid(start, steps, 60), "UTC")


def test_the_day_of_23_hours_lacks_a_slot_and_the_day_of_25_has_its_mean() -> None:
    spring = TimeGrid(datetime(2026, 3, 28, 23, tzinfo=UTC), 23, 60)
    autumn = TimeGrid(datetime(2026, 10, 24, 22, tzinfo=UTC), 25, 60)
    short = to_local_days(np.arange(23.0), spring, "Europe/Vienna", until_day=0).table
    long = to_local_days(np.arange(25.0), autumn, "Europe/Vienna", until_day=0).table
    assert np.flatnonzero(np.isnan(short[0])).tolist() == [2]
    assert long[0, :5].tolist() == [0, 1, 2.5, 4, 5]


@pytest.mark.parametrize("issued_at", [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
@pytest.mark.parametrize("model", ["seasonal_naive", "ridge", "ridge_conformal", "standard_load"])
def test_the_days_on_which_the_clock_changes_are_forecast_like_others(issued_at: datetime, model: str) -> None:
    past = history(60, end=issued_at)
    made = make_forecast(
        ForecastTask("load_kw", TimeGrid(issued_at, 25, 60), issued_at, VIENNA, past, None), model=model
    )
    assert np.isfinite(made.quantiles).all()
    steps = np.abs(np.diff(made.mean))
    assert steps.max() < 25


def test_a_public_holiday_is_forecast_as_one() -> None:
    new_year = datetime(2026, 12, 31, 23, tzinfo=UTC)
    grid = TimeGrid(new_year - timedelta(days=400), 400 * 24, 60)
    days = local_clock(grid, VIENNA.timezone).day
    load_kw = np.where(holidays_of("AT", days), 20.0, 40.0) + np.random.default_rng(3).normal(0, 0.5, grid.steps)
    past = History(grid, load_kw, {})
    with_calendar = make_forecast(task(past), model="ridge")
    without = make_forecast(task(past, site=replace(VIENNA, country=None)), model="ridge")
    assert with_calendar.mean.mean() < 27 < 35 < without.mean.mean()


def test_a_country_without_a_known_calendar_has_no_holidays() -> None:
    assert not holidays_of("XX", np.arange(20_000, 20_400)).any()
    assert not holidays_of(None, np.arange(20_000, 20_400)).any()


def test_a_community_without_readings_is_less_certain_than_one_with() -> None:
    def width(past: History | None) -> float:
        made = make_forecast(task(past), model="standard_load")
        low, high = made.interval(0.9)
        return float(((high - low) / made.mean).mean())

    assert width(None) > 1.5 * width(history(3))
