"""Events in SQL, and the ear that hears of them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.database import configure_connection
from digital_twin.adapters.postgres.locks import hold_events
from digital_twin.domain.errors import Unavailable
from digital_twin.services.ports import Event

KEPT = "1 day"
FORGOTTEN_AT_ONCE = 100
RECONNECT_S = 1.0
CHANNEL = "twin_event"


class PostgresEvents:
    """The port `Events`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, kind: str, document: dict[str, Any]) -> None:
        await hold_events(self._connection, self._community)
        await self._connection.execute(
            "insert into event (community, kind, document) values (%s, %s, %s)",
            (self._community, kind, Jsonb(document)),
        )
        await self._connection.execute(
            "delete from event where id in (select id from event where community = %s "
            "and at < clock_timestamp() - %s::interval order by at limit %s)",
            (self._community, KEPT, FORGOTTEN_AT_ONCE),
        )

    async def after(self, event_id: int, *, limit: int) -> list[Event]:
        cursor = await self._connection.execute(
            "select id, kind, at, document from event where community = %s and id > %s order by id limit %s",
            (self._community, event_id, limit),
        )
        return [Event(*row) for row in await cursor.fetchall()]

    async def latest_id(self) -> int:
        cursor = await self._connection.execute(
            "select coalesce(max(id), 0) from event where community = %s", (self._community,)
        )
        row = await cursor.fetchone()
        return 0 if row is None else int(row[0])


class _Ear:
    """The port `Listening`."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()

    def hear(self) -> None:
        self._heard.set()

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        except TimeoutError:
            return
        self._heard.clear()


class PostgresEventFeed:
    """The port `EventFeed` on one connection of its own, which is made again when it is lost."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ears: dict[str, set[_Ear]] = defaultdict(set)

    @contextmanager
    def listen(self, community_id: str) -> Generator[_Ear, None, None]:
        ear = _Ear()
        self._ears[community_id].add(ear)
        try:
            yield ear
        finally:
            self._ears[community_id].discard(ear)
            if not self._ears[community_id]:
                del self._ears[community_id]

    async def run(self) -> None:
        """Listen until it is cancelled."""
        while True:
            try:
                async for community_id in notifications(self._address, CHANNEL):
                    for ear in self._ears.get(community_id, ()):
                        ear.hear()
            except Unavailable:
                await asyncio.sleep(RECONNECT_S)
            for ears in self._ears.values():  # what was told meanwhile was missed
                for ear in ears:
                    ear.hear()


async def notifications(address: str, channel: str) -> AsyncGenerator[str, None]:
    """The payloads of a channel as they come, first an empty one when the ear is open.

    Raises:
        Unavailable: the connection is lost.
    """
    try:
        async with await AsyncConnection.connect(address, application_name="digital-twin ear") as connection:
            await configure_connection(connection)
            await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            yield ""
            async for notification in connection.notifies():
                yield notification.payload
    except psycopg.OperationalError as error:
        raise Unavailable("the database does not answer", retry_after_s=RECONNECT_S) from error
