"""Advances whose process is killed without warning: nothing is lost, told twice or different from what it had been."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from tests.adapters.advancing import CLOCK, HISTORY_HOURS, MEMBERS, Advancing, record
from tests.builders import MONDAY, community, hours
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.macro_twin.state import TwinState
from digital_twin.services.ports import Snapshot, Store
from digital_twin.services.states import StateService
from digital_twin.testing import InProcessPool

KILLED, UNDISTURBED = "killed", "undisturbed"


@pytest.fixture(params=["embedded", "given"])
async def address(request: pytest.FixtureRequest) -> AsyncGenerator[str, None]:
    server: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    async with server.database() as address:
        yield address


@asynccontextmanager
async def two_communities(address: str) -> AsyncGenerator[PostgresStore, None]:
    """With the same three days of history behind them, both advanced to its end."""
    async with open_pool(address, size=3) as pool:
        store = PostgresStore(pool)
        for name in (KILLED, UNDISTURBED):
            async with store.platform() as tx:
                await tx.communities.create(community(name, num_prosumers=3))
            async with store.community(name) as tx:
                await tx.members.put_members([Member(member) for member in MEMBERS])
            await record(store, name, 0, HISTORY_HOURS)
            await service(store).advance(name)
        yield store


def service(store: Store) -> StateService:
    return StateService(store, CLOCK, InProcessPool())


async def snapshot(store: Store, name: str) -> Snapshot:
    async with store.community(name) as tx:
        found = await tx.states.snapshot()
    assert found is not None
    return found


async def told(store: Store, name: str) -> list[str]:
    async with store.community(name) as tx:
        return [
            event.document["observed_at"] for event in await tx.events.after(0, limit=1000) if event.kind == "state"
        ]


async def is_the_same(store: Store) -> None:
    """The killed community's state, history and answer are those of the other."""
    killed, undisturbed = await snapshot(store, KILLED), await snapshot(store, UNDISTURBED)
    assert TwinState.from_bytes(killed.state).digest == TwinState.from_bytes(undisturbed.state).digest
    assert (killed.version, killed.observed_at, killed.model) == (
        undisturbed.version, undisturbed.observed_at, undisturbed.model,
    )  # fmt: skip
    assert killed.consistency == undisturbed.consistency
    histories, answers = [], []
    for name in (KILLED, UNDISTURBED):
        async with store.community(name) as tx:
            assert await tx.states.due() is None
            track = await tx.states.track(MONDAY, MONDAY + hours(HISTORY_HOURS + 24))
            known = await tx.states.known(CLOCK.now())
        assert track is not None
        assert known is not None
        histories.append((track.mean.tobytes(), track.deviation.tobytes(), track.coverage.tobytes()))
        answers.append(known.document["states"])
    assert histories[0] == histories[1]
    assert answers[0] == answers[1]
    assert await told(store, KILLED) == await told(store, UNDISTURBED)


@pytest.mark.parametrize("moment", ["computed", "kept"])
async def test_an_advance_that_is_killed_before_its_commit_has_not_happened_and_is_made_up_for(
    address: str, moment: str
) -> None:
    async with two_communities(address) as store:
        before = await snapshot(store, KILLED)
        Advancing(address, KILLED, hours=1, moment=moment).kill_when("standing")
        assert await snapshot(store, KILLED) == before
        assert len(await told(store, KILLED)) == 1
        assert KILLED in await service(store).due()
        assert await service(store).advance(KILLED)
        await record(store, UNDISTURBED, HISTORY_HOURS, 1)
        await service(store).advance(UNDISTURBED)
        await is_the_same(store)


async def test_a_process_that_is_killed_again_and_again_ends_where_an_undisturbed_one_does(address: str) -> None:
    count = 12
    async with two_communities(address) as store:
        for round_, after_s in enumerate((0.0, 0.01, 0.03, 0.06, 0.1)):
            advancing = Advancing(address, KILLED, hours=count, moment="never")
            advancing.kill_when(str(HISTORY_HOURS + 2 * round_), after_s=after_s)
        Advancing(address, KILLED, hours=count, moment="never").finish()
        for hour in range(HISTORY_HOURS, HISTORY_HOURS + count):
            await record(store, UNDISTURBED, hour, 1)
            await service(store).advance(UNDISTURBED)
        await is_the_same(store)
