"""What a community's series were, as known at one instant: its own series win, else the sum over members stands in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.feeds import FEED_OF
from digital_twin.domain.readings import SUMMED_SERIES, SeriesKey, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.suspicion import Reason, suspect_readings, suspect_stretches
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import CommunitySum, Outcome, Transaction
from digital_twin.services.provenance import instant_text

OWN_READINGS = "community-level readings"

SOME_HAVE = ("pv_kw", "storage_soc_kwh")
"""What not every prosumer has: as many as ever reported together are taken for those who do."""

HISTORY_DAYS = 400
"""A year and a month: the same season of last year is always in it."""


FOOLING = (Reason.SPIKE, Reason.UNIT)
"""What is found in readings and would spoil what is learned from them: few values, but a thousand times as high."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownSeries:
    """A community's series with where it came from in words."""

    values: SeriesValues
    source: str


async def believed_readings(
    tx: Transaction, keys: Sequence[SeriesKey], start: datetime, end: datetime, as_of: datetime | None
) -> list[SeriesValues]:
    """What is known of these series, without the values that their own sources suspect; what rests on readings asks
    here."""
    return [one.believed for one in await tx.readings.read(keys, start, end, as_of=as_of)]


async def community_series(
    tx: Transaction, community: Community, name: str, start: datetime, end: datetime, as_of: datetime
) -> KnownSeries | None:
    """The community-level series, or else the sum over members scaled to all prosumers; None without readings."""
    own = await believed_readings(tx, [SeriesKey(name)], start, end, as_of)
    if own and np.isfinite(own[0].values).any():
        return KnownSeries(own[0], await source_of(tx, name, as_of))
    if name not in SUMMED_SERIES:
        return None
    total = await tx.readings.community_sum(name, start, end, as_of=as_of)
    if total is None or not np.isfinite(total.total).any():
        return None
    return _scaled(community, name, total)


async def source_of(tx: Transaction, name: str, as_of: datetime) -> str:
    """Who told the community-level series: a feed, by its last issue that was known then, or uploads."""
    kind = FEED_OF.get(name)
    issue = None if kind is None else await tx.feeds.newest_issue(kind, outcome=Outcome.STORED, as_of=as_of)
    if kind is None or issue is None or issue.issued_at is None:
        return OWN_READINGS
    source = f"{kind} feed of {issue.source}, issued at {instant_text(issue.issued_at)}"
    attempt = await tx.feeds.newest_issue(kind, as_of=as_of)
    if attempt is not None and attempt.outcome in (Outcome.REFUSED, Outcome.UNAVAILABLE):
        source += f", in place of one that failed at {instant_text(attempt.fetched_at)}"
    return source


def _scaled(community: Community, name: str, total: CommunitySum) -> KnownSeries:
    """The sum of those who reported, scaled to all prosumers of the community who have such a thing."""
    reporting = np.where(total.reporting > 0, total.reporting, np.nan)
    everyone = community.num_prosumers
    if name in SOME_HAVE:
        everyone = round(everyone * float(np.nanmax(reporting / np.maximum(total.members, total.reporting))))
    values = total.total * (everyone / reporting)
    typical = int(np.nanmedian(reporting))
    source = f"sum over {typical} of {everyone} prosumers"
    if typical < everyone:
        source += f", scaled by {everyone}/{typical}"
    return KnownSeries(SeriesValues(SeriesKey(name), total.grid, values), source)


async def history_of(
    tx: Transaction, community: Community, name: str, grid: TimeGrid, as_of: datetime
) -> KnownSeries | None:
    """The series before `grid`, on the grid's resolution or its own coarser one, up to what was known."""
    end = floor_to_step(min(as_of, grid.start), 60)
    known = await community_series(tx, community, name, end - timedelta(days=HISTORY_DAYS), end, as_of)
    if known is None:
        return None
    known = sound(known)
    step_minutes = max(grid.step_minutes, known.values.grid.step_minutes)
    return trimmed(KnownSeries(_on_step(known.values, step_minutes), known.source))


def sound(known: KnownSeries) -> KnownSeries:
    """Without single values that stand out, and days in watts."""
    series = known.values
    found = suspect_stretches(series.key.name, series.grid, series.values[None])
    suspect = suspect_readings(series.values[None], [one for one in found if one.reason in FOOLING])[0]
    if not suspect.any():
        return known
    values = replace(series, values=np.where(suspect, np.nan, series.values))
    return KnownSeries(values, f"{known.source}, without {suspect.sum()} that are hard to believe")


def _on_step(series: SeriesValues, step_minutes: int) -> SeriesValues:
    if series.grid.step_minutes == step_minutes:
        return series
    start = floor_to_step(series.grid.start + timedelta(minutes=step_minutes - 1), step_minutes)
    end = floor_to_step(series.grid.end, step_minutes)
    return resample(series, TimeGrid.spanning(start, end, step_minutes))


def trimmed(known: KnownSeries) -> KnownSeries:
    """Without the empty stretches before the first and after the last reading."""
    finite = np.flatnonzero(np.isfinite(known.values.values))
    first, last = int(finite[0]), int(finite[-1])
    grid = known.values.grid
    shorter = TimeGrid(grid.instant(first), last - first + 1, grid.step_minutes)
    return KnownSeries(SeriesValues(known.values.key, shorter, known.values.values[first : last + 1]), known.source)
