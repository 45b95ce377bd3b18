"""The past with hindsight: each interval of a span as all readings of the span tell of it, later ones, too."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.macro_twin.packing import is_current
from digital_twin.services.access import Grant
from digital_twin.services.consistency import Consistency
from digital_twin.services.ports import Clock, ComputePool, Snapshot, StateTrack, Store, Transaction
from digital_twin.services.provenance import Provenance, instant_text
from digital_twin.services.state_document import no_history, safe_history
from digital_twin.services.state_inputs import Instruments, instruments_of, readings_of, temperature_of
from digital_twin.services.state_plans import plan_as_of
from digital_twin.services.states import TIMEOUT_S, StateService
from digital_twin.services.twin_steps import TwinTask, look_back


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What to look back over."""

    task: TwinTask
    steps: int  # of its grid, up to the end of the span
    asked: TimeGrid


class HindsightService:
    """Use cases around the past as it is seen from later on."""

    def __init__(self, states: StateService, store: Store, clock: Clock, pool: ComputePool) -> None:
        self._states = states
        self._store = store
        self._clock = clock
        self._pool = pool

    async def history(self, grant: Grant, start: datetime, end: datetime) -> StateTrack:
        """Estimates over [start, end) from all readings of the span and none after it; NaN where there are none.

        Raises:
            InvalidInput: the span is empty, or begins before what the twin learns from.
            NotFound: there is no such community.
            Unavailable: no answer from the process that computes.
        """
        if end <= start:
            raise InvalidInput("end must be after start", field="end")
        community_id = str(grant.community_id)
        await self._states.advance(community_id)
        async with self._store.community(community_id) as tx:
            plan = await _plan_look_back(tx, community_id, (start, end), self._clock.now())
        if plan is None:
            return no_history(start, end)
        found = await self._pool.call(look_back, plan.task, plan.steps, timeout_s=TIMEOUT_S)
        first = (plan.asked.start - plan.task.grid.start) // plan.asked.step
        never_told = np.full(found.coverage.shape, np.nan)
        columns = (found.coverage, found.nis, found.reporting, found.mean, found.deviation, never_told)
        track = StateTrack(plan.asked, *(_laid_out(one, first, plan.asked.steps) for one in columns))
        return track if grant.member_id is None else safe_history(track)


async def _plan_look_back(
    tx: Transaction, community_id: str, span: tuple[datetime, datetime], now: datetime
) -> _Plan | None:
    """From the last state kept before the span, or from the beginning of what the model was learned from; where no kept
    model fits what stands there today, with one learned for this question. None where nothing was read.
    """
    community = (await tx.communities.get(community_id)).community
    before = await tx.states.snapshot()
    provenance = Provenance(now)
    newest = now if before is None else min(now, before.observed_at)
    instruments = await instruments_of(tx, community, newest, provenance)
    if before is None or before.setup != instruments.fingerprint or not is_current(before.state):
        plan = await plan_as_of(tx, community, now)
        if plan.is_prior:
            return None
        asked = _asked(span, plan.until, plan.instruments)
        steps = min((asked.end - plan.task.grid.start) // asked.step, plan.task.grid.steps)
        return _Plan(plan.task, steps, asked) if steps > 0 else None
    asked = _asked(span, before.calibrated_until, instruments)
    task = await _task(tx, instruments, before, asked, provenance)
    return None if task is None else _Plan(task, task.grid.steps, asked)


def _asked(span: tuple[datetime, datetime], learned_until: datetime, instruments: Instruments) -> TimeGrid:
    """The intervals that the span touches."""
    start, end = span
    step_minutes = instruments.setting.step_minutes
    earliest = floor_to_step(learned_until - instruments.window, step_minutes)
    if start < earliest:
        raise InvalidInput(
            f"with hindsight the past is known from {instant_text(earliest)} on, where the history begins that the "
            "twin learned from; ask from there on, or without hindsight",
            field="start",
        )
    last = floor_to_step(end - timedelta(microseconds=1), step_minutes)
    return TimeGrid.spanning(floor_to_step(start, step_minutes), last + timedelta(minutes=step_minutes), step_minutes)


async def _task(
    tx: Transaction, instruments: Instruments, before: Snapshot, asked: TimeGrid, provenance: Provenance
) -> TwinTask | None:
    """Up to the end of the span, or of what was read."""
    kept = await tx.states.checkpoint(asked.start)
    if kept is None or kept.at < before.learned_from:
        first, state = before.learned_from, None
    else:
        first, state = kept.at, kept.state
    end = min(asked.end, before.observed_at)
    if first >= end:
        return None
    grid = TimeGrid.spanning(first, end, asked.step_minutes)
    own, meters = await readings_of(tx, instruments, grid, None)
    widening = Consistency.from_document(before.consistency).widening
    task = TwinTask(instruments.setting, grid, own, meters, before.model, state, widening)
    return replace(task, temperature_c=await temperature_of(tx, grid, None, provenance))


def _laid_out(values: np.ndarray[Any, Any], first: int, steps: int) -> np.ndarray[Any, Any]:
    """The values from the place `first` on, which may lie before them; beyond both of their ends NaN, 0 for counts."""
    whole = np.full((steps, *values.shape[1:]), 0 if values.dtype == np.int64 else np.nan, values.dtype)
    inside = values[max(first, 0) : max(first + steps, 0)]
    begin = max(-first, 0)
    whole[begin : begin + len(inside)] = inside
    return whole
