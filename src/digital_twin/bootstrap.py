"""The only place that knows everything: settings -> adapters -> services."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pydantic import SecretStr

from digital_twin.adapters.children import child
from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.compute import WarmPool, keep_compiled
from digital_twin.adapters.feed_sources import SourceAddresses, open_sources
from digital_twin.adapters.mqtt import BrokerAddress, MqttBroker
from digital_twin.adapters.passwords import BcryptHasher
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import watched
from digital_twin.adapters.postgres.events import PostgresEventFeed, notifications
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.adapters.queue import Job, JobWorker
from digital_twin.adapters.rate_limits import open_limiter
from digital_twin.adapters.secret_keys import load_secret_keys
from digital_twin.adapters.tokens import JwtSigner
from digital_twin.domain.errors import InvalidInput
from digital_twin.services import computations, imports, models, simulations
from digital_twin.services.access import Access
from digital_twin.services.accounts import AccountService, RegistrationPolicy
from digital_twin.services.api_keys import ApiKeyService
from digital_twin.services.communities import CommunityService
from digital_twin.services.events import EventService
from digital_twin.services.feed_updates import FeedUpdates
from digital_twin.services.feeds import FeedService
from digital_twin.services.forecasts import ForecastService
from digital_twin.services.hindsight import HindsightService
from digital_twin.services.imports import ImportService
from digital_twin.services.ingest import IngestService
from digital_twin.services.keeping import KeepingService
from digital_twin.services.members import MemberService
from digital_twin.services.memberships import MembershipService
from digital_twin.services.meters import MeterService
from digital_twin.services.models import ModelService
from digital_twin.services.ports import (
    Broker,
    Clock,
    ComputePool,
    EventFeed,
    ParallelMap,
    PasswordHasher,
    RateLimiter,
    Store,
    TokenSigner,
)
from digital_twin.services.predictions import PredictionService
from digital_twin.services.quality import QualityService
from digital_twin.services.readings import ReadingService
from digital_twin.services.runs import QUEUES, RunExecutor, RunService, RunWork
from digital_twin.services.schedules import ScheduleService
from digital_twin.services.sessions import SessionService
from digital_twin.services.simulations import SimulationService
from digital_twin.services.states import StateService
from digital_twin.services.tariffs import TariffService
from digital_twin.services.topics import TopicService
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


class Computing(ComputePool, ParallelMap, Protocol):
    """Warm processes, asked for one result or for many."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside, as the use cases see it."""

    store: Store
    clock: Clock
    pool: Computing
    feed: EventFeed
    hasher: PasswordHasher
    signer: TokenSigner
    limiter: RateLimiter


@dataclass(frozen=True, slots=True)
class Twin:
    """The wired application: what the faces may use."""

    settings: Settings
    store: Store
    clock: Clock
    limiter: RateLimiter
    access: Access
    accounts: AccountService
    sessions: SessionService
    api_keys: ApiKeyService
    memberships: MembershipService
    communities: CommunityService
    members: MemberService
    keeping: KeepingService
    readings: ReadingService
    feeds: FeedService
    quality: QualityService
    imports: ImportService
    states: StateService
    predictions: PredictionService
    hindsight: HindsightService
    meters: MeterService
    forecasts: ForecastService
    models: ModelService
    schedules: ScheduleService
    simulations: SimulationService
    tariffs: TariffService
    runs: RunService
    events: EventService
    topics: TopicService
    ingest: IngestService


def wire(settings: Settings, adapters: Adapters) -> Twin:
    """The use cases on these adapters."""
    store, clock, pool, hasher, limiter = (
        adapters.store,
        adapters.clock,
        adapters.pool,
        adapters.hasher,
        adapters.limiter,
    )
    access = Access(store, clock)
    policy = RegistrationPolicy(settings.registration_policy.value, settings.registrations_per_hour)
    states = StateService(store, clock, pool)
    forecasts = ForecastService(store, clock, pool)
    runs = RunService(store, clock, adapters.feed)
    return Twin(
        settings=settings,
        store=store,
        clock=clock,
        limiter=limiter,
        access=access,
        accounts=AccountService(store, clock, hasher, limiter, policy=policy),
        sessions=SessionService(
            store, clock, hasher, adapters.signer, limiter, attempts=settings.login_attempts_per_5_minutes
        ),
        api_keys=ApiKeyService(store, clock, access),
        memberships=MembershipService(store),
        communities=CommunityService(store, max_prosumers=settings.max_prosumers_per_community),
        members=MemberService(store),
        keeping=KeepingService(store, clock),
        readings=ReadingService(store, clock),
        feeds=FeedService(store, clock),
        quality=QualityService(store, clock),
        states=states,
        predictions=PredictionService(states, clock, pool),
        hindsight=HindsightService(states, store, clock, pool),
        meters=MeterService(store, states, clock, pool),
        forecasts=forecasts,
        models=ModelService(store, clock, runs, forecasts),
        schedules=ScheduleService(store, clock, pool, forecasts, timeout_s=60 * settings.optimization_timeout_minutes),
        tariffs=TariffService(store, clock, pool, forecasts, timeout_s=60 * settings.optimization_timeout_minutes),
        simulations=SimulationService(store, clock, runs),
        runs=runs,
        imports=ImportService(store, clock, runs),
        events=EventService(store, access, adapters.feed),
        topics=TopicService(store, clock),
        ingest=IngestService(store, clock),
    )


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
    async with _open_adapters(settings) as (adapters, _):
        twin = wire(settings, adapters)
        await _announce_setup_token(twin)
        yield twin


@asynccontextmanager
async def open_worker(settings: Settings, queues: Sequence[str]) -> AsyncGenerator[Worker, None]:
    """The same for a worker of these queues."""
    async with AsyncExitStack() as stack:
        adapters, address = await stack.enter_async_context(_open_adapters(settings))
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
        password=_revealed(settings.mqtt_password),
        ca_file=settings.mqtt_ca_file,
        certificate_file=settings.mqtt_certificate_file,
        key_file=settings.mqtt_key_file,
    )
    broker = MqttBroker(address, clock)
    async with _open_database(settings) as database, open_pool(database, size=settings.database_pool_size) as pool:
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
        _revealed(settings.open_meteo_api_key),
        _revealed(settings.entsoe_api_token),
    )


def run_work(twin: Twin) -> dict[str, RunWork]:
    """Who carries out the Runs of each kind."""
    return {imports.KIND: twin.imports, models.KIND: twin.models, simulations.KIND: twin.simulations}


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


@asynccontextmanager
async def _open_adapters(settings: Settings) -> AsyncGenerator[tuple[Adapters, str], None]:
    """The outside, and the address of its database."""
    keep_compiled(settings.digital_twin_home)
    async with AsyncExitStack() as stack:
        pool = WarmPool(
            settings.compute_processes,
            preload=computations.PRELOADED,
            warm_up=computations.warm_up,
            compile_rarer=computations.compile_rarer,
        )
        stack.callback(pool.close)
        address = await stack.enter_async_context(_open_database(settings))
        connections = await stack.enter_async_context(open_pool(address, size=settings.database_pool_size))
        feed = PostgresEventFeed(address)
        stack.push_async_callback(_cancel, asyncio.create_task(feed.run()))
        limiter = await stack.enter_async_context(open_limiter(_revealed(settings.redis_url)))
        pool.start()  # not before: processes that are ended while they start complain loudly
        settings.upload_folder.mkdir(parents=True, exist_ok=True)
        store = PostgresStore(connections, settings.upload_folder)
        yield _adapters(settings, store, pool, feed, limiter), address


def _adapters(settings: Settings, store: Store, pool: WarmPool, feed: EventFeed, limiter: RateLimiter) -> Adapters:
    keys = load_secret_keys(
        settings.digital_twin_home,
        root=_revealed(settings.secret_key),
        jwt=_revealed(settings.jwt_secret_key),
    )
    lifetime = timedelta(minutes=settings.jwt_access_token_expire_minutes)
    return Adapters(
        store=store,
        clock=SystemClock(),
        pool=pool,
        feed=feed,
        hasher=BcryptHasher(keys.derive("password-pepper"), cost=settings.password_cost),
        signer=JwtSigner(keys.jwt, lifetime=lifetime),
        limiter=limiter,
    )


@asynccontextmanager
async def _open_database(settings: Settings) -> AsyncGenerator[str, None]:
    """The address of the given database, or of an embedded one that is watched and started again when it dies."""
    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            address = settings.database_url.get_secret_value()
        else:
            address = await stack.enter_async_context(watched(settings.digital_twin_home))
        await migrate(address)
        yield address


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


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
    async with _open_database(settings):
        pass


async def create_administrator(settings: Settings, *, username: str, email: str, password: str) -> None:
    """Make an administrator in the database of these settings."""
    async with (
        _open_database(settings) as address,
        open_pool(address, size=2) as connections,
        open_limiter(None) as limiter,
    ):
        pool = WarmPool(1)  # starts no process until it is asked to compute
        adapters = _adapters(settings, PostgresStore(connections), pool, PostgresEventFeed(address), limiter)
        await wire(settings, adapters).accounts.create_administrator(username=username, email=email, password=password)
        pool.close()
