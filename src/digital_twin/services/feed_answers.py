"""What a source's answer becomes in the store: the community's own series, each value with its quality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.feeds import (
    FED_SERIES,
    MARKET_STEP_MINUTES,
    PLAIN_TERMS,
    CarbonFeed,
    Feed,
    FeedKind,
    PriceFeed,
    WeatherFeed,
    repeat_last_day,
)
from digital_twin.domain.generation_mix import average_emission_factor
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesKey, SeriesValues, check_readings
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import MixAnswer, PriceAnswer, WeatherAnswer

DEFAULT_CURRENCY = "EUR"

FORESEEN = timedelta(hours=48)
"""So far ahead there is a price and an emission factor: what is not published yet is that of the day before."""

LEAST_OF_THE_NEXT_DAY = 0.9
"""A forecast that tells less of the next day's temperature is none."""


@dataclass(frozen=True, slots=True, eq=False)
class FeedTask:
    """A feed that is brought up to date: for whom, when, and at which resolution each of its series is kept."""

    feed: Feed
    community: Community
    now: datetime
    steps: Mapping[str, int]

    @property
    def timezone(self) -> str:
        return self.community.timezone or "UTC"


def steps_of(feed: Feed, kept: Mapping[str, int]) -> dict[str, int]:
    """The resolution of each series of the feed: the one it is kept at already, or the feed's own."""
    usual = feed.resolution_minutes if isinstance(feed, WeatherFeed) else MARKET_STEP_MINUTES
    return {name: kept.get(name, usual) for name in FED_SERIES[feed.kind]}


def check_terms(feed: Feed, community: Community) -> None:
    """Raises InvalidInput for import terms beside a tariff, which takes the series for the market price."""
    if isinstance(feed, PriceFeed) and community.tariff is not None and feed.import_terms != PLAIN_TERMS:
        raise InvalidInput(
            "the community has a tariff, beside which import_price_per_kwh is the market price: leave import_terms "
            "out, or take the tariff away so that the feed's prices count",
            field="import_terms",
        )


def forecast_series(answer: WeatherAnswer, task: FeedTask, since: datetime | None) -> list[SeriesValues]:
    """The forecast from `since` on (what lies before is archived), all of it estimated.

    Raises:
        InvalidInput: it tells too little of the next day, or what cannot be.
    """
    told = believed(_on_steps(answer.series, task), task.now)
    temperature = next(one for one in told if one.key.name == "temperature_c")
    day = TimeGrid(floor_to_step(task.now, 60), 24, 60)
    if np.isfinite(resample(temperature, day).values).mean() < LEAST_OF_THE_NEXT_DAY:
        raise InvalidInput("the forecast tells too little of the next day's temperature")
    kept = told if since is None else [later for one in told if (later := _after(one, since)) is not None]
    return [flagged(one, Quality.ESTIMATED) for one in kept]


def archived_series(answer: WeatherAnswer, task: FeedTask) -> list[SeriesValues]:
    """Past weather, taken for measured. Raises InvalidInput for what cannot be."""
    return believed(_on_steps(answer.series, task), task.now)


def price_series(answer: PriceAnswer, task: FeedTask) -> list[SeriesValues]:
    """Import and export price of the published spot price.

    Raises:
        InvalidInput: another currency than the community's, or what cannot be.
    """
    assert isinstance(task.feed, PriceFeed)
    currency = task.community.currency or DEFAULT_CURRENCY
    if answer.currency != currency:
        raise InvalidInput(f"the prices are in {answer.currency}, the community counts in {currency}")
    terms = {"import_price_per_kwh": task.feed.import_terms, "export_price_per_kwh": task.feed.export_terms}
    told = [
        SeriesValues(SeriesKey(name), answer.grid, one.price_of(answer.spot_per_kwh)) for name, one in terms.items()
    ]
    return believed(_on_steps(told, task), task.now)


def carbon_series(answer: MixAnswer, task: FeedTask) -> list[SeriesValues]:
    """The average emission factor of what generated. Raises InvalidInput for what cannot be."""
    assert isinstance(task.feed, CarbonFeed)
    factors = average_emission_factor(answer.mix, task.feed.basis)
    told = SeriesValues(SeriesKey(FED_SERIES[FeedKind.CARBON][0]), answer.mix.grid, factors)
    return believed(_on_steps([told], task), task.now)


def foreseen(known: Sequence[SeriesValues], task: FeedTask, quality: Quality) -> list[SeriesValues]:
    """The same hours of the last day that is known, from where it ends until FORESEEN from now."""
    until = floor_to_step(task.now, 60) + FORESEEN
    ahead = [repeat_last_day(one, until, task.timezone) for one in known]
    return [flagged(one, quality) for one in ahead if one is not None]


def substituted(kept: Sequence[SeriesValues], task: FeedTask) -> list[SeriesValues]:
    """What stands in while nothing better comes: all that lies ahead and was never measured."""
    here = floor_to_step(task.now, 60)
    ahead = [later for one in kept if (later := _after(one, here)) is not None]
    estimates = [flagged(_unmeasured(one), Quality.SUBSTITUTED) for one in ahead]
    if task.feed.kind is FeedKind.WEATHER:
        return estimates
    return [*estimates, *foreseen(kept, task, Quality.SUBSTITUTED)]


def unless_measured(told: Sequence[SeriesValues], kept: Sequence[SeriesValues]) -> list[SeriesValues]:
    """Estimates without those in whose place a measurement is kept."""
    by_key = {one.key: one for one in kept}
    estimates: list[SeriesValues] = []
    for one in told:
        if (before := by_key.get(one.key)) is None:
            estimates.append(one)
            continue
        there = resample(before, one.grid)
        measured = np.isfinite(there.values) & ~_is_flagged(there)
        estimates.append(replace(one, values=np.where(measured, np.nan, one.values)))
    return estimates


def flagged(series: SeriesValues, quality: Quality) -> SeriesValues:
    """All of it of one quality."""
    return replace(series, flags=np.full(series.grid.steps, quality, dtype=np.uint8))


def believed(told: Sequence[SeriesValues], now: datetime) -> list[SeriesValues]:
    """What was told, if all of it can be: one wrong value makes the rest doubtful.

    Raises:
        InvalidInput: a value out of its range, or too far ahead.
    """
    for one in told:
        rejected = check_readings(one, now)[1]
        if rejected:
            first = rejected[0]
            raise InvalidInput(f"{first.reason}, which the source broke {len(rejected)} times from {first.start} on")
    if not any(np.isfinite(one.values).any() for one in told):
        raise InvalidInput("the source answers without a single value")
    return list(told)


def _on_steps(told: Sequence[SeriesValues], task: FeedTask) -> list[SeriesValues]:
    return [_on_step(one, task.steps[one.key.name]) for one in told]


def _on_step(series: SeriesValues, step_minutes: int) -> SeriesValues:
    if series.grid.step_minutes == step_minutes:
        return series
    start = floor_to_step(series.grid.start, step_minutes)
    end = floor_to_step(series.grid.end - timedelta(seconds=1), step_minutes) + timedelta(minutes=step_minutes)
    return resample(series, TimeGrid.spanning(start, end, step_minutes))


def _after(series: SeriesValues, since: datetime) -> SeriesValues | None:
    """From `since` on; None where it ends before."""
    first = max(0, -((series.grid.start - since) // series.grid.step))
    if first >= series.grid.steps:
        return None
    grid = TimeGrid(series.grid.instant(first), series.grid.steps - first, series.grid.step_minutes)
    flags = None if series.flags is None else series.flags[first:]
    return SeriesValues(series.key, grid, series.values[first:], flags)


def _unmeasured(series: SeriesValues) -> SeriesValues:
    return replace(series, values=np.where(_is_flagged(series), series.values, np.nan))


def _is_flagged(series: SeriesValues) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if series.flags is None:
        return np.zeros(series.grid.steps, dtype=np.bool_)
    return series.flags != Quality.MEASURED
