"""A server of sources, and a community that is fed by it."""

from collections.abc import AsyncGenerator, Iterator

import pytest
from tests.feed_sources import SourceServer
from tests.feed_updates.fed import NOON, Fed, feeding


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer(NOON).serving() as made:
        yield made


@pytest.fixture
async def fed(server: SourceServer) -> AsyncGenerator[Fed, None]:
    """A community whose past nobody asks for."""
    async with feeding(server) as made:
        await made.make()
        yield made


@pytest.fixture
async def with_past(server: SourceServer) -> AsyncGenerator[Fed, None]:
    """A community of which the last 120 days count."""
    async with feeding(server, history_days=120) as made:
        await made.make()
        yield made
