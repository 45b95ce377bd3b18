"""Readings come in exactly once and go out as they were known."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput, NotAllowed, NotFound
from digital_twin.domain.readings import (
    Receipt,
    Rejection,
    SeriesKey,
    SeriesSummary,
    SeriesValues,
    check_readings,
)
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, CommunitySum, Replay, Store, Transaction
from digital_twin.telemetry import READINGS

SMALLEST_SAFE_GROUP = 5
"""A member sees sums over at least this many homes besides their own data."""

MAX_POINTS = 1_000_000
"""Values that one answer may carry."""

USUAL_MINUTES = 15
"""The interval of a series before it is known to be another."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of every reading of a batch."""

    receipt: Receipt
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class ReadingQuery:
    """Which readings to give: the community's own series, or those of one member or asset."""

    names: tuple[str, ...]
    start: datetime
    end: datetime
    member_id: str | None = None
    asset_id: str | None = None
    resolution_minutes: int | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SeriesAnswer:
    """Readings on a grid; for a sum over members with the coverage of each interval."""

    readings: SeriesValues
    total: CommunitySum | None = None


class ReadingService:
    """Use cases around readings."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def record(
        self,
        grant: Grant,
        readings: Sequence[SeriesValues],
        *,
        idempotency_key: str | None = None,
        fingerprint: bytes = b"",
        assumed_delay: timedelta | None = None,
    ) -> IngestReport:
        """Keep the believable readings and name the others; when this returns they are committed.

        Raises:
            InvalidInput: a series has another resolution than before or an unknown member, or the key was used
                with another body.
        """
        kept, rejected = believable(readings, self._clock.now())
        key = f"{grant.caller.account_id}:{idempotency_key}"
        # batches are kept for ever and keys for a day: with the body in its key, no later body is taken for this one
        batch = f"{key}:{fingerprint.hex()}" if idempotency_key else secrets.token_urlsafe(24)
        async with self._store.community(str(grant.community_id)) as tx:
            receipt = await tx.readings.record(kept, key=batch, assumed_delay=assumed_delay)
            if idempotency_key:
                scope = f"readings {grant.community_id}"
                if not await tx.replays.claim(scope, key, fingerprint):
                    earlier = await tx.replays.find(scope, key)
                    if earlier is not None and earlier.fingerprint != fingerprint:
                        raise InvalidInput("this Idempotency-Key was used with another body; use a new key")
                await tx.replays.finish(scope, key, Replay(fingerprint, 200, {}, b""))
        count_readings(receipt, len(rejected))
        return IngestReport(receipt, tuple(rejected))

    async def series(self, grant: Grant) -> list[SeriesSummary]:
        """What is stored; a member sees their own series and the community's."""
        async with self._store.community(str(grant.community_id)) as tx:
            known = await tx.readings.series()
            is_open = await sight(tx, grant)
        return [summary for summary in known if is_open(summary.series.key)]

    async def read(self, grant: Grant, query: ReadingQuery) -> list[SeriesAnswer]:
        """Readings as they are known now, or were known `as_of`.

        A community-level name without a series of its own is answered by the sum over members.

        Raises:
            NotFound: a name that nothing is stored for.
            NotAllowed: a member asks for another's data or for a sum over too few homes.
        """
        _check_span(query)
        keys = [SeriesKey(name, query.member_id, query.asset_id) for name in query.names]
        answers: list[SeriesAnswer] = []
        async with self._store.community(str(grant.community_id)) as tx:
            is_open = await sight(tx, grant)
            if not all(is_open(key) for key in keys):
                raise NotAllowed("a member may read their own series and the community's, not those of others")
            stored = {
                series.key: series for series in await tx.readings.read(keys, query.start, query.end, as_of=query.as_of)
            }
            for key in keys:
                if key in stored:
                    answers.append(SeriesAnswer(stored[key]))
                    continue
                total = None
                if key.member_id is None and key.asset_id is None:
                    total = await tx.readings.community_sum(key.name, query.start, query.end, as_of=query.as_of)
                if total is None:
                    raise NotFound(f"no readings of {key.name} are stored; GET .../series lists those that are")
                answers.append(_sum_answer(grant, key, total))
        _check_size(sum(answer.readings.grid.steps for answer in answers))  # series may be finer than usual
        return [_at_resolution(answer, query.resolution_minutes) for answer in answers]


async def sight(tx: Transaction, grant: Grant) -> Callable[[SeriesKey], bool]:
    """Whether a caller may see a series: a member their own and the community's, also where only an asset is named."""
    own = grant.member_id
    if own is None:
        return lambda _: True
    assets = {None, *(asset.asset_id for asset in await tx.members.assets() if asset.member_id in (None, own))}
    return lambda key: key.member_id in (None, own) and key.asset_id in assets


def _check_span(query: ReadingQuery) -> None:
    if not query.names:
        raise InvalidInput("series must name at least one series, such as load_kw", field="series")
    minutes = (query.end - query.start).total_seconds() / 60
    if minutes <= 0:
        raise InvalidInput("end must be after start", field="end")
    _check_size(minutes * len(query.names) / min(query.resolution_minutes or USUAL_MINUTES, USUAL_MINUTES))


def _check_size(values: float) -> None:
    if values > MAX_POINTS:
        raise InvalidInput(
            f"the span is too long for one answer of at most {MAX_POINTS} values; ask for shorter spans", field="end"
        )


def _sum_answer(grant: Grant, key: SeriesKey, total: CommunitySum) -> SeriesAnswer:
    values = total.total
    if grant.member_id is not None:
        values = np.where(total.reporting >= SMALLEST_SAFE_GROUP, values, np.nan)
    return SeriesAnswer(SeriesValues(key, total.grid, values), total)


def _at_resolution(answer: SeriesAnswer, resolution_minutes: int | None) -> SeriesAnswer:
    series = answer.readings
    if resolution_minutes is None or resolution_minutes == series.grid.step_minutes:
        return answer
    start = floor_to_step(series.grid.start, resolution_minutes)
    end = floor_to_step(series.grid.end - timedelta(seconds=1), resolution_minutes) + timedelta(
        minutes=resolution_minutes
    )
    grid = TimeGrid.spanning(start, end, resolution_minutes)
    total = None if answer.total is None else _coverage_on(grid, answer.total)
    return SeriesAnswer(resample(series, grid), total)


def _coverage_on(grid: TimeGrid, total: CommunitySum) -> CommunitySum:
    """Coverage on a grid that covers the sum's own: those who took part throughout, of the most there ever were."""
    step = math.gcd(grid.step_minutes, total.grid.step_minutes)
    first = int((total.grid.start - grid.start).total_seconds()) // (60 * step)

    def blocks(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        fine = np.zeros(grid.steps * grid.step_minutes // step, dtype=np.int64)
        known = np.repeat(counts, total.grid.step_minutes // step)
        fine[first : first + known.size] = known
        return fine.reshape(grid.steps, -1)

    values = np.full(grid.steps, np.nan)
    return CommunitySum(grid, values, blocks(total.reporting).min(axis=1), blocks(total.members).max(axis=1))


def believable(readings: Sequence[SeriesValues], now: datetime) -> tuple[list[SeriesValues], list[Rejection]]:
    """The readings without those that cannot be, and these with their reasons."""
    checked = [check_readings(series, now) for series in readings]
    return [kept for kept, _ in checked], [one for _, refused in checked for one in refused]


def count_readings(receipt: Receipt, rejected: int) -> None:
    if receipt.replayed:
        return
    for outcome in ("stored", "duplicate", "corrected", "superseded"):
        READINGS.labels(outcome).inc(getattr(receipt, outcome))
    READINGS.labels("rejected").inc(rejected)
