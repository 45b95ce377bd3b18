"""The ingester: takes messages from the broker, has them stored, and acknowledges them when they are committed."""

import asyncio
import signal
from contextlib import suppress

from digital_twin.bootstrap import Intake, Settings, open_intake
from digital_twin.domain.errors import Unavailable
from digital_twin.services.ports import BrokerSession, Ingester
from digital_twin.telemetry import MQTT_CONNECTED, configure_logging, get_logger, serve_metrics
from digital_twin.worker.lanes import Lanes
from digital_twin.worker.rounds import every

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
TELL_EVERY_S, SETTLE_EVERY_S, RECONNECT_S = 5.0, 5.0, 1.0
DRAIN_TIMEOUT_S = 5.0


async def take_messages(settings: Settings) -> None:
    """Until a signal ends it."""
    configure_logging(settings.log_level)
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    async with open_intake(settings) as intake:
        if settings.ingest_metrics_port is not None:
            serve_metrics(settings.ingest_metrics_port)
        await Ingestion(intake).run(stop)


class Ingestion:
    """One ingester at work."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._loaded, self._changed = asyncio.Event(), asyncio.Event()
        self._filters: frozenset[str] | None = None  # until we are connected, what the ingester before us told
        self._is_connected = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what has been taken by then is stored and acknowledged."""
        rounds = (
            every(RECONNECT_S, self._follow_mappings),
            every(TELL_EVERY_S, self._tell),
            every(SETTLE_EVERY_S, self._intake.ingest.settle_samples),
        )
        beside = [asyncio.create_task(one) for one in rounds]
        stopped, loaded = asyncio.create_task(stop.wait()), asyncio.create_task(self._loaded.wait())
        try:
            # a message that came before the mappings are known would be taken for one that nobody reads
            await asyncio.wait((stopped, loaded), return_when=asyncio.FIRST_COMPLETED)
            await self._keep_connected(stopped)
            with suppress(Unavailable):
                await self._tell()
        finally:
            tasks = (*beside, stopped, loaded)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _keep_connected(self, stopped: "asyncio.Task[bool]") -> None:
        delay_s = FIRST_DELAY_S
        while not stopped.done():
            try:
                async with self._intake.broker.session() as session:
                    delay_s = FIRST_DELAY_S
                    await self._take(session, stopped)
            except Unavailable as error:
                wait_s = max(delay_s, error.facts.get("retry_after_s", 0.0))
                get_logger().warning("ingest_interrupted", error=error.message, retry_after_s=wait_s)
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
                await asyncio.wait((stopped,), timeout=wait_s)

    async def _take(self, session: BrokerSession, stopped: "asyncio.Task[bool]") -> None:
        """Take messages until the connection is lost or the ingester is told to end."""
        if self._filters is None:
            self._filters = await self._intake.ingest.subscribed_before(self._intake.broker.client_id)
        if self._filters and not session.is_resumed:
            get_logger().warning("session_forgotten", error="what was published since we were connected last is lost")
        self._is_connected = True
        self._changed.set()  # whatever the broker still knows, it is told anew
        MQTT_CONNECTED.set(1)
        async with Lanes(self._intake.ingest, self._intake.clock, side_by_side=self._intake.side_by_side) as lanes:
            taking = asyncio.create_task(_put_all(session, lanes))
            try:
                await self._keep_subscribed(session, taking, stopped)
            finally:
                self._is_connected = False
                MQTT_CONNECTED.set(0)
                taking.cancel()
                await asyncio.wait((taking,))
            await _drain(lanes)

    async def _keep_subscribed(
        self, session: BrokerSession, taking: "asyncio.Task[None]", stopped: "asyncio.Task[bool]"
    ) -> None:
        while not stopped.done():
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait((taking, stopped, changed), return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if taking.done():
                taking.result()
            if self._changed.is_set():
                self._changed.clear()
                await self._subscribe(session)

    async def _subscribe(self, session: BrokerSession) -> None:
        """To what the mappings need and nothing else; told before and after, so that no subscription is forgotten."""
        wanted, before = self._intake.ingest.routes.filters, self._filters or frozenset[str]()
        self._filters = wanted | before
        await self._tell()
        await session.subscribe(wanted)
        await session.unsubscribe(before - wanted)
        self._filters = wanted
        await self._tell()

    async def _tell(self) -> None:
        if self._filters is not None:
            filters = tuple(sorted(self._filters))
            await self._intake.ingest.tell(Ingester(self._intake.broker.client_id, self._is_connected, filters))

    async def _follow_mappings(self) -> None:
        """Read them anew as they change, until the connection to the database is lost."""
        async for _ in self._intake.mappings_changed():
            await self._intake.ingest.load_routes()
            self._loaded.set()
            self._changed.set()


async def _put_all(session: BrokerSession, lanes: Lanes) -> None:
    async for delivery in session.deliveries():
        lanes.put(delivery)


async def _drain(lanes: Lanes) -> None:
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await lanes.drain()
    except TimeoutError:
        get_logger().warning("messages_left", error="they were not stored in time; the broker sends them again")
