"""Plans that are kept: why they are as they are, and the model that anyone can solve again."""

from dataclasses import dataclass
from typing import Any, Literal

from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Grant
from digital_twin.services.feed_answers import DEFAULT_CURRENCY
from digital_twin.services.fleet_document import KIND as MEMBERS_KIND
from digital_twin.services.ports import KEPT_QUESTIONS, ComputePool, Store
from digital_twin.services.question_computations import explain_question, write_question
from digital_twin.services.question_document import QUESTION, Kept, answer_of
from digital_twin.services.schedule_document import KIND
from digital_twin.services.trade_off_document import POINT_AGAINST

KINDS = (KIND, MEMBERS_KIND)


@dataclass(frozen=True, slots=True, eq=False)
class _KeptPlan:
    """A plan with its question, and where and in what it counts."""

    document: dict[str, Any]
    question: Kept
    place: tuple[str, str]


class KeptPlanService:
    """Use cases around plans that were made earlier."""

    def __init__(self, store: Store, pool: ComputePool, *, timeout_s: float) -> None:
        self._store = store
        self._pool = pool
        self._timeout_s = timeout_s

    async def explanation(self, grant: Grant, result_id: str) -> dict[str, Any]:
        """What its limits are worth and what it does when and why, found by solving its question again.

        Raises:
            NotFound: no such plan.
            InvalidInput: a plan whose question is not kept.
        """
        kept = await self._kept(grant, result_id)
        explained = await self._pool.call(
            explain_question,
            kept.question,
            kept.document,
            kept.place,
            self._timeout_s,
            timeout_s=self._timeout_s + 5,
        )
        return {"result_id": result_id, "objective": kept.document["objective"], **explained}

    async def model(self, grant: Grant, result_id: str, form: Literal["lp", "mps"]) -> str:
        """The linear program of a plan as text.

        Raises:
            NotFound: no such plan.
            InvalidInput: a plan whose question is not kept, or a model that is too large for a file.
        """
        kept = await self._kept(grant, result_id)
        return await self._pool.call(
            write_question, kept.question, form, self._timeout_s, timeout_s=self._timeout_s + 5
        )

    async def _kept(self, grant: Grant, result_id: str) -> _KeptPlan:
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            document = (await tx.results.get(result_id, KINDS)).document
            question: Kept | None = document.get(QUESTION) or await tx.plan_questions.get(result_id)
        if question is None and document["objective"].startswith(POINT_AGAINST):
            raise InvalidInput(
                "a plan that was taken from a trade-off has no question of its own to explain or to write down: it is "
                "the cheapest within the cap of its point, whose price the trade-off tells",
                field="result_id",
            )
        if question is None:
            raise InvalidInput(
                f"the question of this plan is not kept any more: the newest {KEPT_QUESTIONS} plans of single members, "
                "under risk or under fixed shares keep theirs, until a member is erased; make the plan again",
                field="result_id",
            )
        return _KeptPlan(
            answer_of(document), question, (community.timezone or "UTC", community.currency or DEFAULT_CURRENCY)
        )
