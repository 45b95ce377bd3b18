"""What is outside the use cases: database, warm processes, limits, keys."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from pydantic import SecretStr

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.compute import WarmPool, keep_compiled
from digital_twin.adapters.passwords import BcryptHasher
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import watched
from digital_twin.adapters.postgres.events import PostgresEventFeed
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.adapters.rate_limits import open_limiter
from digital_twin.adapters.secret_keys import load_secret_keys
from digital_twin.adapters.tokens import JwtSigner
from digital_twin.bootstrap.wiring import Adapters
from digital_twin.services import computations
from digital_twin.services.ports import EventFeed, RateLimiter, Store
from digital_twin.settings import Settings


@asynccontextmanager
async def open_adapters(settings: Settings) -> AsyncGenerator[tuple[Adapters, str], None]:
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
        address = await stack.enter_async_context(open_database(settings))
        connections = await stack.enter_async_context(open_pool(address, size=settings.database_pool_size))
        feed = PostgresEventFeed(address)
        stack.push_async_callback(_cancel, asyncio.create_task(feed.run()))
        limiter = await stack.enter_async_context(open_limiter(revealed(settings.redis_url)))
        pool.start()  # not before: processes that are ended while they start complain loudly
        settings.upload_folder.mkdir(parents=True, exist_ok=True)
        store = PostgresStore(connections, settings.upload_folder)
        yield make_adapters(settings, store, pool, feed, limiter), address


def make_adapters(settings: Settings, store: Store, pool: WarmPool, feed: EventFeed, limiter: RateLimiter) -> Adapters:
    """What is outside, with the keys that lie in the home or are given."""
    keys = load_secret_keys(
        settings.digital_twin_home,
        root=revealed(settings.secret_key),
        jwt=revealed(settings.jwt_secret_key),
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
async def open_database(settings: Settings) -> AsyncGenerator[str, None]:
    """The address of the given database, or of an embedded one that is watched and started again when it dies."""
    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            address = settings.database_url.get_secret_value()
        else:
            address = await stack.enter_async_context(watched(settings.digital_twin_home))
        await migrate(address)
        yield address


def revealed(secret: SecretStr | None) -> str | None:
    """The secret in clear."""
    return None if secret is None else secret.get_secret_value()


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
