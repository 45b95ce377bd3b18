"""Plans that are kept: why they are as they are, and the model that anyone can solve again."""

from typing import Any, Literal

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.optimization.plan import DispatchProblem, Powers, Weights
from digital_twin.services.access import Grant
from digital_twin.services.feed_answers import DEFAULT_CURRENCY
from digital_twin.services.ports import ComputePool, Store
from digital_twin.services.question_computations import explain_question, write_question
from digital_twin.services.question_document import QUESTION, question_from
from digital_twin.services.schedule_document import KIND


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
            InvalidInput: a plan whose question was not kept.
        """
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            document = (await tx.results.get(result_id, (KIND,))).document
        problem, weights = _question_of(document)
        explained = await self._pool.call(
            explain_question,
            problem,
            weights,
            _powers_of(document),
            (community.timezone or "UTC", community.currency or DEFAULT_CURRENCY),
            self._timeout_s,
            timeout_s=self._timeout_s + 5,
        )
        return {"result_id": result_id, "objective": document["objective"], **explained}

    async def model(self, grant: Grant, result_id: str, form: Literal["lp", "mps"]) -> str:
        """The linear program of a plan as text. Raises NotFound and InvalidInput."""
        async with self._store.community(str(grant.community_id)) as tx:
            document = (await tx.results.get(result_id, (KIND,))).document
        problem, weights = _question_of(document)
        return await self._pool.call(
            write_question, problem, weights, form, self._timeout_s, timeout_s=self._timeout_s + 5
        )


def _question_of(document: dict[str, Any]) -> tuple[DispatchProblem, Weights]:
    question = document.get(QUESTION)
    if question is None:
        raise InvalidInput(
            "of this plan no question was kept: it was made under risk, for single members, under fixed shares, or "
            "by an earlier version; make a plan without these",
            field="result_id",
        )
    return question_from(question)


def _powers_of(document: dict[str, Any]) -> Powers:
    """What the kept plan does: the question has other plans that are as good."""
    charge, discharge, curtailed = (np.array(document[name]) for name in ("charge_kw", "discharge_kw", "curtailed_kw"))
    devices = tuple((np.array(one["charge_kw"]), np.array(one["discharge_kw"])) for one in document.get("devices", ()))
    return Powers(charge, discharge, curtailed, devices)
