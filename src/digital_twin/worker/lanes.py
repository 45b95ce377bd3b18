"""Messages on their way into the database: those of one community together, side by side with those of others."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from digital_twin.domain.errors import TwinError
from digital_twin.services.ingest import IngestService, Piece
from digital_twin.services.ports import Clock, Delivery
from digital_twin.telemetry import MQTT_HELD, MQTT_LAG, MQTT_MESSAGES, get_logger

GATHER_S = 0.2
AT_ONCE = 1_000
"""So long a community's messages are gathered, and so many at most are stored together."""

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 10.0


@dataclass(slots=True)
class _Held:
    """A message until every community that it concerns has stored what it says."""

    delivery: Delivery
    left: int


class Lanes:
    """One lane a community that messages wait in; left, it lets go of them, and the broker sends them again."""

    def __init__(self, ingest: IngestService, clock: Clock, *, side_by_side: int) -> None:
        self._ingest = ingest
        self._clock = clock
        self._room = asyncio.Semaphore(side_by_side)
        self._waiting: dict[str, list[tuple[Piece, _Held]]] = defaultdict(list)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        MQTT_HELD.dec(self._held)

    def put(self, delivery: Delivery) -> None:
        """A message into the lanes of all whom it concerns."""
        routes = self._ingest.routes.of(delivery.message.topic)
        if not routes:
            MQTT_MESSAGES.labels("unmapped").inc()
            delivery.acknowledge()
            return
        held = _Held(delivery, len(routes))
        self._held += 1
        MQTT_HELD.inc()
        for route in routes:
            self._waiting[route.community_id].append((Piece(delivery.message, route.reader), held))
            if route.community_id not in self._tasks:
                self._tasks[route.community_id] = asyncio.create_task(self._empty(route.community_id))

    async def drain(self) -> None:
        """Until all lanes are empty."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _empty(self, community_id: str) -> None:
        waiting = self._waiting[community_id]
        while waiting:
            if len(waiting) < AT_ONCE:
                await asyncio.sleep(GATHER_S)
            some = waiting[:AT_ONCE]
            await self._store(community_id, [piece for piece, _ in some])
            del waiting[: len(some)]
            for _, held in some:
                self._finish(held)
        del self._waiting[community_id], self._tasks[community_id]

    async def _store(self, community_id: str, pieces: Sequence[Piece]) -> None:
        """Until it is committed, however long the database is away."""
        delay_s = FIRST_DELAY_S
        while True:
            try:
                async with self._room:
                    return await self._ingest.store(community_id, pieces)
            except TwinError as error:
                get_logger().warning("messages_wait", community_id=community_id, error=error.message)
            except Exception as error:
                get_logger().error("messages_wait", community_id=community_id, exc_info=error)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _finish(self, held: _Held) -> None:
        held.left -= 1
        if not held.left:
            held.delivery.acknowledge()
            self._held -= 1
            MQTT_HELD.dec()
            MQTT_LAG.observe((self._clock.now() - held.delivery.message.received_at).total_seconds())
