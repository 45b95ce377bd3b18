"""How good forecasts of generation are: day-ahead, with the weather of the very hours, against peers of the same run.

The weather is what a satellite saw, as if it had been foreseen without error; what is judged is what is made of it.
Choices were made on the development period, the year before the test period.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.measure import Result, report, significant
from benchmarks.pv_peers import PeerTask, boosted_quantiles, fitted_pvwatts, persistence
from benchmarks.pv_series import PlantSeries, citylearn, pvdaq
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.pv import FittedPhotovoltaics, pvwatts
from digital_twin.forecasting.scores import coverage_of_days, pinball_losses, ratio_of_days
from digital_twin.forecasting.solar import Sky

LEVELS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)
PERIODS = {
    "test": (datetime(2013, 7, 1, 7, tzinfo=UTC), datetime(2014, 1, 1, 7, tzinfo=UTC)),
    "development": (datetime(2012, 7, 1, 7, tzinfo=UTC), datetime(2013, 7, 1, 7, tzinfo=UTC)),
}
CITYLEARN_DAYS = 56
REFIT_DAYS, COLD_DAYS = 7, 30
OURS = "ours"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The quantiles of one contestant for the hours asked, and what they cost."""

    quantiles: Array  # (asked, Q)
    fit_seconds: float
    predict_seconds: float | None


@dataclass(frozen=True, slots=True)
class Span:
    """Hours of a plant: learned from `first` on, asked from `begin` until `end`."""

    first: int
    begin: int
    end: int


def ask_ours(plant: PlantSeries, span: Span, *, window_days: int | None = None, is_frozen: bool = False) -> Answers:
    """As in production: fitted every week on what is known then, asked at each midnight; frozen: fitted once."""
    made: list[Array] = []
    fits: list[float] = []
    asked: list[float] = []
    fitted: FittedPhotovoltaics | None = None
    for origin in range(span.begin, span.end, 24):
        first = span.first if window_days is None else origin - 24 * window_days
        known = span.begin if is_frozen else origin
        if fitted is None or (not is_frozen and (origin - span.begin) % (24 * REFIT_DAYS) == 0):
            history = plant.history(first, known)
            started = time.process_time()
            fitted = pvwatts.fit(TrainingTask("pv_kw", plant.site, history, history.grid.end))
            fits.append(time.process_time() - started)
        task = plant.task(first, known, origin)
        started = time.process_time()
        made.append(fitted.predict(task, LEVELS).quantiles)
        asked.append(time.process_time() - started)
    return Answers(np.concatenate(made), float(np.median(fits)), float(np.median(asked)))


def ask_peer(peer: Callable[[PeerTask], Array], plant: PlantSeries, span: Span) -> Answers:
    hours, counted = np.arange(plant.grid.steps), plant.counted()
    told = counted & (hours >= span.first) & (hours < span.begin)
    asked = (hours >= span.begin) & (hours < span.end)
    started = time.process_time()
    quantiles = peer(PeerTask(plant, told, asked, LEVELS))
    return Answers(quantiles, time.process_time() - started, None)


def rows_of(plant: PlantSeries, span: Span, title: str, contestants: dict[str, Answers]) -> list[list[str]]:
    """A row each; `x ours` with its interval over days."""
    hours = slice(span.begin, span.end)
    values = np.where(plant.counted()[hours], plant.values[hours], np.nan).reshape(-1, 24)
    lit = (Sky(plant.site, [plant.grid], {}).clear_ghi_wm2[hours] > 0).reshape(-1, 24)
    losses = {
        name: np.nansum(pinball_losses(values, one.quantiles.reshape(-1, 24, len(LEVELS)), LEVELS).mean(axis=2), axis=1)
        for name, one in contestants.items()
    }
    rows: list[list[str]] = []
    for name, one in contestants.items():
        quantiles = one.quantiles.reshape(-1, 24, len(LEVELS))
        inside = [
            coverage_of_days(np.where(lit, values, np.nan), quantiles[:, :, low], quantiles[:, :, -1 - low], _chance())
            for low in (1, 0)
        ]
        ratio = ratio_of_days(losses[name], losses[OURS], _chance())
        rows.append(
            [
                title,
                name,
                significant(100 * losses[name].sum() / np.isfinite(values).sum() / plant.capacity_kw),
                "1" if name == OURS else f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
                *(f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})" for found in inside),
                significant(one.fit_seconds, 2),
                "" if one.predict_seconds is None else significant(1e3 * one.predict_seconds, 2),
            ]
        )
    return rows


def _chance() -> np.random.Generator:
    return np.random.default_rng(0)


def judge_pvdaq(period: str) -> list[list[str]]:
    """The whole history, and thirty days of it."""
    begin, end = PERIODS[period]
    plant = pvdaq(begin)
    if plant is None:
        return []
    whole = Span(0, plant.place_of(begin), plant.place_of(end))
    peers = {
        "persistence": persistence,
        "pvlib PVWatts, fitted": fitted_pvwatts,
        "LightGBM quantiles": boosted_quantiles,
    }
    answers = {
        OURS: ask_ours(plant, whole),
        "ours, fitted once": ask_ours(plant, whole, is_frozen=True),
        **{name: ask_peer(peer, plant, whole) for name, peer in peers.items()},
    }
    rows = rows_of(plant, whole, "PVDAQ, full history", answers)
    cold = Span(plant.place_of(begin - timedelta(days=COLD_DAYS)), whole.begin, whole.end)
    few = {
        OURS: ask_ours(plant, cold, is_frozen=True),
        "ours, always the last 30 days": ask_ours(plant, cold, window_days=COLD_DAYS),
        **{name: ask_peer(peer, plant, cold) for name, peer in peers.items()},
    }
    return rows + rows_of(plant, cold, "PVDAQ, 30 days, fitted once", few)


def judge_citylearn(period: str) -> list[list[str]]:
    """Without weather, of which this set has none of its own time."""
    plant = citylearn()
    if plant is None:
        return []
    days = plant.grid.steps // 24 - (0 if period == "test" else CITYLEARN_DAYS)
    span = Span(0, 24 * (days - CITYLEARN_DAYS), 24 * days)
    answers = {
        OURS: ask_ours(plant, span),
        **{
            name: ask_peer(peer, plant, span)
            for name, peer in (("persistence", persistence), ("LightGBM quantiles", boosted_quantiles))
        },
    }
    return rows_of(plant, span, "CityLearn, 17 homes, no weather", answers)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecasts of generation against peers.")
    parser.add_argument("--period", choices=tuple(PERIODS), default="test")
    period = parser.parse_args().period
    rows = [*judge_pvdaq(period), *judge_citylearn(period)]
    columns = (
        "plant", "model", "pinball, % of capacity", "x ours (95 %)", "inside 90 %", "inside 95 %", "CPU s a fit",
        "CPU ms a day",
    )  # fmt: skip
    result = Result("pv", columns, rows)
    if not rows:
        print("skipped: no data in ../shared/data")
    elif period == "test":
        report(result, "scripts/bench pv")
    else:
        for row in rows:
            print(" | ".join(row))


if __name__ == "__main__":
    main()
