"""The job queue on PostgreSQL: jobs deferred inside a caller's transaction, and the worker that carries them out.

One job is one attempt: a job is never retried, who wants another attempt defers another job.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import psycopg.conninfo
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.job_context import AbortReason
from procrastinate.jobs import DeleteJobCondition
from procrastinate.worker import Worker
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from digital_twin.adapters.postgres.database import configure_connection
from digital_twin.services.runs import CARRY_OUT_RUN, SILENT_S

HEARTBEAT_S = 1.0
POLL_S = 0.5
HAND_OVER_S = 0.5
CONNECTIONS = 4
PATIENCE_S, RETRY_S = 30.0, 0.2

_BURY_LOST = """
    delete from procrastinate_jobs job
    where task_name = %(name)s and status = 'doing'
    and clock_timestamp() - pg_postmaster_start_time() > make_interval(secs => %(silent_s)s)
    and not exists (
        select from procrastinate_workers w
        where w.id = job.worker_id and w.last_heartbeat > clock_timestamp() - make_interval(secs => %(silent_s)s)
    )
"""

_deferring = App(connector=PsycopgConnector())


async def defer_run(
    connection: AsyncConnection[TupleRow], queue: str, community_id: str, run_id: str, *, pause_s: int = 0
) -> int:
    """A job for the next attempt of a Run, to be made after a pause, in the transaction of the connection."""
    deferrer = _deferring.configure_task(
        CARRY_OUT_RUN, queue=queue, connection=connection, schedule_in={"seconds": pause_s} if pause_s else None
    )
    with _errors_of_the_driver():
        return await deferrer.defer_async(community_id=community_id, run_id=run_id)


async def stop_job(connection: AsyncConnection[TupleRow], job_id: int) -> None:
    """Take it back, or tell its worker to stop it."""
    with _errors_of_the_driver():
        await _deferring.job_manager.cancel_job_by_id_async(job_id, abort=True, delete_job=True, connection=connection)


@contextmanager
def _errors_of_the_driver() -> Generator[None, None, None]:
    """As the transaction's other queries raise them."""
    try:
        yield
    except ConnectorException as error:
        raise error.__cause__ or error from None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its task sees it."""

    job_id: int
    arguments: dict[str, Any]
    is_handed_over: Callable[[], bool]  # whether it is stopped because its worker shuts down


Task = Callable[[Job], Awaitable[None]]


class JobWorker:
    """Carries out jobs of some queues, several at a time; a restart of the database is waited out."""

    def __init__(self, address: str, queues: Sequence[str], *, concurrency: int) -> None:
        self._queues, self._concurrency = list(queues), concurrency
        self._app = App(
            connector=_PatientConnector(
                conninfo=psycopg.conninfo.make_conninfo(address, application_name="digital-twin worker"),
                configure=configure_connection,
                min_size=1,
                max_size=CONNECTIONS,
            )
        )

    def register(self, name: str, task: Task) -> None:
        """Say what carries out the jobs of this name."""

        async def carry_out(context: JobContext, **arguments: Any) -> None:
            assert context.job.id is not None
            job = Job(context.job.id, arguments, lambda: context.abort_reason() is AbortReason.SHUTDOWN)
            await task(job)

        self._app.task(name=name, pass_context=True)(carry_out)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None, None]:
        """Connected until the block ends."""
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)  # what happens to Runs is logged by the twin
        async with self._app.open_async():
            yield

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; jobs that are not done shortly after are stopped and may be handed over."""
        while not stop.is_set():
            worker = Worker(  # itself: the call that makes and runs one keeps no handle to stop it by
                self._app,
                queues=self._queues,
                concurrency=self._concurrency,
                fetch_job_polling_interval=POLL_S,
                abort_job_polling_interval=POLL_S,
                update_heartbeat_interval=HEARTBEAT_S,
                stalled_worker_timeout=SILENT_S,
                shutdown_graceful_timeout=HAND_OVER_S,
                delete_jobs=DeleteJobCondition.ALWAYS,
                install_signal_handlers=False,
            )
            ended = asyncio.create_task(worker.run())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            worker.stop()
            stopped.cancel()
            await asyncio.wait((ended,))
            if ended.exception() is not None and not stop.is_set():
                await asyncio.sleep(RETRY_S)

    async def defer_once(self, name: str, queue: str, of: str, **arguments: Any) -> None:
        """A job of this name unless one waits already that is `of` the same; one of them is carried out at a time."""
        same = f"{name} {of}"
        deferrer = self._app.configure_task(name, queue=queue, lock=same, queueing_lock=same)
        try:
            await deferrer.defer_async(**arguments)
        except AlreadyEnqueued:
            return

    async def bury_lost(self, name: str) -> None:
        """Let go of jobs of this name whose worker has not been heard of, or those of the same would wait for ever."""
        await self._app.connector.execute_query_async(_BURY_LOST, name=name, silent_s=SILENT_S)


class _PatientConnector(PsycopgConnector):
    """Asks again while the database is away; Procrastinate's own ends the worker at the first lost connection."""

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        await _patiently(lambda: super(_PatientConnector, self).execute_query_async(query, **arguments))

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        return await _patiently(lambda: super(_PatientConnector, self).execute_query_one_async(query, **arguments))

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        return await _patiently(lambda: super(_PatientConnector, self).execute_query_all_async(query, **arguments))

    async def listen_notify(self, on_notification: Any, channels: Any) -> None:
        heard = list(channels)
        while True:
            try:
                await super().listen_notify(on_notification, heard)
            except ConnectorException:
                await asyncio.sleep(RETRY_S)


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        try:
            return await ask()
        except UniqueViolation:
            raise
        except ConnectorException as error:
            away = isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout)
            if not away or loop.time() > deadline:
                raise
            await asyncio.sleep(RETRY_S)
