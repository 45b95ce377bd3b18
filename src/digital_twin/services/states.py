"""What is happening: a community's state, advanced by its readings, with what was known when and its history.

The state is current as soon as it is asked for: a question advances what is due, as the worker does in the background.
Readings up to a week late are taken up from the state kept at the midnight before them, so that they lead to the very
state that they would have led to in time, as long as the calibration is the same. Older ones start the estimate over,
as do a changed plan, place or set of meters, and every week (sooner in the first days) what was learned meanwhile.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import Conflict, InvalidInput, NotAllowed
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.macro_twin import OBSERVED
from digital_twin.services.access import Grant
from digital_twin.services.ports import (
    Checkpoint,
    Clock,
    ComputePool,
    KnownState,
    Snapshot,
    StateDue,
    StateTrack,
    StateUpdate,
    Store,
    Transaction,
)
from digital_twin.services.provenance import Provenance, instant_text
from digital_twin.services.readings import SMALLEST_SAFE_GROUP
from digital_twin.services.state_document import no_history, safe_history, state_document, with_age
from digital_twin.services.state_inputs import Instruments, instruments_of, readings_of, trim
from digital_twin.services.twin_steps import TwinAnswer, TwinTask, estimate_prior, estimate_state

REPLAY_DAYS = 7
RECALIBRATE_DAYS, SOONEST_DAYS = 7.0, 0.25
"""A model is renewed when as much time has passed as it was learned from, at most a week."""

ATTEMPTS = 3
TIMEOUT_S = 60.0
LONGEST_HISTORY = timedelta(days=400)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """One advance: what to compute, and what its outcome replaces."""

    task: TwinTask
    instruments: Instruments
    provenance: Provenance
    until: datetime  # up to where readings were looked for
    due: StateDue | None = None
    before: Snapshot | None = None

    @property
    def is_anew(self) -> bool:
        return self.task.state is None


class StateService:
    """Use cases around states."""

    def __init__(self, store: Store, clock: Clock, pool: ComputePool) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def due(self) -> list[str]:
        """The communities whose state has readings to take up."""
        async with self._store.platform() as tx:
            return await tx.states.communities_due(self._clock.now())

    async def advance(self, community_id: str) -> bool:
        """Take up what is due; whether the state moved.

        Safe from several processes at once: who comes second finds nothing due, or tries again. Within this one they
        take turns, so that many questions after an ingest compute once.

        Raises:
            NotFound: there is no such community.
            Unavailable: no answer from the process that computes.
        """
        turn = self._turns.setdefault(community_id, asyncio.Lock())
        async with turn:
            return await self._advance(community_id)

    async def _advance(self, community_id: str) -> bool:
        anew = False
        for _ in range(ATTEMPTS):
            async with self._store.community(community_id) as tx:
                plan = await self._plan(tx, community_id, anew=anew)
            if plan is None:
                return False
            try:
                answer = await self._pool.call(estimate_state, plan.task, timeout_s=TIMEOUT_S)
            except InvalidInput:
                if plan.is_anew:
                    raise
                anew = True  # what was kept is of another version of this program
                continue
            try:
                async with self._store.community(community_id) as tx:
                    await self._keep(tx, plan, answer)
            except Conflict:
                continue
            return True
        return False

    async def state(self, grant: Grant, as_of: datetime | None = None) -> dict[str, Any]:
        """The state as it is known now, or was known then, as a document.

        Raises:
            InvalidInput: `as_of` lies in the future.
            NotAllowed: a member asks, and fewer than five homes stand behind the estimate.
        """
        community_id, now = str(grant.community_id), self._clock.now()
        if as_of is None:
            await self.advance(community_id)
        elif as_of > now:
            raise InvalidInput("as_of must not lie in the future", field="as_of")
        asked = as_of or self._clock.now()
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            known = await tx.states.known(asked)
            plan = await self._plan_as_of(tx, community, asked) if known is None else None
        document = await self._answer(plan) if plan is not None else known.document if known is not None else {}
        if grant.member_id is not None and 0 < document["reporting"] < SMALLEST_SAFE_GROUP:
            raise NotAllowed(f"a member sees states of at least {SMALLEST_SAFE_GROUP} reporting homes")
        return with_age(document, asked)

    async def history(self, grant: Grant, start: datetime, end: datetime) -> StateTrack:
        """Estimates over [start, end) as they are known today; NaN where there are none.

        Raises:
            InvalidInput: the span is empty or longer than 400 days.
        """
        if end <= start:
            raise InvalidInput("end must be after start", field="end")
        if end - start > LONGEST_HISTORY:
            raise InvalidInput(
                f"a history spans at most {LONGEST_HISTORY.days} days; ask for shorter spans", field="end"
            )
        community_id = str(grant.community_id)
        await self.advance(community_id)
        async with self._store.community(community_id) as tx:
            track = await tx.states.track(start, end)
        if track is None:
            track = no_history(start, end)
        return track if grant.member_id is None else safe_history(track)

    async def _plan(self, tx: Transaction, community_id: str, *, anew: bool) -> _Plan | None:
        """What to compute for what is due; None where nothing is, or none of it has ended."""
        due = await tx.states.due()
        if due is None:
            return None
        now, before = self._clock.now(), await tx.states.snapshot()
        community = (await tx.communities.get(community_id)).community
        newest = due.changed_until if before is None else max(due.changed_until, before.observed_at)
        provenance = Provenance(now)
        instruments = await instruments_of(tx, community, min(now, newest), provenance)
        end = floor_to_step(min(now, newest), instruments.setting.step_minutes)
        kept = None
        if before is not None and not anew and not _is_outdated(before, instruments, end):
            if due.changed_from >= before.observed_at:
                kept = Checkpoint(before.observed_at, before.state)
            else:
                kept = await tx.states.checkpoint(due.changed_from)
                if kept is None and due.changed_until <= end - instruments.window:
                    await tx.states.settle(due, end)  # too old to matter
                    return None
            if kept is not None and kept.at >= end:
                return None
        if kept is not None and before is not None and end - kept.at <= instruments.window:
            grid = TimeGrid.spanning(kept.at, end, instruments.setting.step_minutes)
            own, meters = await readings_of(tx, instruments, grid, None)
            task = TwinTask(instruments.setting, grid, own, meters, before.model, kept.state)
            return _Plan(task, instruments, provenance, end, due, before)
        task = await _task_anew(tx, instruments, end, None)
        if task is None:
            await tx.states.settle(due, end)
            return None
        return _Plan(task, instruments, provenance, end, due, before)

    async def _keep(self, tx: Transaction, plan: _Plan, answer: TwinAnswer) -> None:
        before, end = plan.before, answer.observed_at
        calibrated_until, calibrated_days = end, plan.task.grid.hours / 24
        if before is not None and not plan.is_anew:
            calibrated_until, calibrated_days = before.calibrated_until, before.calibrated_days
        snapshot = Snapshot(
            version=1 if before is None else before.version + 1,
            setup=plan.instruments.fingerprint,
            observed_at=end,
            calibrated_until=calibrated_until,
            calibrated_days=calibrated_days,
            model=answer.model,
            state=answer.state,
        )
        oldest = end - REPLAY_DAYS * DAY
        track = answer.track
        update = StateUpdate(
            snapshot=snapshot,
            is_new_model=plan.is_anew,
            replaces_from=plan.task.grid.start,
            checkpoints=[Checkpoint(at, state) for at, state in answer.checkpoints if at >= oldest],
            track=StateTrack(plan.task.grid, track.coverage, track.nis, track.reporting, track.mean, track.deviation),
            known=KnownState(plan.provenance.as_of, _document_of(plan, answer)),
            forget_checkpoints_before=oldest,
        )
        await tx.states.save(update)
        if plan.due is not None:
            await tx.states.settle(plan.due, plan.until)
        await tx.events.add("state", {"observed_at": instant_text(end)})

    async def _plan_as_of(self, tx: Transaction, community: Community, as_of: datetime) -> _Plan:
        """The estimate from what was known then, worked out anew; the prior's where nothing was."""
        provenance = Provenance(as_of)
        instruments = await instruments_of(tx, community, as_of, provenance)
        step_minutes = instruments.setting.step_minutes
        task = await _task_anew(tx, instruments, floor_to_step(as_of, step_minutes), as_of)
        if task is None:
            instruments = instruments.without_meters()
            grid = TimeGrid(floor_to_step(as_of, step_minutes), 1, step_minutes)
            nothing = np.full((1, len(OBSERVED)), np.nan)
            task = TwinTask(instruments.setting, grid, nothing, (np.empty((1, 0)),) * len(OBSERVED))
        return _Plan(task, instruments, provenance, as_of)

    async def _answer(self, plan: _Plan) -> dict[str, Any]:
        is_prior = not any(plan.instruments.own) and not any(one.ids for one in plan.instruments.setting.metering)
        estimate = estimate_prior if is_prior else estimate_state
        return _document_of(plan, await self._pool.call(estimate, plan.task, timeout_s=TIMEOUT_S))


def _is_outdated(before: Snapshot, instruments: Instruments, end: datetime) -> bool:
    """Whether the model must be learned again."""
    lifetime = timedelta(days=min(max(before.calibrated_days, SOONEST_DAYS), RECALIBRATE_DAYS))
    return before.setup != instruments.fingerprint or end - before.calibrated_until >= lifetime


async def _task_anew(
    tx: Transaction, instruments: Instruments, end: datetime, as_of: datetime | None
) -> TwinTask | None:
    """A calibration on the window that ends here; None without a reading in it."""
    start = floor_to_step(end - instruments.window, 60)
    grid = TimeGrid.spanning(start, end, instruments.setting.step_minutes)
    if not instruments.keys:
        return None
    trimmed = trim(grid, *await readings_of(tx, instruments, grid, as_of))
    return None if trimmed is None else TwinTask(instruments.setting, *trimmed)


def _document_of(plan: _Plan, answer: TwinAnswer) -> dict[str, Any]:
    return state_document(plan.instruments, plan.provenance, plan.task.grid, answer)
