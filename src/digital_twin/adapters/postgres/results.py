"""Stored answers in SQL; their ids are ordered by time."""

from collections.abc import Collection
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.domain.errors import NotFound
from digital_twin.services.ports import StoredResult

_COLUMNS = "result_id::text, kind, created_at, document"


class PostgresResults:
    """The port `Results`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, result: StoredResult) -> None:
        await self._connection.execute(
            "insert into result (result_id, community, kind, created_at, document) values (%s, %s, %s, %s, %s)",
            (result.result_id, self._community, result.kind, result.created_at, Jsonb(result.document)),
        )

    async def get(self, result_id: str, kinds: Collection[str]) -> StoredResult:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from result where community = %s and result_id = %s::uuid and kind = any(%s)",
            (self._community, result_id, list(kinds)),
        )
        row = await cursor.fetchone()
        if row is None:
            raise NotFound(f"there is no result {result_id}")
        return _stored(row)

    async def page(self, *, kinds: Collection[str], before: str | None, limit: int) -> list[StoredResult]:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from result where community = %s and kind = any(%s) "
            "and (%s::uuid is null or result_id < %s::uuid) order by result_id desc limit %s",
            (self._community, list(kinds), before, before, limit),
        )
        return [_stored(row) for row in await cursor.fetchall()]


def _stored(row: tuple[Any, ...]) -> StoredResult:
    return StoredResult(*row)
