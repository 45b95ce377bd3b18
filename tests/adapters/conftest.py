"""The conformance suite: the same tests on the in-memory fake, the embedded server and a given one."""

from collections.abc import AsyncGenerator

import pytest
from tests.databases import DatabaseServer, given_server

from digital_twin.adapters.clock import SystemClock
from digital_twin.services.ports import Store
from digital_twin.testing import MemoryStore


@pytest.fixture(params=["memory", "embedded", "given"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store, None]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore(SystemClock())
        return
    embedded = request.param == "embedded"
    server: DatabaseServer = request.getfixturevalue("embedded_server") if embedded else given_server()
    async with server.store() as made:
        yield made
