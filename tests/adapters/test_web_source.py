"""Asking over the web: a server of this machine that is slow, rude, broken, endless or somewhere else."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from tests.builders import MONDAY
from tests.feed_sources import Answer, SourceServer, as_json

from digital_twin.adapters.web_source import LARGEST_BODY, Reply, WebSource
from digital_twin.domain.errors import InvalidInput, NotAllowed, Unavailable
from digital_twin.testing import FakeClock

PATIENT_S, HASTY_S = 30.0, 0.3
QUERY = {"latitude": "48.20", "longitude": "16.40", "hourly": "temperature_2m", "past_days": "0", "forecast_days": "1"}


@pytest.fixture
def server() -> Iterator[SourceServer]:
    """A server that answers well until it is told otherwise."""
    with SourceServer(MONDAY).serving() as made:
        yield made


@asynccontextmanager
async def source(clock: FakeClock, *, deadline_s: float = PATIENT_S) -> AsyncGenerator[WebSource, None]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield WebSource(client, "weather.test", clock, deadline_s=deadline_s, waits_s=(0.0, 0.0))


async def ask(web: WebSource, server: SourceServer, **query: str) -> bytes:
    return await web.get(f"{server.address}/v1/forecast", {**QUERY, **query}, lambda reply: reply.body)


async def test_the_same_question_is_asked_once_in_ten_minutes(server: SourceServer):
    clock = FakeClock(MONDAY)
    async with source(clock) as web:
        answers = await asyncio.gather(*(ask(web, server) for _ in range(4)))
        assert len(set(answers)) == len(server.asked) == 1
        await ask(web, server, latitude="48.30")
        assert len(server.asked) == 2
        clock.advance(minutes=11)
        await ask(web, server)
        assert len(server.asked) == 3


async def test_what_cannot_be_read_is_not_kept(server: SourceServer):
    def refuse(_: Reply) -> bytes:
        raise InvalidInput("no answer")

    async with source(FakeClock(MONDAY)) as web:
        with pytest.raises(InvalidInput, match="no answer"):
            await web.get(f"{server.address}/v1/forecast", QUERY, refuse)
        assert await ask(web, server)
        assert len(server.asked) == 2


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_passing_failure_is_asked_again(server: SourceServer, status: int):
    server.fault = lambda _path, _query, answer: answer if len(server.asked) > 2 else Answer(b"", status=status)
    async with source(FakeClock(MONDAY)) as web:
        assert await ask(web, server)
    assert len(server.asked) == 3


async def test_a_source_that_is_down_is_left_alone_longer_each_time(server: SourceServer):
    clock = FakeClock(MONDAY)
    server.fail(Answer(b"", status=500))
    async with source(clock) as web:
        for asked, rest_s in ((3, 30), (6, 60), (9, 120)):
            with pytest.raises(Unavailable, match="answers 500, 3 times in a row") as refusal:
                await ask(web, server)
            assert (len(server.asked), refusal.value.facts["retry_after_s"]) == (asked, rest_s)
            clock.advance(seconds=rest_s - 10)
            with pytest.raises(Unavailable, match="not asked again yet") as refusal:
                await ask(web, server)
            assert (len(server.asked), refusal.value.facts["retry_after_s"]) == (asked, 10)
            clock.advance(seconds=10)
        server.fault = None
        assert await ask(web, server)
        server.fail(Answer(b"", status=500))
        with pytest.raises(Unavailable) as refusal:
            await ask(web, server, latitude="1.00")
        assert refusal.value.facts["retry_after_s"] == 30  # it had answered meanwhile


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("120", 120),
        (format_datetime(MONDAY + timedelta(seconds=90), usegmt=True), 90),
        ("in a while", 60),
        ("", 60),
        ("0", 1),
        ("9" * 30, 60),
        ("86400", 3600),
    ],
)
async def test_who_asked_too_often_waits_as_long_as_the_source_says(server: SourceServer, said: str, wait_s: int):
    clock = FakeClock(MONDAY)
    server.fail(Answer(b"", status=429, headers={"Retry-After": said}))
    async with source(clock) as web:
        with pytest.raises(Unavailable, match="asked too often") as refusal:
            await ask(web, server)
        assert refusal.value.facts["retry_after_s"] == wait_s
        server.fault = None
        clock.advance(seconds=wait_s - 0.5)
        with pytest.raises(Unavailable, match="not asked again yet"):
            await ask(web, server)
        clock.advance(seconds=0.5)
        assert await ask(web, server)
    assert len(server.asked) == 2


async def test_thirty_seconds_of_silence_end_at_the_deadline(server: SourceServer):
    server.fault = lambda _path, _query, answer: Answer(answer.body, pause_s=30)
    async with source(FakeClock(MONDAY), deadline_s=HASTY_S) as web:
        with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
            await ask(web, server)
        server.closing.set()


async def test_an_answer_that_breaks_off_is_no_answer(server: SourceServer):
    server.fault = lambda _path, _query, answer: Answer(answer.body, cut=len(answer.body) // 2)
    async with source(FakeClock(MONDAY)) as web:
        with pytest.raises(Unavailable, match=r"broke off \(RemoteProtocolError\)"):
            await ask(web, server)


async def test_nobody_at_the_address_is_told_so():
    async with source(FakeClock(MONDAY)) as web:
        with pytest.raises(Unavailable, match="could not be reached"):
            await web.get("http://127.0.0.1:9/v1/forecast", QUERY, lambda reply: reply.body)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(server: SourceServer, status: int):
    server.fail(Answer(b"", status=status, headers={"Location": f"{server.address}/v1/archive"}))
    async with source(FakeClock(MONDAY)) as web:
        with pytest.raises(InvalidInput, match=f"answers {status}"):
            await ask(web, server)
    assert server.paths() == ["/v1/forecast"]


async def test_a_body_without_end_is_not_read_to_its_end(server: SourceServer):
    server.fail(Answer(b"x" * (LARGEST_BODY + 1)))
    async with source(FakeClock(MONDAY)) as web:
        with pytest.raises(InvalidInput, match="more than 16 MiB"):
            await ask(web, server)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_told_as_one(server: SourceServer, status: int):
    server.fail(Answer(b"", status=status))
    async with source(FakeClock(MONDAY)) as web:
        with pytest.raises(NotAllowed, match="refuses the key or token"):
            await ask(web, server)


async def test_a_secret_is_sent_and_never_told(server: SourceServer):
    server.fail(as_json({"error": True, "reason": "no such key: s3cr3t"}, status=400))
    async with source(FakeClock(MONDAY)) as web:
        reply = await web.get(f"{server.address}/v1/forecast", QUERY, lambda reply: reply, secrets={"apikey": "s3cr3t"})
    assert server.asked[0][1]["apikey"] == "s3cr3t"
    assert reply == Reply(400, "application/json", b'{"error": true, "reason": "no such key: ***"}', MONDAY)


def test_the_server_of_these_tests_ends_with_them():
    with SourceServer(MONDAY).serving():
        assert "sources" in [one.name for one in threading.enumerate()]
    assert "sources" not in [one.name for one in threading.enumerate()]
