"""The application on a store in memory and a clock to hold in one's hands, asked without a socket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from starlette.types import ASGIApp

from digital_twin.adapters.passwords import BcryptHasher
from digital_twin.adapters.rate_limits import InProcessLimiter
from digital_twin.adapters.tokens import JwtSigner
from digital_twin.api.main import create_app
from digital_twin.bootstrap import Adapters, Settings, Twin, wire
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

PASSWORD = "correct horse battery"
SIGNING_KEY = "only-for-tests-0123456789-0123456789"
LIFETIME = timedelta(minutes=30)
CHEAP_COST = 4


@dataclass(frozen=True)
class InMemoryApi:
    """The application, its insides, and a client."""

    twin: Twin
    clock: FakeClock
    client: httpx.AsyncClient

    @property
    def app(self) -> ASGIApp:
        """To be asked in ASGI's own words, for what no client would do."""
        return self.client._transport.app

    async def create_administrator(self, username: str = "root_admin") -> None:
        await self.twin.accounts.create_administrator(
            username=username, email=f"{username}@example.org", password=PASSWORD
        )

    async def login(self, username: str = "root_admin", password: str = PASSWORD) -> dict[str, Any]:
        """The tokens of a new session."""
        answer = await self.client.post("/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def me(self, token: str) -> httpx.Response:
        return await self.client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})

    async def refresh(self, token: str) -> httpx.Response:
        return await self.client.post("/auth/refresh", json={"refresh_token": token})


@asynccontextmanager
async def in_memory_api(**settings: Any) -> AsyncGenerator[InMemoryApi, None]:
    """An empty installation."""
    given, clock = Settings(log_level="CRITICAL", **settings), FakeClock()
    store = MemoryStore(clock)
    twin = wire(
        given,
        Adapters(
            store=store,
            clock=clock,
            pool=InProcessPool(),
            feed=store.feed,
            hasher=BcryptHasher(b"pepper", cost=CHEAP_COST),
            signer=JwtSigner(SIGNING_KEY, lifetime=LIFETIME),
            limiter=InProcessLimiter(),
        ),
    )
    async with asked(given, twin) as client:
        yield InMemoryApi(twin, clock, client)


@asynccontextmanager
async def asked(settings: Settings, twin: Any) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of the application around this twin."""

    @asynccontextmanager
    async def wired() -> AsyncGenerator[Any, None]:
        yield twin

    app = create_app(settings, wired())
    async with (
        _started(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://twin.example.org") as client,
    ):
        yield client


@asynccontextmanager
async def _started(app: ASGIApp) -> AsyncGenerator[None, None]:
    """The lifespan protocol, which the client's transport does not speak."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    yield
    await to_app.put({"type": "lifespan.shutdown"})
    await running
