"""Members' plans in SQL: a row each, powers as little-endian single precision."""

from collections.abc import Sequence
from typing import Any, LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.services.ports.member_plans import KEPT_MEMBER_PLANS, PLAN_COLUMNS, MemberPlan

_AT_ONCE = 1000
_COLUMNS: LiteralString = "member_id, cost, saved, powers"


class PostgresMemberPlans:
    """The port `MemberPlans`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, result_id: str, plans: Sequence[MemberPlan]) -> None:
        for first in range(0, len(plans), _AT_ONCE):
            some = plans[first : first + _AT_ONCE]
            await self._connection.execute(
                f"insert into member_plan (community, result_id, {_COLUMNS}) "
                "select %s, %s::uuid, given.* from unnest(%s::text[], %s::float8[], %s::float8[], %b::bytea[]) "
                f"as given ({_COLUMNS}) join member m on m.community = %s and m.member_id = given.member_id",
                (
                    self._community, result_id, [one.member_id for one in some], [one.cost for one in some],
                    [one.saved for one in some], [one.powers.astype("<f4").tobytes() for one in some], self._community,
                ),
            )  # fmt: skip
        await self._connection.execute(
            "delete from member_plan where community = %(community)s and result_id < ("
            "  select min(result_id::text)::uuid from (select distinct result_id from member_plan "
            "  where community = %(community)s order by result_id desc limit %(kept)s) newest)",
            {"community": self._community, "kept": KEPT_MEMBER_PLANS},
        )

    async def page(self, result_id: str, *, after: str | None, limit: int) -> list[MemberPlan]:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from member_plan where community = %s and result_id = %s::uuid and member_id > %s "
            "order by member_id limit %s",
            (self._community, result_id, after or "", limit),
            binary=True,
        )
        return [_plan(row) for row in await cursor.fetchall()]

    async def newest(self, member_id: str) -> tuple[str, MemberPlan] | None:
        cursor = await self._connection.execute(
            f"select result_id::text, {_COLUMNS} from member_plan where community = %s and member_id = %s "
            "order by result_id desc limit 1",
            (self._community, member_id),
            binary=True,
        )
        row = await cursor.fetchone()
        return None if row is None else (row[0], _plan(row[1:]))

    async def of_member(self, result_id: str, member_id: str) -> MemberPlan | None:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from member_plan where community = %s and result_id = %s::uuid and member_id = %s",
            (self._community, result_id, member_id),
            binary=True,
        )
        row = await cursor.fetchone()
        return None if row is None else _plan(row)


def _plan(row: tuple[Any, ...]) -> MemberPlan:
    member_id, cost, saved, powers = row
    return MemberPlan(member_id, cost, saved, np.frombuffer(powers, dtype="<f4").reshape(len(PLAN_COLUMNS), -1))
