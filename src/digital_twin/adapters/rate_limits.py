"""Rate limits counted in this process, or by all processes together in Redis."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from digital_twin.services.ports import RateLimiter
from digital_twin.telemetry import RATE_LIMITS_IN_PROCESS, get_logger

T = TypeVar("T")

KEY_PREFIX = "digital-twin"
ANSWER_TIMEOUT_S = 0.5
ASK_AGAIN_S = 5.0
"""So long nobody waits for a Redis that did not answer."""


class InProcessLimiter:
    """The port `RateLimiter` in memory: exact for one process, per process for several."""

    def __init__(self) -> None:
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, key: str, *, limit: int, window: timedelta) -> timedelta | None:
        return await _hit(self._windows, key, limit, window)

    async def is_shared(self) -> bool | None:
        return None


class RedisLimiter:
    """The port `RateLimiter` in Redis, and in memory while Redis does not answer.

    What Redis lets pass is counted here too. This process's own count never exceeds the shared one, so that it may
    refuse as well: a Redis that went away, or came back empty, forgives nothing that this process saw.
    """

    def __init__(self, address: str, *, ask_again_s: float = ASK_AGAIN_S) -> None:
        self._storage = RedisStorage(
            f"async+{address}",
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            socket_connect_timeout=ANSWER_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            # once more at once: the connection may be one from before Redis was started again
            retry=cast(Any, Retry(NoBackoff(), 1)),
        )
        self._shared = MovingWindowRateLimiter(self._storage)
        self._own = InProcessLimiter()
        self._ask_again_s = ask_again_s
        self._silent_since: float | None = None
        self._asked_at = 0.0

    async def hit(self, key: str, *, limit: int, window: timedelta) -> timedelta | None:
        answered, wait = await self._ask(lambda: _hit(self._shared, key, limit, window))
        if not answered:
            RATE_LIMITS_IN_PROCESS.inc()
        if wait is not None:
            return wait
        return await self._own.hit(key, limit=limit, window=window)

    async def is_shared(self) -> bool | None:
        answered, _ = await self._ask(self._client.ping)
        return answered

    async def close(self) -> None:
        await self._client.aclose()

    @property
    def _client(self) -> Redis:
        return self._storage.bridge.get_connection()  # type: ignore[attr-defined, no-any-return]

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> tuple[bool, T | None]:
        """Whether Redis answered, and what. After a silence it is asked again only now and then."""
        if self._silent_since is not None and time.monotonic() < self._asked_at + self._ask_again_s:
            return False, None
        self._asked_at = time.monotonic()
        try:
            answer = await question()
        except RedisError as error:
            if self._silent_since is None:
                self._silent_since = self._asked_at
                get_logger().warning("redis_silent", reason=type(error).__name__, rate_limits="in this process")
            return False, None
        if self._silent_since is not None:
            silent_s, self._silent_since = time.monotonic() - self._silent_since, None
            get_logger().info("redis_back", silent_s=round(silent_s, 1), rate_limits="shared")
        return True, answer


@asynccontextmanager
async def open_limiter(redis_url: str | None) -> AsyncGenerator[RateLimiter, None]:
    """A limiter that counts with other processes where there is a Redis for it."""
    if redis_url is None:
        yield InProcessLimiter()
        return
    limiter = RedisLimiter(redis_url)
    try:
        yield limiter
    finally:
        await limiter.close()


async def _hit(windows: MovingWindowRateLimiter, key: str, limit: int, window: timedelta) -> timedelta | None:
    item = RateLimitItemPerSecond(limit, int(window.total_seconds()))
    if await windows.hit(item, key):
        return None
    statistics = await windows.get_window_stats(item, key)
    return timedelta(seconds=max(1.0, statistics.reset_time - time.time()))
