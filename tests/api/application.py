"""The real application on a real database and a real socket, and people who use it."""

import asyncio
import itertools
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr
from tests.databases import DatabaseServer

from digital_twin.api.main import create_app
from digital_twin.bootstrap import ALL_QUEUES, Settings, Twin, create_administrator, open_worker
from digital_twin.worker.main import run as work

PASSWORD = "correct horse battery"
ADMINISTRATOR = "root_admin"
NOWHERE = "http://127.0.0.1:9"
"""Where no source of weather or prices answers."""

PATIENCE_S = 300.0
"""No test asserts how long anything takes, and what is asked first may have to be compiled."""

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here is encrypted, and reading the system's certificates takes each client 30 ms."""

EIGHT_NUMBERS: dict[str, Any] = {
    "num_prosumers": 100,
    "total_pv_capacity_kw": 500.0,
    "total_storage_capacity_kwh": 1000.0,
    "max_storage_power_kw": 200.0,
    "grid_import_limit_kw": 800.0,
    "grid_export_limit_kw": 300.0,
    "incentive_budget_daily": 100.0,
}
"""The guide's community; its id is the eighth field."""


class Api:
    """The application as its callers meet it: accounts with clients of their own, and communities."""

    def __init__(self, url: str, closing: ExitStack) -> None:
        self.url = url
        self._closing = closing
        self._numbers = itertools.count(1)
        self._nobody = self.anonymous()
        self.admin = self.login(ADMINISTRATOR)

    def anonymous(self, **headers: str) -> httpx.Client:
        """Someone who says nothing about themselves, or just what the headers say."""
        client = httpx.Client(base_url=self.url, timeout=PATIENCE_S, headers=headers, verify=NO_CERTIFICATES)
        return self._closing.enter_context(client)

    def login(self, username: str, password: str = PASSWORD) -> httpx.Client:
        """A client that is logged in."""
        body = {"username": username, "password": password}
        tokens = answered(self._nobody.post("/auth/login", json=body))
        return self.anonymous(Authorization=f"Bearer {tokens['access_token']}")

    def register(self, role: str) -> str:
        """The username of a new account whose role an administrator gave."""
        username = self.fresh(role)
        body = {"username": username, "email": f"{username}@example.org", "password": PASSWORD, "role": role}
        answered(self.admin.post("/auth/register", json=body), 201)
        return username

    def account(self, role: str) -> httpx.Client:
        """A new account of this role, logged in."""
        return self.login(self.register(role))

    def member_of(self, community_id: str, role: str, *, member_id: str | None = None) -> httpx.Client:
        """A new account with this right in the community, perhaps bound to one member; logged in."""
        username = self.register(role)
        body = {"username": username, "role": role, "member_id": member_id}
        answered(self.admin.put(f"/communities/{community_id}/memberships", json=body))
        return self.login(username)

    def key(self, owner: httpx.Client, communities: Sequence[str], *scopes: str) -> httpx.Client:
        """A service with an API key of the owner."""
        body = {"name": "service", "scopes": list(scopes), "communities": list(communities)}
        key = answered(owner.post("/auth/api-keys", json=body), 201)["key"]
        return self.anonymous(**{"X-API-Key": key})

    def community(self, owner: httpx.Client | None = None, **given: Any) -> str:
        """The id of a new community: the guide's, unless other numbers are given."""
        body = {"community_id": self.fresh("community"), **EIGHT_NUMBERS, **given}
        return answered((owner or self.admin).post("/communities", json=body), 201)["community_id"]

    def fresh(self, name: str) -> str:
        """A name that nobody has used."""
        return f"{name}_no_{next(self._numbers)}"


def answered(response: httpx.Response, status: int = 200) -> Any:
    """The body of an answer that must have this status."""
    assert response.status_code == status, f"{response.status_code} {response.text[:1000]}"
    return response.json() if response.content else None


def refused(response: httpx.Response, status: int, *, pointer: str | None = None) -> dict[str, Any]:
    """The problem of a refusal that must have this status, and point at this field."""
    assert response.status_code == status, f"{response.status_code} {response.text[:1000]}"
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["request_id"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem.get("errors", [])], problem
    return problem


@contextmanager
def serve(server: DatabaseServer, home: Path) -> Iterator[str]:
    """The address of the application, served from a thread with its own loop until the block ends."""
    # named as TCP, or the server's loop does not know to switch off Nagle's delay of 40 ms an answer
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    thread = _ServerThread(server, home, listener)
    thread.start()
    thread.started.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.stop()


class _ServerThread(threading.Thread):
    def __init__(self, server: DatabaseServer, home: Path, listener: socket.socket) -> None:
        super().__init__(name="api")
        self.started = threading.Event()
        self.failure: BaseException | None = None
        self._databases, self._home, self._listener = server, home, listener
        self._server: _AnnouncingServer | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failure = error
        finally:
            self.started.set()

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self.join()
        if self.failure is not None:
            raise self.failure

    async def _serve(self) -> None:
        address = await self._databases.create()
        settings = Settings(
            digital_twin_home=self._home,
            database_url=SecretStr(address),
            password_cost=4,
            login_attempts_per_5_minutes=100_000,
            registrations_per_hour=100_000,
            open_meteo_url=NOWHERE,
            open_meteo_archive_url=NOWHERE,
            entsoe_url=NOWHERE,
            log_level="ERROR",
            retrain_forecasts=False,
        )
        await create_administrator(
            settings, username=ADMINISTRATOR, email=f"{ADMINISTRATOR}@example.org", password=PASSWORD
        )
        async with _with_worker(settings) as twin:
            config = uvicorn.Config(
                create_app(settings, nullcontext(twin)), http="h11", log_config=None, access_log=False
            )
            self._server = _AnnouncingServer(config, self.started)
            await self._server.serve(sockets=[self._listener])


@asynccontextmanager
async def _with_worker(settings: Settings) -> AsyncGenerator[Twin, None]:
    """The twin, and beside it a worker that carries out what it is asked for."""
    stop = asyncio.Event()
    async with open_worker(settings, ALL_QUEUES) as worker:
        working = asyncio.create_task(work(worker, stop))
        yield worker.twin
        stop.set()
        await working


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._announced = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announced.set()
