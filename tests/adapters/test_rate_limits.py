"""Rate limits: the same in memory and in Redis, and what happens while Redis is away."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
import structlog.testing
from tests.redis_server import RedisServer

from digital_twin.adapters.rate_limits import InProcessLimiter, RedisLimiter, open_limiter
from digital_twin.services.ports import RateLimiter
from digital_twin.telemetry import RATE_LIMITS_IN_PROCESS, configure_logging

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """A running Redis without a key."""
    if not redis_server.answers():
        redis_server.start()
    redis_server.ask("FLUSHALL")
    return redis_server


Connect = Callable[..., RedisLimiter]


@pytest.fixture
async def connect(redis: RedisServer) -> AsyncGenerator[Connect, None]:
    """Makes a limiter as another process would: it shares nothing with the others but Redis."""
    async with AsyncExitStack() as closing:

        def made(*, ask_again_s: float = 0.0) -> RedisLimiter:
            limiter = RedisLimiter(redis.url, ask_again_s=ask_again_s)
            closing.push_async_callback(limiter.close)
            return limiter

        yield made


async def passed(limiter: RateLimiter, times: int, key: str = "login ada", limit: int = 3) -> int:
    """How many of so many hits were within the limit."""
    waits = [await limiter.hit(key, limit=limit, window=MINUTE) for _ in range(times)]
    return waits.count(None)


@pytest.fixture(params=["memory", "redis"])
def limiter(request: pytest.FixtureRequest) -> RateLimiter:
    if request.param == "memory":
        return InProcessLimiter()
    return request.getfixturevalue("connect")()


async def test_as_many_pass_as_the_limit_says_and_the_next_is_told_how_long_to_wait(limiter: RateLimiter) -> None:
    assert await passed(limiter, 5) == 3
    wait = await limiter.hit("login ada", limit=3, window=MINUTE)
    assert wait is not None
    assert timedelta(seconds=50) < wait <= MINUTE


async def test_keys_are_counted_apart_whatever_they_are_made_of(limiter: RateLimiter) -> None:
    names = ["login ada", "login ADA", "login ada/3", "login * [x] {y} \r\n é", ""]
    assert [await passed(limiter, 5, name) for name in names] == [3] * 5


async def test_hits_at_the_same_time_do_not_slip_through(limiter: RateLimiter) -> None:
    waits = await asyncio.gather(*(limiter.hit("burst", limit=7, window=MINUTE) for _ in range(40)))
    assert waits.count(None) == 7


async def test_a_window_that_is_over_counts_no_more(limiter: RateLimiter) -> None:
    second = timedelta(seconds=1)
    assert await limiter.hit("short", limit=1, window=second) is None
    while (wait := await limiter.hit("short", limit=1, window=second)) is not None:
        assert wait == second
        await asyncio.sleep(0.05)


async def test_processes_that_share_a_redis_share_their_limits(connect: Connect) -> None:
    one, other = connect(), connect()
    assert await passed(one, 2) + await passed(other, 5) == 3
    assert await passed(one, 1) == 0
    assert await one.is_shared() is True


async def test_what_redis_refused_is_not_counted_here(connect: Connect, redis: RedisServer) -> None:
    one, other = connect(), connect()
    assert await passed(one, 3) == 3
    assert await passed(other, 10) == 0
    redis.ask("FLUSHALL")
    assert await passed(other, 10) == 3


async def test_a_killed_redis_is_replaced_by_counting_here_and_found_again(
    connect: Connect, redis: RedisServer
) -> None:
    one, other = connect(), connect()
    assert await passed(one, 2) == 2
    redis.kill()
    before = RATE_LIMITS_IN_PROCESS._value.get()
    assert await passed(one, 4) == 1  # two were seen before
    assert await passed(other, 4) == 3  # this process saw none
    assert RATE_LIMITS_IN_PROCESS._value.get() == before + 8
    assert await one.is_shared() is False
    redis.start()
    assert await one.is_shared() is True
    assert await passed(one, 4) == 0  # it came back empty, and still
    assert await passed(other, 1, "login eve") + await passed(one, 9, "login eve") == 3


@pytest.fixture
def logging_on() -> Iterator[None]:
    """Other tests turn it down."""
    before = structlog.get_config()
    configure_logging("INFO")
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("logging_on")
async def test_a_silence_and_its_end_are_logged_once(connect: Connect, redis: RedisServer) -> None:
    limiter = connect()
    with structlog.testing.capture_logs() as logged:
        redis.kill()
        await passed(limiter, 5)
        redis.start()
        await passed(limiter, 5)
    assert [line["event"] for line in logged] == ["redis_silent", "redis_back"]


async def test_a_connection_from_before_a_restart_costs_nobody_their_answer(
    connect: Connect, redis: RedisServer
) -> None:
    limiter = connect(ask_again_s=3600.0)
    assert await passed(limiter, 1) == 1
    redis.kill()
    redis.start()
    assert await limiter.is_shared() is True


async def test_a_silent_redis_is_left_alone_for_a_while(connect: Connect, redis: RedisServer) -> None:
    redis.kill()
    limiter = connect(ask_again_s=3600.0)
    assert await passed(limiter, 1) == 1
    redis.start()
    assert await limiter.is_shared() is False
    assert await passed(limiter, 4) == 2
    assert redis.ask("DBSIZE") == ":0"


async def test_a_redis_that_hangs_is_waited_for_only_briefly(unused_listener: str) -> None:
    limiter = RedisLimiter(unused_listener)
    assert await asyncio.wait_for(passed(limiter, 100), timeout=60) == 3
    await limiter.close()


@pytest.fixture
async def unused_listener() -> AsyncGenerator[str, None]:
    """The address of something that accepts connections and never says a word."""
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_refuses_to_write_is_as_good_as_none(connect: Connect, redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        assert await passed(connect(), 5) == 3
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")


async def test_without_an_address_this_process_counts_alone() -> None:
    async with open_limiter(None) as limiter:
        assert await limiter.is_shared() is None
        assert await passed(limiter, 4) == 3


async def test_with_an_address_the_limiter_is_shared_and_closed_at_the_end(redis: RedisServer) -> None:
    async with open_limiter(redis.url) as limiter:
        assert await limiter.is_shared() is True
