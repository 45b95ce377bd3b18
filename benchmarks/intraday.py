"""What a forecast made later in the day gains by following what the day's first one has missed so far.

At each local midnight a day is forecast; in the morning, at noon and in the evening the rest of it is forecast anew,
from all readings until then, once as the model says and once led on. What errors do is learned from the earlier days of
the period alone, at the levels that the service keeps. Load is asked of the ensemble, fitted every two weeks and taught
daily; generation of `pvwatts` without any weather.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.forecasting import REFIT_DAYS, recent
from benchmarks.measure import Result, report
from benchmarks.paths import TEST_DAYS, Home, homes
from benchmarks.real_series import RealSeries, all_series
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import Forecast, ForecastTask, History
from digital_twin.forecasting.auto import make_forecast
from digital_twin.forecasting.backtest import SCORED, known_at
from digital_twin.forecasting.dependence import TYPICAL, learn_dependence, normal_scores
from digital_twin.forecasting.ensemble import FittedEnsemble, ensemble
from digital_twin.forecasting.forecaster import TrainingTask, first_steps, last_days
from digital_twin.forecasting.intraday import JUDGED_HOURS, REACH_HOURS, DaySoFar, lead_on
from digital_twin.forecasting.live_accuracy import DARK_SHARE
from digital_twin.forecasting.past_days import whole_days
from digital_twin.forecasting.scores import Estimate, coverage_of_days, pinball_losses, ratio_of_days
from digital_twin.services.forecasts import QUANTILE_LEVELS, TAIL_LEVELS

HOURS = (6, 12, 18)
FIRST_JUDGED, FEWEST_DAYS = 5, 14
"""The days before it are to learn from; so many tell how errors fade, as in the service."""

PV_HISTORY_DAYS = 120
LEVELS = tuple(sorted({*QUANTILE_LEVELS, *TAIL_LEVELS}))
KEPT = [LEVELS.index(level) for level in QUANTILE_LEVELS]
LOW, HIGH = LEVELS.index(0.05), LEVELS.index(0.95)
Ask = Callable[[int, int], Forecast]
"""The forecast of the day from one interval of the series until another, from all that was known at the first."""


@dataclass(frozen=True, slots=True, eq=False)
class AskedDay:
    """A day as it was forecast when it began and later, and what happened."""

    actual: Array  # (S,)
    first: Forecast
    later: dict[int, Forecast]  # by hour


def asked_days(series: RealSeries, period: str) -> list[AskedDay]:
    """The days of a load, by the ensemble."""
    task = recent(series.task(period))
    days = whole_days(task.history.grid, task.site.timezone).latest(series.test_days)
    found: list[AskedDay] = []
    fitted: FittedEnsemble | None = None
    for place, (first, last) in enumerate(zip(days.first.tolist(), days.last.tolist(), strict=True)):
        known = known_at(task, first)
        fitted = fitted.update(known) if fitted is not None and place % REFIT_DAYS else ensemble.fit(known)
        found.append(_asked(task.history, first, last, _by(fitted, task)))
    return found


def _by(fitted: FittedEnsemble, task: TrainingTask) -> Ask:
    def ask(start: int, end: int) -> Forecast:
        history = task.history
        grid = TimeGrid(history.grid.instant(start), end - start, history.grid.step_minutes)
        foreseen = {name: one[start:end] for name, one in history.weather.items()}
        asked = ForecastTask(task.variable, grid, grid.start, task.site, first_steps(history, start), foreseen or None)
        said = fitted.predict(asked, LEVELS)
        return Forecast(task.variable, grid, grid.start, said.mean, LEVELS, said.quantiles, "ensemble")

    return ask


def asked_sun(home: Home, period: str) -> list[AskedDay]:
    """The days of a generation."""
    a_day = 1440 // home.grid.step_minutes
    skipped = 0 if period == "test" else TEST_DAYS
    history = History(home.grid, home.pv_kw, {})

    def ask(start: int, end: int) -> Forecast:
        grid = TimeGrid(home.grid.instant(start), end - start, home.grid.step_minutes)
        past = last_days(first_steps(history, start), PV_HISTORY_DAYS)
        asked = ForecastTask("pv_kw", grid, grid.start, home.site, past, None)
        return make_forecast(asked, model="pvwatts", levels=LEVELS)

    firsts = [home.grid.steps - back * a_day for back in range(TEST_DAYS + skipped, skipped, -1)]
    return [_asked(history, first, first + a_day, ask) for first in firsts]


def _asked(history: History, first: int, last: int, ask: Ask) -> AskedDay:
    steps_an_hour = 60 // history.grid.step_minutes
    later = {hour: ask(first + hour * steps_an_hour, last) for hour in HOURS}
    return AskedDay(history.values[first:last], ask(first, last), later)


def pairs_of(days: list[AskedDay], hour: int) -> Iterator[tuple[Array, Forecast, Forecast]]:
    """What happened within reach of the hour, what the model says of it then, and what it says led on."""
    steps = max(day.actual.size for day in days)
    scores = np.full((len(days), steps), np.nan)
    for row, day in zip(scores, days, strict=True):
        row[: day.actual.size] = normal_scores(day.actual, day.first.quantiles[:, KEPT], QUANTILE_LEVELS)
    step_hours = days[0].first.grid.step_hours
    now = round(hour / step_hours)
    unknown = np.full_like(scores, np.nan)
    for place in range(FIRST_JUDGED, len(days)):
        day, earlier = days[place], slice(0, place)
        both = (scores, unknown) if day.first.variable != "pv_kw" else (unknown, scores)
        dependence = learn_dependence(*(one[earlier] for one in both), step_hours) if place >= FEWEST_DAYS else TYPICAL
        so_far = np.where(np.arange(steps) < now, scores[place], np.nan)
        grid = day.first.grid
        led = lead_on(day.later[hour], DaySoFar(grid.start, grid.step_minutes, so_far, scores[earlier]), dependence)
        yield day.actual[now:], day.later[hour], led


def row_of(name: str, model: str, days: list[AskedDay], hour: int) -> list[str]:
    """The table's row of one series at one hour."""
    pairs = list(pairs_of(days, hour))
    step_hours = days[0].first.grid.step_hours
    near, far = round(JUDGED_HOURS / step_hours), round(REACH_HOURS / step_hours)
    said, led = (np.stack([_losses(pair[0], pair[place], far) for pair in pairs]) for place in (1, 2))
    ratios = [_ratio(led[:, span], said[:, span]) for span in (slice(0, near), slice(near, far))]
    highest = max(float(np.nanmax(day.actual)) for day in days)
    dark_kw = DARK_SHARE * highest if days[0].first.variable == "pv_kw" else -np.inf
    inside = [_inside(pairs, place, near, dark_kw) for place in (1, 2)]
    return [name, model, f"{hour:02d}:00", str(len(pairs)), *ratios, *inside]


def _losses(actual: Array, forecast: Forecast, steps: int) -> Array:
    """Of each interval, none where nothing is known or the day is over."""  # (steps,)
    losses = pinball_losses(actual, forecast.quantiles, LEVELS)[:steps, SCORED].mean(axis=1)
    return np.pad(np.nan_to_num(losses), (0, steps - losses.size))


def _ratio(led: Array, said: Array) -> str:
    if not said.any(axis=1).sum() > len(said) / 2:
        return ""
    return _told(ratio_of_days(led.sum(axis=1), said.sum(axis=1), np.random.default_rng(0)), 1, 3)


def _inside(pairs: list[tuple[Array, Forecast, Forecast]], place: int, steps: int, dark_kw: float) -> str:
    """Of the nearest intervals that could be missed, as they can on most days."""
    actual = np.stack([pair[0][:steps] for pair in pairs])
    quantiles = np.stack([pair[place].quantiles[:steps] for pair in pairs])
    actual = np.where(np.maximum(actual, quantiles[..., HIGH]) > dark_kw, actual, np.nan)
    known = np.isfinite(actual).any(axis=1)
    if known.mean() < 0.5:
        return ""
    bounds = (quantiles[known][..., LOW], quantiles[known][..., HIGH])
    return _told(coverage_of_days(actual[known], *bounds, np.random.default_rng(0)), 100, 1)


def _told(estimate: Estimate, scale: float, decimals: int) -> str:
    value, low, high = (f"{scale * one:.{decimals}f}" for one in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecasts later in the day, led on by what it has shown.")
    parser.add_argument("--period", choices=("test", "development"), default="test")
    given = parser.parse_args()
    asked = [(one.name, "ensemble", lambda one=one: asked_days(one, given.period)) for one in all_series()]
    asked += [(f"PV of {one.name}", "pvwatts", lambda one=one: asked_sun(one, given.period)) for one in homes()]
    if not asked:
        print("skipped: no data in ../shared/data")
        return
    rows: list[list[str]] = []
    for name, model, make in asked:
        days = make()
        added = [row_of(name, model, days, hour) for hour in HOURS]
        rows.extend(added)
        for row in added:
            print(" | ".join(row), flush=True)
    columns = (
        "series",
        "model",
        "asked at",
        "days",
        "loss of the next 6 h, led on / as said",
        "of the 6 h after",
        "inside 90 % as said",
        "inside 90 % led on",
    )
    if given.period == "test":
        report(Result("intraday", columns, rows), "scripts/bench intraday")


if __name__ == "__main__":
    main()
