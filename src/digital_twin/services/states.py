"""What is happening: a community's state, advanced by its readings, with what was known when and its history.

The state is current as soon as it is asked for: a question advances what is due, as the worker does in the background.
Readings up to a week late are taken up from the state kept at the midnight before them, so that they lead to the very
state that they would have led to in time, as long as the calibration is the same. Older ones start the estimate over,
as do a changed plan, place or set of meters, errors that are not as large as they were said to be, and every week
(sooner in the first days) what was learned meanwhile.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from digital_twin.domain.errors import Conflict, InvalidInput, NotAllowed
from digital_twin.domain.readings import EARLIEST_READING
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin import OBSERVED
from digital_twin.macro_twin.packing import is_current
from digital_twin.services.access import Grant
from digital_twin.services.consistency import (
    Consistency,
    after_advance,
    errors_of,
    told_after_h,
    untold,
    widening_told,
    with_alert,
)
from digital_twin.services.ports import Clock, ComputePool, StateTrack, Store, Transaction
from digital_twin.services.provenance import Provenance, instant_text
from digital_twin.services.readings import SMALLEST_SAFE_GROUP
from digital_twin.services.state_document import for_member, no_history, safe_history, with_age
from digital_twin.services.state_inputs import Instruments, instruments_of, temperature_of
from digital_twin.services.state_plans import Plan, plan_as_of, plan_due
from digital_twin.services.state_updates import Advance, document_anew, measure, update_of
from digital_twin.services.twin_steps import TwinAnswer, estimate_prior, estimate_state

ATTEMPTS = 3
TIMEOUT_S = 60.0
LONGEST_HISTORY = timedelta(days=400)
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where a community's twin stands: what further questions start from."""

    instruments: Instruments
    provenance: Provenance
    model: bytes
    state: bytes
    at: datetime
    is_prior: bool  # nothing has been read yet
    widening: tuple[float, ...]  # of the deviations of each of `OBSERVED`, as late truth has taught
    as_of: datetime | None  # where only what was known then counts


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
            started = time.monotonic()
            async with self._store.community(community_id) as tx:
                plan = await plan_due(tx, community_id, self._clock.now(), anew=anew)
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
                    advance = await self._keep(tx, plan, answer)
            except Conflict:
                continue
            measure(advance, started)
            return True
        return False

    async def state(self, grant: Grant, as_of: datetime | None = None) -> dict[str, Any]:
        """The state as it is known now, or was known then, as a document.

        Raises:
            InvalidInput: `as_of` lies in the future, or before all that can be read.
            NotAllowed: a member asks, and fewer than five homes stand behind the estimate.
        """
        community_id, now = str(grant.community_id), self._clock.now()
        if as_of is None:
            await self.advance(community_id)
        elif not EARLIEST_READING <= as_of <= now:
            raise InvalidInput(
                f"as_of must lie in {EARLIEST_READING.year} or later, and not in the future", field="as_of"
            )
        asked = as_of or self._clock.now()
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            known = await tx.states.known(asked)
            plan = await plan_as_of(tx, community, asked) if known is None else None
        if plan is not None:
            document = document_anew(plan, await self._estimate(plan))
        else:
            document = known.document if known is not None else {}
        if grant.member_id is not None and 0 < document["reporting"] < SMALLEST_SAFE_GROUP:
            raise NotAllowed(f"a member sees states of at least {SMALLEST_SAFE_GROUP} reporting homes")
        return with_age(document if grant.member_id is None else for_member(document), asked)

    async def standing(self, grant: Grant, as_of: datetime | None = None) -> Standing:
        """The newest state, advanced to what has come, with the model that it moves on with; or what it was `as_of`.

        Raises InvalidInput and NotAllowed as `state` does.
        """
        await self.state(grant, as_of)
        community_id, now = str(grant.community_id), as_of or self._clock.now()
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            widening = (1.0,) * len(OBSERVED)
            if as_of is not None:
                known = await tx.states.known(as_of)
                widening = widening if known is None else widening_told(known.document)
            elif (snapshot := await tx.states.snapshot()) is not None:
                widening = Consistency.from_document(snapshot.consistency).widening
                provenance = Provenance(now)
                instruments = await instruments_of(tx, community, min(now, snapshot.observed_at), provenance)
                if snapshot.setup == instruments.fingerprint and is_current(snapshot.state):
                    provenance.cover(snapshot.learned_from, snapshot.observed_at)
                    return Standing(
                        instruments, provenance, snapshot.model, snapshot.state, snapshot.observed_at,
                        is_prior=False, widening=widening, as_of=None,
                    )  # fmt: skip
            plan = await plan_as_of(tx, community, now)
        answer = await self._estimate(plan)
        is_prior = answer.nis is None
        if not is_prior:
            plan.provenance.cover(plan.task.grid.start, answer.observed_at)
        return Standing(
            plan.instruments, plan.provenance, answer.model, answer.state, answer.observed_at, is_prior, widening, as_of
        )

    async def temperature(self, standing: Standing, community_id: str, grid: TimeGrid) -> Array | None:
        """The outdoor temperature of these steps, as it is known or forecast now, or was then."""  # (T,)
        async with self._store.community(community_id) as tx:
            return await temperature_of(tx, grid, standing.as_of, standing.provenance)

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

    async def _keep(self, tx: Transaction, plan: Plan, answer: TwinAnswer) -> Advance:
        before, grid, now = plan.before, plan.task.grid, plan.provenance.as_of
        earlier = None
        if before is not None and before.setup == plan.instruments.fingerprint and grid.start < before.observed_at:
            earlier = await tx.states.track(grid.start, before.observed_at)
        errors = errors_of(earlier, answer)
        kept = Consistency() if before is None else Consistency.from_document(before.consistency)
        week_steps = WEEK / grid.step
        consistency = after_advance(kept, answer, errors, week_steps=week_steps, is_anew=plan.is_anew)
        lost = untold(consistency, now)
        if lost:
            consistency = with_alert(consistency, now)
        await tx.states.save(update_of(plan, answer, consistency, told_after_h(earlier, grid, now)))
        if plan.due is not None:
            await tx.states.settle(plan.due, plan.until)
        told = {"observed_at": instant_text(answer.observed_at)}
        await tx.events.add("state", told)
        if lost:
            await tx.events.add("alert", {"about": "consistency", "streams": lost, **told})
        return Advance(plan.is_anew, answer, errors, lost)

    async def _estimate(self, plan: Plan) -> TwinAnswer:
        estimate = estimate_prior if plan.is_prior else estimate_state
        return await self._pool.call(estimate, plan.task, timeout_s=TIMEOUT_S)
