"""The conformance suite: the same tests on the in-memory fake, the embedded server and a given one."""

from collections.abc import AsyncGenerator

import pytest
from tests.databases import DatabaseServer

from digital_twin.adapters.clock import SystemClock
from digital_twin.services.ports import Store
from digital_twin.testing import MemoryStore


@pytest.fixture(params=["memory", "embedded", "given"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store, None]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore(SystemClock())
        return
    server: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    async with server.store() as made:
        yield made
