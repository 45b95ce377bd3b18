"""Idempotency keys in SQL: claimed, finished, forgotten after a day."""

from datetime import timedelta

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.services.ports import Replay

KEPT = timedelta(hours=24)
IN_FLIGHT = timedelta(minutes=5)
FORGOTTEN_AT_ONCE = 100
"""Each new key makes room for others that are past their time."""


class PostgresReplays:
    """The port `Replays`; a row notes by itself which community its transaction has entered."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def claim(self, scope: str, key: str, fingerprint: bytes) -> bool:
        await self._connection.execute(
            "delete from idempotency where (scope, key) in (select scope, key from idempotency "
            "where created_at < clock_timestamp() - %s::interval order by created_at limit %s for update skip locked)",
            (KEPT, FORGOTTEN_AT_ONCE),
        )
        await self._connection.execute(
            "delete from idempotency where scope = %s and key = %s "
            "and created_at < clock_timestamp() - case status when 0 then %s else %s end",
            (scope, key, IN_FLIGHT, KEPT),
        )
        cursor = await self._connection.execute(
            "insert into idempotency (scope, key, fingerprint) values (%s, %s, %s) on conflict do nothing",
            (scope, key, fingerprint),
        )
        return cursor.rowcount == 1

    async def find(self, scope: str, key: str) -> Replay | None:
        cursor = await self._connection.execute(
            "select fingerprint, status, headers, body from idempotency where scope = %s and key = %s", (scope, key)
        )
        row = await cursor.fetchone()
        return None if row is None else Replay(*row)

    async def finish(self, scope: str, key: str, replay: Replay) -> None:
        await self._connection.execute(
            "update idempotency set status = %s, headers = %s, body = %s where scope = %s and key = %s",
            (replay.status, Jsonb(replay.headers), replay.body, scope, key),
        )

    async def release(self, scope: str, key: str) -> None:
        await self._connection.execute("delete from idempotency where scope = %s and key = %s", (scope, key))
