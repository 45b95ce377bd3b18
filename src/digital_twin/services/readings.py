"""Readings come in exactly once and go out as they were known."""

import math
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput, NotAllowed, NotFound
from digital_twin.domain.readings import Receipt, SeriesKey, SeriesSummary, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, CommunitySum, Replay, Store, Transaction
from digital_twin.services.reading_parts import PLAIN, Delivery, ReadingPart, Refusal, Sieve, count_readings, one_part

SMALLEST_SAFE_GROUP = 5
"""A member sees sums over at least this many homes besides their own data."""

MAX_POINTS = 1_000_000
"""Values of an answer that is made as a whole."""

VALUES_AT_ONCE = 500_000
"""Values in memory of an answer that is made span by span."""

USUAL_MINUTES = 15
"""The interval of a series before it is known to be another."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of every reading of a batch; of those refused the first ones are named."""

    receipt: Receipt
    rejected: tuple[Refusal, ...]
    rejected_count: int


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

    async def record(self, grant: Grant, readings: Sequence[SeriesValues], delivery: Delivery = PLAIN) -> IngestReport:
        """Keep readings; when this returns they are committed. Raises as `record_parts`."""
        return await self.record_parts(grant, one_part(readings), delivery)

    async def record_parts(
        self, grant: Grant, parts: AsyncIterable[ReadingPart], delivery: Delivery = PLAIN
    ) -> IngestReport:
        """The same for a batch that comes in parts, in the memory of one of them: all of it is stored, or nothing.

        A lenient delivery keeps the believable readings and names the others.

        Raises:
            InvalidInput: a reading cannot be believed and the delivery is not lenient, a series has another resolution
                than before or an unknown member, or the key was used with another body.
        """
        sieve = Sieve(self._clock.now(), lenient=delivery.lenient)
        believable = sieve.believable(parts)
        key, fingerprint = f"{grant.caller.account_id}:{delivery.idempotency_key}", delivery.fingerprint
        # a batch is known for longer than the key holds: with the body in it, no later body is taken for this one
        batch = f"{key}:{fingerprint.hex()}" if delivery.idempotency_key else secrets.token_urlsafe(24)
        async with self._store.community(str(grant.community_id)) as tx:
            receipt = await tx.readings.record_parts(believable, key=batch, assumed_delay=delivery.assumed_delay)
            async for _ in believable:
                pass  # of a batch that was known already, for the refused readings to be named again
            if delivery.idempotency_key:
                await _claim(tx, f"readings {grant.community_id}", key, fingerprint)
        count_readings(receipt, sieve.refused_count)
        return IngestReport(receipt, tuple(sieve.refused), sieve.refused_count)

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
            InvalidInput: the span is too long for one answer.
            NotFound: a name that nothing is stored for.
            NotAllowed: a member asks for another's data or for a sum over too few homes.
        """
        minutes = _checked_minutes(query)
        _check_size(minutes * len(query.names) / min(query.resolution_minutes or USUAL_MINUTES, USUAL_MINUTES))
        async with self._store.community(str(grant.community_id)) as tx:
            answers = await _answers(tx, grant, query)
        _check_size(sum(answer.readings.grid.steps for answer in answers))  # series may be finer than usual
        return [_at_resolution(answer, query.resolution_minutes) for answer in answers]

    async def read_spans(self, grant: Grant, query: ReadingQuery) -> AsyncGenerator[list[SeriesAnswer], None]:
        """The same of any length, span after span, all as known at one instant. Raises as `read`."""
        _checked_minutes(query)
        spans = list(_spans(query))
        if len(spans) > 1 and query.as_of is None:
            async with self._store.community(str(grant.community_id)) as tx:
                newest = await tx.readings.newest()
            spans = [replace(span, as_of=newest) for span in spans]
        for span in spans:
            async with self._store.community(str(grant.community_id)) as tx:
                answers = await _answers(tx, grant, span)
            yield [_at_resolution(answer, query.resolution_minutes) for answer in answers]


async def _claim(tx: Transaction, scope: str, key: str, fingerprint: bytes) -> None:
    """The key stands for this body from now on. Raises InvalidInput when it stands for another."""
    if not await tx.replays.claim(scope, key, fingerprint):
        earlier = await tx.replays.find(scope, key)
        if earlier is not None and earlier.fingerprint != fingerprint:
            raise InvalidInput("this Idempotency-Key was used with another body; use a new key")
    await tx.replays.finish(scope, key, Replay(fingerprint, 200, {}, b""))


async def _answers(tx: Transaction, grant: Grant, query: ReadingQuery) -> list[SeriesAnswer]:
    """What is known of each name, at its own resolution."""
    keys = [SeriesKey(name, query.member_id, query.asset_id) for name in query.names]
    is_open = await sight(tx, grant)
    if not all(is_open(key) for key in keys):
        raise NotAllowed("a member may read their own series and the community's, not those of others")
    stored = {series.key: series for series in await tx.readings.read(keys, query.start, query.end, as_of=query.as_of)}
    answers: list[SeriesAnswer] = []
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
    return answers


def _spans(query: ReadingQuery) -> Iterator[ReadingQuery]:
    """The question cut at midnights of UTC, so that each answer has a bounded size even with a value a minute."""
    span = timedelta(days=max(1, VALUES_AT_ONCE // (1440 * len(query.names))))
    start = query.start
    while start < query.end:
        midnight = datetime.combine(start.date(), time(), UTC)
        end = min(query.end, midnight + span)
        yield replace(query, start=start, end=end)
        start = end


async def sight(tx: Transaction, grant: Grant) -> Callable[[SeriesKey], bool]:
    """Whether a caller may see a series: a member their own and the community's, also where only an asset is named."""
    own = grant.member_id
    if own is None:
        return lambda _: True
    assets = {None, *(asset.asset_id for asset in await tx.members.assets() if asset.member_id in (None, own))}
    return lambda key: key.member_id in (None, own) and key.asset_id in assets


def _checked_minutes(query: ReadingQuery) -> float:
    """The length of the span. Raises InvalidInput when there is none, or nothing is asked for."""
    if not query.names:
        raise InvalidInput("series must name at least one series, such as load_kw", field="series")
    minutes = (query.end - query.start).total_seconds() / 60
    if minutes <= 0:
        raise InvalidInput("end must be after start", field="end")
    return minutes


def _check_size(values: float) -> None:
    if values > MAX_POINTS:
        raise InvalidInput(
            f"the span is too long for one answer of at most {MAX_POINTS} values in JSON; ask for shorter spans, or "
            "for CSV, Arrow or Parquet, which may be of any length",
            field="end",
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
