"""A server of sources, and a community that is fed by it."""

from collections.abc import AsyncGenerator, Iterator

import pytest
from tests.feed_sources import SourceServer
from tests.feed_updates.fed import NOON, PATIENT_S, Fed, feeding


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer(NOON).serving() as made:
        yield made


@pytest.fixture
def deadline_s() -> float:
    """How long a source has for an answer; a test that wants none gives less."""
    return PATIENT_S


@pytest.fixture
async def fed(server: SourceServer, deadline_s: float) -> AsyncGenerator[Fed, None]:
    """A community whose past nobody asks for."""
    async with feeding(server, deadline_s=deadline_s) as made:
        await made.make()
        yield made


@pytest.fixture
async def with_past(server: SourceServer) -> AsyncGenerator[Fed, None]:
    """A community of which the last 120 days count."""
    async with feeding(server, history_days=120) as made:
        await made.make()
        yield made
