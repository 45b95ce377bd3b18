"""Questions of plans in memory."""

from digital_twin.services.ports.plan_questions import KEPT_QUESTIONS


class MemoryPlanQuestions:
    """The port `PlanQuestions`."""

    def __init__(self, table: dict[str, bytes]) -> None:
        self._table = table

    async def add(self, result_id: str, payload: bytes) -> None:
        self._table[result_id] = payload
        for old in sorted(self._table)[:-KEPT_QUESTIONS]:
            del self._table[old]

    async def get(self, result_id: str) -> bytes | None:
        return self._table.get(result_id)
