"""The only place that knows everything: settings -> adapters -> services."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from digital_twin.adapters.children import child
from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.compute import WarmPool, keep_compiled
from digital_twin.adapters.feed_sources import SourceAddresses, open_sources
from digital_twin.adapters.mqtt import BrokerAddress, MqttBroker
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.events import PostgresEventFeed, notifications
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.adapters.queue import Job, JobWorker
from digital_twin.adapters.rate_limits import open_limiter
from digital_twin.bootstrap.outside import make_adapters, open_adapters, open_database, revealed
from digital_twin.bootstrap.wiring import Adapters, Twin, run_work, wire
from digital_twin.domain.errors import InvalidInput
from digital_twin.services.feed_updates import FeedUpdates
from digital_twin.services.ingest import IngestService
from digital_twin.services.ports import Broker, Clock
from digital_twin.services.runs import QUEUES, RunExecutor
from digital_twin.settings import Environment, Settings, read_settings

__all__ = [
    "ALL_QUEUES",
    "Adapters",
    "Environment",
    "Intake",
    "Job",
    "Settings",
    "Twin",
    "Worker",
    "create_administrator",
    "keep_compiled",
    "migrate_database",
    "open_children",
    "open_intake",
    "open_twin",
    "open_worker",
    "read_settings",
    "run_work",
    "wire",
]

ALL_QUEUES = QUEUES


@dataclass(frozen=True, slots=True)
class Worker:
    """The wired application of the process that carries out Runs."""

    twin: Twin
    jobs: JobWorker
    executor: RunExecutor
    feeds: FeedUpdates
    queues: tuple[str, ...]
    readings: Callable[[], AsyncGenerator[str, None]]  # the communities to which some have come, as they come


@dataclass(frozen=True, slots=True)
class Intake:
    """What the process that takes messages from a broker works with."""

    ingest: IngestService
    broker: Broker
    clock: Clock
    mappings_changed: Callable[[], AsyncGenerator[str, None]]  # whenever they may have
    side_by_side: int  # communities that may be stored at once


@asynccontextmanager
async def open_twin(settings: Settings) -> AsyncGenerator[Twin, None]:
    """The application with its database and warm processes, until the block ends."""
    async with open_adapters(settings) as (adapters, _):
        twin = wire(settings, adapters)
        await _announce_setup_token(twin)
        yield twin


@asynccontextmanager
async def open_worker(settings: Settings, queues: Sequence[str]) -> AsyncGenerator[Worker, None]:
    """The same for a worker of these queues."""
    async with AsyncExitStack() as stack:
        adapters, address = await stack.enter_async_context(open_adapters(settings))
        twin = wire(settings, adapters)
        jobs = JobWorker(address, queues, concurrency=settings.compute_processes + 2)
        executor = RunExecutor(adapters.store, adapters.clock, adapters.pool, run_work(twin))
        await stack.enter_async_context(jobs.open())
        sources = await stack.enter_async_context(open_sources(_source_addresses(settings), adapters.clock))
        feeds = FeedUpdates(adapters.store, adapters.clock, sources)
        yield Worker(twin, jobs, executor, feeds, tuple(queues), lambda: notifications(address, "state_due"))


@asynccontextmanager
async def open_intake(settings: Settings) -> AsyncGenerator[Intake, None]:
    """The broker and the database, until the block ends.

    Raises:
        InvalidInput: no broker is named, or a file that it needs holds nothing of its kind.
    """
    if settings.mqtt_url is None:
        raise InvalidInput("MQTT_URL must name the broker that messages are taken from", field="mqtt_url")
    clock = SystemClock()
    address = BrokerAddress(
        url=settings.mqtt_url,
        client_id=settings.mqtt_client_id,
        username=settings.mqtt_username,
        password=revealed(settings.mqtt_password),
        ca_file=settings.mqtt_ca_file,
        certificate_file=settings.mqtt_certificate_file,
        key_file=settings.mqtt_key_file,
    )
    broker = MqttBroker(address, clock)
    async with open_database(settings) as database, open_pool(database, size=settings.database_pool_size) as pool:
        yield Intake(
            ingest=IngestService(PostgresStore(pool), clock),
            broker=broker,
            clock=clock,
            mappings_changed=lambda: notifications(database, "topic_mapping"),
            side_by_side=settings.database_pool_size - 1,
        )


def _source_addresses(settings: Settings) -> SourceAddresses:
    return SourceAddresses(
        settings.open_meteo_url,
        settings.open_meteo_archive_url,
        settings.entsoe_url,
        revealed(settings.open_meteo_api_key),
        revealed(settings.entsoe_api_token),
    )


@asynccontextmanager
async def open_children(settings: Settings) -> AsyncGenerator[None, None]:
    """The worker, the ingester and the dashboard as processes of their own, where the settings say so."""
    environment = _environment_of(settings)
    async with AsyncExitStack() as stack:
        if settings.start_worker:
            await stack.enter_async_context(child(("worker", "--with-parent"), environment))
            if settings.mqtt_url is not None:
                await stack.enter_async_context(child(("worker", "--ingest", "--with-parent"), environment))
        if settings.start_dashboard:
            environment.setdefault("API_URL", settings.api_address)
            await stack.enter_async_context(child(("dashboard", "--with-parent"), environment))
        yield


def _environment_of(settings: Settings) -> dict[str, str]:
    """What was given to this process, so that another one reads the same."""
    environment: dict[str, str] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            environment[name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return environment


async def _announce_setup_token(twin: Twin) -> None:
    token = await twin.accounts.setup_token()
    if token is not None:
        print(
            "No administrator exists yet. Make one within the hour with this one-time setup token:\n"
            f"  setup token: {token}\n"
            "  POST /auth/register with `Authorization: Bearer <setup token>`, "
            "or run: digital-twin admin create",
            flush=True,
        )


async def migrate_database(settings: Settings) -> None:
    """Bring the database to this version's schema."""
    async with open_database(settings):
        pass


async def create_administrator(settings: Settings, *, username: str, email: str, password: str) -> None:
    """Make an administrator in the database of these settings."""
    async with (
        open_database(settings) as address,
        open_pool(address, size=2) as connections,
        open_limiter(None) as limiter,
    ):
        pool = WarmPool(1)  # starts no process until it is asked to compute
        adapters = make_adapters(settings, PostgresStore(connections), pool, PostgresEventFeed(address), limiter)
        await wire(settings, adapters).accounts.create_administrator(username=username, email=email, password=password)
        pool.close()
