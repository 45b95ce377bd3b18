"""Questions of plans that are too large or too personal to stand in their result."""

from typing import Protocol

KEPT_QUESTIONS = 30
"""So many results of a community keep such a question: a month of one plan a day."""


class PlanQuestions(Protocol):
    """Of the community that the transaction entered. All of them go when a member is erased, whose loads they hold."""

    async def add(self, result_id: str, payload: bytes) -> None:
        """Of a result that is stored already; the oldest ones go."""
        ...

    async def get(self, result_id: str) -> bytes | None: ...
