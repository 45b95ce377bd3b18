"""How good forecasts are on real series: day-ahead, rolling origin, against the seasonal naive of the same run.

A forecast is issued at each local midnight for the 24 hours that follow, from the 400 days before it and without any
weather, since none of these sets holds weather forecasts that were issued in time. Choices of models and constants are
made on the development period, which lies before the test period.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import Result, report, significant
from benchmarks.real_series import RealSeries, all_series
from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting import Forecast, ForecastTask, History
from digital_twin.forecasting.auto import choose_model, make_forecast
from digital_twin.forecasting.registry import MODELS
from digital_twin.forecasting.scores import normalised_pinball_loss, pinball_loss

HISTORY_DAYS = 400
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
NAIVE = "seasonal_naive"
RESAMPLES = 2_000
DARK_SHARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One model on the days of one series."""

    loss: Array  # (D,) pinball
    relative_loss: Array  # (D,)
    inside: Array  # (D,) share of the 90 % interval
    seconds: Array  # (D,)


def judge(series: RealSeries, period: str) -> tuple[dict[str, Scored], Counter[str]]:
    """Every model that can forecast this variable, and how often `auto` took which."""
    names = [name for name, one in MODELS.items() if series.variable in one.variables]
    days: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    chosen: Counter[str] = Counter()
    lit = _lit_slots(series)
    for origin in series.origins(period):
        task = task_at(series, origin)
        actual = series.values[origin : origin + task.grid.steps]
        if not np.isfinite(actual).any():
            continue
        taken = choose_model(task)
        chosen[taken] += 1
        for name in names:
            started = time.perf_counter()
            try:
                forecast = make_forecast(task, model=name, levels=LEVELS)
            except InsufficientData:
                continue
            day = _score(series, origin, actual, forecast, lit, time.perf_counter() - started)
            days[name].append(day)
            if name == taken:
                days["auto"].append(day)
    whole = max(map(len, days.values()))
    return {name: Scored(*np.array(found).T) for name, found in days.items() if len(found) == whole}, chosen


def task_at(series: RealSeries, origin: int) -> ForecastTask:
    """What the product would know at this midnight."""
    grid = series.grid
    first = max(0, origin - HISTORY_DAYS * 1440 // grid.step_minutes)
    past = History(TimeGrid(grid.instant(first), origin - first, grid.step_minutes), series.values[first:origin], {})
    issued_at = grid.instant(origin)
    target = TimeGrid(issued_at, 1440 // grid.step_minutes, grid.step_minutes)
    return ForecastTask(series.variable, target, issued_at, series.site, past, None)


def _lit_slots(series: RealSeries) -> Array:
    """Slots of the UTC day that count for coverage: nights, at which PV cannot be wrong, do not."""
    slots = 1440 // series.grid.step_minutes
    if series.variable != "pv_kw":
        return np.ones(slots, dtype=np.bool_)
    slot = _slots(series, np.arange(series.grid.steps))
    highest = np.zeros(slots)
    np.maximum.at(highest, slot, np.nan_to_num(series.values))
    return highest > DARK_SHARE * series.site.pv_capacity_kw


def _slots(series: RealSeries, index: Array) -> Array:
    minutes = int(series.grid.start.timestamp()) // 60 + index * series.grid.step_minutes
    return minutes % 1440 // series.grid.step_minutes


def _score(
    series: RealSeries, origin: int, actual: Array, forecast: Forecast, lit: Array, seconds: float
) -> tuple[float, float, float, float]:
    counted = np.isfinite(actual) & lit[_slots(series, origin + np.arange(actual.size))]
    lower, upper = forecast.interval(0.9)
    inside = (actual[counted] >= lower[counted]) & (actual[counted] <= upper[counted])
    relative = float("nan")
    if np.nansum(np.abs(actual)) > 0:
        relative = normalised_pinball_loss(actual, forecast.quantiles, LEVELS)
    return (
        pinball_loss(actual, forecast.quantiles, LEVELS),
        relative,
        float(inside.mean()) if inside.size else float("nan"),
        seconds,
    )


def rows_of(series: RealSeries, scored: dict[str, Scored], chosen: Counter[str]) -> list[list[str]]:
    """The table's rows of one series, `auto` first."""
    scale = float(np.nanmean(np.abs(series.values)))
    names = ["auto", *sorted(name for name in scored if name != "auto")]
    rows: list[list[str]] = []
    for name in names:
        one, naive = scored[name], scored[NAIVE]
        ratio = one.loss.mean() / naive.loss.mean()
        low, high = paired_interval(one.loss, naive.loss)
        label = f"auto ({', '.join(chosen)})" if name == "auto" else name
        rows.append(
            [
                series.name,
                label,
                f"{one.loss.size}",
                significant(100 * one.loss.mean() / scale),
                f"{ratio:.3f} ({low:.3f} to {high:.3f})",
                f"{100 * np.nanmean(one.inside):.1f}",
                significant(1e3 * float(np.median(one.seconds))),
            ]
        )
    return rows


def paired_interval(loss: Array, naive: Array) -> tuple[float, float]:
    """The 90 % interval of the ratio of mean losses over resampled days (paired bootstrap)."""
    days = np.random.default_rng(0).integers(0, loss.size, (RESAMPLES, loss.size))
    low, high = np.quantile(loss[days].mean(axis=1) / naive[days].mean(axis=1), (0.05, 0.95))
    return float(low), float(high)


def run(period: str, only: Sequence[str]) -> Result:
    """The table over all series whose data are there."""
    rows: list[list[str]] = []
    for series in all_series():
        if only and not any(word.lower() in series.name.lower() for word in only):
            continue
        rows.extend(rows_of(series, *judge(series, period)))
    columns = ("series", "model", "days", "pinball, % of mean", "loss, x naive (90 %)", "inside 90 %", "ms a forecast")
    return Result("forecasts", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecasts on real series against the seasonal naive.")
    parser.add_argument("--period", choices=("test", "development"), default="test")
    parser.add_argument("--only", nargs="*", default=[], help="words of the names of the series wanted")
    given = parser.parse_args()
    result = run(given.period, given.only)
    if not result.rows:
        print("skipped: no data in ../shared/data")
    elif given.period == "test" and not given.only:
        report(result, "scripts/bench forecasts")
    else:
        for row in result.rows:
            print(" | ".join(row))


if __name__ == "__main__":
    main()
