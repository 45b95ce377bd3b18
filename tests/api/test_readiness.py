"""Readiness: it needs its database, and only mentions Redis."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.api.in_memory import asked, in_memory_api
from tests.redis_server import RedisServer

from digital_twin.adapters.rate_limits import RedisLimiter


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def api_on(redis: RedisServer) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of an application that counts in this Redis."""
    limiter = RedisLimiter(redis.url, ask_again_s=0.0)
    async with in_memory_api() as api, asked(api.twin.settings, replace(api.twin, limiter=limiter)) as client:
        yield client
    await limiter.close()


async def test_a_lost_redis_is_reported_and_leaves_the_twin_ready(redis: RedisServer) -> None:
    async with api_on(redis) as client:
        for up in (True, False, True):
            if not up:
                redis.kill()
            elif not redis.answers():
                redis.start()
            answer = await client.get("/health/ready")
            assert answer.status_code == 200
            assert answer.json() == {"status": "ready", "database": True, "redis": up, "mqtt": None}
