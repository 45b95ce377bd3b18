"""Questions of plans in SQL."""

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.services.ports.plan_questions import KEPT_QUESTIONS


class PostgresPlanQuestions:
    """The port `PlanQuestions`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, result_id: str, payload: bytes) -> None:
        await self._connection.execute(
            "insert into plan_question (community, result_id, payload) values (%s, %s::uuid, %b)",
            (self._community, result_id, payload),
        )
        await self._connection.execute(
            "delete from plan_question where community = %(community)s and result_id not in (select result_id from "
            "  plan_question where community = %(community)s order by result_id desc limit %(kept)s)",
            {"community": self._community, "kept": KEPT_QUESTIONS},
        )

    async def get(self, result_id: str) -> bytes | None:
        cursor = await self._connection.execute(
            "select payload from plan_question where community = %s and result_id = %s::uuid",
            (self._community, result_id),
            binary=True,
        )
        row = await cursor.fetchone()
        return None if row is None else bytes(row[0])
