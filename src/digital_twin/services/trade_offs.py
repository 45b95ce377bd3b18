"""Cost against another aim: the trade-off, and the one of its plans that is chosen."""

from dataclasses import dataclass
from typing import Any, Literal

from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.optimization.plan import OBJECTIVES
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, ComputePool, Store, StoredResult
from digital_twin.services.provenance import instant_text
from digital_twin.services.question_computations import point_and_compare, trade_question
from digital_twin.services.question_document import QUESTION, question_document, question_from
from digital_twin.services.schedule_document import KIND as DISPATCH
from digital_twin.services.schedule_document import new_result_id, schedule_document
from digital_twin.services.schedules import DispatchRequest, ScheduleService
from digital_twin.services.trade_off_document import KIND, PLAN, POINT_AGAINST

Against = Literal["emissions", "self_sufficiency", "peak"]


@dataclass(frozen=True, slots=True, eq=False)
class TradeOffRequest:
    """What to plan, what to trade cost against, and with how many points."""

    dispatch: DispatchRequest
    against: Against
    points: int


class TradeOffService:
    """Use cases around trade-offs."""

    def __init__(
        self, store: Store, clock: Clock, pool: ComputePool, schedules: ScheduleService, *, timeout_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._schedules = schedules
        self._timeout_s = timeout_s

    async def trade_off(self, grant: Grant, request: TradeOffRequest) -> StoredResult:
        """Plans from the cheapest to the best in the other aim, kept as one result. Raises as a dispatch."""
        community_id = str(grant.community_id)
        prepared = await self._schedules.prepare(community_id, request.dispatch)
        question = question_document(prepared.problem, OBJECTIVES["minimize_cost"])
        if question is None:
            raise InvalidInput("under fixed shares a trade-off is not kept; plan one objective at a time")
        found = await self._pool.call(
            trade_question,
            prepared.problem,
            request.against,
            request.points,
            self._timeout_s,
            timeout_s=self._timeout_s + 5,
        )
        now, grid = self._clock.now(), prepared.problem.outlook.grid
        result_id = new_result_id(now)
        document = {
            "result_id": result_id,
            "kind": KIND,
            "against": request.against,
            "start": instant_text(grid.start),
            "resolution_minutes": grid.step_minutes,
            **found,
            QUESTION: question,
            "provenance": prepared.provenance.to_document(),
        }
        result = StoredResult(result_id, KIND, now, document)
        async with self._store.community(community_id) as tx:
            await tx.results.add(result)
        return result

    async def keep(self, grant: Grant, result_id: str, number: int) -> StoredResult:
        """One point as a plan of its own, which is listed, exported and applied as any other.

        Raises:
            NotFound: no such trade-off, or no such point in it.
        """
        community_id = str(grant.community_id)
        async with self._store.community(community_id) as tx:
            document = (await tx.results.get(result_id, (KIND,))).document
        if not 0 <= number < len(document["points"]):
            raise NotFound("the trade-off has no point of this number")
        problem, _ = question_from(document[QUESTION])
        plan: dict[str, Any] = document["points"][number][PLAN]
        comparison = await self._pool.call(point_and_compare, problem, plan, timeout_s=self._timeout_s)
        now = self._clock.now()
        kept = schedule_document(problem, f"{POINT_AGAINST}{document['against']}", comparison)
        kept |= {"result_id": new_result_id(now), "provenance": document["provenance"]}
        result = StoredResult(kept["result_id"], DISPATCH, now, kept)
        async with self._store.community(community_id) as tx:
            await tx.results.add(result)
            await tx.events.add("schedule", {"result_id": result.result_id, "objective": kept["objective"]})
        return result
